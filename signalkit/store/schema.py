"""The database schema as numbered migrations, each run once in a transaction.

Times are ISO 8601 text in UTC, but for those that are compared: bar ends, `published` and
`known_at` are nanoseconds since the epoch; `recorded_at`, `replaced_at` and `asked_at`
microseconds. Lists and dicts are JSON text. Tables are STRICT: a numpy scalar cannot slip in
as a blob.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlite_utils import Database

from signalkit.errors import StoreError

_FIRST = """
CREATE TABLE symbols (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, source TEXT NOT NULL, base TEXT, quote TEXT,
    calendar TEXT NOT NULL, first_bar INTEGER, last_bar INTEGER,
    PRIMARY KEY (symbol, interval)) STRICT;
CREATE TABLE bars (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, time INTEGER NOT NULL,
    open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
    volume REAL NOT NULL, PRIMARY KEY (symbol, interval, time)) STRICT, WITHOUT ROWID;
CREATE TABLE bar_revisions (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, time INTEGER NOT NULL,
    replaced_at TEXT NOT NULL, open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL,
    close REAL NOT NULL, volume REAL NOT NULL,
    PRIMARY KEY (symbol, interval, time, replaced_at)) STRICT, WITHOUT ROWID;
CREATE TABLE news (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, source TEXT NOT NULL, published TEXT NOT NULL,
    known_at TEXT NOT NULL, symbols TEXT NOT NULL, sentiment REAL, scorer TEXT,
    CHECK (known_at >= published)) STRICT;
CREATE TABLE ml_features (
    name TEXT PRIMARY KEY, family TEXT NOT NULL, description TEXT NOT NULL,
    warmup INTEGER NOT NULL, importance TEXT, active INTEGER NOT NULL DEFAULT 1,
    leak_checked_at TEXT) STRICT;
CREATE TABLE ml_models (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, model_type TEXT NOT NULL,
    target_variable TEXT NOT NULL, prediction_horizon INTEGER NOT NULL,
    features_used TEXT NOT NULL, params TEXT NOT NULL, artifact TEXT NOT NULL,
    sha256 TEXT NOT NULL, accuracy REAL, precision REAL, recall REAL, f1_score REAL, auc REAL,
    log_loss REAL, mse REAL, mae REAL,
    status TEXT NOT NULL CHECK (status IN ('trained', 'deployed', 'archived')),
    is_active INTEGER NOT NULL DEFAULT 0, deployed_at TEXT, created_at TEXT NOT NULL,
    identity TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE ml_training_sessions (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('queued', 'running', 'completed', 'failed', 'interrupted')),
    progress REAL NOT NULL DEFAULT 0, started TEXT, finished TEXT, rows INTEGER,
    error TEXT) STRICT;
CREATE TABLE ml_predictions (
    id INTEGER PRIMARY KEY, model INTEGER NOT NULL REFERENCES ml_models (id),
    symbol TEXT NOT NULL, prediction_type TEXT NOT NULL, prediction_value REAL NOT NULL,
    confidence_score REAL, prediction_probabilities TEXT, prediction_timestamp TEXT NOT NULL,
    known_at TEXT, actual_value REAL, is_correct INTEGER,
    UNIQUE (model, symbol, prediction_timestamp)) STRICT;
CREATE TABLE ml_model_performance (
    model INTEGER NOT NULL REFERENCES ml_models (id), window TEXT NOT NULL, date TEXT NOT NULL,
    n INTEGER NOT NULL, accuracy REAL, log_loss REAL, calibration REAL, after_cost_return REAL,
    drift REAL, state TEXT, PRIMARY KEY (model, window, date)) STRICT;
CREATE TABLE trades (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL,
    entry_time TEXT NOT NULL, exit_time TEXT, entry_price REAL NOT NULL, exit_price REAL,
    size REAL NOT NULL, fee REAL NOT NULL, slippage REAL NOT NULL, funding REAL NOT NULL,
    pnl REAL NOT NULL, return REAL NOT NULL, model_id TEXT, prediction REAL, confidence REAL,
    exit_reason TEXT NOT NULL) STRICT;
