"""asking.py, choice.py, rule.py: a broken model costs its own vote, never the caller's answer."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from signalkit import signals
from signalkit.inference import Predictor
from signalkit.training import LightGBM, Trained, XGBoost

HOURS, AT = 5 * 24, pd.Timestamp("2005-06-01 20:00", tz="UTC")


def entries(store):
    """Models of the store, by type and status."""
    return {(m.model_type, m.status): m for m in store.models.list()}


def folder(store, entry):
    """Folder of a model's files."""
    return store.models.folder / entry.identity


def tamper(store, entry):
    """Change one byte of a model's recipe."""
    file = folder(store, entry) / "recipe.json"
    file.write_bytes(file.read_bytes()[:-1] + b" ")


def remove(store, entry):
    """Lose a model's files."""
    shutil.rmtree(folder(store, entry))


def codes(told):
    """Codes of an answer's flags."""
    return [flag.code for flag in told.flags]


@pytest.mark.parametrize("breaks", [tamper, remove])
def test_remaining_models_answer_where_one_has_lost_its_files(store, breaks):
    broken, sound = (entries(store)[name, "deployed"] for name in ("XGBOOST", "LIGHTGBM"))
    breaks(store, broken)
    predictor = Predictor(store)
    told = predictor.get_ensemble_prediction("SP500", HOURS, at=AT)
    assert [vote.model for vote in told.votes] == [sound.id]
    assert told.votes[0].weight == 1.0
    assert (told.origin, told.refused) == ("deployed", False)
    (out,) = told.left_out
    assert (out.model, out.name, out.code) == (broken.id, "small.XGBOOST", "not_loaded")
    assert "SHA-256 differs" in out.reason
    one = predictor.predict_signal_direction("SP500", HOURS, at=AT)
    assert (one.model, one.origin) == (sound.id, "deployed")


@pytest.mark.parametrize("said", [np.nan, np.inf, 2.0, -0.5])
def test_a_model_that_says_no_probabilities_is_left_out(store, monkeypatch, said):
    monkeypatch.setattr(XGBoost, "_scores", lambda self, table, rows: np.full((1, 3), said))
    told = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=AT)
    assert [vote.model_type for vote in told.votes] == ["LIGHTGBM"]
    assert [out.code for out in told.left_out] == ["no_number"]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, ZeroDivisionError, KeyError])
def test_a_model_that_fails_when_asked_is_left_out(store, monkeypatch, error):
    def fails(self, table, rows):
        raise error("it fails")

    monkeypatch.setattr(LightGBM, "_scores", fails)
    told = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=AT)
    assert [vote.model_type for vote in told.votes] == ["XGBOOST"]
    (out,) = told.left_out
    assert out.code == "not_asked"
    assert out.reason.startswith(error.__name__)


def test_the_librarys_own_error_is_caught_too(store, monkeypatch):
    predictor = Predictor(store)
    predictor.get_ensemble_prediction("SP500", HOURS, at=AT)  # loads the library
    lightgbm = sys.modules["lightgbm"]

    def fails(self, table, rows):
        raise lightgbm.basic.LightGBMError("no such tree")

    monkeypatch.setattr(LightGBM, "_scores", fails)
    told = predictor.get_ensemble_prediction("SP500", HOURS, at=AT)
    assert [out.reason for out in told.left_out] == ["LightGBMError: no such tree"]


def test_versions_deployed_before_answer_where_no_deployed_model_does(store):
    for name in ("XGBOOST", "LIGHTGBM"):
        tamper(store, entries(store)[name, "deployed"])
    told = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=AT)
    before = {entries(store)[name, "archived"].id for name in ("XGBOOST", "LIGHTGBM")}
    assert {vote.model for vote in told.votes} == before
    assert told.origin == "former"
    assert codes(told).count("former") == 1
    assert len(told.left_out) == 2
    one = Predictor(store).predict_signal_direction("SP500", HOURS, at=AT)
    assert one.model in before


