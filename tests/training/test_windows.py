"""windows.py: scaling of the training rows alone, and windows that never reach over a break."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from signalkit.errors import DataError
from signalkit.features.gaps import Clock
from signalkit.training.windows import LIMIT, Scaling, Windows

PLAIN = Clock()


def matrix(n=60, columns=3, seed=5):
    """Noise at hourly bars."""
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    values = np.random.default_rng(seed).normal(3, 2, size=(n, columns))
    return pd.DataFrame(values, times, [f"column_{i}" for i in range(columns)])


def as_it_is(columns=3):
    """A scaling that changes nothing between -10 and 10."""
    return Scaling(np.zeros(columns), np.ones(columns))


def windows(features, rows, lookback=4, clock=PLAIN, scaling=None):
    scaling = scaling or as_it_is(features.shape[1])
    return Windows(features, np.asarray(rows), scaling=scaling, lookback=lookback, clock=clock)


def held(features, rows, **given):
    """Bars in each window."""
    before = windows(features, rows, **given).batch(np.asarray(rows))[1]
    return (before[:, :, 0] == 0).sum(axis=1).tolist()


def test_scaling_is_that_of_scikit_learn_on_the_training_rows():
    features = matrix()
    features.iloc[3, 1] = np.nan
    rows = np.arange(0, 40, 3)
    expected = StandardScaler().fit(features.to_numpy()[rows])  # ddof 0, NaN left out
    got = Scaling.of(features, rows)
    np.testing.assert_allclose(got.mean, expected.mean_, rtol=1e-14)
    np.testing.assert_allclose(1 / got.gain, expected.scale_, rtol=1e-14)


def test_scaling_does_not_see_any_other_row():
    features, rows = matrix(), np.arange(10, 30)
    poisoned = features.copy()
    poisoned.iloc[np.setdiff1d(np.arange(len(features)), rows)] = 1e30
    one, other = Scaling.of(features, rows), Scaling.of(poisoned, rows)
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.gain, other.gain)


def test_many_portions_are_scaled_as_one():
    features = matrix(5000)
    values = features.to_numpy()
    got = Scaling.of(features, np.arange(5000))
    np.testing.assert_allclose(got.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(got.gain, 1 / values.std(axis=0), rtol=1e-12)
    expected = (values - got.mean) * got.gain
    filled = windows(features, [4999], lookback=5000, scaling=got)
    np.testing.assert_allclose(filled.batch(np.array([4999]))[0][0], expected, atol=1e-6)


@pytest.mark.parametrize("told", [7.5, 0.1, np.nan])
def test_a_column_that_does_not_vary_in_training_is_never_read(told):
    features = matrix()
    features.iloc[:40, 1] = told
    features.iloc[40:42, 1] = [1e9, np.inf]
    scaling = Scaling.of(features, np.arange(40))
    bars, _ = windows(features, [41, 59], lookback=30, scaling=scaling).batch(np.array([41, 59]))
    assert (bars[:, :, 1] == 0).all()
    assert (bars[:, :, [0, 2]] != 0).all()


def test_an_infinite_value_is_refused_in_training_and_cut_off_later():
    features = matrix()
    features.iloc[50, 2] = -np.inf
    with pytest.raises(DataError, match="column_2 is infinite in a training row"):
        Scaling.of(features, np.arange(60))
    scaling = Scaling.of(features, np.arange(40))
    bars, _ = windows(features, [50], scaling=scaling).batch(np.array([50]))
    assert bars[0, -1, 2] == -LIMIT


def test_a_missing_value_is_at_the_mean():
    features = matrix()
    features.iloc[20, 0] = np.nan
    scaling = Scaling.of(features, np.arange(40))
    bars, before = windows(features, [20], scaling=scaling).batch(np.array([20]))
    assert bars[0, -1, 0] == 0
    assert bars[0, -1, 1] != 0
    assert before.sum() == 0


def test_windows_are_views_of_one_float32_matrix():
    features = matrix()
    made = windows(features, np.arange(60), lookback=8)
    assert np.shares_memory(made._view, made.matrix)
    assert made.matrix.dtype == np.float32
    assert made.matrix.shape == (60 + 7, 3)


def test_the_first_bars_have_shorter_windows():
    features = matrix()
    bars, before = windows(features, [0, 2, 9]).batch(np.array([0, 2, 9]))
    assert before[:, :, 0].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(bars[2], features.to_numpy(dtype=np.float32)[6:10])
    np.testing.assert_array_equal(bars[1, 1:], features.to_numpy(dtype=np.float32)[:3])
    assert (bars[0, :3] == 0).all()


def test_a_window_stays_within_its_symbol():
    features = pd.concat({name: matrix(5) for name in "AB"}, names=["symbol", "time"])
    assert held(features, [3, 4, 5, 6, 9]) == [4, 4, 1, 2, 4]


def test_a_row_without_any_value_is_a_break():
    features = matrix(10)
    features.iloc[4] = np.nan
    assert held(features, [3, 5, 6, 9]) == [4, 1, 2, 4]
    with pytest.raises(DataError, match="1 of 2 rows have no value of any feature"):
        windows(features, [3, 4])


@pytest.mark.parametrize(("max_gap", "expected"), [(2, [4, 1, 2]), (3, [4, 4, 4])])
def test_a_gap_longer_than_is_bridged_is_a_break(max_gap, expected):
    whole = matrix(20)
    features = whole.drop(whole.index[8:11])  # three bars are missing before row 8
    assert held(features, [7, 8, 9], clock=Clock("1h", max_gap=max_gap)) == expected
    assert held(features, [7, 8, 9]) == [4, 4, 4]  # without an interval rows follow on each other


def test_a_weekend_is_no_gap_of_an_exchange():
    days = pd.date_range("2024-01-02", "2024-01-31", freq="B").normalize()
    closes = (days + pd.Timedelta(16, "h")).tz_localize("America/New_York").tz_convert("UTC")
    features = matrix(len(closes)).set_index(closes.rename("time"))
    rows = np.arange(len(closes))
    assert held(features, rows, clock=Clock("1d", "XNYS", 0))[:4] == [1, 2, 3, 4]
    assert min(held(features, rows[4:9], clock=Clock("1d", "XNYS", 0))) == 4
    assert held(features, rows[4:9], clock=Clock("1d", max_gap=0)).count(1) == 1


@pytest.mark.parametrize("seed", range(8))
def test_windows_equal_a_walk_back_bar_by_bar(seed):
    rng = np.random.default_rng(seed)
    parts = {}
    for name in "ABC":
        whole = matrix(60, seed=seed)
        parts[name] = whole[rng.random(60) < 0.7]
    features = pd.concat(parts, names=["symbol", "time"])
    features[rng.random(len(features)) < 0.1] = np.nan
    lookback, max_gap = int(rng.integers(1, 9)), int(rng.integers(0, 4))
    asked = rng.permutation(np.flatnonzero(features.notna().all(axis=1)))[:40]
    clock = Clock("1h", max_gap=max_gap)
    bars, before = windows(features, asked, lookback=lookback, clock=clock).batch(asked)
    for row, got, skipped in zip(asked, bars, before[:, :, 0], strict=True):
        expected = walked_back(features, row, lookback, max_gap)
        np.testing.assert_array_equal(got[lookback - len(expected) :], expected)
        assert skipped.sum() == lookback - len(expected)
        assert (got[skipped == 1] == 0).all()


def walked_back(features, row, lookback, max_gap):
    """Brute force: the rows back from one until there is a reason to stop."""
    found = [row]
    while len(found) < lookback and found[0] > 0:
        (symbol, time), (earlier, before) = features.index[found[0]], features.index[found[0] - 1]
        missing = (time - before) / pd.Timedelta("1h") - 1
        last = features.iloc[found[0] - 1]
        if symbol != earlier or missing > max_gap or last.isna().all():
            break
        found.insert(0, found[0] - 1)
    return features.iloc[found].to_numpy(dtype=np.float32)


def test_what_comes_after_the_last_row_is_never_read():
    features, rows = matrix(), np.arange(20, 40)
    poisoned = features.copy()
    poisoned.iloc[40:] = np.inf
    one, other = (windows(table, rows).batch(rows)[0] for table in (features, poisoned))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("columns", [1, 30])
def test_memory_is_little_more_than_the_matrix(columns):
    features = matrix(60_000, columns)
    rows = np.arange(len(features))
    tracemalloc.start()
    made = windows(features, rows, lookback=32, scaling=Scaling.of(features, rows))
    for first in range(0, len(rows), 256):
        made.batch(rows[first : first + 256])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the rows themselves and the length of each one's window are 8 bytes a row
    assert peak <= 1.5 * made.matrix.nbytes + 8 * 8 * len(rows)


def test_rows_out_of_order_are_refused_before_a_window_takes_later_bars_for_earlier_ones():
    with pytest.raises(DataError, match="rows go back in time at row 1"):
        windows(matrix().iloc[::-1], [20, 30], clock=Clock("1h"))
