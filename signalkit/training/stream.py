"""The ensemble bar by bar: what `combine` and the conformal sets make of a growing table.

A stream is told of predictions when they are made and of outcomes when they are known, and
answers for one new row: the weights, the pooled prediction, its set or interval. Each answer has
the bits that `combine`, `prediction_sets` and `prediction_intervals` give of the table of all
rows told so far and the new one, by the steps of `training.steps`, taken once a time.

Times are nanoseconds since 1970, UTC. What comes late, a row or an outcome of a time that was
passed, is taken in: then the steps are taken again from the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.metrics import CLASSES
from signalkit.training import steps
from signalkit.training.conformal import Followed, check_settings, missed_by, taken
from signalkit.training.contract import CLASSIFICATION_TARGETS
from signalkit.training.ensemble import check_asked
from signalkit.training.members import side_by_side, without_failures
from signalkit.training.stacking import Stacker, stacker
from signalkit.training.told import NEVER, Grown, Queue, Rows


@dataclass(frozen=True)
class Joint:
    """What several models say of one bar together.

    `shares` are those of -1, 0, 1, None for numbers, as are `confidence` and `taken`, the
    classes in the set; `low` and `high` are None for classes. `weights` are the members', before
    any drops out. `threshold`, `alpha` and `n` are those of `prediction_sets`: the threshold is
    infinite while too few have settled. Everything of a row at which all members failed is NaN.
    """

    value: float
    shares: np.ndarray | None
    confidence: float | None
    disagreement: float
    weights: np.ndarray
    threshold: float
    alpha: float
    n: int
    taken: np.ndarray | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class _Done:
    """Where a stream was: enough to go back there."""

    times: int
    settled: int
    waited: int
    lost: np.ndarray
    held: tuple
    stackers: frozenset[int]


class Stream:
    """Several models' predictions of one target joined as bars come.

    Parameters
    ----------
    members : sequence of str
        Models to join, in the order of the arrays that are told.
    target : str
        Target variable; whether it is a class.
    method, half_life, least, strength
        As in `combine`.
    coverage, rate, window, settled : float, float, int, int
        `coverage`, `rate`, `window` and `least` of `prediction_sets`.

    Raises
    ------
    ParamsError
        As `combine` and `prediction_sets`.

    Examples
    --------
    >>> stream = Stream(["ONE", "TWO"], "target_return")
    >>> stream.put("A", 1, np.array([[2.0], [3.0]]))
    >>> stream.settle("A", 1, known_at=2, actual=1.0)
    >>> found = stream.ask("A", 2, np.array([[1.0], [1.0]]))
    >>> found.weights.round(3).tolist(), found.value
    ([0.8, 0.2], 1.0)
    """

    def __init__(
        self,
        members: Sequence[str],
        target: str,
        *,
        method: str = "weighted",
        half_life: float | None = None,
        least: float = 100.0,
        strength: float = 1.0,
        coverage: float = 0.9,
        rate: float = 0.01,
        window: int = 500,
        settled: int = 100,
    ) -> None:
        check_asked(members, method, half_life=half_life, least=least, strength=strength)
        check_settings(coverage, window, settled, rate)
        self.members, self.target, self._method = list(members), target, method
        self._decay = 1.0 if half_life is None else 0.5 ** (1 / half_life)
        self._stacks = {"least": least, "strength": strength}
        self._settings = (1 - coverage, window, settled, float(rate))
        self._classifies = target in CLASSIFICATION_TARGETS
        self._rows = Rows(len(self.members), len(CLASSES) if self._classifies else 1)
        self._begin()

    def _begin(self) -> None:
        """Take no step yet, and have every row ahead."""
        rows = self._rows
        self._made = Queue(rows.time.view)
        self._waiting = Queue(rows.known.view)
        self._clock, self._held = Grown(np.int64), Followed(self._settings)
        self._beside, self._seen = Grown(np.int64), dict[str, Grown]()
        self._settled = Grown(np.int64)
        self._lost = np.zeros(len(self.members))
        self._stackers: dict[int, Stacker | None] = {}
        self._firsts: dict[int, int] = {}
        self._open: tuple[int, frozenset[str], _Done] | None = None
        self._late = self._changed = False

    @property
    def symbols(self) -> list[str]:
        """Symbols of the rows told so far."""
        return self._rows.symbols

    @property
    def _passed(self) -> int:
        """The newest time that is done with, before any that is only asked about."""
        done = self._clock.n if self._open is None else self._open[2].times
        return int(self._clock.view[done - 1]) if done else -NEVER

    def extend(self, predictions: pd.DataFrame) -> None:
        """Tell of many rows at once.

        Parameters
        ----------
        predictions : DataFrame indexed by (symbol, time, model_id)
            As `combine` takes them, settled or not.

        Raises
        ------
        DataError, LeakError
            As `combine`.
        """
        cells = side_by_side(predictions, self.members)
        if cells.classifies != self._classifies:
            raise ParamsError(f"the stream joins predictions of {self.target}")
        mine = predictions.iloc[cells.row]
        settled = np.isfinite(cells.actual) & mine["known_at"].notna().to_numpy()
        known = np.where(settled, pd.DatetimeIndex(mine["known_at"]).as_unit("ns").asi8, NEVER)
        times = cells.index.get_level_values("time").as_unit("ns").asi8.tolist()
        symbols, folds = cells.index.get_level_values("symbol").tolist(), mine["fold"].tolist()
        for i, (symbol, time) in enumerate(zip(symbols, times, strict=True)):
            self.put(symbol, time, cells.values[i], fold=folds[i])
            if known[i] < NEVER:
                self.settle(symbol, time, known_at=int(known[i]), actual=float(cells.actual[i]))

    def put(self, symbol: str, time: int, said: np.ndarray, *, fold: int = 0) -> None:
        """Tell of a row: what members predicted there.

        Parameters
        ----------
        symbol, time : str, int
            Its key.
        said : array of shape (m, 3) or (m, 1)
            Each member's probabilities of -1, 0, 1, or its number; NaN where it has none, which
            leaves what was told of it before.
        fold : int
            Its fold, which stacking reads.
        """
        row = self._rows.find(symbol, time)
        said = without_failures(np.array(said, dtype=float)[None])[0]
        if row is None:
            row = self._rows.add(symbol, time, said, fold)
            self._made.add(time, row)
            self._late |= time <= self._passed
        elif self._rows.fill(row, said):
            self._late |= time <= self._passed
        else:
            return
        self._changed = True

    def settle(self, symbol: str, time: int, *, known_at: int, actual: float) -> None:
        """Tell of the outcome of a row that was put.

        Parameters
        ----------
        symbol, time : str, int
            Its key.
        known_at : int
            End of the bar that settled it.
        actual : float
            The class or number that came.

        Raises
        ------
        DataError
            If there is no such row, it has another outcome already, or this one is no class.
        LeakError
            If the label is known at or before its own bar.
        """
        row, place = self._rows.find(symbol, time), (symbol, pd.Timestamp(time, tz="UTC"))
        if row is None:
            raise DataError(f"an outcome of {place} is told, but no prediction was")
        if known_at <= time:
            raise LeakError(f"the label at {place} is known at or before its bar; remake known_at")
        if not np.isfinite(actual) or (self._classifies and actual not in CLASSES):
            raise DataError(f"the outcome of {place} is {actual:g}, which none can be")
        told = self._rows.known.view[row], self._rows.actual.view[row]
        if told == (known_at, actual):
            return
        if told[0] != NEVER:
            raise DataError(f"models do not agree on actual at {place}; predict the same labels")
        self._rows.known.view[row], self._rows.actual.view[row] = known_at, actual
        self._waiting.add(known_at, row)
        self._late |= known_at <= self._passed
        self._changed = True

    def ask(
        self,
        symbol: str,
        time: int,
        said: np.ndarray,
        *,
        fold: int = 0,
        beside: Iterable[str] = (),
    ) -> Joint:
        """The answer for one row, without keeping the row.

        Parameters
        ----------
        symbol, time : str, int
            Its key.
        said : array of shape (m, 3) or (m, 1)
            As in `put`.
        fold : int
            Its fold; a stacker is fitted at the first time at which its fold is asked about.
        beside : iterable of str
            Other symbols that are predicted at this time too, put already or not yet.

        Returns
        -------
        Joint
            What `combine` and the conformal functions say of the row in a table of all rows put
            of times before, and one at this time of each of these symbols.
        """
        self._reach(int(time), frozenset((symbol, *beside)))
        now = self._clock.n - 1
        said = without_failures(np.array(said, dtype=float)[None])
        weights, at = self._weight[None], np.zeros(1, dtype=np.int64)
        shares, apart = steps.mixed(said, weights, at)
        shares = self._stacked(shares, said, np.array([fold]), np.array([now]))
        return self._joint(shares, apart, self._held.last())

    def _joint(
        self, shares: np.ndarray, apart: np.ndarray, held: tuple[float, float, int]
    ) -> Joint:
        """The answer of one row's mixture."""
        told = {"disagreement": float(apart[0]), "weights": self._weight.copy()}
        told |= dict(zip(("threshold", "alpha", "n"), held, strict=True))
        if not self._classifies:
            reach = max(held[0], 0.0)
            low, high = float(shares[0, 0] - reach), float(shares[0, 0] + reach)
            return Joint(float(shares[0, 0]), None, None, **told, low=low, high=high)
        failed = np.isnan(shares[0, 0])
        value = np.nan if failed else float(CLASSES[shares[0].argmax()])
        sure = float(shares[0].max() * (1 - apart[0]))
        inside = np.zeros(3, dtype=bool) if failed else taken(shares, np.array(held[:1]))[0]
        return Joint(value, shares[0], sure, **told, taken=inside)

    def _reach(self, time: int, there: frozenset[str]) -> None:
        """Take every step up to a time, at which some symbols have a row."""
        if self._open is not None:
            if self._open[:2] == (time, there) and not self._changed:
                return
            self._back(self._open[2])
        if self._late or time <= self._passed:
            self._begin()
        self._changed = False
        before = self._made.take(time - 1)
        if len(before):
            self._advance(before, np.unique(self._rows.time.view[before]))
        done = self._here()
        for symbol in there | {self._rows.symbol(row) for row in self._made.peek(time)}:
            self._seen.setdefault(symbol, Grown(np.int64)).add(time)
        self._advance(np.empty(0, dtype=np.int64), np.array([time]))
        self._open = time, there, done

    def _here(self) -> _Done:
        """Where the stream is."""
        return _Done(
            times=self._clock.n,
            settled=self._settled.n,
            waited=self._waiting.done,
            lost=self._lost.copy(),
            held=self._held.here(),
            stackers=frozenset(self._stackers),
        )

    def _back(self, done: _Done) -> None:
        """Go back to before the time that was only asked about."""
        time = self._clock.view[-1]
        for seen in self._seen.values():
            if seen.n and seen.view[-1] == time:
                seen.n -= 1
        self._clock.n = self._beside.n = done.times
        self._settled.n, self._waiting.done = done.settled, done.waited
        self._lost, self._open = done.lost, None
        self._held.back(done.held)
        self._stackers = {fold: self._stackers[fold] for fold in done.stackers}

    def _advance(self, made: np.ndarray, times: np.ndarray) -> None:
        """Take the steps of new times, at which some rows were made."""
        rows, first = self._rows, self._clock.n
        self._clock.extend(times)
        made = rows.in_order(made)
        at = np.searchsorted(times, rows.time.view[made])
        rows.at.view[made] = first + at
        self._beside.extend(np.bincount(at, minlength=len(times)))
        for symbol, own in rows.by_symbol(made):
            self._seen.setdefault(symbol, Grown(np.int64)).extend(rows.time.view[own])
        settled = rows.in_order(self._waiting.take(int(times[-1])))
        due = np.searchsorted(times, rows.known.view[settled])
        settled, due = settled[order := np.argsort(due, kind="stable")], due[order]
        self._count(settled)
        rows.due.view[settled] = first + due
        self._settled.extend(settled)
        weights = self._weights(settled, np.searchsorted(due, np.arange(len(times) + 1)))
        self._weight = weights[-1]
        if len(made):
            said = rows.values.view[made]
            folds = rows.fold.view[made]
            for fold in np.unique(folds).tolist():
                self._firsts.setdefault(fold, int(first + at[folds == fold].min()))
            shares, rows.apart.view[made] = steps.mixed(said, weights, at)
            rows.mixed.view[made] = self._stacked(shares, said, folds, first + at)
        self._follow(settled, times)

    def _count(self, settled: np.ndarray) -> None:
        """How much rows that settle count."""
        rows = self._rows
        for row in settled.tolist():
            seen, together = self._seen[rows.symbol(row)], self._beside.view[rows.at.view[row]]
            when = rows.time.view[row], rows.known.view[row]
            rows.count.view[row] = steps.counted(seen.view, *when, together)

    def _weights(self, settled: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Weights of the members at each new time."""
        rows = self._rows
        if self._method == "mean":
            return np.full((len(starts) - 1, len(self.members)), 1 / len(self.members))
        told = (rows.values.view, rows.actual.view, rows.count.view)
        return steps.weights(self._lost, starts, settled, *told, self._decay)

    def _follow(self, settled: np.ndarray, times: np.ndarray) -> None:
        """Take the conformal state on to new times, by rows that settle there."""
        rows = self._rows
        mine = settled[~np.isnan(rows.mixed.view[settled, 0])]
        known = rows.known.view[mine]
        mine, known = mine[order := np.argsort(known, kind="stable")], known[order]
        score = missed_by(rows.mixed.view[mine], rows.actual.view[mine])
        self._held.advance(times, known, score, rows.at.view[mine])

    def _stacked(
        self, shares: np.ndarray, said: np.ndarray, folds: np.ndarray, at: np.ndarray
    ) -> np.ndarray:
        """Rows' mixtures, stacked where their fold has a stacker and no member failed."""
        if self._method != "stacking":
            return shares
        whole = ~np.isnan(said).any(axis=(1, 2))
        for fold in np.unique(folds[whole]).tolist():
            if fold not in self._stackers:
                first = self._firsts.get(fold, int(at[folds == fold].min()))
                self._stackers[fold] = self._fitted(first)
            found, mine = self._stackers[fold], whole & (folds == fold)
            if found is not None:
                shares[mine] = found.values(said[mine])
        return shares

    def _fitted(self, first: int) -> Stacker | None:
        """The stacker of a fold, of what had settled by its first time."""
        rows = self._rows
        settled = self._settled.view
        settled = settled[rows.due.view[settled] <= first]
        settled = rows.in_order(settled[~np.isnan(rows.values.view[settled]).any(axis=(1, 2))])
        weight = rows.count.view[settled] * self._decay ** (first - rows.due.view[settled])
        said, actual = rows.values.view[settled], rows.actual.view[settled]
        return stacker(said, actual, weight, **self._stacks)
