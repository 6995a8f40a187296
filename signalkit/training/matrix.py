"""Rows of the feature matrix on their way into a library, and their weights.

A NaN goes through: each model says what it makes of it. An infinity never does, and neither
do columns other than those that were learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from signalkit.errors import DataError, LeakError


def check_order(index: pd.Index) -> None:
    """Refuse rows that are not in blocks of one symbol each, in order of time.

    What looks back, a window or a recursion, takes the rows above a row for its past.

    Parameters
    ----------
    index : Index of shape (n_rows,)
        (symbol, time), or time alone.

    Raises
    ------
    DataError
        With the first row that is not in order.
    """
    times = pd.DatetimeIndex(index.get_level_values("time") if "time" in index.names else index)
    back = np.diff(times.asi8) <= 0
    same = np.ones_like(back)
    if "symbol" in index.names:
        codes, names = pd.factorize(index.get_level_values("symbol"))
        same = np.diff(codes) == 0
        if (~same).sum() > max(len(names) - 1, 0):
            raise DataError(
                f"rows of the {len(names)} symbols are mixed; sort them by symbol and time"
            )
    if (same & back).any():
        row = int(np.argmax(same & back)) + 1
        raise DataError(
            f"rows go back in time at row {row}: {times[row]:%Y-%m-%d %H:%M}Z follows"
            f" {times[row - 1]:%Y-%m-%d %H:%M}Z; sort them by symbol and time"
        )


def check_labels(labels: pd.DataFrame) -> None:
    """Refuse labels that are there twice, or were known before anything came of their bar.

    Parameters
    ----------
    labels : DataFrame indexed by (symbol, time)
        `label` and `known_at`.

    Raises
    ------
    DataError, LeakError
        With the first such row.
    """
    if labels.index.has_duplicates:
        twice = labels.index[labels.index.duplicated()][0]
        raise DataError(f"labels have two rows at {twice}; drop the repeated row")
    early = (labels["known_at"] <= labels.index.get_level_values("time")).to_numpy()
    if early.any():
        raise LeakError(
            f"the label at {labels.index[early][0]} is known at its own bar or before; make"
            " known_at the end of the bar that settles it"
        )


def block(
    features: pd.DataFrame, rows: np.ndarray, *, learned: Sequence[str], model_type: str
) -> np.ndarray:
    """Rows of the matrix; rows that follow one another are a view, which must not be written to.

    Parameters
    ----------
    features : DataFrame of shape (n_rows, n_features)
        The whole matrix.
    rows : array of int
        Positions.
    learned : sequence of str
        The columns that the model learned, in their order.
    model_type : str
        Who asks, for the message.

    Returns
    -------
    float64 array of shape (len(rows), n_features)

    Raises
    ------
    DataError
        If the columns differ from those learned, or one is infinite somewhere in the rows.
    """
    if list(features.columns) != list(learned):
        raise DataError(
            f"{model_type} learned the columns {list(learned)}, was asked with"
            f" {list(features.columns)}"
        )
    found = features.to_numpy(dtype=float)[_span(rows)]
    infinite = np.isinf(found)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise DataError(
            f"feature {learned[column]} is {found[row, column]} at {features.index[rows[row]]};"
            f" {model_type} takes finite numbers and NaN"
        )
    return found


def weights(
    sample_weight: np.ndarray | None, rows: np.ndarray, *, model_type: str
) -> np.ndarray | None:
    """Weights with a mean of 1, or none: only how they compare with one another counts.

    Raises
    ------
    DataError
        If there is not one finite weight of at least 0 for each row, or all are 0.
    """
    if sample_weight is None:
        return None
    found = np.asarray(sample_weight, dtype=float)
    if found.shape != rows.shape:
        raise DataError(f"{model_type}: {found.size} sample weights for {len(rows)} rows")
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        first = int(wrong.argmax())
        raise DataError(
            f"{model_type}: sample weight {first} is {found[first]}; weights are at least 0"
        )
    if not found.any():
        raise DataError(
            f"{model_type}: all {len(rows)} sample weights are 0; leave rows out instead"
        )
    return found / found.mean()


def _span(rows: np.ndarray) -> np.ndarray | slice:
    """The same rows as a slice where each follows the one before: a view instead of a copy."""
    if len(rows) and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
