"""The desk of the predictor: one thread that owns it, and a short line before it.

Models and warm features are loaded once and asked one at a time. Who would wait long is sent
away instead.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastapi import Request
from sqlite_utils import Database as Tables

from signalkit.inference import Predictor
from signalkit.serving.database import Database
from signalkit.serving.problems import Problem
from signalkit.store import Store

LONGEST_LINE = 32
_WAIT_SECONDS = 10.0
T = TypeVar("T")


class Desk:
    """The predictor of a server."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predictor")
        self._line = 0
        self._predictor: Predictor | None = None
        self._store: Store | None = None

    async def ask(self, question: Callable[[Predictor], T]) -> T:
        """What the predictor answers.

        Raises
        ------
        Problem
            503 where too many wait.
        """
        if self._line >= LONGEST_LINE:
            words = f"{LONGEST_LINE} wait for the predictor already; ask again"
            raise Problem(503, words, headers={"Retry-After": "2"})
        self._line += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._answer, question)
        finally:
            self._line -= 1

    def _answer(self, question: Callable[[Predictor], T]) -> T:
        """The answer, in the thread that owns the predictor."""
        if self._predictor is None:
            self._database.prepare()
            name = f"{self._database.file.absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(
                name, uri=True, timeout=_WAIT_SECONDS, check_same_thread=False
            )
            self._store = Store(self._database.folder, Tables(connection))
            self._predictor = Predictor(self._store)
        return question(self._predictor)

    def close(self) -> None:
        """End the thread and close its connection."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._store is not None:
            self._store.close()


async def of_server(request: Request) -> Desk:
    """The desk of the server that was asked, made at the first question."""
    state = request.app.state
    if not hasattr(state, "desk"):
        state.desk = Desk(state.database)
    return state.desk
