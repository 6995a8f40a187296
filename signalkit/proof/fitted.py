"""Proof that what is fitted or decided knows nothing of later: truncate and poison every stage.

What is fitted in a training window predicts the window after it, up to some time t. Rows after
t, and labels settled at or after the first test time, are cut off, then replaced by garbage: the
predictions up to t must be equal to the last bit. What is fitted on the stream of predictions is
asked the same with rows after t, and outcomes known after t, cut off or replaced. What is decided
and earned by then is proven in signalkit.proof.money.

The tables are seeded and small: a stage is proven as code, not on the data of a study.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd

from signalkit import causality, signals
from signalkit.causality import Causality
from signalkit.proof import money
from signalkit.proof.poison import (
    GUESSED,
    MEMBERS,
    TIMES,
    TRAIN,
    Fold,
    in_window,
    on_stream,
    predicted,
)
from signalkit.splits import WalkForward
from signalkit.training import (
    ENSEMBLE,
    Recipe,
    combine,
    make,
    prediction_intervals,
    prediction_sets,
    select,
)
from signalkit.validation.drift import drift
from signalkit.validation.walkforward import walk_forward

# test times of a fold whose drift is measured
_TEST = 40
_IN_WINDOW = "rows after t, labels settled from the first test time on"
_SETTLED = "rows after t, labels settled after t"
_IN_STREAM = "predictions after t, outcomes known after t"
_IN_BARS = "bars after t"
# bars to cut at: a regime ranks all bars so far, so that more of them take long
_BARS = (75, 150, 265)


def fold_of(names: Iterable[str] = ("LIGHTGBM",), recipe: Recipe | None = None) -> Fold:
    """Predictions of models in one fold of the seeded market, each fitted by a recipe.

    Parameters
    ----------
    names : iterable of str
        Model types.
    recipe : Recipe, optional
        How they are fitted; as `walk_forward` has it if omitted.
    """
    small = {
        "LIGHTGBM": {"rounds": 40, "min_rows_leaf": 10, "learning_rate": 0.4},
        "LSTM": {"units": 2, "lookback": 4, "epochs": 1, "batch": 512},
    }
    models = {name: make(name, "signal_direction", **small.get(name, {})) for name in names}
    # one fold: a window that starts at the first bar, and all bars after it
    splits = WalkForward(TRAIN, 1, step=TIMES)

    def predict(features: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
        """The fold's predictions."""
        return walk_forward(features, labels, models, splits, recipe=recipe)[GUESSED]

    return predict


def combined(predictions: pd.DataFrame, method: str = "weighted") -> pd.DataFrame:
    """What an ensemble makes of predictions: shares, confidence, disagreement and weights."""
    found = combine(predictions, list(MEMBERS), method=method, least=50.0)
    own = found.predictions.xs(ENSEMBLE, level="model_id")[GUESSED]
    return own.assign(disagreement=found.disagreement).join(found.weights, on="time")


def _sets(predictions: pd.DataFrame) -> pd.DataFrame:
    """Conformal sets of one model, or intervals of a number; without the outcome they cover."""
    own = predictions.xs(MEMBERS[-1], level="model_id")
    own = own[own["prediction"].notna()]
    classes = own["p_hold"].notna().all()
    found = (prediction_sets if classes else prediction_intervals)(own, least=40, rate=0.05)
    return found.drop(columns="covered").astype(float)


def drifted(features: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Drift of each column in each fold, a row a fold, at its last test time."""
    table = drift(features, labels, WalkForward(TRAIN, _TEST)).unstack("feature")
    table.columns = [f"{measure} of {name}" for measure, name in table.columns]
    ends = features.index.get_level_values("time").unique()[TRAIN + _TEST - 1 :: _TEST]
    table.index = pd.MultiIndex.from_product([["all"], ends], names=["symbol", "time"])
    return table


def _regime(bars: pd.DataFrame) -> pd.Series:
    """Regimes as numbers."""
    found = signals.volatility_regime(bars, span=10, least=50)
    return found.map({"unknown": np.nan, "calm": 0.0, "normal": 1.0, "wild": 2.0})


def _stood(bars: pd.DataFrame) -> pd.DataFrame:
    """What stands in for an ensemble that failed at every bar."""
    return signals.stand_in(signals.trend(bars, fast=3, slow=10), bars.index)


def recipes() -> dict[str, Recipe]:
    """A recipe for each thing that is fitted inside a training window beside the model."""
    ranker = make("LIGHTGBM", "signal_direction", rounds=10, min_rows_leaf=10)
    by_gain = partial(select, keep=3, by="gain", ranker=ranker)
    stops = {"stopping": ("LIGHTGBM",), "stopping_share": 0.25}
    return {
        "selection: without twins": Recipe(partial(select, max_correlation=0.7)),
        "selection: best by IC": Recipe(partial(select, keep=3)),
        "selection: best by gain": Recipe(by_gain),
        "row weights: uniqueness": Recipe(uniqueness=True),
        "row weights: decay": Recipe(last=0.2),
        "row weights: balanced": Recipe(balanced=True),
        "early stopping": Recipe(**stops),
        "search for settings": Recipe(trials=3, folds=2, seed=1),
        "calibration: temperature": Recipe(calibration="temperature"),
        "calibration: sigmoid": Recipe(calibration="sigmoid"),
        "calibration, then fitted again": Recipe(calibration="temperature", refit=True, **stops),
    }


def stages() -> pd.DataFrame:
    """Truncate and poison every stage that is fitted on data, decides, or follows decisions.

    Returns
    -------
    DataFrame indexed by stage
        `poisoned`, what was cut off and replaced; `probes`, how many comparisons were made;
        `difference`, the largest change up to t, inf where a number came or went; `first`,
        the first time that changed, NaT where nothing did; `passed`.
    """
    classes, numbers = predicted(), predicted("target_return")
    found = {
        "model alone": (_IN_WINDOW, in_window(fold_of())),
        "scale: LOGISTIC": (_IN_WINDOW, in_window(fold_of(["LOGISTIC"]))),
        "scale: LSTM": (_IN_WINDOW, in_window(fold_of(["LSTM"]), places=(20,))),
        "shares: MAJORITY": (_IN_WINDOW, in_window(fold_of(["MAJORITY"]))),
        "repeats: PERSISTENCE": (_SETTLED, in_window(fold_of(["PERSISTENCE"]), settled=True)),
    }
    for name, recipe in recipes().items():
        found[name] = (_IN_WINDOW, in_window(fold_of(recipe=recipe)))
    for method in ("weighted", "stacking"):
        for kind, table in {"classes": classes, "numbers": numbers}.items():
            proof = on_stream(partial(combined, method=method), table)
            found[f"ensemble: {method}, {kind}"] = (_IN_STREAM, proof)
    found["conformal sets"] = (_IN_STREAM, on_stream(_sets, classes))
    found["conformal intervals"] = (_IN_STREAM, on_stream(_sets, numbers))
    found["reference of drift"] = (_IN_WINDOW, in_window(drifted, places=(_TEST - 1,)))
    found["regimes"] = (_IN_BARS, causality.check(_regime, at=_BARS))
    found["rule that stands in"] = (_IN_BARS, causality.check(_stood, at=_BARS))
    found |= money.proofs()
    rows = {name: _row(poisoned, proof) for name, (poisoned, proof) in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")


def _row(poisoned: str, proof: Causality) -> dict[str, object]:
    """A stage's row."""
    first = pd.NaT if proof.first is None else proof.first
    told = {"poisoned": poisoned, "probes": proof.probes, "difference": proof.difference}
    return told | {"first": first, "passed": proof.passed}
