"""Positions from predictions: one slice of capital a bar, held for the horizon.

A prediction for `horizon` bars ahead asks for a position for `horizon` bars. Every bar opens one
of `horizon` equal slices, sized by what is known then, so the position is the mean of the last
`horizon` sizes, and symbols share the capital equally. No position is ever above the caps.

What a prediction says depends on its target: a direction, whether a trade of one side pays,
or, for a volatility, nothing of direction, which asks for no position.

Sources: Jegadeesh and Titman, Returns to Buying Winners (1993), section I, overlapping
portfolios; López de Prado, Advances in Financial Machine Learning (2018), section 10.4, the mean
of the bets that are active.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from signalkit.bars import each_symbol
from signalkit.errors import DataError, ParamsError
from signalkit.signals.bets import (
    Sizing,
    bet_size,
    discretised,
    kelly_odds,
    kelly_return,
    volatility_share,
)
from signalkit.signals.timeline import Rows, rows_of
from signalkit.volatility import realised

SAYS = ("direction", "long", "short", "nothing")
# sizes are shares of the most a symbol may have, or fractions of its capital as they are
_OF_THE_MOST = ("fixed", "probability")
# what rounding leaves of slices that cancel out is no position
_DUST = 1e-12


def target_weights(
    predictions: pd.DataFrame,
    horizon: int,
    *,
    says: str = "direction",
    bars: pd.MultiIndex | None = None,
    threshold: float | pd.Series = 0.0,
    direction: str = "long_short",
    leverage: float = 1.0,
    cap: float | None = None,
    sizing: Sizing | None = None,
    volatility: pd.Series | None = None,
    periods_per_year: float | None = None,
    payoff: float | pd.Series = 1.0,
    symbols: int | None = None,
) -> pd.DataFrame:
    """Fraction of equity wanted in each symbol at each bar end.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time), in any order
        One model's predictions: `p_buy` and `p_sell`, or `prediction` where those are NaN; or
        the signals of `fuse`: `score`, below 0 for selling, and `confidence` in that side.
    horizon : int
        Bars a slice is held, at least 1.
    says : str
        `direction`: p_buy against p_sell, or the sign of a predicted return; `long` or
        `short`: whether that trade pays, p_buy against p_hold; `nothing`: no direction, and
        every weight is 0. A score has its direction already.
    bars : MultiIndex of (symbol, time), optional
        All bars; those from a symbol's first prediction on that have none ask for nothing.
    threshold : float or Series indexed by (symbol, time)
        Smallest p_buy - p_sell (or p_buy - p_hold, predicted return, or |score|) that asks for
        a position. Where it is NaN nothing is asked for.
    direction : str
        `long_short`, or `long_only` (no short positions).
    leverage : float
        Largest sum of absolute weights; reached by `fixed` when every slice of every symbol
        agrees.
    cap : float, optional
        Largest absolute weight of a symbol; `leverage` if omitted.
    sizing : Sizing, optional
        How a slice is sized; `fixed` if omitted.
    volatility : Series indexed by (symbol, time), optional
        Trailing volatility per bar known at the bar, as `trailing_volatility`; for the methods
        `volatility`, and `kelly` of a predicted return. A slice of a bar where it is 0 or NaN
        is empty.
    periods_per_year : float, optional
        Bars a year; for the method `volatility`.
    payoff : float or Series indexed by (symbol, time)
        Gain over loss of a bet, for `kelly` of probabilities; of `payoff_ratio`, or 1: as much
        is won as lost.
    symbols : int, optional
        How many share the capital; those of the bars, or of the predictions without bars, if
        omitted. Give it where some join later.

    Returns
    -------
    DataFrame indexed by (symbol, time)
        `weight`. Decided at bar end from predictions made at or before it.

    Raises
    ------
    ParamsError
        If an option is out of its range or unknown, or what the method reads is not given.
    DataError
        If a prediction is NaN, a score or a probability is out of its range, a row is there
        twice, a prediction has no bar, or a row lacks a threshold, volatility or payoff.

    Notes
    -----
    `fixed` and `probability` size shares of leverage / symbols; `volatility` and `kelly` size
    fractions of equity over symbols, so that all at once aim at no more than one would alone.
    Where weights in force at a time, those of symbols without a row there among them, would
    sum to more than `leverage`, the time's own are scaled down alike.

    The probability of a side is its share, lowered as the model's confidence is (an ensemble's
    by disagreement). The other side's is p_sell, p_buy or p_hold; of signals, confidence less
    |score|. López de Prado's mean is over active bets; here a bar that asks for nothing counts.
    """
    rule = sizing or Sizing()
    _check(horizon, says, direction, (leverage, leverage if cap is None else cap))
    most = leverage if cap is None else min(cap, leverage)
    index = predictions.index
    rows = rows_of((index, "predictions"), *([(bars, "bars")] if bars is not None else []))
    here = rows.places(index, "predictions")

    def at_rows(values: float | pd.Series | None, name: str) -> np.ndarray | float | None:
        return _at_rows(values, name, rows, here) if isinstance(values, pd.Series) else values

    belief = _belief(predictions, says)
    asked = np.abs(belief.score) >= at_rows(threshold, "threshold")
    side = np.where(asked, np.sign(belief.score), 0.0)
    if direction == "long_only":
        side = np.maximum(side, 0.0)
    known = (at_rows(volatility, "volatility"), periods_per_year, at_rows(payoff, "payoff"))
    size = _size(belief, rule, horizon, says, known)
    share = (leverage if rule.method in _OF_THE_MOST else 1.0) / _sharing(symbols, rows)
    limit = 1.0 if rule.method in _OF_THE_MOST else most / share
    placed = np.zeros(len(rows.key))
    placed[here] = np.where(side == 0, 0.0, side * np.minimum(size, limit))
    symbol = rows.key // len(rows.clock)
    mean = _means(placed, symbol, horizon)
    weight = np.clip(discretised(mean / limit, rule.step) * limit * share, -most, most)
    if len(rows.symbols) > 1:
        _fit_in(weight, symbol, np.argsort(rows.at, kind="stable"), rows.at, leverage)
    if bars is None:
        return pd.DataFrame({"weight": weight[here]}, index=index)
    return _on_bars(weight, bars, rows, here)


def trailing_volatility(bars: pd.DataFrame, span: int = 60) -> pd.Series:
    """Volatility of the last returns, as sizes read it.

    Parameters
    ----------
    bars : DataFrame indexed by time, or by (symbol, time)
        Bars, of which `close` is read.
    span : int
        Log returns of which the standard deviation (ddof 1) is taken, at least 2.

    Returns
    -------
    Series indexed as the bars
        `volatility` per bar, NaN in the first `span` bars of a symbol.
    """

    def moved(block: pd.DataFrame) -> pd.DataFrame:
        found = realised(block["close"].to_numpy(), span)
        return pd.DataFrame({"volatility": found}, index=block.index)

    return each_symbol(bars, moved)["volatility"]


@dataclass(frozen=True)
class _Belief:
    """Of each row: for or against, chances that the side wins and loses, predicted number.

    Chances are NaN where a number was predicted, and the number elsewhere.
    """

    score: np.ndarray
    win: np.ndarray
    lose: np.ndarray
    number: np.ndarray


def _check(horizon: int, says: str, direction: str, caps: tuple[float, float]) -> None:
    """Refuse options that are unknown or out of their range."""
    if horizon < 1:
        raise ParamsError(f"horizon must be at least 1 bar, was {horizon}")
    if direction not in ("long_short", "long_only"):
        raise ParamsError(f"signals.direction is long_short or long_only, was {direction!r}")
    if says not in SAYS:
        raise ParamsError(f"predictions say one of {', '.join(SAYS)}, was {says!r}")
    if not all(0 < limit < np.inf for limit in caps):
        raise ParamsError(f"leverage and cap must be above 0, were {caps[0]} and {caps[1]}")


def _belief(table: pd.DataFrame, says: str) -> _Belief:
    """What a table of predictions, or of fused signals, believes of each row."""
    nothing = np.full(len(table), np.nan)
    if says == "nothing":
        return _Belief(np.zeros(len(table)), nothing, nothing, nothing)
    if "score" in table.columns:
        return _of_signals(table)
    buy = table["p_buy"].to_numpy(dtype=float)
    other = "p_sell" if says == "direction" else "p_hold"
    against = table[other].to_numpy(dtype=float)
    number = np.where(np.isnan(buy - against), table["prediction"].to_numpy(dtype=float), np.nan)
    if says == "direction":
        score = np.where(np.isnan(buy - against), number, buy - against)
    else:
        score = np.maximum(buy - against, 0.0) * (1.0 if says == "long" else -1.0)
    if np.isnan(score).any():
        raise DataError(f"the prediction at {table.index[int(np.argmax(np.isnan(score)))]} is NaN")
    turned = (score < 0) & (says == "direction")
    win, lose = np.where(turned, against, buy), np.where(turned, buy, against)
    return _Belief(score, win * _sure(table), lose, number)


def _sure(table: pd.DataFrame) -> np.ndarray | float:
    """By how much a model's confidence is below the share of its likeliest class; 1 is not."""
    if "confidence" not in table.columns:
        return 1.0
    shares = [name for name in ("p_sell", "p_hold", "p_buy") if name in table.columns]
    top = table[shares].to_numpy(dtype=float).max(axis=1)
    part = table["confidence"].to_numpy(dtype=float) / np.where(top > 0, top, 1.0)
    return np.where(np.isnan(part), 1.0, np.clip(part, 0.0, 1.0))


