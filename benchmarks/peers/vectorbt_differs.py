"""Where vectorbt's rules are not those of docs/backtesting.md, a few bars each, as JSON."""

import json
import sys

import numpy as np
import pandas as pd
import vectorbt as vbt

ROW = ["open", "high", "low", "close"]


def signals(bars, entries, **options):
    """Orders from signals at the rows of `entries`: their prices."""
    table = pd.DataFrame(bars, columns=ROW, dtype=float)
    flags = np.isin(np.arange(len(table)), entries)
    given = {"entries": flags, "exits": False, "size": 1.0, "init_cash": 1000.0}
    given |= {"stop_entry_price": "fillprice", "stop_exit_price": "stopmarket"}
    prices = {name: table[name] for name in ("open", "high", "low")}
    found = vbt.Portfolio.from_signals(table["close"], **given | prices | options)
    return found.orders.records["price"].tolist()


def targets(close, size, **options):
    """A portfolio of target weights at closes."""
    given = {"size_type": "targetpercent", "init_cash": 1.0} | options
    return vbt.Portfolio.from_orders(pd.Series(close, dtype=float), size=size, **given)


def main():
    """Every difference by name."""
    calm = [100, 100, 100, 100]
    falls = [100, 101, 90, 96]
    rises = [100, 120, 100, 119]
    flat = [96, 96, 96, 96]
    nan = np.nan
    found = {
        # all of the equity and costs are more than the cash there is
        "all_in": targets([100, 100], [1.0, nan], fees=0.01).orders.records["size"].tolist(),
        # opened at the open of a bar that falls through the stop at 95
        "entry_bar": signals([falls, flat], [0], price=100.0, sl_stop=0.05),
        # the bar that reaches the stop also has the signal to turn over
        "dropped_signal": signals(
            [calm, falls, flat], [0], short_entries=[False, True, False], sl_stop=0.05
        ),
        # a profit at 110 is slipped as a stop is
        "slipped_profit": signals([calm, rises], [0], tp_stop=0.1, slippage=0.01, price=100.0),
        # the stop of an enlarged position counts from the last fill
        "enlarged": signals(
            [calm, [120, 120, 120, 120], [120, 120, 100, 110]], [0, 1], sl_stop=0.1, accumulate=True
        ),
        # short all, and the price trebles
        "below_zero": targets([100, 300, 300], [-1.0, nan, nan]).value().tolist(),
        # an order of less than 1e-12 units
        "dust": len(targets([2e12, 2e12], [1.0, nan]).orders.records),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
