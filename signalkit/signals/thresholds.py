"""Thresholds that move: how strong a signal must be, by what is known when it is given.

Where settled signals were right more often than chance the threshold falls, where less often
it rises; it rises in markets that are wild by their own past. Between stated bounds, and at t
from outcomes with `known_at` at or before t.

Every signal with a side is judged, acted upon or not: a threshold that learned only from what
passed it could never come down again.

Source: Pesaran and Timmermann, A Simple Nonparametric Test of Predictive Performance (1992),
section 1, for the hit rate above chance; here sides of outcomes are counted at all bars with a
signal, so that one who always buys is at chance and one who chooses his bars need not be.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.signals.timeline import (
    KNOWN_REGIMES,
    Rows,
    decay_of,
    discounted,
    outcomes_of,
    place_of,
    regime_codes,
    row_of,
    rows_of,
)
from signalkit.signals.voices import SAYS


def threshold_path(
    signals: pd.DataFrame,
    *,
    base: float,
    bounds: tuple[float, float],
    outcomes: pd.DataFrame | None = None,
    says: str = "direction",
    by_performance: float = 0.0,
    half_life: float | None = 250.0,
    prior: float = 30.0,
    volatility: pd.Series | None = None,
    by_volatility: float = 0.0,
    least: int = 250,
    regime: pd.Series | None = None,
    regime_thresholds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Smallest |score| that asks for a position, at each bar.

    Parameters
    ----------
    signals : DataFrame indexed by (symbol, time)
        `score`, from `fuse`, in any order.
    base : float
        Threshold of a market and a record in the middle.
    bounds : tuple of two floats
        Lowest and highest threshold, 0 <= low <= base <= high.
    outcomes : DataFrame indexed by (symbol, time), optional
        Labels, `label` and `known_at`, by which signals are judged.
    says : str
        What labels say, as in `fuse`.
    by_performance : float
        By how much the threshold falls for a hit rate 1 above chance, at least 0.
    half_life : float, optional
        Bars after which what was settled counts half; it counts for ever if None.
    prior : float
        Settled signals at chance that every record begins with, at least 0.
    volatility : Series indexed by (symbol, time), optional
        Any measure of how wild a bar's market is, known at the bar; NaN in its warm-up. Give
        all bars: each is ranked among its symbol's own so far.
    by_volatility : float
        By how much the threshold is higher in the wildest market than in a middling one.
    least : int
        Values of volatility, the bar's own among them, before it has a rank, at least 3.
    regime : Series indexed by (symbol, time), optional
        `calm`, `normal`, `wild` or `unknown`; where there is none, `unknown`.
    regime_thresholds : mapping of str to float, optional
        Base of a regime in place of `base`.

    Returns
    -------
    DataFrame indexed as the signals
        `threshold`; what it is made of: `base`, `edge` (hit rate above chance, drawn to 0 by
        `prior`) and `rank` (of volatility, 0 to 1, NaN before there are enough); and `settled`,
        how many signals are judged, overlapping ones and those of one time counting as one.

    Raises
    ------
    ParamsError
        If a number is out of its range, or what an option reads is not given.
    DataError
        If a table has a row twice or lacks a column, or outcomes of one row differ.
    LeakError
        If a label is known at or before its own bar.

    Notes
    -----
    threshold = base - by_performance x edge + by_volatility x (2 rank - 1), within the bounds;
    without a rank the last term is 0. With n settled signals, hits h, u up and d down of them,
    U and D the shares of outcomes up and down: edge = (h - u U - d D) / (n + prior), all sums
    discounted, pooled over symbols.

    Examples
    --------
    >>> time = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    >>> rows = pd.MultiIndex.from_product([["A"], time], names=["symbol", "time"])
    >>> found = threshold_path(
    ...     pd.DataFrame({"score": [0.1, 0.2, -0.1]}, index=rows), base=0.1, bounds=(0.0, 0.2),
    ...     volatility=pd.Series([1.0, 3.0, 2.0], rows), by_volatility=0.06, least=3)
    >>> found["threshold"].round(4).tolist()
    [0.1, 0.1, 0.12]
    """
    _check(base, bounds, by_performance, by_volatility, prior, least)
    decay = decay_of(half_life, "signals.thresholds")
    for name, size, read in (
        ("by_performance", by_performance, outcomes),
        ("by_volatility", by_volatility, volatility),
        ("regime_thresholds", regime_thresholds, regime),
    ):
        if size and read is None:
            raise ParamsError(f"{name} has nothing to read; give {_READ[name]}")
    if "score" not in signals.columns:
        raise DataError(f"signals lack the column score; they have {list(signals.columns)}")
    rows = rows_of((signals.index, "signals"))
    place = rows.places(signals.index, "signals")
    score = np.empty(len(place))
    score[place] = signals["score"].to_numpy(dtype=float)
    edge, settled = np.zeros(len(place)), np.zeros(len(place))
    if outcomes is not None:
        edge, settled = _edge(rows, score, outcomes, says, decay, prior)
    rank = np.full(len(place), np.nan)
    if volatility is not None:
        rank[place] = _rank(signals.index, volatility, least)
    start = _base(rows, base, bounds, regime, regime_thresholds)
    wild = np.where(np.isnan(rank), 0.0, by_volatility * (2 * rank - 1))
    moved = np.clip(start - by_performance * edge + wild, *bounds)
    parts = {"threshold": moved, "base": start, "edge": edge, "rank": rank, "settled": settled}
    return pd.DataFrame({name: part[place] for name, part in parts.items()}, index=signals.index)


