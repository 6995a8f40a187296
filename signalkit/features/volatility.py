"""Volatility features: how much prices move, and whether more than before."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.features.catalog import column, declare
from signalkit.volatility import parkinson, realised


@declare(
    "realised_20",
    "volatility",
    warmup=20,
    unit="fraction per bar",
    description="standard deviation of 20 log returns",
)
def realised_20(bars: pd.DataFrame) -> np.ndarray:
    """Realised volatility of 20 bars."""
    return realised(column(bars, "close"), 20)


@declare(
    "parkinson_20",
    "volatility",
    warmup=19,
    unit="fraction per bar",
    description="range volatility of 20 bars",
)
def parkinson_20(bars: pd.DataFrame) -> np.ndarray:
    """Parkinson's volatility of 20 bars."""
    return parkinson(column(bars, "high"), column(bars, "low"), 20)


@declare(
    "volatility_ratio_5_60",
    "volatility",
    warmup=60,
    unit="ratio",
    description="realised volatility of 5 bars over that of 60",
)
def volatility_ratio_5_60(bars: pd.DataFrame) -> np.ndarray:
    """Realised volatility of 5 bars over that of 60; 1 where nothing moved in 60."""
    close = column(bars, "close")
    short, long = realised(close, 5), realised(close, 60)
    flat = long == 0
    return np.where(flat, 1.0, short / np.where(flat, 1.0, long))
