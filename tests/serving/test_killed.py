"""A server that is killed while it is asked to write: nothing answered is lost, nothing doubled.

The kills of a worker are in test_jobs.py, those of the loop in tests/live.
"""

import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing

import pandas as pd
import pytest

from signalkit.inference import Predictor
from signalkit.store import Store, audit
from signalkit.store.predictions import ENSEMBLE
from signalkit.study import Study, register
from tests.serving.trained import SMALL, WORDS, collect, small_sections, walk

TOKEN = "t" * 20
# imports once what a server imports, and then serves a folder in a process of its own as often
# as it is told to
FORKS = """
import os, sys
from pathlib import Path
import xgboost
from signalkit.serving import running
for line in sys.stdin:
    child = os.fork()
    if not child:
        tell = lambda link: print(os.getpid(), link.split(":")[2].split("/")[0], flush=True)
        running.run(Path(line.strip()), port=0, tell=tell, writes=1e6)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, flush=True)
"""
HORIZON = 120  # bars; those of so many hours are still worth an answer
BARS = 700
API = "/api/ml"


class Server:
    """Serves a folder in a child, as often as it is told to."""

    def __init__(self, folder):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        env = os.environ | {"SIGNALKIT_TOKEN": TOKEN, "SIGNALKIT_THREADS": "1"}
        self._process = subprocess.Popen([sys.executable, "-c", FORKS], env=env, **pipes)
        self._folder = folder

    def begin(self):
        """Start a child; its number and port."""
        self._process.stdin.write(f"{self._folder}\n")
        self._process.stdin.flush()
        return map(int, self._process.stdout.readline().split())

    def end(self, child, number=signal.SIGKILL):
        """Kill the child; its exit code."""
        os.kill(child, number)
        return int(self._process.stdout.readline())

    def close(self):
        self._process.communicate(timeout=30)


class Asking(threading.Thread):
    """Asks for one change after another until the server is gone; `told` is what it answered."""

    def __init__(self, port, asks):
        super().__init__()
        self._port, self._asks, self.told = port, asks, []

    def run(self):
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as wire:
            told = None
            while True:
                method, path, body = self._asks.send(told)
                try:
                    wire.request(method, f"{API}{path}", json.dumps(body), headers)
                    answer = wire.getresponse()
                    told = json.loads(answer.read())
                except (OSError, http.client.HTTPException):
                    return
                self.told.append((method, path, body, answer.status, told))


@pytest.fixture
def house(own_store):
    """Bars of a coin; two models that were trained on the first of them are deployed."""
    bars, words = walk(BARS), WORDS | {"prediction_horizon": HORIZON}
    asked = small_sections(validation=SMALL["validation"] | {"block": 50})
    with Store.open(own_store) as store:
        collect(store, bars.iloc[: 2 - HORIZON])
        for model_type in ("XGBOOST", "LIGHTGBM"):
            sections = asked(store, model_type=model_type, **words)
            study = Study.open(f"house_{model_type.lower()}", **sections)
            for number in register(study).values():
                store.models.deploy(number)
            study.store.close()
    return bars


def predictions():
    """Answers for the newest bar, of one model and of all in turns."""
    question = {"symbol": "BTCUSDT", "prediction_horizon_hours": HORIZON}
    for path in itertools.cycle(["/predictions/", "/ensemble/"]):
        yield "POST", path, question


def settings(window):
    """How a model is watched, each time another way."""
    for each in window:
        yield "PATCH", "/models/1/", {"monitoring": {"window": each}}


def trainings(days):
    """Trainings of so many days, each cancelled: too many do not wait."""
    train = {"model_type": "GRU", "symbols": ["BTCUSDT"], "prediction_horizon": 4}
    for each in days:
        told = yield "POST", "/models/", train | {"training_days": each}
        yield "DELETE", f"/training-sessions/{told['session_id']}/", {}


def lived(server, store, house, asks, chance):
    """One life of the server: a bar comes, everything is asked for, and it is killed."""
    child, port = server.begin()
    threads = [Asking(port, each) for each in asks]
    for thread in threads:
        thread.start()
    stored = store.db["bars"].count
    collect(store, house.iloc[stored : stored + 1])
    # soon after its start, or after it has predicted some times
    until, answers = time.monotonic() + 60, chance.choice([0, 1, 2, 3])
    while len(threads[0].told) < answers:
        assert time.monotonic() < until
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.1))
    assert server.end(child) == -signal.SIGKILL
    for thread in threads:
        thread.join()
    return [told for thread in threads for told in thread.told]


