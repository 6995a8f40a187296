"""record.py and scoring.py: what is kept warm is what the database has."""

import json

import numpy as np
import pandas as pd
import pytest

from signalkit import monitoring
from signalkit.live import Loop
from signalkit.live.record import Record
from signalkit.store import Asked
from signalkit.store.predictions import ENSEMBLE, Outcome, Predicted
from tests.live.houses import answers, bits, fed

ASKED = Asked("signal_direction", "1h", 4)
HOUR = 3_600_000_000_000
DAY = pd.Timestamp("2024-01-01", tz="UTC").value


def said(symbol, hour, rng, *, value=True):
    """One answer of model 1."""
    shares = rng.dirichlet([3, 3, 3])
    told = dict(zip(("sell", "hold", "buy"), map(float, shares), strict=True))
    chosen = float(shares.argmax() - 1) if value else None
    detail = {"prediction_set": ["sell", "buy"], "prediction_interval": None}
    return Predicted(
        "1", symbol, ASKED, DAY + hour * HOUR, chosen, float(shares.max()), told, detail=detail
    )


def test_a_record_that_is_kept_is_one_that_is_read_anew(store):
    rng, kept = np.random.default_rng(5), Record(store, "1", ASKED)
    assert kept.table().empty
    for hour in range(30):
        # one symbol is collected later than the other, and some are refused
        rows = [said("B", hour, rng, value=rng.random() < 0.9)]
        rows += [said("A", hour - 2, rng)] if hour >= 2 else []
        store.predictions.write(rows)
        for row in store.predictions.unsettled(ASKED):
            if row["prediction_timestamp"] <= DAY + (hour - 4) * HOUR and rng.random() < 0.7:
                outcome = Outcome(row["id"], DAY + hour * HOUR, float(rng.integers(-1, 2)), None)
                store.predictions.settle([outcome])
        anew = Record(store, "1", ASKED).table()
        pd.testing.assert_frame_equal(kept.table(), anew, check_exact=True)
        times = anew.index.get_level_values("time")
        assert times.is_monotonic_increasing
    want = store.predictions.table("1", ASKED).droplevel("model_id").sort_index()
    got = kept.table().sort_index()
    assert list(got.index) == list(want.index)
    for name in ("prediction", "p_sell", "p_hold", "p_buy", "confidence", "actual"):
        assert bits(got[name]) == bits(want[name])
    assert got["known_at"].isna().tolist() == want["known_at"].isna().tolist()
    held = got["covered"].dropna()
    assert held.tolist() == (got["actual"][held.index] != 0).astype(float).tolist()


def test_a_record_in_which_nothing_is_new_is_the_same_table(store):
    rng, kept = np.random.default_rng(5), Record(store, "1", ASKED)
    store.predictions.write([said("A", 0, rng)])
    first = kept.table()
    store.watch.keep({"another": {"thing": 1}})
    assert kept.table() is first


@pytest.fixture(scope="module")
def steps():
    """Bars that are fed."""
    return 30


def test_stored_scores_have_the_bits_of_scoring_everything(house, store, steps):
    numbers = house.deploy(store, window=12, drift_window=200)
    fed(house, store, house.clock[:steps], Loop(store))
    equity = store.watch.state("equity house")
    paid = pd.Series(equity["strategy"], equity["times"], dtype=float).pct_change().shift(-1)
    for made_by in (ENSEMBLE, *map(str, numbers.values())):
        live = answers(store, made_by)
        table = live.rename_axis(["symbol", "time"])[["p_sell", "p_hold", "p_buy"]].astype(float)
        known = pd.array(live["known_at"], dtype="Int64").to_numpy("float64", na_value=np.nan)
        table["known_at"] = pd.to_datetime(known, utc=True)
        table["actual"] = live["actual_value"].astype(float)
        if made_by == ENSEMBLE:
            table["paid"] = paid.reindex(live["prediction_timestamp"]).to_numpy()
        want = monitoring.rolling(table, window=12)
        rows = store.watch.performance(made_by=made_by)[::-1]
        assert len(rows) == len(want) == steps - 4
        assert [row["date"] for row in rows] == [time.value for time in want.index]
        for ours, theirs in {
            "accuracy": "accuracy",
            "log_loss": "log_loss",
            "calibration": "ece",
        }.items():
            assert bits([row[ours] for row in rows]) == bits(want[theirs])
        if made_by == ENSEMBLE:
            assert json.loads(live["detail"].iloc[-1])["weights"].keys() == set(
                map(str, numbers.values())
            )
            assert bits([row["after_cost_return"] for row in rows[:-1]]) == bits(
                want["after_cost_return"][:-1]
            )
