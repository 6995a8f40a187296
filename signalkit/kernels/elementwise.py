"""Kernels of single bars: a row of the work table from other rows, bar by bar.

Each takes the work table, the states, its line of the plan, a rate, and the places to fill.
A number that is not there is NaN, and so is what is made from it.
"""

from __future__ import annotations

import math

from numba import njit

# places in a line of the plan: operation, output, four inputs, two windows, place of the state
OP, OUT, A, B, C, D, P, Q, STATE = range(9)

_MONTHS = 12


@njit
def lag(work, state, row, rate, cur, n):
    """What the input was `p` bars ago."""
    x, y, back = work[row[A]], work[row[OUT]], row[P]
    for i in range(cur, cur + n):
        y[i] = x[i - back]


@njit
def add(work, state, row, rate, cur, n):
    """Sum of two inputs."""
    x, z, y = work[row[A]], work[row[B]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = x[i] + z[i]


@njit
def subtract(work, state, row, rate, cur, n):
    """First input less the second."""
    x, z, y = work[row[A]], work[row[B]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = x[i] - z[i]


@njit
def multiply(work, state, row, rate, cur, n):
    """Product of two inputs."""
    x, z, y = work[row[A]], work[row[B]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = x[i] * z[i]


@njit
def divide(work, state, row, rate, cur, n):
    """First input over the second; the rate where the second is nothing."""
    x, z, y = work[row[A]], work[row[B]], work[row[OUT]]
    for i in range(cur, cur + n):
        # x - x carries a NaN on
        y[i] = x[i] / z[i] if z[i] != 0.0 else rate + (x[i] - x[i])


@njit
def scale(work, state, row, rate, cur, n):
    """Input times the rate."""
    x, y = work[row[A]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = x[i] * rate


@njit
def part(work, state, row, rate, cur, n):
    """Input over the rate."""
    x, y = work[row[A]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = x[i] / rate


@njit
def shift(work, state, row, rate, cur, n):
    """Input plus the rate."""
    x, y = work[row[A]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = x[i] + rate


@njit
def larger(work, state, row, rate, cur, n):
    """The larger of two inputs."""
    x, z, y = work[row[A]], work[row[B]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = x[i] if x[i] > z[i] or x[i] != x[i] else z[i]


@njit
def smaller(work, state, row, rate, cur, n):
    """The smaller of two inputs."""
    x, z, y = work[row[A]], work[row[B]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = x[i] if x[i] < z[i] or x[i] != x[i] else z[i]


@njit
def size(work, state, row, rate, cur, n):
    """Input without its sign."""
    x, y = work[row[A]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = abs(x[i])


@njit
def above_zero(work, state, row, rate, cur, n):
    """Input times the rate where that is above 0, else 0."""
    x, y = work[row[A]], work[row[OUT]]
    for i in range(cur, cur + n):
        value = x[i] * rate
        y[i] = 0.0 if value <= 0.0 else value


@njit
def root(work, state, row, rate, cur, n):
    """Square root of the input, 0 below 0."""
    x, y = work[row[A]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = 0.0 if x[i] <= 0.0 else math.sqrt(x[i])


@njit
def log_ratio(work, state, row, rate, cur, n):
    """Logarithm of the first input over the second, exact for any ratio."""
    x, z, y = work[row[A]], work[row[B]], work[row[OUT]]
    for i in range(cur, cur + n):
        # near 1 the difference has all its digits; far below it -1 + ratio has lost them
        if x[i] < 0.5 * z[i]:
            y[i] = math.log(x[i] / z[i])
        else:
            y[i] = math.log1p((x[i] - z[i]) / z[i])


@njit
def log_one_more(work, state, row, rate, cur, n):
    """Logarithm of 1 + the input."""
    x, y = work[row[A]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = math.log1p(x[i])


@njit
def place(work, state, row, rate, cur, n):
    """Where the first input lies from the second (0) to the third (1); the rate where they meet."""
    x, low, high, y = work[row[A]], work[row[B]], work[row[C]], work[row[OUT]]
    for i in range(cur, cur + n):
        width = high[i] - low[i]
        y[i] = (x[i] - low[i]) / width if width != 0.0 else rate


@njit
def contrast(work, state, row, rate, cur, n):
    """Difference of two inputs over their sum; 0 where the sum is nothing."""
    x, z, y = work[row[A]], work[row[B]], work[row[OUT]]
    for i in range(cur, cur + n):
        total = x[i] + z[i]
        y[i] = (x[i] - z[i]) / total if total != 0.0 else 0.0


@njit
def instead(work, state, row, rate, cur, n):
    """First input; the second where the first is nothing."""
    x, z, y = work[row[A]], work[row[B]], work[row[OUT]]
    for i in range(cur, cur + n):
        y[i] = x[i] if x[i] != 0.0 else z[i]


@njit
def signed(work, state, row, rate, cur, n):
    """Third input with the sign of the first less the second.

    A difference of at most the rate, as a share of the second, is rounding and counts as none.
    """
    x, z, v, y = work[row[A]], work[row[B]], work[row[C]], work[row[OUT]]
    for i in range(cur, cur + n):
        gap, least = x[i] - z[i], rate * z[i]
        if gap > least:
            y[i] = v[i]
        elif gap < -least:
            y[i] = -v[i]
        else:
            y[i] = 0.0 * (gap + v[i])


@njit
def movement(work, state, row, rate, cur, n):
    """Wilder's directional movement of high and low against the bar before; rate 1 up, -1 down."""
    high, high_before, low, low_before = work[row[A]], work[row[B]], work[row[C]], work[row[D]]
    y = work[row[OUT]]
    for i in range(cur, cur + n):
        up, down = high[i] - high_before[i], low_before[i] - low[i]
        one, other = (up, down) if rate > 0.0 else (down, up)
        if one > 0.0 and one > other:
            y[i] = one
        else:
            y[i] = 0.0 * one


@njit
def hour_angle(work, state, row, rate, cur, n):
    """Sine (p = 0) or cosine of the second of the day."""
    second, y = work[row[A]], work[row[OUT]]
    for i in range(cur, cur + n):
        angle = 2.0 * math.pi * second[i] / 86400.0
        y[i] = math.sin(angle) if row[P] == 0 else math.cos(angle)


@njit
def _civil(day):
    """Month from 1, day of month from 1 and days in the month of a day since 1970-01-01.

    Source: Neri and Schneider, Euclidean Affine Functions (2023), in its plain form: years
    begin in March, so that the leap day is the last one.
    """
    shifted = day + 719468
    era = shifted // 146097
    of_era = shifted - era * 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march_month = (5 * of_year + 2) // 153
    first = (153 * march_month + 2) // 5
    month = march_month + 3 if march_month < 10 else march_month - 9
    if month == 2:
        leap_of = year + 1  # the February that ends this March year
        leap = leap_of % 4 == 0 and (leap_of % 100 != 0 or leap_of % 400 == 0)
        length = 29 if leap else 28
    else:
        length = (153 * (march_month + 1) + 2) // 5 - first
    return month, of_year - first + 1, length


@njit
def date_angle(work, state, row, rate, cur, n):
    """Sine (p = 0) or cosine of the weekday (q = 0), day of the month (1) or month (2)."""
    days, y = work[row[A]], work[row[OUT]]
    known, value = -1, 0.0
    for i in range(cur, cur + n):
        day = int(days[i])
        if day != known or i == cur:
            month, of_month, length = _civil(day)
            if row[Q] == 0:
                turn = ((day + 3) % 7) / 7.0
            elif row[Q] == 1:
                turn = (of_month - 1) / length
            else:
                turn = (month - 1) / _MONTHS
            angle = 2.0 * math.pi * turn
            value = math.sin(angle) if row[P] == 0 else math.cos(angle)
            known = day
        y[i] = value
