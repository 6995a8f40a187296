"""placebo.py: labels in a circle keep all but their place, and a pipeline finds nothing there."""

import numpy as np
import pandas as pd
import pytest

from signalkit import training
from signalkit.errors import DataError, ParamsError
from signalkit.splits import WalkForward
from signalkit.validation import check_shifts, placebo, scores, shifted, shifts, walk_forward

HOUR = pd.Timedelta(1, "h")
SPLITS = WalkForward(80, 60)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


def hours(n, start="2024-01-01"):
    return pd.date_range(start, periods=n, freq="h", tz="UTC", name="time")


def block(symbol, answers, waits, start="2024-01-01"):
    """One symbol's labels at every hour, each settled after its own wait in bars."""
    times = hours(len(answers), start)
    known_at = times + pd.to_timedelta(np.asarray(waits), "h")
    index = pd.MultiIndex.from_product([[symbol], times], names=["symbol", "time"])
    return pd.DataFrame({"label": np.asarray(answers, dtype=float), "known_at": known_at}, index)


def walks(n=240, seed=1, sizes=("A", "B")):
    """Two features of noise, and directions that settle after one to four bars."""
    rng = np.random.default_rng(seed)
    parts = [block(s, rng.integers(-1, 2, n), rng.integers(1, 5, n)) for s in sizes]
    labels = pd.concat(parts)
    features = pd.DataFrame(rng.normal(size=(len(labels), 2)), labels.index, columns=["u", "v"])
    # the newest have not settled: their known_at has no bar
    newest = labels.index.get_level_values("time").max()
    return features, labels[labels["known_at"] <= newest]


def models(*names):
    few = {"XGBOOST": {"rounds": 8, "min_rows_leaf": 10}}
    return {n: training.make(n, "signal_direction", **few.get(n, {})) for n in names}


def by_hand(labels, by):
    """Each row with the answer and the wait, in bars, of the row `by` before it in a circle."""
    rows = {}
    for symbol in labels.index.unique("symbol"):
        mine = labels.loc[symbol]
        clock = sorted(set(mine.index) | set(mine["known_at"]))
        place = {time: i for i, time in enumerate(clock)}
        for i, time in enumerate(mine.index):
            from_there = mine.iloc[(i - by) % len(mine)]
            wait = place[from_there["known_at"]] - place[from_there.name]
            if place[time] + wait < len(clock):
                rows[(symbol, time)] = (from_there["label"], clock[place[time] + wait])
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["label", "known_at"])
    table.index = pd.MultiIndex.from_tuples(table.index, names=["symbol", "time"])
    return table


@pytest.mark.parametrize("by", [1, 7, 120, 200])
def test_each_row_takes_answer_and_wait_of_the_row_so_far_before_it(by):
    labels = walks()[1]
    got = shifted(labels, by)
    assert len(got) < len(labels)
    pd.testing.assert_frame_equal(got, by_hand(labels, by), check_dtype=False)


def test_a_circle_of_three_worked_by_hand():
    # settles at 1, 3 and 3 o'clock: bars at 0, 1, 2, 3
    labels = block("A", [1, 0, -1], [1, 2, 1])
    got = shifted(labels, 1)
    assert got["label"].tolist() == [-1, 1, 0][:2]  # the third would wait till 4 o'clock
    assert got["known_at"].dt.hour.tolist() == [1, 2]


def test_shares_of_answers_and_of_waits_are_kept():
    labels = walks()[1]
    got = shifted(labels, 90)
    for symbol, mine in labels.groupby(level="symbol"):
        there, taken = got.loc[symbol], mine["label"].value_counts()
        lost = len(mine) - len(there)
        # only rows at the end whose new wait has no bar are lost: fewer than the longest wait
        assert 0 <= lost < 4
        assert (taken - there["label"].value_counts()).abs().sum() == lost
    wait = (labels["known_at"] - labels.index.get_level_values("time")) / HOUR
    moved = (got["known_at"] - got.index.get_level_values("time")) / HOUR
    assert set(moved) == set(wait) == {1, 2, 3, 4}


def test_labels_that_all_wait_alike_keep_every_row_and_known_at():
    labels = block("A", np.arange(50) % 3 - 1, np.full(50, 3))
    got = shifted(labels, 20)
    assert got.index.equals(labels.index)
    assert (got["known_at"] == labels["known_at"]).all()
    assert got["label"].tolist() == np.roll(labels["label"], 20).tolist()
    assert sorted(got["label"]) == sorted(labels["label"])


def test_a_whole_circle_is_where_it_began():
    labels = block("A", np.arange(30) % 3 - 1, np.arange(30) % 2 + 1)
    pd.testing.assert_frame_equal(shifted(labels, 30), labels, check_freq=False)


def test_symbols_turn_each_in_a_circle_of_its_own():
    labels = walks()[1]
    alone = pd.concat(shifted(labels.loc[[s]], 40) for s in ("A", "B"))
    pd.testing.assert_frame_equal(shifted(labels, 40), alone)


