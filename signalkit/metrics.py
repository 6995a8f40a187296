"""Scores of predictions and of returns. Fractions unless the name gives a unit.

Classification takes probabilities of sell, hold, buy in that order. Every score accepts row
weights, which is how the bootstrap repeats rows without copying them.

Definitions: AUC one-vs-rest with ties counted half, macro over the classes present;
precision, recall and F1 macro over the classes present in outcomes; log-loss natural,
probabilities clipped at the float epsilon. Sharpe is mean / std (ddof 1) x sqrt(periods); Sortino
divides by sqrt(mean(min(r, 0)^2)) over all observations; drawdown counts the starting wealth
as a peak; Calmar is CAGR over the absolute maximum drawdown.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from signalkit.errors import DataError

CLASSES = (-1, 0, 1)
CLASSIFICATION = ("accuracy", "precision", "recall", "f1", "auc", "auc_direction", "log_loss")
REGRESSION = ("mse", "mae", "r2", "ic")
# scores of which less is better
LESS_IS_BETTER = frozenset({"log_loss", "mse", "mae"})
_CLIP = np.finfo(float).eps


def _rows(*columns: np.ndarray) -> int:
    """Number of rows; all columns must agree and be finite."""
    lengths = {len(column) for column in columns}
    if len(lengths) > 1 or 0 in lengths:
        raise DataError(f"scores need columns of one length above 0, were {sorted(lengths)}")
    for column in columns:
        broken = ~np.isfinite(column).reshape(len(column), -1).all(axis=1)
        if broken.any():
            raise DataError(f"a scored value in row {int(np.argmax(broken))} is not finite")
    return lengths.pop()


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def classification(
    actual: np.ndarray, proba: np.ndarray, *, weight: np.ndarray | None = None
) -> pd.Series:
    """Scores of class probabilities against outcomes.

    Parameters
    ----------
    actual : array of shape (n,)
        Outcomes -1, 0 or 1.
    proba : array of shape (n, 3)
        Probabilities of -1, 0, 1.
    weight : array of shape (n,), optional
        Row weights; 1 if omitted.

    Returns
    -------
    Series
        `accuracy precision recall f1 auc auc_direction log_loss`. The predicted class is
        the likeliest, the first of equals. `auc_direction` leaves out the outcomes that are
        hold and asks whether p_buy - p_sell tells buys from sells; how much prices will
        move, which is easier to predict than whereto, does not help it. An AUC is NaN
        where one class is all there is.

    Raises
    ------
    DataError
        If shapes differ, a value is not finite, or an outcome is no class.

    Examples
    --------
    >>> classification(np.array([-1, 1]), np.array([[.8, .1, .1], [.1, .2, .7]]))["accuracy"]
    np.float64(1.0)
    """
    scored = classifier(actual, proba)
    return scored(np.ones(len(actual)) if weight is None else np.asarray(weight, dtype=float))


def classifier(actual: np.ndarray, proba: np.ndarray) -> Callable[[np.ndarray], pd.Series]:
    """`classification` as a function of row weights; what needs sorting is sorted once."""
    actual, proba = np.asarray(actual, dtype=float), np.asarray(proba, dtype=float)
    n = _rows(actual, proba)
    if proba.shape != (n, len(CLASSES)):
        raise DataError(
            f"probabilities need the shape ({n}, 3): sell, hold, buy; was {proba.shape}"
        )
    strange = ~np.isin(actual, CLASSES)
    if strange.any():
        raise DataError(f"an outcome is {actual[strange][0]:g}; classes are -1, 0, 1")
    truth = (actual[:, None] == np.array(CLASSES)).astype(float)
    chosen = np.eye(len(CLASSES))[proba.argmax(axis=1)]
    surprise = -np.log(np.clip(proba[truth > 0], _CLIP, 1.0))
    ranked = [_auc(truth[:, k] > 0, proba[:, k]) for k in range(len(CLASSES))]
    moved = actual != 0
    direction = _auc(truth[moved, 2] > 0, (proba[:, 2] - proba[:, 0])[moved])

    def scores(weight: np.ndarray) -> pd.Series:
        if len(weight) != n:
            raise DataError(f"{len(weight)} weights do not fit {n} rows")
        confusion = truth.T @ (chosen * weight[:, None])
        hits, support, called = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
        present = support > 0
        precision, recall = _share(hits, called)[present], _share(hits, support)[present]
        values = (
            hits.sum() / weight.sum(),
            precision.mean(),
            recall.mean(),
            _share(2 * precision * recall, precision + recall).mean(),
            np.mean([ranked[k](weight) for k in np.flatnonzero(present)]),
            direction(weight[moved]),
            (weight @ surprise) / weight.sum(),
        )
        return pd.Series(values, index=CLASSIFICATION)

    return scores


def _auc(truth: np.ndarray, score: np.ndarray) -> Callable[[np.ndarray], float]:
    """Share of (true, false) pairs that the score orders rightly, ties one half, by weights."""
    values, tied = np.unique(score, return_inverse=True)

    def area(weight: np.ndarray) -> float:
        positive = np.bincount(tied, weight * truth, minlength=len(values))
        negative = np.bincount(tied, weight * ~truth, minlength=len(values))
        pairs = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative
        return float((positive * (below + negative / 2)).sum() / pairs) if pairs else np.nan

    return area


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
        `mse` (squared unit), `mae` (unit), `r2` (1 - mse / mse of the naive forecast) and
        `ic`, the Pearson correlation, NaN where one side is constant.

    Raises
    ------
    DataError
        If shapes differ or a value is not finite.
    """
    actual, prediction = np.asarray(actual, dtype=float), np.asarray(prediction, dtype=float)
    naive = np.broadcast_to(naive, actual.shape) if np.ndim(naive) == 0 else np.asarray(naive)
    weight = np.ones(len(actual)) if weight is None else np.asarray(weight, dtype=float)
    _rows(actual, prediction, naive, weight)
    share = weight / weight.sum()
    mse = share @ (actual - prediction) ** 2
    base = share @ (actual - naive) ** 2
    a, b = actual - share @ actual, prediction - share @ prediction
    moves = all(np.ptp(column[weight > 0]) > 0 for column in (actual, prediction))
    values = (
        mse,
        share @ np.abs(actual - prediction),
        1 - mse / base if base > 0 else np.nan,
        (share @ (a * b)) / np.sqrt((share @ a**2) * (share @ b**2)) if moves else np.nan,
    )
    return pd.Series(values, index=REGRESSION)


