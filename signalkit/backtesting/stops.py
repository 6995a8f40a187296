"""Exits inside the bar: stops, profits, and what margin and the drawdown brake force.

docs/backtesting.md, "Stops" and "Margin, ruin, brake", is the rule book of this file.
"""

# numba finds the types
# ruff: noqa: ANN001, ANN201, ANN202

from __future__ import annotations

import math

import numpy as np
from numba import njit

from signalkit.backtesting.account import (
    BRAKE,
    HIGHS,
    LIQUIDATION,
    LOWS,
    NONE,
    OPENS,
    PROFIT,
    RUIN,
    book,
    cancel,
    left_of_volume,
    place,
    price_of,
    priceable,
    set_levels,
    taken,
    worth,
)


@njit(cache=True)
def _leave(t, s, quote, maker, reason, equity, bars, rules, position, account, fills):
    """Give up a position at a price, as far as volume goes and slippage is known."""
    units = min(abs(position.units), left_of_volume(t, s, position, bars, rules))
    if units == 0.0 or not (maker or priceable(t, s, bars, rules)):
        return
    change = -math.copysign(units, position.units)
    price = quote if maker else taken(t, s, change, quote, bars, rules)
    fee_bps = rules.maker_bps if maker else rules.fee_bps
    inside = np.int64(0)
    fill = (t, s, change, price, quote, fee_bps, equity, t, reason, inside)
    book(fill, position, account, fills)
    set_levels(position, rules)


@njit(cache=True)
def touched(t, s, position, prices):
    """Whether a bar reaches the stop or the profit level of the position it met."""
    low, high = prices[LOWS, t, s], prices[HIGHS, t, s]
    if position.units > 0.0:
        return low <= position.stop_level or high >= position.profit_level
    return high >= position.stop_level or low <= position.profit_level


@njit(cache=True)
def reached(t, prices, positions):
    """Whether a bar reaches a level of any position."""
    for s in range(len(positions)):
        if positions[s].units != 0.0 and touched(t, s, positions[s], prices):
            return True
    return False


@njit(cache=True)
def exit_inside(t, s, stop_only, at_opens, bars, rules, position, account, fills):
    """Leave a position at the level that the bar reaches; which one first is the path's.

    `at_opens` is the equity at the bar's opens.
    """
    side = 1.0 if position.units > 0.0 else -1.0
    open_ = bars.prices[OPENS, t, s]
    worst, best = bars.prices[LOWS, t, s], bars.prices[HIGHS, t, s]
    if side < 0.0:
        worst, best = best, worst
    stopped = side * worst <= side * position.stop_level
    paid = side * best >= side * position.profit_level and not stop_only
    if bars.there[t, s] == 0 or not (stopped or paid):
        return
    if stopped and (rules.pessimistic or not paid):
        quote, maker, reason = position.stop_level, False, position.level_reason
        here = open_ if position.opened < t or position.at_open == 1 else position.last
        if side * here < side * quote:
            quote = here
    else:
        quote, maker, reason = position.profit_level, True, PROFIT
        if side * open_ > side * quote:
            quote = open_
    equity = at_opens + position.units * (quote - open_)
    if position.order != NONE and position.weight * side > 0.0:
        cancel(position, account)
    _leave(t, s, quote, maker, reason, equity, bars, rules, position, account, fills)
    if position.units != 0.0 and position.order == NONE:
        place(position, account, 0.0, t, reason)


@njit(cache=True)
def called(equity, gross, rules):
    """Whether equity is too small for the positions it carries, or nothing is left."""
    return equity <= rules.maintenance * gross


@njit(cache=True)
def margin_call(t, which, bars, rules, positions, account, fills):
    """Liquidate, or find ruin, at prices of a bar; whether the account is ruined."""
    equity, gross, _ = worth(bars.prices, which, t, positions, account.cash)
    if not called(equity, gross, rules):
        return False
    if equity <= 0.0:
        return True
    account.liquidating, taker = 1, np.bool_(False)
    for s in range(len(positions)):
        position = positions[s]
        cancel(position, account)
        if position.units != 0.0:
            place(position, account, 0.0, t, LIQUIDATION)
    for s in range(len(positions)):
        position = positions[s]
        if position.units == 0.0 or bars.there[t, s] == 0:
            continue
        quote = price_of(bars.prices, which, t, s, position.units)
        _leave(t, s, quote, taker, LIQUIDATION, equity, bars, rules, position, account, fills)
        if position.units == 0.0:
            cancel(position, account)
    return False


@njit(cache=True)
def take_over(t, which, prices, positions, account, fills):
    """Ruin: the lender takes every position at these prices, and what is missing."""
    equity, _, _ = worth(prices, which, t, positions, account.cash)
    inside = np.int64(0)
    for s in range(len(positions)):
        position = positions[s]
        if position.units != 0.0:
            quote = price_of(prices, which, t, s, position.units)
            fill = (t, s, -position.units, quote, quote, 0.0, equity, t, RUIN, inside)
            book(fill, position, account, fills)
    account.written_off -= account.cash
    account.cash = 0.0


@njit(cache=True)
def brake(t, equity, rules, positions, account):
    """Sell everything where equity fell far from its highest; decide nothing for a while."""
    if t <= account.paused_until:
        return
    if account.paused_until >= 0 and t == account.paused_until + 1:
        account.peak = equity
    account.peak = max(account.peak, equity)
    if equity > (1.0 - rules.brake) * account.peak:
        return
    account.paused_until = t + rules.brake_bars
    for s in range(len(positions)):
        position = positions[s]
        cancel(position, account)
        if position.units != 0.0:
            place(position, account, 0.0, t, BRAKE)


@njit(cache=True)
def bettered(t, prices, positions):
    """Whether a bar is beyond the best price of any position."""
    for s in range(len(positions)):
        position = positions[s]
        if position.units > 0.0 and prices[HIGHS, t, s] > position.best:
            return True
        if position.units < 0.0 and prices[LOWS, t, s] < position.best:
            return True
    return False


@njit(cache=True)
def follow_best(t, bars, rules, positions):
    """Trailing levels after a bar: its high, or its low for a short, where it was held."""
    for s in range(len(positions)):
        position = positions[s]
        if position.units == 0.0 or bars.there[t, s] == 0:
            continue
        if position.opened == t and position.at_open == 0:
            continue
        best = bars.prices[HIGHS if position.units > 0.0 else LOWS, t, s]
        if best != position.best and (best > position.best) == (position.units > 0.0):
            position.best = best
            set_levels(position, rules)


@njit(cache=True)
def any_level(rules, stops):
    """Whether positions can have a stop or a profit level."""
    set_ = rules.stop_loss > 0.0 or rules.take_profit > 0.0 or rules.trailing_stop > 0.0
    return set_ or len(stops) > 0
