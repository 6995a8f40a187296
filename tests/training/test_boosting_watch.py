"""boosting.py, watched: rounds end on later rows, and only the best round's trees are kept."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from signalkit import training
from signalkit.training import boosting

BOOSTERS = ("XGBOOST", "LIGHTGBM")
TARGETS = ("signal_direction", "target_profitable", "target_return")
# rows to learn from, later rows to watch, rows to predict
FIT, WATCH, ASKED = np.arange(1500), np.arange(1500, 1750), np.arange(1500, 2000)
each = pytest.mark.parametrize("model_type", BOOSTERS)
each_target = pytest.mark.parametrize("target", TARGETS)


def table(n=2000, seed=3):
    """Eight columns of noise; the sign of the first is the label two times of three."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, 8))
    label = np.where(rng.random(n) < 2 / 3, np.sign(matrix[:, 0]), rng.integers(-1, 2, n))
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC")
    features = pd.DataFrame(matrix, index=times, columns=[f"column_{i}" for i in range(8)])
    known_at = times + pd.Timedelta(1, "h")
    return features, pd.DataFrame({"label": label.astype(float), "known_at": known_at}, times)


def asked(target):
    """The table with labels that the target can have."""
    features, labels = table()
    if target == "target_profitable":
        labels = labels.assign(label=(labels["label"] > 0).astype(float))
    return features, labels


def scores(model, features=None, rows=ASKED):
    features = table()[0] if features is None else features
    return (model.predict_proba if model.classifies else model.predict)(features, rows)


def watched(model_type, target="signal_direction", watch=WATCH, **params):
    settings = {"rounds": 80, "learning_rate": 0.3, "patience": 5} | params
    return training.make(model_type, target, **settings).fit(*asked(target), FIT, watch=watch)


def loss(model, target, rows=WATCH):
    """Log-loss, or mean squared error, by brute force."""
    actual = asked(target)[1]["label"].to_numpy()[rows]
    found = scores(model, rows=rows)
    if not model.classifies:
        return ((found - actual) ** 2).mean()
    return -np.log(found[np.arange(len(rows)), (actual + 1).astype(int)]).mean()


@each
@each_target
def test_rounds_end_when_the_watched_loss_no_longer_falls(model_type, target):
    model = watched(model_type, target)
    history = model.history_
    assert history.columns.tolist() == ["train", "watch"]
    assert history.index.tolist() == list(range(1, model.best_iteration_ + 6))
    assert history["watch"].idxmin() == model.best_iteration_ < 75
    # the trees that are kept are those of the best round: its loss by brute force
    assert loss(model, target) == pytest.approx(history["watch"].min(), rel=1e-5)
    assert loss(model, target, FIT) == pytest.approx(
        history["train"][model.best_iteration_], rel=1e-5
    )


@each
@each_target
def test_the_kept_trees_are_those_of_as_many_rounds_unwatched(model_type, target):
    model = watched(model_type, target)
    settings = {"rounds": model.best_iteration_, "learning_rate": 0.3}
    bare = training.make(model_type, target, **settings).fit(*asked(target), FIT)
    np.testing.assert_array_equal(scores(model), scores(bare))
    np.testing.assert_allclose(model.importance(), bare.importance(), rtol=1e-12)
    assert bare.history_.empty
    assert bare.best_iteration_ == model.best_iteration_


@each
def test_nothing_is_learned_from_watched_rows_but_when_to_stop(model_type):
    features, labels = asked("signal_direction")
    other = features.copy()
    other.iloc[WATCH] *= -1
    model = training.make(model_type, "signal_direction", rounds=4, patience=50)
    got = model.fit(other, labels, FIT, watch=WATCH)
    # noise that the first rounds do not rise on: four rounds watched, the best of them kept
    kept = training.make(model_type, "signal_direction", rounds=got.best_iteration_)
    np.testing.assert_array_equal(scores(got, features), scores(kept.fit(features, labels, FIT),
                                                                features))  # fmt: skip


@each
def test_patience_says_how_many_rounds_are_waited(model_type):
    for patience in (1, 7):
        model = watched(model_type, patience=patience)
        assert len(model.history_) == model.best_iteration_ + patience


@each
@each_target
def test_watched_rounds_are_the_same_on_any_number_of_threads(model_type, target, monkeypatch):
    monkeypatch.setattr(boosting, "_SMALL", 0)
    found = []
    for count in ("1", "2", "3"):
        monkeypatch.setenv("SIGNALKIT_THREADS", count)
        model = watched(model_type, target)
        found.append((scores(model), model.history_))
    for got, history in found[1:]:
        np.testing.assert_array_equal(got, found[0][0])
        pd.testing.assert_frame_equal(history, found[0][1], check_exact=True)


def test_the_told_training_rows_are_evenly_spaced_among_those_that_count(monkeypatch):
    monkeypatch.setattr(boosting, "_TOLD", 3)
    assert boosting._few(None, 101).tolist() == [0, 50, 100]
    assert boosting._few(np.r_[0.0, 1.0, 0.0, 2.0], 4).tolist() == [1, 3]


@each
@each_target
def test_loaded_copied_and_pickled_it_gives_the_same_bits(model_type, target, tmp_path):
    model = watched(model_type, target)
    model.save(tmp_path)
    loaded = training.Model.load(tmp_path)
    for other in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(scores(other), scores(model))
        np.testing.assert_array_equal(other.importance(), model.importance())
        assert other.best_iteration_ == model.best_iteration_
    assert training.saved(loaded) == training.saved(model)
