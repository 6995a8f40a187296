"""When news was published: any usual text of a time, read without guessing.

A text states one moment, or it is asked about: a clock time without a zone, a zone name
that two places use, a day and a month that could change places. Where clocks go back the
later of two moments is taken, for news known late harms nobody.

A date without a time of day, and a stamp of exactly midnight, which in practice is the
same, is known at the end of that day in its zone; in UTC-12, the last to end a day, where
the zone is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from signalkit.collection.zone_names import may_show, stated_zone
from signalkit.errors import DataError

NO_TIME, NOT_READABLE = "no time", "time not readable"

_FULL_MONTHS = (
    "january february march april may june july august september october november december"
)
_MONTHS = {
    word: number for number, full in enumerate(_FULL_MONTHS.split(), 1) for word in (full, full[:3])
} | {"sept": 9}
_DAYS = (
    "monday mon tuesday tues tue wednesday wed thursday thurs thur thu friday fri saturday sat"
    " sunday sun"
)
_FILLERS = {*_DAYS.split(), "at", "on", "of", "the", "st", "nd", "rd", "th", *",.-/|@·"}
_CLOCK = re.compile(
    r"(?<!\d)(\d{1,2})(?::(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([ap]\.?m\b\.?)?"
    r"|[\s-]?([ap]m)\b)(?:\s*(?:UTC|GMT)?\s*([+-]\d{1,2}(?::?\d{2})?(?![\d:-])))?",
    re.IGNORECASE,
)
_ISO = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)[T ]?(.*)", re.DOTALL)
_NUMERIC = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?!\d)[,T ]?(.*)", re.DOTALL)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T?(\d\d)(\d\d)(\d\d))?(Z)?")
# digits before the point tell the unit: seconds of 1973 to 2286, and parts of them
_EPOCHS = {9: 1, 10: 1, 13: 10**3, 16: 10**6, 19: 10**9}


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What a text says: date, microseconds into the day, zone, and what is left open."""

    year: int
    month: int
    day: int
    clock: int | None = None
    zone: tzinfo | None = None
    zone_name: str = ""
    separator: str = ""  # of a numeric date whose first two fields are day and month


@dataclass(frozen=True)
class Times:
    """Moments of some texts, and how they were found.

    `table` has a row a text: `published` and `known_at` (UTC, NaT where refused), `date_only`
    and `reason` (empty, or why it was refused).
    """

    table: pd.DataFrame
    zone: str
    date_order: str
    midnight: int
    ambiguous: int
    nonexistent: int


def read_times(texts: Sequence[str], zone: ZoneInfo | None = None) -> Times:
    """Moments that texts state.

    Parameters
    ----------
    texts : sequence of str
        One a row of a file, in the order of the file.
    zone : ZoneInfo, optional
        Zone of the texts that state none.

    Returns
    -------
    Times
        Moments, with the reason of each that could not be read.

    Raises
    ------
    DataError
        If a clock time has no zone and none is given, or nothing tells day from month.

    Notes
    -----
    A local time that clocks skip is moved forward by what they skip.

    Examples
    --------
    >>> read_times(["Fri, 17 July 2020 7:51 PM ET"]).table["published"][0]
    Timestamp('2020-07-17 23:51:00+0000', tz='UTC')
    """
    parsed = {text: _parse(text.strip()) for text in dict.fromkeys(texts)}
    order = _orders(texts, parsed)
    _check_zones(texts, parsed, zone)
    moments = {text: _moment(_ordered(stamp, order), zone) for text, stamp in parsed.items()}
    rows = [moments[text] for text in texts]
    published, known = (np.array([row[k] for row in rows], "datetime64[us]") for k in (0, 1))
    table = pd.DataFrame(
        {
            "published": pd.DatetimeIndex(published, tz="UTC").as_unit("ns"),
            "known_at": pd.DatetimeIndex(known, tz="UTC").as_unit("ns"),
            "date_only": [row[2] != "" for row in rows],
            "reason": [_reason(text, parsed[text]) for text in texts],
        }
    )
    return Times(
        table=table,
        zone=_zones_found(parsed, zone),
        date_order="; ".join(told for _, told in order.values()),
        midnight=sum(row[2] == "midnight" for row in rows),
        ambiguous=sum(row[3] == "twice" for row in rows),
        nonexistent=sum(row[3] == "never" for row in rows),
    )


def _reason(text: str, stamp: _Stamp | None) -> str:
    """Why a text is refused, empty if it is not."""
    if stamp is not None:
        return ""
    return NOT_READABLE if text.strip() else NO_TIME


