"""Times of a file's rows in UTC, whatever they are written as.

Epochs in s, ms, us or ns (also mixed), ISO text, day-first and month-first dates, 12-hour
clocks, offsets. What can be read in two ways is settled by the other rows or refused with
the evidence; a zone that nothing states is UTC, and the report says that it was assumed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.collection.zone_names import zone_named
from signalkit.errors import DataError

# epochs of 1973 to 5138 in each unit do not overlap
_UNITS = {"s": 1e8, "ms": 1e11, "us": 1e14, "ns": 1e17}
_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?)?(Z|[+-]\d\d:?\d\d)?")
# yyyymmddhhmm, with or without seconds; as an epoch in ms it would be of 1976 or of 2600
_DIGITS = re.compile(r"((?:19|20)\d\d(?:0[1-9]|1[0-2])[0-3]\d)([0-2]\d[0-5]\d(?:[0-5]\d)?)")
_TEXT = re.compile(
    r"""^\s*(?:[A-Za-z]{3,9},?\s+)?
    (?:(?P<y1>\d{4})[-/.](?P<m1>\d{1,2})[-/.](?P<d1>\d{1,2})
    |(?P<y2>\d{4})(?P<m2>\d{2})(?P<d2>\d{2})
    |(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y3>\d{4}|\d{2})
    |(?P<d4>\d{1,2})[-\s](?P<n4>[A-Za-z]{3,9})[-\s,]+(?P<y4>\d{4}|\d{2})
    |(?P<n5>[A-Za-z]{3,9})\s(?P<d5>\d{1,2}),?\s(?P<y5>\d{4}))
    (?:[T\s,]+(?P<h>\d{1,2})(?:(?::?(?P<mi>\d{2}))(?::?(?P<s>\d{2})(?P<f>[.,]\d+)?)?)?
       [\s-]*(?P<ap>[AaPp]\.?[Mm]\.?)?)?
    \s*(?P<z>Z|(?:UTC|GMT)?[+-]\d\d:?\d\d|UTC|GMT)?\s*$""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Times:
    """Times of rows: `utc`, the `dates` as they are written, the `zone` and how it is known.

    `notes` say what was decided on which evidence.
    """

    utc: pd.DatetimeIndex
    dates: pd.DatetimeIndex
    zone: str
    notes: tuple[str, ...] = ()


def read_times(column: pd.Series, tz: str | None, *, stated: str | None = None) -> Times:
    """Times of the rows of a column.

    Parameters
    ----------
    column : Series of shape (n,)
        Epochs, text or datetimes as the file holds them.
    tz : str, optional
        Zone of times that state none.
    stated : str, optional
        Zone that the file states for all its times.

    Raises
    ------
    DataError
        If a time cannot be read, or can be read in two ways that nothing decides.
    """
    blank = np.flatnonzero(column.isna().to_numpy())
    if len(blank):
        raise DataError(f"the time in row {int(blank[0])} is empty ({len(blank)} such rows)")
    if pd.api.types.is_datetime64_any_dtype(column):
        return _localised(pd.DatetimeIndex(column), tz, stated, ())
    if column.dtype.kind in "if":
        return _numbers(column.to_numpy(), tz, stated)
    text = column.astype(str).str.strip()
    if text.str.fullmatch(r"-?\d+(\.\d+)?([eE]\+?\d+)?").all():
        return _numbers(pd.to_numeric(text).to_numpy(), tz, stated)
    if text.str.fullmatch(_ISO).all():
        return _iso(text, tz, stated)
    return _patterns(text, tz, stated)


def _numbers(values: np.ndarray, tz: str | None, stated: str | None) -> Times:
    """Epochs, each in the unit of its size, or dates written as one number."""
    low, high = float(values.min()), float(values.max())
    if low >= 1.7e7 and high <= 2.2e7:
        return _patterns(pd.Series(values).astype("int64").astype(str), tz, stated)
    text = pd.Series(values).astype("int64").astype(str) if high < 1e18 else None
    if text is not None and text.str.fullmatch(_DIGITS).all():
        return _patterns(text.str.replace(_DIGITS, r"\1 \2", regex=True), tz, stated)
    unit = np.searchsorted(list(_UNITS.values()), values, side="right") - 1
    if (unit < 0).any() or high >= 1e19:
        raise DataError(
            f"times from {low:g} to {high:g} are no epoch in s, ms, us or ns; write ISO 8601"
        )
    scale = np.array([_NS[name] for name in _UNITS], dtype="int64")[unit]
    ns = np.rint(values * scale) if values.dtype.kind == "f" else values.astype("int64") * scale
    utc = pd.DatetimeIndex(ns.astype("int64").view("datetime64[ns]"), tz="UTC")
    names = [name for i, name in enumerate(_UNITS) if (unit == i).any()]
    counts = ", ".join(f"{int((unit == list(_UNITS).index(n)).sum())} in {n}" for n in names)
    notes = (f"epochs in {names[0]}",) if len(names) == 1 else (f"epochs mixed: {counts}",)
    return Times(utc, utc.tz_localize(None).normalize(), "UTC, epochs", notes)


