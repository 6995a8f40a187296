"""build.py: matrices of panels and of the sample, and the bars nobody wishes for."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import talib

from signalkit import collection
from signalkit.causality import probe_bars, probe_news
from signalkit.errors import DataError, ParamsError
from signalkit.features import CATALOG, build, select

OF_BARS = {name: feature for name, feature in CATALOG.items() if not feature.reads_news}
LONGEST = max(feature.warmup for feature in OF_BARS.values())


@pytest.fixture
def catalogue(monkeypatch):
    """A function that adds an unproven feature for one test."""

    def add(name, function, warmup):
        monkeypatch.setitem(
            CATALOG, name, type(CATALOG["rsi_14"])(name, "own", warmup, "1", "", function)
        )

    return add


def flat(n=150, price=100.0, volume=1.0):
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return pd.DataFrame(prices | {"volume": volume}, index=times)


def panel(**parts):
    return pd.concat(parts, names=["symbol", "time"])


def test_warm_up_is_exactly_as_stated_on_every_symbol():
    bars = panel(A=probe_bars(200), B=probe_bars(90, seed=2), C=probe_bars(140, seed=3))
    got = build(bars)
    assert got.index.equals(bars.index)
    for _, block in got.groupby(level="symbol"):
        blank = {name: np.flatnonzero(block[name].isna()).tolist() for name in block}
        assert blank == {name: list(range(CATALOG[name].warmup)) for name in OF_BARS}


def test_a_panel_equals_its_symbols_one_by_one():
    one, other = probe_bars(130), probe_bars(100, seed=5)
    got = build(panel(A=one, B=other))
    pd.testing.assert_frame_equal(got.loc["A"], build(one), check_exact=True, check_freq=False)
    pd.testing.assert_frame_equal(got.loc["B"], build(other), check_exact=True, check_freq=False)


def test_the_sample_has_every_feature_past_its_warm_up():
    bars = collection.load("sample", ["SP500", "NASDAQ"], "1d")
    got = build(bars)
    assert got.shape == (10_062, len(OF_BARS))
    assert (got.dtypes == np.float64).all()
    assert got.isna().sum().to_dict() == {n: 2 * f.warmup for n, f in OF_BARS.items()}
    assert np.isfinite(got.fillna(0.0)).all(axis=None)


def test_features_of_the_sample_are_stationary_in_scale():
    # the NASDAQ rose 3-fold from 2009 to 2018; a raw price level would not keep its size
    got = build(collection.load("sample", ["NASDAQ"], "1d"))
    early, late = got.loc["NASDAQ"].loc["2009":"2010"], got.loc["NASDAQ"].loc["2017":"2018"]
    assert (late.abs().median() < 3 * early.abs().quantile(0.95)).all()


@pytest.mark.parametrize("price", [1.0, 0.1, 100.1, 1e-7, 54_321.9])
@pytest.mark.parametrize("volume", [0.0, 0.1])
def test_every_feature_is_a_number_where_nothing_moves(price, volume):
    got = build(flat(price=price, volume=volume)).iloc[LONGEST:]
    assert np.isfinite(got).all(axis=None)


@pytest.mark.parametrize("price", [1.0, 0.1, 100.1, 1e-7])
def test_where_nothing_moves_features_say_so_at_any_price(price):
    got = build(flat(price=price)).iloc[-1]
    still = {
        "return_1": 0.0,
        "return_21": 0.0,
        "mean_distance_50": 0.0,
        "range_position_20": 0.5,
        "close_in_bar": 0.5,
        "skewness_60": 0.0,
        "drawdown_60": 0.0,
        "rsi_14": 0.0,
        "macd_histogram_12_26_9": 0.0,
        "bollinger_position_20": 0.5,
        "bollinger_width_20": 0.0,
        "stochastic_k_14_3": 0.0,
        "adx_14": 0.0,
        "di_difference_14": 0.0,
        "cci_20": 0.0,
        "mfi_14": 0.0,
        "obv_slope_20": 0.0,
        "kurtosis_20": 0.0,
        "autocorrelation_20": 0.0,
        "quantile_position_20": 0.5,
        "body_in_bar": 0.0,
        "upper_wick_in_bar": 0.0,
        "yang_zhang_20": 0.0,
        "har_22": 0.0,
        "amihud_20": 0.0,
        "signed_volume_20": 0.0,
        "vwap_distance_20": 0.0,
        "williams_r_14": 0.0,
        "atr_14": 0.0,
        "realised_20": 0.0,
        "parkinson_20": 0.0,
        "volatility_ratio_5_60": 1.0,
        "volume_ratio_20": 1.0,
        "volume_trend_5_20": 1.0,
    }
    assert got[list(still)].to_dict() == pytest.approx(still, abs=1e-9)


def test_without_any_volume_nothing_is_unusual():
    got = build(flat(volume=0.0), ["volume_ratio_20", "volume_trend_5_20"]).dropna()
    assert (got == 1.0).all(axis=None)


def test_the_first_trade_after_a_drought_is_twenty_times_the_mean():
    bars = flat(40, volume=0.0)
    bars.iloc[30, -1] = 5.0
    got = build(bars, ["volume_ratio_20", "volume_trend_5_20"])
    # 5 / (5 / 20), and (5 / 5) / (5 / 20)
    assert got.iloc[30].tolist() == pytest.approx([20.0, 4.0])


@pytest.mark.parametrize("n", [1, 2, 3, 22, 60])
def test_a_history_shorter_than_the_warm_up_has_no_values(n):
    got = build(probe_bars(200).iloc[:n])
    for name, feature in OF_BARS.items():
        assert got[name].notna().sum() == max(0, n - feature.warmup)


def test_the_bars_stay_as_they_are():
    bars = probe_bars(100)
    before = bars.copy()
    build(bars)
    pd.testing.assert_frame_equal(bars, before, check_exact=True)


def test_names_choose_columns_and_nothing_else():
    bars = probe_bars(80)
    got = build(bars, ["rsi_14", "return_1"])
    assert list(got.columns) == ["rsi_14", "return_1"]
    pd.testing.assert_frame_equal(got, build(bars)[list(got.columns)], check_exact=True)


def test_select_takes_families_in_the_order_of_the_catalogue():
    found = select(families=["volume", "price"])
    assert {CATALOG[name].family for name in found} == {"price", "volume"}
    assert found == [n for n in CATALOG if CATALOG[n].family in ("price", "volume")]
    assert select() == list(CATALOG)


def test_names_override_families():
    assert select(families=["volume"], names=["rsi_14"]) == ["rsi_14"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"names": ["rsy_14"]}, r"features\.names: 'rsy_14' .*did you mean 'rsi_14'"),
        ({"families": ["volum"]}, r"features\.families: 'volum' .*did you mean 'volume'"),
        ({"families": ["zzz"]}, "'zzz' is not in the catalogue; known are calendar, lagged"),
        ({"names": "rsi_14"}, "a list of names, such as .*, was 'rsi_14'"),
        ({"names": ["rsi_14", None]}, "a list of names"),
        (
            {"windows": {"rsi": 7}},
            r"features\.windows\.rsi: takes a list of whole numbers of bars.*, was 7",
        ),
        (
            {"windows": {"rsi": "7"}},
            r"features\.windows\.rsi: takes a list of whole numbers of bars.*, was '7'",
        ),
        (
            {"windows": {"rsi": [7.5]}},
            r"features\.windows\.rsi: takes a list of whole numbers of bars.*, was \[7\.5\]",
        ),
        ({"windows": {"return": [True]}}, "return: takes a list of whole numbers of bars"),
        ({"windows": {"rsj": [7]}}, r"features\.windows: 'rsj' .*did you mean 'rsi'"),
        ({"windows": {"rsi": [[7, 9]]}}, "'rsi_7_9': rsi takes 1 windows, as in rsi_14"),
        ({"windows": {"rsi": [1]}}, "'rsi_1': windows are 2 to 100000 bars, was 1"),
        ({"names": ["rsi_0"]}, "'rsi_0': windows are 2 to 100000 bars, was 0"),
        ({"names": ["macd_line_26_12"]}, "the first window must be the shorter one"),
        ({"names": ["momentum_5_5"]}, "the second window must be the shorter one"),
        ({"talib": [{"function": "ARON"}]}, "did you mean 'AROON'"),
    ],
)
def test_select_names_the_near_match_of_what_it_does_not_know(asked, says):
    with pytest.raises(ParamsError, match=says):
        select(**asked)


def test_build_refuses_a_name_that_is_not_in_the_catalogue():
    with pytest.raises(ParamsError, match="did you mean 'return_1'"):
        build(probe_bars(80), ["retrun_1"])


def test_build_refuses_bars_that_break_their_rule():
    bars = probe_bars(80)
    bars.iloc[7, 3] = np.nan
    with pytest.raises(DataError, match="every value must be finite; row 7"):
        build(bars)


def test_build_refuses_a_hole_past_the_warm_up(catalogue):
    catalogue("holed", lambda bars: bars["close"].pct_change().where(bars.index.hour != 5), 1)
    with pytest.raises(DataError, match="feature holed is nan at 2024-01-01 05:00Z, past its"):
        build(probe_bars(80), ["holed"])


def test_warm_up_is_blank_also_where_a_function_gives_values(catalogue):
    catalogue("eager", lambda bars: bars["close"].pct_change(), 5)
    assert build(probe_bars(80), ["eager"]).iloc[:5].isna().all(axis=None)


def test_any_window_may_be_asked_for_by_name():
    bars = probe_bars(120)
    got = build(bars, ["return_7", "rsi_14"])
    assert list(got.columns) == ["return_7", "rsi_14"]
    np.testing.assert_allclose(got["return_7"], np.log(bars["close"] / bars["close"].shift(7)))
    assert got["return_7"].isna().sum() == CATALOG["return_7"].warmup == 7
    assert "return_7" not in CATALOG  # asked for, not entered


def test_windows_take_the_place_of_the_usual_ones():
    found = select(["technical"], windows={"rsi": [7, 21], "macd_line": [[6, 13]]})
    assert [n for n in found if n.startswith(("rsi", "macd_line"))] == [
        "rsi_7", "rsi_21", "macd_line_6_13",
    ]  # fmt: skip
    assert "rsi_14" not in found
    assert len(found) == len(select(["technical"])) + 1


def test_windows_of_a_kind_that_was_not_asked_for_are_added():
    assert select(names=["rsi_14"], windows={"std": [5]}) == ["rsi_14", "std_5"]


def test_windows_leave_what_is_asked_for_by_name():
    assert select(names=["rsi_14"], windows={"rsi": [7]}) == ["rsi_14", "rsi_7"]


@pytest.mark.parametrize(
    ("windows", "says"),
    [
        ({"rsi": []}, "features.windows.rsi: has no window"),
        ({"rsi": [1]}, "features.windows.rsi: .* windows are 2 to 100000 bars, was 1"),
        ({"macd_line": [6, 13]}, "features.windows.macd_line: .* takes 2 windows"),
        ({"macd_line": [[13, 6]]}, "features.windows.macd_line: .* must be the shorter one"),
    ],
)
def test_windows_that_a_kind_does_not_take_are_refused_with_their_place(windows, says):
    with pytest.raises(ParamsError, match=says):
        select(names=["rsi_14"], windows=windows)


def test_windows_may_be_whole_numbers_of_numpy():
    assert select(names=["rsi_14"], windows={"rsi": [np.int64(7)]}) == ["rsi_14", "rsi_7"]


def test_a_table_without_bars_has_columns_and_no_rows():
    bars = probe_bars(50)
    news = probe_news(bars)
    assert build(bars.iloc[:0], news=news).shape == (0, len(CATALOG))
    assert build(panel(A=bars).iloc[:0], news=news).shape == (0, len(CATALOG))


def test_windows_longer_than_the_history_take_no_memory():
    bars = panel(A=probe_bars(300), B=probe_bars(100, seed=2))
    names = ["return_1", "std_100000", "quantile_position_100000", "std_200"]
    build(bars, names)  # what is compiled and kept is not the table's
    tracemalloc.start()
    got = build(bars, names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20  # two work tables of 100,000 bars are 80 MB
    assert got.notna().sum().tolist() == [299 + 99, 0, 0, 100]


def test_functions_of_talib_come_after_the_catalogue():
    found = select(["calendar"], talib=[{"function": "AROON", "timeperiod": 25}])
    assert found[-2:] == [
        "talib_AROON_timeperiod_25_aroondown",
        "talib_AROON_timeperiod_25_aroonup",
    ]
    bars = probe_bars(60)
    got = build(bars, found)
    down, up = talib.AROON(bars["high"].to_numpy(copy=True), bars["low"].to_numpy(copy=True), 25)
    np.testing.assert_allclose(got[found[-2]], down)
    np.testing.assert_allclose(got[found[-1]], up)


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_numbers_do_not_depend_on_threads(monkeypatch, threads):
    bars = panel(A=probe_bars(400), B=probe_bars(300, seed=9))
    expected = build(bars)
    monkeypatch.setenv("SIGNALKIT_THREADS", threads)
    pd.testing.assert_frame_equal(build(bars), expected, check_exact=True)


def test_prices_and_volume_have_no_unit():
    bars = probe_bars(700, seed=4)
    other = bars.mul({"open": 7, "high": 7, "low": 7, "close": 7, "volume": 1000})[bars.columns]
    np.testing.assert_allclose(build(other), build(bars), rtol=1e-9, atol=1e-12)
