"""selection.py: decided by the training rows alone, a reason for every column left out."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from signalkit import training
from signalkit.errors import DataError, ParamsError
from signalkit.training import KEPT, kept, select

ROWS = np.r_[20:120, 220:320]
GAIN = training.make("LIGHTGBM", "signal_direction", rounds=20, min_rows_leaf=10)


def table(seed=1):
    """Two symbols of 200 bars: `good` goes with the label, `twin` says what it says, less well."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=200, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["symbol", "time"])
    label = rng.integers(-1, 2, 400).astype(float)
    features = pd.DataFrame({"noise": rng.normal(size=400)}, index)
    features["good"] = label + rng.normal(size=400)
    features["twin"] = -np.exp(features["good"] + 0.4 * rng.normal(size=400))
    features["weak"] = label + 4 * rng.normal(size=400)
    return features, pd.DataFrame({"label": label, "known_at": times[0]}, index)


def chosen(features, labels, rows=ROWS, **asked):
    return select(features, labels, rows, **asked).to_dict()


def test_every_column_that_varies_is_kept_unless_the_params_say_otherwise():
    assert chosen(*table()) == dict.fromkeys(["noise", "good", "twin", "weak"], KEPT)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda column: column * 0 + 3, "constant"),
        (lambda column: column.mask(np.isin(np.arange(400), ROWS), 3.0), "constant"),
        # one value in each symbol tells the symbols apart, and nothing over time
        (lambda column: column.groupby(level="symbol").transform("mean"), "constant"),
        # 0.1 + 0.2 is not 0.3, but for rounding it is
        (lambda column: (column > 0).map({True: 0.1 + 0.2, False: 0.3}), "constant"),
        (lambda column: column * np.nan, "missing in 200 rows"),
        (lambda column: column.mask(np.arange(400) == 21), "missing in 1 rows"),
        (lambda column: column.mask(np.arange(400) == 0), KEPT),
        (lambda column: (column * 0).mask(np.arange(400) == 20, 1.0), KEPT),
    ],
)
def test_a_column_that_says_nothing_in_the_window_is_left_out_with_its_reason(change, reason):
    features, labels = table()
    features["noise"] = change(features["noise"])
    assert chosen(features, labels) == dict.fromkeys(["good", "twin", "weak"], KEPT) | {
        "noise": reason
    }


def test_of_twins_the_one_with_the_largest_rank_ic_stays():
    features, labels = table()
    for names in (list(features), list(features)[::-1]):
        got = chosen(features[names], labels, max_correlation=0.9)
        assert got["twin"] == "redundant with good"
        assert got["good"] == got["noise"] == got["weak"] == KEPT
    assert chosen(features, labels, max_correlation=0.999)["twin"] == KEPT


@pytest.mark.parametrize("limit", [0.3, 0.6, 0.8, 0.95])
def test_no_two_columns_that_stay_are_twins_and_every_other_has_a_better_one_by_scipy(limit):
    _, labels = table()
    rng = np.random.default_rng(5)
    # a chain: each says nearly what its neighbours say
    values = np.cumsum(rng.normal(size=(400, 30)), axis=1) + labels[["label"]].to_numpy()
    features = pd.DataFrame(values, labels.index, columns=[f"x{i}" for i in range(30)])
    told = select(features, labels, ROWS, max_correlation=limit)
    parts = [(features.iloc[p], labels["label"].iloc[p]) for p in (ROWS[:100], ROWS[100:])]
    alike = sum(pd.DataFrame(spearmanr(x).statistic, x.columns, x.columns) for x, _ in parts) / 2
    worth = sum(x.apply(lambda c, y=y: spearmanr(c, y).statistic) for x, y in parts).abs()
    stays = told.index[told == KEPT]
    others = alike.loc[stays, stays].abs().to_numpy()[~np.eye(len(stays), dtype=bool)]
    assert 1 < len(stays) < 30
    assert others.max() < limit
    for name, reason in told[told != KEPT].items():
        better = reason.removeprefix("redundant with ")
        assert better in stays
        assert worth[better] > worth[name]
        assert abs(alike.loc[name, better]) >= limit


