"""registry.py: what was trained is entered with its own files and its out-of-sample scores."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from signalkit import training, validation
from signalkit.errors import StoreError
from signalkit.store import Store
from signalkit.study import Study, learning, register
from signalkit.study.hull import Hull
from signalkit.study.registry import past_of

SMALL = {
    "collection": {"symbols": ["SP500"], "end": "2006-12-31"},
    "features": {"families": ["price", "calendar"]},
    "training": {"rounds": 5},
    "validation": {
        "train": 400,
        "test": 200,
        "draws": 100,
        "holdout_from": "2005-01-01",
        "placebos": 0,
    },
}
NAMES = {"f1": "f1_score"}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


def opened(name="small", **changes):
    """A small study with some names changed."""
    sections = {part: dict(section) for part, section in SMALL.items()}
    for part, section in changes.items():
        sections[part] = sections.get(part, {}) | section
    return Study.open(name, **sections)


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """A store in which a study of two boosters was validated, and the study."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SIGNALKIT_DATA", str(tmp_path_factory.mktemp("registry") / "data"))
        patched.setenv("SIGNALKIT_THREADS", "1")
        study = opened()
        study.validate()
        yield study


def entered(study):
    """Models of the store by type."""
    return {model.model_type: model for model in study.store.models.list()}


def test_validation_enters_the_models_that_were_asked_for_and_no_baseline(validated):
    found = entered(validated)
    assert sorted(found) == ["LIGHTGBM", "XGBOOST"]
    assert [found[name].name for name in sorted(found)] == ["small.LIGHTGBM", "small.XGBOOST"]


def test_a_model_is_told_with_what_it_was_made_from(validated):
    model = entered(validated)["XGBOOST"]
    window = validated.train().loc["XGBOOST"]
    assert model.target_variable == "signal_direction"
    assert model.prediction_horizon == 5
    assert model.params == validated.params.training.settings("XGBOOST")
    assert model.params["rounds"] == 5
    assert (model.study, model.symbols, model.interval) == ("small", ["SP500"], "1d")
    assert (model.trained_from, model.trained_to) == (window["from"], window["to"])
    assert model.trained_to < pd.Timestamp("2005-01-01", tz="UTC")
    kept = validated.trained("selection")["selection"]
    assert model.features_used == kept.index[kept == training.KEPT].tolist()
    assert model.status == "trained"


@pytest.mark.parametrize("name", ["XGBOOST", "LIGHTGBM"])
def test_metrics_are_those_of_the_walk_forward(validated, name):
    scores = validated.evidence("scores").loc[name, "value"]
    assert entered(validated)[name].metrics == scores.rename(NAMES).to_dict()
    inside = validated.train().loc[name]
    assert entered(validated)[name].metrics["accuracy"] != inside["accuracy"]


@pytest.mark.parametrize("name", ["XGBOOST", "LIGHTGBM"])
def test_files_load_into_a_model_that_predicts_the_same_bits(validated, name):
    table = validated.features()
    answers, there = validation.aligned(table, validated.labels())
    rows = learning.newest(answers, there, 400)
    again = learning.recipe(validated).fit(learning.models(validated)[name], table, answers, rows)
    loaded = training.Trained.load(validated.store.models.files(entered(validated)[name].id))
    asked = there[-300:]
    assert np.array_equal(loaded.predict_proba(table, asked), again.predict_proba(table, asked))
    assert np.array_equal(loaded.predict(table, asked), again.predict(table, asked))
    assert loaded.columns == again.columns == entered(validated)[name].features_used


def test_the_newest_window_ends_with_the_newest_settled_label(validated):
    table = validated.features()
    answers, there = validation.aligned(table, validated.labels())
    rows = learning.newest(answers, there, 400)
    settled = answers["label"].notna()
    assert settled.iloc[rows].all()
    times = answers.index[rows].get_level_values("time")
    assert times.max() == settled.index[settled].get_level_values("time").max()
    assert len(times.unique()) == 400


