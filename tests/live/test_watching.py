"""watching.py: what an alarm may take as evidence, of whom, and how long it waits for it."""

import io
from dataclasses import replace

import pandas as pd
import pytest

from signalkit import labeling
from signalkit.causality import probe_bars
from signalkit.live import Loop, scoring, watching
from signalkit.live.desks import Desk
from signalkit.params import parse
from signalkit.store import Asked
from signalkit.store.predictions import ENSEMBLE
from signalkit.study import Study
from signalkit.study.registry import PAST
from signalkit.study.stages import label_settings
from tests.live.houses import HORIZON, SYMBOL, answers, fed

QUESTION = f"{ENSEMBLE} signal_direction {HORIZON} x 1h"


def neighbour(house):
    """The study once more under another name, on bars of another symbol."""
    kept = house.asked.collection.model_copy(update={"symbols": ["ETHUSDT"]})
    asked = house.asked.model_copy(update={"study_name": "neighbour", "collection": kept})
    files = {}
    for model, own in house.files.items():
        past, content = pd.read_parquet(io.BytesIO(own[PAST])), io.BytesIO()
        past.rename(index={SYMBOL: "ETHUSDT"}, level="symbol").to_parquet(content)
        files[model] = own | {PAST: content.getvalue()}
    bars = probe_bars(700, seed=77).set_axis(house.bars[SYMBOL].index)
    return replace(house, asked=asked, files=files, bars={"ETHUSDT": bars})


def test_studies_that_ask_the_same_of_other_symbols_are_judged_each_by_its_own(house, store):
    other = neighbour(house)
    house.deploy(store, window=20)
    other.deploy(store, mark="2", window=20)
    loop = Loop(store)
    for at in house.clock[:9]:
        other.write(store, at, at)
        fed(house, store, [at], loop)
    settled = answers(store, ENSEMBLE)["known_at"].notna().groupby(level=0).sum()
    assert settled.to_dict() == {SYMBOL: 5, "ETHUSDT": 5}
    for name in ("house", "neighbour"):
        state = store.watch.state(f"alarm {name} {QUESTION}")
        assert state["alarm"]["ledger"]["n"] == 5
        assert store.watch.state(f"promise {name} {QUESTION}")["accuracy_low"] == state["claim"]


def test_former_models_are_not_judged_by_those_they_replace_nor_replaced_by_them(
    house, store, monkeypatch
):
    def claim(self, desk, made_by):
        of_all = 0.97 - min(entry.id for entry in desk.entries) / 1000
        return {"ranges": {}, "accuracy_low": of_all if made_by == ENSEMBLE else None}

    monkeypatch.setattr(scoring.Scoring, "promise", claim)
    how = {"on_alarm": "roll_back", "window": 200, "alpha": 0.4}
    before = {model: house.enter(store, model, **how) for model in house.files}
    house.deploy(store, mark="2", **how)
    loop, taken = Loop(store), {}
    for at in house.clock[:18]:
        done = fed(house, store, [at], loop)
        if done.acts:
            taken[at] = store.watch.alarms()[0]["detail"]["models"]
    first, *later = taken
    assert taken[first] == [3, 4]
    state = store.watch.state(f"alarm house {QUESTION}")
    assert state["models"] == sorted(before.values())
    assert state["begun"] > first.value
    assert all(at > first + HORIZON * pd.Timedelta(1, "h") for at in later)
    # those that were taken away for an alarm do not come back by the next
    status = {model.id: model.status for model in store.models.list()}
    assert {status[3], status[4]} == {"archived"}


@pytest.mark.parametrize(
    ("target", "labels", "money"),
    [
        ("signal_direction", {}, {}),
        ("target_return", {}, {}),
        ("target_profitable", {}, {"fill": "next_open"}),
        ("target_profitable", {}, {"fill": "next_close"}),
        ("triple_barrier", {"entry": "close"}, {}),
        ("triple_barrier", {"entry": "next_open"}, {}),
        ("triple_barrier", {"entry": "next_close"}, {}),
    ],
)
def test_every_outcome_comes_within_the_wait_and_the_overlap(target, labels, money):
    asked = parse(
        {
            "study_name": "house",
            "collection": {"source": "binance", "symbols": [SYMBOL], "interval": "1h"},
            "labeling": {"target": target, "horizon": HORIZON} | labels,
            "backtesting": money,
        }
    )
    study = Study(asked)
    desk = Desk(study, Asked(target, "1h", HORIZON), ())
    found = labeling.TARGETS[target](probe_bars(300), HORIZON, **label_settings(study))
    took = found["known_at"] - found.index.to_series()
    assert took.max() <= watching._wait(desk)
    assert took.max() > watching._wait(desk) - 2 * pd.Timedelta(1, "h")
