"""Comparisons of forecasts by their losses: whether the better one is better by more than luck.

A loss is one number a time and model, less is better, all models on the same times; where a
time has several symbols their mean comes in, for symbols of one time are no separate evidence.

Sources: Hansen, A Test for Superior Predictive Ability (2005), called SPA; Hansen, Lunde and
Nason, The Model Confidence Set (2011), called MCS; Diebold and Mariano, Comparing Predictive
Accuracy (1995); Harvey, Leybourne and Newbold, Testing the Equality of Prediction Mean Squared
Errors (1997), called HLN.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.significance.tables import finite


def _check_draws(n_times: int, block: int, draws: int) -> None:
    """Blocks must fit into the times."""
    if not 1 <= block <= n_times:
        raise ParamsError(f"block must be from 1 to the {n_times} times there are, was {block}")
    if draws < 1:
        raise ParamsError(f"draws must be at least 1, was {draws}")


def _same_times(a: pd.Series, b: pd.Series | pd.DataFrame, names: str) -> None:
    """Losses must be of the same times; arrays only of as many."""
    if len(a) != len(b):
        raise DataError(f"{names} must be of the same times, were {len(a)} and {len(b)} of them")
    both = isinstance(a, pd.Series) and isinstance(b, pd.Series | pd.DataFrame)
    if both and not a.index.equals(b.index):
        at = int(np.argmax(np.asarray(a.index != b.index)))
        raise DataError(
            f"{names} must be of the same times; row {at} is {a.index[at]} and {b.index[at]}"
        )


def spa(
    benchmark_losses: pd.Series,
    losses: pd.DataFrame,
    *,
    block: int,
    draws: int = 1000,
    seed: int = 0,
    studentize: bool = False,
) -> pd.Series:
    """P-values of the claim that no model beats the benchmark, searched over all of them.

    Parameters
    ----------
    benchmark_losses : Series of shape (n_times,)
        Losses of what is to be beaten.
    losses : DataFrame of shape (n_times, n_models)
        Losses of every model that was tried, also of those that failed.
    block : int
        Mean length in bars of the stationary bootstrap's blocks; at least the horizon.
    draws : int
        Number of draws.
    seed : int
        Same seed, same p-values.
    studentize : bool
        Whether gains are measured in their own standard errors, as in Hansen's paper, or in
        units of loss, as in arch.

    Returns
    -------
    Series
        `lower`, `consistent` and `upper`; `consistent` is the one to quote. The others bound
        it: `lower` leaves out poor models wherever it can, `upper` (White's) never. 1 where
        no model differs from the benchmark.

    Raises
    ------
    ParamsError
        If the block does not fit, or there is no draw.
    DataError
        If times differ, there are fewer than 3, or a loss is not finite.

    Notes
    -----
    `arch.bootstrap.SPA`: share of draws whose largest mean gain is above the one seen, so 0
    is possible and means less than 1 / draws. arch 8.0 does not divide gains by their standard
    errors, whatever its own `studentize` says; it uses them only to tell which models are poor.
    Then models with wild losses hide steady ones, which costs power and not truth:
    `studentize` it where losses differ in scale. A model whose losses are the benchmark's at
    every time cannot beat it and is left out: arch would return 0 where it is the best.
    """
    values = finite(losses, "losses", rows=3)
    _same_times(benchmark_losses, losses, "losses and benchmark losses")
    base = finite(pd.DataFrame({"benchmark": benchmark_losses}), "losses", rows=3)
    _check_draws(len(values), block, draws)
    gains = base - values
    gains = gains[:, gains.any(axis=0)]
    if not gains.size:
        return pd.Series(1.0, index=["lower", "consistent", "upper"])
    if studentize:
        gains = gains / _errors(gains, block)
    from arch.bootstrap import SPA  # noqa: PLC0415 - takes over 0.3 s

    # the test sees nothing but the differences
    test = SPA(gains, np.zeros_like(gains), block_size=block, reps=draws, seed=seed)
    test.compute()
    return test.pvalues.astype(float)


def _errors(gains: np.ndarray, block: int) -> np.ndarray:
    """Long-run deviation of each column as the stationary bootstrap has it, 1 where it is 0."""
    n, lag = len(gains), np.arange(1, len(gains))
    spectrum = np.fft.rfft(gains - gains.mean(axis=0), 2 * n, axis=0)
    cov = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:n] / n
    stay = 1 - 1 / block
    kernel = (1 - lag / n) * stay**lag + lag / n * stay ** (n - lag)
    variance = cov[0] + 2 * (kernel[:, None] * cov[1:]).sum(axis=0)
    moves = (np.ptp(gains, axis=0) > 0) & (variance > 0)
    return np.sqrt(np.where(moves, variance, 1.0))


def model_confidence_set(
    losses: pd.DataFrame,
    *,
    level: float = 0.9,
    block: int,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Models that cannot be told from the best one.

    Parameters
    ----------
    losses : DataFrame of shape (n_times, n_models)
        Losses of each model.
    level : float
        Confidence that the set holds the best, above 0 and below 1.
    block, draws, seed
        As in `spa`.

    Returns
    -------
    DataFrame indexed by model, in the order of the columns
        `loss`, the mean; `p_value`, 1 for the best; `included`, whether it is above
        1 - `level`.

    Raises
    ------
    ParamsError
        If the block does not fit, there is no draw, or the level is not between 0 and 1.
    DataError
        If there are fewer than 3 times, a loss is not finite, or two models differ by the
        same number at every time.

    Notes
    -----
    `arch.bootstrap.MCS` with the range statistic (R) and the stationary bootstrap. Models
    with the same losses at every time are one model to it and share its p-value.
    """
    values = finite(losses, "losses", rows=3)
    _check_draws(len(values), block, draws)
    if not 0 < level < 1:
        raise ParamsError(f"level must be above 0 and below 1, was {level}")
    table = pd.DataFrame(losses)
    first = [int(np.argmax((values == column[:, None]).all(axis=0))) for column in values.T]
    single = sorted(set(first))
    _check_spread(values[:, single], table.columns[single])
    found = _mcs_values(values[:, single], block, draws, seed)
    p_value = pd.Series(found, index=single).loc[first].to_numpy()
    # 1 - 0.9 is a little less than 0.1, and would let in a model at the very edge
    columns = {
        "loss": values.mean(axis=0),
        "p_value": p_value,
        "included": p_value > round(1 - level, 12),
    }
    return pd.DataFrame(columns, index=table.columns).rename_axis("model")


def _check_spread(values: np.ndarray, names: pd.Index) -> None:
    """Two models whose losses differ by a constant cannot be compared by a bootstrap."""
    for i in range(values.shape[1]):
        still = np.ptp(values[:, i + 1 :] - values[:, [i]], axis=0) == 0
        if still.any():
            other = names[i + 1 + int(np.argmax(still))]
            raise DataError(
                f"losses of {names[i]!r} and {other!r} differ by the same number at every time;"
                " leave one out"
            )


def _mcs_values(values: np.ndarray, block: int, draws: int, seed: int) -> np.ndarray:
    """P-value of each of some different models."""
    if values.shape[1] == 1:
        return np.ones(1)
    from arch.bootstrap import MCS  # noqa: PLC0415 - takes over 0.3 s

    # the size only decides what arch calls included, which is not asked
    test = MCS(values, size=0.1, reps=draws, block_size=block, seed=seed)
    test.compute()
    return test.pvalues["Pvalue"].astype(float).sort_index().to_numpy()


def diebold_mariano(loss_a: pd.Series, loss_b: pd.Series, *, horizon: int = 1) -> pd.Series:
    """Test that two forecasts are equally good, against either being better.

    Parameters
    ----------
    loss_a, loss_b : Series of shape (n_times,)
        Losses of the two forecasts on the same times, in order.
    horizon : int
        Bars that a forecast looks ahead; losses closer than that overlap.

    Returns
    -------
    Series
        `difference`, mean loss of a less that of b: below 0 where a is better; `statistic`
        of the same sign; `p_value`, two-sided; `n` times. The same losses give a statistic
        of NaN and a p-value of 1. Both are NaN where the variance of the mean is not above
        0, which the estimate allows for horizons above 1 in short records, and where the
        difference is one number at every time.

    Raises
    ------
    ParamsError
        If the horizon is below 1 or as long as the record.
    DataError
        If times differ, there are fewer than 2, or a loss is not finite.

    Notes
    -----
    Variance from autocovariances up to horizon - 1, unweighted, divisor n; HLN's factor
    sqrt((n + 1 - 2h + h (h - 1) / n) / n); Student t with n - 1 degrees. For a
    horizon of 1 this is the paired t test.
    """
    _same_times(loss_a, loss_b, "losses")
    pair = finite(pd.DataFrame({"a": loss_a, "b": loss_b}), "losses", rows=2)
    n = len(pair)
    if not 1 <= horizon < n:
        raise ParamsError(f"horizon must be from 1 to {n - 1} of {n} times, was {horizon}")
    gap = pair[:, 0] - pair[:, 1]
    statistic = _dm_statistic(gap, horizon)
    if np.isnan(statistic):
        p_value = np.nan if gap.any() else 1.0
    else:
        from scipy.special import stdtr  # noqa: PLC0415 - takes over 0.3 s

        p_value = float(2 * stdtr(n - 1, -abs(statistic)))
    found = {"difference": gap.mean(), "statistic": statistic, "p_value": p_value, "n": n}
    return pd.Series(found, dtype=float)


def _dm_statistic(gap: np.ndarray, horizon: int) -> float:
    """Mean over its standard error, with HLN's factor; NaN without a variance above 0."""
    n, centred = len(gap), gap - gap.mean()
    lagged = [(centred[k:] * centred[: n - k]).sum() for k in range(horizon)]
    variance = (2 * sum(lagged) - lagged[0]) / n**2
    if np.ptp(gap) == 0 or variance <= 0:
        return np.nan
    factor = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    return float(gap.mean() / np.sqrt(variance) * np.sqrt(factor))
