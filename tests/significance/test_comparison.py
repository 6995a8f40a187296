"""comparison.py: against arch, scipy and statsmodels, by hand, and at its promised size."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from arch.bootstrap import MCS, SPA, StationaryBootstrap
from scipy import stats
from statsmodels.stats.sandwich_covariance import weights_uniform

from signalkit.errors import DataError, ParamsError
from signalkit.significance import diebold_mariano, model_confidence_set, spa


def losses(n=120, k=4, seed=0, gains=0.0):
    """Independent losses of a benchmark, and of models that are better by their gains."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2024-01-01", periods=n, tz="UTC", name="time")
    table = pd.DataFrame(rng.normal(1, 1, (n, k)) - np.asarray(gains), days).add_prefix("m")
    return pd.Series(rng.normal(1, 1, n), days), table


def test_superior_ability_equals_arch():
    base, table = losses(gains=[0.3, 0.0, -0.1, -1.0])
    theirs = SPA(base, table, block_size=6, reps=300, seed=4)
    theirs.compute()
    got = spa(base, table, block=6, draws=300, seed=4)
    pd.testing.assert_series_equal(got, theirs.pvalues)
    assert 0 < got["consistent"] < 0.2


@pytest.mark.parametrize("studentize", [False, True])
def test_superior_ability_equals_hansens_definition_written_out(studentize):
    base, table = losses(n=80, gains=[0.2, 0.0, -0.6, -1.0])
    gain = base.to_numpy()[:, None] - table.to_numpy()
    n, mean = len(gain), gain.mean(axis=0)
    # long-run variance with the kernel of the stationary bootstrap, Politis and Romano (1994)
    centred, q, lag = gain - mean, 1 / 5, np.arange(1, n)
    kernel = (1 - lag / n) * (1 - q) ** lag + lag / n * (1 - q) ** (n - lag)
    cov = np.array([(centred[k:] * centred[: n - k]).sum(axis=0) / n for k in range(n)])
    omega = np.sqrt(cov[0] + 2 * kernel @ cov[1:])
    poor = mean < -omega / np.sqrt(n) * np.sqrt(2 * np.log(np.log(n)))
    centres = [np.maximum(mean, 0), np.where(poor, 0, mean), mean]
    draws = StationaryBootstrap(5, gain, seed=1).bootstrap(200)
    means = np.array([drawn[0][0].mean(axis=0) for drawn in draws])
    unit = omega if studentize else 1.0
    seen = (mean / unit).max()
    expected = [(((means - centre) / unit).max(axis=1) > seen).mean() for centre in centres]
    got = spa(base, table, block=5, draws=200, seed=1, studentize=studentize)
    assert poor.tolist() == [False, False, True, True]
    assert got.tolist() == expected
    assert got.index.tolist() == ["lower", "consistent", "upper"]
    assert got["lower"] <= got["consistent"] <= got["upper"]


def null_p_values(studentize, worlds=150):
    """Consistent p-values where no model is better or worse than the benchmark."""
    tables = (losses(n=60, k=3, seed=seed) for seed in range(worlds))
    options = {"block": 2, "draws": 60, "seed": 1, "studentize": studentize}
    return np.array([spa(b, t, **options)["consistent"] for b, t in tables])


@pytest.mark.parametrize("studentize", [False, True])
def test_superior_ability_is_claimed_as_seldom_as_promised(studentize):
    found = null_p_values(studentize)
    for size in (0.1, 0.3):
        # the count lies in the middle 99.8 % of the binomial
        low, high = stats.binom.ppf([0.001, 0.999], len(found), size)
        assert low <= (found <= size).sum() <= high


def test_a_better_model_is_found_and_worse_ones_are_not():
    base, table = losses(gains=[0.8, 0.0, 0.0, 0.0])
    assert spa(base, table, block=3, draws=200)["consistent"] < 0.01
    base, table = losses(gains=-0.8)
    assert spa(base, table, block=3, draws=200)["consistent"] > 0.3


