"""Features, live scores, alarms, signals, simulations and the audit by the API."""

import numpy as np
import pandas as pd
import pytest

from signalkit import lineage
from signalkit.features import CATALOG
from signalkit.store import Store
from signalkit.study import request
from tests.serving.client import READ_TOKEN
from tests.serving.house import FIRST, HOUR, furnish
from tests.serving.test_api_models import assert_problem, collect

FEATURES, ALARMS, BACKTESTS = "/api/ml/features/", "/api/ml/alarms/", "/api/ml/backtests/"


@pytest.fixture
def house(own_store):
    furnish(own_store)
    return own_store


def switch(client, name, enabled):
    """A feature switched on or off."""
    return client.request("PATCH", f"{FEATURES}{name}/", json={"enabled": enabled})


def test_every_feature_of_the_catalogue_is_listed_with_what_it_was_worth(house, write):
    found = write.get(FEATURES).json()
    rows = {row["name"]: row for row in found["features"]}
    assert found["total"] == len(rows)
    assert list(rows)[: len(CATALOG)] == list(CATALOG)
    assert rows["return_1"]["importance"] is not None
    assert rows["momentum_21_5"]["importance"] is None
    assert all(row["enabled"] for row in rows.values())
    assert rows["rsi_14"]["unit"] == CATALOG["rsi_14"].unit


def test_a_feature_that_is_switched_off_is_not_asked_for_by_later_trainings(house, write):
    collect(house, "BTCUSDT", "ETHUSDT")
    assert switch(write, "rsi_14", False).json()["enabled"] is False
    off = write.get(FEATURES, params={"enabled": False}).json()["features"]
    assert [row["name"] for row in off] == ["rsi_14"]
    words = {"model_type": "XGBOOST", "target": "signal_direction", "symbols": ["BTCUSDT"]}
    with Store.open(house) as store:
        names = request.sections(store, **words)["features"]["names"]
    assert "rsi_14" not in names
    assert "return_1" in names
    switch(write, "rsi_14", True)
    assert write.get(FEATURES, params={"enabled": False}).json()["total"] == 0
    actions = [row["action"] for row in write.get("/api/ml/audit/?limit=2").json()["audit"]]
    assert actions == ["enable", "disable"]


def test_a_feature_that_there_is_not_cannot_be_switched(house, write):
    assert_problem(switch(write, "moon_phase", False), 404, "there is no feature moon_phase")
    assert_problem(switch(write, "rsi_14", "off"), 422, "1 values are refused")


def test_families_are_filtered(house, write):
    rows = write.get(FEATURES, params={"family": "calendar"}).json()["features"]
    assert {row["family"] for row in rows} == {"calendar"}
    assert len(rows) == sum(feature.family == "calendar" for feature in CATALOG.values())


def test_live_scores_stand_beside_what_validation_gave(house, write):
    found = write.get("/api/ml/performance/", params={"made_by": "2"}).json()
    assert len(found["performance"]) == 5
    newest = found["performance"][0]
    assert (newest["accuracy"], newest["state"], newest["window"]) == (0.42, "kept", "200")
    assert pd.Timestamp(newest["date"]) == pd.Timestamp(FIRST + 96 * HOUR, tz="UTC")
    (promised,) = found["validation"]
    assert (promised["model"], promised["metrics"]["accuracy"]) == (2, 0.43)
    assert write.get("/api/ml/performance/?window=7").json()["performance"] == []
    assert len(write.get("/api/ml/performance/?limit=3").json()["performance"]) == 3


def test_an_alarm_is_closed_once_and_by_somebody(house, write):
    (alarm,) = write.get(ALARMS).json()["alarms"]
    assert (alarm["kind"], alarm["subject"], alarm["closed_at"]) == ("accuracy", "model 3", None)
    closed = write.request("PATCH", f"{ALARMS}{alarm['id']}/", json={"closed": True}).json()
    assert closed["closed_by"] == "token (write)"
    assert write.get(ALARMS).json()["alarms"] == []
    assert write.get(ALARMS, params={"closed": True}).json()["alarms"] == [closed]
    again = write.request("PATCH", f"{ALARMS}{alarm['id']}/", json={"closed": True})
    assert_problem(again, 409, "no alarm 1 is open")
    missing = write.request("PATCH", f"{ALARMS}99/", json={"closed": True})
    assert_problem(missing, 404, "there is no alarm 99")
    reopened = write.request("PATCH", f"{ALARMS}1/", json={"closed": False})
    assert_problem(reopened, 422, "1 values are refused")