def assert_kills_lose_and_double_nothing(folder, house, kills):
    """What was answered is stored once after some kills; how often it was answered."""
    chance, window, days = random.Random(kills), itertools.count(2), itertools.count(100)
    server, told = Server(folder), []
    with Store.open(folder) as store:
        for _ in range(kills):
            asks = [predictions(), settings(window), trainings(days)]
            told += lived(server, store, house, asks, chance)
        server.close()
        assert store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store.db.execute("PRAGMA foreign_key_check").fetchall() == []
        fine = [one for one in told if one[3] < 300]
        assert [one for one in told if one[3] >= 300] == []
        assert_predictions_are_there(store, [one for one in fine if "stored" in one[4]])
        assert_settings_are_there(store, [one for one in fine if one[0] == "PATCH"], next(window))
        assert_trainings_are_there(store, [one for one in fine if one[1] == "/models/"], next(days))
    return Counter(f"{one[0]} {one[1]}" for one in fine if one[0] != "DELETE")


def assert_predictions_are_there(store, answered):
    """Each stored answer is one row, with what it said; an answer of all lies by its votes."""
    every = list(store.db["ml_predictions"].rows)
    rows = {(row["made_by"], row["prediction_timestamp"]): row for row in every}
    assert len(rows) == len(every)
    for _, path, _, _, told in answered:
        assert told["stored"]
        maker = ENSEMBLE if path == "/ensemble/" else str(told["model"])
        row = rows[maker, pd.Timestamp(told["time"]).value]
        assert row["prediction_value"] == told["value"]
        assert json.loads(row["prediction_probabilities"]) == told["probabilities"]
    joined = {end: row for (maker, end), row in rows.items() if maker == ENSEMBLE}
    assert {(maker, end) for maker in ("1", "2") for end in joined} <= set(rows)
    # and what was said is what somebody says who was never killed
    predictor = Predictor(store)
    for end, row in sorted(joined.items()):
        at = pd.Timestamp(end, tz="UTC")
        want = predictor.get_ensemble_prediction("BTCUSDT", HORIZON, at=at)
        assert json.loads(row["prediction_probabilities"]) == want.probabilities
    return len(joined)


def assert_settings_are_there(store, answered, end):
    """Each answered change is in the audit once, others at most once; the last one holds."""
    noted = [row for row in audit.page(store.db, limit=1_000_000) if row["action"] == "configure"]
    times = Counter(row["detail"]["window"] for row in noted)
    asked = [body["monitoring"]["window"] for _, _, body, _, _ in answered]
    assert all(times[window] == 1 for window in asked)
    assert set(times.values()) <= {1}
    assert max(times) < end
    assert store.watch.state("monitoring model 1") == {"window": max(times)}


def assert_trainings_are_there(store, answered, end):
    """Each answered training is one row, others at most one; each is in the audit once."""
    rows = store.sessions.list()
    times = Counter(row.asked["training_days"] for row in rows)
    assert all(times[body["training_days"]] == 1 for _, _, body, _, _ in answered)
    assert set(times.values()) <= {1}
    assert max(times) < end
    found = {row.id: row.asked["training_days"] for row in rows}
    assert all(found[told["session_id"]] == body["training_days"] for *_, body, _, told in answered)
    noted = [row for row in audit.page(store.db, limit=1_000_000) if row["action"] == "queue"]
    assert len(noted) == len(rows)


def test_a_server_killed_four_times_loses_and_doubles_nothing(house, own_store):
    answered = assert_kills_lose_and_double_nothing(own_store, house, 4)
    assert set(answered) == {
        "POST /predictions/", "POST /ensemble/", "PATCH /models/1/", "POST /models/"
    }  # fmt: skip


@pytest.mark.certify
def test_a_server_killed_a_hundred_times_loses_and_doubles_nothing(house, own_store):
    answered = assert_kills_lose_and_double_nothing(own_store, house, 100)
    assert min(answered.values()) >= 100
