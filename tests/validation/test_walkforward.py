"""walkforward.py: predictions of every fold, and that nothing later reaches them."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from signalkit import metrics, validation
from signalkit.causality import probe_bars
from signalkit.errors import DataError, LeakError
from signalkit.features import build
from signalkit.labeling import signal_direction, target_return
from signalkit.splits import WalkForward
from signalkit.training import KEPT, Recipe, make, select
from signalkit.validation import aligned, folds, jobs, walk, walk_forward

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
    answers, rows = aligned(features, labels)
    assert rows.tolist() == [1, 2, 4, 5, 6, 7, 8, 9]
    assert answers.index.equals(features.index)
    assert answers["label"].isna().sum() == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.assign(two=np.nan), "all 2 features: two has none at all"),
        (lambda f: f * np.nan, "one, two has none at all"),
        (lambda f: f.mask(np.eye(10, 2) + 1 > 1, np.nan).iloc[:2], "warm-ups are too long"),
    ],
)
def test_features_without_a_common_row_are_refused_and_empty_ones_named(change, says):
    features, labels = table(A=10)
    with pytest.raises(DataError, match=says):
        aligned(change(features), labels)


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


BEST = partial(select, max_correlation=0.9, keep=1)
RANKER = make("LIGHTGBM", "signal_direction", rounds=12, min_rows_leaf=10, column_share=1.0)
BY_GAIN = partial(select, keep=1, by="gain", ranker=RANKER)


def three(seed=1):
    """The two features of noise, and one more."""
    features, labels = table(seed)
    rng = np.random.default_rng(seed + 50)
    return features.assign(three=rng.normal(size=len(features))), labels


@pytest.mark.parametrize("selector", [BEST, BY_GAIN])
@pytest.mark.parametrize("fold", [0, 1])
def test_what_comes_later_never_changes_a_selection_or_what_it_leads_to(selector, fold):
    features, labels = three()
    splits, own = WalkForward(80, 50), models("XGBOOST")
    base = walk(features, labels, own, splits, recipe=Recipe(selector))
    times = base.predictions.index.get_level_values("time")
    after = times[base.predictions["fold"] == fold].max()
    got = walk(*poisoned(features, labels, after), own, splits, recipe=Recipe(selector))
    assert got.selection.loc[:fold].equals(base.selection.loc[:fold])
    seen, same = times <= after, ["prediction", "p_sell", "p_hold", "p_buy"]
    assert got.predictions.loc[seen, same].equals(base.predictions.loc[seen, same])
    # gain of the fold after it is learned from rows before its test window too
    assert got.gain.loc[("XGBOOST", fold)].equals(base.gain.loc[("XGBOOST", fold)])
    assert base.selection.nunique().max() > 1


def test_each_fold_reads_the_columns_that_its_own_training_rows_chose():
    features, labels = three()
    splits, own = WalkForward(80, 50), models("LIGHTGBM")
    found = walk(features, labels, own, splits, recipe=Recipe(BEST))
    whole, (answers, rows) = features, aligned(features, labels)
    assert len(rows) == len(whole)
    times = whole.index.get_level_values("time")
    for fold, (train, test) in enumerate(splits.split(times, answers["known_at"])):
        told = BEST(whole, answers, train)
        assert found.selection.loc[fold].to_dict() == told.to_dict()
        few = whole[told.index[told == KEPT]]
        model = models("LIGHTGBM")["LIGHTGBM"].fit(few, answers, train)
        mine = found.predictions[found.predictions["fold"] == fold].droplevel("model_id")
        shares = mine[["p_sell", "p_hold", "p_buy"]].reindex(whole.index[test])
        np.testing.assert_array_equal(shares, model.predict_proba(few, test))
        gain = found.gain.loc[("LIGHTGBM", fold)]
        assert gain[few.columns].equals(model.importance().rename(gain.name))
        assert (gain.drop(few.columns) == 0).all()
        unread = found.rises.loc[("LIGHTGBM", fold)].drop(columns=few.columns)
        assert (unread == 0).all(axis=None)


def test_a_column_that_is_constant_in_a_training_window_is_not_fed_to_its_models():
    features, labels = table()
    clock = features.index.get_level_values("time").unique().sort_values()
    splits, names = WalkForward(80, 50), ("XGBOOST", "LIGHTGBM", "MAJORITY", "PERSISTENCE")
    early = features.index.get_level_values("time") < clock[100]
    silent = features.assign(two=features["two"].mask(early, 0.5))
    found = walk(silent, labels, models(*names), splits)
    assert found.selection["two"].tolist() == ["constant", KEPT, KEPT]
    assert found.selection["one"].eq(KEPT).all()
    without = walk_forward(features[["one"]], labels, models(*names), splits)
    with_both = walk_forward(silent, labels, models(*names), splits)
    first = found.predictions["fold"] == 0
    assert found.predictions[first].equals(without[first])
    assert found.predictions[~first].equals(with_both[~first])
    assert not found.predictions[~first].equals(without[~first])


def test_a_window_in_which_nothing_varies_is_refused_but_the_baselines_need_no_column():
    features, labels = table()
    with pytest.raises(DataError, match=r"fold 0 has no feature left of 2 .one: constant; two"):
        walk_forward(features * 0, labels, models("LIGHTGBM"), WalkForward(80, 50))
    naive = models("MAJORITY", "PERSISTENCE")
    got = walk_forward(features * 0, labels, naive, WalkForward(80, 50))
    assert got.equals(walk_forward(features, labels, naive, WalkForward(80, 50)))


def test_looking_at_importance_changes_no_prediction():
    features, labels = table()
    splits = WalkForward(80, 50)
    found = walk(features, labels, models(*ALL), splits)
    assert found.predictions.equals(walk_forward(features, labels, models(*ALL), splits))
    for part in (found.gain, found.rises):
        assert part.index.unique("model_id").tolist() == ["XGBOOST", "LIGHTGBM"]
        assert list(part) == ["one", "two"]
    assert found.gain.sum(axis=1).tolist() == pytest.approx([1.0] * 6)


def test_rises_have_a_row_for_every_settled_prediction_and_repeat_with_their_seed():
    features, labels = table()
    own, splits = models("LIGHTGBM"), WalkForward(80, 50)
    one, same, other = (walk(features, labels, own, splits, seed=s).rises for s in (1, 1, 2))
    settled = walk_forward(features, labels, own, splits).dropna(subset=["actual"])
    rows = one.droplevel(["model_id", "fold"]).index
    assert rows.sort_values().equals(settled.index.droplevel("model_id").sort_values())
    assert one.equals(same)
    assert not one.equals(other)


def test_long_test_windows_are_permuted_on_evenly_spaced_rows(monkeypatch):
    features, labels = table()
    monkeypatch.setattr(jobs, "_ROWS", 10)
    found = walk(features, labels, models("LIGHTGBM"), WalkForward(80, 50)).rises
    assert found.groupby(level="fold").size().tolist() == [10, 10, 10]
    rows = found.xs(0, level="fold").droplevel("model_id").index
    assert rows.get_level_values("symbol").value_counts().tolist() == [5, 5]


def test_rises_of_a_number_are_shares_of_the_models_mean_squared_error():
    features, labels = table()
    number = labels.assign(label=np.random.default_rng(5).normal(0, 0.01, len(labels)))
    own = models("LIGHTGBM", target="target_return")
    one = walk(features, number, own, WalkForward(80, 50)).rises
    ten = number.assign(label=1024 * number["label"])
    pd.testing.assert_frame_equal(walk(features, ten, own, WalkForward(80, 50)).rises, one)
    found = walk_forward(features, number, own, WalkForward(80, 50)).dropna(subset=["actual"])
    assert 0 < one.abs().max(axis=None) < 30
    assert len(one) == len(found)


def test_a_walk_of_baselines_alone_has_no_importance():
    features, labels = table()
    found = walk(features, labels, models("MAJORITY"), WalkForward(80, 50))
    assert found.gain.empty
    assert found.rises.empty
    assert validation.importance(found, block=4).empty
    assert validation.agreement(found).empty
