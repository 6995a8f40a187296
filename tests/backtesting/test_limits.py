"""What no input may break: caps, prices inside the bar, volume caps, the sums of the account."""

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalkit.backtesting import simulate
from tests.backtesting.markets import CAPS, COSTS, EXITS, SIZING, games

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=SLOW)
# settings under which whatever has a bar can be traded in full
TRADABLE = {
    "max_weight": CAPS["max_weight"],
    "drift": CAPS["drift"],
    "max_positions": CAPS["max_positions"],
    "fee_bps": COSTS["fee_bps"],
    "slippage_bps": COSTS["slippage_bps"],
    "borrow_bps": COSTS["borrow_bps"],
}


def wide(table, column):
    """A column of a panel with a column a symbol."""
    return table[column].unstack("symbol")


def moments(panel, got, fill):
    """Times at which all could trade and nothing else did: equity, values held after it."""
    quotes = wide(panel, "open" if fill == "next_open" else "close").loc[got.equity.index]
    fills = got.fills.assign(paid=got.fills["units"] * got.fills["price"] + got.fills["fee"])
    sums = fills.groupby(["time", "symbol"])["units"].sum().unstack("symbol")
    changes = sums.reindex(index=quotes.index, columns=quotes.columns).fillna(0.0)
    units = changes.cumsum()
    if fill == "next_open":
        cash = got.accounts["cash"].shift(1, fill_value=1.0)
    else:
        paid = fills.groupby("time")["paid"].sum()
        cash = got.accounts["cash"] + paid.reindex(quotes.index).fillna(0.0)
    equity = cash + ((units - changes) * quotes).sum(axis=1)
    here = panel["open" if fill == "next_open" else "close"]
    at = here.reindex(pd.MultiIndex.from_frame(fills[["symbol", "time"]])).to_numpy()
    usual = fills["reason"].isin(["signal", "trim"]) & (fills["quote"] == at)
    taken = fills.loc[~usual, "time"]  # stops, limits, margin: not of the moment
    kept = quotes.notna().all(axis=1) & (equity > 0) & ~quotes.index.isin(taken)
    return equity[kept], (units * quotes)[kept].abs()


@EXAMPLES
@given(games(TRADABLE))
def test_no_position_is_larger_than_the_caps_after_a_fill_moment(game):
    panel, weight, options = game
    got = simulate(panel, weight, **options)
    equity, values = moments(panel, got, options["fill"])
    slack = 1 + options["drift"] + 1e-9
    cap = options["max_weight"] or options["max_leverage"]
    assert (values.max(axis=1) <= cap * equity * slack).all()
    assert (values.sum(axis=1) <= options["max_leverage"] * equity * slack).all()


@EXAMPLES
@given(games(COSTS, EXITS, CAPS, SIZING))
def test_every_quote_lies_inside_its_bar_and_no_fill_is_without_one(game):
    panel, weight, options = game
    fills = simulate(panel, weight, **options).fills
    fills = fills[fills["reason"] != "ruin"]
    bars = panel.loc[pd.MultiIndex.from_frame(fills[["symbol", "time"]])]
    quotes = fills["quote"].to_numpy()
    assert (quotes >= bars["low"].to_numpy() * (1 - 1e-12)).all()
    assert (quotes <= bars["high"].to_numpy() * (1 + 1e-12)).all()


@EXAMPLES
@given(games(EXITS, CAPS, SIZING), st.sampled_from([0.05, 0.4]))
def test_no_bar_fills_more_than_its_volume_cap(game, cap):
    panel, weight, options = game
    options |= {"volume_cap": cap}
    fills = simulate(panel, weight, **options).fills
    fills = fills[fills["reason"] != "ruin"]
    filled = fills["units"].abs().groupby([fills["symbol"], fills["time"]]).sum()
    there = panel["volume"].loc[filled.index] * cap / options["capital"]
    assert (filled <= there * (1 + 1e-9)).all()


@EXAMPLES
@given(games(CAPS), st.sampled_from([1, 2]))
def test_never_more_symbols_are_held_than_positions_are_allowed(game, most):
    panel, weight, options = game
    got = simulate(panel, weight, **(options | {"max_positions": most}))
    assert ((got.positions != 0).sum(axis=1) <= most).all()


@EXAMPLES
@given(games(COSTS, SIZING), st.sampled_from([0.21, 0.83]))
def test_orders_trade_no_more_than_the_turnover(game, most):
    panel, weight, options = game
    options |= {"max_turnover": most, "prices": "stated", "fill": "next_open"}
    got = simulate(panel, weight, **options)
    fills = got.fills[got.fills["reason"] == "signal"]
    traded = (fills["units"] * fills["quote"]).abs().groupby(fills["time"]).sum()
    equity, _ = moments(panel, got, "next_open")
    both = traded.index.intersection(equity.index)
    assert (traded[both] <= most * equity[both] * (1 + 1e-9)).all()


def played_on(panel, weight, options):
    """The account of these bars; funding falls due on those alone."""
    if options.get("funding") is not None:
        rates = options["funding"]
        options = options | {"funding": rates[rates.index.isin(panel.index)]}
    return simulate(panel, weight, **options)


