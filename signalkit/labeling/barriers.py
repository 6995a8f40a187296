"""The triple barrier: which of a profit, a stop and a last bar a trade meets first.

Both barriers stand around the entry price, in multiples of the volatility expected at bar t
for the horizon: that of one bar over the last `volatility_span` bars times sqrt(horizon).
López de Prado's example has a barrier of one day and the volatility of one day, which is the
same; a multiple of one bar's volatility would be met at once over a long horizon. A bar that
met both barriers does not tell which came first: it counts as the stop of the given side,
and as 0 where no side is given.

A label that is settled early has a row as soon as it is, one that is not has none. The last
`horizon` bars therefore hold quick answers only; so does any window whose labels must be
settled by its end.

Source: López de Prado, Advances in Financial Machine Learning (2018), sections 3.4 to 3.7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numba import njit

from signalkit.bars import check, each_symbol
from signalkit.errors import DataError, ParamsError
from signalkit.labeling.horizon import check_choice, check_horizon
from signalkit.volatility import realised

ENTRIES = ("close", "next_close", "next_open")
TOUCHES = ("high_low", "close")
VERTICALS = ("zero", "sign")
Side = int | Sequence[float] | np.ndarray | pd.Series
_SIDE = "side"


@njit(cache=True)
def _coarser(above, below, size, top, bottom):  # noqa: ANN001, ANN202 - numba
    """Highest high and lowest low of each eight neighbours."""
    for b in range(size):
        most, least = above[8 * b], below[8 * b]
        for j in range(8 * b + 1, 8 * b + 8):
            most, least = max(most, above[j]), min(least, below[j])
        top[b], bottom[b] = most, least


@njit(cache=True)
def _extremes(high, low):  # noqa: ANN001, ANN202 - numba
    """Highest high and lowest low of whole blocks of 8, 64, 512, ... bars, and where each begins.

    Level k starts at offsets[k]; its block b holds the bars from b * 8 ** (k + 1) on.
    """
    offsets, levels, total, size = np.zeros(32, np.int64), 0, 0, len(high) >> 3
    while size > 0:
        offsets[levels] = total
        levels, total, size = levels + 1, total + size, size >> 3
    top, bottom = np.empty(total), np.empty(total)
    _coarser(high, low, len(high) >> 3, top, bottom)
    for level in range(1, levels):
        fine, coarse = offsets[level - 1], offsets[level]
        size = len(high) >> (3 * level + 3)
        _coarser(top[fine:], bottom[fine:], size, top[coarse:], bottom[coarse:])
    return top, bottom, offsets[:levels]


@njit(cache=True)
def _first_touch(high, low, blocks, place, upper, lower):  # noqa: ANN001, ANN202 - numba
    """First bar from place[0] to before place[1] at or beyond a barrier, else place[1].

    Whole blocks that stay inside the barriers are passed over, the largest first.
    """
    top, bottom, offsets = blocks
    i, stop = place
    while i < stop:
        step, shift = 0, 3
        while (
            shift <= 3 * len(offsets)
            and i & ((1 << shift) - 1) == 0
            and i + (1 << shift) <= stop
            and top[offsets[shift // 3 - 1] + (i >> shift)] < upper
            and bottom[offsets[shift // 3 - 1] + (i >> shift)] > lower
        ):
            step, shift = 1 << shift, shift + 3
        if step:
            i += step
            continue
        if high[i] >= upper or low[i] <= lower:
            return i
        i += 1
    return stop


@njit(cache=True)
def _settle(prices, times, width, side, multiples, begin, horizon, by_sign):  # noqa: ANN001, ANN202 - numba
    """Rows that have a label, their labels, and the times of the bars that settle them.

    `prices` are the highs, lows and closes that are watched and the entry price of each
    row, `width` the volatility of one bar; `begin` is how many bars after the row the first
    watched bar comes.
    """
    high, low, close, entry = prices
    n = len(close)
    blocks = _extremes(high, low)
    rows, known_at = np.empty(n, np.int32), np.empty(n, np.int64)
    label, found, root = np.empty(n), 0, math.sqrt(horizon)
    for t in range(n - begin):
        toward = side[t] if len(side) else 0.0
        if not width[t] > 0.0 or (len(side) and toward == 0.0):
            continue
        up, down = multiples if toward >= 0.0 else multiples[::-1]
        reach = width[t] * root
        upper, lower = entry[t] * (1.0 + up * reach), entry[t] * (1.0 - down * reach)
        whole = t + begin + horizon
        stop = min(whole, n)
        k = _first_touch(high, low, blocks, (t + begin, stop), upper, lower)
        if k < stop:
            met = (1.0 if high[k] >= upper else 0.0) - (1.0 if low[k] <= lower else 0.0)
            answer = met
            if len(side):
                answer = met * toward if met != 0.0 else -1.0
        elif whole <= n:
            k, answer = whole - 1, 0.0
            if by_sign:
                answer = np.sign(close[k] - entry[t]) * (toward if len(side) else 1.0)
        else:
            continue
        rows[found], known_at[found], label[found] = t, times[k], answer
        found += 1
    return rows[:found], label[:found], known_at[:found]


def triple_barrier(
    bars: pd.DataFrame,
    horizon: int,
    *,
    upper: float = 1.0,
    lower: float = 1.0,
    volatility_span: int = 60,
    entry: str = "close",
    touch: str = "high_low",
    side: Side | None = None,
    vertical: str = "zero",
) -> pd.DataFrame:
    """Which barrier the price meets first: 1 the upper, -1 the lower, 0 neither.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        Bars of one symbol, or a panel.
    horizon : int
        Bars that are watched after the entry, at least 1; the last one is the vertical
        barrier.
    upper, lower : float
        Distance of the barriers from the entry price, above 0, in units of the volatility
        over the horizon; inf leaves a barrier out.
    volatility_span : int
        Window of the volatility, in bars, at least 2.
    entry : str
        Price the trade begins at: `close` of bar t, or `next_close`, or `next_open`. The
        bar of the next open is watched, those of a close are not.
    touch : str
        `high_low`: a bar meets a barrier that its high or low reaches, a gap beyond it
        included; `close`: only its close counts.
    side : number, array of shape (n_bars,) or Series indexed as the bars, optional
        1 for a trade that buys, -1 for one that sells, 0 or NaN for none. `upper` is then
        the profit's distance and `lower` the stop's, and the label is 1 for the profit,
        -1 for the stop.
    vertical : str
        Label where neither is met: `zero`, or the `sign` of the return at the last close.

    Returns
    -------
    DataFrame
        `label` (-1.0, 0.0 or 1.0) and `known_at`, the end of the bar that met a barrier,
        the vertical one included. No row for bars without volatility (warm-up, prices that
        never move), without a side, or whose label is not settled by the last bar.

    Raises
    ------
    ParamsError
        If an option is not one of those above, or a side is not -1, 0 or 1.
    DataError
        If a symbol has too few bars for one label, or sides do not fit the bars.

    Examples
    --------
    >>> from signalkit.causality import probe_bars
    >>> labels = triple_barrier(probe_bars(200), horizon=10, upper=2.0, lower=1.0)
    >>> labels["label"].value_counts().to_dict()
    {0.0: 86, 1.0: 32, -1.0: 12}
    """
    check_horizon(horizon)
    for name, found in {"upper": upper, "lower": lower}.items():
        if not found > 0:
            raise ParamsError(f"labeling.{name} must be above 0, was {found}; inf leaves it out")
    check_choice("entry", entry, ENTRIES)
    check_choice("touch", touch, TOUCHES)
    check_choice("vertical", vertical, VERTICALS)
    check(bars)
    asked = bars if side is None else bars.assign(**{_SIDE: _sides(side, bars)})
    rules = (float(upper), float(lower)), entry, touch, vertical == "sign", side is not None
    return each_symbol(asked, lambda block: _barriers(block, horizon, volatility_span, rules))


def _sides(side: Side, bars: pd.DataFrame) -> np.ndarray:
    """A side for every bar, 0 where none is given."""
    if isinstance(side, pd.Series):
        if not side.index.isin(bars.index).all() or side.index.has_duplicates:
            raise DataError("sides are indexed by bars, each once; some are of no bar or repeated")
        side = side.reindex(bars.index).fillna(0.0)
    try:
        found = np.asarray(side, dtype=float)
    except (TypeError, ValueError):
        raise ParamsError(f"a side is a number, 1, -1 or 0 for none; was {side!r}") from None
    if found.ndim and found.shape != (len(bars),):
        raise DataError(f"{found.shape} sides do not fit {len(bars)} bars; index them by the bars")
    found = np.nan_to_num(np.broadcast_to(found, len(bars)), nan=0.0)
    strange = ~np.isin(found, (-1.0, 0.0, 1.0))
    if strange.any():
        row = int(np.argmax(strange))
        raise ParamsError(f"a side is 1, -1 or 0 for none; at row {row} it was {found[row]:g}")
    return found


def _barriers(bars: pd.DataFrame, horizon: int, span: int, rules: tuple) -> pd.DataFrame:
    """One symbol's labels."""
    multiples, entry, touch, by_sign, sided = rules
    if len(bars) < span + 2 + (entry == "next_close"):
        raise DataError(
            f"a volatility over {span} bars and a bar to settle a label need at least"
            f" {span + 2 + (entry == 'next_close')}, there are {len(bars)};"
            " shorten labeling.volatility_span"
        )
    open_, high, low, close = (_column(bars, name) for name in ("open", "high", "low", "close"))
    watched = (high, low) if touch == "high_low" else (close, close)
    paid = {"close": close, "next_close": close[1:], "next_open": open_[1:]}[entry]
    width = realised(close, span)
    side = _column(bars, _SIDE) if sided else close[:0]  # bars may have a column of that name
    rows, label, known_at = _settle(
        (*watched, close, paid),
        bars.index.asi8,
        width,
        side,
        multiples,
        2 if entry == "next_close" else 1,
        horizon,
        by_sign,
    )
    whole = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
    index = bars.index[rows[0] : rows[-1] + 1] if whole else bars.index[rows]
    settled = pd.Series(known_at, index, copy=False).astype(bars.index.dtype)
    return pd.DataFrame({"label": label, "known_at": settled}, index=index, copy=False)


