"""Price features: returns over spans, distance to averages, place in the range."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.features.catalog import column, declare
from signalkit.features.kernels import rolling_max, rolling_mean, rolling_min


def _log_return(close: np.ndarray, span: int) -> np.ndarray:
    """Log return over the last `span` bars."""
    out = np.full(len(close), np.nan)
    out[span:] = np.log(close[span:] / close[:-span])
    return out


@declare("return_1", "price", warmup=1, unit="fraction", description="log return of the bar")
def return_1(bars: pd.DataFrame) -> np.ndarray:
    """Log return of the last bar."""
    return _log_return(column(bars, "close"), 1)


@declare("return_5", "price", warmup=5, unit="fraction", description="log return of 5 bars")
def return_5(bars: pd.DataFrame) -> np.ndarray:
    """Log return of the last 5 bars."""
    return _log_return(column(bars, "close"), 5)


@declare("return_21", "price", warmup=21, unit="fraction", description="log return of 21 bars")
def return_21(bars: pd.DataFrame) -> np.ndarray:
    """Log return of the last 21 bars."""
    return _log_return(column(bars, "close"), 21)


@declare(
    "mean_distance_50", "price", warmup=49, unit="fraction", description="close over mean, log"
)
def mean_distance_50(bars: pd.DataFrame) -> np.ndarray:
    """Log of close over its mean of 50 bars."""
    close = column(bars, "close")
    return np.log(close / rolling_mean(close, 50))


@declare(
    "range_position_20",
    "price",
    warmup=19,
    unit="share",
    description="close between the lowest low (0) and highest high (1) of 20 bars",
)
def range_position_20(bars: pd.DataFrame) -> np.ndarray:
    """Place of the close in the range of 20 bars; 0.5 where the range is nothing."""
    top, bottom = rolling_max(column(bars, "high"), 20), rolling_min(column(bars, "low"), 20)
    width = top - bottom
    flat = width == 0
    return np.where(flat, 0.5, (column(bars, "close") - bottom) / np.where(flat, 1.0, width))


@declare(
    "close_in_bar",
    "price",
    warmup=0,
    unit="share",
    description="close between the bar's low (0) and high (1)",
)
def close_in_bar(bars: pd.DataFrame) -> np.ndarray:
    """Place of the close in its own bar; 0.5 where the bar has no range."""
    low = column(bars, "low")
    width = column(bars, "high") - low
    flat = width == 0
    return np.where(flat, 0.5, (column(bars, "close") - low) / np.where(flat, 1.0, width))
