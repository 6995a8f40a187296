"""Kernels of moments of trailing windows: means, variances, shapes, correlation.

Windows are put together from blocks as in `windows`; two parts of a window are joined by
their numbers, means and powers, which stays exact where values are nearly the same.

Sources: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing
sample variances (1979); Pebay, Formulas for robust, one-pass parallel computation of
covariances and arbitrary-order statistical moments (2008).
"""

from __future__ import annotations

import math

from numba import njit

from signalkit.kernels.elementwise import OUT, STATE, A, B, C, P

# a variance of returns under this is rounding: prices have 16 digits
STILL = 1e-28


@njit
def window_variance(work, state, row, rate, cur, n):
    """Mean, and sum of squared distances from it, of each full window.

    State: place, mean and squares of the block so far, then means and squares of the ends.
    """
    x, mean, squares = work[row[A]], work[row[OUT]], work[row[OUT] + 1]
    span, s = row[P], row[STATE]
    means = state[s + 3 : s + 4 + span]
    ends = state[s + 4 + span : s + 5 + 2 * span]
    at, m, q = int(state[s]), state[s + 1], state[s + 2]
    for i in range(cur, cur + n):
        if at == 0:
            m, q = 0.0, 0.0
            means[span], ends[span] = 0.0, 0.0
            for k in range(span - 1, 0, -1):
                gap = x[i - span + k] - m
                m += gap / (span - k)
                q += gap * (x[i - span + k] - m)
                means[k], ends[k] = m, q
            m, q = 0.0, 0.0
        at += 1
        gap = x[i] - m
        m += gap / at
        q += gap * (x[i] - m)
        if at == span:
            mean[i], squares[i] = m, q
            at = 0
        else:
            gap = m - means[at]
            mean[i] = means[at] + gap * at / span
            squares[i] = ends[at] + q + gap * gap * at * (span - at) / span
    state[s], state[s + 1], state[s + 2] = at, m, q


@njit
def _push(value, count, m, q, t, f):
    """Moments of `count` values of which `value` is the last."""
    gap = value - m
    step = gap / count
    step2 = step * step
    grown = gap * step * (count - 1)
    f += grown * step2 * (count * count - 3 * count + 3) + 6.0 * step2 * q - 4.0 * step * t
    t += grown * step * (count - 2) - 3.0 * step * q
    return m + step, q + grown, t, f


@njit
def window_moments(work, state, row, rate, cur, n):
    """Mean and sums of second, third and fourth powers of the distances from it.

    State: place, four moments of the block so far, then four moments of each of its ends.
    """
    x, o, span, s = work[row[A]], row[OUT], row[P], row[STATE]
    mean, second, third, fourth = work[o], work[o + 1], work[o + 2], work[o + 3]
    ends = state[s + 5 : s + 9 + 4 * span].reshape(span + 1, 4)
    at, m, q, t, f = int(state[s]), state[s + 1], state[s + 2], state[s + 3], state[s + 4]
    for i in range(cur, cur + n):
        if at == 0:
            m, q, t, f = 0.0, 0.0, 0.0, 0.0
            for k in range(span - 1, 0, -1):
                m, q, t, f = _push(x[i - span + k], span - k, m, q, t, f)
                ends[k, 0], ends[k, 1], ends[k, 2], ends[k, 3] = m, q, t, f
            m, q, t, f = 0.0, 0.0, 0.0, 0.0
        at += 1
        m, q, t, f = _push(x[i], at, m, q, t, f)
        if at == span:
            mean[i], second[i], third[i], fourth[i] = m, q, t, f
            at = 0
            continue
        left = span - at
        gap = m - ends[at, 0]
        part = gap / span
        q2, t2 = ends[at, 1], ends[at, 2]
        cross = gap * part * left * at
        mean[i] = ends[at, 0] + part * at
        second[i] = q2 + q + cross
        third[i] = t2 + t + cross * part * (left - at) + 3.0 * part * (left * q - at * q2)
        fourth[i] = (
            ends[at, 3]
            + f
            + cross * part * part * (left * left - left * at + at * at)
            + 6.0 * part * part * (left * left * q + at * at * q2)
            + 4.0 * part * (left * t - at * t2)
        )
    state[s], state[s + 1], state[s + 2], state[s + 3], state[s + 4] = at, m, q, t, f


@njit
def skewness(work, state, row, rate, cur, n):
    """Third standardised moment from sums of powers over `p` values; 0 where nothing moves."""
    q, t, y, span = work[row[A]], work[row[B]], work[row[OUT]], row[P]
    for i in range(cur, cur + n):
        second = q[i] / span
        y[i] = 0.0 if second <= STILL else t[i] / span / (second * math.sqrt(second))


