"""Price features: returns over spans, distance to averages, place in the range, parts of a bar."""

from __future__ import annotations

from signalkit.errors import ParamsError
from signalkit.features.catalog import declare
from signalkit.kernels.graph import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    Node,
    exponential,
    highest,
    lag,
    log_ratio,
    lowest,
    mean,
    node,
    over,
)

_RETURNS = "Campbell, Lo and MacKinlay (1997)"
_CANDLES = "Nison, Japanese Candlestick Charting Techniques (1991)"


@declare("return", "price", 1, 2, 3, 5, 10, 21, 63, unit="fraction",
         words="log return of {} bars", source=_RETURNS)  # fmt: skip
def log_return(span: int) -> Node:
    """Logarithm of the close over the close `span` bars ago."""
    return log_ratio(CLOSE, lag(CLOSE, span))


@declare("momentum", "price", (21, 5), (63, 21), unit="fraction", least=2,
         words="log return from {} to {} bars ago",
         source="Jegadeesh and Titman (1993): momentum without the newest bars")  # fmt: skip
def momentum(span: int, skip: int) -> Node:
    """Log return up to `skip` bars ago."""
    if skip >= span:
        raise ParamsError(f"momentum_{span}_{skip}: the second window must be the shorter one")
    return lag(log_return(span - skip), skip)


@declare("mean_distance", "price", 10, 20, 50, unit="fraction", least=2,
         words="close over its mean of {} bars, log",
         source="Brock, Lakonishok and LeBaron (1992)")  # fmt: skip
def mean_distance(span: int) -> Node:
    """Logarithm of the close over its simple average."""
    return log_ratio(CLOSE, mean(CLOSE, span))


@declare("ema_distance", "price", 12, 26, unit="fraction", least=2,
         words="close over its exponential average of {} bars, log",
         source="TA-Lib EMA")  # fmt: skip
def ema_distance(span: int) -> Node:
    """Logarithm of the close over its exponential average."""
    return log_ratio(CLOSE, exponential(CLOSE, span))


def place(span: int, flat: float) -> Node:
    """Close between the lowest low (0) and the highest high (1); `flat` where these are one."""
    return node("place", CLOSE, lowest(LOW, span), highest(HIGH, span), rate=flat)


@declare("range_position", "price", 20, 60, unit="share", least=2,
         words="close between the lowest low (0) and highest high (1) of {} bars",
         source="Lane, Lane's Stochastics (1984), without smoothing")  # fmt: skip
def range_position(span: int) -> Node:
    """Place of the close in the range; 0.5 where the range is nothing."""
    return place(span, 0.5)


@declare("close_in_bar", "price", unit="share", source=_CANDLES,
         words="close between the bar's low (0) and high (1)")  # fmt: skip
def close_in_bar() -> Node:
    """Place of the close in its own bar; 0.5 where the bar has no range."""
    return node("place", CLOSE, LOW, HIGH, rate=0.5)


def _share_of_range(part: Node) -> Node:
    """A part of the bar over its range; 0 where it has none."""
    return over(part, HIGH - LOW)


@declare("body_in_bar", "price", unit="share", source=_CANDLES,
         words="close less open over the bar's range")  # fmt: skip
def body_in_bar() -> Node:
    """Body of the bar, with its sign."""
    return _share_of_range(CLOSE - OPEN)


@declare("upper_wick_in_bar", "price", unit="share", source=_CANDLES,
         words="high less the larger of open and close over the bar's range")  # fmt: skip
def upper_wick_in_bar() -> Node:
    """What the price gave back from above."""
    return _share_of_range(HIGH - node("larger", OPEN, CLOSE))


@declare("lower_wick_in_bar", "price", unit="share", source=_CANDLES,
         words="the smaller of open and close less low over the bar's range")  # fmt: skip
def lower_wick_in_bar() -> Node:
    """What the price gave back from below."""
    return _share_of_range(node("smaller", OPEN, CLOSE) - LOW)


@declare("bar_range", "price", unit="fraction", source="Parkinson (1980)",
         words="high over low of the bar, log")  # fmt: skip
def bar_range() -> Node:
    """Logarithm of high over low."""
    return log_ratio(HIGH, LOW)


@declare("open_gap", "price", unit="fraction", source=_RETURNS,
         words="open over the close before, log")  # fmt: skip
def open_gap() -> Node:
    """Log return from the last close to this open."""
    return log_ratio(OPEN, lag(CLOSE, 1))
