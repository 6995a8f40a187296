"""Rolling features: the shape of recent returns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.features.catalog import column, declare
from signalkit.features.kernels import rolling_max, rolling_skewness


@declare(
    "skewness_60", "rolling", warmup=60, unit="third moment", description="skewness of 60 returns"
)
def skewness_60(bars: pd.DataFrame) -> np.ndarray:
    """Skewness of the last 60 log returns; 0 where no price moved."""
    returns = np.diff(np.log(column(bars, "close")), prepend=np.nan)
    return rolling_skewness(returns, 60)


@declare(
    "drawdown_60",
    "rolling",
    warmup=59,
    unit="fraction",
    description="close against the highest close of 60 bars",
)
def drawdown_60(bars: pd.DataFrame) -> np.ndarray:
    """Close over the highest close of 60 bars, less 1; never above 0."""
    close = column(bars, "close")
    return close / rolling_max(close, 60) - 1
