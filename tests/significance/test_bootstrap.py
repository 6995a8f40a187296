"""bootstrap.py: against arch's circular block bootstrap, and the coverage it promises."""

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import CircularBlockBootstrap
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from signalkit.errors import DataError, ParamsError
from signalkit.significance import bootstrap_ci, draw_counts, p_value


def hours(n):
    return pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")


def mean_of(values):
    """The weighted mean of some values, as a statistic."""
    return lambda weight: pd.Series({"mean": weight @ values / weight.sum()})


@settings(max_examples=40, deadline=None, derandomize=True)
@given(n=st.integers(1, 60), share=st.floats(0, 1), seed=st.integers(0, 999))
def test_draws_equal_those_of_arch(n, share, seed):
    block = max(1, round(share * n))
    theirs = CircularBlockBootstrap(block, np.arange(n), seed=np.random.default_rng(seed))
    expected = [np.bincount(drawn[0][0], minlength=n) for drawn in theirs.bootstrap(5)]
    got = draw_counts(n, block, 5, seed)
    np.testing.assert_array_equal(got, expected)
    assert (got.sum(axis=1) == n).all()


def test_blocks_run_over_the_end_into_the_beginning():
    # one block of all but one time: a circle that leaves out a single neighbour of the start
    counts = draw_counts(5, 5, 200, seed=1)
    assert (counts == 1).all()
    pairs = draw_counts(6, 3, 400, seed=1)
    # every time is drawn once on average, also those at the ends
    assert pairs.mean(axis=0) == pytest.approx(np.ones(6), abs=0.12)
    assert ((pairs[:, 0] > 0) & (pairs[:, 5] > 0) & (pairs[:, 3] == 0)).any()


def test_the_same_seed_draws_the_same_and_another_does_not():
    assert (draw_counts(50, 5, 10, seed=4) == draw_counts(50, 5, 10, seed=4)).all()
    assert (draw_counts(50, 5, 10, seed=4) != draw_counts(50, 5, 10, seed=5)).any()


@pytest.mark.parametrize("block", [0, 7, -1])
def test_refuses_a_block_that_does_not_fit(block):
    with pytest.raises(ParamsError, match=f"from 1 to the 6 times there are, was {block}"):
        draw_counts(6, block, 10, seed=0)


def test_interval_equals_the_percentile_interval_of_arch():
    values = np.random.default_rng(8).normal(0.1, 1, 90)
    theirs = CircularBlockBootstrap(7, values, seed=np.random.default_rng(3))
    low, high = theirs.conf_int(np.mean, 300, method="percentile", size=0.9).ravel()
    got = bootstrap_ci(mean_of(values), hours(90), block=7, draws=300, level=0.9, seed=3)
    row = got.loc["mean", ["value", "low", "high"]]
    assert row.to_dict() == pytest.approx({"value": values.mean(), "low": low, "high": high})


def test_symbols_of_one_time_are_drawn_together():
    times, seen = hours(20).append(hours(20)[5:]), []

    def statistic(weight):
        seen.append(pd.Series(weight).groupby(times.to_numpy()).nunique().max())
        return pd.Series({"total": weight.sum()})

    bootstrap_ci(statistic, times, block=4, draws=30)
    assert len(seen) == 31
    assert set(seen) == {1}


def ar1(n, phi, rng):
    """A seeded autoregressive path of mean 0."""
    noise = rng.normal(size=n)
    path = np.empty(n)
    path[0] = noise[0] / np.sqrt(1 - phi**2)
    for i in range(1, n):
        path[i] = phi * path[i - 1] + noise[i]
    return path


def coverage(phi, block, worlds=150, n=600):
    """Share of worlds whose 90 % interval of the mean holds the true mean, 0."""
    rng, times, held = np.random.default_rng(99), hours(n), 0
    for world in range(worlds):
        path = ar1(n, phi, rng)
        found = bootstrap_ci(
            mean_of(path), times, block=block, draws=100, level=0.9, seed=world
        ).loc["mean"]
        held += found["low"] <= 0 <= found["high"]
    return held / worlds


def test_interval_of_an_independent_mean_covers_as_promised():
    # 150 worlds: two standard errors of a share of 0.9 are 0.05
    assert coverage(phi=0.0, block=1) == pytest.approx(0.9, abs=0.06)


