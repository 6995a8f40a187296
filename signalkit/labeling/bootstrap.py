"""The sequential bootstrap: draws of labels that overlap less than draws at random do.

After each draw a label's odds are its uniqueness among the labels drawn so far and itself.
Only labels that share a bar with the one drawn change theirs: they alone are computed anew,
and the sums that the next draw needs are kept in a binary tree.

Source: López de Prado, Advances in Financial Machine Learning (2018), section 4.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numba import njit

from signalkit.errors import DataError, ParamsError
from signalkit.labeling.weights import Spans, spans


@njit(cache=True)
def _unique(first: int, last: int, drawn: np.ndarray) -> float:
    """Mean over a span of 1 / (1 + how often its bars are drawn already)."""
    total = 0.0
    for j in range(first, last + 1):
        total += 1.0 / (1.0 + drawn[j])
    return total / (last - first + 1)


@njit(cache=True)
def _draw(spanned, order, n_bars, uniform):  # noqa: ANN001, ANN202 - numba
    """Labels in the order they are drawn, one for each uniform number.

    `order` sorts the labels by their first bar; `longest` bounds how far back a label that
    reaches into a span can begin.
    """
    first, last = spanned
    n, leaves = len(first), 1
    while leaves < n:
        leaves *= 2
    tree, drawn = np.zeros(2 * leaves), np.zeros(n_bars)
    tree[leaves : leaves + n] = 1.0
    for node in range(leaves - 1, 0, -1):
        tree[node] = tree[2 * node] + tree[2 * node + 1]
    begins, longest = first[order], np.max(last - first)
    out = np.empty(len(uniform), np.int64)
    for k in range(len(uniform)):
        rest, node = uniform[k] * tree[1], 1
        while node < leaves:
            node *= 2
            if rest >= tree[node] and tree[node + 1] > 0.0:
                rest, node = rest - tree[node], node + 1
        picked = node - leaves
        out[k] = picked
        begin, end = first[picked], last[picked]
        drawn[begin : end + 1] += 1.0
        near = np.searchsorted(begins, begin - longest)
        while near < n and begins[near] <= end:
            other = order[near]
            near += 1
            if last[other] < begin:
                continue
            node = leaves + other
            tree[node] = _unique(first[other], last[other], drawn)
            while node > 1:
                node //= 2
                tree[node] = tree[2 * node] + tree[2 * node + 1]
    return out


def sequential_bootstrap(
    labels: pd.DataFrame, size: int | None = None, *, seed: int, bars: pd.DataFrame | None = None
) -> np.ndarray:
    """Positions of labels, drawn with replacement so that they overlap little.

    Parameters
    ----------
    labels : DataFrame of shape (n_labels, >= 1)
        Labels with `known_at`, indexed by time or by (symbol, time); labels of other
        symbols do not overlap.
    size : int, optional
        Number of draws, at least 1; as many as there are labels if omitted.
    seed : int
        Same seed, same draws.
    bars : DataFrame, optional
        As in `uniqueness`.

    Returns
    -------
    array of int64, shape (size,)
        Positions into `labels`, in the order they were drawn.

    Raises
    ------
    ParamsError
        If `size` is less than 1.
    DataError
        As `spans` does.
    """
    found = spans(labels, bars)
    size = len(labels) if size is None else size
    if size < 1:
        raise ParamsError(f"the number of draws must be at least 1, was {size}")
    uniform = np.random.default_rng(seed).random(size)
    order = np.argsort(found.first, kind="stable")
    return _draw((found.first, found.last), order, len(found.clock), uniform)


def draw_odds(
    labels: pd.DataFrame, drawn: Sequence[int] = (), *, bars: pd.DataFrame | None = None
) -> pd.Series:
    """Probability of each label to be drawn next, after some draws.

    Parameters
    ----------
    labels, bars
        As in `sequential_bootstrap`.
    drawn : sequence of int
        Positions of the labels drawn so far.

    Returns
    -------
    Series of shape (n_labels,)
        Sums to 1.

    Raises
    ------
    DataError
        If a position is no label's, or as `spans` does.
    """
    found = spans(labels, bars)
    wrong = [p for p in drawn if not 0 <= p < len(labels)]
    if wrong:
        raise DataError(f"drawn positions are from 0 to {len(labels) - 1}, was {wrong[0]}")
    odds = _odds(found, drawn)
    return pd.Series(odds / odds.sum(), labels.index, name="probability")


def _odds(found: Spans, drawn: Sequence[int]) -> np.ndarray:
    """Uniqueness of each label among those drawn and itself."""
    count = np.zeros(len(found.clock))
    for position in drawn:
        count[found.first[position] : found.last[position] + 1] += 1
    pairs = zip(found.first, found.last, strict=True)
    return np.array([_unique(first, last, count) for first, last in pairs])