def _of_signals(table: pd.DataFrame) -> _Belief:
    """What fused signals believe: confidence is the share of the side of the score."""
    score = table["score"].to_numpy(dtype=float)
    # where no voice spoke the score is 0 and nothing is known of it
    sure = np.nan_to_num(table["confidence"].to_numpy(dtype=float), nan=0.0)
    for name, values, wrong in (
        ("score", score, ~(np.abs(score) <= 1)),
        ("confidence", sure, ~((sure >= 0) & (sure <= 1))),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"the {name} at {table.index[row]} is {values[row]}; it lies from"
                f" {-1 if name == 'score' else 0} to 1"
            )
    return _Belief(score, sure, np.maximum(sure - np.abs(score), 0.0), np.full(len(score), np.nan))


def _at_rows(values: pd.Series, name: str, rows: Rows, here: np.ndarray) -> np.ndarray:
    """Values of a Series at the predictions."""
    place = rows.places(values.index, name)
    row = np.full(len(rows.key), -1)
    row[place[place >= 0]] = np.flatnonzero(place >= 0)
    found = row[here]
    if (found < 0).any():
        lost = rows.key[here[int(np.argmax(found < 0))]]
        symbol, at = divmod(lost, len(rows.clock))
        raise DataError(f"there is no {name} at {(rows.symbols[symbol], rows.clock[at])}")
    return values.to_numpy(dtype=float)[found]


