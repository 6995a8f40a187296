"""Stages against what they cannot be faster than, measured in the same run."""

import time

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from signalkit import backtesting, causality, collection, features, labeling, training, validation
from signalkit.splits import WalkForward

# times the floor or peer, stated in docs/performance.md
WALK_FORWARD, ACCOUNT = 1.25, 200


@pytest.fixture(scope="module")
def panel():
    return collection.load("sample", ["SP500", "NASDAQ"], "1d")


def best(function, repeats=3):
    """Least wall time of some repeats."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)


def test_walk_forward_costs_little_more_than_the_bare_fits(benchmark, panel):
    table, answers = features.build(panel), labeling.signal_direction(panel, 5)
    names, splits = ("XGBOOST", "LIGHTGBM"), WalkForward(1000, 250)
    models = {name: training.make(name, "signal_direction") for name in names}
    whole, aligned = validation.aligned(table, answers)
    times = whole.index.get_level_values("time")
    folds = list(splits.split(times, aligned["known_at"]))
    matrix, label = whole.to_numpy(), aligned["label"].to_numpy() + 1
    settings = {name: model._settings(2000 * matrix.shape[1]) for name, model in models.items()}

    def bare():
        for train, test in folds:
            data = xgboost.QuantileDMatrix(matrix[train], label=label[train], nthread=1)
            xgboost.train(settings["XGBOOST"], data, 100).inplace_predict(matrix[test])
            rows = lightgbm.Dataset(matrix[train], label[train], params={"verbosity": -1})
            lightgbm.train(settings["LIGHTGBM"], rows, 100).predict(matrix[test])

    floor = best(bare)
    walk = (table, answers, models, splits)
    benchmark.pedantic(validation.walk_forward, walk, rounds=3, iterations=1)
    ratio = benchmark.stats.stats.min / floor
    benchmark.extra_info["times_bare_fits"] = ratio
    assert ratio <= WALK_FORWARD


def test_the_account_costs_some_passes_over_the_closes(benchmark):
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
