"""tuning.py and inner.py: honest inner folds, the same trials however often it was stopped."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import metrics, training
from signalkit.errors import DataError, LeakError, ParamsError, StoreError
from signalkit.training import inner, tuning
from signalkit.training.contract import Model

ROOT = Path(__file__).resolve().parents[2]
WAIT = 3  # bars until a label settles


def table(n=160, columns=12, seed=5):
    """Two symbols; one column in twelve says something of the label."""
    rng = np.random.default_rng(seed)
    time = pd.date_range("2024-01-01", periods=n + WAIT, freq="h", tz="UTC", name="time")
    parts, answers = {}, {}
    for symbol in ("A", "B"):
        matrix = rng.normal(size=(n, columns))
        label = 0.01 * (0.1 * matrix[:, 0] + rng.normal(size=n))
        names = [f"column_{i}" for i in range(columns)]
        parts[symbol] = pd.DataFrame(matrix, time[:n], names)
        answers[symbol] = pd.DataFrame({"label": label, "known_at": time[WAIT:]}, time[:n])
    names = ["symbol", "time"]
    return pd.concat(parts, names=names), pd.concat(answers, names=names)


def directions(labels):
    return labels.assign(label=np.sign(labels["label"]).where(labels["label"].abs() > 0.005, 0.0))


def window(labels, until=120):
    """Positions of both symbols' first bars: the training window."""
    times = labels.index.get_level_values("time")
    return np.flatnonzero(times < times.unique()[until])


def search(model_type="RIDGE", target="target_return", **asked):
    features, labels = table()
    labels = labels if target == "target_return" else directions(labels)
    return training.tune(
        model_type, target, features, labels, window(labels), **{"trials": 6} | asked
    )


def assert_same(one, other):
    """Two searches made the same trials to the last bit; only their seconds differ."""
    assert one.params == other.params
    pd.testing.assert_frame_equal(
        one.table.drop(columns="seconds"), other.table.drop(columns="seconds"), check_exact=True
    )


def plain_folds(times, known_at, folds):
    """Inner folds by brute force: the newest blocks of equal length, before each what settled."""
    clock = sorted(set(times))
    block = len(clock) // (folds + 1)
    for i in range(folds, 0, -1):
        stop = len(clock) - (i - 1) * block
        first, last = clock[stop - block], clock[stop - 1]
        rows = range(len(times))
        train = [r for r in rows if times[r] < first and known_at.iloc[r] < first]
        yield np.array(train), np.array([r for r in rows if first <= times[r] <= last])


@pytest.mark.parametrize("folds", [1, 3, 7])
def test_inner_folds_equal_a_plain_loop(folds):
    features, labels = table()
    rows = window(labels)
    got = inner.Window.of(features, labels, rows, folds=folds)
    own = labels.iloc[rows]
    expected = list(plain_folds(own.index.get_level_values("time"), own["known_at"], folds))
    assert len(got.folds) == len(expected) == folds
    for (train, test), (before, after) in zip(got.folds, expected, strict=True):
        np.testing.assert_array_equal(train, before)
        np.testing.assert_array_equal(test, after)


def test_the_gap_leaves_out_bars_before_each_test_block():
    features, labels = table()
    rows = window(labels)
    times = labels.index.get_level_values("time")[rows]
    for train, test in inner.Window.of(features, labels, rows, folds=3, gap=10).folds:
        assert times[test].min() - times[train].max() == pd.Timedelta(11, "h")


def test_the_score_is_the_mean_squared_error_over_that_of_the_training_mean():
    features, labels = table()
    own_features, own = features.iloc[window(labels)], labels.iloc[window(labels)]
    answers, shares = own["label"].to_numpy(), []
    for train, test in plain_folds(own.index.get_level_values("time"), own["known_at"], 3):
        model = training.make("RIDGE", "target_return").fit(own_features, own, train)
        got = metrics.regression(
            answers[test], model.predict(own_features, test), naive=answers[train].mean()
        )
        shares.append(1 - got["r2"])
    assert search(trials=1).table["value"].tolist() == [pytest.approx(np.mean(shares))]