def _parse(text: str) -> _Stamp | None:
    """What a text says, None if that cannot be told."""
    text = re.sub(r"\s*\([^()]*\)$", "", text)
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            stamp = _from_digits(text)
        elif match := _ISO.fullmatch(text):
            stamp = _Stamp(int(match[1]), int(match[3]), int(match[4]))
            stamp = _with_clock(stamp, match[5])
        elif match := _NUMERIC.fullmatch(text):
            stamp = _with_clock(_from_numeric(match), match[5])
        elif match := _COMPACT.fullmatch(text):
            stamp = _from_compact(match)
        else:
            stamp = _from_words(text)
        _check_date(stamp)
    except (ValueError, KeyError, OverflowError):
        return None
    return stamp


def _check_date(stamp: _Stamp) -> None:
    """Refuse dates that the calendar lacks or that are no date of news."""
    day, month = stamp.day, stamp.month
    if stamp.separator and month > 12:
        day, month = month, day
    datetime(stamp.year, month, day)
    if not 1970 <= stamp.year < 2200:
        raise ValueError(stamp.year)


def _from_digits(text: str) -> _Stamp:
    """An epoch, or a date of eight or fourteen digits."""
    whole, _, part = text.partition(".")
    if len(whole) in (8, 14) and not part:
        return _from_compact(_COMPACT.fullmatch(whole) or {})
    units = int(whole) * 10**6 // _EPOCHS[len(whole)]
    units += int(f"{part:0<6}"[:6]) if _EPOCHS[len(whole)] == 1 and part else 0
    moment = datetime(1970, 1, 1) + timedelta(microseconds=units)
    return _Stamp(moment.year, moment.month, moment.day, units % 86_400_000_000, UTC, "epoch")


def _from_compact(match: re.Match) -> _Stamp:
    """A date such as 20220705, with a time such as T042400Z or without."""
    stamp = _Stamp(int(match[1]), int(match[2]), int(match[3]))
    if match[4] is None:
        return stamp
    return _with_clock(stamp, f"{match[4]}:{match[5]}:{match[6]}{match[7] or ''}")


def _from_numeric(match: re.Match) -> _Stamp:
    """A date such as 5-7-2022; which field is the day is decided by the whole file."""
    short = len(match[4]) == 2
    if short and (match[2] == "-" or (int(match[1]) > 12 and int(match[4]) <= 31)):
        raise ValueError("three fields of two digits: the year may come first or last")
    return _Stamp(_full_year(match[4]), int(match[3]), int(match[1]), separator=match[2])


def _full_year(text: str) -> int:
    """A year of two digits is one of 1969 to 2068, as in POSIX."""
    return int(text) if len(text) == 4 else int(text) + (1900 if int(text) > 68 else 2000)


def _from_words(text: str) -> _Stamp:
    """A date with the month as a word, and its parts in any usual order."""
    clock = _CLOCK.search(text)
    rest = text if clock is None else f"{text[: clock.start()]} {text[clock.end() :]}"
    months, numbers, zones = [], [], []
    for word in re.findall(r"[A-Za-z]+|\d+|\S", rest):
        if word.isdigit():
            numbers.append(word)
        elif word.lower() in _MONTHS:
            months.append(_MONTHS[word.lower()])
        elif word.lower() not in _FILLERS:
            zones.append(word)
    if len(months) != 1 or len(numbers) != 2 or len(zones) > 1 or (zones and not clock):
        raise ValueError(text)
    day, year = sorted(numbers, key=len) if len(numbers[0]) > 2 else numbers
    stamp = _Stamp(_full_year(year), months[0], int(day))
    return _with_clock(stamp, f"{clock[0] if clock else ''} {' '.join(zones)}")


def _with_clock(stamp: _Stamp, text: str) -> _Stamp:
    """The stamp with the time of day and the zone that follow its date."""
    text = text.strip()
    if not text:
        return stamp
    match = _CLOCK.match(text)
    if match is None:
        raise ValueError(text)
    hour, minute, second = (int(match[k] or 0) for k in (1, 2, 3))
    half = (match[5] or match[6] or "").lower().replace(".", "")
    if hour > (12 if half else 23) or (half and hour == 0) or minute > 59 or second > 59:
        raise ValueError(text)
    hour = hour % 12 + 12 * (half == "pm") if half else hour
    micros = int(f"{match[4] or '':0<6}"[:6])
    zone, name = stated_zone(match[7], text[match.end() :].strip())
    clock = ((hour * 60 + minute) * 60 + second) * 10**6 + micros
    return replace(stamp, clock=clock, zone=zone, zone_name=name)


def _orders(texts: Sequence[str], parsed: dict) -> dict[str, tuple[bool, str]]:
    """For each separator of numeric dates: whether the day is first, and what tells it."""
    found = {}
    for separator in {s.separator for s in parsed.values() if s and s.separator}:
        rows = [t for t in texts if parsed[t] and parsed[t].separator == separator]
        if any(_swappable(parsed[text]) for text in set(rows)):
            found[separator] = _order(rows, parsed)
    return found


