"""metrics.py: against scikit-learn, scipy, pandas, published numbers and sums by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn import metrics as theirs

from signalkit import metrics
from signalkit.errors import DataError

BACON = Path(__file__).resolve().parents[2] / "shared/data/reference/returns/portfolio_bacon.csv"
CLASSES = np.array([-1.0, 0.0, 1.0])
SEEDS = st.integers(0, 10_000)
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


def cases(seed, n, classes=CLASSES):
    """Outcomes, and probabilities in tenths: full of ties and of zeros."""
    rng = np.random.default_rng(seed)
    return rng.choice(classes, n), rng.multinomial(10, [0.3, 0.3, 0.4], n) / 10


def their_auc(truth, score, weight):
    """scikit-learn's AUC, NaN where one class is all there is."""
    if len(set(truth)) < 2:
        return np.nan
    return theirs.roc_auc_score(truth, score, sample_weight=weight)


def their_scores(actual, proba, weight):
    """Every score from scikit-learn on the rows that weigh anything."""
    kept = weight > 0
    actual, proba, weight = actual[kept], proba[kept], weight[kept]
    predicted, present = CLASSES[proba.argmax(axis=1)], np.unique(actual)
    macro = {
        "labels": present,
        "average": "macro",
        "zero_division": 0,
        "sample_weight": weight,
    }
    moved = actual != 0
    one_vs_rest = [
        their_auc(actual == k, proba[:, i], weight) for i, k in enumerate(CLASSES) if k in present
    ]
    return {
        "accuracy": theirs.accuracy_score(actual, predicted, sample_weight=weight),
        "precision": theirs.precision_score(actual, predicted, **macro),
        "recall": theirs.recall_score(actual, predicted, **macro),
        "f1": theirs.f1_score(actual, predicted, **macro),
        "auc": np.mean(one_vs_rest),
        "auc_direction": their_auc(
            actual[moved] > 0, (proba[:, 2] - proba[:, 0])[moved], weight[moved]
        ),
        "log_loss": theirs.log_loss(actual, proba, labels=CLASSES, sample_weight=weight),
    }


@EXAMPLES
@given(seed=SEEDS, n=st.integers(2, 40))
def test_classification_equals_scikit_learn(seed, n):
    actual, proba = cases(seed, n)
    expected = their_scores(actual, proba, np.ones(n))
    assert metrics.classification(actual, proba).to_dict() == pytest.approx(
        expected, rel=1e-9, abs=1e-12, nan_ok=True
    )


@EXAMPLES
@given(seed=SEEDS, n=st.integers(2, 40))
def test_weighted_classification_equals_scikit_learn(seed, n):
    actual, proba = cases(seed, n)
    weight = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 3.0], n)
    assume(weight.sum() > 0)
    got = metrics.classification(actual, proba, weight=weight)
    assert got.to_dict() == pytest.approx(
        their_scores(actual, proba, weight), rel=1e-9, abs=1e-12, nan_ok=True
    )


