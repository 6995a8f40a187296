"""Lagged features: what single earlier bars did."""

from __future__ import annotations

from signalkit.features.catalog import declare
from signalkit.features.price import log_return
from signalkit.kernels.graph import VOLUME, Node, lag, node


@declare("return_lag", "lagged", 1, 2, 3, 5, 10, unit="fraction",
         words="return of the bar {} before", source="Lo and MacKinlay (1988)")  # fmt: skip
def return_lag(bars: int) -> Node:
    """Log return of an earlier bar."""
    return lag(log_return(1), bars)


@declare("volume_change_lag", "lagged", 1, 2, 3, 5, 10, unit="-1 to 1",
         words="change of volume of the bar {} before, over the sum of both",
         source="Karpoff (1987)")  # fmt: skip
def volume_change_lag(bars: int) -> Node:
    """Change of volume of an earlier bar; 0 where both have none."""
    return lag(node("contrast", VOLUME, lag(VOLUME, 1)), bars)
