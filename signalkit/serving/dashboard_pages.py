"""Pages from templates: escaped, with numbers and moments written one way everywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException

from signalkit.errors import SignalkitError, StoreError
from signalkit.serving import charts
from signalkit.serving.dashboard_scores import class_words, is_class
from signalkit.serving.problems import STATUS
from signalkit.serving.visits import WRITE
from signalkit.store.predictions import ENSEMBLE

HERE = Path(__file__).parent
_NONE = "–"
# pages by the first word of their path, in the order of the menu
MENU = {
    "": "Overview",
    "models": "Models",
    "training": "Training",
    "predictions": "Predictions",
    "performance": "Performance",
    "signals": "Signals",
    "features": "Features",
    "alarms": "Alarms",
    "backtests": "Backtests",
    "audit": "Audit",
}
# what a page says after a change; the address can only choose among these
DONE = {
    "deploy": "The model is deployed. It answers from the next bar on.",
    "archive": "The model is archived. Its files stay.",
    "train": "The training is queued. A worker takes it up when it is free.",
    "again": "The training is queued, on the newest bars that are stored.",
    "backtest": "The backtest is queued. A worker takes it up when it is free.",
    "cancel": "The training is cancelled. What it finished stays and can be resumed.",
    "resume": "The training is queued again and goes on where it stopped.",
    "feature": "Noted. It holds for models that are trained from now on.",
    "alarm": "The alarm is closed.",
    "watch": "Noted. The loop watches the model so from its next step on.",
    "predict": "The prediction of the newest bar is stored.",
    "told": "The models had no answer that could be stored: it was refused, or they were trained on"
    " that bar. Collect newer bars.",
}

_HEAD = re.compile(r'<th scope="col"[^>]*>(.*?)</th>', re.DOTALL)
_ROW = re.compile(r"<tr>.*?</tr>", re.DOTALL)
_CELL = re.compile(r'<t(?:d|h scope="row")(?: [^>]*)?>')
_TAG = re.compile(r"<[^>]*>")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits behind the point; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return _NONE
    return f"{value:,.{digits}f}".replace("-", "−")


def share(value: float | None, digits: int = 1) -> str:
    """A fraction in percent."""
    text = number(None if value is None else 100 * value, digits)
    return text if text == _NONE else f"{text} %"


def signed(value: float | None, digits: int = 3) -> str:
    """A number with its sign, so that colour is never alone."""
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 and text != _NONE else text


def price(value: float | None) -> str:
    """A price with as many digits as tell it apart."""
    return number(value, 2 if value is None or abs(value) >= 10 else 6)


def when(value: int | str | None) -> str:
    """Nanoseconds since the epoch, or ISO 8601, as a moment in UTC."""
    if value is None or value == "":
        return _NONE
    if isinstance(value, int):
        return charts.moment(value)
    return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def ago(value: int | str | None) -> str:
    """How long a moment is past."""
    if value is None or value == "":
        return "never"
    then = value / 1e9 if isinstance(value, int) else datetime.fromisoformat(value).timestamp()
    seconds = datetime.now(UTC).timestamp() - then
    for size, unit in ((86_400 * 365.25, "year"), (86_400, "day"), (3600, "h"), (60, "min")):
        count = int(seconds // size)
        if count >= 1:
            plural = "s" if count > 1 and unit in ("year", "day") else ""
            return f"{count} {unit}{plural} ago"
    return "just now" if seconds >= 0 else "in the future"


def maker(made_by: str) -> str:
    """Who made a prediction, in words."""
    return "ensemble" if made_by == ENSEMBLE else f"model {made_by}"


def labelled(table: Markup) -> Markup:
    """A table whose cells carry the heads of their columns, for screens too narrow for columns."""
    heads = [_TAG.sub("", head).strip() for head in _HEAD.findall(table)]

    def row(found: re.Match[str]) -> str:
        places = iter(heads)

        def cell(tag: re.Match[str]) -> str:
            head = next(places, "")
            return tag[0] if "colspan" in tag[0] else f'{tag[0][:-1]} data-label="{head}">'

        return _CELL.sub(cell, found[0])

    return Markup(_ROW.sub(row, table))


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.filters |= {
    "number": number,
    "share": share,
    "signed": signed,
    "price": price,
    "when": when,
    "ago": ago,
    "maker": maker,
    "labelled": labelled,
}
_ENVIRONMENT.globals |= {
    "menu": MENU,
    "class_words": class_words,
    "is_class": is_class,
    "height": charts.HEIGHT,
    "width": charts.WIDTH,
}


def page(request: Request, name: str, *, status: int = 200, **told: Any) -> Response:
    """A template as an answer.

    Parameters
    ----------
    request : Request
        Says who looks, and what was just done.
    name : str
        Of the template, without its end.
    status : int
        HTTP status.
    **told
        What the template shows.
    """
    here = request.url.path.removeprefix("/ml/").partition("/")[0]
    own = {
        "here": here,
        "done": DONE.get(request.query_params.get("done", "")),
        "may_write": request.state.visitor.role == WRITE,
        "by_browser": request.state.visitor.by == "browser",
    }
    text = _ENVIRONMENT.get_template(f"{name}.html").render(own | told)
    return HTMLResponse(text, status)


def _status(refused: Exception) -> tuple[int, str]:
    """Status and words of what was refused."""
    if isinstance(refused, HTTPException):
        return refused.status_code, str(refused.detail)
    if isinstance(refused, RequestValidationError):
        faults = [f"{fault['loc'][-1]}: {fault['msg']}" for fault in refused.errors()[:5]]
        return 422, "; ".join(faults)
    kinds = type(refused).__mro__
    return next((STATUS[kind] for kind in kinds if kind in STATUS), 400), str(refused)


class PageRoute(APIRoute):
    """A route whose refusals are pages too.

    What the disk refuses stays with the server's own answer: it names files, and is logged.
    """

    def get_route_handler(self) -> Handler:
        """The endpoint, its refusals as pages."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except StoreError:
                raise
            except (SignalkitError, HTTPException, RequestValidationError) as refused:
                status, words = _status(refused)
                title = HTTPStatus(status).phrase
                return page(request, "error", status=status, title=title, words=words)

        return handler
