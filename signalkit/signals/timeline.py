"""One clock for several tables: their rows side by side, and when each outcome is known.

Outcomes stand at the first time of the clock at or after their `known_at`; what is read at t
stands at or before it. The order in which tables hold their rows makes no difference.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.signals.regimes import REGIMES, UNKNOWN

KEYS = ("symbol", "time")
KNOWN_REGIMES = (*REGIMES, UNKNOWN)
# codes and values of symbols, and of times
_Coded = list[tuple[np.ndarray, pd.Index]]


@dataclass(frozen=True)
class Rows:
    """(symbol, time) of several tables together, sorted: `at` are places in `clock`."""

    symbols: pd.Index
    clock: pd.DatetimeIndex
    key: np.ndarray

    @property
    def at(self) -> np.ndarray:
        """Place of each row's time in the clock."""
        return self.key % len(self.clock)

    def keys(self, index: pd.MultiIndex, name: str) -> np.ndarray:
        """Keys of the rows of a table, -1 for symbols and times that are nowhere here."""
        return self._of(_codes(index, name))

    def _of(self, coded: _Coded) -> np.ndarray:
        """Keys of rows whose symbols and times are coded."""
        (symbol, symbols), (time, times) = coded
        symbol = self.symbols.get_indexer(symbols)[symbol]
        time = row_of(self.clock.asi8, times.asi8)[time]
        return np.where((symbol < 0) | (time < 0), -1, symbol * len(self.clock) + time)

    def places(self, index: pd.MultiIndex, name: str) -> np.ndarray:
        """Row here of each row of a table, -1 where there is none; each at most once.

        Raises
        ------
        DataError
            If the table has a row twice.
        """
        place = row_of(self.key, self.keys(index, name))
        if np.bincount(place[place >= 0], minlength=1).max(initial=0) > 1:
            twice = index[index.duplicated()][0]
            raise DataError(f"{name} have two rows at {twice}; drop the repeated row")
        return place


