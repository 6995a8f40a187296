"""The account while it is simulated: what it holds, what waits, and how a fill is booked.

Everything is in starting capitals; volume, lot and minimum notional come divided by the
capital. The state is kept in numpy records, so that compiled functions share it without
allocating. A fill is written as a row of floats, `FILL` says which column is what.
"""

# numba finds the types
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from signalkit.backtesting.settings import FILLS, PRICES, Settings
from signalkit.costs import BPS, fee, slippage_rate, slipped

# why a fill happened, by code; trades turn a fill for signal into signal or reversal
REASONS = (
    *("signal", "reversal", "stop", "trailing_stop", "take_profit"),
    *("liquidation", "brake", "ruin", "open", "trim"),
)
# numbers of numpy, where a literal would compile a function once more for each of them
_codes = np.arange(len(REASONS))
SIGNAL, _, STOP, TRAILING, PROFIT, LIQUIDATION, BRAKE, RUIN, OPEN, TRIM = _codes
NONE, MARKET, LIMIT = range(3)
NEXT_OPEN, NEXT_CLOSE, AT_CLOSE = range(3)
# which price of a bar; WORST is the low of a long and the high of a short
OPENS, HIGHS, LOWS, CLOSES, WORST = range(5)

FILL = ("bar", "symbol", "units", "price", "quote", "decided", "equity", "fee", "carry", "reason")
FILL_COLUMNS = len(FILL)
# the most fills that one symbol can have in one bar
FILLS_A_BAR = 10
TOTALS = (
    *("fees", "slippage", "funding", "borrow", "interest", "written_off"),
    *("traded", "fills"),
)
ACCOUNTS = (
    *("cash", "long", "short", "fees", "slippage", "funding", "borrow", "interest"),
    *("written_off", "signal"),
)

# a share of equity, of an allowance or of what was held that counts as nothing
DUST = 1e-12

# more bars or symbols than there are; a bar's number may be added to it
_ANY = 2**62

_F, _I = np.float64, np.int64
POSITION = np.dtype(
    [
        # what is held: its fills in, the best price since, the stop asked for, levels in force
        *((name, _F) for name in ("units", "entry_units", "entry_value", "last", "best", "stop")),
        *((name, _F) for name in ("stop_level", "profit_level", "carry", "used")),
        # the weight in force, the order that waits, and the change that a moment wants
        *((name, _F) for name in ("wanted", "wanted_limit", "wanted_stop")),
        *((name, _F) for name in ("weight", "limit", "order_stop", "change")),
        *((name, _I) for name in ("opened", "at_open", "level_reason", "used_at")),
        *((name, _I) for name in ("order", "decided", "reason", "cut")),
    ]
)
ACCOUNT = np.dtype(
    [
        *((name, _F) for name in ("cash", "quoted", "fees", "slippage", "funding", "borrow")),
        *((name, _F) for name in ("interest", "written_off", "traded", "turned", "peak")),
        *((name, _I) for name in ("held", "markets", "limits", "n_fills", "liquidating")),
        ("paused_until", _I),
    ]
)


class Bars(NamedTuple):
    """Arrays of shape (n_bars, n_symbols) that the kernel reads; empty where none is needed.

    `prices` are four of them: open, high, low and close. Where a symbol has no bar, `there`
    is 0 and its prices are its last close.
    """

    prices: np.ndarray
    there: np.ndarray
    volume: np.ndarray
    volatility: np.ndarray
    mean_volume: np.ndarray
    funding: np.ndarray
    years: np.ndarray


class Rules(NamedTuple):
    """Settings as the kernel reads them: 0 or infinity where a rule is not in force."""

    fill: int
    fee_bps: float
    maker_bps: float
    slippage_bps: float
    slippage_vol: float
    impact: float
    volume_cap: float
    lot: float
    min_notional: float
    borrow: float
    stop_loss: float
    take_profit: float
    trailing_stop: float
    max_leverage: float
    max_weight: float
    drift: float
    max_positions: int
    max_turnover: float
    maintenance: float
    brake: float
    brake_bars: int
    pessimistic: bool
    prices: int


def rules_of(settings: Settings) -> Rules:
    """Settings in the numbers of the kernel."""
    s = settings
    return Rules(
        fill=FILLS.index(s.fill),
        fee_bps=float(s.fee_bps),
        maker_bps=float(s.fee_bps if s.maker_bps is None else s.maker_bps),
        slippage_bps=float(s.slippage_bps),
        slippage_vol=float(s.slippage_vol),
        impact=float(s.impact),
        volume_cap=math.inf if s.volume_cap is None else float(s.volume_cap),
        lot=s.lot / s.capital,
        min_notional=s.min_notional / s.capital,
        borrow=s.borrow_bps * BPS,
        stop_loss=float(s.stop_loss or 0.0),
        take_profit=float(s.take_profit or 0.0),
        trailing_stop=float(s.trailing_stop or 0.0),
        max_leverage=float(s.max_leverage),
        max_weight=float(s.max_leverage if s.max_weight is None else s.max_weight),
        drift=float(s.drift),
        max_positions=_ANY if s.max_positions is None else min(int(s.max_positions), _ANY),
        max_turnover=math.inf if s.max_turnover is None else float(s.max_turnover),
        maintenance=float(s.maintenance),
        brake=float(s.brake or 0.0),
        brake_bars=min(int(s.brake_bars), _ANY),
        pessimistic=s.path == "pessimistic",
        prices=PRICES.index(s.prices),
    )


