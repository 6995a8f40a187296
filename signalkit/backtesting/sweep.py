"""Sweep: one score traded at many thresholds, statistics alone kept of each.

The bars are laid out once; every threshold then costs one run of the kernel and two passes
over its bars, in threads of this process; thresholds between which no score lies cost one run
together. What a threshold gives depends on nothing but itself, so the table is the same for any
number of workers, and memory is that of the workers' buffers, however many thresholds there are.

The more thresholds are tried, the better the best of them looks by luck: each is a trial.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit

from signalkit import metrics
from signalkit.backtesting import given
from signalkit.backtesting.account import TOTALS
from signalkit.backtesting.market import Market, prepare
from signalkit.errors import DataError, ParamsError
from signalkit.kernels.engine import threads

DIRECTIONS = ("long_short", "long_only")
# the least number above 0, and bars of a symbol that are weighed in a row
_LEAST, _STRETCH = float(np.finfo(float).smallest_subnormal), 256


def sweep(
    bars: pd.DataFrame,
    score: pd.Series,
    thresholds: Iterable[float],
    *,
    periods_per_year: float,
    horizon: int = 1,
    direction: str = "long_short",
    workers: int | None = None,
    funding: pd.Series | None = None,
    **settings: object,
) -> pd.DataFrame:
    """Statistics of trading a score at each of many thresholds.

    Parameters
    ----------
    bars : DataFrame indexed by (symbol, time), or by time for one symbol
        As in `simulate`.
    score : Series indexed by some of the bars
        For buying above 0, for selling below; such as p_buy - p_sell or a predicted return. Each
        that is at least a threshold away from 0 puts one of `horizon` slices of its symbol's
        share of `max_leverage` to work for `horizon` bars; shares are equal. A bar without a
        score, from its symbol's first on, asks for nothing.
    thresholds : iterable of float
        At least 0, in the score's unit.
    periods_per_year : float
        Bars in a year.
    horizon : int
        Bars a slice is held, at least 1.
    direction : str
        `long_short`, or `long_only`, in which a score for selling asks for nothing.
    workers : int, optional
        Threads; those of SIGNALKIT_THREADS, else the processors, if omitted.
    funding, **settings
        As in `simulate`.

    Returns
    -------
    DataFrame indexed by `threshold`
        A row a threshold, in the order given: the rows of `metrics.returns` but `periods`,
        `turnover_annual` (equities traded a year), `fills` (count), `exposure` (mean absolute
        weight asked for), `fees` and `slippage` (starting capitals).

    Raises
    ------
    ParamsError
        If there is no threshold or one is below 0, the horizon or the workers are fewer than 1,
        or the direction is unknown; or as `simulate`.
    DataError
        If a score is not finite, is given twice or at a time without a bar; or as `simulate`.
    """
    asked = _numbers(thresholds)
    workers = threads() if workers is None else workers
    _check(asked, horizon, direction, workers)
    market = prepare(bars, times_from=_times(score).min(), funding=funding, **settings)
    if len(market.times) < 2:
        raise DataError("a sweep needs at least 2 bars from the first score on")
    plan = _plan(market, score, horizon, direction)
    distinct, of = _distinct(plan, asked)
    rows = np.empty((len(distinct), 6 + len(TOTALS)))
    # next() of one iterator gives each place to one thread
    places = iter(range(len(distinct)))

    def work() -> None:
        """Simulate the thresholds that nobody has taken, in buffers of this worker."""
        mine = _buffers(market, horizon)
        for place in places:
            rows[place] = _row(market, plan, distinct[place], mine)

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work) for _ in range(min(workers, len(distinct)))]:
            done.result()
    return _table(asked, rows[of], len(market.times), periods_per_year)


# weights, slices, equity, totals
_Buffers = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class _Plan(NamedTuple):
    """The score on the market's grid, and how it becomes weights."""

    score: np.ndarray
    there: np.ndarray
    first: np.ndarray
    horizon: int
    share: float
    long_only: bool


def _buffers(market: Market, horizon: int) -> _Buffers:
    """Room for one run; bars before a symbol's first score never ask for anything."""
    slices = np.zeros((market.shape[1], horizon), dtype=np.int8)
    sizes = np.empty(len(market.times)), np.empty(len(TOTALS))
    return np.full(market.shape, np.nan), slices, *sizes


def _numbers(thresholds: Iterable[float]) -> np.ndarray:
    """Thresholds as an array; ParamsError where they are none."""
    try:
        return np.array([float(threshold) for threshold in thresholds])
    except (TypeError, ValueError):
        raise ParamsError(f"thresholds are a list of numbers, were {thresholds!r}") from None


def _check(asked: np.ndarray, horizon: int, direction: str, workers: int) -> None:
    """Refuse a sweep that makes no sense."""
    if not len(asked) or not (asked >= 0).all() or np.isinf(asked).any():
        raise ParamsError(f"thresholds must be at least 0 and at least one, were {asked.tolist()}")
    if not isinstance(horizon, Integral) or horizon < 1:
        raise ParamsError(f"horizon must be a whole number of at least 1 bar, was {horizon}")
    if direction not in DIRECTIONS:
        raise ParamsError(f"signals.direction is one of {', '.join(DIRECTIONS)}, was {direction!r}")
    if not isinstance(workers, Integral) or workers < 1:
        raise ParamsError(f"workers must be at least 1 thread, a whole number, was {workers}")