def found_among_wild_ones(studentize, worlds=20):
    """Share of worlds in which a steady small gain is found among four wild losses."""
    hits, n = 0, 250
    for seed in range(worlds):
        noise = np.random.default_rng(seed).normal(size=(n, 5)) * [0.5, 4, 4, 4, 4]
        options = {"block": 2, "draws": 100, "studentize": studentize}
        gained = pd.DataFrame(noise - [0.12, 0, 0, 0, 0])
        hits += spa(pd.Series(np.zeros(n)), gained, **options)["consistent"] <= 0.1
    return hits / worlds


def test_studentized_a_steady_model_is_not_hidden_by_wild_ones():
    assert found_among_wild_ones(studentize=True) > 0.9
    assert found_among_wild_ones(studentize=False) < 0.4


def test_studentized_the_scale_of_a_model_does_not_matter():
    base, table = losses(gains=[0.2, 0.1, 0.0, -0.2])
    gains = table.rsub(base, axis=0)
    flat = 0 * base
    one = spa(flat, -gains, block=4, draws=200, studentize=True)
    other = spa(flat, -gains * [1, 64, 0.25, 8], block=4, draws=200, studentize=True)
    pd.testing.assert_series_equal(one, other)
    assert 0 < one["consistent"] < 1
    steady = spa(flat, -gains.assign(sure=0.01), block=4, draws=200, studentize=True)
    assert np.isfinite(steady).all()


def test_a_copy_of_the_benchmark_is_no_evidence():
    base, table = losses(gains=-3.0)
    with_copy = table.assign(copy=base)
    # arch alone takes the copy's gain of exactly 0 for one that no draw reaches
    theirs = SPA(base, with_copy, block_size=3, reps=100, seed=0)
    theirs.compute()
    assert theirs.pvalues["consistent"] == 0
    got = spa(base, with_copy, block=3, draws=100)
    pd.testing.assert_series_equal(got, spa(base, table, block=3, draws=100))
    assert got["consistent"] > 0.3
    assert spa(base, with_copy[["copy"]], block=3).tolist() == [1, 1, 1]


def test_confidence_set_equals_arch():
    _, table = losses(k=5, gains=[0.5, 0.4, 0.1, 0.0, -0.6])
    theirs = MCS(table, size=0.1, block_size=4, reps=300, seed=2)
    theirs.compute()
    got = model_confidence_set(table, block=4, draws=300, seed=2)
    assert got["p_value"].to_dict() == theirs.pvalues["Pvalue"].to_dict()
    assert got.index[got["included"]].tolist() == theirs.included
    assert got["loss"].to_dict() == pytest.approx(table.mean().to_dict())
    assert got.index.tolist() == table.columns.tolist()
    assert 0 < got["included"].sum() < 5


def test_two_models_in_the_confidence_set_by_hand():
    _, table = losses(n=60, k=2, gains=[0.15, 0.0])
    gap = (table["m1"] - table["m0"]).to_numpy()
    drawn = StationaryBootstrap(3, np.arange(60), seed=7).bootstrap(250)
    means = np.array([gap[d[0][0]].mean() for d in drawn]) - gap.mean()
    # the range statistic of two models is the absolute studentised gap; MCS, section 3.1
    expected = (abs(gap.mean()) < np.abs(means)).mean()
    got = model_confidence_set(table, block=3, draws=250, seed=7)
    assert got["p_value"].tolist() == [1.0, expected]


def test_the_set_is_wider_at_a_higher_level():
    _, table = losses(k=5, gains=[0.5, 0.4, 0.2, 0.1, 0.0])
    narrow, wide = (
        model_confidence_set(table, level=level, block=2, draws=300) for level in (0.5, 0.99)
    )
    assert narrow["p_value"].equals(wide["p_value"])
    assert set(narrow.index[narrow["included"]]) < set(wide.index[wide["included"]])
    assert wide.loc[wide["loss"].idxmin(), "p_value"] == 1


def test_a_p_value_at_the_edge_is_outside_as_in_arch():
    _, table = losses(k=2, seed=3, gains=[0.2, 0.0])
    theirs = MCS(table, size=0.1, block_size=2, reps=10, seed=0)
    theirs.compute()
    got = model_confidence_set(table, level=0.9, block=2, draws=10)
    assert got["p_value"].tolist() == [1.0, 0.1]
    assert got.index[got["included"]].tolist() == theirs.included == ["m0"]


