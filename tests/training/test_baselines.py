"""baselines.py: worked by hand, and nothing used before it was known."""

import numpy as np
import pandas as pd
import pytest

from signalkit import training
from signalkit.causality import probe_bars
from signalkit.errors import DataError
from signalkit.labeling import signal_direction, target_return

HOUR = pd.Timedelta(1, "h")


def frame(labels, symbol="A", wait=2):
    """One symbol's labels, each known `wait` bars later, and features that say nothing."""
    times = pd.date_range("2024-01-01", periods=len(labels), freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([[symbol], times], names=["symbol", "time"])
    known_at = (times + wait * HOUR).where(np.isfinite(labels))
    table = pd.DataFrame({"label": np.array(labels, dtype=float), "known_at": known_at}, index)
    return pd.DataFrame({"nothing": 0.0}, index), table


def fitted(model_type, labels, rows, target="signal_direction", **more):
    features, table = frame(labels, **more)
    return training.make(model_type, target).fit(features, table, np.array(rows)), features


def test_majority_gives_the_class_shares_of_its_rows():
    model, features = fitted("MAJORITY", [1, 1, 0, -1, 1, 0], [0, 1, 2, 3])
    got = model.predict_proba(features, np.array([4, 5]))
    assert got.tolist() == [[0.25, 0.25, 0.5]] * 2
    assert model.predict(features, np.array([4, 5])).tolist() == [1.0, 1.0]


def test_majority_takes_the_first_of_equal_classes():
    model, features = fitted("MAJORITY", [1, -1, 0], [0, 1, 2])
    assert model.predict(features, np.array([0])).tolist() == [-1.0]


def test_majority_weighs_its_rows():
    features, table = frame([1, 0, -1, -1])
    model = training.make("MAJORITY", "signal_direction")
    model.fit(features, table, np.arange(4), sample_weight=np.array([6.0, 2.0, 1.0, 1.0]))
    assert model.predict_proba(features, np.array([0])).tolist() == [[0.2, 0.2, 0.6]]


def test_majority_of_numbers_is_their_mean():
    model, features = fitted("MAJORITY", [0.01, 0.02, 0.06, 9.0], [0, 1, 2], "target_return")
    assert model.predict(features, np.array([3, 0])).tolist() == pytest.approx([0.03, 0.03])


def test_persistence_repeats_the_newest_label_that_was_known():
    # labels wait two bars: at bar 5 the newest known is that of bar 3, at bar 4 that of bar 2
    model, features = fitted("PERSISTENCE", [1, 1, -1, 0, 1, 1], [0, 1, 2])
    assert model.predict(features, np.array([2, 3, 4, 5])).tolist() == [1.0, 1.0, -1.0, 0.0]


def test_persistence_knows_nothing_before_the_first_label_settles():
    model, features = fitted("PERSISTENCE", [1, 1, -1, 0, 1, 1], [0, 1, 2, 3])
    got = model.predict_proba(features, np.array([0, 1]))
    assert got.tolist() == [[1 / 3] * 3] * 2


def test_persistence_learns_how_often_a_label_comes_again():
    # rows 2 to 6 find 1, 1, 1, 0, 0 two bars before; it holds at rows 2, 3 and 5
    labels = [1, 1, 1, 0, 0, 1, 0]
    held = [labels[i] == labels[i - 2] for i in range(2, 7)]
    model, features = fitted("PERSISTENCE", labels, range(7))
    share = sum(held) / len(held)
    got = model.predict_proba(features, np.array([6]))
    assert share == 0.4
    assert got.tolist() == [pytest.approx([0.3, 0.4, 0.3])]


def test_persistence_keeps_the_last_label_the_likeliest_even_where_it_never_held():
    model, features = fitted("PERSISTENCE", [1, 1, -1, -1, 1, 1, -1, -1], range(8))
    assert model.predict(features, np.array([6, 7])).tolist() == [1.0, 1.0]


def test_persistence_of_numbers_repeats_them_and_starts_from_no_change():
    labels = [0.01, 0.02, -0.03, 0.04]
    model, features = fitted("PERSISTENCE", labels, [0, 1], "target_return")
    assert model.predict(features, np.arange(4)).tolist() == [0.0, 0.0, 0.01, 0.02]


def test_persistence_looks_at_the_symbol_of_the_row():
    one, other = frame([1, 1, 1, 1]), frame([-1, -1, -1, -1], symbol="B")
    features, table = (pd.concat(pair) for pair in zip(one, other, strict=True))
    model = training.make("PERSISTENCE", "signal_direction").fit(features, table, np.arange(8))
    assert model.predict(features, np.array([3, 7])).tolist() == [1.0, -1.0]


def test_persistence_passes_over_rows_that_have_no_label():
    model, features = fitted("PERSISTENCE", [1, -1, np.nan, np.nan, 0, 1], [0, 1])
    assert model.predict(features, np.array([4, 5])).tolist() == [-1.0, -1.0]


@pytest.mark.parametrize("wait", [1, 2, 5])
@pytest.mark.parametrize("target", ["signal_direction", "target_return"])
def test_persistence_never_uses_a_label_before_it_is_known(wait, target):
    rng, n = np.random.default_rng(wait), 120
    features, table = frame(rng.integers(-1, 2, n), wait=wait)
    times, rows, asked = table.index.get_level_values("time"), np.arange(40), np.arange(40, n)
    model = training.make(model_type="PERSISTENCE", target=target)
    base = model.fit(features, table, rows).predict(features, asked)
    for at in (40, 41, 77, 118):
        late = (table["known_at"] > times[at]).to_numpy()
        poisoned = table.assign(label=table["label"].mask(late, -7.0 * table["label"] - 3.0))
        got = training.make("PERSISTENCE", target).fit(features, poisoned, rows)
        until = asked[asked <= at]
        np.testing.assert_array_equal(got.predict(features, until), base[: len(until)])
        # the label that becomes known at the next bar is not idle: it is what that bar repeats
        if at + 1 < n and target == "target_return":
            assert got.predict(features, asked)[len(until)] != base[len(until)]


@pytest.mark.parametrize("labels", [signal_direction, target_return])
def test_persistence_on_real_labels_equals_a_plain_loop(labels):
    bars = pd.concat({"A": probe_bars(200), "B": probe_bars(150, 4)}, names=["symbol", "time"])
    table = labels(bars, 4).reindex(bars.index)
    features = pd.DataFrame({"nothing": 0.0}, index=bars.index)
    target = labels.__name__
    rows = np.flatnonzero(table["label"].notna())
    got = training.make("PERSISTENCE", target).fit(features, table, rows[:100])
    asked = np.r_[150:200, 320:350]
    for row, prediction in zip(asked, got.predict(features, asked), strict=True):
        symbol, time = table.index[row]
        mine = table.loc[symbol]
        seen = mine[mine["known_at"] <= time]
        assert prediction == seen["label"].iloc[-1]


def test_persistence_refuses_another_table():
    model, features = fitted("PERSISTENCE", [1, 1, -1, 0, 1, 1], [0, 1, 2])
    with pytest.raises(DataError, match="rows of the table it was fitted on only"):
        model.predict(features.iloc[:5], np.array([3]))
