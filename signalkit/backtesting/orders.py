"""Orders: how large they are when they fill, what caps them, and in which sequence they go.

docs/backtesting.md, "Market orders" and "Limit orders", is the rule book of this file.
"""

# numba finds the types
# ruff: noqa: ANN001, ANN201, ANN202

from __future__ import annotations

import math

import numpy as np
from numba import njit

from signalkit.backtesting.account import (
    DUST,
    HIGHS,
    LIQUIDATION,
    LOWS,
    MARKET,
    OPENS,
    TRIM,
    book,
    cancel,
    left_of_volume,
    priceable,
    set_levels,
    stated,
    taken,
    worth,
)

# no bar is before this one
ONLY_LIQUIDATION = -2
# lots are not exact
LOTS = 1e-9


@njit(cache=True)
def wanted_change(position, equity, quote, rules):
    """Units to trade for the order's weight, clipped by max_weight."""
    if position.weight == 0.0:
        return -position.units
    weight = min(max(position.weight, -rules.max_weight), rules.max_weight)
    return weight * equity / quote - position.units


@njit(cache=True)
def share_of(equity, gross, rules):
    """What a position keeps of itself where all outgrew the leverage, else infinity."""
    most = rules.max_leverage * equity
    return most / gross if gross > most * (1.0 + rules.drift) else np.inf


@njit(cache=True)
def within_share(change, position, equity, gross, quote, rules):
    """An order's change, cut to its position's share where it wants more of that side."""
    after, kept = position.units + change, share_of(equity, gross, rules)
    if after * position.units > 0.0 and kept < np.inf:
        most = kept * position.units
        if abs(after) > abs(most) + DUST * equity / quote:
            return most - position.units
    return change


@njit(cache=True)
def trim(position, equity, gross, quote, rules):
    """Units to trade for a position that has outgrown a cap, else 0."""
    most, kept = rules.max_weight * equity, share_of(equity, gross, rules)
    value = abs(position.units) * quote
    if value > most * (1.0 + rules.drift):
        kept = min(kept, most / value)
    return (kept - 1.0) * position.units if kept < 1.0 else 0.0


@njit(cache=True)
def outgrown(equity, gross, largest, rules):
    """Whether a trim may be due."""
    allowed = equity * (1.0 + rules.drift)
    return gross > rules.max_leverage * allowed or largest > rules.max_weight * allowed


@njit(cache=True)
def shrinks(units, change):
    """Whether a change leaves a smaller position of the same side, or none."""
    after = units + change
    return abs(after) < abs(units) and after * units >= 0.0


@njit(cache=True)
def in_room(change, position, others, equity, quote, account, rules):
    """A change cut to the room that leverage and the number of positions leave."""
    if position.units == 0.0 and account.held >= rules.max_positions:
        return 0.0
    room = rules.max_leverage * equity - others
    after = position.units + change
    if abs(after) * quote <= room + DUST * equity:
        return change
    if room <= 0.0:
        # a reversal closes at least
        return -position.units if after * position.units < 0.0 else 0.0
    cut = math.copysign(room / quote, after) - position.units
    return cut if cut * change > 0.0 else 0.0


@njit(cache=True)
def rounded(change, cut, equity, position, quote, rules):
    """A change in whole lots and above the minimum, and whether its order still waits."""
    if change == 0.0 or change == -position.units:
        return change, cut
    if rules.lot > 0.0:
        # numpy's floor: that of math is an integer, which ends at 9e18 lots
        lots = np.floor(abs(change) / rules.lot + LOTS)
        change = math.copysign(lots * rules.lot, change)
    value = abs(change) * quote
    if value <= DUST * equity:
        return 0.0, cut
    return (0.0, False) if value < rules.min_notional else (change, cut)


@njit(cache=True)
def fitted(change, cut, others, equity, quote, position, account, rules):
    """A change after room, positions, lots and minimum, and whether its order still waits."""
    if change != 0.0 and not shrinks(position.units, change):
        allowed = in_room(change, position, others, equity, quote, account, rules)
        cut = cut or allowed != change
        change = allowed
    return rounded(change, cut, equity, position, quote, rules)


@njit(cache=True)
def turnover_left(equity, account, rules):
    """What may still be traded in this bar."""
    whole = rules.max_turnover * equity
    left = whole - account.turned
    return left if whole == np.inf or left > DUST * whole else 0.0


@njit(cache=True)
def close_order(position, account, rules, filled, waits):
    """After an order's turn: its stop comes into force if it filled; unless cut, it is done.

    Only a fill that leaves a position on the order's side brings the stop into force.
    """
    if filled and position.weight * position.units > 0.0 and not np.isnan(position.order_stop):
        position.stop, position.order_stop = position.order_stop, np.nan
        set_levels(position, rules)
    if not waits:
        cancel(position, account)


@njit(cache=True)
def _due(position, until):
    """Whether a market order fills at a moment for orders decided until a bar."""
    if position.order != MARKET:
        return False
    return position.decided <= until or position.reason == LIQUIDATION


