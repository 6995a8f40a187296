"""Rank correlation of columns with each other and with labels, over time within a symbol.

Rows of two symbols are never ranked against each other: a column that only tells one symbol
from another has no correlation over time. Each symbol's correlation counts the same in the
mean, however many rows it has.

Source: Spearman, The Proof and Measurement of Association between Two Things (1904).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

# of a correlation of two equal columns, and of a constant one's values
ROUNDING = 1e-12


def blocks(index: pd.Index) -> list[np.ndarray]:
    """Positions of each symbol's rows; all in one block where the index has no symbols."""
    if "symbol" not in index.names:
        return [np.arange(len(index))]
    codes, names = pd.factorize(index.get_level_values("symbol"))
    return [np.flatnonzero(codes == code) for code in range(len(names))]


def centred_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of each column less their mean; ties have their mean rank.

    Parameters
    ----------
    values : array of shape (n_rows, n_columns)
        Finite numbers of one symbol.

    Returns
    -------
    array of shape (n_rows, n_columns)
        Multiples of one half, 0 where a column is constant.

    Notes
    -----
    Sums of their products are exact up to some 300,000 rows, so that they are the same bits
    whatever the order, and the number of threads, in which they are added.

    Examples
    --------
    >>> centred_ranks(np.array([[3.0, 1.0], [9.0, 1.0]])).tolist()
    [[-0.5, 0.0], [0.5, 0.0]]
    """
    return pd.DataFrame(values).rank().to_numpy() - (len(values) + 1) / 2


def correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation of each centred column of x with each of y, NaN where one is constant."""
    one, other = (np.sqrt((part**2).sum(axis=0)) for part in (x, y))
    scale = np.multiply.outer(one, other)
    return (x.T @ y / np.where(scale > 0, scale, np.nan)).clip(-1, 1)


def mean_known(parts: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is finite there, NaN where nothing is."""
    known = np.isfinite(parts)
    count, total = known.sum(axis=0), np.where(known, parts, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def rank_correlation(features: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of every two columns, the mean over symbols.

    Parameters
    ----------
    features : DataFrame of shape (n_rows, n_features)
        Finite numbers, indexed by (symbol, time) or by time.

    Returns
    -------
    DataFrame of shape (n_features, n_features)
        From -1 to 1; NaN where a column is constant in every symbol.

    Examples
    --------
    >>> rank_correlation(pd.DataFrame({"a": [1, 2, 3], "b": [9, 4, 1]})).loc["a", "b"].round(9)
    np.float64(-1.0)
    """
    values = features.to_numpy(dtype=float)
    ranked = [centred_ranks(values[rows]) for rows in blocks(features.index)]
    found = mean_known(np.array([correlations(ranks, ranks) for ranks in ranked]))
    return pd.DataFrame(found, index=features.columns, columns=features.columns)


def rank_ic(features: pd.DataFrame, answers: np.ndarray) -> pd.Series:
    """Rank information coefficient of every column with the labels, the mean over symbols.

    Parameters
    ----------
    features : DataFrame of shape (n_rows, n_features)
        Finite numbers, indexed by (symbol, time) or by time.
    answers : array of shape (n_rows,)
        Label of each row.

    Returns
    -------
    Series
        From -1 to 1 by feature; NaN where the column or the labels do not vary.
    """
    values, answers = features.to_numpy(dtype=float), np.asarray(answers, dtype=float)[:, None]
    parts = [
        correlations(centred_ranks(values[rows]), centred_ranks(answers[rows]))[:, 0]
        for rows in blocks(features.index)
    ]
    return pd.Series(mean_known(np.array(parts)), index=features.columns)


def clusters(correlation: pd.DataFrame, at_least: float) -> pd.Series:
    """Columns that say the same: in a cluster every two correlate by at least so much.

    Complete linkage on 1 - |correlation|, cut at 1 - `at_least`: no chain of neighbours joins
    two columns that differ.

    Parameters
    ----------
    correlation : DataFrame of shape (n_features, n_features)
        Rank correlations; NaN counts as none.
    at_least : float
        Absolute correlation of any two members, above 0 and at most 1.

    Returns
    -------
    Series of int
        Number of the cluster by feature, from 0 in the order of the columns.

    Notes
    -----
    Source: Sørensen (1948), as in scipy.cluster.hierarchy.
    """
    from scipy.cluster import hierarchy  # noqa: PLC0415 - takes over 0.3 s

    if len(correlation) < 2:
        return pd.Series(range(len(correlation)), index=correlation.index)
    tree = hierarchy.linkage(_distances(correlation), "complete")
    found = hierarchy.fcluster(tree, 1 - at_least + ROUNDING, "distance")
    return pd.Series(pd.factorize(found)[0], index=correlation.index)


def cluster_order(correlation: pd.DataFrame, at_least: float) -> list[str]:
    """Columns in an order in which those that say the same are neighbours.

    Parameters
    ----------
    correlation : DataFrame of shape (n_features, n_features)
        Rank correlations; NaN counts as none.
    at_least : float
        As in `clusters`.

    Returns
    -------
    list
        Every column once: members of a cluster together, and clusters as the leaves of a tree
        of average linkage, its branches turned so that those that meet are alike.

    Notes
    -----
    Source: Gruvaeus and Wainer, Two Additions to Hierarchical Cluster Analysis (1972).
    """
    from scipy.cluster import hierarchy  # noqa: PLC0415 - takes over 0.3 s

    cluster = clusters(correlation, at_least).to_numpy()
    member = np.equal.outer(pd.unique(cluster), cluster)
    share = member / member.sum(axis=1, keepdims=True)
    near = share @ np.nan_to_num(np.abs(correlation.to_numpy())) @ share.T
    branches = [[leaf] for leaf in range(len(near))]
    if len(near) > 1:
        pairs = (1 - near)[np.triu_indices(len(near), 1)]
        for one, other in hierarchy.linkage(pairs, "average")[:, :2].astype(int):
            branches.append(_joined(branches[one], branches[other], near))
    last = branches[-1] if branches else []
    return [name for leaf in last for name in correlation.index[member[leaf]]]


def _joined(one: list[int], other: list[int], near: np.ndarray) -> list[int]:
    """Two branches, each turned or not, so that the leaves that meet are the most alike."""
    ways = [(left, right) for left in (one, one[::-1]) for right in (other, other[::-1])]
    left, right = max(ways, key=lambda way: near[way[0][-1], way[1][0]])
    return left + right


def _distances(correlation: pd.DataFrame) -> np.ndarray:
    """1 - |correlation| of every two columns, row after row, for scipy."""
    distance = 1 - np.nan_to_num(np.abs(correlation.to_numpy()))
    return distance[np.triu_indices(len(distance), 1)]
