"""How cells of the admin pages look: times in UTC, states in colour, shares as bars.

A hook of Datasette; what it does not answer Datasette writes itself, escaped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from datasette import Response, hookimpl
from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils.asgi import Base400, Request
from datasette.views.base import DatasetteError
from markupsafe import Markup

DATABASE = "signalkit"
# columns of integers that are moments, by their unit in a second
_NANOSECONDS = {
    "time", "known_at", "prediction_timestamp", "published", "first_bar", "last_bar", "first",
    "last", "date", "measured",
}  # fmt: skip
_MICROSECONDS = {"recorded_at", "replaced_at", "asked_at", "noted_at"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = {
    "good": {"deployed", "completed", "kept", "better", "closed"},
    "bad": {"failed", "worse", "open"},
    "fair": {"interrupted", "few", "running", "queued"},
    "dim": {"archived", "not measured", "trained"},
}
_COLOURED = {"status", "state", "performance"}
_SHARES = {"confidence_score", "progress", "confidence"}
_LONG = {"error"}
_SWITCHES = {"enabled", "active", "is_active", "holdout"}


def moment(value: int, column: str) -> str | None:
    """A number of a column as UTC time; None where the column holds no time."""
    if column in _NANOSECONDS:
        seconds, rest = divmod(value, 1_000_000_000)
    elif column in _MICROSECONDS:
        seconds, rest = divmod(value, 1_000_000)
    else:
        return None
    try:
        told = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None
    return f"{told:%Y-%m-%d %H:%M:%S}{' +' if rest else ''} UTC"


def _shown(value: object, column: str) -> Markup | None:
    """A cell in its own dress, None for a plain one."""
    if isinstance(value, int) and (told := moment(value, column)):
        return Markup('<time title="{}">{}</time>').format(value, told)
    if column in _COLOURED and isinstance(value, str):
        kind = next((kind for kind, words in _WORDS.items() if value in words), "dim")
        return Markup('<span class="is-{}">{}</span>').format(kind, value)
    if column == "is_correct" and value in (0, 1):
        kind, word = ("good", "✓ right") if value else ("bad", "✗ wrong")
        return Markup('<span class="is-{}">{}</span>').format(kind, word)
    if column in _SWITCHES and value in (0, 1):
        return Markup("yes" if value else "no")
    if column in _SHARES and isinstance(value, int | float) and 0 <= value <= 1:
        bar = Markup('<meter min="0" max="1" value="{}">{}</meter> {}')
        return bar.format(value, f"{value:.0%}", f"{value:.1%}")
    if column in _LONG and isinstance(value, str) and value:
        return Markup('<span class="is-bad long">{}</span>').format(value)
    return _long(value)


def _long(value: object) -> Markup | None:
    """A long text folded away."""
    if not isinstance(value, str) or len(value) < 80:
        return None
    fold = '<details class="fold"><summary>{} …</summary><code>{}</code></details>'
    return Markup(fold).format(value[:40], value)


@hookimpl
def render_cell(value: object, column: str, database: str) -> Markup | None:
    """Hook: how a cell is shown."""
    return _shown(value, column) if database == DATABASE else None


@hookimpl
def menu_links() -> list[dict[str, str]]:
    """Hook: ways out of the admin pages."""
    return [{"href": "/ml/", "label": "Dashboard"}]


@hookimpl
def handle_exception(
    datasette: Datasette, request: Request, exception: Exception
) -> Callable[[], Awaitable[Response]]:
    """Hook: what is told of a refusal. What is no refusal goes on to the server."""

    async def told() -> Response:
        found: dict[str, Any] = {"ok": False, "error": str(exception)}
        if isinstance(exception, DatasetteError):
            refused = 400 if exception.status >= 500 else exception.status  # 500 is its default
            found |= {"error": str(exception.message), "status": refused}
        elif isinstance(exception, Base400):
            found["status"] = exception.status
        elif isinstance(exception, sqlite3.Error):
            found["status"] = 400  # of a query made of the request's own words
        else:
            raise exception
        if request.path.endswith(".json"):
            return Response.json(found, status=found["status"])
        page = await datasette.render_template("error.html", found, request=request)
        return Response.html(page, status=found["status"])

    return told


def install() -> None:
    """Have Datasette ask these hooks; its own of errors prints what it finds."""
    if not pm.has_plugin(__name__):
        from signalkit.serving.admin import cells  # noqa: PLC0415 - this module, as a plugin

        pm.register(cells, __name__)
        pm.unregister(name="datasette.handle_exception")
