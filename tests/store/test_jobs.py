"""store/jobs.py: a job is one row from its asking to its end, and a kill loses none."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from signalkit.errors import ParamsError
from signalkit.store import Store, audit

ASKED = {"kind": "train", "model_type": "XGBOOST", "symbols": ["BTCUSDT"]}
JOB = "a" * 64
# takes a job, begins the study's own session inside it, says so, and waits
WORKS = """
import sys, signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
from signalkit.store import Store
with Store.open() as store, store.sessions.take() as job:
    with store.sessions.open("XGBOOST", "a" * 64, jobs=4, study="coins") as session:
        session.progress(3, 30)
        print(job.id, session.id, flush=True)
        sys.stdin.read()
    job.make([7])
"""


@pytest.fixture
def store(own_store):
    with Store.open() as opened:
        yield opened


@contextmanager
def working():
    """Another process in the middle of the oldest job."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WORKS], env=dict(os.environ), **pipes) as process:
        assert process.stdout.readline()
        yield process
        process.kill()


def status(store):
    """Status of each session, oldest first."""
    return [row.status for row in store.sessions.list()]


def test_a_job_waits_until_it_is_taken_runs_and_is_completed_with_what_it_made(store):
    number = store.sessions.queue(ASKED, asked_by="token (write)")
    (row,) = store.sessions.list()
    assert (row.id, row.status, row.model, row.asked) == (number, "queued", "XGBOOST", ASKED)
    assert (row.asked_by, row.made, row.started) == ("token (write)", None, None)
    assert store.sessions.waiting() == 1
    with store.sessions.take() as job:
        assert (job.id, job.asked, status(store)) == (number, ASKED, ["running"])
        assert store.sessions.take() is None
        job.make([3, 4])
    (row,) = store.sessions.list()
    assert (row.status, row.made, row.error, row.progress) == ("completed", [3, 4], None, 1.0)
    assert row.finished >= row.started
    (noted,) = audit.page(store.db)
    assert (noted["actor"], noted["action"], noted["subject"]) == (
        "token (write)", "queue", f"session {number}"
    )  # fmt: skip


def test_jobs_are_taken_in_the_order_in_which_they_were_asked(store):
    first, second = (store.sessions.queue(ASKED, asked_by="a") for _ in range(2))
    with store.sessions.take() as one, store.sessions.take() as other:
        assert (one.id, other.id) == (first, second)


def test_the_session_of_a_study_inside_a_job_works_on_the_row_of_the_job(store):
    number = store.sessions.queue(ASKED, asked_by="a")
    with store.sessions.take() as job:
        with store.sessions.open("XGBOOST", JOB, jobs=4, study="coins") as session:
            session.progress(1, 10)
            assert session.id == job.id == number
        (row,) = store.sessions.list()
        assert (row.status, row.progress, row.study, row.identity) == ("running", 1, "coins", JOB)
    assert status(store) == ["completed"]


def test_an_error_inside_fails_the_job_once_and_with_its_message(store):
    store.sessions.queue(ASKED, asked_by="a")
    with (
        pytest.raises(ValueError, match="too few"),
        store.sessions.take(),
        store.sessions.open("XGBOOST", JOB, jobs=4),
    ):
        raise ValueError("too few")
    (row,) = store.sessions.list()
    assert (row.status, row.error) == ("failed", "ValueError: too few")


def test_a_killed_worker_leaves_an_interrupted_job_that_can_be_queued_again(store):
    number = store.sessions.queue(ASKED, asked_by="a")
    with working() as process:
        assert status(store) == ["running"]
        process.kill()
        process.wait(30)
        assert list(store.sessions.dead()) == [number]
        assert status(store) == ["interrupted"]
    store.sessions.resume(number, actor="b")
    assert status(store) == ["queued"]
    with working() as process:
        assert store.sessions.find(number).status == "running"
        process.communicate(timeout=30)
        assert process.returncode == 0
    (row,) = store.sessions.list()
    assert (row.id, row.status, row.resumed, row.done, row.made) == (number, "completed", 1, 4, [7])
    assert list((store.folder / "locks").iterdir()) == []


def test_a_job_that_waits_is_cancelled_at_once_and_never_taken(store):
    number = store.sessions.queue(ASKED, asked_by="a")
    assert store.sessions.cancel(number, actor="b") == "failed"
    assert store.sessions.take() is None
    assert store.sessions.find(number).error == "cancelled by b"
    with pytest.raises(ParamsError, match="is failed; there is nothing to cancel"):
        store.sessions.cancel(number, actor="b")


def test_the_worker_of_a_cancelled_job_is_stopped_and_the_row_says_by_whom(store):
    number = store.sessions.queue(ASKED, asked_by="a")
    with working() as process:
        assert store.sessions.cancel(number, actor="b") == "running"
        assert process.wait(30) == 128 + signal.SIGTERM
    found = store.sessions.find(number)
    assert (found.status, found.error) == ("interrupted", "cancelled by b")


def test_a_number_of_a_process_that_another_got_is_never_signalled(store):
    number = store.sessions.queue(ASKED, asked_by="a")
    with working() as process:
        process.kill()
        process.wait(30)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        store.db.execute("UPDATE ml_training_sessions SET process = ?", [other.pid])
        store.db.conn.commit()
        assert store.sessions.cancel(number, actor="b") == "running"
        other.communicate(b"\n", timeout=30)
        assert other.returncode == 0
    assert status(store) == ["interrupted"]


@pytest.mark.parametrize("act", ["cancel", "resume"])
def test_what_a_command_trains_is_not_steered_from_outside(store, act):
    with (
        store.sessions.open("XGBOOST", JOB, jobs=1) as session,
        pytest.raises(ParamsError, match=r"by a command|is running"),
    ):
        getattr(store.sessions, act)(session.id, actor="b")
    with pytest.raises(ParamsError, match="there is no session 9"):
        getattr(store.sessions, act)(9, actor="b")


def test_only_what_ended_early_goes_on(store):
    number = store.sessions.queue(ASKED, asked_by="a")
    with pytest.raises(ParamsError, match="is queued; only what ended early"):
        store.sessions.resume(number, actor="b")


def test_what_is_no_json_is_not_queued(store):
    with pytest.raises(ParamsError, match="is not JSON"):
        store.sessions.queue({"kind": float("nan")}, asked_by="a")
    assert store.sessions.waiting() == 0


def test_sessions_are_read_in_pages_newest_first(store):
    numbers = [store.sessions.queue(ASKED, asked_by="a") for _ in range(5)]
    store.sessions.cancel(numbers[1], actor="b")
    page = [row.id for row in store.sessions.page(limit=2)]
    assert page == numbers[:-3:-1]
    assert [row.id for row in store.sessions.page(before=page[-1])] == numbers[2::-1]
    assert [row.id for row in store.sessions.page(status="failed")] == [numbers[1]]
    assert store.sessions.find(999) is None
