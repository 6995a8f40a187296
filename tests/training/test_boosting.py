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
from signalkit.errors import DataError, StoreError
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


TARGETS = ("signal_direction", "target_profitable", "target_return")
# later than the rows to learn from
WATCH = np.arange(1500, 1750)
each = pytest.mark.parametrize("model_type", BOOSTERS)
each_target = pytest.mark.parametrize("target", TARGETS)


def asked(target):
    """The table with labels that the target can have."""
    features, labels = table()
    if target == "target_profitable":
        labels = labels.assign(label=(labels["label"] > 0).astype(float))
    return features, labels


def scores(model, features=None, rows=ASKED):
    features = table()[0] if features is None else features
    return (model.predict_proba if model.classifies else model.predict)(features, rows)


@each
@each_target
def test_rows_in_a_row_are_scored_as_rows_in_a_list(model_type, target, monkeypatch):
    monkeypatch.setattr(boosting, "_COPIED", 150)  # 500 rows in four parts
    features, _ = table()
    model = fitted_on(model_type, target)
    other = pd.DataFrame(np.ascontiguousarray(features), features.index, features.columns)
    gapped = np.r_[ASKED[:200], ASKED[201:]]
    for seen in (features, other):
        np.testing.assert_array_equal(scores(model, seen, gapped), np.delete(scores(model), 200, 0))
        np.testing.assert_array_equal(scores(model, seen, ASKED[::-1])[::-1], scores(model))


def fitted_on(model_type, target, labels=None, features=None, weight=None, **params):
    seen, answers = asked(target)
    model = training.make(model_type, target, **{"rounds": 30} | params)
    return model.fit(
        seen if features is None else features,
        answers if labels is None else answers.assign(label=labels),
        FIT,
        sample_weight=weight,
    )


@each
@each_target
def test_a_missing_value_goes_a_way_of_its_own(model_type, target):
    features, labels = asked(target)
    holes = features.mask(np.random.default_rng(1).random(features.shape) < 0.3)
    # where the telling column is missing the label is 1: that can be learned from the hole
    label = labels["label"].where(holes["column_0"].notna(), 1.0)
    model = fitted_on(model_type, target, label, holes, learning_rate=0.2)
    gone = holes["column_0"].isna().to_numpy()[ASKED]
    assert (model.predict(holes, ASKED)[gone].round() == 1).all()


@each
@each_target
def test_a_column_without_any_value_does_no_harm(model_type, target):
    features = table()[0].assign(column_3=np.nan)
    model = fitted_on(model_type, target, features=features)
    assert np.isfinite(scores(model, features)).all()
    assert model.importance()["column_3"] == 0


@each
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_named(model_type, value):
    features, labels = asked("signal_direction")
    spoilt = features.copy()
    spoilt.iloc[1200:1600, 2] = value
    with pytest.raises(DataError, match=f"column_2 is {value} at 2024-02-20 00:00:00"):
        fitted_on(model_type, "signal_direction", features=spoilt)
    model = fitted(model_type)
    with pytest.raises(DataError, match=f"column_2 is {value} at 2024-03-03 12:00:00"):
        scores(model, spoilt)
    early = np.arange(1000)
    with pytest.raises(DataError, match="column_2 is"):
        training.make(model_type, "signal_direction").fit(spoilt, labels, early, watch=WATCH)


def test_what_xgboost_refuses_is_told_as_an_error_of_the_data():
    features = table()[0].assign(column_2=1e39)  # finite, but not in XGBoost's 32 bits
    with pytest.raises(DataError, match=r"XGBOOST refuses the rows: .*a value too large"):
        fitted_on("XGBOOST", "signal_direction", features=features)


def test_what_lightgbm_refuses_is_told_as_an_error_of_the_data():
    features = table()[0].rename(columns={"column_2": "a,b"})
    with pytest.raises(DataError, match=r"LIGHTGBM refuses the rows: .*JSON"):
        fitted_on("LIGHTGBM", "signal_direction", features=features)


