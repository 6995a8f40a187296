"""Queueing a job for the worker, by API and dashboard alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from signalkit.serving.database import Database
from signalkit.serving.problems import Problem
from signalkit.serving.schemas import Queued

MOST_QUEUED = 100
SESSIONS = "/api/ml/training-sessions"


def queue(
    database: Database, request: Request, response: Response, asked: Mapping[str, Any]
) -> Queued:
    """Queue a job and say where it can be followed.

    Raises
    ------
    Problem
        429 where too many wait.
    """
    with database.writing() as store:
        if store.sessions.waiting() >= MOST_QUEUED:
            words = f"{MOST_QUEUED} jobs wait already; cancel some, or see to the worker"
            raise Problem(429, words, headers={"Retry-After": "60"})
        number = store.sessions.queue(asked, asked_by=request.state.visitor.actor)
    response.headers["Location"] = f"{SESSIONS}/{number}/"
    return Queued(session_id=number, status="queued")
