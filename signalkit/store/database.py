"""The database of a data folder: bars as they are now, revisions, runs.

Bars go in by one statement a row inside one transaction and come out as arrays. A stored
bar that a source later gives otherwise moves to `bar_revisions` with the time it was
replaced. Writers wait for a lock; a killed process loses its open transaction, no more.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from sqlite_utils import Database

from signalkit import ROOT
from signalkit.bars import COLUMNS, by_symbol
from signalkit.errors import StoreError
from signalkit.store.artifacts import Artifacts
from signalkit.store.ledger import GENESIS, Ledger
from signalkit.store.schema import migrate, transaction

_LOCK_WAIT_SECONDS = 30
_BARS = """SELECT time, open, high, low, close, volume FROM bars
    WHERE symbol = ? AND interval = ?"""


def data_folder() -> Path:
    """Folder of database and artifacts: SIGNALKIT_DATA, else `data/` of the project."""
    return Path(os.environ.get("SIGNALKIT_DATA") or ROOT / "data").resolve()


def now() -> str:
    """The present moment as the database writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _frame(rows: list[tuple[float, ...]]) -> pd.DataFrame:
    """Selected bars as a bar table."""
    values = np.array([row[1:] for row in rows], dtype=float).reshape(len(rows), len(COLUMNS))
    times = np.array([row[0] for row in rows], dtype="datetime64[ns]")
    index = pd.DatetimeIndex(times, tz="UTC", name="time")
    return pd.DataFrame(values, index=index, columns=list(COLUMNS))


def _rows(bars: pd.DataFrame, *first: str) -> Iterator[tuple[object, ...]]:
    """Bars as rows of the database: symbol, interval, time, other leading cells, values."""
    times = bars.index.as_unit("ns").asi8.tolist()
    columns = [bars[name].tolist() for name in COLUMNS]
    symbol, interval, *more = first
    cells = zip(times, *columns, strict=True)
    return ((symbol, interval, time, *more, *values) for time, *values in cells)


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


class Store:
    """An opened data folder: `db`, `artifacts`, `ledger`."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.db = database
        self.artifacts = Artifacts(folder / "artifacts")
        self.ledger = Ledger(database)

    @classmethod
    def open(cls, folder: Path | None = None) -> Store:
        """Open a data folder, made and brought to the newest schema where needed.

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
        except (StoreError, sqlite3.Error) as cause:
            database.close()
            raise StoreError(f"{file}: {cause}") from None
        return cls(folder, database)

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def write_bars(self, panel: pd.DataFrame, *, source: str, interval: str, calendar: str) -> None:
        """Store a checked panel: new bars added, changed ones moved to revisions first.

        Parameters
        ----------
        panel : DataFrame indexed by (symbol, time)
            Bars that passed `bars.check`.
        source, interval, calendar : str
            Where they come from, their spacing and their calendar.
        """
        with transaction(self.db):
            for symbol, bars in by_symbol(panel):
                self._write_symbol(symbol, bars, interval)
                self._describe_symbol(symbol, source, interval, calendar)

    def _write_symbol(self, symbol: str, bars: pd.DataFrame, interval: str) -> None:
        """Write the bars that are new or changed; keep what they replace."""
        key = [symbol, interval, *bars.index[[0, -1]].as_unit("ns").asi8.tolist()]
        query = f"{_BARS} AND time BETWEEN ? AND ? ORDER BY time"
        stored = _frame(self.db.execute(query, key).fetchall())
        found = stored.reindex(bars.index)
        same = (found.to_numpy() == bars[list(COLUMNS)].to_numpy()).all(axis=1)
        old = found[~same & found["open"].notna().to_numpy()]
        keep = "INSERT INTO bar_revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self.db.conn.executemany(
            keep, _rows(old, symbol, interval, datetime.now(UTC).isoformat(timespec="microseconds"))
        )
        write = "INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self.db.conn.executemany(write, _rows(bars[~same], symbol, interval))

    def _describe_symbol(self, symbol: str, source: str, interval: str, calendar: str) -> None:
        """Row of `symbols` that says what is stored."""
        span = "SELECT min(time), max(time) FROM bars WHERE symbol = ? AND interval = ?"
        first, last = self.db.execute(span, [symbol, interval]).fetchone()
        row = {"symbol": symbol, "interval": interval, "source": source, "calendar": calendar}
        self.db["symbols"].upsert(
            row | {"first_bar": first, "last_bar": last}, pk=("symbol", "interval")
        )

    def read_bars(self, symbol: str, interval: str) -> pd.DataFrame:
        """One symbol's stored bars, as they are now.

        Raises
        ------
        StoreError
            If none are stored.
        """
        rows = self.db.execute(f"{_BARS} ORDER BY time", [symbol, interval]).fetchall()
        if not rows:
            raise StoreError(f"no {interval} bars of {symbol} are stored; collect them first")
        return _frame(rows)

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

    def lend_ledger(self, folder: Path, head: str) -> None:
        """Write the trial chain up to and with the row `head` into a new data folder."""
        trials = self.ledger.trials()
        heads = [GENESIS, *(trial.hash for trial in trials)]
        if head not in heads:
            raise StoreError(f"the trial ledger has no row {head}")
        with Store.open(folder) as other:
            other.db["trials"].insert_all(asdict(t) for t in trials[: heads.index(head)])

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
