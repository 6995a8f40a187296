"""horizon.py: labels worked by hand, when each is known, and what it must not read."""

import math
import statistics
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit import collection, volatility
from signalkit.causality import poisoned, probe_bars
from signalkit.errors import DataError, ParamsError
from signalkit.labeling import signal_direction, target_return, target_volatility

EXAMPLES = settings(max_examples=30, deadline=None, derandomize=True)
LABELS = {
    "target_return": lambda bars, horizon: target_return(bars, horizon),
    "signal_direction": lambda bars, horizon: signal_direction(bars, horizon, volatility_span=10),
    "fixed direction": lambda bars, horizon: signal_direction(
        bars, horizon, scale="fixed", threshold=0.01
    ),
    "target_volatility": lambda bars, horizon: target_volatility(
        bars, horizon, estimator="parkinson"
    ),
}
# plain formulas of design section 9 over the bars they are given; the first bar of `ending`
# is the one before the window, whose close the first return needs
PLAIN = {
    "realised": lambda o, h, low, c: statistics.stdev(steps(c)),
    "parkinson": lambda o, h, low, c: math.sqrt(
        statistics.fmean(math.log(a / b) ** 2 for a, b in zip(h[1:], low[1:], strict=True))
        / (4 * math.log(2))
    ),
    "garman_klass": lambda o, h, low, c: math.sqrt(
        statistics.fmean(
            0.5 * math.log(h[i] / low[i]) ** 2 - (2 * math.log(2) - 1) * math.log(c[i] / o[i]) ** 2
            for i in range(1, len(c))
        )
    ),
    "rogers_satchell": lambda o, h, low, c: math.sqrt(statistics.fmean(satchell(o, h, low, c))),
    "yang_zhang": lambda o, h, low, c: yang_zhang(o, h, low, c),
}


def steps(close):
    return [math.log(b / a) for a, b in pairwise(close)]


def satchell(o, h, low, c):
    return [
        math.log(h[i] / c[i]) * math.log(h[i] / o[i])
        + math.log(low[i] / c[i]) * math.log(low[i] / o[i])
        for i in range(1, len(c))
    ]


def yang_zhang(o, h, low, c):
    n = len(c) - 1
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    night = [math.log(o[i] / c[i - 1]) for i in range(1, n + 1)]
    day = [math.log(c[i] / o[i]) for i in range(1, n + 1)]
    spread = statistics.variance(night) + k * statistics.variance(day)
    return math.sqrt(spread + (1 - k) * statistics.fmean(satchell(o, h, low, c)))


def hourly(*closes):
    """Bars whose close is given and whose other prices stand around it."""
    close = np.array(closes, dtype=float)
    end = pd.date_range("2024-01-01", periods=len(close), freq="h", tz="UTC", name="time")
    prices = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    return pd.DataFrame(prices | {"volume": 1.0}, index=end)


def repriced(bars, row, factor):
    """The bars with another close at one row, within highs and lows that allow it."""
    out = bars.copy()
    out.iloc[row, out.columns.get_loc("close")] *= factor
    out["high"] = out[["high", "close"]].max(axis=1)
    out["low"] = out[["low", "close"]].min(axis=1)
    return out


def test_two_bar_return_on_a_path_worked_by_hand():
    got = target_return(hourly(100, 110, 99, 99), horizon=2)
    assert got["label"].tolist() == pytest.approx([-0.01, -0.10])
    assert got["known_at"].dt.hour.tolist() == [2, 3]


def test_direction_on_a_path_worked_by_hand():
    # log returns +a, -a, +a with a = ln 1.1 deviate by a sqrt 2 = 0.135, half of it is 0.067:
    # +10 % and -9.1 % count, +5 % does not; then -a and +0.049 deviate by 0.102 and -10 % counts
    bars = hourly(100, 110, 100, 110, 100, 105, 94.5)
    got = signal_direction(bars, horizon=1, threshold=0.5, volatility_span=2)
    assert got.index.tolist() == bars.index[2:6].tolist()
    assert got["label"].tolist() == [1.0, -1.0, 0.0, -1.0]
    assert got["known_at"].tolist() == bars.index[3:].tolist()


def test_the_threshold_grows_with_the_root_of_the_horizon():
    # the deviation is 0.135 at bar 2 and 0.27 over four bars, just under the rise of 28 %
    bars = hourly(100, 110, 100, 105, 110, 116, 128)
    for threshold, label in ((1.0, 1.0), (1.1, 0.0)):
        got = signal_direction(bars, 4, threshold=threshold, volatility_span=2)
        assert got["label"].tolist() == [label]


