"""What the tests ask of a table: a row a time, a column a trial or model, no hole in it.

Nothing is filled or dropped here: a hole would be a choice about whose bad days count.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError


def finite(table: pd.DataFrame, name: str, *, rows: int, columns: int = 1) -> np.ndarray:
    """Values of a table of at least so many rows and columns.

    Parameters
    ----------
    table : DataFrame of shape (n_times, n_columns)
        Numbers; an array is taken too.
    name : str
        What errors call it.
    rows, columns : int
        The least there must be.

    Returns
    -------
    array of float, shape (n_times, n_columns)

    Raises
    ------
    DataError
        If it is smaller, or a value is not finite.
    """
    if np.ndim(table) != 2:
        raise DataError(
            f"{name} need a row a time and a column each, were of {np.ndim(table)} axes"
        )
    table = pd.DataFrame(table)
    if len(table) < rows or table.shape[1] < columns:
        raise DataError(
            f"{name} need at least {rows} times and {columns} columns, were of shape {table.shape}"
        )
    values = table.to_numpy(dtype=float)
    row, column = np.unravel_index(np.argmin(np.isfinite(values)), values.shape)
    if not np.isfinite(values[row, column]):
        raise DataError(
            f"{name} of {table.columns[column]!r} are {values[row, column]} in row {int(row)};"
            " score all on the same times, without holes"
        )
    return values
