"""Same seed, same numbers: in a new process, with 1 or 2 threads or workers, saved and loaded."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from signalkit import training
from signalkit.proof import poison
from signalkit.training import Recipe, Trained
from signalkit.validation import aligned

# a walk with everything that is fitted, the ensemble, its sets and their scores; a digest each
WALK = """
import hashlib, json
import pandas as pd
from signalkit import training, validation
from signalkit.splits import WalkForward
from signalkit.proof import poison

OWN = {
    "XGBOOST": {"rounds": 15, "min_rows_leaf": 10},
    "LIGHTGBM": {"rounds": 15, "min_rows_leaf": 10},
    "LSTM": {"units": 3, "lookback": 4, "epochs": 2, "batch": 64},
}
NAIVE = ["MAJORITY", "PERSISTENCE", "LOGISTIC"]

def digests():
    features, labels = poison.market()
    models = {name: training.make(name, "signal_direction", **s) for name, s in OWN.items()}
    models |= {name: training.make(name, "signal_direction") for name in NAIVE}
    recipe = training.Recipe(
        uniqueness=True, last=0.5, stopping=tuple(OWN), calibration="temperature"
    )
    splits = WalkForward(160, 80)
    walk = validation.walk(features, labels, models, splits, recipe=recipe)
    joined = training.combine(walk.predictions, list(OWN), least=30.0)
    stacked = training.combine(walk.predictions, list(OWN), method="stacking", least=30.0)
    mine = joined.predictions.xs(training.ENSEMBLE, level="model_id")
    tables = {
        "predictions": joined.predictions,
        "raw": walk.raw,
        "weights": joined.weights,
        "stacked": stacked.predictions,
        "history": walk.history,
        "gain": walk.gain,
        "rises": walk.rises,
        "sets": training.prediction_sets(mine, least=30, window=60),
        "scores": validation.scores(joined.predictions, block=12, draws=100),
    }
    return {
        name: hashlib.sha256(
            pd.util.hash_pandas_object(t).to_numpy().tobytes() + str(list(t)).encode()
        ).hexdigest()
        for name, t in tables.items()
    }
"""


def elsewhere(threads, workers):
    """A new process that prints the digests of the walk."""
    asked = {"SIGNALKIT_THREADS": threads, "SIGNALKIT_WORKERS": workers}
    return subprocess.Popen(
        [sys.executable, "-c", f"{WALK}\nprint(json.dumps(digests()))"],
        env=os.environ | asked | {"PYTHONHASHSEED": threads + workers},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def found():
    """Digests of one thread and worker here, and of two of either in processes of their own."""
    started = {"threads": elsewhere("2", "1"), "workers": elsewhere("1", "2")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNALKIT_THREADS", "1")
        patch.setenv("SIGNALKIT_WORKERS", "1")
        names = {}
        exec(WALK, names)
        told = {"here": names["digests"]()}
    for name, process in started.items():
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        told[name] = json.loads(out.strip().splitlines()[-1])
    return told


@pytest.mark.parametrize("more", ["threads", "workers"])
def test_a_new_process_with_two_threads_or_workers_gives_the_same_bits(found, more):
    assert len(found["here"]) == 9
    assert found[more] == found["here"]


SETTINGS = {
    "XGBOOST": {"rounds": 10, "min_rows_leaf": 10},
    "LIGHTGBM": {"rounds": 10, "min_rows_leaf": 10},
    "LSTM": {"units": 3, "lookback": 4, "epochs": 1},
    "GRU": {"units": 3, "lookback": 4, "epochs": 1},
    "LOGISTIC": {},
    "MAJORITY": {},
    "PERSISTENCE": {},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_saved_and_loaded_a_trained_model_gives_the_same_bits(name, monkeypatch):
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    features, labels = poison.market()
    labels, rows = aligned(features, labels)
    early = rows[labels["label"].notna().to_numpy()[rows]][:240]
    model = training.make(name, "signal_direction", **SETTINGS[name])
    recipe = Recipe(stopping=("LSTM",), calibration="temperature", calibration_share=0.3)
    found = recipe.fit(model, features, labels, early)
    assert (found.calibrator is None) == model.baseline
    loaded = Trained.load(found.files())
    assert loaded.files() == found.files()
    for asked in (rows, rows[250:251]):
        np.testing.assert_array_equal(
            loaded.predict_proba(features, asked), found.predict_proba(features, asked)
        )


@pytest.mark.parametrize("name", ["XGBOOST", "LIGHTGBM", "LSTM"])
def test_another_seed_gives_other_numbers(name, monkeypatch):
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    features, labels = poison.market()
    labels, rows = aligned(features, labels)
    early = rows[labels["label"].notna().to_numpy()[rows]][:240]
    shares = [
        training.make(name, "signal_direction", **SETTINGS[name], seed=seed)
        .fit(features, labels, early)
        .predict_proba(features, rows)
        for seed in (7, 7, 8)
    ]
    np.testing.assert_array_equal(shares[0], shares[1])
    assert not np.array_equal(shares[0], shares[2])
