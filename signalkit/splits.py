"""Folds: train on what was settled, test on what no training label has seen.

`WalkForward` trains on the past alone; what a study believes comes from it. `PurgedKFold` and
`CombinatorialPurged` train on what came after a test block as well: evidence beside it, never
predictions that anything is traded on.

One rule for all: a training label is dropped when its closed interval [time, known_at] touches
the interval from the first time to the last known_at of a contiguous test block, whatever symbol
it belongs to. Nothing is shuffled. `check_fold` proves a fold.

Source: López de Prado, Advances in Financial Machine Learning (2018), sections 7.4 and 12.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from signalkit.errors import DataError, LeakError, ParamsError

# known_at of a label that has not settled
_NEVER = np.iinfo(np.int64).max


class WalkForward:
    """Windows that move forward in time: train, then a gap, then test.

    Parameters
    ----------
    train : int
        Length of the training window in bars; the least length if `expanding`.
    test : int
        Length of a test window in bars.
    step : int, optional
        Bars between the starts of two test windows, at least `test`; `test` if omitted.
    expanding : bool
        Whether every training window starts at the first bar.
    gap : int
        Bars left out before each test window.

    Raises
    ------
    ParamsError
        If a length is not positive, the gap is negative, or test windows would overlap.
    """

    def __init__(
        self,
        train: int,
        test: int,
        *,
        step: int | None = None,
        expanding: bool = False,
        gap: int = 0,
    ) -> None:
        self.train, self.test, self.gap = train, test, gap
        self.step = test if step is None else step
        self.expanding = expanding
        if min(train, test) < 1 or gap < 0:
            raise ParamsError(
                f"train and test must be at least 1 bar and gap at least 0, were {train}, {test}"
                f" and {gap}"
            )
        if self.step < test:
            raise ParamsError(
                f"a step of {step} makes test windows of {test} bars overlap; set step to {test}"
                " or more"
            )

    def split(
        self, times: pd.DatetimeIndex, known_at: pd.Series | pd.DatetimeIndex
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions of the training and test rows of each fold.

        Windows count distinct times from the first; the bars that remain after the last
        whole test window are added to it.

        Parameters
        ----------
        times : DatetimeIndex of shape (n_rows,)
            Bar end of each row; the rows of a panel repeat a time.
        known_at : Series or DatetimeIndex of shape (n_rows,)
            When each row's label settles; NaT where it has not.

        Yields
        ------
        train, test : arrays of int
            Training rows have a label known before the first test time.

        Raises
        ------
        DataError
            If there are too few bars for one fold.
        """
        clock, known = np.unique(times.asi8), _settled(times, known_at)
        for start, first, stop in self.windows(len(clock)):
            begin, end = clock[start], clock[first - self.gap - 1]
            inside = (times.asi8 >= begin) & (times.asi8 <= end)
            train = np.flatnonzero(inside & (known < clock[first]))
            test = np.flatnonzero((times.asi8 >= clock[first]) & (times.asi8 <= clock[stop - 1]))
            yield train, test

    def windows(self, n_bars: int) -> Iterator[tuple[int, int, int]]:
        """First training bar, first test bar and the bar after the last test bar, of each fold.

        The training window ends `gap` bars before the first test bar.
        """
        lead = self.train + self.gap
        if n_bars < lead + self.test:
            raise DataError(
                f"{n_bars} bars are too few for one fold: train {self.train} + gap {self.gap} +"
                f" test {self.test} bars; shorten a window or add bars"
            )
        starts = range(lead, n_bars - self.test + 1, self.step)
        for first in starts:
            stop = n_bars if first == starts[-1] else first + self.test
            yield (0 if self.expanding else first - lead), first, stop


