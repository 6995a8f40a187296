"""Walk-forward: fit on each training window, predict the window after it, keep only that."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from signalkit.errors import DataError
from signalkit.splits import WalkForward, check_fold
from signalkit.training import BASELINES, kept, select
from signalkit.training.contract import Model
from signalkit.training.ensemble import PROBABILITIES
from signalkit.validation.permutation import disorder, losses, rises

# what becomes of each column, from (features, labels, training rows)
Selector = Callable[[pd.DataFrame, pd.DataFrame, np.ndarray], pd.Series]
# model_id and fold
Key = tuple[str, int]
# settled test rows of a fold that are permuted at most
_ROWS = 5_000


def aligned(features: pd.DataFrame, labels: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows with every feature, in order of symbol and time, and their labels or none.

    Raises
    ------
    DataError
        If there is no such row; features without any value are named.
    """
    known = features.notna()
    whole = features[known.all(axis=1)]
    if whole.empty:
        empty = features.columns[~known.any()].tolist()
        told = f"{', '.join(empty[:3])} has none at all" if empty else "their warm-ups are too long"
        raise DataError(
            f"no bar has a value for all {features.shape[1]} features: {told}; add bars, or leave"
            " features out in features.names"
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


@dataclass(frozen=True)
class Walk:
    """What is left of walking forward.

    `predictions` are those of `walk_forward`. `selection` is indexed by fold with a column a
    feature: `kept`, or why it was left out. `gain` is indexed by (model_id, fold): the share of
    gain of each feature. `rises` is indexed by (model_id, fold) and the row's own index: by how
    much the row's loss rises when a feature is permuted; for a number in units of the model's
    mean squared error. What was not kept has 0 in both; baselines are in neither.
    """

    predictions: pd.DataFrame
    selection: pd.DataFrame
    gain: pd.DataFrame
    rises: pd.DataFrame


def walk_forward(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    models: Mapping[str, Model],
    splits: WalkForward,
    *,
    selector: Selector = select,
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
    selector : callable
        Says of each column what becomes of it, from the whole matrix, the labels and the
        training rows of a fold; `training.select`, which leaves out constant columns, if
        omitted. Baselines do not ask it.

    Returns
    -------
    DataFrame indexed by (symbol, time, model_id)
        `target fold prediction p_sell p_hold p_buy confidence known_at actual`.

    Raises
    ------
    DataError
        If no bar has every feature, there are too few bars for one fold, or a fold has no
        feature left.
    LeakError
        If a fold would train on a label that its test window settles.
    """
    predictions, *_ = _walked(features, labels, models, splits, selector=selector)
    return _ordered(predictions)


def walk(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    models: Mapping[str, Model],
    splits: WalkForward,
    *,
    selector: Selector = select,
    seed: int = 0,
) -> Walk:
    """`walk_forward` with what each fold's models read, and what it was worth to them.

    Parameters
    ----------
    features, labels, models, splits, selector
        As in `walk_forward`; models that are no baselines have `importance`.
    seed : int
        Same seed, same permutations.

    Returns
    -------
    Walk
        Predictions, selection, gain, and rises of the loss under permutation.

    Raises
    ------
    DataError, LeakError
        As `walk_forward`, and if all the models are baselines.

    Notes
    -----
    Of a test window of more than 5,000 settled rows, 5,000 are permuted, evenly spaced.
    """
    found = _walked(features, labels, models, splits, selector=selector, seed=seed)
    predictions, selection, gain, risen = found
    if not gain:
        raise DataError(f"no model reads features among {sorted(models)}; use walk_forward")
    names = features.columns
    return Walk(
        _ordered(predictions),
        pd.DataFrame(selection, index=names).T.rename_axis("fold"),
        pd.DataFrame(gain, index=names).T.fillna(0.0).rename_axis(["model_id", "fold"]),
        pd.concat(risen, names=["model_id", "fold"]).reindex(columns=names).fillna(0.0),
    )


def _walked(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    models: Mapping[str, Model],
    splits: WalkForward,
    *,
    selector: Selector,
    seed: int | None = None,
) -> tuple[list[pd.DataFrame], dict[int, pd.Series], dict[Key, pd.Series], dict[Key, pd.DataFrame]]:
    """Predictions, selection, gain, rises of all folds; nothing is permuted without a seed."""
    whole, answers = aligned(features, labels)
    naive = {name for name, m in models.items() if getattr(m, "model_type", "") in BASELINES}
    predictions, selection, gain, risen = [], {}, {}, {}
    for fold, train, test in _checked(whole, answers, splits):
        selection[fold] = told = selector(whole, answers, train)
        read = whole if naive == set(models) else _columns(whole, told, fold)
        for name, model in models.items():
            seen = whole if name in naive else read
            fitted = copy.deepcopy(model).fit(seen, answers, train)
            predictions.append(_predicted(fitted, name, seen, answers, test).assign(fold=fold))
            if seed is not None and name not in naive:
                gain[(name, fold)] = fitted.importance()
                risen[(name, fold)] = _risen(fitted, read, answers, test, (seed, fold))
    return predictions, selection, gain, risen


def _checked(
    whole: pd.DataFrame, answers: pd.DataFrame, splits: WalkForward
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number, training rows and test rows of each fold, after proof that it does not leak."""
    times = whole.index.get_level_values("time")
    pairs = list(splits.split(times, answers["known_at"]))
    for fold, (train, test) in enumerate(tqdm(pairs, desc="folds", unit="fold", disable=None)):
        if not len(train):
            raise DataError(
                f"fold {fold} has no training row left after the purge; lengthen validation.train"
                " or shorten labeling.horizon"
            )
        check_fold(train, test, times, answers["known_at"], fold=fold)
        yield fold, train, test


def _columns(whole: pd.DataFrame, told: pd.Series, fold: int) -> pd.DataFrame:
    """The columns that a fold's selection kept; nothing is copied where it kept all."""
    names = kept(told, where=f"fold {fold}")
    return whole if len(names) == whole.shape[1] else whole[names]


def _risen(
    model: Model,
    read: pd.DataFrame,
    answers: pd.DataFrame,
    test: np.ndarray,
    seed: tuple[int, int],
) -> pd.DataFrame:
    """Rises of the loss in the settled rows of one test window."""
    settled = test[answers["label"].notna().to_numpy()[test]]
    if len(settled) > _ROWS:
        settled = settled[np.linspace(0, len(settled) - 1, _ROWS).astype(int)]
    rows, actual = read.iloc[settled], answers["label"].to_numpy()[settled]
    if rows.empty:
        return rows
    order = disorder(rows.index, np.random.default_rng(seed))
    found = rises(model, rows, actual, order)
    return found if model.classifies else found / losses(model, rows, actual).mean()


def _ordered(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Predictions of the models and folds in one table, sorted."""
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
