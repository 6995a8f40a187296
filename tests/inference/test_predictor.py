"""predictor.py: what is served is what the model says of features built of the same bars."""

import json

import numpy as np
import pandas as pd
import pytest

from signalkit import features
from signalkit.errors import ParamsError
from signalkit.inference import Predictor
from signalkit.store import Store
from signalkit.training import Trained

HOURS = 5 * 24


@pytest.fixture
def bars(store):
    """The bars of the store."""
    return store.read_bars("SP500", "1d", source="sample")


def whole(store, bars, model):
    """Probabilities of a model on features built of all bars at once, and the times it is asked."""
    found = Trained.load(store.models.files(model))
    table = features.build(bars, interval="1d", calendar="XNYS")[found.columns]
    rows = np.flatnonzero(table.notna().all(axis=1))
    return pd.DataFrame(found.predict_proba(table, rows), index=table.index[rows])


def shares(told):
    """Probabilities of -1, 0, 1."""
    return [told.probabilities[side] for side in ("sell", "hold", "buy")]


def test_each_bar_fed_alone_is_served_with_the_bits_of_batch(store, bars):
    predictor = Predictor(store)
    expected = {m.id: whole(store, bars, m.id) for m in store.models.list()}
    start, asked = bars.index.get_loc("2005-06-01 20:00"), 0
    for time in bars.index[start : start + 50]:
        told = predictor.get_ensemble_prediction("SP500", HOURS, at=time)
        assert (told.time, told.origin, len(told.votes)) == (time, "deployed", 2)
        for vote in told.votes:
            assert shares(vote) == expected[vote.model].loc[time].tolist()
            asked += 1
    assert asked == 100


@pytest.mark.certify
def test_every_bar_of_the_sample_is_served_with_the_bits_of_batch(store, bars):
    predictor = Predictor(store)
    expected = {m.id: whole(store, bars, m.id) for m in store.models.list()}
    asked = 0
    for time in expected[3].index:
        for vote in predictor.get_ensemble_prediction("SP500", HOURS, at=time).votes:
            assert shares(vote) == expected[vote.model].loc[time].tolist()
            asked += 1
    assert asked > 3500


def test_bars_that_come_in_portions_or_after_a_restart_give_the_same_bits(store, bars):
    expected = {m.id: whole(store, bars, m.id) for m in store.models.list()}
    moments = bars.index[[1000, 1003, 1040, 1300, 1301, 900]]  # the last goes back
    running = Predictor(store)
    for time in moments:
        for predictor in (running, Predictor(store)):
            for vote in predictor.get_ensemble_prediction("SP500", HOURS, at=time).votes:
                assert shares(vote) == expected[vote.model].loc[time].tolist()


def test_a_bar_that_is_new_in_the_store_is_read_at_the_next_call(made, tmp_path, store, bars):
    at = pd.Timestamp("2009-01-02 21:00", tz="UTC")
    predictor = Predictor(store)
    before = predictor.get_ensemble_prediction("SP500", HOURS, at=bars.index[-1])
    new = pd.concat({"SP500": bars[-1:].set_axis([at], axis=0)}, names=["symbol", "time"])
    store.write_bars(new, source="sample", interval="1d", calendar="XNYS")
    after = predictor.get_ensemble_prediction("SP500", HOURS, at=at)
    assert (before.time, after.time) == (bars.index[-1], at)
    both = pd.concat([bars, new.droplevel("symbol")])
    for vote in after.votes:
        assert shares(vote) == whole(store, both, vote.model).loc[at].tolist()


def test_a_bar_that_was_read_and_then_corrected_is_read_again(store, bars):
    predictor, at = Predictor(store), bars.index[-1]
    predictor.get_ensemble_prediction("SP500", HOURS, at=at)
    changed = bars.copy()
    changed.iloc[-1, :4] *= 0.9
    panel = pd.concat({"SP500": changed}, names=["symbol", "time"])
    assert store.write_bars(panel, source="sample", interval="1d", calendar="XNYS").revised == 1
    told = predictor.get_ensemble_prediction("SP500", HOURS, at=at)
    assert len(told.votes) == 2
    for vote in told.votes:
        row = whole(store, changed, vote.model).loc[at].tolist()
        assert shares(vote) == row != whole(store, bars, vote.model).loc[at].tolist()


