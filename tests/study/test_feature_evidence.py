"""What a study says of its features: selected inside each window, recorded, proved."""

import dataclasses
import json

import pandas as pd
import pytest

from signalkit import training
from signalkit.errors import LeakError, ParamsError
from signalkit.study import STAGES, Study, stages
from signalkit.study.telling import caveats

NAMES = ["return_1", "return_5", "return_21", "rsi_14", "williams_r_14"]
SMALL = {
    "collection": {"end": "2006-12-31"},
    "features": {"names": NAMES},
    "validation": {"train": 400, "test": 200, "draws": 100, "holdout_from": "2005-01-01"},
}


def opened(selection=None, **more):
    asked = {"rounds": 5, "selection": selection or {}}
    return Study.open("small", training=asked, **(SMALL | more))


def with_features(monkeypatch, change):
    """Let the features stage pass its table through `change`."""
    stage = STAGES["features"]

    def make(study, scope):
        tables, files = stage.make(study, scope)
        return tables | {"features": change(tables["features"])}, files

    monkeypatch.setitem(STAGES, "features", dataclasses.replace(stage, make=make))


def test_the_database_holds_what_validation_found(own_store):
    study = opened()
    begin = pd.Timestamp.now("UTC")
    study.validate()
    kept = study.store.read_features().loc[NAMES]
    worth, alone = study.evidence("permutation"), study.evidence("information")
    for name, row in kept.iterrows():
        told = row["importance"]
        assert told["models"] == {
            model: worth.loc[(model, name)].to_dict() for model in ("XGBOOST", "LIGHTGBM")
        }
        assert told["alone"] == alone.loc[name].to_dict()
        assert told["validation"] == study.identity("validation")["identity"]
    assert kept["active"].all()
    assert (kept["leak_checked_at"] >= begin).all()
    assert kept.loc["rsi_14", ["family", "warmup"]].tolist() == ["technical", 14]


def test_selection_of_the_params_reaches_every_fold_and_the_saved_models(own_store):
    study = opened({"keep": 2, "max_correlation": 0.95})
    found = study.evidence("selection")
    assert ((found == training.KEPT).sum(axis=1) == 2).all()
    assert found.index.equals(study.evidence("folds").index)
    worth = study.evidence("permutation")["gain"].unstack("feature")
    never = found.columns[(found != training.KEPT).all()]
    assert (worth[never] == 0).all(axis=None)
    active = study.store.read_features()["active"]
    assert active.to_dict() == (found.iloc[-1] == training.KEPT).to_dict()
    study.train()
    newest = study.trained("selection")["selection"]
    mine = newest.index[newest == training.KEPT].tolist()
    assert len(mine) == 2
    assert study.trained("importance").index.tolist() == mine
    about = json.loads(study.artifact("training").path("LIGHTGBM.model.json").read_text())
    assert about["features"] == mine


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        ({"keep": 0}, "training.selection.keep: .* was 0"),
        ({"max_correlation": 1.5}, "training.selection.max_correlation: .* was 1.5"),
        ({"by": "luck"}, "training.selection.by: .*'ic' or 'gain', was 'luck'"),
        ({"kep": 3}, "'training.selection' does not declare 'kep'; did you mean 'keep'?"),
    ],
)
def test_settings_of_the_selection_are_checked_with_the_params(selection, says):
    with pytest.raises(ParamsError, match=says):
        opened(selection)


WINDOW = "a window is a whole number of bars, 1 or more"
SETTING = "a setting of a TA-Lib function is a name or a number"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"windows": {"rsi": [0]}}, f"features.windows.rsi.0: {WINDOW}.*, was 0$"),
        ({"windows": {"rsi": ["14"]}}, f"features.windows.rsi.0: {WINDOW}.*, was '14'"),
        ({"windows": {"rsi": [True]}}, f"features.windows.rsi.0: {WINDOW}.*, was True"),
        ({"windows": {"macd_line": [[6, 0]]}}, f"features.windows.macd_line.0: {WINDOW}"),
        (
            {"talib": [{"function": "RSI", "timeperiod": True}]},
            f"features.talib.0.timeperiod: {SETTING}, was True$",
        ),
        ({"talib": [{"function": "RSI", "timeperiod": [3]}]}, rf"{SETTING}, was \[3\]$"),
    ],
)
def test_settings_of_the_features_are_checked_with_the_params(asked, says):
    with pytest.raises(ParamsError, match=says):
        Study.open(features=asked)


@pytest.mark.parametrize("by", ["ic", "gain"])
def test_what_is_selected_does_not_depend_on_the_bars_of_later_folds(own_store, by):
    asked = {"keep": 2, "by": by}
    whole = opened(asked).evidence("selection")
    short = SMALL["validation"] | {"holdout_from": "2003-01-01"}
    early = opened(asked, validation=short).evidence("selection")
    assert 1 < len(early) < len(whole)
    assert early.equals(whole.loc[early.index])


def test_a_column_that_says_nothing_is_named_in_the_caveats(own_store, monkeypatch):
    early = pd.Timestamp("2002-06-01", tz="UTC")

    def silenced(table):
        times = table.index.get_level_values("time")
        return table.assign(rsi_14=table["rsi_14"].mask(times < early, 0.5))

    honest = caveats(opened(features={"names": NAMES[1:]}))
    assert not [line for line in honest if "rsi_14" in line]
    with_features(monkeypatch, silenced)
    study = opened({"max_correlation": 1.0})
    count = int((study.evidence("selection")["rsi_14"] == "constant").sum())
    assert 0 < count < len(study.evidence("folds"))
    (line,) = [line for line in caveats(study) if "rsi_14" in line]
    assert f"rsi_14 in {count}" in line
    assert "not fed to a model" in line


def test_a_symbol_that_is_not_predicted_is_named_in_the_caveats(own_store, monkeypatch):
    def silenced(table):
        return table.assign(rsi_14=table["rsi_14"].drop("NASDAQ", level="symbol"))

    whole = opened(features={"names": NAMES[1:]})
    assert not [line for line in caveats(whole) if "no prediction" in line]
    with_features(monkeypatch, silenced)
    study = opened()
    assert study.validate().index.unique("symbol").tolist() == ["SP500"]
    (line,) = [line for line in caveats(study) if "no prediction" in line]
    assert line.startswith("NASDAQ is in no prediction: ")


@pytest.mark.parametrize("name", ["return_5", "return_500"])
def test_features_that_read_the_future_are_not_recorded_as_proved(own_store, monkeypatch, name):
    honest = stages.features.build

    def leaking(bars, names, *news, **more):
        table = honest(bars, names, *news, **more)
        return table.assign(**{name: table[name].shift(-1)})

    monkeypatch.setattr(stages.features, "build", leaking)
    study = opened(features={"names": ["rsi_14", name]})
    with pytest.raises(LeakError, match=rf"reads the future: .* {name} changes"):
        study.validate()
    assert study.store.read_features().empty


def test_the_holdout_says_nothing_of_features_in_the_database(own_store):
    study = opened(backtesting={"open_holdout": True})
    study.validate()
    before = study.store.read_features()
    study.holdout()
    assert "validation" in study.computed
    pd.testing.assert_frame_equal(study.store.read_features(), before)
