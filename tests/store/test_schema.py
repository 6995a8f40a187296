"""store/schema.py: any older database comes up, whole; a newer or a foreign one is left alone."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import numpy as np
import pytest
from sqlite_utils import Database

from signalkit.errors import StoreError
from signalkit.store import Store, schema

TABLES = {
    "symbols", "bars", "bar_revisions", "news", "ml_features", "ml_models",
    "ml_training_sessions", "ml_predictions", "ml_model_performance", "trades", "runs",
    "trials", "audit",
}  # fmt: skip
NOTE = "ALTER TABLE runs ADD COLUMN note TEXT"


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
    assert version(file) == 2
    assert told(file, "SELECT study_name, note FROM runs") == [("first", None)]


def test_a_step_that_fails_leaves_the_database_as_it_was(file, monkeypatch):
    Store.open().close()
    steps = (*schema.MIGRATIONS, NOTE, "CREATE TABLE more (x TEXT) STRICT;\nCREATE NONSENSE")
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    with pytest.raises(StoreError, match=r"signalkit\.db: .*NONSENSE"):
        Store.open()
    assert version(file) == 2  # the step before it stands
    assert tables(file) - {"sqlite_sequence"} == TABLES


@pytest.mark.parametrize("newer", [2, 99])
def test_a_newer_database_is_refused_and_left_as_it_is(file, newer):
    change(file, "CREATE TABLE ours (x)", f"PRAGMA user_version = {newer}")
    kept = file.read_bytes()
    says = rf"signalkit\.db: the database has schema {newer}, this signalkit knows up to 1; update"
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
        ("INSERT INTO bars VALUES ('A', '1h', ?, 1, 1, 1, 1, 1)", np.int64(5)),
        ("INSERT INTO bars VALUES ('A', '1h', 5, 1, 1, 1, ?, 1)", np.float32(5)),
        ("INSERT INTO ml_features VALUES ('n', 'f', 'd', ?, NULL, 1, NULL)", np.int32(3)),
        ("INSERT INTO ml_predictions VALUES (1, 1, 'A', 't', ?, 1, '', '', '', 1, 1)", np.int64(1)),
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
            "INSERT INTO news (title, source, published, known_at, symbols) "
            "VALUES ('t', 's', '2024-01-02', '2024-01-01', '[]')",
            "known_at >= published",
        ),
        (
            "INSERT INTO ml_models (name, model_type, target_variable, prediction_horizon, "
            "features_used, params, artifact, sha256, status, created_at, identity) "
            "VALUES ('n', 'X', 't', 1, '[]', '{}', 'a', 'b', 'retired', 'now', 'i')",
            "status IN",
        ),
        ("INSERT INTO ml_training_sessions (model, status) VALUES ('m', 'lost')", "status IN"),
        ("INSERT INTO bars VALUES ('A', '1h', 1, 1, 1, 1, NULL, 1)", "NOT NULL.*bars.close"),
        ("INSERT INTO bars VALUES ('A', '1h', 'noon', 1, 1, 1, 1, 1)", "cannot store TEXT"),
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
