"""The bar table: its columns, its clock and its calendars.

One symbol's bars are indexed by the UTC time at which each bar **ends**, because
that is when it is known. A panel stacks symbols under a (symbol, time) index. What
breaks the rule of the table is refused with its place; nothing is repaired.

An exchange's day ends at the close of its session, half days included; other markets
trade all the time, calendar "24/7". Session times come from exchange_calendars.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pandas as pd
from numba import njit

from signalkit.errors import DataError, ParamsError

COLUMNS = ("open", "high", "low", "close", "volume")
ALWAYS_OPEN = "24/7"
_UNITS = {"m": "min", "h": "h", "d": "D", "w": "W"}


def interval_length(interval: str) -> pd.Timedelta:
    """Length of an interval such as 1m, 15m, 1h, 1d or 1w.

    Raises
    ------
    ParamsError
        If `interval` is not a count followed by m, h, d or w.

    Examples
    --------
    >>> interval_length("4h")
    Timedelta('0 days 04:00:00')
    """
    match = re.fullmatch(r"([1-9]\d*)([mhdw])", interval)
    if not match:
        raise ParamsError(
            f"interval must be a count and one of m, h, d, w (such as 1h), was {interval!r}"
        )
    return int(match[1]) * pd.Timedelta(1, _UNITS[match[2]])


def check_times(times: pd.Index, name: str) -> None:
    """Refuse times that are not UTC, increasing and unique.

    Parameters
    ----------
    times : DatetimeIndex of shape (n,)
        Bar ends.
    name : str
        What the times belong to, for the message.

    Raises
    ------
    DataError
        With the first row that breaks the rule.
    """
    if not isinstance(times, pd.DatetimeIndex):
        raise DataError(f"{name} is indexed by {times.dtype}; it needs bar ends, a DatetimeIndex")
    if str(times.tz) != "UTC":
        raise DataError(f"{name} has times in zone {times.tz}; convert them to UTC")
    if times.hasnans:
        raise DataError(f"{name} has no time in row {int(np.argmax(times.isna()))}; drop that row")
    back = np.flatnonzero(np.diff(times.asi8) <= 0)
    if len(back):
        row = int(back[0]) + 1
        found = f"{times[row]:%Y-%m-%d %H:%M}Z follows {times[row - 1]:%Y-%m-%d %H:%M}Z"
        raise DataError(f"{name} goes back in time at row {row}: {found}; sort it, drop repeats")


def by_symbol(panel: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each symbol of a panel with its bars, in the panel's order.

    A frame without a symbol level is one nameless symbol.
    """
    if panel.index.nlevels == 1:
        yield "", panel
        return
    symbols = panel.index.get_level_values("symbol").to_numpy()
    edges = np.flatnonzero(symbols[1:] != symbols[:-1]) + 1
    for start, stop in zip((0, *edges), (*edges, len(symbols)), strict=True):
        if stop > start:
            yield str(symbols[start]), panel.iloc[start:stop].droplevel("symbol")


def each_symbol(
    panel: pd.DataFrame, function: Callable[[pd.DataFrame], pd.DataFrame]
) -> pd.DataFrame:
    """Apply a function of one symbol's bars to every symbol, and stack the results.

    Raises
    ------
    DataError
        If a panel has no bars; what the function refuses, with the symbol before it.
    """
    if panel.index.nlevels == 1:
        return function(panel)
    parts = {}
    for symbol, block in by_symbol(panel):
        try:
            parts[symbol] = function(block)
        except DataError as cause:
            raise DataError(f"{symbol}: {cause}") from None
    if not parts:
        raise DataError("the panel has no bars; it needs at least one symbol with some")
    return pd.concat(parts, names=["symbol", "time"])


