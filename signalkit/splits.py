"""Walk-forward folds: train on what was settled, test on what came after.

A label that settles at or after the first bar of a test window is dropped from the training
rows before it (purge on `known_at`). Nothing is shuffled. `check_fold` proves a fold.

Source: López de Prado, Advances in Financial Machine Learning (2018), section 7.4.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from signalkit.errors import DataError, LeakError, ParamsError


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
        clock = times.unique().sort_values().asi8
        settled = pd.DatetimeIndex(known_at).as_unit(times.unit)
        known = np.where(settled.isna(), np.iinfo(np.int64).max, settled.asi8)
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


def check_fold(
    train: np.ndarray,
    test: np.ndarray,
    times: pd.DatetimeIndex,
    known_at: pd.Series | pd.DatetimeIndex,
    *,
    fold: int = 0,
) -> None:
    """Refuse a fold that trains on what its test window settles.

    Parameters
    ----------
    train, test : arrays of int
        Positions into `times`.
    times, known_at
        As in `WalkForward.split`.
    fold : int
        Number for the message.

    Raises
    ------
    LeakError
        If a training row is settled, or lies, at or after the first test time, or has no
        settled label at all.
    """
    start = times[test].min()
    known = pd.DatetimeIndex(known_at)[train]
    unsettled = known.isna()
    if unsettled.any():
        raise LeakError(f"fold {fold} trains on {int(unsettled.sum())} rows without a label")
    late = (known >= start) | (times[train] >= start)
    if late.any():
        first = f"{times[train][np.argmax(late)]:%Y-%m-%d %H:%M}Z"
        raise LeakError(
            f"fold {fold} trains on {int(late.sum())} rows settled inside its test window"
            f" (first: {first}); purge on known_at"
        )