def test_of_equals_the_first_stays():
    features, labels = table()
    features["copy"] = features["weak"]
    assert chosen(features, labels, max_correlation=1.0)["copy"] == "redundant with weak"
    first = chosen(features[["copy", "weak"]], labels, keep=1)
    assert first == {"copy": KEPT, "weak": "not among the best 1"}


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_best_by_rank_ic_are_those_of_scipy(keep):
    features, labels = table()
    within = [
        features.iloc[part].apply(lambda c, p=part: spearmanr(c, labels["label"].iloc[p]).statistic)
        for part in (ROWS[:100], ROWS[100:])
    ]
    best = (sum(within) / 2).abs().sort_values(ascending=False).index[:keep]
    got = chosen(features, labels, keep=keep)
    assert {name for name, told in got.items() if told == KEPT} == set(best)
    assert set(got.values()) == {KEPT, f"not among the best {keep}"}


def test_the_best_by_gain_are_those_that_a_model_of_the_window_used():
    features, labels = table()
    gain = training.make("LIGHTGBM", "signal_direction", **GAIN.params)
    gain = gain.fit(features, labels, ROWS).importance()
    got = chosen(features, labels, keep=2, by="gain", ranker=GAIN)
    assert {name for name, told in got.items() if told == KEPT} == set(gain.nlargest(2).index)
    assert GAIN.booster is None


def test_twins_leave_before_the_best_are_counted():
    got = chosen(*table(), max_correlation=0.9, keep=2)
    assert got["good"] == KEPT
    assert got["twin"] == "redundant with good"
    assert list(got.values()).count(KEPT) == 2


@pytest.mark.parametrize(
    "asked",
    [
        {"max_correlation": 0.9},
        {"keep": 2},
        {"keep": 2, "by": "gain", "ranker": GAIN},
        {"max_correlation": 0.5, "keep": 1},
    ],
    ids=" ".join,
)
def test_rows_outside_the_window_say_nothing(asked):
    features, labels = table()
    outside = ~np.isin(np.arange(400), ROWS)
    other_features, other_labels = features.copy(), labels.copy()
    other_features.loc[outside] = 1e3 - 7 * other_features.loc[outside]
    other_labels.loc[outside, "label"] = other_features.loc[outside, "noise"]
    assert chosen(other_features, other_labels, **asked) == chosen(features, labels, **asked)
    other_features.loc[outside] = np.nan
    other_labels.loc[outside, "label"] = np.nan
    assert chosen(other_features, other_labels, **asked) == chosen(features, labels, **asked)


def test_only_the_order_of_values_counts():
    features, labels = table()
    asked = {"max_correlation": 0.9, "keep": 2}
    assert chosen(np.exp(features), labels, **asked) == chosen(features, labels, **asked)
    assert chosen(-features, labels, **asked) == chosen(features, labels, **asked)


def test_labels_that_do_not_vary_leave_the_order_of_the_columns():
    features, labels = table()
    got = chosen(features, labels.assign(label=1.0), keep=2)
    assert [name for name, told in got.items() if told == KEPT] == ["noise", "good"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"max_correlation": 0.0}, "max_correlation is above 0 and at most 1, was 0.0"),
        ({"max_correlation": 1.1}, "max_correlation is above 0 and at most 1, was 1.1"),
        ({"keep": 0}, "keep must be at least 1, was 0"),
        ({"by": "luck"}, "by is one of ic, gain, was 'luck'"),
        ({"by": "gain", "keep": 1}, "gain needs a model that has it, was None"),
        (
            {"by": "gain", "keep": 1, "ranker": training.make("MAJORITY", "target_return")},
            "gain needs a model that has it, was MAJORITY",
        ),
    ],
)
def test_settings_that_select_nothing_sensible_are_refused(asked, says):
    with pytest.raises(ParamsError, match=says):
        select(*table(), ROWS, **asked)


def test_a_window_without_any_column_is_refused_with_the_reasons():
    features, labels = table()
    told = select(features * 0, labels, ROWS)
    with pytest.raises(DataError, match=r"fold 3 has no feature left of 4 .noise: constant; good"):
        kept(told, where="fold 3")


@pytest.mark.parametrize("model_type", ["XGBOOST", "LIGHTGBM"])
def test_a_model_of_some_columns_is_saved_and_loads_with_them(model_type, tmp_path):
    features, labels = table()
    few = partial(features.__getitem__, kept(select(features, labels, ROWS, keep=2), where=""))
    model = training.make(model_type, "signal_direction", rounds=5, min_rows_leaf=10)
    model.fit(few(), labels, ROWS).save(tmp_path)
    loaded = training.Model.load(tmp_path)
    assert loaded.features_ == list(few()) == ["good", "twin"]
    np.testing.assert_array_equal(
        loaded.predict_proba(features[loaded.features_], ROWS), model.predict_proba(few(), ROWS)
    )
    with pytest.raises(DataError, match="learned the columns"):
        loaded.predict(features, ROWS)
