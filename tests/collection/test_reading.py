"""collection/reading.py: order, interval and versions are settled by evidence, or are a defect."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.bars import COLUMNS
from signalkit.collection import reading
from signalkit.collection.formats import Raw
from signalkit.collection.reading import Reading
from signalkit.errors import DataError

FIRST = pd.Timestamp("2024-01-01", tz="UTC")
PRICES = {"open": 2.0, "high": 4.0, "low": 1.0, "close": 3.0}
NONE = frozenset()


def rows(*hours, volumes=None, zone="UTC, epochs"):
    """Rows that open so many hours after the first of January, volume by row."""
    opens = (FIRST + pd.to_timedelta(hours, unit="h")).as_unit("ns")
    bars = pd.DataFrame(PRICES, range(len(hours)))
    bars["volume"] = np.arange(1.0, len(hours) + 1) if volumes is None else volumes
    return Reading(bars, opens, opens.tz_localize(None).normalize(), zone, "CSV")


def hours_of(found):
    """Hours of the opens, counted from the first of January."""
    return ((found.opens - FIRST) / pd.Timedelta(1, "h")).tolist()


def table(**columns):
    """A raw table of bars at four hours, with columns changed or added."""
    base = {"time": [1704067200 + 3600 * k for k in range(4)], **PRICES, "volume": 5.0}
    return Raw(pd.DataFrame(base | columns), "CSV")


def test_rows_newest_first_are_turned():
    found = rows(3, 2, 1, 0)
    reading.put_in_order(found, NONE)
    assert hours_of(found) == [0, 1, 2, 3]
    assert found.bars["volume"].tolist() == [4, 3, 2, 1]
    assert found.notes == ["newest first in the file"]


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(7)))
def test_rows_in_any_order_are_sorted_where_each_bar_is_then_in_its_place(order):
    found = rows(*order)
    reading.put_in_order(found, NONE)
    assert hours_of(found) == list(range(7))
    assert found.bars["volume"].tolist() == [order.index(hour) + 1 for hour in range(7)]
    assert found.found == []
    assert bool(found.notes) == (order != sorted(order))


@pytest.mark.parametrize(
    ("hours", "row"),
    [((0, 1, 5, 3, 6), 3), ((0, 1, 3, 2, 2, 4), 3), ((6, 5, 2, 3, 1), 3), ((0, 2, 1, 4), 2)],
)
def test_disorder_that_leaves_a_doubt_is_a_defect(hours, row):
    with pytest.raises(DataError, match=rf"1 rows stand against the order .* row {row}, .*allow="):
        reading.put_in_order(rows(*hours), NONE)
    found = rows(*hours)
    reading.put_in_order(found, frozenset({"disorder"}))
    assert hours_of(found) == sorted(hours)
    assert [defect.name for defect in found.found] == ["disorder"]


def test_equal_rows_are_dropped_and_counted():
    found = rows(0, 1, 1, 1, 2, volumes=[5.0] * 5)
    reading.drop_repeats(found)
    reading.one_version(found)
    assert hours_of(found) == [0, 1, 2]
    assert (found.duplicates, found.conflicting, found.found) == (2, 0, [])


def test_of_unequal_rows_the_one_with_more_volume_is_kept_as_a_defect():
    found = rows(0, 1, 1, 2, 2, volumes=[5.0, 9.0, 7.0, 1.0, 2.0])
    reading.one_version(found)
    assert found.bars["volume"].tolist() == [5, 9, 2]
    assert (found.duplicates, found.conflicting) == (0, 2)
    (defect,) = found.found
    assert defect.name == "conflicting"
    assert "2 bars come in two versions, such as [2.0, 4.0, 1.0, 3.0, 7.0] and" in str(defect)
    assert "2024-01-01 01:00Z to 2024-01-01 02:00Z (2 bars)" in str(defect)


@pytest.mark.parametrize(
    ("zone", "hint"), [("UTC, assumed: the file states none", True), ("UTC, epochs", False)]
)
def test_a_doubled_hour_of_local_time_comes_with_the_hint_to_its_zone(zone, hint):
    found = rows(0, 1, 1, 2, zone=zone)
    reading.one_version(found)
    assert ("each autumn is local time, pass tz" in str(found.found[0])) is hint


@pytest.mark.parametrize(
    ("hours", "interval"),
    [
        ((0, 1, 2, 5), "1h"),
        ((0, 4, 8), "4h"),
        ((0, 24, 48, 120), "1d"),
        ((0, 168, 336), "1w"),
        ((0, 0.25, 0.5), "15m"),
        ((0, 0, 1), "1h"),
    ],
)
def test_the_interval_is_the_most_common_distance(hours, interval):
    assert reading.settle_interval(rows(*hours), "q", None, True) == interval


@pytest.mark.parametrize(
    ("hours", "asked", "says"),
    [
        ((0,), None, "one bar alone does not tell its interval; pass interval"),
        ((0, 0.001, 0.002), None, "bars are most often 3.6 s apart, which is no whole minute"),
        ((0, 1, 2), "2h", "bars are most often 1h apart, not 2h; pass interval='1h'"),
        ((0, 2, 4), "1h", "bars are most often 2h apart, not 1h"),
    ],
)
def test_an_interval_that_the_bars_do_not_have_is_refused(hours, asked, says):
    with pytest.raises(DataError, match=says):
        reading.settle_interval(rows(*hours), "q", asked, True)


def test_a_name_that_claims_another_interval_is_a_defect_unless_the_caller_says_so():
    found = rows(0, 1, 2)
    assert reading.settle_interval(found, "BTC-8m.json", None, True) == "1h"
    assert [defect.name for defect in found.found] == ["interval"]
    for name, asked in (("BTC-8m.json", "1h"), ("BTC_60m.csv", None), ("q", None)):
        found = rows(0, 1, 2)
        reading.settle_interval(found, name, asked, True)
        assert found.found == []
    # sessions leave nights out: the calendar judges
    assert reading.settle_interval(rows(0, 24, 48), "q", "4h", False) == "4h"


def test_rows_that_are_no_bars_are_left_out_where_the_caller_allows_it():
    found = rows(0, 1, 2, 3, 4, 5)
    found.bars.loc[1, "low"] = 0.0
    found.bars.loc[2, "high"] = np.inf
    found.bars.loc[4, "volume"] = -1.0
    reading.leave_out_broken(found)
    assert hours_of(found) == [0, 3, 5]
    (defect,) = found.found
    assert "3 rows break the rule" in str(defect)
    assert [place.bars for place in defect.places] == [2, 1]
    reading.leave_out_broken(found)
    assert len(found.found) == 1
    with pytest.raises(DataError, match="every row breaks the rule of the bar table"):
        reading.leave_out_broken(rows(0, 1, volumes=[-1.0, -1.0]))


def test_a_stretch_of_swapped_volume_is_put_right():
    found = rows(0, 1, 2, volumes=[5.0, 600.0, 5.0])
    swapped = np.array([False, True, False])
    found.sides = (~swapped, swapped, np.array([500.0, 6.0, 500.0]))
    reading.put_volume_right(found)
    assert found.bars["volume"].tolist() == [5, 6, 5]
    assert [defect.name for defect in found.found] == ["swapped_volume"]


@pytest.mark.parametrize("given_as", ["BTC/USDT", "btc-usdt", "BTC_USDT", "BTCUSDT"])
def test_a_file_of_one_symbol_is_that_symbols_however_it_is_spelled(given_as):
    raw = table(symbol=given_as)
    assert len(reading.of_symbol(raw, "BTCUSDT").table) == 4
    assert len(reading.of_symbol(raw, None).table) == 4


@pytest.mark.parametrize("name", ["symbol", "ticker", "pair", "sym"])
def test_rows_of_a_symbol_are_kept_where_the_file_names_symbols(name):
    raw = table(**{name: list("ABAB")})
    assert reading.of_symbol(raw, "B").table["time"].tolist() == [1704070800, 1704078000]
    with pytest.raises(DataError, match="no rows of C; the file has A, B"):
        reading.of_symbol(raw, "C")
    with pytest.raises(DataError, match="rows of 2 symbols; pass symbol, such as 'A'"):
        reading.of_symbol(raw, None)


def test_a_file_without_symbols_is_read_for_any_symbol():
    assert len(reading.of_symbol(table(), "A").table) == 4


ROUNDED = [f"{1704067200000 + 3600000 * k:.5E}" for k in range(4)]
TEXTS = [f"2024-01-01 0{k}:00" for k in range(4)]


def test_of_two_time_columns_the_one_that_tells_the_rows_apart_is_taken():
    # a spreadsheet rounds 1.70407E+12: three of four hours become one
    found = reading.interpreted(table(time=ROUNDED, date=TEXTS), None)
    assert hours_of(found) == [0, 1, 2, 3]
    (note,) = found.notes
    assert "times are those of 'date'; 'time' says otherwise in" in note
    assert "as where a spreadsheet rounded them" in note


def test_of_two_time_columns_the_even_one_is_taken():
    days = pd.date_range("2015-01-01", periods=4, freq="D")
    rounded = [f"{day.timestamp() * 1000:.5E}" for day in days]
    found = reading.interpreted(table(time=rounded, date=days.strftime("%Y-%m-%d")), None)
    assert found.opens.equals(days.tz_localize("UTC").as_unit("ns"))


def test_where_two_time_columns_differ_the_report_says_so():
    found = reading.interpreted(table(date=[f"2024-01-01 0{k + 5}:00" for k in range(4)]), None)
    assert hours_of(found) == [0, 1, 2, 3]
    assert found.notes[-1] == "times are those of 'time'; 'date' says otherwise in 4 rows"


def test_a_time_column_that_cannot_be_read_gives_way_to_one_that_can():
    assert hours_of(reading.interpreted(table(time=list("abcd"), date=TEXTS), None)) == [0, 1, 2, 3]
    with pytest.raises(DataError, match="a time cannot be read: 'a' in row 0"):
        reading.interpreted(table(time=list("abcd")), None)


CLOCKS = [f"{k:02}:00" for k in range(4)]


@pytest.mark.parametrize(
    ("name", "clock"),
    [
        ("time", CLOCKS),
        ("time", ["12:00 AM", "1:00 AM", "2:00 AM", "3:00 AM"]),
        ("time", [0, 10000, 20000, 30000]),
        ("timestamp", CLOCKS),
    ],
)
def test_date_and_time_of_day_in_two_columns_are_joined(name, clock):
    found = reading.interpreted(table(time=clock, date="01/31/2024"), None)
    if name != "time":
        raw = table(time=clock, date="01/31/2024")
        found = reading.interpreted(Raw(raw.table.rename(columns={"time": name}), "CSV"), None)
    assert (found.opens - pd.Timestamp("2024-01-31", tz="UTC")).tolist() == [
        pd.Timedelta(k, "h") for k in range(4)
    ]


def lean(times, *, scale=10_000):
    """Rows as Lean writes them."""
    return Raw(
        pd.DataFrame([[t, 13 * scale, 15 * scale, 12 * scale, 14 * scale, 500] for t in times]),
        "CSV",
        named=False,
    )


def test_prices_and_times_of_lean_are_known_by_their_shape():
    found = reading.interpreted(lean(["20240105 09:00", "20240105 10:00"]), None)
    assert found.lean
    assert found.bars.iloc[0].tolist() == pytest.approx([13, 15, 12, 14, 500])
    assert found.opens[0] == pd.Timestamp("2024-01-05 09:00", tz="America/New_York")
    with pytest.raises(DataError, match=r"times of Lean are local and these are not New York's"):
        reading.interpreted(lean(["20240106 09:00"]), None)
    found = reading.interpreted(lean(["20240106 09:00"]), "Asia/Tokyo")
    assert found.opens[0] == pd.Timestamp("2024-01-06 09:00", tz="Asia/Tokyo")
    # prices of a few cents are not in ten-thousandths
    assert not reading.interpreted(lean(["20240105 09:00"], scale=0.5), None).lean


def test_rates_in_bar_columns_are_no_bars():
    with pytest.raises(DataError, match="are 0 in all 4 rows: funding rates or another series"):
        reading.interpreted(table(high=0.0, low=0.0, close=0.0, volume=0.0), None)


def test_what_a_line_before_the_table_says_of_the_zone_is_heeded():
    raw = table(time=TEXTS)
    stated = Raw(raw.table, "CSV", preamble=("Timestamps are UTC timezone",))
    assert reading.interpreted(stated, None).zone == "UTC, stated in the file"
    assert reading.interpreted(raw, None).zone == "UTC, assumed: the file states none"


def test_rows_are_kept_with_all_that_belongs_to_them():
    found = rows(0, 1, 2)
    found.sides = tuple(np.array([10.0, 11.0, 12.0]) for _ in range(3))
    found.keep(np.array([2, 0]))
    assert hours_of(found) == [2, 0]
    assert found.bars["volume"].tolist() == [3, 1]
    assert [side.tolist() for side in found.sides] == [[12, 10]] * 3
    assert list(found.bars.columns) == list(COLUMNS)


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        (["BTCUSDT", "ETHUSDT"], "BTC/USDT"),
        (["BTC-USDT", "ETH-USDT"], "btcusdt"),
        ([700, 5], "700"),
    ],
)
def test_one_of_several_symbols_is_found_however_it_is_spelled(held, asked):
    raw = table(symbol=[held[0], held[1], held[1], held[0]], volume=[1.0, 2.0, 3.0, 4.0])
    assert reading.of_symbol(raw, asked).table["volume"].tolist() == [1.0, 4.0]


def test_repeats_anywhere_are_dropped_before_the_order_is_judged():
    found = rows(0, 1, 2, 0, 1, volumes=[5.0] * 5)
    reading.drop_repeats(found)
    reading.put_in_order(found, NONE)
    assert hours_of(found) == [0, 1, 2]
    assert (found.duplicates, found.notes, found.found) == (2, [], [])
