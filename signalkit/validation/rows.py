"""Rows that a model may learn from, and the windows that each fold makes of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.splits import WalkForward
from signalkit.training.matrix import check_labels, check_order


def aligned(features: pd.DataFrame, labels: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels on the rows of the features, and the positions of rows with every feature.

    Parameters
    ----------
    features : DataFrame indexed by (symbol, time)
        Feature matrix.
    labels : DataFrame indexed by (symbol, time)
        `label` and `known_at`.

    Returns
    -------
    DataFrame
        The labels, NaN and NaT where a row of the matrix has none.
    array of int
        Rows that can be learned from or asked about; the others are warm-up.

    Raises
    ------
    DataError
        If there is no such row; features without any value are named; or if rows are not in
        order of symbol and time, or a label is there twice.
    LeakError
        If a label is known at its own bar or before.
    """
    check_order(features.index)
    check_labels(labels)
    values = features.to_numpy()
    known = ~np.isnan(values)
    rows = np.flatnonzero(known.all(axis=1))
    if not len(rows):
        empty = features.columns[~known.any(axis=0)].tolist()
        told = f"{', '.join(empty[:3])} has none at all" if empty else "their warm-ups are too long"
        raise DataError(
            f"no bar has a value for all {features.shape[1]} features: {told}; add bars, or leave"
            " features out in features.names"
        )
    return labels.reindex(features.index), rows


def folds(features: pd.DataFrame, labels: pd.DataFrame, splits: WalkForward) -> pd.DataFrame:
    """Windows of every fold and how many rows the purge took.

    Returns
    -------
    DataFrame indexed by fold
        `train_from train_to test_from test_to` bar ends, `train` and `test` rows, `purged`
        rows that lie in the training window but settle too late.
    """
    answers, rows = aligned(features, labels)
    answers = answers.iloc[rows]
    times = answers.index.get_level_values("time")
    clock = times.unique().sort_values()
    pairs = splits.split(times, answers["known_at"])
    found = []
    for (train, test), (begin, first, _) in zip(pairs, splits.windows(len(clock)), strict=True):
        inside = (times >= clock[begin]) & (times < clock[first - splits.gap])
        found.append(
            {
                "train_from": times[train].min(),
                "train_to": times[train].max(),
                "test_from": times[test].min(),
                "test_to": times[test].max(),
                "train": len(train),
                "purged": int(inside.sum()) - len(train),
                "test": len(test),
            }
        )
    return pd.DataFrame(found).rename_axis("fold")