@EXAMPLES
@given(seed=st.integers(0, 999), horizon=st.integers(1, 6), threshold=st.floats(0, 2))
def test_direction_equals_a_plain_loop(seed, horizon, threshold):
    bars, span = probe_bars(60, seed=seed), 8
    close = bars["close"].tolist()
    got = signal_direction(bars, horizon, threshold=threshold, volatility_span=span)
    assert got.index.tolist() == bars.index[span : len(bars) - horizon].tolist()
    for i, label in enumerate(got["label"], start=span):
        seen = [math.log(close[j] / close[j - 1]) for j in range(i - span + 1, i + 1)]
        limit = threshold * statistics.stdev(seen) * math.sqrt(horizon)
        move = close[i + horizon] / close[i] - 1
        assert label == (1 if move > limit else -1 if move < -limit else 0)


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("horizon", [1, 5, 24])
def test_a_label_is_known_at_the_end_of_the_bar_that_settles_it(name, horizon):
    bars = probe_bars(80)
    got = LABELS[name](bars, horizon)
    settling = bars.index[bars.index.get_indexer(got.index) + horizon]
    assert (got["known_at"] == settling).all()
    assert (got["known_at"] > got.index).all()
    assert got.index[-1] == bars.index[-1 - horizon]


@pytest.mark.parametrize("name", LABELS)
def test_bars_after_known_at_change_nothing(name):
    bars = probe_bars(90)
    whole = LABELS[name](bars, 5)
    for at in (20, 40, 61, 88):
        got = LABELS[name](poisoned(bars, at), 5)
        settled = whole["known_at"] <= bars.index[at]
        pd.testing.assert_frame_equal(got[settled], whole[settled], check_exact=True)
        short = LABELS[name](bars.iloc[: at + 1], 5)
        pd.testing.assert_frame_equal(short, whole[settled], check_exact=True, check_freq=False)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_close_at_known_at_is_what_settles_a_return(factor):
    bars, row = probe_bars(40), 11
    before, after = target_return(bars, 4), target_return(repriced(bars, row, factor), 4)
    changed = (before["label"] != after["label"]).to_numpy()
    # the row settled there, and the row that starts there
    assert np.flatnonzero(changed).tolist() == [row - 4, row]
    settled = (before["known_at"] == bars.index[row]).to_numpy()
    expected = factor * (1 + before["label"][settled]) - 1
    assert after["label"][settled].tolist() == pytest.approx(expected.tolist())


def test_the_threshold_uses_bars_up_to_the_label_alone():
    bars, row = probe_bars(80), 30
    base = signal_direction(bars, 3, volatility_span=10)
    # bars between t and known_at may do what they like: only the last close counts
    wild = repriced(repriced(bars, row + 1, 3.0), row + 2, 0.3)
    got = signal_direction(wild, 3, volatility_span=10)
    assert got.loc[bars.index[row]].equals(base.loc[bars.index[row]])
    assert not got["label"].equals(base["label"])


def test_without_a_threshold_every_move_counts():
    got = signal_direction(hourly(100, 110, 100, 101, 101), 1, threshold=0, volatility_span=2)
    assert got["label"].tolist() == [1.0, 0.0]


def test_a_fixed_threshold_is_a_fraction_and_needs_no_warm_up():
    bars = hourly(100, 101, 99, 100, 100)
    got = signal_direction(bars, 1, scale="fixed", threshold=0.01)
    # 101 / 100 - 1 is a hair above 0.01 in floats; +1.0 %, -2.0 %, +1.01 %, 0
    assert got["label"].tolist() == [1.0, -1.0, 1.0, 0.0]
    assert signal_direction(bars, 1, scale="fixed", threshold=0.02)["label"].tolist() == [0.0] * 4
    assert got.index.equals(bars.index[:4])


