"""The database of a data folder: bars, news, trades and runs behind one class.

Whatever is written is written in one transaction. Writers wait for a lock; a killed process
loses its open transaction, no more.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from sqlite_utils import Database

from signalkit import ROOT
from signalkit.errors import StoreError
from signalkit.store.artifacts import Artifacts
from signalkit.store.bars import Bars
from signalkit.store.checkpoints import Checkpoints
from signalkit.store.features import Features
from signalkit.store.ledger import GENESIS, Ledger
from signalkit.store.models import Models
from signalkit.store.news import News
from signalkit.store.predictions import Predictions
from signalkit.store.schema import migrate, transaction
from signalkit.store.sessions import Sessions
from signalkit.store.watch import Watch

_LOCK_WAIT_SECONDS = 30

_CELLS = "symbol, interval, source, time, recorded_at, open, high, low, close, volume"
_LEND = (
    f"""INSERT INTO lent.bars SELECT {_CELLS} FROM bars WHERE recorded_at <= :until
        UNION ALL SELECT {_CELLS} FROM bar_revisions
        WHERE recorded_at <= :until AND replaced_at > :until""",  # noqa: S608 - constants
    "INSERT INTO lent.bar_revisions SELECT * FROM bar_revisions WHERE replaced_at <= :until",
    "INSERT INTO lent.outages SELECT * FROM outages WHERE noted_at <= :until",
    "INSERT INTO lent.news SELECT * FROM news WHERE recorded_at <= :until",
    "INSERT INTO lent.symbols SELECT * FROM symbols",
)


def data_folder() -> Path:
    """Folder of database and artifacts: SIGNALKIT_DATA, else `data/` of the project."""
    return Path(os.environ.get("SIGNALKIT_DATA") or ROOT / "data").resolve()


def now() -> str:
    """The present moment as the database writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _enable_wal(database: Database) -> None:
    """Switch to WAL mode; SQLite does not wait for a lock there by itself."""
    until = time.monotonic() + _LOCK_WAIT_SECONDS
    while database.journal_mode != "wal":
        try:
            database.enable_wal()
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


class Store(Bars, Features, News):
    """An opened data folder.

    Its parts are `db`, `artifacts`, `ledger`, `models`, `sessions`, `checkpoints`,
    `predictions` and `watch`.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.db = database
        self.artifacts = Artifacts(folder / "artifacts")
        self.ledger = Ledger(database)
        self.models = Models(database, folder / "models")
        self.sessions = Sessions(database, folder / "locks")
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.predictions = Predictions(database)
        self.watch = Watch(database)

    @classmethod
    def open(cls, folder: Path | None = None) -> Store:
        """Open a data folder, made and brought to the newest schema where needed.

        Training sessions whose process was killed are noted as interrupted.

        Raises
        ------
        StoreError
            If the folder cannot be written, or the database is broken or newer.
        """
        folder = folder or data_folder()
        file = folder / "signalkit.db"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(file, timeout=_LOCK_WAIT_SECONDS)
        except (OSError, sqlite3.OperationalError) as cause:
            raise StoreError(f"{file} cannot be opened ({cause}); check the folder") from None
        database = Database(connection)
        try:
            migrate(database)
            _enable_wal(database)
            store = cls(folder, database)
            store.sessions.settle()
        except (StoreError, sqlite3.Error) as cause:
            database.close()
            raise StoreError(f"{file}: {cause}") from None
        return store

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def write_trades(self, run: str, trades: pd.DataFrame) -> None:
        """Replace the trades of a backtest."""
        table = trades.assign(run=run).drop(columns="decided_at", errors="ignore")
        for name in ("entry_time", "exit_time"):
            table[name] = table[name].map(lambda t: None if pd.isna(t) else t.isoformat())
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        with transaction(self.db):
            self.db["trades"].delete_where("run = ?", [run])
            if rows:
                self.db["trades"].insert_all(rows)

    def lend_ledger(self, folder: Path, head: str, *, but: str = "") -> None:
        """Write the trial chain up to and with the row `head` into a new data folder.

        The returns of the trials go with it, but for those of one artifact and of holdouts,
        which nothing compares.
        """
        trials = self.ledger.trials()
        heads = [GENESIS, *(trial.hash for trial in trials)]
        if head not in heads:
            raise StoreError(f"the trial ledger has no row {head}")
        lent = trials[: heads.index(head)]
        with Store.open(folder) as other:
            other.db["trials"].insert_all(asdict(trial) for trial in lent)
            for identity in {trial.artifact for trial in lent if not trial.holdout} - {but}:
                self.artifacts.lend("backtesting", identity, other.artifacts)

    def lend_collected(self, folder: Path, study_name: str, identity: str) -> None:
        """Write bars and news into a new data folder, as they were when a study last ran.

        Parameters
        ----------
        folder : Path
            The new data folder.
        study_name, identity : str
            The study, and the identity of the run that is meant.

        Raises
        ------
        StoreError
            If the study was not run from this store.
        """
        asked = """SELECT max(started) FROM runs
            WHERE study_name = ? AND identity = ? AND status = 'completed'"""
        started = self.db.execute(asked, [study_name, identity]).fetchone()[0]
        if started is None:
            raise StoreError(f"the store has no such run of {study_name!r}; run it here first")
        # a run notes the second it started in
        until = (datetime.fromisoformat(started).timestamp() + 1) * 1e6
        with Store.open(folder) as other:
            place = str(other.folder / "signalkit.db")
        self.db.execute("ATTACH DATABASE ? AS lent", [place])
        try:
            with transaction(self.db):
                for statement in _LEND:
                    self.db.execute(statement, {"until": until})
        finally:
            self.db.execute("DETACH DATABASE lent")

    def start_run(self, study_name: str, identity: str, params: dict[str, object]) -> int:
        """Note that a study begins; returns the run's number."""
        row = {
            "study_name": study_name,
            "identity": identity,
            "params": json.dumps(params, sort_keys=True),
            "started": now(),
            "status": "running",
        }
        return int(self.db["runs"].insert(row).last_pk)

    def finish_run(self, run: int, *, status: str, report: str | None = None) -> None:
        """Note how a study ended, and the head of the ledger then."""
        row = {"finished": now(), "status": status, "report": report}
        self.db["runs"].update(run, row | {"ledger_head": self.ledger.head()})
