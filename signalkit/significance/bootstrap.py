"""How far luck reaches: block-bootstrap intervals of any score, and p-values of own draws.

Neighbouring labels overlap and markets move together, so what is drawn are blocks of
consecutive **times**, at least a horizon long, all symbols of a time together. A drawn
row counts as often as its time was drawn; scores take those counts as weights.

Sources: Politis and Romano, A Circular Block-Resampling Procedure (1992); Davison and
Hinkley, Bootstrap Methods and their Application (1997), section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError

_CELLS = 4_000_000


def draw_counts(n_times: int, block: int, draws: int, seed: int) -> np.ndarray:
    """How often each time is drawn, by circular blocks.

    Parameters
    ----------
    n_times : int
        Distinct times.
    block : int
        Length of a block in bars, from 1 to `n_times`.
    draws : int
        Number of draws.
    seed : int
        Same seed, same draws.

    Returns
    -------
    array of int32, shape (draws, n_times)
        Rows sum to `n_times`: the last block is cut.

    Raises
    ------
    ParamsError
        If the block does not fit.

    Examples
    --------
    >>> draw_counts(6, block=3, draws=2, seed=1).sum(axis=1).tolist()
    [6, 6]
    """
    if not 1 <= block <= n_times:
        raise ParamsError(
            f"validation.block must be from 1 to the {n_times} times there are, was {block}"
        )
    rng = np.random.default_rng(seed)
    n_blocks = -(-n_times // block)
    starts = rng.integers(0, n_times, size=(draws, n_blocks))
    counts = np.empty((draws, n_times), dtype=np.int32)
    for i in range(draws):
        drawn = (starts[i][:, None] + np.arange(block)).ravel()[:n_times] % n_times
        counts[i] = np.bincount(drawn, minlength=n_times)
    return counts


def bootstrap_ci(
    statistic: Callable[[np.ndarray], pd.Series],
    times: pd.DatetimeIndex,
    *,
    block: int,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Percentile intervals of a statistic over drawn blocks of time.

    Parameters
    ----------
    statistic : callable
        Takes row weights, an array of shape (n_rows,), and returns named values.
    times : DatetimeIndex of shape (n_rows,)
        Time of each row; rows of one time are drawn together.
    block : int
        Bars in a block; at least the label's horizon.
    draws : int
        Number of draws.
    level : float
        Coverage of the interval.
    seed : int
        Same seed, same interval.

    Returns
    -------
    DataFrame indexed by the statistic's names
        `value` on all rows, `low` and `high`, and `p`, the one-sided p-value of a value above
        0: how often a draw exceeds the value by as much as the value exceeds 0, counting the
        value itself as a draw. NaN draws are left out.

    Notes
    -----
    Source of `p`: Davison and Hinkley (1997), section 4.4: what is resampled is centred.
    """
    clock, position = np.unique(times.asi8, return_inverse=True)
    counts = draw_counts(len(clock), block, draws, seed)
    value = statistic(np.ones(len(position)))
    drawn = np.array([statistic(c[position].astype(float)).to_numpy() for c in counts])
    return intervals(value, drawn, level)


def intervals(value: pd.Series, drawn: np.ndarray, level: float) -> pd.DataFrame:
    """Percentile intervals of values that were drawn already, as `bootstrap_ci` gives them.

    Parameters
    ----------
    value : Series
        The values on all rows.
    drawn : array of shape (draws, n_values)
        The values of each draw; NaN is left out.
    level : float
        Coverage of the interval.
    """
    real, tail = value.to_numpy(dtype=float), (1 - level) / 2
    known = np.isfinite(drawn).any(axis=0)
    edges = np.full((2, drawn.shape[1]), np.nan)
    edges[:, known] = np.nanquantile(drawn[:, known], [tail, 1 - tail], axis=0)
    beyond = (drawn - real >= real).sum(axis=0)
    chance = np.where(known, (1 + beyond) / (1 + np.isfinite(drawn).sum(axis=0)), np.nan)
    columns = {"value": value, "low": edges[0], "high": edges[1], "p": chance}
    return pd.DataFrame(columns, index=value.index)


def few_at_once(counts: np.ndarray) -> Iterator[np.ndarray]:
    """Drawn counts as floats, as many draws at once as fit in 32 MB."""
    step = max(1, _CELLS // counts.shape[1])
    for start in range(0, len(counts), step):
        yield counts[start : start + step].astype(float)


def p_value(real: float, draws: np.ndarray, *, larger: bool = True) -> float:
    """Chance of a value at least as extreme as the real one when luck alone draws.

    Parameters
    ----------
    real : float
        What was seen.
    draws : array of shape (n_draws,)
        The same number in worlds where only luck is at work.
    larger : bool
        Whether large values are extreme; small ones if false.

    Returns
    -------
    float
        (1 + exceedances) / (1 + draws), one-sided; a tie is an exceedance. Never 0: the
        real value is itself one of the draws that luck may have made.

    Raises
    ------
    DataError
        If there is no draw, or a value is not finite.

    Notes
    -----
    Source: Davison and Hinkley (1997), section 4.2, Monte Carlo tests.

    Examples
    --------
    >>> p_value(3.0, np.array([1.0, 2.0, 3.0, 4.0]))
    0.6
    """
    draws = np.asarray(draws, dtype=float)
    if draws.ndim != 1 or not len(draws):
        raise DataError(f"a p-value needs a row of draws, was of shape {draws.shape}")
    broken = ~np.isfinite(draws)
    if broken.any() or not np.isfinite(real):
        where = f"draw {int(np.argmax(broken))}" if broken.any() else "the real value"
        raise DataError(f"{where} of a p-value is not finite; leave out what has no score")
    beyond = draws >= real if larger else draws <= real
    return float((1 + beyond.sum()) / (1 + len(draws)))
