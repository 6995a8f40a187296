"""boosting.py: the same bits on any number of threads and in any process, and a planted edge."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import metrics, training
from signalkit.errors import DataError
from signalkit.training import boosting

ROOT = Path(__file__).resolve().parents[2]
BOOSTERS = ("XGBOOST", "LIGHTGBM")
# 1,500 rows to learn from, 500 to predict
FIT, ASKED = np.arange(1500), np.arange(1500, 2000)


def table(n=2000, seed=3):
    """Eight columns of noise; the sign of the first is the label two times of three."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, 8))
    label = np.where(rng.random(n) < 2 / 3, np.sign(matrix[:, 0]), rng.integers(-1, 2, n))
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC")
    features = pd.DataFrame(matrix, index=times, columns=[f"column_{i}" for i in range(8)])
    known_at = times + pd.Timedelta(1, "h")
    return features, pd.DataFrame({"label": label.astype(float), "known_at": known_at}, times)


def fitted(model_type, target="signal_direction", **params):
    return training.make(model_type, target, **{"rounds": 30} | params).fit(*table(), FIT)


def digest(model):
    """Hash of a model's predictions and of the file its library writes."""
    files = [content for name, content in training.saved(model).items() if name != "model.json"]
    parts = [model.predict_proba(table()[0], ASKED).tobytes(), *files]
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.parametrize("model_type", BOOSTERS)
@pytest.mark.parametrize("target", ["signal_direction", "target_return"])
def test_the_number_of_threads_does_not_change_a_bit(model_type, target, monkeypatch):
    found = []
    monkeypatch.setattr(boosting, "_SMALL", 0)  # a small matrix would get one thread
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("SIGNALKIT_THREADS", threads)
        found.append(fitted(model_type, target).predict(table()[0], ASKED))
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize("threads", ["1", "2"])
def test_another_process_makes_the_same_bits(threads):
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('other', sys.argv[1])\n"
        "other = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(other)\n"
        "other.boosting._SMALL = 0\n"
        "print(*(other.digest(other.fitted(name)) for name in other.BOOSTERS))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, __file__],
        cwd=ROOT,
        env=os.environ | {"SIGNALKIT_THREADS": threads, "PYTHONHASHSEED": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [digest(fitted(name)) for name in BOOSTERS]


@pytest.mark.parametrize("model_type", BOOSTERS)
def test_a_planted_edge_is_learned_and_named_the_most_important(model_type):
    features, labels = table()
    model = fitted(model_type)
    actual = labels["label"].to_numpy()[ASKED]
    got = metrics.classification(actual, model.predict_proba(features, ASKED))
    assert got["auc_direction"] > 0.8
    importance = model.importance()
    assert importance.idxmax() == "column_0"
    assert importance.sum() == pytest.approx(1.0)
    assert importance.min() >= 0
    assert importance.index.tolist() == list(features.columns)


@pytest.mark.parametrize("model_type", BOOSTERS)
def test_columns_other_than_those_learned_are_refused(model_type):
    features, _ = table()
    model = fitted(model_type)
    for other in (features.iloc[:, ::-1], features.iloc[:, :5], features.add_prefix("new_")):
        with pytest.raises(DataError):
            model.predict(other, ASKED)


@pytest.mark.parametrize("model_type", BOOSTERS)
def test_labels_shuffled_against_the_features_teach_nothing(model_type):
    features, labels = table()
    shuffled = labels.assign(label=np.random.default_rng(9).permutation(labels["label"]))
    model = training.make(model_type, "signal_direction", rounds=30).fit(features, shuffled, FIT)
    actual = shuffled["label"].to_numpy()[ASKED]
    got = metrics.classification(actual, model.predict_proba(features, ASKED))
    # 500 rows: two standard errors of an AUC of 0.5 are about 0.06
    assert got["auc_direction"] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("model_type", BOOSTERS)
def test_columns_that_say_nothing_leave_the_class_shares(model_type):
    features, labels = table()
    model = training.make(model_type, "signal_direction", rounds=200, learning_rate=0.3)
    model.fit(features * 0, labels, FIT)
    shares = [(labels["label"].iloc[FIT] == c).mean() for c in metrics.CLASSES]
    got = model.predict_proba(features * 0, ASKED)
    assert got[0] == pytest.approx(shares, abs=0.03)
    assert (got == got[0]).all()
    assert (model.importance() == 0).all()


@pytest.mark.parametrize("model_type", BOOSTERS)
def test_the_seed_is_what_moves_the_trees(model_type):
    features, _ = table()
    one, same, other = (
        fitted(model_type, seed=seed).predict_proba(features, ASKED) for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("model_type", BOOSTERS)
@pytest.mark.parametrize(
    ("name", "value"),
    [("rounds", 5), ("learning_rate", 0.3), ("depth", 1), ("min_rows_leaf", 400),
     ("row_share", 0.3), ("column_share", 0.2)],
)  # fmt: skip
def test_every_setting_reaches_the_library(model_type, name, value):
    features, _ = table()
    base = fitted(model_type).predict_proba(features, ASKED)
    assert (fitted(model_type, **{name: value}).predict_proba(features, ASKED) != base).any()


@pytest.mark.parametrize("model_type", BOOSTERS)
def test_regression_follows_a_step(model_type):
    features, labels = table()
    answers = labels.assign(label=np.where(features["column_1"] > 0, 0.02, -0.01))
    model = training.make(model_type, "target_return", rounds=200, learning_rate=0.1)
    got = model.fit(features, answers, FIT).predict(features, ASKED)
    expected = answers["label"].to_numpy()[ASKED]
    assert np.abs(got - expected).mean() < 0.001
