"""Costs of a trade: what labels and the backtest engine both charge.

A buy fills at price x (1 + slippage), a sell at price x (1 - slippage); the fee is a
fraction of the notional at the slipped price, paid from cash. All rates are `_bps` a side.
"""

from __future__ import annotations

from numba import njit

BPS = 1e-4


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
    return price * (1.0 + slippage_bps * BPS) if side > 0 else price * (1.0 - slippage_bps * BPS)


@njit(cache=True)
def fee(notional: float, fee_bps: float) -> float:
    """Fee on a traded notional, in quote currency.

    Examples
    --------
    >>> fee(-1000.0, 5.0)
    0.5
    """
    return abs(notional) * fee_bps * BPS
