"""The bundled sample: daily S&P 500 and NASDAQ Composite bars, 1999 to 2018.

Real data inside the arch package (from Yahoo; licence NCSA), read without importing arch.
Its S&P 500 opens equal the previous close on most days before 2006: they were never
traded at. `quality.stale_opens` shows them; fill at the next close.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from signalkit.bars import COLUMNS, session_closes
from signalkit.errors import SourceError

SYMBOLS = {"NASDAQ": "nasdaq", "SP500": "sp500"}
INTERVAL = "1d"
CALENDAR = "XNYS"


def sample_file(symbol: str) -> Path:
    """File of the arch package that holds a symbol of the sample.

    Raises
    ------
    SourceError
        If the package is not installed or lacks the file.
    """
    spec = find_spec("arch")
    folder = Path(spec.submodule_search_locations[0]) if spec else Path("arch")
    file = folder / "data" / SYMBOLS[symbol] / f"{SYMBOLS[symbol]}.csv.gz"
    if not file.exists():
        raise SourceError(f"the sample's {file.name} is missing; make setup installs arch with it")
    return file


def read_sample(symbol: str) -> pd.DataFrame:
    """Daily bars of a symbol of the sample, ending at the close of each session."""
    raw = pd.read_csv(sample_file(symbol), parse_dates=["Date"], index_col="Date")
    bars = raw.rename(columns=str.lower)[list(COLUMNS)].astype("float64")
    return bars.set_axis(session_closes(bars.index, CALENDAR), axis=0)
