"""Training sessions: what is being trained, how far it is, and how it ended.

The one rule: a row says `running` only while a process trains. A session holds a lock that
the kernel takes back when its process ends; a running row whose lock is free was killed, and
whoever looks next notes it as interrupted. The next session of the same identity takes that
row up again. A session inside a job works on the job's row, which ends with the job.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from sqlite_utils import Database

from signalkit.errors import ParamsError, StoreError
from signalkit.store.jobs import Jobs, failure, now
from signalkit.store.locks import Lock
from signalkit.store.names import check_name
from signalkit.store.schema import transaction

# a look at a lock holds it for an instant; who wants it waits that long
_PATIENCE_SECONDS = 1.0

_COLUMNS = """id, model, status, progress, started, finished, rows, error, identity, study, jobs,
    done, resumed, process, asked, asked_by, made"""
_READ = f"SELECT {_COLUMNS} FROM ml_training_sessions ORDER BY id"  # noqa: S608 - constant
_PAGE = f"""SELECT {_COLUMNS} FROM ml_training_sessions
    WHERE id < coalesce(:before, id + 1) AND id = coalesce(:id, id)
    AND status = coalesce(:status, status) ORDER BY id DESC LIMIT :limit"""  # noqa: S608
_LEFT = """SELECT id FROM ml_training_sessions WHERE identity = ? AND asked IS NULL
    AND status IN ('running', 'interrupted') ORDER BY id DESC LIMIT 1"""
# the job that this process does: it does one at a time
_MINE = """SELECT id FROM ml_training_sessions WHERE process = ? AND asked IS NOT NULL
    AND status = 'running' ORDER BY id DESC LIMIT 1"""
_COMPLETED = """UPDATE ml_training_sessions
    SET status = 'completed', finished = ?, progress = 1.0, done = jobs
    WHERE identity = ? AND asked IS NULL AND status = 'interrupted'"""
_INTERRUPTED = """UPDATE ml_training_sessions SET status = 'interrupted', finished = ?
    WHERE id = ? AND status = 'running'"""
_DEAD = """UPDATE ml_training_sessions SET status = 'interrupted', finished = ?
    WHERE identity = ? AND asked IS NULL AND status = 'running'"""
_RUNNING = """SELECT id, CASE WHEN asked IS NULL THEN identity ELSE 'job-' || id END
    FROM ml_training_sessions WHERE status = 'running'"""


@dataclass(frozen=True)
class Training:
    """One row of the sessions; `started` and `finished` are UTC, ISO 8601.

    `asked`, `asked_by` and `made` are those of a job: what and who asked, and the numbers of
    the models that came of it; None of a session that a command began.
    """

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
    asked: dict[str, Any] | None = None
    asked_by: str | None = None
    made: list[int] | None = None


def _read(row: Sequence[Any]) -> Training:
    """A row of the table as the sessions tell it."""
    *plain, asked, asked_by, made = row
    told = None if asked is None else json.loads(asked)
    return Training(*plain, told, asked_by, None if made is None else json.loads(made))


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
        self._inside = False  # a job, whose row ends with it

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
        mine = self._db.execute(_MINE, [os.getpid()]).fetchone()
        if mine is not None:
            self.id, self._inside = mine[0], True
            self.resumed = table.get(self.id)["resumed"]
            self._db.execute(_DEAD, [now(), self._asked["identity"]])  # its lock is ours
            table.update(self.id, {k: v for k, v in self._asked.items() if k != "model"})
            return
        row = self._asked | {"status": "running", "process": os.getpid()}
        left = self._db.execute(_LEFT, [self._asked["identity"]]).fetchone()
        if left is None:
            self.id = int(table.insert(row | {"started": now()}).last_pk)
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
        told: dict[str, str | int | float | None] = {}
        if not self._inside:
            told = {"finished": now(), "status": "completed" if kind is None else "interrupted"}
        if kind is None:
            told |= {"progress": 1.0, "done": self._asked["jobs"]}
        elif issubclass(kind, Exception) and not self._inside:
            told |= {"status": "failed", "error": failure(kind, cause)}
        with ExitStack() as after:
            after.callback(self._lock.release)
            with transaction(self._db):
                self._db["ml_training_sessions"].update(self.id, told)


class Sessions(Jobs):
    """The training sessions of a store."""

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
            earlier session of the identity that was interrupted is taken up again. Inside a job
            it is the job's row, which the job ends.

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
        return [_read(row) for row in self._db.execute(_READ)]

    def page(
        self,
        *,
        status: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Training]:
        """Sessions, newest first, as their rows say; it writes nothing.

        Parameters
        ----------
        status : str, optional
            Those of one status.
        before : int, optional
            Older than the session of this number.
        limit : int
            Sessions at most.
        """
        asked = {"status": status, "before": before, "limit": limit, "id": None}
        return [_read(row) for row in self._db.execute(_PAGE, asked)]

    def find(self, id: int) -> Training | None:
        """The session of a number as its row says, None where there is none."""
        asked = {"status": None, "before": None, "limit": 1, "id": id}
        row = self._db.execute(_PAGE, asked).fetchone()
        return None if row is None else _read(row)

    def settle(self) -> None:
        """Note as interrupted what says running and has no process any more."""
        dead = self.dead()
        if not dead:
            return
        with transaction(self._db), ExitStack() as after:
            for number in self._held(dead, after):
                self._db.execute(_INTERRUPTED, [now(), number])

    def dead(self) -> dict[int, str]:
        """Sessions that say running and have no process any more, with the name of their lock."""
        running = self._db.execute(_RUNNING).fetchall()
        return {number: lock for number, lock in running if self._is_free(lock)}

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
            self._db.execute(_COMPLETED, [now(), identity])

    def _held(self, dead: Mapping[int, str], after: ExitStack) -> Iterator[int]:
        """Those whose locks could be taken; they are let go of afterwards."""
        for number, name in dead.items():
            lock = self._lock(name)
            if lock.take():  # nobody took the row up since it was seen
                after.callback(lock.release)
                yield number
