"""Served equals backtested: the loop stores what the walk-forward of the same models said."""

import json

import numpy as np
import pandas as pd
import pytest

from signalkit import backtesting
from signalkit.live import Loop
from signalkit.store import Store
from signalkit.store.predictions import ENSEMBLE
from tests.live.houses import SHARES, SYMBOL, answers, bits, fed, walked

BARS = 60


@pytest.fixture(scope="module")
def served(house, tmp_path_factory):
    """A house that was fed bars one by one, and the numbers of its models."""
    with (
        pytest.MonkeyPatch.context() as patched,
        Store.open(tmp_path_factory.mktemp("served") / "data") as store,
    ):
        patched.setenv("SIGNALKIT_THREADS", "1")
        numbers = house.deploy(store)
        fed(house, store, house.clock[:BARS], Loop(store))
        yield store, numbers


def assert_as_walked(house, store, made_by, name, *, bars):
    """Every stored prediction has the bits of the walk-forward one."""
    live = answers(store, made_by)
    want = house.predictions.xs(name, level="model_id").reindex(live.index)
    assert len(live) == bars
    assert bits(live["prediction_value"]) == bits(want["prediction"])
    for name in SHARES:
        assert bits(live[name]) == bits(want[name])
    assert bits(live["confidence_score"]) == bits(want["confidence"])


@pytest.mark.parametrize("name", ["XGBOOST", "LIGHTGBM", ENSEMBLE])
def test_each_stored_prediction_has_the_bits_of_the_walk_forward_one(house, served, name):
    store, numbers = served
    made_by = numbers.get(name, ENSEMBLE)
    assert_as_walked(house, store, made_by, name, bars=BARS)
    assert len(answers(store, made_by)) == BARS


def test_the_weight_of_a_signal_is_that_of_the_backtest_at_the_bar(house, served):
    store, _ = served
    rows = store.watch.signals(study="house", limit=1000)[::-1]
    times = pd.DatetimeIndex(np.array([row["time"] for row in rows], "M8[ns]"), tz="UTC")
    want = house.weights["weight"].xs(SYMBOL).reindex(times)
    assert list(times) == list(house.clock[:BARS])
    assert bits([row["weight"] for row in rows]) == bits(want)
    assert sum(row["weight"] != 0 for row in rows) > BARS / 2
    close = house.bars[SYMBOL]["close"].reindex(times)
    assert bits([row["price"] for row in rows]) == bits(close)


def test_outcomes_are_the_study_s_labels_and_not_written_before_they_are_known(house, served):
    store, numbers = served
    live = answers(store, numbers["XGBOOST"])
    want = house.predictions.xs("XGBOOST", level="model_id").reindex(live.index)
    known = want["known_at"] <= house.clock[BARS - 1]
    assert live["known_at"].notna().tolist() == known.tolist()
    done = live[known]
    assert done["actual_value"].tolist() == want["actual"][known].tolist()
    assert [int(k) for k in done["known_at"]] == [t.value for t in want["known_at"][known]]
    right = (done["prediction_value"] == done["actual_value"]).astype(int)
    assert done["is_correct"].astype(int).tolist() == right.tolist()
    assert 0 < right.sum() < len(right)


def test_scores_are_those_of_the_rows_settled_by_each_moment(served):
    store, numbers = served
    rows = store.watch.performance(made_by=str(numbers["XGBOOST"]))
    live = answers(store, numbers["XGBOOST"])
    for row in rows[::7]:
        mine = live[live["known_at"] <= row["date"]].tail(40)
        assert row["n"] == len(mine)
        assert row["accuracy"] == pytest.approx(mine["is_correct"].astype(float).mean())
    assert len({row["date"] for row in rows}) == len(rows) == BARS - 4
    assert {row["state"] for row in rows} <= {"few", "kept", "worse", "better"}
    told = store.watch.performance(made_by=ENSEMBLE)
    assert any(row["after_cost_return"] is not None for row in told)


def test_the_account_follows_the_signals_at_the_study_s_costs(house, served):
    store, _ = served
    kept = store.watch.state("equity house")
    times = pd.DatetimeIndex(np.array(kept["times"], "M8[ns]"), tz="UTC")
    assert list(times) == list(house.clock[:BARS])
    bars = pd.concat({SYMBOL: house.bars[SYMBOL].loc[: times[-1]]}, names=["symbol", "time"])
    rules = house.asked.backtesting.model_dump(exclude={"open_holdout"})
    weights = house.weights["weight"]
    place = weights.index.get_level_values("time")
    mine = weights[(place >= times[0]) & (place < times[-1])]
    want = backtesting.simulate(bars, mine, **rules).equity
    assert bits(kept["strategy"]) == bits(want["strategy"])


