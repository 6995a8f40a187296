"""recipe.py: what is set aside is purged, weighs nothing, and alone decides what it is for."""

import json
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.training import KEPT, Recipe, Trained, calibrator, make, tune
from signalkit.training.contract import Model
from signalkit.training.recipe import RECIPE, likeliest

START, HOUR = pd.Timestamp("2024-01-01", tz="UTC"), pd.Timedelta(1, "h")
BOOSTERS = ("XGBOOST", "LIGHTGBM")
FEW = {"rounds": 40, "min_rows_leaf": 10, "patience": 3, "learning_rate": 0.3}
TINY = {"units": 4, "lookback": 4, "epochs": 2, "batch": 64}
# rows of `table()`: those of a training window, and those after it
ROWS, ASKED = np.r_[0:350, 400:750], np.r_[350:400, 750:800]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


class Spy(Model):
    """Remembers what it was given to learn from; its answers depend on the features alone."""

    model_type = ""

    def __init__(self, target="signal_direction"):
        super().__init__(target)
        self.model_type = "SPY"

    def _fit(self, features, labels, rows, *, sample_weight, watch):
        self.columns, self.rows, self.weight, self.watch = (
            features.columns,
            rows,
            sample_weight,
            watch,
        )

    def _scores(self, features, rows):
        odds = np.exp(2 * features.to_numpy()[rows][:, :3])
        return odds / odds.sum(axis=1, keepdims=True)


def table(n=400, symbols=("A", "B"), seed=5, wait=2):
    """Three columns, the first of which says a little of the class; settled `wait` bars later."""
    times = pd.date_range(START, periods=n, freq="h", name="time")
    index = pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])
    rng = np.random.default_rng(seed)
    label = rng.integers(-1, 2, len(index)).astype(float)
    matrix = rng.normal(size=(len(index), 3))
    matrix[:, 0] += label
    known_at = index.get_level_values("time") + wait * HOUR
    labels = pd.DataFrame({"label": label, "known_at": known_at}, index)
    return pd.DataFrame(matrix, index, ["one", "two", "three"]), labels


def spied(recipe, labels, rows):
    """What a spy was given, with columns of noise."""
    matrix = np.random.default_rng(0).normal(size=(len(labels), 3))
    features, spy = pd.DataFrame(matrix, labels.index, ["one", "two", "three"]), Spy()
    return spy, recipe.fit(spy, features, labels, rows)


def cut(labels, rows, share):
    """Rows settled before the newest share of the times, and the rows in it: brute force."""
    times = {row: labels.index[row][-1] for row in rows}
    clock = sorted(set(times.values()))
    first = clock[len(clock) - max(1, math.ceil(share * len(clock)))]
    known_at = labels["known_at"].tolist()
    early = [row for row in rows if times[row] < first and known_at[row] < first]
    return early, [row for row in rows if times[row] >= first]


@st.composite
def panels(draw):
    """Up to three symbols with holes, whose labels settle on bars or between them."""
    n_bars, parts = draw(st.integers(8, 30)), {}
    for symbol in "ABC"[: draw(st.integers(1, 3))]:
        bars = sorted(draw(st.sets(st.integers(0, n_bars - 1), min_size=2)))
        waits = [draw(st.integers(1, 14)) for _ in bars]
        times = pd.DatetimeIndex([START + bar * HOUR for bar in bars], name="time")
        known_at = [time + wait * HOUR / 2 for time, wait in zip(times, waits, strict=True)]
        parts[symbol] = pd.DataFrame({"label": 0.0, "known_at": known_at}, times)
    labels = pd.concat(parts, names=["symbol", "time"])
    rows = np.array(sorted(draw(st.sets(st.integers(0, len(labels) - 1), min_size=2))))
    labels.iloc[rows, 0] = np.arange(len(rows)) % 3 - 1.0
    return labels, rows


