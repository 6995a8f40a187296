"""settled.py: weights and sets of the newest bar are those of validation, of the same table."""

import json
import sqlite3
import threading

import numpy as np
import pandas as pd
import pytest
from sqlite_utils import Database

from signalkit import training
from signalkit.inference import Predictor
from signalkit.store import Store
from signalkit.store.predictions import Asked, Outcome, Predicted

HOURS = 5 * 24
_LOADS = json.loads
SIDES = ("sell", "hold", "buy")
ASKED = Asked("signal_direction", "1d", 5)


def deployed(store):
    """Models that answer, in order of their numbers."""
    return [m for m in store.models.list() if m.status == "deployed"]


def told_of(entries, time, actual):
    """What the models said of a bar, XGBOOST the better one."""
    for entry in entries:
        good = 0.5 if entry.model_type == "XGBOOST" else 0.3
        shares = dict.fromkeys(SIDES, (1 - good) / 2) | {SIDES[actual + 1]: good}
        yield Predicted(str(entry.id), "SP500", ASKED, time.value, float(actual), good, shares)


def settle(store, times, until):
    """Write the outcomes that are known by a bar: a prediction is right, five bars later."""
    place = {time.value: i for i, time in enumerate(times)}
    found = []
    for row in store.predictions.unsettled(ASKED):
        known = place[row["prediction_timestamp"]] + 5
        if known <= until:
            found.append(Outcome(row["id"], times[known].value, row["prediction_value"], True))
    store.predictions.settle(found)


@pytest.fixture
def times(store):
    """Bar ends, of which 250 were predicted and those settled that are known by the next."""
    found = store.read_bars("SP500", "1d").index[1000:1300]
    draws = np.random.default_rng(5)
    for i in range(250):
        store.predictions.write(told_of(deployed(store), found[i], int(draws.integers(-1, 2))))
    settle(store, found, 250)
    return found


def whole(store, found, at):
    """The ensemble's row of a bar, from all stored predictions before and the votes there."""
    entries = deployed(store)
    past = pd.concat([store.predictions.table(str(m.id), ASKED) for m in entries])
    past = past[past.index.get_level_values("time") < at]
    votes = {vote.model: vote for vote in found.votes}
    keys = [("SP500", at, str(m.id)) for m in entries]
    index = pd.MultiIndex.from_tuples(keys, names=past.index.names)
    shares = [[votes[m.id].probabilities[side] for side in SIDES] for m in entries]
    new = pd.DataFrame(shares, index, training.PROBABILITIES).assign(
        target="signal_direction", fold=0, actual=np.nan, confidence=0.4, prediction=0.0
    )
    new["known_at"] = pd.Series(pd.NaT, new.index, dtype=past["known_at"].dtype)
    names = [str(m.id) for m in entries]
    both = training.combine(pd.concat([past, new]), names, half_life=250)
    mine = both.predictions.xs("ENSEMBLE", level="model_id")
    sets = training.prediction_sets(mine, rate=0.01).loc[("SP500", at)]
    return mine.loc[("SP500", at)], sets, both


def assert_whole(store, found, at):
    """To the last bit: an answer and the row of the whole table."""
    row, sets, both = whole(store, found, at)
    assert list(found.probabilities.values()) == row[training.PROBABILITIES].tolist()
    assert (found.value, found.confidence) == (row["prediction"], row["confidence"])
    assert found.disagreement == both.disagreement.loc[("SP500", at)]
    weights = {str(vote.model): vote.weight for vote in found.votes}
    assert weights == both.weights.loc[at].to_dict()
    taken = [s for s in SIDES if sets[f"in_{s}"]]
    assert list(found.prediction_set) == taken


def test_votes_weigh_by_what_has_settled_and_the_set_is_that_of_validation(store, times):
    found = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=times[250])
    assert_whole(store, found, times[250])
    by_type = {vote.model_type: vote.weight for vote in found.votes}
    assert by_type["XGBOOST"] > 0.9
    assert sum(by_type.values()) == pytest.approx(1)
    assert "few_settled" not in [flag.code for flag in found.flags]


