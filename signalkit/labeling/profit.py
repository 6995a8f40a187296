"""Whether a trade pays: the label that charges what the backtest charges.

The trade is decided at the end of bar t and given up `horizon` bars later; both orders fill
by one rule, that of the backtest, at the prices and fees of signalkit.costs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from signalkit.bars import check, each_symbol
from signalkit.costs import fee, fill_price
from signalkit.errors import ParamsError
from signalkit.labeling.horizon import check_choice, check_enough, check_horizon, settled_later

# the column an order fills at, and how many bars after it was decided
FILLS = {"close": ("close", 0), "next_close": ("close", 1), "next_open": ("open", 1)}
SIDES = {"long": 1.0, "short": -1.0}


def target_profitable(
    bars: pd.DataFrame,
    horizon: int,
    *,
    side: str = "long",
    entry: str = "next_open",
    fee_bps: float = 0.0,
    slippage_bps: float = 0.0,
) -> pd.DataFrame:
    """Whether a trade held for `horizon` bars pays after costs: 1 yes, 0 no.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        Bars of one symbol, or a panel.
    horizon : int
        Bars between the two decisions, at least 1.
    side : str
        `long` buys and sells again, `short` sells and buys back.
    entry : str
        Fill of both orders: `next_open`, `next_close`, or `close` of the deciding bar.
    fee_bps, slippage_bps : float
        Costs a side, in basis points, not negative.

    Returns
    -------
    DataFrame
        `label` (0.0 or 1.0; a trade that comes out even is 0) and `known_at`, the end of the
        bar whose open or close the second order fills at: bar t + horizon, one later where
        orders fill at the next bar. Bars whose trade is not closed by the last one have no
        row.

    Raises
    ------
    ParamsError
        If an option is not one of those above or a cost is negative.
    DataError
        If a symbol has too few bars for one label.

    Examples
    --------
    >>> from signalkit.causality import probe_bars
    >>> bars = probe_bars(3).assign(low=0.5, high=9.0, open=1.0, close=[1.0, 1.001, 1.004])
    >>> target_profitable(bars, 1, entry="close", fee_bps=10)["label"].tolist()
    [0.0, 1.0]
    """
    check_horizon(horizon)
    check_choice("side", side, SIDES)
    check_choice("entry", entry, FILLS)
    if not (fee_bps >= 0 and slippage_bps >= 0):
        raise ParamsError(f"costs must not be negative, were {fee_bps} and {slippage_bps} bps")
    check(bars)
    rules = SIDES[side], FILLS[entry], float(fee_bps), float(slippage_bps)
    return each_symbol(bars, lambda block: _pays(block, horizon, rules))


def _pays(bars: pd.DataFrame, horizon: int, rules: tuple) -> pd.DataFrame:
    """One symbol's trades."""
    toward, (column, later), fee_bps, slippage_bps = rules
    check_enough(bars, horizon + later)
    quotes = bars[column].to_numpy(copy=True)[later:]
    gain = _gains(quotes, horizon, toward, fee_bps, slippage_bps)
    return settled_later(bars, np.where(gain > 0, 1.0, 0.0), horizon + later)


@njit(cache=True)
def _gains(
    quotes: np.ndarray, horizon: int, toward: float, fee_bps: float, slippage_bps: float
) -> np.ndarray:
    """Money left of one unit traded at each quote and traded back `horizon` quotes later."""
    out = np.empty(len(quotes) - horizon)
    for t in range(len(out)):
        begin = fill_price(quotes[t], toward, slippage_bps)
        finish = fill_price(quotes[t + horizon], -toward, slippage_bps)
        out[t] = toward * (finish - begin) - fee(begin, fee_bps) - fee(finish, fee_bps)
    return out
