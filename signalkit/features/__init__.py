"""Features: what the models see, one catalogue, every column causal and scale-free.

`build` computes columns of `CATALOG` for many bars and `Stream` for one bar after the other,
with the same numbers; `register` adds a function of the reader's own after proving that it
does not read the future.
"""

from signalkit.features import (
    calendar,
    lagged,
    price,
    rolling,
    sentiment,
    technical,
    volatility,
    volume,
)
from signalkit.features.build import build, select
from signalkit.features.catalog import CATALOG, Feature, register
from signalkit.features.gaps import Clock, gap_table
from signalkit.features.health import columns_report, findings
from signalkit.features.stream import Stream

__all__ = [
    "CATALOG",
    "Clock",
    "Feature",
    "Stream",
    "build",
    "calendar",
    "columns_report",
    "findings",
    "gap_table",
    "lagged",
    "price",
    "register",
    "rolling",
    "select",
    "sentiment",
    "technical",
    "volatility",
    "volume",
]
