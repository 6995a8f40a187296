"""Whether a probability means what it says: reliability by bin, and the parts of the Brier score.

Bins hold (low, high]; a probability of 0 is in the first. Nothing here is fitted.

Sources: Murphy, A New Vector Partition of the Probability Score (1973); Wilson, Probable
Inference, the Law of Succession, and Statistical Inference (1927).
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd

from signalkit.errors import ParamsError
from signalkit.metrics.classes import CLASSES, bin_of, checked_classes, is_binary, squared_miss


def reliability(
    actual: np.ndarray, proba: np.ndarray, *, bins: int = 10, level: float = 0.95
) -> pd.DataFrame:
    """How often the likeliest class was right, by how likely it was said to be.

    Parameters
    ----------
    actual : array of shape (n,)
        Outcomes -1, 0 or 1.
    proba : array of shape (n, 3)
        Probabilities of -1, 0, 1.
    bins : int
        Equal bins of the largest probability, at least 1.
    level : float
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    DataFrame of shape (bins, 7)
        `low high` edges of the bin, `n` rows in it, `confidence` the mean of their largest
        probability, `accuracy` the share that was right, and `accuracy_low accuracy_high`,
        Wilson's interval of that share. NaN where a bin is empty.

    Raises
    ------
    ParamsError
        If there is no bin, or the level is no share.
    DataError
        As in `classification`.

    Notes
    -----
    The interval counts rows as if they were independent. Labels that overlap are not: it is
    then too narrow, and says at most that a bin is off.
    """
    _check_bins(bins)
    if not 0 < level < 1:
        raise ParamsError(f"level must be between 0 and 1, was {level:g}")
    actual, proba = checked_classes(actual, proba)
    top, right = proba.max(axis=1), np.array(CLASSES)[proba.argmax(axis=1)] == actual
    held, edges = bin_of(top, bins), np.arange(bins + 1) / bins
    n, confidence, share = _means(held, top, right)
    low, high = _wilson(share, n, NormalDist().inv_cdf((1 + level) / 2))
    known = {
        "confidence": confidence,
        "accuracy": share,
        "accuracy_low": low,
        "accuracy_high": high,
    }
    counts = np.bincount(held, minlength=bins)
    told = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": counts})
    return told.join(pd.DataFrame(known, index=np.flatnonzero(counts)))


def brier_parts(actual: np.ndarray, proba: np.ndarray, *, bins: int = 10) -> pd.Series:
    """The Brier score as reliability - resolution + uncertainty.

    Parameters
    ----------
    actual : array of shape (n,)
        Outcomes -1, 0 or 1.
    proba : array of shape (n, 3)
        Probabilities of -1, 0, 1.
    bins : int
        Equal bins of each class's probability, at least 1.

    Returns
    -------
    Series
        `reliability` (less is better), `resolution` (more is better), `uncertainty` (of the
        outcomes, nobody's merit), `brier_binned`, which they make up, and `brier`, the score
        of the probabilities as they are.

    Raises
    ------
    ParamsError
        If there is no bin.
    DataError
        As in `classification`.

    Notes
    -----
    Each class is partitioned by itself and the classes are summed; a binary target has the
    parts of buy alone. The parts make up exactly the score of the binned forecasts, in which
    every probability is replaced by the mean of its bin; what is lost within the bins is
    `brier - brier_binned`.
    """
    _check_bins(bins)
    actual, proba = checked_classes(actual, proba)
    truth = actual[:, None] == np.array(CLASSES)
    judged = [2] if is_binary(truth, proba) else range(len(CLASSES))
    parts = sum(_murphy(truth[:, k], proba[:, k], bins) for k in judged)
    names = ["reliability", "resolution", "uncertainty"]
    binned = parts[0] - parts[1] + parts[2]
    whole = {"brier_binned": binned, "brier": squared_miss(truth, proba).mean()}
    return pd.Series(dict(zip(names, parts, strict=True)) | whole)


def _check_bins(bins: int) -> None:
    """Refuse less than one bin."""
    if bins < 1:
        raise ParamsError(f"bins must be at least 1, was {bins}")


def _means(held: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """Rows in each bin that holds any, and the mean of each column over them."""
    n = np.bincount(held)
    used = n > 0
    return [n[used], *(np.bincount(held, column)[used] / n[used] for column in columns)]


def _wilson(share: np.ndarray, n: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a share of n rows, z standard errors to a side."""
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.maximum(middle - reach, 0.0), np.minimum(middle + reach, 1.0)


def _murphy(came: np.ndarray, said: np.ndarray, bins: int) -> np.ndarray:
    """Reliability, resolution and uncertainty of one class's probabilities."""
    n, mean_said, mean_came = _means(bin_of(said, bins), said, came)
    base = came.mean()
    reliability = (n * (mean_said - mean_came) ** 2).sum() / len(came)
    resolution = (n * (mean_came - base) ** 2).sum() / len(came)
    return np.array([reliability, resolution, base * (1 - base)])
