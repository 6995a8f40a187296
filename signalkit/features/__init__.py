"""Features: what the models see, one catalogue, every column causal and scale-free.

`build` computes columns of `CATALOG`; `register` adds a function of the reader's own after
proving that it does not read the future.
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

__all__ = [
    "CATALOG",
    "Feature",
    "build",
    "calendar",
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
