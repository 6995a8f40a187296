"""Scores of class probabilities: sell, hold, buy in that order.

Every score accepts row weights, which is how the bootstrap repeats rows without copying them;
what does not depend on the weights is prepared once.

Definitions: AUC one-vs-rest with ties counted half, macro over the classes present; precision,
recall and F1 macro over the classes present in outcomes; log-loss natural, probabilities
clipped at the float epsilon; Brier (1950) summed over the classes, for a binary target
mean((p - y)^2); calibration error on the top label; Matthews' correlation for several
classes (Gorodkin 2004).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.metrics import tally
from signalkit.metrics.rows import Scorer, count_rows, share

CLASSES = (-1, 0, 1)
CLASSIFICATION = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "auc",
    "auc_direction",
    "log_loss",
    "matthews",
    "brier",
    "ece",
)
# those that compare no rows with each other
UNRANKED = ("accuracy", "log_loss", "ece")
# equal bins of confidence, each without its lower edge, in which `ece` is taken
ECE_BINS = 10
_CLIP = np.finfo(float).eps


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
        `accuracy precision recall f1 auc auc_direction log_loss matthews brier ece`. The
        predicted class is the likeliest, the first of equals. `auc_direction` leaves out
        the outcomes that are hold and asks whether p_buy - p_sell tells buys from sells;
        how much prices will move, which is easier to predict than whereto, does not help
        it. An AUC is NaN where one class is all there is; `matthews` is 0 where one class
        is all that came, or all that was predicted. `brier` is summed over the classes (0
        to 2), but halved, mean((p_buy - y)^2), where sell neither came nor was given any
        probability: a binary target. `ece` is the mean distance, over the rows of 10 equal
        bins (low, high] of the largest probability, of its mean from the share that was
        right.

    Raises
    ------
    DataError
        If shapes differ, a value is not finite, an outcome is no class, or no row weighs
        anything.

    Examples
    --------
    >>> classification(np.array([-1, 1]), np.array([[.8, .1, .1], [.1, .2, .7]]))["accuracy"]
    np.float64(1.0)
    """
    scored = classifier(actual, proba)
    return scored(np.ones(len(actual)) if weight is None else np.asarray(weight, dtype=float))


def unranked(actual: np.ndarray, proba: np.ndarray) -> pd.Series:
    """Scores of `classification` that compare no rows with each other; the same bits, sooner.

    Parameters
    ----------
    actual, proba
        As in `classification`.

    Returns
    -------
    Series
        `accuracy log_loss ece`.

    Raises
    ------
    DataError
        As in `classification`.

    Examples
    --------
    >>> unranked(np.array([-1, 1]), np.array([[.8, .1, .1], [.1, .2, .7]])).round(4).tolist()
    [1.0, 0.2899, 0.25]
    """
    return Unranked(actual, proba)(np.ones(len(actual)))


