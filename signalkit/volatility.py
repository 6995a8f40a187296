"""Volatility estimators that features, labels and sizing share.

Each is per bar, not annualised, over a trailing window that ends with the bar itself, and
NaN until the window is full. One wild bar leaves no trace once it has left the window. Every
estimator is a graph of kernels (`..._node`), and a function of arrays that evaluates it.

Sources: Parkinson, The Extreme Value Method (1980); Garman and Klass, On the Estimation of
Security Price Volatilities (1980); Rogers and Satchell, Estimating Variance from High, Low
and Closing Prices (1991); Yang and Zhang, Drift-Independent Volatility Estimation (2000).
"""

from __future__ import annotations

import math

import numpy as np

from signalkit.errors import ParamsError
from signalkit.kernels import Node, evaluate
from signalkit.kernels.graph import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    lag,
    log_ratio,
    mean,
    root,
    variance,
)


def _check_span(span: int, least: int) -> None:
    """A window must be a whole number of bars, and long enough for its estimator."""
    # a node made of 60.0 would be kept, and found again for 60, which equals it
    if isinstance(span, bool) or not isinstance(span, int | np.integer):
        raise ParamsError(f"a volatility window is a whole number of bars, was {span!r}")
    if span < least:
        raise ParamsError(f"a volatility window must be at least {least} bars, was {span}")


def realised_node(span: int) -> Node:
    """Standard deviation of `span` log returns, ddof 1."""
    _check_span(span, 2)
    return root(variance(log_ratio(CLOSE, lag(CLOSE, 1)), span, 1))


def parkinson_node(span: int) -> Node:
    """Root of the mean squared log range over 4 ln 2."""
    _check_span(span, 1)
    ranged = log_ratio(HIGH, LOW)
    return root(mean(ranged * ranged, span) / (4 * math.log(2)))


def garman_klass_node(span: int) -> Node:
    """Root of the mean of half the squared range less a share of the squared body."""
    _check_span(span, 1)
    ranged, body = log_ratio(HIGH, LOW), log_ratio(CLOSE, OPEN)
    return root(mean(0.5 * (ranged * ranged) - (2 * math.log(2) - 1) * (body * body), span))


def _rogers_satchell_term() -> Node:
    """A bar's variance, whatever its trend."""
    upper = log_ratio(HIGH, CLOSE) * log_ratio(HIGH, OPEN)
    return upper + log_ratio(LOW, CLOSE) * log_ratio(LOW, OPEN)


def rogers_satchell_node(span: int) -> Node:
    """Root of the mean of what the extremes say apart from the trend."""
    _check_span(span, 1)
    return root(mean(_rogers_satchell_term(), span))


def yang_zhang_node(span: int) -> Node:
    """Jumps between bars, moves inside them and Rogers and Satchell's term, weighed."""
    _check_span(span, 2)
    k = 0.34 / (1.34 + (span + 1) / (span - 1))
    jumps = variance(log_ratio(OPEN, lag(CLOSE, 1)), span, 1)
    inside = variance(log_ratio(CLOSE, OPEN), span, 1)
    return root(jumps + k * inside + (1 - k) * mean(_rogers_satchell_term(), span))


def realised(close: np.ndarray, span: int) -> np.ndarray:
    """Standard deviation of log returns over the last `span` returns (ddof 1).

    Parameters
    ----------
    close : array of shape (n_bars,)
        Close prices.
    span : int
        Window in bars, at least 2.

    Returns
    -------
    array of shape (n_bars,)
        Fraction per bar; NaN for the first `span` bars.

    Raises
    ------
    ParamsError
        If `span` is less than 2.

    Examples
    --------
    >>> realised(np.array([1.0, 2.0, 1.0]), 2).round(4).tolist()
    [nan, nan, 0.9803]
    """
    return evaluate([realised_node(span)], close=close)[0]


def parkinson(high: np.ndarray, low: np.ndarray, span: int) -> np.ndarray:
    """Range volatility of the last `span` bars, from highs and lows alone.

    sqrt(sum of ln(high / low)^2 / (4 span ln 2)).

    Parameters
    ----------
    high, low : arrays of shape (n_bars,)
        Extremes of each bar.
    span : int
        Window in bars, at least 1.

    Returns
    -------
    array of shape (n_bars,)
        Fraction per bar; NaN for the first `span - 1` bars.
    """
    return evaluate([parkinson_node(span)], high=high, low=low)[0]


def garman_klass(
    open_: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, span: int
) -> np.ndarray:
    """Range volatility of the last `span` bars that also reads open and close.

    sqrt(mean of ln(high / low)^2 / 2 - (2 ln 2 - 1) ln(close / open)^2).

    Parameters
    ----------
    open_, high, low, close : arrays of shape (n_bars,)
        Prices of each bar.
    span : int
        Window in bars, at least 1.

    Returns
    -------
    array of shape (n_bars,)
        Fraction per bar; NaN for the first `span - 1` bars.
    """
    prices = {"open": open_, "high": high, "low": low, "close": close}
    return evaluate([garman_klass_node(span)], **prices)[0]


def rogers_satchell(
    open_: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, span: int
) -> np.ndarray:
    """Range volatility of the last `span` bars that a trend leaves alone.

    sqrt(mean of ln(h / c) ln(h / o) + ln(l / c) ln(l / o)).

    Parameters
    ----------
    open_, high, low, close : arrays of shape (n_bars,)
        Prices of each bar.
    span : int
        Window in bars, at least 1.

    Returns
    -------
    array of shape (n_bars,)
        Fraction per bar; NaN for the first `span - 1` bars.
    """
    prices = {"open": open_, "high": high, "low": low, "close": close}
    return evaluate([rogers_satchell_node(span)], **prices)[0]


def yang_zhang(
    open_: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, span: int
) -> np.ndarray:
    """Volatility of the last `span` bars with the jumps between them.

    sqrt(V_o + k V_c + (1 - k) V_rs), with k = 0.34 / (1.34 + (n + 1) / (n - 1)) and variances
    around their means (n - 1).

    Parameters
    ----------
    open_, high, low, close : arrays of shape (n_bars,)
        Prices of each bar.
    span : int
        Window in bars, at least 2.

    Returns
    -------
    array of shape (n_bars,)
        Fraction per bar; NaN for the first `span` bars: a jump needs the close before.
    """
    prices = {"open": open_, "high": high, "low": low, "close": close}
    return evaluate([yang_zhang_node(span)], **prices)[0]
