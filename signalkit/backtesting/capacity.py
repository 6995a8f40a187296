"""Capacity: what is left of a return when more and more capital follows the same weights.

An order moves the price against itself by impact x volatility x sqrt(order / mean volume), the
square-root law; twice the capital pays 1.4 times as much of it on every trade. What the market
would do in answer is not simulated.

Source: Almgren, Thum, Hauptmann and Li, Direct Estimation of Equity Market Impact (2005); Tóth
et al., Anomalous Price Impact and the Critical Nature of Liquidity (2011), for the exponent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit import metrics
from signalkit.backtesting.engine import simulate
from signalkit.errors import DataError, ParamsError

# a capital this small moves no price
_NOTHING = 1e-12
# of the search for a limit: factor of its steps, and how far beyond the curve it looks
_STEP, _BEYOND = 4.0, 1e9
_WITHIN = 1.01


@dataclass(frozen=True)
class Capacity:
    """How a return falls with capital.

    `curve`, indexed by `capital` in quote currency, has `return_annual`, `sharpe_annual`,
    `return_total` and `slippage` (starting capitals); `limits`, indexed by `half` and `nothing`,
    has the `capital` at which the annual return falls to half of what it is without impact,
    and to 0, each to 1 %, and what it `says` in words. NaN where there is none.
    """

    curve: pd.DataFrame
    limits: pd.DataFrame


def capacity(
    bars: pd.DataFrame,
    weight: pd.DataFrame | pd.Series,
    capitals: Iterable[float],
    *,
    periods_per_year: float,
    impact: float = 1.0,
    **settings: object,
) -> Capacity:
    """Annual return and Sharpe ratio against capital, and where capital ends them.

    Parameters
    ----------
    bars, weight
        As in `simulate`.
    capitals : iterable of float
        Starting capitals, in quote currency.
    periods_per_year : float
        Bars in a year.
    impact : float
        Volatilities that an order of one bar's mean volume moves the price by.
    **settings
        As in `simulate`, without `capital`.

    Returns
    -------
    Capacity
        The curve, a row a capital in increasing order, and its limits.

    Raises
    ------
    ParamsError
        If there is no capital, one is not above 0, or there is no impact; or as `simulate`.
    DataError
        If a symbol has no volume in any bar, as an index has, or as `simulate`.

    Notes
    -----
    A limit is found by going from capital to capital in factors of 4 and then halving: where a
    return crosses it more than once, one of the crossings is found. The return without impact is
    that of a capital too small to move a price, without lots and least orders.
    """
    asked = sorted({float(c) for c in capitals})
    if not asked or not all(0 < c < np.inf for c in asked):
        raise ParamsError(f"capitals must be above 0 and at least one, were {asked}")
    if not impact > 0:
        raise ParamsError(f"backtesting.impact must be above 0 for a capacity, was {impact}")
    _check_volume(bars)
    settings = settings | {"impact": impact}
    seen: dict[float, dict[str, float]] = {}

    def at(capital: float) -> dict[str, float]:
        """The numbers of one capital, simulated once."""
        if capital not in seen:
            given = settings | {"capital": capital}
            seen[capital] = _numbers(bars, weight, given, periods_per_year)
        return seen[capital]

    curve = pd.DataFrame([at(c) for c in asked], index=pd.Index(asked, name="capital"))
    free = settings | {"capital": _NOTHING * asked[0], "lot": 0.0, "min_notional": 0.0}
    most = _numbers(bars, weight, free, periods_per_year)["return_annual"]
    rows = {}
    for name, share in (("half", 0.5), ("nothing", 0.0)):
        found = np.nan
        if most > 0:
            found = _limit(lambda c, share=share: at(c)["return_annual"] > share * most, asked)
        rows[name] = {"capital": found, "says": _says(name, found, most)}
    return Capacity(curve, pd.DataFrame.from_dict(rows, orient="index").rename_axis("limit"))


def _check_volume(bars: pd.DataFrame) -> None:
    """Refuse symbols that never trade: what an order moves cannot be told."""
    if "volume" not in bars:
        return
    if bars.index.nlevels == 1:
        volume = pd.Series({"the symbol": bars["volume"].sum()})
    else:
        volume = bars["volume"].groupby(level="symbol").sum()
    empty = volume.index[~(volume > 0)]
    if len(empty):
        raise DataError(
            f"{empty[0]} has no volume in any bar, so what an order moves cannot be told; a"
            " capacity is of bars with volume, which an index does not have"
        )


def _numbers(
    bars: pd.DataFrame,
    weight: pd.DataFrame | pd.Series,
    settings: dict[str, object],
    periods_per_year: float,
) -> dict[str, float]:
    """What one capital earned."""
    result = simulate(bars, weight, **settings)
    found = metrics.returns(result.returns["strategy"].to_numpy(), periods_per_year)
    names = ["return_annual", "sharpe_annual", "return_total"]
    return found[names].to_dict() | {"slippage": result.slippage}


def _limit(enough: Callable[[float], bool], asked: list[float]) -> float:
    """Largest capital that still earns enough, to 1 %; NaN where none or any does."""
    good = [c for c in asked if enough(c)]
    low = good[-1] if good else asked[0]
    while not enough(low):
        low /= _STEP
        if low * _BEYOND < asked[0]:
            return np.nan
    high = low * _STEP
    while enough(high):
        low, high = high, high * _STEP
        if low > asked[-1] * _BEYOND:
            return np.nan
    while high / low > _WITHIN:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if enough(middle) else (low, middle)
    return float(np.sqrt(low * high))


def _says(name: str, found: float, most: float) -> str:
    """What a limit means in words."""
    what = "half of it" if name == "half" else "nothing"
    if not most > 0:
        return f"{most:.2%} a year without impact, so there is nothing to lose to it"
    if np.isnan(found):
        return f"{most:.2%} a year without impact; no capital that was tried brings it to {what}"
    return f"{most:.2%} a year without impact falls to {what} at a capital of {found:,.0f}"
