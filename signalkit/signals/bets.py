"""Bet sizes: how much a probability, a predicted return or a calm market is worth staking.

Functions of numbers alone. They know no symbol and no time, but for `payoff_ratio`, which reads
at a bar the outcomes that were known then. `signalkit.signals.sizing` makes positions of them.

Sources: López de Prado, Advances in Financial Machine Learning (2018), sections 10.3 (sizes from
probabilities, snippet 10.1) and 10.5 (discretisation, snippet 10.3); Thorp, The Kelly Criterion in
Blackjack, Sports Betting and the Stock Market (2006), sections 2 (a coin), 3 (unequal odds) and 7
(prices); Moreira and Muir, Volatility-Managed Portfolios (2017), for the volatility target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.errors import DataError, LeakError, ParamsError

METHODS = ("fixed", "volatility", "kelly", "probability")


@dataclass(frozen=True)
class Sizing:
    """By what rule a slice is sized.

    Parameters
    ----------
    method : str
        `fixed`: all of the slice; `volatility`: so much that it would move by
        `annual_volatility`; `kelly`: a `fraction` of the stake that grows fastest; `probability`:
        2 Phi(z) - 1 of the side's probability.
    by_confidence : bool
        Whether `fixed` and `volatility` are multiplied by the confidence in the side. The
        others are made of it.
    annual_volatility : float
        Target of `volatility`, fraction a year.
    fraction : float
        Share of the full Kelly stake, above 0 and at most 1.
    step : float
        Sizes are rounded to multiples of it, so that small changes are not traded; 0 is none.

    Raises
    ------
    ParamsError
        If the method is unknown or a number is out of its range.
    """

    method: str = "fixed"
    by_confidence: bool = False
    annual_volatility: float = 0.1
    fraction: float = 0.25
    step: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ParamsError(f"sizing.method is one of {', '.join(METHODS)}, was {self.method!r}")
        if not 0 < self.annual_volatility < np.inf:
            raise ParamsError(
                f"sizing.annual_volatility must be above 0, was {self.annual_volatility}"
            )
        if not 0 < self.fraction <= 1:
            raise ParamsError(f"sizing.fraction must be above 0, at most 1, was {self.fraction}")
        if not 0 <= self.step <= 1:
            raise ParamsError(f"sizing.step must be from 0 to 1, was {self.step}")


def bet_size(probability: np.ndarray, classes: int = 2) -> np.ndarray:
    """Size of a bet whose side has a probability: 2 Phi(z) - 1.

    z = (p - 1/K) / sqrt(p (1 - p)), the test statistic of p against chance.

    Parameters
    ----------
    probability : array of float
        Of the side that is bet on, 0 to 1.
    classes : int
        K, outcomes that there are, at least 2.

    Returns
    -------
    array of float
        -1 to 1; below 0 where the side is less likely than chance. NaN stays NaN.

    Raises
    ------
    ParamsError
        If there are fewer than two classes.
    DataError
        If a probability is not from 0 to 1.

    Examples
    --------
    >>> bet_size(np.array([0.5, 0.75, 1.0])).round(4).tolist()
    [0.0, 0.4363, 1.0]
    """
    from scipy.special import ndtr  # noqa: PLC0415 - takes over 0.3 s

    if classes < 2:
        raise ParamsError(f"a bet needs at least 2 classes, had {classes}")
    chance = np.asarray(probability, dtype=float)
    _check_shares(chance)
    spread = np.sqrt(chance * (1 - chance))
    edge = chance - 1 / classes
    far = np.asarray(np.copysign(np.inf, edge))
    return 2 * ndtr(np.divide(edge, spread, out=far, where=spread != 0)) - 1


def kelly_odds(win: np.ndarray, lose: np.ndarray, payoff: float | np.ndarray = 1.0) -> np.ndarray:
    """Share of capital whose log grows fastest, in a bet that wins, loses or is void.

    (b win - lose) / (b (win + lose)): the stake is lost, or earns b times itself.

    Parameters
    ----------
    win, lose : arrays of float
        Probabilities of winning and losing; what is missing to 1 is void.
    payoff : float or array of float
        b, what is won over what is lost, above 0.

    Returns
    -------
    array of float
        0 to 1; 0 where the bet is not worth taking or all of it is void.

    Raises
    ------
    DataError
        If a probability is not from 0 to 1, or a payoff not above 0.

    Examples
    --------
    >>> kelly_odds(np.array([0.6, 0.45, 0.3]), np.array([0.4, 0.55, 0.1])).round(4).tolist()
    [0.2, 0.0, 0.5]
    """
    up, down = np.asarray(win, dtype=float), np.asarray(lose, dtype=float)
    _check_shares(up)
    _check_shares(down)
    odds = np.asarray(payoff, dtype=float)
    if not (odds > 0).all() or np.isinf(odds).any():
        raise DataError("a payoff must be a number above 0: what is won over what is lost")
    whole = odds * (up + down)
    edge = np.maximum(odds * up - down, 0.0)
    return np.divide(edge, whole, out=np.zeros_like(whole), where=whole > 0)


def kelly_return(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Leverage whose log grows fastest, for a return of some mean and variance.

    mean / variance, both over the same time; the riskless rate counts as 0.

    Parameters
    ----------
    mean : array of float
        Predicted return, a fraction.
    variance : array of float
        Of the return.

    Returns
    -------
    array of float
        Signed as the mean, not capped; 0 where the variance is 0 or not known.

    Examples
    --------
    >>> kelly_return(np.array([0.01, -0.002]), np.array([0.04, 0.0004])).round(4).tolist()
    [0.25, -5.0]
    """
    moves = np.asarray(variance, dtype=float)
    out = np.zeros(np.broadcast_shapes(np.shape(mean), moves.shape))
    with np.errstate(over="ignore"):  # endless where nothing moves: caps are the caller's
        return np.divide(mean, moves, out=out, where=moves > 0)