@settings(max_examples=60, deadline=None, derandomize=True)
@given(panels(), st.sampled_from([0.1, 0.2, 0.45]), st.sampled_from([0.0, 0.15, 0.4]))
def test_slices_equal_those_of_the_oracle(panel, tail_share, watch_share):
    labels, rows = panel
    recipe = Recipe(
        lambda features, *_: pd.Series(KEPT, features.columns),
        calibration="temperature",
        calibration_share=tail_share,
        stopping=("SPY",) if watch_share else (),
        stopping_share=watch_share,
    )
    core, tail = cut(labels, rows, tail_share)
    early, watch = cut(labels, core, watch_share) if watch_share and core else (core, [])
    if not early:
        with pytest.raises(DataError, match="rows leave none before the newest"):
            spied(recipe, labels, rows)
        return
    assert recipe.core(labels, rows).tolist() == core
    spy, found = spied(recipe, labels, rows)
    assert spy.rows.tolist() == early
    assert (spy.watch is None) if not watch else (spy.watch.tolist() == watch)
    assert (found.rows, found.watched) == (len(early), len(watch))
    # the tail is too small for a calibrator here, which says how large it was
    assert found.notes[0].startswith(
        f"not calibrated: temperature calibration needs 50 rows, found {len(tail)};"
    )


def test_columns_are_chosen_before_the_tail():
    features, labels = table(100)
    asked = []

    def chosen(features, labels, rows):
        asked.append(rows.tolist())
        return pd.Series([KEPT, "for the test", KEPT], features.columns)

    recipe = Recipe(chosen, calibration="temperature", stopping=("SPY",))
    spy, rows = Spy(), np.arange(150)
    found = recipe.fit(spy, features, labels, rows)
    assert asked == [cut(labels, rows, 0.2)[0]]
    assert found.columns == list(spy.columns) == ["one", "three"]
    Recipe(chosen).columns(features, labels, rows)
    assert asked[1] == rows.tolist()


def never(*_):
    """A selector that must not be asked."""
    raise AssertionError("asked for columns")


def test_columns_that_were_told_are_not_asked_for_again():
    features, labels = table(100)
    told = pd.Series([KEPT, "constant", "constant"], features.columns)
    found = Recipe(never).fit(
        make("LIGHTGBM", "signal_direction", **FEW), features, labels, np.arange(99), told=told
    )
    assert found.columns == ["one"]
    assert (
        Recipe(never)
        .fit(make("MAJORITY", "signal_direction"), features, labels, np.arange(99))
        .columns
        == []
    )


def test_nothing_left_to_read_or_to_learn_from_is_refused():
    features, labels = table(20)
    with pytest.raises(DataError, match="the training window has no feature left of 3"):
        Recipe().fit(Spy(), features * 0, labels, np.arange(20))
    late = labels.assign(known_at=START + 99 * HOUR)
    with pytest.raises(DataError, match="20 training rows leave none before the newest 15%"):
        Recipe(stopping=("SPY",)).fit(Spy(), features, late, np.arange(20))
    with pytest.raises(
        ParamsError, match=r"must leave something to learn from, were 0\.6 and 0\.4"
    ):
        Recipe(stopping_share=0.6, calibration_share=0.4)


def other(features, labels, rows):
    """Features and labels that differ everywhere but in some rows."""
    away = np.setdiff1d(np.arange(len(labels)), rows)
    changed, answers = features.copy(), labels.copy()
    changed.iloc[away] = 3 - 2 * changed.iloc[away]
    answers.iloc[away, 0] = np.where(labels["label"].iloc[away] == 1, -1.0, 1.0)
    return changed, answers


@pytest.mark.parametrize("method", ["temperature", "sigmoid"])
def test_a_calibrator_learns_from_the_tail_and_from_nothing_else(method):
    (features, labels), rows = table(), ROWS
    recipe = Recipe(calibration=method)
    tail = cut(labels, rows, 0.2)[1]
    found = recipe.fit(Spy(), features, labels, rows)
    bare = calibrator(method).fit(Spy()._scores(features, tail), labels["label"].to_numpy()[tail])
    assert found.calibrator.state() == bare.state()
    assert found.calibrated == len(tail)
    again = recipe.fit(Spy(), *other(features, labels, tail), rows)
    assert again.calibrator.state() == bare.state()
    # and a single row of the tail does matter
    one = other(features, labels, np.delete(np.arange(800), tail[3]))
    assert recipe.fit(Spy(), *one, rows).calibrator.state() != bare.state()


@pytest.mark.parametrize("name", BOOSTERS)
def test_the_tail_does_not_reach_the_model_and_nothing_reaches_what_lies_after(name):
    (features, labels), rows = table(), ROWS
    recipe = Recipe(
        calibration="temperature", stopping=BOOSTERS, uniqueness=True, last=0.5, balanced=True
    )
    core, tail = cut(labels, rows, 0.2)

    def trained(features, labels):
        return recipe.fit(make(name, "signal_direction", **FEW), features, labels, rows)

    base, held = trained(features, labels), np.array(tail[:50])
    outside = trained(*other(features, labels, rows))
    assert outside.files() == base.files()
    tailless = trained(*other(features, labels, core))
    np.testing.assert_array_equal(tailless.raw(features, held), base.raw(features, held))
    assert tailless.calibrator.state() != base.calibrator.state()