def _times(score: pd.Series) -> pd.DatetimeIndex:
    """Time of each score; DataError where there is none."""
    if not isinstance(score, pd.Series):
        raise DataError(f"a score is a Series, was a {type(score).__name__}")
    if score.empty:
        raise DataError("there is no score to trade")
    return given.times(score.index, "the score")


def _plan(market: Market, score: pd.Series, horizon: int, direction: str) -> _Plan:
    """The score as an array of the market's shape, checked."""
    values = given.numbers(score, "the score")
    given.refuse(
        ~np.isfinite(values), score.index, values, "the score", "what is not finite is left out"
    )
    cells = rows, columns = market.cells(score.index, "the score", "to trade on")
    wide = market.spread(values, cells, score.index, "scores")
    first = np.full(market.shape[1], len(wide), dtype=np.int64)
    np.minimum.at(first, columns, rows)
    share = market.settings.max_leverage / len(np.unique(columns))
    there = np.ascontiguousarray(market.bars.there)
    return _Plan(wide, there, first, horizon, share, direction == "long_only")


def _distinct(plan: _Plan, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds that no other one asks the same of, and the place among them of each asked.

    Two thresholds between which no score lies take the same sides.
    """
    sides = plan.score[np.isfinite(plan.score)]
    sizes = np.sort(sides if plan.long_only else np.abs(sides))
    below = np.searchsorted(sizes, np.maximum(asked, _LEAST))
    _, first, of = np.unique(below, return_index=True, return_inverse=True)
    return asked[first], of


@njit(cache=True, nogil=True)
def _weigh(score, there, first, rule, slices, target):  # noqa: ANN001, ANN202 - numba
    """Write the weights that a threshold asks for; the mean of their absolute sum.

    Symbol after symbol in stretches of bars that stay in the cache.
    """
    threshold, horizon, share, long_only = rule
    # a score of 0 takes no side, whatever the threshold
    least, sides = max(threshold, _LEAST), 0 if long_only else 1
    weights = np.arange(-horizon, horizon + 1) / horizon * share
    n_bars, n_symbols = score.shape
    slices[:] = 0
    sums, at = np.full(n_symbols, horizon), np.zeros(n_symbols, np.int64)
    gross = 0
    for begin in range(0, n_bars, _STRETCH):
        end = min(begin + _STRETCH, n_bars)
        for s in range(n_symbols):
            total, k, own = sums[s], at[s], slices[s]
            for t in range(max(begin, first[s]), end):
                if there[t, s] != 0:
                    value = score[t, s]
                    side = int(value >= least) - sides * int(-value >= least)
                    if horizon == 1:
                        total = 1 + side
                    else:
                        total += side - own[k]
                        own[k] = side
                        k = k + 1 if k + 1 < horizon else 0
                    target[t, s] = weights[total]
                gross += abs(total - horizon)
            sums[s], at[s] = total, k
    return gross * (share / horizon) / n_bars


@njit(cache=True, nogil=True)
def _moments(equity):  # noqa: ANN001, ANN202 - numba
    """`metrics.moments` of the returns of an equity curve, in one pass; a ruin returns 0."""
    n, before, peak = len(equity), 1.0, 1.0
    total, squares, low = 0.0, 0.0, 0.0
    least, most = np.inf, -np.inf
    trough, crest = 1.0, 1.0
    moved = 0
    for t in range(n):
        now = equity[t]
        if now == before:
            continue
        moved += 1
        value = now / before - 1.0
        total += value
        squares += value * value
        below = min(value, 0.0)
        low += below * below
        least, most = min(least, value), max(most, value)
        peak = max(peak, now)
        # trough / crest is the lowest share of a peak so far
        if now * crest < trough * peak:
            trough, crest = now, peak
        before = now
    if moved < n:
        least, most = min(least, 0.0), max(most, 0.0)
    mean = total / n
    spread = np.sqrt(max(squares - n * mean * mean, 0.0) / (n - 1)) if most > least else 0.0
    return equity[n - 1], mean, spread, np.sqrt(low / n), trough / crest - 1.0


def _row(market: Market, plan: _Plan, threshold: float, buffers: _Buffers) -> np.ndarray:
    """Moments, exposure and totals of one threshold."""
    target, slices, equity, totals = buffers
    rule = (threshold, plan.horizon, plan.share, plan.long_only)
    exposure = _weigh(plan.score, plan.there, plan.first, rule, slices, target)
    market.run(target, equity_out=equity, totals_out=totals)
    return np.array([*_moments(equity), exposure, *totals])


def _table(
    asked: np.ndarray, rows: np.ndarray, n_bars: int, periods_per_year: float
) -> pd.DataFrame:
    """Rows of moments, exposure and totals as statistics."""
    table = pd.DataFrame(
        [metrics.from_moments(tuple(row[:5]), n_bars, periods_per_year) for row in rows],
        index=pd.Index(asked, name="threshold"),
    ).drop(columns="periods")
    totals = dict(zip(TOTALS, rows[:, 6:].T, strict=True))
    return table.assign(
        turnover_annual=totals["traded"] * (periods_per_year / n_bars),
        fills=totals["fills"].astype(int),
        exposure=rows[:, 5],
        fees=totals["fees"],
        slippage=totals["slippage"],
    )
