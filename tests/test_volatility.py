"""volatility.py: against a published series, pandas and plain loops."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import collection
from signalkit.errors import ParamsError
from signalkit.volatility import (
    garman_klass,
    parkinson,
    realised,
    rogers_satchell,
    yang_zhang,
)

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


def of_logs(*bars):
    """Open, high, low and close whose logarithms are the given hundredths."""
    return np.exp(np.array(bars, dtype=float).T / 100)


# log prices in hundredths: open, high, low, close
WORKED = [(0, 3, -2, 1), (2, 4, -1, 0), (3, 4, -3, -2)]


def test_garman_klass_worked_by_hand():
    # Garman and Klass (1980): (h - l)^2 / 2 - (2 ln 2 - 1)(c - o)^2, the mean over the bars:
    # (25 + 25) / 4 - 0.386294361 (1 + 4) / 2 = 11.534264097 ten-thousandths
    got = garman_klass(*of_logs(*WORKED), 2)
    assert math.isnan(got[0])
    assert got[1] == pytest.approx(math.sqrt(11.53426409720027) / 100, rel=1e-12)
    # (25 + 49) / 4 - 0.386294361 (4 + 25) / 2 = 12.898731763
    assert got[2] == pytest.approx(math.sqrt(12.89873176376159) / 100, rel=1e-12)


def test_garman_klass_counts_a_sum_below_nothing_as_nothing():
    # a body is no longer than its range, and 1 / 2 > 0.386: only an open outside can do it
    got = garman_klass(np.array([1.0]), np.array([2.0]), np.array([2.0]), np.array([2.0]), 1)
    assert got.tolist() == [0.0]


def test_rogers_satchell_worked_by_hand():
    # Rogers and Satchell (1991): (h - c)(h - o) + (l - c)(l - o)
    # 2 * 3 + -3 * -2 = 12, 4 * 2 + -1 * -3 = 11, 6 * 1 + -1 * -6 = 12
    got = rogers_satchell(*of_logs(*WORKED), 1)
    assert got.tolist() == pytest.approx([math.sqrt(v) / 100 for v in (12, 11, 12)], rel=1e-12)
    assert rogers_satchell(*of_logs(*WORKED), 3)[2] == pytest.approx(
        math.sqrt(35 / 3) / 100, rel=1e-12
    )


def test_rogers_satchell_of_a_straight_way_is_nothing():
    # a trend alone, opened at one end of the range and closed at the other, is no volatility
    assert rogers_satchell(*of_logs((0, 5, 0, 5), (5, 5, 1, 1)), 2)[1] == 0


def test_yang_zhang_worked_by_hand():
    # Yang and Zhang (2000), eq. 8 to 10, over the last two bars: jumps 1 and 3 vary by 2, bodies
    # -2 and -5 by 9/2, Rogers and Satchell's terms 11 and 12; k = 0.34 / (1.34 + 3 / 1) = 17/217
    k = Fraction(34, 100) / (Fraction(134, 100) + 3)
    variance = 2 + k * Fraction(9, 2) + (1 - k) * Fraction(23, 2)
    assert (k, variance) == (Fraction(17, 217), Fraction(5621, 434))
    got = yang_zhang(*of_logs(*WORKED), 2)
    assert np.isnan(got[:2]).all()
    assert got[2] == pytest.approx(math.sqrt(variance) / 100, rel=1e-12)


def test_a_walk_seen_in_many_steps_has_its_own_volatility_in_every_estimator():
    # 400 steps of 0.001 make 0.02 a bar. What moves between steps is unseen: extremes are short
    # by 0.58 of a step each (Broadie, Glasserman and Kou, 1997), 1.2 of a mean range of 32
    n, rng = 10_000, np.random.default_rng(7)
    steps = rng.normal(0, 0.001, (n, 400))
    ends = np.cumsum(steps.sum(axis=1))
    paths = np.concatenate([[0.0], ends[:-1]])[:, None] + np.cumsum(steps, axis=1)
    opens = np.concatenate([[0.0], ends[:-1]])
    high, low = np.maximum(paths.max(axis=1), opens), np.minimum(paths.min(axis=1), opens)
    prices = np.exp([opens, high, low, ends])
    assert realised(prices[3], n - 1)[-1] == pytest.approx(0.02, rel=0.015)
    assert yang_zhang(*prices, n - 1)[-1] == pytest.approx(0.02, rel=0.06)
    for found in (
        parkinson(prices[1], prices[2], n)[-1],
        garman_klass(*prices, n)[-1],
        rogers_satchell(*prices, n)[-1],
    ):
        assert 0.94 * 0.02 < found < 0.02


@pytest.mark.parametrize("span", [2, 5, 20])
def test_estimators_equal_plain_pandas(span):
    open_, high, low, close = (pd.Series(row) for row in of_logs(*walked()))
    ranged, body = np.log(high / low) ** 2, np.log(close / open_)
    inside = np.log(high / close) * np.log(high / open_)
    inside = (inside + np.log(low / close) * np.log(low / open_)).rolling(span).mean()
    sums = (ranged / 2 - (2 * math.log(2) - 1) * body**2).rolling(span).mean()
    jumps = np.log(open_ / close.shift()).rolling(span).var()
    k = 0.34 / (1.34 + (span + 1) / (span - 1))
    prices = [column.to_numpy() for column in (open_, high, low, close)]
    np.testing.assert_allclose(garman_klass(*prices, span), sums**0.5, rtol=1e-9)
    np.testing.assert_allclose(rogers_satchell(*prices, span), inside**0.5, rtol=1e-9)
    expected = jumps + k * body.rolling(span).var() + (1 - k) * inside
    np.testing.assert_allclose(yang_zhang(*prices, span), expected**0.5, rtol=1e-9)


def walked(n=150, seed=8):
    """Logarithms of seeded bars, in hundredths: open, high, low, close."""
    rng = np.random.default_rng(seed)
    close = np.cumsum(rng.normal(0, 2, n))
    open_ = np.concatenate([[0.0], close[:-1]]) + rng.normal(0, 0.5, n)
    high = np.maximum(open_, close) + rng.gamma(2.0, 0.5, n)
    low = np.minimum(open_, close) - rng.gamma(2.0, 0.5, n)
    return np.column_stack([open_, high, low, close])


@pytest.mark.parametrize(
    ("estimator", "least"), [(garman_klass, 1), (rogers_satchell, 1), (yang_zhang, 2)]
)
def test_estimators_of_whole_bars_refuse_a_window_that_is_too_short(estimator, least):
    with pytest.raises(ParamsError, match=f"at least {least} bars, was {least - 1}"):
        estimator(*of_logs(*WORKED), least - 1)


def test_realised_refuses_a_window_without_a_deviation():
    with pytest.raises(ParamsError, match="at least 2 bars, was 1"):
        realised(walk(), 1)


def test_parkinson_refuses_an_empty_window():
    with pytest.raises(ParamsError, match="at least 1 bars, was 0"):
        parkinson(*candles(), 0)