def test_the_best_model_is_in_the_set_as_often_as_promised():
    held = 0
    for seed in range(100):
        _, table = losses(n=60, k=3, seed=seed, gains=[0.2, 0.0, -0.2])
        found = model_confidence_set(table, level=0.8, block=1, draws=60, seed=1)
        held += found.loc["m0", "included"]
    assert held >= stats.binom.ppf(0.001, 100, 0.8)


def test_models_with_equal_losses_share_their_place():
    _, table = losses(k=3, gains=[0.3, 0.0, -1.0])
    twice = table.assign(again=table["m0"], last=table["m2"])
    got = model_confidence_set(twice, block=2, draws=200)
    alone = model_confidence_set(table, block=2, draws=200)
    assert got.loc[table.columns].equals(alone)
    assert got.loc["again"].equals(got.loc["m0"].rename("again"))
    assert got.loc["last"].equals(got.loc["m2"].rename("last"))
    one = model_confidence_set(table[["m1"]].assign(same=table["m1"]), block=2)
    assert one["p_value"].tolist() == [1, 1]


def test_equal_forecasts_one_bar_ahead_are_the_paired_t_test_of_scipy():
    a, b = (losses(seed=seed)[0].to_numpy() for seed in (1, 2))
    expected = stats.ttest_rel(a, b)
    got = diebold_mariano(a, b)
    assert got["statistic"] == pytest.approx(expected.statistic, rel=1e-12)
    assert got["p_value"] == pytest.approx(expected.pvalue, rel=1e-12)
    assert got["difference"] == pytest.approx((a - b).mean())
    assert got["n"] == 120


@pytest.mark.parametrize("horizon", [2, 5])
def test_overlapping_forecasts_equal_statsmodels_with_the_factor_of_hln(horizon):
    rng = np.random.default_rng(3)
    gap = np.convolve(rng.normal(0.2, 1, 90), np.ones(horizon), "valid")
    n = len(gap)
    options = {"maxlags": horizon - 1, "kernel": weights_uniform}
    fit = sm.OLS(gap, np.ones(n)).fit(cov_type="HAC", cov_kwds=options)
    factor = np.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    got = diebold_mariano(gap, np.zeros(n), horizon=horizon)
    assert got["statistic"] == pytest.approx(fit.tvalues[0] * factor, rel=1e-10)
    assert got["p_value"] == pytest.approx(
        2 * stats.t.sf(abs(fit.tvalues[0] * factor), n - 1), rel=1e-10
    )


def test_six_losses_worked_by_hand():
    # gaps 1 2 4 3 1 1: mean 2; around it -1 0 2 1 -1 -1; squares 8, neighbours 0+0+2-1+1 = 2
    a, b = np.array([3.0, 4, 6, 5, 3, 3]), np.full(6, 2.0)
    got = diebold_mariano(a, b, horizon=2)
    # variance (8/6 + 2 x 2/6) / 6 = 1/3; factor (6 + 1 - 4 + 2/6) / 6 = 5/9
    assert got["statistic"] == pytest.approx(2 / np.sqrt(1 / 3) * np.sqrt(5 / 9))
    assert got["difference"] == 2


def test_the_other_way_round_is_the_same_with_the_other_sign():
    a, b = losses(seed=1)[0], losses(seed=2)[0]
    one, other = diebold_mariano(a, b, horizon=3), diebold_mariano(b, a, horizon=3)
    assert one["statistic"] == -other["statistic"]
    assert one["p_value"] == other["p_value"]


