"""The leakage alarm: a score too good for the field is a leak until shown otherwise.

A score above its threshold is told with the cause that the study's own tables make likeliest;
where none is seen, that is told too. A silent alarm proves nothing: small leaks pass below it.

Source: Kaufman, Rosset, Perlich and Stitelman, Leakage in Data Mining (2012), on what is too good
to be true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from signalkit.training.selection import KEPT
from signalkit.validation.thresholds import ALONE, SHARPE, THRESHOLDS, Threshold, exceeded, size_of

_PERSISTENCE = "PERSISTENCE"
_EARLY = "the label is known earlier than it says, look at known_at: PERSISTENCE reads labels alone"
# share of all gain that one feature has where it does the predicting alone
_MOST_GAIN = 0.5
# how near to the fit inside a score is that forgets nothing
_REMEMBERED = 0.9
# what is left in the holdout of a score that was chosen
_LEFT = 0.5


@dataclass(frozen=True)
class Setting:
    """What a study knows besides the scores of its predictions; what is left out is not asked.

    `horizon` and `gap` are in bars, `fill` is that of backtesting and `sharpe` the annual ratio
    after costs. `folds` is what `validation.folds` gave, `inside` the scores of models on their
    own training rows, by model_id, and `holdout` what `validation.scores` gave there.
    """

    horizon: int
    gap: int = 0
    fill: str = "next_close"
    sharpe: float = np.nan
    folds: pd.DataFrame | None = None
    inside: pd.DataFrame | None = None
    holdout: pd.DataFrame | None = None


@dataclass(frozen=True)
class Finding:
    """A score above its threshold: what it is, the likeliest cause, and the features named."""

    measure: str
    value: float
    threshold: float
    cause: str
    features: str = ""

    @property
    def words(self) -> str:
        """The finding in a sentence, to be shown in red."""
        return (
            f"Too good to be believed: {self.measure} is {self.value:.3f}, above"
            f" {self.threshold:.2f}. The likeliest cause: {self.cause}."
        )


class _Case(NamedTuple):
    """All that the causes look at."""

    threshold: Threshold
    size: float
    scores: pd.DataFrame
    gain: pd.Series
    ics: pd.Series
    model: str
    setting: Setting
    others: int


_Cause = tuple[str, str] | None


def alarm(
    scores: pd.DataFrame,
    importance: pd.DataFrame,
    information: pd.DataFrame,
    selection: pd.DataFrame,
    *,
    target: str,
    model: str,
    setting: Setting,
) -> list[Finding]:
    """Every score that is too good for the field, with the likeliest cause.

    Parameters
    ----------
    scores : DataFrame indexed by (model_id, metric)
        What `validation.scores` gave, with PERSISTENCE's where it ran.
    importance : DataFrame indexed by (model_id, feature)
        What `validation.importance` gave; of a model without gain, such as the ensemble, the
        mean over the others is looked at.
    information : DataFrame indexed by feature
        What `validation.information` gave.
    selection : DataFrame indexed by fold
        `kept` or a reason, a column a feature; what no fold kept leaks nowhere.
    target, model : str
        Target variable, and the model that is judged.
    setting : Setting
        What else the study knows.

    Returns
    -------
    list of Finding
        Scores in the order of `THRESHOLDS`; then features whose rank IC alone, its whole
        interval, is beyond the threshold and that no score's cause names; then scores of
        PERSISTENCE that are too good where the model's are not. Empty if there is none.

    Notes
    -----
    Causes are asked in this order, and the first that holds is told: the label is known earlier
    than it says (PERSISTENCE is above the limit too); labels overlap the test windows (the purge
    took nothing though they look ahead); a feature reads the label; one bar both decides and
    fills; the models remember the test rows; the account makes the money rather than the
    prediction; the study was chosen by its test windows; few rows.
    """
    kept = selection.columns[(selection == KEPT).any()]
    ics = _beyond(information.reindex(kept), target)
    judged = scores.loc[model][["value", "gain"]].copy()
    judged.loc[SHARPE] = [setting.sharpe, np.nan]
    above = exceeded(judged, target=target)
    gain, found = _gain(importance, model).reindex(kept), []
    for threshold, size in above:
        case = _Case(threshold, size, scores, gain, ics, model, setting, len(above) - 1)
        cause, named = next(told for rule in _CAUSES if (told := rule(case)) is not None)
        found.append(Finding(threshold.measure, size, threshold.limit, cause, named))
    told = {name for finding in found for name in finding.features.split(", ")}
    found += [_alone(ics[[name]], target) for name in ics.index if name not in told]
    return found + _naive(scores, target, {threshold.metric for threshold, _ in above})


def _gain(importance: pd.DataFrame, model: str) -> pd.Series:
    """Share of gain of each feature to a model, or the mean over models."""
    if importance.empty:
        return pd.Series(dtype=float)
    if model in importance.index.unique("model_id"):
        return importance.loc[model]["gain"]
    return importance["gain"].groupby(level="feature").mean()


def _limit(target: str) -> Threshold:
    """What the rank IC of one feature may be."""
    return next(t for t in THRESHOLDS if t.metric == ALONE and target in t.targets)


def _beyond(information: pd.DataFrame, target: str) -> pd.Series:
    """Rank ICs whose whole interval is beyond the threshold, the largest first."""
    limit = _limit(target).limit
    far = (information["low"] > limit) | (information["high"] < -limit)
    ics = information.loc[far, "ic"]
    return ics.reindex(ics.abs().sort_values(ascending=False, kind="stable").index)


def _alone(ics: pd.Series, target: str) -> Finding:
    """The finding of a feature that no score gave away."""
    threshold, name = _limit(target), ics.index[0]
    cause = f"{name} reads the label; prove it with causality.check"
    return Finding(
        f"rank IC of {name} alone", abs(float(ics.iloc[0])), threshold.limit, cause, name
    )


def _naive(scores: pd.DataFrame, target: str, told: set[str]) -> list[Finding]:
    """Scores of PERSISTENCE that are too good, less those that the model's own tell of."""
    if _PERSISTENCE not in scores.index.unique("model_id"):
        return []
    above = exceeded(scores.loc[_PERSISTENCE], target=target)
    return [
        Finding(f"{_PERSISTENCE}'s {t.measure}", size, t.limit, _EARLY)
        for t, size in above
        if t.metric not in told
    ]


