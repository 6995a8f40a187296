"""Jobs: training sessions that are asked for now and done by a worker process later.

The one rule: a job is one row of the sessions from its asking to its end. A worker that does it
holds the job's lock; killed, it leaves a row that whoever looks next notes as interrupted, and
that can be queued again.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlite_utils import Database

from signalkit.errors import ParamsError
from signalkit.store import audit
from signalkit.store.locks import Lock
from signalkit.store.schema import transaction

LONGEST_ERROR = 2_000  # characters

_QUEUED = "SELECT id, asked FROM ml_training_sessions WHERE status = 'queued' ORDER BY id"
_TAKE = """UPDATE ml_training_sessions SET status = 'running', process = ?, finished = NULL,
    error = NULL, started = coalesce(started, ?) WHERE id = ? AND status = 'queued'"""
_FIND = "SELECT status, asked, process FROM ml_training_sessions WHERE id = ?"
# what a worker was told while it ran stays where it has nothing to say itself
_END = """UPDATE ml_training_sessions SET status = :status, finished = :finished, made = :made,
    error = coalesce(:error, error), progress = iif(:made IS NULL, progress, 1.0)
    WHERE id = :id"""
_AGAIN = """UPDATE ml_training_sessions SET status = 'queued', resumed = resumed + 1,
    finished = NULL, error = NULL, process = NULL WHERE id = ?"""
_CANCELLED = "UPDATE ml_training_sessions SET status = ?, finished = ?, error = ? WHERE id = ?"


def now() -> str:
    """The present moment as the database writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def failure(kind: type[BaseException], cause: BaseException | None) -> str:
    """An error as a row tells it."""
    return f"{kind.__name__}: {cause}"[:LONGEST_ERROR]


class Job:
    """A job that this process does: `with` it, what is inside is its work.

    Left, its row is `completed` with what was given to `make`; `failed` with the message of an
    error, which goes on; `interrupted` by a stop.
    """

    def __init__(self, database: Database, lock: Lock, id: int, asked: dict[str, Any]) -> None:
        self._db = database
        self._lock = lock
        self.id = id
        self.asked = asked
        self._made: list[int] = []

    def make(self, numbers: Sequence[int]) -> None:
        """Say which models came of it; they are written when it ends."""
        self._made = list(numbers)

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        cause: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        error, made, status = None, None, "interrupted"
        if kind is None:
            status, made = "completed", json.dumps(self._made)
        elif issubclass(kind, Exception):
            status, error = "failed", failure(kind, cause)
        with ExitStack() as after:
            after.callback(self._lock.release)
            with transaction(self._db):
                told = {"status": status, "finished": now(), "made": made}
                self._db.execute(_END, told | {"error": error, "id": self.id})


class Jobs:
    """The queue among the training sessions of a store."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._db = database
        self.folder = folder

    def queue(self, asked: Mapping[str, Any], *, asked_by: str) -> int:
        """Ask for a job.

        Parameters
        ----------
        asked : mapping
            `kind` and what it needs, JSON values: `train` with the words of `signalkit train`,
            `again` or `backtest` with the number of a `model`.
        asked_by : str
            Who asks, for the audit.

        Returns
        -------
        int
            Number of its session, which is `queued`.

        Raises
        ------
        ParamsError
            If it is no JSON.
        """
        try:
            told = json.dumps(dict(asked), allow_nan=False, sort_keys=True)
        except (TypeError, ValueError) as cause:
            raise ParamsError(f"what is asked of a job is not JSON: {cause}") from None
        named = asked.get("model_type") or f"{asked.get('kind')} of model {asked.get('model')}"
        row = {"model": named, "status": "queued", "asked": told, "asked_by": asked_by}
        with transaction(self._db):
            number = int(self._db["ml_training_sessions"].insert(row).last_pk)
            audit.note(self._db, asked_by, "queue", f"session {number}", asked)
        return number

    def waiting(self) -> int:
        """How many jobs are queued."""
        return len(self._db.execute(_QUEUED).fetchall())

    def take(self) -> Job | None:
        """The oldest queued job, for this process to do; None where nothing is queued."""
        for number, asked in self._db.execute(_QUEUED).fetchall():
            lock = self._job_lock(number)
            if not lock.take():
                continue
            with ExitStack() as undo:
                undo.callback(lock.release)
                with transaction(self._db):
                    told = [os.getpid(), now(), number]
                    taken = self._db.execute(_TAKE, told).rowcount
                if taken:
                    undo.pop_all()
                    return Job(self._db, lock, number, json.loads(asked))
        return None

    def resume(self, id: int, *, actor: str) -> None:
        """Queue a job again that was interrupted or failed; what is finished of it is kept.

        Raises
        ------
        ParamsError
            If there is no such session, it is not one of these, or no job.
        """
        with transaction(self._db):
            status, asked, _ = self._found(id)
            if status not in ("interrupted", "failed"):
                raise ParamsError(f"session {id} is {status}; only what ended early can go on")
            if asked is None:
                raise ParamsError(
                    f"session {id} was begun by a command; give that again, and it goes on"
                )
            self._db.execute(_AGAIN, [id])
            audit.note(self._db, actor, "resume", f"session {id}")

    def cancel(self, id: int, *, actor: str) -> str:
        """Stop a job: one that waits fails at once, the worker of one that runs is stopped.

        Returns
        -------
        str
            `failed`, or `running` until its worker has ended; then it is `interrupted`.

        Raises
        ------
        ParamsError
            If there is no such session, it is over, or a command trains it.
        """
        words = f"cancelled by {actor}"
        with transaction(self._db):
            status, asked, process = self._found(id)
            if status not in ("queued", "running"):
                raise ParamsError(f"session {id} is {status}; there is nothing to cancel")
            if asked is None:
                raise ParamsError(
                    f"session {id} is trained by a command, process {process}; stop that one"
                )
            ended = (now(), "failed") if status == "queued" else (None, "running")
            self._db.execute(_CANCELLED, [ended[1], ended[0], words, id])
            audit.note(self._db, actor, "cancel", f"session {id}")
            if status == "running" and not self._is_free(f"job-{id}"):
                # who holds the lock wrote its number, and cannot end a job while we write
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
        return ended[1]

    def _found(self, id: int) -> tuple[str, str | None, int | None]:
        """Status, what was asked and process of a session."""
        row = self._db.execute(_FIND, [id]).fetchone()
        if row is None:
            raise ParamsError(f"there is no session {id}")
        return row

    def _is_free(self, name: str) -> bool:
        """Whether nobody holds a lock."""
        lock = self._lock(name)
        free = lock.take()
        lock.release()
        return free

    def _job_lock(self, id: int) -> Lock:
        """The lock of a job."""
        return self._lock(f"job-{id}")

    def _lock(self, name: str) -> Lock:
        """The lock of an identity or a job."""
        return Lock(self.folder / f"{name}.lock")