def _column(bars: pd.DataFrame, name: str) -> np.ndarray:
    """A column as it lies, for reading only: one type for compiled code, and no copy."""
    found = np.ascontiguousarray(bars[name].to_numpy()).view()
    found.flags.writeable = False
    return found


def meta_label(
    bars: pd.DataFrame, side: Side, horizon: int, *, vertical: str = "zero", **barriers: object
) -> pd.DataFrame:
    """Whether acting on a given side pays: 1 where its profit is met first, else 0.

    A second model that learns these says when to believe the first, which gave the sides.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        Bars of one symbol, or a panel.
    side : number, array of shape (n_bars,) or Series indexed as the bars
        1 to buy, -1 to sell, 0 or NaN for no trade and no row.
    horizon : int
        Bars that are watched after the entry, at least 1.
    vertical : str
        Where neither barrier is met: `zero` counts as not paid, `sign` as paid where the
        return along the side is above 0 at the last close.
    **barriers
        `upper` (profit), `lower` (stop), `volatility_span`, `entry` and `touch` of
        `triple_barrier`.

    Returns
    -------
    DataFrame
        `label` (0.0 or 1.0) before costs, and `known_at`.

    Raises
    ------
    ParamsError, DataError
        As `triple_barrier` does.
    """
    if side is None:
        raise ParamsError("a meta-label judges a side; give 1, -1 or one for each bar")
    met = triple_barrier(bars, horizon, side=side, vertical=vertical, **barriers)
    return met.assign(label=(met["label"] > 0).astype(float))
