"""walkforward.py with a whole recipe: no slice, weight, stop or calibration sees a test window."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.splits import WalkForward
from signalkit.study import Study
from signalkit.training import KEPT, Recipe, make, select
from signalkit.training.contract import Model
from signalkit.validation import Run, walk, walk_forward

HOUR = pd.Timedelta(1, "h")
SPLITS = WalkForward(150, 50)
FEW = {"rounds": 15, "min_rows_leaf": 10, "patience": 3, "learning_rate": 0.2}
RANKER = make("LIGHTGBM", "signal_direction", **FEW)
# everything that a recipe decides inside a training window
FULL = {
    "selector": partial(select, max_correlation=0.9, keep=2, by="gain", ranker=RANKER),
    "uniqueness": True,
    "last": 0.4,
    "balanced": True,
    "stopping": ("XGBOOST", "LIGHTGBM"),
    "calibration": "temperature",
}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


def models(*names):
    boosters = {"XGBOOST", "LIGHTGBM"}
    return {n: make(n, "signal_direction", **(FEW if n in boosters else {})) for n in names}


def table(n=300, seed=1):
    """Two symbols of four columns, and classes that settle one to eight hours later."""
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["symbol", "time"])
    rng = np.random.default_rng(seed)
    names = ["one", "two", "three", "four"]
    features = pd.DataFrame(rng.normal(size=(len(index), 4)), index, names)
    known_at = index.get_level_values("time") + rng.integers(1, 9, len(index)) * HOUR
    label = rng.integers(-1, 2, len(index)).astype(float)
    labels = pd.DataFrame({"label": label, "known_at": known_at}, index)
    return features, labels[labels["known_at"] <= times[-1]]


def poisoned(features, labels, late, settled):
    """Other features at some rows, and other labels at some."""
    changed, answers = features.copy(), labels.copy()
    changed.loc[late] = 1e3 - 5 * changed.loc[late]
    answers.loc[settled, "label"] = -answers.loc[settled, "label"].replace(0.0, 1.0)
    return changed, answers


def windows(found):
    """First and last time of each test window."""
    times = found.predictions.reset_index().groupby("fold")["time"]
    return list(zip(times.min(), times.max(), strict=True))


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("pooled", [True, False])
def test_nothing_that_is_fitted_for_a_fold_reads_its_test_window(pooled, refit):
    (features, labels), own = table(), models("XGBOOST", "LIGHTGBM", "LOGISTIC")
    recipe = Recipe(**FULL, calibration_share=0.4, refit=refit)
    how = {"recipe": recipe, "pooled": pooled}
    base = walk(features, labels, own, SPLITS, **how)
    assert base.fits["notes"].map(len).eq(0).all()
    assert base.selection.nunique().max() > 1
    for fold, (first, _) in enumerate(windows(base)):
        late = features.index.get_level_values("time") >= first
        got = walk(
            *poisoned(features, labels, late, labels["known_at"] >= first), own, SPLITS, **how
        )
        # columns, rounds and the losses that stop them, gains, rows of every fit up to this fold
        assert got.selection.loc[:fold].equals(base.selection.loc[:fold])
        for name in ("history", "gain"):
            mine, theirs = (getattr(w, name) for w in (got, base))
            upto = [part[part.index.get_level_values("fold") <= fold] for part in (mine, theirs)]
            assert upto[0].equals(upto[1])
            # a later fold does learn from that window
            assert not mine.equals(theirs) or fold > 0
        # what the earlier folds said, calibrated too
        seen = base.predictions["fold"] < fold
        for part in ("predictions", "raw"):
            before = [getattr(w, part)[seen].drop(columns="actual") for w in (got, base)]
            assert before[0].equals(before[1])


@pytest.mark.parametrize("refit", [False, True])
def test_calibrated_answers_in_a_test_window_depend_on_its_own_features_alone(refit):
    (features, labels), own = table(), models("XGBOOST", "LIGHTGBM")
    recipe = Recipe(**FULL, refit=refit)
    base = walk(features, labels, own, SPLITS, recipe=recipe)
    assert not base.predictions.equals(base.raw)
    for first, last in windows(base):
        middle = first + (last - first) / 2
        late = features.index.get_level_values("time") > middle
        # labels that settle inside the window are not known when it begins: none may matter
        got = walk(
            *poisoned(features, labels, late, labels["known_at"] >= first),
            own,
            SPLITS,
            recipe=recipe,
        )
        seen = base.predictions.index.get_level_values("time") <= middle
        for part in ("predictions", "raw"):
            same = [getattr(w, part)[seen].drop(columns="actual") for w in (got, base)]
            assert same[0].equals(same[1])


def test_raw_predictions_are_the_likeliest_classes_of_their_own_shares():
    (features, labels), own = table(), models("XGBOOST", "LIGHTGBM")
    raw = walk(features, labels, own, SPLITS, recipe=Recipe(**FULL)).raw
    shares = raw[["p_sell", "p_hold", "p_buy"]].to_numpy()
    assert raw["prediction"].tolist() == (shares.argmax(axis=1) - 1.0).tolist()
    assert raw["confidence"].tolist() == shares.max(axis=1).tolist()


class Spy(Model):
    """Notes the rows that it learned from; its answers are even chances."""

    model_type = ""
    seen: list = []  # noqa: RUF012 - a walk fits copies, which share this

    def __init__(self):
        super().__init__("signal_direction")
        self.model_type = "SPY"

    def _fit(self, features, labels, rows, *, sample_weight, watch):
        Spy.seen.append((rows.tolist(), watch.tolist()))

    def _scores(self, features, rows):
        return np.full((len(rows), 3), 1 / 3)


def cut(times, known_at, rows, share):
    """Rows settled before the newest share of the times, and the rows in it: brute force."""
    clock = sorted({times[row] for row in rows})
    first = clock[len(clock) - max(1, math.ceil(share * len(clock)))]
    early = [row for row in rows if times[row] < first and known_at[row] < first]
    return early, [row for row in rows if times[row] >= first]


@st.composite
def panels(draw):
    """Two or three symbols with holes; labels settle on bars, between them, or never."""
    n_bars, rows = draw(st.integers(40, 60)), []
    for symbol in "ABC"[: draw(st.integers(2, 3))]:
        gone = draw(st.sets(st.integers(0, n_bars - 1), max_size=8))
        rows += [
            (symbol, bar, draw(st.integers(1, 13))) for bar in range(n_bars) if bar not in gone
        ]
    start = pd.Timestamp("2024-01-01", tz="UTC")
    index = pd.MultiIndex.from_tuples(
        [(symbol, start + bar * HOUR) for symbol, bar, _ in rows], names=["symbol", "time"]
    )
    known_at = [
        start + bar * HOUR + wait * HOUR / 2 if wait < 13 else pd.NaT for _, bar, wait in rows
    ]
    labels = pd.DataFrame({"label": np.arange(len(rows)) % 3 - 1.0, "known_at": known_at}, index)
    features = pd.DataFrame({"one": np.arange(len(rows)) % 7.0}, index)
    features.iloc[draw(st.lists(st.integers(0, len(rows) - 1), max_size=6)), 0] = np.nan
    gap, expanding = draw(st.integers(0, 3)), draw(st.booleans())
    return features, labels.dropna(), WalkForward(20, 8, gap=gap, expanding=expanding)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(panels())
def test_rows_learned_and_watched_settle_before_what_comes_after_in_every_symbol(panel):
    features, labels, splits = panel
    recipe = Recipe(
        lambda table, *_: pd.Series(KEPT, table.columns),
        stopping=("SPY",),
        stopping_share=0.25,
        calibration="temperature",
        calibration_share=0.2,
    )
    Spy.seen.clear()
    found = walk_forward(features, labels, {"SPY": Spy()}, splits, recipe=recipe)
    times = features.index.get_level_values("time")
    known_at = labels["known_at"].reindex(features.index).tolist()
    there = np.flatnonzero(features["one"].notna())
    clock = times[there].unique().sort_values()
    firsts = found.reset_index().groupby("fold")["time"].min()
    assert len(Spy.seen) == len(firsts) > 0
    for (learned, watched), first in zip(Spy.seen, firsts, strict=True):
        place = clock.get_loc(first) - splits.gap
        inside = clock[0 if splits.expanding else place - splits.train : place]
        rows = [r for r in there if times[r] in inside and known_at[r] < first]
        core, tail = cut(times, known_at, rows, 0.2)
        early, watch = cut(times, known_at, core, 0.25)
        assert (learned, watched) == (early, watch)
        # the promise itself, whatever symbol a row is of
        assert max(known_at[r] for r in learned) < min(times[r] for r in watched)
        assert max(known_at[r] for r in learned + watched) < min(times[r] for r in tail)
        assert max(known_at[r] for r in [*learned, *watched, *tail]) < first


class Never(Model):
    """A model that must not be fitted."""

    model_type = ""

    def __init__(self):
        super().__init__("signal_direction")
        self.model_type = "NEVER"

    def _fit(self, features, labels, rows, *, sample_weight, watch):
        raise AssertionError("fitted")

    def _scores(self, features, rows):
        raise AssertionError("asked")


def rising(features, labels, since):
    """Labels that are all 1 in the bars from some place on."""
    late = labels.index.get_level_values("time") >= features.index.levels[1][since]
    return features, labels.assign(label=labels["label"].mask(late, 1.0))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda f, a: rising(f, a, 0),
            r"fold 0 has one class to learn from: all 28\d labels are 1",
        ),
        # only the second training window, of bars 50 to 199, lies in it
        (
            lambda f, a: rising(f, a, 50),
            r"fold 1 has one class to learn from: all 29\d labels are 1",
        ),
        (lambda f, a: (f.assign(two=np.nan), a), "all 4 features: two has none at all"),
        (lambda f, a: (f.iloc[:50], a), "50 bars are too few for one fold: train 150"),
        (lambda f, a: (f, a.iloc[:0]), "fold 0 has no training row left after the purge"),
        (
            lambda f, a: (f, a.assign(known_at=f.index.get_level_values("time")[-1])),
            "fold 0 has no training row left after the purge; lengthen validation.train or shorten",
        ),
    ],
)
def test_data_that_teach_nothing_are_refused_before_anything_is_fitted(change, says):
    with pytest.raises(DataError, match=says):
        walk_forward(*change(*table()), {"NEVER": Never()}, SPLITS)


def test_one_class_is_refused_of_the_symbol_that_has_it_where_each_has_its_own_model():
    features, labels = table()
    only = labels.assign(label=labels["label"].where(labels.index.get_level_values(0) == "A", 0.0))
    with pytest.raises(DataError, match="fold 0 of B has one class to learn from: all 14"):
        walk_forward(features, only, {"NEVER": Never()}, SPLITS, pooled=False)
    assert walk_forward(features, only, models("LIGHTGBM"), SPLITS)["prediction"].notna().all()


def test_one_class_is_nothing_to_a_baseline_or_a_number():
    features, labels = rising(*table(), 0)
    found = walk_forward(features, labels, models("MAJORITY", "PERSISTENCE", "LOGISTIC"), SPLITS)
    assert found.xs("LOGISTIC", level="model_id")["p_buy"].eq(1).all()
    number = {"LIGHTGBM": make("LIGHTGBM", "target_return", **FEW)}
    assert walk_forward(features, labels, number, SPLITS)["prediction"].tolist() == pytest.approx(
        [1.0] * 300
    )


SMALL = {
    "collection": {"end": "2006-12-31"},
    "features": {"families": ["lagged"]},
    "training": {"rounds": 5, "models": ["LIGHTGBM"]},
    "validation": {"train": 400, "test": 200, "draws": 100, "holdout_from": "2005-01-01"},
}


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"training": {"models": ["XGBOST"]}}, ParamsError, "was 'XGBOST'; did you mean 'XGBOOST'"),
        ({"training": {"stopping": {"models": ["LSMT"]}}}, ParamsError, "did you mean 'LSTM'"),
        ({"labeling": {"horizon": 5000}}, ParamsError, "labeling.horizon: 5000 bars leave nothing"),
        ({"collection": {"start": "2004-10-18"}}, DataError, "before the holdout there are 5"),
    ],
    ids=str,
)
def test_a_study_refuses_before_anything_is_stored(own_store, changes, error, says):
    with pytest.raises(error, match=says):
        opened(changes).check()
    assert not own_store.exists()


@pytest.mark.parametrize("stage", ["train", "validate"])
def test_a_study_of_one_class_is_refused_before_anything_is_fitted(own_store, monkeypatch, stage):
    monkeypatch.setattr(Model, "fit", Never._fit)
    # nothing moves by 50 of its volatilities
    study = opened({"labeling": {"threshold": 50.0}})
    with pytest.raises(
        DataError, match="every label of signal_direction is 0, so there is nothing"
    ):
        getattr(study, stage)()
    assert "validation" not in study.computed


def opened(changes):
    """A small study with some sections changed."""
    parts = {name: SMALL.get(name, {}) | changes.get(name, {}) for name in SMALL | changes}
    return Study.open("small", **parts)


@pytest.mark.parametrize("order", ["back in time", "time before symbol"])
def test_a_matrix_out_of_order_is_refused_before_anything_is_fitted(order):
    features, labels = table()
    mixed = features.iloc[::-1] if order == "back in time" else features.sort_index(level="time")
    with pytest.raises(DataError, match="sort them by symbol and time"):
        walk_forward(mixed, labels, models("MAJORITY"), SPLITS)


def test_labels_that_break_their_rule_are_refused_before_anything_is_fitted():
    features, labels = table()
    twice = pd.concat([labels, labels.iloc[:1]])
    with pytest.raises(DataError, match=r"labels have two rows at .*'A'"):
        walk_forward(features, twice, models("MAJORITY"), SPLITS)
    early = labels.assign(known_at=labels.index.get_level_values("time"))
    with pytest.raises(LeakError, match="is known at its own bar or before; make known_at the end"):
        walk_forward(features, early, models("MAJORITY"), SPLITS)


def test_a_walk_without_workers_is_refused():
    with pytest.raises(ParamsError, match="must be 1 or more, were 0"):
        walk_forward(*table(), models("MAJORITY"), SPLITS, how=Run(workers=0))


def test_raw_predictions_name_their_own_likeliest_class():
    features, labels = table()
    recipe = Recipe(calibration="sigmoid", calibration_share=0.4)
    found = walk(features, labels, models("LIGHTGBM", "MAJORITY"), SPLITS, recipe=recipe)
    shares = found.raw[["p_sell", "p_hold", "p_buy"]].to_numpy()
    assert np.array_equal(found.raw["prediction"], shares.argmax(axis=1) - 1.0)
    assert np.array_equal(found.raw["confidence"], shares.max(axis=1))
    # a curve a class can change which is the likeliest
    assert (found.raw["prediction"] != found.predictions["prediction"]).any()
