"""Kernels that carry a value from bar to bar: exponential and Wilder's averages.

Each starts with the mean or sum of its first values, as TA-Lib's do. A NaN starts it anew.
"""

from __future__ import annotations

import math

from numba import njit

from signalkit.kernels.elementwise import OUT, STATE, A, B, C, P, Q


@njit
def average(work, state, row, rate, cur, n):
    """Value += rate (input - value), seeded by the mean of `p` inputs after `q` left out.

    State: inputs seen, sum of the seed or the value.
    """
    x, y, span, skip, s = work[row[A]], work[row[OUT]], row[P], row[Q], row[STATE]
    seen, value = int(state[s]), state[s + 1]
    for i in range(cur, cur + n):
        if x[i] != x[i]:
            seen, value = 0, 0.0
            y[i] = math.nan
            continue
        seen += 1
        if seen > skip + span:
            value += rate * (x[i] - value)
        elif seen > skip:
            value += x[i]
            if seen == skip + span:
                value /= span
        y[i] = value if seen >= skip + span else math.nan
    state[s], state[s + 1] = seen, value


@njit
def wilder_sum(work, state, row, rate, cur, n):
    """Wilder's running sum: `p` - 1 inputs added up, then sum - sum / p + input.

    State: inputs seen, the sum.
    """
    x, y, span, s = work[row[A]], work[row[OUT]], row[P], row[STATE]
    seen, total = int(state[s]), state[s + 1]
    for i in range(cur, cur + n):
        if x[i] != x[i]:
            seen, total = 0, 0.0
            y[i] = math.nan
            continue
        seen += 1
        total = total + x[i] if seen < span else total - total / span + x[i]
        y[i] = total if seen >= span else math.nan
    state[s], state[s + 1] = seen, total


@njit
def trend_strength(work, state, row, rate, cur, n):
    """Wilder's ADX, from 0 to 1, of running sums of upward and downward movement.

    The mean of `p` directional indices, then their Wilder average; a bar whose index is 0 / 0
    adds nothing to the seed and leaves the average as it is, as in TA-Lib.
    State: inputs seen, sum of the seed or the value.
    """
    up, down, ranged = work[row[A]], work[row[B]], work[row[C]]
    y, span, s = work[row[OUT]], row[P], row[STATE]
    seen, value = int(state[s]), state[s + 1]
    for i in range(cur, cur + n):
        both = up[i] + down[i]
        if both != both:
            seen, value = 0, 0.0
            y[i] = math.nan
            continue
        seen += 1
        if both > 0.0 and ranged[i] > 0.0:
            index = abs(down[i] - up[i]) / both
            if seen <= span:
                value += index
            else:
                value = (value * (span - 1) + index) / span
        if seen == span:
            value /= span
        y[i] = value if seen >= span else math.nan
    state[s], state[s + 1] = seen, value


@njit
def decayed_mean(work, state, row, rate, cur, n):
    """Mean of all items so far, weights times the rate at every bar; 0 without any.

    Inputs: number and sum of each bar's items. State: weight of the items and their mean,
    which stays when their weight has grown too small for a number.
    """
    count, total, y, s = work[row[A]], work[row[B]], work[row[OUT]], row[STATE]
    weight, mean = state[s], state[s + 1]
    for i in range(cur, cur + n):
        weight = weight * rate
        if count[i] > 0.0:
            mean = (mean * weight + total[i]) / (weight + count[i])
            weight += count[i]
        y[i] = mean
    state[s], state[s + 1] = weight, mean
