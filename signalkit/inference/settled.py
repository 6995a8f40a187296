"""Settled predictions of deployed models, and what they make of the newest ones.

Weights, disagreement and prediction sets are those of `training.combine`, `prediction_sets` and
`prediction_intervals` on stored predictions whose outcome was known by the newest bar: the
same functions that made them in validation. Only the newest `KEPT` of each model are read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.errors import DataError, LeakError
from signalkit.inference.results import SIDES, Flag
from signalkit.params import Params
from signalkit.store import Store
from signalkit.training import (
    CLASSIFICATION_TARGETS,
    ENSEMBLE,
    PROBABILITIES,
    combine,
    pool,
    prediction_intervals,
    prediction_sets,
)
from signalkit.training.conformal import SETS
from signalkit.training.members import KEYS
from signalkit.training.recipe import likeliest

# newest settled predictions of each model
KEPT = 1000
# step of the quantile of conformal sets, at most, as in validation
_RATE = 0.01
_FEW = "too few stored predictions have settled for a prediction set; it comes with time"
_READ = """SELECT symbol, prediction_timestamp AS time, CAST(model AS TEXT) AS model_id,
    prediction_type AS target, prediction_value AS prediction, prediction_probabilities AS shares,
    confidence_score AS confidence, known_at, actual_value AS actual
    FROM ml_predictions WHERE model = ? AND prediction_type = ? AND actual_value IS NOT NULL
    AND known_at IS NOT NULL ORDER BY prediction_timestamp DESC LIMIT ?"""


@dataclass(frozen=True)
class Joined:
    """Several models' newest predictions made one."""

    value: float
    shares: np.ndarray | None
    confidence: float | None
    disagreement: float
    weights: dict[int, float]
    sides: tuple[str, ...] | None
    interval: tuple[float, float] | None
    flags: tuple[Flag, ...] = ()


def settled(store: Store, models: Sequence[int], target: str, before: pd.Timestamp) -> pd.DataFrame:
    """Predictions of some models that had settled by a bar end, as a table of predictions."""
    rows = [row for model in models for row in store.db.query(_READ, [model, target, KEPT])]
    if not rows:
        return pd.DataFrame()
    table = _table(rows)
    times = table.index.get_level_values("time")
    return table[(times < before) & (table["known_at"] <= before)]


def _table(rows: list[dict]) -> pd.DataFrame:
    """Rows of the database as a table of predictions."""
    names = [*KEYS, "target", "prediction", "shares", "confidence", "known_at", "actual"]
    found = pd.DataFrame(rows, columns=names)
    for name in ("time", "known_at"):
        found[name] = pd.to_datetime(found[name], utc=True, format="ISO8601").dt.as_unit("ns")
    told = [json.loads(text) if text else {} for text in found.pop("shares")]
    for column, side in zip(PROBABILITIES, SIDES, strict=True):
        found[column] = np.array([one.get(side, np.nan) for one in told], dtype=float)
    numbers = ["prediction", "confidence", "actual"]
    return found.assign(fold=0).astype(dict.fromkeys(numbers, float)).set_index(KEYS)


def alike(shares: Sequence[np.ndarray], models: Sequence[int]) -> Joined:
    """One answer of several that weigh alike, the bits of `joined` without settled predictions.

    Parameters
    ----------
    shares : sequence of arrays of shape (3,)
        Each model's probabilities of -1, 0, 1.
    models : sequence of int
        Their numbers.
    """
    weights = np.full(len(shares), 1 / len(shares))
    proba, sure, apart = pool([one[None] for one in shares], weights)
    return Joined(
        value=float(likeliest(proba)[0]),
        shares=proba[0],
        confidence=float(sure[0]),
        disagreement=float(apart[0]),
        weights=dict(zip(models, weights.tolist(), strict=True)),
        sides=None,
        interval=None,
        flags=(Flag("few_settled", _FEW),),
    )


def joined(
    past: pd.DataFrame,
    newest: pd.DataFrame,
    asked: Params,
) -> Joined:
    """One answer of several.

    Parameters
    ----------
    past : DataFrame indexed by (symbol, time, model_id)
        Settled predictions, from `settled`.
    newest : DataFrame indexed as `past`
        One row a model, of one symbol and time, without an outcome.
    asked : Params
        How the study of the first model joins models.

    Returns
    -------
    Joined
        Weighed alike, with a flag, where the settled predictions cannot be used.
    """
    try:
        return _joined(past, newest, asked)
    except (DataError, LeakError) as cause:
        alone = _joined(past.iloc[:0], newest, asked)
        told = Flag("settled_unusable", f"stored predictions cannot be used: {cause}")
        return Joined(**(vars(alone) | {"flags": (*alone.flags, told)}))


def _joined(past: pd.DataFrame, newest: pd.DataFrame, asked: Params) -> Joined:
    """One answer of several, weighed by what has settled."""
    how, names = asked.training.ensemble, list(newest.index.get_level_values("model_id"))
    table = pd.concat([past, newest]) if len(past) else newest
    found = combine(table, names, method=how.method, half_life=how.half_life)
    place = newest.index[0][:2]
    mine = found.predictions.loc[(*place, ENSEMBLE)]
    classifies = mine["target"] in CLASSIFICATION_TARGETS
    weights = found.weights.loc[place[1]].to_dict()
    sides, interval = _held(found.predictions, place, asked, classifies=classifies)
    few = () if sides or interval else (Flag("few_settled", _FEW),)
    return Joined(
        value=float(mine["prediction"]),
        shares=mine[PROBABILITIES].to_numpy(dtype=float) if classifies else None,
        confidence=float(mine["confidence"]) if classifies else None,
        disagreement=float(found.disagreement.loc[place]),
        weights={int(name): float(weight) for name, weight in weights.items()},
        sides=sides,
        interval=interval,
        flags=few,
    )


def _held(
    predictions: pd.DataFrame, place: tuple, asked: Params, *, classifies: bool
) -> tuple[tuple[str, ...] | None, tuple[float, float] | None]:
    """Sides, or low and high, that hold as often as the study asks; None while too few settled."""
    mine = predictions.xs(ENSEMBLE, level="model_id")
    mine = mine[mine["prediction"].notna()]
    if len(mine) < 2:
        return None, None
    rate = min(_RATE, 0.25 / asked.labeling.horizon)
    make = prediction_sets if classifies else prediction_intervals
    row = make(mine, coverage=asked.training.calibration.coverage, rate=rate).loc[place]
    if not classifies:
        found = float(row["low"]), float(row["high"])
        return None, found if np.isfinite(found).all() else None
    taken = tuple(side for side, name in zip(SIDES, SETS, strict=True) if row[name])
    return (taken if np.isfinite(row["threshold"]) else None), None
