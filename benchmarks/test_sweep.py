"""A thousand thresholds in one call, against as many bare runs of the kernel and against vectorbt.

The floor is the kernel on weights that lie ready, one run after another, divided by the threads
that the sweep may use; making the weights and the statistics is all that may come on top.
"""

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting import prepare, sweep
from signalkit.backtesting.account import TOTALS
from signalkit.kernels.engine import threads

# stated in docs/performance.md
OVERHEAD = 1.1
BARS, THRESHOLDS, MINUTES_A_YEAR = 10_000, 1000, 525_960.0
# a position that grew is not trimmed: vectorbt knows no cap
RULES = {"fee_bps": 5.0, "slippage_bps": 2.0, "fill": "next_close"}
RULES |= {"max_leverage": 0.9, "drift": 1e6}


@pytest.fixture(scope="module")
def scored(real_minutes):
    """Real minutes with a score that wanders slowly, and thresholds from low to high."""
    bars = real_minutes.iloc[:BARS]
    noise = pd.Series(np.random.default_rng(1).standard_normal(BARS), bars.index, name="score")
    score = noise.rolling(20, min_periods=1).mean() * np.sqrt(20)
    return bars, score, np.linspace(0.2, 3.0, THRESHOLDS)


def swept(scored):
    bars, score, asked = scored
    return sweep(bars, score, asked, periods_per_year=MINUTES_A_YEAR, **RULES)


def kernel_runs(scored):
    """Simulates every threshold's weights, which were made before."""
    bars, score, asked = scored
    market, values = prepare(bars, **RULES), score.to_numpy()[:, None]
    targets = [0.9 * ((values >= some) * 1.0 - (values <= -some)) for some in asked]
    equity, totals = np.empty(len(bars)), np.empty(len(TOTALS))

    def run():
        for target in targets:
            market.run(target, equity_out=equity, totals_out=totals)

    run()
    return run


def test_a_thousand_thresholds_cost_little_more_than_their_kernel_runs(benchmark, scored, best):
    swept(scored)
    run = kernel_runs(scored)
    before = best(run, repeats=4)
    benchmark.pedantic(swept, (scored,), rounds=7, iterations=1)
    floor = min(before, best(run, repeats=4)) / threads()
    ratio = benchmark.stats.stats.min / floor
    benchmark.extra_info["times_kernel_runs"] = ratio
    assert ratio <= OVERHEAD


def test_vectorbt_needs_longer_for_its_batch_of_the_same_thresholds(
    benchmark, scored, ask_vectorbt
):
    bars, score, asked = scored
    table = benchmark.pedantic(swept, (scored,), rounds=3, iterations=1)
    settings = {"task": "thresholds", "thresholds": asked.tolist(), "freq": "1min"}
    seconds, out = ask_vectorbt(bars, score, settings | RULES)
    found = pd.read_csv(out / "final.csv")["equity"]
    np.testing.assert_allclose(1 + table["return_total"], found, rtol=1e-9)
    benchmark.extra_info["vectorbt_seconds"] = seconds["simulation"]
    assert benchmark.stats.stats.min < seconds["simulation"]
