"""checks.py: a first training window that leaves nothing to learn from is refused up front."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError, ParamsError
from signalkit.study import Study
from signalkit.training import Recipe, make

SMALL = {
    "collection": {"end": "2006-12-31"},
    "features": {"names": ["return_1"]},
    "labeling": {"horizon": 5, "scale": "fixed", "threshold": 0.01},
    "training": {"models": ["LSTM"]},
    "validation": {"test": 200, "holdout_from": "2005-01-01"},
}
VOLATILITY = {"scale": "volatility", "threshold": 0.5}


def checked(train, labeling=None, training=None, **held):
    """What `check` says of a training window of so many bars."""
    changes = {"labeling": labeling or {}, "training": training or {}}
    changes["validation"] = {"train": train} | held
    sections = {name: part | changes.get(name, {}) for name, part in SMALL.items()}
    return Study.open("small", **sections).check()


def fitted(settled, **asked):
    """A model that stops early, by a recipe, on so many settled bars."""
    times = pd.date_range("2024-01-01", periods=settled, freq="D", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A"], times], names=["symbol", "time"])
    label, known_at = np.resize([0.0, 1.0, -1.0], settled), times + pd.Timedelta(5, "D")
    labels = pd.DataFrame({"label": label, "known_at": known_at}, index)
    features = pd.DataFrame({"one": np.arange(float(settled))}, index)
    recipe = Recipe(stopping=("XGBOOST",), **asked)
    model = make("XGBOOST", "signal_direction", rounds=1)
    return recipe.fit(model, features, labels, np.arange(settled))


# of the bars of a window the last 5 are purged; what is left is cut by hand as `Recipe` cuts:
# 17: 4 calibrate, 5 settle in them, 2 of 8 stop, 5 settle in them, 1 is learned from
# 8: 2 stop, 5 settle in them, 1 is learned from
@pytest.mark.parametrize(("method", "least"), [("temperature", 17), ("none", 8)])
def test_shares_that_leave_no_row_are_refused_before_anything_is_made(own_store, method, least):
    asked = {"calibration": {"method": method}}
    assert checked(least + 5, training=asked) is None
    assert fitted(least, calibration=method).rows == 1
    with pytest.raises(
        ParamsError, match=r"training.stopping.share: of the .* before the newest 15%"
    ):
        checked(least + 4, training=asked)
    with pytest.raises(DataError, match="leave none before the newest 15%"):
        fitted(least - 1, calibration=method)
    assert not own_store.exists()


def test_a_calibration_that_leaves_no_row_is_named_and_a_number_has_none(own_store):
    asked = {"models": ["LIGHTGBM"], "calibration": {"share": 0.3}}
    # of 8 settled bars 3 calibrate and 5 settle in them
    with pytest.raises(ParamsError, match=r"training.calibration.share: of the 8 settled bars"):
        checked(13, training=asked)
    assert checked(14, training=asked) is None
    plain = {"target": "target_return", "scale": "volatility", "threshold": 0.5}
    assert checked(13, labeling=plain, training=asked) is None


def test_bars_of_a_gap_are_bars_to_settle_in(own_store):
    with pytest.raises(ParamsError, match=r"training.stopping.share: of the 7 settled bars"):
        checked(18, gap=3)
    assert checked(17, gap=5) is None


def test_labels_that_begin_after_the_first_training_window_are_refused(own_store):
    # return_1 has a value from the second bar on, a label from the 301st
    with pytest.raises(ParamsError, match=r"labeling.volatility_span: .* first 299 bars have none"):
        checked(304, labeling=VOLATILITY | {"volatility_span": 300})
    plain = {"models": ["LIGHTGBM"], "calibration": {"method": "none"}}
    assert checked(305, labeling=VOLATILITY | {"volatility_span": 300}, training=plain) is None


def test_a_search_needs_a_settled_bar_before_its_first_inner_fold(own_store):
    asked = {"models": ["LIGHTGBM"], "calibration": {"method": "none"}}
    # 23 settled bars: 3 folds of 5, and 8 before them of which 5 settle in the first
    assert checked(25 + 3, training=asked | {"tuning": {"trials": 1}}) is None
    with pytest.raises(ParamsError, match=r"training.tuning.folds: 9 folds of the 23 settled bars"):
        checked(25 + 3, training=asked | {"tuning": {"trials": 1, "folds": 9}})


def test_a_barrier_may_be_met_at_once(own_store):
    barrier = VOLATILITY | {"target": "triple_barrier", "volatility_span": 2}
    assert checked(9, labeling=barrier) is None


# before the holdout there are 1,508 bars, the first of which return_1 has no value for
@pytest.mark.parametrize(
    ("train", "held", "says"),
    [
        (1307, {"block": 195}, None),
        # one test window of 200 bars, of which the last 5 do not settle
        (1307, {"block": 196}, r"validation.block: a block of 196 bars .* 195 tested bars"),
        # a gap is not tested
        (1000, {"test": 30, "gap": 200, "block": 31}, "longer than a test window of 30 bars"),
        (1000, {"test": 19}, r"labeling.horizon: 5 bars make blocks of 20 bars"),
    ],
)
def test_blocks_must_fit_into_what_settles_of_the_tested_bars(own_store, train, held, says):
    asked = {"models": ["LIGHTGBM"]}
    if says is None:
        assert checked(train, training=asked, **held) is None
        return
    with pytest.raises(ParamsError, match=says):
        checked(train, training=asked, **held)


@pytest.mark.parametrize(
    ("border", "horizon", "found"),
    [
        ("2006-12-01", 6, r"20 bars of 20 days; intervals need a block of 24 bars"),
        ("2006-12-29", 1, r"1 bars of 1 days; intervals need a block of 4 bars and 2 days"),
    ],
)
def test_a_holdout_too_short_for_its_intervals_is_refused_before_it_is_opened(
    own_store, border, horizon, found
):
    sections = SMALL | {"labeling": {"horizon": horizon}}
    sections["validation"] = {"train": 400, "test": 200, "holdout_from": border}
    assert Study.open("small", **sections).check() is None
    opened = Study.open("small", **sections, backtesting={"open_holdout": True})
    with pytest.raises(ParamsError, match=f"validation.holdout_from: .* {found}"):
        opened.holdout()
    assert not own_store.exists()
