"""Every feature of bars against its plain, slow reference, on made bars and on real ones."""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from signalkit.bars import interval_length
from signalkit.features import CATALOG, build
from tests.features.bar_sets import SETS, bars_of
from tests.features.pandas_columns import pandas_columns
from tests.features.reference import REFERENCE, assert_like_reference, reference

# a window or more of each kind that the catalogue does not hold by default
OTHER_WINDOWS = """
return_7 momentum_10_2 mean_distance_5 ema_distance_9 range_position_7 rsi_21 macd_line_5_13
macd_signal_5_13_4 macd_histogram_5_13_4 bollinger_position_10 bollinger_width_34
stochastic_k_5_3 stochastic_k_5_1 stochastic_d_5_3_4 williams_r_7 atr_21 adx_7 di_difference_7
cci_11 mfi_49 obv_slope_10 volume_ratio_5 volume_trend_3_9 volume_momentum_4 vwap_distance_48
dollar_volume_trend_2_8 amihud_5 signed_volume_5 return_lag_4 volume_change_lag_4 std_120
skewness_5 kurtosis_120 quantile_position_5 drawdown_120 autocorrelation_5 realised_5 parkinson_1
garman_klass_5 rogers_satchell_1 yang_zhang_5 volatility_ratio_3_9 har_120
"""


@cache
def built(name):
    """All columns of a set of bars at once."""
    return build(bars_of(name))


def test_every_feature_of_bars_has_a_reference():
    assert set(REFERENCE) == {name for name, entry in CATALOG.items() if not entry.reads_news}


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("bars", SETS)
def test_feature_equals_its_reference(bars, name):
    expected = REFERENCE[name](bars_of(bars))
    assert expected.notna().sum() == len(bars_of(bars)) - CATALOG[name].warmup
    assert_like_reference(built(bars)[name], expected, name)


@pytest.mark.parametrize("name", OTHER_WINDOWS.split())
@pytest.mark.parametrize("bars", ["probe", "AGFS"])
def test_feature_of_another_window_equals_its_reference(bars, name):
    assert name not in REFERENCE
    expected = reference(name)(bars_of(bars))
    assert expected.isna().sum() == CATALOG[name].warmup
    assert_like_reference(build(bars_of(bars), [name])[name], expected, name)


@pytest.mark.parametrize(
    ("bars", "interval", "max_gap"), [("hours", "1h", 3), ("minutes", "1m", 10)]
)
def test_after_a_long_gap_every_feature_starts_anew(bars, interval, max_gap):
    found = bars_of(bars)
    missing = np.diff(found.index) / interval_length(interval) - 1
    pieces = np.split(np.arange(len(found)), np.flatnonzero(missing > max_gap) + 1)
    assert len(pieces) > 1
    got = build(found, list(REFERENCE), interval=interval, max_gap=max_gap)
    for piece in pieces:
        for name in REFERENCE:
            expected = REFERENCE[name](found.iloc[piece])
            assert_like_reference(got[name].iloc[piece], expected, name)


@pytest.mark.parametrize("bars", ["probe", "SP500", "hours", "AAPL", "AGFS"])
def test_plain_pandas_gives_the_references_numbers_where_prices_move(bars):
    # it is the peer in the benchmark; the minutes have an outage, where its running sums fail
    found = pandas_columns(bars_of(bars))
    assert set(found) == set(REFERENCE)
    for name, function in REFERENCE.items():
        expected = function(bars_of(bars))
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-6, err_msg=name)


def log_returns(bars):
    return np.log(bars["close"]).diff().to_numpy()


SCIPY = {
    "skewness_60": lambda w: stats.skew(w, bias=True),
    "kurtosis_60": lambda w: stats.kurtosis(w, bias=True),
    "autocorrelation_60": lambda w: stats.pearsonr(w[:-1], w[1:]).statistic,
    "std_60": lambda w: stats.tstd(w),
}


