"""The market an account trades in: bars and rules as arrays, made once and run many times.

`prepare` checks the bars and lays them out as times x symbols; `Market.run` simulates one
array of weights on them and gives equity alone. It releases the interpreter's lock and
writes into the caller's buffers, so that a sweep runs in threads without growing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from signalkit.backtesting import given, kernel, layout
from signalkit.backtesting.account import ACCOUNTS, TOTALS, Bars, Rules, rules_of
from signalkit.backtesting.layout import NOTHING
from signalkit.backtesting.settings import Settings
from signalkit.errors import DataError, ParamsError

# sums of weights are not exact
_TOLERANCE = 1e-12


class Orders(NamedTuple):
    """Weights as arrays of shape (n_bars, n_symbols), NaN where a bar has none.

    `limit_price` and `stop` have length 0 where no weight has one.
    """

    target: np.ndarray
    limit_price: np.ndarray
    stop: np.ndarray


class Outcome(NamedTuple):
    """What the kernel gave: arrays by bar, fills, and what is left at the end."""

    equity: np.ndarray
    held: np.ndarray
    fills: np.ndarray
    carry: np.ndarray


@dataclass(frozen=True, eq=False)
class Market:
    """Bars and rules, ready to be simulated; made by `prepare`.

    `times` are the bar ends of the grid and `symbols` its columns, in the order of every
    array of shape (n_bars, n_symbols).
    """

    times: pd.DatetimeIndex
    symbols: pd.Index
    settings: Settings
    bars: Bars
    rules: Rules

    @property
    def shape(self) -> tuple[int, int]:
        """Bars and symbols: the shape of a target."""
        return self.bars.there.shape

    def run(
        self,
        target: np.ndarray,
        *,
        limit_price: np.ndarray | None = None,
        stop: np.ndarray | None = None,
        equity_out: np.ndarray | None = None,
        totals_out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Equity of an account that follows an array of weights; no fills, no tables.

        Nothing of the market is written to, the interpreter's lock is released and nothing
        is kept: call it from as many threads as there are cores.

        Parameters
        ----------
        target : float64 array of shape (n_bars, n_symbols)
            Weight decided at each bar's end, NaN where the one before stays in force. The
            caller answers for what `place` checks: finite, within leverage, and only where
            the symbol has a bar.
        limit_price, stop : arrays of the same shape, optional
            Prices beside the weights, NaN where there is none.
        equity_out : float64 array of shape (n_bars,), optional
            Written and returned; a new array where it is left out.
        totals_out : float64 array of shape (8,), optional
            Written: the sums named in `TOTALS` (fees, slippage, funding, borrow, interest,
            written_off in starting capitals; traded in equities; the number of fills).

        Returns
        -------
        float64 array of shape (n_bars,)
            Equity at each bar's end, in starting capitals.

        Raises
        ------
        ParamsError
            If an array has another shape or type than the market's.
        """
        equity = np.empty(len(self.times)) if equity_out is None else equity_out
        totals = np.empty(len(TOTALS)) if totals_out is None else totals_out
        wide = {"target": target, "limit_price": limit_price, "stop": stop}
        for name, array in wide.items():
            if array is not None:
                _check_array(name, array, self.shape)
        _check_array("equity_out", equity, self.shape[:1])
        _check_array("totals_out", totals, (len(TOTALS),))
        orders = (NOTHING if array is None else array for array in wide.values())
        kernel.run(self.bars, self.rules, *orders, False, equity, NOTHING, NOTHING, totals)
        return equity

    def follow(self, orders: Orders) -> Outcome:
        """Everything of a simulation but the account by bar."""
        equity, held = np.empty(len(self.times)), np.empty(self.shape)
        buffers = equity, held, NOTHING, np.empty(len(TOTALS))
        return Outcome(equity, held, *kernel.run(self.bars, self.rules, *orders, True, *buffers))

    def accounts(self, orders: Orders) -> np.ndarray:
        """The account at each bar's end (`ACCOUNTS`), by the same simulation once more."""
        table = np.empty((len(self.times), len(ACCOUNTS)))
        buffers = np.empty(len(self.times)), NOTHING, table, np.empty(len(TOTALS))
        kernel.run(self.bars, self.rules, *orders, False, *buffers)
        return table

    @cached_property
    def hold(self) -> np.ndarray:
        """Equity of buy-and-hold: the capital in equal parts, each buys its symbol once.

        A part buys at its symbol's first bar by the fill rule and pays fee and slippage; where
        slippage reads what is not known yet, it waits until that is.
        """
        equity = np.empty(len(self.times))
        layout.hold(self.bars, self.rules, equity)
        return equity

    def place(self, weight: pd.DataFrame | pd.Series) -> Orders:
        """Weights as arrays, checked.

        Parameters
        ----------
        weight : DataFrame with `weight`, or Series, indexed by some of the bars
            Fractions of equity; a frame may have `limit_price` and `stop`, NaN for none.

        Returns
        -------
        Orders
            Arrays of shape (n_bars, n_symbols).

        Raises
        ------
        DataError
            If a weight is not finite, above the leverage, given twice or at a time without
            a bar, a limit price or stop is not a price, or a stop is beyond its limit price.
        """
        table = given.weights(weight)
        cells = self.cells(table.index, "a weight", "to be decided on")
        values = given.numbers(table["weight"], "the weight")
        bad = ~np.isfinite(values)
        given.refuse(bad, table.index, values, "the weight", "give 0 for no position")
        target = self.spread(values, cells, table.index, "weights")
        beside = [self._prices(table, name, cells) for name in given.BESIDE]
        self._check_leverage(target)
        self._check_stops(target, *beside)
        return Orders(target, *beside)

    def charge(self, funding: pd.Series) -> Market:
        """The same market with funding rates that fall due at the ends of some bars."""
        times = given.times(given.rates(funding).index, "a funding rate")
        later = funding[times >= self.times[0]]
        cells = self.cells(later.index, "a funding rate", "to fall due on")
        values = given.numbers(later, "the funding rate")
        given.refuse(~np.isfinite(values), later.index, values, "the funding rate", "leave it out")
        rates = np.nan_to_num(self.spread(values, cells, later.index, "funding rates"), nan=0.0)
        return replace(self, bars=self.bars._replace(funding=rates))

    def cells(self, index: pd.Index, what: str, why: str) -> tuple[np.ndarray, np.ndarray]:
        """Grid row and symbol column of every entry of an index."""
        times = layout.nanoseconds(given.times(index, what))
        rows = layout.seek(times, layout.nanoseconds(self.times))
        if index.nlevels == 1:
            lone = 0 if self.symbols.equals(pd.Index([""])) else -1
            columns = np.full(len(index), lone)
        else:
            names = np.append(self.symbols.get_indexer(index.levels[0]), -1)
            columns = names[index.codes[0]]
        stray = layout.stray(rows, columns, self.bars.there)
        if stray >= 0:
            raise DataError(f"{what} at {given.told(index[stray])} has no bar {why}")
        return rows, columns

    def spread(self, values: np.ndarray, cells: tuple, index: pd.Index, what: str) -> np.ndarray:
        """Values in their cells, NaN elsewhere."""
        out = np.full(self.shape, np.nan)
        twice = layout.put(out, *cells, values)
        if twice >= 0:
            raise DataError(f"there are two {what} at {given.told(index[twice])}; keep one")
        return out

    def _prices(self, table: pd.DataFrame, name: str, cells: tuple) -> np.ndarray:
        """A column of optional prices as an array, of length 0 where there is none."""
        if name not in table.columns:
            return NOTHING
        values = given.numbers(table[name], f"the {name}")
        bad = ~(np.isnan(values) | ((values > 0) & np.isfinite(values)))
        given.refuse(bad, table.index, values, f"the {name}", "give a price above 0, NaN for none")
        none = np.isnan(values).all()
        return NOTHING if none else self.spread(values, cells, table.index, name)

    def _check_leverage(self, target: np.ndarray) -> None:
        """The weights in force never sum to more than the leverage."""
        row, most = layout.most_gross(target)
        allowed = self.settings.max_leverage
        if most > allowed + _TOLERANCE * max(allowed, 1.0):
            raise DataError(
                f"weights at {self.times[row]:%Y-%m-%d %H:%M}Z sum to {most:g} times equity;"
                f" backtesting.max_leverage allows {allowed:g}"
            )

    def _check_stops(self, target: np.ndarray, limits: np.ndarray, stops: np.ndarray) -> None:
        """A stop that its own limit price has passed already could fill at no price."""
        if not (len(limits) and len(stops)):
            return
        beyond = (np.sign(target) * (limits - stops) <= 0) & (target != 0)
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            raise DataError(
                f"the stop at {given.told((self.symbols[column], self.times[row]))} is"
                f" {stops[row, column]:g}, at or beyond its limit_price of"
                f" {limits[row, column]:g}; give a long's stop below it, a short's above"
            )


