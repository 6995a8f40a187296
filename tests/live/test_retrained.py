"""From an alarm, from drift and from age to a new model, with real trainings by a worker."""

import json
from dataclasses import replace

import numpy as np
import pytest

from signalkit.live import Loop
from signalkit.store import audit
from signalkit.store.predictions import ENSEMBLE
from signalkit.study import jobs
from tests.live.houses import HORIZON, SYMBOL, answers, fed
from tests.live.test_policy import JOINT, queued, raised, statuses

STATE = f"alarm house {ENSEMBLE} signal_direction {HORIZON} x 1h"


def worked(store):
    """Have a worker do all that is queued; numbers of the models that are new."""
    before = set(statuses(store))
    while jobs.do(store) is not None:
        pass
    return sorted(set(statuses(store)) - before)


def by_type(store, numbers):
    """Models by their type."""
    return {store.models.find(number).model_type: number for number in numbers}


def test_an_alarm_is_followed_by_a_training_a_challenger_and_a_deployment(house, store):
    numbers = house.deploy(store, on_alarm="retrain", window=200, drift_window=200)
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    alarm = raised(store, JOINT, numbers, at=house.clock[1])
    fed(house, store, house.clock[2:3], loop)
    assert len(queued(store)) == 2
    rivals = worked(store)
    assert [store.models.find(n).status for n in rivals] == ["trained", "trained"]
    assert all(store.models.find(n).trained_to > house.trained[1] for n in rivals)
    fed(house, store, house.clock[3:10], loop)
    assert len(queued(store)) == 2
    for number in rivals:
        told = answers(store, number)
        assert len(told) == 7
        assert told["detail"].str.contains("challenger").all()
    assert statuses(store) == dict.fromkeys(numbers.values(), "deployed") | dict.fromkeys(
        rivals, "trained"
    )
    for number in rivals:
        store.models.deploy(number, actor="me")
    done = fed(house, store, house.clock[10:12], loop)
    assert done.acts == []
    assert set(answers(store, ENSEMBLE)["detail"].iloc[-1:].map(weighed)) == {tuple(rivals)}
    state = store.watch.state(STATE)
    assert (state["models"], state["begun"]) == (rivals, house.clock[10].value)
    assert [a["id"] for a in store.watch.alarms()] == [alarm]  # somebody has to say that it is seen
    store.watch.close_alarm(alarm, actor="me")
    assert fed(house, store, house.clock[12:13], loop).acts == []
    assert store.watch.alarms() == []


def weighed(detail):
    """Models that an answer is made of."""
    return tuple(sorted(int(number) for number in json.loads(detail)["weights"]))


def test_what_others_said_before_is_not_held_against_who_replaces_them(house, store, monkeypatch):
    claim = {"ranges": {}, "accuracy_low": 0.97}
    monkeypatch.setattr("signalkit.live.scoring.Scoring.promise", lambda self, desk, by: claim)
    house.deploy(store, alpha=0.4, on_alarm="tell", window=200)
    loop = Loop(store)
    fed(house, store, house.clock[:18], loop)
    (old,) = [a for a in store.watch.alarms() if a["subject"] == JOINT]
    for model in ("XGBOOST", "LIGHTGBM"):
        house.enter(store, model, mark="2", alpha=0.4, on_alarm="tell", window=200)
    fed(house, store, house.clock[18:20], loop)
    assert [a["id"] for a in store.watch.alarms() if a["subject"] == JOINT] == [old["id"]]
    state = store.watch.state(STATE)
    assert state["begun"] == house.clock[18].value
    assert state["alarm"]["raised_at"] is None


def test_a_model_that_is_old_is_replaced_and_its_successor_is_young(house, store):
    old = house.deploy(store, retrain_every=9, window=200, drift_window=200)
    loop = Loop(store)
    fed(house, store, house.clock[:6], loop)
    assert {one["why"] for one in queued(store)} == {f"age of model {n}" for n in old.values()}
    rivals = worked(store)
    for number in rivals:
        store.models.deploy(number, actor="me")
    fed(house, store, house.clock[6:9], loop)
    assert len(queued(store)) == len(rivals) == 2
    assert by_type(store, rivals).keys() == old.keys()
    assert {statuses(store)[number] for number in old.values()} == {"archived"}


def rising(house, since):
    """The house in a market that only rises from a time on."""
    bars = house.bars[SYMBOL].copy()
    late = bars.index >= since
    closes = bars.loc[~late, "close"].iloc[-1] * 1.01 ** np.arange(late.sum() + 1)
    bars.loc[late, ["open", "low"]] = closes[:-1, None]
    bars.loc[late, ["high", "close"]] = closes[1:, None]
    return replace(house, bars={SYMBOL: bars})


@pytest.mark.parametrize("on_drift", ["tell", "retrain"])
def test_a_market_that_moves_otherwise_is_drift_and_acted_on_once(house, store, on_drift):
    changed = rising(house, house.clock[1])
    numbers = house.deploy(store, on_drift=on_drift, drift_window=15, window=200)
    fed(changed, store, house.clock[:18], Loop(store))
    found = {alarm["kind"]: alarm for alarm in store.watch.alarms()}
    assert "drift of inputs" in found
    assert len(found["drift of inputs"]["detail"]["moved"]) >= 5
    noted = [row["action"] for row in audit.page(store.db) if row["actor"] == "policy"]
    assert noted.count(on_drift) == len(found)
    asked = {(one["model"], one["why"]) for one in queued(store)}
    assert len(asked) == len(queued(store))
    assert {model for model, _ in asked} == (
        set(numbers.values()) if on_drift == "retrain" else set()
    )
