"""Progress of training sessions as server-sent events.

One look at the row of a session serves all who listen to it; nobody listens, nobody looks.
An event's id is a digest of what it says, so that who comes back is not told twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from fastapi import Request, Response
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from signalkit.errors import StoreError
from signalkit.serving.database import Database
from signalkit.serving.problems import Problem
from signalkit.store import Training

_LOG = logging.getLogger("signalkit.serving")
LOOK_SECONDS = 0.5
_SETTLE_EVERY = 10  # looks; a killed worker is noticed after five seconds
_HEARTBEAT_SECONDS = 15
MOST_LISTENERS = 128
_OVER = ("completed", "failed", "interrupted")


class Watcher:
    """What is known of the sessions that somebody listens to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listening: dict[int, int] = {}
        self._known: dict[int, Training | None] = {}
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listen."""
        return sum(self._listening.values())

    async def follow(self, id: int, seen: str | None) -> AsyncIterator[dict[str, str]]:
        """Events of a session from now until it ends, without the one that was seen last."""
        self._listening[id] = self._listening.get(id, 0) + 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            while True:
                session = self._known.get(id)
                if session is not None:
                    told = event(session)
                    if told["id"] != seen:
                        seen = told["id"]
                        yield told
                    if session.status in _OVER:
                        return
                async with self._changed:
                    await self._changed.wait()
        finally:
            self._listening[id] -= 1
            if not self._listening[id]:
                del self._listening[id]
                self._known.pop(id, None)
            if not self._listening:
                self._task.cancel()  # it may take as long as a look; who comes next has one anew
                self._task = None

    async def _look(self) -> None:
        """Read the rows that somebody listens to, until nobody does."""
        looks = 0
        while self._listening:
            asked = list(self._listening)
            try:
                found = await run_in_threadpool(self._read, asked, looks % _SETTLE_EVERY == 0)
            except (StoreError, sqlite3.Error) as cause:  # it is looked at again
                _LOG.warning("sessions could not be read: %s", cause)
            else:
                self._known |= {id: row for id, row in found.items() if id in self._listening}
            async with self._changed:
                self._changed.notify_all()
            looks += 1
            await asyncio.sleep(LOOK_SECONDS)

    def _read(self, asked: list[int], settle: bool) -> dict[int, Training | None]:
        """The rows of some sessions."""
        with self._database.reading() as store:
            dead = store.sessions.dead() if settle else {}
        if dead:
            with self._database.writing() as store:
                store.sessions.settle()
        with self._database.reading() as store:
            return {id: store.sessions.find(id) for id in asked}


def event(session: Training) -> dict[str, str]:
    """What is sent of a session."""
    told: dict[str, Any] = asdict(session)
    told.pop("process")
    data = json.dumps(told)
    kind = "end" if session.status in _OVER else "progress"
    return {"event": kind, "id": sha256(data.encode()).hexdigest()[:16], "data": data}


async def events(request: Request, database: Database, id: int) -> Response:
    """The stream of a session; no content for who knows already how it ended.

    Raises
    ------
    Problem
        404 where there is no such session, 503 where too many listen.
    """

    def now() -> Training | None:
        with database.reading() as store:
            return store.sessions.find(id)

    session, seen = await run_in_threadpool(now), request.headers.get("last-event-id")
    if session is None:
        raise Problem(404, f"there is no training session {id}")
    if session.status in _OVER and event(session)["id"] == seen:
        return Response(status_code=204)  # a browser does not come back then
    state = request.app.state
    if not hasattr(state, "watcher"):
        state.watcher = Watcher(database)
    if state.watcher.listeners >= MOST_LISTENERS:
        words = f"{MOST_LISTENERS} listen already; ask for the session itself"
        raise Problem(503, words, headers={"Retry-After": "10"})
    return EventSourceResponse(state.watcher.follow(id, seen), ping=_HEARTBEAT_SECONDS)
