"""Trailing windows of arrays, laid out in full and computed anew at every bar.

What the references of the features have in common: NaN until there are enough bars,
deviations in two passes, logarithms of ratios near 1 by log1p.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def arrays(bars):
    """Open, high, low, close, volume."""
    return [bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]


def log_ratio(above, below):
    """ln(above / below), exact also where both are almost the same."""
    near = np.abs(above - below) < below / 2
    change = np.divide(above - below, below, out=np.zeros_like(above), where=near)
    return np.where(near, np.log1p(change), np.log(above / below))


def shifted(values, k):
    """The value k bars earlier, NaN before there is one."""
    return np.concatenate([np.full(k, np.nan), values])[: len(values)]


def windows(values, n):
    """One row a bar: the last n values, this bar's at the end; NaN where there are fewer."""
    return sliding_window_view(np.concatenate([np.full(n - 1, np.nan), values]), n)


def mean(values, n):
    return windows(values, n).mean(axis=1)


def total(values, n):
    return windows(values, n).sum(axis=1)


def highest(values, n):
    return windows(values, n).max(axis=1)


def lowest(values, n):
    return windows(values, n).min(axis=1)


def share(part, whole, empty):
    """part / whole, `empty` where whole is nought."""
    return np.divide(part, whole, out=np.full(len(part), float(empty)), where=whole != 0)


def ema(values, n, start=0):
    """TA-Lib's EMA: the mean of n values, then a share of 2 / (n + 1) of each new one."""
    out = np.full(len(values), np.nan)
    first = start + n - 1
    for i in range(first, len(values)):
        before = values[start : first + 1].mean() if i == first else out[i - 1]
        out[i] = before if i == first else before + (values[i] - before) * 2 / (n + 1)
    return out


def deviation(values, n, ddof):
    """Standard deviation in two passes; nought where all are the same."""
    last = windows(values, n)
    same = last.max(axis=1) == last.min(axis=1)
    return np.where(same, 0.0, last.std(axis=1, ddof=ddof))
