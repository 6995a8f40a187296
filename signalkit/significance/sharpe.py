"""Sharpe ratios against luck: short records, fat tails, and the best of many trials.

Every Sharpe ratio here is **per bar**: mean / standard deviation with ddof 1, not annualised.
An annual one is divided by the root of the bars in a year before it comes in. Skewness and
kurtosis are those of the sample, without bias correction; kurtosis is Pearson's, 3 for the
normal.

Sources: Bailey and López de Prado, The Sharpe Ratio Efficient Frontier (2012), called PSR;
Bailey and López de Prado, The Deflated Sharpe Ratio (2014), called DSR.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.significance.tables import finite

_NORMAL = NormalDist()
# the fourth moment needs as many
_LEAST = 4
# an eigenvalue below this share of the largest is what rounding left of 0
_ROUNDING = 1e-9


def _row(values: np.ndarray, name: str, least: int) -> np.ndarray:
    """Finite numbers in a row, at least so many."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < least:
        raise DataError(f"{name} must be a row of at least {least}, were of shape {values.shape}")
    broken = ~np.isfinite(values)
    if broken.any():
        at = int(np.argmax(broken))
        raise DataError(f"{name} hold {values[at]} in row {at}; leave out what was not observed")
    return values


def _moments(returns: np.ndarray) -> tuple[float, int, float, float]:
    """Sharpe ratio, number of returns, skewness and kurtosis."""
    values = _row(returns, "returns", _LEAST)
    if np.ptp(values) == 0:
        raise DataError(f"all {len(values)} returns are {values[0]:g}; they have no Sharpe ratio")
    centred = values - values.mean()
    second = np.mean(centred**2)
    skew = np.mean(centred**3) / second**1.5
    kurtosis = np.mean(centred**4) / second**2
    return float(values.mean() / values.std(ddof=1)), len(values), float(skew), float(kurtosis)


def _spread(sharpe: float, skew: float, kurtosis: float) -> float:
    """Variance of the Sharpe ratio times n - 1, at the observed Sharpe ratio."""
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if not variance > 0:
        raise DataError(
            f"a Sharpe ratio of {sharpe:g} with skewness {skew:g} and kurtosis {kurtosis:g} has"
            f" the variance {variance:g}; kurtosis is Pearson's, above 1 + skewness squared"
        )
    return variance


