"""policy.py and watching.py: an alarm is raised when it is due, and acted on once."""

import json

import pytest

from signalkit.live import Loop, scoring
from signalkit.store import audit
from signalkit.store.predictions import ENSEMBLE
from tests.live.houses import HORIZON, answers, dump, fed

QUICK = {"window": 200}
JOINT = f"house {ENSEMBLE} signal_direction {HORIZON} x 1h"


def raised(store, subject, models, *, kind="accuracy", at):
    """An alarm in the database; its number."""
    detail = {"study": "house", "models": sorted(models.values())}
    assert store.watch.raise_alarm(kind, subject, at.value, detail)
    return store.watch.alarms()[0]["id"]


def acts(store, alarm):
    """What the policy noted of an alarm."""
    rows = audit.page(store.db, subject=f"alarm {alarm}")
    return [row["action"] for row in rows if row["actor"] == "policy"]


def weights(store):
    """Weights of the signals, oldest first."""
    return [row["weight"] for row in store.watch.signals(limit=1000)[::-1]]


def statuses(store):
    """Status of each model by its number."""
    return {model.id: model.status for model in store.models.list()}


def test_a_model_that_is_right_less_often_than_claimed_raises_the_alarm_once(
    house, store, monkeypatch
):
    claim = {"ranges": {}, "accuracy_low": 0.97}
    monkeypatch.setattr(scoring.Scoring, "promise", lambda self, desk, made_by: claim)
    house.deploy(store, alpha=0.4, **QUICK)
    fed(house, store, house.clock[:18], Loop(store))
    found = {alarm["subject"]: alarm for alarm in store.watch.alarms()}
    assert JOINT in found
    assert {alarm["kind"] for alarm in found.values()} == {"accuracy"}
    live = answers(store, ENSEMBLE)
    taken = live[live["known_at"].notna()]["is_correct"].astype(float)
    assert taken.mean() < 0.9
    assert found[JOINT]["detail"]["accuracy"] == 0.97
    state = store.watch.state(f"alarm house {ENSEMBLE} signal_direction {HORIZON} x 1h")
    assert state["alarm"]["raised_at"] is not None
    assert weights(store)[-1] == 0.0
    assert any(weights(store))


def test_an_alarm_that_was_closed_begins_anew_with_later_predictions(house, store, monkeypatch):
    claim = {"ranges": {}, "accuracy_low": 0.97}
    monkeypatch.setattr(scoring.Scoring, "promise", lambda self, desk, made_by: claim)
    house.deploy(store, alpha=0.4, **QUICK)
    loop = Loop(store)
    fed(house, store, house.clock[:18], loop)
    assert weights(store)[-1] == 0.0
    for alarm in store.watch.alarms():
        store.watch.close_alarm(alarm["id"], actor="me")
    fed(house, store, house.clock[18:20], loop)
    assert store.watch.alarms() == []
    state = store.watch.state(f"alarm house {ENSEMBLE} signal_direction {HORIZON} x 1h")
    assert state["begun"] == house.clock[18].value
    assert state["alarm"]["raised_at"] is None
    assert weights(store)[-1] != 0.0


@pytest.mark.parametrize("of", ["model", "ensemble"])
def test_a_pause_rests_signals_until_the_alarm_is_closed(house, store, of):
    numbers = house.deploy(store, on_alarm="pause", **QUICK)
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    subject = f"model {numbers['XGBOOST']}" if of == "model" else JOINT
    alarm = raised(store, subject, numbers, at=house.clock[1])
    fed(house, store, house.clock[2:4], loop)
    signal = store.watch.signals(limit=1)[0]
    assert signal["weight"] == 0.0
    assert signal["detail"]["paused"] == alarm
    assert signal["detail"]["asked"] != 0.0
    store.watch.close_alarm(alarm, actor="me")
    fed(house, store, house.clock[4:5], loop)
    assert [weight != 0 for weight in weights(store)] == [True, True, False, False, True]
    assert acts(store, alarm) == ["pause"]
    assert set(statuses(store).values()) == {"deployed"}


def test_a_pause_ends_when_another_model_is_deployed(house, store):
    numbers = house.deploy(store, **QUICK)
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    raised(store, f"model {numbers['XGBOOST']}", numbers, at=house.clock[1])
    fed(house, store, house.clock[2:3], loop)
    house.enter(store, "XGBOOST", mark="2", **QUICK)
    fed(house, store, house.clock[3:4], loop)
    assert [weight != 0 for weight in weights(store)] == [True, True, False, True]


def test_what_was_said_of_a_model_comes_before_what_its_study_asks(house, store):
    numbers = house.deploy(store, on_alarm="tell", **QUICK)
    store.watch.keep({f"monitoring model {numbers['LIGHTGBM']}": {"on_alarm": "pause"}})
    loop = Loop(store)
    fed(house, store, house.clock[:1], loop)
    raised(store, JOINT, numbers, at=house.clock[0])
    fed(house, store, house.clock[1:2], loop)
    assert [weight != 0 for weight in weights(store)] == [True, False]


def test_tell_does_no_more_than_tell(house, store):
    numbers = house.deploy(store, on_alarm="tell", **QUICK)
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    alarm = raised(store, f"model {numbers['XGBOOST']}", numbers, at=house.clock[1])
    done = fed(house, store, house.clock[2:3], loop)
    assert done.acts == [f"alarm {alarm}, accuracy of model {numbers['XGBOOST']}: tell"]
    assert fed(house, store, house.clock[3:4], loop).acts == []
    assert all(weights(store))
    assert set(statuses(store).values()) == {"deployed"}


