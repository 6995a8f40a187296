"""What the forms of the dashboard change: the same calls as the API's, with the visitor as actor.

A change is answered with a redirect to a page, so that reading it again does not repeat it.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs

import pandas as pd
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from signalkit.bars import interval_length
from signalkit.errors import ParamsError
from signalkit.serving import (
    api_backtests,
    api_models,
    api_predictions,
    api_training,
    api_watch,
)
from signalkit.serving.api_predictions import Asked as Desk
from signalkit.serving.bodies import (
    Body,
    Close,
    Configure,
    OfModel,
    Predict,
    Switch,
    Train,
    Watched,
)
from signalkit.serving.dashboard_pages import PageRoute
from signalkit.serving.database import Lent
from signalkit.serving.problems import Problem

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_MOST_FIELDS = 500
_MOST_DIGITS = 6
_HOUR = pd.Timedelta(1, "h")
_TRAINING = ("model_type", "target_variable", "interval")
Number = Annotated[int, Path(ge=1, le=2**53 - 1)]
Asked = TypeVar("Asked", bound=Body)


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

    def has(self, name: str) -> bool:
        """Whether a field was given and not left empty."""
        return any(value.strip() for value in self.get(name, []))

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


def _checked(body: type[Asked], given: dict[str, Any]) -> Asked:
    """What a form gives as the body that the API reads."""
    try:
        return body(**given)
    except ValidationError as refused:
        told = [f"{fault['loc'][0]}: {fault['msg']}" for fault in refused.errors()[:5]]
        raise ParamsError("; ".join(told)) from None


def _on(place: str, done: str) -> Response:
    """The way on; `done` is a key of what pages can say."""
    return RedirectResponse(f"/ml/{place}?done={done}", 303)


@router.post("/models/{number}/deploy")
def deploy(request: Request, database: Lent, number: Number) -> Response:
    """Make a model the deployed one of its name."""
    api_models.configure_model(number, Configure(status="deployed"), database, request)
    return _on(f"models/{number}/", "deploy")


@router.post("/models/{number}/archive")
def archive(request: Request, database: Lent, number: Number, form: Posted) -> Response:
    """Put a model away."""
    api_models.archive_model(number, database, request, form.says("force"))
    return _on(f"models/{number}/", "archive")


@router.post("/models/{number}/watch")
def watch(request: Request, database: Lent, number: Number, form: Posted) -> Response:
    """Say how a model is watched; what is left empty is as its study asks."""
    given = {name: _value(name, form.one(name)) for name in Watched.model_fields if form.has(name)}
    asked = Configure(monitoring=_checked(Watched, given))
    api_models.configure_model(number, asked, database, request)
    return _on(f"models/{number}/", "watch")


def _value(name: str, text: str) -> str | float | int:
    """A setting as its text says: the shares and numbers of bars are numbers."""
    if name.startswith("on_"):
        return text
    try:
        return float(text) if name == "alpha" else int(text)
    except ValueError:
        raise ParamsError(f"{name} must be a number, was {text[:40]!r}") from None


@router.post("/models/{number}/again")
def again(request: Request, database: Lent, number: Number) -> Response:
    """Ask for the training of a model's study on the newest bars."""
    job = api_models.retrain_model(number, database, request, Response())
    return _on(f"training/{job.session_id}/", "again")


@router.post("/models/{number}/backtest")
def backtest(request: Request, database: Lent, number: Number) -> Response:
    """Ask for the backtest of a model."""
    job = api_backtests.run_backtest(OfModel(model=number), database, request, Response())
    return _on(f"training/{job.session_id}/", "backtest")


@router.post("/training/")
def train(request: Request, database: Lent, form: Posted) -> Response:
    """Ask for the training of a model."""
    asked: dict[str, Any] = {name: form.one(name) for name in _TRAINING}
    asked["prediction_horizon"] = _number(form, "prediction_horizon")
    asked["training_days"] = int(_number(form, "training_days"))
    asked["symbols"] = form.get("symbols", [])
    asked |= {"source": form.one("source")} if form.has("source") else {}
    job = api_models.train_model(_checked(Train, asked), database, request, Response())
    return _on(f"training/{job.session_id}/", "train")


def _number(form: Form, name: str) -> float:
    """A whole number above 0."""
    text = form.one(name)
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and int(text) > 0):
        raise ParamsError(f"{name} must be a whole number above 0, was {text[:40]!r}")
    return float(text)


@router.post("/training/{number}/cancel")
def cancel(request: Request, database: Lent, number: Number) -> Response:
    """Stop a training."""
    api_training.cancel_training_session(number, database, request)
    return _on(f"training/{number}/", "cancel")


@router.post("/training/{number}/resume")
def resume(request: Request, database: Lent, number: Number) -> Response:
    """Go on with a training that was interrupted or failed."""
    api_training.resume_training_session(number, database, request)
    return _on(f"training/{number}/", "resume")


@router.post("/predictions/")
async def predict(request: Request, database: Lent, desk: Desk, form: Posted) -> Response:
    """Ask all deployed models for the newest bar, and store what they say."""
    symbol, target, interval, bars = (form.one("of").split("|") + [""] * 4)[:4]
    if not bars.isdecimal() or len(bars) > _MOST_DIGITS:
        raise ParamsError("choose one of the questions of the form")
    hours = int(bars) * (interval_length(interval) / _HOUR)
    given = {"symbol": symbol, "target": target, "interval": interval}
    asked = _checked(Predict, given | {"prediction_horizon_hours": hours})
    told = await api_predictions.predict_ensemble(asked, database, desk)
    return _on("predictions/", "predict" if told.stored else "told")


@router.post("/features/{name}/{switch}")
def feature(
    request: Request, database: Lent, name: str, switch: Annotated[str, Path(pattern="^(on|off)$")]
) -> Response:
    """Say whether later trainings may read a feature."""
    api_watch.switch_feature(name, Switch(enabled=switch == "on"), database, request)
    return _on("features/", "feature")


@router.post("/alarms/{number}/close")
def close(request: Request, database: Lent, number: Number) -> Response:
    """Say that an alarm was seen to."""
    api_watch.close_alarm(number, Close(closed=True), database, request)
    return _on("alarms/", "alarm")