def drawdown(returns: np.ndarray) -> np.ndarray:
    """Wealth against its highest so far, less 1, after each return; starts from 1."""
    wealth = np.cumprod(1 + np.asarray(returns, dtype=float))
    return wealth / np.maximum.accumulate(np.maximum(wealth, 1.0)) - 1


def _annual(total: float, power: float) -> float:
    """Compound a total return; more than a float holds is infinite."""
    if total <= -1:
        return -1.0
    growth = np.log1p(total) * power
    return float(np.expm1(growth)) if growth < np.log(np.finfo(float).max) else np.inf


def returns(returns: np.ndarray, periods_per_year: float) -> pd.Series:
    """Statistics of a series of per-bar returns.

    Parameters
    ----------
    returns : array of shape (n,)
        Fractional returns, one a bar.
    periods_per_year : float
        Bars in a year, from `bars.bars_per_year`.

    Returns
    -------
    Series
        `return_total`, `return_annual` (CAGR), `volatility_annual`, `sharpe_annual`,
        `sortino_annual`, `max_drawdown`, `calmar`, `periods`. A ratio whose divisor is 0
        is NaN.

    Raises
    ------
    DataError
        If there are fewer than 2 returns, one is not finite, or one is below -1.
    """
    values = np.asarray(returns, dtype=float)
    if _rows(values) < 2:
        raise DataError("statistics of returns need at least 2 of them")
    if (values < -1).any():
        raise DataError(f"a return of {values.min():g} loses more than everything")
    total = float(np.prod(1 + values) - 1)
    annual = _annual(total, periods_per_year / len(values))
    spread = values.std(ddof=1) if np.ptp(values) > 0 else 0.0
    downside = np.sqrt(np.mean(np.minimum(values, 0) ** 2))
    worst = float(min(drawdown(values).min(), 0.0))
    root = np.sqrt(periods_per_year)
    names = {
        "return_total": total,
        "return_annual": annual,
        "volatility_annual": spread * root,
        "sharpe_annual": values.mean() / spread * root if spread > 0 else np.nan,
        "sortino_annual": values.mean() / downside * root if downside > 0 else np.nan,
        "max_drawdown": worst,
        "calmar": annual / -worst if worst < 0 else np.nan,
        "periods": float(len(values)),
    }
    return pd.Series(names)
