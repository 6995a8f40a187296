"""volatility.py: against a published series, pandas and plain loops."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import collection
from signalkit.errors import ParamsError
from signalkit.volatility import parkinson, realised

PUBLISHED = (
    Path(__file__).resolve().parents[2] / "shared/data/reference/volatility/sp500_parkinson_rv.csv"
)


def walk(n=120, seed=3):
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, n)))


def candles(n=120, seed=4):
    """Highs and lows around a walk."""
    close, rng = walk(n, seed), np.random.default_rng(seed)
    return close * (1 + rng.random(n) / 50), close * (1 - rng.random(n) / 50)


def test_parkinson_of_one_bar_worked_by_hand():
    # ln(e / 1) = 1, so the estimate is 1 / sqrt(4 ln 2) = 0.600561...
    assert parkinson(np.array([math.e]), np.array([1.0]), 1).tolist() == pytest.approx([0.60056120])


def test_parkinson_of_two_bars_is_the_root_of_the_mean_square():
    high, low = np.array([1.02, 1.0]), np.array([1.0, 1.0])
    expected = math.log(1.02) / math.sqrt(4 * 2 * math.log(2))
    assert parkinson(high, low, 2)[1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="shared reference data is not there")
def test_parkinson_gives_the_published_variances_of_the_sp500():
    # yilmazcanekmekci/one-day-ahead-realized-volatility-forecasting: variance x 1e4 a day
    published = pd.read_csv(PUBLISHED, parse_dates=["date"], index_col="date")["rv_parkinson_1e4"]
    bars = collection.load("sample", ["SP500"], "1d").loc["SP500"]
    found = parkinson(bars["high"].to_numpy(), bars["low"].to_numpy(), 1) ** 2 * 1e4
    days = bars.index.tz_localize(None).normalize()
    ours = pd.Series(found, days).reindex(published.index)
    assert len(published) == 1500
    np.testing.assert_allclose(ours, published, rtol=1e-9)


@pytest.mark.parametrize("span", [1, 2, 20])
def test_parkinson_equals_a_plain_loop(span):
    high, low = candles()
    got = parkinson(high, low, span)
    for i in range(len(high)):
        if i < span - 1:
            assert math.isnan(got[i])
            continue
        squares = [math.log(high[j] / low[j]) ** 2 for j in range(i - span + 1, i + 1)]
        assert got[i] == pytest.approx((sum(squares) / (4 * span * math.log(2))) ** 0.5, rel=1e-12)


@pytest.mark.parametrize("span", [2, 5, 60])
def test_realised_equals_the_rolling_deviation_of_pandas(span):
    close = walk()
    expected = np.log(pd.Series(close)).diff().rolling(span).std(ddof=1)
    np.testing.assert_allclose(realised(close, span), expected, rtol=1e-9)


@pytest.mark.parametrize("span", [2, 5, 60])
def test_realised_has_no_value_for_the_first_span_bars(span):
    got = realised(walk(), span)
    assert np.isnan(got[:span]).all()
    assert np.isfinite(got[span:]).all()


def test_a_series_shorter_than_the_window_has_no_value():
    assert np.isnan(realised(walk(5), 20)).all()
    assert np.isnan(parkinson(*candles(5), 20)).all()


def test_prices_that_never_move_have_no_volatility():
    still = np.full(30, 0.1)
    assert (realised(still, 10)[10:] == 0).all()
    assert (parkinson(still, still, 10)[9:] == 0).all()


def test_a_wild_bar_leaves_no_trace_once_out_of_the_window():
    close = walk()
    spiked = close.copy()
    spiked[40] *= 1e6
    # returns into and out of bar 40 are in the windows that end at bars 40 to 60
    assert (realised(spiked, 20)[40:61] > realised(close, 20)[40:61]).all()
    np.testing.assert_array_equal(realised(spiked, 20)[61:], realised(close, 20)[61:])


@pytest.mark.parametrize("factor", [1e-9, 7.0, 1e9])
def test_the_unit_of_the_price_does_not_matter(factor):
    high, low = candles()
    np.testing.assert_allclose(
        parkinson(high * factor, low * factor, 20), parkinson(high, low, 20), rtol=1e-9
    )
    np.testing.assert_allclose(realised(walk() * factor, 20), realised(walk(), 20), rtol=1e-9)


def test_realised_refuses_a_window_without_a_deviation():
    with pytest.raises(ParamsError, match="at least 2 bars, was 1"):
        realised(walk(), 1)


def test_parkinson_refuses_an_empty_window():
    with pytest.raises(ParamsError, match="at least 1 bars, was 0"):
        parkinson(*candles(), 0)
