"""Weights of labels that share bars: overlap, uniqueness, decay with age, share of returns.

A label spans the bars after its own up to the one that settles it. Weights look at all the
labels they are given, later ones too: for training give them the training rows alone.

Source: López de Prado, Advances in Financial Machine Learning (2018), sections 4.3 to 4.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from signalkit.bars import by_symbol
from signalkit.errors import DataError, ParamsError


@dataclass(frozen=True)
class Spans:
    """First and last position of each label's bars, on one clock behind the other a symbol."""

    first: np.ndarray
    last: np.ndarray
    clock: pd.Index


def spans(labels: pd.DataFrame, bars: pd.DataFrame | None = None) -> Spans:
    """Where labels begin and end among the bars.

    Parameters
    ----------
    labels : DataFrame indexed by time, or by (symbol, time)
        Labels with `known_at`.
    bars : DataFrame, optional
        The bars they are labels of. If omitted, bars are where a label starts or settles;
        that is all of them when every bar has a label.

    Returns
    -------
    Spans
        Positions of bar time + 1 and of bar known_at.

    Raises
    ------
    DataError
        If there is no label, or one is settled at a time that has no bar or is not after it.
    """
    if labels.empty:
        raise DataError("there are no labels; weights need at least one")
    order = _in_blocks(labels.index)
    if order is not None:
        found = spans(labels.iloc[order], bars)
        back = np.argsort(order)
        return Spans(found.first[back], found.last[back], found.clock)
    known = {} if bars is None else {name: block.index for name, block in by_symbol(bars)}
    first, last, clocks, start = [], [], {}, 0
    for symbol, block in by_symbol(labels):
        settled = pd.DatetimeIndex(block["known_at"]).as_unit(block.index.unit)
        clock = _clock(block.index, settled) if bars is None else known.get(symbol, settled[:0])
        begin, end = _positions(block.index, clock), _positions(settled, clock)
        wrong = (begin < 0) | (end <= begin)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"the label at {block.index[row]:%Y-%m-%d %H:%M}Z {symbol} is settled at"
                f" {settled[row]}, which is no later bar; give the bars it was made of"
            )
        first.append(begin + 1 + start)
        last.append(end + start)
        clocks[symbol], start = clock, start + len(clock)
    return Spans(np.concatenate(first), np.concatenate(last), _stacked(clocks, labels.index))


def _in_blocks(index: pd.Index) -> np.ndarray | None:
    """Positions that bring the rows of each symbol together, None where they are.

    Labels that were drawn, or lie in order of time, have their symbols mixed.
    """
    if index.nlevels == 1:
        return None
    codes, _ = pd.factorize(index.get_level_values("symbol"))
    return None if (np.diff(codes) >= 0).all() else np.argsort(codes, kind="stable")