class CombinatorialPurged:
    """Every choice of test folds among folds of equal length, training on the rest.

    Parameters
    ----------
    n_folds : int
        Folds of `n_times // n_folds` distinct times each, counted from the first; the
        remainder goes to the last.
    n_test_folds : int
        Folds tested together, from 1 to `n_folds - 1`.
    embargo : int
        Bars left out after a contiguous test block, counted from its last known_at on. What
        looks back from there, a feature or a recurrent model, still sees the block.

    Raises
    ------
    ParamsError
        If the numbers of folds make no sense or the embargo is negative.

    Notes
    -----
    Every fold is tested by C(n_folds - 1, n_test_folds - 1) splits, so the tests recombine
    into as many whole histories, the paths. Much of what a split trains on came after its
    test: a path is no track record.

    Source: López de Prado (2018), section 12.4; the embargo as in snippet 7.3.
    """

    def __init__(self, n_folds: int, n_test_folds: int, *, embargo: int = 0) -> None:
        self.n_folds, self.n_test_folds, self.embargo = n_folds, n_test_folds, embargo
        if n_folds < 2 or embargo < 0:
            raise ParamsError(
                f"n_folds must be at least 2 and embargo at least 0 bars, were {n_folds} and"
                f" {embargo}"
            )
        if not 1 <= n_test_folds < n_folds:
            raise ParamsError(
                f"n_test_folds must be from 1 to {n_folds - 1} of {n_folds} folds, was"
                f" {n_test_folds}"
            )

    @property
    def n_splits(self) -> int:
        """Number of splits, C(n_folds, n_test_folds)."""
        return comb(self.n_folds, self.n_test_folds)

    @property
    def n_paths(self) -> int:
        """Number of paths, C(n_folds - 1, n_test_folds - 1)."""
        return comb(self.n_folds - 1, self.n_test_folds - 1)

    def split(
        self, times: pd.DatetimeIndex, known_at: pd.Series | pd.DatetimeIndex
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions of the training and test rows of each split, in the order of `paths`.

        Parameters
        ----------
        times : DatetimeIndex of shape (n_rows,)
            Bar end of each row; the rows of a panel repeat a time.
        known_at : Series or DatetimeIndex of shape (n_rows,)
            When each row's label settles; NaT where it has not.

        Yields
        ------
        train, test : arrays of int
            Rows without a settled label are tested but train nothing.

        Raises
        ------
        DataError
            If there are fewer bars than folds, or a label settles before its own bar.
        """
        known = _settled(times, known_at)
        _check_order(times, known)
        clock, bar = np.unique(times.asi8, return_inverse=True)
        folds = self.folds(times)
        for chosen in combinations(range(self.n_folds), self.n_test_folds):
            tested = np.isin(folds, chosen)
            free = ~tested & (known < _NEVER)
            for begin, end in _blocks(clock, bar[tested], known[tested]):
                later = np.searchsorted(clock, end, side="right") + self.embargo
                free &= (known < begin) | (bar >= later)
            yield np.flatnonzero(free), np.flatnonzero(tested)

    def folds(self, times: pd.DatetimeIndex) -> np.ndarray:
        """Fold of each row, an array of int of shape (n_rows,).

        Raises
        ------
        DataError
            If there are fewer bars than folds.
        """
        clock, bar = np.unique(times.asi8, return_inverse=True)
        if len(clock) < self.n_folds:
            raise DataError(
                f"{len(clock)} bars are too few for {self.n_folds} folds; ask for fewer folds"
            )
        return np.minimum(bar // (len(clock) // self.n_folds), self.n_folds - 1)

    def paths(self) -> pd.DataFrame:
        """Which path each tested fold of each split belongs to.

        Returns
        -------
        DataFrame of shape (n_splits * n_test_folds, 3)
            `split`, `fold` and `path`, numbers from 0, ordered by split and fold. A path
            has every fold once: path j takes a fold from the j-th split that tests it.

        Examples
        --------
        >>> table = CombinatorialPurged(3, 2).paths()
        >>> table[table["path"] == 1][["split", "fold"]].values.tolist()
        [[1, 0], [2, 1], [2, 2]]
        """
        chosen = combinations(range(self.n_folds), self.n_test_folds)
        pairs = [(split, fold) for split, folds in enumerate(chosen) for fold in folds]
        table = pd.DataFrame(pairs, columns=["split", "fold"])
        return table.assign(path=table.groupby("fold").cumcount())


class PurgedKFold(CombinatorialPurged):
    """Each fold tested once, training on the folds before and after it.

    Parameters
    ----------
    n_folds, embargo
        As in `CombinatorialPurged`, of which this is the case of one test fold and one path.

    Notes
    -----
    Source: López de Prado (2018), section 7.4.
    """

    def __init__(self, n_folds: int, *, embargo: int = 0) -> None:
        super().__init__(n_folds, 1, embargo=embargo)


def _settled(times: pd.DatetimeIndex, known_at: pd.Series | pd.DatetimeIndex) -> np.ndarray:
    """When each label settles, in the unit of the times; `_NEVER` where it has not."""
    if len(times) != len(known_at):
        raise DataError(f"{len(known_at)} values of known_at do not fit {len(times)} times")
    settled = pd.DatetimeIndex(known_at).as_unit(times.unit)
    return np.where(settled.isna(), _NEVER, settled.asi8)


def _check_order(times: pd.DatetimeIndex, known: np.ndarray) -> None:
    """Refuse a label that is known before its own bar has ended: its interval is empty."""
    early = known < times.asi8
    if early.any():
        raise DataError(
            f"{int(early.sum())} labels settle before their own bar (first:"
            f" {times[early].min():%Y-%m-%d %H:%M}Z); known_at must not be earlier than time"
        )


def _blocks(clock: np.ndarray, bar: np.ndarray, known: np.ndarray) -> Iterator[tuple[int, int]]:
    """First time and last known_at of each contiguous test block, from the bars of its rows."""
    bars = np.unique(bar)
    for block in np.split(bars, np.flatnonzero(np.diff(bars) > 1) + 1):
        inside = (bar >= block[0]) & (bar <= block[-1]) & (known < _NEVER)
        yield clock[block[0]], known[inside].max(initial=clock[block[-1]])


def check_fold(
    train: np.ndarray,
    test: np.ndarray,
    times: pd.DatetimeIndex,
    known_at: pd.Series | pd.DatetimeIndex,
    *,
    fold: int = 0,
    need: int | None = None,
) -> None:
    """Refuse a fold that trains on what its test rows settle.

    Parameters
    ----------
    train, test : arrays of int
        Positions into `times`.
    times, known_at
        As in `WalkForward.split`.
    fold : int
        Number for the message.
    need : int, optional
        Omitted, the fold must walk forward: training ends before the test begins. A number
        of bars lets training follow a test block (`PurgedKFold`, `CombinatorialPurged`) after
        an embargo of at least so many. Ask for the longest feature window plus the model's
        lookback; 0 asks for the purge alone.

    Raises
    ------
    LeakError
        If a training row has no settled label, or its label's interval touches a test block
        (walking forward: is settled, or lies, at or after the first test time), or the
        embargo is shorter than needed: the message says by how much.
    ParamsError
        If `need` is negative.
    """
    known = _settled(times, known_at)
    unsettled = int((known[train] == _NEVER).sum())
    if unsettled:
        raise LeakError(f"fold {fold} trains on {unsettled} rows without a label")
    if need is None:
        start = times.asi8[test].min()
        late = (known[train] >= start) | (times.asi8[train] >= start)
        _refuse(times[train][late], fold, "its test window")
        return
    if need < 0:
        raise ParamsError(f"need must be at least 0 bars, was {need}")
    clock, bar = np.unique(times.asi8, return_inverse=True)
    for begin, end in _blocks(clock, bar[test], known[test]):
        touching = (known[train] >= begin) & (times.asi8[train] <= end)
        _refuse(times[train][touching], fold, "a test block")
        later, free = bar[train][times.asi8[train] > end], np.searchsorted(clock, end, "right")
        _check_embargo(later.min(initial=len(clock)) - free if len(later) else need, need, fold)


def _refuse(rows: pd.DatetimeIndex, fold: int, where: str) -> None:
    """Raise if a fold has such training rows."""
    if len(rows):
        raise LeakError(
            f"fold {fold} trains on {len(rows)} rows settled inside {where}"
            f" (first: {rows[0]:%Y-%m-%d %H:%M}Z); purge on known_at"
        )


def _check_embargo(found: int, need: int, fold: int) -> None:
    """Raise if fewer bars than needed are left out after a test block."""
    if found < need:
        raise LeakError(
            f"fold {fold} leaves {found} bars out after a test block; what it trains on looks"
            f" {need} bars back, so its embargo is {need - found} bars short"
        )