def test_signals_are_told_with_price_and_weight(house, write):
    (signal,) = write.get("/api/ml/signals/?symbol=BTCUSDT").json()["signals"]
    assert (signal["study"], signal["weight"], signal["price"]) == ("house", 0.4, 61_000)
    assert pd.Timestamp(signal["time"]) == pd.Timestamp(FIRST, tz="UTC")
    assert write.get("/api/ml/signals/?study=other").json()["signals"] == []


def test_the_audit_is_read_in_pages_and_by_who_may_only_look(house, serve):
    reader = serve(READ_TOKEN)
    whole = reader.get("/api/ml/audit/?limit=500").json()
    assert whole["next"] is None
    page = reader.get("/api/ml/audit/?limit=3").json()
    rest = reader.get("/api/ml/audit/", params={"before": page["next"], "limit": 500}).json()
    assert page["audit"] + rest["audit"] == whole["audit"]


def simulated(store, points):
    """A simulation as a study stores it: its statistics, its equity, two trades."""
    about = lineage.identity("backtesting", params={}, modules=("signalkit.errors",), upstream={})
    time = pd.date_range("2024-01-01", periods=points, freq="h", tz="UTC", name="time")
    equity = pd.DataFrame({"strategy": 1 + np.arange(points) / points, "hold": 1.0}, time)
    numbers = {"sharpe_annual": 1.25, "profit_factor": np.nan, "trades": 2.0}
    statistics = pd.DataFrame({"strategy": numbers, "hold": numbers})
    told = {"symbol": "BTCUSDT", "side": "long", "entry_time": time[0], "exit_time": time[1]}
    money = {"entry_price": 100.0, "exit_price": 110.0, "size": 1.0, "pnl": 10.0, "return": 0.1}
    costs = {"fee": 0.0, "slippage": 0.0, "funding": 0.0, "exit_reason": "signal"}
    cause = {"model_id": "XGBOOST", "prediction": 1.0, "confidence": 0.6}
    trades = pd.DataFrame([told | money | costs | cause] * 2)
    store.write_trades(about["identity"], trades)
    return store.artifacts.write(about, tables={"statistics": statistics, "equity": equity})


def test_a_simulation_is_listed_with_statistics_trades_and_equity(own_store, write):
    with Store.open(own_store) as store:
        made = simulated(store, 2_500)
    (row,) = write.get(BACKTESTS).json()["backtests"]
    assert (row["run"], row["trades"]) == (made.identity, 2)
    assert row["statistics"] == {"sharpe_annual": 1.25, "profit_factor": None, "trades": 2.0}
    found = write.get(f"{BACKTESTS}{made.identity}/?limit=1").json()
    assert {name: found[name] for name in row} == row
    (trade,) = found["newest_trades"]
    assert (trade["return"], trade["model_id"], trade["exit_reason"]) == (0.1, "XGBOOST", "signal")
    assert len(found["equity"]) == 1_000
    ends = [found["equity"][place] for place in (0, -1)]
    assert [end["strategy"] for end in ends] == [1.0, 1 + 2_499 / 2_500]
    (made.folder / "statistics.parquet").write_bytes(b"something else")
    assert write.get(BACKTESTS).json()["backtests"] == []
    missing = write.get(f"{BACKTESTS}{made.identity}/")
    assert_problem(missing, 404, "there is no simulation")


def test_a_simulation_is_asked_for_by_model(house, write):
    answer = write.post(BACKTESTS, json={"model": 2})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    session = write.get(answer.headers["location"]).json()
    assert session["asked"] == {"kind": "backtest", "model": 2}
    assert_problem(write.post(BACKTESTS, json={"model": 99}), 404, "no model 99")
    (run,) = write.get(BACKTESTS).json()["runs"]
    assert (run["study_name"], run["status"]) == ("house", "running")
