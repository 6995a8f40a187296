"""engine.py: any portions, any process, the same bits; nothing lasts longer than its window."""

import ast
import hashlib
import inspect
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from signalkit import kernels
from signalkit.causality import probe_bars
from signalkit.errors import ParamsError
from signalkit.features import build
from signalkit.kernels import INPUTS, Engine, Program, engine, evaluate
from signalkit.kernels.graph import (
    CLOSE,
    KERNELS,
    OPEN,
    exponential,
    highest,
    lag,
    log_ratio,
    lowest,
    mean,
    node,
    output,
    total,
    variance,
    window,
)

SPAN = 12
_MOMENTS = window("window_moments", CLOSE, span=SPAN)
WINDOWS = {
    "total": total(CLOSE, SPAN),
    "mean": mean(CLOSE, SPAN),
    "highest": highest(CLOSE, SPAN),
    "lowest": lowest(CLOSE, SPAN),
    "variance": variance(CLOSE, SPAN, 1),
    "skewness": node("skewness", output(_MOMENTS, 1), output(_MOMENTS, 2), p=SPAN),
    "kurtosis": node("kurtosis", output(_MOMENTS, 1), output(_MOMENTS, 3), p=SPAN),
    "correlation": window("window_correlation", lag(CLOSE, 1), CLOSE, span=SPAN - 1),
    "slope": window("window_slope", CLOSE, span=SPAN + 1),
    "rank": window("window_rank", CLOSE, span=SPAN),
    "distance": node("mean_distance", CLOSE, mean(CLOSE, SPAN), p=SPAN),
}
# plain numpy over the newest values of one window
PLAIN = {
    "total": np.sum,
    "mean": np.mean,
    "highest": np.max,
    "lowest": np.min,
    "variance": lambda x: np.var(x, ddof=1),
    "skewness": lambda x: np.mean((x - x.mean()) ** 3) / np.var(x) ** 1.5,
    "kurtosis": lambda x: np.mean((x - x.mean()) ** 4) / np.var(x) ** 2 - 3,
    "correlation": lambda x: np.corrcoef(x[:-1], x[1:])[0, 1],
    "slope": lambda x: np.polyfit(np.arange(SPAN + 1), np.r_[0, np.cumsum(x)], 1)[0],
    "rank": lambda x: (np.sum(x[:-1] < x[-1]) + np.sum(x[:-1] == x[-1]) / 2) / (SPAN - 1),
    "distance": lambda x: np.mean(np.abs(x - x.mean())),
}


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(0, 1, n) + 50


def test_the_engine_calls_the_kernels_that_the_graph_numbers():
    tree = ast.parse(inspect.getsource(engine._advance.py_func))
    branches = [n for n in ast.walk(tree) if isinstance(n, ast.If)]
    called = {b.test.comparators[0].value: b.body[0].value.func.attr for b in branches}
    assert called == {kernel.code: name for name, kernel in KERNELS.items()}


@pytest.mark.parametrize("name", WINDOWS)
def test_window_equals_plain_numpy_over_its_values(name):
    values = noise(200)
    got = evaluate([WINDOWS[name]], close=values)[0]
    blank = WINDOWS[name].warmup
    assert np.isnan(got[:blank]).all()
    expected = [PLAIN[name](values[i - SPAN + 1 : i + 1]) for i in range(SPAN - 1, 200)]
    np.testing.assert_allclose(got[SPAN - 1 :], expected, rtol=1e-10, atol=1e-12)
    assert blank == SPAN - 1


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("wild", [np.nan, 1e12])
def test_a_nan_and_a_wild_value_are_gone_with_their_window(name, wild):
    values = noise(300)
    calm = evaluate([WINDOWS[name]], close=values)[0]
    for at in (0, 7, 100, 119, 120):
        spoilt = values.copy()
        spoilt[at] = wild
        got = evaluate([WINDOWS[name]], close=spoilt)[0]
        np.testing.assert_array_equal(got[:at], calm[:at])
        np.testing.assert_array_equal(got[at + SPAN :], calm[at + SPAN :])
        if np.isnan(wild):
            assert np.isnan(got[at : at + SPAN]).all()


@pytest.mark.parametrize(
    "column",
    [
        exponential(CLOSE, 8),
        exponential(CLOSE, 5, skip=6),
        node("wilder_sum", CLOSE, p=8),
        node("trend_strength", CLOSE, CLOSE * 2.0, CLOSE, p=8),
    ],
)
def test_a_recursion_starts_anew_after_a_nan(column):
    values = noise(200)
    values[90] = np.nan
    got = evaluate([column], close=values)[0]
    np.testing.assert_array_equal(got[:90], evaluate([column], close=values[:90])[0])
    np.testing.assert_array_equal(got[91:], evaluate([column], close=values[91:])[0])
    assert np.isnan(got[90 : 91 + column.warmup]).all()
    assert np.isfinite(got[91 + column.warmup :]).all()


