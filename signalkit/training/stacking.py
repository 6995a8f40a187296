"""Stacking: a regression on the members' predictions, fitted on settled ones only.

A stacker is fitted again at each fold's first time, on what has `known_at` at or before it, and
predicts that fold. It learns which member to believe about which class; where members share a
bias it can undo it, which no weighted mean can.

Classes: multinomial logistic regression with an L2 penalty on the members' log-probabilities.
Numbers: ridge regression on the members' predictions. Columns are scaled by what is settled, a
row weighs what it counts, and intercepts are not penalised.

Sources: Wolpert, Stacked Generalization (1992); Breiman, Stacked Regressions (1996); Ting and
Witten, Issues in Stacked Generalization (1999), section 3, for probabilities as inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from signalkit.metrics import CLASSES

# a share of 0 has no logarithm; far below what any member means to say
_CLIP = 1e-6
_STILL = 1e-12


def stack(
    members: np.ndarray,
    actual: np.ndarray,
    when: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    counts: np.ndarray,
    decay: float = 1.0,
    least: float = 100.0,
    strength: float = 1.0,
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Members' predictions stacked, fold by fold.

    Parameters
    ----------
    members : array of shape (n, m, k)
        Predictions of m members: k = 3 probabilities of -1, 0, 1, or k = 1 number; NaN where a
        member failed.
    actual : array of shape (n,)
        Outcomes; read only where they are settled.
    when : tuple of three int arrays of shape (n,)
        Position in time of each row, position of the first time that knows its outcome, and
        its fold.
    counts : array of shape (n,)
        How much each row counts among overlapping ones.
    decay : float
        What is left of a count one time after its outcome was known.
    least : float
        Sum of counts, so decayed, that a stacker needs.
    strength : float
        L2 penalty of the coefficients of scaled columns, against the sum of losses over rows
        that count 1.

    Returns
    -------
    tuple of array of shape (n, k) and dict
        Stacked predictions, NaN in folds without a stacker and where a member failed; and by
        fold the members' shares of the stacker's absolute coefficients.

    Notes
    -----
    A fold has no stacker while less than `least` is settled, or while a class that members
    give a share has not been seen.
    """
    at, known, fold = when
    whole = ~np.isnan(members).any(axis=(1, 2))
    out, shares = np.full((len(members), members.shape[2]), np.nan), {}
    for number in np.unique(fold):
        mine = fold == number
        first = at[mine].min()
        settled, rows = whole & (known <= first), mine & whole
        weight = counts[settled] * decay ** (first - known[settled])
        if not rows.any():
            continue
        fitted = stacker(members[settled], actual[settled], weight, least=least, strength=strength)
        if fitted is not None:
            out[rows] = fitted.values(members[rows])
            shares[int(number)] = fitted.shares(members.shape[1])
    return out, shares


def stacker(
    members: np.ndarray,
    actual: np.ndarray,
    weight: np.ndarray,
    *,
    least: float = 100.0,
    strength: float = 1.0,
) -> Stacker | None:
    """The stacker of one fold, None where it has none.

    Parameters
    ----------
    members : array of shape (n, m, k)
        Predictions that had settled by the fold's first time, of all members, by symbol and time.
    actual, weight : arrays of shape (n,)
        Their outcomes, and how much each counts.
    least, strength : float
        As in `stack`.
    """
    if not len(members) or weight.sum() < least:
        return None
    if members.shape[2] > 1 and _unseen(members, actual):
        return None
    model = _model(members.shape[2] > 1, strength)
    return _fitted(_inputs(members), actual, weight, model)


def _inputs(members: np.ndarray) -> np.ndarray:
    """What a stacker reads, shape (n, m x k): logarithms of shares, or numbers."""
    if members.shape[2] > 1:
        members = np.log(np.clip(members, _CLIP, 1.0))
    return members.reshape(len(members), -1)


def _unseen(members: np.ndarray, actual: np.ndarray) -> bool:
    """Whether members give a share to a class that never came, or only one class came."""
    seen = np.isin(CLASSES, actual)
    return bool(seen.sum() < 2 or (members.max(axis=(0, 1)) > 0)[~seen].any())


@dataclass(frozen=True)
class Stacker:
    """A fitted regression: `slope` has a row a score, `classes` is empty for numbers."""

    centre: np.ndarray
    spread: np.ndarray
    slope: np.ndarray
    level: np.ndarray
    classes: np.ndarray

    def values(self, members: np.ndarray) -> np.ndarray:
        """Probabilities of -1, 0, 1, or numbers in one column, of members' predictions."""
        inputs = _inputs(members)
        score = np.repeat(self.level[None], len(inputs), axis=0)
        # column by column: a row of a matrix product may change with the rows beside it
        for column, slope in enumerate(self.slope.T):
            scaled = (inputs[:, column] - self.centre[column]) / self.spread[column]
            score += scaled[:, None] * slope
        if not len(self.classes):
            return score
        odds = np.exp(score - score.max(axis=1, keepdims=True))
        out = np.zeros((len(inputs), len(CLASSES)))
        out[:, np.searchsorted(CLASSES, self.classes)] = odds / odds.sum(axis=1, keepdims=True)
        return out

    def shares(self, n_members: int) -> np.ndarray:
        """Each member's share of the absolute slopes; equal where all are 0."""
        size = np.abs(self.slope).sum(axis=0).reshape(n_members, -1).sum(axis=1)
        return size / size.sum() if size.any() else np.full(n_members, 1 / n_members)


def _fitted(inputs: np.ndarray, actual: np.ndarray, weight: np.ndarray, model: Any) -> Stacker:
    """What a regression of scikit-learn learns from rows whose outcomes are settled."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - of use beside scikit-learn only

    centre, spread = inputs.mean(axis=0), inputs.std(axis=0)
    # what moves by rounding alone says nothing; scaled it would say a lot
    spread[spread <= _STILL * np.abs(centre)] = np.inf
    # the last bits of a matrix product depend on the number of threads
    with threadpool_limits(limits=1, user_api="blas"):
        model.fit((inputs - centre) / spread, actual, sample_weight=weight)
    slope, level = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    classes = getattr(model, "classes_", np.empty(0))
    if len(classes) == 2:  # one score for two classes: that of the first is 0
        slope, level = np.vstack([0 * slope, slope]), np.r_[0.0, level]
    return Stacker(centre, spread, slope, level, classes)


def _model(classifies: bool, strength: float) -> Any:
    """The regression of scikit-learn that is fitted."""
    from sklearn.linear_model import LogisticRegression, Ridge  # noqa: PLC0415 - takes over 0.3 s

    if classifies:
        return LogisticRegression(C=1 / strength, max_iter=1000)
    return Ridge(alpha=strength, solver="cholesky")
