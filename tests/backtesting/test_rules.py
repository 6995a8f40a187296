"""Every rule of docs/backtesting.md on numbers worked by hand: fills, stops and limit orders.

Each example runs through the engine and through the plain event loop, so that neither is
believed for the other's sake. Units are per starting capital: 0.01 of a price of 100 is all.
"""

import math

import pandas as pd
import pytest

from signalkit.backtesting import simulate
from tests.backtesting.markets import HOUR, START, bars, flat, together, wishes
from tests.backtesting.reference import play

FLAT = (100, 100, 100, 100)


@pytest.fixture(params=[simulate, play], ids=["engine", "reference"])
def run(request):
    return request.param


def final(got):
    return got.equity["strategy"].iloc[-1]


def reasons(got):
    return got.trades["exit_reason"].tolist()


def bought(run, bar, weights=(1.0,), **options):
    """A position bought at 100 on the second bar, and the bar after it."""
    table = bars(FLAT, FLAT, bar)
    return run(table, wishes(table, *weights), **options)


# -- stops and profits


@pytest.mark.parametrize(
    ("bar", "price"),
    [((99, 99, 94, 98), 95.0), ((90, 97, 88, 91), 90.0), ((95, 96, 95, 96), 95.0)],
    ids=["inside the bar", "gap through it", "touched to the cent"],
)
def test_a_stop_fills_at_its_level_or_at_an_open_beyond_it(run, bar, price):
    got = bought(run, bar, stop_loss=0.05)  # level 100 x 0.95
    assert got.trades["exit_price"].tolist() == [price]
    assert final(got) == pytest.approx(price / 100)
    assert reasons(got) == ["stop"]


def test_a_short_is_stopped_above(run):
    got = bought(run, (108, 109, 104, 107), (-1.0,), stop_loss=0.05)
    # level 105, open 108 beyond it: 0.01 x 8 lost
    assert got.trades["exit_price"].tolist() == [pytest.approx(108)]
    assert final(got) == pytest.approx(0.92)


@pytest.mark.parametrize(("high", "opened", "price"), [(112, 105, 110.0), (117, 115, 115.0)])
def test_a_profit_fills_at_its_level_or_at_an_open_beyond_it(run, high, opened, price):
    got = bought(run, (opened, high, 101, 104), take_profit=0.1)
    assert got.trades["exit_price"].tolist() == [pytest.approx(price)]
    assert reasons(got) == ["take_profit"]


def test_a_short_takes_its_profit_below(run):
    got = bought(run, (99, 99, 88, 95), (-1.0,), take_profit=0.1)
    assert final(got) == pytest.approx(1.1)  # back at 90


@pytest.mark.parametrize(
    ("path", "reason", "equity"),
    [("pessimistic", "stop", 0.95), ("optimistic", "take_profit", 1.1)],
)
def test_stop_and_profit_in_one_bar(run, path, reason, equity):
    got = bought(run, (100, 112, 94, 100), stop_loss=0.05, take_profit=0.1, path=path)
    assert reasons(got) == [reason]
    assert final(got) == pytest.approx(equity)


def test_a_stop_pays_as_a_market_order_a_profit_as_a_resting_one(run):
    costs = {"fee_bps": 10, "maker_bps": 2, "slippage_bps": 100, "drift": 0.05}
    # in at 101, 0.01 units: 1.01, fee 0.00101; levels are of 101
    profit = bought(run, (100, 112, 100, 100), take_profit=0.1, **costs)
    # 111.1, no slippage, fee 0.01 x 111.1 x 0.0002
    assert final(profit) == pytest.approx(1 - 1.01 - 0.00101 + 1.111 - 0.0002222)
    assert profit.trades["slippage"].tolist() == pytest.approx([0.01])
    stop = bought(run, (100, 100, 90, 100), stop_loss=0.1, **costs)
    # level 90.9, gets 89.991, fee 0.01 x 89.991 x 0.001; slippage 0.01 and 0.00909
    assert final(stop) == pytest.approx(1 - 1.01 - 0.00101 + 0.89991 - 0.00089991)
    assert stop.trades["slippage"].tolist() == pytest.approx([0.01909])


