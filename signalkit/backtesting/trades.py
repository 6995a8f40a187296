"""Round trips: fills of one symbol, from flat to flat or to the other side, as one trade.

The entry price is the mean of the fills that opened or enlarged the position, the exit
price that of the fills that reduced it, weighted by units. A fill that turns the position
over closes one trade and opens the next, and its fee is shared by units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.costs import BPS

TRADE_COLUMNS = [
    "symbol",
    "side",
    "decided_at",
    "entry_time",
    "exit_time",
    "entry_price",
    "exit_price",
    "size",
    "fee",
    "slippage",
    "funding",
    "pnl",
    "return",
    "exit_reason",
]
# a rest this small against what was held is rounding, not a position
_DUST = 1e-12


@dataclass
class _Open:
    """A trade that is not closed yet."""

    decided: int
    entered: int
    side: float
    units: float = 0.0
    entry_units: float = 0.0
    entry_value: float = 0.0
    exit_units: float = 0.0
    exit_value: float = 0.0
    fee: float = 0.0
    slippage: float = 0.0

    def add(self, change: float, price: float, quote: float, fee_bps: float) -> None:
        """Take a fill, or a part of one, into the trade."""
        if change * self.side > 0:
            self.entry_units += abs(change)
            self.entry_value += abs(change) * price
        else:
            self.exit_units += abs(change)
            self.exit_value += abs(change) * price
        self.units += change
        self.fee += abs(change) * price * fee_bps * BPS
        self.slippage += abs(change) * abs(price - quote)


def round_trips(
    fills: np.ndarray, close: pd.DataFrame, fee_bps: float, *, ruin: int = -1
) -> pd.DataFrame:
    """Trades of a simulation.

    Parameters
    ----------
    fills : array of shape (n_fills, >= 6)
        Bar, symbol, units (signed), slipped price, quoted price, deciding bar.
    close : DataFrame of shape (n_bars, n_symbols)
        Closes, NaN where a symbol has no bar.
    fee_bps : float
        Fee a side.
    ruin : int
        Bar at which the account was closed, -1 if it was not.

    Returns
    -------
    DataFrame
        One row a trade in order of entry: the columns of the trades table and
        `decided_at`, the bar end that asked for it. `pnl` is after fee and slippage, in
        starting capitals; `return` is pnl over the entry's notional. A trade still open
        has no exit time and exit_reason `open`; what is left of it counts as sold at the last
        close. One that ruin closed, at that bar's close, has exit_reason `liquidation`.
    """
    last = close.ffill().iloc[ruin].to_numpy()
    rows = []
    for s, symbol in enumerate(close.columns):
        trade: _Open | None = None
        for t, _, change, price, quote, decided, *_ in fills[fills[:, 1] == s]:
            if trade is None:
                trade = _Open(int(decided), int(t), np.sign(change))
            closing = -trade.units if trade.units * (trade.units + change) < 0 else change
            trade.add(closing, price, quote, fee_bps)
            if abs(trade.units) <= _DUST * trade.entry_units:
                reason = "signal" if closing == change else "reversal"
                rows.append(_row(trade, symbol, close.index, int(t), reason))
                trade = None
            if closing != change:
                trade = _Open(int(decided), int(t), np.sign(change))
                trade.add(change - closing, price, quote, fee_bps)
        if trade is not None:
            trade.exit_value += abs(trade.units) * last[s]
            trade.exit_units += abs(trade.units)
            how = (None, "open") if ruin < 0 else (ruin, "liquidation")
            rows.append(_row(trade, symbol, close.index, *how))
    table = pd.DataFrame(rows, columns=TRADE_COLUMNS)
    return table.sort_values(["entry_time", "symbol"], ignore_index=True)


def _row(
    trade: _Open, symbol: str, times: pd.DatetimeIndex, exited: int | None, reason: str
) -> tuple[object, ...]:
    """A finished trade as a row of the table."""
    pnl = trade.side * (trade.exit_value - trade.entry_value) - trade.fee
    return (
        symbol,
        "long" if trade.side > 0 else "short",
        times[trade.decided],
        times[trade.entered],
        pd.NaT if exited is None else times[exited],
        trade.entry_value / trade.entry_units,
        trade.exit_value / trade.exit_units,
        trade.entry_units,
        trade.fee,
        trade.slippage,
        0.0,
        pnl,
        pnl / trade.entry_value,
        reason,
    )