@pytest.mark.parametrize("estimator", PLAIN)
@pytest.mark.parametrize("horizon", [2, 5, 20])
def test_coming_volatility_is_that_of_exactly_the_next_bars(estimator, horizon):
    bars = probe_bars(60)
    got = target_volatility(bars, horizon, estimator=estimator)
    assert got.index.equals(bars.index[:-horizon])
    assert (got["known_at"] == bars.index[horizon:]).all()
    names = ["open", "high", "low", "close"]
    for i, label in enumerate(got["label"]):
        ending = bars.iloc[i : i + horizon + 1]
        plain = PLAIN[estimator](*(ending[name].tolist() for name in names))
        assert label == pytest.approx(plain, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("estimator", ["parkinson", "garman_klass", "rogers_satchell"])
def test_a_range_measures_a_single_bar(estimator):
    bars = probe_bars(30)
    got = target_volatility(bars, 1, estimator=estimator)
    plain = [
        PLAIN[estimator](*(bars[n].iloc[i : i + 2].tolist() for n in bars.columns[:4]))
        for i in range(len(got))
    ]
    assert got["label"].tolist() == pytest.approx(plain, rel=1e-9, abs=1e-12)


def test_prices_that_never_move_are_held():
    got = signal_direction(hourly(*[100.0] * 30), 3, volatility_span=10)
    assert (got["label"] == 0).all()


@pytest.mark.parametrize("name", LABELS)
def test_a_panel_equals_its_symbols_one_by_one(name):
    parts = {"A": probe_bars(50), "B": probe_bars(31, seed=3)}
    got = LABELS[name](pd.concat(parts, names=["symbol", "time"]), 5)
    assert got.index.names == ["symbol", "time"]
    for symbol, bars in parts.items():
        pd.testing.assert_frame_equal(
            got.loc[symbol], LABELS[name](bars, 5), check_exact=True, check_freq=False
        )


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_the_sample_have_the_promised_shape(name):
    bars = collection.load("sample", ["SP500", "NASDAQ"], "1d")
    got = LABELS[name](bars, 5)
    skipped = 10 if name == "signal_direction" else 0
    assert len(got) == len(bars) - 2 * (5 + skipped)
    assert list(got.columns) == ["label", "known_at"]
    assert (got["known_at"] > got.index.get_level_values("time")).all()
    assert str(got["known_at"].dt.tz) == "UTC"
    assert np.isfinite(got["label"]).all()


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda b: target_return(b, 0), ParamsError, "at least 1 bar, was 0"),
        (
            lambda b: target_return(b, 12),
            DataError,
            "12 bars later needs at least 13, there are 12",
        ),
        (lambda b: signal_direction(b, 0), ParamsError, "at least 1 bar, was 0"),
        (lambda b: signal_direction(b, 1, threshold=-0.1), ParamsError, r"was -0\.1"),
        (lambda b: signal_direction(b, 1, threshold=math.nan), ParamsError, "was nan"),
        (lambda b: signal_direction(b, 1, scale="wide"), ParamsError, "volatility, fixed, was 'w"),
        (lambda b: signal_direction(b, 12, scale="fixed"), DataError, "at least 13, there are 12"),
        (lambda b: target_volatility(b, 1), ParamsError, "at least 2 bars, was 1"),
        (lambda b: target_volatility(b, 1, estimator="yang_zhang"), ParamsError, "at least 2 bars"),
        (lambda b: target_volatility(b, 2, estimator="garch"), ParamsError, "was 'garch'"),
        (lambda b: target_volatility(b, 12), DataError, "needs at least 13, there are 12"),
        (lambda b: signal_direction(b, 2, volatility_span=10), DataError, "at least 13, .* are 12"),
        (lambda b: signal_direction(b, 1, volatility_span=1), ParamsError, "at least 2 bars"),
        (lambda b: signal_direction(b, 1, volatility_span=0), ParamsError, "at least 2 bars"),
        (lambda b: target_return(b, 2.0), ParamsError, r"whole number of bars, was 2\.0"),
        (lambda b: target_return(b, True), ParamsError, "whole number of bars, was True"),
        (lambda b: target_return(b, math.nan), ParamsError, "whole number of bars, was nan"),
        (lambda b: target_return(b.drop(columns="close"), 1), DataError, "lack the columns"),
        (lambda b: target_return(b.iloc[::-1], 1), DataError, "goes back in time at row 1"),
    ],
)
def test_refuses_what_it_cannot_label(ask, error, says):
    with pytest.raises(error, match=says):
        ask(probe_bars(12))


def test_the_fewest_bars_give_one_label():
    assert len(target_return(probe_bars(6), 5)) == 1
    assert len(signal_direction(probe_bars(16), 5, volatility_span=10)) == 1


def test_one_symbol_with_too_few_bars_is_refused():
    bars = pd.concat({"A": probe_bars(40), "B": probe_bars(5)}, names=["symbol", "time"])
    with pytest.raises(DataError, match="there are 5"):
        target_return(bars, 5)


def test_the_symbol_that_is_too_short_is_named():
    both = pd.concat({"A": probe_bars(200), "B": probe_bars(30)}, names=["symbol", "time"])
    with pytest.raises(DataError, match="B: a horizon of 5 and a volatility over 60 bars need"):
        signal_direction(both, 5)


def test_a_panel_without_bars_is_refused():
    bars = pd.concat({"A": probe_bars(9)}, names=["symbol", "time"])
    with pytest.raises(DataError, match="the panel has no bars"):
        target_return(bars.iloc[:0], 5)


def test_a_window_that_was_refused_leaves_the_whole_number_of_bars_usable():
    close = probe_bars(60)["close"].to_numpy(copy=True)
    with pytest.raises(ParamsError, match=r"whole number of bars, was 37\.0"):
        volatility.realised(close, 37.0)
    plain = statistics.stdev(steps(close[-38:].tolist()))
    assert volatility.realised(close, 37)[-1] == pytest.approx(plain, rel=1e-9)
