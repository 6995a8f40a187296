"""The engine: target weights in, equity and trades out, all symbols from one cash account.

A weight decided at the close of bar t is traded at the open of t + 1 (`next_open`), its
close (`next_close`), or at the very close it was decided on (`close`, optimistic). What
happens in a bar, in which order and at which price is written in docs/backtesting.md; this
module turns tables into arrays for the kernel and what it gives back into tables, each of
them made when it is first asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from signalkit.backtesting.account import ACCOUNTS, CLOSES
from signalkit.backtesting.given import first_time
from signalkit.backtesting.market import Market, Orders, Outcome, prepare
from signalkit.backtesting.settings import Settings
from signalkit.backtesting.trades import fill_table, round_trips


@dataclass(frozen=True, eq=False)
class Backtest:
    """What a simulation gave; all money is in starting capitals.

    `equity` holds `strategy` and `hold` (the capital in equal parts, each buys its symbol
    once at its first bar, same fee and slippage), multiples of the starting capital at each
    bar end; `settings` the rules that were in force.
    """

    equity: pd.DataFrame
    settings: Settings
    _market: Market = field(repr=False)
    _orders: Orders = field(repr=False)
    _outcome: Outcome = field(repr=False)

    @cached_property
    def positions(self) -> pd.DataFrame:
        """Fraction of equity in each symbol at each bar end."""
        held = self._outcome.held
        return pd.DataFrame(held, index=self.equity.index, columns=self._market.symbols)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Round trips; see `trades.round_trips`."""
        market, end = self._market, self._outcome
        last = market.bars.prices[CLOSES, -1]
        return round_trips(end.fills, market.times, market.symbols, last=last, carry=end.carry)

    @cached_property
    def fills(self) -> pd.DataFrame:
        """Fills in the order in which they came; see `trades.fill_table`."""
        return fill_table(self._outcome.fills, self._market.times, self._market.symbols)

    @cached_property
    def accounts(self) -> pd.DataFrame:
        """The account at each bar end; the simulation is run once more to write it down.

        `cash`, `long` and `short` (the value of short positions, positive); cumulated
        `fees`, `slippage`, `funding`, `borrow`, `interest` and `written_off`; and `signal`,
        what positions earned at quotes. At every bar cash + long - short is the equity, and
        so is 1 + signal - fees - slippage - funding - borrow - interest + written_off.
        """
        table = self._market.accounts(self._orders)
        return pd.DataFrame(table, index=self.equity.index, columns=list(ACCOUNTS))

    @cached_property
    def returns(self) -> pd.DataFrame:
        """Returns of strategy and hold, one a bar, from the starting capital on."""
        return pd.DataFrame({name: _returns(column) for name, column in self.equity.items()})

    @cached_property
    def fees(self) -> float:
        """Fees paid."""
        return float(self._outcome.fills[:, 7].sum())

    @cached_property
    def slippage(self) -> float:
        """What fills cost against their quotes."""
        _, _, units, price, quote, *_ = self._outcome.fills.T
        return float((units * (price - quote)).sum())

    @cached_property
    def traded(self) -> float:
        """Sum of what was traded, in equities of the time."""
        _, _, units, _, quote, _, equity, *_ = self._outcome.fills.T
        own = equity > 0  # a takeover in ruin is no trade of the account's
        return float((np.abs(units) * quote)[own] @ (1 / equity[own]))


def _returns(equity: pd.Series) -> pd.Series:
    """Change of each bar as a fraction; 0 where there was nothing left to change."""
    values = equity.to_numpy()
    before = np.concatenate(([1.0], values[:-1]))
    some = before > 0
    change = np.divide(values, before, out=np.ones(len(values)), where=some)
    change -= 1.0
    return pd.Series(change, index=equity.index, copy=False)


def simulate(
    bars: pd.DataFrame,
    weight: pd.DataFrame | pd.Series,
    *,
    funding: pd.Series | None = None,
    **settings: Any,
) -> Backtest:
    """Simulate holding target weights, after costs.

    Parameters
    ----------
    bars : DataFrame indexed by (symbol, time), or by time for one symbol
        Bars; those before the first weight are not simulated.
    weight : DataFrame with `weight`, or Series, indexed by some of the bars
        Fraction of equity wanted, decided at the bar's end. A bar without one keeps the
        one before it. A frame may have `limit_price` and `stop` beside it, NaN for none.
    funding : Series indexed by some of the bars, optional
        Funding rates that fall due at the bar's end, paid by a long where positive.
    **settings
        The rules; each is described in `Settings`, with its unit and default: `fill`, costs
        (`fee_bps`, `maker_bps`, `slippage_bps`, `slippage_vol`, `impact`, `borrow_bps`),
        what the market allows (`volume_cap`, `lot`, `min_notional`, `capital`), exits
        (`stop_loss`, `take_profit`, `trailing_stop`), caps (`max_leverage`, `max_weight`,
        `drift`, `max_positions`, `max_turnover`), `maintenance`, `brake`, `brake_bars`, and
        `path` and `prices`, which say what is believed about the inside of a bar.

    Returns
    -------
    Backtest
        Equity, positions, trades, fills and accounts from the first weight on.

    Raises
    ------
    ParamsError
        If a setting is unknown or out of its range.
    DataError
        If bars break their rule, or a weight, price or funding rate is not a number that can
        be used, above the leverage, or at a time without a bar.

    Examples
    --------
    >>> from signalkit.causality import probe_bars
    >>> bars = probe_bars(4).assign(open=[1, 1, 2, 2.0], low=1.0, high=4.0, close=[1, 2, 2, 4.0])
    >>> simulate(bars, pd.Series(1.0, bars.index[:1])).equity["strategy"].tolist()
    [1.0, 2.0, 2.0, 4.0]
    """
    market = prepare(bars, times_from=first_time(weight), funding=funding, **settings)
    orders = market.place(weight)
    outcome = market.follow(orders)
    both = {"strategy": outcome.equity, "hold": market.hold}
    equity = pd.DataFrame(both, index=market.times, copy=False)
    return Backtest(equity, market.settings, market, orders, outcome)
