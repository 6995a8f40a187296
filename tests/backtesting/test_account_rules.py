"""Every rule of docs/backtesting.md on numbers worked by hand: caps, margin, brake, carry.

Each example runs through the engine and through the plain event loop.
"""

import pandas as pd
import pytest

from signalkit.backtesting import simulate
from tests.backtesting.markets import HOUR, START, bars, flat, together, wishes
from tests.backtesting.reference import play

FLAT = (100, 100, 100, 100)


@pytest.fixture(params=[simulate, play], ids=["engine", "reference"])
def run(request):
    return request.param


def equities(got):
    return got.equity["strategy"].tolist()


def hours(got, column="time"):
    """Bars, counted from 0, of the fills."""
    return ((got.fills[column] - START) / HOUR).tolist()


def last(got):
    return got.accounts.iloc[-1]


# -- caps


def test_a_weight_is_clipped_to_the_cap(run):
    table = bars(FLAT, FLAT)
    got = run(table, wishes(table, -1.0), max_weight=0.25)
    assert got.fills["units"].tolist() == [-0.0025]


def test_a_position_that_grew_over_its_cap_is_trimmed(run):
    table = flat(100, 100, 200, 200)
    got = run(table, wishes(table, 0.5), max_weight=0.5, drift=0.2)
    # at 200 it is 1 of 1.5, more than 0.5 x 1.2; back to 0.75 at the next open
    assert got.fills["units"].tolist() == pytest.approx([0.005, 0.75 / 200 - 0.005])
    assert hours(got) == [1, 3]
    kept = run(table, wishes(table, 0.5), max_weight=0.5, drift=0.4)
    assert len(kept.fills) == 1


def test_positions_that_together_grew_over_the_leverage_are_trimmed_alike(run):
    table = flat(100, 100, 70, 70)
    weight = together(A=wishes(table, 1.5), B=wishes(table, 0.5))
    got = run(together(A=table, B=table), weight, max_leverage=2)
    # at 70 equity is 0.4 and positions 1.4: each is brought to 0.8 / 1.4 of itself
    assert got.fills["units"].tolist()[2:] == pytest.approx([-0.015 * 3 / 7, -0.005 * 3 / 7])
    assert got.positions.iloc[-1].tolist() == pytest.approx([1.5, 0.5])


def test_an_order_that_wants_more_than_its_share_is_cut_to_it_and_waits(run):
    table = flat(100, 100, 70, 70, 100, 100)
    weight = together(A=wishes(table, 0.8, None, 1.2), B=wishes(table, 0.8))
    got = run(together(A=table, B=table), weight, max_leverage=2)
    # at 70 equity is 0.52 and positions 1.12: 1.04 / 1.12 of each stay, A wants 0.624 of 0.52.
    # At 100 equity is 0.52 x (1 + 2 x 3 / 7) and A and B are 0.52 x 10 / 7 each: A gets its 1.2,
    # no more than B leaves of 2
    units, equity = 0.52 / 70, 0.52 * 13 / 7
    assert got.fills["symbol"].tolist() == ["A", "B", "A", "B", "A"]
    assert got.fills["reason"].tolist()[-3:] == ["signal", "trim", "signal"]
    assert got.fills["units"].tolist()[-3:] == pytest.approx(
        [units - 0.008, units - 0.008, min(1.2 * equity, 2 * equity - 100 * units) / 100 - units]
    )


def test_a_waiting_limit_order_does_not_keep_a_position_from_its_trim(run):
    table = flat(100, 100, 200, 200, 310)
    got = run(table, wishes(table, 0.5, (0.25, 300.0)), max_weight=0.5)
    # 0.75 of 1.5 stay at 200; then, at 300, 0.25 of 0.75 + 1.125
    kept = 0.75 / 200
    assert got.fills["reason"].tolist() == ["signal", "trim", "signal"]
    assert got.fills["units"].tolist()[1:] == pytest.approx(
        [kept - 0.005, 0.25 * 1.875 / 300 - kept]
    )


