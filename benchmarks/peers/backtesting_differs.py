"""Where backtesting.py's rules are not those of docs/backtesting.md, a few bars each, as JSON."""

import json
import sys

import pandas as pd
from backtesting import backtesting as engine


def run(bars, actions, **options):
    """Trades (size, entry, exit) and equity after some actions, by bar."""

    class Acts(engine.Strategy):
        def init(self):
            pass

        def next(self):
            actions.get(len(self.data) - 1, lambda strategy: None)(self)

    table = pd.DataFrame(bars, columns=["Open", "High", "Low", "Close"], dtype=float)
    table.index = pd.date_range("2024-01-01", periods=len(table))
    given = {"cash": 1000.0, "margin": 0.1, "finalize_trades": True} | options
    found = engine.Backtest(table, Acts, **given).run()
    trades = found["_trades"][["Size", "EntryPrice", "ExitPrice"]].to_numpy().tolist()
    return trades, found["_equity_curve"]["Equity"].tolist()


def refused(function):
    """The error of a call, without its numbers."""
    try:
        function()
    except ValueError as error:
        return str(error).split(":")[0]
    return None


def flip(strategy):
    """Turn three units over."""
    strategy.sell(size=6)


def main():
    """Every difference by name."""
    calm, falls = [100, 100, 100, 100], [100, 101, 90, 96]
    buys = {1: lambda strategy: strategy.buy(size=3)}
    stopped = {1: lambda strategy: strategy.buy(size=3, sl=95)}
    half = {1: lambda strategy: strategy.buy(size=3), 2: lambda strategy: strategy.buy(size=0.5)}
    closes = {3: lambda strategy: strategy.position.close()}
    whole = {1: lambda strategy: strategy.buy(size=0.5)}
    beyond = {1: lambda strategy: strategy.buy(size=1, sl=103)}
    leveraged = {1: lambda strategy: strategy.buy(size=50)}
    jump = [110, 110, 110, 110]
    found = {
        # the spread of 1 % is paid on the way in only
        "spread": run([calm] * 6, buys | closes, spread=0.01)[0],
        # half of 1000 at 300 a unit
        "whole_units": run([[300] * 4] * 5, whole, margin=1.0)[0],
        # half of what is free at the open of bar 3, whose close is 100 or 200
        "sized_by_close": [
            run([calm] * 3 + [[100, 200, 100, last]] * 2, half, margin=0.5)[0][-1][0]
            for last in (100, 200)
        ],
        # filled at the close of bar 1, on which 1 % was paid
        "booked_late": run([calm] * 4, buys, trade_on_close=True, commission=0.01)[1],
        # told at bar 2 to turn over at the open of bar 3, which later falls through the stop
        "stop_first": run([calm, calm, calm, falls, calm], stopped | {2: flip})[0],
        # the next open is 110: a stop at 103 is below it and above the last close
        "stop_refused": refused(lambda: run([calm, calm, jump, jump], beyond)),
        # five times levered, a low that takes it all, and a close back at 100
        "worst_price": run([calm, calm, calm, [100, 100, 70, 100], calm], leveraged)[1],
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
