"""linear.py: scikit-learn's own pipelines, and the same bits alone, among others and loaded."""

import copy
import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from signalkit import training
from signalkit.errors import DataError, ParamsError
from signalkit.training import linear

ROOT = Path(__file__).resolve().parents[2]
FIT, ASKED = np.arange(600), np.arange(600, 900)
CASES = [("LOGISTIC", "signal_direction"), ("LOGISTIC", "target_profitable"),
         ("RIDGE", "target_return")]  # fmt: skip
both = pytest.mark.parametrize(("model_type", "target"), CASES)


def make(model_type, target, **params):
    found = {"LOGISTIC": linear.Logistic, "RIDGE": linear.Ridge}
    return found[model_type](target, **params)


def table(target, n=900, seed=5):
    """Six columns on six scales, one value in twenty missing; the first says something."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, 6)) * 10.0 ** np.arange(-3, 3) + np.arange(6)
    noisy = (matrix[:, 0] - matrix[:, 0].mean()) * 1000 + rng.normal(size=n) * 2
    label = {
        "signal_direction": np.where(abs(noisy) < 1, 0, np.sign(noisy)),
        "target_profitable": (noisy > 0.5).astype(float),
        "target_return": noisy / 100,
    }[target]
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC")
    features = pd.DataFrame(matrix, times, [f"column_{i}" for i in range(6)])
    return features, pd.DataFrame({"label": label, "known_at": times + pd.Timedelta(1, "h")}, times)


def fitted(model_type, target, weight=None, **params):
    model = make(model_type, target, **params)
    return model.fit(*table(target), FIT, sample_weight=weight)


def scores(model, features=None, rows=ASKED):
    features = table(model.target)[0] if features is None else features
    return (model.predict_proba if model.classifies else model.predict)(features, rows)


def alike(n=3000):
    """Forty columns, and forty that nearly repeat them: sums whose bits the threads would move."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(n, 40))
    matrix = np.hstack([matrix, matrix + 0.05 * rng.normal(size=(n, 40))])
    label = np.where(rng.random(n) < 0.3, np.sign(matrix[:, 0]), rng.integers(-1, 2, n))
    return pd.DataFrame(matrix), pd.DataFrame({"label": label.astype(float)}), np.arange(n)


def digest():
    models = [make(*case).fit(*alike()) for case in (CASES[0], CASES[2])]
    found = [scores(model, alike()[0]).tobytes() for model in models]
    return hashlib.sha256(b"".join(found)).hexdigest()


