"""The bar loop: what happens in a bar and in which order, over one or many symbols.

The rules are those of docs/backtesting.md, in its order and with its words; sizes and caps
of orders are in orders.py, exits in stops.py, the booking of a fill in account.py. The loop
looks at prices only where something is held or waits, allocates nothing but room for more
fills, and gives the same bits for the same inputs.
"""

# numba finds the types
# ruff: noqa: ANN001, ANN201, ANN202

from __future__ import annotations

import numpy as np
from numba import njit

from signalkit.backtesting.account import (
    ACCOUNT,
    AT_CLOSE,
    CLOSES,
    FILL_COLUMNS,
    FILLS_A_BAR,
    LIMIT,
    NEXT_CLOSE,
    NEXT_OPEN,
    OPENS,
    POSITION,
    SIGNAL,
    WORST,
    place,
    set_levels,
    worth,
)
from signalkit.backtesting.orders import ONLY_LIQUIDATION, limit_order, moment, outgrown
from signalkit.backtesting.stops import (
    any_level,
    bettered,
    brake,
    called,
    exit_inside,
    follow_best,
    margin_call,
    reached,
    take_over,
    touched,
)


@njit(cache=True)
def _inside(t, levels, bars, rules, positions, account, fills):
    """Stops and profits of what is held, then limit orders and the stops they set off."""
    value, gross, _ = worth(bars.prices, OPENS, t, positions, account.cash)
    for step in range(2):
        for s in range(len(positions)):
            position, quote = positions[s], bars.prices[OPENS, t, s]
            cash, units, filled = account.cash, position.units, step == 1
            if filled:
                if position.order != LIMIT or bars.there[t, s] == 0:
                    continue
                filled = limit_order(t, s, value, gross, bars, rules, position, account, fills)
            due = levels and (filled or step == 0) and position.units != 0.0
            if due and touched(t, s, position, bars.prices):
                exit_inside(t, s, filled, value, bars, rules, position, account, fills)
            value += account.cash - cash + (position.units - units) * quote
            gross += (abs(position.units) - abs(units)) * quote


@njit(cache=True)
def _pay_funding(t, prices, funding, positions, account):
    """Funding of what is held, paid by a long where the rate is positive."""
    for s in range(len(positions)):
        position = positions[s]
        if position.units != 0.0 and funding[t, s] != 0.0:
            due = position.units * prices[CLOSES, t, s] * funding[t, s]
            account.cash -= due
            account.funding += due
            position.carry += due


@njit(cache=True)
def _pay_borrow(t, prices, rate, positions, account):
    """Borrow of shorts and interest on cash below 0, at a rate for the time of one bar."""
    interest = max(-account.cash, 0.0) * rate
    for s in range(len(positions)):
        position = positions[s]
        if position.units < 0.0:
            due = -position.units * prices[CLOSES, t, s] * rate
            account.cash -= due
            account.borrow += due
            position.carry += due
    account.cash -= interest
    account.interest += interest


@njit(cache=True)
def _decided(t, target, stops, positions):
    """Whether a bar brings a weight other than the one in force, or one that may move a stop."""
    found, moves = False, len(stops) > 0
    for s in range(len(positions)):
        weight = target[t, s]
        found = found or (weight == weight and (moves or weight != positions[s].wanted))
    return found


@njit(cache=True)
def _order(t, position, account):
    """The weight in force becomes an order, in place of what waits."""
    place(position, account, position.wanted, t, SIGNAL)
    position.order_stop = position.wanted_stop
    if not np.isnan(position.wanted_limit):
        position.limit, position.order = position.wanted_limit, LIMIT
        account.markets -= 1
        account.limits += 1