CREATE INDEX trades_of_run ON trades (run);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, study_name TEXT NOT NULL, identity TEXT NOT NULL,
    params TEXT NOT NULL, started TEXT NOT NULL, finished TEXT, status TEXT NOT NULL,
    ledger_head TEXT, report TEXT) STRICT;
CREATE TABLE trials (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, configuration TEXT NOT NULL, params TEXT NOT NULL,
    series TEXT NOT NULL, artifact TEXT NOT NULL, holdout INTEGER NOT NULL,
    recorded_at TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,
    UNIQUE (configuration, series, holdout)) STRICT;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, actor TEXT NOT NULL,
    action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT) STRICT;
"""

# what a bar was before its first revision is taken as recorded at the bar's end; between two
# revisions it was recorded when the earlier one was replaced. The microseconds of replaced_at
# are its characters 21 to 26: SQLite's own functions round to milliseconds
_SECOND = """
ALTER TABLE symbols RENAME TO old_symbols;
ALTER TABLE bars RENAME TO old_bars;
ALTER TABLE bar_revisions RENAME TO old_revisions;
ALTER TABLE news RENAME TO old_news;
CREATE TABLE symbols (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, source TEXT NOT NULL, base TEXT, quote TEXT,
    calendar TEXT NOT NULL, first_bar INTEGER NOT NULL, last_bar INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL, PRIMARY KEY (symbol, interval, source)) STRICT;
CREATE TABLE bars (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, source TEXT NOT NULL, time INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL,
    close REAL NOT NULL, volume REAL NOT NULL,
    PRIMARY KEY (symbol, interval, source, time)) STRICT, WITHOUT ROWID;
CREATE TABLE bar_revisions (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, source TEXT NOT NULL, time INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL, replaced_at INTEGER NOT NULL, open REAL NOT NULL,
    high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL, volume REAL NOT NULL,
    PRIMARY KEY (symbol, interval, source, time, replaced_at),
    CHECK (recorded_at < replaced_at)) STRICT, WITHOUT ROWID;
CREATE TABLE outages (
    symbol TEXT NOT NULL, interval TEXT NOT NULL, source TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, bars INTEGER NOT NULL, noted_at INTEGER NOT NULL,
    asked_at INTEGER NOT NULL, PRIMARY KEY (symbol, interval, source, first),
    CHECK (first <= last AND bars > 0)) STRICT, WITHOUT ROWID;
CREATE TABLE news (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL, key TEXT NOT NULL,
    recorded_at INTEGER NOT NULL, title TEXT NOT NULL, published INTEGER NOT NULL,
    known_at INTEGER NOT NULL, symbols TEXT NOT NULL, sentiment REAL, scorer TEXT,
    UNIQUE (source, key), CHECK (known_at >= published)) STRICT;
CREATE INDEX news_by_known_at ON news (known_at);
CREATE TEMP TABLE migration AS
    SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000 AS moment;
WITH replaced AS (
    SELECT old_revisions.*, source,
        CAST(strftime('%s', substr(replaced_at, 1, 19)) AS INTEGER) * 1000000
            + CAST(substr(replaced_at, 21, 6) AS INTEGER) AS at
    FROM old_revisions LEFT JOIN old_symbols USING (symbol, interval))
INSERT INTO bar_revisions
    SELECT symbol, interval, source, time,
        lag(at, 1, min(time / 1000, at - 1)) OVER (PARTITION BY symbol, interval, time ORDER BY at),
        at, open, high, low, close, volume FROM replaced;
INSERT INTO bars
    SELECT symbol, interval, source, time,
        coalesce((SELECT max(replaced_at) FROM bar_revisions AS r
            WHERE r.symbol = b.symbol AND r.interval = b.interval AND r.source = s.source
                AND r.time = b.time), (SELECT moment FROM migration)),
        open, high, low, close, volume
    FROM old_bars AS b LEFT JOIN old_symbols AS s USING (symbol, interval);
