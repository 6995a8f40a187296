"""Models' predictions side by side, and when the outcome of each was known.

Whatever is fitted on predictions reads at a time t those with `known` at or before it. The
order in which a table holds its rows makes no difference to anything here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from signalkit.errors import DataError, LeakError
from signalkit.metrics import CLASSES
from signalkit.training.contract import CLASSIFICATION_TARGETS
from signalkit.training.steps import counted

KEYS = ["symbol", "time", "model_id"]
PROBABILITIES = ["p_sell", "p_hold", "p_buy"]
# by how much a share may exceed 1 for rounding
_SLACK = 1e-9


@dataclass(frozen=True)
class Members:
    """One row a (symbol, time) of all models' predictions, in that order.

    `models` are all models of the table, `row` is one of its rows for each of ours. `at` and
    `known` are positions in `clock`: of the bar, and of the first time at which its label is
    known, past the end where that is never. `count` is how much a row counts among those whose
    labels overlap with its own. `values` has the shape (rows, members, shares), with NaN
    throughout where a member failed.
    """

    index: pd.MultiIndex
    clock: pd.DatetimeIndex
    models: pd.Index
    row: np.ndarray
    at: np.ndarray
    known: np.ndarray
    count: np.ndarray
    values: np.ndarray
    actual: np.ndarray
    classifies: bool


def side_by_side(predictions: pd.DataFrame, members: Sequence[str]) -> Members:
    """Some models' predictions, one row a (symbol, time) at which any model has one.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Predictions of one target.
    members : sequence of str
        Models to put side by side; one without rows has failed everywhere.

    Returns
    -------
    Members
        Shares of classes, or one number each, and when outcomes were known.

    Raises
    ------
    DataError
        If there is no row, one is there twice, there are several targets, an outcome is no
        class, or models differ in fold, known_at or actual of one bar.
    LeakError
        If a label is known at or before its own bar.

    Notes
    -----
    A row counts one over the rows of its symbol after its time and up to its `known_at` (at
    least 1), and one over the symbols at its time.
    """
    (symbol, symbols), (time, clock), (model, models) = _codes(predictions.index)
    key, row, cell = _unique(symbol * len(clock) + time)
    if np.bincount(cell * len(models) + model).max() > 1:
        twice = predictions.index[predictions.index.duplicated()][0]
        raise DataError(f"predictions have two rows at {twice}; drop the repeated row")
    _check_same(predictions, row, cell)
    classifies = predictions["target"].iloc[0] in CLASSIFICATION_TARGETS
    columns = PROBABILITIES if classifies else ["prediction"]
    found = predictions[columns].to_numpy(dtype=float)
    values = np.full((len(key), len(members), len(columns)), np.nan)
    for m, place in enumerate(models.get_indexer(pd.Index(members))):
        mine = np.flatnonzero(model == place)
        values[cell[mine], m] = found[mine]
    actual = predictions["actual"].to_numpy(dtype=float)[row]
    strange = classifies & np.isfinite(actual) & ~np.isin(actual, CLASSES)
    if strange.any():
        raise DataError(f"an outcome is {actual[strange][0]:g}; classes are -1, 0, 1")
    known_at = pd.DatetimeIndex(predictions["known_at"].iloc[row])
    at, known, count = _settling(key, clock, known_at.where(np.isfinite(actual)))
    codes = [key // len(clock), at]
    index = pd.MultiIndex([symbols, clock], codes, names=KEYS[:2], verify_integrity=False)
    values = without_failures(values)
    return Members(index, clock, models, row, at, known, count, values, actual, classifies)


def without_failures(values: np.ndarray) -> np.ndarray:
    """Predictions of shape (rows, members, shares), in place: NaN throughout where one failed.

    A number has failed if it is not finite, shares if one of them is not between 0 and 1.
    """
    sound = np.isfinite(values)
    if values.shape[2] > 1:
        sound = (values >= 0) & (values <= 1 + _SLACK)
    values[~sound.all(axis=2)] = np.nan
    return values


def _codes(index: pd.Index) -> list[tuple[np.ndarray, pd.Index]]:
    """Position of each row's key in that key's sorted values, and the values."""
    if list(index.names) != KEYS or not len(index):
        raise DataError(f"predictions need rows under {KEYS}, had {len(index)} under {index.names}")
    found = []
    for level, codes in zip(index.levels, index.codes, strict=True):
        if (codes < 0).any():
            raise DataError(f"row {int(np.argmax(codes < 0))} of predictions has no {level.name}")
        order = level.argsort()
        used = order[np.bincount(codes, minlength=len(level))[order] > 0]
        place = np.empty(len(level), dtype=np.int64)
        place[used] = np.arange(len(used))
        found.append((place[codes], level[used]))
    return found


def _unique(key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted unique keys, a place where each is, and which of them each row has."""
    steps = np.diff(key)
    if (steps < 0).any():
        return np.unique(key, return_index=True, return_inverse=True)
    new = np.r_[True, steps > 0]
    return key[new], np.flatnonzero(new), np.cumsum(new) - 1


def _check_same(predictions: pd.DataFrame, row: np.ndarray, cell: np.ndarray) -> None:
    """Models must predict one target, and agree on what a bar's outcome is."""
    targets = predictions["target"].unique()
    if len(targets) > 1:
        raise DataError(f"predictions are of the targets {list(targets)}; combine one at a time")
    known_at = pd.DatetimeIndex(predictions["known_at"]).asi8
    columns = {name: predictions[name].to_numpy() for name in ("fold", "actual")}
    for name, column in {**columns, "known_at": known_at}.items():
        other = column[row][cell]
        differs = (column != other) & ~((column != column) & (other != other))
        if differs.any():
            place = predictions.index[int(np.argmax(differs))]
            raise DataError(f"models do not agree on {name} at {place}; predict the same labels")


def _settling(
    key: np.ndarray, clock: pd.DatetimeIndex, known_at: pd.DatetimeIndex
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row: its time, the first time that knows its label, and how much it counts."""
    at, times, known = key % len(clock), clock.as_unit("ns").asi8, known_at.as_unit("ns").asi8
    settled = known_at.notna()
    early = settled & (known <= times[at])
    if early.any():
        place = clock[at[int(np.argmax(early))]]
        raise LeakError(f"the label at {place} is known at or before its bar; remake known_at")
    first = np.where(settled, np.searchsorted(times, known, side="left"), len(clock))
    together = np.bincount(at, minlength=len(clock))
    count = _counts(key // len(clock), times[at], known, together[at])
    return at, first, count


@njit(cache=True)
def _counts(symbol, times, known, together):  # noqa: ANN001, ANN202 - numba
    """How much each row counts; rows are in order of symbol and time."""
    out, begin = np.empty(len(symbol)), 0
    while begin < len(symbol):
        end = begin + np.searchsorted(symbol[begin:], symbol[begin], side="right")
        for row in range(begin, end):
            out[row] = counted(times[begin:end], times[row], known[row], together[row])
        begin = end
    return out