def volatility_share(
    volatility: np.ndarray, annual_volatility: float, periods_per_year: float
) -> np.ndarray:
    """Share of capital that would move by a target volatility.

    Parameters
    ----------
    volatility : array of float
        Trailing standard deviation of returns per bar, known at the bar.
    annual_volatility : float
        Target, fraction a year.
    periods_per_year : float
        Bars a year.

    Returns
    -------
    array of float
        At least 0, not capped; 0 where the volatility is 0 or not known.

    Examples
    --------
    >>> volatility_share(np.array([0.01, 0.02, np.nan]), 0.16, 256).tolist()
    [1.0, 0.5, 0.0]
    """
    yearly = np.asarray(volatility, dtype=float) * np.sqrt(periods_per_year)
    with np.errstate(over="ignore"):  # endless where nothing moves: caps are the caller's
        return np.divide(annual_volatility, yearly, out=np.zeros_like(yearly), where=yearly > 0)


def discretised(size: np.ndarray, step: float) -> np.ndarray:
    """Sizes rounded to multiples of a step, at most 1 away from 0.

    Parameters
    ----------
    size : array of float
        Sizes, -1 to 1.
    step : float
        0 leaves them alone; halves go to the even multiple.

    Returns
    -------
    array of float

    Examples
    --------
    >>> discretised(np.array([0.13, -0.38, 0.99]), 0.25).tolist()
    [0.25, -0.5, 1.0]
    """
    if not step:
        return np.asarray(size, dtype=float)
    return np.clip(np.round(np.asarray(size, dtype=float) / step) * step, -1.0, 1.0)


def payoff_ratio(side: pd.Series, outcomes: pd.DataFrame, *, least: int = 30) -> pd.Series:
    """What bets won over what they lost, by the outcomes known at each bar.

    Parameters
    ----------
    side : Series indexed by (symbol, time)
        1, -1 or 0: what was bet on at each bar.
    outcomes : DataFrame indexed by (symbol, time)
        `label`, the return over the horizon, and `known_at`, as labels of `target_return`.
    least : int
        Bets won, and bets lost, that must be known; 1 is said before.

    Returns
    -------
    Series indexed as `side`
        Mean gain of the bets won over mean loss of the bets lost, of those with `known_at` at
        or before the bar, pooled over symbols; a return of 0 is neither.

    Raises
    ------
    LeakError
        If an outcome is known at or before its own bar.
    """
    settled = outcomes[["label", "known_at"]].reindex(side.index)
    times = pd.DatetimeIndex(side.index.get_level_values("time"))
    known = pd.DatetimeIndex(settled["known_at"])
    early = np.asarray(known <= times)
    if early.any():
        place = side.index[int(np.argmax(early))]
        raise LeakError(f"the outcome at {place} is known at its own bar or before")
    earned = side.to_numpy(dtype=float) * settled["label"].to_numpy(dtype=float)
    told = np.flatnonzero(np.asarray(known.notna()) & ~np.isnan(earned))
    order = told[np.argsort(known.asi8[told], kind="stable")]
    until = known[order].searchsorted(times, side="right")
    won, lost = np.maximum(earned[order], 0.0), np.maximum(-earned[order], 0.0)
    counts = [np.r_[0, np.cumsum(part > 0)][until] for part in (won, lost)]
    sums = [np.r_[0.0, np.cumsum(part)][until] for part in (won, lost)]
    enough = (counts[0] >= least) & (counts[1] >= least)
    gain, loss = sums[0] / np.maximum(counts[0], 1), sums[1] / np.maximum(counts[1], 1)
    ratio = np.divide(gain, loss, out=np.ones(len(side)), where=enough)
    return pd.Series(ratio, side.index, name="payoff")


def _check_shares(shares: np.ndarray) -> None:
    """Refuse probabilities that are none; NaN is not known."""
    wrong = (shares < 0) | (shares > 1)
    if wrong.any():
        raise DataError(f"a probability is from 0 to 1, was {shares[wrong].flat[0]}")
