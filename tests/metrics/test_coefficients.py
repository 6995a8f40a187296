"""Information coefficients: against scipy one group at a time, and sums by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from signalkit import metrics
from signalkit.errors import DataError


def panel(n_symbols, n_times):
    times = pd.date_range("2024-01-01", periods=n_times, freq="h", tz="UTC")
    symbols = [f"S{i:02d}" for i in range(n_symbols)]
    return pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])


def guesses(index, seed=1):
    """Outcomes, and predictions in quarters that lean to them: full of ties."""
    rng = np.random.default_rng(seed)
    actual = pd.Series(rng.normal(size=len(index)), index)
    return ((actual + rng.normal(size=len(index))) * 4).round() / 4, actual


def their_coefficients(prediction, actual, level):
    """scipy's correlations, one group at a time."""
    out = {}
    for name, mine in prediction.groupby(level=level):
        came = actual[mine.index]
        found = pearsonr(mine, came).statistic, spearmanr(mine, came).statistic
        out[name] = {"ic": found[0], "rank_ic": found[1], "n": len(mine)}
    return pd.DataFrame.from_dict(out, orient="index").rename_axis(level)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), n_symbols=st.integers(1, 13))
def test_coefficients_equal_those_of_scipy(seed, n_symbols):
    prediction, actual = guesses(panel(n_symbols, 12), seed)
    level = "time" if n_symbols >= 10 else "symbol"
    got, expected = (
        metrics.coefficients(prediction, actual),
        their_coefficients(prediction, actual, level),
    )
    pd.testing.assert_frame_equal(got, expected, rtol=1e-9, check_freq=False)


def test_times_with_too_few_symbols_are_left_out_of_a_wide_panel():
    index = panel(10, 6)
    index = index[~((index.get_level_values("symbol") == "S00") & (np.arange(60) % 2 == 0))]
    prediction, actual = guesses(index)
    got = metrics.coefficients(prediction, actual)
    assert got.index.name == "time"
    assert got["n"].tolist() == [10, 10, 10]
    assert got.index.hour.tolist() == [1, 3, 5]


def test_nine_symbols_are_judged_over_time():
    found = metrics.information(*guesses(panel(9, 8)))
    assert found["by"].tolist() == ["symbol", "symbol"]
    assert found["n"].tolist() == [9, 9]


def test_information_is_the_mean_and_its_ratio_to_the_spread():
    prediction, actual = guesses(panel(12, 30))
    each = their_coefficients(prediction, actual, "time")
    got = metrics.information(prediction, actual)
    for name in ("ic", "rank_ic"):
        mean, spread = np.mean(each[name]), np.std(each[name], ddof=1)
        assert got.loc[name, "value"] == pytest.approx(mean)
        assert got.loc[name, "icir"] == pytest.approx(mean / spread)
        assert got.loc[name, "n"] == 30


def test_a_market_that_moves_as_one_helps_nobody_across_symbols():
    index = panel(12, 40)
    rng = np.random.default_rng(3)
    market = np.tile(rng.normal(size=40), 12)
    own = pd.Series(rng.normal(size=480), index)
    timing = pd.Series(market, index) + 0.001 * pd.Series(rng.normal(size=480), index)
    got = metrics.information(timing, own + 5 * market).loc["ic", "value"]
    # 40 correlations of 12 unrelated pairs: a standard error of 1 / sqrt(11 * 40) = 0.048
    assert abs(got) < 3 * 0.048


def test_levels_of_two_symbols_say_nothing_over_time():
    index = panel(2, 50)
    rng = np.random.default_rng(4)
    level = np.repeat([0.0, 100.0], 50)
    prediction, actual = (pd.Series(level + rng.normal(size=100), index) for _ in range(2))
    # two standard errors of the mean of two correlations of 50 rows are 0.2
    assert abs(metrics.information(prediction, actual).loc["ic", "value"]) < 0.2
    assert np.corrcoef(prediction, actual)[0, 1] > 0.99


@pytest.mark.parametrize("n", range(3, 20))
def test_a_constant_prediction_has_no_coefficient(n):
    index = panel(2, n)
    prediction, actual = guesses(index)
    prediction[index.get_level_values("symbol") == "S00"] = 0.1
    found = metrics.coefficients(prediction, actual)
    assert found["ic"].isna().tolist() == [True, False]
    assert found["rank_ic"].isna().tolist() == [True, False]
    told = metrics.information(prediction, actual)
    assert told["n"].tolist() == [1, 1]
    assert told["icir"].isna().all()
    assert told.loc["ic", "value"] == found["ic"].iloc[1]


def test_refuses_rows_that_it_cannot_compare():
    prediction, actual = guesses(panel(2, 5))
    with pytest.raises(DataError, match="10 predictions and 9 outcomes need the same rows"):
        metrics.information(prediction, actual.iloc[1:])
    with pytest.raises(DataError, match="need the same rows"):
        metrics.information(prediction, actual.iloc[::-1])
    twice = prediction.iloc[[0, 0, 1]]
    with pytest.raises(DataError, match="once each; align them first"):
        metrics.information(twice, twice)
    with pytest.raises(DataError, match="indexed by symbol and time, was"):
        metrics.information(prediction.droplevel("symbol"), actual.droplevel("symbol"))
    with pytest.raises(DataError, match="row 3 is not finite"):
        metrics.information(prediction, actual.mask(np.arange(10) == 3))
