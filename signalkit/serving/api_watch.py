"""What is watched, by the API: features, live scores, alarms, signals, the audit."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from fastapi import APIRouter, Path, Query, Request

from signalkit import features
from signalkit.errors import ParamsError
from signalkit.serving.bodies import Close, Number, Switch, Symbol
from signalkit.serving.database import Lent
from signalkit.serving.problems import Problem
from signalkit.serving.refusals import refusals
from signalkit.serving.schemas import (
    AlarmPage,
    AlarmRow,
    AuditPage,
    AuditRow,
    FeaturePage,
    FeatureRow,
    PerformancePage,
    PerformanceRow,
    Scores,
    SignalPage,
    SignalRow,
)
from signalkit.serving.times import shown
from signalkit.store import Store, audit

router = APIRouter()

Limit = Annotated[int, Query(ge=1, le=500)]
Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,80}$", examples=["rsi_14"])]


@router.get("/features/", operation_id="list_features", tags=["features"], responses=refusals())
def list_features(
    database: Lent,
    family: Annotated[str | None, Query(max_length=40)] = None,
    enabled: Annotated[bool | None, Query()] = None,
) -> FeaturePage:
    """Features of the catalogue and others that were trained on, with what they were worth.

    `active` says whether the study that was computed last gave it to a model, `enabled`
    whether later trainings may read it, `leak_checked_at` when it was proved not to read the
    future.
    """
    with database.reading() as store:
        rows = feature_rows(store)
    rows = [row for row in rows if family in (None, row.family)]
    rows = [row for row in rows if enabled in (None, row.enabled)]
    return FeaturePage(features=rows, total=len(rows))


def feature_rows(store: Store) -> list[FeatureRow]:
    """The catalogue joined with what the store knows, in the catalogue's order."""
    table = store.read_features()
    known = table.to_dict("index")
    names = dict.fromkeys([*features.CATALOG, *table.index])
    return [_feature(name, known.get(name)) for name in names]


def _feature(name: str, known: dict[str, Any] | None) -> FeatureRow:
    """One feature; what was never trained on has no worth yet."""
    own = features.CATALOG.get(name)
    told = {"importance": None, "active": False, "enabled": True, "leak_checked_at": None}
    if known is not None:
        told |= {key: known[key] for key in ("importance", "active", "enabled")}
        moment = known["leak_checked_at"]
        told["leak_checked_at"] = None if pd.isna(moment) else moment.isoformat()
    what = known if own is None else vars(own)
    told |= {key: what[key] for key in ("family", "description", "warmup")}
    return FeatureRow(name=name, unit=None if own is None else own.unit, **told)


@router.patch(
    "/features/{name}/",
    operation_id="switch_feature",
    tags=["features"],
    responses=refusals(body=True, missing=True),
)
def switch_feature(name: Name, asked: Switch, database: Lent, request: Request) -> FeatureRow:
    """Switch a feature on or off for whatever is trained from now on."""
    with database.writing() as store:
        there = {row.name: row for row in feature_rows(store)}
        if name not in there:
            raise Problem(404, f"there is no feature {name}")
        own = there[name].model_dump(include={"family", "description", "warmup"})
        actor = request.state.visitor.actor
        store.switch_feature(name, asked.enabled, **own, actor=actor)
    return there[name].model_copy(update={"enabled": asked.enabled})


@router.get(
    "/performance/", operation_id="read_performance", tags=["performance"], responses=refusals()
)
def read_performance(
    database: Lent,
    made_by: Annotated[
        str | None, Query(pattern=r"^([1-9][0-9]{0,15}|ENSEMBLE)$", examples=["ENSEMBLE"])
    ] = None,
    window: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=5_000)] = 500,
) -> PerformancePage:
    """Scores of live predictions, and beside them what the walk-forward of each model gave."""
    with database.reading() as store:
        rows = store.watch.performance(made_by=made_by, window=window, limit=limit)
        models = store.models.list()
    promised = [
        Scores(model=model.id, name=model.name, status=model.status, metrics=model.metrics)
        for model in models
        if made_by in (None, str(model.id))
    ]
    told = [PerformanceRow(**row | {"date": shown(row["date"])}) for row in rows]
    return PerformancePage(performance=told, validation=promised)


@router.get("/alarms/", operation_id="list_alarms", tags=["alarms"], responses=refusals())
def list_alarms(
    database: Lent,
    closed: Annotated[bool, Query(description="those that were closed too")] = False,
    limit: Limit = 50,
) -> AlarmPage:
    """Alarms, newest first."""
    with database.reading() as store:
        rows = store.watch.alarms(closed=closed, limit=limit)
    return AlarmPage(alarms=[_alarm(row) for row in rows])


def _alarm(row: dict[str, Any]) -> AlarmRow:
    """An alarm as it is answered."""
    return AlarmRow(**row | {"time": shown(row["time"])})


@router.patch(
    "/alarms/{id}/",
    operation_id="close_alarm",
    tags=["alarms"],
    responses=refusals(body=True, missing=True, conflict=True),
)
def close_alarm(
    id: Annotated[Number, Path()], asked: Close, database: Lent, request: Request
) -> AlarmRow:
    """Note that somebody has seen to an alarm."""
    with database.writing() as store:
        there = any(row["id"] == id for row in store.db.query("SELECT id FROM alarms"))
        if not there:
            raise Problem(404, f"there is no alarm {id}")
        try:
            store.watch.close_alarm(id, actor=request.state.visitor.actor)
        except ParamsError as cause:
            raise Problem(409, str(cause)) from None
        rows = store.watch.alarms(closed=True, limit=1_000_000)
    return next(_alarm(row) for row in rows if row["id"] == id)


@router.get("/signals/", operation_id="list_signals", tags=["signals"], responses=refusals())
def list_signals(
    database: Lent,
    study: Annotated[str | None, Query(max_length=200)] = None,
    symbol: Annotated[Symbol | None, Query()] = None,
    limit: Limit = 50,
) -> SignalPage:
    """Positions that deployed studies want, newest bar first."""
    with database.reading() as store:
        rows = store.watch.signals(study=study, symbol=symbol, limit=limit)
    return SignalPage(signals=[SignalRow(**row | {"time": shown(row["time"])}) for row in rows])


@router.get("/audit/", operation_id="read_audit", tags=["audit"], responses=refusals())
def read_audit(
    database: Lent,
    subject: Annotated[str | None, Query(max_length=200, examples=["model 1"])] = None,
    before: Annotated[Number | None, Query(description="older than this row")] = None,
    limit: Limit = 50,
) -> AuditPage:
    """Who changed what, newest first."""
    with database.reading() as store:
        rows = audit.page(store.db, subject=subject, before=before, limit=limit + 1)
    more = rows[limit - 1]["id"] if len(rows) > limit else None
    return AuditPage(audit=[AuditRow(**row) for row in rows[:limit]], next=more)