def test_a_stop_knows_no_worse_price(run):
    got = bought(run, (99, 99, 80, 80), stop_loss=0.05, prices="worse")
    assert got.trades["exit_price"].tolist() == [95.0]


def test_a_position_opened_at_the_open_can_be_stopped_in_the_same_bar(run):
    table = bars(FLAT, (100, 101, 94, 101))
    got = run(table, wishes(table, 1.0), stop_loss=0.05)
    assert got.trades[["entry_time", "exit_time"]].iloc[0].tolist() == [START + HOUR] * 2
    assert final(got) == pytest.approx(0.95)


@pytest.mark.parametrize("fill", ["next_close", "close"])
def test_a_position_opened_at_the_close_is_stopped_from_the_next_bar_on(run, fill):
    table = bars((100, 100, 90, 100), (100, 100, 90, 100), (100, 100, 97, 100))
    got = run(table, wishes(table, 1.0), stop_loss=0.05, fill=fill)
    assert len(got.trades) == 1
    assert reasons(got) == (["open"] if fill == "next_close" else ["stop"])


def test_a_trailing_stop_follows_the_high_of_earlier_bars(run):
    table = bars(FLAT, (100, 120, 91, 118), (118, 119, 107, 110))
    got = run(table, wishes(table, 1.0), trailing_stop=0.1)
    # 90 in the first bar, whose high of 120 makes it 108 in the second
    assert got.trades["exit_price"].tolist() == [pytest.approx(108)]
    assert reasons(got) == ["trailing_stop"]


def test_a_trailing_stop_does_not_count_the_high_of_a_bar_it_was_opened_late_in(run):
    table = bars(FLAT, (100, 120, 91, 100), (100, 104, 91, 100), (100, 100, 93, 100))
    got = run(table, wishes(table, 1.0), trailing_stop=0.1, fill="next_close")
    # best is 100, not 120: 90 in the third bar; 104 then, 93.6 in the fourth
    assert got.trades["exit_price"].tolist() == [pytest.approx(93.6)]


def test_an_enlargement_moves_the_stop_loss_but_not_the_best(run):
    table = bars(FLAT, (100, 100, 85, 85), (85, 85, 85, 85), (85, 85, 72, 80))
    got = run(table, wishes(table, 0.5, 1.0), stop_loss=0.2, trailing_stop=0.3)
    # 0.005 at 100; at 85 equity is 0.925 and 0.925 / 85 are wanted, 0.5 is paid for the rest.
    # The mean is 85 / 0.925 = 91.89, the stop 73.51; best stays 100, the trailing stop 70
    assert got.trades["exit_price"].tolist() == [pytest.approx(0.8 * 85 / 0.925)]
    assert reasons(got) == ["stop"]


def test_of_equal_levels_the_reason_is_stop(run):
    got = bought(run, (100, 100, 89, 100), trailing_stop=0.1, stop_loss=0.1)
    assert got.trades["exit_price"].tolist() == [90.0]
    assert reasons(got) == ["stop"]


def test_the_highest_stop_counts(run):
    got = bought(run, (100, 100, 89, 100), ((1.0, None, 97.0),), stop_loss=0.1, trailing_stop=0.05)
    assert got.trades["exit_price"].tolist() == [97.0]


def test_a_stop_above_the_price_sells_at_the_open(run):
    table = bars(FLAT, (102, 103, 101, 103))
    got = run(table, wishes(table, (1.0, None, 104.0)))
    assert got.trades[["entry_price", "exit_price"]].iloc[0].tolist() == [102, 102]