def test_a_position_uses_the_room_that_others_leave(run):
    one, other = flat(100, 100, 200, 200, 100, 100), flat(*[100] * 6)
    weight = together(A=wishes(one, 0.5), B=wishes(other, None, None, 0.5))
    got = run(together(A=one, B=other), weight)
    # at 200 A is 1 of an equity of 1.5: 0.5 are left of the 0.75 that B wants.
    # At the open of 200 again nothing; at 100 equity is 1, A 0.5 and B its 0.5
    assert got.fills["symbol"].tolist() == ["A", "B"]
    assert got.fills["units"].tolist() == pytest.approx([0.005, 0.005])


def test_a_reversal_without_room_closes_its_position(run):
    one, other = flat(100, 100, 100, 66, 66, 100, 100), flat(*[100] * 7)
    weight = together(A=wishes(one, 1.5), B=wishes(other, 0.5, None, None, -0.5))
    got = run(together(A=one, B=other), weight, max_leverage=2, drift=0.6)
    # at 66 equity is 0.49 and A 0.99: more than twice of it, so B is only closed. At 100
    # equity is 1 and A 1.5: room for the 0.5 that B wants
    mine = got.fills[got.fills["symbol"] == "B"]
    assert mine["units"].tolist() == pytest.approx([0.005, -0.005, -0.005])
    assert ((mine["time"] - START) / HOUR).tolist() == [1, 4, 6]
    assert got.trades["exit_reason"].tolist() == ["open", "signal", "open"]


def test_reductions_come_first_and_make_room(run):
    table = bars(*[FLAT] * 4)
    weight = together(A=wishes(table, None, 1.0), B=wishes(table, 1.0, 0.0))
    got = run(together(A=table, B=table), weight, max_leverage=2, max_positions=1)
    assert got.fills["symbol"].tolist() == ["B", "B", "A"]
    assert hours(got) == [1, 2, 2]


def test_a_symbol_waits_while_enough_others_hold_a_position(run):
    table = bars(*[FLAT] * 5)
    weight = together(A=wishes(table, 0.5, None, 0.0), B=wishes(table, 0.5))
    got = run(together(A=table, B=table), weight, max_positions=1)
    assert got.fills["symbol"].tolist() == ["A", "A", "B"]
    assert hours(got) == [1, 3, 3]


# -- margin


# without trims, which would come before most liquidations
LEVERED = {"max_leverage": 2, "maintenance": 0.25, "drift": 9.0}


@pytest.mark.parametrize(
    ("bar", "price"),
    [((65, 80, 60, 80), 65), ((90, 90, 65, 80), 65), ((90, 90, 66, 66), 66)],
    ids=["at the open", "at the low", "at the close"],
)
def test_a_levered_position_is_liquidated_where_equity_is_too_small(run, bar, price):
    # 0.02 units and -1 in cash: at 66.67 equity is 0.333, a quarter of 1.333
    path = "optimistic" if price == 66 else "pessimistic"
    table = bars(FLAT, FLAT, bar, FLAT)
    got = run(table, wishes(table, 2.0), path=path, **LEVERED)
    assert equities(got)[2:] == pytest.approx([0.02 * price - 1] * 2)
    assert got.trades["exit_reason"].tolist() == ["liquidation"]


def test_the_low_is_no_matter_on_the_optimistic_path(run):
    table = bars(FLAT, FLAT, (90, 90, 65, 80))
    got = run(table, wishes(table, 2.0), path="optimistic", **LEVERED)
    assert equities(got)[-1] == pytest.approx(0.6)


def test_after_a_liquidation_the_weight_in_force_counts_as_nothing(run):
    table = bars(FLAT, FLAT, (65, 65, 65, 65), FLAT, FLAT)
    got = run(table, wishes(table, 2.0, None, None, 2.0), **LEVERED)
    assert got.fills["units"].tolist() == pytest.approx([0.02, -0.02, 0.006])
    assert hours(got) == [1, 2, 4]


