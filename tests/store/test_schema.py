"""store/schema.py: any older database comes up, whole; a newer or a foreign one is left alone."""

import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sqlite_utils import Database

from signalkit.errors import StoreError
from signalkit.store import Store, Written, schema

TABLES = {
    "symbols", "bars", "bar_revisions", "news", "ml_features", "ml_models",
    "ml_training_sessions", "ml_predictions", "ml_model_performance", "trades", "runs",
    "trials", "audit", "outages", "signals", "alarms", "live_states",
}  # fmt: skip
NOTE = "ALTER TABLE runs ADD COLUMN note TEXT"
NEWEST = len(schema.MIGRATIONS)
HOUR = 3_600_000_000_000  # nanoseconds

# what schema 1 held: bar 1 changed twice, bar 2 once, bars 3 and B's never
AT_FIRST = """
INSERT INTO symbols VALUES ('A', '1h', 'files', 'BTC', 'USDT', '24/7', 3600000000000,
    10800000000000);
INSERT INTO symbols VALUES ('B', '1d', 'sample', NULL, NULL, 'XNYS', 86400000000000,
    86400000000000);
INSERT INTO bars VALUES ('A', '1h', 3600000000000, 10, 10, 10, 10, 3);
INSERT INTO bars VALUES ('A', '1h', 7200000000000, 10.5, 10.5, 10.5, 10.5, 2);
INSERT INTO bars VALUES ('A', '1h', 10800000000000, 11, 11, 11, 11, 0.1);
INSERT INTO bars VALUES ('B', '1d', 86400000000000, 7, 7, 7, 7, 7);
INSERT INTO bar_revisions VALUES ('A', '1h', 3600000000000, '2024-05-01T12:00:00.999999+00:00',
    10, 10, 10, 10, 1);
INSERT INTO bar_revisions VALUES ('A', '1h', 3600000000000, '2024-05-02T12:00:00.000000+00:00',
    10, 10, 10, 10, 2);
INSERT INTO bar_revisions VALUES ('A', '1h', 7200000000000, '2024-05-03T00:00:00.000001+00:00',
    10, 10, 10, 10, 1);
INSERT INTO news VALUES (4, 'up', 'wire', '2024-01-01T10:00:00+00:00', '2024-01-01T10:00:00.250Z',
    '["A"]', 0.5, 'VADER');
INSERT INTO runs (study_name, identity, params, started, status)
    VALUES ('first', 'i', '{}', 'then', 'finished');
"""

# what schema 2 could hold: two deployed models of a name, a session whose process is long gone
AT_SECOND = """
INSERT INTO ml_models (id, name, model_type, target_variable, prediction_horizon, features_used,
        params, artifact, sha256, auc, status, is_active, created_at, identity)
    VALUES (3, 'm', 'X', 't', 5, '["a"]', '{"b": 1}', 'i', 's', 0.5, 'deployed', 1, 'n', 'i'),
        (4, 'm', 'X', 't', 5, '[]', '{}', 'j', 's', NULL, 'deployed', 0, 'n', 'j'),
        (5, 'n', 'X', 't', 5, '[]', '{}', 'k', 's', NULL, 'trained', 1, 'n', 'k');
INSERT INTO ml_training_sessions (id, model, status, progress, rows)
    VALUES (7, 'm', 'running', 0.5, 10), (8, 'm', 'completed', 1, 20), (9, 'n', 'running', 0, 0);
INSERT INTO ml_predictions (model, symbol, prediction_type, prediction_value, prediction_timestamp)
    VALUES (3, 'A', 'class', 1, '2024-05-01T12:00:00+00:00');
"""

# dies just before a statement of the migration
KILLED = """
import os, signal, sqlite3, sys
from sqlite_utils import Database
from signalkit.store import schema

connection, seen = sqlite3.connect(sys.argv[1]), []
connection.execute("PRAGMA cache_size = 10")  # pages go to disk before the commit

def dies(statement):
    seen.append(statement)
    if statement.startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

connection.set_trace_callback(dies)
schema.migrate(Database(connection))
"""


@pytest.fixture
def file(own_store):
    own_store.mkdir()
    return own_store / "signalkit.db"


def told(file, query):
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def change(file, *statements):
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def tables(file):
    return {name for (name,) in told(file, "SELECT name FROM sqlite_master WHERE type = 'table'")}


def version(file):
    return told(file, "PRAGMA user_version")[0][0]


