"""Models by the API: the calls as documented, filters, states, refusals as problems."""

import json

import numpy as np
import pandas as pd
import pytest

from signalkit.store import Store, audit
from tests.serving.client import READ_TOKEN
from tests.serving.house import furnish

TRAIN = {
    "model_type": "XGBOOST",
    "target_variable": "signal_direction",
    "symbols": ["BTCUSDT", "ETHUSDT"],
    "prediction_horizon": 24,
    "training_days": 180,
}
MODELS = "/api/ml/models/"


def collect(folder, *symbols, bars=500):
    """Hourly bars of a seeded random walk in the store."""
    times = pd.date_range("2024-01-01", periods=bars, freq="h", tz="UTC", name="time")
    close = 100 * np.exp(np.random.default_rng(5).normal(0, 0.01, bars).cumsum())
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    table = pd.DataFrame(columns | {"volume": 1.0}, times)
    with Store.open(folder) as store:
        panel = pd.concat(dict.fromkeys(symbols, table), names=["symbol", "time"])
        store.write_bars(panel, source="binance", interval="1h", calendar="24/7")


@pytest.fixture
def house(own_store):
    furnish(own_store)
    return own_store


def assert_problem(answer, status, says):
    """A refusal as RFC 9457 has it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert set(told) - {"errors"} == {"type", "title", "status", "detail", "instance"}
    assert told["status"] == status
    assert says in told["detail"]


def statuses(client):
    """Status by number of a model."""
    return {model["id"]: model["status"] for model in client.get(MODELS).json()["models"]}


def test_models_are_listed_newest_first_with_all_that_is_known(house, write):
    found = write.get(MODELS).json()
    assert found["total"] == 4
    assert [model["id"] for model in found["models"]] == [4, 3, 2, 1]
    second = found["models"][2]
    assert second["metrics"] == {"accuracy": 0.43, "auc": 0.573}
    assert (second["status"], second["is_active"], second["symbols"]) == (
        "deployed", True, ["BTCUSDT", "ETHUSDT"]
    )  # fmt: skip
    assert second["trained_from"] == "2023-01-01T00:00:00+00:00"
    assert second == write.get(f"{MODELS}2/").json()


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"status": "deployed"}, [3, 2]),
        ({"model_type": "LSTM"}, [4]),
        ({"target_variable": "target_return"}, [3]),
        ({"name": "btc_direction"}, [2, 1]),
        ({"name": "btc_direction", "status": "archived"}, [1]),
        ({"symbol": "DOGE"}, []),
        ({"symbol": "BTCUSDT", "limit": 2, "offset": 1}, [3, 2]),
        ({"offset": 9}, []),
    ],
)
def test_models_are_filtered_and_paged(house, write, asked, numbers):
    found = write.get(MODELS, params=asked).json()
    assert [model["id"] for model in found["models"]] == numbers
    without = {k: v for k, v in asked.items() if k not in ("limit", "offset")}
    assert found["total"] == len(write.get(MODELS, params=without).json()["models"])


def test_the_documented_call_trains_and_says_where_to_look(house, write):
    collect(house, "BTCUSDT", "ETHUSDT")
    answer = write.post(MODELS, json=TRAIN)
    assert answer.status_code == 202
    number = answer.json()["session_id"]
    assert answer.json() == {"session_id": number, "status": "queued"}
    session = write.get(answer.headers["location"]).json()
    told = session["asked"]
    assert told.pop("target") == TRAIN["target_variable"]
    assert told == {"kind": "train", "interval": "1h", "source": None} | {
        name: value for name, value in TRAIN.items() if name != "target_variable"
    }
    assert (session["status"], session["asked_by"]) == ("queued", "token (write)")
    with Store.open(house) as store:
        noted = audit.page(store.db)[0]
    assert (noted["action"], noted["subject"]) == ("queue", f"session {number}")


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"symbols": ["DOGEUSDT"]}, 422, "no 1h bars of DOGEUSDT are stored"),
        ({"prediction_horizon": 1.5}, 400, "must be a whole number of them"),
        ({"model_type": "XGBOST"}, 422, "1 values are refused"),
        ({"symbols": []}, 422, "1 values are refused"),
        ({"symbols": ["../../etc"]}, 422, "1 values are refused"),
        ({"training_days": "180"}, 422, "1 values are refused"),
        ({"rounds": 5}, 422, "1 values are refused"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once_and_not_queued(
    house, write, changed, status, says
):
    collect(house, "BTCUSDT", "ETHUSDT")
    assert_problem(write.post(MODELS, json=TRAIN | changed), status, says)
    with Store.open(house) as store:
        assert store.sessions.waiting() == 0


def test_a_queue_that_is_full_says_when_to_come_again(house, write):
    collect(house, "BTCUSDT", "ETHUSDT")
    with Store.open(house) as store:
        for _ in range(100):
            store.sessions.queue({"kind": "train"}, asked_by="a")
    answer = write.post(MODELS, json=TRAIN)
    assert_problem(answer, 429, "100 jobs wait already")
    assert int(answer.headers["retry-after"]) > 0


def test_a_model_is_deployed_rolled_back_and_archived_and_the_audit_says_by_whom(house, write):
    assert write.request("PATCH", f"{MODELS}1/", json={"status": "deployed"}).json()["is_active"]
    assert statuses(write) == {1: "deployed", 2: "archived", 3: "deployed", 4: "trained"}
    write.request("PATCH", f"{MODELS}2/", json={"status": "deployed"})
    assert statuses(write)[1] == "archived"
    assert_problem(write.request("DELETE", f"{MODELS}2/"), 409, "is deployed; deploy another")
    assert write.request("DELETE", f"{MODELS}2/?force=true").json()["status"] == "archived"
    refused = write.request("PATCH", f"{MODELS}3/", json={"status": "archived"})
    assert_problem(refused, 409, "is deployed")
    forced = write.request("PATCH", f"{MODELS}3/", json={"status": "archived", "force": True})
    assert forced.json()["status"] == "archived"
    rows = write.get("/api/ml/audit/", params={"subject": "model 2"}).json()["audit"]
    assert [(row["actor"], row["action"]) for row in rows[:3]] == [
        ("token (write)", "archive"), ("token (write)", "deploy"), ("token (write)", "archive")
    ]  # fmt: skip


def test_how_a_model_is_watched_is_kept_and_told(house, write):
    asked = {"on_alarm": "retire", "window": 100}
    found = write.request("PATCH", f"{MODELS}2/", json={"monitoring": asked})
    assert found.json()["monitoring"] == asked
    assert write.get(f"{MODELS}2/").json()["monitoring"] == asked
    assert write.get(f"{MODELS}3/").json()["monitoring"] == {}
    (row,) = write.get("/api/ml/audit/", params={"subject": "model 2", "limit": 1}).json()["audit"]
    assert (row["action"], row["detail"]) == ("configure", asked)
    refused = write.request("PATCH", f"{MODELS}2/", json={"monitoring": {"alpha": 2}})
    assert_problem(refused, 422, "1 values are refused")


def test_a_model_whose_files_were_changed_is_not_deployed(house, write):
    with Store.open(house) as store:
        place = store.models.folder / store.models.find(4).identity / "model.txt"
    place.write_text("something else")
    refused = write.request("PATCH", f"{MODELS}4/", json={"status": "deployed"})
    assert_problem(refused, 409, "the files of model 4 were changed")
    assert str(house) not in refused.text
    assert statuses(write)[4] == "trained"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_what_is_not_there_is_a_404(house, write, method):
    body = {"json": {"status": "deployed"}} if method == "PATCH" else {}
    assert_problem(write.request(method, f"{MODELS}99/", **body), 404, "no model 99 is registered")


def test_a_model_of_a_closed_study_is_not_retrained(house, write):
    refused = write.post(f"{MODELS}2/retrain/")
    assert_problem(refused, 409, "does not hold the params of its study")
    assert_problem(write.post(f"{MODELS}99/retrain/"), 404, "no model 99")


def test_who_may_only_look_changes_nothing(house, serve):
    reader = serve(READ_TOKEN)
    before = json.dumps(reader.get(MODELS).json())
    for method, path in (("POST", MODELS), ("PATCH", f"{MODELS}2/"), ("DELETE", f"{MODELS}4/")):
        body = {"json": {}} if method != "DELETE" else {}
        assert_problem(reader.request(method, path, **body), 403, "the read token may look")
    assert json.dumps(reader.get(MODELS).json()) == before
