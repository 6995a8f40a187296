"""The account at every bar, made once more from fills, bars and rates: nothing is lost.

The tables are what `simulate` gave; cash, positions and costs are added up here without it.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from signalkit.backtesting import simulate
from signalkit.causality import probe_bars
from tests.backtesting.markets import CAPS, COSTS, EXITS, SIZING, games

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
NEAR = {"rtol": 1e-9, "atol": 1e-9}
COSTS_PAID = ["fees", "slippage", "funding", "borrow", "interest"]


def by_bar(fills, values, times):
    """Sums of something of the fills up to each bar's end."""
    return values.groupby(fills["time"]).sum().reindex(times).fillna(0.0).cumsum().to_numpy()


def held(fills, panel, times):
    """Units at each bar's end and their last closes, by symbol."""
    units = fills.pivot_table(index="time", columns="symbol", values="units", aggfunc="sum")
    symbols = panel.index.unique("symbol")
    units = units.reindex(index=times, columns=symbols).fillna(0.0).cumsum()
    closes = panel["close"].unstack("symbol").sort_index().ffill().reindex(times)[symbols]
    return units, closes.fillna(0.0)


def falling_due(units, closes, options):
    """Funding and borrow at each bar's end on what was held before the fills of its close."""
    rates = options["funding"].unstack("symbol")
    rates = rates.reindex(index=units.index, columns=units.columns).fillna(0.0)
    years = units.index.to_series().diff().fillna(pd.Timedelta(0)) / pd.Timedelta(365, "D")
    yearly = options.get("borrow_bps", 0.0) / 1e4 * years
    funding = (units * closes * rates).sum(axis=1).cumsum()
    borrow = (-(units * closes).clip(upper=0).sum(axis=1) * yearly).cumsum()
    return funding, borrow


@EXAMPLES
@given(games(COSTS, EXITS, CAPS, SIZING))
def test_cash_and_positions_are_those_of_the_fills_and_the_bars(game):
    panel, weight, options = game
    got = simulate(panel, weight, **options)
    times, fills, account = got.equity.index, got.fills, got.accounts
    fees = by_bar(fills, fills["fee"], times)
    paid = by_bar(fills, fills["units"] * fills["price"], times)
    charged = account[["funding", "borrow", "interest"]].sum(axis=1)
    cash = 1 - paid - fees - charged + account["written_off"]
    np.testing.assert_allclose(account["cash"], cash, **NEAR)
    np.testing.assert_allclose(account["fees"], fees, **NEAR)
    np.testing.assert_allclose(account["slippage"], by_bar(fills, fills["slippage"], times), **NEAR)
    units, closes = held(fills, panel, times)
    values = units * closes
    np.testing.assert_allclose(account["long"], values.clip(lower=0).sum(axis=1), **NEAR)
    np.testing.assert_allclose(account["short"], -values.clip(upper=0).sum(axis=1), **NEAR)
    equity = got.equity["strategy"]
    np.testing.assert_allclose(cash + values.sum(axis=1), equity, **NEAR)
    shares = values.div(equity.where(equity != 0), axis=0).fillna(0.0)
    np.testing.assert_allclose(got.positions, shares, **NEAR)


@EXAMPLES
@given(games(COSTS, EXITS, CAPS, SIZING))
def test_equity_is_what_positions_earned_less_every_cost(game):
    panel, weight, options = game
    got = simulate(panel, weight, **options)
    account, equity = got.accounts, got.equity["strategy"]
    units, closes = held(got.fills, panel, equity.index)
    at_quotes = by_bar(got.fills, got.fills["units"] * got.fills["quote"], equity.index)
    signal = (units * closes).sum(axis=1) - at_quotes
    np.testing.assert_allclose(account["signal"], signal, **NEAR)
    costs = account[COSTS_PAID].sum(axis=1)
    np.testing.assert_allclose(1 + signal - costs + account["written_off"], equity, **NEAR)
    grows = account[["fees", "borrow", "interest", "written_off"]].to_numpy()
    assert (np.diff(grows, axis=0, prepend=0.0) >= 0).all()


@EXAMPLES
@given(games(COSTS, EXITS, CAPS, SIZING))
def test_the_trades_add_up_to_the_change_of_equity(game):
    panel, weight, options = game
    got = simulate(panel, weight, **options)
    trades, end = got.trades, got.accounts.iloc[-1]
    change = got.equity["strategy"].iloc[-1] - 1
    earned = trades["pnl"].sum() - end["interest"] + end["written_off"]
    np.testing.assert_allclose(earned, change, **NEAR)
    side = np.where(trades["side"] == "long", 1.0, -1.0)
    moved = side * trades["size"] * (trades["exit_price"] - trades["entry_price"])
    np.testing.assert_allclose(moved - trades["fee"] - trades["funding"], trades["pnl"], **NEAR)
    totals = {"fee": end["fees"], "slippage": end["slippage"]}
    totals["funding"] = end["funding"] + end["borrow"]
    for name, total in totals.items():
        np.testing.assert_allclose(trades[name].sum(), total, err_msg=name, **NEAR)


RULES = {
    "next_open": {"fill": "next_open", "stop_loss": 0.03},
    "next_close": {"fill": "next_close", "take_profit": 0.02},
    "close": {"fill": "close", "trailing_stop": 0.02, "max_turnover": 0.4},
    "levered": {"max_leverage": 3.0, "maintenance": 0.2, "slippage_vol": 0.1, "impact": 0.1},
}


@pytest.mark.parametrize("name", RULES)
def test_funding_and_borrow_are_those_of_the_units_that_were_held(name):
    # fills of a bar's close come after what falls due at it: none of the fills is at a close
    table, rng = probe_bars(300), np.random.default_rng(5)
    panel = pd.concat({"A": table, "B": table * 2.0}, names=["symbol", "time"])
    weight = pd.Series(rng.choice([-0.5, 0.0, 0.5], 600), panel.index)[rng.random(600) < 0.2]
    options = RULES[name] | {"fee_bps": 2.0, "slippage_bps": 1.0, "borrow_bps": 900.0}
    options["funding"] = pd.Series(rng.normal(0, 1e-3, 600), panel.index)[rng.random(600) < 0.3]
    got = simulate(panel, weight, **options)
    units, closes = held(got.fills, panel, got.equity.index)
    if options.get("fill", "next_open") != "next_open":
        late = (
            got.fills["quote"].to_numpy()
            == closes.stack()
            .reindex(pd.MultiIndex.from_frame(got.fills[["time", "symbol"]]))
            .to_numpy()
        )
        units, _ = held(got.fills[~late], panel, got.equity.index)
        after, _ = held(got.fills[late], panel, got.equity.index)
        units = units + after.shift(1, fill_value=0.0)
    funding, borrow = falling_due(units, closes, options)
    account = got.accounts
    np.testing.assert_allclose(account["funding"], funding, **NEAR)
    np.testing.assert_allclose(account["borrow"], borrow, **NEAR)
    assert account["borrow"].iloc[-1] > 0
    assert len(got.trades) > 20
