"""causality.py: honest functions pass, each way to read the future fails at its first time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit import bars as table
from signalkit.causality import Causality, check, check_labels, poisoned, probe_bars, sweep
from signalkit.errors import DataError, LeakError

CAREFUL = settings(max_examples=50, deadline=None, derandomize=True)
BARS = probe_bars()
HONEST = {
    "close": lambda b: b["close"],
    "return": lambda b: b["close"].pct_change(),
    "rolling mean": lambda b: b["close"].rolling(20).mean(),
    "exponential mean": lambda b: b["close"].ewm(span=12, adjust=False).mean(),
    "z-score of the past": lambda b: (b["close"] - b["close"].expanding().mean()) / b["close"],
    "lag": lambda b: b["volume"].shift(3),
    "forward fill": lambda b: b["close"].where(b["volume"] > 500).ffill(),
    "last whole day": lambda b: b["close"].resample("D", label="right").last().shift().reindex(
        b.index, method="ffill"),
    "labels cut short": lambda b: b["close"].iloc[5:],
    "nothing": lambda b: b["close"] * np.nan,
    "no rows": lambda b: b["close"].iloc[:0],
}  # fmt: skip
# each reads the future; the first time that changes when bars after position 100 do
DISHONEST = {
    "centred window": (lambda b: b["close"].rolling(5, center=True).mean(), 99),
    "next close": (lambda b: b["close"].shift(-1), 100),
    "z-score of all rows": (lambda b: (b["close"] - b["close"].mean()) / b["close"].std(), 0),
    "scaled by the maximum": (lambda b: b["close"] / b["close"].max(), 0),
    "rank in all rows": (lambda b: b["volume"].rank(pct=True), 0),
    "backward fill": (lambda b: b["close"].where(b.index.hour == 0).bfill(), 97),
    # position 100 is 04:00 of the fifth day: each day is labelled with its begin
    "day at its begin": (lambda b: b["close"].resample("D").last().reindex(
        b.index, method="ffill"), 96),
    "last row only": (lambda b: b["close"].where(b.index < b.index[-1]), 100),
    "volume to come": (lambda b: b["volume"].shift(-2), 99),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_function_passes(name):
    found = check(HONEST[name])
    assert found.passed
    assert (found.difference, found.first, found.column) == (0.0, None, None)
    assert found.require(name) is None


@pytest.mark.parametrize("name", DISHONEST)
def test_a_function_that_reads_the_future_fails_at_its_first_time(name):
    function, first = DISHONEST[name]
    found = check(function, at=[100, 300])
    assert not found.passed
    assert found.first == BARS.index[first]
    assert found.difference > 0
    assert found.probes == 6
    assert not check(function).passed


@pytest.mark.parametrize("span", [2, 5, 20, 50])
def test_a_warm_up_filled_from_later_bars_fails(span):
    def filled(bars):
        return bars["close"].rolling(span).mean().bfill()

    assert check(filled).first == BARS.index[0]


SPANS = st.integers(1, 120)
WINDOWS = st.sampled_from(["mean", "std", "min", "max", "median", "sum", "skew"])


@CAREFUL
@given(st.sampled_from(table.COLUMNS), SPANS, WINDOWS, st.integers(0, 30), st.integers(0, 398))
def test_any_trailing_window_passes(column, span, window, lag, place):
    def trailing(bars):
        return getattr(bars[column].rolling(max(span, 3)), window)().shift(lag)

    assert check(trailing, at=[place]).passed


@CAREFUL
@given(st.integers(1, 60), st.integers(100, 330))
def test_any_lead_fails_where_it_begins_to_read(lead, place):
    found = check(lambda bars: bars["close"].shift(-lead), at=[place])
    assert found.first == BARS.index[place - lead + 1]


@CAREFUL
@given(st.integers(0, 398))
def test_poisoned_bars_are_valid_and_differ_after_the_place_only(place):
    other = poisoned(BARS, place)
    table.check(other)
    pd.testing.assert_frame_equal(other.iloc[: place + 1], BARS.iloc[: place + 1])
    assert (other.iloc[place + 1 :] != BARS.iloc[place + 1 :]).any(axis=1).all()
    assert other.index.equals(BARS.index)


@pytest.mark.parametrize("names", [["volume", "open", "high", "low", "close"], ["close", "open"]])
def test_bars_are_poisoned_by_name_whatever_the_order_of_their_columns(names):
    order = [*names, *(name for name in table.COLUMNS if name not in names)]
    other = poisoned(BARS[order], 100)
    table.check(other)
    pd.testing.assert_frame_equal(other[list(table.COLUMNS)], poisoned(BARS, 100))


def test_probe_bars_are_valid_the_same_every_time_and_hold_hard_cases():
    table.check(BARS)
    pd.testing.assert_frame_equal(BARS, probe_bars())
    assert not BARS.equals(probe_bars(seed=1))
    assert (BARS["volume"] == 0).any()
    assert (BARS["high"] == BARS["low"]).any()
    assert BARS["close"].pct_change().abs().max() > 0.05


def test_a_number_that_becomes_none_is_a_difference_without_bound():
    found = check(lambda b: b["close"].where(b["close"].shift(-1).notna()), at=[50])
    assert found == Causality(np.inf, BARS.index[50], "value", 3)


def test_an_infinity_is_equal_to_itself_and_differs_from_a_number():
    def honest(bars):
        return pd.Series(np.where(bars.index.hour == 0, np.inf, bars["close"]), bars.index)

    def leaking(bars):
        return honest(bars).shift(-1)

    assert check(honest).passed
    assert check(leaking, at=[100]).first == BARS.index[100]


def test_the_column_and_the_largest_difference_are_told():
    def two(bars):
        return pd.DataFrame({"good": bars["open"], "bad": bars["volume"].shift(-1)})

    found = check(two, at=[200])
    changes = (poisoned(BARS, 200)["volume"] - BARS["volume"]).abs()
    assert found.column == "bad"
    assert found.difference == np.inf  # the truncated one has no volume to come
    assert changes.iloc[201] > 0
    with pytest.raises(LeakError, match=r"two reads the future: at 2024-01-09 08:00Z bad changes"):
        found.require("two")


@pytest.mark.parametrize("late", [380, 396])
def test_columns_that_depend_on_later_bars_fail(late):
    def named(bars):
        rising = len(bars) > late and bars["close"].iloc[late] > 0
        return bars[["close"] if rising else ["close", "open"]]

    assert not check(named).passed


def test_own_bars_are_checked_and_left_as_they_were():
    own = probe_bars(30, seed=3)
    kept = own.copy()
    assert check(HONEST["lag"], own).passed
    assert check(DISHONEST["next close"][0], own, at=[10]).first == own.index[10]
    pd.testing.assert_frame_equal(own, kept)


@pytest.mark.parametrize(
    ("function", "at", "says"),
    [
        (HONEST["close"], [], r"positions from 0 to 398, was \[\]"),
        (HONEST["close"], [399], r"positions from 0 to 398, was \[399\]"),
        (HONEST["close"], [5, -1], r"positions from 0 to 398, was \[5, -1\]"),
        (lambda b: b["close"].to_numpy(), [5], "returns a Series or DataFrame, was .*ndarray"),
        (lambda b: b["close"].reset_index(drop=True), [5], "values at the times of its bars"),
        (lambda b: pd.concat([b["close"], b["close"]]), [5], "times"),
    ],
)
def test_what_cannot_be_checked_is_refused(function, at, says):
    with pytest.raises(DataError, match=says):
        check(function, at=at)


@pytest.mark.parametrize("at", [None, [100, 300]])
def test_a_sweep_tells_each_column_what_a_check_of_it_alone_does(at):
    both = HONEST | {name: function for name, (function, _) in DISHONEST.items()}
    names = [name for name in both if name not in ("labels cut short", "no rows")]
    found = sweep(lambda bars: pd.DataFrame({name: both[name](bars) for name in names}), at=at)
    assert found.index.tolist() == names
    assert found.columns.tolist() == ["difference", "first", "probes"]
    for name in names:
        alone = check(both[name], at=at)
        assert found.at[name, "difference"] == alone.difference
        assert found.at[name, "probes"] == alone.probes
        assert (
            None if pd.isna(found.at[name, "first"]) else found.at[name, "first"]
        ) == alone.first


def test_a_sweep_names_the_columns_that_come_and_go():
    def named(bars):
        table = bars[["close", "open"]]
        return table if len(bars) == len(BARS) else table[["open"]].assign(more=1.0)

    found = sweep(named, at=[100])
    assert found["first"].notna().to_dict() == {"close": True, "open": False, "more": True}
    assert found.at["more", "difference"] == np.inf


def test_an_order_of_columns_that_later_bars_decide_is_told():
    found = sweep(lambda bars: bars[["open", "close"][:: 1 if len(bars) == 400 else -1]], at=[100])
    assert found.loc["order of columns", "first"] == BARS.index[0]
    assert found.loc[["open", "close"], "first"].isna().all()


def labels_of(horizon=3, wait=3, column="close"):
    """A function that labels with a price `horizon` bars ahead and says `wait` bars ahead."""

    def function(bars):
        label = bars[column].shift(-horizon) / bars[column]
        later = pd.Series(bars.index, bars.index).shift(-wait)
        return pd.DataFrame({"label": label, "known_at": later}).dropna()

    return function


def test_labels_that_say_when_they_are_known_pass():
    found = check_labels(labels_of())
    assert found.passed
    assert (found.labels, found.changed, found.unmoved) == (147, 0, 0)
    assert found.probes == 5 * 147
    assert found.require("labels") is None


@pytest.mark.parametrize(
    ("function", "changed", "unmoved", "says"),
    [
        # known a bar too early: the cut takes away what the label reads
        (labels_of(3, 2), 147, 0, r"2024-01-01 00:00Z changes .* \(147 such labels\)"),
        # known a bar too late: nothing leaks, and no price at known_at matters
        (labels_of(3, 4), 0, 146, r"2024-01-01 00:00Z is settled before .*\(146 such"),
    ],
)
def test_labels_known_too_early_or_too_late_fail(function, changed, unmoved, says):
    found = check_labels(function)
    assert not found.passed
    assert (found.changed, found.unmoved) == (changed, unmoved)
    with pytest.raises(LeakError, match=says):
        found.require("labels")


def test_a_label_scaled_by_all_bars_changes_with_later_ones():
    def scaled(bars):
        labels = labels_of()(bars)
        return labels.assign(label=labels["label"] / labels["label"].std())

    found = check_labels(scaled)
    assert found.changed == found.labels - 1  # the last one has no bar after it
    assert found.first_changed == probe_bars(1).index[0]


def test_labels_that_are_there_only_because_of_later_bars_are_told():
    def some(bars):
        labels = labels_of()(bars)
        return labels[bars["close"].iloc[-1] > bars["close"].reindex(labels.index)]

    assert check_labels(some).changed > 0


def test_a_range_inside_a_bar_is_moved_at_its_extremes():
    def ranges(bars):
        return labels_of()(bars).assign(label=lambda t: width(bars).shift(-3).reindex(t.index))

    def width(bars):
        return bars["high"] / bars["low"]

    assert check_labels(ranges).unmoved == 147
    assert check_labels(ranges, parts=["bar", "range"]).passed


def test_a_trade_that_begins_at_an_open_is_moved_from_there():
    def inside(bars):
        rises = (bars["close"] > bars["open"]).astype(float).shift(-1)
        return labels_of(1, 1)(bars).assign(label=lambda t: rises.reindex(t.index))

    assert check_labels(inside).unmoved == 149
    assert check_labels(inside, parts=["bar", "path"]).passed


def test_labels_are_checked_where_asked():
    early_there = probe_bars(40)
    assert check_labels(labels_of(), early_there, at=[10, 20, 2]).probes == 2 * 5


@pytest.mark.parametrize("at", [[], [0], [9_999]])
def test_a_check_at_bars_that_settle_nothing_is_refused_and_does_not_pass(at):
    with pytest.raises(DataError, match=r"a bar that settles a label, was \["):
        check_labels(labels_of(3, 2), at=at)


def test_without_labels_nothing_is_proved():
    found = check_labels(lambda bars: labels_of()(bars).iloc[:0])
    assert not found.passed
    with pytest.raises(LeakError, match="gives no label on these bars"):
        found.require("labels")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda b: b["close"], "a table of label and known_at"),
        (lambda b: labels_of(3, 0)(b), "2024-01-01 00:00:00.* known at none that ends after it"),
        (lambda b: labels_of()(b).shift(1, freq="min"), "is of no bar"),
        (lambda b: labels_of()(b).assign(label=np.nan), "2024-01-01 00:00:00.* is NaN"),
    ],
)
def test_refuses_what_are_no_labels(function, says):
    with pytest.raises(DataError, match=says):
        check_labels(function)
