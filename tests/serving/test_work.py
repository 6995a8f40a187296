"""`signalkit work` and `serve` as processes: what they start ends with them."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

from signalkit.cli.children import Beside, Child
from signalkit.serving import health
from signalkit.serving.database import Database
from signalkit.store import Store

TOKEN = "t" * 20
MISSING = {"kind": "backtest", "model": 99}


@contextmanager
def signalkit(*words, errors=subprocess.DEVNULL):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "signalkit.cli", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": errors, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        yield process
        process.kill()


def until(what, seconds=60):
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def store_says(key):
    """A state of the test's own data folder."""
    with Store.open() as store:
        return store.watch.state(key)


def lives(process):
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_worker_does_what_is_queued_says_that_it_runs_and_stops_when_told(own_store):
    with Store.open() as store, signalkit("work") as process:
        store.sessions.queue(MISSING, asked_by="a")
        until(lambda: store.sessions.find(1).status == "failed")
        assert store.sessions.find(1).error.startswith("ParamsError: no model")
        assert store.watch.state("worker") == {"process": process.pid}
        process.terminate()
        assert process.wait(20) == 0
        assert store.watch.state("worker") == {"stopped": True}
        assert list((own_store / "locks").iterdir()) == []


def test_a_loop_that_was_killed_and_one_that_was_stopped_are_told(own_store):
    def told():
        return health.Health(database).readiness().parts["loop"]

    database = Database(own_store)
    with Store.open() as store:
        for number, state, says in (
            (signal.SIGKILL, "degraded", "its process is gone; it was last seen 20"),
            (signal.SIGTERM, "off", "it was stopped, 20"),
        ):
            with signalkit("live") as process:
                until(
                    lambda at=process.pid: (
                        (store.watch.state("heartbeat") or {}).get("process") == at
                    )
                )
                assert told().state == "ok"
                assert re.match(r"last seen 20.*, due 20", told().detail)
                process.send_signal(number)
                process.wait(20)
            assert told().state == state
            assert told().detail.startswith(says)
    database.close()


def test_server_worker_and_loop_start_and_end_without_a_warning(own_store, tmp_path):
    said = tmp_path / "log"
    with said.open("w") as log, Store.open() as store:
        with signalkit("serve", "--port", "0", errors=log) as server:
            served(server)
            until(lambda: store.watch.state("worker") and said.read_text())
            server.terminate()
            assert server.wait(20) == 0
        assert store.watch.state("worker") == store.watch.state("heartbeat") == {"stopped": True}
    # the loop's first step is all that there is to say
    (line,) = said.read_text().splitlines()
    assert line.startswith("no model is deployed")


def test_a_child_ends_when_its_parent_is_killed(own_store, tmp_path):
    script = (
        "import time; from signalkit.cli.children import Child; child = Child('work');"
        " child.start(); print(child.process, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        with Store.open() as store:
            until(lambda: store.watch.state("worker") == {"process": child})
        parent.kill()
        until(lambda: not lives(child))
    with Store.open() as store:
        assert store.watch.state("worker") == {"stopped": True}


def test_a_child_that_fails_is_started_again_each_time_later(own_store, monkeypatch):
    times, clock = [], [0.0]
    monkeypatch.setattr("signalkit.cli.children.time.monotonic", lambda: clock[0])

    class Fails:
        returncode, stdin, pid = 3, open(os.devnull), 1  # noqa: SIM115

        def __init__(self, *_, **__):
            times.append(clock[0])

        def poll(self):
            return self.returncode

    monkeypatch.setattr("signalkit.cli.children.subprocess.Popen", Fails)
    child = Child("work")
    while clock[0] < 400:
        if child.ended():
            child.start()
        clock[0] += 0.5
    pauses = [round(b - a) for a, b in itertools.pairwise(times)]
    assert pauses[:7] == pytest.approx([1, 2, 4, 8, 16, 32, 60], abs=1)
    assert max(pauses) <= 61


def test_children_beside_the_server_are_kept_and_ended_with_it(own_store):
    child = Child("work")
    beside = Beside([child])
    beside.start()
    try:
        with Store.open() as store:
            until(lambda: (store.watch.state("worker") or {}).get("process"))
            first = child.process
            os.kill(first, signal.SIGKILL)
            until(lambda: child.process not in (None, first))
        until(lambda: store_says("worker") == {"process": child.process})
    finally:
        last = child.process
        beside.stop()
    assert not lives(last)
    assert child.process is None
    assert store_says("worker") == {"stopped": True}


def ask(link, path, method="GET", body=None):
    """What the server answers."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(link + path, data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.loads(answer.read())


def served(process):
    """Where the server of a process listens."""
    return re.search(r"http://[0-9.:]+", process.stdout.readline())[0]


@pytest.mark.certify
def test_a_killed_server_takes_its_worker_along_and_the_next_one_goes_on(own_store, monkeypatch):
    from tests.serving.trained import train  # noqa: PLC0415 - trains

    monkeypatch.setenv("SIGNALKIT_TOKEN", TOKEN)
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    (number,) = train(own_store, "XGBOOST")
    words = ("serve", "--port", "0", "--no-live")
    with signalkit(*words) as server:
        link = served(server)
        session = ask(link, f"/api/ml/models/{number}/retrain/", "POST")["session_id"]
        path = f"/api/ml/training-sessions/{session}/"
        until(lambda: ask(link, path)["done"] >= 2)
        with Store.open() as store:
            process = store.sessions.find(session).process
        server.send_signal(signal.SIGKILL)
        server.wait(20)
        until(lambda: not lives(process))
    with signalkit(*words) as server:
        link = served(server)
        found = ask(link, path)
        assert (found["status"], found["done"] >= 2) == ("interrupted", True)
        assert ask(link, f"{path}resume/", "POST")["status"] == "queued"
        until(lambda: ask(link, path)["status"] == "completed")
        assert ask(link, path)["resumed"] == 1
        assert len(ask(link, "/api/ml/models/")["models"]) == 2
        server.terminate()
        assert server.wait(20) == 0
    with Store.open() as store:
        assert store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store.watch.state("worker") == {"stopped": True}