class Unranked(Scorer):
    """Scores of `unranked` as a function of row weights.

    Parameters
    ----------
    actual, proba
        As in `classification`.
    """

    names = UNRANKED

    def __init__(self, actual: np.ndarray, proba: np.ndarray) -> None:
        actual, proba = checked_classes(actual, proba)
        super().__init__(len(actual))
        truth = actual[:, None] == np.array(CLASSES)
        chosen = proba.argmax(axis=1)
        top, right = proba.max(axis=1), truth[np.arange(len(actual)), chosen]
        surprise = -np.log(np.clip(proba[truth], _CLIP, 1.0))
        self._cell, self._held = 3 * truth.argmax(axis=1) + chosen, bin_of(top, ECE_BINS)
        self._values = np.column_stack([right - top, surprise, squared_miss(truth, proba)])

    def drawn(self, counts: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The scores of many draws at once, see `Scorer`."""
        tables, excess, losses = self._sums(counts, place)
        total = tables.sum(axis=(1, 2))
        hits = tables[:, range(3), range(3)].sum(axis=1)
        return np.column_stack(
            [hits / total, losses[:, 0] / total, np.abs(excess).sum(axis=1) / total]
        )

    def _sums(
        self, counts: np.ndarray, place: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tables of outcome by prediction, excess by bin and losses, of each draw."""
        tables, excess, losses = tally.sums(counts, place, self._cell, self._held, self._values)
        return tables.reshape(-1, 3, 3), excess, losses


class Classifier(Unranked):
    """Scores of some rows as a function of their weights; what needs sorting is sorted once.

    Parameters
    ----------
    actual, proba
        As in `classification`.
    groups : array of shape (n,), optional
        Rows that one model predicted, such as a fold. An AUC then compares the ranks that rows
        have within their group: what two models were fitted on sets the level of what they
        say, and the shares of a training window lag those of the window after it.
    """

    names = CLASSIFICATION

    def __init__(
        self, actual: np.ndarray, proba: np.ndarray, groups: np.ndarray | None = None
    ) -> None:
        super().__init__(actual, proba)
        actual, proba = np.asarray(actual, dtype=float), np.asarray(proba, dtype=float)
        groups = np.zeros(len(actual)) if groups is None else np.asarray(groups)
        truth = actual[:, None] == np.array(CLASSES)
        moved, every = np.flatnonzero(actual), np.arange(len(actual))
        asked = [(truth[:, k], proba[:, k], every) for k in range(len(CLASSES))]
        asked.append((truth[:, 2], proba[:, 2] - proba[:, 0], moved))
        self._ranked = [_ranked(*each, groups) for each in asked]

    def drawn(self, counts: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The scores of many draws at once, see `Scorer`."""
        tables, excess, losses = self._sums(counts, place)
        area = np.column_stack([tally.areas(counts, place, *ranked) for ranked in self._ranked])
        total, present = tables.sum(axis=(1, 2)), tables.sum(axis=2) > 0
        columns = [
            *_of_confusion(tables, present),
            _mean_of(area[:, :3], present),
            area[:, 3],
            losses[:, 0] / total,
            _correlations(tables),
            losses[:, 1] / total,
            np.abs(excess).sum(axis=1) / total,
        ]
        return np.column_stack(columns)


def classifier(
    actual: np.ndarray, proba: np.ndarray, groups: np.ndarray | None = None
) -> Classifier:
    """`classification` as a function of row weights; what needs sorting is sorted once."""
    return Classifier(actual, proba, groups)


def checked_classes(actual: np.ndarray, proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes and probabilities as arrays of float that fit each other."""
    actual, proba = np.asarray(actual, dtype=float), np.asarray(proba, dtype=float)
    n = count_rows(actual, proba)
    if proba.shape != (n, len(CLASSES)):
        raise DataError(
            f"probabilities need the shape ({n}, 3): sell, hold, buy; was {proba.shape}"
        )
    strange = ~np.isin(actual, CLASSES)
    if strange.any():
        raise DataError(f"an outcome is {actual[strange][0]:g}; classes are -1, 0, 1")
    return actual, proba


def squared_miss(truth: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Brier score of each row: summed over the classes, or of buy alone for a binary target."""
    miss = (proba - truth) ** 2
    return miss[:, 2] if is_binary(truth, proba) else miss.sum(axis=1)


def is_binary(truth: np.ndarray, proba: np.ndarray) -> bool:
    """Whether sell neither came nor was given any probability."""
    return not (truth[:, 0].any() or proba[:, 0].any())


def bin_of(values: np.ndarray, bins: int) -> np.ndarray:
    """Number of the bin (low, high] that holds each of the values 0 to 1; 0 is in the first.

    The edges are the floats nearest to i / bins, so that 0.3 is in the third of ten.
    """
    return np.searchsorted(np.arange(1, bins) / bins, values, side="left")


def _mean_of(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Mean over the classes that are there, of each draw; NaN where one of them has none."""
    return np.where(present, values, 0.0).sum(axis=1) / present.sum(axis=1)


def _of_confusion(tables: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, ...]:
    """Accuracy, and macro precision, recall and F1 over the classes that came, of each draw."""
    hits = tables[:, range(3), range(3)]
    precision, recall = share(hits, tables.sum(axis=1)), share(hits, tables.sum(axis=2))
    f1 = share(2 * precision * recall, precision + recall)
    accuracy = hits.sum(axis=1) / tables.sum(axis=(1, 2))
    return accuracy, *(_mean_of(values, present) for values in (precision, recall, f1))


def matthews(confusion: np.ndarray) -> float:
    """Correlation of outcome and predicted class, from a table of outcome by prediction.

    Parameters
    ----------
    confusion : array of shape (n_classes, n_classes)
        Weight of the rows of each outcome (row) and predicted class (column).

    Returns
    -------
    float
        From -1 to 1; 0 where a margin is empty: one class came, or was predicted, alone.

    Notes
    -----
    Source: Gorodkin, Comparing two K-category assignments by a K-category correlation
    coefficient (2004); of two classes it is Matthews' (1975).

    Examples
    --------
    >>> round(matthews(np.array([[3.0, 1.0], [2.0, 4.0]])), 4)
    0.4082
    """
    return float(_correlations(np.asarray(confusion, dtype=float)[None])[0])


def _correlations(tables: np.ndarray) -> np.ndarray:
    """`matthews` of many tables."""
    support, called = tables.sum(axis=2), tables.sum(axis=1)
    total = support.sum(axis=1)
    together = np.trace(tables, axis1=1, axis2=2) * total - (support * called).sum(axis=1)
    apart = (support * (total[:, None] - support)).sum(axis=1)
    apart = apart * (called * (total[:, None] - called)).sum(axis=1)
    return share(together, np.sqrt(np.maximum(apart, 0.0)))


def _ranked(
    truth: np.ndarray, score: np.ndarray, rows: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows by their score within the group, a number for each, and whether each is positive."""
    inside = pd.Series(score[rows]).groupby(groups[rows])
    # all alike is one half, however many there are
    score = ((inside.rank() - 0.5) / inside.transform("size")).to_numpy()
    place = np.argsort(score, kind="stable")
    order, ordered = rows[place], score[place]
    tied = np.cumsum(np.r_[0, ordered[1:] != ordered[:-1]]) if len(order) else order
    return order, tied, truth[order]