@pytest.fixture
def old(file):
    """A database of schema 1 with rows in it."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(schema.MIGRATIONS[0] + AT_FIRST + "PRAGMA user_version = 1;")
        connection.execute("PRAGMA journal_mode = WAL")
    return file


@pytest.fixture
def second(old):
    """A database of schema 2 with rows in it."""
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(schema.MIGRATIONS[1] + AT_SECOND + "PRAGMA user_version = 2;")
    return old


def test_a_new_folder_gets_every_table_at_the_newest_schema(file):
    Store.open().close()
    assert tables(file) - {"sqlite_sequence"} == TABLES
    assert version(file) == len(schema.MIGRATIONS)
    assert told(file, "PRAGMA journal_mode") == [("wal",)]


def test_every_table_is_strict(file):
    Store.open().close()
    strict = {row[1]: row[5] for row in told(file, "PRAGMA table_list")}
    assert {name for name in TABLES if strict[name] != 1} == set()


@pytest.mark.parametrize("before", ["nothing", "an empty file", "a database without tables"])
def test_a_database_without_tables_comes_up(file, before):
    if before != "nothing":
        file.touch()
    if before == "a database without tables":
        change(file, "PRAGMA page_size = 8192", "VACUUM")
        assert (version(file), tables(file)) == (0, set())
    Store.open().close()
    assert tables(file) >= TABLES


def test_opening_again_changes_nothing(file):
    with Store.open() as store:
        store.start_run("first", "0" * 64, {})
    made = told(file, "SELECT sql FROM sqlite_master ORDER BY name")
    with Store.open() as store:
        assert store.db["runs"].count == 1
    assert told(file, "SELECT sql FROM sqlite_master ORDER BY name") == made


def test_an_older_database_takes_the_steps_it_lacks_and_keeps_its_rows(file, monkeypatch):
    with Store.open() as store:
        store.start_run("first", "0" * 64, {})
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, NOTE))
    Store.open().close()
    assert version(file) == NEWEST + 1
    assert told(file, "SELECT study_name, note FROM runs") == [("first", None)]


def test_a_step_that_fails_leaves_the_database_as_it_was(file, monkeypatch):
    Store.open().close()
    steps = (*schema.MIGRATIONS, NOTE, "CREATE TABLE more (x TEXT) STRICT;\nCREATE NONSENSE")
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    with pytest.raises(StoreError, match=r"signalkit\.db: .*NONSENSE"):
        Store.open()
    assert version(file) == NEWEST + 1  # the step before it stands
    assert tables(file) - {"sqlite_sequence"} == TABLES


def test_bars_of_schema_1_read_the_same_after_the_upgrade(old):
    before = told(old, "SELECT * FROM bars WHERE symbol = 'A' ORDER BY time")
    with Store.open() as store:
        got = store.read_bars("A", "1h")
        assert store.read_bars("B", "1d", source="sample")["close"].tolist() == [7.0]
        assert store.db["runs"].count == 1
        assert store.span("A", "1h", "files") == (got.index[0], got.index[-1])
    rows = zip(got.index.as_unit("ns").asi8.tolist(), *got.to_numpy().T.tolist(), strict=True)
    assert [("A", "1h", *row) for row in rows] == before
    assert version(old) == NEWEST
    assert tables(old) - {"sqlite_sequence"} == TABLES


def test_revisions_of_schema_1_are_read_as_of_their_moments(old):
    begun = pd.Timestamp.now("UTC").floor("s")
    with Store.open() as store:
        as_of = {
            "1970-01-01 01:00": [1.0],
            "1970-01-01 02:00": [1.0, 1.0],
            "2024-05-01 12:00:00.999998": [1.0, 1.0],
            "2024-05-01 12:00:00.999999": [2.0, 1.0],
            "2024-05-02 12:00": [3.0, 1.0],
            "2024-05-03 00:00:00.000001": [3.0, 2.0],
        }
        for moment, volumes in as_of.items():
            got = store.read_bars("A", "1h", as_of=pd.Timestamp(moment, tz="UTC"))
            assert got["volume"].tolist() == volumes
        recorded = dict(store.db.execute("SELECT time, recorded_at FROM bars WHERE symbol = 'A'"))
        newest = dict(store.db.execute("SELECT symbol, recorded_at FROM symbols"))
        (note,) = store.db["news"].rows
    # a bar that never changed is as old as the upgrade
    assert pd.Timestamp(recorded[3 * HOUR] * 1000, tz="UTC") >= begun
    assert newest["A"] == newest["B"] == recorded[3 * HOUR] == note["recorded_at"]
    assert (note["known_at"] - note["published"], note["key"]) == (250_000_000, "row 4")
    assert pd.Timestamp(note["published"], tz="UTC") == pd.Timestamp("2024-01-01 10:00Z")


def test_an_upgraded_series_is_written_on(old):
    with Store.open() as store:
        bars = pd.concat({"A": store.read_bars("A", "1h")}, names=["symbol", "time"])
        given = {"source": "files", "interval": "1h", "calendar": "24/7"}
        assert store.write_bars(bars, **given) == Written(0, 0)
        assert store.write_bars(bars.assign(volume=9.0), **given) == Written(0, 3)
        assert len(store.revisions("A", "1h")) == 6


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE symbols", "INSERT INTO bars", "DROP TABLE old_news", "COMMIT"]
)
def test_a_kill_in_the_middle_of_an_upgrade_leaves_schema_1_whole(old, statement):
    with closing(sqlite3.connect(old)) as connection:
        many = ((n * HOUR, *[n] * 5) for n in range(4, 3000))
        connection.executemany("INSERT INTO bars VALUES ('A', '1h', ?, ?, ?, ?, ?, ?)", many)
        connection.commit()
        kept = list(connection.iterdump())
    done = subprocess.run([sys.executable, "-c", KILLED, str(old), statement], check=False)
    assert done.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(old)) as connection:
        assert list(connection.iterdump()) == kept
    assert version(old) == 1
    with Store.open() as store:
        assert len(store.read_bars("A", "1h")) == 2999


def test_an_upgrade_that_fails_leaves_schema_1_whole(old):
    change(old, "DELETE FROM symbols WHERE symbol = 'B'")  # bars of no known source
    with pytest.raises(StoreError, match=r"signalkit\.db: NOT NULL .*bars\.source"):
        Store.open()
    assert version(old) == 1
    assert told(old, "SELECT count(*) FROM bars") == [(4,)]


def test_models_and_sessions_of_schema_2_are_there_after_the_upgrade(second):
    with Store.open() as store:
        first, last, other = store.models.list()
        assert (first.id, first.features_used, first.params) == (3, ["a"], {"b": 1})
        assert (first.metrics, last.metrics) == ({"auc": 0.5}, {})
        assert (first.study, first.symbols, first.interval) == (None, [], None)
        assert pd.isna(first.trained_from)
        # of two deployed models of a name the newer one stays
        assert [m.status for m in (first, last, other)] == ["archived", "deployed", "trained"]
        assert [m.is_active for m in (first, last, other)] == [False, True, False]
        trainings = {t.id: (t.status, t.progress, t.rows) for t in store.sessions.list()}
        assert store.db["ml_predictions"].count == 1
        assert len(store.read_bars("A", "1h")) == 3
    assert trainings == {
        7: ("interrupted", 0.5, 10), 8: ("completed", 1.0, 20), 9: ("interrupted", 0.0, 0)
    }  # fmt: skip
    assert version(second) == NEWEST


@pytest.mark.parametrize(
    "statement", ["UPDATE ml_models SET is_active", "CREATE UNIQUE INDEX one_running", "COMMIT"]
)
def test_a_kill_in_the_middle_of_an_upgrade_leaves_schema_2_whole(second, statement):
    with closing(sqlite3.connect(second)) as connection:
        kept = list(connection.iterdump())
    done = subprocess.run([sys.executable, "-c", KILLED, str(second), statement], check=False)
    assert done.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(second)) as connection:
        assert list(connection.iterdump()) == kept
    assert version(second) == 2


@pytest.mark.parametrize("newer", [NEWEST + 1, 99])
def test_a_newer_database_is_refused_and_left_as_it_is(file, newer):
    change(file, "CREATE TABLE ours (x)", f"PRAGMA user_version = {newer}")
    kept = file.read_bytes()
    knows = f"this signalkit knows up to {NEWEST}; update"
    says = rf"signalkit\.db: the database has schema {newer}, {knows}"
    with pytest.raises(StoreError, match=says):
        Store.open()
    assert file.read_bytes() == kept


@pytest.mark.parametrize("content", [b"garbage " * 1000, b"SQLite format 3\x00" + b"\xff" * 4080])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(file, content):
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"signalkit\.db: the database cannot be read: .*remove"):
        Store.open()
    assert file.read_bytes() == content


@pytest.mark.parametrize("found", [0, 1])
def test_the_database_of_another_program_is_refused_and_left_as_it_is(file, found):
    change(file, "CREATE TABLE recipes (name TEXT)", f"PRAGMA user_version = {found}")
    with pytest.raises(StoreError, match=r"signalkit\.db"):
        Store.open().close()
    assert tables(file) == {"recipes"}


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("INSERT INTO bars VALUES ('A', '1h', 's', ?, 1, 1, 1, 1, 1, 1)", np.int64(5)),
        ("INSERT INTO bars VALUES ('A', '1h', 's', 5, 1, 1, 1, 1, ?, 1)", np.float32(5)),
        ("INSERT INTO ml_features VALUES ('n', 'f', 'd', ?, NULL, 1, NULL, 1)", np.int32(3)),
        ("INSERT INTO alarms VALUES (1, 'k', 's', ?, 'now', '', NULL, NULL)", np.int64(1)),
        ("INSERT INTO audit VALUES (1, 'now', 'me', ?, 'it', NULL)", b"bytes"),
    ],
)
def test_a_numpy_number_cannot_slip_in_as_bytes(file, statement, value):
    table = statement.split()[2]
    with Store.open() as store:
        with pytest.raises(sqlite3.IntegrityError, match=f"cannot store BLOB value in .*{table}"):
            store.db.execute(statement, [value])
        assert store.db[table].count == 0


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "INSERT INTO news (title, source, key, recorded_at, published, known_at, symbols) "
            "VALUES ('t', 's', 'k', 1, 2, 1, '[]')",
            "known_at >= published",
        ),
        (
            "INSERT INTO ml_models (name, model_type, target_variable, prediction_horizon, "
            "features_used, params, artifact, sha256, status, created_at, identity) "
            "VALUES ('n', 'X', 't', 1, '[]', '{}', 'a', 'b', 'retired', 'now', 'i')",
            "status IN",
        ),
        ("INSERT INTO ml_training_sessions (model, status) VALUES ('m', 'lost')", "status IN"),
        (
            "INSERT INTO ml_training_sessions (model, status, identity) "
            "VALUES ('m', 'running', 'i'), ('m', 'running', 'i')",
            "UNIQUE.*ml_training_sessions.identity",
        ),
        (
            "INSERT INTO bars VALUES ('A', '1h', 's', 1, 1, 1, 1, 1, NULL, 1)",
            "NOT NULL.*bars.close",
        ),
        ("INSERT INTO bars VALUES ('A', '1h', 's', 'noon', 1, 1, 1, 1, 1, 1)", "cannot store TEXT"),
        ("INSERT INTO bars VALUES ('A', '1h', 's', 1, NULL, 1, 1, 1, 1, 1)", "bars.recorded_at"),
        (
            "INSERT INTO bar_revisions VALUES ('A', '1h', 's', 1, 7, 7, 1, 1, 1, 1, 1)",
            "recorded_at < replaced_at",
        ),
        ("INSERT INTO outages VALUES ('A', '1h', 's', 5, 4, 1, 1, 1)", "first <= last"),
    ],
)
def test_rows_that_break_the_rule_of_their_table_are_refused(file, statement, says):
    Store.open().close()
    with pytest.raises(sqlite3.IntegrityError, match=says):
        change(file, statement)


@pytest.mark.parametrize("attempt", range(4))
def test_several_may_open_a_new_folder_at_once(own_store, attempt):
    together = threading.Barrier(4)

    def opens(_):
        together.wait()
        Store.open().close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(opens, range(4)))
    assert version(own_store / "signalkit.db") == len(schema.MIGRATIONS)


def test_a_folder_that_another_brings_up_first_is_opened_too(own_store, monkeypatch):
    connect, overtaken = sqlite3.connect, []

    class Slow(sqlite3.Connection):
        def execute(self, statement, *values):
            if statement.startswith("BEGIN") and not overtaken:
                overtaken.append(statement)
                monkeypatch.setattr(sqlite3, "connect", connect)
                Store.open().close()
            return super().execute(statement, *values)

    monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=Slow))
    Store.open().close()
    assert overtaken
    assert version(own_store / "signalkit.db") == len(schema.MIGRATIONS)


def test_migrate_alone_brings_up_a_connection():
    with closing(sqlite3.connect(":memory:")) as connection:
        schema.migrate(Database(connection))
        assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
