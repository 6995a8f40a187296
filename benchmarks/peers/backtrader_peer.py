"""backtrader on our inputs, by a python that has it: `python backtrader_peer.py IN OUT ...`.

IN holds bars.csv (time, open, high, low, close, volume), weights.csv (time, weight) and
settings.json; OUT gets equity.csv, trades.csv and seconds.json.

Units are worked out from the account's value at the price of the fill: at the open by
cheat-on-open, at a close by cheat-on-close. Where docs/backtesting.md and backtrader differ, the
input is arranged so that both mean the same.
"""

import json
import sys
import time
from pathlib import Path

import backtrader as bt
import numpy as np
import pandas as pd

CASH = 1e6


def read(folder):
    """Bars, the weight of each bar (NaN where none was decided) and the settings."""
    bars, weights = (
        pd.read_csv(folder / f"{name}.csv", index_col=0) for name in ("bars", "weights")
    )
    settings = json.loads((folder / "settings.json").read_text())
    return bars, weights.iloc[:, 0].reindex(bars.index), settings


def orders(weight, fill):
    """The weight that each bar's order asks for, NaN where there is none."""
    force = weight.ffill().fillna(0.0)
    asked = weight.where(force != force.shift(fill_value=0.0)).to_numpy()
    return asked if fill == "close" else np.concatenate([[np.nan], asked[:-1]])


class Follow(bt.Strategy):
    """Orders for the weights that changed, with their stops."""

    params = (("asked", None), ("settings", None))

    def __init__(self):
        """Nothing waits and nothing has happened."""
        self.resting, self.equity, self.trips, self.index = [], [], [], {}

    def next_open(self):
        """Before the bar's open is traded: the order that fills there."""
        if self.p.settings["fill"] == "next_open":
            held = self.position.size
            moved = held * (self.data.open[0] - self.data.close[-1]) if held else 0.0
            self.follow(self.data.open[0], moved)

    def next(self):
        """After the bar: its equity, then the order that fills at its close."""
        bar = len(self.data) - 1
        self.index[self.data.datetime[0]] = bar
        self.equity.append(self.broker.getvalue())
        if self.p.settings["fill"] != "next_open":
            self.follow(self.data.close[0], 0.0)

    def follow(self, price, moved):
        """Trade to the weight asked for at this bar, if there is one."""
        weight = self.p.asked[len(self.data) - 1]
        if np.isnan(weight):
            return
        # an older stop would be tried first, and both would fill
        for order in self.resting:
            self.cancel(order)
        held = self.position.size
        units = weight * (self.broker.getvalue() + moved) / price
        if held and weight * held <= 0:
            self.trade(-held)
            held = 0.0
        if weight:
            self.trade(units - held)
            if not held:
                self.protect(units, price)

    def trade(self, units):
        """A market order for some units."""
        (self.buy if units > 0 else self.sell)(size=abs(units))

    def protect(self, units, price):
        """The stop, then the profit of a position: the first that fills cancels the other."""
        settings, side, group = self.p.settings, np.sign(units), None
        entry = price * (1 + side * settings.get("slippage_bps", 0.0) / 1e4)
        leave = self.sell if side > 0 else self.buy
        self.resting = []
        for name, how, sign in (
            ("stop_loss", bt.Order.Stop, -side),
            ("take_profit", bt.Order.Limit, side),
        ):
            if settings.get(name):
                level = entry * (1 + sign * settings[name])
                group = leave(size=abs(units), exectype=how, price=level, oco=group)
                self.resting.append(group)

    def notify_trade(self, trade):
        """A closed trade as a row."""
        if not trade.isclosed:
            return
        events = [step.event for step in trade.history]
        into = [event for event in events if event.size * events[0].size > 0]
        out = [event for event in events if event.size * events[0].size < 0]

        def mean(some):
            return sum(e.size * e.price for e in some) / sum(e.size for e in some)

        self.trips.append(
            {
                "side": "long" if events[0].size > 0 else "short",
                "entry_time": events[0].order.executed.dt,
                "exit_time": events[-1].order.executed.dt,
                "entry_price": mean(into),
                "exit_price": mean(out),
                "size": abs(sum(event.size for event in into)) / CASH,
                "fee": trade.commission / CASH,
                "pnl": trade.pnlcomm / CASH,
            }
        )


def run(bars, weight, settings, analyzers=()):
    """The strategy after its run, and the seconds that took."""
    fill = settings["fill"]
    cerebro = bt.Cerebro(cheat_on_open=fill == "next_open", stdstats=False, tradehistory=True)
    frame = bars.set_index(pd.to_datetime(bars.index).tz_localize(None))
    cerebro.adddata(bt.feeds.PandasData(dataname=frame, openinterest=None))
    broker = cerebro.broker
    broker.setcash(CASH)
    broker.setcommission(commission=settings.get("fee_bps", 0.0) / 1e4)
    # slipped at the open too, and not held within the bar's high and low
    slippage = settings.get("slippage_bps", 0.0) / 1e4
    broker.set_slippage_perc(slippage, slip_open=True, slip_out=True)
    broker.set_coc(fill != "next_open")
    broker.set_checksubmit(False)
    cerebro.addstrategy(Follow, asked=orders(weight, fill), settings=settings)
    for analyzer in analyzers:
        cerebro.addanalyzer(analyzer)
    begun = time.perf_counter()
    (found,) = cerebro.run()
    return found, time.perf_counter() - begun


def main(source, out):
    """Run one folder."""
    bars, weight, settings = read(source)
    out.mkdir(parents=True, exist_ok=True)
    found, simulation = run(bars, weight, settings)
    kinds = bt.analyzers
    table = (kinds.TimeReturn, kinds.SharpeRatio, kinds.DrawDown, kinds.TradeAnalyzer, kinds.SQN)
    _, whole = run(bars, weight, settings, table)
    equity = np.array(found.equity) / CASH
    pd.DataFrame({"equity": equity}, bars.index).to_csv(out / "equity.csv")
    trips = pd.DataFrame(found.trips)
    for name in ("entry_time", "exit_time"):
        trips[name] = [bars.index[found.index[time]] for time in trips[name]]
    trips.to_csv(out / "trades.csv", index=False)
    peer = f"backtrader {bt.__version__}"
    seconds = {"simulation": simulation, "statistics": whole - simulation, "peer": peer}
    (out / "seconds.json").write_text(json.dumps(seconds, indent=1))


if __name__ == "__main__":
    folders = [Path(name) for name in sys.argv[1:]]
    for pair in zip(folders[::2], folders[1::2], strict=True):
        main(*pair)
