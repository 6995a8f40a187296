"""trades.py: round trips worked by hand, and sums that any list of fills must keep."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.backtesting.trades import TRADE_COLUMNS, round_trips

TIMES = pd.date_range("2024-01-01", periods=8, freq="h", tz="UTC", name="time")
CLOSE = pd.DataFrame({"A": np.arange(10.0, 18.0), "B": 50.0}, index=TIMES)


def trades(*fills, fee_bps=0.0, close=CLOSE):
    """Trades of fills given as bar, symbol, units, price; quoted at the price they got."""
    rows = [(t, s, units, price, price, t - 1) for t, s, units, price in fills]
    return round_trips(np.array(rows, dtype=float).reshape(-1, 6), close, fee_bps)


def test_a_long_round_trip_worked_by_hand():
    fills = np.array([[1, 0, 2, 10.1, 10.0, 0], [4, 0, -2, 11.9, 12.0, 3]], dtype=float)
    got = round_trips(fills, CLOSE, fee_bps=10).iloc[0]
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
    ended = CLOSE.assign(A=CLOSE["A"].where(CLOSE.index < TIMES[5]))
    assert trades((1, 0, 2, 10), close=ended).loc[0, "exit_price"] == 14.0


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
    close = pd.DataFrame({"A": [20.0] * 25, "B": [30.0] * 25})
    close.index = pd.date_range("2024-01-01", periods=25, freq="h", tz="UTC")
    fills = [
        (t, s, units, quote * (1 + np.sign(units) * slip), quote, t)
        for t, (s, units, quote, slip) in enumerate(changes)
    ]
    array = np.array(fills, dtype=float).reshape(-1, 6)
    got = round_trips(array, close, fee_bps)
    cash, left = (
        -(array[:, 2] * array[:, 3]).sum(),
        [array[array[:, 1] == s, 2].sum() for s in (0, 1)],
    )
    fees = np.abs(array[:, 2] * array[:, 3]).sum() * fee_bps / 1e4
    slipped = np.abs(array[:, 2] * (array[:, 3] - array[:, 4])).sum()
    assert got["pnl"].sum() == pytest.approx(cash + left[0] * 20 + left[1] * 30 - fees, abs=1e-9)
    assert got["fee"].sum() == pytest.approx(fees, abs=1e-9)
    assert got["slippage"].sum() == pytest.approx(slipped, abs=1e-9)
    side = got["side"].map({"long": 1.0, "short": -1.0})
    apart = side * got["size"] * (got["exit_price"] - got["entry_price"]) - got["fee"]
    np.testing.assert_allclose(got["pnl"].astype(float), apart.astype(float), atol=1e-9)
    assert (got["exit_reason"] == "open").sum() == sum(units != 0 for units in left)