@njit(cache=True)
def _decide(t, target, limits, stops, rules, positions, account):
    """New weights become orders; while the brake holds they are only noted."""
    if account.liquidating == 1:
        if account.held > 0:
            return
        account.liquidating = 0
        for s in range(len(positions)):
            positions[s].wanted = 0.0
            positions[s].wanted_limit, positions[s].wanted_stop = np.nan, np.nan
    paused = t <= account.paused_until
    resumes = account.paused_until >= 0 and t > account.paused_until
    for s in range(len(positions)):
        weight, position = target[t, s], positions[s]
        if not np.isnan(weight):
            if weight != position.wanted:
                position.wanted = weight
                position.wanted_limit = limits[t, s] if len(limits) > 0 else np.nan
                position.wanted_stop = stops[t, s] if len(stops) > 0 else np.nan
                if not (paused or resumes):
                    _order(t, position, account)
            elif len(stops) > 0 and position.units != 0.0 and not paused:
                position.stop = position.stop if np.isnan(stops[t, s]) else stops[t, s]
                set_levels(position, rules)
        if resumes and (position.wanted != 0.0 or position.units != 0.0):
            _order(t, position, account)
    if resumes:
        account.paused_until = -1


@njit(cache=True)
def _write_down(t, prices, positions, account, out):
    """A row of the accounts table."""
    long, short = 0.0, 0.0
    for s in range(len(positions)):
        value = positions[s].units * prices[CLOSES, t, s]
        if value > 0.0:
            long += value
        else:
            short -= value
    out[t, 0], out[t, 1], out[t, 2] = account.cash, long, short
    out[t, 3], out[t, 4], out[t, 5] = account.fees, account.slippage, account.funding
    out[t, 6], out[t, 7], out[t, 8] = account.borrow, account.interest, account.written_off
    out[t, 9] = account.quoted + long - short


@njit(cache=True)
def _totals(account, out):
    """Sums of the whole simulation, in the order of TOTALS."""
    out[0], out[1], out[2] = account.fees, account.slippage, account.funding
    out[3], out[4], out[5] = account.borrow, account.interest, account.written_off
    out[6], out[7] = account.traded, account.n_fills


@njit(cache=True)
def _begin(n_symbols):
    """Positions and the account before the first bar."""
    positions, account = np.zeros(n_symbols, POSITION), np.zeros(1, ACCOUNT)
    for s in range(n_symbols):
        p = positions[s]
        p.stop, p.stop_level, p.profit_level = np.nan, np.nan, np.nan
        p.wanted_limit, p.wanted_stop, p.order_stop = np.nan, np.nan, np.nan
    account[0].cash, account[0].peak, account[0].paused_until = 1.0, 1.0, -1
    return positions, account


@njit(cache=True)
def _more(fills, n_fills):
    """Twice the room for fills."""
    out = np.empty((2 * len(fills), FILL_COLUMNS))
    for i in range(n_fills):
        for k in range(FILL_COLUMNS):
            out[i, k] = fills[i, k]
    return out


