"""What every score asks of its rows, and means that are the same bits on any number of threads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pandas as pd

from signalkit.errors import DataError


class Scorer(ABC):
    """Scores of some rows as a function of their weights.

    Attributes
    ----------
    names : tuple of str
        The scores, in their order.
    n_rows : int
        Rows that are scored.
    """

    names: ClassVar[tuple[str, ...]]

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows

    def __call__(self, weight: np.ndarray) -> pd.Series:
        """The scores of the rows by their weights.

        Raises
        ------
        DataError
            If there is not a weight for each row, or no row weighs anything.
        """
        weight = np.asarray(weight, dtype=float)
        total_weight(weight, self.n_rows)
        return pd.Series(self.drawn(weight[None], np.arange(self.n_rows))[0], self.names)

    @abstractmethod
    def drawn(self, counts: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The scores of many draws at once.

        Parameters
        ----------
        counts : array of float, shape (n_draws, n_times)
            How often each draw has each time.
        place : array of int, shape (n_rows,)
            Time of each row.

        Returns
        -------
        array of shape (n_draws, n_scores)
            In the order of `names`.
        """


def count_rows(*columns: np.ndarray) -> int:
    """Number of rows; all columns must agree and be finite."""
    lengths = {len(column) for column in columns}
    if len(lengths) > 1 or 0 in lengths:
        raise DataError(f"scores need columns of one length above 0, were {sorted(lengths)}")
    for column in columns:
        broken = ~np.isfinite(column).reshape(len(column), -1).all(axis=1)
        if broken.any():
            raise DataError(f"a scored value in row {int(np.argmax(broken))} is not finite")
    return lengths.pop()


def total_weight(weight: np.ndarray, n: int) -> float:
    """Sum of row weights that fit n rows and weigh something."""
    if len(weight) != n:
        raise DataError(f"{len(weight)} weights do not fit {n} rows")
    total = float(weight.sum())
    if not total > 0:
        raise DataError(f"weights of {n} rows sum to {total:g}; no row is scored")
    return total


def weighted_mean(values: np.ndarray, weight: np.ndarray, total: float) -> float:
    """Sum of weight x value over the total; not a dot product, which threads add in their order."""
    return float((weight * values).sum()) / total


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