def test_portions_do_not_matter():
    values, columns = noise(5000), list(WINDOWS.values())
    bars = np.zeros((len(INPUTS), 5000))
    bars[INPUTS.index("close")] = values
    out, rng = np.empty((len(columns), 5000)), np.random.default_rng(1)
    fed, begin = Engine(Program(columns)), 0
    while begin < 5000:
        end = min(5000, begin + int(rng.integers(1, 1500)))
        fed.feed(bars, out, np.full(len(columns), -1), span=(begin, end, 0))
        begin = end
    np.testing.assert_array_equal(out, evaluate(columns, close=values))


def assert_no_drift(n_bars):
    """The newest windows after many bars are those of the newest bars alone."""
    values = noise(n_bars, seed=3)
    values[:: n_bars // 50] *= 1e6  # what running sums never forget
    columns = list(WINDOWS.values())
    got = evaluate(columns, close=values)[:, -20:]
    for row, name in enumerate(WINDOWS):
        ends = range(n_bars - 19, n_bars + 1)
        expected = [PLAIN[name](values[end - SPAN : end]) for end in ends]
        np.testing.assert_allclose(got[row], expected, rtol=1e-10, atol=1e-12, err_msg=name)


def test_nothing_drifts_in_three_hundred_thousand_bars():
    assert_no_drift(300_000)
    assert len(WINDOWS) == len(PLAIN)


@pytest.mark.certify
def test_nothing_drifts_in_ten_million_bars():
    assert_no_drift(10_000_000)
    assert len(WINDOWS) == len(PLAIN)


def test_running_sums_do_drift_there():
    # so that the test above is known to be one that can fail
    values = noise(300_000, seed=3)
    values[::6000] *= 1e6
    one, two = np.cumsum(values), np.cumsum(values**2)
    means = (one[-1] - one[-1 - SPAN]) / SPAN
    running = ((two[-1] - two[-1 - SPAN]) / SPAN - means**2) * SPAN / (SPAN - 1)
    assert abs(running / np.var(values[-SPAN:], ddof=1) - 1) > 1e-6


def test_a_shared_part_is_computed_once():
    move = log_ratio(CLOSE, lag(CLOSE, 1))
    one, two = Program([variance(move, 20, 1)]), Program([variance(move, 20, 1), mean(move, 5)])
    assert len(two.plan) == len(one.plan) + 1
    assert log_ratio(CLOSE, lag(CLOSE, 1)) is move


@pytest.mark.parametrize("ratio", [1e-17, 1e-9, 1e-3, 0.5, 1 - 1e-12, 1 + 1e-12, 2.0, 1e9])
def test_a_log_ratio_keeps_its_digits_whatever_the_ratio(ratio):
    # the standard library, on the ratio where it is far from 1 and the difference where near
    expected = math.log1p(ratio - 1) if 0.5 < ratio < 2 else math.log(ratio)
    got = evaluate([log_ratio(CLOSE, OPEN)], close=np.array([ratio]), open=np.array([1.0]))
    np.testing.assert_allclose(got[0], expected, rtol=1e-14)


def test_a_window_longer_than_the_bars_has_no_value_and_takes_no_memory():
    got = evaluate([mean(CLOSE, 10**12), lag(CLOSE, 1)], close=np.array([1.0, 2.0]))
    np.testing.assert_array_equal(got, [[np.nan, np.nan], [np.nan, 1.0]])


def test_warm_up_follows_from_the_graph():
    move = log_ratio(CLOSE, lag(CLOSE, 3))
    assert move.warmup == 3
    assert lag(mean(move, 10), 5).warmup == 3 + 9 + 5
    assert exponential(move, 8, skip=4).warmup == 3 + 11


def test_a_window_without_bars_is_refused():
    with pytest.raises(ParamsError, match="at least 1 bar, was 0"):
        mean(CLOSE, 0)


def digest(table):
    return hashlib.sha256(table.to_numpy().tobytes()).hexdigest()


_ELSEWHERE = """
import hashlib
from signalkit.causality import probe_bars
from signalkit.features import build
print(hashlib.sha256(build(probe_bars(3000)).to_numpy().tobytes()).hexdigest())
"""


def test_the_first_call_of_a_cold_process_gives_the_same_bits(tmp_path):
    # an empty folder for compiled code, and one thread instead of two
    env = os.environ | {"SIGNALKIT_ROOT": str(tmp_path), "SIGNALKIT_THREADS": "1"}
    cold = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE], env=env, check=True, capture_output=True, text=True
    )
    assert list((tmp_path / ".kernels").rglob("*.nbc"))  # it did compile
    assert cold.stdout.strip() == digest(build(probe_bars(3000)))


def test_threads_are_those_asked_for(monkeypatch):
    monkeypatch.setenv("SIGNALKIT_THREADS", "3")
    assert kernels.threads() == 3
    monkeypatch.delenv("SIGNALKIT_THREADS")
    assert kernels.threads() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("wrong", ["0", "two", "-1", "1.5"])
def test_threads_that_are_no_number_are_refused(monkeypatch, wrong):
    monkeypatch.setenv("SIGNALKIT_THREADS", wrong)
    with pytest.raises(ParamsError, match=f"a whole number above 0, was '{wrong}'"):
        kernels.threads()
