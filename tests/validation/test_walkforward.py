"""walkforward.py: predictions of every fold, and that nothing later reaches them."""

import numpy as np
import pandas as pd
import pytest

from signalkit import metrics
from signalkit.causality import probe_bars
from signalkit.errors import DataError, LeakError
from signalkit.features import build
from signalkit.labeling import signal_direction, target_return
from signalkit.splits import WalkForward
from signalkit.training import make
from signalkit.validation import aligned, folds, walk_forward

ALL = ("XGBOOST", "LIGHTGBM", "MAJORITY", "PERSISTENCE")
HOUR = pd.Timedelta(1, "h")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


def models(*names, target="signal_direction"):
    few = {"rounds": 12, "min_rows_leaf": 10}
    boosters = {"XGBOOST", "LIGHTGBM"}
    return {name: make(name, target, **(few if name in boosters else {})) for name in names}


def panel(**bars):
    """Symbols of the given numbers of hourly bars, all ending together."""
    parts = {}
    for seed, (symbol, n) in enumerate(bars.items()):
        parts[symbol] = probe_bars(max(bars.values()), seed=100 + seed).iloc[-n:]
    return pd.concat(parts, names=["symbol", "time"])


def table(seed=1, horizon=2, **bars):
    """Two features of noise, and random directions that settle `horizon` bars later."""
    index = panel(**(bars or {"A": 260, "B": 260})).index
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(rng.normal(size=(len(index), 2)), index, columns=["one", "two"])
    times = index.get_level_values("time")
    label = rng.integers(-1, 2, len(index)).astype(float)
    labels = pd.DataFrame({"label": label, "known_at": times + horizon * HOUR}, index)
    return features, labels[labels["known_at"] <= times.max()]


def auc_direction(found, model):
    rows = found.xs(model, level="model_id").dropna(subset=["actual"])
    shares = rows[["p_sell", "p_hold", "p_buy"]].to_numpy()
    return metrics.classification(rows["actual"].to_numpy(), shares)["auc_direction"]


def poisoned(features, labels, after):
    """Everything that was not known at a time replaced by something else."""
    late = features.index.get_level_values("time") > after
    settled = (labels["known_at"] > after).to_numpy()
    other_features, other_labels = features.copy(), labels.copy()
    other_features.loc[late] = 1e3 - 5 * other_features.loc[late]
    other_labels.loc[settled, "label"] = -other_labels.loc[settled, "label"].replace(0.0, 1.0)
    return other_features, other_labels


@pytest.mark.parametrize("place", ["end of a fold", "inside a fold"])
@pytest.mark.parametrize("name", ALL)
def test_what_comes_later_never_changes_a_prediction(name, place):
    features, labels = table()
    splits = WalkForward(80, 50)
    base = walk_forward(features, labels, models(name), splits)
    for fold in (0, 1, 2):
        times = base.index.get_level_values("time")[base["fold"] == fold].unique().sort_values()
        after = times[-1] if place == "end of a fold" else times[20]
        got = walk_forward(*poisoned(features, labels, after), models(name), splits)
        seen = base.index.get_level_values("time") <= after
        same = ["fold", "prediction", "p_sell", "p_hold", "p_buy", "confidence"]
        pd.testing.assert_frame_equal(got.loc[seen, same], base.loc[seen, same], check_exact=True)


def test_labels_not_yet_settled_may_be_missing_as_well():
    features, labels = table()
    base = walk_forward(features, labels, models(*ALL), WalkForward(80, 50))
    after = base.index.get_level_values("time")[base["fold"] == 1].max()
    known = labels[labels["known_at"] <= after]
    got = walk_forward(features, known, models(*ALL), WalkForward(80, 50))
    seen = base.index.get_level_values("time") <= after
    assert got.loc[seen, "prediction"].equals(base.loc[seen, "prediction"])


