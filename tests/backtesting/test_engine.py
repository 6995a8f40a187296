"""engine.py: against a small event loop, fills and costs by hand, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.backtesting import simulate
from signalkit.causality import poisoned, probe_bars
from signalkit.errors import DataError

HOUR = pd.Timedelta(1, "h")
START = pd.Timestamp("2024-01-01", tz="UTC")
FILLS = ("next_open", "next_close", "close")
EXAMPLES = settings(max_examples=50, deadline=None, derandomize=True)


def hours(n):
    return pd.date_range(START, periods=n, freq="h", name="time")


def bars(opens, closes, times=None):
    """Bars with given opens and closes."""
    o, c = np.array(opens, dtype=float), np.array(closes, dtype=float)
    prices = {"open": o, "high": np.maximum(o, c), "low": np.minimum(o, c), "close": c}
    return pd.DataFrame(prices | {"volume": 1.0}, index=hours(len(o)) if times is None else times)


def at(*weights):
    """Weights of one symbol at the first bars; None where a bar has none."""
    kept = {i: w for i, w in enumerate(weights) if w is not None}
    return pd.Series(list(kept.values()), hours(len(weights))[list(kept)], dtype=float)


class Account:
    """Weights, fills and costs without caps, stops and margin, one event after the other.

    Orders filled at one time are all sized on the equity before any of them is paid for.
    """

    def __init__(self, fee_bps, slippage_bps):
        self.fee, self.slip = fee_bps / 1e4, slippage_bps / 1e4
        self.cash, self.units, self.mark, self.open = 1.0, {}, {}, True
        self.paid, self.begun, self.trades = 0.0, {}, []

    def worth(self, prices):
        held = (n * prices.get(s, self.mark.get(s, 0.0)) for s, n in self.units.items())
        return self.cash + sum(held)

    def fill(self, orders, prices, time):
        """Bring every ordered symbol that has a price to its share of equity."""
        equity = self.worth(prices)
        for symbol in [s for s in orders if s in prices]:
            quote, wanted = prices[symbol], orders.pop(symbol)
            had = self.units.get(symbol, 0.0)
            has = wanted * equity / quote
            got = quote * (1 + self.slip) if has > had else quote * (1 - self.slip)
            cost = abs(has - had) * got * self.fee
            self.cash -= (has - had) * got + cost
            self.paid += cost
            self.units[symbol] = has
            self.book(symbol, had, has, got, time)

    def book(self, symbol, had, has, price, time):
        """A round trip's profit is the cash that went in and out between two flats."""
        if had and has * had <= 0:
            self.begun[symbol][1] += had * price - abs(had) * price * self.fee
            self.close(symbol, had, time)
            had = 0.0
        if has and not had:
            self.begun[symbol] = [time, 0.0]
        if has:
            self.begun[symbol][1] -= (has - had) * price + abs(has - had) * price * self.fee

    def close(self, symbol, units, time):
        entered, profit = self.begun.pop(symbol)
        side = "long" if units > 0 else "short"
        self.trades.append((symbol, side, entered, time, profit))


def played(panel, weight, fill, fee_bps, slippage_bps):
    """Equity at each bar end and the account, by the plain event loop."""
    account, orders, wanted, equity = Account(fee_bps, slippage_bps), {}, {}, {}
    rows = dict(zip(panel.index, panel.itertuples(), strict=True))
    first = min(time for _, time in weight.index)
    symbols = sorted({symbol for symbol, _ in panel.index})
    for time in sorted({t for _, t in panel.index if t >= first}):
        quoted = {s: rows[s, time] for s in symbols if (s, time) in rows}
        opens, closes = ({s: r[k] for s, r in quoted.items()} for k in (1, 4))
        if fill != "close":
            account.fill(orders, opens if fill == "next_open" else closes, time)
        for s in symbols:
            target = weight.get((s, time))
            if target is not None and target != wanted.get(s, 0.0):
                orders[s] = wanted[s] = target
        if fill == "close":
            account.fill(orders, closes, time)
        account.mark |= closes
        account.open = account.open and account.worth({}) > 0
        equity[time] = account.worth({}) if account.open else 0.0
    for s, n in account.units.items():
        if n:
            account.begun[s][1] += n * account.mark[s]
            account.close(s, n, pd.NaT)
    return pd.Series(equity), account