@njit(cache=True, nogil=True)
def run(bars, rules, target, limits, stops, keep, equity, held, accounts, totals):
    """Simulate an account.

    Parameters
    ----------
    bars : Bars
        Prices of the grid.
    rules : Rules
        What is in force.
    target, limits, stops : arrays of shape (n_bars, n_symbols)
        Weights, NaN where none is given; limit prices and stops, or arrays of length 0.
    keep : bool
        Whether fills are returned.
    equity : array of shape (n_bars,)
        Written: equity at each bar's end.
    held, accounts : arrays of shape (n_bars, n_symbols) and (n_bars, 10), or of length 0
        Written where they have rows: fractions of equity held, and the account.
    totals : array of shape (8,)
        Written: the sums of TOTALS.

    Returns
    -------
    fills, carry : array of shape (n_fills, 10), array of shape (n_symbols,)
        Fills (those of ruin are the lender's), and what each open position has paid for
        funding and borrow since its last fill.
    """
    prices = bars.prices
    n_bars, n_symbols = prices.shape[1:]
    positions, state = _begin(n_symbols)
    account = state[0]
    levels, never = any_level(rules, stops), np.int64(ONLY_LIQUIDATION)
    opens, closes, worst = np.int64(OPENS), np.int64(CLOSES), np.int64(WORST)
    ruin, ruined_at = np.int64(-1), opens
    room, funded = FILLS_A_BAR * n_symbols, len(bars.funding) > 0
    fills = np.empty((max(1024, 2 * room) if keep else 0, FILL_COLUMNS))
    # the numbers are those of the page
    for t in range(n_bars):
        if keep and account.n_fills + room > len(fills):
            fills = _more(fills, account.n_fills)
        account.turned = 0.0
        if account.held > 0 or account.markets > 0 or account.cash <= 0.0:
            value, gross, largest = worth(prices, OPENS, t, positions, account.cash)  # 1
            call = called(value, gross, rules)
            if call and margin_call(t, opens, bars, rules, positions, account, fills):
                ruin = t
                break
            if rules.fill == NEXT_OPEN:  # 2
                if account.markets > 0 or outgrown(value, gross, largest, rules):
                    moment(t, opens, t - 1, bars, rules, positions, account, fills)
            elif account.liquidating == 1:
                moment(t, opens, never, bars, rules, positions, account, fills)
        if account.limits > 0 or (levels and account.held > 0 and reached(t, prices, positions)):
            # 3 and 4
            _inside(t, levels, bars, rules, positions, account, fills)
        if rules.pessimistic and (account.held > 0 or account.cash <= 0.0):
            value, gross, _ = worth(prices, WORST, t, positions, account.cash)  # 5
            call = called(value, gross, rules)
            if call and margin_call(t, worst, bars, rules, positions, account, fills):
                ruin, ruined_at = t, worst
                break
        if funded:  # 6
            _pay_funding(t, prices, bars.funding, positions, account)
        if rules.borrow > 0.0 and t > 0:
            _pay_borrow(t, prices, rules.borrow * bars.years[t], positions, account)
        value, gross, largest = worth(prices, CLOSES, t, positions, account.cash)
        if account.held > 0 or account.markets > 0 or account.cash <= 0.0:
            if rules.fill == NEXT_CLOSE:  # 7
                if account.markets > 0 or outgrown(value, gross, largest, rules):
                    moment(t, closes, t - 1, bars, rules, positions, account, fills)
                    value, gross, largest = worth(prices, CLOSES, t, positions, account.cash)
            elif account.liquidating == 1:
                moment(t, closes, never, bars, rules, positions, account, fills)
                value, gross, largest = worth(prices, CLOSES, t, positions, account.cash)
            if called(value, gross, rules):  # 8
                if margin_call(t, closes, bars, rules, positions, account, fills):
                    ruin, ruined_at = t, closes
                    break
                value, gross, largest = worth(prices, CLOSES, t, positions, account.cash)
        if rules.brake > 0.0:
            brake(t, value, rules, positions, account)
        waits = account.liquidating == 1 or account.paused_until >= 0
        if waits or _decided(t, target, stops, positions):  # 9
            _decide(t, target, limits, stops, rules, positions, account)
        due = account.markets > 0 or outgrown(value, gross, largest, rules)
        if rules.fill == AT_CLOSE and due:  # 10
            moment(t, closes, t, bars, rules, positions, account, fills)
            value, gross, largest = worth(prices, CLOSES, t, positions, account.cash)
        if rules.trailing_stop > 0.0 and account.held > 0 and bettered(t, prices, positions):
            follow_best(t, bars, rules, positions)
        if value <= 0.0:
            # fills at 8 and 10 may cost more than there is
            ruin, ruined_at = t, closes
            break
        equity[t] = value  # 11
        if len(held) > 0:
            for s in range(n_symbols):
                units = positions[s].units
                held[t, s] = units * prices[CLOSES, t, s] / value if units != 0.0 else 0.0
        if len(accounts) > 0:
            _write_down(t, prices, positions, account, accounts)
    if ruin >= 0:
        take_over(ruin, ruined_at, prices, positions, account, fills)
        for t in range(ruin, n_bars):
            equity[t] = 0.0
            if len(held) > 0:
                held[t] = 0.0
            if len(accounts) > 0:
                _write_down(t, prices, positions, account, accounts)
    _totals(account, totals)
    carry = np.empty(n_symbols)
    for s in range(n_symbols):
        carry[s] = positions[s].carry
    return fills[: account.n_fills if keep else 0], carry