def test_the_score_of_classes_is_the_log_loss():
    features, labels = table()
    own = directions(labels).iloc[window(labels)]
    own_features, answers, losses = features.iloc[window(labels)], own["label"].to_numpy(), []
    for train, test in plain_folds(own.index.get_level_values("time"), own["known_at"], 3):
        model = training.make("LOGISTIC", "signal_direction").fit(own_features, own, train)
        shares = model.predict_proba(own_features, test)
        losses.append(metrics.classification(answers[test], shares)["log_loss"])
    got = search("LOGISTIC", "signal_direction", trials=1).table["value"]
    assert got.tolist() == [pytest.approx(np.mean(losses))]


def test_the_first_trial_has_the_defaults_and_the_best_is_no_worse():
    found = search(trials=8)
    first = found.table.iloc[0]
    assert json.loads(first["params"]) == {"alpha": 1.0}
    assert first["state"] == "complete"
    complete = found.table[found.table["state"] == "complete"]
    best = complete.loc[complete["value"].idxmin()]
    assert best["value"] < first["value"]
    assert found.params["alpha"] == json.loads(best["params"])["alpha"]


def test_twenty_trials_come_near_what_a_fine_grid_finds():
    features, labels = table()
    own = inner.Window.of(features, labels, window(labels), folds=3)

    def score(alpha):
        model = training.make("RIDGE", "target_return", alpha=alpha)
        return np.mean([own.losses(model, fold).mean() for fold in range(3)])

    best = min(score(alpha) for alpha in np.geomspace(1e-2, 1e5, 71))
    found = search(trials=20).table
    complete = found["value"][found["state"] == "complete"]
    # of what there is to gain over the default, at least nine tenths
    assert best <= complete.min() + 1e-6
    assert score(1.0) - complete.min() > 0.9 * (score(1.0) - best)
    assert found["number"].tolist() == list(range(20))
    assert set(found["state"]) == {"complete", "pruned"}
    assert (found["seconds"] > 0).all()


def test_settings_that_are_not_searched_are_held_and_the_others_are_where_it_starts():
    fixed = {"patience": 9, "rounds": 5}
    found = search("LIGHTGBM", "signal_direction", fixed=fixed, trials=1)
    start = {name: Model._types["LIGHTGBM"].defaults[name] for name in tuning.SPACES["LIGHTGBM"]}
    assert json.loads(found.table["params"][0]) == start | {"rounds": 5}
    assert found.params == Model._types["LIGHTGBM"].defaults | fixed


def test_whole_numbers_stay_whole_and_settings_stay_in_their_spans(monkeypatch):
    space = tuning.SPACES["LIGHTGBM"] | {"rounds": tuning.Span(2, 8, log=True)}
    monkeypatch.setitem(tuning.SPACES, "LIGHTGBM", space)
    found = search("LIGHTGBM", "signal_direction", fixed={"rounds": 5, "patience": 9}, trials=13)
    assert found.params["patience"] == 9
    for text in found.table["params"]:
        params = json.loads(text)
        assert set(params) == set(space)
        for name, value in params.items():
            whole = isinstance(space[name].low, int) and isinstance(space[name].high, int)
            assert space[name].low <= value <= space[name].high
            assert isinstance(value, int) or not whole
    training.make("LIGHTGBM", "signal_direction", **found.params)


@pytest.mark.parametrize("model_type", sorted(tuning.SPACES))
def test_every_default_lies_in_its_span(model_type):
    defaults = Model._types[model_type].defaults
    for name, span in tuning.SPACES[model_type].items():
        assert span.low <= defaults[name] <= span.high


def test_nothing_outside_the_rows_changes_a_trial():
    features, labels = table()
    rows = window(labels)
    outside = ~np.isin(np.arange(len(labels)), rows)
    poisoned = features.mask(pd.Series(outside, features.index), 1e6)
    label = labels["label"].mask(outside, -5.0)
    known_at = labels["known_at"].mask(outside, labels["known_at"].min())
    odd = pd.DataFrame({"label": label, "known_at": known_at})
    base = training.tune("RIDGE", "target_return", features, labels, rows, trials=5)
    assert_same(training.tune("RIDGE", "target_return", poisoned, odd, rows, trials=5), base)
    within = odd.copy()
    within.iloc[rows[-1], 0] *= 2
    changed = training.tune("RIDGE", "target_return", poisoned, within, rows, trials=5)
    assert (changed.table["value"] != base.table["value"]).all()