def prepare(
    bars: pd.DataFrame,
    *,
    times_from: pd.Timestamp | None = None,
    funding: pd.Series | None = None,
    **settings: Any,
) -> Market:
    """Bars and rules as arrays, to be run with many weights.

    Parameters
    ----------
    bars : DataFrame indexed by (symbol, time), or by time for one symbol
        Bars; trailing volatility and volume read all of them.
    times_from : Timestamp, optional
        First time that is simulated; the first bar where it is left out.
    funding : Series indexed by some of the bars, optional
        Funding rates that fall due at the bar's end, paid by a long where positive; those
        before `times_from` are not read.
    **settings
        Those of `Settings`.

    Returns
    -------
    Market
        What `simulate` runs on; `Market.run` gives the equity of an array of weights.

    Raises
    ------
    ParamsError
        If a setting is unknown or out of its range.
    DataError
        If bars break their rule, none ends at `times_from` or later, or a funding rate is
        not finite or at a time without a bar.
    """
    _check_names(settings)
    asked = Settings(**settings)
    rows = layout.read(bars)
    first = 0 if times_from is None else int(rows.times.searchsorted(times_from))
    if first == len(rows.times):
        last = given.told(rows.times[-1])
        raise DataError(
            f"no bar ends at {given.told(times_from)} or later, the last one at {last}; give bars"
            " of that time"
        )
    grid = layout.lay_out(rows, first, asked)
    market = Market(rows.times[first:], rows.symbols, asked, grid, rules_of(asked))
    return market if funding is None else market.charge(funding)


def _check_names(settings: Mapping[str, Any]) -> None:
    """Refuse a setting that nobody knows, with the near match."""
    known = list(Settings.__dataclass_fields__)
    for name in settings:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise ParamsError(f"backtesting has no setting {name!r}; {hint}")


def _check_array(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """The kernel reads float64 in one piece, of the market's shape."""
    if array.shape != shape or array.dtype != np.float64 or not array.flags.c_contiguous:
        raise ParamsError(
            f"{name} must be a contiguous float64 array of shape {shape}, was {array.dtype} of"
            f" shape {array.shape}"
        )
