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
LONGEST = 170.0


def feeding(house, folder, times, steps):
    """What the killed process does: it goes on where the store ends, and counts its steps."""
    with Store.open(folder) as store:
        span = store.span("BTCUSDT", "1h", "binance")
        left = times[times >= span[1]]
        loop = Loop(store)
        for at in left:
            house.write(store, at, at)
            loop.step(at)
            steps.value += 1
        os._exit(0)


@pytest.fixture(scope="module")
def alone():
    """Starts processes from one that has imported everything and has run nothing.

    Copies of a process whose boosters have threads already wait for those for ever.
    """
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.live.test_killed", "xgboost", "lightgbm"])
    return found


class Feeder:
    """A process that feeds bars, to be killed amid a step."""

    def __init__(self, alone, house, folder, times):
        self._steps, self._begun = alone.Value("i", 0), time.monotonic()
        asked = (house, folder, times, self._steps)
        self._process = alone.Process(target=feeding, args=asked)
        self._process.start()

    def stepped(self, steps):
        """Seconds until it has done so many steps, or has come to the end of the bars."""
        while self._steps.value < steps and self._process.is_alive():
            time.sleep(0.002)
        return time.monotonic() - self._begun

    def kill(self, seconds):
        """Kill it after these seconds; whether it was still at it."""
        self._process.join(seconds)
        if self._process.is_alive():
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        return self._process.exitcode == -signal.SIGKILL


def killed(alone, house, folder, times, kills):
    """Feed bars in processes of which each is killed amid a step; how many were still at it."""
    draws, hit = np.random.default_rng(7), 0
    first = Feeder(alone, house, folder, times)
    cold = first.stepped(1)
    warm = first.stepped(2) - cold
    hit += first.kill(warm * draws.uniform())
    while hit < kills:
        feeder, steps = Feeder(alone, house, folder, times), draws.integers(2)
        feeder.stepped(steps)
        if not feeder.kill(draws.uniform() * (warm if steps else cold)):
            return hit
        hit += 1
    assert not Feeder(alone, house, folder, times).kill(LONGEST), "the last was still at it"
    return hit


def prepared(house, store):
    """A house with an alarm that is to be acted on; the number of its models."""
    numbers = house.deploy(store, **QUICK)
    detail = {"study": "house", "models": sorted(numbers.values())}
    subject = f"house {ENSEMBLE} signal_direction {HORIZON} x 1h"
    store.watch.raise_alarm("accuracy", subject, house.clock[0].value, detail)
    return numbers


def assert_as_undisturbed(alone, house, tmp_path, *, bars, kills):
    """Tables after that many kills are those of a loop that nobody killed."""
    times, hit, rounds = house.clock[:bars], 0, 0
    with Store.open(tmp_path / "whole") as whole:
        prepared(house, whole)
        fed(house, whole, times, Loop(whole))
        want, noted = dump(whole), len(audit.page(whole.db, limit=1000))
    while hit < kills:  # where the bars came to an end before, from the first bar again
        rounds += 1
        folder = tmp_path / f"killed {rounds}"
        with Store.open(folder) as store:
            prepared(house, store)
        hit += killed(alone, house, folder, times, kills - hit)
        with Store.open(folder) as store:
            assert store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            for table, rows in dump(store).items():
                assert rows == want[table], table
            assert len(audit.page(store.db, limit=1000)) == noted
            (queued,) = store.db.execute("SELECT count(*) FROM ml_training_sessions").fetchone()
            assert queued == 2
    assert hit == kills


def test_kills_lose_and_double_nothing(alone, house, tmp_path):
    assert_as_undisturbed(alone, house, tmp_path, bars=10, kills=4)


@pytest.mark.certify
def test_a_hundred_kills_lose_and_double_nothing(alone, house, tmp_path):
    assert_as_undisturbed(alone, house, tmp_path, bars=150, kills=100)