def psr_from_moments(
    sharpe: float, n: int, skew: float, kurtosis: float, *, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio is above a benchmark, from moments.

    Parameters
    ----------
    sharpe : float
        Observed Sharpe ratio per bar, standard deviation with ddof 1.
    n : int
        Number of returns it was observed on.
    skew : float
        Skewness of the returns, 0 for the normal.
    kurtosis : float
        Pearson kurtosis of the returns, 3 for the normal (not in excess of it).
    benchmark : float
        Sharpe ratio per bar to be above.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ParamsError
        If there are fewer than 2 returns.
    DataError
        If no distribution has these moments.

    Notes
    -----
    Normal distribution of the estimate, its standard error at the observed Sharpe ratio
    with n - 1. Returns count as independent: overlap in them flatters.

    Source: PSR, where the probabilistic Sharpe ratio is defined.

    Examples
    --------
    >>> round(psr_from_moments(0.458, 24, -2.448, 10.164), 3)  # its numerical example
    0.913
    """
    if n < 2:
        raise ParamsError(f"a Sharpe ratio needs n of at least 2 returns, was {n}")
    error = np.sqrt(_spread(sharpe, skew, kurtosis) / (n - 1))
    return _NORMAL.cdf((sharpe - benchmark) / error)


def probabilistic_sharpe(returns: np.ndarray, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio of some returns is above a benchmark.

    Parameters
    ----------
    returns : array of shape (n,)
        Fractional returns in excess of the riskless one, one a bar.
    benchmark : float
        Sharpe ratio **per bar** to be above, not annualised.

    Returns
    -------
    float
        From 0 to 1; 0.95 is the usual bar to pass.

    Raises
    ------
    DataError
        If there are fewer than 4 returns, one is not finite, or all are the same.

    Notes
    -----
    Sharpe ratio per bar with ddof 1; skewness and Pearson kurtosis (3 for the normal) of the
    sample without bias correction; standard error at the observed Sharpe ratio with n - 1.

    Source: PSR.
    """
    return psr_from_moments(*_moments(returns), benchmark=benchmark)


def track_record_from_moments(
    sharpe: float, skew: float, kurtosis: float, *, benchmark: float = 0.0, level: float = 0.95
) -> float:
    """Bars after which a Sharpe ratio with these moments would be told from a benchmark.

    Parameters
    ----------
    sharpe, skew, kurtosis, benchmark
        As in `psr_from_moments`.
    level : float
        Probability to reach, above 0.5 and below 1.

    Returns
    -------
    float
        Bars, to be rounded up; infinite where the Sharpe ratio is not above the benchmark.

    Raises
    ------
    ParamsError
        If the level is not between 0.5 and 1.
    DataError
        If no distribution has these moments.

    Notes
    -----
    Source: PSR, where the minimum track record length is defined.
    """
    if not 0.5 < level < 1:
        raise ParamsError(f"level must be above 0.5 and below 1, was {level}")
    spread = _spread(sharpe, skew, kurtosis)
    if sharpe <= benchmark:
        return np.inf
    return 1 + spread * (_NORMAL.inv_cdf(level) / (sharpe - benchmark)) ** 2


def min_track_record(returns: np.ndarray, benchmark: float = 0.0, *, level: float = 0.95) -> float:
    """Bars of such returns that are needed to call their Sharpe ratio more than a benchmark.

    Parameters
    ----------
    returns, benchmark
        As in `probabilistic_sharpe`; the benchmark is per bar.
    level : float
        Probability to reach, above 0.5 and below 1.

    Returns
    -------
    float
        Bars, to be rounded up; infinite where the Sharpe ratio is not above the benchmark.
        `probabilistic_sharpe` reaches the level where it is at most the number of returns.

    Raises
    ------
    ParamsError
        If the level is not between 0.5 and 1.
    DataError
        As in `probabilistic_sharpe`.

    Notes
    -----
    Moments as in `probabilistic_sharpe`. Source: PSR.
    """
    sharpe, _, skew, kurtosis = _moments(returns)
    return track_record_from_moments(sharpe, skew, kurtosis, benchmark=benchmark, level=level)


def expected_max_sharpe(n_trials: float, variance: float) -> float:
    """Sharpe ratio to expect of the best of some trials of which none has skill.

    Parameters
    ----------
    n_trials : float
        Independent trials, at least 1; an effective number need not be whole.
    variance : float
        Variance of the Sharpe ratios over the trials, in the squared unit of the answer:
        per bar if they are per bar.

    Returns
    -------
    float
        Per bar or annual, as the variance was. 0 for a single trial, never below it.

    Raises
    ------
    ParamsError
        If there is less than one trial, or the variance is negative or not finite.

    Notes
    -----
    False Strategy theorem: root of the variance times (1 - g) z(1 - 1/N) + g z(1 - 1/(N e)),
    with Euler's constant g and the normal quantile z; for N below 1.3 that is negative, and
    0 is returned. Source: DSR.

    Examples
    --------
    >>> round(expected_max_sharpe(100, 0.5), 2)  # annual
    1.79
    """
    if not n_trials >= 1:
        raise ParamsError(f"n_trials must be at least 1, was {n_trials}")
    if not 0 <= variance < np.inf:
        raise ParamsError(f"variance of Sharpe ratios must be finite and not below 0: {variance}")
    if n_trials == 1:
        return 0.0
    best, rarer = (_NORMAL.inv_cdf(1 - 1 / n) for n in (n_trials, n_trials * np.e))
    height = (1 - np.euler_gamma) * best + np.euler_gamma * rarer
    return float(np.sqrt(variance) * max(height, 0.0))


def deflated_sharpe(
    returns: np.ndarray, sharpes: np.ndarray, *, n_trials: float | None = None
) -> float:
    """Probability that the best trial's true Sharpe ratio is above what luck gives the best.

    Parameters
    ----------
    returns : array of shape (n,)
        Returns of the trial that was chosen, as in `probabilistic_sharpe`.
    sharpes : array of shape (n_trials,)
        Sharpe ratios **per bar** (ddof 1) of all trials, the chosen one among them.
    n_trials : float, optional
        Number of trials, for instance from `effective_trials`; all of `sharpes` if omitted.

    Returns
    -------
    float
        From 0 to 1; `probabilistic_sharpe` above `expected_max_sharpe` of the trials.

    Raises
    ------
    ParamsError
        If `n_trials` is less than 1.
    DataError
        If a Sharpe ratio is not finite, several trials have the Sharpe ratio of one only, or
        the returns are as `probabilistic_sharpe` refuses them.

    Notes
    -----
    Nothing is annualised; Pearson kurtosis; the variance over the trials is their own, with
    ddof 1. Source: DSR.
    """
    sharpes = _row(sharpes, "sharpes", 1)
    n_trials = len(sharpes) if n_trials is None else n_trials
    if n_trials > 1 and len(sharpes) == 1:
        raise DataError(f"one Sharpe ratio tells no variance of {n_trials} trials; give them all")
    variance = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else 0.0
    return probabilistic_sharpe(returns, expected_max_sharpe(n_trials, variance))


def effective_trials(trials: pd.DataFrame) -> float:
    """How many independent trials some correlated ones amount to.

    Parameters
    ----------
    trials : DataFrame of shape (n_times, n_trials)
        Returns of each trial on the same times.

    Returns
    -------
    float
        1 where all are the same or the mirror of each other, `n_trials` where none is
        correlated. Trials that never move count as one between them.

    Raises
    ------
    DataError
        If there are fewer than 2 times, or a value is not finite.

    Notes
    -----
    (sum of roots of the eigenvalues)^2 / sum of the eigenvalues of the Pearson correlation
    matrix, after Galwey, A New Measure of the Effective Number of Tests, Genetic Epidemiology
    33 (2009). Together with the trials' own variance it gives an expected maximum close to that
    of simulated correlated trials; the participation ratio (sum^2 / sum of squares) deflates
    twice, since what trials share is missing from their variance already. Rounded to six digits:
    the last bits of eigenvalues depend on the number of threads.
    """
    values = finite(trials, "trials", rows=2)
    moves = np.ptp(values, axis=0) > 0
    if not moves.any():
        return 1.0
    centred = values[:, moves] - values[:, moves].mean(axis=0)
    unit = centred / np.sqrt((centred**2).sum(axis=0))
    found = np.linalg.eigvalsh(unit.T @ unit)
    kept = found[found > _ROUNDING * found.max()]
    number = np.sqrt(kept).sum() ** 2 / kept.sum()
    return round(float(number), 6) + float(not moves.all())