def _swappable(stamp: _Stamp) -> bool:
    """Whether day and month could change places and give another date."""
    return stamp.day <= 12 and stamp.month <= 12 and stamp.day != stamp.month


def _order(rows: list[str], parsed: dict) -> tuple[bool, str]:
    """Whether numeric dates have the day first: a field over 12, else the order of the file."""
    days = next((text for text in rows if parsed[text].day > 12), None)
    months = next((text for text in rows if parsed[text].month > 12), None)
    if days and months:
        raise DataError(
            f"day and month are told apart both ways ({days!r}, {months!r}), so that"
            f" {next(t for t in rows if _swappable(parsed[t]))!r} is either; write ISO 8601"
        )
    if days or months:
        return bool(days), f"{'day' if days else 'month'} first, as in {days or months!r}"
    stamps = [parsed[text] for text in rows]
    ordered = {
        first: _one_way(
            [(s.year, *pair, s.clock or 0) for s, pair in zip(stamps, pairs, strict=True)]
        )
        for first, pairs in {
            True: [(s.month, s.day) for s in stamps],
            False: [(s.day, s.month) for s in stamps],
        }.items()
    }
    if ordered[True] == ordered[False]:
        raise DataError(
            f"nothing tells day from month in {rows[0]!r}: no field of {len(rows)} dates is over"
            f" 12, and {'both readings' if ordered[True] else 'no reading'} would put the file"
            " in order; write ISO 8601"
        )
    return ordered[True], f"{'day' if ordered[True] else 'month'} first, by the order of the file"


def _one_way(keys: list[tuple]) -> bool:
    """Whether keys never go down, or never go up."""
    pairs = list(pairwise(keys))
    return all(a <= b for a, b in pairs) or all(a >= b for a, b in pairs)


def _ordered(stamp: _Stamp | None, order: dict[str, tuple[bool, str]]) -> _Stamp | None:
    """The stamp with day and month in their places."""
    if stamp is None or not stamp.separator:
        return stamp
    day_first = stamp.month <= 12
    if _swappable(stamp):
        day_first = order[stamp.separator][0]
    return stamp if day_first else replace(stamp, day=stamp.month, month=stamp.day)


def _check_zones(texts: Sequence[str], parsed: dict, zone: ZoneInfo | None) -> None:
    """Refuse clock times without a zone where the caller gives none."""
    open_ = {text for text, s in parsed.items() if s and s.clock and s.zone is None}
    if zone is not None:
        said = {text: (parsed[text].zone_name, parsed[text].year) for text in open_}
        open_ = {text for text in open_ if not may_show(zone, *said[text])}
    if not open_:
        return
    row = next(k for k, text in enumerate(texts) if text in open_)
    name = parsed[texts[row]].zone_name
    raise DataError(
        f"{sum(text in open_ for text in texts)} of {len(texts)} times name no zone"
        f"{f' but {name}, which several places use' if name else ''} (first: row {row},"
        f" {texts[row]!r}); pass tz, such as tz='UTC', as the source states it"
    )


def _moment(stamp: _Stamp | None, zone: ZoneInfo | None) -> tuple:
    """Published, known, how it is a date alone, and what clocks did; times without zone."""
    if stamp is None:
        return None, None, "", ""
    day = datetime(stamp.year, stamp.month, stamp.day)
    zone = stamp.zone or zone
    if stamp.clock:
        moment, clocks = _to_utc(day + timedelta(microseconds=stamp.clock), zone)
        return moment, moment, "", clocks
    kind = "date" if stamp.clock is None else "midnight"
    if zone is None:
        return day, day + timedelta(hours=36), kind, ""
    return _to_utc(day, zone)[0], _to_utc(day + timedelta(days=1), zone)[0], kind, ""


def _to_utc(local: datetime, zone: tzinfo) -> tuple[datetime, str]:
    """The later moment a local time can mean, and whether clocks showed it twice or never."""
    first, second = (
        local.replace(tzinfo=zone, fold=fold).astimezone(UTC).replace(tzinfo=None)
        for fold in (0, 1)
    )
    told = "" if first == second else "twice" if second > first else "never"
    return max(first, second), told


def _zones_found(parsed: dict, zone: ZoneInfo | None) -> str:
    """Zones that the texts state, and the one given for those that state none."""
    stamps = [stamp for stamp in parsed.values() if stamp]
    stated = sorted({stamp.zone_name for stamp in stamps if stamp.zone})
    more = f" and {len(stated) - 4} more" if len(stated) > 4 else ""
    parts = [f"stated: {', '.join(stated[:4])}{more}"] if stated else []
    if any(stamp.zone is None for stamp in stamps):
        parts.append(f"given: {zone.key}" if zone else "unknown: dates end in UTC-12")
    return "; ".join(parts)
