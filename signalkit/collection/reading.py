"""A raw table on its way to bars: roles, times, order, interval, one version of each bar.

Every step either settles a question by evidence and notes it, or finds a defect. Rows keep
their meaning; what is dropped is counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from signalkit.bars import COLUMNS, interval_length, session_closes
from signalkit.collection import columns, defects
from signalkit.collection.columns import Layout
from signalkit.collection.defects import Defect
from signalkit.collection.formats import Raw
from signalkit.collection.times import Times, read_times
from signalkit.errors import DataError

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60}
_LEAN_SCALE, _LEAN_ZONE = 1e4, "America/New_York"
LEAN_CALENDAR = "XNYS"
_SAYS_UTC = re.compile(r"(?<!not )(?<!not in )\bUTC\b(?!\s*[-+]\s*\d)", re.IGNORECASE)


@dataclass
class Reading:
    """A file's rows in the order of time, and what was found on the way.

    `sides` are the rows in which the two volume columns are in place and swapped, and the
    other column; `notes` say what was decided, `found` what is wrong.
    """

    bars: pd.DataFrame
    opens: pd.DatetimeIndex
    dates: pd.DatetimeIndex
    zone: str
    format: str
    lean: bool = False
    rows_read: int = 0
    sides: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    notes: list[str] = field(default_factory=list)
    found: list[Defect] = field(default_factory=list)
    duplicates: int = 0
    conflicting: int = 0

    def keep(self, rows: np.ndarray) -> None:
        """Keep some rows, by position or flag."""
        self.bars, self.opens, self.dates = self.bars.iloc[rows], self.opens[rows], self.dates[rows]
        if self.sides:
            self.sides = tuple(side[rows] for side in self.sides)


def of_symbol(raw: Raw, symbol: str | None) -> Raw:
    """The rows of one symbol where the file names symbols."""
    name = symbol_column(raw.table) if raw.named else None
    if name is None:
        return raw
    given = raw.table[name]
    if symbol is None and given.nunique() > 1:
        raise DataError(
            f"rows of {given.nunique()} symbols; pass symbol, such as {given.iloc[0]!r}"
        )
    if symbol is None or {_plain(s) for s in given.unique()} == {_plain(symbol)}:
        return raw
    same = given.astype(str) == symbol
    if not same.any():
        same = given.map(_plain) == _plain(symbol)
    kept = raw.table[same].reset_index(drop=True)
    if kept.empty:
        known = ", ".join(str(s) for s in given.unique()[:5])
        raise DataError(f"no rows of {symbol}; the file has {known}")
    return replace(raw, table=kept)


def _plain(symbol: object) -> str:
    """A symbol without the marks that sources put between base and quote."""
    return str(symbol).replace("/", "").replace("-", "").replace("_", "").upper()


def symbol_column(table: pd.DataFrame) -> str | None:
    """The column that names the symbol of each row."""
    return next((n for n in ("symbol", "ticker", "pair", "sym") if n in table.columns), None)


def interpreted(raw: Raw, tz: str | None) -> Reading:
    """Prices and volume of the rows beside their times, roles and zone settled."""
    if raw.named:
        _not_rates(raw.table)
    roles = columns.layout(raw)
    lean = not raw.named and _is_lean(raw.table, roles)
    if lean and tz is None:
        tz = _lean_zone(raw.table)
    stated = "UTC" if any(_SAYS_UTC.search(line) for line in raw.preamble) else None
    return _arranged(raw, roles, _best_times(raw.table, roles, tz, stated), lean)


def _not_rates(table: pd.DataFrame) -> None:
    """Refuse a series of rates in bar columns: all but the open are 0."""
    rest = [name for name in ("high", "low", "close", "volume") if name in table.columns]
    if len(rest) == 4 and (table[rest] == 0).all(axis=None):
        raise DataError(
            f"high, low, close and volume are 0 in all {len(table)} rows: funding rates or another"
            " series in bar columns, no bars"
        )


def _is_lean(table: pd.DataFrame, roles: Layout) -> bool:
    """Lean's shares: `yyyymmdd hh:mm` and prices in whole ten-thousandths, mostly whole cents."""
    if not table[0].astype(str).str.fullmatch(r"\d{8} \d{2}:\d{2}").all():
        return False
    prices = np.concatenate([columns.number(table, name) for name in roles.prices.values()])
    cents = (prices % 100 == 0).mean()
    if (prices != np.rint(prices)).any() or (cents < 0.1 and (prices < 1e4).any()):
        return False
    if cents <= 0.9:
        raise DataError(
            f"whole numbers beside times such as {table[0].iloc[0]!r} are Lean's ten-thousandths"
            f" in local time or plain prices, and {cents:.0%} of them are whole cents; name the"
            " columns in a header"
        )
    return True


