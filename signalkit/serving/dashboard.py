"""The dashboard under /ml/: pages that a browser reads without script, and what they change.

The one rule: a page shows what the store says and changes nothing; every change is a form that
is posted, calls what the API calls, is noted in the audit and leads back to a page.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse

from signalkit.serving import dashboard_changes, dashboard_lists, dashboard_views, reading
from signalkit.serving.dashboard_pages import HERE, PageRoute, page
from signalkit.serving.database import Database, Lent
from signalkit.serving.problems import Problem
from signalkit.store import Asked, audit

router = APIRouter(prefix="/ml", include_in_schema=False, route_class=PageRoute)

_FILES = {"style.css": "text/css", "app.js": "text/javascript"}
_ROWS = 50
_CURSOR = r"^[0-9]{1,19}-[0-9]{1,18}$"
_IDENTITY = r"^[0-9a-f]{64}$"
_MOST = 2**53 - 1

Number = Annotated[int, Path(ge=1, le=_MOST)]
Older = Annotated[int | None, Query(ge=1, le=_MOST)]
Word = Annotated[str, Query(max_length=200)]


def _static(name: str) -> Response:
    """A file of the pages."""
    return FileResponse(HERE / "static" / name, media_type=_FILES[name])


@router.get("/static/style.css")
def style() -> Response:
    """How the pages look."""
    return _static("style.css")


@router.get("/static/app.js")
def script() -> Response:
    """What readings of charts and live progress need."""
    return _static("app.js")


@router.get("/")
def overview(request: Request, database: Lent) -> Response:
    """How it stands: scores, equity, alarms, newest predictions."""
    with database.reading() as store:
        told = dashboard_views.overview(store)
    return page(request, "overview", **told)


@router.get("/models/")
def models(
    request: Request,
    database: Lent,
    status: Word = "",
    model_type: Word = "",
    target_variable: Word = "",
) -> Response:
    """The registry, those of a kind alone where it is asked for."""
    chosen = {"status": status, "model_type": model_type, "target_variable": target_variable}
    with database.reading() as store:
        told = dashboard_views.models(store, {k: v for k, v in chosen.items() if v})
    return page(request, "models", chosen=chosen, **told)


@router.get("/models/{number}/")
def model(request: Request, database: Lent, number: Number) -> Response:
    """One model: what it is, how good, and what can be done with it."""
    with database.reading() as store:
        found = dashboard_views.find(store, number)
        told = dashboard_views.model(store, found)
        changes = audit.page(store.db, subject=f"model {number}", limit=20)
    return page(request, "model", changes=changes, **told)


@router.get("/training/")
def training(request: Request, database: Lent, before: Older = None) -> Response:
    """What is trained, and the form that asks for more."""
    _settle(database)
    with database.reading() as store:
        told = dashboard_lists.training(store, before)
    return page(request, "training", **told)


@router.get("/training/{number}/")
def session(request: Request, database: Lent, number: Number) -> Response:
    """One training, followed while it runs."""
    _settle(database)
    with database.reading() as store:
        found = store.sessions.find(number)
        if found is None:
            raise Problem(404, f"there is no training session {number}")
        made = [m for m in store.models.list() if m.id in (found.made or ())]
    return page(request, "session", session=found, made=made)


def _settle(database: Database) -> None:
    """Note trainings whose process was killed, so that no page says that they run."""
    with database.reading() as store:
        dead = store.sessions.dead()
    if dead:
        with database.writing() as store:
            store.sessions.settle()


@router.get("/predictions/")
def predictions(
    request: Request,
    database: Lent,
    symbol: Word = "",
    made_by: Word = "",
    before: Annotated[str, Query(pattern=_CURSOR)] | None = None,
) -> Response:
    """Predictions with what came of them, newest first."""
    chosen = {"symbol": symbol or None, "made_by": made_by or None}
    time, _, number = (before or "").partition("-")
    cursor = (min(int(time), 2**63 - 1), int(number)) if before else None
    with database.reading() as store:
        told = {
            "found": reading.predictions(store, limit=_ROWS, before=cursor, **chosen),
            "symbols": reading.symbols(store),
            "makers": list(dict.fromkeys(name for name, _ in reading.questions(store))),
            "askable": dashboard_views.askable(store),
        }
    return page(request, "predictions", symbol=symbol, made_by=made_by, before=before, **told)


@router.get("/performance/")
def performance(request: Request, database: Lent, of: Word = "") -> Response:
    """Accuracy, confidence, error and drift over time."""
    made_by, asked = _question(of)
    with database.reading() as store:
        told = dashboard_views.performance(store, made_by, asked)
    return page(request, "performance", **told)


def _question(text: str) -> tuple[str | None, Asked | None]:
    """A maker and a question as the form writes them."""
    parts = text.split("|")
    if len(parts) != 4 or not parts[3].isdecimal():
        return None, None
    return parts[0], Asked(parts[1], parts[2], int(parts[3]))


@router.get("/signals/")
def signals(request: Request, database: Lent) -> Response:
    """The deployed signal: its newest sizes, and what it earned."""
    with database.reading() as store:
        told = {
            "equity": dashboard_views.equity_charts(store),
            "rows": store.watch.signals(limit=_ROWS),
        }
    return page(request, "signals", **told)


@router.get("/features/")
def features(request: Request, database: Lent, family: Word = "") -> Response:
    """The catalogue: what each column is, what it was worth, whether it may be read."""
    with database.reading() as store:
        told = dashboard_lists.features(store, family)
    return page(request, "features", family=family, **told)


@router.get("/alarms/")
def alarms(request: Request, database: Lent) -> Response:
    """Alarms that are open, and those that were closed."""
    with database.reading() as store:
        every = store.watch.alarms(closed=True, limit=200)
    open_ones = [row for row in every if row["closed_at"] is None]
    closed = [row for row in every if row["closed_at"] is not None]
    return page(request, "alarms", open_ones=open_ones, closed=closed)


@router.get("/backtests/")
def backtests(request: Request, database: Lent) -> Response:
    """Backtests by their trades, and the studies that were run."""
    with database.reading() as store:
        told: dict[str, Any] = {
            "rows": reading.backtests(store),
            "runs": reading.runs(store),
        }
    return page(request, "backtests", **told)


@router.get("/backtests/{run}/")
def backtest(
    request: Request, database: Lent, run: Annotated[str, Path(pattern=_IDENTITY)]
) -> Response:
    """One backtest: equity, statistics with their intervals, trades."""
    with database.reading() as store:
        told = dashboard_lists.backtest(store, run)
    if told is None:
        raise Problem(404, "there is no backtest of this identity")
    return page(request, "backtest", **told)


@router.get("/audit/")
def changes(request: Request, database: Lent, subject: Word = "", before: Older = None) -> Response:
    """Who changed what, newest first."""
    with database.reading() as store:
        rows = audit.page(store.db, subject=subject or None, before=before, limit=_ROWS)
    return page(request, "audit", rows=rows, subject=subject, full=len(rows) == _ROWS)


router.include_router(dashboard_changes.router)


@router.get("/{rest:path}")
def nothing(rest: str) -> Response:
    """Whatever else is asked for."""
    raise Problem(404, "there is no such page")
