"""technical.py: against TA-Lib's raw output and the tables of its own regression tests."""

import numpy as np
import pandas as pd
import pytest
import talib

from signalkit.features import build
from tests.features.bar_sets import LACKING, SETS, SHARED, bars_of

CORPUS = SHARED / "reference/indicators/talib_corpus.csv"


@pytest.fixture
def corpus():
    """The 252 bars of TA-Lib's regression tests."""
    if not CORPUS.exists():
        pytest.skip(LACKING)
    raw = pd.read_csv(CORPUS).astype(float)
    times = pd.date_range("2024-01-01", periods=len(raw), freq="D", tz="UTC", name="time")
    return raw.set_axis(times, axis=0)


def columns(bars):
    """High, low, close, volume."""
    return [bars[name].to_numpy() for name in ("high", "low", "close", "volume")]


def column(bars, name):
    return build(bars, [name])[name].to_numpy()


def assert_same(got, expected, size):
    """Equal to 1e-9 relative, NaN at the same bars.

    TA-Lib carries sums from bar to bar, so that where the exact number is nought it has the
    rounding that its sums picked up: `size` is how large the numbers in them are.
    """
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-13 * size)


@pytest.fixture(params=SETS)
def bars(request):
    """Probe bars, twenty years of an index, hours, minutes and shares."""
    return bars_of(request.param)


def test_rsi_is_that_of_talib(bars):
    assert_same(column(bars, "rsi_14") * 100, talib.RSI(columns(bars)[2], 14), 100)


def test_macd_is_that_of_talib(bars):
    close = columns(bars)[2]
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    # the line of its own starts before there is a signal: TA-Lib gives it for a signal of 1 bar
    assert_same(
        column(bars, "macd_line_12_26") * close, talib.MACD(close, 12, 26, 1)[0], close.max()
    )
    assert_same(column(bars, "macd_line_12_26")[33:] * close[33:], line[33:], close.max())
    assert_same(column(bars, "macd_signal_12_26_9") * close, signal, close.max())
    assert_same(column(bars, "macd_histogram_12_26_9") * close, histogram, close.max())


@pytest.mark.parametrize("n", [12, 26])
def test_ema_is_that_of_talib(bars, n):
    close = columns(bars)[2]
    got = close / np.exp(column(bars, f"ema_distance_{n}"))
    assert_same(got, talib.EMA(close, n), close.max())


def test_bollinger_bands_are_those_of_talib(bars):
    close = columns(bars)[2]
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    position, width = (column(bars, f"bollinger_{name}_20") for name in ("position", "width"))
    assert_same(width * middle, upper - lower, close.max())
    assert_same(position * (upper - lower), close - lower, close.max())
    assert (position[upper - lower == 0] == 0.5).all()


def test_stochastics_are_those_of_talib(bars):
    high, low, close, _ = columns(bars)
    slow, slower = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    got = column(bars, "stochastic_k_14_3") * 100
    # TA-Lib shows %K only where there is a %D; alone it begins two bars earlier
    assert np.isfinite(got[15:]).all()
    assert_same(got[17:], slow[17:], 100)
    assert_same(got, talib.STOCH(high, low, close, 14, 3, 0, 1, 0)[0], 100)
    assert_same(column(bars, "stochastic_d_14_3_3") * 100, slower, 100)


def test_williams_r_is_that_of_talib(bars):
    assert_same(column(bars, "williams_r_14") * 100, talib.WILLR(*columns(bars)[:3], 14), 100)


def test_atr_is_that_of_talib(bars):
    high, low, close, _ = columns(bars)
    got = column(bars, "atr_14")
    assert_same(got * close, talib.ATR(high, low, close, 14), close.max())
    assert_same(got * 100, talib.NATR(high, low, close, 14), 100)


def test_directional_movement_is_that_of_talib(bars):
    high, low, close, _ = columns(bars)
    plus, minus = (f(high, low, close, 14) for f in (talib.PLUS_DI, talib.MINUS_DI))
    assert_same(column(bars, "di_difference_14") * 100, plus - minus, 100)
    assert_same(column(bars, "adx_14") * 100, talib.ADX(high, low, close, 14), 100)


def test_cci_is_that_of_talib(bars):
    high, low, close, _ = columns(bars)
    # both divide by the mean deviation, which may be as small as 1e-5 of the price
    assert_same(column(bars, "cci_20") * 100, talib.CCI(high, low, close, 20), 1e5)


def test_mfi_is_that_of_talib(bars):
    assert_same(column(bars, "mfi_14") * 100, talib.MFI(*columns(bars), 14), 100)


def test_obv_slope_is_that_of_talib(bars):
    _, _, close, volume = columns(bars)
    level = talib.OBV(close, volume)
    got = column(bars, "obv_slope_20") * talib.SMA(volume, 20)
    # TA-Lib's sums hold the level itself, from the first bar on; a slope does not need it
    assert_same(got, talib.LINEARREG_SLOPE(level, 20), np.abs(level).max())


