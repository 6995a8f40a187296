"""Gaps: bars missing from a symbol's calendar, bridged where few, a new start where many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.bars import ALWAYS_OPEN, check_calendar, expected_times, interval_length
from signalkit.errors import ParamsError

MAX_GAP = 10


@dataclass(frozen=True)
class Clock:
    """Which bars follow on each other.

    Parameters
    ----------
    interval : str, optional
        Spacing of the bars; without it every row follows on the one before.
    calendar : str
        "24/7" or an exchange code.
    max_gap : int
        Missing bars in a row that are bridged: the next bar follows on the last one.

    Raises
    ------
    ParamsError
        If the interval or calendar is not known, or `max_gap` is below 0.
    """

    interval: str | None = None
    calendar: str = ALWAYS_OPEN
    max_gap: int = MAX_GAP

    def __post_init__(self) -> None:
        """Refuse at once what would else be found at the first gap of a stream."""
        if self.interval is not None:
            interval_length(self.interval)
        check_calendar(self.calendar)
        if self.max_gap < 0:
            raise ParamsError(f"max_gap must be 0 bars or more, was {self.max_gap}")

    def missing(self, ends: np.ndarray) -> np.ndarray:
        """Number of bars missing before each of some bar ends; none before the first.

        Bars follow on each other where no interval is known.

        Parameters
        ----------
        ends : array of int64, shape (n_bars,)
            Bar ends in nanoseconds since the epoch.
        """
        if self.interval is None or len(ends) < 2:
            return np.zeros(len(ends), dtype=np.int64)
        if self.calendar == ALWAYS_OPEN:
            place = ends // interval_length(self.interval).value
        else:
            first, last = (pd.Timestamp(int(end), tz="UTC") for end in ends[[0, -1]])
            known = expected_times(first, last, self.interval, self.calendar)
            place = known.as_unit("ns").asi8.searchsorted(ends)
        return np.maximum(np.diff(place, prepend=place[0] - 1) - 1, 0)

    def begin(self, end: int) -> int | None:
        """When a bar began that ends at some nanosecond; None where its length is not known."""
        return None if self.interval is None else end - interval_length(self.interval).value

    def runs(self, ends: np.ndarray, last: int | None = None) -> list[tuple[int, int, bool]]:
        """Stretches of bars that follow on each other.

        Parameters
        ----------
        ends : array of int64, shape (n_bars,)
            Bar ends in nanoseconds since the epoch.
        last : int, optional
            End of the bar before the first.

        Returns
        -------
        list of tuple
            First bar, bar after the last, and whether every state starts anew there.
        """
        before = [] if last is None else [last]
        fresh = self.missing(np.r_[before, ends].astype(np.int64))[len(before) :] > self.max_gap
        fresh[:1] |= last is None
        starts = np.union1d([0], np.flatnonzero(fresh)).astype(int)
        edges = zip(starts, (*starts[1:], len(ends)), strict=True)
        return [(int(begin), int(end), bool(fresh[begin])) for begin, end in edges if end > begin]


def gap_table(ends: pd.DatetimeIndex, clock: Clock) -> pd.DataFrame:
    """Gaps of one symbol and what features make of them.

    Parameters
    ----------
    ends : DatetimeIndex of shape (n_bars,)
        Bar ends.
    clock : Clock
        Spacing, calendar and longest gap that is bridged.

    Returns
    -------
    DataFrame indexed by the first bar after each gap
        `missing` bars, `bridged` or not.
    """
    missing = clock.missing(ends.as_unit("ns").asi8)
    after = np.flatnonzero(missing)
    table = pd.DataFrame({"missing": missing[after], "bridged": missing[after] <= clock.max_gap})
    return table.set_axis(ends[after], axis=0).rename_axis("time")
