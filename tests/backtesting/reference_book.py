"""What the plain event loop of reference.py keeps: settings, bars with what costs read, trips.

Written from docs/backtesting.md alone, one sentence after the other, in plain Python.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

import pandas as pd

DUST = 1e-12  # share of the equity, or of an allowance, that counts as nothing


@dataclass
class Settings:
    """What simulate takes, with nothing left open."""

    fill: str = "next_open"
    fee_bps: float = 0.0
    maker_bps: float | None = None
    slippage_bps: float = 0.0
    slippage_vol: float = 0.0
    impact: float = 0.0
    volume_cap: float | None = None
    lot: float = 0.0
    min_notional: float = 0.0
    capital: float = 1.0
    borrow_bps: float = 0.0
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None
    max_leverage: float = 1.0
    max_weight: float | None = None
    drift: float = 0.01
    max_positions: int | None = None
    max_turnover: float | None = None
    maintenance: float = 0.0
    brake: float | None = None
    brake_bars: int = 0
    path: str = "pessimistic"
    prices: str = "stated"

    def __post_init__(self):
        self.maker_bps = self.fee_bps if self.maker_bps is None else self.maker_bps
        self.max_weight = self.max_leverage if self.max_weight is None else self.max_weight
        self.max_positions = math.inf if self.max_positions is None else self.max_positions
        self.max_turnover = math.inf if self.max_turnover is None else self.max_turnover


@dataclass
class Bar:
    """A symbol's bar and what was known of it before: None where nothing was."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    volatility: float | None
    mean_volume: float | None


def symbol_bars(table, capital):
    """Bars of one symbol by time; volumes in units a starting capital of 1 buys."""
    found, returns, volumes, before = {}, [], [], None
    for time, row in table.iterrows():
        last, traded = returns[-20:], volumes[-20:]
        volatility = statistics.stdev(last) if len(last) >= 2 else None
        mean_volume = statistics.fmean(traded) if len(traded) >= 2 else None
        volume = row["volume"] / capital
        prices = (row["open"], row["high"], row["low"], row["close"])
        found[time] = Bar(*prices, volume, volatility, mean_volume)
        if before is not None:
            returns.append(math.log(row["close"] / before))
        volumes.append(volume)
        before = row["close"]
    return found


@dataclass
class Order:
    """A wanted weight that waits for a price; `urgent` ones fill at any moment."""

    weight: float
    decided: pd.Timestamp
    limit: float | None = None
    stop: float | None = None
    reason: str = "signal"
    urgent: bool = False


@dataclass
class Change:
    """Units still to be bought (or sold, below 0) for an order, or for a trim."""

    symbol: str
    units: float
    order: Order | None
    cut: bool = False


@dataclass
class Trip:
    """A position from flat to flat or to the other side: what becomes a trade."""

    symbol: str
    side: float
    begun: pd.Timestamp
    decided: pd.Timestamp
    best: float
    late: bool  # opened after the open of the bar that is being played
    units: float = 0.0  # held now, without sign
    entered: float = 0.0
    paid: float = 0.0  # entered units at their prices
    received: float = 0.0  # left units at their prices
    fee: float = 0.0
    slippage: float = 0.0
    funding: float = 0.0
    stop: float | None = None
    last: float = 0.0  # price of the last fill

    @property
    def signed(self):
        return self.side * self.units

    @property
    def entry(self):
        return self.paid / self.entered

    def row(self, mark, ended, reason):
        """The trade's row; what is still held counts at its mark."""
        received = self.received + self.units * mark
        pnl = self.side * (received - self.paid) - self.fee - self.funding
        return {
            "symbol": self.symbol,
            "side": "long" if self.side > 0 else "short",
            "entry_time": self.begun,
            "exit_time": ended,
            "entry_price": self.entry,
            "exit_price": received / self.entered,
            "size": self.entered,
            "fee": self.fee,
            "slippage": self.slippage,
            "funding": self.funding,
            "pnl": pnl,
            "return": pnl / self.paid if self.paid else math.nan,
            "exit_reason": reason,
            "decided_at": self.decided,
        }


TRADE = list(Trip("", 1.0, None, None, 1.0, False, 0.0, 1.0, 1.0).row(1.0, None, "open"))


@dataclass
class Outcome:
    """What the loop writes down."""

    equity: dict = field(default_factory=dict)
    positions: list = field(default_factory=list)
    accounts: list = field(default_factory=list)
    fills: list = field(default_factory=list)
    trades: list = field(default_factory=list)
