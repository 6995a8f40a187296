"""Statistics of a series of returns. Fractions unless the name gives a unit.

Definitions: Sharpe is mean / std (ddof 1) x sqrt(periods); Sortino divides by
sqrt(mean(min(r, 0)^2)) over all observations; drawdown counts the starting wealth as a peak;
Calmar is CAGR over the absolute maximum drawdown; VaR and CVaR are historical; alpha and beta
are those of ordinary least squares.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from signalkit.errors import DataError, ParamsError
from signalkit.metrics.rows import count_rows

# wealth this near its peak is at it: what is missing is rounding
_ROUNDING = 1e-12
# logarithm of the most that a float holds
_MOST = float(np.log(np.finfo(float).max))


def drawdown(returns: np.ndarray) -> np.ndarray:
    """Wealth against its highest so far, less 1, after each return; starts from 1."""
    wealth = np.cumprod(1 + np.asarray(returns, dtype=float))
    return wealth / np.maximum.accumulate(np.maximum(wealth, 1.0)) - 1


def underwater(returns: pd.Series) -> pd.DataFrame:
    """How far below its peak wealth is after each return, and for how long it has been.

    Parameters
    ----------
    returns : Series of shape (n,)
        Fractional returns, one a bar.

    Returns
    -------
    DataFrame indexed as the returns
        `drawdown`, a fraction at or below 0, and `bars`, how many bars in a row it has been
        below 0; what is less than a rounding below the peak counts as at it.

    Raises
    ------
    DataError
        If a return is not finite or below -1.

    Examples
    --------
    >>> underwater(pd.Series([0.1, -0.5, 0.0, 1.5]))["bars"].tolist()
    [0, 1, 2, 0]
    """
    depth = np.array(drawdown(_checked(returns.to_numpy(), 1)))
    below = depth < -_ROUNDING
    depth[~below] = 0.0
    place = np.arange(len(depth))
    last_peak = np.maximum.accumulate(np.where(below, -1, place))
    return pd.DataFrame({"drawdown": depth, "bars": place - last_peak}, index=returns.index)


def _annual(total: float, power: float) -> float:
    """Compound a total return; more than a float holds is infinite."""
    if total <= -1:
        return -1.0
    growth = np.log1p(total) * power
    return float(np.expm1(growth)) if growth < _MOST else np.inf


@njit(cache=True, nogil=True)
def moments(values):  # noqa: ANN001, ANN201 - numba
    """What the statistics of returns are made of, in two passes.

    Growth, mean, standard deviation (ddof 1, exactly 0 of a constant), downside deviation, and
    of the drawdown the lowest and the bars of the longest.
    """
    n = len(values)
    growth, total, low = 1.0, 0.0, 0.0
    least, most = values[0], values[0]
    share, worst, run, longest = 1.0, 1.0, 0, 0
    for i in range(n):
        value = values[i]
        growth *= 1.0 + value
        total += value
        if value < 0.0:
            low += value * value
        least, most = min(least, value), max(most, value)
        # wealth over its peak, which no growth can overflow
        share = min(share * (1.0 + value), 1.0)
        worst = min(worst, share)
        run = run + 1 if share < 1.0 - _ROUNDING else 0
        longest = max(longest, run)
    mean, squares = total / n, 0.0
    for i in range(n):
        squares += (values[i] - mean) ** 2
    spread = np.sqrt(squares / (n - 1)) if most > least else 0.0
    return growth, mean, spread, np.sqrt(low / n), worst - 1.0, longest


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
    ParamsError
        If a year has no periods.
    """
    values = _checked(returns, 2)
    return pd.Series(from_moments(moments(values), len(values), periods_per_year))


def from_moments(found: tuple[float, ...], n: int, periods_per_year: float) -> dict[str, float]:
    """The rows of `returns` from the `moments` of n returns."""
    if not periods_per_year > 0:
        raise ParamsError(f"periods_per_year must be above 0, was {periods_per_year}")
    growth, mean, spread, downside, worst, *_ = found
    annual, root = _annual(growth - 1, periods_per_year / n), np.sqrt(periods_per_year)
    return {
        "return_total": growth - 1,
        "return_annual": annual,
        "volatility_annual": spread * root,
        "sharpe_annual": mean / spread * root if spread > 0 else np.nan,
        "sortino_annual": mean / downside * root if downside > 0 else np.nan,
        "max_drawdown": worst,
        "calmar": annual / -worst if worst < 0 else np.nan,
        "periods": float(n),
    }


