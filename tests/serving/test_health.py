"""What the server says of itself: alive, ready, and its numbers."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signalkit.serving import health
from signalkit.serving.database import Database
from signalkit.serving.health import Health
from signalkit.serving.metrics import Metrics
from signalkit.store import Store
from tests.serving.client import READ_TOKEN
from tests.serving.house import furnish


@pytest.fixture
def house(own_store):
    furnish(own_store)
    return own_store


@pytest.fixture
def readiness(house):
    """Looks at the house as it is at each call."""
    database = Database(house)
    looked = Health(database, clock=iter(range(0, 10**6, 1000)).__next__)
    yield looked.readiness
    database.close()


def files_of(folder, number):
    with Store.open(folder) as store:
        return folder / "models" / store.models.find(number).identity / "model.txt"


def test_a_whole_house_is_ready_and_says_so_to_anybody(house, stranger):
    assert stranger.get("/healthz").json() == {"status": "alive"}
    answer = stranger.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert answer.json()["parts"]["models"] == {
        "state": "ok", "detail": "2 deployed, files as stored",
    }  # fmt: skip


def test_nothing_secret_is_told_to_strangers(house, stranger):
    files_of(house, 2).unlink()
    told = stranger.get("/readyz").text
    assert str(house) not in told
    assert "BTCUSDT" not in told
    assert "btc_direction" not in told


@pytest.mark.parametrize("harm", [lambda f: f.unlink(), lambda f: f.write_text("other")])
def test_a_tampered_or_missing_model_has_a_stand_in(house, readiness, harm):
    assert readiness().status == "ready"
    harm(files_of(house, 2))
    found = readiness()
    words = "model 2: files are missing or changed, model 1, deployed before, answers"
    assert (found.status, found.parts["models"].detail) == ("degraded", words)
    harm(files_of(house, 1))
    assert readiness().parts["models"].detail.endswith("changed, the rule answers")
    harm(files_of(house, 3))
    assert readiness().parts["models"].detail.endswith("changed, nothing answers; train it again")


def test_a_newer_schema_is_told_and_nothing_crashes(house, serve):
    with Store.open(house) as store:
        store.db.execute("PRAGMA user_version = 99")
    client = serve(raise_errors=False)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert "schema 99, this signalkit knows up to" in answer.json()["parts"]["database"]["detail"]
    assert client.get("/healthz").status_code == 200
    refused = client.get("/admin/signalkit")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")


def test_a_database_that_is_none_is_told(own_store, serve):
    own_store.mkdir(parents=True)
    (own_store / "signalkit.db").write_bytes(b"no database" * 1000)
    answer = serve().get("/readyz")
    assert answer.status_code == 503
    assert "cannot be read" in answer.json()["parts"]["database"]["detail"]


def test_damaged_pages_are_found(house, serve):
    with Store.open(house) as store:
        store.db.execute("PRAGMA wal_checkpoint(truncate)")
        pages = store.db.execute("PRAGMA page_count").fetchone()[0]
        size = store.db.execute("PRAGMA page_size").fetchone()[0]
    with (house / "signalkit.db").open("r+b") as file:
        for page in range(4, pages):
            file.seek(page * size)
            file.write(b"\xff" * 64)
    answer = serve().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["database"]["state"] == "broken"


def test_a_full_disk_is_told(house, readiness, monkeypatch):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 8, 1 << 20)
    )
    found = readiness()
    assert found.status == "not_ready"
    assert found.parts["disk"].detail == "1 MiB are free; make room, 64 are needed"


AS_NOBODY = """
import os, sys
from pathlib import Path
from signalkit.serving.database import Database
from signalkit.serving.health import Health
if os.geteuid() == 0:
    os.setuid(65534)
database = Database(Path(sys.argv[1]))
found = Health(database).readiness()
print(found.status, found.parts["database"].state, found.parts["disk"].state)
with database.reading() as store:
    print(len(store.models.list()))
