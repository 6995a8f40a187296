"""Lagged features: what single earlier bars did."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.features.catalog import column, declare


def _lagged_return(bars: pd.DataFrame, lag: int) -> np.ndarray:
    """Log return of the bar `lag` bars ago."""
    close = column(bars, "close")
    out = np.full(len(close), np.nan)
    out[lag + 1 :] = np.log(close[1:-lag] / close[: -lag - 1])
    return out


@declare("return_lag_1", "lagged", warmup=2, unit="fraction", description="return 1 bar ago")
def return_lag_1(bars: pd.DataFrame) -> np.ndarray:
    """Log return of the bar before."""
    return _lagged_return(bars, 1)


@declare("return_lag_2", "lagged", warmup=3, unit="fraction", description="return 2 bars ago")
def return_lag_2(bars: pd.DataFrame) -> np.ndarray:
    """Log return of the bar two before."""
    return _lagged_return(bars, 2)