@njit(cache=True, inline="always")
def price_of(prices, which, t, s, units):
    """One of a bar's prices for a position."""
    if which == WORST:
        return prices[LOWS, t, s] if units > 0.0 else prices[HIGHS, t, s]
    return prices[which, t, s]


@njit(cache=True)
def worth(prices, which, t, positions, cash):
    """Equity at prices, the sum of absolute position values, and the largest of them."""
    equity, gross, largest = cash, 0.0, 0.0
    for s in range(len(positions)):
        units = positions[s].units
        if units != 0.0:
            value = units * price_of(prices, which, t, s, units)
            equity += value
            gross += abs(value)
            largest = max(largest, abs(value))
    return equity, gross, largest


@njit(cache=True)
def cancel(position, account):
    """Take back the order that waits, if there is one."""
    if position.order == MARKET:
        account.markets -= 1
    elif position.order == LIMIT:
        account.limits -= 1
    position.order = NONE


@njit(cache=True)
def place(position, account, weight, decided, reason):
    """A market order, in place of what waits."""
    cancel(position, account)
    position.order, position.weight, position.order_stop = MARKET, weight, np.nan
    position.decided, position.reason = decided, reason
    account.markets += 1


@njit(cache=True)
def left_of_volume(t, s, position, bars, rules):
    """Units of a symbol that may still be traded in this bar."""
    if rules.volume_cap == np.inf:
        return np.inf
    cap = rules.volume_cap * bars.volume[t, s]
    left = cap - position.used if position.used_at == t else cap
    return left if left > DUST * cap else 0.0


@njit(cache=True)
def priceable(t, s, bars, rules):
    """Whether what slippage is made of is known for a symbol's bar."""
    if rules.slippage_vol > 0.0 or rules.impact > 0.0:
        if not bars.volatility[t, s] > 0.0:
            return False
        if rules.impact > 0.0 and not bars.mean_volume[t, s] > 0.0:
            return False
    return True


@njit(cache=True)
def taken(t, s, change, quote, bars, rules):
    """Price of a market order's change, slippage included."""
    if rules.slippage_vol > 0.0 or rules.impact > 0.0:
        share = abs(change) / bars.mean_volume[t, s] if rules.impact > 0.0 else 0.0
        volatility = bars.volatility[t, s]
        rate = slippage_rate(
            rules.slippage_bps, rules.slippage_vol, rules.impact, volatility, share
        )
    else:
        rate = rules.slippage_bps * BPS
    return slipped(quote, change, rate)


@njit(cache=True)
def stated(t, s, change, quote, bars, rules):
    """Price of a market order before slippage: the quote, or an end of the bar's body."""
    if rules.prices == 0:
        return quote
    upper = max(bars.prices[OPENS, t, s], bars.prices[CLOSES, t, s])
    lower = min(bars.prices[OPENS, t, s], bars.prices[CLOSES, t, s])
    return upper if (change > 0.0) == (rules.prices == 1) else lower


@njit(cache=True)
def set_levels(position, rules):
    """Prices at which the position is given up, NaN where there is none."""
    position.stop_level, position.profit_level = np.nan, np.nan
    if position.units == 0.0:
        return
    side = 1.0 if position.units > 0.0 else -1.0
    entry = position.entry_value / position.entry_units
    level, reason = position.stop, STOP
    if rules.stop_loss > 0.0:
        other = entry * (1.0 - side * rules.stop_loss)
        if not side * level >= side * other:
            level = other
    if rules.trailing_stop > 0.0:
        other = position.best * (1.0 - side * rules.trailing_stop)
        # a mean entry price is not exact: of equal levels the reason is stop
        if not side * level >= side * other - DUST * other:
            level, reason = other, TRAILING
    position.stop_level, position.level_reason = level, reason
    if rules.take_profit > 0.0:
        position.profit_level = entry * (1.0 + side * rules.take_profit)


@njit(cache=True)
def book(fill, position, account, fills):
    """Pay for a fill and change the position; the caller sets its levels anew.

    `fill` is bar, symbol, units, price, quote, fee in bps, the account's equity at the
    quote, the deciding bar, the reason, and whether it came at the bar's open.
    """
    t, s, change, price, quote, fee_bps, equity, decided, reason, at_open = fill
    paid = fee(change * price, fee_bps)
    account.cash -= change * price + paid
    account.quoted -= change * quote
    account.fees += paid
    account.slippage += change * (price - quote)
    # a takeover in ruin is no trade of the account's
    account.traded += abs(change) * quote / equity if equity > 0.0 else 0.0
    account.turned += abs(change) * quote
    position.used = abs(change) + (position.used if position.used_at == t else 0.0)
    position.used_at = t
    if len(fills) > 0:
        row = fills[account.n_fills]
        row[0], row[1], row[2], row[3], row[4] = t, s, change, price, quote
        row[5], row[6], row[7], row[8], row[9] = decided, equity, paid, position.carry, reason
    account.n_fills += 1
    position.carry = 0.0
    before = position.units
    after = before + change
    if abs(after) <= DUST * abs(before):
        after = 0.0
    position.units, position.last = after, price
    if after == 0.0:
        account.held -= 1
        position.entry_units, position.entry_value = 0.0, 0.0
        position.stop = np.nan
    elif before == 0.0 or (before > 0.0) != (after > 0.0):
        account.held += 1 if before == 0.0 else 0
        position.entry_units, position.entry_value = abs(after), abs(after) * price
        position.best, position.stop = price, np.nan
        position.opened, position.at_open = t, at_open
    elif abs(after) > abs(before):
        position.entry_units += abs(change)
        position.entry_value += abs(change) * price