def test_a_label_that_settles_in_a_test_block_is_not_learned(monkeypatch):
    features, labels = table()
    slow = labels.assign(known_at=labels["known_at"] + pd.Timedelta(12, "h"))
    rows, seen = window(labels), []
    monkeypatch.setattr(inner, "check_fold", lambda *fold, **_: seen.append(fold))
    quick = inner.Window.of(features, labels, rows, folds=3)
    late = inner.Window.of(features, slow, rows, folds=3)
    assert len(seen) == 6
    for (wide, _), (narrow, _) in zip(quick.folds, late.folds, strict=True):
        assert len(wide) - len(narrow) == 2 * 12


def test_every_fold_is_checked_for_leaks(monkeypatch):
    features, labels = table()
    leaky = [(np.arange(120), np.arange(60, 120))]
    monkeypatch.setattr(inner.WalkForward, "split", lambda *_: iter(leaky))
    with pytest.raises(LeakError):
        inner.Window.of(features, labels, window(labels), folds=1)


def test_the_seed_is_what_moves_the_trials():
    assert_same(search(seed=3), search(seed=3))
    assert search(seed=3).table["params"][1] != search(seed=4).table["params"][1]


def test_a_search_in_a_file_equals_one_in_memory_and_does_nothing_twice(tmp_path):
    told = []
    asked = {"storage": tmp_path / "search.log", "told": lambda number, *_: told.append(number)}
    first = search(**asked)
    count = len(told)
    assert_same(first, search())
    assert_same(search(**asked), first)
    assert len(told) == count


@pytest.mark.parametrize("stop", [2, 11])
def test_a_search_that_was_stopped_goes_on_as_if_it_was_not(tmp_path, stop):
    place = tmp_path / "search.db"
    search(storage=place, trials=stop)
    assert_same(search(storage=place, trials=13), search(trials=13))
    # of the thirteen that the file holds now, only what was asked for counts
    assert_same(search(storage=place, trials=stop), search(trials=stop))


