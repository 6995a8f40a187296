"""Evidence: every score beside its baseline, with an interval and the gain over it.

The gain is what a model has over the baseline on the same draws, signed so that more is
better: an interval of the gain that holds 0 is no evidence of anything.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from signalkit import metrics
from signalkit.errors import DataError
from signalkit.significance import bootstrap_ci
from signalkit.training.contract import Model
from signalkit.training.ensemble import PROBABILITIES

BASELINE = "MAJORITY"
# Rank scores have a known value without skill. MAJORITY's own is below it when folds are
# pooled: its shares lag the market, and would flatter whoever is compared with them.
NO_SKILL = {"auc": 0.5, "auc_direction": 0.5, "ic": 0.0}


def _settled(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions whose outcome is known; every model must have the same ones."""
    known = predictions[predictions["actual"].notna()]
    if known.empty:
        raise DataError("no prediction has settled; there is nothing to score")
    counts = known.groupby(level="model_id").size()
    bars = known.index.droplevel("model_id").unique()
    if (counts != len(bars)).any() or BASELINE not in counts.index:
        raise DataError(
            f"models predicted different rows, or {BASELINE} is missing: {counts.to_dict()} of"
            f" {len(bars)} bars"
        )
    return known


def _scorer(rows: pd.DataFrame) -> Callable[[np.ndarray], pd.Series]:
    """Scores of one model's rows as a function of row weights."""
    actual = rows["actual"].to_numpy()
    shares = rows[PROBABILITIES].to_numpy()
    if np.isfinite(shares).all():
        return metrics.classifier(actual, shares)
    guess = rows["prediction"].to_numpy()
    symbols = rows.index.get_level_values("symbol")
    parts = [np.flatnonzero(symbols == symbol) for symbol in symbols.unique()]

    def scores(weight: np.ndarray) -> pd.Series:
        found = metrics.regression(actual, guess, weight=weight)
        drawn = [p for p in parts if weight[p].any()]
        within = [metrics.regression(actual[p], guess[p], weight=weight[p])["ic"] for p in drawn]
        found["ic"] = np.mean(within)  # over time within a symbol, not across them
        return found

    return scores


def scores(
    predictions: pd.DataFrame,
    *,
    block: int,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Every score of every model with interval, baseline and gain.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Out-of-sample predictions, those of MAJORITY among them.
    block : int
        Bars in a bootstrap block, at least the label's horizon.
    draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by (model_id, metric)
        `value low high baseline gain gain_low gain_high n`. `baseline` is MAJORITY's
        score, or what no skill gives (0.5 for an AUC, 0 for a correlation); `gain` is the
        score's lead over it (more is better also for losses).

    Raises
    ------
    DataError
        If nothing has settled, or models predicted different rows.
    """
    known = _settled(predictions)
    models = sorted(known.index.unique("model_id"))
    rows = {model: known.xs(model, level="model_id") for model in models}
    scorers = [_scorer(rows[model]) for model in models]
    names = scorers[0](np.ones(len(rows[BASELINE]))).index
    fixed = pd.Series(NO_SKILL).reindex(names)
    sign = np.where(names.isin(metrics.LESS_IS_BETTER), -1.0, 1.0)
    levels = [["score", "gain"], models, names]
    index = pd.MultiIndex.from_product(levels, names=["part", "model_id", "metric"])

    def statistic(weight: np.ndarray) -> pd.Series:
        found = np.array([scorer(weight) for scorer in scorers])
        gain = sign * (found - np.where(fixed.isna(), found[models.index(BASELINE)], fixed))
        return pd.Series(np.concatenate([found, gain]).ravel(), index=index)

    times = rows[BASELINE].index.get_level_values("time")
    table = bootstrap_ci(statistic, times, block=block, draws=draws, level=level, seed=seed)
    return _arranged(table, len(times))


def _arranged(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """Scores and gains side by side."""
    score, gain = table.xs("score", level="part"), table.xs("gain", level="part")
    baseline = score["value"].xs(BASELINE, level="model_id")
    baseline = pd.Series(NO_SKILL).reindex(baseline.index).fillna(baseline)
    side = gain.rename(columns={"value": "gain", "low": "gain_low", "high": "gain_high"})
    metric = score.index.get_level_values("metric")
    return score.assign(baseline=baseline.reindex(metric).to_numpy()).join(side).assign(n=n)


def by_fold(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores of every model in every fold.

    Returns
    -------
    DataFrame indexed by (model_id, fold)
        The scores of `metrics`, `n` rows and `test_from`, the first time of the fold.
    """
    known = _settled(predictions)
    found = {}
    for (model, fold), rows in known.groupby(["model_id", "fold"], sort=True):
        times = rows.index.get_level_values("time")
        score = _scorer(rows)(np.ones(len(rows)))
        found[(model, fold)] = score.to_dict() | {"n": len(rows), "test_from": times.min()}
    return pd.DataFrame.from_dict(found, orient="index").rename_axis(["model_id", "fold"])


def fit_inside(
    model: Model, features: pd.DataFrame, labels: pd.DataFrame, rows: np.ndarray
) -> pd.Series:
    """Scores of a fitted model on rows it has seen: what memory alone is worth.

    Never evidence; it stands beside the out-of-sample scores to show the distance.
    """
    actual = labels["label"].to_numpy()[rows]
    if model.classifies:
        return metrics.classification(actual, model.predict_proba(features, rows))
    return metrics.regression(actual, model.predict(features, rows))
