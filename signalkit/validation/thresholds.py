"""Thresholds: how large a score may be before it is told in red.

They are our own convention, set beside the best that published studies report out of sample: no
threshold is the truth about markets. What is easy to predict, such as volatility, has its own.

Sources: Gu, Kelly and Xiu, Empirical Asset Pricing via Machine Learning (2020), table 1; Fischer
and Krauss, Deep Learning with Long Short-Term Memory Networks for Financial Market Predictions
(2018). What an IC of r of normal returns comes to: an AUC of 1/2 + 2/pi arcsin(r / sqrt 2) and
an accuracy of 1/2 + 1/pi arcsin(r), by Sheppard (1899).
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

_DIRECTIONS = frozenset({"signal_direction", "triple_barrier"})
_PROFITABLE = frozenset({"target_profitable"})
_CLASSES = _DIRECTIONS | _PROFITABLE
_RETURN = frozenset({"target_return"})
_VOLATILITY = frozenset({"target_volatility"})
_ALL = _CLASSES | _RETURN | _VOLATILITY
# metrics that are none of a prediction: the rank IC of one feature, and the account's ratio
ALONE = "feature"
SHARPE = "sharpe"


class Threshold(NamedTuple):
    """How large a score may be before it is told in red.

    `metric` is a name of `metrics`, `sharpe`, or `feature` for the rank IC of one feature;
    `targets` are those it holds for; `measure` says what is compared with `limit`; `context` and
    `source` say where that comes from.
    """

    metric: str
    targets: frozenset[str]
    measure: str
    limit: float
    context: str
    source: str


_GU = "Gu, Kelly and Xiu (2020): out-of-sample R² of monthly stock returns 0.40 % at best"
_COSTS = (
    "any bar and horizon; how volatile it is says whether a move covers costs, though nothing of"
    " where it goes"
)
_SIMULATED = "own convention; simulated lognormal volatility and no direction reach an AUC of 0.85"

THRESHOLDS = (
    Threshold(
        "auc_direction",
        _DIRECTIONS,
        "AUC's distance from 0.5",
        0.10,
        "any bar and horizon",
        f"own convention, what an IC of 0.22 of normal returns comes to; {_GU}",
    ),
    Threshold("auc", _PROFITABLE, "AUC's distance from 0.5", 0.35, _COSTS, _SIMULATED),
    Threshold(
        "accuracy",
        _CLASSES,
        "accuracy's lead",
        0.10,
        "any bar and horizon, over the majority's accuracy",
        f"own convention, what an IC of 0.31 of normal returns comes to; {_GU}",
    ),
    Threshold(
        "ic",
        _RETURN,
        "information coefficient",
        0.20,
        "any bar and horizon",
        f"own convention, three times the root of the published R²; {_GU}",
    ),
    Threshold(
        "r2",
        _RETURN,
        "R²",
        0.05,
        "any bar and horizon, against no change",
        f"own convention, ten times the published R² and more; {_GU}",
    ),
    Threshold(
        "ic",
        _VOLATILITY,
        "information coefficient",
        0.95,
        "any bar and horizon; volatility lasts, and is easy to predict",
        "own convention",
    ),
    Threshold(
        SHARPE,
        _ALL,
        "Sharpe ratio",
        3.0,
        "annual, after costs",
        "own convention; Gu, Kelly and Xiu (2020): 2.45 before costs, all stocks alike, monthly;"
        " Fischer and Krauss (2018): 5.8 before costs on 500 stocks, daily, 1992 to 2015, and"
        " about 0 after costs from 2010 on",
    ),
    Threshold(
        ALONE,
        _DIRECTIONS | _RETURN,
        "rank IC of one feature",
        0.20,
        "any bar and horizon; its whole interval beyond it",
        f"own convention, as of a model; {_GU}",
    ),
    Threshold(ALONE, _PROFITABLE, "rank IC of one feature", 0.45, _COSTS, _SIMULATED),
    Threshold(
        ALONE,
        _VOLATILITY,
        "rank IC of one feature",
        0.95,
        "any bar and horizon; volatility lasts, and is easy to predict",
        "own convention",
    ),
)


def exceeded(scores: pd.DataFrame, *, target: str) -> list[tuple[Threshold, float]]:
    """Thresholds that the scores of a model are above, and by what.

    Parameters
    ----------
    scores : DataFrame indexed by metric
        `value`, and `gain` over the baseline.
    target : str
        Target variable.

    Returns
    -------
    list of (Threshold, float)
        Each with the number that is above its limit, in the order of `THRESHOLDS`.
    """
    asked = [t for t in THRESHOLDS if target in t.targets and t.metric in scores.index]
    sizes = [size_of(t.metric, scores.loc[t.metric]) for t in asked]
    return [(t, size) for t, size in zip(asked, sizes, strict=True) if size > t.limit]


def size_of(metric: str, row: pd.Series) -> float:
    """How far a score is from no skill; a ranking that is wrong throughout leaks as well.

    Parameters
    ----------
    metric : str
        A metric of `THRESHOLDS`.
    row : Series
        `value`, and `gain` over the baseline, which accuracy is measured by.

    Returns
    -------
    float
        Comparable with a threshold's limit; NaN where the score is.
    """
    if metric == "accuracy":
        return float(row["gain"])
    if metric == "r2":
        return float(row["value"])
    return abs(float(row["value"]) - (0.5 if metric.startswith("auc") else 0.0))