INSERT INTO symbols
    SELECT symbol, interval, source, base, quote, calendar, first_bar, last_bar,
        (SELECT max(recorded_at) FROM bars AS b WHERE b.symbol = s.symbol
            AND b.interval = s.interval AND b.source = s.source) FROM old_symbols AS s;
INSERT INTO news
    SELECT id, source, 'row ' || id, (SELECT moment FROM migration), title,
        CAST(strftime('%s', published) AS INTEGER) * 1000000000
            + CAST(substr(strftime('%f', published), 4) AS INTEGER) * 1000000,
        CAST(strftime('%s', known_at) AS INTEGER) * 1000000000
            + CAST(substr(strftime('%f', known_at), 4) AS INTEGER) * 1000000,
        symbols, sentiment, scorer FROM old_news;
DROP TABLE old_bars;
DROP TABLE old_revisions;
DROP TABLE old_news;
DROP TABLE old_symbols;
DROP TABLE migration;
"""

# a session of before has no lock that could say that its process lives
_THIRD = """
ALTER TABLE ml_models ADD COLUMN study TEXT;
ALTER TABLE ml_models ADD COLUMN symbols TEXT NOT NULL DEFAULT '[]';
ALTER TABLE ml_models ADD COLUMN interval TEXT;
ALTER TABLE ml_models ADD COLUMN trained_from TEXT;
ALTER TABLE ml_models ADD COLUMN trained_to TEXT;
ALTER TABLE ml_models ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}';
UPDATE ml_models SET status = 'archived', is_active = 0 WHERE status = 'deployed'
    AND id NOT IN (SELECT max(id) FROM ml_models WHERE status = 'deployed' GROUP BY name);
UPDATE ml_models SET is_active = (status = 'deployed');
CREATE UNIQUE INDEX one_deployed_of_a_name ON ml_models (name) WHERE status = 'deployed';
ALTER TABLE ml_training_sessions ADD COLUMN identity TEXT;
ALTER TABLE ml_training_sessions ADD COLUMN study TEXT;
ALTER TABLE ml_training_sessions ADD COLUMN jobs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ml_training_sessions ADD COLUMN done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ml_training_sessions ADD COLUMN resumed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ml_training_sessions ADD COLUMN process INTEGER;
UPDATE ml_training_sessions SET status = 'interrupted' WHERE status = 'running';
CREATE UNIQUE INDEX one_running_of_an_identity ON ml_training_sessions (identity)
    WHERE status = 'running';
"""

# an ensemble is no registered model; what is asked at each bar is a target, an interval and a
# horizon, by which predictions of all models meet
_FOURTH = """
ALTER TABLE ml_predictions RENAME TO old_predictions;
CREATE TABLE ml_predictions (
    id INTEGER PRIMARY KEY, made_by TEXT NOT NULL, model INTEGER REFERENCES ml_models (id),
    symbol TEXT NOT NULL, prediction_type TEXT NOT NULL, interval TEXT NOT NULL,
    horizon INTEGER NOT NULL, prediction_value REAL, confidence_score REAL,
    prediction_probabilities TEXT, prediction_timestamp INTEGER NOT NULL,
    created_at TEXT NOT NULL, origin TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '{}',
    known_at INTEGER, actual_value REAL, is_correct INTEGER,
    UNIQUE (made_by, symbol, prediction_type, interval, horizon, prediction_timestamp),
    CHECK ((model IS NULL) = (made_by = 'ENSEMBLE')),
    CHECK (known_at > prediction_timestamp)) STRICT;
INSERT INTO ml_predictions
    SELECT p.id, CAST(p.model AS TEXT), p.model, p.symbol, p.prediction_type,
        coalesce(m.interval, ''), m.prediction_horizon, p.prediction_value, p.confidence_score,
        p.prediction_probabilities,
        CAST(strftime('%s', p.prediction_timestamp) AS INTEGER) * 1000000000,
        p.prediction_timestamp, 'deployed', '{}',
        CAST(strftime('%s', p.known_at) AS INTEGER) * 1000000000, p.actual_value, p.is_correct
    FROM old_predictions AS p JOIN ml_models AS m ON m.id = p.model;