def _lean_zone(table: pd.DataFrame) -> str:
    """Zone of Lean's local times: New York, if every day was a session there."""
    days = pd.DatetimeIndex(pd.to_datetime(table[0].str.slice(0, 8).unique(), format="%Y%m%d"))
    try:
        session_closes(days, LEAN_CALENDAR)
    except DataError as cause:
        raise DataError(
            f"times of Lean are local and these are not New York's ({cause}); pass tz"
        ) from None
    return _LEAN_ZONE


def _best_times(table: pd.DataFrame, roles: Layout, tz: str | None, stated: str | None) -> Times:
    """Times of the rows from the time column that tells most of them apart."""
    read, refused = {}, []
    for name in roles.times:
        try:
            read[name] = read_times(_cells(table, name), tz, stated=stated)
        except DataError as cause:
            refused.append(cause)
    if not read:
        raise refused[0]
    twins = {name: int(found.utc.duplicated().sum()) for name, found in read.items()}

    def doubt(name: object) -> tuple[float, ...]:
        return twins[name], -_most_even(read[name].utc), "assumed" in read[name].zone

    name = min(read, key=doubt)
    return replace(read[name], notes=(*read[name].notes, *_compared(name, read, twins)))


def _most_even(times: pd.DatetimeIndex) -> float:
    """Share of the steps that are the most common one, in any order of the rows."""
    steps = np.abs(np.diff(times.asi8))
    return float(np.unique(steps, return_counts=True)[1].max() / len(steps)) if len(steps) else 0.0


def _cells(table: pd.DataFrame, name: object) -> pd.Series:
    """Cells of a time column; date and time of day joined where they are apart."""
    clocks = {0: (1,), "date": ("time", "timestamp"), "time": ("time",)}.get(name, ())
    date = "date" if name == "time" else name
    clock = next((c for c in clocks if c in table.columns and date in table.columns), None)
    if clock is None:
        return table[name]
    shown = table[clock].astype(str).str.strip()
    if clock != 1 and shown.str.fullmatch(r"\d{1,6}").all():
        # 0 to 2359 or to 235959 under the name of a time
        shown = shown.str.zfill(6 if shown.str.len().max() > 4 else 4)
    elif not columns.is_clock(shown):
        return table[name]
    return table[date].astype(str).str.strip() + " " + shown


def _compared(name: object, read: dict[object, Times], twins: dict[object, int]) -> list[str]:
    """Where other time columns say otherwise."""
    notes = []
    for other, found in read.items():
        apart = int((found.utc != read[name].utc).sum())
        if not apart:
            continue
        told = f"times are those of {name!r}; {other!r} says otherwise in {apart:,} rows"
        if twins[other] > twins[name]:
            told += f" and repeats {twins[other]:,} times, as where a spreadsheet rounded them"
        notes.append(told)
    return notes


def _arranged(raw: Raw, roles: Layout, times: Times, lean: bool) -> Reading:
    """Prices and volume of the rows beside their times."""
    table = raw.table
    numbers = {role: columns.number(table, roles.prices[role]) for role in COLUMNS[:4]}
    volume = columns.number(table, roles.volume)
    sides = None
    if roles.other_volume is not None:
        other = columns.number(table, roles.other_volume)
        sides = (*columns.volume_sides(volume, other, numbers), other)
    notes = [*times.notes, *roles.notes]
    if lean:
        numbers = {role: cells / _LEAN_SCALE for role, cells in numbers.items()}
        notes.append("Lean: prices in ten-thousandths, not adjusted for splits and dividends")
    if raw.encoding not in {None, "utf-8"}:
        notes.append(f"encoding {raw.encoding}")
    if raw.preamble:
        notes.append(f"{len(raw.preamble)} lines before the table left out")
    bars = pd.DataFrame(numbers | {"volume": volume})[list(COLUMNS)]
    return Reading(
        bars, times.utc, times.dates, times.zone, raw.format, lean=lean, sides=sides, notes=notes
    )


def leave_out_empty(raw: Raw) -> tuple[Raw, list[Defect]]:
    """Leave out, as a defect that was allowed, rows with an empty price or volume."""
    table, names = raw.table, columns.needed(raw)
    cells = table[names].apply(pd.to_numeric, errors="coerce")
    whole = cells.notna().all(axis=1)
    if whole.all() or not whole.any():
        return raw, []
    told = f"{int((~whole).sum()):,} rows with an empty cell were left out"
    kept = replace(raw, table=table[whole].reset_index(drop=True))
    return kept, [Defect("broken", told)]


def drop_repeats(reading: Reading) -> None:
    """Drop rows that say the same as an earlier one, wherever they stand."""
    again = reading.bars.assign(time=reading.opens).duplicated().to_numpy()
    reading.duplicates = int(again.sum())
    if reading.duplicates:
        reading.keep(~again)