@pytest.mark.parametrize("classes", [[-1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
def test_a_class_that_never_came_is_left_out_of_the_macro_scores(classes):
    actual, proba = cases(5, 60, classes)
    got = metrics.classification(actual, proba)
    expected = their_scores(actual, proba, np.ones(60))
    assert got.to_dict() == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert np.isnan(got["auc_direction"]) == (len(set(classes) - {0.0}) == 1)


def test_macro_auc_is_scikit_learns_one_vs_rest():
    actual, proba = cases(11, 200)
    expected = theirs.roc_auc_score(actual, proba, multi_class="ovr", average="macro")
    assert metrics.classification(actual, proba)["auc"] == pytest.approx(expected, rel=1e-12)


@EXAMPLES
@given(seed=SEEDS)
def test_a_weight_is_a_row_repeated(seed):
    actual, proba = cases(seed, 12)
    counts = np.random.default_rng(seed).integers(0, 4, 12)
    assume(counts.sum() > 0)
    repeated = metrics.classification(actual.repeat(counts), proba.repeat(counts, axis=0))
    weighted = metrics.classification(actual, proba, weight=counts)
    pd.testing.assert_series_equal(weighted, repeated, rtol=1e-9)


def test_equal_probabilities_order_nothing_and_choose_the_first_class():
    got = metrics.classification(CLASSES, np.full((3, 3), 1 / 3))
    assert got[["auc", "auc_direction"]].tolist() == [0.5, 0.5]
    assert got["accuracy"] == pytest.approx(1 / 3)
    assert got["log_loss"] == pytest.approx(np.log(3))


def test_direction_is_judged_on_the_bars_that_moved():
    actual = np.array([-1, 0, 1, 0, 1])
    proba = [[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.2, 0.3, 0.5], [0.8, 0.1, 0.1], [0.5, 0.4, 0.1]]
    # pairs of buy and sell by p_buy - p_sell: 0.3 over -0.5 right, -0.4 over -0.5 right
    assert metrics.classification(actual, np.array(proba))["auc_direction"] == 1.0


def test_a_certain_error_costs_the_clipped_log_loss():
    # scikit-learn clips at the float epsilon, -ln(2.22e-16) = 36.04
    got = metrics.classification(np.array([1.0]), np.array([[1.0, 0.0, 0.0]]))
    assert got["log_loss"] == pytest.approx(36.0436534, rel=1e-8)


@pytest.mark.parametrize(
    ("actual", "proba", "says"),
    [
        ([1.0, 2.0], [[0.2, 0.3, 0.5]] * 2, "an outcome is 2; classes are -1, 0, 1"),
        ([1.0], [[0.2, 0.3, 0.5]] * 2, r"columns of one length above 0, were \[1, 2\]"),
        ([], np.empty((0, 3)), r"columns of one length above 0, were \[0\]"),
        ([1.0, np.nan], [[0.2, 0.3, 0.5]] * 2, "scored value in row 1 is not finite"),
        ([1.0, 0.0], [[0.2, 0.3, 0.5], [np.nan, 0.5, 0.5]], "row 1 is not finite"),
    ],
)
def test_classification_refuses_what_it_cannot_score(actual, proba, says):
    with pytest.raises(DataError, match=says):
        metrics.classification(np.array(actual), np.array(proba))


def test_classification_refuses_two_probabilities_for_three_classes():
    with pytest.raises(DataError):
        metrics.classification(np.array([-1.0, 1.0]), np.array([[0.5, 0.5], [0.4, 0.6]]))


@pytest.mark.parametrize("n", [1, 3])
def test_classification_refuses_weights_of_another_length(n):
    with pytest.raises(DataError):
        metrics.classification(*cases(1, 2), weight=np.ones(n))


def test_less_is_better_for_losses_alone():
    assert {"log_loss", "mse", "mae"} == metrics.LESS_IS_BETTER
    assert set(metrics.CLASSIFICATION + metrics.REGRESSION) > metrics.LESS_IS_BETTER


@EXAMPLES
@given(seed=SEEDS, n=st.integers(3, 50), weighted=st.booleans())
def test_regression_equals_scikit_learn(seed, n, weighted):
    rng = np.random.default_rng(seed)
    actual, guess = rng.normal(0, 0.02, n), rng.normal(0, 0.02, n)
    weight = rng.random(n) + 0.1 if weighted else np.ones(n)
    mean = np.average(actual, weights=weight)
    got = metrics.regression(actual, guess, naive=mean, weight=weight)
    spread = np.cov(actual, guess, aweights=weight)
    expected = {
        "mse": theirs.mean_squared_error(actual, guess, sample_weight=weight),
        "mae": theirs.mean_absolute_error(actual, guess, sample_weight=weight),
        "r2": theirs.r2_score(actual, guess, sample_weight=weight),
        "ic": spread[0, 1] / np.sqrt(spread[0, 0] * spread[1, 1]),
    }
    assert got.to_dict() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if not weighted:
        assert got["ic"] == pytest.approx(pearsonr(actual, guess).statistic, rel=1e-9, abs=1e-12)


def test_r2_compares_with_no_change_unless_told_otherwise():
    # errors 1 and 1 against outcomes 1 and 3: 1 - (1 + 1) / (1 + 9)
    assert metrics.regression(np.array([1.0, 3.0]), np.array([2.0, 2.0]))["r2"] == pytest.approx(
        0.8
    )
    assert np.isnan(metrics.regression(np.zeros(3), np.arange(3.0))["r2"])


def test_a_constant_prediction_has_no_correlation():
    found = {
        n: metrics.regression(np.random.default_rng(n).normal(size=n), np.full(n, 0.1))["ic"]
        for n in range(3, 20)
    }
    assert {n: ic for n, ic in found.items() if not np.isnan(ic)} == {}


def test_regression_refuses_what_it_cannot_score():
    with pytest.raises(DataError, match=r"one length above 0, were \[2, 3\]"):
        metrics.regression(np.ones(2), np.ones(3))
    with pytest.raises(DataError, match="row 1 is not finite"):
        metrics.regression(np.array([1.0, np.inf]), np.ones(2))


@pytest.mark.parametrize("naive", [np.array([0.0, np.nan]), np.zeros(3)])
def test_regression_refuses_a_naive_forecast_that_does_not_fit(naive):
    with pytest.raises(DataError):
        metrics.regression(np.array([1.0, 2.0]), np.array([1.0, 3.0]), naive=naive)


def test_statistics_of_a_path_worked_by_hand():
    # wealth 1.1, 0.88, 1.056, 1.056 with 4 periods a year: the path takes one year
    got = metrics.returns(np.array([0.1, -0.2, 0.2, 0.0]), 4)
    expected = {
        "return_total": 0.056,
        "return_annual": 0.056,
        "volatility_annual": 2 * np.sqrt((0.075**2 + 0.225**2 + 0.175**2 + 0.025**2) / 3),
        "sharpe_annual": 2 * 0.025 / np.sqrt((0.075**2 + 0.225**2 + 0.175**2 + 0.025**2) / 3),
        "sortino_annual": 2 * 0.025 / np.sqrt(0.04 / 4),
        "max_drawdown": -0.2,
        "calmar": 0.056 / 0.2,
        "periods": 4.0,
    }
    assert got.to_dict() == pytest.approx(expected, rel=1e-12)


@pytest.mark.skipif(not BACON.exists(), reason="shared reference data is not there")
def test_downside_deviation_and_pain_index_are_those_of_bacon():
    # PerformanceAnalytics, DownsideDeviation.Rd and PainIndex.Rd: 0.0255 and 0.04
    monthly = pd.read_csv(BACON, index_col=0).iloc[:, 0].to_numpy()
    over = monthly - 0.005
    found = over.mean() * np.sqrt(12) / metrics.returns(over, 12)["sortino_annual"]
    assert found == pytest.approx(0.0255, abs=5e-5)
    assert np.abs(metrics.drawdown(monthly)).mean() == pytest.approx(0.04, abs=5e-3)


@EXAMPLES
@given(seed=SEEDS, n=st.integers(2, 30))
def test_the_worst_drawdown_is_the_worst_pair_of_wealths(seed, n):
    moves = np.random.default_rng(seed).normal(0, 0.1, n).clip(-0.9)
    wealth = [1.0, *np.cumprod(1 + moves)]
    pairs = [wealth[j] / wealth[i] - 1 for i in range(n + 1) for j in range(i, n + 1)]
    assert metrics.returns(moves, 252)["max_drawdown"] == pytest.approx(min(pairs), abs=1e-12)


def test_starting_wealth_counts_as_a_peak():
    assert metrics.drawdown(np.array([-0.1, 0.05])).tolist() == pytest.approx([-0.1, -0.055])


def test_sharpe_equals_that_of_pandas():
    moves = pd.Series(np.random.default_rng(2).normal(0.001, 0.01, 500))
    expected = moves.mean() / moves.std() * np.sqrt(252)
    assert metrics.returns(moves, 252)["sharpe_annual"] == pytest.approx(expected, rel=1e-12)


def test_everything_lost_is_a_return_and_more_is_refused():
    assert metrics.returns(np.array([0.5, -1.0, 0.0]), 252)["return_annual"] == -1.0
    with pytest.raises(DataError, match=r"a return of -1\.01 loses more than everything"):
        metrics.returns(np.array([0.5, -1.01]), 252)


@pytest.mark.parametrize(
    ("moves", "says"),
    [([0.1], "at least 2"), ([], "one length above 0"), ([0.1, np.nan], "row 1 is not finite")],
)
def test_returns_refuses_what_it_cannot_judge(moves, says):
    with pytest.raises(DataError, match=says):
        metrics.returns(np.array(moves), 252)


@pytest.mark.parametrize("move", [0.0, 0.01, 0.1])
def test_a_ratio_whose_divisor_is_nothing_is_not_a_number(move):
    got = metrics.returns(np.full(7, move), 252)
    assert got[["sharpe_annual", "sortino_annual", "calmar"]].isna().all()


def test_a_few_minutes_that_paid_can_be_judged():
    # 1 % a minute over a year of minutes is more than a float holds
    got = metrics.returns(np.array([0.01, 0.01, -0.001]), 525_960.0)
    assert got["return_total"] == pytest.approx(1.01**2 * 0.999 - 1)
