"""The OpenAPI document is complete, and what is answered is what it says, whatever is asked."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from tests.serving.house import furnish

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# what breaks the document may also be too long to be looked at
REFUSED = {"expected-statuses": ["400", "404", "405", "413", "414", "415", "422", "431"]}
# who asks is the client's own affair
_KEPT = ("Content-Type", "Last-Event-ID")
PROBLEM = "application/problem+json"
OPERATIONS = {
    "list_models", "train_model", "read_model", "configure_model", "archive_model",
    "retrain_model", "list_predictions", "predict", "read_ensemble", "predict_ensemble",
    "list_training_sessions", "read_training_session", "cancel_training_session",
    "resume_training_session", "follow_training_session", "list_features", "switch_feature",
    "read_performance", "list_backtests", "read_backtest", "run_backtest", "list_alarms",
    "close_alarm", "list_signals", "read_audit",
}  # fmt: skip


@pytest.fixture
def house(own_store):
    furnish(own_store)
    return own_store


def ours(client):
    """Operations of the API as its document has them, by path and method."""
    paths = client.get("/api/openapi.json").json()["paths"]
    return {
        (path, method): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
        if path.startswith("/api/ml/")
    }


def send(client, case):
    """What the server answers to a generated request; a job that it queues is cancelled."""
    kwargs = case.as_transport_kwargs(base_url="http://127.0.0.1:8765")
    own = ("params", "json", "data", "content", "files")
    options = {name: kwargs[name] for name in own if kwargs.get(name) is not None}
    if isinstance(options.get("data"), bytes):
        options["content"] = options.pop("data")
    headers = {name: value for name, value in kwargs["headers"].items() if name in _KEPT}
    answer = client.request(kwargs["method"], kwargs["url"], headers=headers, **options)
    if answer.status_code == 202 and "session_id" in answer.json():
        client.request("DELETE", f"/api/ml/training-sessions/{answer.json()['session_id']}/")
    return answer


def assert_as_documented(client, mode, examples):
    """Every operation, asked in many ways, answers what its document says."""
    document = client.get("/api/openapi.json").json()
    config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": REFUSED}})
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema = schema.include(path_regex="^/api/ml/")
    more = [checks.negative_data_rejection] if mode is GenerationMode.NEGATIVE else []
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            nonlocal asked
            asked += 1
            case.validate_response(send(client, case), checks=CHECKS + more)

        ask()
    return asked


def test_every_path_of_the_page_is_in_the_document_with_its_refusals(write):
    found = ours(write)
    assert {operation["operationId"] for operation in found.values()} == OPERATIONS
    for (path, method), operation in found.items():
        assert path.endswith("/"), path
        assert operation["tags"]
        assert operation["summary"]
        refusals = {s: a for s, a in operation["responses"].items() if int(s) >= 400}
        assert {"400", "401", "403", "414", "422", "429", "431", "503"} <= set(refusals)
        assert ("413" in refusals) == ("requestBody" in operation), (path, method)
        assert ("404" in refusals) >= ("{" in path), (path, method)
        assert all(list(answer["content"]) == [PROBLEM] for answer in refusals.values())
        (fine,) = [a for s, a in operation["responses"].items() if s in ("200", "202")]
        ((media, answer),) = fine["content"].items()
        assert media in ("application/json", "text/event-stream")
        assert answer["schema"]


def test_bodies_have_examples_that_they_accept_and_take_no_unknown_names(write):
    document = write.get("/api/openapi.json").json()
    parts = document["components"]["schemas"]
    bodies = [
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
        for operation in ours(write).values()
        if "requestBody" in operation
    ]
    assert {"Train", "Configure", "Predict", "Switch", "Close", "OfModel"} == set(bodies)
    for name in bodies:
        assert parts[name]["examples"], name
        assert parts[name]["additionalProperties"] is False
    assert document["security"] == [{"token": []}, {"visit": []}]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_what_is_answered_is_what_the_document_says(house, serve, mode):
    client = serve(reads=1e6, writes=1e6)
    assert assert_as_documented(client, mode, 6) >= 100


@pytest.mark.certify
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_what_is_answered_is_what_the_document_says_asked_in_many_ways(house, serve, mode):
    client = serve(reads=1e6, writes=1e6)
    assert assert_as_documented(client, mode, 400) >= 5_000
