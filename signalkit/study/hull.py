"""The hull: the range of each column in the rows that a model was trained on.

A tree says nothing beyond the range it has seen, and a network invents: whoever serves a model
must be able to tell. The hull is a box, column by column; that two columns which always moved
together have parted is not seen by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from signalkit.errors import DataError, StoreError

# file beside a model that holds the ranges
HULL = "hull.json"


@dataclass(frozen=True)
class Hull:
    """Lowest and highest value of each column in `rows` training rows, in the column's unit."""

    columns: list[str]
    low: list[float]
    high: list[float]
    rows: int

    @classmethod
    def of(cls, features: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp) -> Hull:
        """The hull of the rows from one bar end to another that have every value.

        Parameters
        ----------
        features : DataFrame indexed by (symbol, time)
            The columns that the model reads.
        first, last : Timestamp
            First and last bar end that it was trained on, both included.

        Raises
        ------
        DataError
            If there is no such row.
        """
        times = features.index.get_level_values("time")
        inside = features[(times >= first) & (times <= last)].dropna()
        if inside.empty:
            raise DataError(f"no row from {first} to {last} has a value of every column")
        low, high = inside.min(), inside.max()
        return cls(list(features.columns), low.tolist(), high.tolist(), len(inside))

    def outside(self, row: np.ndarray) -> list[str]:
        """Columns whose value in a row of shape (n_columns,) is outside; NaN is not."""
        out = (row < self._bounds[0]) | (row > self._bounds[1])
        return [self.columns[place] for place in np.flatnonzero(out)]

    @cached_property
    def _bounds(self) -> np.ndarray:
        """The ranges, shape (2, n_columns)."""
        return np.array([self.low, self.high])

    def content(self) -> bytes:
        """The hull as the file that is kept beside a model."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @staticmethod
    def read(files: Mapping[str, bytes]) -> Hull | None:
        """The hull among a model's files, None where none was kept.

        Raises
        ------
        StoreError
            If the file is no hull of ours.
        """
        if HULL not in files:
            return None
        try:
            return Hull(**json.loads(files[HULL]))
        except (TypeError, ValueError) as cause:
            raise StoreError(f"{HULL} holds no hull of ours ({cause})") from None