def test_a_search_killed_in_a_trial_makes_that_trial_again(tmp_path):
    script = (
        "import importlib.util, os, pathlib, signal, sys\n"
        "spec = importlib.util.spec_from_file_location('other', sys.argv[1])\n"
        "other = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(other)\n"
        "def told(number, params, losses):\n"
        "    print(number, flush=True)\n"
        "    if number == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "other.search(storage=pathlib.Path(sys.argv[2]), told=told)\n"
    )
    place = tmp_path / "search.db"
    run = subprocess.run(
        [sys.executable, "-c", script, __file__, str(place)],
        cwd=ROOT,
        env=os.environ | {"SIGNALKIT_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    assert run.stdout.split() == ["0", "1", "2"]
    assert run.stderr == ""
    told = []
    got = search(storage=place, told=lambda number, *_: told.append(number))
    assert told[0] == 2
    assert_same(got, search())


def test_a_search_killed_in_its_first_trial_starts_from_the_defaults_again(tmp_path):
    place = tmp_path / "search.db"

    def stopped(*_):
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(storage=place, told=stopped)
    assert_same(search(storage=place), search())


def test_the_time_budget_cuts_the_number_of_trials_and_nothing_else(tmp_path):
    place = tmp_path / "search.db"
    short = search(storage=place, trials=20, seconds=1e-9)
    assert len(short.table) == 1
    assert short.params == {"alpha": 1.0}
    assert_same(search(storage=place, trials=4), search(trials=4))


def test_completed_trials_are_told_with_their_losses_by_time():
    told = {}
    found = search(trials=12, told=lambda number, params, losses: told.update({number: losses}))
    complete = found.table[found.table["state"] == "complete"]
    assert sorted(told) == complete["number"].tolist()
    assert len(told) < 12
    _, labels = table()
    clock = labels.index.get_level_values("time").unique()[:120]
    for number, losses in told.items():
        # the folds are of equal length, and each time has both symbols
        assert losses.mean() == pytest.approx(complete.set_index("number")["value"][number])
        assert losses.index.equals(clock[30:])


def test_a_pruned_trial_was_worse_than_the_median_and_fits_no_more_folds(monkeypatch):
    fits, losses = [], inner.Window.losses

    def counted(self, model, fold):
        fits.append((model.params["alpha"], fold))
        return losses(self, model, fold)

    monkeypatch.setattr(inner.Window, "losses", counted)
    found = search(trials=12).table
    pruned = found[found["state"] == "pruned"]
    assert len(pruned)
    for text in pruned["params"]:
        assert (json.loads(text)["alpha"], 2) not in fits
    assert len(fits) < 3 * len(found)


def test_settings_that_cannot_be_fitted_are_refused_and_the_search_goes_on(monkeypatch):
    losses = inner.Window.losses

    def strict(self, model, fold):
        if model.params["alpha"] > 50:
            raise DataError("alpha is above 50")
        return losses(self, model, fold)

    monkeypatch.setattr(inner.Window, "losses", strict)
    found = search(trials=12)
    refused = found.table[found.table["state"] == "refused"]
    assert len(refused)
    assert refused["value"].isna().all()
    assert found.params["alpha"] <= 50
    with pytest.raises(DataError, match="alpha is above 50"):
        search(fixed={"alpha": 51.0})


def test_weights_of_rows_are_learned_from(monkeypatch):
    features, labels = table()
    rows = window(labels)
    weight = np.random.default_rng(1).uniform(0.1, 3, len(rows))
    asked = {"features": features, "labels": labels, "rows": rows, "trials": 1}
    got = training.tune("RIDGE", "target_return", **asked, sample_weight=weight)
    assert got.table["value"][0] != search(trials=1).table["value"][0]


def test_nothing_is_written_and_the_level_of_the_log_comes_back(tmp_path, capfd):
    import optuna  # noqa: PLC0415 - takes over 0.3 s

    before = optuna.logging.get_verbosity()
    search(storage=tmp_path / "search.db", trials=12)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_another_search_of_the_same_name_is_refused(tmp_path):
    place = tmp_path / "search.db"
    search(storage=place, trials=1)
    for change in ({"seed": 8}, {"folds": 2}, {"fixed": {"alpha": 2.0}}):
        with pytest.raises(ParamsError, match="holds a search 'tuning' of other rows, settings"):
            search(storage=place, **change)
    assert_same(search(storage=place, study_name="other", seed=8), search(seed=8))


def test_other_rows_are_another_search(tmp_path):
    features, labels = table()
    place, asked = tmp_path / "search.db", {"trials": 1}
    training.tune(
        "RIDGE", "target_return", features, labels, window(labels), storage=place, **asked
    )
    for other in (features * 2, features.add_prefix("new_")):
        with pytest.raises(ParamsError, match="of other rows, settings, folds or seed"):
            training.tune(
                "RIDGE", "target_return", other, labels, window(labels), storage=place, **asked
            )


def test_a_file_that_is_no_database_is_refused(tmp_path):
    place = tmp_path / "search.db"
    place.write_text("not a database, and long enough to be seen as none" * 100)
    with pytest.raises(StoreError, match="cannot keep a search for settings"):
        search(storage=place)
    with pytest.raises(StoreError, match="cannot keep a search for settings"):
        search(storage=tmp_path / "nowhere" / "search.db")


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"trials": 0}, ParamsError, "at least 1 trial and 1 fold"),
        ({"folds": 0}, ParamsError, "at least 1 trial and 1 fold"),
        ({"gap": -1}, ParamsError, "a gap of at least 0 bars"),
        ({"seconds": 0}, ParamsError, "must be above 0, were 0"),
        ({"folds": 120}, DataError, "120 training times are too few for 120 inner folds"),
        ({"gap": 30}, DataError, "too few for 3 inner folds and a gap of 30"),
        ({"folds": 118}, DataError, "inner fold 0 has no training row after the purge"),
        ({"model_type": "MAJORITY"}, ParamsError, "MAJORITY has no settings to search"),
        ({"model_type": "RIGDE"}, ParamsError, "did you mean 'RIDGE'"),
        ({"fixed": {"beta": 1}}, ParamsError, "no parameter 'beta'"),
        ({"sample_weight": np.ones(3)}, ParamsError, "3 weights do not fit 240 training rows"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_a_fit(asked, error, says):
    with pytest.raises(error, match=says):
        search(**asked)


def test_rows_without_a_label_and_labels_that_do_not_move_are_refused():
    features, labels = table()
    rows = window(labels)
    hole = labels.copy()
    hole.iloc[rows[5], 0] = np.nan
    with pytest.raises(DataError, match="1 of 240 training rows have no settled label"):
        training.tune("RIDGE", "target_return", features, hole, rows)
    with pytest.raises(DataError, match=r"labels of an inner test block are all 0\.5"):
        training.tune("RIDGE", "target_return", features, labels.assign(label=0.5), rows)
