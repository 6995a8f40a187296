"""Tables that come beside bars: weights, prices and rates, read as they stand or refused.

Whatever is no number, no time or no column that somebody reads is told with its place; a
value is never parsed from text, a column never taken for another.
"""

from __future__ import annotations

from difflib import get_close_matches
from numbers import Real

import numpy as np
import pandas as pd

from signalkit.errors import DataError

BESIDE = ("limit_price", "stop")
COLUMNS = ("weight", *BESIDE)


def weights(weight: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """Weights as a table with `weight`; DataError where it is none."""
    if not isinstance(weight, pd.DataFrame | pd.Series):
        raise DataError(f"weights are a Series or a DataFrame, were a {type(weight).__name__}")
    table = weight.to_frame("weight") if isinstance(weight, pd.Series) else weight
    columns = list(table.columns)
    if "weight" not in columns:
        raise DataError(f"weights need the column weight; they have {columns}")
    for name in columns:
        if name in COLUMNS:
            if columns.count(name) > 1:
                raise DataError(f"weights have the column {name!r} twice; keep one")
        elif str(name).startswith(("limit", "stop")) or get_close_matches(str(name), COLUMNS):
            raise DataError(
                f"weights have the column {name!r}, which nothing reads; they may have"
                f" {' and '.join(BESIDE)} beside weight"
            )
    if table.empty:
        raise DataError("there are no weights to simulate")
    return table


def rates(funding: pd.Series) -> pd.Series:
    """Funding rates; DataError where they are no Series."""
    if not isinstance(funding, pd.Series):
        raise DataError(f"funding is a Series of rates, was a {type(funding).__name__}")
    return funding


def numbers(column: pd.Series, what: str) -> np.ndarray:
    """A column as float64, NaN where it has nothing; DataError with what is no number."""
    kind = column.dtype.kind
    if kind in "fiu":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    for place, value in column.items():
        real = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
        if not real and value is not None and value is not pd.NA:
            raise DataError(f"{what} at {told(place)} is {value!r}, which is no number; give one")
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def first_time(weight: pd.DataFrame | pd.Series) -> pd.Timestamp:
    """Earliest time of weights."""
    return times(weights(weight).index, "a weight").min()


def times(index: pd.Index, what: str) -> pd.DatetimeIndex:
    """Times of an index of bars; DataError where it has none in UTC, or misses one."""
    if index.nlevels > 2:
        found = list(index.names)
        raise DataError(f"{what} is indexed by {found}; give (symbol, time), or time for one")
    found = index.levels[1] if index.nlevels == 2 else index
    if not isinstance(found, pd.DatetimeIndex) or str(found.tz) != "UTC":
        raise DataError(f"{what} is indexed by {found.dtype}; give bar ends in UTC, as bars have")
    none = index.codes[1] < 0 if index.nlevels == 2 else found.isna()
    if none.any():
        raise DataError(f"{what} in row {int(np.argmax(none))} has no time; drop that row")
    return found.take(index.codes[1]) if index.nlevels == 2 else found


def refuse(bad: np.ndarray, index: pd.Index, values: np.ndarray, what: str, instead: str) -> None:
    """DataError with the first bad value and its place, if there is one."""
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"{what} at {told(index[row])} is {values[row]:g}; {instead}")


def told(place: pd.Timestamp | tuple) -> str:
    """An entry of an index for a message."""
    if isinstance(place, tuple):
        return f"{place[0]} {place[1]:%Y-%m-%d %H:%M}Z".strip()
    return f"{place:%Y-%m-%d %H:%M}Z"
