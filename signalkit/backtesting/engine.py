"""The engine: target weights in, equity and trades out, all symbols from one cash account.

A weight decided at the close of bar t is traded at the open of t + 1 (`next_open`), its
close (`next_close`), or at the very close it was decided on (`close`, optimistic). An
order is placed when the target changes, sized on equity at the prices it fills at, and
waits while its symbol has no bar. Positions are marked at the last close. Costs come from
signalkit.costs. An account that is worth nothing at a close, or at the quotes of an order, is
closed and stays there; what it lost beyond its capital is its lender's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from signalkit.backtesting.trades import round_trips
from signalkit.bars import check
from signalkit.costs import BPS, fee, fill_price
from signalkit.errors import DataError, ParamsError

FILLS = ("next_open", "next_close", "close")
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Backtest:
    """What a simulation gave.

    `equity` holds `strategy` and `hold` (the capital in equal parts, each buys its symbol
    once at its first bar, same costs), multiples of the starting capital at each bar end;
    `positions` the fraction of equity in each symbol; `trades` the round trips; `fees` and
    `slippage` the costs paid, in starting capitals; `traded` the sum of what was traded, in
    equities of the time.
    """

    equity: pd.DataFrame
    positions: pd.DataFrame
    trades: pd.DataFrame
    fees: float
    slippage: float
    traded: float = 0.0

    @property
    def returns(self) -> pd.DataFrame:
        """Returns of strategy and hold, one a bar, from the starting capital on."""
        before = self.equity.shift().fillna(1.0)
        return (self.equity / before.where(before > 0) - 1).fillna(0.0)


@njit(cache=True)
def _execute(t, quotes, state, cash, fills, n_fills, costs):  # noqa: ANN001, ANN202 - numba
    """Fill pending orders that have a quote; returns cash, fill count, the account's worth.

    An account worth nothing at the quotes fills nothing.
    """
    units, mark, pending, decided_at = state
    fee_bps, slippage_bps = costs
    value = cash
    waits = False
    for s in range(len(units)):
        if units[s] != 0.0:
            value += units[s] * (mark[s] if np.isnan(quotes[s]) else quotes[s])
        waits = waits or not (np.isnan(pending[s]) or np.isnan(quotes[s]))
    if not waits:
        return cash, n_fills, 1.0
    for s in range(len(units)):
        if value <= 0.0 or np.isnan(pending[s]) or np.isnan(quotes[s]):
            continue
        change = pending[s] * value / quotes[s] - units[s] if pending[s] != 0.0 else -units[s]
        after = units[s] + change if pending[s] != 0.0 else 0.0
        pending[s] = np.nan
        if change == 0.0:
            continue
        price = fill_price(quotes[s], change, slippage_bps)
        cash -= change * price + fee(change * price, fee_bps)
        units[s] = after
        fills[n_fills] = np.array([t, s, change, price, quotes[s], decided_at[s], value])
        n_fills += 1
    return cash, n_fills, value


@njit(cache=True)
def _run(open_, close, target, fill, fee_bps, slippage_bps):  # noqa: ANN001, ANN202 - numba
    """Equity and positions at each close, every fill, and the bar of ruin or -1.

    A fill is bar, symbol, units, slipped price, quote, deciding bar and the account's value.
    """
    n_bars, n_symbols = close.shape
    cash, value, n_fills, ruin = 1.0, 1.0, 0, -1
    units, mark = np.zeros(n_symbols), np.full(n_symbols, np.nan)
    wanted, pending = np.zeros(n_symbols), np.full(n_symbols, np.nan)
    decided_at = np.zeros(n_symbols)
    state, costs = (units, mark, pending, decided_at), (fee_bps, slippage_bps)
    equity, held = np.zeros(n_bars), np.zeros((n_bars, n_symbols))
    fills = np.empty((np.sum(~np.isnan(target)), 7))
    for t in range(n_bars):
        if fill != 2:
            quotes = open_[t] if fill == 0 else close[t]
            cash, n_fills, value = _execute(t, quotes, state, cash, fills, n_fills, costs)
        if value <= 0.0:
            ruin = t
            break
        for s in range(n_symbols):
            if not np.isnan(close[t, s]):
                mark[s] = close[t, s]
            if not np.isnan(target[t, s]) and target[t, s] != wanted[s]:
                wanted[s], pending[s], decided_at[s] = target[t, s], target[t, s], t
        if fill == 2:
            cash, n_fills, value = _execute(t, close[t], state, cash, fills, n_fills, costs)
        worth = cash
        for s in range(n_symbols):
            if units[s] != 0.0:
                worth += units[s] * mark[s]
        if worth <= 0.0:
            ruin = t
            break
        equity[t] = worth
        for s in range(n_symbols):
            if units[s] != 0.0:
                held[t, s] = units[s] * mark[s] / worth
    return equity, held, fills[:n_fills], ruin


def simulate(
    bars: pd.DataFrame,
    weight: pd.DataFrame | pd.Series,
    *,
    fill: str = "next_open",
    fee_bps: float = 0.0,
    slippage_bps: float = 0.0,
    max_leverage: float = 1.0,
) -> Backtest:
    """Simulate holding target weights, after costs.

    Parameters
    ----------
    bars : DataFrame indexed by (symbol, time), or by time for one symbol
        Bars; those before the first weight are not simulated.
    weight : DataFrame with `weight`, or Series, indexed by some of the bars
        Fraction of equity wanted, decided at the bar's end. A bar without one keeps the
        target before it.
    fill : str
        `next_open`, `next_close`, or `close` of the deciding bar.
    fee_bps, slippage_bps : float
        Costs a side, in basis points.
    max_leverage : float
        Largest sum of absolute weights at one time.

    Returns
    -------
    Backtest
        Equity, positions and trades from the first weight on.

    Raises
    ------
    ParamsError
        If the fill rule is unknown or a cost is negative.
    DataError
        If bars break their rule, or a weight is NaN, above the leverage, or decided at a
        time without a bar.
    """
    if fill not in FILLS:
        raise ParamsError(f"backtesting.fill is one of {', '.join(FILLS)}, was {fill!r}")
    if not (fee_bps >= 0 and slippage_bps >= 0):
        raise ParamsError(f"costs must not be negative, were {fee_bps} and {slippage_bps} bps")
    check(bars)
    wanted = weight["weight"] if isinstance(weight, pd.DataFrame) else weight
    panel = _with_symbol(bars)
    target = _targets(panel, _with_symbol(wanted), max_leverage)
    open_, close = (_wide(panel, name, target.index) for name in ("open", "close"))
    rules = (FILLS.index(fill), float(fee_bps), float(slippage_bps))
    arrays = open_.to_numpy(copy=True), close.to_numpy(copy=True)
    equity, held, fills, ruin = _run(*arrays, target.to_numpy(copy=True), *rules)
    hold = _buy_and_hold(*arrays, rules)
    both = pd.DataFrame({"strategy": equity, "hold": hold}, index=target.index)
    positions = pd.DataFrame(held, index=target.index, columns=target.columns)
    trades = round_trips(fills, close, fee_bps, ruin=ruin)
    _, _, change, price, quote, _, value = fills.T
    paid = np.abs(change * price).sum() * fee_bps * BPS
    slipped = np.abs(change * (price - quote)).sum()
    traded = np.abs(change * quote / value).sum()
    return Backtest(both, positions, trades, float(paid), float(slipped), float(traded))


def _with_symbol(table: pd.DataFrame | pd.Series) -> pd.DataFrame | pd.Series:
    """A table with a symbol level; one nameless symbol where it has none."""
    if table.index.nlevels == 2:
        return table
    return pd.concat({"": table}, names=["symbol", "time"])


def _wide(panel: pd.DataFrame, column: str, times: pd.DatetimeIndex) -> pd.DataFrame:
    """One column as times x symbols, NaN where a symbol has no bar."""
    return panel[column].unstack("symbol").reindex(times)


def _targets(panel: pd.DataFrame, wanted: pd.Series, max_leverage: float) -> pd.DataFrame:
    """Checked weights as times x symbols, from the first weight to the last bar."""
    if wanted.empty:
        raise DataError("there are no weights to simulate")
    stray = ~wanted.index.isin(panel.index)
    if stray.any():
        raise DataError(f"a weight at {wanted.index[np.argmax(stray)]} has no bar to be decided on")
    if not np.isfinite(wanted).all():
        place = wanted.index[int(np.argmax(~np.isfinite(wanted)))]
        raise DataError(f"the weight at {place} is {wanted.loc[place]}; give 0 for no position")
    clock = panel.index.unique("time").sort_values()
    clock = clock[clock >= wanted.index.get_level_values("time").min()]
    target = wanted.unstack("symbol").reindex(index=clock, columns=panel.index.unique("symbol"))
    gross = target.ffill().abs().sum(axis=1)
    if gross.max() > max_leverage + _TOLERANCE:
        raise DataError(
            f"weights at {gross.idxmax():%Y-%m-%d %H:%M}Z sum to {gross.max():g} times equity;"
            f" backtesting.max_leverage allows {max_leverage:g}"
        )
    return target


def _buy_and_hold(
    open_: np.ndarray, close: np.ndarray, rules: tuple[int, float, float]
) -> np.ndarray:
    """Equity of one account a symbol, each of which buys once at its symbol's first bar."""
    accounts = []
    for s in range(close.shape[1]):
        target = np.full((len(close), 1), np.nan)
        target[np.argmax(~np.isnan(close[:, s]))] = 1.0
        mine = np.ascontiguousarray(open_[:, [s]]), np.ascontiguousarray(close[:, [s]])
        accounts.append(_run(*mine, target, *rules)[0])
    return np.mean(accounts, axis=0)
