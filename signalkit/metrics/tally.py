"""Weighted sums behind the scores of classes, for many draws of the rows in one pass each.

A draw weighs times; a row weighs what its time does. Sums run in the order of the rows, so that
they are the same bits on any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def areas(counts, place, order, tied, truth):  # noqa: ANN001, ANN201 - numba
    """Area under the ROC curve of each draw, ties one half; NaN where one side is missing.

    `order` sorts the rows by score, `tied` numbers equal scores in that order, `truth` is
    whether the row is positive, in that order too.
    """
    out = np.full(len(counts), np.nan)
    for d in range(len(counts)):
        weight, area, below, positive = counts[d], 0.0, 0.0, 0.0
        i, n = 0, len(order)
        while i < n:
            group, up, down = tied[i], 0.0, 0.0
            while i < n and tied[i] == group:
                w = weight[place[order[i]]]
                if truth[i]:
                    up += w
                else:
                    down += w
                i += 1
            area += up * (below + down / 2)
            below += down
            positive += up
        if positive * below > 0:
            out[d] = area / (positive * below)
    return out


@njit(cache=True)
def sums(counts, place, cell, held, values):  # noqa: ANN001, ANN201 - numba
    """Of each draw: weight by cell, weighted excess by bin, and weighted sums of two columns.

    `cell` is 3 x outcome + prediction, `held` the bin of confidence; `values` has the columns
    excess, surprise and squared miss.
    """
    bins = held.max() + 1
    tables = np.zeros((len(counts), 9))
    excess = np.zeros((len(counts), bins))
    losses = np.zeros((len(counts), 2))
    for d in range(len(counts)):
        weight = counts[d]
        for i in range(len(place)):
            w = weight[place[i]]
            tables[d, cell[i]] += w
            excess[d, held[i]] += w * values[i, 0]
            losses[d, 0] += w * values[i, 1]
            losses[d, 1] += w * values[i, 2]
    return tables, excess, losses


@njit(cache=True)
def weighted(counts, place, group, columns):  # noqa: ANN001, ANN201 - numba
    """Weight, and weighted sum of each column, of each draw and group of rows."""
    n_columns = columns.shape[1]
    out = np.zeros((len(counts), group.max() + 1, n_columns + 1))
    for d in range(len(counts)):
        weight = counts[d]
        for i in range(len(place)):
            w, g = weight[place[i]], group[i]
            out[d, g, 0] += w
            for k in range(n_columns):
                out[d, g, k + 1] += w * columns[i, k]
    return out
