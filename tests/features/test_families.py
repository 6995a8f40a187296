"""The feature families, each column against a plain loop over lists; TA-Lib checks technical."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats

from signalkit.causality import probe_bars
from signalkit.features import CATALOG, build

BARS = probe_bars(150, seed=12)
OPEN, HIGH, LOW, CLOSE, VOLUME = (BARS[name].tolist() for name in BARS)


def log_return(i, span=1):
    return math.log(CLOSE[i]) - math.log(CLOSE[i - span])


def last(values, i, span):
    return values[i - span + 1 : i + 1]


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    """Sample standard deviation."""
    centre = mean(values)
    return math.sqrt(sum((v - centre) ** 2 for v in values) / (len(values) - 1))


def returns(i, span):
    return [log_return(j) for j in range(i - span + 1, i + 1)]


def place(value, bottom, top):
    return (value - bottom) / (top - bottom) if top > bottom else 0.5


def share(part, whole):
    return part / whole if whole else 1.0


def parkinson(i):
    squares = [math.log(HIGH[j] / LOW[j]) ** 2 for j in range(i - 19, i + 1)]
    return math.sqrt(sum(squares) / (4 * 20 * math.log(2)))


def on_circle(count, period):
    return 2 * math.pi * count / period


def moment(i):
    """The bar's end as the standard library has it."""
    return datetime.fromtimestamp(BARS.index[i].timestamp(), UTC)


REFERENCE = {
    "return_1": lambda i: log_return(i),
    "return_5": lambda i: log_return(i, 5),
    "return_21": lambda i: log_return(i, 21),
    "mean_distance_50": lambda i: math.log(CLOSE[i] / mean(last(CLOSE, i, 50))),
    "range_position_20": lambda i: place(CLOSE[i], min(last(LOW, i, 20)), max(last(HIGH, i, 20))),
    "close_in_bar": lambda i: place(CLOSE[i], LOW[i], HIGH[i]),
    "return_lag_1": lambda i: log_return(i - 1),
    "return_lag_2": lambda i: log_return(i - 2),
    # the biased third moment; scipy's skew is the one without correction
    "skewness_60": lambda i: stats.skew(returns(i, 60), bias=True),
    "drawdown_60": lambda i: CLOSE[i] / max(last(CLOSE, i, 60)) - 1,
    "realised_20": lambda i: deviation(returns(i, 20)),
    "parkinson_20": parkinson,
    "volatility_ratio_5_60": lambda i: deviation(returns(i, 5)) / deviation(returns(i, 60)),
    "volume_ratio_20": lambda i: share(VOLUME[i], mean(last(VOLUME, i, 20))),
    "volume_trend_5_20": lambda i: share(mean(last(VOLUME, i, 5)), mean(last(VOLUME, i, 20))),
    "weekday_sine": lambda i: math.sin(on_circle(moment(i).weekday(), 7)),
    "weekday_cosine": lambda i: math.cos(on_circle(moment(i).weekday(), 7)),
    "month_sine": lambda i: math.sin(on_circle(moment(i).month - 1, 12)),
    "month_cosine": lambda i: math.cos(on_circle(moment(i).month - 1, 12)),
}


def test_every_feature_has_a_reference():
    ours = {
        name
        for name, feature in CATALOG.items()
        if feature.family not in {"technical", "sentiment"}
    }
    assert set(REFERENCE) == ours


@pytest.mark.parametrize("name", REFERENCE)
def test_feature_equals_a_plain_loop(name):
    got, warmup = build(BARS, [name])[name].tolist(), CATALOG[name].warmup
    expected = [math.nan] * warmup + [REFERENCE[name](i) for i in range(warmup, len(BARS))]
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def test_skewness_is_that_of_pandas_without_its_correction():
    # pandas gives G1 = g1 sqrt(n (n - 1)) / (n - 2)
    theirs = np.log(BARS["close"]).diff().rolling(60).skew()
    got = build(BARS, ["skewness_60"])["skewness_60"]
    np.testing.assert_allclose(got * math.sqrt(60 * 59) / 58, theirs, rtol=1e-9)


def test_a_week_and_a_year_close_their_circles():
    times = BARS.index
    got = build(BARS, ["weekday_sine", "weekday_cosine", "month_sine", "month_cosine"])
    assert (got.iloc[:, :2] ** 2).sum(axis=1).to_numpy() == pytest.approx(np.ones(len(BARS)))
    # 2024-01-01 was a Monday in January: both angles are nought
    assert times[0].day_name() == "Monday"
    assert got.iloc[0].tolist() == pytest.approx([0.0, 1.0, 0.0, 1.0])


def test_features_stay_in_the_range_they_state():
    got = build(probe_bars(600, seed=21)).dropna()
    inside = {
        "range_position_20": (0, 1),
        "close_in_bar": (0, 1),
        "rsi_14": (0, 1),
        "williams_r_14": (-1, 0),
        "drawdown_60": (-1, 0),
        "weekday_sine": (-1, 1),
        "month_cosine": (-1, 1),
    }
    for name, (least, most) in inside.items():
        assert got[name].between(least, most).all(), name