def test_blocks_are_what_covers_a_dependent_mean():
    assert coverage(phi=0.6, block=24) > 0.8
    # single times pretend that neighbours are independent: the variance is (1 + phi) / (1 - phi)
    # = 4 times too small, and a 90 % interval covers 59 %
    assert coverage(phi=0.6, block=1) < 0.70


def test_a_higher_level_gives_a_wider_interval_around_the_value():
    values = np.random.default_rng(1).normal(size=60)
    narrow, wide = (
        bootstrap_ci(mean_of(values), hours(60), block=3, draws=200, level=level).loc["mean"]
        for level in (0.5, 0.95)
    )
    assert wide["low"] < narrow["low"] < narrow["value"] < narrow["high"] < wide["high"]


def test_draws_without_a_value_are_left_out():
    def statistic(weight):
        return pd.Series({"odd": 1.0 if weight[0] > 0 else np.nan, "never": np.nan})

    got = bootstrap_ci(statistic, hours(10), block=2, draws=40)
    assert got.loc["odd", ["value", "low", "high"]].tolist() == [1.0, 1.0, 1.0]
    assert got.loc["never"].isna().all()


def test_several_values_keep_their_names_and_order():
    values = np.arange(8.0)

    def statistic(weight):
        return pd.Series({"b": weight @ values, "a": weight.sum()})

    got = bootstrap_ci(statistic, hours(8), block=2, draws=20)
    assert got.index.tolist() == ["b", "a"]
    assert got.columns.tolist() == ["value", "low", "high", "p"]
    assert got.loc["a"].tolist() == [8.0, 8.0, 8.0, 1 / 21]


def test_chance_of_a_value_above_zero_is_that_of_its_centred_draws():
    values = np.random.default_rng(8).normal(0.1, 1, 90)
    theirs = CircularBlockBootstrap(7, values, seed=np.random.default_rng(3))
    centred = theirs.apply(np.mean, 300)[:, 0] - values.mean()
    got = bootstrap_ci(mean_of(values), hours(90), block=7, draws=300, seed=3)
    assert got.loc["mean", "p"] == p_value(values.mean(), centred)
    assert 0.05 < got.loc["mean", "p"] < 0.5


def test_draws_without_a_value_do_not_count_for_the_chance():
    def statistic(weight):
        return pd.Series({"odd": 1.0 if weight[0] > 0 else np.nan})

    seen = (draw_counts(10, 2, 40, seed=0)[:, 0] > 0).sum()
    assert 0 < seen < 40
    got = bootstrap_ci(statistic, hours(10), block=2, draws=40)
    # a value that no draw moves: only the real one is as far from 0
    assert got.loc["odd", "p"] == 1 / (1 + seen)


@pytest.mark.parametrize(
    ("real", "larger", "expected"),
    [(5.0, True, 1 / 5), (3.0, True, 3 / 5), (0.0, True, 1.0), (0.0, False, 1 / 5)],
)
def test_p_value_counts_the_real_value_and_ties(real, larger, expected):
    assert p_value(real, np.array([1.0, 3.0, 2.0, 4.0]), larger=larger) == expected


@pytest.mark.parametrize("larger", [True, False])
def test_p_value_equals_that_of_a_monte_carlo_test_in_scipy(larger):
    values = np.random.default_rng(2).normal(0.2, 1, 30)
    theirs = stats.monte_carlo_test(
        values,
        np.random.default_rng(5).standard_normal,
        np.mean,
        n_resamples=199,
        vectorized=False,
        alternative="greater" if larger else "less",
    )
    got = p_value(values.mean(), theirs.null_distribution, larger=larger)
    assert got == pytest.approx(theirs.pvalue, abs=1e-12)


def test_p_values_of_luck_are_uniform():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(1000, 20))
    found = [p_value(row[0], row[1:]) for row in draws]
    # 20 ranks, each as likely: chi-square of 1,000 ranks
    assert stats.chisquare(np.bincount(np.rint(np.array(found) * 20).astype(int))[1:]).pvalue > 0.01


@pytest.mark.parametrize(
    ("real", "draws", "says"),
    [
        (1.0, [], "needs a row of draws, was of shape"),
        (1.0, [1.0, np.nan], "draw 1 of a p-value is not finite"),
        (np.nan, [1.0, 2.0], "the real value of a p-value is not finite"),
    ],
)
def test_refuses_a_p_value_of_what_has_no_score(real, draws, says):
    with pytest.raises(DataError, match=says):
        p_value(real, np.array(draws))
