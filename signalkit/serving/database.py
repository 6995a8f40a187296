"""The store as a server uses it: several readers at a time, one writer.

A connection of SQLite serves one thread at a time. Endpoints run in threads that come and go,
so connections are lent, not kept by thread: `reading()` lends one of a few that cannot write,
`writing()` the only one that can. SQLite itself has one writer; waiting for it here, in
order, is better than in SQLite, which polls. In WAL mode readers wait for nobody.
"""

from __future__ import annotations

import math
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from sqlite_utils import Database as Tables

from signalkit.errors import StoreError
from signalkit.store import Store
from signalkit.store.schema import MIGRATIONS

READERS = 8
_STEPS = 20_000  # of SQLite's machine between two looks at the clock
_TRY_AGAIN_SECONDS = 2.0
_WAIT_SECONDS = 10.0


class Database:
    """The store of a folder, lent to one user of a connection at a time.

    Parameters
    ----------
    folder : Path
        The data folder; it is opened when first asked for, so that a server starts on one
        that is broken and says so.
    seconds : float
        Longest time that a reader may compute; then SQLite interrupts it.
    """

    def __init__(self, folder: Path, *, seconds: float = 10.0) -> None:
        self.folder = folder
        self.seconds = seconds
        self._idle: queue.LifoQueue[Store] = queue.LifoQueue()
        self._free = threading.BoundedSemaphore(READERS)
        self._opening = threading.Lock()
        self._writer_lock = threading.Lock()
        self._writer: Store | None = None
        self._refused: tuple[float, str | None] = -math.inf, None
        self._opened = False

    @property
    def file(self) -> Path:
        """The database's file."""
        return self.folder / "signalkit.db"

    def prepare(self) -> None:
        """Bring the database to the newest schema, once.

        Raises
        ------
        StoreError
            If that cannot be; it is tried again after two seconds.
        """
        if self._opened:
            return
        with self._opening:
            if self._opened:
                return
            when, refused = self._refused
            if time.monotonic() - when > _TRY_AGAIN_SECONDS:
                refused = self._open()
                self._refused = time.monotonic(), refused
            if refused is not None:
                raise StoreError(refused)

    def _open(self) -> str | None:
        """What keeps the database from being used; nothing where it can at least be read."""
        try:
            Store.open(self.folder).close()
        except StoreError as cause:
            return None if self._fits() else str(cause)
        self._opened = True
        return None

    def _fits(self) -> bool:
        """Whether the database has this schema and can be read."""
        with suppress(sqlite3.Error), closing(self._reader()) as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            return found == len(MIGRATIONS)
        return False

    def _connect(self, mode: str) -> sqlite3.Connection:
        """A connection that any thread may use, one at a time."""
        name = f"{self.file.absolute().as_uri()}?{mode}"
        return sqlite3.connect(name, uri=True, timeout=_WAIT_SECONDS, check_same_thread=False)

    def _reader(self) -> sqlite3.Connection:
        """A connection that cannot write.

        SQLite needs a file of its own beside a database in WAL mode. Where the folder takes
        none and nothing waits in the log, the file is read as one that nobody changes.
        """
        connection = self._connect("mode=ro")
        try:
            connection.execute("PRAGMA schema_version")
        except sqlite3.OperationalError:
            connection.close()
            log = self.file.with_name(f"{self.file.name}-wal")
            if os.access(self.folder, os.W_OK) or (log.exists() and log.stat().st_size):
                raise
            connection = self._connect("immutable=1")
        return connection

    def _store(self, *, write: bool) -> Store:
        """The store over a new connection."""
        try:
            return Store(self.folder, Tables(self._connect("mode=rw") if write else self._reader()))
        except sqlite3.Error as cause:
            raise StoreError(f"{self.file} cannot be opened ({cause})") from None

    def _taken(self) -> Store:
        """A reader that nobody has, made where there is none."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._store(write=False)

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """A store to read from; whatever would write is refused by SQLite.

        Raises
        ------
        StoreError
            If the database cannot be opened, or all readers are busy for ten seconds.
        """
        self.prepare()
        if not self._free.acquire(timeout=_WAIT_SECONDS):
            raise StoreError(f"all {READERS} readers of the database are busy; ask again")
        try:
            store = self._taken()
            until = time.monotonic() + self.seconds
            store.db.conn.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            try:
                yield store
            finally:
                store.db.conn.rollback()  # ends what a reader left open
                self._idle.put(store)
        finally:
            self._free.release()

    @contextmanager
    def writing(self) -> Iterator[Store]:
        """The store to write to; who asks for it waits for whoever has it.

        Raises
        ------
        StoreError
            If the database cannot be opened, or the writer is busy for ten seconds.
        """
        self.prepare()
        if not self._writer_lock.acquire(timeout=_WAIT_SECONDS):
            raise StoreError("the writer of the database is busy; ask again")
        try:
            if self._writer is None:
                self._writer = self._store(write=True)
            try:
                yield self._writer
            finally:
                self._writer.db.conn.rollback()
        finally:
            self._writer_lock.release()

    def close(self) -> None:
        """Close all connections that are not lent."""
        with self._writer_lock:
            if self._writer is not None:
                self._writer.close()
            self._writer = None
        while not self._idle.empty():
            self._idle.get_nowait().close()


async def of_server(request: Request) -> Database:
    """The database of the server that was asked."""
    return request.app.state.database


# what an endpoint asks for: `def models(database: Lent): with database.reading() as store:`
Lent = Annotated[Database, Depends(of_server)]
