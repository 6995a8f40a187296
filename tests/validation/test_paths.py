"""paths.py: every split fitted by itself, its folds joined into whole histories, nothing leaked."""

import copy

import numpy as np
import pandas as pd
import pytest

from signalkit import metrics, training
from signalkit.errors import DataError, LeakError
from signalkit.splits import CombinatorialPurged, check_fold
from signalkit.training import Recipe
from signalkit.validation import aligned, paths
from signalkit.validation.evidence import score_once

SHARES = ["p_sell", "p_hold", "p_buy"]
SPLITS = CombinatorialPurged(4, 2, embargo=6)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


def data(n=160, horizon=3, *, numeric=False):
    """Two features of two symbols, the first of them a hint; warm-up, and labels still open."""
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["symbol", "time"])
    rng = np.random.default_rng(1)
    drawn = rng.normal(0, 0.01, 2 * n) if numeric else rng.integers(-1, 2, 2 * n)
    label = drawn.astype(float)
    features = pd.DataFrame(rng.normal(size=(2 * n, 2)), index, columns=["hint", "noise"])
    features["hint"] += label / label.std()
    features.loc[index.get_level_values("time") < times[10], "noise"] = np.nan
    known_at = index.get_level_values("time") + pd.Timedelta(horizon, "h")
    labels = pd.DataFrame({"label": label, "known_at": known_at}, index)
    return features, labels[labels["known_at"] <= times[-1]]


def booster(target="signal_direction"):
    return training.make("LIGHTGBM", target, rounds=8, min_rows_leaf=5)


def by_hand(features, labels, model, splits):
    """Rows of each path: every split fitted alone, every fold taken from the split it names."""
    answers, rows = aligned(features, labels)
    own = answers.iloc[rows]
    times = own.index.get_level_values("time")
    said = []
    for train, test in splits.split(times, own["known_at"]):
        found = Recipe().fit(copy.deepcopy(model), features, answers, rows[train])
        there = answers.iloc[rows[test]].copy()
        there["split"] = len(said)
        there["prediction"] = found.predict(features, rows[test])
        there[SHARES] = found.predict_proba(features, rows[test]) if model.classifies else np.nan
        said.append(there)
    fold = dict(zip(own.index, splits.folds(times), strict=True))
    joined = {}
    for _, (split, number, path) in splits.paths()[["split", "fold", "path"]].iterrows():
        mine = [fold[key] == number for key in said[split].index]
        joined.setdefault(path, []).append(said[split][mine])
    return {path: pd.concat(parts).dropna(subset=["label"]) for path, parts in joined.items()}


def test_paths_are_those_of_splits_fitted_one_by_one():
    features, labels = data()
    got = paths(features, labels, booster(), SPLITS, need=6)
    expected = by_hand(features, labels, booster(), SPLITS)
    assert got.index.tolist() == sorted(expected) == [0, 1, 2]
    assert got.index.name == "path"
    for path, rows in expected.items():
        # an AUC compares rows of one model, which is that of a split
        told = rows["label"].to_numpy(), rows[SHARES].to_numpy(), rows["split"].to_numpy()
        scored = metrics.classifier(*told)(np.ones(len(rows)))
        assert got.loc[path, list(scored.index)].to_dict() == pytest.approx(scored.to_dict())
        assert got.loc[path, "n"] == len(rows)
    assert got["log_loss"].nunique() == 3


def test_paths_of_a_number_are_scored_as_numbers():
    features, labels = data(numeric=True)
    got = paths(features, labels, booster("target_return"), SPLITS, need=6)
    expected = by_hand(features, labels, booster("target_return"), SPLITS)
    for path, rows in expected.items():
        apart = rows["prediction"] - rows["label"]
        assert got.loc[path, "mse"] == pytest.approx((apart**2).mean())
        told = rows.rename(columns={"label": "actual"}).sort_index()
        assert got.loc[path].drop("n").to_dict() == score_once(told).to_dict()


def test_every_path_has_every_settled_row_once():
    features, labels = data()
    got = paths(features, labels, booster(), SPLITS, need=6)
    complete = features.notna().all(axis=1)
    assert (got["n"] == complete.reindex(labels.index).sum()).all()
    rows = by_hand(features, labels, booster(), SPLITS)
    assert all(part.index.is_unique and len(part) == got["n"].iloc[0] for part in rows.values())


def test_one_test_fold_gives_one_path():
    features, labels = data()
    got = paths(features, labels, booster(), CombinatorialPurged(3, 1, embargo=6), need=6)
    assert got.index.tolist() == [0]


def test_what_is_hinted_is_found_on_every_path():
    got = paths(*data(), booster(), SPLITS, need=6)
    assert (got["auc"] > 0.6).all()
    blind, labels = data()
    blind["hint"] = blind["noise"].to_numpy()[::-1]
    assert (paths(blind, labels, booster(), SPLITS, need=6)["auc"] < 0.6).all()


def test_an_embargo_shorter_than_needed_is_refused_with_what_is_lacking():
    with pytest.raises(LeakError, match="looks 9 bars back, so its embargo is 3 bars short"):
        paths(*data(), booster(), SPLITS, need=9)


class _Leaking(CombinatorialPurged):
    """Splits that forget to purge: everything that is not tested is trained on."""

    def split(self, times, known_at):
        for train, test in super().split(times, known_at):
            rest = np.setdiff1d(np.arange(len(times)), test)
            yield rest[known_at.notna().to_numpy()[rest]] if len(train) else train, test


def test_a_split_that_was_not_purged_is_refused_before_anything_is_fitted(monkeypatch):
    fitted = []
    monkeypatch.setattr(Recipe, "fit", lambda *a, **k: fitted.append(a))
    features, labels = data()
    with pytest.raises(LeakError, match=r"fold \d trains on \d+ rows settled inside a test block"):
        paths(features, labels, booster(), _Leaking(4, 2, embargo=6), need=6)
    assert not fitted


def test_every_split_is_proved_for_the_need_it_was_given(monkeypatch):
    seen = []

    def noted(train, test, times, known_at, *, fold, need):
        seen.append((fold, need))
        check_fold(train, test, times, known_at, fold=fold, need=need)

    monkeypatch.setitem(paths.__globals__, "check_fold", noted)
    paths(*data(), booster(), SPLITS, need=4)
    assert seen == [(split, 4) for split in range(SPLITS.n_splits)]


def test_a_split_without_a_training_row_is_refused():
    features, labels = data()
    splits = CombinatorialPurged(2, 1, embargo=90)
    with pytest.raises(DataError, match="split 0 has no training row left after purge"):
        paths(features, labels, booster(), splits, need=0)


def test_a_model_that_fails_is_an_error_and_names_its_split(monkeypatch):
    fit, begun = Recipe.fit, []

    def third_refused(self, model, features, labels, rows, **more):
        begun.append(len(rows))
        if len(begun) == 3:
            raise DataError("the network diverged")
        return fit(self, model, features, labels, rows, **more)

    monkeypatch.setattr(Recipe, "fit", third_refused)
    with pytest.raises(DataError, match="split 2: the network diverged"):
        paths(*data(), booster(), SPLITS, need=6)


def test_two_workers_give_what_one_gives():
    features, labels = data(120)
    one, two = (paths(features, labels, booster(), SPLITS, need=6, workers=w) for w in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