@each
def test_a_file_that_is_not_the_librarys_is_refused(model_type, tmp_path):
    fitted(model_type).save(tmp_path)
    next(file for file in tmp_path.iterdir() if file.name != "model.json").write_text("no trees")
    with pytest.raises(StoreError):
        training.Model.load(tmp_path)


@each
@pytest.mark.parametrize("lacking", [-1.0, 0.0, 1.0])
def test_a_class_that_the_window_lacks_keeps_next_to_no_share(model_type, lacking):
    label = table()[1]["label"].replace(lacking, 0.0 if lacking else 1.0)
    shares = scores(fitted_on(model_type, "signal_direction", label))
    assert (shares[:, int(lacking) + 1] < 1e-5).all()
    assert shares.sum(axis=1) == pytest.approx(1)
    assert shares.min() > 0


@each
@pytest.mark.parametrize(
    ("target", "only"),
    [("signal_direction", -1.0), ("signal_direction", 1.0), ("target_profitable", 0.0),
     ("target_profitable", 1.0), ("target_return", 0.02)],
)  # fmt: skip
def test_one_answer_in_the_window_is_what_is_predicted(model_type, target, only):
    features, labels = asked(target)
    model = training.make(model_type, target, rounds=30)
    model.fit(features, labels.assign(label=only), FIT, watch=WATCH)
    assert model.predict(features, ASKED) == pytest.approx(only)


@each
def test_a_binary_target_has_no_trees_for_what_cannot_be(model_type):
    model = fitted_on(model_type, "target_profitable")
    shares = scores(model)
    assert (shares[:, 0] == 0).all()
    assert shares.sum(axis=1) == pytest.approx(1)
    actual = asked("target_profitable")[1]["label"].to_numpy()[ASKED]
    # 2/3 of the labels are the sign of the first column, the rest is 1 one time of three
    assert (model.predict(*asked("target_profitable")[:1], ASKED) == actual).mean() > 0.75
    trees = {
        "XGBOOST": lambda booster: len(booster.get_dump()),
        "LIGHTGBM": lambda booster: booster.num_trees(),
    }
    assert trees[model_type](model.booster) == 30


@each
@each_target
def test_rows_of_no_weight_teach_nothing(model_type, target):
    weight = np.where(np.arange(1500) < 1000, 2.0, 0.0)
    base = asked(target)[1]["label"]
    flipped = base.where(np.arange(2000) < 1000, 1 - base.clip(0))
    got = scores(fitted_on(model_type, target, flipped, weight=weight))
    np.testing.assert_array_equal(got, scores(fitted_on(model_type, target, weight=weight)))
    assert (got != scores(fitted_on(model_type, target, flipped))).any()


@each
@each_target
def test_only_how_weights_compare_counts(model_type, target):
    weight = np.random.default_rng(4).random(1500)
    got = [scores(fitted_on(model_type, target, weight=weight * size)) for size in (1.0, 2**-20)]
    np.testing.assert_array_equal(got[1], got[0])


@each
def test_weights_that_say_nothing_are_refused(model_type):
    with pytest.raises(DataError, match="5 sample weights for 1500 rows"):
        fitted_on(model_type, "signal_direction", weight=np.ones(5))
    with pytest.raises(DataError, match="all 1500 sample weights are 0"):
        fitted_on(model_type, "signal_direction", weight=np.zeros(1500))


@each
def test_a_wider_matrix_is_scored_on_the_threads_of_its_own_size(model_type, monkeypatch):
    monkeypatch.setenv("SIGNALKIT_THREADS", "2")
    model = fitted(model_type)
    one = scores(model)
    monkeypatch.setattr(boosting, "_SMALL", 0)
    np.testing.assert_array_equal(scores(model), one)
    if model_type == "XGBOOST":
        assert '"nthread":"2"' in model.booster.save_config()
