"""calibration.py: equal to scikit-learn, honest on forecasts too sure of themselves, never mending.

Forecasts are simulated: outcomes come with the true probabilities, and what is said is the
truth to a power, which is what a temperature undoes.
"""

import json
import math

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV

from signalkit import metrics
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.training.calibration import calibrator

METHODS = ["temperature", "sigmoid", "isotonic"]


def forecasts(n=3000, power=3.0, seed=1, classes=3):
    """What was said, and what came; without sell where there are two classes."""
    rng = np.random.default_rng(seed)
    true = np.zeros((n, 3))
    true[:, 3 - classes :] = rng.dirichlet([2.0] * classes, n)
    actual = (rng.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1) - 1.0
    said = true**power
    return said / said.sum(axis=1, keepdims=True), actual


class Told(ClassifierMixin, BaseEstimator):
    """Its features are its answers, so that scikit-learn calibrates what we calibrate."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return self.classes_[X.argmax(axis=1)]


class ToldOdds(Told):
    """The same answers as log-odds, which scikit-learn then takes."""

    def decision_function(self, X):
        odds = np.log(X / (1 - X))
        return odds if X.shape[1] > 2 else odds[:, 1]


def theirs(method, proba, actual, weight):
    """Probabilities of scikit-learn; classes from 0, as its temperature needs them."""
    told = ToldOdds() if method == "sigmoid" else Told()
    fitted = CalibratedClassifierCV(told, method=method, ensemble=False, cv=2)
    classes = np.unique(actual, return_inverse=True)[1]
    return fitted.fit(proba, classes, sample_weight=weight).predict_proba(proba)


def ece(actual, proba):
    return metrics.classification(actual, proba)["ece"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_equals_scikit_learn(method, classes, weighted):
    proba, actual = forecasts(classes=classes)
    weight = np.random.default_rng(2).uniform(0.1, 2.0, len(actual)) if weighted else None
    got = calibrator(method).fit(proba, actual, sample_weight=weight).apply(proba)
    expected = theirs(method, proba[:, 3 - classes :], actual, weight)
    # scikit-learn adds 1e-12 before it takes logs, and stops its search a little earlier
    np.testing.assert_allclose(got[:, 3 - classes :], expected, rtol=0, atol=1e-6)
    assert (got[:, : 3 - classes] == 0).all()


def test_temperature_worked_by_hand():
    # said 0.9 against 0.05, right in 60 of 100: 18^(1/T) = 0.6 / 0.2, so T = ln 18 / ln 3
    said = np.tile([0.05, 0.05, 0.9], (100, 1))
    came = np.repeat([1.0, 0.0, -1.0], [60, 20, 20])
    fitted = calibrator("temperature").fit(said, came)
    assert fitted.temperature_ == pytest.approx(math.log(18) / math.log(3), rel=1e-6)
    np.testing.assert_allclose(fitted.apply(said)[0], [0.2, 0.2, 0.6], rtol=1e-6)


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_temperature_undoes_the_power(power):
    proba, actual = forecasts(n=20_000, power=power)
    fitted = calibrator("temperature").fit(proba, actual)
    assert fitted.temperature_ == pytest.approx(power, rel=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_too_much_confidence_is_taken_back_on_rows_not_seen(method):
    fitted = calibrator(method).fit(*forecasts(seed=1))
    proba, actual = forecasts(seed=2)
    bent = fitted.apply(proba)
    assert ece(actual, proba) > 0.15
    assert ece(actual, bent) < 0.05
    assert fitted.n_ == 3000


def test_temperature_keeps_the_order_of_classes():
    proba, actual = forecasts()
    bent = calibrator("temperature").fit(proba, actual).apply(proba)
    np.testing.assert_array_equal(bent.argsort(axis=1), proba.argsort(axis=1))


def test_curves_rise_where_outcomes_follow_what_was_said():
    proba, actual = forecasts()
    assert (calibrator("sigmoid").fit(proba, actual).curves_[:, 0] > 0).all()
    for x, y in calibrator("isotonic").fit(proba, actual).knots_:
        assert (np.diff(x) > 0).all()
        assert (np.diff(y) >= 0).all()


def test_a_probability_that_ran_the_wrong_way_falls_by_sigmoid_and_is_flat_by_isotonic():
    proba, actual = forecasts(n=20_000)
    wrong = proba[:, ::-1]
    assert calibrator("sigmoid").fit(wrong, actual).curves_[0, 0] < 0
    x, y = calibrator("isotonic").fit(wrong, actual).knots_[0]
    assert np.ptp(x) > 0.99
    assert np.ptp(y) < 0.1


@pytest.mark.parametrize("method", ["none", *METHODS])
def test_rows_sum_to_one_and_zeros_stay(method):
    proba, actual = forecasts(classes=2)
    bent = calibrator(method).fit(proba, actual).apply(proba)
    np.testing.assert_allclose(bent.sum(axis=1), 1.0, rtol=1e-14)
    assert (bent[:, 0] == 0).all()
    assert ((bent >= 0) & (bent <= 1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_certain_answers_are_bent_without_breaking(method):
    proba, actual = forecasts()
    fitted = calibrator(method).fit(proba, actual)
    bent = fitted.apply(np.array([[0.0, 0.0, 1.0], [1e-300, 1.0, 0.0], [0.5, 0.5, 0.0]]))
    np.testing.assert_allclose(bent.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(bent[0], [0.0, 0.0, 1.0])


def test_where_all_curves_are_zero_what_was_possible_is_even():
    zero = [[0.0, 1.0], [0.0, 0.0]]
    fitted = calibrator("isotonic").restore({"method": "isotonic", "n": 1000, "knots": [zero] * 3})
    bent = fitted.apply(np.array([[0.2, 0.3, 0.5], [0.0, 0.4, 0.6]]))
    np.testing.assert_allclose(bent, [[1 / 3] * 3, [0.0, 0.5, 0.5]], rtol=1e-15)


def test_none_changes_no_bit():
    proba, actual = forecasts(n=10)
    np.testing.assert_array_equal(calibrator("none").fit(proba, actual).apply(proba), proba)
    np.testing.assert_array_equal(calibrator("none").apply(proba), proba)


@pytest.mark.parametrize("method", ["none", *METHODS])
def test_state_survives_json_to_the_last_bit(method):
    proba, actual = forecasts()
    fitted = calibrator(method).fit(proba, actual)
    state = json.loads(json.dumps(fitted.state()))
    again = calibrator(state["method"]).restore(state)
    np.testing.assert_array_equal(again.apply(proba), fitted.apply(proba))
    assert again.n_ == 3000
    assert again.state() == fitted.state()


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_repeats_a_row_and_no_weight_leaves_it_out(method):
    proba, actual = forecasts()
    weight = np.random.default_rng(3).integers(0, 3, 3000)
    weighted = calibrator(method).fit(proba, actual, sample_weight=weight)
    repeated = calibrator(method).fit(np.repeat(proba, weight, 0), np.repeat(actual, weight))
    assert weighted.n_ == (weight > 0).sum()
    np.testing.assert_allclose(weighted.apply(proba), repeated.apply(proba), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_rows_give_the_same_bits(method):
    proba, actual = forecasts()
    first, second = (calibrator(method).fit(proba, actual).apply(proba) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("method", "n", "says"),
    [
        ("temperature", 49, "temperature calibration needs 50 rows, found 49; use none, or"),
        ("sigmoid", 0, "sigmoid calibration needs 50 rows, found 0; use none"),
        ("isotonic", 999, "isotonic calibration needs 1000 rows, found 999; use temperature, or"),
    ],
)
def test_a_slice_too_small_is_refused(method, n, says):
    proba, actual = forecasts()
    with pytest.raises(DataError, match=says):
        calibrator(method).fit(proba[:n], actual[:n])


@pytest.mark.parametrize("method", METHODS)
def test_one_class_is_refused(method):
    proba, _ = forecasts()
    with pytest.raises(DataError, match=f"all 3000 outcomes that {method} calibration is"):
        calibrator(method).fit(proba, np.ones(3000))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"proba": [[0.5, 0.5]]}, r"need the shape \(n, 3\): sell, hold, buy; was \(1, 2\)"),
        ({"proba": [[0.5, 0.4, 0.0]]}, r"row 0 is no probability .* \[0.5, 0.4, 0.0\]"),
        ({"proba": [[np.nan, 0.5, 0.5]]}, "row 0 is no probability"),
        ({"proba": [[-0.5, 1.0, 0.5]]}, "row 0 is no probability"),
        ({"actual": [np.nan]}, "outcome in row 0 is nan; classes are -1, 0, 1; leave out rows"),
        ({"actual": [1.0, 0.0]}, r"1 rows of probabilities do not fit outcomes \(2,\)"),
        ({"sample_weight": [-1.0]}, "a weight is below 0 or not finite"),
    ],
)
def test_broken_rows_are_refused(change, says):
    given = {"proba": [[0.2, 0.3, 0.5]], "actual": [1.0], "sample_weight": None} | change
    with pytest.raises(DataError, match=says):
        calibrator("temperature").fit(**given)


def test_a_method_with_a_typo_an_early_apply_and_a_foreign_state_are_refused():
    with pytest.raises(ParamsError, match="no calibration 'temprature'; did you mean 'temperature"):
        calibrator("temprature")
    with pytest.raises(DataError, match="sigmoid calibration is not fitted"):
        calibrator("sigmoid").apply(np.array([[0.2, 0.3, 0.5]]))
    with pytest.raises(StoreError, match="the state of 'sigmoid', not of isotonic calibration"):
        calibrator("isotonic").restore({"method": "sigmoid"})
    with pytest.raises(StoreError, match="no state of temperature calibration of ours"):
        calibrator("temperature").restore({"method": "temperature", "n": 100})