@pytest.mark.parametrize("name", SCIPY)
def test_the_reference_of_a_moment_is_that_of_scipy(name):
    bars = bars_of("SP500").iloc[:300]
    moves, got = log_returns(bars), REFERENCE[name](bars)
    expected = [SCIPY[name](moves[i - 59 : i + 1]) for i in range(60, len(bars))]
    np.testing.assert_allclose(got.iloc[60:], expected, rtol=1e-9)


def test_the_reference_of_a_place_is_scipys_percentile_of_the_other_closes():
    bars = bars_of("probe")
    close, got = bars["close"].to_numpy(), REFERENCE["quantile_position_20"](bars)
    places = [
        stats.percentileofscore(close[i - 19 : i], close[i], kind="mean") / 100
        for i in range(19, len(bars))
    ]
    np.testing.assert_allclose(got.iloc[19:], places, rtol=1e-12, atol=1e-15)


SCALES = [(7.0, 1.0), (1.0, 1000.0), (7.0, 1000.0), (1e-7, 1e-3), (1e7, 1.0)]
BY_TIES = {"adx", "di_difference"}


def scaled(bars, price, volume):
    out = bars.copy()
    out[["open", "high", "low", "close"]] *= price
    out["volume"] *= volume
    return out


def rows_before_a_tie(bars):
    """How many bars come before one whose high went up just as far as its low went down.

    Like TA-Lib, the directional moves compare the two floats, and their last bits depend on
    the unit of the price.
    """
    up, down = bars["high"].diff(), -bars["low"].diff()
    ties = ((up - down).abs() <= 1e-12 * bars["high"]) & (up > 0)
    return int(np.argmax(ties)) if ties.any() else len(bars)


@pytest.mark.parametrize("bars", SETS)
@pytest.mark.parametrize(("price", "volume"), SCALES)
def test_units_of_price_and_volume_do_not_matter(bars, price, volume):
    before, after = built(bars), build(scaled(bars_of(bars), price, volume))
    rows = rows_before_a_tie(bars_of(bars))
    assert rows > 200
    for name in REFERENCE:
        last = rows if name.rpartition("_")[0] in BY_TIES else None
        assert_like_reference(after[name][:last], before[name][:last], name)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("range_position_20", 0, 1),
        ("close_in_bar", 0, 1),
        ("body_in_bar", -1, 1),
        ("upper_wick_in_bar", 0, 1),
        ("lower_wick_in_bar", 0, 1),
        ("rsi_14", 0, 1),
        ("stochastic_k_14_3", 0, 1),
        ("stochastic_d_14_3_3", 0, 1),
        ("williams_r_14", -1, 0),
        ("adx_14", 0, 1),
        ("di_difference_14", -1, 1),
        ("mfi_14", 0, 1),
        ("volume_momentum_10", -1, 1),
        ("signed_volume_20", -1, 1),
        ("volume_change_lag_1", -1, 1),
        ("quantile_position_20", 0, 1),
        ("drawdown_60", -1, 0),
        ("autocorrelation_20", -1, 1),
    ],
)
@pytest.mark.parametrize("bars", SETS)
def test_feature_stays_in_the_range_it_states(bars, name, least, most):
    found = built(bars)[name].dropna()
    assert len(found)
    assert found.between(least, most).all()


def test_a_day_a_week_a_month_and_a_year_close_their_circles():
    got = built("probe")
    for turn in ("hour", "weekday", "day", "month"):
        round_ = got[f"{turn}_sine"] ** 2 + got[f"{turn}_cosine"] ** 2
        np.testing.assert_allclose(round_, 1.0, rtol=1e-12)
    # 2024-01-01 00:00, a Monday: every turn begins
    assert got.filter(regex="_cosine").iloc[0].tolist() == [1.0] * 4
    assert got.filter(regex="_sine").iloc[0].tolist() == [0.0] * 4
