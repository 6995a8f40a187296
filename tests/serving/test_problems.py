"""Refusals: problem details for all of them, and nothing of the machine in any."""

import json
import logging
import sqlite3

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from signalkit.errors import (
    DataError,
    LeakError,
    ParamsError,
    SignalkitError,
    SourceError,
    StoreError,
)
from signalkit.serving import create
from signalkit.serving.problems import Problem
from tests.serving.client import TOKEN, Client

WHERE = "/home/somebody/data/signalkit.db"


class Asked(BaseModel):
    limit: int
    name: str = ""


def raising(error):
    def endpoint():
        raise error

    return endpoint


REFUSALS = {
    "params": (ParamsError("horizon must be at least 1 bar, was 0"), 400),
    "data": (DataError("bars have a gap"), 422),
    "leak": (LeakError("fold 3 reads the future"), 422),
    "source": (SourceError(f"{WHERE} did not answer"), 503),
    "store": (StoreError(f"{WHERE} cannot be opened"), 503),
    "other": (SignalkitError("refused"), 400),
    "sqlite": (sqlite3.OperationalError(f"{WHERE} is locked"), 503),
    "conflict": (Problem(409, "model 3 is deployed", headers={"Retry-After": "9"}), 409),
    "broken": (ZeroDivisionError(f"division in {WHERE}"), 500),
}


@pytest.fixture
def client(own_store):
    app: FastAPI = create(own_store, token=TOKEN)
    for name, (error, _) in REFUSALS.items():
        app.get(f"/api/raise/{name}")(raising(error))

    @app.post("/api/ask")
    def ask(asked: Asked) -> Asked:
        return asked

    @app.get("/api/number/{number}")
    def number(number: int, limit: int = 10) -> int:
        return number + limit

    opened = Client(app, TOKEN, raise_errors=False)
    yield opened
    opened.close()
    app.state.database.close()


def assert_problem(answer, status):
    """An answer is problem details of a status, with what every one has."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    told = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= set(told)
    assert told["status"] == status
    assert "Traceback" not in answer.text
    return told


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_is_a_problem_with_its_status(client, name):
    error, status = REFUSALS[name]
    told = assert_problem(client.get(f"/api/raise/{name}"), status)
    assert told["instance"] == f"/api/raise/{name}"
    assert WHERE not in json.dumps(told)
    if status < 500:
        assert told["detail"] == str(getattr(error, "detail", error))


def test_the_headers_of_a_refusal_reach_the_client(client):
    assert client.get("/api/raise/conflict").headers["retry-after"] == "9"
    assert client.get("/api/raise/store").headers["retry-after"] == "5"


def test_a_fault_is_logged_under_the_number_that_is_told(client, caplog):
    with caplog.at_level(logging.ERROR, logger="signalkit.serving"):
        told = assert_problem(client.get("/api/raise/broken"), 500)
    number = told["detail"].rsplit(" ", 1)[1]
    logged = [record for record in caplog.records if number in record.getMessage()]
    assert len(logged) == 1
    assert logged[0].exc_info[0] is ZeroDivisionError


def test_values_that_are_refused_are_told_one_by_one(client):
    told = assert_problem(client.post("/api/ask", json={"limit": "x", "name": 3}), 422)
    assert told["errors"] == [
        {"location": ["body", "limit"], "detail": told["errors"][0]["detail"]},
        {"location": ["body", "name"], "detail": "Input should be a valid string"},
    ]
    told = assert_problem(client.get("/api/number/x?limit=y"), 422)
    assert [e["location"] for e in told["errors"]] == [["path", "number"], ["query", "limit"]]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 50_000, b'{"limit": ' + b"1" * 6_000 + b"}", b"{'limit': 1}"]
)
def test_bodies_that_are_no_json_are_bad_requests(client, body):
    answer = client.post("/api/ask", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 400)


def test_a_number_that_json_does_not_have_is_refused(client):
    body = b'{"limit": NaN}'
    answer = client.post("/api/ask", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422)


def test_what_is_not_there_and_what_is_not_answered(client):
    assert_problem(client.get("/api/nothing"), 404)
    answer = client.post("/api/number/3")
    assert_problem(answer, 405)
    assert answer.headers["allow"] == "GET"


def test_kinds_of_bodies_that_are_not_read_are_refused(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
        answer = client.post("/api/ask", content=b'{"limit": 1}', headers={"content-type": kind})
        assert_problem(answer, 415)
    kind = "application/json; charset=utf-8"
    answer = client.post("/api/ask", content=b'{"limit": 1}', headers={"content-type": kind})
    assert answer.json() == {"limit": 1, "name": ""}
