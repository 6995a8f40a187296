"""Bars from a file of any usual format, with any usual column names.

Times in a file are taken as bar **opens**, as exchanges write them; the bar's end is one
interval later, or the session's close for daily bars of an exchange. What breaks the rule
of the bar table, or was repaired by others, is refused with its place; `allow` names
defects that are flagged in the report instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from signalkit.bars import (
    ALWAYS_OPEN,
    check,
    expected_times,
    gaps,
    interval_length,
    session_closes,
)
from signalkit.collection import columns, defects, reading
from signalkit.collection.defects import Defect
from signalkit.collection.formats import read_raw
from signalkit.collection.zone_names import zone_named
from signalkit.errors import DataError, ParamsError


@dataclass(frozen=True)
class CollectionReport:
    """What reading a file found and did.

    `rows_read` counts the file's rows, `rows` the bars. `duplicates` rows said the same as
    another and were dropped, `conflicting` bars had a second version. `zone` says how the
    zone of the times is known, `notes` what was decided on which evidence, `flagged` the
    defects that were allowed. Zero-volume runs are bars without volume in a row.
    """

    path: str
    format: str
    interval: str
    calendar: str
    zone: str
    rows_read: int
    rows: int
    first: pd.Timestamp
    last: pd.Timestamp
    duplicates: int
    conflicting: int
    gaps: int
    missing_bars: int
    zero_volume_bars: int
    zero_volume_runs: int
    longest_zero_volume_run: int
    notes: tuple[str, ...]
    flagged: tuple[Defect, ...]


def read_file(
    path: Path | str,
    *,
    interval: str | None = None,
    symbol: str | None = None,
    tz: str | None = None,
    calendar: str | None = None,
    allow: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Bars of one symbol from a file, its format found by content.

    Parameters
    ----------
    path : Path or str
        CSV, JSON, Parquet or Feather, plain or in gzip, bzip2, xz or zip; with or without a
        header; dumps of Binance, Bitfinex, cryptodatadownload, freqtrade, Lean and Yahoo.
    interval : str, optional
        Spacing of the bars; the most common distance of the times if omitted.
    symbol : str, optional
        Rows to keep where the file has a `symbol` column.
    tz : str, optional
        Zone of times that state none; UTC if omitted, and the report says so.
    calendar : str, optional
        "24/7", or an exchange code whose session closes end daily bars; 24/7 if omitted,
        but XNYS for Lean's daily bars of US shares.
    allow : tuple of str
        Defects to flag instead of refuse: `interpolated`, `forward_filled`, `copied`, `spikes`,
        `interval` (the name claims another), `swapped_volume` (put right), `conflicting`
        (bars in two versions; that with more volume is kept), `disorder` (sorted), `broken`
        (rows that break the bar table are left out).

    Returns
    -------
    DataFrame of shape (n_bars, 5)
        Bars indexed by UTC bar end; `attrs["report"]` is the CollectionReport.

    Raises
    ------
    DataError
        If the file holds no bars, can be read in two ways, hides one of the defects, or the
        bars break the rule of the bar table; with places, counts and the way out.
    ParamsError
        If `allow`, `tz` or `calendar` name nothing that is known.
    """
    path = Path(path)
    unknown = [name for name in allow if name not in defects.NAMES]
    if unknown:
        raise ParamsError(f"allow: no defect {unknown[0]!r}; known are {', '.join(defects.NAMES)}")
    if tz is not None:
        zone_named(tz)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if not path.is_file():
        raise DataError(f"{path}: not a file")
    try:
        bars = _read(path, interval, symbol, tz, calendar, frozenset(allow))
    except DataError as cause:
        raise DataError(f"{path}: {cause}") from None
    return bars


def check_names_symbols(path: Path) -> None:
    """Refuse a file without a symbol column as the source of several symbols."""
    if reading.symbol_column(columns.name_columns(read_raw(path)).table) is None:
        raise DataError(
            f"{path}: no symbol column tells its rows apart; write {{symbol}} in the path"
        )


def _read(
    path: Path,
    interval: str | None,
    symbol: str | None,
    tz: str | None,
    calendar: str | None,
    allow: frozenset[str],
) -> pd.DataFrame:
    """Bars of a file with their report."""
    if interval is not None:
        interval_length(interval)
    raw = reading.of_symbol(columns.name_columns(read_raw(path)), symbol)
    rows_read, empty = len(raw.table), []
    if "broken" in allow:
        raw, empty = reading.leave_out_empty(raw)
    rows = reading.interpreted(raw, tz)
    rows.rows_read, rows.found = rows_read, empty
    reading.drop_repeats(rows)
    reading.put_in_order(rows, allow)
    always_open = calendar in {None, ALWAYS_OPEN}
    interval = reading.settle_interval(rows, path.name, interval, always_open)
    if calendar is None:
        calendar = reading.LEAN_CALENDAR if rows.lean and interval == "1d" else ALWAYS_OPEN
    reading.one_version(rows)
    reading.put_volume_right(rows)
    if "broken" in allow:
        reading.leave_out_broken(rows)
    ends = _bar_ends(rows.opens, rows.dates, interval, calendar)
    bars = rows.bars.set_axis(ends.rename("time"), axis=0)
    check(bars)
    defects.check_open_close(bars, rows.opens)
    straight = partial(defects.interpolated, sessions=not always_open)
    looks = (straight, defects.forward_filled, defects.copied, defects.spikes)
    rows.found += [found for look in looks if (found := look(bars, rows.opens))]
    _refuse([defect for defect in rows.found if defect.name not in allow])
    bars.attrs["report"] = _report(path, rows, bars, interval=interval, calendar=calendar)
    return bars


def _report(
    path: Path, rows: reading.Reading, bars: pd.DataFrame, *, interval: str, calendar: str
) -> CollectionReport:
    """What reading a file found and did; bars that do not have their interval are refused."""
    missing = gaps(bars, interval, calendar)
    _check_spacing(bars, interval, calendar)
    dry = defects.stretches((bars["volume"] == 0).to_numpy(), rows.opens)
    return CollectionReport(
        path=str(path),
        format=rows.format,
        interval=interval,
        calendar=calendar,
        zone=rows.zone,
        rows_read=rows.rows_read,
        rows=len(bars),
        first=bars.index[0],
        last=bars.index[-1],
        duplicates=rows.duplicates,
        conflicting=rows.conflicting,
        gaps=len(missing),
        missing_bars=int(missing["bars"].sum()),
        zero_volume_bars=sum(run.bars for run in dry),
        zero_volume_runs=len(dry),
        longest_zero_volume_run=max((run.bars for run in dry), default=0),
        notes=tuple(rows.notes),
        flagged=tuple(rows.found),
    )


def _refuse(found: list[Defect]) -> None:
    """Refuse a file that hides defects, all of them in one message."""
    if found:
        told = "; ".join(str(defect) for defect in found)
        names = ", ".join(repr(defect.name) for defect in found)
        raise DataError(f"{told}; pass allow=({names},) to flag this in the report instead")


def _check_spacing(bars: pd.DataFrame, interval: str, calendar: str) -> None:
    """Bars further apart than their interval would be known before they ended."""
    expected = expected_times(bars.index[0], bars.index[-1], interval, calendar)
    steps = pd.Series(np.diff(expected.get_indexer(bars.index)))
    if len(steps) and steps.mode()[0] != 1:
        raise DataError(
            f"bars are most often {steps.mode()[0]} times the interval {interval} apart"
        )


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