@pytest.mark.parametrize("name", BOOSTERS)
def test_only_the_types_that_are_named_stop_early_and_as_the_bare_model_does(name):
    (features, labels), rows = table(), ROWS
    early, watch = map(np.array, cut(labels, rows, 0.15))
    found = Recipe(stopping=(name,)).fit(
        make(name, "signal_direction", **FEW), features, labels, rows
    )
    bare = make(name, "signal_direction", **FEW).fit(features, labels, early, watch=watch)
    asked = np.arange(700, 800)
    np.testing.assert_array_equal(found.raw(features, asked), bare.predict_proba(features, asked))
    assert (found.rows, found.watched) == (len(early), len(watch))
    assert found.model.history_.equals(bare.history_)
    whole = Recipe(stopping=("SPY",)).fit(
        make(name, "signal_direction", **FEW), features, labels, rows
    )
    assert (whole.rows, whole.watched, whole.model.history_.size) == (700, 0, 0)


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_refit_has_all_rows_as_many_rounds_as_were_best_and_the_same_calibration(name):
    (features, labels), rows, asked = table(), ROWS, ASKED
    how = {"calibration": "sigmoid", "stopping": (name,), "uniqueness": True, "balanced": True}
    once, twice = (
        Recipe(**how, refit=refit).fit(
            make(name, "signal_direction", **FEW), features, labels, rows
        )
        for refit in (False, True)
    )
    best = int(once.model.history_["watch"].idxmin())
    assert best < FEW["rounds"]
    bare = make(name, "signal_direction", **FEW | {"rounds": best})
    bare.fit(features, labels, rows, sample_weight=Recipe(**how).weight(labels, rows))
    np.testing.assert_array_equal(twice.raw(features, asked), bare.predict_proba(features, asked))
    assert twice.calibrator.state() == once.calibrator.state()
    assert (twice.rows, twice.watched) == (700, once.watched)
    assert twice.model.history_.equals(once.model.history_)


def test_a_number_is_not_calibrated_and_keeps_its_tail():
    (features, labels), rows = table(), ROWS
    model = make("LIGHTGBM", "target_return", **FEW)
    found = Recipe(calibration="temperature").fit(model, features, labels, rows)
    assert (found.rows, found.calibrated, found.calibrator, found.notes) == (700, 0, None, [])
    assert not found.classifies
    got = found.predict(features, ASKED)
    np.testing.assert_array_equal(got, model.predict(features, ASKED))


def test_a_calibrator_that_refuses_leaves_a_note_and_raw_probabilities():
    (features, labels), rows = table(100), np.arange(200)
    found = Recipe(calibration="temperature").fit(Spy(), features, labels, rows)
    # half of the rows are of the other symbol: 40 of the newest 20 hours
    says = "temperature calibration needs 50 rows, found 40; use none, or lengthen the slice it is"
    says += " fitted on"
    assert found.notes == [f"not calibrated: {says}"]
    assert (found.calibrator, found.calibrated) == (None, 0)
    np.testing.assert_array_equal(found.predict_proba(features, rows), found.raw(features, rows))


def test_a_prediction_is_the_likeliest_calibrated_class():
    (features, labels), rows, asked = table(), ROWS, ASKED
    one_sided = labels.assign(label=labels["label"].where(labels["label"] == 1, -1.0))
    found = Recipe(calibration="sigmoid").fit(Spy(), features, one_sided, rows)
    shares = found.predict_proba(features, asked)
    np.testing.assert_array_equal(found.predict(features, asked), shares.argmax(axis=1) - 1.0)
    assert (found.predict(features, asked) != likeliest(found.raw(features, asked))).any()
    assert likeliest(np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]])).tolist() == [-1.0, 0.0]


def test_a_model_has_the_weights_of_its_rows_and_a_baseline_has_none():
    (features, labels), rows, asked = table(), ROWS, ASKED
    recipe = Recipe(uniqueness=True, last=0.3, stopping=("SPY",), calibration="temperature")
    spy = Spy()
    recipe.fit(spy, features, labels, rows)
    np.testing.assert_array_equal(spy.weight, recipe.weight(labels, spy.rows))
    found = recipe.fit(make("LOGISTIC", "signal_direction"), features, labels, rows)
    bare = make("LOGISTIC", "signal_direction").fit(features, labels, rows)
    np.testing.assert_array_equal(found.raw(features, asked), bare.predict_proba(features, asked))
    assert (found.rows, found.calibrator) == (700, None)


