"""Stages against what they cannot be faster than, measured in the same run."""

import numpy as np
import pandas as pd

from signalkit import backtesting, causality

# times the floor or peer, stated in docs/performance.md
ACCOUNT = 200


def test_the_account_costs_some_passes_over_the_closes(benchmark, best):
    bars = causality.probe_bars(500_000)
    weight = pd.Series(np.tile([0.5, 0.25], 250), index=bars.index[::1000])
    close = bars["close"].to_numpy()
    floor = best(lambda: np.cumprod(close[1:] / close[:-1]))
    given = {"fee_bps": 1.0, "slippage_bps": 1.0}
    backtesting.simulate(bars, weight, **given)
    benchmark.pedantic(backtesting.simulate, (bars, weight), given, rounds=5, iterations=1)
    ratio = benchmark.stats.stats.min / floor
    benchmark.extra_info["times_cumprod"] = ratio
    assert ratio <= ACCOUNT