def pipeline(last):
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), last)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", ["signal_direction", "target_profitable"])
def test_logistic_equals_the_pipeline_of_scikit_learn(target, weighted):
    features, labels = table(target)
    x, y = features.to_numpy(), labels["label"].to_numpy()
    weight = np.random.default_rng(1).random(len(FIT)) if weighted else np.ones(len(FIT))
    model = pipeline(LogisticRegression(C=0.1, tol=1e-10, max_iter=2000))
    model.fit(x[FIT], y[FIT], logisticregression__sample_weight=weight / weight.mean())
    expected = np.zeros((len(ASKED), 3))
    expected[:, (model.classes_ + 1).astype(int)] = model.predict_proba(x[ASKED])
    got = fitted("LOGISTIC", target, weight if weighted else None).predict_proba(features, ASKED)
    # two solvers of one problem: theirs is L-BFGS, ours Newton's
    np.testing.assert_allclose(got, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_equals_the_pipeline_of_scikit_learn(weighted):
    features, labels = table("target_return")
    x, y = features.to_numpy(), labels["label"].to_numpy()
    weight = np.random.default_rng(1).random(len(FIT)) if weighted else np.ones(len(FIT))
    model = pipeline(Ridge(alpha=0.5 * len(FIT), solver="svd"))
    model.fit(x[FIT], y[FIT], ridge__sample_weight=weight / weight.mean())
    got = fitted("RIDGE", "target_return", weight if weighted else None, alpha=0.5)
    expected = model.predict(x[ASKED])
    np.testing.assert_allclose(got.predict(features, ASKED), expected, rtol=1e-9)


def test_an_alpha_of_1_halves_the_slope_of_a_column_that_is_alone():
    features = pd.DataFrame({"alone": [-3.0, -1.0, 1.0, 3.0]})
    labels = pd.DataFrame({"label": [-5.0, -1.0, 3.0, 7.0]})  # 1 + 2 x
    got = make("RIDGE", "target_return").fit(features, labels, np.arange(4))
    assert got.predict(features, np.arange(4)) == pytest.approx([-2.0, 0.0, 2.0, 4.0])


@both
def test_the_size_of_all_weights_changes_nothing(model_type, target):
    weight = np.random.default_rng(2).random(len(FIT))
    got = [scores(fitted(model_type, target, weight * scale)) for scale in (1.0, 0.25)]
    np.testing.assert_array_equal(got[1], got[0])
    assert (got[0] != scores(fitted(model_type, target))).any()


@both
def test_nothing_but_the_training_rows_is_learned_from(model_type, target):
    features, labels = table(target)
    poisoned = features.copy()
    poisoned.iloc[ASKED] = 1e9
    answers = labels.assign(label=labels["label"].where(np.arange(900) < 600, 1.0))
    model = make(model_type, target).fit(poisoned, answers, FIT, watch=ASKED)
    np.testing.assert_array_equal(scores(model, features), scores(fitted(model_type, target)))


@both
def test_a_row_has_the_same_bits_alone_and_among_others(model_type, target):
    features, _ = table(target)
    model = fitted(model_type, target)
    whole = scores(model)
    # another layout in memory, rows in a list with a gap, and one by one
    other = pd.DataFrame(np.ascontiguousarray(features), features.index, features.columns)
    np.testing.assert_array_equal(scores(model, other), whole)
    np.testing.assert_array_equal(scores(model, rows=np.r_[ASKED[:5], ASKED[9:]])[5:], whole[9:])
    for i in range(5):
        np.testing.assert_array_equal(scores(model, features.iloc[[600 + i]], np.array([0]))[0],
                                      whole[i])  # fmt: skip


@both
def test_copied_pickled_and_loaded_it_gives_the_same_bits(model_type, target, tmp_path):
    model = fitted(model_type, target)
    model.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.json"]
    loaded = training.Model.load(tmp_path)
    for other in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(scores(other), scores(model))
    assert training.saved(loaded) == training.saved(model)
    assert json.loads((tmp_path / "model.json").read_text())["features"][0] == "column_0"


@pytest.mark.parametrize("count", ["1", "2"])
def test_another_process_makes_the_same_bits_on_any_number_of_threads(count):
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('other', sys.argv[1])\n"
        "other = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(other)\n"
        "print(other.digest())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, __file__],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [digest()]


@both
def test_a_constant_column_does_no_harm(model_type, target):
    features, labels = table(target)
    # the computed mean of 600 times 0.1 is not 0.1
    more = features.assign(still=0.1)
    model = make(model_type, target).fit(more, labels, FIT)
    expected = scores(fitted(model_type, target))
    np.testing.assert_allclose(scores(model, more), expected, rtol=1e-9)
    moved = more.assign(still=5.0)
    np.testing.assert_array_equal(scores(model, moved), scores(model, more))


@both
def test_a_value_beyond_ten_deviations_counts_as_ten(model_type, target):
    features, _ = table(target)
    model = fitted(model_type, target)
    far = [
        scores(model, features.assign(column_0=model.centre_[0] + k * model.scale_[0]))
        for k in (9.0, 10.0, 11.0, 1e6)
    ]
    assert (far[0] != far[1]).all(axis=0).any()
    np.testing.assert_allclose(far[2], far[1], rtol=1e-12)
    np.testing.assert_array_equal(far[3], far[2])


@both
def test_a_row_that_misses_everything_is_scored_as_the_median_row(model_type, target):
    features, _ = table(target)
    model = fitted(model_type, target)
    medians = features.iloc[FIT].median()  # of pandas
    rows = pd.DataFrame([medians * np.nan, medians], columns=features.columns)
    got = scores(model, rows, np.arange(2))
    np.testing.assert_array_equal(got[0], got[1])


@pytest.mark.parametrize("only", [-1.0, 0.0, 1.0])
def test_one_class_in_the_window_is_certain(only):
    features, labels = table("signal_direction")
    model = make("LOGISTIC", "signal_direction").fit(features, labels.assign(label=only), FIT)
    expected = np.tile((np.array([-1.0, 0.0, 1.0]) == only).astype(float), (len(ASKED), 1))
    np.testing.assert_array_equal(model.predict_proba(features, ASKED), expected)
    assert (model.predict(features, ASKED) == only).all()


def test_a_class_that_the_window_lacks_has_no_share():
    features, labels = table("signal_direction")
    held = labels.assign(label=labels["label"].replace(0.0, 1.0))
    got = make("LOGISTIC", "signal_direction").fit(features, held, FIT)
    shares = got.predict_proba(features, ASKED)
    assert (shares[:, 1] == 0).all()
    assert (shares[:, [0, 2]] > 0).all()
    assert shares.sum(axis=1) == pytest.approx(1)


@both
def test_it_is_a_baseline_that_reads_features(model_type, target):
    model = make(model_type, target)
    assert model.baseline
    assert model.reads == "features"


@both
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: f.assign(column_3=np.nan), "column_3 has no value in the 600 training rows"),
        (lambda f: f.assign(column_2=np.inf), "column_2 is inf at 2024-01-01"),
        (lambda f: f.assign(column_2=-np.inf), "column_2 is -inf at 2024-01-01"),
    ],
)
def test_columns_that_teach_nothing_are_named(model_type, target, spoil, says):
    features, labels = table(target)
    with pytest.raises(DataError, match=says):
        make(model_type, target).fit(spoil(features), labels, FIT)


