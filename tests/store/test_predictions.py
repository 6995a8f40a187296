"""store/predictions.py: each prediction is written once, and so is what came of it."""

import json
import sqlite3

import pandas as pd
import pytest

from signalkit.errors import DataError
from signalkit.store import Asked, Outcome, Predicted, Store
from signalkit.store.predictions import ENSEMBLE

HOUR = 3_600_000_000_000
WEEK = Asked("signal_direction", "1h", 24)
SHARES = {"sell": 0.2, "hold": 0.3, "buy": 0.5}


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as opened:
        for number in (1, 2):
            opened.models.register(
                name=f"m{number}", identity=str(number) * 64, model_type="XGBOOST",
                target_variable="signal_direction", prediction_horizon=24, features_used=["a"],
                params={}, files={"a.json": b"{}"}, metrics={}, study="s", symbols=["A", "B"],
                interval="1h", trained_from=pd.Timestamp(0, tz="UTC"),
                trained_to=pd.Timestamp(9, tz="UTC"),
            )  # fmt: skip
        yield opened


def one(time, made_by="1", symbol="A", **told):
    given = {"asked": WEEK, "value": 1.0, "confidence": 0.5, "probabilities": SHARES}
    return Predicted(made_by, symbol, time=time * HOUR, **(given | told))


def test_what_was_written_is_read_back_newest_bar_first(store):
    made = [one(1), one(2), one(2, ENSEMBLE, detail={"flags": ["stale"]}), one(1, symbol="B")]
    assert store.predictions.write(made) == 4
    rows = store.predictions.page(symbol="A")
    assert [(r["made_by"], r["prediction_timestamp"] // HOUR) for r in rows] == [
        (ENSEMBLE, 2), ("1", 2), ("1", 1)
    ]  # fmt: skip
    assert (rows[0]["model"], rows[1]["model"]) == (None, 1)
    assert json.loads(rows[0]["detail"]) == {"flags": ["stale"]}
    assert json.loads(rows[0]["prediction_probabilities"]) == SHARES
    assert (rows[2]["known_at"], rows[2]["actual_value"], rows[2]["is_correct"]) == (None,) * 3


def test_writing_again_changes_nothing(store):
    assert store.predictions.write([one(1), one(2)]) == 2
    before = list(store.db["ml_predictions"].rows)
    assert store.predictions.write([one(1, value=-1.0), one(3)]) == 1
    assert list(store.db["ml_predictions"].rows)[:2] == before


def test_one_that_cannot_be_written_takes_all_with_it(store):
    with pytest.raises(sqlite3.IntegrityError):
        store.predictions.write([one(1), one(2, value="much")])
    assert store.db["ml_predictions"].count == 0


def test_an_outcome_is_written_once(store):
    store.predictions.write([one(1), one(2), one(3)])
    first, second, _ = (row["id"] for row in store.predictions.unsettled(WEEK))
    assert store.predictions.settle([Outcome(first, 5 * HOUR, 1.0, True)]) == 1
    again = [Outcome(first, 6 * HOUR, -1.0, False), Outcome(second, 6 * HOUR, 0.0, False)]
    assert store.predictions.settle(again) == 1
    told = {r["id"]: (r["known_at"], r["actual_value"], r["is_correct"])
            for r in store.predictions.page()}  # fmt: skip
    assert told[first] == (5 * HOUR, 1.0, 1)
    assert told[second] == (6 * HOUR, 0.0, 0)
    assert [row["prediction_timestamp"] for row in store.predictions.unsettled(WEEK)] == [3 * HOUR]
    assert store.predictions.unsettled(Asked("signal_direction", "1h", 4)) == []


def test_an_outcome_known_at_its_own_bar_is_refused(store):
    store.predictions.write([one(1)])
    (row,) = store.predictions.unsettled(WEEK)
    with pytest.raises(sqlite3.IntegrityError, match="known_at"):
        store.predictions.settle([Outcome(row["id"], HOUR, 1.0, True)])


def test_pages_follow_each_other_without_a_row_twice(store):
    made = [one(time, maker, symbol) for time in range(1, 30) for maker in "12" for symbol in "AB"]
    store.predictions.write(made)
    seen, before = [], None
    while rows := store.predictions.page(symbol="A", before=before, limit=7):
        seen += [row["id"] for row in rows]
        before = rows[-1]["prediction_timestamp"], rows[-1]["id"]
    assert len(seen) == len(set(seen)) == 58
    asked = {"target": "signal_direction", "interval": "1h", "horizon": 24, "made_by": "2"}
    assert len(store.predictions.page(**asked, limit=1000)) == 58
    assert store.predictions.page(**(asked | {"horizon": 5})) == []
    with pytest.raises(DataError, match="asked for by"):
        store.predictions.page(sql="1; DROP TABLE ml_predictions")


def test_the_newest_of_a_symbol_are_read_off_an_index(store):
    query = """EXPLAIN QUERY PLAN SELECT * FROM ml_predictions WHERE symbol = 'A'
        ORDER BY prediction_timestamp DESC, id DESC LIMIT 10"""
    plan = " ".join(row[3] for row in store.db.execute(query).fetchall())
    assert "newest_predictions" in plan
    assert "TEMP B-TREE" not in plan


def test_answers_of_a_maker_are_a_table_of_predictions(store):
    store.predictions.write([one(2), one(1), one(3, value=None, probabilities=None), one(1, "2")])
    (first, *_) = store.predictions.unsettled(WEEK)
    store.predictions.settle([Outcome(first["id"], 5 * HOUR, -1.0, False)])
    table = store.predictions.table("1", WEEK)
    assert list(table.index.names) == ["symbol", "time", "model_id"]
    assert list(table) == ["target", "fold", "prediction", "p_sell", "p_hold", "p_buy",
                           "confidence", "known_at", "actual"]  # fmt: skip
    times = table.index.get_level_values("time")
    assert times.tolist() == [pd.Timestamp(n * HOUR, tz="UTC") for n in (1, 2)]
    assert table["known_at"].tolist() == [pd.Timestamp(5 * HOUR, tz="UTC"), pd.NaT]
    assert table["actual"].iloc[0] == -1.0
    assert table["actual"].isna().tolist() == [False, True]
    assert table[["p_sell", "p_hold", "p_buy"]].iloc[0].tolist() == [0.2, 0.3, 0.5]
    assert store.predictions.table("7", WEEK).empty
