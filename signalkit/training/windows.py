"""Windows: the bars a recurrent model looks back on, as views of one scaled matrix.

Nothing is copied but the batch in hand. A window never reaches over a symbol's first bar, a
gap that is not bridged, or a row without any value: what lies before is told apart and never
read. Mean and spread come from the training rows alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.features.gaps import Clock
from signalkit.training.matrix import check_order

# standard deviations from the mean at which a scaled value is cut off
LIMIT = 10.0
# of the mean: a column whose spread is not above it is constant but for rounding
_ROUNDING = 1e-12
# rows that are worked on at once, so that float64 never holds a second matrix
_CHUNK = 512


def _chunks(features: pd.DataFrame, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Some rows of a matrix as float64, a portion at a time."""
    for first in range(0, len(rows), _CHUNK):
        yield features.iloc[rows[first : first + _CHUNK]].to_numpy(dtype=float)


@dataclass(frozen=True)
class Scaling:
    """Mean and reciprocal spread of each column in the training rows.

    Parameters
    ----------
    mean : array of shape (n_features,)
        Mean of what is known, 0 where nothing is.
    gain : array of shape (n_features,)
        One over the standard deviation (ddof 0); 0 where a column is constant or without a
        value, so that what it does later, of which nothing was learned, is not read.
    """

    mean: np.ndarray
    gain: np.ndarray

    @classmethod
    def of(cls, features: pd.DataFrame, rows: np.ndarray) -> Scaling:
        """Scaling learned from some rows and nothing else.

        Parameters
        ----------
        features : DataFrame of shape (n_rows, n_features)
            The whole matrix; NaN where a value is missing.
        rows : array of int
            Training rows.

        Raises
        ------
        DataError
            If a column has an infinite value in those rows.
        """
        count = np.zeros(features.shape[1])
        total, square = count.copy(), count.copy()
        for part in _chunks(features, rows):
            if np.isinf(part).any():
                name = features.columns[np.isinf(part).any(axis=0)][0]
                raise DataError(f"feature {name} is infinite in a training row; leave it out")
            count += np.isfinite(part).sum(axis=0)
            total += np.nansum(part, axis=0)
        mean = total / np.maximum(count, 1)
        for part in _chunks(features, rows):
            square += np.nansum((part - mean) ** 2, axis=0)
        spread = np.sqrt(square / np.maximum(count, 1))
        varies = spread > _ROUNDING * np.abs(mean)
        return cls(mean, np.divide(1, spread, out=np.zeros_like(spread), where=varies))

    def scaled(self, part: np.ndarray) -> np.ndarray:
        """Rows in standard deviations, cut off at ±10; what is missing is at the mean.

        Parameters
        ----------
        part : array of shape (n_rows, n_features)
            Rows as they are; NaN where a value is missing.
        """
        missing = np.isnan(part)
        known = np.where(missing, self.mean, part)
        # a column that is not read may be infinite, and 0 times infinity is no number
        known = np.where(self.gain > 0, known, self.mean)
        return np.clip((known - self.mean) * self.gain, -LIMIT, LIMIT)


class Windows:
    """The last bars up to each of some rows, scaled, a batch at a time.

    Parameters
    ----------
    features : DataFrame of shape (n_rows, n_features)
        The whole matrix, indexed by (symbol, time), one block per symbol, or by time.
    rows : array of int
        Rows that will be asked for; nothing after the last of them is read.
    scaling : Scaling
        What was learned from the training rows.
    lookback : int
        Bars in a window, the row itself included.
    clock : Clock
        Which bars follow on each other.

    Raises
    ------
    DataError
        If a row has no value at all, or rows are not in order of symbol and time.
    """

    def __init__(
        self,
        features: pd.DataFrame,
        rows: np.ndarray,
        *,
        scaling: Scaling,
        lookback: int,
        clock: Clock,
    ) -> None:
        self._first = max(int(rows.min()) - lookback + 1, 0)
        span = features.iloc[self._first : int(rows.max()) + 1]
        check_order(span.index)
        # before the first row there is room for a window that has not begun
        self.matrix = np.zeros((lookback - 1 + len(span), span.shape[1]), dtype=np.float32)
        known = np.zeros(len(span), dtype=bool)
        done = 0
        for part in _chunks(span, np.arange(len(span))):
            known[done : done + len(part)] = ~np.isnan(part).all(axis=1)
            place = lookback - 1 + done
            self.matrix[place : place + len(part)] = scaling.scaled(part)
            done += len(part)
        view = np.lib.stride_tricks.sliding_window_view(self.matrix, lookback, axis=0)
        self._view = view.transpose(0, 2, 1)
        held = np.minimum(_lengths(span.index, known, clock), lookback)
        self._before = (lookback - held).astype(np.int32)
        self._check(held[rows - self._first])

    @staticmethod
    def _check(held: np.ndarray) -> None:
        """Refuse rows of which nothing is known."""
        if not held.all():
            raise DataError(
                f"{int((held == 0).sum())} of {len(held)} rows have no value of any feature; leave"
                " rows in warm-up out"
            )

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Windows that end at some rows, and which of their steps lie before the first bar.

        Parameters
        ----------
        rows : array of int
            Positions in the whole matrix, of those the windows were made for.

        Returns
        -------
        bars : array of float32, shape (len(rows), lookback, n_features)
            Oldest bar first; 0 before the first bar.
        before : array of float32, shape (len(rows), lookback, 1)
            1 for a step that has no bar, 0 for a bar.
        """
        bars = self._view[rows - self._first]
        skipped = np.arange(bars.shape[1]) < self._before[rows - self._first, None]
        bars[skipped] = 0.0
        return bars, skipped[:, :, None].astype(np.float32)


def _lengths(index: pd.Index, known: np.ndarray, clock: Clock) -> np.ndarray:
    """Bars in a row up to each bar without a break; 0 where a row has no value."""
    fresh = _begins(index, clock) | ~known
    fresh[1:] |= ~known[:-1]
    place = np.arange(len(known))
    began = np.maximum.accumulate(np.where(fresh, place, 0))
    return np.where(known, place - began + 1, 0)


def _begins(index: pd.Index, clock: Clock) -> np.ndarray:
    """Whether a bar is its symbol's first or comes after a gap that is not bridged."""
    fresh = np.zeros(len(index), dtype=bool)
    fresh[:1] = True
    if "symbol" in index.names:
        fresh[1:] = np.diff(pd.factorize(index.get_level_values("symbol"))[0]) != 0
    if clock.interval is not None:
        times = index.get_level_values("time") if "time" in index.names else index
        ends = pd.DatetimeIndex(times).as_unit("ns").asi8
        edges = [*np.flatnonzero(fresh), len(index)]
        for first, last in itertools.pairwise(edges):
            fresh[first:last] |= clock.missing(ends[first:last]) > clock.max_gap
    return fresh
