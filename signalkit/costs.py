"""Costs of a trade: what labels and the backtest engine both charge.

A buy fills at price x (1 + slippage), a sell at price x (1 - slippage); the fee is a
fraction of the notional at the slipped price, paid from cash. All rates are `_bps` a side.

Impact grows with the square root of the share of volume that is traded, in units of
volatility: Almgren, Thum, Hauptmann and Li, Direct Estimation of Equity Market Impact
(2005); Tóth et al., Anomalous Price Impact and the Critical Nature of Liquidity (2011).
"""

from __future__ import annotations

import math

from numba import njit

BPS = 1e-4


@njit(cache=True)
def slippage_rate(
    slippage_bps: float, slippage_vol: float, impact: float, volatility: float, share: float
) -> float:
    """Slippage of a market order as a fraction of its price.

    Parameters
    ----------
    slippage_bps : float
        Part that is always paid, in basis points.
    slippage_vol, impact : float
        Multiples of `volatility`; that of `impact` by the root of `share`.
    volatility : float
        Standard deviation of log returns, a bar; not read where both multiples are 0.
    share : float
        Units traded over the mean volume of a bar; not read where `impact` is 0.

    Examples
    --------
    >>> round(slippage_rate(2.0, 0.1, 0.5, 0.01, 0.04), 6)
    0.0022
    """
    rate = slippage_bps * BPS
    if slippage_vol > 0.0:
        rate += slippage_vol * volatility
    if impact > 0.0:
        rate += impact * volatility * math.sqrt(share)
    return rate


@njit(cache=True)
def slipped(price: float, side: float, rate: float) -> float:
    """Price with slippage as a fraction: more for a buy, less for a sell, never below 0.

    Examples
    --------
    >>> slipped(100.0, 1.0, 0.01), slipped(100.0, -1.0, 2.0)
    (101.0, 0.0)
    """
    return price * (1.0 + rate) if side > 0 else price * max(1.0 - rate, 0.0)


@njit(cache=True)
def fill_price(price: float, side: float, slippage_bps: float) -> float:
    """Price a market order gets.

    Parameters
    ----------
    price : float
        Quoted price.
    side : float
        Positive for a buy, negative for a sell.
    slippage_bps : float
        Slippage in basis points.

    Examples
    --------
    >>> fill_price(100.0, 1.0, 10.0), fill_price(100.0, -1.0, 10.0)
    (100.1, 99.9)
    """
    return slipped(price, side, slippage_bps * BPS)


@njit(cache=True)
def fee(notional: float, fee_bps: float) -> float:
    """Fee on a traded notional, in quote currency.

    Examples
    --------
    >>> fee(-1000.0, 5.0)
    0.5
    """
    return abs(notional) * fee_bps * BPS
