"""Walk-forward: fit on each training window, predict the window after it, keep only that."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import pandas as pd
from tqdm import tqdm

from signalkit.errors import DataError
from signalkit.splits import WalkForward, check_fold
from signalkit.training.contract import Model
from signalkit.training.ensemble import PROBABILITIES


def aligned(features: pd.DataFrame, labels: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows with every feature, in order of symbol and time, and their labels or none."""
    whole = features[features.notna().all(axis=1)]
    if whole.empty:
        raise DataError(
            f"no bar has a value for all {features.shape[1]} features; the longest warm-up needs"
            " more bars, or a feature is empty"
        )
    return whole, labels.reindex(whole.index)


def folds(features: pd.DataFrame, labels: pd.DataFrame, splits: WalkForward) -> pd.DataFrame:
    """Windows of every fold and how many rows the purge took.

    Returns
    -------
    DataFrame indexed by fold
        `train_from train_to test_from test_to` bar ends, `train` and `test` rows, `purged`
        rows that lie in the training window but settle too late.
    """
    whole, answers = aligned(features, labels)
    times = whole.index.get_level_values("time")
    clock = times.unique().sort_values()
    pairs = splits.split(times, answers["known_at"])
    rows = []
    for (train, test), (begin, first, _) in zip(pairs, splits.windows(len(clock)), strict=True):
        inside = (times >= clock[begin]) & (times < clock[first - splits.gap])
        rows.append(
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
    return pd.DataFrame(rows).rename_axis("fold")


def walk_forward(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    models: Mapping[str, Model],
    splits: WalkForward,
) -> pd.DataFrame:
    """Out-of-sample predictions of every model over all folds.

    Parameters
    ----------
    features : DataFrame indexed by (symbol, time)
        Feature matrix; rows with a NaN are left out.
    labels : DataFrame indexed by (symbol, time)
        `label` and `known_at`; bars without a settled label have no row and are predicted
        all the same, with `actual` NaN.
    models : mapping of str to Model
        Unfitted models by model_id; each fold fits a copy.
    splits : WalkForward
        The folds; each is checked for leaks before anything is fitted on it.

    Returns
    -------
    DataFrame indexed by (symbol, time, model_id)
        `target fold prediction p_sell p_hold p_buy confidence known_at actual`.

    Raises
    ------
    DataError
        If no bar has every feature, or there are too few bars for one fold.
    LeakError
        If a fold would train on a label that its test window settles.
    """
    whole, answers = aligned(features, labels)
    times = whole.index.get_level_values("time")
    pairs = list(splits.split(times, answers["known_at"]))
    parts = []
    for fold, (train, test) in enumerate(tqdm(pairs, desc="folds", unit="fold", disable=None)):
        if not len(train):
            raise DataError(
                f"fold {fold} has no training row left after the purge; lengthen validation.train"
                " or shorten labeling.horizon"
            )
        check_fold(train, test, times, answers["known_at"], fold=fold)
        for model_id, model in models.items():
            fitted = copy.deepcopy(model).fit(whole, answers, train)
            parts.append(_predicted(fitted, model_id, whole, answers, test).assign(fold=fold))
    table = pd.concat(parts).set_index("model_id", append=True).sort_index()
    order = ["target", "fold", "prediction", *PROBABILITIES, "confidence", "known_at", "actual"]
    return table[order]


def _predicted(
    model: Model, model_id: str, features: pd.DataFrame, labels: pd.DataFrame, rows: np.ndarray
) -> pd.DataFrame:
    """One model's predictions of one test window."""
    shares = np.full((len(rows), len(PROBABILITIES)), np.nan)
    if model.classifies:
        shares = model.predict_proba(features, rows)
    settled = labels.iloc[rows]
    columns = dict(zip(PROBABILITIES, shares.T, strict=True)) | {
        "prediction": model.predict(features, rows),
        "confidence": shares.max(axis=1),
        "actual": settled["label"].to_numpy(),
        "target": model.target,
        "model_id": model_id,
    }
    table = pd.DataFrame(columns, index=settled.index)
    return table.assign(known_at=settled["known_at"])
