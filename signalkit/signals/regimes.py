"""Regimes: how wild a bar's market is, by the standards known at that bar.

The volatility of the last bars is ranked among the symbol's own values up to that bar. A rank
over the whole sample would know how wild the years to come are, and call 2007 calm because of
2008.

Source of trailing volatility as the regime: Schwert, Why Does Stock Market Volatility Change over
Time? (1989); the terciles are a convention.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.bars import each_symbol
from signalkit.errors import ParamsError
from signalkit.volatility import realised

REGIMES = ("calm", "normal", "wild")
UNKNOWN = "unknown"


def volatility_regime(
    bars: pd.DataFrame,
    *,
    span: int = 60,
    least: int = 250,
    cuts: tuple[float, float] = (1 / 3, 2 / 3),
) -> pd.Series:
    """Calm, normal or wild: trailing volatility among the symbol's own values so far.

    Parameters
    ----------
    bars : DataFrame indexed by time, or by (symbol, time)
        Bars, of which `close` is read.
    span : int
        Log returns of which the volatility is taken, at least 2.
    least : int
        Values of it, the bar's own among them, before a bar has a regime; at least 3.
    cuts : tuple of two floats
        Ranks that end calm and begin wild, as shares of the values so far; terciles by default.

    Returns
    -------
    Series of str, indexed as the bars
        `calm` where the rank is at most the first cut, `wild` where it is above the second,
        `normal` between; `unknown` in the first `span + least - 1` bars.

    Raises
    ------
    ParamsError
        If a window is too short or the cuts are not 0 < first < second < 1.

    Notes
    -----
    Volatility is the standard deviation (ddof 1) of the returns, those over a gap among them.
    A rank is the place of the value among those so far, ties at their mean place, over their
    number.
    """
    if not isinstance(least, int) or least < 3:
        raise ParamsError(f"a regime needs at least 3 values to compare with, was {least!r}")
    low, high = cuts
    if not 0 < low < high < 1:
        raise ParamsError(f"cuts of regimes need 0 < first < second < 1, were {cuts}")

    def named(block: pd.DataFrame) -> pd.DataFrame:
        wildness = pd.Series(realised(block["close"].to_numpy(), span), index=block.index)
        rank = wildness.expanding(least).rank(pct=True)
        chosen = [rank.isna(), rank <= low, rank > high]
        found = np.select(chosen, [UNKNOWN, "calm", "wild"], default="normal")
        return pd.DataFrame({"regime": found}, index=block.index)

    return each_symbol(bars, named)["regime"]