def _clock(times: pd.DatetimeIndex, settled: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Every time at which a label starts or settles, once."""
    both = times.append(settled)
    stamps = np.sort(both.asi8, kind="stable")  # two sorted runs: merged in one pass
    once = np.r_[True, stamps[1:] > stamps[:-1]]
    return pd.DatetimeIndex(stamps[once].view(f"M8[{times.unit}]"), tz="UTC").rename(times.name)


def _positions(times: pd.DatetimeIndex, clock: pd.DatetimeIndex) -> np.ndarray:
    """Position of each time on a sorted clock, -1 where it is not on it."""
    sought, held = times.as_unit("ns").asi8, clock.as_unit("ns").asi8
    found = np.searchsorted(held, sought)
    there = found < len(held)
    there[there] = held[found[there]] == sought[there]
    return np.where(there, found, -1)


def _stacked(clocks: dict[str, pd.DatetimeIndex], like: pd.Index) -> pd.Index:
    """The symbols' clocks as one index, of the form that the labels have."""
    if like.nlevels == 1:
        return clocks[""].rename(like.name)
    frames = {symbol: pd.Series(0, clock) for symbol, clock in clocks.items()}
    return pd.concat(frames, names=["symbol", "time"]).index


def wait(labels: pd.DataFrame, *, bars: pd.DataFrame | None = None) -> pd.Series:
    """Bars from each label's own to the one that settles it, at least 1.

    Parameters
    ----------
    labels, bars
        As in `uniqueness`.
    """
    found = spans(labels, bars)
    return pd.Series(found.last - found.first + 1, labels.index, name="wait")


def _counted(found: Spans) -> np.ndarray:
    """Labels that span each position of the clock."""
    change = np.zeros(len(found.clock) + 1, dtype=np.int64)
    np.add.at(change, found.first, 1)
    np.subtract.at(change, found.last + 1, 1)
    return np.cumsum(change[:-1])


def concurrency(labels: pd.DataFrame, *, bars: pd.DataFrame | None = None) -> pd.Series:
    """How many labels span each bar.

    Parameters
    ----------
    labels, bars
        As in `uniqueness`.

    Returns
    -------
    Series indexed by the bars of the symbols that have labels
        A count; labels of other symbols do not overlap.
    """
    found = spans(labels, bars)
    return pd.Series(_counted(found), found.clock, name="concurrency")


@njit(cache=True)
def _sums(first: np.ndarray, last: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum of the values over each span, added up anew for each."""
    out = np.empty(len(first))
    for i in range(len(first)):
        total = 0.0
        for j in range(first[i], last[i] + 1):
            total += values[j]
        out[i] = total
    return out


def _shares(found: Spans) -> np.ndarray:
    """1 / concurrency at each position, 0 where no label is."""
    count = _counted(found)
    return np.divide(1.0, count, out=np.zeros(len(count)), where=count > 0)


def uniqueness(labels: pd.DataFrame, *, bars: pd.DataFrame | None = None) -> pd.Series:
    """Average uniqueness of each label: mean of 1 / concurrency over the bars it spans.

    Parameters
    ----------
    labels : DataFrame of shape (n_labels, >= 1)
        Labels with `known_at`, indexed by time or by (symbol, time).
    bars : DataFrame, optional
        The bars they are labels of; needed only where some bars neither have a label nor
        settle one.

    Returns
    -------
    Series of shape (n_labels,)
        Above 0, at most 1; 1 is a label that shares no bar. Their sum is about the number
        of labels that would be there without overlap.

    Raises
    ------
    DataError
        As `spans` does.

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=3, freq="D", tz="UTC")
    >>> labels = pd.DataFrame({"known_at": times[[1, 2]] + times.freq}, index=times[:2])
    >>> uniqueness(labels).tolist()
    [0.75, 0.75]
    """
    found = spans(labels, bars)
    mean = _sums(found.first, found.last, _shares(found)) / (found.last - found.first + 1)
    return pd.Series(mean, labels.index, name="uniqueness")


def return_attribution(labels: pd.DataFrame, bars: pd.DataFrame) -> pd.Series:
    """Weight of each label by the absolute return that is its own.

    Each bar's log return is shared equally by the labels that span it.

    Parameters
    ----------
    labels : DataFrame of shape (n_labels, >= 1)
        Labels with `known_at`.
    bars : DataFrame of shape (n_bars, 5)
        The bars they are labels of.

    Returns
    -------
    Series of shape (n_labels,)
        Not negative, mean 1; 1 for all where no price moves.

    Raises
    ------
    DataError
        As `spans` does.
    """
    found = spans(labels, bars)
    close = np.log(bars["close"]).reindex(found.clock)
    groups = close.groupby(level="symbol") if close.index.nlevels > 1 else close
    moves = groups.diff().fillna(0.0).to_numpy(copy=True)
    own = np.abs(_sums(found.first, found.last, moves * _shares(found)))
    mean = own.mean() if own.any() else 1.0
    return pd.Series(own / mean if own.any() else 1.0, labels.index, name="weight")


def time_decay(unique: pd.Series, *, last: float) -> pd.Series:
    """Weights that fall with age, measured in uniqueness rather than in time.

    Parameters
    ----------
    unique : Series of shape (n_labels,)
        Uniqueness, indexed by time or by (symbol, time). Labels of one time decay alike,
        whatever their symbol.
    last : float
        Weight that the oldest label approaches: 1 is no decay, 0 falls to nothing, and one
        under 0 (above -1) gives the oldest part, of that share, no weight at all.

    Returns
    -------
    Series of shape (n_labels,)
        From 0 to 1, and 1 for the newest; piecewise linear in cumulated uniqueness.

    Raises
    ------
    ParamsError
        If `last` is not above -1 and at most 1.
    DataError
        If there is no label.

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=4, freq="D", tz="UTC")
    >>> time_decay(pd.Series(1.0, times), last=0.5).tolist()
    [0.625, 0.75, 0.875, 1.0]
    """
    if not -1 < last <= 1:
        raise ParamsError(f"the last weight must be above -1 and at most 1, was {last}")
    if unique.empty:
        raise DataError("there are no labels; weights need at least one")
    times = unique.index.get_level_values(-1)
    age = unique.groupby(times).sum().cumsum()
    whole = age.iloc[-1]
    slope = (1 - last) / whole if last >= 0 else 1 / ((last + 1) * whole)
    weight = (1 - slope * (whole - age)).clip(lower=0.0)
    return pd.Series(weight.reindex(times).to_numpy(), unique.index, name="weight")
