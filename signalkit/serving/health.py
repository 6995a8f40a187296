"""Whether the server can do its work, part by part, and what answers where a part fails.

`/healthz` says that the process lives, `/readyz` what it can do. Both answer without a token
and tell no path, no name of a symbol and no token; the parts are looked at every five seconds
at most, however often they are asked for.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from signalkit.errors import StoreError
from signalkit.inference.choice import former
from signalkit.serving.database import Database
from signalkit.store import Registered, Store

router = APIRouter(tags=["health"])

_KEPT_SECONDS = 5.0
_CHECKED_SECONDS = 600.0
_LEAST_BYTES = 64 << 20
_LATE_SECONDS = 120.0
_DIRECTION = "signal_direction"

State = Literal["ok", "off", "degraded", "broken"]


class Part(BaseModel):
    """One part: `broken` ones keep the server from its work, `degraded` ones have a stand-in."""

    state: State
    detail: str


class Readiness(BaseModel):
    """All parts; `not_ready` where one is broken, `degraded` where one is degraded."""

    status: Literal["ready", "degraded", "not_ready"]
    parts: dict[str, Part]


class Liveness(BaseModel):
    """The process lives."""

    status: Literal["alive"] = "alive"


class Health:
    """The health of one server.

    Parameters
    ----------
    database : Database
        The store that is looked at.
    clock : callable
        Seconds that only grow.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._read: tuple[float, Readiness | None] = (0.0, None)
        self._checked: tuple[float, str] | None = None
        self._whole: dict[str, tuple[object, ...]] = {}

    def readiness(self) -> Readiness:
        """All parts as they were at most five seconds ago."""
        with self._lock:
            then, found = self._read
            if found is None or self._clock() - then >= _KEPT_SECONDS:
                found = self._look()
                self._read = self._clock(), found
            return found

    def _look(self) -> Readiness:
        """All parts as they are now."""
        parts = {"disk": self._disk(), "database": self._guarded(self._schema)}
        if parts["database"].state == "ok":
            parts |= {"database": self._guarded(self._writable)}
        for name, look in (("models", self._models), ("loop", _loop), ("worker", _worker)):
            parts[name] = self._guarded(lambda look=look: self._with_store(look))
        states = {part.state for part in parts.values()}
        found = "not_ready" if "broken" in states else "degraded"
        return Readiness(status=found if states & {"broken", "degraded"} else "ready", parts=parts)

    def _with_store(self, look: Callable[[Store], Part]) -> Part:
        """What a look into the store finds."""
        with self._database.reading() as store:
            return look(store)

    def _guarded(self, look: Callable[[], Part]) -> Part:
        """What a look finds; a part that cannot be looked at is broken."""
        try:
            return look()
        except (StoreError, sqlite3.Error, OSError) as cause:
            words = str(cause).replace(str(self._database.folder), "the data folder")
            return Part(state="broken", detail=words)

    def _schema(self) -> Part:
        """Whether the database is ours, not newer, and whole."""
        self._database.prepare()
        now = self._clock()
        if self._checked is None or now - self._checked[0] >= _CHECKED_SECONDS:
            with self._database.reading() as store:
                told = store.db.execute("PRAGMA quick_check(1)").fetchone()[0]
            self._checked = now, told
        told = self._checked[1]
        words = f"SQLite says of the database: {told}; restore it from a copy"
        return (
            Part(state="ok", detail="whole") if told == "ok" else Part(state="broken", detail=words)
        )

    def _writable(self) -> Part:
        """Whether the database can be written."""
        name = f"{self._database.file.absolute().as_uri()}?mode=rw"
        try:
            with closing(sqlite3.connect(name, uri=True, timeout=1.0)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        except sqlite3.OperationalError as cause:
            if "locked" in str(cause):
                return Part(state="degraded", detail="another process writes; reading goes on")
            words = f"cannot be written ({cause}); what is stored is still read"
            return Part(state="broken", detail=words)
        return Part(state="ok", detail="whole, can be written")

    def _disk(self) -> Part:
        """Whether there is room, and files can be written."""
        folder = self._database.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(4_096))
        except OSError as cause:
            words = f"files cannot be written ({cause.strerror}); what is stored is still read"
            return Part(state="broken", detail=words)
        told = f"{free >> 20:,} MiB are free"
        if free < _LEAST_BYTES:
            return Part(
                state="broken", detail=f"{told}; make room, {_LEAST_BYTES >> 20} are needed"
            )
        return Part(state="ok", detail=told)

    def _models(self, store: Store) -> Part:
        """Whether the files of each deployed model are those that were stored."""
        deployed = [m for m in store.models.list() if m.status == "deployed"]
        if not deployed:
            return Part(state="off", detail="none is deployed; signalkit models deploy ID")
        broken = [model for model in deployed if not self._is_whole(store, model)]
        if not broken:
            return Part(state="ok", detail=f"{len(deployed)} deployed, files as stored")
        told = [
            f"model {model.id}: files are missing or changed, {self._instead(store, model)}"
            for model in broken
        ]
        return Part(state="degraded", detail="; ".join(told))

    def _is_whole(self, store: Store, model: Registered) -> bool:
        """Whether a model's files fit its hash; read again only where one was touched."""
        try:
            found = sorted((store.models.folder / model.identity).iterdir())
            seen = (
                model.sha256,
                *((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in found),
            )
            if self._whole.get(model.identity) != seen:
                store.models.files(model.id)
                self._whole[model.identity] = seen
        except (OSError, StoreError):
            return False
        return True

    def _instead(self, store: Store, model: Registered) -> str:
        """Who answers for a broken model, in the order that inference asks."""

        def same(other: Registered) -> bool:
            asked = (other.target_variable, other.prediction_horizon, other.interval)
            mine = (model.target_variable, model.prediction_horizon, model.interval)
            return asked == mine and set(model.symbols) <= set(other.symbols)

        rest = [m for m in store.models.list() if m.status == "deployed" and m.id != model.id]
        for other in filter(same, rest):
            if self._is_whole(store, other):
                return f"model {other.id} answers"
        for other in former(store, model):
            if self._is_whole(store, other):
                return f"model {other.id}, deployed before, answers"
        rule = model.target_variable == _DIRECTION
        return "the rule answers" if rule else "nothing answers; train it again"


def _beat(store: Store, key: str) -> Part:
    """A process that keeps a state of itself: `process`, `due` (ISO 8601), `stopped`."""
    state, changed = store.watch.state(key), store.watch.changed(key)
    if state is None or changed is None:
        return Part(state="off", detail="it never ran here")
    if state.get("stopped"):
        return Part(state="off", detail=f"it was stopped, {changed}")
    if "process" in state and not _lives(int(state["process"])):
        return Part(state="degraded", detail=f"its process is gone; it was last seen {changed}")
    due = datetime.fromisoformat(state.get("due") or changed)
    late = (datetime.now(UTC) - due).total_seconds()
    if "due" in state and late > _LATE_SECONDS:
        return Part(state="degraded", detail=f"it is {late:,.0f} s late; last seen {changed}")
    told = f"last seen {changed}"
    return Part(state="ok", detail=f"{told}, due {state['due']}" if "due" in state else told)


def _lives(process: int) -> bool:
    """Whether a process of this computer lives."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _loop(store: Store) -> Part:
    """The process that predicts each new bar."""
    return _beat(store, "heartbeat")


def _worker(store: Store) -> Part:
    """The process that trains, and what waits for it."""
    part = _beat(store, "worker")
    asked = "SELECT count(*) FROM ml_training_sessions WHERE status = 'queued'"
    waiting = store.db.execute(asked).fetchone()[0]
    if waiting and part.state == "off":
        words = f"{waiting} trainings wait and no worker runs; signalkit work"
        return Part(state="degraded", detail=words)
    return part


@router.get("/healthz")
def healthz() -> Liveness:
    """Whether the process lives."""
    return Liveness()


@router.get("/readyz", responses={503: {"model": Readiness}})
def readyz(request: Request, response: Response) -> Readiness:
    """What the server can do: 503 where a part is broken, 200 where all work or have a stand-in."""
    found: Readiness = request.app.state.health.readiness()
    response.status_code = 503 if found.status == "not_ready" else 200
    return found
