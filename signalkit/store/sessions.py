"""Training sessions: what is being trained, how far it is, and how it ended.

The one rule: a row says `running` only while a process trains. A session holds a lock that
the kernel takes back when its process ends; a running row whose lock is free was killed, and
whoever looks next notes it as interrupted. The next session of the same identity takes that
row up again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from sqlite_utils import Database

from signalkit.errors import ParamsError, StoreError
from signalkit.store.locks import Lock
from signalkit.store.names import check_name
from signalkit.store.schema import transaction

# a look at a lock holds it for an instant; who wants it waits that long
_PATIENCE_SECONDS = 1.0
_LONGEST_ERROR = 2_000  # characters

_COLUMNS = """id, model, status, progress, started, finished, rows, error, identity, study, jobs,
    done, resumed, process"""
_READ = f"SELECT {_COLUMNS} FROM ml_training_sessions ORDER BY id"  # noqa: S608 - constant
_LEFT = """SELECT id FROM ml_training_sessions
    WHERE identity = ? AND status IN ('running', 'interrupted') ORDER BY id DESC LIMIT 1"""
_COMPLETED = """UPDATE ml_training_sessions
    SET status = 'completed', finished = ?, progress = 1.0, done = jobs
    WHERE identity = ? AND status = 'interrupted'"""
_INTERRUPTED = """UPDATE ml_training_sessions SET status = 'interrupted', finished = ?
    WHERE identity = ? AND status = 'running'"""


@dataclass(frozen=True)
class Training:
    """One row of the sessions; `started` and `finished` are UTC, ISO 8601."""

    id: int
    model: str
    status: str
    progress: float
    started: str | None
    finished: str | None
    rows: int | None
    error: str | None
    identity: str | None
    study: str | None
    jobs: int
    done: int
    resumed: int
    process: int | None


def _now() -> str:
    """The present moment as the database writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Session:
    """A session of this process: `with` it, the row runs; leaving it, the row is finished.

    `id` is the number of its row, `resumed` how often it was taken up again.
    """

    def __init__(self, database: Database, lock: Lock, asked: dict[str, str | int | None]) -> None:
        self._db = database
        self._lock = lock
        self._asked = asked
        self.id = 0
        self.resumed = 0

    def __enter__(self) -> Session:
        self._take()
        with ExitStack() as undo:
            undo.callback(self._lock.release)
            with transaction(self._db):
                self._begin()
            undo.pop_all()
        return self

    def _take(self) -> None:
        """Hold the lock of the identity."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while not self._lock.take():
            if time.monotonic() > until:
                raise StoreError(
                    f"{self._asked['model']} ({self._asked['identity']}) is being trained by"
                    f" {self._holder()}; wait for it"
                )
            time.sleep(0.02)

    def _holder(self) -> str:
        """The process that holds the lock, as far as its row says."""
        held = "identity = ? AND status = 'running'"
        rows = self._db["ml_training_sessions"].rows_where(held, [self._asked["identity"]])
        return next((f"process {row['process']}" for row in rows), "another process")

    def _begin(self) -> None:
        """Take up the row that an earlier process left, or make one."""
        table = self._db["ml_training_sessions"]
        row = self._asked | {"status": "running", "process": os.getpid()}
        left = self._db.execute(_LEFT, [self._asked["identity"]]).fetchone()
        if left is None:
            self.id = int(table.insert(row | {"started": _now()}).last_pk)
            return
        self.id = left[0]
        self.resumed = table.get(self.id)["resumed"] + 1
        table.update(self.id, row | {"resumed": self.resumed, "finished": None, "error": None})

    def progress(self, done: int, rows: int | None = None) -> None:
        """Note how far it is.

        Parameters
        ----------
        done : int
            Jobs that are finished, those of earlier processes among them.
        rows : int, optional
            Rows that came of them so far.

        Raises
        ------
        ParamsError
            If that many jobs were never announced.
        """
        jobs = int(self._asked["jobs"])
        if not 0 <= done <= jobs:
            raise ParamsError(f"done must be 0 to {jobs}, the jobs of the session, was {done}")
        told = {"done": done, "progress": done / jobs} | ({} if rows is None else {"rows": rows})
        with transaction(self._db):
            self._db["ml_training_sessions"].update(self.id, told)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        cause: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        told: dict[str, str | int | float | None] = {"finished": _now()}
        if kind is None:
            told |= {"status": "completed", "progress": 1.0, "done": self._asked["jobs"]}
        elif issubclass(kind, Exception):
            error = f"{kind.__name__}: {cause}"[:_LONGEST_ERROR]
            told |= {"status": "failed", "error": error}
        else:
            told["status"] = "interrupted"
        with ExitStack() as after:
            after.callback(self._lock.release)
            with transaction(self._db):
                self._db["ml_training_sessions"].update(self.id, told)


class Sessions:
    """The training sessions of a store."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._db = database
        self.folder = folder

    def open(self, model: str, identity: str, *, jobs: int, study: str | None = None) -> Session:
        """A session, to be entered with `with`.

        Parameters
        ----------
        model : str
            What is trained.
        identity : str
            Identity of what comes of it; one process at a time trains it.
        jobs : int
            Number of jobs it consists of, such as folds times models; at least 1.
        study : str, optional
            Name of the study that asked for it.

        Returns
        -------
        Session
            Entered, its row is `running`. Left, it is `completed`; `failed` with the message
            of an error, which goes on; `interrupted` by Ctrl-C or an exit. The row of an
            earlier session of the identity that was interrupted is taken up again.

        Raises
        ------
        ParamsError
            If there are no jobs, or the identity could not name a file.
        StoreError
            When it is entered, if another process or thread is training that identity.
        """
        check_name(identity, "identity")
        if jobs < 1:
            raise ParamsError(f"jobs must be at least 1, was {jobs}")
        asked = {"model": model, "identity": identity, "jobs": jobs, "study": study}
        return Session(self._db, self._lock(identity), asked)

    def list(self) -> list[Training]:
        """Every session, oldest first, after noting those whose process was killed."""
        self.settle()
        return [Training(*row) for row in self._db.execute(_READ)]

    def settle(self) -> None:
        """Note as interrupted what says running and has no process any more."""
        dead = [identity for identity in self._running() if self._is_free(identity)]
        if not dead:
            return
        with transaction(self._db), ExitStack() as after:
            for identity in self._held(dead, after):
                self._db.execute(_INTERRUPTED, [_now(), identity])

    def complete(self, identity: str) -> None:
        """Note as completed what stored its result and was killed before it could say so.

        Parameters
        ----------
        identity : str
            Identity of a result that is in the store.
        """
        self.settle()
        if self._db.execute(_LEFT, [identity]).fetchone() is None:
            return
        with transaction(self._db):
            self._db.execute(_COMPLETED, [_now(), identity])

    def _running(self) -> list[str]:
        """Identities that say that they run."""
        query = "SELECT identity FROM ml_training_sessions WHERE status = 'running'"
        return [identity for (identity,) in self._db.execute(query)]

    def _held(self, identities: Iterable[str], after: ExitStack) -> Iterable[str]:
        """Those whose locks could be taken; they are let go of afterwards."""
        for identity in identities:
            lock = self._lock(identity)
            if lock.take():  # nobody took the row up since it was seen
                after.callback(lock.release)
                yield identity

    def _is_free(self, identity: str) -> bool:
        """Whether nobody holds the lock of an identity."""
        lock = self._lock(identity)
        free = lock.take()
        lock.release()
        return free

    def _lock(self, identity: str) -> Lock:
        """The lock of an identity."""
        return Lock(self.folder / f"{identity}.lock")