def _size(
    belief: _Belief,
    rule: Sizing,
    horizon: int,
    says: str,
    known: tuple[np.ndarray | None, float | None, np.ndarray | float],
) -> np.ndarray:
    """How large a slice is, at least 0, whatever its side."""
    moves, periods_per_year, payoff = known
    win, number = belief.win, belief.number
    numbers = not np.isnan(number).all()
    if moves is None and (rule.method == "volatility" or (rule.method == "kelly" and numbers)):
        raise ParamsError(f"sizing.method {rule.method} needs the volatility known at each bar")
    if rule.method == "probability":
        if numbers:
            raise ParamsError(
                "sizing.method probability needs probabilities, and numbers are predicted; size"
                " them by fixed, volatility or kelly"
            )
        return np.maximum(bet_size(win, 3 if says == "direction" else 2), 0.0)
    if rule.method == "kelly":
        full = kelly_odds(np.nan_to_num(win), np.nan_to_num(belief.lose), payoff)
        if numbers:
            by_number = kelly_return(np.abs(number), horizon * moves**2)
            full = np.where(np.isnan(number), full, by_number)
        return rule.fraction * full
    size = np.ones(len(win))
    if rule.method == "volatility":
        if periods_per_year is None:
            raise ParamsError("sizing.method volatility needs periods_per_year")
        size = volatility_share(moves, rule.annual_volatility, periods_per_year)
    return size * np.where(np.isnan(win), 1.0, win) if rule.by_confidence else size


