"""hull.py: ranges of the columns in the training rows, kept beside the model."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError, StoreError
from signalkit.study.hull import HULL, Hull

NAN = np.nan


def table(**columns):
    """Columns of one symbol, a day a row."""
    times = pd.date_range("2024-01-01", periods=len(next(iter(columns.values()))), tz="UTC")
    index = pd.MultiIndex.from_product([["A"], times], names=["symbol", "time"])
    return pd.DataFrame(columns, index=index, dtype=float)


def day(number):
    """A day of January 2024."""
    return pd.Timestamp(2024, 1, number, tz="UTC")


def test_ranges_are_those_of_the_whole_rows_of_the_window():
    read = table(up=[9, 1, 2, 3, 9], down=[0, 5, NAN, -5, 9])
    # the first and last row are outside the window, the third lacks a value
    hull = Hull.of(read, day(2), day(4))
    assert (hull.low, hull.high, hull.rows) == ([1, -5], [3, 5], 2)


@pytest.mark.parametrize(
    ("row", "outside"),
    [
        ([1, -5], []),
        ([3, 5], []),
        ([0.999, 0], ["up"]),
        ([3.001, 5.001], ["up", "down"]),
        ([NAN, 9], ["down"]),
    ],
)
def test_a_value_beyond_the_range_is_outside_and_one_on_its_edge_is_not(row, outside):
    hull = Hull(["up", "down"], [1, -5], [3, 5], 2)
    assert hull.outside(np.array(row, dtype=float)) == outside


def test_a_hull_comes_back_as_it_was_written():
    hull = Hull.of(table(up=[0.1, 1 / 3]), day(1), day(2))
    assert Hull.read({HULL: hull.content()}) == hull
    assert Hull.read({"recipe.json": b"{}"}) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"low": [1]}'])
def test_refuses_a_file_that_is_no_hull(content):
    with pytest.raises(StoreError, match="holds no hull of ours"):
        Hull.read({HULL: content})


def test_refuses_a_window_without_a_whole_row():
    with pytest.raises(DataError, match="has a value of every column"):
        Hull.of(table(up=[NAN, 1]), day(1), day(1))
