"""rehearsed.py: models of the last fold, deployed elsewhere, say what validation has."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError
from signalkit.store import Store
from signalkit.study import Study, registry, rehearse
from signalkit.training import PROBABILITIES, Trained

SMALL = {
    "collection": {"symbols": ["SP500", "NASDAQ"], "end": "2006-12-31"},
    "features": {"families": ["price", "calendar"]},
    "training": {"rounds": 5, "calibration": {"method": "isotonic"}, "selection": {"keep": 6}},
    "validation": {
        "train": 400,
        "test": 200,
        "draws": 100,
        "holdout_from": "2005-01-01",
        "placebos": 0,
    },
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A validated study of two boosters."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SIGNALKIT_DATA", str(tmp_path_factory.mktemp("rehearsed") / "data"))
        patched.setenv("SIGNALKIT_THREADS", "1")
        opened = Study.open("small", **SMALL)
        opened.validate()
        yield opened


def test_each_model_says_in_its_fold_what_validation_has(study, tmp_path):
    fold = study.evidence("folds").iloc[-1]
    with Store.open(tmp_path / "other") as store:
        numbers = rehearse(study, store, until=fold["test_from"])
        assert list(numbers) == ["XGBOOST", "LIGHTGBM"]
        table = study.features()
        times = table.index.get_level_values("time")
        rows = np.flatnonzero(times >= fold["test_from"])
        for name, number in numbers.items():
            assert store.models.find(number).status == "deployed"
            files = store.models.files(number)
            walked = study.validate().xs(name, level="model_id").reindex(table.index[rows])
            said = Trained.load(files).predict_proba(table, rows)
            there = walked[PROBABILITIES].notna().all(axis=1).to_numpy()
            assert there.sum() > 300
            assert np.array_equal(said[there], walked[PROBABILITIES].to_numpy()[there])
            past = registry.past_of(files)
            assert past.index.get_level_values("time").max() < fold["test_from"]


def test_bars_of_the_holdout_stay_at_home(study, tmp_path):
    until = study.evidence("folds").iloc[-1]["test_from"]
    with Store.open(tmp_path / "other") as store:
        rehearse(study, store, until=until)
        lent = store.read_bars("SP500", "1d")
    assert lent.index.max() < pd.Timestamp("2005-01-01", tz="UTC")
    assert lent.equals(study.bars().loc["SP500"])


def test_a_moment_before_the_fold_is_refused(study, tmp_path):
    with (
        Store.open(tmp_path / "other") as store,
        pytest.raises(DataError, match="last fold begins"),
    ):
        rehearse(study, store, until=pd.Timestamp("2001-01-01", tz="UTC"))


def test_models_of_one_symbol_each_are_refused(tmp_path, own_store):
    alone = Study.open("small", **(SMALL | {"training": {"pooled": False}}))
    with Store.open(tmp_path / "other") as store, pytest.raises(DataError, match="pooled to true"):
        rehearse(alone, store, until=pd.Timestamp("2004-01-01", tz="UTC"))
