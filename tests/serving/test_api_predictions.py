"""Predictions by the API: the documented calls, pages, and one that is made now."""

import json
import shutil

import pandas as pd
import pytest

from signalkit.inference import Predictor
from signalkit.store import Asked, Predicted, Store
from tests.serving.house import FIRST, HOUR, furnish
from tests.serving.test_api_models import assert_problem
from tests.serving.trained import train

PREDICTIONS, ENSEMBLE = "/api/ml/predictions/", "/api/ml/ensemble/"
ASK = {"symbol": "BTCUSDT", "prediction_horizon_hours": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder with two deployed boosters on bars up to now."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("api") / "data"
        patched.setenv("SIGNALKIT_DATA", str(folder))
        patched.setenv("SIGNALKIT_THREADS", "1")
        numbers = train(folder, "XGBOOST", "LIGHTGBM")
        with Store.open(folder) as store:
            for number in numbers:
                store.models.deploy(number)
        yield folder


@pytest.fixture
def live(made, own_store):
    """A copy of it."""
    shutil.copytree(made, own_store)
    return own_store


@pytest.fixture
def house(own_store):
    furnish(own_store)
    return own_store


def stored(client, **asked):
    """Stored predictions."""
    return client.get(PREDICTIONS, params=asked).json()["predictions"]


def test_the_documented_call_lists_the_newest_predictions_of_a_symbol(house, write):
    found = write.get(f"{PREDICTIONS}?symbol=BTCUSDT&limit=10").json()
    rows = found["predictions"]
    assert len(rows) == 10
    assert {row["symbol"] for row in rows} == {"BTCUSDT"}
    newest = pd.Timestamp(FIRST + 39 * HOUR, tz="UTC")
    assert pd.Timestamp(rows[0]["prediction_timestamp"]) == newest
    assert rows[0]["prediction_probabilities"] == {"sell": 0.2, "hold": 0.25, "buy": 0.55}
    assert (rows[0]["prediction_value"], rows[0]["confidence_score"]) == (1.0, 0.55)
    assert (rows[0]["known_at"], rows[0]["actual_value"], rows[0]["is_correct"]) == (None,) * 3


def test_the_quick_way_and_the_filtered_one_say_the_same(house, write):
    with Store.open(house) as store:
        store.predictions.write(
            [Predicted("ENSEMBLE", "BTCUSDT", Asked("target_return", "1h", 24), FIRST - 7, 1e-300)]
        )
    quick = stored(write, symbol="BTCUSDT", limit=500)
    assert len(quick) == 81
    assert quick[-1]["prediction_value"] == 1e-300
    by_target = [stored(write, symbol="BTCUSDT", target=target, limit=500)
                 for target in ("signal_direction", "target_return")]  # fmt: skip
    assert by_target[0] + by_target[1] == quick
    settled = [row for row in quick if row["known_at"]]
    assert {row["is_correct"] for row in settled} == {True, False}


@pytest.mark.parametrize("asked", [{}, {"symbol": "ETHUSDT"}, {"made_by": "2"}])
def test_pages_follow_each_other_without_a_gap(house, write, asked):
    whole = stored(write, limit=500, **asked)
    pages, before = [], None
    while True:
        more = {} if before is None else {"before": before}
        found = write.get(PREDICTIONS, params={"limit": 7} | asked | more).json()
        pages += found["predictions"]
        before = found["next"]
        if before is None:
            break
    assert pages == whole
    places = [(row["prediction_timestamp"], row["id"]) for row in whole]
    assert places == sorted(places, reverse=True)
    assert len(whole) == {0: 160}.get(len(asked), 80)


@pytest.mark.parametrize(
    "asked",
    [
        {"before": "x"},
        {"before": "9999999999999999999-1"},
        {"limit": 0},
        {"limit": 501},
        {"symbol": "' OR 1=1 --"},
        {"made_by": "ENSEMBLE; DROP TABLE ml_models"},
        {"horizon": 10**30},
    ],
)
def test_what_is_not_asked_as_it_must_be_is_refused(house, write, asked):
    assert_problem(write.get(PREDICTIONS, params=asked), 422, "")


def test_numbers_that_json_has_not_are_null(house, write):
    with Store.open(house) as store:
        told = Asked("signal_direction", "1h", 24)
        detail = {"drift": float("nan")}
        store.predictions.write([Predicted("2", "ODD", told, FIRST, None, detail=detail)])
    text = write.get(f"{PREDICTIONS}?symbol=ODD").text
    (row,) = json.loads(text, parse_constant=pytest.fail)["predictions"]
    assert (row["detail"], row["prediction_value"]) == ({"drift": None}, None)


def test_a_prediction_made_now_is_that_of_the_predictor_and_stored_once(live, write):
    found = write.post(PREDICTIONS, json=ASK).json()
    with Store.open(live) as store:
        own = Predictor(store).predict_signal_direction("BTCUSDT", 4).to_dict()
    same = ("value", "probabilities", "time", "model", "origin", "horizon", "refused")
    assert {name: found[name] for name in same} == {name: own[name] for name in same}
    assert found["stored"]
    write.post(PREDICTIONS, json=ASK)
    (row,) = stored(write, symbol="BTCUSDT")
    assert row["made_by"] == str(own["model"])
    assert (row["prediction_value"], row["prediction_probabilities"]) == (
        own["value"], own["probabilities"]
    )  # fmt: skip
    assert row["confidence_score"] == max(own["probabilities"].values())
    assert pd.Timestamp(row["prediction_timestamp"]) == pd.Timestamp(own["time"])


def test_the_ensemble_says_who_voted_and_is_stored_with_each_vote(live, write):
    asked = {"symbol": "BTCUSDT", "prediction_horizon_hours": 4}
    told = write.get(ENSEMBLE, params=asked).json()
    assert (told["stored"], stored(write)) == (False, [])
    found = write.post(ENSEMBLE, json=ASK).json()
    assert found["stored"]
    assert [vote["model_type"] for vote in found["votes"]] == [
        v["model_type"] for v in told["votes"]
    ]
    assert sum(vote["weight"] for vote in found["votes"]) == pytest.approx(1)
    rows = {row["made_by"]: row for row in stored(write)}
    assert set(rows) == {"1", "2", "ENSEMBLE"}
    for vote in found["votes"]:
        assert rows[str(vote["model"])]["prediction_value"] == vote["value"]
        assert rows[str(vote["model"])]["confidence_score"] == vote["confidence"]
    assert rows["ENSEMBLE"]["prediction_probabilities"] == found["probabilities"]
    assert rows["ENSEMBLE"]["confidence_score"] == found["confidence"]
    assert rows["ENSEMBLE"]["detail"]["disagreement"] == found["disagreement"]


def test_one_model_and_the_ensemble_write_the_same_row_of_that_model(live, write):
    write.post(PREDICTIONS, json=ASK)
    (alone,) = stored(write)
    write.post(ENSEMBLE, json=ASK)
    with Store.open(live) as store:
        store.db.execute("DELETE FROM ml_predictions")
        store.db.conn.commit()
    write.post(ENSEMBLE, json=ASK)
    (vote,) = stored(write, made_by=alone["made_by"])
    same = ("prediction_value", "prediction_probabilities", "confidence_score", "origin")
    assert {name: vote[name] for name in same} == {name: alone[name] for name in same}


def test_a_moment_of_the_past_is_answered_and_not_stored(live, write):
    with Store.open(live) as store:
        at = store.models.find(1).trained_to
    found = write.post(PREDICTIONS, json=ASK | {"at": at.isoformat()}).json()
    assert pd.Timestamp(found["time"]) == at
    assert (found["refused"], found["stored"], stored(write)) == (False, False, [])


def test_a_bar_that_a_model_was_trained_on_is_not_stored_as_a_prediction(live, write):
    with Store.open(live) as store:
        store.db.execute("UPDATE ml_models SET trained_to = '2100-01-01T00:00:00+00:00'")
        store.db.conn.commit()
    assert not write.post(ENSEMBLE, json=ASK).json()["stored"]
    assert stored(write) == []


def test_while_the_loop_is_behind_nothing_is_stored_ahead_of_it(live, write):
    with Store.open(live) as store:
        times = store.read_bars("BTCUSDT", "1h").index[-4:].as_unit("ns").asi8.tolist()
    asked = ("ENSEMBLE", "BTCUSDT", Asked("signal_direction", "1h", 4))
    by_loop = [Predicted(*asked, time, 1.0) for time in times[:3]]
    for rows, stands in ((by_loop[:1], False), (by_loop[1:2], False), (by_loop[2:], True)):
        with Store.open(live) as store:
            store.predictions.write(rows)
        found = write.post(ENSEMBLE, json=ASK).json()
        assert (found["refused"], found["stored"]) == (False, stands)
    with Store.open(live) as store:
        store.db.execute("DELETE FROM ml_predictions WHERE prediction_timestamp < ?", [times[3]])
        store.db.conn.commit()
    # what was asked for does not hold up what is asked for
    assert write.post(ENSEMBLE, json=ASK).json()["stored"]


def test_old_bars_are_refused_with_a_flag_and_not_stored(live, write):
    with Store.open(live) as store:
        cut = pd.Timestamp.now("UTC").floor("h") - pd.Timedelta(8, "h")
        store.db.execute("DELETE FROM bars WHERE time > ?", [cut.as_unit("ns").value])
        store.db.execute("UPDATE symbols SET last_bar = ?", [cut.as_unit("ns").value])
        store.db.conn.commit()
    answer = write.post(PREDICTIONS, json=ASK)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["refused"], found["value"], found["stored"]) == (True, None, False)
    assert "too_old" in [flag["code"] for flag in found["flags"]]


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"symbol": "DOGEUSDT"}, 404, "no deployed model predicts signal_direction of DOGEUSDT"),
        ({"prediction_horizon_hours": 5}, 404, "no deployed model predicts"),
        ({"prediction_horizon_hours": 1.5}, 422, "no whole number of 1h bars"),
        ({"target": "target_return"}, 404, "no deployed model predicts target_return"),
        ({"target": "moon"}, 422, "values are refused"),
        ({"at": "2024-01-01T00:00:00"}, 422, "values are refused"),
        ({"at": "0001-01-01T00:00:00Z"}, 422, "values are refused"),
        ({"at": "9999-12-31T23:59:59-12:00"}, 422, "values are refused"),
        ({"prediction_horizon_hours": 1e-9}, 422, "no whole number of 1h bars"),
        ({"symbol": 7}, 422, "values are refused"),
    ],
)
@pytest.mark.parametrize("path", [PREDICTIONS, ENSEMBLE])
def test_what_nobody_answers_is_refused(live, write, path, changed, status, says):
    assert_problem(write.post(path, json=ASK | changed), status, says)
