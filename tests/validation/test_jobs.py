"""jobs.py: the same tables however many share the work, however often it was broken off."""

import threading
from functools import partial

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError, ParamsError
from signalkit.splits import WalkForward
from signalkit.store.checkpoints import Checkpoints
from signalkit.training import Recipe, make, select
from signalkit.training.contract import Model
from signalkit.validation import Run, jobs, walk, walk_forward

TABLES = ("predictions", "raw", "selection", "gain", "rises", "history", "fits", "tuned")
SPLITS = WalkForward(100, 40, gap=1)
NAMES = ("XGBOOST", "LIGHTGBM", "MAJORITY", "LOGISTIC")
# everything that a recipe can do without a search
FULL = Recipe(
    partial(select, max_correlation=0.9, keep=2),
    uniqueness=True,
    last=0.5,
    balanced=True,
    stopping=("XGBOOST",),
    calibration="temperature",
    calibration_share=0.3,
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


@pytest.fixture
def keep(tmp_path):
    """Finished jobs on the disk, as a study keeps them."""
    return Checkpoints(tmp_path).at("walk")


def table(n=240, symbols=("A", "B"), seed=1):
    """Three columns of noise, and classes that settle two hours later."""
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(rng.normal(size=(len(index), 3)), index, ["one", "two", "three"])
    known_at = index.get_level_values("time") + pd.Timedelta(2, "h")
    label = rng.integers(-1, 2, len(index)).astype(float)
    labels = pd.DataFrame({"label": label, "known_at": known_at}, index)
    return features, labels[labels["known_at"] <= times[-1]]


def models(*names, target="signal_direction"):
    few = {"rounds": 10, "min_rows_leaf": 10, "patience": 3}
    boosters = {"XGBOOST", "LIGHTGBM"}
    return {name: make(name, target, **(few if name in boosters else {})) for name in names}


class Odd(Model):
    """A model that fails, or answers with something else, in windows that begin late enough."""

    model_type = ""

    def __init__(self, answer, after="2024-01-01"):
        super().__init__("signal_direction")
        self.model_type, self.answer, self.after = "ODD", answer, pd.Timestamp(after, tz="UTC")

    def _fit(self, features, labels, rows, *, sample_weight, watch):
        self.late = features.index.get_level_values("time")[rows].min() >= self.after
        if self.late and self.answer is None:
            raise DataError("ODD does not want to")

    def _scores(self, features, rows):
        return np.full((len(rows), 3), self.answer if self.late else 1 / 3)


class Poor(Odd):
    """A baseline that fails."""

    baseline = True


class Never(Odd):
    """A model that must not be fitted."""

    def _fit(self, features, labels, rows, *, sample_weight, watch):
        raise AssertionError("fitted")


def assert_same(got, expected, *, timed=True):
    """Every table of two walks is the same to the last bit; seconds where they are kept."""
    for name in TABLES:
        one, other = getattr(got, name), getattr(expected, name)
        if name == "fits" and not timed:
            one, other = one.drop(columns="seconds"), other.drop(columns="seconds")
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.fixture
def fitted(monkeypatch):
    """Keys of the jobs that are done in this process, as they are."""
    done, work = [], jobs.work

    def noted(job, shared):
        done.append(job.key)
        return work(job, shared)

    monkeypatch.setattr(jobs, "work", noted)
    return done


def test_two_workers_give_what_one_gives_also_after_a_break(keep):
    given = (*table(), models(*NAMES), SPLITS)
    alone = walk(*given, recipe=FULL, how=Run(workers=1))
    assert_same(walk(*given, recipe=FULL, how=Run(workers=2)), alone, timed=False)
    # what a walk before has left: some in every fold, so that workers ask for jobs between them
    some = {name: given[2][name] for name in NAMES[2:]}
    walk(*given[:2], some, SPLITS, recipe=FULL, how=Run(keep, workers=1))
    told = []

    def heard(*progress):
        told.append((threading.current_thread() is threading.main_thread(), *progress))

    resumed = walk(*given, recipe=FULL, how=Run(keep, told=heard, workers=2))
    assert_same(resumed, alone, timed=False)
    # heard once a job, in this thread: what hears may be a database
    rows = [80] * 8 + [118] * 4
    assert [t[:3] for t in told] == [(True, done, 12) for done in range(1, 13)]
    assert sorted(t[3] for t in told) == rows


def test_what_is_kept_is_not_done_again_and_comes_back_to_the_last_bit(keep, fitted):
    given = (*table(), models(*NAMES, "PERSISTENCE") | {"ODD": Odd(None)}, SPLITS)
    recipe = Recipe(trials=0, stopping=("XGBOOST", "LIGHTGBM"), calibration="sigmoid")
    first = walk(*given, recipe=recipe, how=Run(keep))
    assert len(fitted) == len(set(fitted)) == 6 * 3
    again = walk(*given, recipe=recipe, how=Run(keep))
    assert len(fitted) == 6 * 3
    assert_same(again, first)
    assert_same(walk(*given, recipe=recipe), first, timed=False)


def test_trials_of_a_search_are_kept_too(keep, fitted, tmp_path):
    given = (*table(160), models("LIGHTGBM"), SPLITS)
    how = Run(keep, storage=tmp_path)
    first = walk(*given, recipe=Recipe(trials=2, folds=2), how=how)
    assert first.tuned.index.names == ["model_id", "fold", None]
    assert first.tuned["value"].notna().tolist() == [True, True]
    assert_same(walk(*given, recipe=Recipe(trials=2, folds=2), how=how), first)
    assert fitted == ["fold-0000.LIGHTGBM"]


class Stop(Exception):
    """What ends a walk in its midst."""


def test_an_interrupted_walk_goes_on_with_the_job_it_lost(keep, fitted):
    given = (*table(), models(*NAMES), SPLITS)

    def interrupt(done, total, rows):
        if done == 5:
            raise Stop

    with pytest.raises(Stop):
        walk(*given, recipe=FULL, how=Run(keep, told=interrupt))
    before = list(fitted)
    assert len(before) == 5
    resumed = walk(*given, recipe=FULL, how=Run(keep))
    assert len(fitted) == len(set(fitted)) == 12
    assert_same(resumed, walk(*given, recipe=FULL), timed=False)


def test_selection_of_a_fold_is_made_once_and_kept(keep):
    asked = []

    def chosen(features, labels, rows):
        asked.append(len(rows))
        return select(features, labels, rows)

    given = (*table(), models("LIGHTGBM", "XGBOOST", "LOGISTIC"), SPLITS)
    first = walk(*given, recipe=Recipe(chosen), how=Run(keep))
    assert len(asked) == 3
    assert walk(*given, recipe=Recipe(chosen), how=Run(keep)).selection.equals(first.selection)
    assert len(asked) == 3


def test_progress_is_told_of_every_job_with_its_rows():
    features, labels = table()
    told = []
    given = (features, labels, models("MAJORITY", "PERSISTENCE"), SPLITS)
    found = walk_forward(*given, how=Run(told=lambda *now: told.append(now)))
    # two symbols in test windows of 40, 40 and, with the rest, 59 bars
    assert told == list(zip(range(1, 7), [6] * 6, [80, 80, 80, 80, 118, 118], strict=True))
    assert sum(rows for *_, rows in told) == len(found)


@pytest.mark.parametrize(
    ("answer", "says"),
    [(None, "ODD does not want to"), (np.nan, "ODD answers with NaN or infinity")],
)
def test_a_model_that_fails_leaves_nan_and_its_reason_and_the_others_go_on(answer, says):
    features, labels = table()
    others = models("LIGHTGBM", "MAJORITY")
    # the windows of folds 1 and 2 begin after the second day
    odd = Odd(answer, after="2024-01-02")
    found = walk(features, labels, others | {"ODD": odd}, SPLITS)
    assert found.fits.loc["ODD", "failed"].tolist() == ["", says, says]
    assert found.fits.drop("ODD", level="model_id")["failed"].eq("").all()
    mine = found.predictions.xs("ODD", level="model_id")
    numbers = ["prediction", "p_sell", "p_hold", "p_buy", "confidence"]
    assert mine.loc[mine["fold"] == 0, numbers].notna().all(axis=None)
    assert mine.loc[mine["fold"] > 0, numbers].isna().all(axis=None)
    assert mine.index.equals(found.predictions.xs("MAJORITY", level="model_id").index)
    assert mine["actual"].equals(found.predictions.xs("MAJORITY", level="model_id")["actual"])
    rest = found.predictions.drop("ODD", level="model_id")
    assert rest.equals(walk_forward(features, labels, others, SPLITS))
    assert found.raw.drop("ODD", level="model_id").equals(rest)


def test_a_baseline_that_fails_ends_the_walk():
    given = (*table(), models("LIGHTGBM") | {"POOR": Poor(None, after="2024-01-02")}, SPLITS)
    with pytest.raises(DataError, match="fold 1, POOR: ODD does not want to"):
        walk_forward(*given)


def test_a_walk_in_which_every_model_fails_is_refused_and_one_in_which_some_do_is_not():
    features, labels = table()
    lost = models("MAJORITY") | {"ODD": Odd(np.nan), "TOO": Odd(None)}
    with pytest.raises(DataError, match="every model failed in every fold, first: ODD answers wit"):
        walk_forward(features, labels, lost, SPLITS)
    one = {"ODD": Odd(None, after="2024-01-02")}
    assert walk_forward(features, labels, one, SPLITS)["prediction"].notna().sum() == 80


def test_a_calibrator_that_refuses_is_noted_and_the_raw_answers_stand():
    given = (*table(), models("LIGHTGBM", "MAJORITY"), SPLITS)
    found = walk(*given, recipe=Recipe(calibration="temperature"))
    says = "not calibrated: temperature calibration needs 50 rows, found 40; use none, or lengthen"
    notes = found.fits["notes"]
    assert [note[:86] for note in notes["LIGHTGBM"].iloc[0]] == [says[:86]]
    assert notes["MAJORITY"].tolist() == [[], [], []]
    assert found.predictions.equals(found.raw)


def test_raw_probabilities_are_those_before_calibration():
    given = (*table(), models("LIGHTGBM", "MAJORITY"), SPLITS)
    found = walk(*given, recipe=FULL)
    rows = [found.predictions.xs("LIGHTGBM", level="model_id"), found.raw.xs("LIGHTGBM", level=2)]
    shares = [part[["p_sell", "p_hold", "p_buy"]].to_numpy() for part in rows]
    assert np.abs(shares[0] - shares[1]).max() > 0.01
    assert np.array_equal(rows[1]["confidence"], shares[1].max(axis=1))
    # one temperature a fold keeps the order of the classes
    assert np.array_equal(shares[0].argmax(axis=1), shares[1].argmax(axis=1))
    assert found.predictions.xs("MAJORITY", level=2).equals(found.raw.xs("MAJORITY", level=2))


def test_models_of_their_own_are_those_of_each_symbol_alone():
    features, labels = table()
    apart = walk(features, labels, models(*NAMES), SPLITS, pooled=False)
    for symbol in ("A", "B"):
        own = features.loc[[symbol]], labels.loc[[symbol]]
        alone = walk_forward(*own, models(*NAMES), SPLITS)
        pd.testing.assert_frame_equal(apart.predictions.loc[[symbol]], alone, check_exact=True)
    together = walk_forward(features, labels, models(*NAMES), SPLITS)
    assert not apart.predictions["p_buy"].equals(together["p_buy"])
    # a row a fit: two symbols in each of three folds, on 99 settled bars
    assert apart.fits.groupby(level="model_id").size().to_dict() == dict.fromkeys(NAMES, 6)
    assert set(apart.fits["fitted"]) == {99}


def test_one_symbol_whose_model_fails_does_not_hide_that_the_other_has_one(monkeypatch):
    features, labels = table()
    few = labels.drop(labels.loc[["B"]].index[5:])

    def lost(self, features, labels, rows, **_):
        if features.index[rows[0]][0] == "B":
            raise DataError("B is lost")

    monkeypatch.setattr(Odd, "_fit", lost)
    monkeypatch.setattr(Odd, "late", False, raising=False)
    found = walk(features, labels, {"ODD": Odd(0.0)}, SPLITS, pooled=False)
    assert sorted(found.fits["failed"]) == [""] * 3 + ["B is lost"] * 3
    shares = found.predictions["p_buy"].groupby(level="symbol").count()
    assert shares.to_dict() == {"A": 139, "B": 0}
    with pytest.raises(DataError, match="fold 0 of B has no training row left after the purge"):
        walk(features, few.drop(few.loc[["B"]].index), {"ODD": Odd(0.0)}, SPLITS, pooled=False)


@pytest.mark.parametrize("name", ["HAR", "GARCH"])
def test_models_that_read_returns_need_them_before_anything_is_fitted(name):
    features, labels = table()
    numbers = labels.assign(label=0.01 + labels["label"].abs() / 100)
    own = {"NEVER": Never(None), name: make(name, "target_volatility", horizon=2)}
    with pytest.raises(DataError, match=f"{name} reads returns, which were not given"):
        walk_forward(features, numbers, own, SPLITS)


def test_a_model_of_returns_reads_them_and_no_feature():
    features, labels = table()
    numbers = labels.assign(label=0.01 + labels["label"].abs() / 100)
    rng = np.random.default_rng(4)
    returns = pd.DataFrame({"return": rng.normal(0, 0.01, len(features))}, features.index)
    own = {"HAR": make("HAR", "target_volatility", horizon=2)}
    found = walk_forward(features, numbers, own, SPLITS, returns=returns)
    assert found["prediction"].gt(0).all()
    same = walk_forward(-features, numbers, own, SPLITS, returns=returns)
    assert found.equals(same)
    other = walk_forward(features, numbers, own, SPLITS, returns=returns**2)
    assert not found.equals(other)


@pytest.mark.parametrize("named", ["two", "0", "-1", "1.5"])
def test_a_number_of_workers_that_is_none_is_refused_before_anything_is_fitted(monkeypatch, named):
    monkeypatch.setenv("SIGNALKIT_WORKERS", named)
    with pytest.raises(ParamsError, match="SIGNALKIT_WORKERS must be a whole number above 0, was"):
        walk_forward(*table(), {"NEVER": Never(None)}, SPLITS)


@pytest.mark.parametrize(("named", "number"), [(None, 1), ("", 1), ("1", 1), ("3", 3)])
def test_workers_are_those_that_are_named_or_one(monkeypatch, named, number):
    monkeypatch.delenv("SIGNALKIT_WORKERS", raising=False)
    if named is not None:
        monkeypatch.setenv("SIGNALKIT_WORKERS", named)
    assert jobs.workers() == number