def row_of(known: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Place of each key among sorted ones, -1 where it is not among them."""
    if np.array_equal(known, key):
        return np.arange(len(key))
    place = np.minimum(np.searchsorted(known, key), max(len(known) - 1, 0))
    return np.where(known[place] == key, place, -1) if len(known) else np.full(len(key), -1)


def rows_of(*tables: tuple[pd.MultiIndex, str]) -> Rows:
    """The rows of some tables together, in order of symbol and time."""
    used = [_codes(index, name) for index, name in tables]
    symbols = [found[0][1] for found in used]
    symbols = symbols[0].append(symbols[1:]).unique().sort_values()
    times = _sorted_unique([found[1][1].asi8 for found in used])
    clock = pd.DatetimeIndex(times.view("M8[ns]"), tz="UTC")
    rows = Rows(symbols, clock, np.empty(0, dtype=np.int64))
    return Rows(symbols, clock, _sorted_unique([rows._of(found) for found in used]))


def _sorted_unique(keys: Sequence[np.ndarray]) -> np.ndarray:
    """Keys of several arrays sorted, each once."""
    # stable, because that is quick where the arrays are sorted already
    key = np.sort(np.concatenate(keys), kind="stable")
    return key[np.r_[True, np.diff(key) > 0]] if len(key) else key


def _codes(index: pd.MultiIndex, name: str) -> _Coded:
    """Symbols and times of an index that has them first: codes, and the values that occur."""
    if list(index.names[:2]) != list(KEYS):
        raise DataError(f"{name} are indexed by symbol and time, was {list(index.names)}")
    found = []
    for level, codes in zip(index.levels[:2], index.codes[:2], strict=True):
        if codes.min(initial=0) < 0:
            raise DataError(f"row {int(np.argmin(codes))} of {name} has no {level.name}")
        there = np.zeros(len(level), dtype=bool)
        there[codes] = True
        place, values = np.cumsum(there) - 1, level if there.all() else level[there]
        if level.name == "time":
            if not isinstance(values, pd.DatetimeIndex) or str(values.tz) != "UTC":
                raise DataError(f"{name} need bar ends in UTC, had times of {values.dtype}")
            values = values.as_unit("ns")
        found.append((place[codes], values))
    return found


@dataclass(frozen=True)
class Outcomes:
    """What became of rows: `side` -1, 0 or 1, NaN where it is not known.

    `known` is the place in the clock of the first time at or after `known_at`, past the end
    where that is never. `count` is how much a row counts among those whose labels overlap.
    """

    side: np.ndarray
    known: np.ndarray
    count: np.ndarray


def outcomes_of(
    rows: Rows, tables: Sequence[tuple[pd.DataFrame, np.ndarray]], says: str
) -> Outcomes:
    """Outcomes of rows by `label` and `known_at` of some tables, given with their places.

    Raises
    ------
    DataError
        If two tables, or two rows of one, tell different outcomes.
    LeakError
        If a label is known at or before its own bar.

    Notes
    -----
    A row counts one over the rows of its symbol after its time and up to its `known_at` (at
    least 1), and one over the symbols at its time, so that evidence grows by about one a
    horizon. A row without a label or a `known_at` never settles.
    """
    label = np.full(len(rows.key), np.nan)
    known = np.full(len(rows.key), np.iinfo(np.int64).max)
    for table, place in tables:
        _write(table, place, label, known)
    settled, times = np.isfinite(label), rows.clock.asi8
    early = settled & (known <= times[rows.at])
    if early.any():
        row = int(np.argmax(early))
        place = (rows.symbols[rows.key[row] // len(times)], rows.clock[rows.at[row]])
        raise LeakError(f"the label at {place} is known at or before its bar; remake known_at")
    side = np.where(settled, _side(label, says), np.nan)
    return Outcomes(side, np.searchsorted(times, known, side="left"), _counts(rows, known))


def _counts(rows: Rows, known: np.ndarray) -> np.ndarray:
    """How much each row counts among those whose labels overlap with its own."""
    # keys are sorted by symbol and time: those of the symbol up to known_at lie before this one
    until = rows.key - rows.at + np.searchsorted(rows.clock.asi8, known, side="right")
    spanned = np.searchsorted(rows.key, until, side="left") - np.arange(len(known)) - 1
    together = np.bincount(rows.at, minlength=len(rows.clock))[rows.at]
    return 1.0 / (np.maximum(spanned, 1) * together)


def _write(table: pd.DataFrame, place: np.ndarray, label: np.ndarray, known: np.ndarray) -> None:
    """Enter settled outcomes of a table at their rows; two of one row must be the same."""
    given = table["label"].to_numpy(dtype=float)
    known_at = pd.DatetimeIndex(table["known_at"]).as_unit("ns")
    settled = np.flatnonzero((place >= 0) & np.isfinite(given) & known_at.notna())
    at, told, when = place[settled], given[settled], known_at.asi8[settled]
    fresh = np.isnan(label[at])
    label[at[fresh]], known[at[fresh]] = told[fresh], when[fresh]
    differs = (label[at] != told) | (known[at] != when)
    if differs.any():
        row = table.index[settled[int(np.argmax(differs))]]
        raise DataError(f"outcomes differ at {row}; give the labels that models were to predict")


def _side(label: np.ndarray, says: str) -> np.ndarray:
    """The side that would have been right: 1 buy, -1 sell, 0 neither."""
    if says == "direction":
        return np.sign(label)
    pays = np.where(label > 0, 1.0, -1.0)
    return pays if says == "long" else -pays


@njit(cache=True)
def discounted(added, decay):  # noqa: ANN001, ANN201 - numba
    """Running sums down the rows, each step of which `decay` of the sum before is left."""
    out = added.copy()
    for row in range(1, len(out)):
        for m in range(out.shape[1]):
            out[row, m] += decay * out[row - 1, m]
    return out


def decay_of(half_life: float | None, place: str) -> float:
    """What is left of a sum after one bar.

    Raises
    ------
    ParamsError
        If the half-life is not above 0.
    """
    if half_life is not None and not 0 < half_life < np.inf:
        raise ParamsError(f"half_life of {place} must be above 0 bars, was {half_life}")
    return 1.0 if half_life is None else 0.5 ** (1 / half_life)


def regime_codes(rows: Rows, regime: pd.Series) -> np.ndarray:
    """Place of each row's regime among calm, normal, wild and unknown.

    Raises
    ------
    DataError
        If a regime has another name, or a row is there twice.
    """
    values, names = pd.factorize(regime, sort=False)
    known = [KNOWN_REGIMES.index(n) if n in KNOWN_REGIMES else -1 for n in names]
    if -1 in known:
        raise DataError(
            f"a regime is {names[known.index(-1)]!r}; they are {', '.join(KNOWN_REGIMES)}"
        )
    code = np.array([*known, len(KNOWN_REGIMES) - 1], dtype=np.int64)[values]
    out = np.full(len(rows.key), len(KNOWN_REGIMES) - 1, dtype=np.int64)
    place = rows.places(regime.index, "regimes")
    out[place[place >= 0]] = code[place >= 0]
    return out


def place_of(name: str, known: Sequence[str], where: str) -> int:
    """Place of a name among those known.

    Raises
    ------
    ParamsError
        If it is not there, with the near match.
    """
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ParamsError(f"{where}: there is no {name!r}; {hint}")
    return list(known).index(name)
