"""Volatility estimators that features, labels and sizing share.

Each is per bar, not annualised, over a trailing window that ends with the bar itself, and
NaN until the window is full. Windows are summed anew at every bar, so one wild bar leaves
no trace once it has left the window.

Sources: Parkinson, The Extreme Value Method (1980), eq. 7 with the mean over n bars.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from signalkit.errors import ParamsError


def _check_span(span: int, least: int) -> None:
    """A window must be long enough for its estimator."""
    if span < least:
        raise ParamsError(f"a volatility window must be at least {least} bars, was {span}")


@njit(cache=True)
def rolling_std(values: np.ndarray, span: int, ddof: int) -> np.ndarray:
    """Standard deviation of each full trailing window, NaN before it."""
    out = np.full(len(values), np.nan)
    for i in range(span - 1, len(values)):
        mean = 0.0
        for j in range(i - span + 1, i + 1):
            mean += values[j]
        mean /= span
        total = 0.0
        for j in range(i - span + 1, i + 1):
            total += (values[j] - mean) ** 2
        out[i] = math.sqrt(total / (span - ddof))
    return out


@njit(cache=True)
def _rolling_root_mean(values: np.ndarray, span: int) -> np.ndarray:
    """Square root of the mean of each full trailing window."""
    out = np.full(len(values), np.nan)
    for i in range(span - 1, len(values)):
        total = 0.0
        for j in range(i - span + 1, i + 1):
            total += values[j]
        out[i] = math.sqrt(total / span)
    return out


def realised(close: np.ndarray, span: int) -> np.ndarray:
    """Standard deviation of log returns over the last `span` returns (ddof 1).

    Parameters
    ----------
    close : array of shape (n_bars,)
        Close prices.
    span : int
        Window in bars, at least 2.

    Returns
    -------
    array of shape (n_bars,)
        Fraction per bar; NaN for the first `span` bars.

    Raises
    ------
    ParamsError
        If `span` is less than 2.

    Examples
    --------
    >>> realised(np.array([1.0, 2.0, 1.0]), 2).round(4).tolist()
    [nan, nan, 0.9803]
    """
    _check_span(span, 2)
    return rolling_std(np.diff(np.log(close), prepend=np.nan), span, 1)


def parkinson(high: np.ndarray, low: np.ndarray, span: int) -> np.ndarray:
    """Range volatility of the last `span` bars, from highs and lows alone.

    sqrt(sum of ln(high / low)^2 / (4 span ln 2)).

    Parameters
    ----------
    high, low : arrays of shape (n_bars,)
        Extremes of each bar.
    span : int
        Window in bars, at least 1.

    Returns
    -------
    array of shape (n_bars,)
        Fraction per bar; NaN for the first `span - 1` bars.
    """
    _check_span(span, 1)
    return _rolling_root_mean(np.log(high / low) ** 2 / (4 * math.log(2)), span)
