"""Bars from a CSV file, plain or gzip, with any usual column names.

Times in a file are taken as bar **opens**, as exchanges write them; the bar's end is one
interval later, or the session's close for daily bars of an exchange. What breaks the rule
of the bar table is refused with file, row and value.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from signalkit.bars import (
    ALWAYS_OPEN,
    COLUMNS,
    check,
    check_times,
    expected_times,
    gaps,
    interval_length,
    session_closes,
)
from signalkit.errors import DataError, ParamsError

_TIME_NAMES = ("time", "timestamp", "date", "datetime", "open_time", "opentime", "unix")
_VOLUME_NAMES = ("volume", "vol", "volume_base")
# epochs of 1973 to 2200 in each unit do not overlap
_EPOCH_UNITS = {"s": 1e8, "ms": 1e11, "us": 1e14, "ns": 1e17}


@dataclass(frozen=True)
class CollectionReport:
    """What reading a file found: rows, span, gaps and bars without volume."""

    path: str
    interval: str
    calendar: str
    rows: int
    first: pd.Timestamp
    last: pd.Timestamp
    gaps: int
    missing_bars: int
    zero_volume_bars: int


def read_file(
    path: Path | str,
    *,
    interval: str | None = None,
    symbol: str | None = None,
    tz: str | None = None,
    calendar: str = ALWAYS_OPEN,
) -> pd.DataFrame:
    """Bars of one symbol from a CSV file.

    Parameters
    ----------
    path : Path or str
        CSV, plain or gzip, with a header: a time column and open, high, low, close, volume.
    interval : str, optional
        Spacing of the bars; the most common distance of the times if omitted.
    symbol : str, optional
        Rows to keep where the file has a `symbol` column.
    tz : str, optional
        Zone of times without one; UTC if omitted.
    calendar : str
        "24/7", or an exchange code whose session closes end daily bars.

    Returns
    -------
    DataFrame of shape (n_bars, 5)
        Bars indexed by UTC bar end; `attrs["report"]` is the CollectionReport.

    Raises
    ------
    DataError
        If the file lacks a column, a cell is no number, a time cannot be read, the spacing
        is not the interval, or the bars break the rule of the bar table.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if not path.is_file():
        raise DataError(f"{path}: not a file")
    try:
        table = _read_table(path, symbol)
        opens = _read_times(table, tz)
        interval = interval or _most_common_interval(opens)
        ends = _bar_ends(opens, _dates(table, opens), interval, calendar)
        bars = table[list(COLUMNS)].set_axis(ends, axis=0)
        check(bars)
        missing = gaps(bars, interval, calendar)
        _check_spacing(bars, interval, calendar)
    except DataError as cause:
        raise DataError(f"{path}: {cause}") from None
    bars.attrs["report"] = CollectionReport(
        path=str(path),
        interval=interval,
        calendar=calendar,
        rows=len(bars),
        first=bars.index[0],
        last=bars.index[-1],
        gaps=len(missing),
        missing_bars=int(missing["bars"].sum()),
        zero_volume_bars=int((bars["volume"] == 0).sum()),
    )
    return bars


def _read_csv(path: Path, nrows: int | None = None) -> pd.DataFrame:
    """Rows of a CSV file, plain or gzip by its first bytes."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return pd.read_csv(path, compression="gzip" if compressed else None, nrows=nrows)


def _read_table(path: Path, symbol: str | None) -> pd.DataFrame:
    """Columns `time open high low close volume` of the file, prices as float64."""
    try:
        raw = _read_csv(path)
    except (ValueError, EOFError, OSError, zlib.error) as cause:
        raise DataError(f"not a CSV file with a header ({cause})") from None
    raw.columns = [str(name).strip().lower().replace(" ", "_") for name in raw.columns]
    if raw.columns.has_duplicates:
        raise DataError(f"two columns have one name: {sorted(raw.columns)}")
    if "symbol" in raw.columns:
        if symbol is None and raw["symbol"].nunique() > 1:
            raise DataError(f"rows of {raw['symbol'].nunique()} symbols; pass symbol")
        raw = raw if symbol is None else raw[raw["symbol"] == symbol]
    names = {"time": _named(raw, _TIME_NAMES), "volume": _named(raw, _VOLUME_NAMES)}
    names |= {name: _named(raw, (name,)) for name in COLUMNS[:4]}
    if raw.empty:
        raise DataError(f"no rows{f' of {symbol}' if symbol else ''}")
    table = pd.DataFrame({name: raw[source] for name, source in names.items()})
    return table.assign(**{name: _numbers(table[name]) for name in COLUMNS})


def check_names_symbols(path: Path) -> None:
    """Refuse a file without a symbol column as the source of several symbols."""
    names = _read_csv(path, nrows=0).columns
    if "symbol" not in [str(name).strip().lower() for name in names]:
        raise DataError(
            f"{path}: no symbol column tells its rows apart; write {{symbol}} in the path"
        )


def _named(raw: pd.DataFrame, names: tuple[str, ...]) -> str:
    """The first of the usual names that the file has."""
    for name in names:
        if name in raw.columns:
            return name
    raise DataError(f"no column named {' or '.join(names)}; the file has {list(raw.columns)}")


def _numbers(column: pd.Series) -> pd.Series:
    """A column as float64; the first cell that is no number is an error."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    broken = np.flatnonzero(numbers.isna())
    if len(broken):
        row = int(broken[0])
        raise DataError(f"{column.name} in row {row} is no number: {column.iloc[row]!r}")
    return numbers