@st.composite
def games(draw):
    """A panel of up to three symbols, some bars missing, weights now and then, and rules."""
    n, n_symbols = draw(st.integers(3, 20)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    parts, wanted = {}, {}
    for s in range(n_symbols):
        # steps of at most 3 % in 40 halves: a price cannot double, so no short is ruined
        path = 100 * np.exp(np.cumsum(rng.uniform(-0.016, 0.016, 2 * n)))
        begins = 0 if s == 0 else draw(st.integers(0, n - 1))
        kept = [begins] + [i for i in range(begins + 1, n) if s == 0 or rng.random() > 0.3]
        name = "ABC"[s]
        parts[name] = bars(path[::2][kept], path[1::2][kept], hours(n)[kept])
        chosen = [i for i in kept if rng.random() < draw(st.sampled_from([0.1, 0.5, 1.0]))]
        sizes = rng.choice([-1.0, -0.5, 0.0, 0.25, 1.0], len(chosen)) / n_symbols
        wanted |= {(name, hours(n)[i]): w for i, w in zip(chosen, sizes, strict=True)}
    wanted.setdefault(("A", START), 1.0 / n_symbols)
    weight = pd.Series(wanted).rename_axis(["symbol", "time"]).sort_index()
    rules = {
        "fill": draw(st.sampled_from(FILLS)),
        "fee_bps": draw(st.sampled_from([0.0, 7.0, 60.0])),
        "slippage_bps": draw(st.sampled_from([0.0, 3.0, 40.0])),
    }
    return pd.concat(parts, names=["symbol", "time"]), weight, rules


@EXAMPLES
@given(games())
def test_equity_and_trades_equal_those_of_a_plain_event_loop(game):
    panel, weight, rules = game
    # the plain loop of this file knows no caps: leave them so wide that nothing reaches them
    got = simulate(panel, weight, **rules, max_leverage=4, drift=1.0)
    equity, account = played(panel, weight, **rules)
    pd.testing.assert_series_equal(
        got.equity["strategy"], equity, rtol=1e-9, check_names=False, check_freq=False
    )
    columns = ["symbol", "side", "entry_time", "exit_time", "pnl"]
    expected = pd.DataFrame(account.trades, columns=columns)
    expected = expected.sort_values(["entry_time", "symbol"], ignore_index=True)
    pd.testing.assert_frame_equal(
        got.trades[columns], expected, rtol=1e-9, atol=1e-12, check_dtype=False
    )
    assert got.fees == pytest.approx(account.paid, rel=1e-9, abs=1e-15)


@EXAMPLES
@given(games())
def test_holding_is_a_share_of_the_capital_for_every_symbol_bought_at_its_first_bar(game):
    panel, weight, rules = game
    got = simulate(panel, weight, **rules)
    times = panel.index.get_level_values("time")
    later = panel[times >= weight.index.get_level_values("time").min()]
    accounts = []
    for symbol in later.index.unique("symbol"):
        mine = later.loc[[symbol]]
        equity, _ = played(mine, pd.Series(1.0, mine.index[:1]), **rules)
        accounts.append(equity.reindex(got.equity.index).ffill().fillna(1.0))
    np.testing.assert_allclose(got.equity["hold"], np.mean(accounts, axis=0), rtol=1e-9)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(games())
def test_profits_of_the_trades_add_up_to_the_equity_at_every_bar(game):
    panel, weight, rules = game
    whole = simulate(panel, weight, **rules)
    for time in whole.equity.index:
        # what the account had seen by then: cutting the rest off must not change it
        bars_then = panel[panel.index.get_level_values("time") <= time]
        weights_then = weight[weight.index.get_level_values("time") <= time]
        then = simulate(bars_then, weights_then, **rules)
        assert then.equity["strategy"].equals(whole.equity["strategy"].loc[:time])
        assert then.trades["pnl"].sum() + 1 == pytest.approx(then.equity["strategy"].iloc[-1])
        assert then.trades["fee"].sum() == pytest.approx(then.fees)
        assert then.trades["slippage"].sum() == pytest.approx(then.slippage)


@pytest.mark.parametrize("fill", FILLS)
def test_bars_to_come_never_change_the_equity_so_far(fill):
    table, rng = probe_bars(60), np.random.default_rng(2)
    weight = pd.Series(rng.choice([-0.5, 0.0, 0.5], 60), table.index)
    base = simulate(table, weight, fill=fill, fee_bps=5)
    for place in (1, 20, 40, 58):
        got = simulate(poisoned(table, place), weight, fill=fill, fee_bps=5)
        until = table.index[place]
        pd.testing.assert_frame_equal(
            got.equity.loc[:until], base.equity.loc[:until], check_exact=True
        )


TABLE = bars([100, 100, 110, 120], [100, 108, 115, 126])


@pytest.mark.parametrize(
    ("fill", "bought"), [("next_open", 100.0), ("next_close", 108.0), ("close", 100.0)]
)
def test_the_fill_rule_says_at_which_price(fill, bought):
    got = simulate(TABLE, at(1.0), fill=fill)
    trade = got.trades.iloc[0]
    assert trade["entry_price"] == bought
    assert trade["decided_at"] == START
    assert trade["entry_time"] == (START if fill == "close" else START + HOUR)
    assert got.equity["strategy"].iloc[-1] == pytest.approx(126 / bought)


def test_costs_worked_by_hand():
    # bought 0.01 units at 100 x 1.001 = 100.1, fee 0.0005 of 1.001; marked at the close
    got = simulate(TABLE, at(1.0), fee_bps=5, slippage_bps=10)
    cash = 1 - 0.01 * 100.1 * 1.0005
    assert got.equity["strategy"].tolist() == pytest.approx(
        [1.0, cash + 1.08, cash + 1.15, cash + 1.26]
    )
    assert got.fees == pytest.approx(0.0005005)
    assert got.slippage == pytest.approx(0.001)


def test_a_short_gains_what_the_price_loses():
    falling = bars([100, 100, 90], [100, 95, 80])
    assert simulate(falling, at(-1.0)).equity["strategy"].tolist() == pytest.approx([1, 1.05, 1.2])


def test_a_target_that_stays_is_not_traded_again():
    got = simulate(TABLE, at(0.5, 0.5, 0.5, 0.5), fee_bps=10)
    assert len(got.trades) == 1
    assert got.fees == pytest.approx(0.5 * 10e-4)
    # half of it in cash, less the fee: the share grows with the price
    expected = [0, 0.54 / 1.0395, 0.575 / 1.0745, 0.63 / 1.1295]
    assert got.positions[""].tolist() == pytest.approx(expected)


def test_a_resize_is_sized_on_the_equity_at_its_own_price():
    # 1 unit of equity in at 100, sold to a half at 110 when equity is 1.1
    got = simulate(TABLE, at(1.0, 0.5), fill="next_open")
    assert got.positions[""].iloc[2] == pytest.approx(0.55 / 110 * 115 / (0.55 + 0.55 / 110 * 115))
    assert got.equity["strategy"].iloc[3] == pytest.approx(0.55 + 0.005 * 126)


def test_an_order_waits_while_its_symbol_has_no_bar():
    other = bars([50, 55, 60], [50, 55, 66], hours(4)[[0, 2, 3]])
    panel = pd.concat({"A": TABLE, "B": other}, names=["symbol", "time"])
    weight = pd.Series({("B", START): 1.0}).rename_axis(["symbol", "time"])
    got = simulate(panel, weight)
    assert got.trades["entry_time"].tolist() == [START + 2 * HOUR]
    assert got.trades["entry_price"].tolist() == [55.0]
    assert got.equity["strategy"].tolist() == pytest.approx([1, 1, 1, 1.2])


def test_bars_before_the_first_weight_are_not_simulated():
    got = simulate(TABLE, at(None, None, 1.0))
    assert got.equity.index.tolist() == TABLE.index[2:].tolist()
    assert got.equity["strategy"].tolist() == pytest.approx([1.0, 126 / 120])


def test_a_strategy_that_wants_nothing_keeps_its_capital():
    got = simulate(TABLE, at(0.0, 0.0), fee_bps=10, slippage_bps=10)
    assert (got.equity["strategy"] == 1).all()
    assert got.trades.empty
    assert (got.fees, got.slippage) == (0.0, 0.0)
    assert (got.positions == 0).all(axis=None)


def test_a_frame_and_a_panel_of_one_symbol_are_the_same_account():
    one = simulate(TABLE, at(1.0, -1.0).to_frame("weight"), fee_bps=3)
    panel = pd.concat({"A": TABLE}, names=["symbol", "time"])
    other = simulate(panel, pd.concat({"A": at(1.0, -1.0)}, names=["symbol", "time"]), fee_bps=3)
    pd.testing.assert_frame_equal(one.equity, other.equity, check_freq=False)


# sold short at 100 by every rule; at 240 the loss is 1.4 times the capital, at 90 a gain
RUIN = bars([100, 100, 100, 210, 150, 90], [100, 100, 100, 240, 110, 90])


@pytest.mark.parametrize("fill", FILLS)
def test_an_account_that_reaches_nothing_is_closed_and_stays_so(fill):
    got = simulate(RUIN, at(-1.0, None, None, 1.0, -1.0), fill=fill)
    assert got.equity["strategy"].tolist() == pytest.approx([1, 1, 1, 0, 0, 0])
    assert (got.positions.iloc[3:] == 0).all(axis=None)
    assert (got.equity["hold"] > 0).all()


def test_an_account_that_is_worth_less_than_nothing_at_a_fill_does_not_trade_on():
    # at the open of 250 the short has lost 1.5 of 1; a close of 1000 cannot bring that back
    got = simulate(bars([100, 100, 250], [100, 100, 1000]), at(-1.0, -0.5))
    assert got.equity["strategy"].tolist() == [1.0, 1.0, 0.0]


def test_leverage_can_ruin_a_long_position():
    got = simulate(bars([100, 100, 60], [100, 90, 60]), at(3.0), max_leverage=3)
    assert got.equity["strategy"].tolist() == pytest.approx([1.0, 0.7, 0.0])


def test_a_ruined_account_holds_no_open_trade():
    assert (simulate(RUIN, at(-1.0)).trades["exit_reason"] != "open").all()


def test_returns_of_a_ruined_account_end_with_a_loss_of_everything():
    got = simulate(RUIN, at(-1.0)).returns["strategy"]
    assert got.iloc[3] == -1
    assert np.isfinite(got).all()


WEIGHTS = {
    "nan": ([0.5, math.nan], {}, "the weight at 2024-01-01 01:00Z is nan; give 0"),
    "infinite": ([0.5, math.inf], {}, "is inf; give 0"),
    "above leverage": ([0.5, 1.2], {}, "01:00Z sum to 1.2 times equity; .*max_leverage allows 1"),
    "short above leverage": ([-2.1], {"max_leverage": 2}, "sum to 2.1 times equity"),
    "nothing": ([], {}, "there are no weights"),
    "no bar": ([0.5] * 5, {}, "a weight at 2024-01-01 04:00Z has no bar to be decided on"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_refuses_weights_it_cannot_hold(case):
    weights, options, says = WEIGHTS[case]
    with pytest.raises(DataError, match=says):
        simulate(TABLE, at(*weights), **options)


def test_leverage_counts_the_targets_that_are_kept():
    # B is asked for while A, without a new weight, keeps its target of 1
    panel = pd.concat({"A": TABLE, "B": TABLE}, names=["symbol", "time"])
    weight = pd.Series({("A", START): 1.0, ("B", START + HOUR): 1.0})
    with pytest.raises(DataError, match="sum to 2 times equity"):
        simulate(panel, weight.rename_axis(["symbol", "time"]), max_leverage=1)


def test_refuses_bars_that_break_their_rule():
    with pytest.raises(DataError, match="high must not be under"):
        simulate(TABLE.assign(high=1.0), at(1.0))


def test_holding_borrows_nothing_when_a_symbol_starts_late():
    # A triples before B is there; holding keeps half the capital for B until then
    late = bars([1, 1], [1, 1], hours(4)[2:])
    panel = pd.concat({"A": bars([1, 1, 3, 3], [1, 3, 3, 3]), "B": late}, names=["symbol", "time"])
    weight = pd.Series({("A", START): 0.0}).rename_axis(["symbol", "time"])
    got = simulate(panel, weight, fill="close")
    assert got.equity["hold"].tolist() == pytest.approx([1.0, 2.0, 2.0, 2.0])


def test_a_short_that_grows_past_its_cap_is_trimmed_and_one_inside_the_drift_is_not():
    # short 0.01 units at 100; at 104 it is 1.04 of an equity of 0.96, cut to 0.96 / 104
    table = bars([100, 100, 104, 104], [100, 104, 104, 104])
    got = simulate(table, at(-1.0))
    assert got.fills["reason"].tolist() == ["signal", "trim"]
    assert got.fills["units"].tolist() == pytest.approx([-0.01, 0.01 - 0.96 / 104])
    assert simulate(table, at(-1.0), drift=0.1).fills["reason"].tolist() == ["signal"]


def test_a_fill_says_what_it_was_and_what_it_cost():
    got = simulate(TABLE, at(1.0, None, 0.0), fee_bps=5, slippage_bps=10).fills
    assert got["time"].tolist() == [START + HOUR, START + 3 * HOUR]
    assert got["decided_at"].tolist() == [START, START + 2 * HOUR]
    assert got["quote"].tolist() == [100.0, 120.0]
    assert got["price"].tolist() == pytest.approx([100.1, 119.88])
    assert got["units"].tolist() == pytest.approx([0.01, -0.01])
    assert got["fee"].tolist() == pytest.approx([0.01 * 100.1 * 5e-4, 0.01 * 119.88 * 5e-4])
    assert got["slippage"].tolist() == pytest.approx([0.001, 0.0012])
    assert got["equity"].iloc[0] == 1.0
    assert (got["reason"] == "signal").all()


def test_totals_are_the_sums_of_the_fills():
    got = simulate(TABLE, at(1.0, -1.0, 0.5), fee_bps=5, slippage_bps=10)
    assert got.fees == pytest.approx(got.fills["fee"].sum())
    assert got.slippage == pytest.approx(got.fills["slippage"].sum())
    values = got.fills["units"].abs() * got.fills["quote"] / got.fills["equity"]
    assert got.traded == pytest.approx(values.sum())


def test_a_takeover_in_ruin_is_a_fill_without_a_fee_and_not_traded():
    got = simulate(RUIN, at(-1.0), fee_bps=10)
    taken = got.fills.iloc[-1]
    # 1 unit of equity short at 100 in all, bought back by the lender at the open of 210
    assert taken[["reason", "quote", "price", "fee"]].tolist() == ["ruin", 210.0, 210.0, 0.0]
    assert got.traded == pytest.approx(1.0)
    assert got.accounts["written_off"].iloc[-1] == pytest.approx(0.001 + 1.1 - 1)


def test_a_fill_at_the_deciding_close_is_named_optimistic():
    assert simulate(TABLE, at(1.0)).settings.optimistic == ()
    (note,) = simulate(TABLE, at(1.0), fill="close").settings.optimistic
    assert "the very price they were decided on" in note
