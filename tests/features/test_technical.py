"""technical.py: against TA-Lib's raw output and the tables of its own regression tests."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import talib

from signalkit import collection
from signalkit.causality import probe_bars
from signalkit.features import build

CORPUS = Path(__file__).resolve().parents[3] / "shared/data/reference/indicators/talib_corpus.csv"


@pytest.fixture(params=["probe", "SP500", "NASDAQ"])
def bars(request):
    """Seeded probe bars, then twenty years of each index of the sample."""
    if request.param == "probe":
        return probe_bars(700)
    return collection.load("sample", [request.param], "1d").loc[request.param]


@pytest.fixture
def corpus():
    """The 252 bars of TA-Lib's regression tests."""
    if not CORPUS.exists():
        pytest.skip("shared reference data is not there")
    raw = pd.read_csv(CORPUS).astype(float)
    times = pd.date_range("2024-01-01", periods=len(raw), freq="D", tz="UTC", name="time")
    return raw.set_axis(times, axis=0)


def columns(bars):
    return [bars[name].to_numpy() for name in ("high", "low", "close")]


def assert_same(got, expected, scale=1.0):
    """Equal to 1e-9, NaN in the same places; `scale` is the size the numbers have."""
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9 * scale)


def test_rsi_is_that_of_talib(bars):
    assert_same(build(bars, ["rsi_14"])["rsi_14"] * 100, talib.RSI(columns(bars)[2], 14))


def test_macd_histogram_is_that_of_talib(bars):
    close = columns(bars)[2]
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    got = build(bars, ["macd_histogram"])["macd_histogram"] * close
    assert_same(got, histogram, scale=np.nanmax(np.abs(line) + np.abs(signal)))


def test_bollinger_position_is_that_of_talibs_bands(bars):
    close = columns(bars)[2]
    upper, _, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    got = build(bars, ["bollinger_position_20"])["bollinger_position_20"]
    assert_same(lower + got * (upper - lower), np.where(np.isnan(lower), np.nan, close))


def test_williams_r_is_that_of_talib(bars):
    got = build(bars, ["williams_r_14"])["williams_r_14"]
    assert_same(got * 100, talib.WILLR(*columns(bars), 14), scale=100.0)


def test_atr_is_that_of_talib(bars):
    high, low, close = columns(bars)
    got = build(bars, ["atr_14"])["atr_14"]
    assert_same(got * close, talib.ATR(high, low, close, 14))
    assert_same(got * 100, talib.NATR(high, low, close, 14))


# TA-Lib, ta_regtest/ta_test_func: test_rsi.c, test_macd.c, test_bbands.c, test_per_hlc.c
@pytest.mark.parametrize(
    ("name", "factor", "row", "published"),
    [
        ("rsi_14", 100, 14, 49.14),
        ("rsi_14", 100, 15, 52.32),
        ("rsi_14", 100, 16, 46.07),
        ("rsi_14", 100, 251, 49.63),
        ("williams_r_14", 100, 13, -90.1943),
        ("williams_r_14", 100, 14, -66.9903),
        ("williams_r_14", 100, 24, -89.2857),
        ("williams_r_14", 100, 25, -97.2602),
        ("williams_r_14", 100, 125, 0.0),
        ("williams_r_14", 100, 251, -59.1515),
        ("atr_14", 100, 14, 3.9321),
        ("atr_14", 100, 15, 3.7576),
        ("atr_14", 100, 251, 3.0229),
    ],
)
def test_published_value(corpus, name, factor, row, published):
    # published cut off, not rounded, at two decimals (RSI) or four
    size = 0.01 if name == "rsi_14" else 1e-4
    assert build(corpus, [name])[name].iloc[row] * factor == pytest.approx(published, abs=size)


def test_published_macd_and_bands(corpus):
    got, close = build(corpus), corpus["close"]
    assert got["macd_histogram"].iloc[33] * close.iloc[33] == pytest.approx(
        -1.9738 + 2.7071, abs=1e-4
    )
    published = (close.iloc[19] - 87.7086) / (98.0734 - 87.7086)
    assert got["bollinger_position_20"].iloc[19] == pytest.approx(published, abs=1e-5)


def test_rsi_is_nought_where_no_price_moved_as_talib_has_it():
    bars = probe_bars(40)
    bars[["open", "high", "low", "close"]] = 100.0
    assert (talib.RSI(columns(bars)[2], 14)[14:] == 0).all()
    assert (build(bars, ["rsi_14"])["rsi_14"].iloc[14:] == 0).all()


@pytest.mark.parametrize(("step", "expected"), [(1.0, 1.0), (-1.0, 0.0)])
def test_rsi_of_a_straight_line_is_at_its_end(step, expected):
    bars = probe_bars(40)
    close = 100 + step * np.arange(40)
    bars = bars.assign(open=close, high=close, low=close, close=close)
    assert build(bars, ["rsi_14"])["rsi_14"].iloc[14:].tolist() == pytest.approx([expected] * 26)


@pytest.mark.parametrize("name", ["rsi_14", "macd_histogram", "bollinger_position_20", "atr_14"])
def test_very_small_prices_keep_the_exact_formula(name):
    # older TA-Libs take a deviation below 1e-14 for none at all; the exact formula wins
    bars, factors = probe_bars(200), {"open": 1e-18, "high": 1e-18, "low": 1e-18, "close": 1e-18}
    tiny = bars.mul(pd.Series(factors | {"volume": 1.0}))[list(bars.columns)]
    np.testing.assert_allclose(build(tiny, [name]), build(bars, [name]), rtol=1e-9, atol=1e-9)
