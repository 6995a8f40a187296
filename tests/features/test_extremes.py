"""Features on bars that nobody wishes for, made by hypothesis, against the plain references."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.features import CATALOG, build
from tests.features.reference import REFERENCE, assert_like_reference

VOLUMES = {
    "none": lambda rng, n: np.zeros(n),
    "few": lambda rng, n: rng.integers(0, 3, n).astype(float),
    "one": lambda rng, n: np.where(np.arange(n) == n // 2, 5.0, 0.0),
    "droughts": lambda rng, n: rng.gamma(2.0, 5e4, n) * (np.arange(n) // 25 % 2),
    "tiny": lambda rng, n: rng.gamma(2.0, 1e-9, n),
    "full": lambda rng, n: rng.gamma(2.0, 5e4, n),
}


def bars_at(prices, volume):
    times = pd.date_range("2024-01-01", periods=len(prices), freq="h", tz="UTC", name="time")
    table = pd.DataFrame(prices, times, columns=["open", "high", "low", "close"])
    return table.assign(volume=volume)


def made_bars(rng, n, *, level, step, volume):
    """Bars whose prices lie on a grid of steps, so that many are the same."""
    close = np.cumsum(rng.integers(-1, 2, n))
    open_ = np.concatenate([[0], close[:-1]]) + rng.integers(-1, 2, n)
    high = np.maximum(open_, close) + rng.integers(0, 2, n)
    low = np.minimum(open_, close) - rng.integers(0, 2, n)
    steps = np.column_stack([open_, high, low, close])
    return bars_at(level * np.maximum(1 + steps * step, 0.01), VOLUMES[volume](rng, n))


def assert_as_the_references(bars):
    """All columns are the references', and finite past their warm-up."""
    got = build(bars, list(REFERENCE))
    for name, function in REFERENCE.items():
        assert np.isfinite(got[name].iloc[CATALOG[name].warmup :]).all(), name
        assert_like_reference(got[name], function(bars), name)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([1, 2, 3, 20, 64, 150]),
    level=st.sampled_from([1e-7, 0.1, 1.0, 100.1, 54_321.9, 1e7]),
    step=st.sampled_from([0.0, 1e-4, 0.05]),
    volume=st.sampled_from([*VOLUMES]),
)
def test_bars_of_any_kind_have_the_references_numbers(seed, n, level, step, volume):
    assert_as_the_references(
        made_bars(np.random.default_rng(seed), n, level=level, step=step, volume=volume)
    )


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    at=st.integers(0, 100),
    factor=st.sampled_from([1000.0, 0.001]),
    level=st.sampled_from([1e-7, 100.1, 1e7]),
)
def test_a_bar_a_thousand_times_too_dear_is_forgotten(seed, at, factor, level):
    calm = made_bars(np.random.default_rng(seed), 700, level=level, step=1e-4, volume="full")
    wild = calm.copy()
    wild.iloc[at, :4] *= factor
    assert_as_the_references(wild)
    before, after = build(calm, list(REFERENCE)), build(wild, list(REFERENCE))
    for name in REFERENCE:
        # the slowest average, EMA over 26, keeps (25/27)^550 of a bar, 4e-19
        assert_like_reference(after[name].iloc[at + 550 :], before[name].iloc[at + 550 :], name)


@pytest.mark.parametrize("price", [1.0, 0.1, 100.1, 1e-7, 1e7])
@pytest.mark.parametrize("volume", [0.0, 0.1, 1e9])
def test_bars_that_never_move_have_the_references_numbers(price, volume):
    bars = bars_at(np.full((150, 4), price), volume)
    assert_as_the_references(bars)
    assert (build(bars, ["std_60", "skewness_60", "cci_20"]).iloc[60:] == 0).all(axis=None)


def test_moves_that_stop_and_begin_again_have_the_references_numbers():
    rng = np.random.default_rng(5)
    moves = rng.normal(0, 0.01, 600) * (np.arange(600) // 150 % 2 == 0)
    close = 100.1 * np.exp(np.cumsum(moves))
    prices = np.column_stack([np.concatenate([close[:1], close[:-1]]), close, close, close])
    prices[:, 1], prices[:, 2] = prices.max(axis=1), prices.min(axis=1)
    assert_as_the_references(bars_at(prices, rng.gamma(2.0, 500.0, 600)))