@pytest.mark.parametrize("fill", ["next_open", "next_close", "close"])
def test_what_volume_leaves_of_a_liquidation_fills_at_the_next_open(run, fill):
    rows = [FLAT, FLAT, (100, 100, 65, 65, 0.005), (62, 66, 62, 66, 1.0), FLAT]
    table = bars(*rows)
    options = {"fill": fill, "volume_cap": 1.0, "path": "optimistic", **LEVERED}
    got = run(table, wishes(table, 2.0, None, 1.0, None), **options)
    # 0.005 at the close of 65, 0.015 at 62: -1 + 0.325 + 0.93; the weight of 1 is ignored
    assert got.fills["quote"].tolist() == [100, 65, 62]
    assert equities(got)[3:] == pytest.approx([0.255] * 2)
    assert got.trades["exit_reason"].tolist() == ["liquidation"]


def test_a_liquidation_pays_its_costs(run):
    table = bars(FLAT, FLAT, (65, 65, 65, 65))
    got = run(table, wishes(table, 1.9), slippage_bps=100, fee_bps=100, **LEVERED)
    # in: 1.919 and a fee of 0.01919; out at 64.35: 1.22265 less 0.0122265
    assert equities(got)[-1] == pytest.approx(1 - 1.919 - 0.01919 + 1.22265 - 0.0122265)


def test_ruin_hands_every_position_to_the_lender(run):
    table = bars(FLAT, FLAT, (60, 60, 60, 60), FLAT)
    got = run(table, wishes(table, 3.0), max_leverage=3, fee_bps=10)
    # 0.03 units and -2 - 0.003 in cash: 1.8 - 2.003 are missing at 60; no fee for it
    assert equities(got)[2:] == [0, 0]
    assert last(got)["written_off"] == pytest.approx(0.203)
    assert got.trades["exit_reason"].tolist() == ["ruin"]
    assert got.trades["pnl"].tolist() == pytest.approx([-1.203])
    assert last(got)[["cash", "long", "short"]].tolist() == [0, 0, 0]


def test_a_fill_at_the_close_that_costs_more_than_there_is_ruins(run):
    table = flat(100, 100, 100)
    got = run(table, wishes(table, 0.0, 1.0), fill="close", slippage_bps=20_000)
    # bought for 3 what is worth 1
    assert equities(got) == [1, 0, 0]
    assert last(got)[["slippage", "written_off"]].tolist() == pytest.approx([2, 1])
    assert got.trades["exit_reason"].tolist() == ["ruin"]


def test_a_liquidation_that_costs_more_than_is_left_ruins(run):
    table = flat(100, 100, 60, 60)
    lent = {"max_leverage": 3, "maintenance": 0.25, "path": "optimistic", "slippage_bps": 2000}
    got = run(table, wishes(table, 1.0), **lent)
    # bought 0.01 for 120; at 60 equity is 0.4 of 0.6: no call
    assert equities(got) == pytest.approx([1, 0.8, 0.4, 0.4])
    got = run(table, wishes(table, 1.5), **lent)
    # bought 0.015 for 120; at 60 equity is 0.1 of 0.9: sold for 48, -0.08 is left
    assert equities(got) == pytest.approx([1, 0.7, 0, 0])
    assert hours(got)[-1] == 2
    assert last(got)["written_off"] == pytest.approx(0.08)


def test_a_short_is_ruined_by_the_high_of_a_bar_on_the_pessimistic_path(run):
    table = bars(FLAT, FLAT, (100, 210, 100, 100))
    assert equities(run(table, wishes(table, -1.0)))[-1] == 0
    got = run(table, wishes(table, -1.0), path="optimistic")
    assert equities(got)[-1] == pytest.approx(1.0)


