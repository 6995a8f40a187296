"""Scores of predicted numbers against outcomes, each with its unit.

Every score accepts row weights, which is how the bootstrap repeats rows without copying them.
R² is against a named naive forecast, not against the sample's own mean; IC is Pearson's
correlation and rank IC Spearman's, ties at their mean rank.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.metrics import tally
from signalkit.metrics.rows import Scorer, count_rows

_ROUNDING = 1e-12
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


class Regressor(Scorer):
    """Scores of some rows as a function of their weights; what needs ranking is ranked once.

    Parameters
    ----------
    actual, prediction, naive
        As in `regression`.
    groups : array of shape (n,), optional
        Rows among which a correlation is taken, such as a symbol; the mean over groups counts.
    """

    names = REGRESSION

    def __init__(
        self,
        actual: np.ndarray,
        prediction: np.ndarray,
        *,
        naive: np.ndarray | float = 0.0,
        groups: np.ndarray | None = None,
    ) -> None:
        actual, prediction = np.asarray(actual, dtype=float), np.asarray(prediction, dtype=float)
        naive = np.broadcast_to(naive, actual.shape) if np.ndim(naive) == 0 else np.asarray(naive)
        n = count_rows(actual, prediction, naive)
        super().__init__(n)
        self._group = np.zeros(n, dtype=np.int64)
        if groups is not None:
            self._group = pd.factorize(np.asarray(groups))[0].astype(np.int64)
        miss = actual - prediction
        columns = [miss**2, np.abs(miss), (actual - naive) ** 2]
        pair = pd.DataFrame({"actual": actual, "prediction": prediction})
        for sides in (pair, pair.groupby(self._group).rank()):
            # around their mean, for a large one would eat the digits
            middle = sides - sides.groupby(self._group).transform("mean")
            a, b = middle.to_numpy().T
            columns += [a, b, a * a, b * b, a * b]
        self._columns = np.column_stack(columns)

    def drawn(self, counts: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The scores of many draws at once, see `Scorer`."""
        sums = tally.weighted(counts, place, self._group, self._columns)
        mse, mae, base = (sums[:, :, 1:4].sum(axis=1) / sums[:, :, :1].sum(axis=1)).T
        r2 = np.full(len(mse), np.nan)
        np.divide(mse, base, out=r2, where=base > 0)
        weight, parts = sums[:, :, 0], (sums[:, :, 4:9], sums[:, :, 9:14])
        orders = [_mean_correlation(weight, part) for part in parts]
        return np.column_stack([mse, mae, 1 - r2, *orders])


def regressor(
    actual: np.ndarray,
    prediction: np.ndarray,
    *,
    naive: np.ndarray | float = 0.0,
    groups: np.ndarray | None = None,
) -> Regressor:
    """`regression` as a function of row weights; what needs ranking is ranked once."""
    return Regressor(actual, prediction, naive=naive, groups=groups)


def _mean_correlation(weight: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Mean over the groups of a draw of Pearson's correlation; NaN where a side is constant."""
    there = weight > 0
    a, b, aa, bb, ab = np.moveaxis(sums / np.where(there, weight, 1.0)[:, :, None], 2, 0)
    spreads = [
        # what is left of a constant is its rounding
        np.where(square - mean**2 > _ROUNDING * square, square - mean**2, np.nan)
        for mean, square in ((a, aa), (b, bb))
    ]
    found = np.clip((ab - a * b) / np.sqrt(spreads[0] * spreads[1]), -1.0, 1.0)
    return np.where(there, found, 0.0).sum(axis=1) / there.sum(axis=1)