DROP TABLE old_predictions;
CREATE INDEX newest_predictions ON ml_predictions (symbol, prediction_timestamp, id);
CREATE INDEX settled_predictions ON ml_predictions (made_by, known_at);
CREATE INDEX open_predictions ON ml_predictions (prediction_type, interval, horizon)
    WHERE known_at IS NULL;
DROP TABLE ml_model_performance;
CREATE TABLE ml_model_performance (
    made_by TEXT NOT NULL, model INTEGER REFERENCES ml_models (id),
    prediction_type TEXT NOT NULL, interval TEXT NOT NULL, horizon INTEGER NOT NULL,
    window TEXT NOT NULL, date INTEGER NOT NULL, n INTEGER NOT NULL, accuracy REAL,
    log_loss REAL, calibration REAL, coverage REAL, mse REAL, after_cost_return REAL,
    drift REAL, state TEXT, detail TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (made_by, prediction_type, interval, horizon, window, date)) STRICT, WITHOUT ROWID;
CREATE TABLE signals (
    study TEXT NOT NULL, symbol TEXT NOT NULL, time INTEGER NOT NULL, weight REAL NOT NULL,
    price REAL NOT NULL, created_at TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (study, symbol, time)) STRICT, WITHOUT ROWID;
CREATE TABLE alarms (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, time INTEGER NOT NULL,
    raised_at TEXT NOT NULL, detail TEXT NOT NULL, closed_at TEXT, closed_by TEXT,
    UNIQUE (kind, subject, time)) STRICT;
CREATE TABLE live_states (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, changed_at TEXT NOT NULL) STRICT;
ALTER TABLE ml_training_sessions ADD COLUMN asked TEXT;
ALTER TABLE ml_training_sessions ADD COLUMN asked_by TEXT;
ALTER TABLE ml_training_sessions ADD COLUMN made TEXT;
ALTER TABLE ml_features ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _SECOND, _THIRD, _FOURTH)


@contextmanager
def transaction(database: Database) -> Iterator[None]:
    """One transaction that holds the write lock from its begin: what it reads stays true.

    Raises
    ------
    StoreError
        If another process keeps the lock, or the disk is full or cannot be written.
    """
    whole = False
    try:
        database.conn.execute("BEGIN IMMEDIATE")
        try:
            yield
            whole = True
        finally:
            database.conn.commit() if whole else database.conn.rollback()
    except sqlite3.OperationalError as cause:
        raise StoreError(
            f"the database cannot be written ({cause}); look for another writer, or for space"
        ) from None


def _version(database: Database) -> int:
    """Number of migrations that a database of ours has had."""
    # one statement: no other process can come between the two
    query = """SELECT (SELECT user_version FROM pragma_user_version),
        (SELECT group_concat(name) FROM sqlite_master)"""
    found, listed = database.execute(query).fetchone()
    names = set((listed or "").split(",")) - {""}
    if (found <= len(MIGRATIONS) and bool(found) != ("trials" in names)) or (names and not found):
        raise StoreError("the database is not one of signalkit; name another folder")
    return found


def migrate(database: Database) -> None:
    """Bring a database to the newest schema; refuse one that is newer.

    Raises
    ------
    StoreError
        If the file is no database of ours or was written by a newer signalkit.
    """
    try:
        found = _version(database)
    except sqlite3.DatabaseError as cause:
        raise StoreError(f"the database cannot be read: {cause}; restore it or remove it") from None
    if found > len(MIGRATIONS):
        raise StoreError(
            f"the database has schema {found}, this signalkit knows up to {len(MIGRATIONS)};"
            " update signalkit, or name another folder in SIGNALKIT_DATA"
        )
    for number, script in enumerate(MIGRATIONS[found:], start=found + 1):
        with transaction(database):
            if _version(database) >= number:  # another process was first
                continue
            for statement in script.split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {number}")