def check(bars: pd.DataFrame) -> None:
    """Refuse bars or a panel that break the rule of the bar table.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, >= 5)
        Columns `open high low close` in quote currency and `volume` in base units,
        float64, indexed by bar end (UTC), or by (symbol, time) for a panel.

    Raises
    ------
    DataError
        If a column is missing or not float64, times are not UTC and increasing, a
        symbol's rows are not in one block, a value is not finite, a price is not
        positive, low > open or close, high < open or close, or volume < 0.
    """
    missing = [name for name in COLUMNS if name not in bars.columns]
    if missing:
        raise DataError(f"bars lack the columns {missing}; they have {list(bars.columns)}")
    twice = [name for name in COLUMNS if list(bars.columns).count(name) > 1]
    if twice:
        raise DataError(f"bars have the column {twice[0]!r} twice; keep one")
    if bars.index.nlevels > 1 and list(bars.index.names) != ["symbol", "time"]:
        raise DataError(f"a panel is indexed by symbol and time, was {list(bars.index.names)}")
    blocks = list(by_symbol(bars))
    names = [symbol for symbol, _ in blocks]
    if names != sorted(set(names)):
        raise DataError(f"panel symbols must be sorted, one block each; the order is {names}")
    for symbol, block in blocks:
        _check_block(block, symbol or "bars")


def _check_block(block: pd.DataFrame, name: str) -> None:
    """Rules of one symbol's bars."""
    wrong = [c for c in COLUMNS if block[c].dtype != np.float64]
    if wrong:
        raise DataError(f"{name}: {wrong[0]} is {block[wrong[0]].dtype}; bars are float64")
    check_times(block.index, name)
    if not _sound(*(np.ascontiguousarray(block[column].to_numpy()) for column in COLUMNS)):
        _tell_what_is_broken(block, name)


@njit(cache=True)
def _sound(open_, high, low, close, volume):  # noqa: ANN001, ANN202 - numba finds the types
    """Whether every bar keeps the rules, in one pass."""
    for i in range(len(close)):
        inside = 0.0 < low[i] <= open_[i] <= high[i] < np.inf and low[i] <= close[i] <= high[i]
        if not (inside and 0.0 <= volume[i] < np.inf):
            return False
    return True


def _tell_what_is_broken(block: pd.DataFrame, name: str) -> None:
    """The first rule that is broken, its first row and their number."""
    values = block[list(COLUMNS)].to_numpy()
    prices, low, high = values[:, :4], values[:, 2], values[:, 1]
    rules = {
        "every value must be finite": ~np.isfinite(values).all(axis=1),
        "prices must be above 0": (prices <= 0).any(axis=1),
        "high must not be under open, low or close": high < prices.max(axis=1),
        "low must not be over open, high or close": low > prices.min(axis=1),
        "volume must not be negative": values[:, 4] < 0,
    }
    for rule, broken in rules.items():
        if broken.any():
            row = int(np.argmax(broken))
            found = ", ".join(f"{c} {v:g}" for c, v in zip(COLUMNS, values[row], strict=True))
            raise DataError(
                f"{name}: {rule}; row {row}, bar end {block.index[row]:%Y-%m-%d %H:%M}Z, has"
                f" {found} ({int(broken.sum())} such rows)"
            )


def check_calendar(name: str) -> None:
    """Refuse, as ParamsError, a calendar that is neither 24/7 nor the code of an exchange."""
    if name == ALWAYS_OPEN:
        return
    import exchange_calendars  # noqa: PLC0415 - takes over 0.3 s

    if name not in exchange_calendars.get_calendar_names():
        raise ParamsError(f"calendar {name!r} is not 24/7 or known to exchange_calendars")


_WIDEST: dict[str, tuple] = {}  # first year, last year and calendar made of each exchange so far


def _calendar(name: str, first_year: int, last_year: int):  # noqa: ANN202 - lazy library type
    """Exchange calendar over whole years, at least those asked for; none depends on today."""
    import exchange_calendars  # noqa: PLC0415 - takes over 0.3 s

    first, last, made = _WIDEST.get(name, (first_year, last_year, None))
    if made is None or first_year < first or last < last_year:
        check_calendar(name)
        first, last = min(first, first_year), max(last, last_year)
        try:
            made = exchange_calendars.get_calendar(
                name, start=f"{first}-01-01", end=f"{last}-12-31"
            )
        except ValueError as cause:
            raise DataError(f"{name} has no sessions in {first} to {last}: {cause}") from None
        _WIDEST[name] = first, last, made
    return made


