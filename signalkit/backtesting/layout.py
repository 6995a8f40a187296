"""Bars as arrays of times x symbols: laid out by the codes of their index, once.

A cell without a bar gets the symbol's last close as every price (0 before its first), so
that whoever adds up a row needs no question; `there` says which cells are bars. Trailing
volatility and volume are made only where costs read them.
"""

# numba finds the types
# ruff: noqa: ANN001, ANN201, ANN202

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit
from pandas.api.types import infer_dtype

from signalkit.backtesting.account import AT_CLOSE, CLOSES, NEXT_OPEN, OPENS, Bars, priceable, taken
from signalkit.backtesting.settings import Settings
from signalkit.bars import COLUMNS, check
from signalkit.costs import fee
from signalkit.errors import DataError

NOTHING = np.empty((0, 0))
# bars that trailing volatility and volume look back over
SPAN = 20
_NANOSECONDS_A_YEAR = 365 * 24 * 3600 * 1e9


class Rows(NamedTuple):
    """A table of bars as it stands: columns, and each row's symbol and time by number."""

    columns: tuple[np.ndarray, ...]
    symbol: np.ndarray
    time: np.ndarray
    symbols: pd.Index
    times: pd.DatetimeIndex


def read(bars: pd.DataFrame) -> Rows:
    """Checked bars by number; `symbol` and `time` are empty for a table of one symbol."""
    if not isinstance(bars, pd.DataFrame):
        raise DataError(f"bars are a DataFrame, were a {type(bars).__name__}")
    if bars.empty:
        raise DataError("there are no bars to simulate; give at least one")
    if bars.index.nlevels == 1:
        check(bars)
        none = np.empty(0, np.int64)
        times = bars.index.rename("time")
        return Rows(_columns(bars), none, none, pd.Index([""], name="symbol"), times)
    rows = _panel(bars)
    if rows is None or not _in_order(rows.symbol, rows.time, *rows.columns):
        # the rule that is broken, told with its place; it is slower and says more
        check(bars)
        raise DataError("the panel's index has entries without a symbol or time; drop them")
    return rows


