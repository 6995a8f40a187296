"""Training sessions by the API: list, follow, cancel, resume."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from sse_starlette import EventSourceResponse

from signalkit.errors import ParamsError
from signalkit.serving.bodies import Number
from signalkit.serving.database import Database, Lent
from signalkit.serving.events import events
from signalkit.serving.problems import Problem
from signalkit.serving.refusals import refusals
from signalkit.serving.schemas import Queued, SessionPage, SessionRow, Stage
from signalkit.store import Store, Training

router = APIRouter(prefix="/training-sessions", tags=["training sessions"])

Id = Annotated[Number, Path(description="number of a session")]
_SESSION = {"$ref": "#/components/schemas/SessionRow"}
# one event; `data` is JSON in a text
_EVENT = {
    "type": "object",
    "required": ["event", "id", "data"],
    "properties": {
        "event": {"enum": ["progress", "end"]},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": _SESSION,
        },
    },
}


def row(session: Training) -> SessionRow:
    """A session as it is answered; process numbers are nobody's business."""
    told = asdict(session)
    told.pop("process")
    return SessionRow(**told)


def settle(database: Database) -> None:
    """Note sessions whose process was killed, where there are any."""
    with database.reading() as store:
        dead = store.sessions.dead()
    if dead:
        with database.writing() as store:
            store.sessions.settle()


def found(store: Store, id: int) -> Training:
    """A session.

    Raises
    ------
    Problem
        404 where there is none.
    """
    session = store.sessions.find(id)
    if session is None:
        raise Problem(404, f"there is no training session {id}")
    return session


@router.get("/", operation_id="list_training_sessions", responses=refusals())
def list_training_sessions(
    database: Lent,
    status: Annotated[Stage | None, Query()] = None,
    before: Annotated[Number | None, Query(description="older than this session")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> SessionPage:
    """Sessions, newest first."""
    settle(database)
    with database.reading() as store:
        rows = store.sessions.page(status=status, before=before, limit=limit + 1)
    more = rows[limit - 1].id if len(rows) > limit else None
    return SessionPage(sessions=[row(session) for session in rows[:limit]], next=more)


@router.get("/{id}/", operation_id="read_training_session", responses=refusals(missing=True))
def read_training_session(id: Id, database: Lent) -> SessionRow:
    """One session."""
    settle(database)
    with database.reading() as store:
        return row(found(store, id))


@router.delete(
    "/{id}/",
    status_code=202,
    operation_id="cancel_training_session",
    responses=refusals(missing=True, conflict=True),
)
def cancel_training_session(id: Id, database: Lent, request: Request) -> Queued:
    """Cancel a session that waits or runs; what it finished is kept for a resume."""
    settle(database)
    with database.writing() as store:
        found(store, id)
        try:
            status = store.sessions.cancel(id, actor=request.state.visitor.actor)
        except ParamsError as cause:
            raise Problem(409, str(cause)) from None
    return Queued(session_id=id, status=status)


@router.post(
    "/{id}/resume/",
    status_code=202,
    operation_id="resume_training_session",
    responses=refusals(missing=True, conflict=True),
)
def resume_training_session(id: Id, database: Lent, request: Request) -> Queued:
    """Queue a session again that was interrupted or failed."""
    settle(database)
    with database.writing() as store:
        found(store, id)
        try:
            store.sessions.resume(id, actor=request.state.visitor.actor)
        except ParamsError as cause:
            raise Problem(409, str(cause)) from None
    return Queued(session_id=id, status="queued")


@router.get(
    "/{id}/events/",
    operation_id="follow_training_session",
    response_class=EventSourceResponse,
    responses=refusals(missing=True)
    | {
        200: {
            "description": "server-sent events `progress` and a last `end`, each a session as JSON",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
        204: {"description": "it is over, and the last event that was seen told so"},
    },
)
async def follow_training_session(id: Id, database: Lent, request: Request) -> Response:
    """Progress of a session as server-sent events, until it ends.

    An event is sent when something changed, a comment every 15 seconds. Who comes back with
    Last-Event-ID is sent the present state, unless it is the one that he saw last.
    """
    return await events(request, database, id)
