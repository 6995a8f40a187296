"""settled.py and predictor.py: bar by bar the ensemble's rows of the walk-forward, bit for bit."""

import json
from dataclasses import dataclass, field, fields

import numpy as np
import pytest

from signalkit import training, validation
from signalkit.inference import Predictor
from signalkit.store.predictions import Asked, Outcome, Predicted
from signalkit.study import learning
from signalkit.study.registry import PAST, STUDY, _content
from tests.inference.studies import study_of

HOURS = 5 * 24
SIDES = ("sell", "hold", "buy")
BOTH = ["SP500", "NASDAQ"]
GRU = {"units": 4, "lookback": 8, "epochs": 1, "dropout": 0.0}


@dataclass(frozen=True)
class Keeping(training.Recipe):
    """A recipe that keeps what it fitted, a list of folds for each model."""

    kept: dict = field(default_factory=dict)

    def fit(self, model, *args, **options):
        found = super().fit(model, *args, **options)
        self.kept.setdefault(model.model_type, []).append(found)
        return found


def walked(study):
    """Predictions of a walk-forward with those of the ensemble, its sets, and fitted models."""
    own = learning.recipe(study)
    recipe = Keeping(**{one.name: getattr(own, one.name) for one in fields(own)})
    models = {name: learning.models(study)[name] for name in study.params.training.models}
    table = validation.walk_forward(
        study.features(), study.labels(), models, study.splits, recipe=recipe
    )
    asked = study.params.training.ensemble
    how = {"method": asked.method, "half_life": asked.half_life}
    joined = training.combine(table, list(models), **how)
    return table, joined, learning._sets(study, joined.predictions), recipe.kept


def deploy(study, kept, table, fold):
    """Register and deploy the models of a fold, which know the folds before; their numbers."""
    store, target, numbers = study.store, study.params.labeling.target, []
    told = json.dumps(study.params.model_dump(mode="json")).encode()
    before, moment = table[table["fold"] < fold], study.features().index.levels[1][0]
    for name, models in kept.items():
        found = models[fold]
        files = found.files() | {STUDY: told}
        if fold:
            files[PAST] = _content(before.xs(name, level="model_id"))
        number = store.models.register(
            name=f"small.{name}", identity=f"{name}-{fold}", model_type=name, files=files,
            target_variable=target, prediction_horizon=5, features_used=found.columns, params={},
            metrics={}, study="small", symbols=BOTH, interval="1d", trained_from=moment,
            trained_to=moment,
        )  # fmt: skip
        store.models.deploy(number)
        numbers.append(number)
    return numbers


def settle(store, asked, table, time):
    """Write the outcomes that are known by a time."""
    cells, found = table.droplevel("model_id"), []
    cells = cells[~cells.index.duplicated()]
    known = cells[cells["known_at"] <= time]
    told = {(s, t.value): (k.value, a) for (s, t), k, a in
            zip(known.index, known["known_at"], known["actual"], strict=True)}  # fmt: skip
    for row in store.predictions.unsettled(asked):
        outcome = told.get((row["symbol"], row["prediction_timestamp"]))
        if outcome is not None:
            found.append(Outcome(row["id"], *outcome, None))
    store.predictions.settle(found)


def write(store, asked, found):
    """Enter the votes and what they make together."""
    time, symbol = found.time.value, found.symbol
    made = [
        Predicted(str(v.model), symbol, asked, time, v.value, v.confidence, v.probabilities)
        for v in found.votes
    ]
    both = (found.value, found.confidence, found.probabilities)
    store.predictions.write([*made, Predicted("ENSEMBLE", symbol, asked, time, *both)])


def assert_row(found, row, held, apart):
    """To the last bit: an answer and a row of validation."""
    assert (found.value, found.disagreement) == (row["prediction"], apart)
    flags = {flag.code for flag in found.flags}
    assert flags <= {"no_hull", "few_settled", "gap"}
    if found.probabilities is None:
        expected = (held["low"], held["high"]) if np.isfinite(held["low"]) else None
        assert found.prediction_interval == expected
        return
    assert list(found.probabilities.values()) == row[training.PROBABILITIES].tolist()
    if "gap" not in flags:
        assert found.confidence == row["confidence"]
    taken = tuple(side for side in SIDES if held[f"in_{side}"])
    assert found.prediction_set == (taken if np.isfinite(held["threshold"]) else None)


def assert_served_as_validated(study, folds, bars):
    """Serve the first bars of some folds, and compare each answer; how many there were."""
    target = study.params.labeling.target
    table, joined, sets, kept = walked(study)
    asked, answers = Asked(target, "1d", 5), 0
    stacks = study.params.training.ensemble.method == "stacking"
    assert (max(folds) in joined.stackers.index) == stacks
    rows = joined.predictions.xs(training.ENSEMBLE, level="model_id")
    for fold in folds:
        deploy(study, kept, table, fold)
        predictor = Predictor(study.store)
        times = table.index.get_level_values("time")[table["fold"] == fold].unique().sort_values()
        for time in times[:bars]:
            settle(study.store, asked, table, time)
            for symbol in BOTH:
                found = predictor.get_ensemble_prediction(symbol, HOURS, target=target, at=time)
                key = (symbol, time)
                assert len(found.votes) == len(kept)
                assert_row(found, rows.loc[key], sets.loc[key], joined.disagreement.loc[key])
                write(study.store, asked, found)
                answers += 1
    return answers


@pytest.mark.parametrize(
    ("target", "joins"),
    [
        ("signal_direction", {"method": "weighted", "half_life": 250}),
        ("signal_direction", {"method": "stacking", "half_life": 5000}),
        ("target_return", {"method": "weighted", "half_life": 60}),
    ],
)
def test_served_is_what_walk_forward_said(own_store, target, joins):
    study = study_of(
        collection={"symbols": BOTH},
        features={"families": ["price"]},
        labeling={"target": target},
        training={"models": ["XGBOOST", "LIGHTGBM"], "ensemble": joins},
    )
    assert assert_served_as_validated(study, folds=(1, 3), bars=20) == 80


@pytest.mark.certify
@pytest.mark.parametrize("target", ["signal_direction", "target_return"])
def test_boosters_and_a_network_are_served_as_walk_forward_said(own_store, target):
    study = study_of(
        collection={"symbols": BOTH},
        features={"families": ["price", "calendar"]},
        labeling={"target": target},
        training={"models": ["XGBOOST", "LIGHTGBM", "GRU"], "recurrent": GRU},
    )
    assert assert_served_as_validated(study, folds=(0, 1, 2, 3), bars=200) == 1600
