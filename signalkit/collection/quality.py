"""What is odd about bars that break no rule: gaps, stale opens, days without volume."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.bars import ALWAYS_OPEN, by_symbol, each_symbol, gaps

# a market with sessions opens at its last close on a few days a year, not on one in ten
STALE_SHARE = 0.10


def stale_opens(bars: pd.DataFrame) -> pd.Series:
    """Bars whose open equals the close of the bar before, to the last digit.

    An exchange that opens with an auction hardly ever opens at its last close: on most
    days it means that nobody recorded the open. Where trading never stops it is normal.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        One symbol's bars, or a panel.

    Returns
    -------
    Series of bool of shape (n_bars,)
        The first bar of a symbol is False.
    """
    flags = each_symbol(bars, lambda b: (b["open"] == b["close"].shift()).to_frame("stale"))
    return flags["stale"]


def yearly(panel: pd.DataFrame) -> pd.DataFrame:
    """Oddities of each symbol by year.

    Returns
    -------
    DataFrame indexed by (symbol, year)
        `bars`, `stale_opens` (share of bars) and `zero_volume` (bars).
    """
    time = panel.index.get_level_values("time")
    keys = [panel.index.get_level_values("symbol"), time.year.rename("year")]
    odd = pd.DataFrame({"stale": stale_opens(panel), "dry": panel["volume"] == 0})
    groups = odd.groupby(keys)
    return pd.DataFrame(
        {
            "bars": groups.size(),
            "stale_opens": groups["stale"].mean(),
            "zero_volume": groups["dry"].sum(),
        }
    )


def coverage(panel: pd.DataFrame, interval: str, calendar: str) -> pd.DataFrame:
    """What is there of each symbol, and what is missing or odd.

    Returns
    -------
    DataFrame indexed by symbol
        `first`, `last`, `bars`, `gaps`, `missing` (bars), `longest_gap` (bars),
        `zero_volume` (bars), `stale_opens` (share) and `opens_real`: whether fewer than
        one open in ten is stale, or the market never closes.
    """
    rows = {}
    for symbol, bars in by_symbol(panel):
        lacking = gaps(bars, interval, calendar)
        stale = float(stale_opens(bars).mean())
        rows[symbol] = {
            "first": bars.index[0],
            "last": bars.index[-1],
            "bars": len(bars),
            "gaps": len(lacking),
            "missing": int(lacking["bars"].sum()),
            "longest_gap": int(lacking["bars"].max()) if len(lacking) else 0,
            "zero_volume": int(np.sum(bars["volume"] == 0)),
            "stale_opens": stale,
            "opens_real": stale < STALE_SHARE or calendar == ALWAYS_OPEN,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("symbol")