def test_bar_by_bar_what_is_new_in_the_store_is_read_alone(store, times, monkeypatch):
    warm, rows = Predictor(store), []
    for i in range(250, 290):
        settle(store, times, i)
        found = warm.get_ensemble_prediction("SP500", HOURS, at=times[i])
        assert_whole(store, found, times[i])
        with monkeypatch.context() as patched:
            patched.setattr(json, "loads", lambda text: rows.append(text) or _LOADS(text))
            warm.get_ensemble_prediction("SP500", HOURS, at=times[i])
        store.predictions.write(told_of(deployed(store), times[i], 1))
    assert rows == []


def test_an_earlier_bar_does_not_read_what_was_not_known_then(store, times):
    warm = Predictor(store)
    for i in (250, 120, 180, 119, 250):
        found = warm.get_ensemble_prediction("SP500", HOURS, at=times[i])
        fresh = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=times[i])
        assert found.to_dict() == fresh.to_dict()
    later = times[121]
    before = warm.get_ensemble_prediction("SP500", HOURS, at=times[120])
    store.db.execute("UPDATE ml_predictions SET actual_value = -actual_value WHERE known_at >= ?",
                     [later.value])  # fmt: skip
    store.db.conn.commit()
    after = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=times[120])
    assert after.to_dict() == before.to_dict()
    then = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=later)
    assert then.to_dict() != warm.get_ensemble_prediction("SP500", HOURS, at=later).to_dict()


def test_too_few_settled_predictions_give_weights_and_no_set(store, times):
    found = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=times[60])
    weights = {vote.model_type: vote.weight for vote in found.votes}
    assert weights["XGBOOST"] > weights["LIGHTGBM"]
    assert found.prediction_set is None
    assert "few_settled" in [flag.code for flag in found.flags]


def test_stored_predictions_that_contradict_each_other_are_left_and_told(store, times):
    store.db.execute("UPDATE ml_predictions SET actual_value = 1 WHERE id = 1")
    store.db.execute("UPDATE ml_predictions SET actual_value = 0 WHERE id = 2")
    store.db.conn.commit()
    warm = Predictor(store)
    for i in (250, 251):
        found = warm.get_ensemble_prediction("SP500", HOURS, at=times[i])
        assert [vote.weight for vote in found.votes] == [0.5, 0.5]
        told = {flag.code: flag.detail for flag in found.flags}
        assert "do not agree on actual" in told["settled_unusable"]
        assert found.prediction_set is None


def test_a_model_that_does_not_answer_has_failed_at_this_bar_and_keeps_its_past(store, times):
    warm = Predictor(store)
    both = warm.get_ensemble_prediction("SP500", HOURS, at=times[249])
    better = next(m for m in deployed(store) if m.model_type == "XGBOOST")
    member = warm._panel.shelf.member(better)
    member.hull._bounds[:] = 1e9
    alone = warm.get_ensemble_prediction("SP500", HOURS, at=times[250])
    assert [one.code for one in alone.left_out] == ["outside_hull"]
    assert [(vote.model_type, vote.weight) for vote in alone.votes] == [("LIGHTGBM", 1.0)]
    assert alone.disagreement == 0
    assert len(both.votes) == 2


def test_threads_that_share_a_predictor_are_answered_one_after_the_other(store, times):
    connection = sqlite3.connect(store.folder / "signalkit.db", check_same_thread=False)
    shared = Store(store.folder, Database(connection))
    warm, found = Predictor(shared), {}
    expected = {
        i: Predictor(store).get_ensemble_prediction("SP500", HOURS, at=times[i])
        for i in (100, 150, 200, 250)
    }

    def asks(i):
        for _ in range(5):
            told = warm.get_ensemble_prediction("SP500", HOURS, at=times[i])
            found.setdefault(i, set()).add(json.dumps(told.to_dict()))

    threads = [threading.Thread(target=asks, args=[i]) for i in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    assert {i: {json.dumps(told.to_dict())} for i, told in expected.items()} == found