def test_what_a_prediction_rests_on_is_written_with_it(served):
    store, numbers = served
    detail = json.loads(answers(store, ENSEMBLE)["detail"].iloc[-1])
    assert set(detail["weights"]) == {str(number) for number in numbers.values()}
    assert sum(detail["weights"].values()) == pytest.approx(1)
    assert detail["left_out"] == []
    own = answers(store, numbers["LIGHTGBM"])
    assert own["origin"].unique().tolist() == ["deployed"]
    weight = json.loads(own["detail"].iloc[-1])["weight"]
    assert weight == detail["weights"][str(numbers["LIGHTGBM"])]


def assert_weights_as_backtested(house, store, times):
    """Every signal's weight has the bits of the backtest's at its bar."""
    rows = store.watch.signals(study="house", limit=10_000)[::-1]
    assert [row["time"] for row in rows] == times.as_unit("ns").asi8.tolist()
    want = house.weights["weight"].xs(SYMBOL).reindex(times)
    assert bits([row["weight"] for row in rows]) == bits(want)


def test_models_without_a_past_are_served_as_they_were_backtested(own_store, tmp_path):
    house = walked(600, validation={"train": 250, "test": 200})
    assert house.first == house.predictions.index.get_level_values("time").min()
    with Store.open(tmp_path / "house") as store:
        numbers = house.deploy(store)
        times = house.clock[:16]
        fed(house, store, times, Loop(store))
        for name in ("XGBOOST", "LIGHTGBM", ENSEMBLE):
            assert_as_walked(house, store, numbers.get(name, ENSEMBLE), name, bars=len(times))
        assert_weights_as_backtested(house, store, times)
        detail = json.loads(answers(store, ENSEMBLE)["detail"].iloc[-1])
        assert "settled_unusable" not in {flag["code"] for flag in detail["flags"]}


@pytest.mark.certify
def test_five_thousand_bars_are_served_as_they_were_backtested(own_store, tmp_path):
    house = walked(5800, validation={"train": 300, "test": 5000})
    with Store.open(tmp_path / "house") as store:
        numbers = house.deploy(store)
        times = house.clock[:5000]
        assert len(times) == 5000
        fed(house, store, times, Loop(store))
        for name in ("XGBOOST", "LIGHTGBM", ENSEMBLE):
            made_by = numbers.get(name, ENSEMBLE)
            assert_as_walked(house, store, made_by, name, bars=len(times))
        assert_weights_as_backtested(house, store, times)


def assert_recurrent_as_walked(tmp_path, model, house, *, bars):
    """Boosters beside a network have the bits of the walk-forward, its shares are within 1e-6."""
    with Store.open(tmp_path / "house") as store:
        numbers = house.deploy(store)
        fed(house, store, house.clock[:bars], Loop(store))
        assert_as_walked(house, store, numbers["XGBOOST"], "XGBOOST", bars=bars)
        for name in (model, ENSEMBLE):
            live = answers(store, numbers.get(name, ENSEMBLE))
            want = house.predictions.xs(name, level="model_id").reindex(live.index)
            assert len(live) == bars
            apart = np.abs(live[SHARES].to_numpy(float) - want[SHARES].to_numpy())
            assert apart.max() <= 1e-6


RECURRENT = {"units": 4, "lookback": 8, "epochs": 1}


def test_a_recurrent_model_is_served_as_it_was_backtested(own_store, tmp_path):
    own = {"models": ["GRU", "XGBOOST"], "recurrent": RECURRENT}
    house = walked(450, models=("GRU", "XGBOOST"), training=own)
    assert_recurrent_as_walked(tmp_path, "GRU", house, bars=10)


@pytest.mark.certify
@pytest.mark.parametrize("model", ["GRU", "LSTM"])
def test_five_thousand_bars_of_a_recurrent_model(own_store, tmp_path, model):
    own = {"models": [model, "XGBOOST"], "recurrent": RECURRENT}
    wide = {"train": 300, "test": 5000}
    house = walked(5800, models=(model, "XGBOOST"), training=own, validation=wide)
    assert_recurrent_as_walked(tmp_path, model, house, bars=5000)
