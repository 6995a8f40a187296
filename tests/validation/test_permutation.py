"""permutation.py: scikit-learn's permutation importance, row by row and all columns at once."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.inspection import permutation_importance
from sklearn.utils import check_random_state

from signalkit import training
from signalkit.training import LightGBM
from signalkit.validation import permutation
from signalkit.validation.permutation import disorder, losses, rises


def table(n=240, seed=2):
    """Two symbols; the first column leads the label, the last is idle."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=n // 2, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["symbol", "time"])
    values = np.column_stack([rng.normal(size=(n, 3)), np.ones(n)])
    features = pd.DataFrame(values, index, columns=["good", "noise", "other", "idle"])
    label = np.clip(np.round(values[:, 0] + rng.normal(size=n)), -1, 1)
    return features, pd.DataFrame({"label": label, "known_at": pd.NaT}, index)


FIT, ASKED = np.arange(0, 240, 2), np.arange(1, 240, 2)


def fitted(target="signal_direction", model_type="LIGHTGBM"):
    features, labels = table()
    model = training.make(model_type, target, rounds=20, min_rows_leaf=5, learning_rate=0.1)
    model.fit(features, labels, FIT)
    return model, features.iloc[ASKED], labels["label"].to_numpy()[ASKED]


class Classifier(ClassifierMixin, BaseEstimator):
    """Our model as scikit-learn calls one."""

    def __init__(self, model=None):
        self.model, self.classes_ = model, np.array([-1.0, 0.0, 1.0])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(X, np.arange(len(X)))


class Regressor(RegressorMixin, BaseEstimator):
    """Our model of a number as scikit-learn calls one."""

    def __init__(self, model=None):
        self.model = model

    def fit(self, X, y):
        return self

    def predict(self, X):
        return self.model.predict(X, np.arange(len(X)))


def their_order(n, seed):
    """The permutation that scikit-learn 1.9 draws: one for all columns, from one number."""
    order = np.arange(n)
    number = check_random_state(seed).randint(np.iinfo(np.int32).max + 1)
    check_random_state(number).shuffle(order)
    return order


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(
    ("target", "wrap", "scoring"),
    [
        ("signal_direction", Classifier, "neg_log_loss"),
        ("target_return", Regressor, "neg_mean_squared_error"),
    ],
)
def test_the_same_permutation_costs_what_it_costs_in_scikit_learn(target, wrap, scoring, seed):
    model, features, actual = fitted(target)
    theirs = permutation_importance(
        wrap(model), features, actual, scoring=scoring, n_repeats=1, random_state=seed
    )
    order = their_order(len(features), seed)
    mine = rises(model, features, actual, order).mean()
    assert mine.to_numpy() == pytest.approx(theirs.importances_mean, abs=1e-12)
    assert mine["good"] == mine.max() > 0


def test_the_rise_of_a_row_is_that_of_a_plain_loop():
    model, features, actual = fitted()
    order = disorder(features.index, np.random.default_rng(1))
    got = rises(model, features, actual, order)
    for name in features:
        other = features.assign(**{name: features[name].to_numpy()[order]})
        p = model.predict_proba(features, np.arange(120))
        q = model.predict_proba(other, np.arange(120))
        came = (np.arange(120), (actual + 1).astype(int))
        assert got[name].to_numpy() == pytest.approx(np.log(p[came]) - np.log(q[came]), abs=1e-12)


def test_how_many_columns_are_predicted_together_does_not_matter(monkeypatch):
    model, features, actual = fitted()
    order = disorder(features.index, np.random.default_rng(1))
    whole = rises(model, features, actual, order)
    for cells in (1, 1000):
        monkeypatch.setattr(permutation, "_CELLS", cells)
        pd.testing.assert_frame_equal(
            rises(model, features, actual, order), whole, check_exact=True
        )


@pytest.mark.parametrize("model_type", ["XGBOOST", "LIGHTGBM"])
def test_a_column_that_no_tree_reads_and_the_old_order_cost_nothing(model_type):
    model, features, actual = fitted(model_type=model_type)
    order = disorder(features.index, np.random.default_rng(1))
    assert (rises(model, features, actual, order)["idle"] == 0).all()
    assert (rises(model, features, actual, np.arange(120)) == 0).all(axis=None)


def test_values_change_rows_within_their_symbol_only():
    index = table()[0].index
    order = disorder(index, np.random.default_rng(1))
    symbols = index.get_level_values("symbol")
    assert (symbols[order] == symbols).all()
    assert sorted(order) == list(range(240))
    assert (order != np.arange(240)).mean() > 0.9


def test_disorder_repeats_with_its_seed():
    index = table()[0].index
    one, same, other = (disorder(index, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.tolist() == same.tolist() != other.tolist()


def test_losses_worked_by_hand(monkeypatch):
    shares = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0]])
    monkeypatch.setattr(LightGBM, "_scores", lambda self, features, rows: shares[rows])
    model = training.make("LIGHTGBM", "signal_direction")
    two = pd.DataFrame({"x": [1.0, 2.0]})
    assert losses(model, two, np.array([1.0, 0.0])) == pytest.approx([-np.log(0.2), 0.0])
    impossible = losses(model, two, np.array([1.0, -1.0]))[1]
    assert impossible == pytest.approx(-np.log(np.finfo(float).eps))
    number = training.make("LIGHTGBM", "target_return")
    monkeypatch.setattr(LightGBM, "_scores", lambda self, features, rows: np.array([3.0, -1.0]))
    assert losses(number, two, np.array([1.0, -1.0])).tolist() == [4.0, 0.0]
