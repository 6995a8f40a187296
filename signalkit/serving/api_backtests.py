"""Simulations by the API: what was simulated and how it ended, and asking for one more."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response

from signalkit.errors import StoreError
from signalkit.serving.api_models import found
from signalkit.serving.bodies import OfModel
from signalkit.serving.database import Lent
from signalkit.serving.problems import Problem
from signalkit.serving.queueing import queue
from signalkit.serving.refusals import refusals
from signalkit.serving.schemas import (
    Backtest,
    BacktestPage,
    BacktestRow,
    Point,
    Queued,
    RunRow,
    TradeRow,
)
from signalkit.store import Artifact, Store

router = APIRouter(prefix="/backtests", tags=["backtests"])

Run = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="identity of a simulation")]
_STAGE = "backtesting"
_POINTS = 1_000
_COUNT = "SELECT count(*) FROM trades WHERE run = ?"
_TRADES = "SELECT * FROM trades WHERE run = ? ORDER BY id DESC LIMIT ?"
_RUNS = """SELECT id, study_name, identity, started, finished, status FROM runs
    ORDER BY id DESC LIMIT ?"""


@router.get("/", operation_id="list_backtests", responses=refusals())
def list_backtests(database: Lent, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> BacktestPage:
    """Simulations with their statistics and executed studies, newest first."""
    with database.reading() as store:
        rows = [_row(store, artifact) for artifact in simulations(store, limit)]
        names = ("id", "study_name", "identity", "started", "finished", "status")
        runs = [
            RunRow(**dict(zip(names, row, strict=True))) for row in store.db.execute(_RUNS, [limit])
        ]
    return BacktestPage(backtests=rows, runs=runs)


def simulations(store: Store, limit: int) -> list[Artifact]:
    """Stored simulations, newest first; damaged ones are left out."""
    folder = store.artifacts.folder / _STAGE
    places = [place for place in folder.glob("[0-9a-f]*") if place.is_dir()]
    places.sort(key=lambda place: place.stat().st_mtime, reverse=True)
    made = (_whole(store, place.name) for place in places[:limit])
    return [artifact for artifact in made if artifact is not None]


def _whole(store: Store, run: str) -> Artifact | None:
    """A simulation whose statistics can be read, None where there is none."""
    try:
        artifact = store.artifacts.find(_STAGE, run)
        if artifact is not None:
            artifact.path("statistics.parquet")
    except StoreError:
        return None
    return artifact


def _row(store: Store, artifact: Artifact) -> BacktestRow:
    """A simulation as it is listed."""
    return BacktestRow(**_told(store, artifact))


def _told(store: Store, artifact: Artifact) -> dict[str, Any]:
    """What is told of a simulation."""
    table = artifact.table("statistics")["strategy"]
    return {
        "run": artifact.identity,
        "trades": store.db.execute(_COUNT, [artifact.identity]).fetchone()[0],
        "created_at": str(artifact.about["created_at"]),
        "statistics": {str(name): _finite(value) for name, value in table.items()},
    }


def _finite(value: float) -> float | None:
    """A number that JSON has."""
    return float(value) if math.isfinite(value) else None


@router.get("/{run}/", operation_id="read_backtest", responses=refusals(missing=True))
def read_backtest(
    run: Run, database: Lent, limit: Annotated[int, Query(ge=0, le=1_000)] = 100
) -> Backtest:
    """A simulation with its newest trades and the points of its equity."""
    with database.reading() as store:
        artifact = _whole(store, run)
        if artifact is None:
            raise Problem(404, f"there is no simulation {run}")
        told = _told(store, artifact)
        trades = [dict(row) for row in store.db.query(_TRADES, [run, limit])]
    for trade in trades:
        trade.pop("run")
    return Backtest(
        **told, newest_trades=[TradeRow(**trade) for trade in trades], equity=points(artifact)
    )


def points(artifact: Artifact) -> list[Point]:
    """Equity at evenly spaced bars, the first and the last among them."""
    equity = artifact.table("equity")
    kept = np.unique(np.linspace(0, len(equity) - 1, min(len(equity), _POINTS)).astype(int))
    return [
        Point(time=time.isoformat(), strategy=row["strategy"], hold=_finite(row["hold"]))
        for time, row in equity.iloc[kept].iterrows()
    ]


@router.post(
    "/",
    status_code=202,
    operation_id="run_backtest",
    responses=refusals(body=True, missing=True),
)
def run_backtest(asked: OfModel, database: Lent, request: Request, response: Response) -> Queued:
    """Queue the simulation of a registered model by its walk-forward predictions."""
    with database.reading() as store:
        found(store, asked.model)
    return queue(database, request, response, {"kind": "backtest", "model": asked.model})
