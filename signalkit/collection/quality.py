"""What is odd about bars that break no rule: gaps, stale opens, wild volumes; news a day."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.bars import ALWAYS_OPEN, by_symbol, each_symbol, gaps

# a market with sessions opens at its last close on a few days a year, not on one in ten
STALE_SHARE = 0.10
# volume and range are judged by the median of so many bars before; so many times it is odd
USUAL_BARS, ODD_TIMES = 120, 10.0


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


def gap_map(panel: pd.DataFrame, interval: str, calendar: str) -> pd.DataFrame:
    """Every gap of every symbol.

    Returns
    -------
    DataFrame of shape (n_gaps, 4)
        `symbol`, `first` and `last` missing bar end, and `bars`, how many are missing.
    """
    parts = [
        gaps(bars, interval, calendar).assign(symbol=symbol) for symbol, bars in by_symbol(panel)
    ]
    return pd.concat(parts, ignore_index=True)[["symbol", "first", "last", "bars"]]


def anomalies(panel: pd.DataFrame) -> pd.DataFrame:
    """Volume and range of each bar over their usual value, and what stands out.

    The usual value is the median of the 120 bars before, so a bar is judged by its past.

    Returns
    -------
    DataFrame indexed by (symbol, time)
        `volume` and `range` as multiples of the usual (NaN where that is 0), and `odd`:
        either is at least ten times, or the high is over twice, or the low under half, what
        the bar opened and closed at.
        The first 120 bars of a symbol have no row.
    """
    return each_symbol(panel, _anomalies)


def _anomalies(bars: pd.DataFrame) -> pd.DataFrame:
    """Anomalies of one symbol."""
    spread = (bars["high"] - bars["low"]) / bars["close"]
    times = {
        name: column / column.shift().rolling(USUAL_BARS).median().where(lambda usual: usual > 0)
        for name, column in (("volume", bars["volume"]), ("range", spread))
    }
    table = pd.DataFrame(times)
    body = bars[["open", "close"]]
    wick = (bars["high"] > 2 * body.max(axis=1)) | (2 * bars["low"] < body.min(axis=1))
    table["odd"] = (table[["volume", "range"]] >= ODD_TIMES).any(axis=1) | wick
    return table.iloc[USUAL_BARS:]


def odd_weeks(odd: pd.DataFrame) -> pd.DataFrame:
    """The highest of each week of `anomalies`.

    Returns
    -------
    DataFrame indexed by (symbol, week)
        `volume` and `range`; a week begins at midnight UTC.
    """
    time = odd.index.get_level_values("time")
    keys = [odd.index.get_level_values("symbol"), time.floor("7D").rename("week")]
    return odd[["volume", "range"]].groupby(keys).max()


def news_per_day(news: pd.DataFrame) -> pd.DataFrame:
    """Items that became known on each day (UTC), and their mean sentiment.

    Returns
    -------
    DataFrame indexed by day
        `items`, `sentiment` (NaN on a day without items) and `sentiment_30`, its mean over
        30 days; every day from first to last.
    """
    days = news["sentiment"].groupby(news.index.floor("D")).agg(["size", "mean"])
    table = days.set_axis(["items", "sentiment"], axis=1).rename_axis("day")
    if len(table):
        table = table.reindex(pd.date_range(table.index[0], table.index[-1], freq="D", name="day"))
    smooth = table["sentiment"].rolling(30, min_periods=5).mean()
    return table.assign(items=table["items"].fillna(0).astype(int), sentiment_30=smooth)
