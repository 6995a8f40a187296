"""Every target goes the whole way, and takes the positions that its predictions speak of."""

import numpy as np
import pandas as pd
import pytest

from signalkit import validation
from signalkit.errors import DataError, ParamsError
from signalkit.labeling import TARGETS
from signalkit.params.sections import TARGET_SETTINGS
from signalkit.study import Study, learning

SMALL = {
    "collection": {"end": "2006-12-31"},
    "features": {"families": ["lagged"]},
    "training": {"rounds": 5},
    "validation": {"train": 400, "test": 200, "draws": 100, "holdout_from": "2005-01-01"},
}


def opened(labeling, **sections):
    return Study.open("small", **(SMALL | {"labeling": labeling} | sections))


def test_the_params_know_every_target_and_its_settings():
    assert set(TARGET_SETTINGS) == set(TARGETS)


@pytest.mark.parametrize(
    ("labeling", "low", "high"),
    [
        ({"target": "target_profitable"}, 0.0, 0.5),
        ({"target": "target_profitable", "side": "short"}, -0.5, 0.0),
        ({"target": "triple_barrier", "entry": "next_close", "horizon": 8}, -0.5, 0.5),
        ({"target": "target_volatility", "estimator": "garman_klass"}, 0.0, 0.0),
        ({"scale": "fixed", "threshold": 0.01}, -0.5, 0.5),
    ],
    ids=str,
)
def test_a_study_of_any_target_ends_with_a_verdict(own_store, labeling, low, high):
    study = opened(labeling)
    weight = study.signals()["weight"]
    assert weight.between(low, high).all()
    assert weight.abs().sum() > 0 or low == high
    verdict = study.verdict()
    assert np.isfinite(verdict.to_numpy()[:, :3].astype(float)).all()
    silent = "target_volatility says nothing of direction, so no position is taken."
    assert (silent in study.words()) == (low == high)
    assert (len(study.backtest().table("by_model")) >= 2) == (low != high)


def test_a_trade_that_pays_has_two_classes(own_store):
    found = opened({"target": "target_profitable"}).validate()
    assert (found["p_sell"] == 0).all()
    assert np.allclose(found[["p_hold", "p_buy"]].sum(axis=1), 1)
    assert set(found["prediction"]) <= {0.0, 1.0}


def test_costs_are_part_of_a_label_that_charges_them_alone():
    for target, same in (("target_profitable", False), ("triple_barrier", True)):
        cheap, dear = (opened({"target": target}, backtesting={"fee_bps": f}) for f in (2.0, 3.0))
        ids = [s.identity("labeling")["identity"] for s in (cheap, dear)]
        assert (ids[0] == ids[1]) == same


@pytest.mark.parametrize(
    ("labeling", "signals", "says"),
    [
        (
            {"upper": 2.0},
            {},
            "labeling.upper: is read by triple_barrier alone, was 2.0 with signal",
        ),
        (
            {"target": "target_return", "threshold": 0.1},
            {},
            "labeling.threshold: is read by signal",
        ),
        (
            {"target": "target_profitable", "volatility_span": 9},
            {},
            "is read by signal_direction and triple_barrier alone, was 9",
        ),
        ({"target": "target_volatility", "horizon": 1}, {}, "takes at least 2 bars, was 1"),
        ({"scale": "fixed"}, {}, "fixed needs labeling.threshold"),
        ({"target": "triple_barrier", "upper": 0.0}, {}, "greater than 0, was 0.0"),
        (
            {"target": "target_profitable", "side": "short"},
            {"direction": "long_only"},
            "long_only takes no position where labeling.side is short",
        ),
    ],
    ids=str,
)
def test_settings_that_a_target_does_not_read_are_refused(labeling, signals, says):
    with pytest.raises(ParamsError, match=says):
        opened(labeling, signals=signals)


@pytest.mark.parametrize(
    ("models", "bars"), [(["LSTM"], 40 + 14), (["LSTM", "LIGHTGBM"], 14), (["XGBOOST", "GRU"], 14)]
)
def test_a_placebo_is_shifted_by_all_that_its_model_looks_back(monkeypatch, models, bars):
    recurrent = {"lookback": 40}
    study = Study.open("small", training={"models": models, "recurrent": recurrent})
    table = pd.DataFrame(columns=["return_1", "rsi_14"], dtype=float)
    assert learning.looked_back(study, table) == bars
    told = {}

    def stop(answers, count, *, least, seed):
        told["least"] = least
        raise DataError("far enough")

    monkeypatch.setattr(validation, "shifts", stop)
    with pytest.raises(DataError, match="far enough"):
        learning._placebo(study, table, table)
    assert told["least"] == bars
