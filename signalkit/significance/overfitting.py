"""Overfitting of a choice: whether the best trial of one half stays good in the other half.

Combinatorially symmetric cross-validation: the times are cut into blocks, every half of the
blocks is once the half that chooses and once the half that judges. It is a statement about
the way of choosing, not about any one trial.

Source: Bailey, Borwein, López de Prado and Zhu, The Probability of Backtest Overfitting (2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.significance.tables import finite

# C(20, 10) is 184,756 combinations; 22 blocks would make four times as many
MOST_BLOCKS = 20
# combinations whose Sharpe ratios are computed at once
_CHUNK = 1024


@dataclass(frozen=True)
class Overfitting:
    """What `pbo` found.

    Attributes
    ----------
    pbo : float
        Share of combinations whose choice ranks in the lower half, logit at most 0.
    loss_probability : float
        Share of combinations whose choice has a Sharpe ratio below 0 out of sample.
    slope : float
        Out-of-sample Sharpe ratio of the choice against its in-sample one, least squares:
        1 keeps all, 0 nothing; NaN where all choices look alike.
    splits : DataFrame of shape (n_combinations, 4)
        `chosen` (the trial), its Sharpe ratios `in_sample` and `out_of_sample` per bar, and
        `logit` of its relative rank out of sample.
    dropped : int
        Oldest rows that were left out to make equal blocks.
    """

    pbo: float
    loss_probability: float
    slope: float
    splits: pd.DataFrame
    dropped: int

    @property
    def combinations(self) -> int:
        """Number of ways to cut the blocks into two halves, order counted."""
        return len(self.splits)

    @property
    def logits(self) -> np.ndarray:
        """Logit of the choice's relative rank out of sample, one a combination."""
        return self.splits["logit"].to_numpy()


def pbo(returns: pd.DataFrame, *, blocks: int = 16) -> Overfitting:
    """Probability that the trial that looks best is, on other times, below the median.

    Parameters
    ----------
    returns : DataFrame of shape (n_times, n_trials)
        Fractional returns of each trial, one a bar, on the same increasing times.
    blocks : int
        Blocks the times are cut into; even, from 2 to 20.

    Returns
    -------
    Overfitting
        With all combinations, C(blocks, blocks / 2) of them.

    Raises
    ------
    ParamsError
        If the number of blocks is odd or out of bounds.
    DataError
        If there are fewer than 2 trials or 2 times a block, a value is not finite, or a
        trial earns one and the same return all through a half.

    Notes
    -----
    Sharpe ratio per bar with ddof 1, not annualised; 0 for a trial that does nothing all
    through a half. The choice is the first of equals. Relative rank = rank / (n_trials + 1),
    average rank on ties; a logit of 0 counts as overfit. The oldest n_times mod blocks rows
    are dropped.
    """
    if blocks not in range(2, MOST_BLOCKS + 1, 2):
        raise ParamsError(f"blocks must be even, from 2 to {MOST_BLOCKS}, was {blocks}")
    values = finite(returns, "returns", rows=2 * blocks, columns=2)
    dropped = len(values) % blocks
    sharpe = _halves(values[dropped:], blocks)
    # in the order of `combinations` the half that is left over stands at the mirrored place
    return _judged(sharpe, sharpe[::-1], pd.DataFrame(returns).columns, dropped)


def _halves(values: np.ndarray, blocks: int) -> np.ndarray:
    """Sharpe ratio of every trial on every half of the blocks, one row a combination."""
    picks = np.array(list(combinations(range(blocks), blocks // 2)))
    chosen = np.zeros((len(picks), blocks), dtype=bool)
    np.put_along_axis(chosen, picks, True, axis=1)
    # sums of squares around each trial's mean, for a large mean would eat their digits
    centre = values.mean(axis=0)
    cut = (values - centre).reshape(blocks, -1, values.shape[1])
    sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)
    n = len(values) // 2
    sharpe = np.empty((len(picks), values.shape[1]))
    for start in range(0, len(picks), _CHUNK):
        part = chosen[start : start + _CHUNK]
        total, square = _picked_sum(part, sums), _picked_sum(part, squares)
        spread = np.sqrt(np.maximum(square - total**2 / n, 0) / (n - 1))
        still = np.zeros_like(total)
        found = np.divide(centre + total / n, spread, out=still, where=spread > 0)
        sharpe[start : start + _CHUNK] = found
    _set_still(sharpe, chosen, values.reshape(cut.shape))
    return sharpe


def _picked_sum(chosen: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Sum over the chosen blocks, always in one order: equal trials stay equal to the bit."""
    total = np.zeros((len(chosen), parts.shape[1]))
    for block, part in enumerate(parts):
        total += np.where(chosen[:, block, None], part, 0.0)
    return total


def _set_still(sharpe: np.ndarray, chosen: np.ndarray, cut: np.ndarray) -> None:
    """Set the Sharpe ratio of halves in which a trial does nothing to 0, in place."""
    low, high = cut.min(axis=1), cut.max(axis=1)
    for trial in np.flatnonzero((low == high).sum(axis=0) >= len(cut) // 2):
        least = np.where(chosen, low[:, trial], np.inf).min(axis=1)
        still = least == np.where(chosen, high[:, trial], -np.inf).max(axis=1)
        if (least[still] != 0).any():
            raise DataError(
                f"trial in column {trial} returns {least[still][0]:g} at every time of a half;"
                " that has no Sharpe ratio"
            )
        sharpe[still, trial] = 0.0


def _judged(inside: np.ndarray, outside: np.ndarray, names: pd.Index, dropped: int) -> Overfitting:
    """The choice of each combination and how it fares."""
    best = inside.argmax(axis=1)
    rows = np.arange(len(best))
    seen, came = inside[rows, best], outside[rows, best]
    below = (outside < came[:, None]).sum(axis=1)
    tied = (outside == came[:, None]).sum(axis=1)
    rank = (below + (tied + 1) / 2) / (inside.shape[1] + 1)
    logit = np.log(rank / (1 - rank))
    splits = {"chosen": names[best], "in_sample": seen, "out_of_sample": came, "logit": logit}
    return Overfitting(
        pbo=float((rank <= 0.5).mean()),
        loss_probability=float((came < 0).mean()),
        slope=_slope(seen, came),
        splits=pd.DataFrame(splits),
        dropped=dropped,
    )


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Least-squares slope, NaN where x has one value."""
    x, y = x - x.mean(), y - y.mean()
    # not a dot product, whose last bits depend on the number of threads
    return float((x * y).sum() / (x**2).sum()) if np.ptp(x) > 0 else np.nan