def put_in_order(reading: Reading, allow: frozenset[str]) -> None:
    """Rows in the order of time: oldest first, newest first, or one that leaves no doubt.

    Rows in disorder are sorted where each bar then follows the one before by one step; where
    a time may be wrong (a bar is doubled or missing) the disorder is a defect.
    """
    steps = np.diff(reading.opens.asi8)
    if (steps >= 0).all():
        return
    if (steps <= 0).all():
        reading.keep(np.arange(len(reading.opens))[::-1])
        reading.notes.append("newest first in the file")
        return
    opens, newest_first = reading.opens, (steps < 0).mean() > 0.5
    against = steps > 0 if newest_first else steps < 0
    row = int(np.argmax(against)) + 1
    told = (
        f"{int(against.sum()):,} rows stand against the order of the file; row {row},"
        f" {opens[row]:%Y-%m-%d %H:%M}Z, follows {opens[row - 1]:%Y-%m-%d %H:%M}Z"
    )
    reading.keep(np.argsort(opens.asi8, kind="stable"))
    if len(np.unique(np.diff(reading.opens.asi8))) == 1:
        reading.notes.append(f"{told}; sorted, every bar is then in its place")
    elif "disorder" in allow:
        reading.found.append(Defect("disorder", told))
    else:
        raise DataError(f"{told}; sort the file, or pass allow=('disorder',) to have it sorted")


def settle_interval(reading: Reading, name: str, asked: str | None, always_open: bool) -> str:
    """The interval of the bars: their most common distance, which must be the one asked for.

    A file name that claims another is a defect, unless the caller says what it is. Where the
    market has nights and holidays, the calendar judges what is asked for.
    """
    if asked is not None and not always_open:
        return asked
    own = _most_common(np.diff(reading.opens.asi8)) or asked
    if own is None:
        raise DataError("one bar alone does not tell its interval; pass interval")
    if asked is not None:
        if interval_length(asked) != interval_length(own):
            raise DataError(f"bars are most often {own} apart, not {asked}; pass interval={own!r}")
        return asked
    claim = defects.claimed_interval(name)
    if claim and interval_length(claim) != interval_length(own):
        told = f"the name claims {claim}, but the bars are most often {own} apart"
        reading.found.append(Defect("interval", told))
    return own


def _most_common(steps: np.ndarray) -> str | None:
    """The most common distance of the times, as an interval."""
    steps = steps[steps > 0]
    if not len(steps):
        return None
    values, counts = np.unique(steps, return_counts=True)
    seconds = values[np.argmax(counts)] / 1e9
    for unit, length in _UNITS.items():
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    raise DataError(f"bars are most often {seconds:g} s apart, which is no whole minute")


def one_version(reading: Reading) -> None:
    """One row a bar; two that say different things are a defect.

    The row with the most volume stays: a bar only gains volume until it ends.
    """
    if not reading.opens.has_duplicates:
        return
    reading.keep(np.lexsort((reading.bars["volume"].to_numpy(), reading.opens.asi8)))
    opens, values = reading.opens, reading.bars.to_numpy()
    again = np.r_[opens[1:] == opens[:-1], False]
    row = int(np.argmax(again))
    pair = " and ".join(str(values[k].tolist()) for k in (row, row + 1))
    reading.keep(~again)
    flags = reading.opens.isin(opens[again])
    reading.conflicting = int(flags.sum())
    told = f"{reading.conflicting:,} bars come in two versions, such as {pair}"
    if "text" not in reading.zone and "epoch" not in reading.zone:
        days = (reading.opens == reading.opens.normalize()).all()
        told += (
            "; the times are dates without a time of day"
            if days
            else "; an hour that is doubled each autumn is local time, pass tz"
        )
    places = defects.stretches(flags, reading.opens)
    reading.found.append(Defect("conflicting", f"{told} (opens)", places))


def leave_out_broken(reading: Reading) -> None:
    """Leave out, as a defect that was allowed, rows that break the rule of the bar table."""
    values = reading.bars.to_numpy()
    prices = values[:, :4]
    whole = np.isfinite(values).all(axis=1) & (prices > 0).all(axis=1) & (values[:, 4] >= 0)
    whole &= (values[:, 1] >= prices.max(axis=1)) & (values[:, 2] <= prices.min(axis=1))
    if whole.all():
        return
    if not whole.any():
        raise DataError("every row breaks the rule of the bar table; these are no bars")
    places = defects.stretches(~whole, reading.opens)
    told = f"{int((~whole).sum()):,} rows break the rule of the bar table and were left out (opens)"
    reading.found.append(Defect("broken", told, places))
    reading.keep(whole)


def put_volume_right(reading: Reading) -> None:
    """Find stretches of swapped volume; their base volume is the other column's."""
    if not reading.sides:
        return
    right, swapped, other = reading.sides
    if defect := defects.swapped_volume(swapped, right, reading.opens):
        reading.found.append(defect)
        volume = np.where(swapped, other, reading.bars["volume"].to_numpy())
        reading.bars = reading.bars.assign(volume=volume)