@EXAMPLES
@given(games(COSTS, EXITS, levels=False, least=2), st.integers(0, 1000))
def test_missing_bars_of_one_symbol_do_not_move_the_fills_of_the_others(game, seed):
    panel, weight, options = game
    # equity, and so sizes, may differ; what else depends on it is put aside: room, trims,
    # impact, margin, and stops at a mean entry price of fills whose sizes differ
    options |= {"max_leverage": 3 * options["max_leverage"], "drift": 9.0, "maintenance": 0.0}
    options |= {"stop_loss": None, "take_profit": None, "impact": 0.0}
    other = panel.index.get_level_values("symbol") != "A"
    lost = other & (np.random.default_rng(seed).random(len(panel)) < 0.4)
    lost &= ~panel.index.isin(weight.index)
    whole, holed = (played_on(table, weight, options) for table in (panel, panel[~lost]))
    if (whole.equity["strategy"] == 0).any() or (holed.equity["strategy"] == 0).any():
        return  # an account that is no more trades nothing
    mine = [got.fills[got.fills["symbol"] == "A"].reset_index(drop=True) for got in (whole, holed)]
    columns = ["time", "quote", "reason"]
    pd.testing.assert_frame_equal(mine[0][columns], mine[1][columns], check_exact=True)


@EXAMPLES
@given(games(COSTS, EXITS, CAPS, SIZING, least=2), st.integers(0, 1000))
def test_bars_of_a_symbol_that_is_not_traded_move_nothing(game, seed):
    panel, weight, options = game
    idle = weight.index.get_level_values("symbol") != "A"
    weight = weight.assign(weight=weight["weight"].where(~idle, 0.0))
    times = panel.loc["A"].index
    lost = np.random.default_rng(seed).random(len(panel)) < 0.4
    lost &= (panel.index.get_level_values("symbol") != "A") & ~panel.index.isin(weight.index)
    # the grid stays: a time that only another symbol has would be a bar less
    lost &= panel.index.get_level_values("time").isin(times)
    whole, holed = (played_on(table, weight, options) for table in (panel, panel[~lost]))
    pd.testing.assert_frame_equal(whole.fills, holed.fills, check_exact=True)
    pd.testing.assert_series_equal(
        whole.equity["strategy"], holed.equity["strategy"], check_exact=True
    )


@EXAMPLES
@given(games(COSTS, EXITS, CAPS, SIZING))
def test_the_same_inputs_give_the_same_bits(game):
    panel, weight, options = game
    one, two = (simulate(panel.copy(), weight.copy(), **options) for _ in range(2))
    for name in ("equity", "positions", "accounts", "fills", "trades"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)


COST_NAMES = ["fees", "slippage", "funding", "borrow", "interest"]


def assert_adds_up(got):
    """The account's two identities at every bar, the trades' at the last."""
    account, equity = got.accounts, got.equity["strategy"]
    near = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(account["cash"] + account["long"] - account["short"], equity, **near)
    costs = account[COST_NAMES].sum(axis=1)
    np.testing.assert_allclose(
        1 + account["signal"] - costs + account["written_off"], equity, **near
    )
    end = account.iloc[-1]
    earned = got.trades["pnl"].sum() - end["interest"] + end["written_off"]
    np.testing.assert_allclose(1 + earned, equity.iloc[-1], **near)
    np.testing.assert_allclose(got.trades["fee"].sum(), end["fees"], **near)
    np.testing.assert_allclose(got.trades["slippage"].sum(), end["slippage"], **near)
    np.testing.assert_allclose(got.trades["funding"].sum(), end["funding"] + end["borrow"], **near)


@EXAMPLES
@given(games(COSTS, EXITS, CAPS, SIZING))
def test_the_account_adds_up(game):
    panel, weight, options = game
    got = simulate(panel, weight, **options)
    assert_adds_up(got)
    assert np.isfinite(got.accounts).all(axis=None)


@settings(EXAMPLES, max_examples=8)
@given(games(COSTS, EXITS, CAPS, SIZING))
def test_bars_to_come_change_nothing_and_the_account_adds_up_at_every_bar(game):
    panel, weight, options = game
    whole = simulate(panel, weight, **options)
    for time in whole.equity.index:
        then = [t[t.index.get_level_values("time") <= time] for t in (panel, weight)]
        got = played_on(*then, options)
        assert got.equity["strategy"].equals(whole.equity["strategy"].loc[:time])
        assert_adds_up(got)


@EXAMPLES
@given(games(COSTS, EXITS, CAPS, SIZING))
def test_a_ruined_account_stays_at_nothing(game):
    panel, weight, options = game
    got = simulate(panel, weight, **(options | {"maintenance": 0.0, "brake": None, "drift": 9.0}))
    gone = got.equity["strategy"].eq(0).to_numpy()
    assert (gone == np.maximum.accumulate(gone)).all()
    assert (got.positions[gone] == 0).all(axis=None)
    assert (got.equity["strategy"] >= 0).all()