# -- brake


def test_the_brake_sells_everything_and_starts_again(run):
    table = flat(100, 100, 120, 107, 106, 100, 110, 110)
    got = run(table, wishes(table, 1.0, None, None, None, 0.5), brake=0.1, brake_bars=1)
    # 1.07 is under 0.9 x 1.2: sold at the open of 107. The weight of 0.5, given at the
    # next close, is noted, and acted on one later: bought at the open of 100
    assert hours(got) == [1, 4, 6]
    assert got.fills["quote"].tolist() == [100, 107, 100]
    assert got.trades["exit_reason"].tolist() == ["brake", "open"]
    assert equities(got)[-1] == pytest.approx(1.07 * 1.05)


def test_after_the_brake_the_highest_equity_is_counted_anew(run):
    table = flat(100, 100, 89, 89, 89, 89, 81, 79, 79)
    got = run(table, wishes(table, 1.0), brake=0.1)
    # braked at 0.89, sold at 89 and asked for again at the next close. From 0.89 on
    # 0.81 is no tenth less, 0.79 is
    assert got.fills["quote"].tolist() == [100, 89, 89, 79]


# -- carry


def test_funding_is_paid_by_a_long_and_earned_by_a_short(run):
    table = flat(100, 100, 110, 110)
    rate = pd.Series([0.5, 0.01], table.index[[0, 2]])
    for weight in (1.0, -1.0):
        got = run(table, wishes(table, weight), funding=rate)
        # 0.01 units x 110 x 0.01; the rate of a bar before the position is not paid
        assert last(got)["funding"] == pytest.approx(weight * 0.011)
        assert got.trades["funding"].tolist() == pytest.approx([weight * 0.011])
        assert equities(got)[-1] == pytest.approx(1 + weight * (0.1 - 0.011))


def test_borrow_is_paid_on_shorts_and_interest_on_a_debt(run):
    table = bars(*[FLAT] * 3, step="D")
    table = table.iloc[[0, 1, 2]].set_axis(table.index[[0, 1]].append(table.index[[2]] + 24 * HOUR))
    short = run(table, wishes(table, -1.0), borrow_bps=36_500, drift=0.1)
    # 0.01 a day on 1, for one day and for two; drift: no trim
    assert equities(short) == pytest.approx([1, 0.99, 0.97])
    assert last(short)["borrow"] == pytest.approx(0.03)
    assert short.trades["pnl"].tolist() == pytest.approx([-0.03])
    debt = run(table, wishes(table, 2.0), borrow_bps=36_500, max_leverage=2, drift=0.1)
    # 0.01 on 1, then 0.02 on 1.01
    assert equities(debt) == pytest.approx([1, 0.99, 0.99 - 0.0202])
    assert last(debt)["interest"] == pytest.approx(0.0302)
    assert debt.trades["pnl"].tolist() == pytest.approx([0.0], abs=1e-12)


def test_the_account_worked_by_hand(run):
    table = flat(100, 100, 110, 110)
    panel = together(A=table, B=table)
    weight = together(A=wishes(table, 0.5), B=wishes(table, -0.25))
    got = run(panel, weight, fee_bps=100, slippage_bps=200)
    # A: 0.005 at 102, 0.51 and a fee of 0.0051; B: 0.0025 at 98, 0.245 and 0.00245
    expected = {
        "cash": 1 - 0.51 - 0.0051 + 0.245 - 0.00245,
        "long": 0.55,
        "short": 0.275,
        "fees": 0.00755,
        "slippage": 0.015,
        "signal": 0.025,
    }
    assert last(got)[list(expected)].tolist() == pytest.approx(list(expected.values()))
    assert equities(got)[-1] == pytest.approx(1 + 0.025 - 0.00755 - 0.015)
    assert got.positions.iloc[-1].tolist() == pytest.approx([0.55 / 1.00245, -0.275 / 1.00245])
