"""Training sessions by the API: list, follow, cancel, resume."""

import asyncio
import json
import threading
import time

import pytest

from signalkit.serving import events
from signalkit.serving.database import Database
from signalkit.store import Store
from tests.serving.test_api_models import assert_problem

SESSIONS = "/api/ml/training-sessions/"
ASKED = {"kind": "train", "model_type": "XGBOOST"}
JOB = "a" * 64


@pytest.fixture
def queued(own_store):
    """A data folder with three queued jobs, the second cancelled."""
    with Store.open(own_store) as store:
        for _ in range(3):
            store.sessions.queue(ASKED, asked_by="token (write)")
        store.sessions.cancel(2, actor="token (write)")
    return own_store


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(events, "LOOK_SECONDS", 0.02)


def told(text):
    """Events of a stream."""
    parts = [dict(line.split(": ", 1) for line in part.splitlines() if ": " in line)
             for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()]  # fmt: skip
    return [(part["event"], part["id"], json.loads(part["data"])) for part in parts if "id" in part]


def works(folder, steps, seconds=0.08):
    """A thread that does the oldest job in some steps."""

    def work():
        with Store.open(folder) as store, store.sessions.take() as job:
            with store.sessions.open("XGBOOST", JOB, jobs=steps) as session:
                for step in range(1, steps + 1):
                    session.progress(step)
                    time.sleep(seconds)
            job.make([7])

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_sessions_are_listed_newest_first_filtered_and_paged(queued, write):
    found = write.get(SESSIONS).json()
    assert [(row["id"], row["status"]) for row in found["sessions"]] == [
        (3, "queued"), (2, "failed"), (1, "queued")
    ]  # fmt: skip
    assert found["next"] is None
    assert "process" not in found["sessions"][0]
    page = write.get(SESSIONS, params={"limit": 2}).json()
    rest = write.get(SESSIONS, params={"limit": 2, "before": page["next"]}).json()
    assert page["sessions"] + rest["sessions"] == found["sessions"]
    waits = write.get(SESSIONS, params={"status": "queued"}).json()["sessions"]
    assert [row["id"] for row in waits] == [3, 1]
    assert write.get(f"{SESSIONS}2/").json() == found["sessions"][1]


def test_a_session_is_cancelled_and_queued_again(queued, write):
    answer = write.request("DELETE", f"{SESSIONS}1/")
    assert (answer.status_code, answer.json()) == (202, {"session_id": 1, "status": "failed"})
    assert write.get(f"{SESSIONS}1/").json()["error"] == "cancelled by token (write)"
    assert_problem(write.request("DELETE", f"{SESSIONS}1/"), 409, "there is nothing to cancel")
    again = write.post(f"{SESSIONS}1/resume/")
    assert (again.status_code, again.json()) == (202, {"session_id": 1, "status": "queued"})
    assert_problem(write.post(f"{SESSIONS}1/resume/"), 409, "only what ended early can go on")
    row = write.get(f"{SESSIONS}1/").json()
    assert (row["status"], row["resumed"], row["error"]) == ("queued", 1, None)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "9/"), ("DELETE", "9/"), ("POST", "9/resume/"), ("GET", "9/events/")],
)
def test_a_session_that_there_is_not_is_a_404(queued, write, method, path):
    assert_problem(write.request(method, SESSIONS + path), 404, "there is no training session 9")


def test_a_session_that_says_running_without_a_process_is_told_as_interrupted(queued, write):
    with Store.open(queued) as store:
        store.db.execute("UPDATE ml_training_sessions SET status = 'running' WHERE id = 1")
        store.db.conn.commit()
    assert write.get(f"{SESSIONS}1/").json()["status"] == "interrupted"


def test_progress_is_sent_as_it_happens_and_ends_with_the_session(queued, write, hurried):
    thread = works(queued, 4)
    found = told(write.get(f"{SESSIONS}1/events/").text)
    thread.join()
    kinds = [kind for kind, _, _ in found]
    assert kinds == ["progress"] * (len(found) - 1) + ["end"]
    done = [row["done"] for _, _, row in found]
    assert done == sorted(done)
    assert len(set(done)) >= 3
    last = found[-1][2]
    assert (last["status"], last["progress"], last["made"]) == ("completed", 1.0, [7])
    assert last == write.get(f"{SESSIONS}1/").json()
    assert len({id for _, id, _ in found}) == len(found)


def test_many_listeners_are_told_the_same_by_one_look_at_the_row(
    queued, write, hurried, monkeypatch
):
    looks, read = [], events.Watcher._read
    monkeypatch.setattr(events.Watcher, "_read", lambda *given: looks.append(1) or read(*given))
    thread = works(queued, 5)
    begun = time.monotonic()

    async def ask():
        return await asyncio.gather(*(write._client.get(f"{SESSIONS}1/events/") for _ in range(20)))

    answers = write._loop.run_until_complete(ask())
    took = time.monotonic() - begun
    thread.join()
    ends = {told(answer.text)[-1] == told(answers[0].text)[-1] for answer in answers}
    assert ends == {True}
    assert len(looks) <= took / events.LOOK_SECONDS + 2
    assert write.app.state.watcher.listeners == 0


def test_who_comes_back_is_not_told_twice(queued, write, hurried):
    ((kind, id, row),) = told(write.get(f"{SESSIONS}2/events/").text)
    assert (kind, row["status"]) == ("end", "failed")
    again = write.get(f"{SESSIONS}2/events/", headers={"Last-Event-ID": id})
    assert (again.status_code, again.content) == (204, b"")
    other = write.get(f"{SESSIONS}2/events/", headers={"Last-Event-ID": "\x00 DROP"})
    assert len(told(other.text)) == 1


def test_more_listeners_than_there_may_be_are_sent_away(queued, write, monkeypatch):
    monkeypatch.setattr(events, "MOST_LISTENERS", 0)
    answer = write.get(f"{SESSIONS}1/events/")
    assert_problem(answer, 503, "listen already")
    assert answer.headers["retry-after"] == "10"


def test_who_comes_as_the_last_listener_leaves_is_told_too(hurried, queued, monkeypatch):
    read = events.Watcher._read
    # a look that is still under way when one leaves
    monkeypatch.setattr(events.Watcher, "_read", lambda *how: time.sleep(0.05) or read(*how))

    async def two(watcher):
        one, other = watcher.follow(1, None), watcher.follow(1, None)
        first = await anext(one)
        await asyncio.sleep(0.05)
        await one.aclose()
        async with asyncio.timeout(5):
            return first, await anext(other)

    first, second = asyncio.run(two(events.Watcher(Database(queued))))
    assert first == second