def _sharing(symbols: int | None, rows: Rows) -> int:
    """How many symbols share the capital."""
    if symbols is not None and symbols < len(rows.symbols):
        raise ParamsError(f"{symbols} symbols are to share, and there are {len(rows.symbols)}")
    return len(rows.symbols) if symbols is None else symbols


def _on_bars(weight: np.ndarray, bars: pd.MultiIndex, rows: Rows, here: np.ndarray) -> pd.DataFrame:
    """Weights on the bars of each symbol from its first prediction on."""
    place = rows.places(bars, "bars")
    if len(place) < len(rows.key):
        there = np.zeros(len(rows.key), dtype=bool)
        there[place] = True
        symbol, at = divmod(rows.key[int(np.argmin(there))], len(rows.clock))
        place = rows.symbols[symbol], rows.clock[at]
        raise DataError(f"the prediction at {place} has no bar")
    first = np.full(len(rows.symbols), len(rows.key))
    np.minimum.at(first, rows.key[here] // len(rows.clock), here)
    begun = place >= first[rows.key[place] // len(rows.clock)]
    return pd.DataFrame({"weight": weight[place[begun]]}, index=bars[begun])


@njit(cache=True)
def _means(size: np.ndarray, symbol: np.ndarray, horizon: int) -> np.ndarray:
    """Mean of each symbol's last sizes; those before its first count as 0.

    Sums are made anew every `horizon` rows, so that nothing is left of what has gone.
    """
    count = len(size)
    span = min(horizon, max(count, 1))
    out, tail = np.empty(count), np.zeros(span + 1)
    head, begin = 0.0, 0
    for i in range(count):
        if i == 0 or symbol[i] != symbol[i - 1]:
            head, begin = 0.0, i
            tail[:] = 0.0
        place = (i - begin) % span
        if place == 0 and i > begin:
            head = 0.0
            for j in range(span - 1, -1, -1):
                tail[j] = tail[j + 1] + size[i - span + j]
        head += size[i]
        total = head + tail[place + 1]
        out[i] = total / horizon if abs(total) > _DUST else 0.0
    return out


@njit(cache=True)
def _fit_in(
    weight: np.ndarray, symbol: np.ndarray, order: np.ndarray, at: np.ndarray, leverage: float
) -> None:
    """Scale down, in place and time after time, what would bring weights in force above a sum."""
    force = np.zeros(symbol.max() + 1)
    begin = 0
    while begin < len(order):
        stop = begin
        while stop < len(order) and at[order[stop]] == at[order[begin]]:
            stop += 1
        mine = 0.0
        for i in order[begin:stop]:
            mine += abs(weight[i])
            force[symbol[i]] = 0.0
        room = leverage - np.abs(force).sum()
        if mine > room:
            for i in order[begin:stop]:
                weight[i] *= max(room, 0.0) / mine
        for i in order[begin:stop]:
            force[symbol[i]] = weight[i]
        begin = stop