def risk(returns: np.ndarray, *, level: float = 0.95) -> pd.Series:
    """How bad a bar can be, and how long wealth stayed below its peak.

    Parameters
    ----------
    returns : array of shape (n,)
        Fractional returns, one a bar.
    level : float
        Share of bars that VaR is not to be exceeded in, above 0 and below 1.

    Returns
    -------
    Series
        `max_drawdown_bars`, the longest run of bars below the peak, one that has not ended
        counted so far; `var_95` and `cvar_95` (of the default level), returns of one bar,
        negative where the bar loses: the quantile 1 - level, linear between two returns, and
        the mean of the returns up to it, floor((n - 1)(1 - level)) + 1 of them.

    Raises
    ------
    ParamsError
        If the level is not between 0 and 1.
    DataError
        If there are fewer than 2 returns, one is not finite, or one is below -1.

    Examples
    --------
    >>> risk(np.array([0.1, -0.2, 0.1, -0.1, 0.4]), level=0.75).round(3).to_dict()
    {'max_drawdown_bars': 3.0, 'var_75': -0.1, 'cvar_75': -0.15}
    """
    if not 0 < level < 1:
        raise ParamsError(f"the level of VaR must be between 0 and 1, was {level}")
    values = _checked(returns, 2)
    rows = {"max_drawdown_bars": float(moments(values)[-1])}
    return pd.Series(rows | _tail(values, level))


def _tail(values: np.ndarray, level: float) -> dict[str, float]:
    """VaR and CVaR of checked returns."""
    # 1 - 0.95 is a little above 0.05; the rounding must not move the place
    place = (len(values) - 1) * round(1 - level, 12)
    whole = int(place)
    cut = np.partition(values, whole + 1)
    # in order, so that the sum does not depend on how the machine partitions
    worst = np.sort(cut[: whole + 1])
    var = worst[-1] + (place - whole) * (cut[whole + 1] - worst[-1])
    name = f"{100 * level:g}"
    return {f"var_{name}": float(var), f"cvar_{name}": float(worst.mean())}


def against(returns: np.ndarray, benchmark: np.ndarray, periods_per_year: float) -> pd.Series:
    """Alpha and beta of returns to those of a benchmark, by ordinary least squares.

    Parameters
    ----------
    returns, benchmark : arrays of shape (n,)
        Fractional returns of the same bars.
    periods_per_year : float
        Bars in a year.

    Returns
    -------
    Series
        `alpha_annual`, what a bar earns at a benchmark return of 0, times the bars of a year
        (not compounded), and `beta`. NaN where the benchmark never moves.

    Raises
    ------
    DataError
        If the two do not have the same bars, there are fewer than 2, or one is not finite.

    Examples
    --------
    >>> market = np.array([0.01, -0.02, 0.03])
    >>> against(0.001 + 0.5 * market, market, 250).round(9).to_dict()
    {'alpha_annual': 0.25, 'beta': 0.5}
    """
    values, other = (np.asarray(x, dtype=float) for x in (returns, benchmark))
    if count_rows(values, other) < 2:
        raise DataError("alpha and beta need at least 2 returns")
    alpha, beta = _line(values, other)
    return pd.Series({"alpha_annual": alpha * periods_per_year, "beta": beta})


@njit(cache=True, nogil=True)
def _line(values, other):  # noqa: ANN001, ANN202 - numba
    """Intercept and slope of values on other; NaN where other is a constant."""
    n = len(values)
    mean, base = 0.0, 0.0
    least, most = other[0], other[0]
    for i in range(n):
        mean += values[i]
        base += other[i]
        least, most = min(least, other[i]), max(most, other[i])
    if not most > least:
        return np.nan, np.nan
    mean, base = mean / n, base / n
    both, square = 0.0, 0.0
    for i in range(n):
        both += (values[i] - mean) * (other[i] - base)
        square += (other[i] - base) ** 2
    if not square > 0.0:
        return np.nan, np.nan
    return mean - both / square * base, both / square


def _checked(returns: np.ndarray, least: int) -> np.ndarray:
    """Returns that are finite, enough, and lose no more than everything."""
    values = np.ascontiguousarray(returns, dtype=float)
    if count_rows(values) < least:
        raise DataError(f"statistics of returns need at least {least} of them")
    if values.min() < -1:
        raise DataError(f"a return of {values.min():g} loses more than everything")
    return values
