"""The account on real one-minute bars and on a market of 500 symbols, against their limits.

The floor is `numpy.cumprod` of the closes' returns: one pass that no account can do without.
"""

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting import prepare, simulate, statistics

# stated in docs/performance.md
BARS_A_SECOND = 20e6
EVERYTHING, MARKET = 0.25, 0.2
RULES = {"fee_bps": 1.0, "slippage_bps": 1.0, "stop_loss": 0.02, "take_profit": 0.03}


@pytest.fixture(scope="module")
def minutes(real_minutes):
    """A million real minutes, and a weight at every fiftieth."""
    bars = real_minutes
    sizes = np.random.default_rng(1).choice([-0.5, 0.0, 0.5, 1.0], len(bars) // 50)
    return bars, pd.Series(sizes, bars.index[::50])


@pytest.fixture(scope="module")
def market():
    """Five years of daily bars of 500 symbols, and weights that change every fifth day."""
    rng, n, n_symbols = np.random.default_rng(1), 1260, 500
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (n_symbols, n)), axis=1))
    open_ = close * np.exp(rng.normal(0, 0.005, (n_symbols, n)))
    prices = {
        "open": open_.ravel(),
        "high": 1.01 * np.maximum(open_, close).ravel(),
        "low": 0.99 * np.minimum(open_, close).ravel(),
        "close": close.ravel(),
    }
    days = pd.date_range("2015-01-01", periods=n, freq="D", tz="UTC", name="time")
    names = [f"S{i:03d}" for i in range(n_symbols)]
    index = pd.MultiIndex.from_product([names, days], names=["symbol", "time"])
    sides = np.repeat(rng.choice([-1.0, 0.0, 1.0], (n_symbols, n // 5)), 5, axis=1)
    bars = pd.DataFrame(prices | {"volume": 1e6}, index=index)
    return bars, pd.Series(sides.ravel() / n_symbols, index)


def floor_of(bars, best):
    """Seconds of one pass over the closes."""
    close = bars["close"].to_numpy(copy=True)
    return best(lambda: np.cumprod(close[1:] / close[:-1]), repeats=5)


# what else a bar may ask for, beside the rules of the limit
MORE = {
    "costs and exits": {},
    "trailing": {"trailing_stop": 0.02},
    "impact and volume": {"impact": 0.1, "volume_cap": 0.1, "capital": 1e6},
    "levered": {"max_leverage": 2.0, "maintenance": 0.05, "borrow_bps": 300.0, "brake": 0.5},
}


@pytest.mark.parametrize("name", MORE)
def test_the_kernel_passes_twenty_million_bars_a_second(benchmark, minutes, name, best):
    bars, weight = minutes
    market = prepare(bars, **RULES | MORE[name])
    target, equity = market.place(weight).target, np.empty(len(bars))
    market.run(target, equity_out=equity)
    given = {"args": (target,), "kwargs": {"equity_out": equity}}
    benchmark.pedantic(market.run, **given, rounds=9, iterations=1)
    speed = len(bars) / benchmark.stats.stats.min
    benchmark.extra_info["million_bars_a_second"] = speed / 1e6
    benchmark.extra_info["times_cumprod"] = benchmark.stats.stats.min / floor_of(bars, best)
    if name == "costs and exits":
        assert speed >= BARS_A_SECOND


def test_a_million_minutes_with_trades_and_statistics_take_a_quarter_second(
    benchmark, minutes, best
):
    bars, weight = minutes

    def everything():
        result = simulate(bars, weight, **RULES)
        return result, statistics(result, 525_960.0)

    everything()
    result, table = benchmark.pedantic(everything, rounds=7, iterations=1)
    assert len(result.trades) > 5_000
    assert table.loc["trades", "strategy"] == len(result.trades)
    benchmark.extra_info["times_cumprod"] = benchmark.stats.stats.min / floor_of(bars, best)
    benchmark.extra_info["accounts_seconds"] = best(
        lambda: simulate(bars, weight, **RULES).accounts, repeats=3
    )
    assert benchmark.stats.stats.min <= EVERYTHING


def test_vectorbt_needs_longer_for_the_same_minutes(benchmark, minutes, ask_vectorbt, best):
    bars, _ = minutes
    # vectorbt sizes an order in percent from flat alone, and its stops slip as profits do
    at = bars.index[50:-1:50]
    sizes = np.random.default_rng(2).choice([-0.9, -0.5, 0.5, 0.9], len(at))
    sizes[1::2] = 0.0
    weight = pd.Series(sizes, at, name="weight")
    rules = {"fee_bps": 5.0, "slippage_bps": 2.0, "stop_loss": 0.01, "fill": "next_close"}

    def everything(rules):
        result = simulate(bars, weight, **rules)
        return result, statistics(result, 525_960.0), result.trades

    everything(rules)
    benchmark.pedantic(everything, (rules,), rounds=5, iterations=1)
    without = rules | {"stop_loss": None}
    ours = {"signals": benchmark.stats.stats.min, "orders": best(lambda: everything(without))}
    theirs, _ = ask_vectorbt(bars, weight, rules | {"task": "time", "freq": "1min"})
    for name, seconds in ours.items():
        taken = theirs[name]["simulation"] + theirs[name]["statistics"]
        benchmark.extra_info[f"vectorbt_{name}"] = theirs[name]
        benchmark.extra_info[f"{name}_over_vectorbt"] = seconds / taken
        assert seconds < taken


def test_five_years_of_500_symbols_take_a_fifth_of_a_second(benchmark, market, best):
    bars, weight = market

    def everything():
        result = simulate(bars, weight, **RULES)
        return result, statistics(result, 252.0)

    everything()
    result, table = benchmark.pedantic(everything, rounds=7, iterations=1)
    assert len(result.trades) > 20_000
    assert np.isfinite(table.loc["sharpe_annual", "strategy"])
    benchmark.extra_info["times_cumprod"] = benchmark.stats.stats.min / floor_of(bars, best)
    assert benchmark.stats.stats.min <= MARKET
