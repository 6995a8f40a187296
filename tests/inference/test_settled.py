"""settled.py: weights and sets of the newest bar are those of validation, of the same table."""

import json

import numpy as np
import pandas as pd
import pytest

from signalkit import training
from signalkit.inference import Predictor
from signalkit.inference.settled import alike, settled

HOURS = 5 * 24
SIDES = ("sell", "hold", "buy")


@pytest.fixture
def told(store):
    """250 settled predictions of each deployed model, XGBOOST's the better ones; the next bar."""
    times = store.read_bars("SP500", "1d").index[1000:1260]
    draws, rows = np.random.default_rng(5), []
    entries = [m for m in store.models.list() if m.status == "deployed"]
    for i in range(250):
        actual = int(draws.integers(-1, 2))
        for entry in entries:
            good = 0.5 if entry.model_type == "XGBOOST" else 0.3
            shares = dict.fromkeys(SIDES, (1 - good) / 2) | {SIDES[actual + 1]: good}
            rows.append(
                {
                    "model": entry.id,
                    "symbol": "SP500",
                    "prediction_type": "signal_direction",
                    "prediction_value": float(actual),
                    "confidence_score": good,
                    "prediction_probabilities": json.dumps(shares),
                    "prediction_timestamp": times[i].isoformat(),
                    "known_at": times[i + 5].isoformat(),
                    "actual_value": float(actual),
                    "is_correct": 1,
                }
            )
    store.db["ml_predictions"].insert_all(rows)
    return entries, times


def test_what_had_not_settled_by_the_bar_is_not_read(store, told):
    entries, times = told
    found = settled(store, [m.id for m in entries], "signal_direction", times[100])
    # labels of the bars 0 to 95 are known by bar 100
    assert len(found) == 2 * 96
    assert found["known_at"].max() == times[100]
    assert settled(store, [entries[0].id], "target_return", times[100]).empty


def test_votes_weigh_by_what_has_settled_and_the_set_is_that_of_validation(store, told):
    entries, times = told
    at = times[255]
    found = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=at)
    votes = {vote.model: vote for vote in found.votes}
    past = settled(store, [m.id for m in entries], "signal_direction", at)
    keys = [("SP500", at, str(number)) for number in votes]
    shares = [[vote.probabilities[side] for side in SIDES] for vote in votes.values()]
    index = pd.MultiIndex.from_tuples(keys, names=past.index.names)
    new = pd.DataFrame(shares, index, training.PROBABILITIES).assign(
        target="signal_direction", fold=1, actual=np.nan,
        prediction=[v.value for v in votes.values()], confidence=0.4,
    )  # fmt: skip
    new["known_at"] = pd.Series(pd.NaT, new.index, dtype=past["known_at"].dtype)
    names = [str(number) for number in votes]
    both = training.combine(pd.concat([past, new]), names, half_life=250)
    mine = both.predictions.xs("ENSEMBLE", level="model_id")
    row = mine.loc[("SP500", at)]
    assert list(found.probabilities.values()) == row[training.PROBABILITIES].tolist()
    assert found.disagreement == both.disagreement.loc[("SP500", at)]
    by_type = {vote.model_type: vote.weight for vote in found.votes}
    assert by_type["XGBOOST"] > 0.9
    assert sum(by_type.values()) == pytest.approx(1)
    sets = training.prediction_sets(mine, rate=0.01).loc[("SP500", at)]
    taken = [s for s in SIDES if sets[f"in_{s}"]]
    assert list(found.prediction_set) == taken
    assert "few_settled" not in [flag.code for flag in found.flags]


def test_too_few_settled_predictions_give_weights_and_no_set(store, told):
    found = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=told[1][60])
    weights = {vote.model_type: vote.weight for vote in found.votes}
    assert weights["XGBOOST"] > weights["LIGHTGBM"]
    assert found.prediction_set is None
    assert "few_settled" in [flag.code for flag in found.flags]


def test_stored_predictions_that_contradict_each_other_are_left_and_told(store, told):
    store.db.execute("UPDATE ml_predictions SET actual_value = 1 WHERE id = 1")
    store.db.execute("UPDATE ml_predictions SET actual_value = 0 WHERE id = 2")
    store.db.conn.commit()
    found = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=told[1][255])
    assert [vote.weight for vote in found.votes] == [0.5, 0.5]
    assert "settled_unusable" in [flag.code for flag in found.flags]
    assert found.prediction_set is None


def test_models_that_weigh_alike_have_the_bits_of_combine():
    draws = np.random.default_rng(3).dirichlet([1, 1, 1], size=(50, 3))
    time = pd.Timestamp("2024-01-01", tz="UTC")
    keys = [("A", time, str(number)) for number in (1, 2, 3)]
    index = pd.MultiIndex.from_tuples(keys, names=["symbol", "time", "model_id"])
    known = pd.Series(pd.NaT, index, dtype="datetime64[ns, UTC]")
    for shares in draws:
        table = pd.DataFrame(shares, index, training.PROBABILITIES).assign(
            target="signal_direction", fold=0, actual=np.nan, known_at=known, prediction=0.0,
            confidence=0.5,
        )  # fmt: skip
        both = training.combine(table, ["1", "2", "3"])
        row = both.predictions.loc[("A", time, "ENSEMBLE")]
        found = alike(list(shares), [1, 2, 3])
        assert found.shares.tolist() == row[training.PROBABILITIES].tolist()
        assert (found.value, found.confidence) == (row["prediction"], row["confidence"])
        assert found.disagreement == both.disagreement.iloc[0]
