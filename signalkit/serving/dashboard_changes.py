"""What the forms of the dashboard change: the same calls as the API's, with the visitor as actor.

A change is answered with a redirect to a page, so that reading it again does not repeat it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import RedirectResponse

from signalkit import features
from signalkit.errors import ParamsError
from signalkit.labeling import TARGETS
from signalkit.serving.dashboard_lists import LEARNERS
from signalkit.serving.dashboard_pages import PageRoute
from signalkit.serving.dashboard_views import find
from signalkit.serving.database import Lent
from signalkit.serving.problems import Problem
from signalkit.study.request import sections

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_MOST_FIELDS = 500
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


class Form(dict[str, list[str]]):
    """The fields of a posted form."""

    def one(self, name: str) -> str:
        """The only value of a field.

        Raises
        ------
        ParamsError
            If it was left empty or given several times.
        """
        values = [value.strip() for value in self.get(name, []) if value.strip()]
        if len(values) != 1:
            raise ParamsError(f"the form must give one {name}, it gave {len(values)}")
        return values[0]

    def whole(self, name: str) -> int:
        """A whole number above 0."""
        text = self.one(name)
        if not (text.isascii() and text.isdecimal() and int(text[:12]) > 0 and len(text) < 12):
            raise ParamsError(f"{name} must be a whole number above 0, was {text[:40]!r}")
        return int(text)

    def says(self, name: str) -> bool:
        """Whether a box was ticked."""
        return self.get(name) == ["yes"]


async def _form(request: Request) -> Form:
    """The form of a request."""
    text = (await request.body()).decode("utf-8", "replace")
    try:
        return Form(parse_qs(text, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Problem(413, f"a form has at most {_MOST_FIELDS} fields") from None


Posted = Annotated[Form, Depends(_form)]


def _on(place: str, done: str) -> Response:
    """The way on; `done` is a key of what pages can say."""
    return RedirectResponse(f"/ml/{place}?done={done}", 303)


def _actor(request: Request) -> str:
    """Who changes something, for the audit."""
    return request.state.visitor.actor


@router.post("/models/{number}/deploy")
def deploy(request: Request, database: Lent, number: Number) -> Response:
    """Make a model the deployed one of its name."""
    with database.writing() as store:
        find(store, number)
        store.models.deploy(number, actor=_actor(request))
    return _on(f"models/{number}/", "deploy")


@router.post("/models/{number}/archive")
def archive(request: Request, database: Lent, number: Number, form: Posted) -> Response:
    """Put a model away."""
    with database.writing() as store:
        if find(store, number).status == "deployed" and not form.says("force"):
            raise Problem(409, f"model {number} is deployed; tick the box to archive it anyway")
        store.models.archive(number, force=True, actor=_actor(request))
    return _on(f"models/{number}/", "archive")


@router.post("/models/{number}/again")
def again(request: Request, database: Lent, number: Number) -> Response:
    """Ask for the training of a model's study on the newest bars."""
    return _queued(request, database, number, "again")


@router.post("/models/{number}/backtest")
def backtest(request: Request, database: Lent, number: Number) -> Response:
    """Ask for the backtest of a model."""
    return _queued(request, database, number, "backtest")


def _queued(request: Request, database: Lent, number: int, kind: str) -> Response:
    """A job of a model, queued."""
    with database.writing() as store:
        find(store, number)
        asked = {"kind": kind, "model": number}
        job = store.sessions.queue(asked, asked_by=_actor(request))
    return _on(f"training/{job}/", kind)


@router.post("/training/")
def train(request: Request, database: Lent, form: Posted) -> Response:
    """Ask for the training of a model."""
    asked: dict[str, Any] = {
        "model_type": _choice(form, "model_type", LEARNERS),
        "target": _choice(form, "target_variable", TARGETS),
        "symbols": form.get("symbols", []),
        "interval": form.one("interval"),
        "prediction_horizon": form.whole("prediction_horizon"),
        "training_days": form.whole("training_days"),
    }
    if not asked["symbols"]:
        raise ParamsError("tick at least one symbol")
    if form.get("source"):
        asked["source"] = form.one("source")
    with database.writing() as store:
        sections(store, **asked)  # refuses what could only fail later
        job = store.sessions.queue({"kind": "train"} | asked, asked_by=_actor(request))
    return _on(f"training/{job}/", "train")


def _choice(form: Form, name: str, known: Iterable[str]) -> str:
    """A value that must be one of a list."""
    value = form.one(name)
    if value not in known:
        raise ParamsError(f"{name} must be one of {', '.join(known)}, was {value[:40]!r}")
    return value


@router.post("/training/{number}/cancel")
def cancel(request: Request, database: Lent, number: Number) -> Response:
    """Stop a training."""
    with database.writing() as store:
        store.sessions.cancel(number, actor=_actor(request))
    return _on(f"training/{number}/", "cancel")


@router.post("/training/{number}/resume")
def resume(request: Request, database: Lent, number: Number) -> Response:
    """Go on with a training that was interrupted or failed."""
    with database.writing() as store:
        store.sessions.resume(number, actor=_actor(request))
    return _on(f"training/{number}/", "resume")


@router.post("/features/{name}/{switch}")
def feature(
    request: Request, database: Lent, name: str, switch: Annotated[str, Path(pattern="^(on|off)$")]
) -> Response:
    """Say whether later trainings may read a feature."""
    try:
        known = features.CATALOG[name]
    except KeyError:
        raise Problem(404, f"no feature {name[:80]!r} is in the catalogue") from None
    with database.writing() as store:
        store.switch_feature(
            name,
            switch == "on",
            family=known.family,
            description=known.description,
            warmup=known.warmup,
            actor=_actor(request),
        )
    return _on("features/", "feature")


@router.post("/alarms/{number}/close")
def close(request: Request, database: Lent, number: Number) -> Response:
    """Say that an alarm was seen to."""
    with database.writing() as store:
        store.watch.close_alarm(number, actor=_actor(request))
    return _on("alarms/", "alarm")
