"""Rolling features: the shape of recent returns and where the price stands in its own past."""

from __future__ import annotations

from signalkit.features.catalog import declare
from signalkit.features.price import log_return
from signalkit.kernels.graph import (
    CLOSE,
    Node,
    highest,
    lag,
    node,
    output,
    over,
    window,
)
from signalkit.volatility import realised_node

_MOMENTS = "Joanes and Gill, Comparing measures of sample skewness and kurtosis (1998)"


@declare("std", "rolling", 10, 60, unit="fraction per bar", least=2,
         words="standard deviation of {} returns",
         source="sample standard deviation, ddof 1")  # fmt: skip
def std(span: int) -> Node:
    """Sample standard deviation of log returns."""
    return realised_node(span)


def _moments(span: int) -> Node:
    """Sums of powers of the distances of returns from their mean."""
    return window("window_moments", log_return(1), span=span)


@declare("skewness", "rolling", 20, 60, unit="third moment", least=3, source=f"{_MOMENTS}, g1",
         words="skewness of {} returns")  # fmt: skip
def skewness(span: int) -> Node:
    """Third standardised moment of returns; 0 where no price moved."""
    powers = _moments(span)
    return node("skewness", output(powers, 1), output(powers, 2), p=span)


@declare("kurtosis", "rolling", 20, 60, unit="fourth moment", least=4, source=f"{_MOMENTS}, g2",
         words="excess kurtosis of {} returns")  # fmt: skip
def kurtosis(span: int) -> Node:
    """Fourth standardised moment of returns less 3; 0 where no price moved."""
    powers = _moments(span)
    return node("kurtosis", output(powers, 1), output(powers, 3), p=span)


@declare("quantile_position", "rolling", 20, 60, unit="share", least=2,
         words="share of the closes of {} bars below the newest",
         source="empirical distribution function, equal values counting half")  # fmt: skip
def quantile_position(span: int) -> Node:
    """Share of the other closes below this one, equal ones counting half."""
    return window("window_rank", CLOSE, span=span)


@declare("drawdown", "rolling", 20, 60, unit="fraction", least=2,
         words="close against the highest close of {} bars",
         source="Magdon-Ismail and Atiya, Maximum Drawdown (2004)")  # fmt: skip
def drawdown(span: int) -> Node:
    """Close over the highest close, less 1; never above 0."""
    top = highest(CLOSE, span)
    return over(CLOSE - top, top)


@declare("autocorrelation", "rolling", 20, 60, unit="-1 to 1", least=3,
         words="correlation of neighbours among {} returns",
         source="Box and Jenkins (1976), with a mean for each side")  # fmt: skip
def autocorrelation(span: int) -> Node:
    """Correlation of each return with the one before; 0 where no price moved."""
    moves = log_return(1)
    return window("window_correlation", lag(moves, 1), moves, span=span - 1)
