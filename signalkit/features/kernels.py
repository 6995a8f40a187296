"""Compiled loops that features share. Windows are summed anew at every bar.

Recursions (Wilder, EMA) start with the simple mean of their first window, as TA-Lib's do.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True)
def rolling_mean(values: np.ndarray, span: int) -> np.ndarray:
    """Mean of each full trailing window."""
    out = np.full(len(values), np.nan)
    for i in range(span - 1, len(values)):
        total = 0.0
        for j in range(i - span + 1, i + 1):
            total += values[j]
        out[i] = total / span
    return out


@njit(cache=True)
def rolling_max(values: np.ndarray, span: int) -> np.ndarray:
    """Largest value of each full trailing window."""
    out = np.full(len(values), np.nan)
    for i in range(span - 1, len(values)):
        out[i] = np.max(values[i - span + 1 : i + 1])
    return out


@njit(cache=True)
def rolling_min(values: np.ndarray, span: int) -> np.ndarray:
    """Smallest value of each full trailing window."""
    out = np.full(len(values), np.nan)
    for i in range(span - 1, len(values)):
        out[i] = np.min(values[i - span + 1 : i + 1])
    return out


@njit(cache=True)
def rolling_skewness(values: np.ndarray, span: int) -> np.ndarray:
    """Third standardised moment of each full trailing window, 0 where nothing moves."""
    out = np.full(len(values), np.nan)
    means = rolling_mean(values, span)
    for i in range(span - 1, len(values)):
        second, third = 0.0, 0.0
        for j in range(i - span + 1, i + 1):
            gap = values[j] - means[i]
            second += gap * gap
            third += gap * gap * gap
        if math.isnan(second):
            continue
        out[i] = 0.0 if second == 0.0 else third / span / (second / span) ** 1.5
    return out


@njit(cache=True)
def recursion(values: np.ndarray, first: int, span: int, share: float) -> np.ndarray:
    """out[i] = out[i-1] + share (values[i] - out[i-1]), seeded by a mean.

    The seed is the mean of values[first : first + span], at position first + span - 1.
    """
    out = np.full(len(values), np.nan)
    if len(values) < first + span:
        return out
    state = 0.0
    for i in range(first, first + span):
        state += values[i]
    state /= span
    out[first + span - 1] = state
    for i in range(first + span, len(values)):
        state += share * (values[i] - state)
        out[i] = state
    return out
