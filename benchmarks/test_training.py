"""Walking forward and scoring against the bare library calls, measured in the same run."""

import time

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from signalkit import training, validation
from signalkit.kernels import threads
from signalkit.splits import WalkForward

# times the bare calls; times one worker; stated in docs/performance.md
WALK_FORWARD, TWO_WORKERS, SCORING = 1.10, 1.7, 1.2
ROWS, COLUMNS, ROUNDS, SCORED = 60_000, 80, 50, 1_000_000
SPLITS = WalkForward(20_000, 2_000)
NAMES = ("XGBOOST", "LIGHTGBM")


@pytest.fixture(scope="module")
def table():
    """Sixty thousand hours of noise with three classes."""
    rng = np.random.default_rng(5)
    times = pd.date_range("2018-01-01", periods=ROWS, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A"], times], names=["symbol", "time"])
    columns = [f"column_{i}" for i in range(COLUMNS)]
    features = pd.DataFrame(rng.normal(size=(ROWS, COLUMNS)), index, columns)
    label = rng.integers(-1, 2, ROWS).astype(float)
    return features, pd.DataFrame({"label": label, "known_at": times + pd.Timedelta("1h")}, index)


def models():
    return {name: training.make(name, "signal_direction", rounds=ROUNDS) for name in NAMES}


def settings(cells):
    return {name: model._settings(cells) for name, model in models().items()}


def bare_fits(features, labels):
    """The same fits and predictions by the libraries alone, on matrices that are ready."""
    times = features.index.get_level_values("time")
    pairs = list(SPLITS.split(times, labels["known_at"]))
    matrix = np.ascontiguousarray(features.to_numpy())
    label = labels["label"].to_numpy() + 1
    ready = [(matrix[train], label[train], matrix[test]) for train, test in pairs]
    asked = settings(SPLITS.train * COLUMNS)

    def run():
        for rows, answers, test in ready:
            data = xgboost.QuantileDMatrix(rows, label=answers, nthread=threads())
            xgboost.train(asked["XGBOOST"], data, ROUNDS).inplace_predict(test)
            data = lightgbm.Dataset(rows, answers, params={"verbosity": -1})
            lightgbm.train(asked["LIGHTGBM"], data, ROUNDS).predict(test)

    assert len(pairs) == 20
    return run


def test_walk_forward_costs_little_more_than_the_bare_fits(benchmark, table, best):
    floor = best(bare_fits(*table), repeats=2)
    walk = (*table, models(), SPLITS)
    benchmark.pedantic(validation.walk_forward, walk, rounds=2, iterations=1)
    ratio = benchmark.stats.stats.min / floor
    benchmark.extra_info["times_bare_fits"] = ratio
    assert ratio <= WALK_FORWARD


def test_two_workers_share_a_walk(benchmark, table, monkeypatch):
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    seconds, found = {}, {}
    for count in (2, 1):
        begun = time.perf_counter()
        how = validation.Run(workers=count)
        found[count] = validation.walk_forward(*table, models(), SPLITS, how=how)
        seconds[count] = time.perf_counter() - begun
    benchmark.pedantic(lambda: None, rounds=1)
    ratio = seconds[1] / seconds[2]
    benchmark.extra_info["times_one_worker"] = ratio
    assert found[1].equals(found[2])
    assert ratio >= TWO_WORKERS


def test_scoring_a_million_rows_costs_little_more_than_the_bare_predictions(benchmark, best):
    rng = np.random.default_rng(6)
    columns = [f"column_{i}" for i in range(COLUMNS)]
    features = pd.DataFrame(rng.normal(size=(SCORED, COLUMNS)), columns=columns)
    few = 20_000
    label = rng.integers(-1, 2, SCORED).astype(float)
    labels = pd.DataFrame({"label": label}, features.index)
    fitted = {name: m.fit(features, labels, np.arange(few)) for name, m in models().items()}
    matrix, rows = np.ascontiguousarray(features.to_numpy()), np.arange(SCORED)

    def bare():
        fitted["XGBOOST"].booster.inplace_predict(matrix)
        fitted["LIGHTGBM"].booster.predict(matrix, num_threads=threads())

    def scored():
        shares = [model.predict_proba(features, rows) for model in fitted.values()]
        return training.pool(shares, np.array([0.5, 0.5]))

    floor = best(bare, repeats=2)
    benchmark.pedantic(scored, rounds=2, iterations=1)
    ratio = benchmark.stats.stats.min / floor
    benchmark.extra_info["times_bare_predictions"] = ratio
    assert ratio <= SCORING
