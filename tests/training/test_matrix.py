"""matrix.py: rows as they are, without a copy where they follow one another, never infinite."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError
from signalkit.training.matrix import block, check_order, weights


def frame():
    times = pd.date_range("2024-01-01", periods=6, freq="h", tz="UTC")
    return pd.DataFrame({"a": np.arange(6.0), "b": np.arange(6.0) * 10}, times)


def got(features, rows):
    return block(features, np.array(rows), learned=["a", "b"], model_type="XGBOOST")


@pytest.mark.parametrize("rows", [[0, 1, 2], [5], [2, 3, 4, 5], [0, 2, 4], [3, 2, 1], [1, 1], []])
def test_the_rows_asked_for_come_in_their_order(rows):
    rows = np.array(rows, dtype=int)
    np.testing.assert_array_equal(got(frame(), rows), frame().to_numpy()[rows])


def test_rows_that_follow_one_another_are_not_copied():
    features = frame()
    assert np.shares_memory(got(features, [1, 2, 3]), features.to_numpy())
    assert not np.shares_memory(got(features, [1, 3]), features.to_numpy())


def test_a_missing_value_goes_through_and_whole_numbers_become_floats():
    features = frame().assign(a=np.nan, b=range(6))
    found = got(features, [0, 1])
    assert np.isnan(found[:, 0]).all()
    assert found[:, 1].tolist() == [0.0, 1.0]
    assert found.dtype == float


def test_an_infinite_value_is_named_with_its_time_unless_nobody_asks_for_it():
    features = frame()
    features.iloc[3, 1] = -np.inf
    with pytest.raises(DataError, match=r"feature b is -inf at 2024-01-01 03:00:00.*; XGBOOST"):
        got(features, [0, 3])
    assert np.isfinite(got(features, [0, 1, 2, 4])).all()


def test_weights_keep_their_proportions_and_have_a_mean_of_1():
    rows = np.arange(3)
    assert weights(np.array([1.0, 2.0, 3.0]), rows, model_type="X").tolist() == [0.5, 1.0, 1.5]
    assert weights(None, rows, model_type="X") is None
    with pytest.raises(DataError, match="X: sample weight 1 is inf; weights are at least 0"):
        weights(np.array([1.0, np.inf, 3.0]), rows, model_type="X")


def panel(order):
    """Two symbols of three hours, by the place that each row has in the sorted table."""
    times = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["symbol", "time"])
    return index[order]


def test_rows_in_blocks_of_symbols_and_in_order_of_time_pass():
    for order in ([0, 1, 2, 3, 4, 5], [3, 4, 5, 0, 1, 2], [0, 2, 5], [4], []):
        assert check_order(panel(order)) is None
    assert check_order(frame().index) is None


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ([0, 2, 1], "row 2: 2024-01-01 01:00Z follows 2024-01-01 02:00Z; sort them"),
        ([0, 1, 1], "row 2: 2024-01-01 01:00Z follows 2024-01-01 01:00Z"),
        ([5, 4, 3, 2, 1, 0], "row 1: 2024-01-01 01:00Z follows 2024-01-01 02:00Z"),
        ([0, 3, 1, 4], "rows of the 2 symbols are mixed; sort them by symbol and time"),
    ],
)
def test_rows_that_would_take_the_future_for_their_past_are_refused(order, says):
    with pytest.raises(DataError, match=says):
        check_order(panel(order))
