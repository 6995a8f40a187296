"""Volume features: against its own past, so that the unit of volume does not matter."""

from __future__ import annotations

from signalkit.errors import ParamsError
from signalkit.features.catalog import declare
from signalkit.features.price import log_return
from signalkit.kernels.graph import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    VOLUME,
    Node,
    lag,
    log_ratio,
    mean,
    node,
    over,
    total,
)

_MONEY = CLOSE * VOLUME
_KARPOFF = "Karpoff, The Relation between Price Changes and Trading Volume (1987)"


@declare("volume_ratio", "volume", 20, 60, unit="ratio", least=2, source=_KARPOFF,
         words="volume over its mean of {} bars")  # fmt: skip
def volume_ratio(span: int) -> Node:
    """Volume over its mean; 1 where nothing was traded."""
    return over(VOLUME, mean(VOLUME, span), empty=1.0)


def _trend(column: Node, short: int, long: int) -> Node:
    """Mean of the newest bars over that of more; 1 where there is nothing."""
    if short >= long:
        raise ParamsError(f"a trend of {short} over {long} bars: the first window is the shorter")
    return over(mean(column, short), mean(column, long), empty=1.0)


@declare("volume_trend", "volume", (5, 20), unit="ratio", source=_KARPOFF,
         words="mean volume of {} bars over that of {}")  # fmt: skip
def volume_trend(short: int, long: int) -> Node:
    """Mean volume of the newest bars over that of more."""
    return _trend(VOLUME, short, long)


@declare("volume_momentum", "volume", 10, unit="-1 to 1", source=_KARPOFF,
         words="volume of {} bars against as many before: difference over sum")  # fmt: skip
def volume_momentum(span: int) -> Node:
    """Whether more is traded than before; 0 where nothing was traded."""
    traded = total(VOLUME, span)
    return node("contrast", traded, lag(traded, span))


@declare("vwap_distance", "volume", 20, unit="fraction",
         words="close over the volume-weighted average price of {} bars, log",
         source="Berkowitz, Logue and Noser (1988)")  # fmt: skip
def vwap_distance(span: int) -> Node:
    """Logarithm of the close over the average price paid; 0 where nothing was traded."""
    typical, traded = (HIGH + LOW + CLOSE) / 3.0, total(VOLUME, span)
    # the close itself stands in where there is no average
    return log_ratio(CLOSE, node("instead", over(total(typical * VOLUME, span), traded), CLOSE))


@declare("dollar_volume_trend", "volume", (5, 60), unit="ratio", source=_KARPOFF,
         words="mean money traded in {} bars over that in {}")  # fmt: skip
def dollar_volume_trend(short: int, long: int) -> Node:
    """Mean of close times volume of the newest bars over that of more."""
    return _trend(_MONEY, short, long)


@declare("amihud", "volume", 20, unit="fraction", least=2,
         words="illiquidity of {} bars: mean of return size over money traded, times mean money",
         source="Amihud, Illiquidity and Stock Returns (2002), made scale-free")  # fmt: skip
def amihud(span: int) -> Node:
    """How far a mean bar's money moves the price; 0 where nothing was traded."""
    impact = over(node("size", log_return(1)), _MONEY)
    return mean(impact, span) * mean(_MONEY, span)


@declare("signed_volume", "volume", 20, unit="-1 to 1", source="Granville (1963), bar by bar",
         words="volume of rising less that of falling bars over all, of {} bars")  # fmt: skip
def signed_volume(span: int) -> Node:
    """Share of volume in rising bars less that in falling ones; 0 where nothing was traded."""
    return over(total(node("signed", CLOSE, OPEN, VOLUME), span), total(VOLUME, span))
