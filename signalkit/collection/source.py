"""What the collector asks of a market: pages of bars, its clock, its symbols.

An exchange through ccxt and the simulated market answer the same questions, so the code
that pages, retries, checks and stores is one. Open times in, open times out: a bar's end is
the collector's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from signalkit.errors import SourceError


class TransientError(SourceError):
    """A refusal that may pass: too many requests, a server error, a cut connection.

    `wait` is the pause in seconds that the source asked for (Retry-After), None where it
    named none.
    """

    def __init__(self, told: str, wait: float | None = None) -> None:
        super().__init__(told)
        self.wait = wait


@dataclass(frozen=True)
class Market:
    """A symbol as its source knows it: what is traded, and in what it is priced."""

    symbol: str
    base: str
    quote: str


class Source(Protocol):
    """A market that serves its bars in pages.

    `name` keys its bars in the store, `page` is the most bars that one request returns, and
    `pause` waits some seconds (a simulated market moves its clock instead).
    """

    name: str
    page: int

    def market(self, symbol: str) -> Market:
        """The symbol, or ParamsError with the near match."""

    def clock(self) -> pd.Timestamp:
        """The source's present time, UTC; a bar that ends after it is still open."""

    def fetch(self, symbol: str, interval: str, since: pd.Timestamp, limit: int) -> np.ndarray:
        """At most `limit` bars that open at or after `since`, as served.

        Returns
        -------
        ndarray of float64 of shape (n, 6)
            Open time in ms since the epoch, open, high, low, close, volume. Nothing is
            promised: rows may be doubled, out of order, or of a bar that is still open.

        Raises
        ------
        TransientError
            If asking again may help.
        SourceError
            If it will not.
        """

    def pause(self, seconds: float) -> None:
        """Wait."""
