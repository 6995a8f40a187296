"""Combinatorial purged evidence: one model on every choice of test folds, joined into paths.

Each path is a whole history of predictions that another set of fits made, so that a score has a
spread over histories. Most of them were trained on what came later: they are evidence of how far
a score wanders, no track record, and they reach neither ensemble nor signals nor registry.

Source: López de Prado, Advances in Financial Machine Learning (2018), sections 12.3 to 12.5.
"""

from __future__ import annotations

import pandas as pd

from signalkit.errors import DataError
from signalkit.splits import CombinatorialPurged, check_fold
from signalkit.training import Recipe
from signalkit.training.contract import Model
from signalkit.validation.evidence import score_once
from signalkit.validation.jobs import Job, Shared, run
from signalkit.validation.rows import aligned


def paths(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    model: Model,
    splits: CombinatorialPurged,
    *,
    need: int,
    recipe: Recipe | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """Scores of a model on every path through the folds.

    Parameters
    ----------
    features, labels, recipe
        As in `validation.walk_forward`.
    model : Model
        Unfitted; each split fits a copy.
    splits : CombinatorialPurged
        The splits; each is checked before anything is fitted on it.
    need : int
        Bars of embargo that the longest feature window and the model's lookback ask for.
    workers : int, optional
        Processes; as in `validation.Run`.

    Returns
    -------
    DataFrame indexed by path
        The scores of `metrics`, and `n` settled rows.

    Raises
    ------
    LeakError
        If the embargo is shorter than needed.
    DataError
        If a split leaves nothing to train on, or the model fails.
    """
    answers, rows = aligned(features, labels)
    own = answers.iloc[rows]
    times, known_at = own.index.get_level_values("time"), own["known_at"]
    jobs = []
    for number, (train, test) in enumerate(splits.split(times, known_at)):
        if not len(train):
            raise DataError(
                f"split {number} has no training row left after purge and an embargo of"
                f" {splits.embargo} bars; lower validation.combinatorial.folds or add bars"
            )
        check_fold(train, test, times, known_at, fold=number, need=need)
        jobs.append(Job(model.model_type, number, "", rows[train], rows[test], None))
    shared = Shared(features, answers, {model.model_type: model}, recipe or Recipe())
    made = run(jobs, shared, total=len(jobs), n_workers=workers)
    failed = [t["about"]["failed"].iloc[0] for t in made.values()]
    if any(failed):
        raise DataError(f"split {failed.index(max(failed))}: {max(failed)}")
    return _scored([t["predictions"] for t in made.values()], splits, own.index)


def _scored(
    predictions: list[pd.DataFrame], splits: CombinatorialPurged, index: pd.MultiIndex
) -> pd.DataFrame:
    """Scores of each path, from the predictions of each split."""
    fold = pd.Series(splits.folds(index.get_level_values("time")), index)
    found = {}
    for path, parts in splits.paths().groupby("path"):
        whole = pd.concat(
            predictions[row.split][fold.reindex(predictions[row.split].index) == row.fold]
            for row in parts.itertuples()
        )
        settled = whole[whole["actual"].notna()].sort_index()
        found[path] = score_once(settled).to_dict() | {"n": len(settled)}
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("path")
