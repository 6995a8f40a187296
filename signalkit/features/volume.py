"""Volume features: against its own past, so that the unit of volume does not matter."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.features.catalog import column, declare
from signalkit.features.kernels import rolling_mean


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part / whole, 1 where nothing was traded in either."""
    dry = whole == 0
    return np.where(dry, 1.0, part / np.where(dry, 1.0, whole))


@declare("volume_ratio_20", "volume", warmup=19, unit="ratio", description="volume over mean of 20")
def volume_ratio_20(bars: pd.DataFrame) -> np.ndarray:
    """Volume over its mean of 20 bars."""
    volume = column(bars, "volume")
    return _ratio(volume, rolling_mean(volume, 20))


@declare(
    "volume_trend_5_20",
    "volume",
    warmup=19,
    unit="ratio",
    description="mean volume of 5 bars over that of 20",
)
def volume_trend_5_20(bars: pd.DataFrame) -> np.ndarray:
    """Mean volume of 5 bars over that of 20."""
    volume = column(bars, "volume")
    return _ratio(rolling_mean(volume, 5), rolling_mean(volume, 20))
