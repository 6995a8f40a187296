"""collection/quality.py: oddities counted by hand, each symbol and year by itself."""

import pandas as pd
import pytest

from signalkit.collection import coverage, stale_opens, yearly


def bars(rows, first="2023-12-31 22:00"):
    """Hourly bars from (open, close, volume), the last of the first two ending at midnight."""
    times = pd.date_range(first, periods=len(rows), freq="h", tz="UTC", name="time")
    columns = ["open", "close", "volume"]
    found = pd.DataFrame(rows, times, columns, dtype=float)
    return found.assign(high=found.max(axis=1), low=1.0)


def panel(**symbols):
    return pd.concat(symbols, names=["symbol", "time"])


STALE = bars([(5, 6, 1), (6, 7, 0), (7, 8, 1), (8.5, 9, 0), (9, 9, 0)])
LIVELY = bars([(9, 6, 1), (7, 7, 1), (8, 8, 1)])


def test_an_open_is_stale_where_it_is_the_close_before():
    assert stale_opens(STALE).tolist() == [False, True, True, False, True]
    assert stale_opens(STALE.iloc[:1]).tolist() == [False]


def test_the_first_bar_of_a_symbol_is_not_compared_with_the_last_of_another():
    # LIVELY opens at 9, the close at which STALE ends
    flags = stale_opens(panel(A=STALE, B=LIVELY))
    assert flags.index.names == ["symbol", "time"]
    assert flags.tolist() == [False, True, True, False, True, False, False, False]


def test_oddities_are_counted_by_symbol_and_utc_year():
    got = yearly(panel(A=STALE, B=LIVELY))
    assert got.reset_index().to_numpy().tolist() == [
        ["A", 2023, 2, 0.5, 1],
        ["A", 2024, 3, pytest.approx(2 / 3), 2],
        ["B", 2023, 2, 0.0, 0],
        ["B", 2024, 1, 0.0, 0],
    ]


def test_coverage_counts_what_is_missing_and_what_is_odd():
    holed = bars([(2, 3, 1)] * 10).drop(pd.Timestamp("2024-01-01 00:00", tz="UTC"))
    holed = holed.drop(pd.date_range("2024-01-01 03:00", periods=3, freq="h", tz="UTC"))
    got = coverage(panel(A=holed, B=STALE), "1h", "24/7")
    assert got.loc["A", ["bars", "gaps", "missing", "longest_gap"]].tolist() == [6, 2, 4, 3]
    assert got.loc["B", ["bars", "gaps", "missing", "longest_gap"]].tolist() == [5, 0, 0, 0]
    assert got["zero_volume"].to_dict() == {"A": 0, "B": 3}
    assert got["stale_opens"].to_dict() == {"A": 0.0, "B": 0.6}
    assert got.loc["A", "first"] == pd.Timestamp("2023-12-31 22:00", tz="UTC")
    assert got.loc["A", "last"] == pd.Timestamp("2024-01-01 07:00", tz="UTC")


@pytest.mark.parametrize(("n_stale", "real"), [(0, True), (1, True), (2, False), (19, False)])
def test_opens_of_an_exchange_are_real_while_fewer_than_one_in_ten_is_stale(n_stale, real):
    days = pd.date_range("2024-01-02", periods=28, freq="B")
    closes = (days + pd.Timedelta(21, "h")).tz_localize("UTC").rename("time")
    closes = closes[~closes.strftime("%m-%d").isin(["01-15"])][:20]
    rows = [(2, 2, 1) if day <= n_stale else (3, 2, 1) for day in range(20)]
    day = bars(rows).set_axis(closes, axis=0)
    day.iloc[0, 0] = 3.0
    got = coverage(panel(A=day), "1d", "XNYS").loc["A"]
    assert got["stale_opens"] == n_stale / 20
    assert got["opens_real"] == real
    assert got["missing"] == 0


def test_opens_of_a_market_that_never_closes_are_always_real():
    assert coverage(panel(A=STALE), "1h", "24/7").loc["A", "opens_real"]