def test_a_stop_of_a_weight_that_is_no_order_holds_from_the_next_bar_on(run):
    table = bars(FLAT, (100, 100, 96, 100), (100, 100, 96, 100))
    got = run(table, wishes(table, 1.0, (1.0, None, 97.0)))
    assert got.trades["exit_time"].tolist() == [START + 2 * HOUR]
    assert got.trades["exit_price"].tolist() == [97.0]


def test_a_stop_of_a_weight_ends_with_its_position(run):
    table = bars(FLAT, FLAT, FLAT, (100, 100, 90, 100))
    got = run(table, wishes(table, (1.0, None, 97.0), -1.0, 1.0))
    assert reasons(got) == ["reversal", "reversal", "open"]


def test_the_stop_of_a_reversal_does_not_hold_for_the_side_it_leaves(run):
    table = bars(*[FLAT] * 5, (100, 125, 100, 100))
    got = run(table, wishes(table, 1.0, None, (-1.0, None, 120.0)), max_turnover=0.6)
    # 0.6 and 0.4 bought, 0.6 sold a bar: a short of 0.2, then of 0.8, that 120 stops
    assert got.fills["units"].tolist() == pytest.approx([0.006, 0.004, *[-0.006] * 3, 0.008])
    assert got.fills["quote"].tolist() == [100] * 5 + [120]
    assert reasons(got) == ["reversal", "stop"]


def test_after_an_exit_a_new_position_asks_for_another_weight(run):
    table = bars(FLAT, FLAT, (100, 100, 90, 100), FLAT, FLAT, FLAT)
    got = run(table, wishes(table, 1.0, None, 1.0, 1.0, 0.5), stop_loss=0.05)
    assert got.trades["entry_time"].tolist() == [START + HOUR, START + 5 * HOUR]


def test_what_volume_leaves_of_a_stop_is_a_market_order(run):
    table = bars(FLAT, (*FLAT, 0.01), (100, 100, 90, 92, 0.004), (92, 92, 92, 92, 0.02))
    got = run(table, wishes(table, 1.0), stop_loss=0.05, volume_cap=1.0)
    # 0.004 at 95, the other 0.006 at the next open
    assert got.fills["units"].tolist() == pytest.approx([0.01, -0.004, -0.006])
    assert got.fills["quote"].tolist() == [100, 95, 92]
    assert reasons(got) == ["stop"]
    assert got.trades["exit_price"].iloc[0] == pytest.approx(0.4 * 95 + 0.6 * 92)


def test_an_exit_cancels_an_order_for_its_side_but_not_a_reversal(run):
    table = bars(FLAT, FLAT, (100, 100, 90, 100), (75, 102, 75, 102))
    same = run(table, wishes(table, 1.0, (0.5, 80.0)), stop_loss=0.05)
    assert reasons(same) == ["stop"]
    turned = run(table, wishes(table, 1.0, (-0.5, 101.0)), stop_loss=0.05)
    # sold out at 95; sold short at the limit of the bar after
    assert turned.trades["side"].tolist() == ["long", "short"]
    assert turned.trades["entry_price"].tolist() == [100, 101]


# -- limit orders


@pytest.mark.parametrize(("path", "time"), [("pessimistic", 2), ("optimistic", 1)])
def test_a_limit_is_passed_on_one_path_and_touched_on_the_other(run, path, time):
    table = bars(FLAT, (100, 100, 95, 99), (99, 99, 94, 95))
    got = run(table, wishes(table, (1.0, 95.0)), path=path)
    assert got.trades["entry_time"].tolist() == [START + time * HOUR]
    assert got.trades["entry_price"].tolist() == [95.0]
    assert got.trades["size"].tolist() == [pytest.approx(1 / 95)]


def test_a_limit_order_gets_a_better_open(run):
    table = bars(FLAT, (90, 96, 89, 95))
    got = run(table, wishes(table, (1.0, 95.0)), maker_bps=10, fee_bps=50, slippage_bps=100)
    assert got.trades["entry_price"].tolist() == [90.0]
    assert got.trades["fee"].tolist() == [pytest.approx(0.001)]