def test_a_version_that_was_never_deployed_does_not_answer(store):
    for name in ("XGBOOST", "LIGHTGBM"):
        tamper(store, entries(store)[name, "deployed"])
        tamper(store, entries(store)[name, "archived"])
    model = entries(store)["XGBOOST", "archived"]
    files = {"recipe.json": b"{}"}
    told = {"target_variable": "signal_direction", "prediction_horizon": 5, "params": {}}
    store.models.register(
        name="small.XGBOOST", identity="another", model_type="XGBOOST", files=files,
        features_used=[], metrics={}, study="small", symbols=["SP500"], interval="1d",
        trained_from=model.trained_from, trained_to=model.trained_to, **told,
    )  # fmt: skip
    found = Predictor(store).predict_signal_direction("SP500", HOURS, at=AT)
    assert found.origin == "rule"
    assert len(found.left_out) == 4


def test_the_rule_answers_last_with_the_direction_of_validation(store):
    for entry in store.models.list():
        remove(store, entry)
    bars = store.read_bars("SP500", "1d", end=AT)
    panel = pd.concat({"SP500": bars}, names=["symbol", "time"])
    expected = signals.stand_in(signals.trend(panel), panel.index[-1:]).iloc[0]
    predictor = Predictor(store)
    for told in (
        predictor.predict_signal_direction("SP500", HOURS, at=AT),
        predictor.get_ensemble_prediction("SP500", HOURS, at=AT),
    ):
        assert (told.origin, codes(told), told.time) == ("rule", ["rule"], bars.index[-1])
        assert told.value == expected["prediction"]
        assert told.probabilities["buy"] == expected["p_buy"]
        assert told.confidence == expected["confidence"] == 0.5
        assert len(told.left_out) == 4


def test_a_rule_on_old_bars_is_refused(store):
    for entry in store.models.list():
        remove(store, entry)
    told = Predictor(store).predict_signal_direction("SP500", HOURS)
    assert (told.refused, told.value, told.origin) == (True, None, "none")
    assert codes(told) == ["rule", "too_old"]


def test_without_bars_nothing_is_answered_and_nothing_is_raised(store):
    with store.db.conn:
        store.db.execute("DELETE FROM bars")
        store.db.execute("DELETE FROM symbols")
    told = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=AT)
    assert (told.refused, told.value, told.votes, told.time) == (True, None, (), None)
    assert codes(told) == ["no_answer"]
    assert {out.code for out in told.left_out} == {"no_features"}


def test_a_model_whose_files_are_put_back_answers_again(store, made):
    entry = entries(store)["XGBOOST", "deployed"]
    predictor = Predictor(store)
    remove(store, entry)
    assert len(predictor.get_ensemble_prediction("SP500", HOURS, at=AT).votes) == 1
    shutil.copytree(made / "models" / entry.identity, folder(store, entry))
    assert len(predictor.get_ensemble_prediction("SP500", HOURS, at=AT).votes) == 2


def test_a_model_stays_as_it_was_loaded(store):
    predictor = Predictor(store)
    before = predictor.get_ensemble_prediction("SP500", HOURS, at=AT)
    tamper(store, entries(store)["XGBOOST", "deployed"])
    assert predictor.get_ensemble_prediction("SP500", HOURS, at=AT) == before


def test_a_model_without_the_params_of_its_study_is_left_out(store):
    entry = entries(store)["XGBOOST", "deployed"]
    files = store.models.files(entry.id)
    del files["study.json"]
    told = {n: getattr(entry, n) for n in ("model_type", "target_variable", "prediction_horizon")}
    told |= {n: getattr(entry, n) for n in ("features_used", "params", "metrics", "study")}
    told |= {n: getattr(entry, n) for n in ("symbols", "interval", "trained_from", "trained_to")}
    number = store.models.register(name="bare", identity="bare", files=files, **told)
    store.models.deploy(number)
    assert Trained.load(files).columns == entry.features_used
    found = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=AT)
    assert [(out.model, out.code) for out in found.left_out] == [(number, "not_loaded")]
    assert len(found.votes) == 2
