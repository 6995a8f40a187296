"""Refusals as problem details (RFC 9457): what was wrong, where, and the way out.

Nothing of the machine is told: no trace, no path. What went wrong inside is logged under a
number, and the number is told.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from signalkit.errors import (
    DataError,
    LeakError,
    ParamsError,
    SignalkitError,
    SourceError,
    StoreError,
)
from signalkit.serving.headers import SAFE

JSON = "application/problem+json"
_LOG = logging.getLogger("signalkit.serving")
_LONGEST = 2_000  # characters of a detail

# where a class has several meanings, the endpoint says which by raising Problem
STATUS: dict[type[SignalkitError], int] = {
    ParamsError: 400,
    DataError: 422,
    LeakError: 422,
    SourceError: 503,
    StoreError: 503,
}


class Problem(HTTPException):
    """A refusal with its status: `raise Problem(404, "no model 7 is registered")`.

    Parameters
    ----------
    status : int
        HTTP status, 400 or more.
    detail : str
        What was found and the way out, as our error messages are.
    headers : mapping, optional
        Headers of the answer, such as Retry-After.
    errors : sequence of mappings, optional
        Each `location` and `detail` of a value that was refused.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, object]] = (),
    ) -> None:
        super().__init__(status, detail, headers)
        self.errors = list(errors)


def answer(problem: Problem, path: str) -> Response:
    """A problem as an answer to a request for a path."""
    title = HTTPStatus(problem.status_code).phrase
    body = {
        "type": "about:blank",
        "title": title,
        "status": problem.status_code,
        "detail": problem.detail[:_LONGEST],
        "instance": path,
    }
    body |= {"errors": problem.errors} if problem.errors else {}
    text = json.dumps(body, allow_nan=False)  # ASCII: no character of a path can break it
    return Response(text, problem.status_code, problem.headers, JSON)


def _http(request: Request, found: HTTPException) -> Response:
    """What the router or an endpoint refused."""
    detail = str(found.detail)
    if detail == HTTPStatus(found.status_code).phrase:
        detail = _WORDS.get(found.status_code, detail)
    problem = Problem(found.status_code, detail, headers=found.headers)
    problem.errors = getattr(found, "errors", [])
    return answer(problem, request.url.path)


_WORDS = {
    404: "there is nothing under this path",
    405: "this path does not answer this method; Allow says which it answers",
}


def _unfit(request: Request, found: RequestValidationError) -> Response:
    """Values of a request that are not what they must be."""
    told = [
        {"location": [str(part) for part in fault["loc"]], "detail": fault["msg"][:_LONGEST]}
        for fault in found.errors()[:20]
    ]
    no_json = any(fault["type"] == "json_invalid" for fault in found.errors())
    detail = "the body is no JSON" if no_json else f"{len(found.errors())} values are refused"
    return answer(Problem(400 if no_json else 422, detail, errors=told), request.url.path)


def _refused(request: Request, found: SignalkitError) -> Response:
    """What signalkit refuses, by whose move it is."""
    status = next((STATUS[kind] for kind in type(found).__mro__ if kind in STATUS), 400)
    if status == 503:
        return answer(_logged(found, status, "the disk or the network refused"), request.url.path)
    return answer(Problem(status, str(found)), request.url.path)


def _database(request: Request, found: sqlite3.Error) -> Response:
    """What the database refuses: locked, full, too slow."""
    return answer(_logged(found, 503, "the database refused"), request.url.path)


def _broken(request: Request, found: Exception) -> Response:
    """A fault of ours; it is answered outside the guard, which adds safe headers to the rest."""
    told = answer(_logged(found, 500, "the server has a fault"), request.url.path)
    told.headers.update(SAFE)
    return told


def _logged(found: Exception, status: int, words: str) -> Problem:
    """A problem whose cause is in the log under a number."""
    number = secrets.token_hex(4)
    _LOG.error("%s %s: %s", words, number, found, exc_info=found if status == 500 else None)
    retry = {"Retry-After": "5"} if status == 503 else None
    return Problem(status, f"{words}; its log has the cause under {number}", headers=retry)


def install(app: FastAPI) -> None:
    """Have an application answer every refusal as a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(SignalkitError, _refused)
    app.add_exception_handler(sqlite3.Error, _database)
    app.add_exception_handler(Exception, _broken)