def test_a_limit_order_sells_above(run):
    table = bars(FLAT, FLAT, (100, 104, 100, 100), (100, 106, 100, 100))
    got = run(table, wishes(table, 1.0, (0.0, 105.0)))
    assert got.trades["exit_time"].tolist() == [START + 3 * HOUR]
    assert final(got) == pytest.approx(1.05)


def test_a_limit_order_waits_until_another_weight_replaces_it(run):
    table = bars(FLAT, FLAT, FLAT, FLAT, (100, 100, 70, 100))
    got = run(table, wishes(table, (1.0, 80.0), None, 0.5))
    assert got.fills["units"].tolist() == pytest.approx([0.005])


def test_after_a_limit_fill_the_stop_is_looked_at_once_more_the_profit_not(run):
    table = bars(FLAT, (100, 100, 90, 99), (99, 99, 99, 99))
    stopped = run(table, wishes(table, (1.0, 95.0)), stop_loss=0.05)
    assert stopped.trades["exit_price"].tolist() == [pytest.approx(90.25)]
    assert stopped.trades["exit_time"].tolist() == [START + HOUR]
    kept = run(table, wishes(table, (1.0, 95.0)), take_profit=0.01)
    # level 95.95 was passed at 99 only in the next bar, at its open
    assert kept.trades["exit_price"].tolist() == [99.0]
    assert kept.trades["exit_time"].tolist() == [START + 2 * HOUR]


# -- sizes


def test_a_volume_cap_fills_in_parts_sized_anew(run):
    table = bars(FLAT, FLAT, (110, 110, 110, 110), (110, 110, 110, 110), volume=0.02)
    got = run(table, wishes(table, 1.0), volume_cap=0.25)
    # 0.005 of 0.01; at 110 equity is 1.05 and 1.05 / 110 - 0.005 are missing
    assert got.fills["units"].tolist() == pytest.approx([0.005, 1.05 / 110 - 0.005])
    assert got.trades["entry_price"].tolist() == [pytest.approx(1.0 / (1.05 / 110))]


def test_a_bar_without_volume_fills_nothing_under_a_cap_and_anything_without(run):
    table = bars(FLAT, (*FLAT, 0.0), FLAT)
    for cap, time in ((0.5, 2), (None, 1)):
        got = run(table, wishes(table, 1.0), volume_cap=cap)
        assert got.trades["entry_time"].tolist() == [START + time * HOUR]


def test_volume_and_lots_are_of_the_capital(run):
    table = bars(FLAT, FLAT, (50, 50, 50, 50), volume=5.0)
    got = run(table, wishes(table, 1.0), capital=1000, lot=3, volume_cap=1.0)
    # 10 units wanted, 5 there, 3 bought; at 50 equity is 0.85: 17 wanted, 14 missing, 3 bought
    assert got.fills["units"].tolist() == pytest.approx([0.003, 0.003])


def test_a_change_of_less_than_a_lot_is_done_a_close_is_whole(run):
    table = bars(FLAT, FLAT, (25, 25, 25, 25), (25, 25, 25, 25))
    none = run(table, wishes(table, 0.25), capital=1000, lot=3)
    assert none.fills.empty  # 2.5 units; the 10 at 25 are not asked for any more
    whole = run(table, wishes(table, 1.0, 0.5, 0.0), capital=1000, lot=4)
    # 8 of 10; at 25 equity is 0.4 and 8 are wanted; the close needs no multiple
    assert whole.fills["units"].tolist() == pytest.approx([0.008, -0.008])