def test_majority_of_each_fold_is_that_of_the_rows_settled_before_it():
    features, labels = table(A=260, B=150)
    found = walk_forward(features, labels, models("MAJORITY"), WalkForward(80, 50, gap=5))
    clock = features.index.get_level_values("time").unique().sort_values()
    for fold, first in enumerate(range(85, 211, 50)):
        inside = labels.index.get_level_values("time").isin(clock[first - 85 : first - 5])
        mine = labels[inside & (labels["known_at"] < clock[first]).to_numpy()]["label"]
        got = found[found["fold"] == fold]
        assert got["p_buy"].unique().tolist() == pytest.approx([(mine == 1).mean()])
        assert got["p_sell"].unique().tolist() == pytest.approx([(mine == -1).mean()])
        assert got.index.get_level_values("time").min() == clock[first]


def test_a_target_that_no_feature_predicts_scores_like_chance():
    features, labels = table(seed=7, A=700, B=700)
    found = walk_forward(features, labels, models("XGBOOST", "LIGHTGBM"), WalkForward(200, 100))
    # some 660 of 1,000 rows moved: two standard errors of an AUC of 0.5 are 0.045
    for name in ("XGBOOST", "LIGHTGBM"):
        assert auc_direction(found, name) == pytest.approx(0.5, abs=0.05)


def test_the_catalogue_finds_nothing_in_a_random_walk():
    bars = panel(A=900, B=900)
    labels = signal_direction(bars, 1)
    found = walk_forward(build(bars), labels, models("LIGHTGBM"), WalkForward(300, 150))
    assert auc_direction(found, "LIGHTGBM") == pytest.approx(0.5, abs=0.06)


def test_a_planted_edge_is_found():
    bars = panel(A=600, B=600)
    labels = signal_direction(bars, 1)
    moves = target_return(bars, 1)["label"].reindex(bars.index)
    noise = np.random.default_rng(3).normal(0, 0.02, len(bars))
    features = build(bars).assign(planted=(moves + noise).fillna(0.0))
    found = walk_forward(features, labels, models("XGBOOST", "LIGHTGBM"), WalkForward(200, 100))
    for name in ("XGBOOST", "LIGHTGBM"):
        assert auc_direction(found, name) > 0.7


def test_bars_without_a_settled_label_are_predicted_without_an_outcome():
    features, labels = table(horizon=4)
    found = walk_forward(features, labels, models(*ALL), WalkForward(80, 50))
    open_ones = found[found["actual"].isna()]
    last = features.index.get_level_values("time").unique().sort_values()[-4:]
    assert set(open_ones.index.get_level_values("time")) == set(last)
    assert len(open_ones) == 4 * 2 * len(ALL)
    assert open_ones["known_at"].isna().all()
    assert np.isfinite(open_ones[["prediction", "p_sell", "p_hold", "p_buy"]]).all(axis=None)


def test_outcomes_and_settling_times_are_those_of_the_labels():
    features, labels = table()
    found = walk_forward(features, labels, models("MAJORITY"), WalkForward(80, 50))
    settled = found.dropna(subset=["actual"]).droplevel("model_id")
    expected = labels.loc[settled.index]
    assert settled["actual"].equals(expected["label"].rename("actual"))
    assert (settled["known_at"] == expected["known_at"]).all()
    assert str(found["known_at"].dt.tz) == "UTC"


def test_symbols_of_unequal_histories_are_tested_where_they_have_bars():
    features, labels = table(A=260, B=120, C=40)
    found = walk_forward(features, labels, models(*ALL), WalkForward(80, 50))
    times = features.index.get_level_values("time")
    clock = times.unique().sort_values()
    tested = features.index[times >= clock[80]]
    assert found.xs("MAJORITY", level="model_id").index.equals(tested)
    counts = found.groupby(level=["symbol", "model_id"]).size().unstack("symbol")
    assert counts.drop_duplicates().to_dict("list") == {"A": [180], "B": [120], "C": [40]}


