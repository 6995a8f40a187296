"""Bars in the database: as they are now, what they replaced, and as they were at a moment.

The one rule: `as_of=t` is a replay of the writes up to t. A bar carries the moment it was
recorded; one that its source later gives otherwise moves to `bar_revisions` with the moment
it was replaced. A bar that comes again unchanged is not written.

Bars travel in chunks both ways, so that memory stays near that of the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, repeat
from sqlite3 import Cursor

import numpy as np
import pandas as pd
from sqlite_utils import Database

from signalkit.bars import COLUMNS, by_symbol, check, interval_length
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.store.moments import limits, microseconds, present, utc
from signalkit.store.schema import transaction

_CHUNK = 1 << 13  # rows
_BAR = [("time", "i8"), *((name, "f8") for name in COLUMNS)]
_REVISION = [*_BAR, ("recorded_at", "i8"), ("replaced_at", "i8")]
_OUTAGE = [("first", "i8"), ("last", "i8"), ("bars", "i8"), ("asked_at", "i8")]

_SERIES = "symbol = :symbol AND interval = :interval AND source = :source"
_WITHIN = f"{_SERIES} AND time BETWEEN :first AND :last"
_NOW = f"SELECT time, open, high, low, close, volume FROM bars WHERE {_WITHIN}"  # noqa: S608 - constants
_WAS = f"""SELECT time, open, high, low, close, volume FROM bar_revisions
    WHERE {_WITHIN} AND replaced_at > :at"""  # noqa: S608 - constants
_THEN = f"{_NOW} AND recorded_at <= :at UNION ALL {_WAS} AND recorded_at <= :at ORDER BY time"
_REVISIONS = f"""SELECT time, open, high, low, close, volume, recorded_at, replaced_at
    FROM bar_revisions WHERE {_SERIES} ORDER BY time, replaced_at"""  # noqa: S608 - constants
_OUTAGES = f"""SELECT first, last, bars, asked_at FROM outages WHERE {_SERIES} AND NOT EXISTS (
    SELECT 1 FROM bars WHERE {_SERIES} AND time = outages.first) ORDER BY first"""  # noqa: S608

_WRITE = "INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REPLACE = """INSERT INTO bar_revisions
    SELECT symbol, interval, source, time, recorded_at, ?, open, high, low, close, volume
    FROM bars WHERE symbol = ? AND interval = ? AND source = ? AND time = ?"""
_DESCRIBE = """INSERT INTO symbols VALUES (:symbol, :interval, :source, :base, :quote, :calendar,
        :first, :last, :at)
    ON CONFLICT DO UPDATE SET base = coalesce(excluded.base, base),
        quote = coalesce(excluded.quote, quote), calendar = excluded.calendar,
        first_bar = min(first_bar, excluded.first_bar),
        last_bar = max(last_bar, excluded.last_bar), recorded_at = excluded.recorded_at
    WHERE recorded_at != excluded.recorded_at OR calendar != excluded.calendar
        OR base IS NOT coalesce(excluded.base, base)
        OR quote IS NOT coalesce(excluded.quote, quote)"""
_NOTE = """INSERT INTO outages VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET last = excluded.last, bars = excluded.bars,
        asked_at = excluded.asked_at"""


@dataclass(frozen=True)
class Written:
    """What a call of `write_bars` changed: bars that were new, bars that were replaced."""

    added: int
    revised: int

    def __add__(self, other: Written) -> Written:
        return Written(self.added + other.added, self.revised + other.revised)


@dataclass(frozen=True)
class _Series:
    """Key of one stored series."""

    symbol: str
    interval: str
    source: str

    def __str__(self) -> str:
        return f"{self.interval} bars of {self.symbol} from {self.source}"


def _chunks(cursor: Cursor) -> Iterator[np.ndarray]:
    """Selected bars as structured arrays of at most _CHUNK rows."""
    while len(chunk := np.fromiter(islice(cursor, _CHUNK), _BAR)):
        yield chunk


def _frame(chunks: list[np.ndarray]) -> pd.DataFrame:
    """Selected bars as a bar table."""
    values = np.empty((len(COLUMNS), sum(map(len, chunks))))
    for row, name in zip(values, COLUMNS, strict=True):
        np.concatenate([chunk[name] for chunk in chunks], out=row)
    times = utc(np.concatenate([chunk["time"] for chunk in chunks]), "ns")
    return pd.DataFrame(values.T, times.rename("time"), list(COLUMNS), copy=False)


def _check(panel: pd.DataFrame, interval: str) -> None:
    """Refuse what is no panel of bars."""
    if panel.index.nlevels == 1:
        raise DataError("a panel is indexed by symbol and time; name the symbol of these bars")
    check(panel)
    interval_length(interval)


def _check_outages(found: pd.DataFrame) -> None:
    """Refuse what is no table of outages."""
    missing = [name for name in ("first", "last", "bars") if name not in found.columns]
    if missing:
        raise DataError(f"outages lack the columns {missing}; they have {list(found.columns)}")
    broken = ~((found["first"] <= found["last"]) & (found["bars"] > 0)).to_numpy()
    if broken.any():
        row = int(np.argmax(broken))
        first, last, bars = (found[name].iloc[row] for name in ("first", "last", "bars"))
        raise DataError(
            f"the outage in row {row} has {bars} bars from {first} to {last}; it needs a bar or"
            " more, and its last not before its first"
        )


class Bars:
    """The bars of a store."""

    db: Database

    def write_bars(
        self,
        panel: pd.DataFrame,
        *,
        source: str,
        interval: str,
        calendar: str,
        at: pd.Timestamp | None = None,
        markets: Mapping[str, tuple[str, str]] | None = None,
    ) -> Written:
        """Store a panel in one transaction: new bars added, changed ones kept as revisions.

        Parameters
        ----------
        panel : DataFrame indexed by (symbol, time)
            Bars that pass `bars.check`.
        source, interval, calendar : str
            Where they come from, their spacing and their calendar.
        at : Timestamp, optional
            Moment of recording, to the microsecond and later than every earlier one of the
            series. The present if omitted, or just after the newest record where the clock
            was set back.
        markets : mapping of str to (str, str), optional
            Base and quote of the symbols that have them.

        Returns
        -------
        Written
            How many bars were new and how many replaced another; unchanged ones are neither.

        Raises
        ------
        DataError
            If the panel breaks the rule of the bar table.
        ParamsError
            If the interval is none, or `at` is not later than an earlier record.

        Notes
        -----
        Numbers come back bit for bit, but for a volume of minus zero: SQLite knows zero only.
        """
        _check(panel, interval)
        moment = present() if at is None else microseconds(at, "at")
        written = Written(0, 0)
        with transaction(self.db):
            for symbol, bars in by_symbol(panel):
                series = _Series(symbol, interval, source)
                base, quote = (markets or {}).get(symbol, (None, None))
                about = {"calendar": calendar, "base": base, "quote": quote}
                written += self._write_series(series, bars, moment, clock=at is None, about=about)
        return written

    def _write_series(
        self,
        series: _Series,
        bars: pd.DataFrame,
        moment: int,
        *,
        clock: bool,
        about: dict[str, str | None],
    ) -> Written:
        """Write one series and its row of `symbols`."""
        query = f"SELECT max(recorded_at) FROM symbols WHERE {_SERIES}"  # noqa: S608 - constant
        newest = self.db.execute(query, vars(series)).fetchone()[0]
        if clock and newest is not None:
            moment = max(moment, newest + 1)
        written = Written(0, 0)
        for start in range(0, len(bars), _CHUNK):
            written += self._write_chunk(series, bars[start : start + _CHUNK], moment, newest)
        first, last = bars.index[[0, -1]].as_unit("ns").asi8.tolist()
        recorded = moment if written != Written(0, 0) else newest
        row = vars(series) | about | {"first": first, "last": last, "at": recorded}
        self.db.conn.execute(_DESCRIBE, row)
        return written

    def _write_chunk(
        self, series: _Series, bars: pd.DataFrame, moment: int, newest: int | None
    ) -> Written:
        """Write the bars of a chunk that are new or changed; keep what they replace."""
        times, values = bars.index.as_unit("ns").asi8, bars[list(COLUMNS)].to_numpy()
        known, same = self._compare(series, times, values)
        if same.all():
            return Written(0, 0)
        if newest is not None and moment <= newest:
            recorded, given = utc([newest, moment], "us")
            raise ParamsError(
                f"{series} were recorded at {recorded}; at must be later, was {given}"
            )
        key = [repeat(part) for part in vars(series).values()]
        changed, write = known & ~same, ~same
        replaced = zip(repeat(moment), *key, times[changed].tolist(), strict=False)
        self.db.conn.executemany(_REPLACE, replaced)
        columns = [column.tolist() for column in values[write].T]
        rows = zip(*key, times[write].tolist(), repeat(moment), *columns, strict=False)
        self.db.conn.executemany(_WRITE, rows)
        return Written(int((~known).sum()), int(changed.sum()))

    def _compare(
        self, series: _Series, times: np.ndarray, values: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which bars are stored, and which of those with the same values."""
        known, same = np.zeros(len(times), bool), np.zeros(len(times), bool)
        span = {"first": int(times[0]), "last": int(times[-1])}
        for stored in _chunks(self.db.execute(f"{_NOW} ORDER BY time", vars(series) | span)):
            place = np.searchsorted(times, stored["time"])
            hit = times[place] == stored["time"]
            place, stored = place[hit], stored[hit]
            known[place] = same[place] = True
            for column, name in enumerate(COLUMNS):
                # finite numbers are equal where their bits are; SQLite stores -0.0 as 0.0
                same[place] &= values[place, column] == stored[name]
        return known, same

    def _one_series(self, symbol: str, interval: str, source: str | None) -> _Series:
        """The series that is asked for; without a source the only one stored."""
        if source is not None:
            return _Series(symbol, interval, source)
        sources = self.sources(symbol, interval)
        if not sources:
            raise StoreError(f"no {interval} bars of {symbol} are stored; collect them first")
        if len(sources) > 1:
            found = ", ".join(sources)
            raise StoreError(f"{interval} bars of {symbol} are stored from {found}; name a source")
        return _Series(symbol, interval, sources[0])

    def sources(self, symbol: str, interval: str) -> list[str]:
        """Sources from which bars of a symbol are stored."""
        query = "SELECT source FROM symbols WHERE symbol = ? AND interval = ? ORDER BY source"
        return [source for (source,) in self.db.execute(query, [symbol, interval])]

    def read_bars(
        self,
        symbol: str,
        interval: str,
        *,
        source: str | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
        as_of: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """One symbol's stored bars, as they are now or were at a moment.

        Parameters
        ----------
        symbol, interval : str
            What is wanted.
        source : str, optional
            May be left out where only one source is stored for the symbol.
        start, end : Timestamp, optional
            First and last bar end wanted, both included.
        as_of : Timestamp, optional
            Read the table that the writes up to this moment, itself included, had made.

        Returns
        -------
        DataFrame of shape (n_bars, 5)
            A bar table.

        Raises
        ------
        StoreError
            If no such bars are stored, or several sources are and none is named.
        """
        series = self._one_series(symbol, interval, source)
        asked = vars(series) | limits(start, end)
        if as_of is None:
            cursor = self.db.execute(f"{_NOW} ORDER BY time", asked)
        else:
            cursor = self.db.execute(_THEN, asked | {"at": microseconds(as_of, "as_of")})
        if not (chunks := list(_chunks(cursor))):
            raise StoreError(self._lack(series, start, end, as_of))
        return _frame(chunks)

    def _lack(self, series: _Series, *asked: pd.Timestamp | None) -> str:
        """Why nothing was found."""
        if (span := self.span(series.symbol, series.interval, series.source)) is None:
            others = ", ".join(self.sources(series.symbol, series.interval))
            hint = f"they are stored from {others}" if others else "collect them first"
            return f"no {series} are stored; {hint}"
        words = zip(("from", "to", "as of"), asked, strict=True)
        wanted = " ".join(f"{word} {moment}" for word, moment in words if moment is not None)
        return f"no {series} are stored {wanted}; now they go from {span[0]} to {span[1]}"

    def revisions(self, symbol: str, interval: str, *, source: str | None = None) -> pd.DataFrame:
        """Bars that were replaced, as they were.

        Parameters
        ----------
        symbol, interval, source
            As in `read_bars`.

        Returns
        -------
        DataFrame of shape (n_revisions, 8)
            `time`, the bar's columns, and from when to when they were what was stored:
            `recorded_at` and `replaced_at` (UTC). By time, then by `replaced_at`.

        Raises
        ------
        StoreError
            If no source is named and none or several are stored.
        """
        series = self._one_series(symbol, interval, source)
        found = np.fromiter(self.db.execute(_REVISIONS, vars(series)), _REVISION)
        moments = {name: utc(found[name], "us") for name in ("recorded_at", "replaced_at")}
        columns = {name: found[name] for name in COLUMNS}
        return pd.DataFrame({"time": utc(found["time"], "ns")} | columns | moments)

    def span(
        self, symbol: str, interval: str, source: str
    ) -> tuple[pd.Timestamp, pd.Timestamp] | None:
        """First and last bar end stored of a series, None where there is none."""
        query = f"SELECT first_bar, last_bar FROM symbols WHERE {_SERIES}"  # noqa: S608 - constant
        found = self.db.execute(query, vars(_Series(symbol, interval, source))).fetchone()
        return found and tuple(utc(found, "ns"))

    def note_outages(
        self,
        symbol: str,
        interval: str,
        found: pd.DataFrame,
        *,
        source: str,
        at: pd.Timestamp | None = None,
    ) -> None:
        """Note runs of bars that a source was asked for and does not have.

        Parameters
        ----------
        symbol, interval, source : str
            The series.
        found : DataFrame with columns first, last and bars
            First and last missing bar end and how many they are, as `bars.gaps` gives them. A
            run with the `first` of one already noted takes its place.
        at : Timestamp, optional
            When the source was asked; the present if omitted.

        Raises
        ------
        DataError
            If a column is missing, or a run ends before it begins or has no bars.
        """
        _check_outages(found)
        moment = present() if at is None else microseconds(at, "at")
        ends = [pd.DatetimeIndex(found[k]).as_unit("ns").asi8.tolist() for k in ("first", "last")]
        key = (repeat(symbol), repeat(interval), repeat(source))
        rows = zip(*key, *ends, found["bars"].tolist(), *[repeat(moment)] * 2, strict=False)
        with transaction(self.db):
            self.db.conn.executemany(_NOTE, rows)

    def outages(self, symbol: str, interval: str, *, source: str | None = None) -> pd.DataFrame:
        """Runs of bars that the source is known not to have, but for those that came later.

        Parameters
        ----------
        symbol, interval, source
            As in `read_bars`.

        Returns
        -------
        DataFrame of shape (n_outages, 4)
            `first` and `last` missing bar end, `bars`, how many are missing, and `asked_at`,
            when the source was last asked (UTC). By `first`.

        Raises
        ------
        StoreError
            If no source is named and none or several are stored.
        """
        series = self._one_series(symbol, interval, source)
        found = np.fromiter(self.db.execute(_OUTAGES, vars(series)), _OUTAGE)
        ends = {name: utc(found[name], "ns") for name in ("first", "last")}
        return pd.DataFrame(
            ends | {"bars": found["bars"], "asked_at": utc(found["asked_at"], "us")}
        )
