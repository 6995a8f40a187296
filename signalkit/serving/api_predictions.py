"""Predictions by the API: those that are stored, and one made now."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import pandas as pd
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from signalkit.errors import ParamsError
from signalkit.inference import EnsemblePrediction, Prediction, Predictor
from signalkit.params.sections import Target
from signalkit.serving.bodies import Hours, Interval, Predict, Symbol
from signalkit.serving.database import Database, Lent
from signalkit.serving.desk import Desk, of_server
from signalkit.serving.problems import Problem
from signalkit.serving.recent import Recent, page, place
from signalkit.serving.refusals import refusals
from signalkit.serving.schemas import Joined, Predicted, PredictionPage
from signalkit.serving.storing import keep
from signalkit.store import Store

router = APIRouter()

MOST = 500
# by skipping from one to the next the index alone is read
_SYMBOLS = """WITH RECURSIVE each(symbol) AS (SELECT min(symbol) FROM ml_predictions UNION ALL
    SELECT (SELECT min(symbol) FROM ml_predictions WHERE symbol > each.symbol) FROM each
    WHERE each.symbol IS NOT NULL) SELECT symbol FROM each WHERE symbol IS NOT NULL"""
_ROWS = {200: {"model": PredictionPage}}
Asked = Annotated[Desk, Depends(of_server)]


@router.get(
    "/predictions/",
    operation_id="list_predictions",
    tags=["predictions"],
    responses=_ROWS | refusals(),
)
async def list_predictions(
    request: Request,
    database: Lent,
    symbol: Annotated[Symbol | None, Query()] = None,
    target: Annotated[Target | None, Query()] = None,
    made_by: Annotated[
        str | None, Query(pattern=r"^([1-9][0-9]{0,15}|ENSEMBLE)$", examples=["ENSEMBLE"])
    ] = None,
    interval: Annotated[Interval | None, Query()] = None,
    horizon: Annotated[int | None, Query(ge=1, le=1_000_000, description="bars")] = None,
    before: Annotated[
        str | None, Query(pattern=r"^-?[0-9]{1,19}-[0-9]{1,15}$", description="`next` of a page")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
) -> Response:
    """Stored predictions, newest bar first, with what came of them once it is known."""
    of = {"target": target, "made_by": made_by, "interval": interval, "horizon": horizon}
    if symbol is not None and before is None and not any(of.values()):
        state = request.app.state
        if not hasattr(state, "recent"):
            state.recent = Recent(database)
        return _json(page(state.recent.rows(symbol, limit + 1), limit))
    read = partial(_filtered, database, symbol, of, before=before, limit=limit)
    return _json(await run_in_threadpool(read))


def _json(text: bytes) -> Response:
    """An answer that is JSON already."""
    return Response(text, media_type="application/json")


def _filtered(
    database: Database,
    symbol: str | None,
    of: Mapping[str, Any],
    *,
    before: str | None,
    limit: int,
) -> bytes:
    """A page of predictions by all that can be asked for."""
    asked = dict(of) | {"before": place(before), "limit": limit + 1}
    with database.reading() as store:
        symbols = [symbol] if symbol is not None else _symbols(store)
        found = [store.predictions.page(symbol=one, **asked) for one in symbols]
    rows = heapq.merge(*found, key=lambda r: (r["prediction_timestamp"], r["id"]), reverse=True)
    return page(
        [tuple(row.values()) for _, row in zip(range(limit + 1), rows, strict=False)], limit
    )


def _symbols(store: Store) -> list[str]:
    """Symbols that have predictions."""
    return [symbol for (symbol,) in store.db.execute(_SYMBOLS)]


@router.post(
    "/predictions/",
    operation_id="predict",
    tags=["predictions"],
    responses=refusals(body=True, missing=True),
)
async def predict(asked: Predict, database: Lent, desk: Asked) -> Predicted:
    """The answer of the best deployed model for the newest bar, stored once a bar.

    An answer that is refused, made for a moment of the past, or of a bar that the model was
    trained on is told and not stored.
    """
    answer = await desk.ask(lambda one: _one(one, asked))
    stored = await run_in_threadpool(keep, database, answer, past=asked.at is not None)
    return Predicted(**answer.to_dict(), stored=stored)


@router.get(
    "/ensemble/",
    operation_id="read_ensemble",
    tags=["predictions"],
    responses=refusals(missing=True),
)
async def read_ensemble(
    desk: Asked,
    symbol: Annotated[Symbol, Query()],
    prediction_horizon_hours: Annotated[Hours, Query()] = 24,
    target: Annotated[Target, Query()] = "signal_direction",
    interval: Annotated[Interval | None, Query()] = None,
) -> Joined:
    """What all deployed models say together of the newest bar; nothing is stored."""
    asked = Predict(
        symbol=symbol,
        prediction_horizon_hours=prediction_horizon_hours,
        target=target,
        interval=interval,
    )
    answer = await desk.ask(lambda one: _all(one, asked))
    return Joined(**answer.to_dict(), stored=False)


@router.post(
    "/ensemble/",
    operation_id="predict_ensemble",
    tags=["predictions"],
    responses=refusals(body=True, missing=True),
)
async def predict_ensemble(asked: Predict, database: Lent, desk: Asked) -> Joined:
    """What all deployed models say together, stored once a bar with each one's vote."""
    answer = await desk.ask(lambda one: _all(one, asked))
    stored = await run_in_threadpool(keep, database, answer, past=asked.at is not None)
    return Joined(**answer.to_dict(), stored=stored)


def _one(predictor: Predictor, asked: Predict) -> Prediction:
    """The answer of one model."""
    try:
        return predictor.predict(
            asked.symbol, asked.prediction_horizon_hours, asked.target, **_how(asked)
        )
    except ParamsError as cause:
        raise _unanswered(cause) from None


def _all(predictor: Predictor, asked: Predict) -> EnsemblePrediction:
    """The answer of all models."""
    try:
        return predictor.get_ensemble_prediction(
            asked.symbol, asked.prediction_horizon_hours, target=asked.target, **_how(asked)
        )
    except ParamsError as cause:
        raise _unanswered(cause) from None


def _how(asked: Predict) -> dict[str, Any]:
    """Interval and moment of a question."""
    at = None if asked.at is None else pd.Timestamp(asked.at).tz_convert("UTC")
    return {"interval": asked.interval, "at": at}


def _unanswered(cause: ParamsError) -> Problem:
    """What nobody answers is not there; what is asked wrongly is refused."""
    return Problem(404 if str(cause).startswith("no deployed model") else 422, str(cause))