_READ = {
    "by_performance": "outcomes, labels with known_at",
    "by_volatility": "volatility",
    "regime_thresholds": "regime",
}


def _check(
    base: float,
    bounds: tuple[float, float],
    by_performance: float,
    by_volatility: float,
    prior: float,
    least: int,
) -> None:
    """Refuse numbers out of their range."""
    low, high = bounds
    if not 0 <= low <= base <= high < np.inf:
        raise ParamsError(f"thresholds need 0 <= low <= base <= high, were {low}, {base}, {high}")
    for name, value in (("by_performance", by_performance), ("prior", prior)):
        if not 0 <= value < np.inf:
            raise ParamsError(f"{name} of thresholds must be at least 0, was {value}")
    if not np.isfinite(by_volatility):
        raise ParamsError(f"by_volatility of thresholds must be a number, was {by_volatility}")
    if not isinstance(least, int) or least < 3:
        raise ParamsError(f"a rank needs at least 3 values to compare with, was {least!r}")


def _edge(
    rows: Rows,
    score: np.ndarray,
    outcomes: pd.DataFrame,
    says: str,
    decay: float,
    prior: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Hit rate above chance and number of settled signals, at each row."""
    if says not in SAYS[:3]:
        raise ParamsError(f"outcomes say one of {', '.join(SAYS[:3])}, was {says!r}")
    place = row_of(rows.key, rows.keys(outcomes.index, "outcomes"))
    became = outcomes_of(rows, [(outcomes, place)], says)
    # a row without a score is no bar with a signal
    there = np.flatnonzero((became.known < len(rows.clock)) & ~np.isnan(score))
    side, right, known = np.sign(score[there]), became.side[there], became.known[there]
    told = [side > 0, side < 0, (side != 0) & (side == right), right > 0, right < 0, right == right]
    added = np.column_stack(
        [np.bincount(known, part * became.count[there], len(rows.clock)) for part in told]
    )
    # counts of nothing are integers
    up, down, hits, rose, fell, seen = discounted(added.astype(float), decay).T
    n, seen = up + down, np.where(seen > 0, seen, 1.0)
    chance = up * (rose / seen) + down * (fell / seen)
    edge = np.divide(hits - chance, n + prior, out=np.zeros_like(n), where=n > 0)
    return edge[rows.at], n[rows.at]


def _rank(index: pd.MultiIndex, volatility: pd.Series, least: int) -> np.ndarray:
    """Rank of each row's volatility among its symbol's own so far, as a share."""
    own = rows_of((volatility.index, "volatility"))
    values = np.empty(len(own.key))
    values[own.places(volatility.index, "volatility")] = volatility.to_numpy(dtype=float)
    symbol = own.key // len(own.clock)
    edges = np.flatnonzero(np.diff(symbol)) + 1
    ranks = [
        pd.Series(part).expanding(least).rank(pct=True).to_numpy()
        for part in np.split(values, edges)
    ]
    place = row_of(own.key, own.keys(index, "signals"))
    return np.where(place >= 0, np.concatenate(ranks)[place], np.nan)


def _base(
    rows: Rows,
    base: float,
    bounds: tuple[float, float],
    regime: pd.Series | None,
    regime_thresholds: Mapping[str, float] | None,
) -> np.ndarray:
    """Threshold that each row starts from."""
    if not regime_thresholds:
        return np.full(len(rows.key), float(base))
    each = np.full(len(KNOWN_REGIMES), float(base))
    for name, value in regime_thresholds.items():
        place = place_of(name, KNOWN_REGIMES, "regime_thresholds")
        if not bounds[0] <= value <= bounds[1]:
            raise ParamsError(
                f"regime_thresholds.{name} must be within the bounds {bounds}, was {value}"
            )
        each[place] = value
    return each[regime_codes(rows, regime)]
