"""splits.py, walking forward: against scikit-learn, and a brute-force oracle elsewhere."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.splits import WalkForward, check_fold

START = pd.Timestamp("2024-01-01", tz="UTC")
HOUR = pd.Timedelta(1, "h")


def hours(n):
    return pd.date_range(START, periods=n, freq="h", name="time")


def lists(folds):
    return [(train.tolist(), test.tolist()) for train, test in folds]


def oracle(times, known_at, asked):
    """The folds by comparing every row with every window, one row at a time."""
    clock = sorted(set(times))
    firsts, first = [], asked.train + asked.gap
    while first + asked.test <= len(clock):
        firsts.append(first)
        first += asked.step
    folds = []
    for first in firsts:
        stop = len(clock) if first == firsts[-1] else first + asked.test
        begin = 0 if asked.expanding else first - asked.gap - asked.train
        learn, tested = clock[begin : first - asked.gap], clock[first:stop]
        train = [
            row
            for row, time in enumerate(times)
            if time in learn and not pd.isna(known_at[row]) and known_at[row] < tested[0]
        ]
        folds.append((train, [row for row, time in enumerate(times) if time in tested]))
    return folds


def rows_of_panel(draw):
    """Up to three symbols with holes; labels settle between bars, on a bar, or never."""
    n_bars = draw(st.integers(12, 30))
    rows = []
    for symbol in range(draw(st.integers(1, 3))):
        kept = range(n_bars) if symbol == 0 else sorted(draw(st.sets(st.integers(0, n_bars - 1))))
        rows += [(START + i * HOUR, draw(st.integers(0, 12))) for i in kept]
    times = pd.DatetimeIndex([time for time, _ in rows])
    known_at = pd.to_datetime(
        [time + wait * HOUR / 2 if wait else pd.NaT for time, wait in rows], utc=True
    )
    return times, known_at


@st.composite
def panels(draw):
    """A panel and windows that walk forward over it."""
    times, known_at = rows_of_panel(draw)
    train, test, gap = draw(st.integers(2, 6)), draw(st.integers(1, 4)), draw(st.integers(0, 2))
    step = draw(st.none() | st.integers(test, test + 3))
    return (
        times,
        known_at,
        WalkForward(train, test, step=step, expanding=draw(st.booleans()), gap=gap),
    )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(panels())
def test_folds_equal_those_of_the_oracle(panel):
    times, known_at, splits = panel
    assert lists(splits.split(times, known_at)) == oracle(times, known_at, splits)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(panels())
def test_no_fold_trains_on_what_its_test_window_settles(panel):
    times, known_at, splits = panel
    for fold, (train, test) in enumerate(splits.split(times, known_at)):
        assert (known_at[train] < times[test].min()).all()
        check_fold(train, test, times, known_at, fold=fold)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(panels())
def test_every_time_from_the_first_test_on_is_tested_once_unless_stepped_over(panel):
    times, known_at, splits = panel
    tested = np.concatenate([test for _, test in splits.split(times, known_at)])
    assert len(set(tested)) == len(tested)
    if splits.step == splits.test:
        assert len(tested) == (times >= times[tested].min()).sum()


@pytest.mark.parametrize("expanding", [True, False])
@pytest.mark.parametrize("gap", [0, 3])
def test_folds_equal_those_of_scikit_learn_where_nothing_is_purged(expanding, gap):
    train, test, n_folds = 20, 7, 4
    times = hours(train + gap + n_folds * test)
    theirs = TimeSeriesSplit(
        n_folds, max_train_size=None if expanding else train, test_size=test, gap=gap
    )
    ours = WalkForward(train, test, expanding=expanding, gap=gap)
    settled = times + pd.Timedelta(1, "min")
    assert lists(ours.split(times, settled)) == lists(theirs.split(times))


def test_the_purge_takes_exactly_the_labels_that_settle_in_the_test_window():
    times = hours(10)
    train, test = next(WalkForward(6, 4).split(times, times + 2 * HOUR))
    # the label of row 4 settles at bar 6, the first test bar; that of row 3 just before it
    assert train.tolist() == [0, 1, 2, 3]
    assert test.tolist() == [6, 7, 8, 9]


def test_the_bars_that_remain_go_to_the_last_fold():
    times = hours(19)
    tests = [test.tolist() for _, test in WalkForward(5, 4).split(times, times + HOUR)]
    assert tests == [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16, 17, 18]]


def test_windows_count_times_of_the_panel_not_rows():
    times = hours(6).append(hours(6)[3:])
    train, test = next(WalkForward(3, 3).split(times, times + pd.Timedelta(1, "min")))
    assert train.tolist() == [0, 1, 2]
    assert test.tolist() == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_resolution_of_the_times_does_not_matter(unit):
    times = hours(30)
    known_at = (times + 3 * HOUR).where(times < times[-3])
    expected = lists(WalkForward(8, 5).split(times, known_at))
    assert lists(WalkForward(8, 5).split(times.as_unit(unit), known_at)) == expected
    assert lists(WalkForward(8, 5).split(times, pd.Series(known_at.as_unit(unit)))) == expected


@pytest.mark.parametrize(
    ("train", "test", "more", "says"),
    [
        (0, 5, {}, "at least 1 bar .* were 0, 5"),
        (5, 0, {}, "at least 1 bar .* were 5, 0"),
        (5, 5, {"gap": -1}, "gap at least 0, were 5, 5 and -1"),
        (5, 5, {"step": 4}, "step of 4 makes test windows of 5 bars overlap; set step to 5"),
        (5, 5, {"step": 0}, "step of 0 makes test windows of 5 bars overlap"),
    ],
)
def test_refuses_windows_that_make_no_sense(train, test, more, says):
    with pytest.raises(ParamsError, match=says):
        WalkForward(train, test, **more)


def test_refuses_too_few_bars_for_one_fold():
    times = hours(14)
    with pytest.raises(DataError, match=r"14 bars are too few .* train 10 \+ gap 1 \+ test 4"):
        list(WalkForward(10, 4, gap=1).split(times, times + HOUR))
    assert len(lists(WalkForward(10, 4).split(times, times + HOUR))) == 1


@pytest.mark.parametrize("wait", [0, 1])
def test_check_fold_refuses_a_label_settled_at_or_after_the_first_test_time(wait):
    times = hours(6)
    known_at = pd.Series(times + HOUR)
    known_at[2] = times[4] + wait * HOUR
    with pytest.raises(LeakError, match=r"fold 3 trains on 1 rows .*first: 2024-01-01 02:00Z"):
        check_fold(np.arange(3), np.arange(4, 6), times, known_at, fold=3)


def test_check_fold_refuses_training_rows_inside_or_after_the_test_window():
    times = hours(8)
    early = pd.Series(times[:1].repeat(8))
    with pytest.raises(LeakError, match="trains on 2 rows settled inside"):
        check_fold(np.array([0, 4, 7]), np.arange(4, 6), times, early)


def test_check_fold_refuses_rows_without_a_label():
    times = hours(6)
    known_at = pd.Series(times + HOUR).where(times != times[1])
    with pytest.raises(LeakError, match="trains on 1 rows without a label"):
        check_fold(np.arange(3), np.arange(4, 6), times, known_at)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(panels())
def test_a_walk_forward_fold_keeps_the_purge_rule_of_blocks(panel):
    times, known_at, splits = panel
    for train, test in splits.split(times, known_at):
        check_fold(train, test, times, known_at, need=0)
