"""What a stream was told: rows that grow in number, and queues of those that are ahead."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

import numpy as np

# the time of what has not happened
NEVER = int(np.iinfo(np.int64).max)
_ROOM = 64


class Grown:
    """An array that rows are added to; `n` may be set back, `view` is what is there."""

    def __init__(self, kind: type, *shape: int) -> None:
        self.n = 0
        self._room = np.empty((_ROOM, *shape), dtype=kind)

    @property
    def view(self) -> np.ndarray:
        """The rows, to read or write in place."""
        return self._room[: self.n]

    def add(self, row: object) -> None:
        """One row more."""
        self._reserve(1)
        self._room[self.n] = row
        self.n += 1

    def extend(self, rows: np.ndarray) -> None:
        """Several rows more."""
        self._reserve(len(rows))
        self._room[self.n : self.n + len(rows)] = rows
        self.n += len(rows)

    def _reserve(self, more: int) -> None:
        """Make room."""
        if self.n + more > len(self._room):
            room = np.empty((2 * (self.n + more), *self._room.shape[1:]), self._room.dtype)
            room[: self.n] = self.view
            self._room = room


class Queue:
    """Rows in order of a time; those before `done` were taken."""

    def __init__(self, times: np.ndarray) -> None:
        ahead = np.flatnonzero(times < NEVER)
        self._items = sorted(zip(times[ahead].tolist(), ahead.tolist(), strict=True))
        self.done = 0

    def add(self, time: int, row: int) -> None:
        """One row more."""
        bisect.insort(self._items, (time, row))

    def peek(self, until: int) -> list[int]:
        """Rows not taken of times up to one."""
        end = bisect.bisect_right(self._items, (until, NEVER), lo=self.done)
        return [row for _, row in self._items[self.done : end]]

    def take(self, until: int) -> np.ndarray:
        """Rows of times up to one, which then are taken."""
        found = self.peek(until)
        self.done += len(found)
        return np.array(found, dtype=np.int64)


class Rows:
    """Rows in the order in which they were told, each of one symbol and time.

    `at` is the place of its time in the clock, `due` that of the first time that knows its
    outcome, `count` how much it counts among overlapping ones, `mixed` what members make.
    """

    def __init__(self, n_members: int, n_shares: int) -> None:
        self.values = Grown(float, n_members, n_shares)
        self.mixed, self.apart = Grown(float, n_shares), Grown(float)
        self.actual, self.count = Grown(float), Grown(float)
        self.time, self.known = Grown(np.int64), Grown(np.int64)
        self.at, self.due = Grown(np.int64), Grown(np.int64)
        self.fold, self._code = Grown(np.int64), Grown(np.int64)
        self.symbols: list[str] = []
        self._places: dict[tuple[str, int], int] = {}
        self._rank = np.empty(0, dtype=np.int64)

    def find(self, symbol: str, time: int) -> int | None:
        """Number of a row, None where there is none."""
        return self._places.get((symbol, time))

    def symbol(self, row: int) -> str:
        """Symbol of a row."""
        return self.symbols[self._code.view[row]]

    def add(self, symbol: str, time: int, said: np.ndarray, fold: int) -> int:
        """A row more; its number."""
        if symbol not in self.symbols:
            self.symbols.append(symbol)
            self._rank = np.argsort(np.argsort(self.symbols))
        row = self._places[symbol, time] = self.time.n
        told = {self.values: said, self.time: time, self.fold: fold, self.known: NEVER}
        told |= {self._code: self.symbols.index(symbol), self.at: -1, self.due: NEVER}
        for column in (self.mixed, self.apart, self.actual, self.count):
            told[column] = np.nan
        for column, value in told.items():
            column.add(value)
        return row

    def fill(self, row: int, said: np.ndarray) -> bool:
        """Take what members said that say something; whether that changes the row."""
        before = self.values.view[row]
        after = np.where(np.isnan(said), before, said)
        changed = not np.array_equal(before, after, equal_nan=True)
        self.values.view[row] = after
        return changed

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        """Some rows by symbol and time."""
        if len(rows) < 2:
            return rows
        return rows[np.lexsort((self.time.view[rows], self._rank[self._code.view[rows]]))]

    def by_symbol(self, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Rows of each symbol, in the order in which they are given."""
        codes = self._code.view[rows]
        for code in np.unique(codes).tolist():
            yield self.symbols[code], rows[codes == code]