def test_difference_is_claimed_as_seldom_as_promised():
    rng = np.random.default_rng(4)
    single = [diebold_mariano(*rng.normal(size=(2, 40)))["p_value"] for _ in range(400)]
    assert stats.kstest(single, "uniform").pvalue > 0.01
    rows = [np.convolve(rng.normal(size=202), np.ones(3), "valid") for _ in range(400)]
    overlapping = np.array([diebold_mariano(r, 0 * r, horizon=3)["p_value"] for r in rows])
    low, high = stats.binom.ppf([0.001, 0.999], 400, 0.1)
    assert low <= (overlapping <= 0.1).sum() <= high
    # counted as if they did not overlap, the same losses claim far too much
    blind = np.array([diebold_mariano(r, 0 * r)["p_value"] for r in rows])
    assert (blind <= 0.1).mean() > 0.25


def test_equal_losses_differ_by_nothing():
    a = losses()[0]
    got = diebold_mariano(a, a, horizon=3)
    assert got["p_value"] == 1
    assert np.isnan(got["statistic"])
    assert got["difference"] == 0


@pytest.mark.parametrize(("gap", "horizon"), [([1, -1, 1, -1, 1.2, -1], 2), ([1, 1, 1, 1], 1)])
def test_a_gap_without_variance_has_no_answer(gap, horizon):
    got = diebold_mariano(np.array(gap, dtype=float), np.zeros(len(gap)), horizon=horizon)
    assert np.isnan(got["statistic"])
    assert np.isnan(got["p_value"])


def test_same_seed_same_p_values_and_another_seed_others():
    base, table = losses(gains=[0.2, 0.1, 0.0, 0.0])
    runs = [spa(base, table, block=3, draws=200, seed=seed) for seed in (1, 1, 2)]
    assert runs[0].equals(runs[1])
    assert not runs[0].equals(runs[2])
    sets = [model_confidence_set(table, block=3, draws=200, seed=seed) for seed in (1, 1, 2)]
    assert sets[0].equals(sets[1])
    assert not sets[0].equals(sets[2])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"block": 0}, "block must be from 1 to the 120 times there are, was 0"),
        ({"block": 121}, "block must be from 1 to the 120 times there are, was 121"),
        ({"block": 3, "draws": 0}, "draws must be at least 1, was 0"),
    ],
)
def test_refuses_blocks_and_draws_that_do_not_fit(options, says):
    base, table = losses()
    with pytest.raises(ParamsError, match=says):
        spa(base, table, **options)
    with pytest.raises(ParamsError, match=says):
        model_confidence_set(table, **options)


def test_refuses_a_level_or_horizon_out_of_bounds():
    base, table = losses()
    with pytest.raises(ParamsError, match="level must be above 0 and below 1, was 90"):
        model_confidence_set(table, level=90, block=2)
    for horizon in (0, 120):
        with pytest.raises(ParamsError, match=f"from 1 to 119 of 120 times, was {horizon}"):
            diebold_mariano(base, base, horizon=horizon)


def test_refuses_losses_that_do_not_match():
    base, table = losses()
    shifted = base.shift(freq="D")
    with pytest.raises(DataError, match=r"same times; row 0 is 2024-01-02 .* and 2024-01-01"):
        spa(shifted, table, block=2)
    with pytest.raises(DataError, match="same times, were 119 and 120 of them"):
        spa(base[1:], table, block=2)
    with pytest.raises(DataError, match="same times; row 0"):
        diebold_mariano(shifted, base)


def test_refuses_losses_with_holes():
    base, table = losses()
    holed = table.mask(table == table.iloc[7, 2])
    with pytest.raises(DataError, match="losses of 'm2' are nan in row 7"):
        spa(base, holed, block=2)
    with pytest.raises(DataError, match="losses of 'm2' are nan in row 7"):
        model_confidence_set(holed, block=2)
    with pytest.raises(DataError, match="losses of 'benchmark' are nan in row 7"):
        spa(holed["m2"], table, block=2)
    with pytest.raises(DataError, match="losses of 'b' are nan in row 7"):
        diebold_mariano(base, holed["m2"])
    with pytest.raises(DataError, match="at least 3 times"):
        model_confidence_set(table[:2], block=1)


def test_refuses_models_that_differ_by_a_constant():
    table = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [4.0, 3, 1, 2], "c": [2.0, 3, 4, 5]})
    with pytest.raises(DataError, match="losses of 'a' and 'c' differ by the same number"):
        model_confidence_set(table, block=1)