def session_closes(dates: pd.DatetimeIndex, calendar: str) -> pd.DatetimeIndex:
    """UTC close of the session on each date, half days by the calendar.

    Parameters
    ----------
    dates : DatetimeIndex of shape (n,)
        Session dates, midnight, without a zone.
    calendar : str
        Exchange code such as XNYS, or 24/7 (a day ends at the next midnight).

    Raises
    ------
    DataError
        If the exchange was closed on one of the dates.
    """
    if calendar == ALWAYS_OPEN:
        return (dates + pd.Timedelta(1, "D")).tz_localize("UTC")
    closes = _calendar(calendar, dates.min().year, dates.max().year).closes
    missing = dates[~dates.isin(closes.index)]
    if len(missing):
        told = f"{missing[0]:%Y-%m-%d} ({len(missing)} such dates)"
        raise DataError(f"{calendar} had no session on {told}")
    return pd.DatetimeIndex(closes.loc[dates]).as_unit("ns").rename("time")


def expected_times(
    first: pd.Timestamp, last: pd.Timestamp, interval: str, calendar: str
) -> pd.DatetimeIndex:
    """Bar ends that a complete history has from `first` to `last`, both included.

    24/7 bars end on multiples of the interval since the epoch (weeks on Monday at midnight),
    exchange bars at the session's close, or every interval from its open and at its close.
    """
    length = interval_length(interval)
    if calendar == ALWAYS_OPEN:
        epoch = pd.Timestamp(0, tz="UTC") + pd.Timedelta(4 * interval.endswith("w"), "D")
        start = epoch + -(-(first - epoch) // length) * length
        return pd.date_range(start, last, freq=length, unit="ns", name="time")
    if interval.endswith("w") or (interval.endswith("d") and interval != "1d"):
        raise ParamsError(f"{calendar} bars are 1d or shorter, was {interval}")
    ends = _ends_of_years(interval, calendar, first.year, last.year)
    return ends[ends.searchsorted(first) : ends.searchsorted(last, side="right")]


@lru_cache(maxsize=8)
def _ends_of_years(interval: str, calendar: str, first: int, last: int) -> pd.DatetimeIndex:
    """Ends of an exchange's bars over whole years; a stream asks again at every session."""
    days, length = _calendar(calendar, first, last), interval_length(interval)
    ends = _session_ends(days.opens, days.closes, length) if interval != "1d" else days.closes
    return pd.DatetimeIndex(ends).as_unit("ns").rename("time")


def _session_ends(opens: pd.Series, closes: pd.Series, length: pd.Timedelta) -> pd.DatetimeIndex:
    """Ends of the bars inside each session; the last one ends at the close."""
    parts = [
        pd.date_range(start, stop, freq=length, inclusive="right").union([stop])
        for start, stop in zip(opens, closes, strict=True)
    ]
    return parts[0].append(parts[1:])


def gaps(bars: pd.DataFrame, interval: str, calendar: str) -> pd.DataFrame:
    """Runs of bars that the calendar expects and the table lacks.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, ...)
        One symbol's bars.
    interval, calendar : str
        Spacing of the bars and the calendar they follow.

    Returns
    -------
    DataFrame of shape (n_gaps, 3)
        `first` and `last` missing bar end, and `bars`, how many are missing.

    Raises
    ------
    DataError
        If a bar ends at a time that the calendar does not have.
    """
    expected = expected_times(bars.index[0], bars.index[-1], interval, calendar)
    off = ~bars.index.isin(expected)
    if off.any():
        found = f"{bars.index[np.argmax(off)]:%Y-%m-%d %H:%M}Z"
        raise DataError(
            f"{int(off.sum())} bars do not end on the {interval} grid of {calendar}"
            f" (first: {found}); set the interval and calendar of the source"
        )
    missing = ~expected.isin(bars.index)
    starts = np.flatnonzero(missing & ~np.r_[False, missing[:-1]])
    stops = np.flatnonzero(missing & ~np.r_[missing[1:], False])
    return pd.DataFrame(
        {"first": expected[starts], "last": expected[stops], "bars": stops - starts + 1}
    )


@lru_cache(maxsize=32)
def bars_per_year(interval: str, calendar: str) -> float:
    """Bars in an average year of the calendar, for annualisation.

    Counted over the twenty whole years 2000 to 2019.

    Parameters
    ----------
    interval : str
        Spacing of the bars, such as 1h.
    calendar : str
        "24/7" or an exchange code such as XNYS.

    Returns
    -------
    float
        Bars per year.

    Examples
    --------
    >>> bars_per_year("1h", "24/7"), bars_per_year("1d", "XNYS")
    (8766.0, 251.55)
    """
    first, last = pd.Timestamp("2000-01-01T00:00:00Z"), pd.Timestamp("2019-12-31T23:59:59Z")
    if calendar == ALWAYS_OPEN:
        return 365.25 * pd.Timedelta(1, "D") / interval_length(interval)
    return len(expected_times(first, last, interval, calendar)) / 20


def resample(bars: pd.DataFrame, interval: str, calendar: str = ALWAYS_OPEN) -> pd.DataFrame:
    """Bars of a longer interval; only bars that are complete.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        One symbol's bars, or a panel.
    interval : str
        The longer interval, such as 1d. On an exchange calendar it must be 1d.
    calendar : str
        Calendar whose bar ends the result follows.

    Returns
    -------
    DataFrame
        First open, highest high, lowest low, last close and summed volume of the bars that
        end inside each longer bar. A longer bar without any bar is left out; one that
        begins before the first bar or ends after the last one is not complete and left out.

    Raises
    ------
    ParamsError
        If `interval` is shorter than the spacing of the bars.
    """
    return each_symbol(bars, lambda block: _resample_block(block, interval, calendar))


def _resample_block(bars: pd.DataFrame, interval: str, calendar: str) -> pd.DataFrame:
    """Resample one symbol: every bar belongs to the first longer end at or after its own."""
    check(bars)
    if calendar != ALWAYS_OPEN and interval != "1d":
        raise ParamsError(f"{calendar} bars are resampled to 1d only, was {interval}")
    spacing = pd.Series(bars.index).diff().min()
    if calendar == ALWAYS_OPEN and interval_length(interval) < spacing:
        raise ParamsError(f"bars every {spacing} cannot be resampled to the shorter {interval}")
    margin = interval_length(interval) + pd.Timedelta(7, "D")
    ends = expected_times(bars.index[0] - margin, bars.index[-1], interval, calendar)
    belongs = ends.searchsorted(bars.index)
    # what comes after the first longer bar must not decide whether it is whole
    steps = pd.Series(bars.index[belongs == belongs[0]]).diff().dropna()
    first = belongs[0] + 1
    if len(steps):
        step = steps.min() if calendar == ALWAYS_OPEN else steps.mode()[0]
        first = _starts(ends, calendar).searchsorted(bars.index[0] - step)
    whole = (belongs < len(ends)) & (belongs >= first)
    rules = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    out = bars.loc[whole, list(COLUMNS)].groupby(belongs[whole]).agg(rules)
    return out.set_axis(ends[out.index], axis=0).rename_axis("time")


def _starts(ends: pd.DatetimeIndex, calendar: str) -> pd.DatetimeIndex:
    """When the bar that ends at each time began: at the end before it, or the session's open."""
    if calendar == ALWAYS_OPEN:
        return ends[:1].append(ends[:-1])
    days = _calendar(calendar, ends[0].year, ends[-1].year)
    return pd.DatetimeIndex(days.opens[days.closes.isin(ends)])
