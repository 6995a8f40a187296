"""store/sessions.py: a row says running only while a process trains, and a kill is noticed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, suppress

import pytest

from signalkit.errors import ParamsError, StoreError
from signalkit.store import Store, sessions
from signalkit.store.locks import Lock

JOB = "a" * 64
# trains two of five jobs, says so, and waits
TRAINS = """
import sys
from signalkit.store import Store
with Store.open() as store, store.sessions.open("XGBOOST", "a" * 64, jobs=5) as session:
    session.progress(2, 40)
    print(session.id, session.resumed, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def store(own_store):
    with Store.open() as opened:
        yield opened


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(sessions, "_PATIENCE_SECONDS", 0.05)


@contextmanager
def training(number=1, resumed=0):
    """Another process in the middle of a session; it is killed if it is still there."""
    command = [sys.executable, "-c", TRAINS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=dict(os.environ), **pipes) as process:
        assert process.stdout.readline().split() == [b"%d" % number, b"%d" % resumed]
        yield process
        process.kill()


def train(store, done, ends):
    """A session of four jobs that ends by an exception."""
    with store.sessions.open("XGBOOST", JOB, jobs=4) as session:
        session.progress(done, 10)
        raise ends


def rows(folder, columns):
    """Rows of the table as the file has them, without a look by the store."""
    with closing(sqlite3.connect(folder / "signalkit.db")) as connection:
        query = f"SELECT {columns} FROM ml_training_sessions ORDER BY id"  # noqa: S608
        return connection.execute(query).fetchall()


def test_a_session_runs_while_it_is_open_and_is_completed_after(store):
    with store.sessions.open("XGBOOST", JOB, jobs=4, study="coins") as session:
        session.progress(1, 250)
        (running,) = store.sessions.list()
    (done,) = store.sessions.list()
    assert (running.id, running.model, running.identity, running.study) == (
        session.id, "XGBOOST", JOB, "coins"
    )  # fmt: skip
    assert (running.status, running.progress, running.done, running.rows) == (
        "running",
        0.25,
        1,
        250,
    )
    assert (running.process, running.finished, running.resumed) == (os.getpid(), None, 0)
    assert (done.status, done.progress, done.done, done.jobs) == ("completed", 1.0, 4, 4)
    assert done.finished >= done.started == running.started
    assert (done.error, done.rows) == (None, 250)


def test_an_error_fails_the_session_with_its_message_and_goes_on(store):
    with pytest.raises(ZeroDivisionError, match="by nothing"):
        train(store, 3, ZeroDivisionError("by nothing"))
    (row,) = store.sessions.list()
    assert (row.status, row.error) == ("failed", "ZeroDivisionError: by nothing")
    assert (row.done, row.progress) == (3, 0.75)
    assert row.finished is not None


def test_a_long_message_is_cut(store):
    with suppress(ValueError), store.sessions.open("XGBOOST", JOB, jobs=1):
        raise ValueError("x" * 10_000)
    assert len(store.sessions.list()[0].error) == 2_000


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_interrupts_the_session_and_the_next_one_takes_the_row_up(store, stop):
    with pytest.raises(stop):
        train(store, 1, stop())
    (row,) = store.sessions.list()
    assert (row.status, row.error, row.done) == ("interrupted", None, 1)
    with store.sessions.open("XGBOOST", JOB, jobs=4) as again:
        (row,) = store.sessions.list()
        assert (row.status, row.resumed, row.done, row.finished) == ("running", 1, 1, None)
    (row,) = store.sessions.list()
    assert (again.id, again.resumed) == (1, 1)
    assert (row.status, row.resumed) == ("completed", 1)


@pytest.mark.parametrize("ended", [None, ValueError])
def test_after_a_completed_or_failed_session_comes_a_new_row(store, ended):
    with suppress(ValueError), store.sessions.open("XGBOOST", JOB, jobs=1):
        if ended:
            raise ended
    with store.sessions.open("XGBOOST", JOB, jobs=1) as session:
        assert (session.id, session.resumed) == (2, 0)
    assert [row.status for row in store.sessions.list()][1:] == ["completed"]


def test_a_session_whose_result_was_stored_is_completed_by_whoever_reads_it(store):
    with pytest.raises(SystemExit):
        train(store, 3, SystemExit())
    store.sessions.complete("b" * 64)
    assert store.sessions.list()[0].status == "interrupted"
    store.sessions.complete(JOB)
    (row,) = store.sessions.list()
    assert (row.status, row.done, row.progress) == ("completed", 4, 1.0)
    assert row.finished is not None


def test_sessions_of_other_identities_do_not_meddle(store):
    with (
        store.sessions.open("XGBOOST", JOB, jobs=1) as one,
        store.sessions.open("LIGHTGBM", "b" * 64, jobs=1) as other,
    ):
        assert [row.status for row in store.sessions.list()] == ["running", "running"]
    assert (one.id, other.id) == (1, 2)
    assert [row.status for row in store.sessions.list()] == ["completed", "completed"]


def test_a_killed_session_reads_interrupted_and_then_completed(own_store):
    with training() as process:
        assert rows(own_store, "status, done, rows, process") == [("running", 2, 40, process.pid)]
        with Store.open() as store:
            assert [row.status for row in store.sessions.list()] == ["running"]
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert rows(own_store, "status") == [("running",)]
    with Store.open() as store:
        assert rows(own_store, "status, done, resumed") == [("interrupted", 2, 0)]
        assert store.sessions.list()[0].finished is not None
        with store.sessions.open("XGBOOST", JOB, jobs=5) as session:
            assert rows(own_store, "status, done, resumed") == [("running", 2, 1)]
            session.progress(5, 100)
    assert rows(own_store, "id, status, done, resumed, error") == [(1, "completed", 5, 1, None)]
    assert list((own_store / "locks").iterdir()) == []


def test_a_store_that_is_open_notices_a_kill_too(store):
    with training() as process:
        process.kill()
        process.wait(30)
        assert [row.status for row in store.sessions.list()] == ["interrupted"]


def test_a_session_killed_twice_counts_how_often_it_was_taken_up(own_store):
    with training():
        pass
    with training(number=1, resumed=1):
        pass
    with Store.open() as store, store.sessions.open("XGBOOST", JOB, jobs=5) as session:
        assert (session.id, session.resumed) == (1, 2)


def test_the_number_of_a_dead_process_that_another_got_fools_nobody(own_store):
    with training() as process:
        process.kill()
        process.wait(30)
    with closing(sqlite3.connect(own_store / "signalkit.db")) as connection:
        connection.execute("UPDATE ml_training_sessions SET process = ?", [os.getpid()])
        connection.commit()
    with Store.open() as store:
        assert [row.status for row in store.sessions.list()] == ["interrupted"]


def test_what_another_process_trains_is_refused_with_its_number_until_it_is_done(
    own_store, hurried
):
    with training() as process, Store.open() as store:
        says = f"XGBOOST .*is being trained by process {process.pid}; wait for it"
        with (
            pytest.raises(StoreError, match=says),
            store.sessions.open("XGBOOST", JOB, jobs=5),
        ):
            pass
        assert [row.status for row in store.sessions.list()] == ["running"]
        _, complaints = process.communicate(timeout=30)
        assert (process.returncode, complaints) == (0, b"")
        with store.sessions.open("XGBOOST", JOB, jobs=5) as session:
            assert session.id == 2


def test_two_threads_cannot_train_one_identity_either(own_store, hurried):
    together, got = threading.Barrier(2), []

    def trains():
        with Store.open() as store:
            together.wait()
            try:
                with store.sessions.open("XGBOOST", JOB, jobs=1):
                    got.append("trained")
                    threading.Event().wait(0.5)
            except StoreError as refused:
                got.append(str(refused))

    threads = [threading.Thread(target=trains) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got[0] == "trained"
    assert "is being trained by" in got[1]


def test_who_finds_a_lock_held_for_an_instant_waits(store):
    held = Lock(store.sessions.folder / f"{JOB}.lock")
    assert held.take()
    released = threading.Timer(0.1, held.release)
    released.start()
    with store.sessions.open("XGBOOST", JOB, jobs=1) as session:
        assert session.id == 1
    released.join()


def test_looking_at_sessions_disturbs_none_that_begins(own_store):
    looking, stop = [], threading.Event()

    def looks():
        with Store.open() as store:
            while not stop.is_set():
                looking.append({row.status for row in store.sessions.list()})

    watchers = [threading.Thread(target=looks) for _ in range(2)]
    for thread in watchers:
        thread.start()
    with Store.open() as store:
        for number in range(20):
            with store.sessions.open("XGBOOST", f"{number:064x}", jobs=1):
                pass
    stop.set()
    for thread in watchers:
        thread.join()
    assert set().union(*looking) <= {"running", "completed"}
    with Store.open() as store:
        assert [row.status for row in store.sessions.list()] == ["completed"] * 20


@pytest.mark.parametrize("done", [-1, 5])
def test_more_jobs_than_were_announced_cannot_be_done(store, done):
    with store.sessions.open("XGBOOST", JOB, jobs=4) as session:
        with pytest.raises(ParamsError, match=f"done must be 0 to 4, .* was {done}"):
            session.progress(done)
        assert store.sessions.list()[0].done == 0


@pytest.mark.parametrize(
    ("identity", "jobs", "says"),
    [(JOB, 0, "jobs must be at least 1, was 0"), ("../a", 1, "identity '../a' cannot name")],
)
def test_a_session_of_nothing_is_refused(store, identity, jobs, says):
    with pytest.raises(ParamsError, match=says):
        store.sessions.open("XGBOOST", identity, jobs=jobs)
    assert store.sessions.list() == []


def test_a_session_that_could_not_be_written_lets_go_of_its_lock(own_store):
    with Store.open() as store:
        store.db.execute("PRAGMA busy_timeout = 10")
        with closing(sqlite3.connect(own_store / "signalkit.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            with (
                pytest.raises(StoreError, match="look for another writer"),
                store.sessions.open("XGBOOST", JOB, jobs=1),
            ):
                pass
        with store.sessions.open("XGBOOST", JOB, jobs=1) as session:
            assert session.id == 1
