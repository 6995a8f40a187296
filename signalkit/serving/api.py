"""The API under /api/ml/: paths as documented, versionless, with their trailing slash.

`document` is the OpenAPI document: complete enough that a stranger's program can be made of
it. Refusals are problem details everywhere.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from signalkit.serving import (
    api_backtests,
    api_models,
    api_predictions,
    api_training,
    api_watch,
)
from signalkit.serving.refusals import JSON
from signalkit.serving.schemas import Refusal

PREFIX = "/api/ml"
PARTS = (api_models, api_predictions, api_training, api_watch, api_backtests)
_DESCRIPTION = """Models, predictions and trainings of one data folder.

Say who you are with `Authorization: Bearer TOKEN`, or with the cookie of a log in. The read
token may look; a change needs the other one. Refusals are problem details (RFC 9457)."""

router = APIRouter(prefix=PREFIX)
for _part in PARTS:
    router.include_router(_part.router)


def describe(app: FastAPI) -> None:
    """Have an application answer with our OpenAPI document.

    Parameters
    ----------
    app : FastAPI
        With the routes in it.
    """
    made: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not made:
            made.update(_document(app))
        return made

    app.openapi = document


def close(app: FastAPI) -> None:
    """Close what endpoints opened when they were first asked."""
    for name in ("desk", "recent"):
        opened = getattr(app.state, name, None)
        if opened is not None:
            opened.close()


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: with refusals as they are, and with who may ask."""
    found = get_openapi(
        title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes
    )
    parts = found.setdefault("components", {})
    schema = Refusal.model_json_schema(ref_template="#/components/schemas/{model}")
    parts.setdefault("schemas", {}).update(schema.pop("$defs", {}) | {"Refusal": schema})
    for unused in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(unused, None)
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "visit": {"type": "apiKey", "in": "cookie", "name": app.state.door.cookie},
    }
    found["security"] = [{"token": []}, {"visit": []}]
    for path in found["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    answer["content"] = {JSON: {"schema": {"$ref": "#/components/schemas/Refusal"}}}
            for asked in operation.get("parameters", []):
                asked["schema"] = _without_null(asked["schema"])
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter: an address has no null, what is not asked for is left out."""
    rest = [part for part in schema.get("anyOf", []) if part != {"type": "null"}]
    if len(rest) != 1:
        return schema
    return {name: told for name, told in schema.items() if name != "anyOf"} | rest[0]
