"""Technical indicators as TA-Lib defines them, made scale-free.

RSI and ATR use Wilder's smoothing seeded by the simple mean; MACD's fast average starts
where the slow one does; Bollinger bands use ddof 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.features.catalog import column, declare
from signalkit.features.kernels import (
    recursion,
    rolling_max,
    rolling_mean,
    rolling_min,
)
from signalkit.volatility import rolling_std


@declare("rsi_14", "technical", warmup=14, unit="0 to 1", description="relative strength index")
def rsi_14(bars: pd.DataFrame) -> np.ndarray:
    """RSI over 14 bars, divided by 100; 0 where no price moved, as TA-Lib has it."""
    change = np.diff(column(bars, "close"), prepend=np.nan)
    up = recursion(np.maximum(change, 0.0), 1, 14, 1 / 14)
    down = recursion(np.maximum(-change, 0.0), 1, 14, 1 / 14)
    moved = up + down
    return np.where(moved == 0, 0.0, up / np.where(moved == 0, 1.0, moved))


@declare(
    "macd_histogram",
    "technical",
    warmup=33,
    unit="fraction of close",
    description="MACD 12, 26 less its signal 9, over close",
)
def macd_histogram(bars: pd.DataFrame) -> np.ndarray:
    """MACD line less signal line, as a fraction of the close."""
    close = column(bars, "close")
    fast, slow = recursion(close, 14, 12, 2 / 13), recursion(close, 0, 26, 2 / 27)
    line = fast - slow
    return (line - recursion(line, 25, 9, 2 / 10)) / close


@declare(
    "bollinger_position_20",
    "technical",
    warmup=19,
    unit="band widths",
    description="close between the lower (0) and upper (1) band, 2 deviations of 20 bars",
)
def bollinger_position_20(bars: pd.DataFrame) -> np.ndarray:
    """Place of the close between the bands; 0.5 where the bands meet."""
    close = column(bars, "close")
    width = 4 * rolling_std(close, 20, 0)
    flat = rolling_max(close, 20) == rolling_min(close, 20)
    return 0.5 + np.where(flat, 0.0, close - rolling_mean(close, 20)) / np.where(flat, 1.0, width)


@declare("williams_r_14", "technical", warmup=13, unit="-1 to 0", description="Williams %R")
def williams_r_14(bars: pd.DataFrame) -> np.ndarray:
    """Williams %R over 14 bars, divided by 100; 0 where the range is nothing."""
    top, bottom = rolling_max(column(bars, "high"), 14), rolling_min(column(bars, "low"), 14)
    width = top - bottom
    flat = width == 0
    return np.where(flat, 0.0, (column(bars, "close") - top) / np.where(flat, 1.0, width))


@declare(
    "atr_14",
    "technical",
    warmup=14,
    unit="fraction of close",
    description="average true range over close",
)
def atr_14(bars: pd.DataFrame) -> np.ndarray:
    """Average true range over 14 bars, as a fraction of the close."""
    high, low, close = (column(bars, name) for name in ("high", "low", "close"))
    before = np.r_[np.nan, close[:-1]]
    true_range = np.maximum(high, before) - np.minimum(low, before)
    return recursion(true_range, 1, 14, 1 / 14) / close
