"""A loop that is killed at any moment and started again leaves what an undisturbed one leaves."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from signalkit.live import Loop
from signalkit.store import Store, audit
from signalkit.store.predictions import ENSEMBLE
from tests.live.houses import HORIZON, dump, fed

QUICK = {"window": 200, "drift_window": 6, "on_alarm": "retrain"}
# seconds that a process which nobody kills may take
LONGEST = 100.0


def feeding(house, folder, times):
    """What the killed process does: it goes on where the store ends."""
    with Store.open(folder) as store:
        span = store.span("BTCUSDT", "1h", "binance")
        left = times[times >= span[1]]
        loop = Loop(store)
        for at in left:
            house.write(store, at, at)
            loop.step(at)
        os._exit(0)


@pytest.fixture(scope="module")
def alone():
    """Starts processes from one that has imported everything and has run nothing.

    Copies of a process whose boosters have threads already wait for those for ever.
    """
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.live.test_killed", "xgboost", "lightgbm"])
    return found


def killed(alone, house, folder, times, moments):
    """Feed bars in processes that are killed after these seconds; how many were still at it."""
    for hit, seconds in enumerate([*moments, LONGEST]):
        process = alone.Process(target=feeding, args=(house, folder, times))
        process.start()
        process.join(seconds)
        if not process.is_alive():
            assert process.exitcode == 0
            return hit
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    raise AssertionError(f"the last process was still at it after {LONGEST} seconds")


def prepared(house, store):
    """A house with an alarm that is to be acted on; the number of its models."""
    numbers = house.deploy(store, **QUICK)
    detail = {"study": "house", "models": sorted(numbers.values())}
    subject = f"house {ENSEMBLE} signal_direction {HORIZON} x 1h"
    store.watch.raise_alarm("accuracy", subject, house.clock[0].value, detail)
    return numbers


def assert_as_undisturbed(alone, house, tmp_path, *, bars, kills, longest):
    """Tables after some kills are those of a loop that nobody killed."""
    times = house.clock[:bars]
    with Store.open(tmp_path / "whole") as whole:
        prepared(house, whole)
        begun = time.monotonic()
        fed(house, whole, times, Loop(whole))
        lasted = time.monotonic() - begun
        want, noted = dump(whole), len(audit.page(whole.db, limit=1000))
    with Store.open(tmp_path / "killed") as store:
        prepared(house, store)
    draws = np.random.default_rng(7)
    moments = draws.uniform(0.02, min(longest, max(lasted, 0.2)), kills).tolist()
    hit = killed(alone, house, tmp_path / "killed", times, moments)
    with Store.open(tmp_path / "killed") as store:
        assert store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table, rows in dump(store).items():
            assert rows == want[table], table
        assert len(audit.page(store.db, limit=1000)) == noted
        (queued,) = store.db.execute("SELECT count(*) FROM ml_training_sessions").fetchone()
        assert queued == 2
    return hit


def test_five_kills_lose_and_double_nothing(alone, house, tmp_path):
    hit = assert_as_undisturbed(alone, house, tmp_path, bars=8, kills=5, longest=1.0)
    assert hit >= 1


@pytest.mark.certify
def test_a_hundred_kills_lose_and_double_nothing(alone, house, tmp_path):
    hit = assert_as_undisturbed(alone, house, tmp_path, bars=150, kills=100, longest=1.5)
    assert hit >= 50
