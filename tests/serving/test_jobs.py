"""Jobs of a worker: killed at any moment, cancelled, resumed; nothing is lost or doubled."""

import io
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress

import pandas as pd
import pytest

from signalkit import metrics
from signalkit.errors import ParamsError
from signalkit.store import Store
from signalkit.study import jobs, request
from tests.serving.trained import WORDS, collect, small_sections, train, walk

# imports once what a worker imports, and then does the oldest job of a folder in a process of
# its own as often as it is told to
FORKS = """
import os, signal, sys
import xgboost
from signalkit.store import Store
from signalkit.study import jobs
for line in sys.stdin:
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        os.environ["SIGNALKIT_DATA"] = line.strip()
        with Store.open() as store:
            jobs.do(store)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
AGAIN = {"kind": "again", "model": 1}
# what a run leaves, but for moments and for how often it was taken up
LEFT = {
    "ml_models": "id, name, identity, sha256, metrics, accuracy, log_loss, status",
    "ml_training_sessions": "id, status, progress, rows, done, jobs, identity, made, error",
    "trades": "run, symbol, entry_time, exit_time, pnl",
    "trials": "seq, configuration, series, artifact, hash",
    "ml_predictions": "id",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder with a model, and one of after it was trained again, undisturbed."""
    with pytest.MonkeyPatch.context() as patched:
        place = tmp_path_factory.mktemp("jobs")
        patched.setenv("SIGNALKIT_THREADS", "1")
        patched.setenv("SIGNALKIT_DATA", str(place / "before"))
        train(place / "before", "XGBOOST", bars=300)
        shutil.copytree(place / "before", place / "after")
        patched.setenv("SIGNALKIT_DATA", str(place / "after"))
        with Store.open(place / "after") as store:
            store.sessions.queue(AGAIN, asked_by="a")
            assert jobs.do(store) == 1
        yield place


@pytest.fixture
def folder(made, own_store, monkeypatch):
    """A copy of the folder with the model alone."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    shutil.copytree(made / "before", own_store)
    return own_store


class Worker:
    """A process that does the oldest job of a folder in a child."""

    def __init__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([sys.executable, "-c", FORKS], **pipes)

    def begin(self, folder):
        """Start a child; its number."""
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self):
        """Exit code of the child."""
        return int(self._process.stdout.readline())

    def close(self):
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def worker(made):
    """It has the environment of the folder that was made."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SIGNALKIT_THREADS", "1")
        own = Worker()
    yield own
    own.close()


def left(folder):
    """Rows that a run left."""
    with closing(sqlite3.connect(folder / "signalkit.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {
            table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()  # noqa: S608
            for table, columns in LEFT.items()
        }


def assert_kills_change_nothing(folder, made, worker, *, kills, longest):
    """A job that is killed that often ends as one that nobody disturbed; how often it was."""
    chance, killed = random.Random(f"{folder} {kills}"), 0
    with Store.open(folder) as store:
        store.sessions.queue(AGAIN, asked_by="a")
        while killed < kills:
            child = worker.begin(folder)
            time.sleep(chance.uniform(0, longest))
            with suppress(ProcessLookupError):  # it was done before
                os.kill(child, signal.SIGKILL)
            code = worker.wait()
            assert code in (0, -signal.SIGKILL)
            if code == 0:
                break
            killed += 1
            (row,) = store.sessions.list()
            assert row.status in ("queued", "interrupted")
            if row.status == "interrupted":
                store.sessions.resume(1, actor="a")
        if store.sessions.waiting():
            worker.begin(folder)
            assert worker.wait() == 0
        assert left(folder) == left(made / "after")
        for model in store.models.list():
            assert store.models.files(model.id)
        assert list((folder / "locks").iterdir()) == []
        assert not any((folder / "checkpoints").glob("*"))
    return killed


def test_a_worker_killed_five_times_leaves_what_an_undisturbed_one_does(folder, made, worker):
    assert assert_kills_change_nothing(folder, made, worker, kills=5, longest=0.5) == 5


@pytest.mark.certify
def test_a_worker_killed_a_hundred_times_leaves_what_an_undisturbed_one_does(made, worker):
    killed, place = 0, made / "again"
    for turn in range(100):
        shutil.copytree(made / "before", place)
        # also short before the end, where the model is entered
        longest = 0.5 + turn % 6 * 0.7
        killed += assert_kills_change_nothing(place, made, worker, kills=5, longest=longest)
        shutil.rmtree(place)
        if killed >= 100:
            break
    assert killed >= 100


def test_a_study_trained_again_is_a_new_version_with_scores_and_predictions(made):
    with Store.open(made / "after") as store:
        (row,) = store.sessions.list()
        first, second = store.models.list()
        assert (row.made, row.status, row.progress) == ([second.id], "completed", 1.0)
        assert (second.name, first.metrics) == (first.name, {})
        assert {"accuracy", "log_loss"} <= set(second.metrics)
        assert "validation.parquet" in store.models.files(second.id)


def test_a_queued_training_leaves_one_model_with_what_its_walk_forward_predicted(
    own_store, monkeypatch
):
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    monkeypatch.setattr(request, "sections", small_sections(request.sections))
    with Store.open(own_store) as store:
        collect(store, walk(300))
        asked = {"kind": "train", "model_type": "XGBOOST"} | WORDS
        store.sessions.queue(asked, asked_by="a")
        assert jobs.do(store) == 1
        (model,) = store.models.list()
        (row,) = store.sessions.list()
        assert (row.made, row.status) == ([model.id], "completed")
        past = pd.read_parquet(io.BytesIO(store.models.files(model.id)["validation.parquet"]))
    settled = past.dropna(subset="actual")
    assert len(settled) >= 50
    shares = settled[["p_sell", "p_hold", "p_buy"]].to_numpy()
    scores = metrics.classification(settled["actual"].to_numpy(), shares)
    assert model.metrics["accuracy"] == pytest.approx(scores["accuracy"], rel=1e-12)


def test_a_cancelled_job_ends_its_worker_and_keeps_what_is_done(folder, worker):
    with Store.open(folder) as store:
        store.sessions.queue(AGAIN, asked_by="a")
        worker.begin(folder)
        while store.sessions.find(1).done < 2:
            time.sleep(0.01)
        assert store.sessions.cancel(1, actor="b") == "running"
        assert worker.wait() == 143
        (row,) = store.sessions.list()
        assert (row.status, row.error) == ("interrupted", "cancelled by b")
        assert row.done >= 2
        assert any((folder / "checkpoints").glob("*"))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"kind": "again", "model": 99}, "no model '?99'? is registered"),
        ({"kind": "dance"}, "a job is one of .*'train', 'again', 'backtest'.*, was 'dance'"),
    ],
)
def test_what_cannot_be_done_fails_with_its_reason_and_the_next_is_done(folder, asked, says):
    with Store.open(folder) as store:
        store.sessions.queue(asked, asked_by="a")
        with pytest.raises(ParamsError, match=says):
            jobs.do(store)
        (row,) = store.sessions.list()
        assert row.status == "failed"
        assert row.error.startswith("ParamsError: ")
        assert jobs.do(store) is None


@pytest.mark.certify
def test_a_model_is_simulated_by_a_job(made, own_store, monkeypatch):
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    shutil.copytree(made / "after", own_store)
    with Store.open(own_store) as store:
        store.sessions.queue({"kind": "backtest", "model": 2}, asked_by="a")
        assert jobs.do(store) == 2
        assert len(list((store.artifacts.folder / "backtesting").iterdir())) == 1
        assert store.db["trials"].count == 1
