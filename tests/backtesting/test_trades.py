"""trades.py: round trips worked by hand, and sums that any list of fills must keep."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.backtesting.account import REASONS
from signalkit.backtesting.trades import TRADE_COLUMNS, fill_table, round_trips

TIMES = pd.date_range("2024-01-01", periods=8, freq="h", tz="UTC", name="time")
LAST = np.array([17.0, 50.0])
SIGNAL, STOP, BRAKE, RUIN = (REASONS.index(name) for name in ("signal", "stop", "brake", "ruin"))


def fill(t, s, units, price, *, quote=None, fee_bps=0.0, carry=0.0, reason=SIGNAL):
    """A row of fills, decided the bar before, quoted at the price it got unless said."""
    fee = abs(units) * price * fee_bps / 1e4
    return t, s, units, price, price if quote is None else quote, t - 1, 1.0, fee, carry, reason


def table(*rows, last=LAST, carry=None):
    """Trades of rows of fills."""
    fills = np.array(rows, dtype=float).reshape(-1, 10)
    return round_trips(fills, TIMES, pd.Index(["A", "B"]), last=last, carry=carry)


def trades(*fills, fee_bps=0.0):
    """Trades of fills given as bar, symbol, units, price; quoted at the price they got."""
    return table(*(fill(*row, fee_bps=fee_bps) for row in fills))


def test_a_long_round_trip_worked_by_hand():
    bought = fill(1, 0, 2, 10.1, quote=10.0, fee_bps=10)
    sold = fill(4, 0, -2, 11.9, quote=12.0, fee_bps=10)
    got = table(bought, sold).iloc[0]
    assert got[["symbol", "side", "exit_reason"]].tolist() == ["A", "long", "signal"]
    times = got[["decided_at", "entry_time", "exit_time"]]
    assert times.tolist() == [TIMES[0], TIMES[1], TIMES[4]]
    # fees 0.001 x (20.2 + 23.8); pnl 2 x 1.8 less fees, on a notional of 20.2
    numbers = ["entry_price", "exit_price", "size", "fee", "slippage", "funding", "pnl", "return"]
    expected = [10.1, 11.9, 2.0, 0.044, 0.4, 0.0, 3.556, 3.556 / 20.2]
    assert got[numbers].tolist() == pytest.approx(expected)


def test_a_short_round_trip_worked_by_hand():
    got = trades((1, 0, -3, 12), (2, 0, 3, 11), fee_bps=100).iloc[0]
    # 3 x 1 gained, 0.01 x (36 + 33) paid
    assert got["side"] == "short"
    assert got[["pnl", "return", "size"]].tolist() == pytest.approx([2.31, 2.31 / 36, 3.0])


def test_fills_that_enlarge_a_position_share_one_entry_price():
    got = trades((1, 0, 1, 10), (2, 0, 3, 12), (5, 0, -4, 13))
    assert len(got) == 1
    assert got.loc[0, ["entry_price", "size", "pnl"]].tolist() == [11.5, 4.0, 6.0]
    assert got.loc[0, "entry_time"] == TIMES[1]


def test_fills_that_reduce_a_position_share_one_exit_price():
    got = trades((1, 0, 4, 10), (2, 0, -1, 12), (5, 0, -3, 16))
    assert len(got) == 1
    assert got.loc[0, ["exit_price", "size", "pnl"]].tolist() == [15.0, 4.0, 20.0]
    assert got.loc[0, "exit_time"] == TIMES[5]


def test_a_fill_that_turns_a_position_over_closes_one_trade_and_opens_the_next():
    got = trades((1, 0, 1, 10), (3, 0, -3, 12), fee_bps=100)
    assert got["side"].tolist() == ["long", "short"]
    assert got["exit_reason"].tolist() == ["reversal", "open"]
    assert got["size"].tolist() == [1.0, 2.0]
    # a fee of 0.01 x 36 for the turn, a third of it for the close
    assert got["fee"].tolist() == pytest.approx([0.10 + 0.12, 0.24])
    assert got["entry_time"].tolist() == [TIMES[1], TIMES[3]]
    assert got["decided_at"].tolist() == [TIMES[0], TIMES[2]]
    assert got.loc[0, "exit_time"] == TIMES[3]


def test_a_trade_still_open_is_marked_at_the_last_close():
    got = trades((1, 0, 2, 10)).iloc[0]
    assert got["exit_reason"] == "open"
    assert got["exit_time"] is pd.NaT
    assert got[["exit_price", "pnl"]].tolist() == [17.0, 14.0]


def test_the_last_close_is_the_symbols_own():
    got = table(fill(1, 0, 2, 10), fill(1, 1, 1, 40), last=np.array([14.0, 60.0]))
    assert got["exit_price"].tolist() == [14.0, 60.0]


@pytest.mark.parametrize("reason", [STOP, BRAKE, RUIN])
def test_the_fill_that_closes_says_why(reason):
    got = table(fill(1, 0, 4, 10), fill(2, 0, -1, 12), fill(5, 0, -3, 16, reason=reason))
    assert got["exit_reason"].tolist() == [REASONS[reason]]


def test_funding_belongs_to_the_position_that_paid_it():
    turned = fill(3, 0, -3, 12, carry=0.25)
    got = table(fill(1, 0, 1, 10), turned, fill(5, 0, 2, 11, carry=-0.125))
    assert got["funding"].tolist() == [0.25, -0.125]
    assert got["pnl"].tolist() == [2 - 0.25, 2 + 0.125]


def test_an_open_position_has_paid_what_fell_due_since_its_last_fill():
    got = table(fill(1, 0, 2, 10), fill(2, 0, 1, 13, carry=0.5), carry=np.array([0.25, 9.0]))
    assert got[["funding", "pnl"]].to_numpy().tolist() == [[0.75, 51 - 33 - 0.75]]


def test_better_prices_are_a_slippage_below_nothing():
    got = table(fill(1, 0, 2, 9.5, quote=10.0), fill(2, 0, -2, 12.5, quote=12.0))
    assert got["slippage"].tolist() == [-2.0]


def test_a_position_taken_up_again_is_another_trade():
    got = trades((1, 0, 1, 10), (2, 0, -1, 11), (4, 0, 1, 12), (5, 0, -1, 10))
    assert got["pnl"].tolist() == [1.0, -2.0]


def test_trades_stand_in_order_of_entry_then_symbol():
    got = trades((2, 0, 1, 10), (1, 1, 1, 50), (3, 0, -1, 11), (3, 1, -1, 51), (4, 0, 1, 9))
    assert got["symbol"].tolist() == ["B", "A", "A"]
    assert got["entry_time"].is_monotonic_increasing
    assert got.index.tolist() == [0, 1, 2]


def test_without_fills_there_are_no_trades_but_their_columns():
    got = trades()
    assert got.empty
    assert list(got.columns) == TRADE_COLUMNS


def test_fills_are_a_table_in_the_order_in_which_they_came():
    rows = fill(1, 1, 2, 10.5, quote=10.0, fee_bps=100), fill(3, 0, -2, 11, reason=STOP)
    got = fill_table(np.array(rows), TIMES, pd.Index(["A", "B"]))
    assert got["symbol"].tolist() == ["B", "A"]
    assert got["time"].tolist() == [TIMES[1], TIMES[3]]
    assert got["decided_at"].tolist() == [TIMES[0], TIMES[2]]
    assert got["reason"].tolist() == ["signal", "stop"]
    numbers = got[["units", "price", "quote", "fee", "slippage"]].iloc[0].tolist()
    assert numbers == pytest.approx([2.0, 10.5, 10.0, 0.21, 1.0])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from([-3, -2, -1, 1, 2, 3]),
            st.floats(5, 100),
            st.floats(0, 0.02),
        ),
        max_size=25,
    ),
    fee_bps=st.sampled_from([0.0, 8.0]),
)
def test_profits_are_the_cash_that_came_and_what_is_left(changes, fee_bps):
    rows = [
        (t, s, units, quote * (1 + np.sign(units) * slip), quote)
        for t, (s, units, quote, slip) in enumerate(changes)
    ]
    fills = np.array([fill(*r[:4], quote=r[4], fee_bps=fee_bps) for r in rows], dtype=float)
    fills = fills.reshape(-1, 10)
    times = pd.date_range("2024-01-01", periods=25, freq="h", tz="UTC")
    last = np.array([20.0, 30.0])
    got = round_trips(fills, times, pd.Index(["A", "B"]), last=last)
    units, prices, quotes = fills[:, 2], fills[:, 3], fills[:, 4]
    left = np.array([units[fills[:, 1] == s].sum() for s in (0, 1)])
    fees, slipped = fills[:, 7].sum(), (units * (prices - quotes)).sum()
    cash = -(units * prices).sum()
    assert got["pnl"].sum() == pytest.approx(cash + left @ last - fees, abs=1e-9)
    assert got["fee"].sum() == pytest.approx(fees, abs=1e-9)
    assert got["slippage"].sum() == pytest.approx(slipped, abs=1e-9)
    side = got["side"].map({"long": 1.0, "short": -1.0}).astype(float)
    apart = side * got["size"] * (got["exit_price"] - got["entry_price"]) - got["fee"]
    np.testing.assert_allclose(got["pnl"], apart, atol=1e-9)
    assert (got["exit_reason"] == "open").sum() == np.count_nonzero(left)