def test_every_bar_is_predicted_once_by_every_model_in_its_fold():
    features, labels = table()
    found = walk_forward(features, labels, models(*ALL), WalkForward(80, 50))
    assert found.index.is_unique
    assert found.index.is_monotonic_increasing
    assert found.index.names == ["symbol", "time", "model_id"]
    spans = found.reset_index().groupby("fold")["time"].agg(["min", "max"])
    # 180 bars after the first 80: folds of 50, 50 and the remaining 80
    clock = features.index.get_level_values("time").unique().sort_values()
    assert spans["min"].tolist() == [clock[80], clock[130], clock[180]]
    assert spans["max"].tolist() == [clock[129], clock[179], clock[259]]


def test_a_number_has_no_shares():
    bars = panel(A=200, B=200)
    features, labels = build(bars, ["return_1", "rsi_14"]), target_return(bars, 2)
    found = walk_forward(
        features, labels, models(*ALL, target="target_return"), WalkForward(80, 50)
    )
    assert found[["p_sell", "p_hold", "p_buy", "confidence"]].isna().all(axis=None)
    assert np.isfinite(found["prediction"]).all()
    assert set(found["target"]) == {"target_return"}


def test_the_models_given_stay_unfitted():
    features, labels = table()
    given = models("MAJORITY", "LIGHTGBM")
    walk_forward(features, labels, given, WalkForward(80, 50))
    assert given["LIGHTGBM"].booster is None
    assert not hasattr(given["MAJORITY"], "share_")


class Leaky:
    """Folds that train on the first bars of their own test window."""

    def split(self, times, known_at):
        yield np.arange(50), np.arange(45, 60)


def test_a_fold_that_leaks_is_refused_before_anything_is_fitted():
    features, labels = table()
    with pytest.raises(LeakError, match="fold 0 trains on 7 rows settled inside"):
        walk_forward(features, labels, {"MODEL": None}, Leaky())


def test_too_few_bars_are_refused():
    features, labels = table(A=120)
    with pytest.raises(DataError, match="120 bars are too few for one fold"):
        walk_forward(features, labels, models("MAJORITY"), WalkForward(100, 50))


def test_aligned_keeps_the_rows_with_every_feature():
    features, labels = table(A=10)
    features.iloc[[0, 3], 1] = np.nan
    whole, answers = aligned(features, labels)
    assert len(whole) == 8
    assert whole.notna().all(axis=None)
    assert answers.index.equals(whole.index)
    assert answers["label"].isna().sum() == 2
    with pytest.raises(DataError, match="no bar has a value for all 2 features"):
        aligned(features * np.nan, labels)


def counted(features, labels, train, gap):
    """Rows of the training window of a fold of 50 test bars, and those that settle too late."""
    clock = features.index.get_level_values("time").unique().sort_values()
    known_at = labels["known_at"].reindex(features.index)
    out = []
    for first in range(train + gap, len(clock) - 49, 50):
        window = clock[first - gap - train : first - gap]
        inside = known_at[features.index.get_level_values("time").isin(window)]
        kept = int((inside < clock[first]).sum())
        out.append({"train": kept, "purged": len(inside) - kept, "test_from": clock[first]})
    return pd.DataFrame(out).rename_axis("fold")


@pytest.mark.parametrize("gap", [0, 1, 5])
@pytest.mark.parametrize("horizon", [1, 4])
def test_folds_count_what_the_purge_took(horizon, gap):
    features, labels = table(horizon=horizon, A=260, B=150)
    got = folds(features, labels, WalkForward(80, 50, gap=gap))
    expected = counted(features, labels, 80, gap)
    pd.testing.assert_frame_equal(got[["train", "purged", "test_from"]], expected)


def test_folds_and_predictions_speak_of_the_same_windows():
    features, labels = table()
    splits = WalkForward(80, 50, expanding=True)
    found = walk_forward(features, labels, models("MAJORITY"), splits).reset_index()
    spans = found.groupby("fold")["time"].agg(test_from="min", test_to="max", test="size")
    got = folds(features, labels, splits)
    pd.testing.assert_frame_equal(got[["test_from", "test_to", "test"]], spans, check_dtype=False)
    assert (got["train_from"] == features.index.get_level_values("time").min()).all()
    assert (got["train_to"] < got["test_from"]).all()
