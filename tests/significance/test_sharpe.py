"""sharpe.py: against the worked examples of the papers, scipy's moments and simulated luck."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from threadpoolctl import threadpool_limits

from signalkit.errors import DataError, ParamsError
from signalkit.significance import (
    deflated_sharpe,
    effective_trials,
    expected_max_sharpe,
    min_track_record,
    probabilistic_sharpe,
    psr_from_moments,
    track_record_from_moments,
)

# Bailey and López de Prado (2012), numerical example: two years of monthly returns
FUND = {"sharpe": 0.458, "n": 24, "skew": -2.448, "kurtosis": 10.164}


def skewed(n=300, seed=0, mean=0.02):
    """Returns with a fat left tail."""
    return mean - 0.1 * (np.random.default_rng(seed).gamma(2.0, size=n) - 2)


def test_probability_equals_the_numerical_example_of_the_psr_paper():
    assert psr_from_moments(**FUND) == pytest.approx(0.913, abs=5e-4)
    normal = psr_from_moments(**FUND | {"skew": 0.0, "kurtosis": 3.0})
    assert normal == pytest.approx(0.982, abs=5e-4)


@pytest.mark.parametrize(
    ("bars_a_year", "skew", "kurtosis", "years"),
    # Bailey and López de Prado (2012), track record of an annual 2 against 1 at 95 %:
    # daily, weekly and monthly returns, then monthly ones of a typical hedge fund
    [(250, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_track_record_equals_the_examples_of_the_psr_paper(bars_a_year, skew, kurtosis, years):
    bar = bars_a_year**-0.5
    bars = track_record_from_moments(2 * bar, skew, kurtosis, benchmark=bar)
    assert bars / bars_a_year == pytest.approx(years, abs=5e-3)


@pytest.mark.parametrize(
    ("n_trials", "skew", "kurtosis", "probability"),
    # Bailey and López de Prado (2014), numerical example: annual 2.5 on 1,250 days, variance of
    # the trials 1/2; 46 trials, or 88 of normal returns, would have passed at 95 %
    [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)],
)
def test_deflation_equals_the_numerical_example_of_the_dsr_paper(
    n_trials, skew, kurtosis, probability
):
    luck = expected_max_sharpe(n_trials, 0.5 / 250)
    got = psr_from_moments(2.5 / 250**0.5, 1250, skew, kurtosis, benchmark=luck)
    assert got == pytest.approx(probability, abs=5e-5)


def test_best_of_a_hundred_lucky_trials_in_the_dsr_paper():
    assert expected_max_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize("n_trials", [20, 100, 500])
def test_best_of_lucky_trials_is_near_the_simulated_one(n_trials):
    best = np.random.default_rng(1).normal(0, 0.3, (4000, n_trials)).max(axis=1)
    # exact in the limit of many trials: 2 % too high for 20
    assert expected_max_sharpe(n_trials, 0.09) == pytest.approx(best.mean(), rel=0.03)


def test_one_trial_has_no_luck_to_take_off_and_few_never_add_to_it():
    assert expected_max_sharpe(1, 0.5) == 0
    assert expected_max_sharpe(1.1, 0.5) == 0
    assert 0 < expected_max_sharpe(1.5, 0.5) < expected_max_sharpe(2, 0.5)
    assert expected_max_sharpe(100, 0.0) == 0


def test_moments_are_those_of_scipy_with_pearson_kurtosis():
    values = skewed()
    sharpe = values.mean() / np.std(values, ddof=1)
    skew, kurtosis = stats.skew(values), stats.kurtosis(values, fisher=False)
    error = np.sqrt((1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) / (len(values) - 1))
    for benchmark in (0.0, 0.1, 0.2):
        expected = stats.norm.cdf((sharpe - benchmark) / error)
        assert probabilistic_sharpe(values, benchmark) == pytest.approx(expected, abs=1e-12)


def test_a_record_as_long_as_its_minimum_just_reaches_the_level():
    values = skewed()
    sharpe, skew = values.mean() / values.std(ddof=1), stats.skew(values)
    kurtosis = stats.kurtosis(values, fisher=False)
    bars = min_track_record(values, 0.1, level=0.9)
    assert bars == track_record_from_moments(sharpe, skew, kurtosis, benchmark=0.1, level=0.9)
    # the two formulas are each other's inverse
    reached = psr_from_moments(sharpe, bars, skew, kurtosis, benchmark=0.1)
    assert reached == pytest.approx(0.9, abs=1e-12)


def test_no_record_is_long_enough_below_the_benchmark():
    assert min_track_record(skewed(mean=-0.02)) == np.inf
    assert min_track_record(skewed(), benchmark=10.0) == np.inf


def test_probability_of_luck_is_uniform():
    rng = np.random.default_rng(3)
    found = [probabilistic_sharpe(rng.normal(size=250)) for _ in range(400)]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def lucky_worlds(deflate, worlds=200, n_trials=20, n=250):
    """Share of worlds without skill in which the best trial passes at 95 %."""
    rng, passed = np.random.default_rng(11), 0
    for _ in range(worlds):
        trials = rng.normal(size=(n, n_trials))
        sharpes = trials.mean(axis=0) / trials.std(axis=0, ddof=1)
        passed += deflate(trials[:, sharpes.argmax()], sharpes) > 0.95
    return passed / worlds


def test_deflation_takes_the_luck_of_the_best_trial_away():
    # undeflated, the best of 20 passes unless all 20 fail: 1 - 0.95^20 = 0.64
    assert lucky_worlds(lambda best, _: probabilistic_sharpe(best)) > 0.5
    assert lucky_worlds(deflated_sharpe) <= 0.05


def test_deflation_is_the_probability_above_the_expected_best():
    values, sharpes = skewed(), np.array([0.1, -0.05, 0.2, 0.02])
    luck = expected_max_sharpe(4, np.var(sharpes, ddof=1))
    assert deflated_sharpe(values, sharpes) == probabilistic_sharpe(values, luck)
    luck = expected_max_sharpe(2.5, np.var(sharpes, ddof=1))
    assert deflated_sharpe(values, sharpes, n_trials=2.5) == probabilistic_sharpe(values, luck)
    assert deflated_sharpe(values, sharpes[:1]) == probabilistic_sharpe(values)


def test_more_trials_deflate_more():
    values, sharpes = skewed(), np.linspace(-0.1, 0.2, 9)
    found = [deflated_sharpe(values, sharpes, n_trials=n) for n in (1, 3, 9, 90)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4


def paths(n=400, k=6, seed=5):
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(n, k)))


def test_copies_are_one_trial_and_unrelated_ones_are_all():
    one = paths(k=1)
    same = pd.concat([one, 2 * one + 1, -one, one], axis=1)
    assert effective_trials(same) == 1
    square, _ = np.linalg.qr(paths(k=6).assign(one=1.0).to_numpy()[:, ::-1])
    assert effective_trials(pd.DataFrame(square[:, 1:])) == 6  # orthogonal to 1 and each other


def test_groups_of_copies_count_once_each():
    square, _ = np.linalg.qr(paths(k=3).assign(one=1.0).to_numpy()[:, ::-1])
    groups = pd.DataFrame(np.repeat(square[:, 1:], [5, 5, 5], axis=1))
    assert effective_trials(groups) == pytest.approx(3, abs=1e-6)


def test_equally_correlated_trials_have_the_closed_form():
    k, r = 8, 0.5
    wanted = np.linalg.cholesky(np.full((k, k), r) + np.eye(k) * (1 - r))
    square, _ = np.linalg.qr(paths(k=k).assign(one=1.0).to_numpy()[:, ::-1])
    trials = pd.DataFrame(square[:, 1:] @ wanted.T)
    np.testing.assert_allclose(trials.corr(), wanted @ wanted.T, atol=1e-12)
    # eigenvalues 1 + (k - 1) r once and 1 - r otherwise; Galwey (2009)
    expected = (np.sqrt(1 + (k - 1) * r) + (k - 1) * np.sqrt(1 - r)) ** 2 / k
    assert effective_trials(trials) == pytest.approx(expected, abs=1e-6)


def test_idle_trials_count_as_one_between_them():
    assert effective_trials(pd.DataFrame(np.zeros((10, 3)))) == 1
    with_idle = paths(k=1).assign(a=0.0, b=0.0)
    assert effective_trials(with_idle) == 2


def test_effective_number_is_the_same_on_one_and_two_threads():
    trials = paths(n=2000, k=300) + np.random.default_rng(6).normal(size=(2000, 1))
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(effective_trials(trials))
    assert found[0] == found[1]
    assert 1 < found[0] < 300


def test_effective_number_gives_the_best_of_correlated_trials():
    rng, k, r, n = np.random.default_rng(2), 30, 0.5, 500
    best, told = [], []
    for _ in range(100):
        trials = np.sqrt(r) * rng.normal(size=(n, 1)) + np.sqrt(1 - r) * rng.normal(size=(n, k))
        sharpes = trials.mean(axis=0) / trials.std(axis=0, ddof=1)
        best.append(sharpes.max())
        number = effective_trials(pd.DataFrame(trials))
        told.append(expected_max_sharpe(number, sharpes.var(ddof=1)))
    # the best of 100 worlds has a standard error of 0.0035, and they share a factor
    assert np.mean(told) == pytest.approx(np.mean(best), abs=0.01)


@pytest.mark.parametrize("ask", [probabilistic_sharpe, min_track_record])
@pytest.mark.parametrize(
    ("returns", "says"),
    [
        ([0.01] * 9, "all 9 returns are 0.01; they have no Sharpe ratio"),
        ([0.01, 0.02, 0.03], "returns must be a row of at least 4"),
        ([0.01, np.nan, 0.02, 0.03], "returns hold nan in row 1"),
        ([0.01, 0.0, 0.02, np.inf], "returns hold inf in row 3"),
        ([[0.01, 0.02]] * 5, "returns must be a row of at least 4, were of shape"),
    ],
)
def test_refuses_returns_without_a_sharpe_ratio(ask, returns, says):
    with pytest.raises(DataError, match=says):
        ask(np.array(returns))


def test_refuses_moments_that_no_returns_have():
    # an excess kurtosis of 0 given as if it were Pearson's
    with pytest.raises(DataError, match="kurtosis is Pearson's, above 1 \\+ skewness squared"):
        psr_from_moments(2.5, 100, 0.0, 0.0)
    with pytest.raises(ParamsError, match="at least 2 returns, was 1"):
        psr_from_moments(0.1, 1, 0.0, 3.0)


@pytest.mark.parametrize("level", [0.5, 1.0, 95])
def test_refuses_a_level_that_is_no_confidence(level):
    with pytest.raises(ParamsError, match=f"above 0.5 and below 1, was {level}"):
        min_track_record(skewed(), level=level)


@pytest.mark.parametrize(
    ("n_trials", "variance", "says"),
    [
        (0, 0.1, "n_trials must be at least 1, was 0"),
        (np.nan, 0.1, "n_trials must be at least 1, was nan"),
        (5, -0.1, "not below 0: -0.1"),
        (5, np.nan, "must be finite and not below 0: nan"),
    ],
)
def test_refuses_an_expected_best_of_nothing(n_trials, variance, says):
    with pytest.raises(ParamsError, match=says):
        expected_max_sharpe(n_trials, variance)


def test_refuses_trials_it_cannot_deflate_by():
    with pytest.raises(DataError, match="one Sharpe ratio tells no variance of 7 trials"):
        deflated_sharpe(skewed(), [0.1], n_trials=7)
    with pytest.raises(DataError, match="sharpes hold nan in row 1"):
        deflated_sharpe(skewed(), [0.1, np.nan])
    with pytest.raises(DataError, match="sharpes must be a row of at least 1"):
        deflated_sharpe(skewed(), [])
    with pytest.raises(DataError, match="trials of 'b' are nan in row 2"):
        effective_trials(pd.DataFrame({"a": [1.0, 2, 3], "b": [1.0, 2, np.nan]}))
