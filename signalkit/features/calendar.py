"""Calendar features of the bar's end, as points on a circle."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.features.catalog import declare

_DAYS = 7
_MONTHS = 12


def _angle(count: np.ndarray, period: int) -> np.ndarray:
    """Angle of a count that repeats every `period`."""
    return 2 * np.pi * np.asarray(count, dtype=float) / period


@declare("weekday_sine", "calendar", warmup=0, unit="-1 to 1", description="day of week, sine")
def weekday_sine(bars: pd.DataFrame) -> np.ndarray:
    """Sine of the day of the week, Monday at 0."""
    return np.sin(_angle(bars.index.day_of_week, _DAYS))


@declare("weekday_cosine", "calendar", warmup=0, unit="-1 to 1", description="day of week, cosine")
def weekday_cosine(bars: pd.DataFrame) -> np.ndarray:
    """Cosine of the day of the week, Monday at 0."""
    return np.cos(_angle(bars.index.day_of_week, _DAYS))


@declare("month_sine", "calendar", warmup=0, unit="-1 to 1", description="month, sine")
def month_sine(bars: pd.DataFrame) -> np.ndarray:
    """Sine of the month, January at 0."""
    return np.sin(_angle(bars.index.month - 1, _MONTHS))


@declare("month_cosine", "calendar", warmup=0, unit="-1 to 1", description="month, cosine")
def month_cosine(bars: pd.DataFrame) -> np.ndarray:
    """Cosine of the month, January at 0."""
    return np.cos(_angle(bars.index.month - 1, _MONTHS))
