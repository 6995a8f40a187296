"""Fills and round trips as tables: from flat to flat or to the other side is one trade.

The entry price is the mean of the fills that opened or enlarged the position, the exit
price that of the fills that reduced it, weighted by units. A fill that turns the position
over closes one trade and opens the next, and its costs are shared by units.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from signalkit.backtesting.account import DUST, OPEN, REASONS, SIGNAL

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
_REVERSAL = REASONS.index("reversal")
# a trade while it is made, by number: what it is, when, and what went in and out
_WIDTH = 13
_SYMBOL, _SIDE, _DECIDED, _ENTERED, _EXITED, _REASON = range(6)
_IN, _IN_VALUE, _OUT, _OUT_VALUE, _FEE, _SLIPPAGE, _CARRY = range(6, _WIDTH)


@njit(cache=True)
def _take(trade, change, fill, share):  # noqa: ANN001, ANN202 - numba
    """A fill, or a share of one, into a trade."""
    value = abs(change) * fill[3]
    if change * trade[_SIDE] > 0.0:
        trade[_IN] += abs(change)
        trade[_IN_VALUE] += value
    else:
        trade[_OUT] += abs(change)
        trade[_OUT_VALUE] += value
    trade[_FEE] += fill[7] * share
    trade[_SLIPPAGE] += change * (fill[3] - fill[4])


@njit(cache=True)
def _open(trade, fill):  # noqa: ANN001, ANN202 - numba
    """Begin a trade with a fill that found its symbol flat or turned it over."""
    trade[:] = 0.0
    trade[_SYMBOL], trade[_SIDE] = fill[1], 1.0 if fill[2] > 0.0 else -1.0
    trade[_DECIDED], trade[_ENTERED] = fill[5], fill[0]


@njit(cache=True)
def _trips(fills, last, carry):  # noqa: ANN001, ANN202 - numba
    """Trades as rows of numbers, those still open at the end."""
    n_symbols, count = len(last), 0
    out = np.empty((len(fills) + n_symbols, _WIDTH))
    units, current = np.zeros(n_symbols), np.zeros((n_symbols, _WIDTH))
    for i in range(len(fills)):
        fill = fills[i]
        s, change = int(fill[1]), fill[2]
        before, trade = units[s], current[s]
        after = before + change
        if abs(after) <= DUST * abs(before):
            after = 0.0
        units[s] = after
        turned = before * after < 0.0
        if before == 0.0:
            _open(trade, fill)
        trade[_CARRY] += fill[8]
        share = abs(before) / abs(change) if turned else 1.0
        _take(trade, -before if turned else change, fill, share)
        if after == 0.0 or turned:
            trade[_EXITED] = fill[0]
            trade[_REASON] = _REVERSAL if turned and fill[9] == SIGNAL else fill[9]
            out[count] = trade
            count += 1
        if turned:
            _open(trade, fill)
            _take(trade, after, fill, 1.0 - share)
    for s in range(n_symbols):
        if units[s] != 0.0:
            trade = current[s]
            trade[_OUT] += abs(units[s])
            trade[_OUT_VALUE] += abs(units[s]) * last[s]
            trade[_CARRY] += carry[s]
            trade[_EXITED], trade[_REASON] = -1, OPEN
            out[count] = trade
            count += 1
    return out[:count]


def round_trips(
    fills: np.ndarray,
    times: pd.DatetimeIndex,
    symbols: pd.Index,
    *,
    last: np.ndarray,
    carry: np.ndarray | None = None,
) -> pd.DataFrame:
    """Trades of a simulation.

    Parameters
    ----------
    fills : array of shape (n_fills, 10)
        In order of time; the columns are those of `account.FILL`.
    times : DatetimeIndex of shape (n_bars,)
        Bar ends.
    symbols : Index of shape (n_symbols,)
        Names.
    last : array of shape (n_symbols,)
        Prices that open positions count as sold at.
    carry : array of shape (n_symbols,), optional
        Funding and borrow that each open position has paid since its last fill.

    Returns
    -------
    DataFrame
        One row a trade in order of entry: the columns of the trades table and
        `decided_at`, the bar end that asked for it. `pnl` is after fee, slippage and funding
        (which holds borrow too), in starting capitals; `return` is pnl over the entry's
        notional. A trade still open has no exit time and exit_reason `open`; what is left of
        it counts as sold at the last price.
    """
    paid = np.zeros(len(symbols)) if carry is None else carry
    found = _trips(fills, np.ascontiguousarray(last), paid)
    found = found[np.lexsort((found[:, _SYMBOL], found[:, _ENTERED]))]
    symbol, side, decided, entered, exited, reason = found[:, :6].T
    units, bought, sold_units, sold, fee, slippage, funding = found[:, 6:].T
    pnl = side * (sold - bought) - fee - funding
    columns = {
        "symbol": symbols.take(symbol.astype(int)),
        "side": pd.Index(["short", "long"]).take((side > 0).astype(int)),
        "decided_at": times.take(decided.astype(int)),
        "entry_time": times.take(entered.astype(int)),
        "exit_time": times.take(exited.astype(int), allow_fill=True, fill_value=pd.NaT),
        "entry_price": bought / units,
        "exit_price": sold / sold_units,
        "size": units,
        "fee": fee,
        "slippage": slippage,
        "funding": funding,
        "pnl": pnl,
        "return": np.divide(pnl, bought, out=np.full_like(pnl, np.nan), where=bought != 0),
        "exit_reason": pd.Index(REASONS).take(reason.astype(int)),
    }
    return pd.DataFrame(columns, columns=TRADE_COLUMNS)


def fill_table(fills: np.ndarray, times: pd.DatetimeIndex, symbols: pd.Index) -> pd.DataFrame:
    """Fills of a simulation, in the order in which they came.

    Parameters
    ----------
    fills, times, symbols
        As in `round_trips`.

    Returns
    -------
    DataFrame
        `symbol`, `time`, `units` (negative for a sell), `price` (slipped), `quote`,
        `decided_at`, `equity` (of the account at the quotes), `fee`, `slippage` (both in
        starting capitals) and `reason` (`trim` where a cap was outgrown).
    """
    bar, symbol, units, price, quote, decided, equity, fee, _, reason = fills.T
    columns = {
        "symbol": symbols.take(symbol.astype(int)),
        "time": times.take(bar.astype(int)),
        "units": units,
        "price": price,
        "quote": quote,
        "decided_at": times.take(decided.astype(int)),
        "equity": equity,
        "fee": fee,
        "slippage": units * (price - quote),
        "reason": pd.Index(REASONS).take(reason.astype(int)),
    }
    return pd.DataFrame(columns)