def _columns(bars: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Columns of bars, each in one piece."""
    return tuple(np.ascontiguousarray(bars[name].to_numpy()) for name in COLUMNS)


def _panel(bars: pd.DataFrame) -> Rows | None:
    """A panel by number, or None where its columns or index are not what bars have."""
    if sum(name in COLUMNS for name in bars.columns) != len(COLUMNS):
        return None
    if list(bars.index.names) != ["symbol", "time"] or bars.empty:
        return None
    if any(bars[name].dtype != np.float64 for name in COLUMNS):
        return None
    if not isinstance(bars.index.levels[1], pd.DatetimeIndex):
        return None
    if (kind := infer_dtype(bars.index.levels[0])).startswith("mixed"):
        raise DataError(f"the panel's symbols are {kind}, which have no order; give names of text")
    symbol, symbols, time, times = numbered(bars.index)
    if str(times.tz) != "UTC" or (symbol < 0).any() or (time < 0).any():
        return None
    return Rows(_columns(bars), symbol, time, symbols, times)


def numbered(index: pd.MultiIndex) -> tuple[np.ndarray, pd.Index, np.ndarray, pd.DatetimeIndex]:
    """Each row's symbol and time by its number among those that occur, in sorted order."""
    out = []
    for level, codes in zip(index.levels, index.codes, strict=True):
        codes = np.asarray(codes, dtype=np.int64)
        occurs = np.zeros(len(level) + 1, dtype=bool)
        occurs[codes] = True
        kept = np.flatnonzero(occurs[: len(level)])
        values = level[kept]
        order = np.argsort(values.asi8 if isinstance(values, pd.DatetimeIndex) else values)
        number = np.full(len(level) + 1, -1, dtype=np.int64)
        number[kept[order]] = np.arange(len(kept))
        out += [number[codes], values[order]]
    symbol, symbols, time, times = out
    return symbol, symbols.rename("symbol"), time, times.rename("time")


@njit(cache=True)
def _in_order(symbol, time, open_, high, low, close, volume):
    """Whether symbols stand in blocks, their times increase, and every bar is sound."""
    for i in range(len(close)):
        inside = 0.0 < low[i] <= open_[i] <= high[i] < np.inf and low[i] <= close[i] <= high[i]
        if not (inside and 0.0 <= volume[i] < np.inf):
            return False
        if i == 0 or symbol[i] > symbol[i - 1]:
            continue
        if symbol[i] < symbol[i - 1] or time[i] <= time[i - 1]:
            return False
    return True


def lay_out(rows: Rows, first: int, settings: Settings) -> Bars:
    """Bars of the grid from its row `first` on."""
    shape = (len(rows.times) - first, len(rows.symbols))
    prices, there = np.zeros((4, *shape)), np.ones(shape, dtype=np.uint8)
    for out, values in zip(prices, rows.columns, strict=False):
        _fill(rows, first, values, out)
    if len(rows.symbol) and (len(rows.time) < there.size or first > 0):
        there[:] = 0
        _mark(rows.symbol, rows.time - first, there)
        _bridge(prices, there)
    *_, close, volume = rows.columns
    kept = dict.fromkeys(("volume", "volatility", "mean_volume"), NOTHING)
    if settings.volume_cap is not None:
        kept["volume"] = volume / settings.capital
    if settings.needs_volatility:
        edges = np.flatnonzero(np.diff(rows.symbol, prepend=-1, append=-1))
        spread, mean = trailing(close, volume, edges if len(edges) else np.array([0, len(close)]))
        kept |= {"volatility": spread, "mean_volume": mean / settings.capital}
    for name, values in kept.items():
        if values is not NOTHING:
            kept[name] = np.full(shape, np.nan)
            _fill(rows, first, values, kept[name])
    years = np.empty(0)
    if settings.borrow_bps > 0:
        ends = nanoseconds(rows.times[first:])
        years = np.diff(ends, prepend=ends[0]) / _NANOSECONDS_A_YEAR
    return Bars(prices, there, **kept, funding=NOTHING, years=years)


def nanoseconds(times: pd.DatetimeIndex) -> np.ndarray:
    """Times as integers, of whatever unit they are kept in."""
    return times.as_unit("ns").asi8


def _fill(rows: Rows, first: int, values: np.ndarray, out: np.ndarray) -> None:
    """A column of the table into its cells."""
    if len(rows.symbol):
        _spread(rows.symbol, rows.time - first, values, out)
    else:
        out[:, 0] = values[first:]


@njit(cache=True)
def _spread(symbol, time, values, out):
    """Each row's value into its cell, those before the grid left out."""
    for i in range(len(values)):
        if time[i] >= 0:
            out[time[i], symbol[i]] = values[i]


@njit(cache=True)
def _mark(symbol, time, there):
    """Which cells are bars."""
    for i in range(len(time)):
        if time[i] >= 0:
            there[time[i], symbol[i]] = 1


@njit(cache=True)
def _bridge(prices, there):
    """The last close as every price of a cell without a bar, 0 before the first bar."""
    for t in range(1, prices.shape[1]):
        for s in range(prices.shape[2]):
            if there[t, s] == 0:
                prices[:, t, s] = prices[3, t - 1, s]


@njit(cache=True)
def trailing(close, volume, edges):
    """Volatility and mean volume of the bars before each, NaN where fewer than 2 are known.

    `edges` are the first rows of the symbols, and the number of rows. Sums are added up anew
    for every bar: exact, without drift.
    """
    volatility, mean_volume = np.full(len(close), np.nan), np.full(len(close), np.nan)
    step = np.full(len(close), np.nan)
    for block in range(len(edges) - 1):
        begin, end = edges[block], edges[block + 1]
        for i in range(begin + 1, end):
            step[i] = math.log(close[i] / close[i - 1])
        for i in range(begin + 2, end):
            since = max(begin, i - SPAN)
            total = 0.0
            for j in range(since, i):
                total += volume[j]
            mean_volume[i] = total / (i - since)
            since = max(begin + 1, since)
            n = i - since
            if n < 2:
                continue
            total = 0.0
            for j in range(since, i):
                total += step[j]
            mean, total = total / n, 0.0
            for j in range(since, i):
                total += (step[j] - mean) ** 2
            volatility[i] = math.sqrt(total / (n - 1))
    return volatility, mean_volume


@njit(cache=True)
def seek(keys, grid):
    """Place of each key in a sorted grid, -1 where it is not; fast where keys increase."""
    out, place, n = np.empty(len(keys), np.int64), 0, len(grid)
    for i in range(len(keys)):
        key = keys[i]
        if place + 1 < n and grid[place + 1] == key:
            place += 1
        elif not (place < n and grid[place] == key):
            place = np.searchsorted(grid, key)
        out[i] = place if place < n and grid[place] == key else -1
    return out


@njit(cache=True)
def stray(rows, columns, there):
    """The first row that is no cell of the grid or a cell without a bar, else -1."""
    for i in range(len(rows)):
        if rows[i] < 0 or columns[i] < 0 or there[rows[i], columns[i]] == 0:
            return i
    return -1


@njit(cache=True)
def put(out, rows, columns, values):
    """Values into their cells, which hold NaN; the first that meets another one, else -1."""
    for i in range(len(values)):
        if not np.isnan(out[rows[i], columns[i]]):
            return i
        out[rows[i], columns[i]] = values[i]
    return -1


@njit(cache=True)
def most_gross(target):
    """The first row at which the weights in force sum to most, and that sum."""
    force, row, most = np.zeros(target.shape[1]), 0, 0.0
    for t in range(target.shape[0]):
        changed = False
        for s in range(target.shape[1]):
            if not np.isnan(target[t, s]):
                force[s], changed = abs(target[t, s]), True
        if changed:
            total = 0.0
            for s in range(len(force)):
                total += force[s]
            if total > most:
                row, most = t, total
    return row, most


@njit(cache=True, nogil=True)
def hold(bars, rules, out):
    """Equity of buy-and-hold by bar; see `Market.hold`."""
    n_bars, n_symbols = bars.there.shape
    opens, closes, part = bars.prices[OPENS], bars.prices[CLOSES], 1.0 / n_symbols
    cash, units = np.full(n_symbols, part), np.zeros(n_symbols)
    seen = np.full(n_symbols, rules.fill == AT_CLOSE)
    for t in range(n_bars):
        total = 0.0
        for s in range(n_symbols):
            if units[s] == 0.0 and cash[s] > 0.0 and bars.there[t, s] == 1:
                if seen[s] and priceable(t, s, bars, rules):
                    quote = opens[t, s] if rules.fill == NEXT_OPEN else closes[t, s]
                    units[s] = part / quote
                    price = taken(t, s, units[s], quote, bars, rules)
                    cash[s] -= units[s] * price + fee(units[s] * price, rules.fee_bps)
                seen[s] = True
            if units[s] != 0.0:
                value = cash[s] + units[s] * closes[t, s]
                if value <= 0.0:
                    # closed and stays so
                    cash[s], units[s], value = 0.0, 0.0, 0.0
                total += value
            else:
                total += cash[s]
        out[t] = total
