"""fitted.py: every stage passes, every stage does something, and each kind of leak is caught."""

import re
from functools import partial

import numpy as np
import pandas as pd
import pytest

from signalkit import ROOT
from signalkit.errors import DataError
from signalkit.proof import fitted, poison
from signalkit.training import Recipe, prediction_sets, select
from signalkit.training.linear import Logistic
from signalkit.validation.rows import aligned


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNALKIT_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def table():
    """All stages, proven once."""
    return fitted.stages()


def everything(features, labels):
    """All rows that have a label."""
    answers, rows = aligned(features, labels)
    return rows[answers["label"].notna().to_numpy()[rows]]


def test_no_stage_reads_what_it_could_not_know(table):
    assert table.index[~table["passed"]].tolist() == []
    assert (table["difference"] == 0).all()
    assert table["first"].isna().all()
    assert (table["probes"] > 0).all()


def test_the_page_on_leakage_has_a_row_of_every_stage(table):
    text = (ROOT / "docs" / "leakage.md").read_text()
    told = re.findall(r"^\| ([^|]+) \| ([^|]+) \| (\d+) \|$", text, re.MULTILINE)
    made = zip(table.index, table["poisoned"], table["probes"].astype(str), strict=True)
    assert told == list(made)


@pytest.mark.parametrize(
    "part",
    ["scale", "selection", "row weights", "early stopping", "search", "calibration", "conformal"]
    + ["ensemble: weighted", "ensemble: stacking", "reference of drift", "regimes", "rule"]
    + ["rule: ", "regimes: Markov", "fusion", "voices", "threshold", "size", "weights", "account"],
)
def test_every_kind_of_stage_has_a_row(table, part):
    assert table.index.str.startswith(part).any()


@pytest.mark.parametrize("name", fitted.recipes())
def test_every_recipe_changes_predictions_so_that_its_proof_says_something(name):
    tables = poison.market()
    bare = fitted.fold_of()(*tables)
    assert not fitted.fold_of(recipe=fitted.recipes()[name])(*tables).equals(bare)


@pytest.mark.parametrize("method", ["weighted", "stacking"])
def test_the_ensembles_weights_move_inside_a_fold_or_from_fold_to_fold(method):
    found = fitted.combined(poison.predicted(), method)
    weights = found.droplevel("symbol")[["ONE", "TWO", "THREE"]]
    assert len(weights.drop_duplicates()) > 50
    plain = fitted.combined(poison.predicted(), "mean")
    assert not found[["p_sell", "p_buy"]].equals(plain[["p_sell", "p_buy"]])


def assert_caught(outcome, at_first=True):
    """The leak is seen, and with it a time and a size."""
    assert not outcome.passed
    assert outcome.difference > 0
    assert outcome.column is not None
    if at_first:
        assert outcome.first == poison.market()[0].index.get_level_values("time").unique()[240]


class ScaledByAll(Logistic):
    """LOGISTIC that learns its scale from all rows of the matrix."""

    model_type = ""

    def _learned_scale(self, features, rows):
        super()._learned_scale(features, np.arange(len(features)))
        return self._scaled(self._matrix(features, rows))


def test_a_scale_learned_from_all_rows_is_caught(monkeypatch):
    assert poison.in_window(fitted.fold_of(["LOGISTIC"])).passed
    monkeypatch.setitem(Logistic._types, "LOGISTIC", ScaledByAll)
    assert_caught(poison.in_window(fitted.fold_of(["LOGISTIC"])))


@pytest.mark.parametrize("settings", [{"keep": 3}, {"max_correlation": 0.7}])
def test_columns_selected_on_all_rows_are_caught(settings):
    def leaking(features, labels, _):
        return select(features, labels, everything(features, labels), **settings)

    assert_caught(poison.in_window(fitted.fold_of(recipe=Recipe(leaking))))


def test_a_column_kept_because_it_varies_later_is_caught():
    def leaking(features, labels, _):
        return select(features, labels, np.arange(len(features)))

    features, labels = poison.market()
    assert leaking(features, labels, None)["still"] == "kept"
    times = features.index.get_level_values("time")
    window = np.flatnonzero(times < times.unique()[240])
    assert select(features, labels, window)["still"] == "constant"