"""


@pytest.fixture
def readable(house):
    """A copy of the house that anybody may read and nobody may write.

    Folders of pytest are closed to others, and closed again by every other run of it.
    """
    with Store.open(house) as store:
        store.db.execute("PRAGMA wal_checkpoint(truncate)")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = shutil.copytree(house, Path(folder) / "data")
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield copy
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755)


def test_a_read_only_house_is_told_and_still_read(readable):
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(readable)],
        capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "HOME": "/tmp", "MPLCONFIGDIR": "/tmp"},
    )  # fmt: skip
    assert done.stdout.split() == ["not_ready", "broken", "broken", "4"], done.stderr


def test_another_writer_degrades_and_does_not_break(house, readiness):
    with sqlite3.connect(house / "signalkit.db") as other:
        other.execute("BEGIN IMMEDIATE")
        assert readiness().parts["database"].state == "degraded"
        other.rollback()
    assert readiness().parts["database"].state == "ok"


def gone():
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("state", "found", "says"),
    [
        ({"process": os.getpid()}, "ok", "last seen"),
        ({"process": os.getpid(), "stopped": True}, "off", "it was stopped"),
        ({"process": gone()}, "degraded", "its process is gone"),
        ({"due": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, "degraded", "s late"),
        ({"due": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, "ok", "last seen"),
    ],
)
@pytest.mark.parametrize(("part", "key"), [("loop", "heartbeat"), ("worker", "worker")])
def test_a_process_that_stopped_giving_signs_is_told(
    readiness, house, part, key, state, found, says
):
    assert readiness().parts[part].detail == "it never ran here"
    with Store.open(house) as store:
        store.watch.keep({key: state})
    told = readiness().parts[part]
    assert told.state == found
    assert says in told.detail


def test_trainings_that_wait_for_nobody_are_told(readiness, house):
    with Store.open(house) as store:
        store.db["ml_training_sessions"].insert({"model": "LSTM", "status": "queued"})
    assert (
        readiness().parts["worker"].detail == "1 trainings wait and no worker runs; signalkit work"
    )


def test_parts_are_looked_at_every_five_seconds_at_most(house):
    seconds = [100.0]
    database = Database(house)
    looked = Health(database, clock=lambda: seconds[0])
    assert looked.readiness().status == "ready"
    files_of(house, 2).unlink()
    seconds[0] += 4.9
    assert looked.readiness().status == "ready"
    seconds[0] += 0.2
    assert looked.readiness().status == "degraded"
    database.close()


def numbers(client):
    """The metrics by name and labels."""
    lines = client.get("/metrics").text.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_metrics_tell_what_the_house_holds(house, serve):
    found = numbers(serve(READ_TOKEN))
    assert found["signalkit_predictions_total"] == "160.0"
    assert found['signalkit_models{status="deployed"}'] == "2.0"
    assert found['signalkit_training_sessions{status="failed"}'] == "1.0"
    assert found["signalkit_alarms_open"] == "1.0"
    assert found["signalkit_store_readable"] == "1.0"
    name = 'signalkit_newest_bar_age_seconds{interval="1h",source="binance",symbol="BTCUSDT"}'
    newest = datetime(2024, 3, 2, 16, tzinfo=UTC).timestamp()
    assert float(found[name]) == pytest.approx(time.time() - newest, abs=60)


def test_requests_are_counted_by_template_and_not_by_what_was_asked(house, serve):
    client = serve()
    for path in (
        "/readyz",
        "/nothing/1",
        "/nothing/2",
        "/admin/signalkit",
        "/admin/signalkit/bars",
    ):
        client.get(path)
    client.request("BREW", "/nothing")
    found = {k: v for k, v in numbers(client).items() if k.startswith("signalkit_requests_total")}
    assert found == {
        'signalkit_requests_total{method="GET",route="/readyz",status="200"}': "1.0",
        'signalkit_requests_total{method="GET",route="none",status="404"}': "2.0",
        'signalkit_requests_total{method="GET",route="/admin/",status="200"}': "2.0",
        'signalkit_requests_total{method="other",route="none",status="404"}': "1.0",
    }


def test_metrics_of_a_store_that_cannot_be_read_say_so(own_store, serve):
    own_store.mkdir(parents=True)
    (own_store / "signalkit.db").write_bytes(b"no database" * 1000)
    found = numbers(serve())
    assert found["signalkit_store_readable"] == "0.0"
    assert not [name for name in found if name.startswith("signalkit_models")]


def test_metrics_need_a_token_unless_it_was_said_otherwise(house, serve):
    assert serve(None).get("/metrics").status_code == 401
    answer = serve(None, open_metrics=True).get("/metrics")
    assert answer.status_code == 200
    assert re.match("text/plain; version=", answer.headers["content-type"])


def test_the_store_is_read_for_metrics_every_five_seconds_at_most(house):
    seconds = [100.0]
    database = Database(house)
    told = Metrics(database, clock=lambda: seconds[0])
    assert b"signalkit_alarms_open 1.0" in told.text()
    with Store.open(house) as store:
        store.watch.close_alarm(1, actor="test")
    seconds[0] += 4.9
    assert b"signalkit_alarms_open 1.0" in told.text()
    seconds[0] += 0.2
    assert b"signalkit_alarms_open 0.0" in told.text()
    database.close()


def test_a_slow_look_at_the_database_is_cut_off(house):
    database = Database(house, seconds=0.05)
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with (
        pytest.raises(sqlite3.OperationalError, match="interrupted"),
        database.reading() as store,
    ):
        store.db.execute(forever).fetchone()
    assert health.Health(database).readiness().status == "ready"
    database.close()
