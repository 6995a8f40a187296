"""The account on real one-minute bars and on a market of 500 symbols, against their limits.

The floor is `numpy.cumprod` of the closes' returns: one pass that no account can do without.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import collection
from signalkit.backtesting import prepare, simulate, statistics

# stated in docs/performance.md
BARS_A_SECOND = 20e6
EVERYTHING, MARKET = 0.25, 0.2
MILLION = 1_000_000
MINUTES = Path(__file__).resolve().parents[2] / "shared/data/crypto_1m"
RULES = {"fee_bps": 1.0, "slippage_bps": 1.0, "stop_loss": 0.02, "take_profit": 0.03}


@pytest.fixture(scope="module")
def minutes():
    """A million real minutes, and a weight at every fiftieth."""
    if not MINUTES.exists():
        pytest.skip("the shared market data are not beside the project")
    (file,) = MINUTES.glob("*.parquet")
    bars = collection.read_file(file, interval="1m").iloc[:MILLION]
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
