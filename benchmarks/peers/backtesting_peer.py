"""backtesting.py on our inputs, by a python that has it: `python backtesting_peer.py IN OUT ...`.

IN holds bars.csv (time, open, high, low, close, volume), weights.csv (time, weight) and
settings.json; OUT gets equity.csv, trades.csv and seconds.json.

backtesting.py knows no target weights, so each order is told its units; prices, costs, stops and
the account are its own. Where docs/backtesting.md and it differ, the input is arranged so that
both mean the same.
"""

import json
import sys
import time
from pathlib import Path

import backtesting
import numpy as np
import pandas as pd
from backtesting import backtesting as engine

# units are whole: with this much cash a rounded unit is no more than rounding
CASH = 1e15
BUSY = {"stats": 0.0}


def read(folder):
    """Bars, the weight of each bar (NaN where none was decided) and the settings."""
    bars, weights = (
        pd.read_csv(folder / f"{name}.csv", index_col=0) for name in ("bars", "weights")
    )
    settings = json.loads((folder / "settings.json").read_text())
    return bars, weights.iloc[:, 0].reindex(bars.index), settings


class Follow(engine.Strategy):
    """Orders for the weights that changed, with their stops."""

    asked, told, settings = None, None, None

    def init(self):
        """Nothing is computed ahead."""

    def next(self):
        """At a close: the order of the weight decided now."""
        bar = len(self.data) - 1
        weight, price = self.asked[bar], self.told[bar]
        if np.isnan(weight) or np.isnan(price):
            return
        held = self.position.size
        worth = self.equity + held * (price - self.data.Close[-1])
        change = round(weight * worth / price) - held
        if weight * held > 0:
            self.trade(change, {})
            return
        # a close goes before the stop it makes void, an order would go after it
        for trade in self.trades:
            trade.close()
        self.trade(change + held, self.levels(np.sign(weight), price))

    def trade(self, change, levels):
        """A market order for some units; its stop and profit go with it."""
        if not change:
            return
        # given with the order they would be held against the last close, which the open may
        # have left behind
        order = (self.buy if change > 0 else self.sell)(size=abs(change))
        order._replace(**{f"{name}_price": level for name, level in levels.items()})

    def levels(self, side, price):
        """Prices of stop and profit of a position opened at a price."""
        stop, profit = self.settings.get("stop_loss"), self.settings.get("take_profit")
        levels = {}
        if stop:
            levels["sl"] = price * (1 - side * stop)
        if profit:
            levels["tp"] = price * (1 + side * profit)
        return levels if side else {}


def numbers(lots):
    """Which round trip each lot belongs to: lots of one side, each entered while one was held."""
    found, last, side = [], -1, 0
    for size, entered, left in lots[["Size", "EntryBar", "ExitBar"]].itertuples(index=False):
        begins = entered >= last or size * side < 0
        found.append(begins + (found[-1] if found else 0))
        last, side = (left if begins else max(last, left)), np.sign(size)
    return found


def round_trips(found, strategy, times):
    """Closed positions, from flat to flat or to the other side, of backtesting.py's lots."""
    open_lots = [(trade.size, trade.entry_bar, len(times)) for trade in strategy.trades]
    open_lots = pd.DataFrame(open_lots, columns=["Size", "EntryBar", "ExitBar"])
    lots = pd.concat([found["_trades"], open_lots]).sort_values(["EntryBar", "ExitBar"])
    units = lots["Size"].abs()
    columns = {
        "side": np.where(lots["Size"] > 0, "long", "short"),
        "entered": lots["EntryBar"].astype(int),
        "left": lots["ExitBar"].astype(int),
        "size": units / CASH,
        "paid": units * lots["EntryPrice"] / CASH,
        "got": units * lots["ExitPrice"] / CASH,
        "fee": lots["Commission"] / CASH,
        "pnl": lots["PnL"] / CASH,
    }
    trips = pd.DataFrame(columns).groupby(numbers(lots))
    sides, entered, left = trips["side"].first(), trips["entered"].min(), trips["left"].max()
    sums = trips[["size", "paid", "got", "fee", "pnl"]].sum()
    closed = left < len(times)
    table = {
        "side": sides,
        "entry_time": times[entered],
        "exit_time": times[left.clip(upper=len(times) - 1)],
        "entry_price": sums["paid"] / sums["size"],
        "exit_price": sums["got"] / sums["size"],
    }
    return pd.DataFrame(table | {name: sums[name] for name in ("size", "fee", "pnl")})[closed]


def timed(function):
    """A function that adds its wall time to BUSY."""

    def wrapped(*args, **kwargs):
        begun = time.perf_counter()
        found = function(*args, **kwargs)
        BUSY["stats"] = time.perf_counter() - begun
        return found

    return wrapped


def run(bars, weight, settings):
    """What backtesting.py gave, seconds of its simulation and of its statistics."""
    fill = settings["fill"]
    if fill == "next_close":
        raise ValueError("backtesting.py fills at the next open or the deciding close")
    if settings.get("slippage_bps"):
        raise ValueError("backtesting.py charges its spread at the entry only")
    force = weight.ffill().fillna(0.0)
    Follow.asked = weight.where(force != force.shift(fill_value=0.0)).to_numpy()
    if not np.isnan(Follow.asked[0]):
        raise ValueError("backtesting.py asks its strategy from the second bar on")
    Follow.told = (bars["close"] if fill == "close" else bars["open"].shift(-1)).to_numpy()
    Follow.settings = settings
    frame = bars.rename(columns=str.title).set_index(pd.to_datetime(bars.index))
    test = engine.Backtest(
        frame,
        Follow,
        cash=CASH,
        commission=settings.get("fee_bps", 0.0) / 1e4,
        margin=0.05,
        trade_on_close=fill == "close",
    )
    begun = time.perf_counter()
    found = test.run()
    whole = time.perf_counter() - begun
    return found, whole - BUSY["stats"], BUSY["stats"]


def main(source, out):
    """Run one folder."""
    bars, weight, settings = read(source)
    out.mkdir(parents=True, exist_ok=True)
    engine.compute_stats = timed(engine.compute_stats)
    run(bars, weight, settings)
    found, simulation, statistics = run(bars, weight, settings)
    equity = found["_equity_curve"]["Equity"].to_numpy() / CASH
    pd.DataFrame({"equity": equity}, bars.index).to_csv(out / "equity.csv")
    trips = round_trips(found, found["_strategy"], bars.index)
    trips.to_csv(out / "trades.csv", index=False)
    peer = f"backtesting.py {backtesting.__version__}"
    seconds = {"simulation": simulation, "statistics": statistics, "peer": peer}
    (out / "seconds.json").write_text(json.dumps(seconds, indent=1))


if __name__ == "__main__":
    folders = [Path(name) for name in sys.argv[1:]]
    for pair in zip(folders[::2], folders[1::2], strict=True):
        main(*pair)