@njit(cache=True)
def _want(t, which, until, equity, gross, bars, rules, positions):
    """Each symbol's change at a moment by itself, and the sum of what they trade."""
    total = 0.0
    for s in range(len(positions)):
        position = positions[s]
        position.change, position.cut, quote = 0.0, 0, bars.prices[which, t, s]
        if bars.there[t, s] == 0 or not priceable(t, s, bars, rules):
            continue
        if _due(position, until):
            change = wanted_change(position, equity, quote, rules)
            position.change = within_share(change, position, equity, gross, quote, rules)
            position.cut = 2 if position.change == change else 3
        elif until > ONLY_LIQUIDATION and position.units != 0.0:
            position.change = trim(position, equity, gross, quote, rules)
        total += abs(position.change) * quote
    return total


@njit(cache=True)
def _scale(t, total, equity, bars, rules, positions, account):
    """Cut the changes to what is left of turnover, all alike, and of each symbol's volume.

    `cut` is 2 for an order as it was wanted, 3 for one that was cut, 0 without an order.
    """
    scale = 1.0
    left = turnover_left(equity, account, rules)
    if total > left + DUST * equity:
        scale = left / total
    for s in range(len(positions)):
        position = positions[s]
        if position.change == 0.0:
            continue
        change = position.change if scale == 1.0 else scale * position.change
        available = left_of_volume(t, s, position, bars, rules)
        if abs(change) > available:
            change = math.copysign(available, change)
        if change != position.change and position.cut == 2:
            position.cut = 3
        position.change = change


@njit(cache=True)
def _carry_out(t, s, quote, others, equity, at_open, bars, rules, position, account, fills):
    """Fill one symbol's change of a moment."""
    ordered = position.cut >= 2
    change, waits = fitted(
        position.change, position.cut == 3, others, equity, quote, position, account, rules
    )
    if change != 0.0:
        decided, reason = (position.decided, position.reason) if ordered else (t, TRIM)
        price = taken(t, s, change, stated(t, s, change, quote, bars, rules), bars, rules)
        fill = (t, s, change, price, quote, rules.fee_bps, equity, decided, reason, at_open)
        book(fill, position, account, fills)
        set_levels(position, rules)
    if ordered:
        close_order(position, account, rules, change != 0.0, waits)


@njit(cache=True)
def moment(t, which, until, bars, rules, positions, account, fills):
    """Fill market orders decided until a bar, and trim, at its opens or closes.

    `until` is `ONLY_LIQUIDATION` where it is no moment of the fill rule: then only what is
    left of a liquidation fills.
    """
    equity, gross, _ = worth(bars.prices, which, t, positions, account.cash)
    if equity <= 0.0:
        return
    at_open = 1 if which == OPENS else 0
    total = _want(t, which, until, equity, gross, bars, rules, positions)
    _scale(t, total, equity, bars, rules, positions, account)
    for enlarging in range(2):
        for s in range(len(positions)):
            position = positions[s]
            mine = position.change != 0.0 or position.cut >= 2
            if not mine or (enlarging == 0) != shrinks(position.units, position.change):
                continue
            quote = bars.prices[which, t, s]
            others = gross - abs(position.units) * quote
            _carry_out(t, s, quote, others, equity, at_open, bars, rules, position, account, fills)
            gross = others + abs(position.units) * quote
            position.change, position.cut = 0.0, 0


@njit(cache=True)
def _limit_quote(t, s, buys, bars, rules, limit):
    """Price at which a limit order fills in a bar, NaN where it does not."""
    open_ = bars.prices[OPENS, t, s]
    if buys:
        if open_ <= limit:
            return open_
        low = bars.prices[LOWS, t, s]
        return limit if low < limit or (low == limit and not rules.pessimistic) else np.nan
    if open_ >= limit:
        return open_
    high = bars.prices[HIGHS, t, s]
    return limit if high > limit or (high == limit and not rules.pessimistic) else np.nan


@njit(cache=True)
def limit_order(t, s, at_opens, gross, bars, rules, position, account, fills):
    """Fill the limit order of a symbol where the bar reaches it; whether it did.

    `at_opens` and `gross` are equity and absolute position values at the bar's opens.
    """
    held, open_ = position.units, bars.prices[OPENS, t, s]
    rest, others = at_opens - held * open_, gross - abs(held) * open_
    limit = position.limit
    toward = wanted_change(position, rest + held * limit, limit, rules)
    if toward == 0.0:
        cancel(position, account)
        return False
    quote = _limit_quote(t, s, toward > 0.0, bars, rules, limit)
    equity = rest + held * quote
    if not equity > 0.0:
        return False
    whole = wanted_change(position, equity, quote, rules)
    change = within_share(whole, position, equity, others + abs(held) * quote, quote, rules)
    cut = change != whole
    if change * toward <= 0.0:
        return False
    left = turnover_left(equity, account, rules)
    if abs(change) * quote > left + DUST * equity:
        change, cut = math.copysign(left / quote, change), True
    available = left_of_volume(t, s, position, bars, rules)
    if abs(change) > available:
        change, cut = math.copysign(available, change), True
    change, waits = fitted(change, cut, others, equity, quote, position, account, rules)
    if change != 0.0:
        at_open = 1 if quote == open_ else 0
        decided, reason = position.decided, position.reason
        fill = (t, s, change, quote, quote, rules.maker_bps, equity, decided, reason, at_open)
        book(fill, position, account, fills)
        set_levels(position, rules)
    close_order(position, account, rules, change != 0.0, waits)
    return change != 0.0
