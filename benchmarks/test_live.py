"""A step of the loop on a past of 5,000 bars, with all its parts."""

import time

import numpy as np
import pytest

from signalkit.live import Loop
from signalkit.store import Store
from tests.live.houses import fed, walked

# milliseconds of a processor that a step of two boosters takes, and steps that are timed; stated
# in docs/performance.md. The disk, where others write to it, decides how long its commits wait
STEP, STEPS = 150.0, 100
PAST = 5_000


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Two boosters whose walk-forward left a past as long; the default windows."""
    monkeypatch.setenv("SIGNALKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    usual = {"window": 250, "drift_window": 250}
    return walked(PAST + 600, validation={"train": 1000, "test": 500}, monitoring=usual)


def test_a_step_of_two_boosters(benchmark, house, tmp_path):
    with Store.open(tmp_path / "house") as store:
        house.deploy(store)
        loop, left, took = Loop(store), iter(house.clock[30:]), []
        fed(house, store, house.clock[:30], loop)

        def collected():
            at = next(left)
            house.write(store, at, at)
            return (at,), {}

        def step(at):
            begun = time.process_time()
            loop.step(at)
            took.append(1e3 * (time.process_time() - begun))

        benchmark.pedantic(step, setup=collected, rounds=STEPS, iterations=1)
        answered = len(store.watch.signals(limit=1000))
    assert answered == 30 + STEPS
    found = 1e3 * np.percentile(benchmark.stats.stats.data, [50, 99])
    benchmark.extra_info |= dict(zip(("p50_ms", "p99_ms"), found.tolist(), strict=True))
    benchmark.extra_info["processor_ms"] = float(np.median(took))
    assert np.median(took) <= STEP