def _early_label(case: _Case) -> _Cause:
    """PERSISTENCE is too good as well, and it reads labels alone."""
    key = (_PERSISTENCE, case.threshold.metric)
    if key not in case.scores.index:
        return None
    size = size_of(case.threshold.metric, case.scores.loc[key])
    if not size > case.threshold.limit:
        return None
    return f"{_EARLY}, and has {size:.3f}", ""


def _overlap(case: _Case) -> _Cause:
    """No row was purged, though labels of the last rows reach into the test window."""
    folds, setting = case.setting.folds, case.setting
    if folds is None or setting.horizon <= setting.gap or folds["purged"].sum() > 0:
        return None
    return (
        f"labels overlap the test windows: they look {setting.horizon} bars ahead with a gap of"
        f" {setting.gap}, and the purge took no row of {len(folds)} folds; look at known_at"
    ), ""


def _reads_label(case: _Case) -> _Cause:
    """A feature that predicts alone, by its rank IC or by its share of the gain."""
    if case.threshold.metric == SHARPE and not case.others:
        return None
    if len(case.ics):
        named = case.ics.index[:3]
        told = " and ".join(f"{name} ({case.ics[name]:+.2f})" for name in named)
        verb = "reads" if len(named) == 1 else "read"
        return f"{told} {verb} the label, by the rank IC alone", ", ".join(named)
    if case.gain.max() > _MOST_GAIN:
        name = case.gain.idxmax()
        return f"{name} reads the label: it has {case.gain[name]:.0%} of the gain", str(name)
    return None


def _same_bar(case: _Case) -> _Cause:
    """A position is taken at the close that the features have just seen."""
    if case.setting.horizon != 1 or case.setting.fill != "close":
        return None
    return "a label of one bar, filled at the close that its features have seen; fill later", ""


def _memory(case: _Case) -> _Cause:
    """The fit inside the training window is hardly better than the score outside."""
    metric, inside = case.threshold.metric, case.setting.inside
    if inside is None or metric not in inside:
        return None
    baseline = case.scores.loc[(case.model, metric), "baseline"]
    sizes = [
        size_of(metric, pd.Series({"value": value, "gain": value - baseline}))
        for value in inside[metric].dropna()
    ]
    if not sizes or case.size < _REMEMBERED * max(sizes):
        return None
    return (
        f"the models remember the test rows, for inside the training window they have no more"
        f" than {max(sizes):.3f}; look for rows that repeat"
    ), ""


def _account(case: _Case) -> _Cause:
    """The prediction is of a believable size, and the money is not."""
    if case.threshold.metric != SHARPE or case.others:
        return None
    return (
        "the account, for the prediction is of a believable size; look at the fill"
        f" ({case.setting.fill.replace('_', ' ')}), the costs and the leverage"
    ), ""


def _chosen(case: _Case) -> _Cause:
    """The score is gone where nobody could choose by it."""
    holdout, key = case.setting.holdout, (case.model, case.threshold.metric)
    if holdout is None or key not in holdout.index:
        return None
    size = size_of(case.threshold.metric, holdout.loc[key])
    if not size < _LEFT * case.size:
        return None
    return f"the study was chosen by its test windows, for the holdout has {size:.3f}", ""


def _few_rows(case: _Case) -> _Cause:
    """The interval reaches to no skill."""
    key = (case.model, case.threshold.metric)
    if key not in case.scores.index:
        return None
    low, high = case.scores.loc[key, ["gain_low", "gain_high"]]
    if not low <= 0 <= high:
        return None
    return f"luck of few rows: the interval of its lead goes from {low:+.3f} to {high:+.3f}", ""


def _unseen(case: _Case) -> _Cause:
    """None of the others."""
    return (
        "none of the usual ones is seen; prove the features with causality.check and the folds"
        " with splits.check_fold, and look at the labels"
    ), ""


_CAUSES: tuple[Callable[[_Case], _Cause], ...] = (
    _early_label,
    _overlap,
    _reads_label,
    _same_bar,
    _memory,
    _account,
    _chosen,
    _few_rows,
    _unseen,
)
