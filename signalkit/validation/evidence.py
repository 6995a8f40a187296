"""Evidence: every score beside its baseline, with an interval and the gain over it.

The gain is what a model has over the baseline on the same draws, signed so that more is
better: an interval of the gain that holds 0 is no evidence of anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from signalkit import metrics
from signalkit.errors import DataError
from signalkit.significance import draw_counts, few_at_once, intervals
from signalkit.training.contract import Model
from signalkit.training.ensemble import PROBABILITIES

BASELINE = "MAJORITY"
# What no skill gives where that is known: MAJORITY's own value of these is not asked.
NO_SKILL = {"auc": 0.5, "auc_direction": 0.5, "matthews": 0.0, "ic": 0.0, "rank_ic": 0.0}


def comparable(predictions: pd.DataFrame) -> pd.DataFrame:
    """Settled predictions of models that can be compared: all of the same rows.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Out-of-sample predictions, those of MAJORITY among them.

    Returns
    -------
    DataFrame
        Rows at which every model answered. A model that never did is left out.

    Raises
    ------
    DataError
        If nothing has settled, MAJORITY is missing, or models predicted different rows.
    """
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
    answered = known["prediction"].notna()
    shares = known[PROBABILITIES].notna().all(axis=1)
    if shares.any():  # classes: the stand-in of a failed ensemble has a direction alone
        answered &= shares
    if answered.all():
        return known
    there = answered.groupby(level="model_id").any()
    mine = known.index.get_level_values("model_id").isin(there.index[there])
    known, answered = known[mine], answered[mine]
    whole = answered.groupby(level=["symbol", "time"]).transform("all")
    if not whole.any():
        raise DataError("there is no row that every model answered; leave out the one that failed")
    return known[whole]


def _scorer(rows: pd.DataFrame) -> metrics.Scorer:
    """Scores of one model's rows as a function of row weights."""
    actual, shares = rows["actual"].to_numpy(), rows[PROBABILITIES].to_numpy()
    if np.isfinite(shares).all():
        return metrics.classifier(actual, shares, rows["fold"].to_numpy())
    # correlations over time within a symbol, not across them
    symbols = rows.index.get_level_values("symbol")
    return metrics.regressor(actual, rows["prediction"].to_numpy(), groups=symbols)


def score_once(rows: pd.DataFrame) -> pd.Series:
    """Scores of one model's settled predictions, without intervals."""
    return _scorer(rows)(np.ones(len(rows)))


def scores(
    predictions: pd.DataFrame,
    *,
    block: int,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    only: Sequence[str] | None = None,
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
    only : sequence of str, optional
        Scores to give; all if omitted.

    Returns
    -------
    DataFrame indexed by (model_id, metric)
        `value low high baseline gain gain_low gain_high p n`. `baseline` is MAJORITY's
        score, or what no skill gives (0.5 for an AUC, 0 for a correlation); `gain` is the
        score's lead over it (more is better also for losses) and `p` the one-sided p-value of a
        gain above 0. Rows that some model did not answer are left out for all.

    Raises
    ------
    DataError
        If nothing has settled, or models predicted different rows.

    Notes
    -----
    An AUC compares ranks within a fold: between folds the level of a prediction tells which
    model made it, and training shares lag the market, which would push an AUC without skill
    below 0.5.
    """
    known = comparable(predictions)
    models = sorted(known.index.unique("model_id"))
    rows = {model: known.xs(model, level="model_id") for model in models}
    scorers = [_scorer(rows[model]) for model in models]
    whole = [scorer(np.ones(len(rows[BASELINE]))) for scorer in scorers]
    names = whole[0].index if only is None else pd.Index(only)
    kept, base = whole[0].index.get_indexer(names), models.index(BASELINE)
    fixed = pd.Series(NO_SKILL).reindex(names).to_numpy()
    sign = np.where(names.isin(metrics.LESS_IS_BETTER), -1.0, 1.0)

    def both(found: np.ndarray) -> np.ndarray:
        """Scores of shape (draws, models, names), and behind them their leads, a row a draw."""
        lead = sign * (found - np.where(np.isnan(fixed), found[:, [base]], fixed))
        return np.concatenate([found, lead], axis=1).reshape(len(found), -1)

    times = rows[BASELINE].index.get_level_values("time")
    clock, place = np.unique(times.asi8, return_inverse=True)
    drawn = [
        both(np.stack([scorer.drawn(counts, place)[:, kept] for scorer in scorers], axis=1))
        for counts in few_at_once(draw_counts(len(clock), block, draws, seed))
    ]
    levels = [["score", "gain"], models, names]
    index = pd.MultiIndex.from_product(levels, names=["part", "model_id", "metric"])
    value = both(np.array([[found.to_numpy()[kept] for found in whole]]))[0]
    return _arranged(intervals(pd.Series(value, index), np.concatenate(drawn), level), len(times))


def _arranged(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """Scores and gains side by side."""
    score = table.xs("score", level="part").drop(columns="p")
    gain = table.xs("gain", level="part")
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
    known = comparable(predictions)
    found = {}
    for (model, fold), rows in known.groupby(["model_id", "fold"], sort=True):
        times = rows.index.get_level_values("time")
        found[(model, fold)] = score_once(rows).to_dict() | {
            "n": len(rows),
            "test_from": times.min(),
        }
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