def _iso(text: pd.Series, tz: str | None, stated: str | None) -> Times:
    """ISO 8601, with or without offsets."""
    own = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    if own.any() and not own.all():
        row = int(np.argmin(own))
        raise DataError(f"row {row} has no offset ({text.iloc[row]!r}) where others have one")
    dates = pd.to_datetime(text.str.slice(0, 10), format="ISO8601", errors="coerce")
    utc = bool(own.all())
    times = pd.DatetimeIndex(pd.to_datetime(text, format="ISO8601", utc=utc, errors="coerce"))
    if times.hasnans:
        row = int(np.argmax(times.isna()))
        raise DataError(
            f"a time cannot be read: row {row} has no such day or hour, {text.iloc[row]!r}"
        )
    if own.all():
        offsets = sorted(set(text.str.extract(r"(Z|[+-]\d\d:?\d\d)$")[0]))
        return Times(
            _ns(times), pd.DatetimeIndex(dates), f"offset in the text: {', '.join(offsets)}"
        )
    return _localised(times, tz, stated, ())


def _patterns(text: pd.Series, tz: str | None, stated: str | None) -> Times:
    """Text in other orders: every field by its place, day and month by the evidence."""
    found = (_TEXT.match(cell) for cell in text)
    blank = (None,) * _TEXT.groups
    parts = pd.DataFrame(
        [match.groups() if match else blank for match in found], columns=list(_TEXT.groupindex)
    )
    unread = np.flatnonzero(parts[["y1", "y2", "y3", "y4", "y5"]].isna().all(axis=1))
    if len(unread):
        row = int(unread[0])
        raise DataError(
            f"a time cannot be read: {text.iloc[row]!r} in row {row} ({len(unread)} such rows);"
            " write ISO 8601 or epochs"
        )
    clock = _clock(parts, text)
    naive, notes = _dated(parts, clock, text)
    own = parts["z"].notna()
    if own.any() and not own.all():
        row = int(np.argmin(own))
        raise DataError(f"row {row} states no zone ({text.iloc[row]!r}) where others state one")
    if not own.any():
        return _localised(naive, tz, stated, notes)
    utc = _ns((naive - _offsets(parts["z"])).tz_localize("UTC"))
    return Times(utc, naive.normalize(), "offset in the text", notes)


def _clock(parts: pd.DataFrame, text: pd.Series) -> pd.TimedeltaIndex:
    """Time of day of each row; 12 AM is midnight."""
    hour = pd.to_numeric(parts["h"]).fillna(0).to_numpy()
    half = parts["ap"].str[0].str.lower()
    wrong = np.flatnonzero((half.notna() & ((hour < 1) | (hour > 12))) | (hour > 23))
    if len(wrong):
        raise DataError(f"row {int(wrong[0])} has no such hour: {text.iloc[int(wrong[0])]!r}")
    hour = np.where(half.notna(), hour % 12 + 12 * (half == "p"), hour)
    minute = pd.to_numeric(parts["mi"]).fillna(0).to_numpy()
    second = pd.to_numeric(parts["s"]).fillna(0).to_numpy()
    part = pd.to_numeric(parts["f"].str.replace(",", ".")).fillna(0).to_numpy()
    ns = ((hour * 60 + minute) * 60 + second) * 1e9 + np.rint(part * 1e9)
    return pd.TimedeltaIndex(ns.astype("timedelta64[ns]"))


def _offsets(zones: pd.Series) -> pd.TimedeltaIndex:
    """Offsets from UTC as they are written."""
    sign = np.where(zones.str.contains("-"), -1, 1)
    digits = zones.str.extract(r"(\d\d):?(\d\d)").fillna("0").astype(int)
    minutes = sign * (60 * digits[0] + digits[1])
    return pd.TimedeltaIndex(pd.to_timedelta(minutes, unit="min"))


def _dated(
    parts: pd.DataFrame, clock: pd.TimedeltaIndex, text: pd.Series
) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    """Local times of the rows, and how day and month were told apart."""
    year = _first(parts, "y1", "y2", "y3", "y4", "y5")
    short = year < 100
    year = np.where(short, year + np.where(year < 70, 2000, 1900), year)
    named = parts["n4"].fillna(parts["n5"]).str[:3].str.lower()
    month = named.map({name: i + 1 for i, name in enumerate(_MONTHS)}).astype(float)
    month = month.fillna(pd.Series(_first(parts, "m1", "m2"), parts.index))
    day = _first(parts, "d1", "d2", "d4", "d5")
    a, b = (pd.to_numeric(parts[name]).to_numpy() for name in "ab")
    if np.isnan(a).all():
        return _assembled(year, month.to_numpy(), day, clock, text), ()
    first, notes = _day_first(year, a, b, clock, short=short)
    d, m = (a, b) if first else (b, a)
    month, day = np.where(np.isnan(a), month, m), np.where(np.isnan(a), day, d)
    return _assembled(year, month, day, clock, text), notes


