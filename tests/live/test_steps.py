"""loop.py: a step goes on from what is stored, and is done once."""

import json

import pandas as pd
import pytest

from signalkit.errors import ParamsError
from signalkit.live import Loop, predicting, tick
from signalkit.store import Store
from signalkit.store.locks import Lock
from signalkit.store.predictions import ENSEMBLE
from tests.live.houses import SYMBOL, answers, dump, fed

STATES = ("ml_predictions", "signals", "live_states", "ml_model_performance")


def flags(store, made_by=ENSEMBLE):
    """Codes of the flags of each answer, oldest first."""
    found = [json.loads(text) for text in answers(store, made_by)["detail"]]
    return [{flag["code"] for flag in detail.get("flags", [])} for detail in found]


def test_a_second_step_at_the_same_moment_changes_nothing(house, store):
    house.deploy(store)
    fed(house, store, house.clock[:8], Loop(store))
    before = dump(store)
    done = tick(store, at=house.clock[7])
    assert (done.predicted, done.settled, done.signals) == (0, 0, 0)
    assert dump(store) == before
    assert len(before["signals"]) == 8


def test_cold_steps_write_what_a_warm_loop_writes(house, store, tmp_path):
    house.deploy(store)
    fed(house, store, house.clock[:10], Loop(store))
    with Store.open(tmp_path / "cold") as cold:
        house.deploy(cold)
        fed(house, cold, house.clock[:10])
        assert dump(cold) == dump(store)


def test_bars_missed_since_the_last_step_are_predicted_late_and_the_same(house, store, tmp_path):
    house.deploy(store)
    fed(house, store, house.clock[:12], Loop(store))
    with Store.open(tmp_path / "slept") as slept:
        house.deploy(slept)
        loop = Loop(slept)
        fed(house, slept, house.clock[:5], loop)
        house.write(slept, house.clock[5], house.clock[11])
        done = loop.step(house.clock[11])
        assert done.predicted == 3 * 7
        late = ["late" in found for found in flags(slept)]
        assert late == [False] * 5 + [True] * 6 + [False]
        names = ["prediction_value", "confidence_score", "p_sell", "p_buy", "known_at"]
        pd.testing.assert_frame_equal(
            answers(slept, ENSEMBLE)[names], answers(store, ENSEMBLE)[names], check_exact=True
        )
        assert dump(slept, ["signals"]) == dump(store, ["signals"])
        assert dump(slept, ["ml_model_performance"]) == dump(store, ["ml_model_performance"])


def test_more_bars_than_the_most_are_told_and_the_newest_are_made(
    house, store, monkeypatch, caplog
):
    monkeypatch.setattr(predicting, "MOST", 3)
    house.deploy(store)
    loop = Loop(store)
    fed(house, store, house.clock[:1], loop)
    house.write(store, house.clock[1], house.clock[6])
    loop.step(house.clock[6])
    assert "6 bars lack a prediction; the newest 3 are made" in caplog.text
    times = answers(store, ENSEMBLE).index.get_level_values(1)
    assert list(times) == [house.clock[0], *house.clock[4:7]]


def test_bars_that_a_model_was_trained_on_are_never_predicted(house, store):
    house.deploy(store)
    end = house.bars[SYMBOL].index.get_loc(house.trained[1])
    times = house.bars[SYMBOL].index
    for place in (end - 3, end, end + 4):
        assert tick(store, at=times[place]).predicted == 0
    house.write(store, times[end + 5], times[end + 5])
    assert tick(store, at=times[end + 5]).predicted == 3


def test_nothing_after_the_moment_is_read(house, store, tmp_path):
    house.deploy(store)
    fed(house, store, house.clock[:9], Loop(store))
    with Store.open(tmp_path / "whole") as whole:
        house.deploy(whole)
        house.write(whole)
        for at in house.clock[:9]:
            tick(whole, at=at)
        assert dump(whole) == dump(store)


