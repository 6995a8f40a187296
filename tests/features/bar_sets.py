"""The bars on which the features meet their references: made ones and real ones."""

from functools import cache
from pathlib import Path

import pytest

from signalkit import collection
from signalkit.causality import probe_bars

SHARED = Path(__file__).resolve().parents[3] / "shared/data"
LACKING = "the shared market data are not beside the project"
SHARED_FILES = {
    # 3,000 hours from the first; gaps, and one without volume
    "hours": ("crypto_1h/BTCUSDT_1h.csv.gz", {"interval": "1h"}, slice(3000)),
    # 5,000 minutes with an outage: 81 bars without move or volume, then 77 minutes missing
    "minutes": (
        "crypto_1m/BTCUSDT_1m_2021-2022.parquet",
        {"interval": "1m"},
        slice(57_000, 62_000),
    ),
    "AAPL": ("stocks_daily/stocknet_panel.csv.gz", {"symbol": "AAPL"}, slice(None)),
    # a share that hardly traded: 49 of 701 days without volume, 65 at one price
    "AGFS": ("stocks_daily/stocknet_panel.csv.gz", {"symbol": "AGFS"}, slice(None)),
}
SETS = ["probe", "SP500", *SHARED_FILES]


@cache
def bars_of(name):
    """The bars of a set by its name; skips the test where their file is not there."""
    if name == "probe":
        return probe_bars(700)
    if name == "SP500":
        return collection.load("sample", [name], "1d").loc[name]
    path, options, rows = SHARED_FILES[name]
    if not SHARED.exists():
        pytest.skip(LACKING)
    return collection.read_file(SHARED / path, **options).iloc[rows]
