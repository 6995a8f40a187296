"""Moments between pandas and the database, where they are whole numbers since the epoch.

Bar ends, `published` and `known_at` are nanoseconds; what the store itself notes, when a row
was recorded or replaced, is microseconds: pandas and SQLite agree on both to the last digit.
"""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
import pandas as pd

from signalkit.errors import ParamsError

FIRST, LAST = -(2**63), 2**63 - 1


def present() -> int:
    """The present moment in microseconds since the epoch."""
    return time.time_ns() // 1000


def nanoseconds(moment: pd.Timestamp, name: str) -> int:
    """A moment as nanoseconds since the epoch.

    Parameters
    ----------
    moment : Timestamp
        With a zone; any zone names the same moment.
    name : str
        Argument that gave it, for the message.

    Raises
    ------
    ParamsError
        If it is no Timestamp or has no zone.
    """
    if not isinstance(moment, pd.Timestamp) or moment.tzinfo is None:
        raise ParamsError(f"{name} must be a Timestamp with a zone such as UTC, was {moment!r}")
    return moment.value


def microseconds(moment: pd.Timestamp, name: str) -> int:
    """A moment as whole microseconds since the epoch, what is finer cut off."""
    return nanoseconds(moment, name) // 1000


def limits(start: pd.Timestamp | None, end: pd.Timestamp | None) -> dict[str, int]:
    """First and last nanosecond of a range, both included; None leaves a side open."""
    return {
        "first": FIRST if start is None else nanoseconds(start, "start"),
        "last": LAST if end is None else nanoseconds(end, "end"),
    }


def utc(counts: np.ndarray, unit: Literal["ns", "us"]) -> pd.DatetimeIndex:
    """Counts since the epoch as UTC times."""
    return pd.DatetimeIndex(np.asarray(counts, dtype=f"M8[{unit}]"), tz="UTC")
