"""Scores of predicted numbers against outcomes, each with its unit.

Every score accepts row weights, which is how the bootstrap repeats rows without copying them.
R² is against a named naive forecast, not against the sample's own mean; IC is Pearson's
correlation and rank IC Spearman's, ties at their mean rank.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from signalkit.metrics.rows import count_rows, total_weight, weighted_mean

REGRESSION = ("mse", "mae", "r2", "ic", "rank_ic")


def regression(
    actual: np.ndarray,
    prediction: np.ndarray,
    *,
    naive: np.ndarray | float = 0.0,
    weight: np.ndarray | None = None,
) -> pd.Series:
    """Scores of predicted numbers against outcomes.

    Parameters
    ----------
    actual, prediction : arrays of shape (n,)
        Outcomes and predictions, in the target's unit.
    naive : array of shape (n,) or float
        Naive forecast that `r2` compares with; 0, the random walk, if omitted.
    weight : array of shape (n,), optional
        Row weights; 1 if omitted.

    Returns
    -------
    Series
        `mse` (squared unit), `mae` (unit), `r2` (1 - mse / mse of the naive forecast),
        `ic`, the Pearson correlation, and `rank_ic`, the Spearman correlation; both NaN
        where one side is constant. A row has its rank among all the rows, whatever weighs
        how much: weights count it, they do not rank it anew.

    Raises
    ------
    DataError
        If shapes differ, a value is not finite, or no row weighs anything.

    Examples
    --------
    >>> regression(np.array([1.0, 2.0, 9.0]), np.array([0.0, 1.0, 2.0]))["rank_ic"]
    np.float64(1.0)
    """
    scored = regressor(actual, prediction, naive=naive)
    return scored(np.ones(len(actual)) if weight is None else np.asarray(weight, dtype=float))


def regressor(
    actual: np.ndarray, prediction: np.ndarray, *, naive: np.ndarray | float = 0.0
) -> Callable[[np.ndarray], pd.Series]:
    """`regression` as a function of row weights; what needs ranking is ranked once."""
    actual, prediction = np.asarray(actual, dtype=float), np.asarray(prediction, dtype=float)
    naive = np.broadcast_to(naive, actual.shape) if np.ndim(naive) == 0 else np.asarray(naive)
    n = count_rows(actual, prediction, naive)
    miss, base = actual - prediction, actual - naive
    columns = (miss**2, np.abs(miss), base**2)
    straight = correlation(actual, prediction)
    ranked = correlation(*(pd.Series(column).rank().to_numpy() for column in (actual, prediction)))

    def scores(weight: np.ndarray) -> pd.Series:
        total = total_weight(weight, n)
        mse, mae, spread = (weighted_mean(column, weight, total) for column in columns)
        r2 = 1 - mse / spread if spread > 0 else np.nan
        return pd.Series((mse, mae, r2, straight(weight), ranked(weight)), index=REGRESSION)

    return scores


def correlation(one: np.ndarray, other: np.ndarray) -> Callable[[np.ndarray], float]:
    """Pearson's correlation as a function of row weights, NaN where a side is constant."""

    def found(weight: np.ndarray) -> float:
        drawn, total = weight > 0, weight.sum()
        if min(np.ptp(one[drawn]), np.ptp(other[drawn])) == 0:
            return np.nan
        a, b = (side - weighted_mean(side, weight, total) for side in (one, other))
        scale = (weight * a**2).sum() * (weight * b**2).sum()
        return float((weight * a * b).sum() / np.sqrt(scale))

    return found
