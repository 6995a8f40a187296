"""What takes away from an answer: bars that are old, bars that lack, columns out of range.

Confidence is multiplied by a share for each: of the horizon that is left, of the newest bars
that are there, of the columns that are inside the ranges of training. Once the bar that would
settle the answer has ended, there is nothing left to predict.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.bars import ALWAYS_OPEN, expected_times, interval_length
from signalkit.inference.results import Flag
from signalkit.inference.shelf import Member
from signalkit.inference.warm import RECENT

# share of columns out of their range above which a model is not asked
MOST_OUTSIDE = 0.5
# horizons after which no calendar's closed days matter
_FAR = 20
# columns that a flag names
_NAMED = 3


def behind(last: pd.Timestamp, at: pd.Timestamp, interval: str, calendar: str) -> int:
    """Bars of the calendar that ended after the newest one and by a moment."""
    if calendar == ALWAYS_OPEN:
        return max(int((at - last) / interval_length(interval)), 0)
    return max(len(expected_times(last, at, interval, calendar)) - 1, 0)


def freshness(late: int, horizon: int, last: pd.Timestamp) -> tuple[float, tuple[Flag, ...]]:
    """Share of the horizon that is left, 0 where the answer is over, and what is told of it."""
    if not late:
        return 1.0, ()
    told = f"{late} bars ended after {last:%Y-%m-%d %H:%M}Z, the newest that is stored"
    if late >= horizon:
        return 0.0, (Flag("too_old", f"{told}; an answer {horizon} bars ahead is over"),)
    return 1 - late / horizon, (Flag("stale", told),)


def completeness(missing: int) -> tuple[float, tuple[Flag, ...]]:
    """Share of the newest bars that are there, and what is told of it."""
    if not missing:
        return 1.0, ()
    told = f"{missing} bars lack among the newest {RECENT}"
    return RECENT / (RECENT + missing), (Flag("gap", told),)


def knew(member: Member, time: pd.Timestamp) -> bool:
    """Whether a model was trained on a bar, or on labels that reach into the bar's outcome."""
    entry, kept = member.entry, member.asked.collection
    if time <= entry.trained_to:
        return True
    if time - entry.trained_to > _FAR * entry.prediction_horizon * interval_length(kept.interval):
        return False
    return behind(entry.trained_to, time, kept.interval, kept.calendar) < entry.prediction_horizon


def outside(member: Member, row: np.ndarray) -> tuple[float, str]:
    """Share of a model's columns out of their range, and their names."""
    if member.hull is None:
        return 0.0, ""
    found = member.hull.outside(row)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return len(found) / len(row), ", ".join(found[:_NAMED]) + more