def test_a_corrected_bar_changes_what_comes_and_nothing_that_was_written(house, store):
    house.deploy(store)
    loop = Loop(store)
    fed(house, store, house.clock[:6], loop)
    before = {row["prediction_timestamp"]: row for row in store.predictions.page(limit=100)}
    wrong = house.bars[SYMBOL].loc[house.clock[4] : house.clock[4]] * 1.2
    panel = pd.concat({SYMBOL: wrong}, names=["symbol", "time"])
    store.write_bars(panel, source="binance", interval="1h", calendar="24/7")
    fed(house, store, house.clock[6:7], loop)
    for row in store.predictions.page(limit=100):
        held = before.get(row["prediction_timestamp"])
        if held is not None and held["made_by"] == row["made_by"]:
            assert row["prediction_value"] == held["prediction_value"]
            assert row["prediction_probabilities"] == held["prediction_probabilities"]
    live = answers(store, ENSEMBLE)
    want = house.predictions.xs(ENSEMBLE, level="model_id").reindex(live.index)
    assert len(live) == 7
    shares = ["p_sell", "p_hold", "p_buy"]
    assert live[shares].iloc[-1].tolist() != want[shares].iloc[-1].tolist()


def test_a_gap_is_predicted_over_and_told(house, store):
    house.deploy(store)
    loop = Loop(store)
    fed(house, store, [*house.clock[:3], *house.clock[5:7]], loop)
    assert len(answers(store, ENSEMBLE)) == 5
    assert ["gap" in found for found in flags(store)] == [False] * 3 + [True] * 2


def test_a_broken_model_is_left_out_and_the_rest_goes_on(house, store):
    numbers = house.deploy(store)
    fed(house, store, house.clock[:2], Loop(store))
    model = store.models.find(numbers["XGBOOST"])
    next((store.models.folder / model.identity).glob("model*")).write_bytes(b"none")
    fed(house, store, house.clock[2:4])
    detail = [json.loads(text) for text in answers(store, ENSEMBLE)["detail"]]
    assert [len(one["left_out"]) for one in detail] == [0, 0, 1, 1]
    assert len(answers(store, numbers["LIGHTGBM"])) == 4
    assert len(answers(store, numbers["XGBOOST"])) == 2
    assert len(store.watch.signals(limit=100)) == 4


def test_a_second_step_at_once_does_nothing_and_says_so(house, store):
    house.deploy(store)
    house.write(store, house.clock[0], house.clock[0])
    held = Lock(store.folder / "locks" / "live.lock")
    assert held.take()
    done = tick(store, at=house.clock[0])
    assert done.busy
    assert done.words() == "another step is running; nothing was done"
    assert store.predictions.page() == []
    held.release()
    assert tick(store, at=house.clock[0]).predicted == 3


def test_a_study_without_bars_or_models_is_remarked(house, store):
    assert "no model is deployed" in tick(store, at=house.clock[0]).words()
    house.enter(store, "XGBOOST")
    assert "house: no bars from binance are stored by then" in tick(store).words()
    other = house.asked.model_copy(update={"study_name": "other"})
    assert "no model of 'other' is deployed" in tick(store, other).words()


def test_a_moment_without_a_zone_is_refused(store):
    with pytest.raises(ParamsError, match="with a zone"):
        tick(store, at=pd.Timestamp("2024-01-01"))


def test_a_challenger_predicts_beside_and_never_in_the_ensemble(house, store):
    numbers = house.deploy(store)
    loop = Loop(store)
    fed(house, store, house.clock[:3], loop)
    rival = house.enter(store, "LIGHTGBM", deploy=False, mark="2")
    fed(house, store, house.clock[3:12], loop)
    found = answers(store, rival)
    assert len(found) == 9
    assert all(json.loads(text)["challenger"] for text in found["detail"])
    mine = answers(store, numbers["LIGHTGBM"]).loc[found.index]
    assert found["p_buy"].tolist() == mine["p_buy"].tolist()
    detail = json.loads(answers(store, ENSEMBLE)["detail"].iloc[-1])
    assert set(detail["weights"]) == {str(n) for n in numbers.values()}
    kept = store.watch.state(f"challenger {rival}")
    assert (kept["champion"], kept["n"], kept["lead"]) == (numbers["LIGHTGBM"], 5, 0.0)
    assert kept["low"] < 0 < kept["high"]
