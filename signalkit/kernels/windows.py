"""Kernels of trailing windows: nothing is ever subtracted, so nothing drifts.

Bars are cut into blocks as long as the window. A window is the end of one block and the
beginning of the next: the ends are summed up anew, backwards, once a block is whole; the
beginning grows by a bar. Both are added, never taken away: an update costs a fixed number
of operations whatever the window (amortised over a block), one wild bar leaves no trace
once the window has passed it, and a NaN is gone with it.

Source: van Herk, A fast algorithm for local minimum and maximum filters (1992).
"""

from __future__ import annotations

import math

from numba import njit

from signalkit.kernels.elementwise import OUT, STATE, A, B, P

# windows up to this long are counted anew
SHORT = 256


@njit
def window_sum(work, state, row, rate, cur, n):
    """Sum of each full window, over the rate.

    State: place in the block, sum of the block so far, sums of the ends of the block before.
    """
    x, y, span, s = work[row[A]], work[row[OUT]], row[P], row[STATE]
    ends = state[s + 2 : s + 3 + span]
    at, begun = int(state[s]), state[s + 1]
    for i in range(cur, cur + n):
        if at == 0:
            total = 0.0
            ends[span] = 0.0
            for k in range(span - 1, 0, -1):
                total += x[i - span + k]
                ends[k] = total
            begun = 0.0
        begun += x[i]
        at += 1
        y[i] = (ends[at] + begun) / rate
        if at == span:
            at = 0
    state[s], state[s + 1] = at, begun


@njit
def _top(one, other):
    """The larger; NaN where one is NaN."""
    return one if one > other or one != one else other


@njit
def window_top(work, state, row, rate, cur, n):
    """Largest value of each full window; with the rate -1 the smallest, its sign turned.

    State: as of `window_sum`, with the largest in place of the sum.
    """
    x, y, span, s = work[row[A]], work[row[OUT]], row[P], row[STATE]
    ends = state[s + 2 : s + 3 + span]
    at, begun = int(state[s]), state[s + 1]
    for i in range(cur, cur + n):
        if at == 0:
            best = -math.inf
            ends[span] = best
            for k in range(span - 1, 0, -1):
                best = _top(best, x[i - span + k] * rate)
                ends[k] = best
            begun = -math.inf
        begun = _top(begun, x[i] * rate)
        at += 1
        y[i] = _top(ends[at], begun) * rate
        if at == span:
            at = 0
    state[s], state[s + 1] = at, begun


@njit
def window_slope(work, state, row, rate, cur, n):
    """Least-squares slope of the running total of the input over `p` of its values.

    The total's level does not matter, so the slope is a sum over the last p - 1 inputs, the
    one m bars after the window's first weighing m (p - m) 6 / (p (p^2 - 1)).
    State: place, sums of the block so far weighted by age^0, age^1, age^2, then of its ends.
    """
    x, y, span, s = work[row[A]], work[row[OUT]], row[P] - 1, row[STATE]
    ends = state[s + 4 : s + 7 + 3 * span].reshape(span + 1, 3)
    at, zero, one, two = int(state[s]), state[s + 1], state[s + 2], state[s + 3]
    whole = span + 1
    share = 6.0 / (whole * (whole * whole - 1.0))
    for i in range(cur, cur + n):
        if at == 0:
            zero, one, two = 0.0, 0.0, 0.0
            ends[span, 0], ends[span, 1], ends[span, 2] = 0.0, 0.0, 0.0
            for k in range(span - 1, 0, -1):
                age = span - 1 - k
                value = x[i - span + k]
                zero += value
                one += age * value
                two += age * age * value
                ends[k, 0], ends[k, 1], ends[k, 2] = zero, one, two
            zero, one, two = 0.0, 0.0, 0.0
        two += 2.0 * one + zero  # every value is a bar older
        one += zero
        zero += x[i]
        at += 1
        old0, old1, old2 = ends[at, 0], ends[at, 1], ends[at, 2]
        sum0 = zero + old0
        sum1 = one + old1 + at * old0
        sum2 = two + old2 + 2.0 * at * old1 + at * at * old0
        y[i] = share * (span * sum0 + (span - 1.0) * sum1 - sum2)
        if at == span:
            at = 0
    state[s], state[s + 1], state[s + 2], state[s + 3] = at, zero, one, two


@njit
def mean_distance(work, state, row, rate, cur, n):
    """Mean absolute distance of a window from its mean, the second input; read anew each time."""
    x, mean, y, span = work[row[A]], work[row[B]], work[row[OUT]], row[P]
    for i in range(cur, cur + n):
        first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
        j = i - span + 1
        while j + 3 <= i:  # four sums at once: the processor need not wait for each
            first += abs(x[j] - mean[i])
            second += abs(x[j + 1] - mean[i])
            third += abs(x[j + 2] - mean[i])
            fourth += abs(x[j + 3] - mean[i])
            j += 4
        while j <= i:
            first += abs(x[j] - mean[i])
            j += 1
        y[i] = ((first + second) + (third + fourth)) / span


@njit
def window_rank(work, state, row, rate, cur, n):
    """Share of a window's other values below the newest, equal ones counting half.

    Short windows are read anew at every bar, faster than any search; long ones are kept
    sorted: a value is found in as many steps as the window has binary digits, and those
    between its place and that of the oldest move by one.
    State: how many values there are, then they, sorted, where the window is long.
    """
    x, y, span, s = work[row[A]], work[row[OUT]], row[P], row[STATE]
    held = state[s + 1 : s + 1 + span]
    count = int(state[s])
    for i in range(cur, cur + n):
        value = x[i]
        if value != value:
            count = 0
            y[i] = value
            continue
        if span > SHORT:
            _exchange(held, count, value, x[i - span])
        count = min(count + 1, span)
        if count < span:
            y[i] = math.nan
            continue
        if span > SHORT:
            twice = _first_at_least(held, span, value) + _first_above(held, span, value) - 1
        else:
            twice = 0
            for j in range(i - span + 1, i):
                twice += int(x[j] < value) + int(x[j] <= value)
        y[i] = 0.5 * twice / (span - 1.0)
    state[s] = count


@njit
def _exchange(held, count, value, oldest):
    """Put a value into `count` sorted ones; if that fills the place, the oldest makes room."""
    place = _first_at_least(held, count, value)
    last = len(held) - 1
    gone = count if count <= last else min(_first_at_least(held, count, oldest), last)
    if gone < place:
        place -= 1
        for k in range(gone, place):
            held[k] = held[k + 1]
    else:
        for k in range(gone, place, -1):
            held[k] = held[k - 1]
    held[place] = value


@njit
def _first_at_least(held, count, value):
    """Place of the first sorted value that is not below another; chosen without branches."""
    base, left = 0, count
    while left > 1:
        half = left >> 1
        base += half * (held[base + half - 1] < value)
        left -= half
    return base + (left == 1 and held[base] < value)


@njit
def _first_above(held, count, value):
    """Place of the first sorted value above another."""
    base, left = 0, count
    while left > 1:
        half = left >> 1
        base += half * (held[base + half - 1] <= value)
        left -= half
    return base + (left == 1 and held[base] <= value)