@njit
def kurtosis(work, state, row, rate, cur, n):
    """Fourth standardised moment less 3, from sums of powers; 0 where nothing moves."""
    q, f, y, span = work[row[A]], work[row[B]], work[row[OUT]], row[P]
    for i in range(cur, cur + n):
        second = q[i] / span
        y[i] = 0.0 if second <= STILL else f[i] / span / (second * second) - 3.0


@njit
def window_correlation(work, state, row, rate, cur, n):
    """Correlation of two inputs over each full window; 0 where one of them does not vary.

    State: place, means, squares and products of the block so far, then those of its ends.
    """
    x, z, y, span, s = work[row[A]], work[row[B]], work[row[OUT]], row[P], row[STATE]
    ends = state[s + 6 : s + 11 + 5 * span].reshape(span + 1, 5)
    at, mx, mz = int(state[s]), state[s + 1], state[s + 2]
    xx, zz, xz = state[s + 3], state[s + 4], state[s + 5]
    for i in range(cur, cur + n):
        if at == 0:
            mx, mz, xx, zz, xz = 0.0, 0.0, 0.0, 0.0, 0.0
            for k in range(span - 1, 0, -1):
                j = i - span + k
                gx, gz = x[j] - mx, z[j] - mz
                mx += gx / (span - k)
                mz += gz / (span - k)
                xx += gx * (x[j] - mx)
                zz += gz * (z[j] - mz)
                xz += gx * (z[j] - mz)
                ends[k, 0], ends[k, 1], ends[k, 2], ends[k, 3], ends[k, 4] = mx, mz, xx, zz, xz
            mx, mz, xx, zz, xz = 0.0, 0.0, 0.0, 0.0, 0.0
        at += 1
        gx, gz = x[i] - mx, z[i] - mz
        mx += gx / at
        mz += gz / at
        xx += gx * (x[i] - mx)
        zz += gz * (z[i] - mz)
        xz += gx * (z[i] - mz)
        one, other, both = xx, zz, xz
        if at < span:
            gx, gz = mx - ends[at, 0], mz - ends[at, 1]
            share = at * (span - at) / span
            one += ends[at, 2] + gx * gx * share
            other += ends[at, 3] + gz * gz * share
            both += ends[at, 4] + gx * gz * share
        if one <= STILL * span or other <= STILL * span:
            y[i] = 0.0
        else:
            y[i] = min(1.0, max(-1.0, both / math.sqrt(one) / math.sqrt(other)))
        if both != both:
            y[i] = both
        if at == span:
            at = 0
    state[s], state[s + 1], state[s + 2] = at, mx, mz
    state[s + 3], state[s + 4], state[s + 5] = xx, zz, xz


@njit
def _join(n_left, m_left, q_left, n_right, m_right, q_right):
    """Number, mean and squares of two groups together."""
    both = n_left + n_right
    if both == 0.0:
        return 0.0, 0.0, 0.0
    gap = m_right - m_left
    share = n_right / both
    return both, m_left + gap * share, q_left + q_right + gap * gap * n_left * share


@njit
def window_groups(work, state, row, rate, cur, n):
    """Number, mean and squares of all members of the groups of each window.

    Inputs: number, mean and squares of each bar's group. State: place and group of the block
    so far, then groups of its ends.
    """
    count, mean, squares = work[row[A]], work[row[B]], work[row[C]]
    o, span, s = row[OUT], row[P], row[STATE]
    ends = state[s + 4 : s + 7 + 3 * span].reshape(span + 1, 3)
    at, c, m, q = int(state[s]), state[s + 1], state[s + 2], state[s + 3]
    for i in range(cur, cur + n):
        if at == 0:
            c, m, q = 0.0, 0.0, 0.0
            ends[span, 0], ends[span, 1], ends[span, 2] = c, m, q
            for k in range(span - 1, 0, -1):
                j = i - span + k
                c, m, q = _join(count[j], mean[j], squares[j], c, m, q)
                ends[k, 0], ends[k, 1], ends[k, 2] = c, m, q
            c, m, q = 0.0, 0.0, 0.0
        c, m, q = _join(c, m, q, count[i], mean[i], squares[i])
        at += 1
        whole = _join(ends[at, 0], ends[at, 1], ends[at, 2], c, m, q)
        work[o, i], work[o + 1, i], work[o + 2, i] = whole
        if at == span:
            at = 0
    state[s], state[s + 1], state[s + 2], state[s + 3] = at, c, m, q