def test_a_change_below_the_minimum_is_not_made_a_close_is(run):
    table = flat(100, 100, 50, 50)
    none = run(table, wishes(table, 0.1), capital=1000, min_notional=150)
    assert none.fills.empty
    closed = run(table, wishes(table, 0.2, None, 0.0), capital=1000, min_notional=150)
    assert closed.fills["units"].tolist() == pytest.approx([0.002, -0.002])


def test_turnover_scales_every_change_alike(run):
    table = bars(FLAT, FLAT, FLAT, FLAT)
    panel = together(A=table, B=table)
    weight = together(A=wishes(table, 0.75), B=wishes(table, -0.25))
    got = run(panel, weight, max_turnover=0.5)
    # 1 wanted, half of it a bar
    assert got.fills["units"].tolist() == pytest.approx([0.00375, -0.00125] * 2)


def test_a_reversal_is_two_trades_of_one_fill(run):
    table = bars(FLAT, FLAT, (120, 120, 120, 120), (120, 120, 120, 120))
    got = run(table, wishes(table, 1.0, -1.0), fee_bps=100, drift=0.05)
    # fee 0.01; at 120 equity is 1.19: -1.19 / 120 - 0.01 units, of which 0.01 close
    assert reasons(got) == ["reversal", "open"]
    assert got.trades["fee"].tolist() == pytest.approx([0.01 + 0.012, 0.0119])
    assert got.trades["size"].tolist() == pytest.approx([0.01, 1.19 / 120])
    assert got.trades["decided_at"].tolist() == [START, START + HOUR]


# -- prices


@pytest.mark.parametrize(
    ("prices", "entry", "leave"), [("stated", 100, 106), ("worse", 104, 103), ("better", 100, 106)]
)
def test_prices_of_a_bracket(run, prices, entry, leave):
    table = bars(FLAT, (100, 105, 99, 104), (106, 107, 102, 103))
    got = run(table, wishes(table, 1.0, 0.0), prices=prices)
    row = got.trades.iloc[0]
    assert (row["entry_price"], row["exit_price"]) == (entry, leave)
    # slippage is what the quotes would have given and the prices did not
    assert row["slippage"] == pytest.approx(0.01 * (entry - 100 + 106 - leave))


def test_slippage_of_volatility_and_impact_waits_until_they_are_known(run):
    up, down = 100 * math.exp(0.1), 100.0
    rows = [(100, up, 99, c) for c in (down, up, down, up, down)]
    table = bars(*rows, volume=0.04)
    # returns 0.1 and -0.1 are known at the fourth bar: 0.1 x sqrt(2); 0.01 of 0.04 units
    volatility = 0.1 * math.sqrt(2)
    for options, slip in (
        ({"impact": 0.2}, 0.2 * volatility * 0.5),
        ({"slippage_vol": 0.2}, 0.2 * volatility),
        ({"slippage_vol": 0.2, "impact": 0.2, "slippage_bps": 100}, 0.3 * volatility + 0.01),
    ):
        got = run(table, wishes(table, 1.0), **options)
        assert got.trades["entry_time"].tolist() == [START + 3 * HOUR]
        assert got.trades["entry_price"].tolist() == [pytest.approx(100 * (1 + slip))]


def test_a_market_that_stood_still_has_no_volatility_to_price_by(run):
    table = bars(*[FLAT] * 6)
    assert run(table, wishes(table, 1.0), slippage_vol=0.1).fills.empty


def test_an_order_waits_for_its_symbols_own_bar(run):
    table = bars(*[FLAT] * 5)
    late = table.iloc[[0, 3, 4]]
    weight = together(A=wishes(table, 0.5), B=wishes(late, 0.5))
    got = run(together(A=table, B=late), weight, stop_loss=0.05)
    assert got.trades["entry_time"].tolist() == [START + HOUR, START + 3 * HOUR]
    alone = run(together(A=table), together(A=wishes(table, 0.5)), stop_loss=0.05)
    mine = got.fills[got.fills["symbol"] == "A"]
    pd.testing.assert_frame_equal(mine, alone.fills)
