"""Scores of predicted numbers: against scikit-learn, scipy and sums by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn import metrics as theirs

from signalkit import metrics
from signalkit.errors import DataError

SEEDS = st.integers(0, 10_000)
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


def their_correlation(one, other, weight):
    """numpy's, of weighted rows."""
    spread = np.cov(one, other, aweights=weight)
    return spread[0, 1] / np.sqrt(spread[0, 0] * spread[1, 1])


@EXAMPLES
@given(seed=SEEDS, n=st.integers(3, 50), weighted=st.booleans())
def test_regression_equals_scikit_learn(seed, n, weighted):
    rng = np.random.default_rng(seed)
    actual, guess = rng.normal(0, 0.02, n), rng.normal(0, 0.02, n)
    weight = rng.random(n) + 0.1 if weighted else np.ones(n)
    mean = np.average(actual, weights=weight)
    got = metrics.regression(actual, guess, naive=mean, weight=weight)
    expected = {
        "mse": theirs.mean_squared_error(actual, guess, sample_weight=weight),
        "mae": theirs.mean_absolute_error(actual, guess, sample_weight=weight),
        "r2": theirs.r2_score(actual, guess, sample_weight=weight),
        "ic": their_correlation(actual, guess, weight),
        "rank_ic": their_correlation(rankdata(actual), rankdata(guess), weight),
    }
    assert got.to_dict() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if not weighted:
        assert got["ic"] == pytest.approx(pearsonr(actual, guess).statistic, rel=1e-9, abs=1e-12)
        ranked = spearmanr(actual, guess).statistic
        assert got["rank_ic"] == pytest.approx(ranked, rel=1e-9, abs=1e-12)


def test_r2_compares_with_no_change_unless_told_otherwise():
    # errors 1 and 1 against outcomes 1 and 3: 1 - (1 + 1) / (1 + 9)
    assert metrics.regression(np.array([1.0, 3.0]), np.array([2.0, 2.0]))["r2"] == pytest.approx(
        0.8
    )
    assert np.isnan(metrics.regression(np.zeros(3), np.arange(3.0))["r2"])


def test_a_constant_prediction_has_no_correlation():
    found = {
        n: metrics.regression(np.random.default_rng(n).normal(size=n), np.full(n, 0.1))
        for n in range(3, 20)
    }
    assert {n: got for n, got in found.items() if got[["ic", "rank_ic"]].notna().any()} == {}


def test_regression_refuses_what_it_cannot_score():
    with pytest.raises(DataError, match=r"one length above 0, were \[2, 3\]"):
        metrics.regression(np.ones(2), np.ones(3))
    with pytest.raises(DataError, match="row 1 is not finite"):
        metrics.regression(np.array([1.0, np.inf]), np.ones(2))


@pytest.mark.parametrize("naive", [np.array([0.0, np.nan]), np.zeros(3)])
def test_regression_refuses_a_naive_forecast_that_does_not_fit(naive):
    with pytest.raises(DataError):
        metrics.regression(np.array([1.0, 2.0]), np.array([1.0, 3.0]), naive=naive)


@EXAMPLES
@given(seed=SEEDS, n=st.integers(3, 40))
def test_rank_correlation_with_ties_equals_scipys(seed, n):
    rng = np.random.default_rng(seed)
    actual, guess = rng.integers(0, 4, n).astype(float), rng.integers(0, 4, n).astype(float)
    actual[0], guess[1] = 9.0, -9.0  # so that neither is constant
    got = metrics.regression(actual, guess)["rank_ic"]
    assert got == pytest.approx(spearmanr(actual, guess).statistic, rel=1e-9, abs=1e-12)


def test_a_drawn_row_keeps_its_rank_among_all_rows():
    # ranks 1 2 3 4 and 1 4 2 3; the first three rows alone: cov 2/3 of variances 2/3 and 14/9
    actual, guess = np.array([0.1, 0.2, 0.3, 9.0]), np.array([-5.0, 8.0, 0.0, 1.0])
    weight = np.array([1.0, 1.0, 1.0, 0.0])
    got = metrics.regression(actual, guess, weight=weight)["rank_ic"]
    assert got == pytest.approx((1 / 3) / np.sqrt(2 / 3 * 14 / 9))


def test_one_function_scores_any_weights():
    rng = np.random.default_rng(8)
    actual, guess, naive = rng.normal(size=(3, 30))
    scored = metrics.regressor(actual, guess, naive=naive)
    for _ in range(5):
        weight = rng.integers(0, 3, 30).astype(float)
        whole = metrics.regression(actual, guess, naive=naive, weight=weight)
        assert scored(weight).to_dict() == whole.to_dict()
        rows = np.repeat(np.arange(30), weight.astype(int))
        few = metrics.regression(actual[rows], guess[rows], naive=naive[rows])
        same = ["mse", "mae", "r2", "ic"]
        assert scored(weight)[same].tolist() == pytest.approx(few[same].tolist())


def test_drawn_rows_that_are_all_alike_have_no_correlation():
    rng = np.random.default_rng(5)
    for n in range(3, 20):
        guess, weight = (
            np.append(np.full(n, 0.1), rng.normal(size=3)),
            np.repeat([1.0, 0.0], [n, 3]),
        )
        got = metrics.regression(rng.normal(size=n + 3), guess, weight=weight)
        assert got[["ic", "rank_ic"]].isna().all()


def test_regression_refuses_weights_that_do_not_fit_or_weigh_nothing():
    with pytest.raises(DataError, match="3 weights do not fit 2 rows"):
        metrics.regression(np.ones(2), np.ones(2), weight=np.ones(3))
    with pytest.raises(DataError, match="weights of 2 rows sum to 0"):
        metrics.regression(np.ones(2), np.ones(2), weight=np.zeros(2))


@pytest.mark.parametrize(
    "scorer",
    [
        metrics.classifier(np.array([1.0, -1.0]), np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])),
        metrics.regressor(np.array([1.0, 2.0]), np.array([1.0, 3.0])),
    ],
    ids=["classes", "numbers"],
)
def test_every_scorer_asks_the_same_of_its_weights(scorer):
    assert isinstance(scorer, metrics.Scorer)
    got = scorer(np.array([2.0, 1.0]))
    drawn = scorer.drawn(np.array([[1.0, 2.0]]), np.array([1, 0]))
    assert list(got.index) == list(scorer.names)
    np.testing.assert_array_equal(got.to_numpy(), drawn[0])
    with pytest.raises(DataError, match="3 weights do not fit 2 rows"):
        scorer(np.ones(3))
    with pytest.raises(DataError, match="weights of 2 rows sum to 0"):
        scorer(np.zeros(2))
