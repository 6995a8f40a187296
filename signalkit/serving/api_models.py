"""Models by the API: list, train, look at, deploy, archive, set how they are watched."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.serving.bodies import Configure, Number, Symbol, Train
from signalkit.serving.database import Database, Lent
from signalkit.serving.problems import Problem
from signalkit.serving.queueing import queue
from signalkit.serving.refusals import refusals
from signalkit.serving.schemas import ModelPage, ModelRow, Queued, Role
from signalkit.store import Registered, Store
from signalkit.study import request as words

router = APIRouter(prefix="/models", tags=["models"])

Id = Annotated[Number, Path(description="number of a model")]
# in the words of the registry for files that are not what was stored
_CHANGED = "SHA-256"


def settings_key(model: int) -> str:
    """Under which key of the states a model's own way of being watched is kept."""
    return f"monitoring model {model}"


def row(store: Store, model: Registered) -> ModelRow:
    """A model as it is answered."""
    told = asdict(model)
    told.pop("artifact")
    told["params"] = _finite(told["params"])
    for name in ("trained_from", "trained_to"):
        told[name] = told[name].isoformat()
    return ModelRow(**told, monitoring=store.watch.state(settings_key(model.id)) or {})


def _finite(value: Any) -> Any:
    """A JSON value in which what is no number is null."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def found(store: Store, id: int) -> Registered:
    """A registered model.

    Raises
    ------
    Problem
        404 where there is none.
    """
    try:
        return store.models.find(id)
    except ParamsError as cause:
        raise Problem(404, str(cause)) from None


@router.get("/", operation_id="list_models", responses=refusals())
def list_models(
    database: Lent,
    model_type: Annotated[str | None, Query(max_length=40, examples=["XGBOOST"])] = None,
    target_variable: Annotated[str | None, Query(max_length=40)] = None,
    symbol: Annotated[Symbol | None, Query()] = None,
    status: Annotated[Role | None, Query()] = None,
    name: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> ModelPage:
    """Registered models, newest first; `total` is how many fit."""
    asked = {"model_type": model_type, "target_variable": target_variable}
    asked |= {"status": status, "name": name}
    given = {key: value for key, value in asked.items() if value is not None}
    with database.reading() as store:
        models = [
            model
            for model in reversed(store.models.list())
            if all(getattr(model, key) == value for key, value in given.items())
            and (symbol is None or symbol in model.symbols)
        ]
        page = [row(store, model) for model in models[offset : offset + limit]]
    return ModelPage(models=page, total=len(models))


@router.post(
    "/",
    status_code=202,
    operation_id="train_model",
    responses=refusals(body=True),
)
def train_model(asked: Train, database: Lent, request: Request, response: Response) -> Queued:
    """Queue the training of a model on stored bars; a worker does it.

    What can be refused at once is: bars that are not stored, a horizon that is no whole number
    of bars. The rest is told by the session.
    """
    told = asked.model_dump()
    told["target"] = told.pop("target_variable")
    with database.reading() as store:
        words.sections(store, **told)
    return queue(database, request, response, {"kind": "train"} | told)


@router.get("/{id}/", operation_id="read_model", responses=refusals(missing=True))
def read_model(id: Id, database: Lent) -> ModelRow:
    """Everything about a model."""
    with database.reading() as store:
        return row(store, found(store, id))


@router.patch(
    "/{id}/",
    operation_id="configure_model",
    responses=refusals(body=True, missing=True, conflict=True),
)
def configure_model(id: Id, asked: Configure, database: Lent, request: Request) -> ModelRow:
    """Deploy or archive a model, or set how it is watched.

    Deploying a version that was archived is how one rolls back. One that is deployed is
    archived with `force` alone.
    """
    actor = request.state.visitor.actor
    with database.writing() as store:
        found(store, id)
        if asked.status is not None:
            steer(store, id, asked.status, force=asked.force, actor=actor)
        if asked.monitoring is not None:
            _watch(store, id, asked.monitoring.model_dump(exclude_none=True), actor)
        return row(store, found(store, id))


@router.delete(
    "/{id}/", operation_id="archive_model", responses=refusals(missing=True, conflict=True)
)
def archive_model(
    id: Id,
    database: Lent,
    request: Request,
    force: Annotated[bool, Query(description="even if it is deployed")] = False,
) -> ModelRow:
    """Put a model away; its files stay, and it can be deployed again."""
    with database.writing() as store:
        found(store, id)
        steer(store, id, "archived", force=force, actor=request.state.visitor.actor)
        return row(store, found(store, id))


@router.post(
    "/{id}/retrain/",
    status_code=202,
    operation_id="retrain_model",
    responses=refusals(missing=True, conflict=True),
)
def retrain_model(id: Id, database: Lent, request: Request, response: Response) -> Queued:
    """Queue the training of a model's study up to the newest stored bar."""
    check_again(database, id)
    return queue(database, request, response, {"kind": "again", "model": id})


def check_again(database: Database, id: int) -> None:
    """Refuse to train again what cannot be.

    Raises
    ------
    Problem
        404 where there is no such model, 409 where its study has no newer bars.
    """
    with database.reading() as store:
        model = found(store, id)
        try:
            words.again(store, model)
        except (DataError, ParamsError) as cause:
            raise Problem(409, str(cause)) from None
        except StoreError as cause:
            raise Problem(409, _without_place(id, cause)) from None


def steer(store: Store, id: int, status: str, *, force: bool, actor: str) -> None:
    """Deploy or archive a model.

    Raises
    ------
    Problem
        409 where its state or its files do not allow it.
    """
    try:
        if status == "deployed":
            store.models.deploy(id, actor=actor)
        else:
            store.models.archive(id, force=force, actor=actor)
    except ParamsError as cause:
        raise Problem(409, str(cause)) from None
    except StoreError as cause:
        if _CHANGED not in str(cause):
            raise
        raise Problem(409, _without_place(id, cause)) from None


def _without_place(id: int, cause: StoreError) -> str:
    """What is wrong with a model's files, without paths of the machine."""
    if _CHANGED not in str(cause):
        return str(cause)
    return f"the files of model {id} were changed since it was registered; train it again"


def _watch(store: Store, id: int, given: dict[str, Any], actor: str) -> None:
    """Keep how a model is watched, and note who said so."""
    noted = (actor, "configure", f"model {id}", given)
    store.watch.keep({settings_key(id): given}, noted=noted)