def test_known_at_of_a_shifted_label_is_later_and_never_beyond_the_last_bar():
    labels = walks()[1]
    for by in (1, 33, 200):
        got = shifted(labels, by)
        assert (got["known_at"] > got.index.get_level_values("time")).all()
        assert got["known_at"].max() <= labels["known_at"].max()


def test_a_shift_changes_nothing_it_was_given():
    labels = walks()[1]
    before = labels.copy()
    shifted(labels, 33)
    pd.testing.assert_frame_equal(labels, before)


def test_shifts_differ_and_keep_their_distance_from_both_ends():
    labels = pd.concat([walks(100, sizes=("A",))[1], walks(150, sizes=("B",))[1]])
    shortest = len(labels.loc["A"])
    got = shifts(labels, 20, least=30, seed=3)
    assert len(set(got)) == 20
    assert got == sorted(got)
    assert min(got) >= 30
    assert max(got) <= shortest - 30
    assert got == shifts(labels, 20, least=30, seed=3)
    assert got != shifts(labels, 20, least=30, seed=4)


def test_every_shift_there_is_may_be_asked_for_and_not_one_more():
    labels = block("A", np.zeros(50), np.full(50, 3))
    assert shifts(labels, 11, least=20, seed=0) == list(range(20, 31))
    says = "50 labels have 11 shifts of 20 rows or more from either side, 12 were asked for"
    with pytest.raises(DataError, match=says):
        shifts(labels, 12, least=20, seed=0)
    with pytest.raises(DataError, match="50 labels have 0 shifts of 26 rows"):
        shifts(labels, 1, least=26, seed=0)


def test_no_placebo_is_asked_of_few_labels_where_none_is_wanted():
    assert shifts(block("A", np.zeros(50), np.full(50, 3)), 0, least=40, seed=0) == []


def test_a_placebo_is_the_walk_forward_of_shifted_labels():
    features, labels = walks()
    drawn = {"block": 8, "draws": 50, "seed": 5}
    own = models("XGBOOST", "MAJORITY")
    got = placebo(features, labels, own, SPLITS, by=[60, 110], metric="auc", **drawn)
    assert got.index.tolist() == [60, 110]
    assert got.index.name == "shift"
    for shift, row in got.iterrows():
        found = walk_forward(features, shifted(labels, shift), own, SPLITS)
        expected = scores(found, **drawn).loc[("XGBOOST", "auc")]
        assert row.pop("model_id") == "XGBOOST"
        assert row.to_dict() == expected[list(row.index)].to_dict()
    assert got["value"].nunique() == 2


def test_what_a_pipeline_finds_is_gone_when_its_labels_are_shifted():
    features, labels = walks(400)
    # the first feature is the answer of its own bar
    known = features.assign(u=labels["label"].reindex(features.index).fillna(0.0))
    own, drawn = models("XGBOOST", "MAJORITY"), {"block": 8, "draws": 99}
    real = scores(walk_forward(known, labels, own, SPLITS), **drawn).loc[("XGBOOST", "auc")]
    got = placebo(known, labels, own, SPLITS, by=[150], metric="auc", **drawn)
    assert real["value"] > 0.95
    assert real["p"] == pytest.approx(0.01)  # (1 + 0) / (1 + 99), Phipson and Smyth (2010)
    assert abs(got.loc[150, "value"] - 0.5) < 0.1
    assert got.loc[150, "p"] > 0.05


def test_no_shift_gives_an_empty_table_with_its_columns():
    got = placebo(*walks(), models("XGBOOST", "MAJORITY"), SPLITS, by=[], metric="auc", block=8)
    assert got.empty
    assert list(got) == ["model_id", "value", "low", "high", "gain", "gain_low", "gain_high", "p"]


def test_a_shift_that_leaves_a_fold_one_class_is_named_with_the_way_out():
    features, labels = walks()
    clock = features.index.get_level_values("time").unique()
    early = labels.index.get_level_values("time") < clock[60]
    rare = labels.assign(label=np.where(early, labels["label"], 0.0))
    own = models("XGBOOST", "MAJORITY")
    says = r"a placebo, labels shifted by 100 rows: fold 0 has one class to learn from: all"
    with pytest.raises(DataError, match=rf"{says}.*; or ask for none with validation\.placebos"):
        check_shifts(features, rare, own, SPLITS, by=[100])
    assert check_shifts(features, labels, own, SPLITS, by=[100]) is None


@pytest.mark.parametrize(
    "names", [("XGBOOST",), ("MAJORITY",), ("XGBOOST", "LIGHTGBM", "MAJORITY")]
)
def test_a_placebo_takes_one_model_and_the_baseline(names):
    with pytest.raises(ParamsError, match="takes one model and MAJORITY, was given"):
        placebo(*walks(), models(*names), SPLITS, by=[60], metric="auc", block=8)
