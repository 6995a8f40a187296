"""Statistics of a series of returns. Fractions unless the name gives a unit.

Definitions: Sharpe is mean / std (ddof 1) x sqrt(periods); Sortino divides by
sqrt(mean(min(r, 0)^2)) over all observations; drawdown counts the starting wealth as a peak;
Calmar is CAGR over the absolute maximum drawdown.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.metrics.rows import count_rows


def drawdown(returns: np.ndarray) -> np.ndarray:
    """Wealth against its highest so far, less 1, after each return; starts from 1."""
    wealth = np.cumprod(1 + np.asarray(returns, dtype=float))
    return wealth / np.maximum.accumulate(np.maximum(wealth, 1.0)) - 1


def _annual(total: float, power: float) -> float:
    """Compound a total return; more than a float holds is infinite."""
    if total <= -1:
        return -1.0
    growth = np.log1p(total) * power
    return float(np.expm1(growth)) if growth < np.log(np.finfo(float).max) else np.inf


def returns(returns: np.ndarray, periods_per_year: float) -> pd.Series:
    """Statistics of a series of per-bar returns.

    Parameters
    ----------
    returns : array of shape (n,)
        Fractional returns, one a bar.
    periods_per_year : float
        Bars in a year, from `bars.bars_per_year`.

    Returns
    -------
    Series
        `return_total`, `return_annual` (CAGR), `volatility_annual`, `sharpe_annual`,
        `sortino_annual`, `max_drawdown`, `calmar`, `periods`. A ratio whose divisor is 0
        is NaN.

    Raises
    ------
    DataError
        If there are fewer than 2 returns, one is not finite, or one is below -1.
    """
    values = np.asarray(returns, dtype=float)
    if count_rows(values) < 2:
        raise DataError("statistics of returns need at least 2 of them")
    if (values < -1).any():
        raise DataError(f"a return of {values.min():g} loses more than everything")
    total = float(np.prod(1 + values) - 1)
    annual = _annual(total, periods_per_year / len(values))
    spread = values.std(ddof=1) if np.ptp(values) > 0 else 0.0
    downside = np.sqrt(np.mean(np.minimum(values, 0) ** 2))
    worst = float(min(drawdown(values).min(), 0.0))
    root = np.sqrt(periods_per_year)
    names = {
        "return_total": total,
        "return_annual": annual,
        "volatility_annual": spread * root,
        "sharpe_annual": values.mean() / spread * root if spread > 0 else np.nan,
        "sortino_annual": values.mean() / downside * root if downside > 0 else np.nan,
        "max_drawdown": worst,
        "calmar": annual / -worst if worst < 0 else np.nan,
        "periods": float(len(values)),
    }
    return pd.Series(names)
