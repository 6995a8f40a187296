"""learning.py: what cannot teach is refused before a fit, what was left undone is told once."""

import logging
import re

import numpy as np
import pytest

from signalkit import training
from signalkit.errors import DataError
from signalkit.study import Study, learning

SMALL = {
    "collection": {"symbols": ["SP500"], "end": "2003-12-31"},
    "features": {"names": ["return_1", "return_5"]},
    "training": {"models": ["LIGHTGBM"], "rounds": 2},
    "validation": {"train": 200, "test": 200, "draws": 100, "holdout_from": "2002-12-01"},
}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


def opened(**changes):
    """A small study with some names changed."""
    return Study.open("small", **{k: s | changes.pop(k, {}) for k, s in SMALL.items()}, **changes)


@pytest.fixture
def never(monkeypatch):
    """No model may be fitted."""

    def fit(*given, **named):
        raise AssertionError("a model was fitted")

    monkeypatch.setattr(training.Recipe, "fit", fit)


def sessions(study):
    """How many training sessions were opened."""
    return study.store.db["ml_training_sessions"].count


def test_one_class_in_the_newest_window_is_refused_before_anything_is_fitted(
    own_store, never, monkeypatch
):
    def of_one_class(answers, there, length):
        return there[answers["label"].to_numpy()[there] == 1]

    monkeypatch.setattr(learning, "newest", of_one_class)
    study = opened()
    with pytest.raises(DataError, match="the newest training window has one class to learn from"):
        study.validate()
    assert sessions(study) == 0


def test_a_placebo_without_labels_to_learn_from_is_refused_before_anything_is_fitted(
    own_store, never
):
    study = opened(labeling={"threshold": 3.5})
    with pytest.raises(DataError, match=r"a placebo, labels shifted by \d+ rows: fold \d has one"):
        study.validate()
    assert sessions(study) == 0


def test_placebos_that_have_no_room_are_refused_before_anything_is_fitted(own_store, never):
    study = opened(validation={"placebos": 999})
    with pytest.raises(DataError, match=r"999 were asked for; lower validation\.placebos"):
        study.validate()
    assert sessions(study) == 0


def test_a_placebo_has_a_model_a_symbol_where_the_study_has(own_store):
    two = {"symbols": ["SP500", "NASDAQ"]}
    apart, pooled = (
        opened(collection=two, training={"pooled": each}).evidence("placebo")
        for each in (False, True)
    )
    assert apart.index.equals(pooled.index)
    assert apart["value"].iloc[0] != pooled["value"].iloc[0]


def test_what_could_not_be_calibrated_is_told_once_a_model_and_not_once_a_fold(own_store, caplog):
    study = opened(training={"calibration": {"share": 0.1}})
    with caplog.at_level(logging.WARNING, "signalkit"):
        study.validate()
    said = [told for told in caplog.messages if "not calibrated" in told]
    assert said[-1].startswith("LIGHTGBM, in the newest window: not calibrated: temperature")
    counts = [int(re.match(r"LIGHTGBM, in (\d+) folds?: not", told)[1]) for told in said[:-1]]
    assert sum(counts) == len(study.evidence("folds"))
    assert len(set(said)) == len(said) < 1 + sum(counts)
    assert np.isfinite(study.evidence("scores").loc[("LIGHTGBM", "auc"), "value"])