# TA-Lib, ta_regtest/ta_test_func: test_rsi.c, test_macd.c, test_bbands.c, test_per_hlc.c,
# test_per_hlcv.c, test_stoch.c, test_adx.c
@pytest.mark.parametrize(
    ("name", "row", "published"),
    [
        ("rsi_14", 14, 49.14),
        ("rsi_14", 15, 52.32),
        ("rsi_14", 16, 46.07),
        ("rsi_14", 251, 49.63),
        ("williams_r_14", 13, -90.1943),
        ("williams_r_14", 14, -66.9903),
        ("williams_r_14", 24, -89.2857),
        ("williams_r_14", 25, -97.2602),
        ("williams_r_14", 125, 0.0),
        ("williams_r_14", 251, -59.1515),
        ("atr_14", 14, 3.9321),
        ("atr_14", 15, 3.7576),
        ("atr_14", 251, 3.0229),
        ("cci_2", 187, 0.0),
        ("cci_5", 4, 18.857),
        ("cci_11", 12, 143.5190963),
        ("cci_11", 13, -113.8669783),
        ("cci_11", 23, -190.5251436),
        ("cci_11", 30, -0.005587727),
        ("cci_11", 34, 113.4778681),
        ("mfi_14", 14, 42.8923),
        ("mfi_14", 15, 45.6072),
        ("mfi_14", 251, 53.1997),
        ("mfi_49", 49, 44.7902),
        ("mfi_50", 251, 50.5905),
        ("mfi_51", 251, 51.7265),
        ("stochastic_k_5_3", 8, 24.0128),
        ("stochastic_d_5_3_3", 8, 36.254),
        ("stochastic_d_5_3_4", 9, 36.725),
        ("stochastic_k_5_3", 251, 30.194),
        ("stochastic_d_5_3_3", 251, 43.69),
        ("adx_14", 27, 23.0),
        ("adx_14", 28, 22.0),
        ("adx_14", 251, 16.0),
    ],
)
def test_published_value(corpus, name, row, published):
    # published cut off, not rounded: ADX at the whole number, RSI at two decimals, the stochastics
    # at two or three, all others at four or more
    size = {"adx": 1.0, "rsi": 0.01, "stochastic": 0.01, "cci": 1e-3}.get(name.split("_")[0], 1e-4)
    assert column(corpus, name)[row] * 100 == pytest.approx(published, abs=size)


def test_published_macd_and_bands(corpus):
    got, close = build(corpus), corpus["close"]
    published = {"macd_line_12_26": -1.9738, "macd_signal_12_26_9": -2.7071}
    for name, value in published.items():
        assert got[name].iloc[33] * close.iloc[33] == pytest.approx(value, abs=1e-4)
    assert got["macd_histogram_12_26_9"].iloc[33] * close.iloc[33] == pytest.approx(
        -1.9738 + 2.7071, abs=1e-4
    )
    place = (close.iloc[19] - 87.7086) / (98.0734 - 87.7086)
    assert got["bollinger_position_20"].iloc[19] == pytest.approx(place, abs=1e-5)


def still(n=60, price=100.1):
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return pd.DataFrame(prices | {"volume": 5.0}, index=times)


@pytest.mark.parametrize("price", [1e-7, 0.1, 1.1, 100.1, 54_321.9])
def test_where_no_price_moves_the_numbers_are_talibs(price):
    bars = still(price=price)
    high, low, close, volume = columns(bars)
    theirs = {
        "rsi_14": talib.RSI(close, 14),
        "stochastic_k_14_3": talib.STOCH(high, low, close, 14, 3, 0, 1, 0)[0],
        "williams_r_14": talib.WILLR(high, low, close, 14),
        "adx_14": talib.ADX(high, low, close, 14),
        "cci_20": talib.CCI(high, low, close, 20),
        "mfi_14": talib.MFI(high, low, close, volume, 14),
    }
    for name, expected in theirs.items():
        assert (expected[~np.isnan(expected)] == 0).all()
        np.testing.assert_array_equal(column(bars, name), expected, err_msg=name)


@pytest.mark.parametrize(("step", "expected"), [(1.0, 1.0), (-1.0, 0.0)])
def test_rsi_of_a_straight_line_is_at_its_end(step, expected):
    close = 100 + step * np.arange(40)
    bars = still(40).assign(open=close, high=close, low=close, close=close)
    assert column(bars, "rsi_14")[14:].tolist() == pytest.approx([expected] * 26)


@pytest.mark.parametrize("price", [1e-18, 1e-7, 1e7])
def test_indicators_keep_the_exact_formula_at_any_price(price):
    # TA-Lib before 0.8 took deviations, and money flows, below a fixed size for none
    before, names = bars_of("probe"), ["rsi_14", "bollinger_width_20", "cci_20", "adx_14", "mfi_14"]
    tiny = before.assign(**{c: before[c] * price for c in ("open", "high", "low", "close")})
    np.testing.assert_allclose(build(tiny, names), build(before, names), rtol=1e-9, atol=1e-12)


def test_typical_prices_that_differ_by_rounding_alone_move_no_money():
    # 1/3 of 19.30 twice: H + L + C is the same in decimals and not in floats (TA-Lib issue 107)
    bars = still(30, 6.0)
    bars.iloc[:20, :4] = [6.73, 6.73, 6.18, 6.39]
    bars.iloc[20:, :4] = [6.66, 6.66, 6.29, 6.35]
    assert (6.73 + 6.18 + 6.39) / 3 != (6.66 + 6.29 + 6.35) / 3
    assert (column(bars, "mfi_14")[14:] == 0).all()
    assert (talib.MFI(*columns(bars), 14)[14:] == 0).all()