def test_where_windows_grow_the_newest_one_is_all_that_has_settled(validated):
    growing = opened(validation={"expanding": True})
    assert growing.identity("training")["identity"] != validated.identity("training")["identity"]
    table = growing.features()
    answers, there = validation.aligned(table, growing.labels())
    settled = there[answers["label"].notna().to_numpy()[there]]
    assert np.array_equal(learning.newest(answers, there, None), settled)
    model = growing.train().loc["XGBOOST"]
    first, last = answers.index.get_level_values("time")[settled[[0, -1]]]
    assert (model["from"], model["to"]) == (first, last)
    assert model["rows"] > validated.train().loc["XGBOOST", "rows"]


@pytest.mark.parametrize("name", ["XGBOOST", "LIGHTGBM"])
def test_a_model_keeps_the_ranges_of_the_rows_it_was_trained_on(validated, name):
    model = entered(validated)[name]
    hull = Hull.read(validated.store.models.files(model.id))
    table = validated.features()[model.features_used]
    answers, there = validation.aligned(table, validated.labels())
    learned = table.iloc[learning.newest(answers, there, 400)]
    assert hull.columns == model.features_used
    assert hull.low == learned.min().tolist()
    assert hull.high == learned.max().tolist()
    assert hull.rows == 400


@pytest.mark.parametrize("name", ["XGBOOST", "LIGHTGBM"])
def test_a_model_keeps_what_it_predicted_in_its_walk_forward(validated, name):
    files = validated.store.models.files(entered(validated)[name].id)
    mine = validated.evidence("predictions").xs(name, level="model_id")
    pd.testing.assert_frame_equal(past_of(files), mine, check_exact=True)
    assert len(mine) > 400
    assert past_of({}) is None
    with pytest.raises(StoreError, match=r"validation\.parquet holds no predictions of ours"):
        past_of({"validation.parquet": b"PAR1"})
    with pytest.raises(StoreError, match="holds no predictions of ours"):
        past_of({"validation.parquet": other_table()})


def other_table():
    """A table that holds no predictions, as a file."""
    written = io.BytesIO()
    pd.DataFrame({"a": [1.0]}).to_parquet(written)
    return written.getvalue()


def test_entering_again_changes_nothing(validated):
    before = list(validated.store.db["ml_models"].rows)
    audits = validated.store.db["audit"].count
    tables = (validated.evidence(name) for name in ("scores", "predictions"))
    again = register(opened(), *tables)
    assert again == {m.model_type: m.id for m in validated.store.models.list()}
    assert list(validated.store.db["ml_models"].rows) == before
    assert validated.store.db["audit"].count == audits


def test_without_a_walk_forward_a_model_has_no_scores_and_a_number_of_its_own(own_store):
    study = opened(training={"models": ["LIGHTGBM"]})
    (number,) = register(study).values()
    assert study.store.models.find(number).metrics == {}
    assert "validation" not in study.computed
    (scored,) = register(study, study.evidence("scores")).values()
    assert scored != number
    assert register(study) == {"LIGHTGBM": number}
    assert study.store.models.find("small.LIGHTGBM").id == scored


def test_two_studies_of_one_model_have_a_name_each(own_store):
    asked = {"models": ["LIGHTGBM"]}
    first, second = (register(opened(n, training=asked)) for n in ("one", "two"))
    assert first != second
    with Store.open() as store:
        assert [model.name for model in store.models.list()] == ["one.LIGHTGBM", "two.LIGHTGBM"]
        files = [store.models.files(model.id) for model in store.models.list()]
    names = [json.loads(own.pop("study.json"))["study_name"] for own in files]
    assert names == ["one", "two"]
    assert files[0] == files[1]


def test_a_score_that_is_no_number_is_left_out(validated):
    scores = validated.evidence("scores").copy()
    scores.loc[("XGBOOST", "auc"), "value"] = np.nan
    numbers = register(opened(), scores)
    assert "auc" not in validated.store.models.find(numbers["XGBOOST"]).metrics
    others = scores.drop(index="LIGHTGBM", level="model_id")
    without = register(opened(), others)
    assert validated.store.models.find(without["LIGHTGBM"]).metrics == {}


def test_the_holdout_enters_no_model(own_store):
    study = opened(training={"models": ["LIGHTGBM"]}, backtesting={"open_holdout": True})
    study.validate()
    before = list(study.store.db["ml_models"].rows)
    study.artifact("validation", "whole")
    assert study.computed.count("validation") == 2
    assert list(study.store.db["ml_models"].rows) == before
    assert len(before) == 1