def _read_times(table: pd.DataFrame, tz: str | None) -> pd.DatetimeIndex:
    """Open times in UTC, from epochs or ISO text."""
    column = table["time"]
    if pd.api.types.is_numeric_dtype(column):
        return pd.DatetimeIndex(_from_epoch(column.to_numpy(dtype=float)), tz="UTC")
    text = column.astype(str)
    own = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$").any()
    zone = _zone(tz) if tz and not own else None
    try:
        times = pd.DatetimeIndex(pd.to_datetime(column, format="ISO8601", utc=zone is None))
        if zone:
            times = times.tz_localize(zone, ambiguous="raise", nonexistent="raise")
    except (ValueError, TypeError) as cause:
        raise DataError(f"a time cannot be read ({cause}); write ISO 8601 or epochs") from None
    if times.hasnans:
        raise DataError(f"the time in row {int(np.argmax(times.isna()))} is empty")
    return times.tz_convert("UTC").as_unit("ns")


def _zone(name: str) -> ZoneInfo:
    """A zone by its name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ParamsError(f"{name!r} is no time zone; write one such as Europe/Berlin") from None


def _dates(table: pd.DataFrame, opens: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Date of each row, as it is written."""
    if pd.api.types.is_numeric_dtype(table["time"]):
        return opens.tz_localize(None).normalize()
    return pd.DatetimeIndex(pd.to_datetime(table["time"].str.slice(0, 10), format="ISO8601"))


def _check_spacing(bars: pd.DataFrame, interval: str, calendar: str) -> None:
    """Bars further apart than their interval would be known before they ended."""
    expected = expected_times(bars.index[0], bars.index[-1], interval, calendar)
    steps = pd.Series(np.diff(expected.get_indexer(bars.index)))
    if len(steps) and steps.mode()[0] != 1:
        raise DataError(
            f"bars are most often {steps.mode()[0]} times the interval {interval} apart"
        )


def _from_epoch(epochs: np.ndarray) -> np.ndarray:
    """Epoch numbers as times; the unit follows from their size."""
    units = [unit for unit, least in _EPOCH_UNITS.items() if np.min(epochs) >= least]
    if not units or np.max(epochs) >= 1e2 * _EPOCH_UNITS[units[-1]]:
        raise DataError(f"times from {np.min(epochs):g} to {np.max(epochs):g} are no one epoch")
    return epochs.astype("int64").astype(f"datetime64[{units[-1]}]").astype("datetime64[ns]")


def _most_common_interval(opens: pd.DatetimeIndex) -> str:
    """The most common distance of the times, as an interval."""
    if len(opens) < 2:
        raise DataError("one bar alone does not tell its interval; pass interval")
    if opens[0] > opens[-1]:
        check_times(opens, "bars")
    seconds = int(pd.Series(opens).diff().mode()[0].total_seconds())
    for unit, length in {"w": 604800, "d": 86400, "h": 3600, "m": 60}.items():
        if seconds > 0 and seconds % length == 0:
            return f"{seconds // length}{unit}"
    raise DataError(f"bars are most often {seconds} s apart, which is no whole minute")


def _bar_ends(
    opens: pd.DatetimeIndex, dates: pd.DatetimeIndex, interval: str, calendar: str
) -> pd.DatetimeIndex:
    """End of each bar: one interval after its open, or the session's close."""
    length = interval_length(interval)
    if calendar != ALWAYS_OPEN and interval == "1d":
        return session_closes(dates, calendar)
    steps = np.diff(opens.asi8)
    short = np.flatnonzero((steps > 0) & (steps < length.value))
    if len(short):
        row = int(short[0]) + 1
        found = pd.Timedelta(int(steps[row - 1]), "ns")
        raise DataError(
            f"row {row} is {found} after the row before it, less than the interval {interval}"
        )
    ends = (opens + length).rename("time")
    if calendar == ALWAYS_OPEN:
        return ends
    closes = expected_times(opens[0], opens[-1] + pd.Timedelta(7, "D"), "1d", calendar)
    return pd.DatetimeIndex(np.minimum(ends, closes[closes.searchsorted(opens, side="right")]))