def test_retire_puts_the_model_away_once_and_the_study_rests_when_none_is_left(house, store):
    numbers = house.deploy(store, on_alarm="retire", **QUICK)
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    alarm = raised(store, f"model {numbers['XGBOOST']}", numbers, at=house.clock[1])
    fed(house, store, house.clock[2:4], loop)
    assert statuses(store) == {numbers["XGBOOST"]: "archived", numbers["LIGHTGBM"]: "deployed"}
    assert [weight != 0 for weight in weights(store)] == [True, True, False, True]
    last = raised(store, JOINT, {"LIGHTGBM": numbers["LIGHTGBM"]}, at=house.clock[3])
    fed(house, store, house.clock[4:6], loop)
    assert set(statuses(store).values()) == {"archived"}
    assert weights(store)[-1] == 0.0
    assert (acts(store, alarm), acts(store, last)) == (["retire"], ["retire"])
    put = [r for r in audit.page(store.db) if (r["actor"], r["action"]) == ("policy", "archive")]
    assert len(put) == 2
    assert len(answers(store, ENSEMBLE)) == 5


def test_a_study_that_was_put_away_by_hand_asks_for_nothing(house, store):
    numbers = house.deploy(store, **QUICK)
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    for number in numbers.values():
        store.models.archive(number, force=True)
    fed(house, store, house.clock[2:5], loop)
    assert [weight != 0 for weight in weights(store)] == [True, True, False]
    assert "resting" in store.watch.signals(limit=1)[0]["detail"]


def test_roll_back_deploys_the_version_before_and_retires_where_there_is_none(house, store):
    before = house.enter(store, "XGBOOST", on_alarm="roll_back", **QUICK)
    numbers = house.deploy(store, on_alarm="roll_back", **QUICK, mark="2")
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    raised(store, JOINT, numbers, at=house.clock[1])
    fed(house, store, house.clock[2:5], loop)
    assert statuses(store) == {
        before: "deployed", numbers["XGBOOST"]: "archived", numbers["LIGHTGBM"]: "archived",
    }  # fmt: skip
    assert len(answers(store, before)) == 2
    assert len(answers(store, numbers["XGBOOST"])) == 3
    deployed = [
        r for r in audit.page(store.db, subject=f"model {before}") if r["actor"] == "policy"
    ]
    assert [row["action"] for row in deployed] == ["deploy"]


def queued(store):
    """What was asked of workers by the policy."""
    rows = store.db.query("SELECT asked, asked_by FROM ml_training_sessions ORDER BY id")
    return [json.loads(row["asked"]) for row in rows if row["asked_by"] == "policy"]


def test_retrain_asks_for_a_training_once(house, store):
    numbers = house.deploy(store, on_alarm="retrain", **QUICK)
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    number = numbers["LIGHTGBM"]
    alarm = raised(store, f"model {number}", numbers, at=house.clock[1])
    fed(house, store, house.clock[2:5], loop)
    why = f"accuracy of model {number}, alarm {alarm}"
    assert queued(store) == [{"kind": "again", "model": number, "why": why}]
    assert all(weights(store))


def test_drift_asks_for_a_training_where_that_is_the_policy(house, store):
    numbers = house.deploy(store, on_drift="retrain", **QUICK)
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    asked = f"house signal_direction {HORIZON} x 1h"
    raised(store, asked, numbers, kind="drift of inputs", at=house.clock[1])
    fed(house, store, house.clock[2:4], loop)
    assert sorted(one["model"] for one in queued(store)) == sorted(numbers.values())
    assert all(weights(store))


def test_a_model_that_is_old_is_trained_again_once(house, store):
    numbers = house.deploy(store, retrain_every=8, **QUICK)
    loop = Loop(store)
    fed(house, store, house.clock[:3], loop)
    assert queued(store) == []
    fed(house, store, house.clock[3:7], loop)
    assert sorted(one["model"] for one in queued(store)) == sorted(numbers.values())
    assert len({one["why"] for one in queued(store)}) == 2


def test_drift_is_looked_at_some_times_a_window_and_kept(house, store):
    house.deploy(store, drift_window=10, **QUICK)
    fed(house, store, house.clock[:11], Loop(store))
    kept = store.watch.state(f"drift house signal_direction {HORIZON} x 1h")
    assert kept["n"] == 11
    assert {"p_sell", "p_hold", "p_buy", "confidence"} == set(kept["outputs"])
    assert len(kept["inputs"]) > 10
    assert all(0 <= one["ks"] <= 1 for one in kept["inputs"].values())
    kinds = [alarm["kind"] for alarm in store.watch.alarms()]
    assert len(kinds) == len(set(kinds))


def test_a_kill_amid_acts_is_made_good_by_the_next_step(house, store, monkeypatch):
    numbers = house.deploy(store, on_alarm="retire", **QUICK)
    fed(house, store, house.clock[:2], Loop(store))
    alarm = raised(store, JOINT, numbers, at=house.clock[1])
    archive, calls = store.models.archive, []

    def dies(number, **how):
        calls.append(number)
        if len(calls) == 2:
            raise KeyboardInterrupt
        archive(number, **how)

    monkeypatch.setattr(store.models, "archive", dies)
    with pytest.raises(KeyboardInterrupt):
        fed(house, store, house.clock[2:3])
    monkeypatch.undo()
    assert sorted(statuses(store).values()) == ["archived", "deployed"]
    before = dump(store, ["ml_predictions", "signals"])
    fed(house, store, house.clock[2:3])
    assert set(statuses(store).values()) == {"archived"}
    assert dump(store, ["ml_predictions", "signals"]) == before
    assert acts(store, alarm) == ["retire"]