@both
def test_infinite_or_other_columns_are_not_scored(model_type, target):
    features, _ = table(target)
    model = fitted(model_type, target)
    with pytest.raises(DataError, match="column_1 is inf at 2024-01-26"):
        scores(model, features.assign(column_1=np.inf))
    with pytest.raises(DataError, match="learned the columns"):
        scores(model, features.iloc[:, ::-1])


@both
@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (np.ones(5), "5 sample weights for 600 rows"),
        (np.r_[np.ones(599), -1.0], "sample weight 599 is -1.0"),
        (np.r_[np.nan, np.ones(599)], "sample weight 0 is nan"),
        (np.zeros(600), "all 600 sample weights are 0"),
    ],
)
def test_weights_that_say_nothing_are_refused(model_type, target, weight, says):
    with pytest.raises(DataError, match=says):
        fitted(model_type, target, weight)


@pytest.mark.parametrize(
    ("model_type", "target", "params", "says"),
    [
        ("LOGISTIC", "target_return", {}, "target_return is a number; take RIDGE"),
        ("RIDGE", "triple_barrier", {}, "triple_barrier is a class; take LOGISTIC"),
        ("LOGISTIC", "triple_barrier", {"C": 0}, "C must be above 0, was 0"),
        ("RIDGE", "target_return", {"alpha": -1.0}, "alpha must be above 0, was -1.0"),
        ("RIDGE", "target_return", {"C": 1.0}, "RIDGE has no parameter 'C'"),
    ],
)
def test_what_cannot_be_learned_is_refused_before_any_training(model_type, target, params, says):
    with pytest.raises(ParamsError, match=says):
        make(model_type, target, **params)


def test_steps_that_do_not_reach_the_end_are_an_error(monkeypatch):
    monkeypatch.setattr(linear, "_STEPS", 1)
    with pytest.raises(DataError, match="does not converge on 600 rows in 1 steps; lower C"):
        fitted("LOGISTIC", "signal_direction")