def _first(parts: pd.DataFrame, *names: str) -> np.ndarray:
    """The first of some columns that has a number, row by row."""
    return parts[list(names)].bfill(axis=1).iloc[:, 0].astype(float).to_numpy()


def _assembled(
    year: np.ndarray,
    month: np.ndarray,
    day: np.ndarray,
    clock: pd.TimedeltaIndex,
    text: pd.Series,
) -> pd.DatetimeIndex:
    """Times from their fields; a day that no month has is refused."""
    fields = pd.DataFrame({"year": year, "month": month, "day": day})
    dates = pd.DatetimeIndex(pd.to_datetime(fields, errors="coerce")).as_unit("ns")
    if dates.hasnans:
        row = int(np.argmax(dates.isna()))
        raise DataError(f"a time cannot be read: row {row} has no such day, {text.iloc[row]!r}")
    return dates + clock


def _day_first(
    year: np.ndarray, a: np.ndarray, b: np.ndarray, clock: pd.TimedeltaIndex, *, short: np.ndarray
) -> tuple[bool, tuple[str, ...]]:
    """Whether the first number of a date is the day, by the evidence of all rows."""
    if len(year) > 1 and a[0] > 12 and short.all() and (a == a[0]).all():
        raise DataError(
            f"dates can be read with the day or the year first: every row begins with {a[0]:g} and"
            " ends in two digits too; write ISO 8601"
        )
    late = {True: int((a > 12).sum()), False: int((b > 12).sum())}
    if late[True] and late[False]:
        raise DataError(
            f"dates mix orders: {late[True]} rows have a first number over 12, {late[False]} a"
            " second; write ISO 8601"
        )
    if late[True] or late[False]:
        first = bool(late[True])
        return first, (f"dates are {_ORDER[first]}: {late[first]} rows have a day over 12 there",)
    steps = {
        first: _evenness(year, *((b, a) if first else (a, b)), clock) for first in (True, False)
    }
    best = max(steps, key=lambda first: steps[first])
    if steps[best] < 0.9 or steps[not best] > 0.5 * steps[best]:
        raise DataError(
            "dates can be read day-first or month-first: no number is over 12, and"
            f" {steps[True]:.0%} of the steps are even day-first, {steps[False]:.0%} month-first;"
            " write ISO 8601"
        )
    return best, (
        f"dates are {_ORDER[best]}: so read {steps[best]:.0%} of the steps are even, else"
        f" {steps[not best]:.0%}",
    )


_ORDER = {True: "day-first", False: "month-first"}


def _evenness(
    year: np.ndarray, month: np.ndarray, day: np.ndarray, clock: pd.TimedeltaIndex
) -> float:
    """Share of the steps from row to row that are the most common one, none if it is 0."""
    known = ~np.isnan(month)
    fields = pd.DataFrame({"year": year, "month": month, "day": day})[known]
    times = pd.DatetimeIndex(pd.to_datetime(fields)).as_unit("ns") + clock[known]
    steps = np.diff(times.asi8)
    if not len(steps):
        return 0.0
    values, counts = np.unique(steps, return_counts=True)
    return float(counts.max() / len(steps)) if values[np.argmax(counts)] else 0.0


def _localised(
    times: pd.DatetimeIndex, tz: str | None, stated: str | None, notes: tuple[str, ...]
) -> Times:
    """Times without an offset in their zone: given, stated by the file, else UTC."""
    if times.tz is not None:
        named = f"{times.tz} in the file"
        return Times(
            _ns(times.tz_convert("UTC")), times.tz_localize(None).normalize(), named, notes
        )
    name, told = (tz, "given") if tz else (stated, "stated in the file")
    if not name:
        name, told = "UTC", "assumed: the file states none"
    there = zone_named(name)
    newest_first = len(times) > 1 and times.is_monotonic_decreasing
    try:
        # which of two equal hours comes first is told by the order
        forward = times[::-1] if newest_first else times
        local = forward.tz_localize(there, ambiguous="infer", nonexistent="raise")
        local = local[::-1] if newest_first else local
    except ValueError as cause:
        raise DataError(f"a time cannot be read ({cause}) in {name}") from None
    return Times(_ns(local.tz_convert("UTC")), times.normalize(), f"{name}, {told}", notes)


def _ns(times: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """UTC times in nanoseconds."""
    return times.tz_convert("UTC").as_unit("ns")