def test_a_bar_that_comes_late_is_read(store, bars):
    predictor, at = Predictor(store), bars.index[-1]
    with store.db.conn:
        store.db.execute("DELETE FROM bars WHERE time = ?", [bars.index[-5].value])
    lacking = predictor.get_ensemble_prediction("SP500", HOURS, at=at)
    assert [flag.code for flag in lacking.flags].count("gap") == 1
    late = pd.concat({"SP500": bars[-5:-4]}, names=["symbol", "time"])
    store.write_bars(late, source="sample", interval="1d", calendar="XNYS")
    told = predictor.get_ensemble_prediction("SP500", HOURS, at=at)
    assert "gap" not in [flag.code for flag in told.flags]
    for vote in told.votes:
        assert shares(vote) == whole(store, bars, vote.model).loc[at].tolist()


def test_one_prediction_is_that_of_the_best_score_and_the_ensemble_is_the_mean(store, bars):
    at = pd.Timestamp("2004-06-01 20:00", tz="UTC")  # inside the training window
    entries = {m.model_type: m for m in store.models.list() if m.status == "deployed"}
    store.db["ml_models"].update(entries["XGBOOST"].id, {"log_loss": 1.0})
    store.db["ml_models"].update(entries["LIGHTGBM"].id, {"log_loss": 1.1})
    predictor = Predictor(store)
    one = predictor.predict_signal_direction("SP500", HOURS, at=at)
    assert (one.model, one.name) == (entries["XGBOOST"].id, "small.XGBOOST")
    assert shares(one) == whole(store, bars, one.model).loc[at].tolist()
    assert one.value == [-1, 0, 1][int(np.argmax(shares(one)))]
    both = predictor.get_ensemble_prediction("SP500", HOURS, at=at)
    # nothing has settled: both weigh alike
    assert [vote.weight for vote in both.votes] == [0.5, 0.5]
    assert shares(both) == pytest.approx(np.mean([shares(v) for v in both.votes], axis=0))
    assert 0 <= both.disagreement <= 1
    assert [flag.code for flag in both.flags] == ["in_sample", "in_sample", "few_settled"]
    assert both.confidence == pytest.approx(max(shares(both)) * (1 - both.disagreement))


def test_files_are_read_once(store, bars, monkeypatch):
    read = []
    whole_files = store.models.files
    monkeypatch.setattr(store.models, "files", lambda n: read.append(n) or whole_files(n))
    predictor = Predictor(store)
    for time in bars.index[1500:1503]:
        predictor.get_ensemble_prediction("SP500", HOURS, at=time)
    assert sorted(read) == sorted(m.id for m in store.models.list() if m.status == "deployed")


def test_a_model_that_is_deployed_meanwhile_is_asked(store, bars):
    predictor, at = Predictor(store), bars.index[1500]
    former, later = (m for m in store.models.list() if m.model_type == "XGBOOST")
    first = predictor.get_ensemble_prediction("SP500", HOURS, at=at)
    with Store.open(store.folder) as other:
        other.models.deploy(former.id)
    then = predictor.get_ensemble_prediction("SP500", HOURS, at=at)
    asked = [{vote.model for vote in told.votes} for told in (first, then)]
    assert asked[0] - asked[1] == {later.id}
    assert asked[1] - asked[0] == {former.id}


def test_an_answer_is_json(store, bars):
    predictor, at = Predictor(store), bars.index[1500]
    for told in (
        predictor.get_ensemble_prediction("SP500", HOURS, at=at),
        predictor.predict_signal_direction("SP500", HOURS, at=at),
        predictor.predict_signal_direction("SP500", HOURS),
    ):
        again = json.loads(json.dumps(told.to_dict(), allow_nan=False))
        assert again["symbol"] == "SP500"
        assert again["value"] == told.value
        assert again["time"] == told.time.isoformat()


@pytest.mark.parametrize(
    ("symbol", "hours", "how", "says"),
    [
        ("SP500", 36, {}, "36, which is no whole number of 1d bars"),
        ("SP500", 24, {}, "24 hours ahead; deployed are 120 hours"),
        ("SP500", -1, {}, "above 0 hours and finite, was -1"),
        ("SP500", float("nan"), {}, "above 0 hours and finite, was nan"),
        ("DAX", 120, {}, "no deployed model predicts signal_direction of DAX; deployed are"),
        ("SP500", 120, {"interval": "1h"}, "signal_direction of SP500 on 1h bars"),
        ("SP500", 120, {"at": pd.Timestamp("2005-01-03")}, "at must be a Timestamp with a zone"),
    ],
)
def test_refuses_a_question_that_no_model_answers(store, symbol, hours, how, says):
    with pytest.raises(ParamsError, match=says):
        Predictor(store).predict_signal_direction(symbol, hours, **how)


def test_other_targets_are_asked_by_their_own_name(store):
    predictor = Predictor(store)
    for target in ("target_return", "target_volatility", "target_profitable"):
        with pytest.raises(ParamsError, match=f"no deployed model predicts {target} of SP500"):
            getattr(predictor, f"predict_{target}")("SP500", HOURS)
