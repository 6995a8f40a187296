"""splits.py, purged: against scikit-learn and skfolio where definitions meet, else an oracle.

`SIGNALKIT_PEERS` names a python that has skfolio, in an environment of its own: `make certify`
then compares with it directly.
"""

import json
import os
import subprocess
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.splits import CombinatorialPurged, PurgedKFold, check_fold
from tests.test_splits import HOUR, hours, lists, rows_of_panel


@st.composite
def folded(draw):
    """A panel and folds over it, of which up to three are tested together."""
    times, known_at = rows_of_panel(draw)
    n_folds, embargo = draw(st.integers(2, 8)), draw(st.integers(0, 5))
    n_test_folds = draw(st.integers(1, min(3, n_folds - 1)))
    return times, known_at, CombinatorialPurged(n_folds, n_test_folds, embargo=embargo)


def purged_oracle(times, known_at, asked):
    """The splits from the words of the definition, with one loop a word."""
    clock = sorted(set(times))
    size = len(clock) // asked.n_folds
    fold_of = {time: min(i // size, asked.n_folds - 1) for i, time in enumerate(clock)}
    splits = []
    for chosen in combinations(range(asked.n_folds), asked.n_test_folds):
        blocks = []
        for fold in chosen:  # neighbouring folds are one block
            begins_new = not blocks or fold - 1 not in blocks[-1]
            blocks = [*blocks, [fold]] if begins_new else [*blocks[:-1], [*blocks[-1], fold]]
        dropped = set()
        for block in blocks:
            tested = [row for row, time in enumerate(times) if fold_of[time] in block]
            ends = [times[row] for row in tested]
            ends += [known_at[row] for row in tested if not pd.isna(known_at[row])]
            begin, end = min(times[row] for row in tested), max(ends)
            embargoed = [time for time in clock if time > end][: asked.embargo]
            for row, time in enumerate(times):
                touches = time <= end and known_at[row] >= begin
                if touches or time in embargoed or row in tested:
                    dropped.add(row)
        train = [row for row in range(len(times)) if row not in dropped]
        train = [row for row in train if not pd.isna(known_at[row])]
        splits.append((train, [row for row, time in enumerate(times) if fold_of[time] in chosen]))
    return splits


@settings(max_examples=80, deadline=None, derandomize=True)
@given(folded())
def test_purged_splits_equal_those_of_the_oracle(panel):
    times, known_at, asked = panel
    assert lists(asked.split(times, known_at)) == purged_oracle(times, known_at, asked)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(folded(), st.data())
def test_check_fold_passes_every_purged_split_and_refuses_each_row_it_left_out(panel, data):
    times, known_at, asked = panel
    for split, (train, test) in enumerate(asked.split(times, known_at)):
        check_fold(train, test, times, known_at, fold=split, need=asked.embargo)
        left_out = np.setdiff1d(np.flatnonzero(known_at.notna()), np.union1d(train, test))
        if len(left_out):
            more = np.append(train, data.draw(st.sampled_from(left_out.tolist())))
            with pytest.raises(LeakError, match=r"inside a test block|bars short"):
                check_fold(more, test, times, known_at, need=asked.embargo)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(folded())
def test_every_row_is_tested_once_in_every_path(panel):
    times, known_at, asked = panel
    tested = [set(test) for _, test in asked.split(times, known_at)]
    folds, table = asked.folds(times), asked.paths()
    assert len(tested) == asked.n_splits == comb(asked.n_folds, asked.n_test_folds)
    assert (
        asked.n_paths == table["path"].nunique() == comb(asked.n_folds - 1, asked.n_test_folds - 1)
    )
    for _, path in table.groupby("path"):
        assert path["fold"].sort_values().tolist() == list(range(asked.n_folds))
        rows = [np.flatnonzero(folds == fold) for fold in path["fold"]]
        assert all(set(r) <= tested[split] for r, split in zip(rows, path["split"], strict=True))
        assert sorted(np.concatenate(rows)) == list(range(len(times)))


def test_purged_k_fold_equals_scikit_learns_where_nothing_is_purged():
    # scikit-learn 1.9, KFold without shuffle; 24 rows divide by 4, so that edges are the same
    times = hours(24)
    got = lists(PurgedKFold(4).split(times, times + pd.Timedelta(1, "min")))
    assert got == lists(KFold(4).split(np.zeros(24)))


# skfolio 1.12.2, CombinatorialPurgedCV(n_folds=6, n_test_folds=2): test_set_index, get_path_ids
TESTED_6_2 = [
    [0, 1], [0, 2], [0, 3], [0, 4], [0, 5], [1, 2], [1, 3], [1, 4], [1, 5], [2, 3], [2, 4], [2, 5],
    [3, 4], [3, 5], [4, 5],
]  # fmt: skip
PATHS_6_2 = [
    [0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [1, 1], [2, 1], [3, 1], [4, 1], [2, 2], [3, 2], [4, 2],
    [3, 3], [4, 3], [4, 4],
]  # fmt: skip


def test_paths_recombine_as_those_of_skfolio():
    table = CombinatorialPurged(6, 2).paths()
    assert table.groupby("split")["fold"].agg(list).tolist() == TESTED_6_2
    assert table.groupby("split")["path"].agg(list).tolist() == PATHS_6_2


# skfolio 1.12.2, the examples in the docstring of CombinatorialPurgedCV: 12 rows, 3 folds,
# 2 tested; purged_size is our horizon in bars, embargo_size our embargo
@pytest.mark.parametrize(
    ("horizon", "embargo", "train"),
    [
        (0, 0, [[8, 9, 10, 11], [4, 5, 6, 7], [0, 1, 2, 3]]),
        (1, 0, [[9, 10, 11], [5, 6], [0, 1, 2]]),
        (0, 1, [[9, 10, 11], [5, 6, 7], [0, 1, 2, 3]]),
    ],
)
def test_combinatorial_splits_are_the_worked_examples_of_skfolio(horizon, embargo, train):
    times = hours(12)
    got = lists(CombinatorialPurged(3, 2, embargo=embargo).split(times, times + horizon * HOUR))
    tested = [[*range(8)], [*range(4), *range(8, 12)], [*range(4, 12)]]
    assert got == list(zip(train, tested, strict=True))


PEER = """
import json, sys
import numpy as np
from skfolio.model_selection import CombinatorialPurgedCV
found = []
for rows, folds, tested, horizon, embargo in json.load(sys.stdin):
    cv = CombinatorialPurgedCV(folds, tested, purged_size=horizon, embargo_size=embargo)
    pairs = cv.split(np.zeros((rows, 1)))
    splits = [[train.tolist(), np.concatenate(tests).tolist()] for train, tests in pairs]
    found.append([splits, cv.get_path_ids().ravel().tolist()])
json.dump(found, sys.stdout)
"""


@pytest.mark.certify
@pytest.mark.skipif("SIGNALKIT_PEERS" not in os.environ, reason="SIGNALKIT_PEERS names no python")
def test_combinatorial_splits_equal_those_of_skfolio():
    asked = [
        (rows, folds, tested, horizon, embargo)
        for rows in (60, 97, 200)
        for folds, tested in ((3, 2), (4, 2), (6, 2), (6, 3), (7, 5))
        for horizon, embargo in ((0, 0), (1, 0), (3, 0), (0, 2), (3, 2))
    ]
    told = subprocess.run(
        [os.environ["SIGNALKIT_PEERS"], "-c", PEER],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    for (rows, folds, tested, horizon, embargo), theirs in zip(
        asked, json.loads(told.stdout), strict=True
    ):
        times, ours = hours(rows), CombinatorialPurged(folds, tested, embargo=embargo)
        splits = [[a, b] for a, b in lists(ours.split(times, times + horizon * HOUR))]
        assert [splits, ours.paths()["path"].tolist()] == theirs


def test_the_purge_of_a_block_reaches_both_sides_and_counts_each_block_by_itself():
    # five folds of two bars; bar 5 settles at bar 8, the others one bar on: the block 2-3 ends
    # at bar 4 and the block 6-7 at bar 8
    times = hours(10)
    known_at = pd.Series(times + HOUR)
    known_at[5] = times[8]
    splits = list(CombinatorialPurged(5, 2).split(times, known_at))
    train, test = splits[[*combinations(range(5), 2)].index((1, 3))]
    assert test.tolist() == [2, 3, 6, 7]
    # 1 and 5 settle inside a block or beyond it, 4 and 8 begin before a block's last label settled
    assert train.tolist() == [0, 9]


def test_a_label_that_spans_a_whole_block_is_purged():
    times = hours(9)
    known_at = pd.Series(times + pd.Timedelta(1, "min"))
    known_at[1] = times[7]
    train, test = list(PurgedKFold(3).split(times, known_at))[1]
    assert test.tolist() == [3, 4, 5]
    assert train.tolist() == [0, 2, 6, 7, 8]


def test_two_blocks_with_one_bar_between_them_are_not_one():
    times = hours(5)
    splits = lists(CombinatorialPurged(5, 2).split(times, times + pd.Timedelta(1, "min")))
    assert splits[1] == ([1, 3, 4], [0, 2])


def test_one_symbols_late_label_purges_the_rows_of_another():
    # the row of symbol B at bar 3 settles at bar 6, so symbol A's bars 4 to 6 do not train
    times = hours(8).append(hours(8)[3:4])
    known_at = pd.Series(times + pd.Timedelta(1, "min"))
    known_at[8] = times[6]
    train, test = list(PurgedKFold(4).split(times, known_at))[1]
    assert test.tolist() == [2, 3, 8]
    assert train.tolist() == [0, 1, 7]


def test_an_embargo_counts_bars_from_the_last_label_of_the_block():
    times = hours(12)
    train, test = next(PurgedKFold(3, embargo=2).split(times, times + 2 * HOUR))
    assert test.tolist() == [0, 1, 2, 3]
    # the last label settles at bar 5; bars 6 and 7 are left out
    assert train.tolist() == [8, 9, 10, 11]


def test_an_embargo_counts_bars_from_the_last_test_time_where_nothing_settled_later():
    times = hours(12)
    known_at = pd.Series(times + pd.Timedelta(1, "min")).where(times < times[2])
    known_at[7:] = times[7:] + HOUR
    train, test = next(PurgedKFold(3, embargo=4).split(times, known_at))
    assert test.tolist() == [0, 1, 2, 3]
    assert train.tolist() == [8, 9, 10, 11]


def test_rows_without_a_label_are_tested_and_train_nothing():
    times = hours(9)
    known_at = pd.Series(times + HOUR).where(np.arange(9) % 2 == 0)
    splits = lists(PurgedKFold(3).split(times, known_at))
    assert [test for _, test in splits] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [train for train, _ in splits] == [[4, 6, 8], [0, 6, 8], [0, 2, 4]]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_resolution_of_the_times_does_not_matter_to_a_purge(unit):
    times = hours(30)
    known_at = (times + 3 * HOUR).where(times < times[-3])
    expected = lists(CombinatorialPurged(5, 2, embargo=1).split(times, known_at))
    got = CombinatorialPurged(5, 2, embargo=1).split(times.as_unit(unit), known_at.as_unit("ns"))
    assert lists(got) == expected


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PurgedKFold(1), "n_folds must be at least 2 .* were 1 and 0"),
        (lambda: PurgedKFold(5, embargo=-1), "embargo at least 0 bars, were 5 and -1"),
        (lambda: CombinatorialPurged(5, 5), "from 1 to 4 of 5 folds, was 5"),
        (lambda: CombinatorialPurged(5, 0), "from 1 to 4 of 5 folds, was 0"),
    ],
)
def test_refuses_folds_that_make_no_sense(make, says):
    with pytest.raises(ParamsError, match=says):
        make()


def test_refuses_more_folds_than_bars():
    times = hours(4).append(hours(4))
    with pytest.raises(DataError, match="4 bars are too few for 5 folds"):
        list(PurgedKFold(5).split(times, times + HOUR))


def test_refuses_labels_that_settle_before_their_bar_or_do_not_fit():
    times = hours(6)
    early = pd.Series(times + HOUR).where(times != times[2], times[1])
    with pytest.raises(DataError, match=r"1 labels settle before .*first: 2024-01-01 02:00Z"):
        list(PurgedKFold(3).split(times, early))
    with pytest.raises(DataError, match="5 values of known_at do not fit 6 times"):
        list(PurgedKFold(3).split(times, times[:5]))


def test_check_fold_says_by_how_much_an_embargo_is_short():
    times = hours(30)
    known_at = times + HOUR
    splits = list(PurgedKFold(3, embargo=4).split(times, known_at))
    check_fold(*splits[0], times, known_at, need=4)
    with pytest.raises(LeakError, match=r"fold 1 leaves 4 bars .* 9 bars back.* 5 bars short"):
        check_fold(*splits[1], times, known_at, fold=1, need=9)
    # nothing is trained on after the last fold, so nothing can look back into it
    check_fold(*splits[2], times, known_at, need=9)
    with pytest.raises(ParamsError, match="need must be at least 0 bars, was -1"):
        check_fold(*splits[2], times, known_at, need=-1)


def test_check_fold_takes_training_after_the_test_only_where_told_so():
    times = hours(30)
    train, test = next(PurgedKFold(3).split(times, times + HOUR))
    with pytest.raises(LeakError, match="trains on 19 rows settled inside its test window"):
        check_fold(train, test, times, times + HOUR)
    check_fold(train, test, times, times + HOUR, need=0)
    with pytest.raises(LeakError, match="trains on 2 rows settled inside a test block"):
        check_fold(np.arange(9, 30), test, times, times + HOUR, need=0)