@pytest.mark.parametrize(
    ("name", "params"),
    [("XGBOOST", FEW), ("LIGHTGBM", FEW), ("LOGISTIC", {}), ("LSTM", TINY)],
)
def test_a_loaded_model_answers_with_the_same_bits(name, params):
    features, labels = table()
    features.insert(1, "still", 1.0)
    recipe = Recipe(calibration="sigmoid", stopping=("XGBOOST", "LSTM"))
    found = recipe.fit(make(name, "signal_direction", **params), features, labels, ROWS)
    loaded, asked = Trained.load(found.files()), np.r_[340:400, 750:800]
    assert loaded.columns == found.columns == ["one", "two", "three"]
    assert loaded.rows == found.rows
    assert (loaded.calibrator is None) == (name == "LOGISTIC")
    for of in (Trained.raw, Trained.predict_proba, Trained.predict):
        np.testing.assert_array_equal(of(loaded, features, asked), of(found, features, asked))
    assert loaded.files() == found.files()


@pytest.mark.parametrize(
    "change",
    [
        lambda files: {k: v for k, v in files.items() if k != RECIPE},
        lambda files: files | {RECIPE: b"{"},
        lambda files: files | {RECIPE: b"[]"},
        lambda files: files | {RECIPE: json.dumps({"columns": []}).encode()},
        lambda files: {RECIPE: files[RECIPE]},
    ],
)
def test_files_that_are_no_model_of_ours_are_refused(change):
    features, labels = table(100)
    found = Recipe().fit(make("MAJORITY", "signal_direction"), features, labels, np.arange(99))
    with pytest.raises(StoreError, match="of ours"):
        Trained.load(change(found.files()))


def test_columns_are_found_by_name_and_a_missing_one_is_named():
    (features, labels), rows = table(), ASKED
    found = Recipe().fit(make("LIGHTGBM", "signal_direction", **FEW), features, labels, ROWS)
    turned = features.assign(more=1.0)[["more", "three", "one", "two"]]
    np.testing.assert_array_equal(found.raw(turned, rows), found.raw(features, rows))
    with pytest.raises(DataError, match="LIGHTGBM reads two, which is not given"):
        found.raw(features.drop(columns="two"), rows)


def test_a_search_sees_the_rows_before_the_tail_and_its_best_settings_are_fitted(tmp_path):
    (features, labels), rows, asked = table(200), np.r_[0:150, 200:350], np.r_[150:200, 350:400]
    start = {"rounds": 30, "min_rows_leaf": 10}
    recipe = Recipe(calibration="temperature", calibration_share=0.3, trials=2, folds=2, seed=3)
    core, tail = cut(labels, rows, 0.3)
    known = (
        features,
        labels.assign(label=labels["label"].where(labels.index.isin(labels.index[core]), 1.0)),
    )
    make_one = partial(make, "LIGHTGBM", "signal_direction")
    found = recipe.fit(make_one(**start), features, labels, rows, storage=tmp_path / "search.log")
    direct = tune(
        "LIGHTGBM",
        "signal_direction",
        *known,
        np.array(core),
        trials=2,
        folds=2,
        seed=3,
        fixed=start,
    )
    assert found.tuned["value"].tolist() == direct.table["value"].tolist()
    assert (tmp_path / "search.log").exists()
    bare = make_one(**start | direct.params).fit(features, labels, np.array(core))
    np.testing.assert_array_equal(found.raw(features, asked), bare.predict_proba(features, asked))
    assert found.calibrated == len(tail)
    assert Recipe().fit(make_one(**start), features, labels, rows).tuned is None


def test_one_class_is_refused_for_models_and_not_for_baselines():
    features, labels = table(60)
    all_up = labels.assign(label=1.0)
    with pytest.raises(
        DataError, match="the training window has one class to learn from: all 99 l"
    ):
        Recipe().fit(make("LIGHTGBM", "signal_direction"), features, all_up, np.arange(99))
    found = Recipe().fit(make("MAJORITY", "signal_direction"), features, all_up, np.arange(99))
    assert found.predict(features, np.arange(99, 120)).tolist() == [1.0] * 21
