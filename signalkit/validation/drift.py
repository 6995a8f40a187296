"""Drift: whether the rows that are predicted look like those that were learned from.

A number of drift means nothing alone. Bars are like their neighbours, so that any two windows
differ more than independent rows would; each number therefore stands beside the same number of
the older and the newer half of the training window, in which no model was surprised.

Sources: Siddiqi, Credit Risk Scorecards (2006), chapter 9; Yurdakul, Statistical Properties of
Population Stability Index (2018); Smirnov, Table for Estimating the Goodness of Fit (1948).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.splits import WalkForward
from signalkit.validation.rows import aligned

BINS = 10
# the share that an empty bin is taken to have
FLOOR = 1e-4
# Siddiqi (2006): below 0.10 no change to speak of, above 0.25 another population
MOVED = 0.25


def psi(
    reference: np.ndarray, sample: np.ndarray, *, bins: int = BINS, floor: float = FLOOR
) -> float:
    """Population stability index: how far the shares of a sample are from the reference's.

    Parameters
    ----------
    reference, sample : arrays of shape (n,) and (m,)
        Values; a NaN counts in a bin of its own.
    bins : int
        Bins of equal share of the reference, at least 2; 10 are its deciles.
    floor : float
        Share that a bin is taken to have at least, above 0 and below 1 / bins: without it one
        empty bin would make the index infinite.

    Returns
    -------
    float
        Sum over the bins of (s - r) ln(s / r), at least 0. Of two samples of one population it
        is about (1/n + 1/m) (bins - 1) by luck alone, if rows are independent.

    Raises
    ------
    ParamsError
        If there are fewer than 2 bins, or the floor is not between 0 and a bin's share.
    DataError
        If either side has no row, or the reference no value.

    Notes
    -----
    Edges are the smallest values with i / bins of the reference at or below them; a bin holds
    its upper edge and the outer bins are open. A value on which two edges fall is a bin of its
    own, so that a column that never varied tells any other value. Shares are not scaled again
    after the floor.

    Sources: Siddiqi (2006); the expectation Yurdakul (2018).

    Examples
    --------
    >>> round(psi(np.arange(100), np.arange(100) + 10), 4)
    0.7594
    """
    _check_bins(bins, floor)
    return _psi(_column(reference), _column(sample), bins, floor)


def _check_bins(bins: int, floor: float) -> None:
    """Refuse bins that are none, and a floor that a full bin would not reach."""
    if bins < 2:
        raise ParamsError(f"psi needs at least 2 bins, was {bins}")
    if not 0 < floor < 1 / bins:
        raise ParamsError(
            f"psi's floor must be above 0 and below {1 / bins:g}, the share of one of {bins}"
            f" bins, was {floor:g}"
        )


def _column(values: np.ndarray) -> np.ndarray:
    """Values in order, NaN at the end."""
    found = np.sort(np.asarray(values, dtype=float))
    if found.ndim != 1 or not len(found) or np.isnan(found[0]):
        raise DataError(f"drift compares columns that have a value, was of shape {found.shape}")
    return found


def _psi(reference: np.ndarray, sample: np.ndarray, bins: int, floor: float) -> float:
    """The index of two columns in order."""
    edges = _edges(_known(reference), bins)
    one, other = (np.maximum(_shares(part, edges), floor) for part in (reference, sample))
    return float(((other - one) * np.log(other / one)).sum())


def _known(column: np.ndarray) -> np.ndarray:
    """A column in order without the NaN at its end."""
    return column[: np.searchsorted(column, np.nan)]


def _edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Upper edges of all bins but the last, from values in order."""
    ranks = -(-len(values) * np.arange(bins + 1) // bins) - 1
    found = values[np.maximum(ranks, 0)]
    repeated = found[1:][found[1:] == found[:-1]]
    return np.unique(np.concatenate([found[1:-1], repeated, np.nextafter(repeated, -np.inf)]))


def _shares(column: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of a column in each bin, and of NaN at the end."""
    known = _known(column)
    below = np.searchsorted(known, edges, side="right")
    return np.diff(np.concatenate([[0], below, [len(known), len(column)]])) / len(column)


def ks(reference: np.ndarray, sample: np.ndarray) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov statistic, and its p-value for independent rows.

    Parameters
    ----------
    reference, sample : arrays of shape (n,) and (m,)
        Values; NaN are left out.

    Returns
    -------
    float
        Largest distance of the two distribution functions, from 0 to 1.
    float
        Chance of so large a distance by luck if all rows were independent. Bars are not: with
        a feature that moves slowly it is next to 0 where nothing has changed.

    Raises
    ------
    DataError
        If either side has no value.

    Notes
    -----
    Equal `scipy.stats.ks_2samp` with method "asymp": the p-value is that of the distribution of
    one sample's statistic at the rounded size n m / (n + m).

    Examples
    --------
    >>> ks(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0]))[0]
    0.5
    """
    one, other = (_known(_column(part)) for part in (reference, sample))
    distance = _distance(one, other)
    return distance, float(_chance(np.array([distance]), len(one), len(other))[0])


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Largest distance of two distribution functions; it is at a value of the fewer."""
    few, many = sorted((one, other), key=len)
    step = np.arange(len(few) + 1) / len(few)
    above = step[1:] - np.searchsorted(many, few, side="right") / len(many)
    below = np.searchsorted(many, few, side="left") / len(many) - step[:-1]
    return float(max(above.max(), below.max()))


def _chance(distances: np.ndarray, n: int, m: int) -> np.ndarray:
    """p-values of distances between samples of two sizes."""
    from scipy.stats import kstwo  # noqa: PLC0415 - takes over 0.3 s

    return np.clip(kstwo.sf(distances, np.round(n * m / (n + m))), 0.0, 1.0)


def windows(
    features: pd.DataFrame, labels: pd.DataFrame, splits: WalkForward
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions in the matrix of each fold's training and test rows, as `walk` takes them.

    Parameters
    ----------
    features, labels, splits
        As in `drift`.

    Yields
    ------
    train, test : arrays of int
        Rows of `features` that have every feature; the training rows are purged.

    Raises
    ------
    DataError
        If there are too few bars for one fold, or the purge leaves a fold no training row.
    """
    answers, rows = aligned(features, labels)
    own = answers.iloc[rows]
    pairs = splits.split(own.index.get_level_values("time"), own["known_at"])
    for fold, (train, test) in enumerate(pairs):
        if not len(train):
            raise DataError(f"fold {fold} has no training row left; there is nothing to compare")
        yield rows[train], rows[test]


def halves(times: np.ndarray, train: np.ndarray, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """The older and the newer half of a training window.

    Parameters
    ----------
    times : array of shape (n_rows,)
        Time of each row of the matrix.
    train : array of int
        Positions of the training rows.
    fold : int
        Number of the fold, for the message.

    Returns
    -------
    older, newer : arrays of int
        Positions; the newer half has the middle time where their number is odd.

    Raises
    ------
    DataError
        If there is one training time.
    """
    mine = times[train]
    clock = np.unique(mine)
    if len(clock) < 2:
        raise DataError(f"fold {fold} has one training time; there are no halves to compare")
    newer = mine >= clock[len(clock) // 2]
    return train[~newer], train[newer]


def drift(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    splits: WalkForward,
    *,
    bins: int = BINS,
    floor: float = FLOOR,
) -> pd.DataFrame:
    """How far each feature of the test windows is from the training windows before them.

    Parameters
    ----------
    features : DataFrame indexed by (symbol, time)
        Feature matrix; rows with a NaN are warm-up and left out.
    labels : DataFrame indexed by (symbol, time)
        `label` and `known_at`, which say what the purge leaves of a training window.
    splits : WalkForward
        The folds.
    bins, floor
        As in `psi`.

    Returns
    -------
    DataFrame indexed by (fold, feature)
        `psi` and `ks` of the test rows against the training rows; `psi_inside` and
        `ks_inside`, the same numbers of the newer against the older half of the training
        window; `ks_p`, the p-value of `ks` for independent rows. Bars are not independent:
        read `ks` against `ks_inside`, never against `ks_p` alone.

    Raises
    ------
    ParamsError
        As `psi`.
    DataError
        If no bar has every feature, there are too few bars for one fold, or a fold has fewer
        than two training times.

    Notes
    -----
    Rows of all symbols stand together. Nothing is fitted on these numbers: they look at test
    rows, after the fact.
    """
    _check_bins(bins, floor)
    columns = np.ascontiguousarray(features.to_numpy(dtype=float).T)
    times = features.index.get_level_values("time").asi8
    found = {}
    for fold, (train, test) in enumerate(windows(features, labels, splits)):
        parts = train, test, *halves(times, train, fold)
        rows = [_compared([np.sort(column[p]) for p in parts], bins, floor) for column in columns]
        table = pd.DataFrame(rows, index=features.columns)
        found[fold] = table.assign(ks_p=_chance(table["ks"].to_numpy(), len(train), len(test)))
    return pd.concat(found, names=["fold", "feature"])


def _compared(parts: list[np.ndarray], bins: int, floor: float) -> dict[str, float]:
    """Both measures of one column, in order in each part, and their yardsticks."""
    train, test, older, newer = parts
    return {
        "psi": _psi(train, test, bins, floor),
        "psi_inside": _psi(older, newer, bins, floor),
        "ks": _distance(train, test),
        "ks_inside": _distance(older, newer),
    }


def moved(table: pd.DataFrame) -> pd.DataFrame:
    """Features by how much they drift, from what `drift` found.

    Parameters
    ----------
    table : DataFrame indexed by (fold, feature)
        What `drift` gave.

    Returns
    -------
    DataFrame indexed by feature, the most moved first
        Means over the folds of `psi`, `psi_inside`, `ks` and `ks_inside`, and `moved`, the
        share of folds in which `psi` is above 0.25 and above `psi_inside` as well.
    """
    far = (table["psi"] > MOVED) & (table["psi"] > table["psi_inside"])
    shown = table[["psi", "psi_inside", "ks", "ks_inside"]].assign(moved=far.astype(float))
    means = shown.groupby(level="feature", sort=False).mean()
    return means.sort_values(["moved", "psi"], ascending=False, kind="stable")