class Later(Recipe):
    """A recipe that weighs, stops, searches or calibrates by rows of the test window."""

    def _cut(self, labels, rows, share):
        early, tail = super()._cut(labels, rows, share)
        if not share:
            return early, tail
        known = np.flatnonzero(labels["label"].notna())
        times = labels.index.get_level_values("time")
        return early, known[times[known] > times[rows].max()]


@pytest.mark.parametrize(
    "recipe",
    [
        Later(calibration="temperature"),
        Later(calibration="sigmoid"),
        Later(stopping=("LIGHTGBM",), stopping_share=0.25),
    ],
    ids=lambda recipe: recipe.calibration,
)
def test_calibrating_or_stopping_on_the_test_window_is_caught(recipe):
    # one bar after the first test time there would be too few rows to calibrate on
    assert_caught(poison.in_window(fitted.fold_of(recipe=recipe), places=(45, 60)))


class WeighedByAll(Recipe):
    """A recipe whose weights count labels that overlap from the test window."""

    def weight(self, labels, rows):
        known = np.flatnonzero(labels["label"].notna())
        whole = pd.Series(super().weight(labels, known), known)
        return whole.loc[rows].to_numpy()


@pytest.mark.parametrize("settings", [{"uniqueness": True}, {"last": 0.2}, {"balanced": True}])
def test_row_weights_of_all_labels_are_caught(settings):
    assert_caught(poison.in_window(fitted.fold_of(recipe=WeighedByAll(**settings))))


class Searching(Recipe):
    """A recipe that searches settings on all labelled rows."""

    def _tuned(self, model, features, labels, rows, storage):
        return super()._tuned(model, features, labels, everything(features, labels), storage)


def test_a_search_on_all_rows_is_caught():
    leaking = Searching(trials=3, folds=2, seed=1)
    assert_caught(poison.in_window(fitted.fold_of(recipe=leaking), places=(60,)))


def test_labels_settled_inside_the_test_window_are_caught_in_the_training_window():
    class Unpurged(Recipe):
        def fit(self, model, features, labels, rows, **named):
            return super().fit(model, features, labels, everything(features, labels), **named)

    assert_caught(poison.in_window(fitted.fold_of(recipe=Unpurged()), places=(0,)))


def known_at_once(predictions):
    """Predictions whose outcomes, where there are any, are said to be known a minute later."""
    early = predictions.index.get_level_values("time") + pd.Timedelta(1, "min")
    return predictions.assign(known_at=early)


def test_weights_in_order_of_folds_that_ignore_known_at_are_caught():
    def leaking(predictions):
        return fitted.combined(known_at_once(predictions))

    assert poison.on_stream(fitted.combined, poison.predicted()).passed
    assert_caught(poison.on_stream(leaking, poison.predicted()), at_first=False)


def test_a_stacker_that_learns_from_labels_not_yet_settled_is_caught():
    def leaking(predictions):
        return fitted.combined(known_at_once(predictions), "stacking")

    starts = (120, 180, 240)  # first times of folds, where a stacker is fitted anew
    proven = partial(fitted.combined, method="stacking")
    assert poison.on_stream(proven, poison.predicted(), places=starts).passed
    assert_caught(poison.on_stream(leaking, poison.predicted(), places=starts), at_first=False)


def test_conformal_sets_that_use_outcomes_not_yet_settled_are_caught():
    def leaking(predictions):
        own = predictions.xs("THREE", level="model_id").dropna(subset=["prediction"])
        return prediction_sets(known_at_once(own), least=40)[["threshold", "alpha"]]

    assert_caught(poison.on_stream(leaking, poison.predicted()), at_first=False)


def test_a_proof_of_nothing_is_refused():
    def late(predictions):
        found = fitted.combined(predictions)
        return found[found.index.get_level_values("time") > "2024-01-05"]

    assert poison.on_stream(late, poison.predicted(), places=(200,)).passed
    with pytest.raises(DataError, match="there is nothing to compare up to 2024-01-01"):
        poison.on_stream(late, poison.predicted(), places=(0,))


def test_the_seeded_predictions_hold_failures_and_outcomes_that_wait():
    found = poison.predicted()
    assert found["prediction"].isna().mean() == pytest.approx(0.05, abs=0.02)
    waits = found["actual"].isna()
    assert waits.any()
    assert found.loc[waits, "known_at"].isna().all()
