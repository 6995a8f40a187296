"""bars.py: what is refused and where, calendars against known closes, resampling against loops."""

import csv
import gzip
from datetime import datetime
from pathlib import Path

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from signalkit import bars as table
from signalkit.errors import DataError, ParamsError

BTC = Path(__file__).resolve().parents[2] / "shared" / "data" / "crypto_1h" / "BTCUSDT_1h.csv.gz"
CAREFUL = settings(max_examples=50, deadline=None, derandomize=True)
# in hours: length of the longer bar, and the epoch hour at which one ends (weeks: a Monday)
LONGER = {"4h": (4, 0), "1d": (24, 0), "3d": (72, 0), "1w": (168, 96)}


def at(*ends):
    return pd.DatetimeIndex(ends, tz="UTC", name="time").as_unit("ns")


def flat(times, volume=1.0):
    columns = dict.fromkeys(table.COLUMNS[:4], 100.0) | {"volume": volume}
    return pd.DataFrame(columns, index=times)


def hourly(n, first="2024-01-01 01:00"):
    """Hour k opens at 100 + k and closes at 101 + k."""
    opens = 100.0 + np.arange(n)
    columns = np.column_stack([opens, opens + 2, opens - 1, opens + 1, np.ones(n)])
    times = pd.date_range(first, periods=n, freq="h", tz="UTC", name="time")
    return pd.DataFrame(columns, times, list(table.COLUMNS))


def panel(**symbols):
    return pd.concat(symbols, names=["symbol", "time"])


@st.composite
def made_bars(draw, *, least=1, most=60, widest=40, spacing_known=False):
    """Valid bars at hours with gaps; the first two an hour apart where the spacing must show."""
    price, share = st.floats(1e-6, 1e6), st.floats(0, 0.5)
    row = st.tuples(price, price, share, share, st.floats(0, 1e9), st.integers(1, widest))
    rows = draw(st.lists(row, min_size=2 if spacing_known else least, max_size=most))
    steps = [draw(st.integers(0, 300)), *(step for *_, step in rows[1:])]
    if spacing_known:
        steps[1] = 1
    times = pd.Timestamp("2024-02-28", tz="UTC") + pd.to_timedelta(np.cumsum(steps), unit="h")
    values = [
        (a, max(a, b) * (1 + up), min(a, b) / (1 + down), b, volume)
        for a, b, up, down, volume, _ in rows
    ]
    return pd.DataFrame(values, times.as_unit("ns").rename("time"), list(table.COLUMNS))


def by_loops(rows, length, offset):
    """Longer bars from (hour, open, high, low, close, volume), one comparison at a time."""
    first, last = rows[0][0], rows[-1][0]
    made = {}
    for hour, open_, high, low, close, volume in rows:
        end = hour
        while (end - offset) % length:
            end += 1
        if end - length < first - 1 or end > last:
            continue
        if end not in made:
            made[end] = [open_, high, low, close, 0.0]
        bar = made[end]
        bar[1], bar[2], bar[3] = max(bar[1], high), min(bar[2], low), close
        bar[4] += volume
    return made


def assert_equal_to_loops(bars, interval):
    got = table.resample(bars, interval)
    hours = [int(time.timestamp()) // 3600 for time in bars.index]
    rows = list(zip(hours, *bars.to_numpy().T.tolist(), strict=True))
    made = by_loops(rows, *LONGER[interval])
    assert [int(time.timestamp()) // 3600 for time in got.index] == list(made)
    for row, expected in zip(got.to_numpy().tolist(), made.values(), strict=True):
        assert row[:4] == expected[:4]
        assert row[4] == pytest.approx(expected[4], rel=1e-12)


@CAREFUL
@given(made_bars())
def test_made_bars_and_panels_of_them_pass(bars):
    table.check(bars)
    table.check(panel(A=bars, B=bars))
    assert [name for name, _ in table.by_symbol(panel(A=bars, B=bars))] == ["A", "B"]


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("volume", np.nan, "every value must be finite"),
        ("high", np.inf, "every value must be finite"),
        ("low", 0.0, "prices must be above 0"),
        ("open", -1.0, "prices must be above 0"),
        ("high", 101.5, "high must not be under open, low or close"),
        ("low", 102.5, "low must not be over open, high or close"),
        ("volume", -1.0, "volume must not be negative"),
    ],
)
def test_a_broken_row_is_named_with_its_values(column, value, rule):
    broken = hourly(5)
    broken.loc[broken.index[1:3], column] = value
    place = rf"^bars: {rule}; row 1, bar end 2024-01-01 02:00Z, has .*{column} {value:g}"
    with pytest.raises(DataError, match=rf"{place}.* \(2 such rows\)$"):
        table.check(broken)
    with pytest.raises(DataError, match=f"^B: {rule}; row 1"):
        table.check(panel(A=hourly(5), B=broken))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b.drop(columns=["low", "volume"]), r"lack the columns \['low', 'volume'\]"),
        (lambda b: b.astype({"volume": "int64"}), "volume is int64; bars are float64"),
        (lambda b: b.astype({"close": "float32"}), "close is float32"),
        (lambda b: b.astype({"open": object}), "open is object"),
        (lambda b: b.reset_index(drop=True), "indexed by int64; it needs bar ends"),
        (lambda b: b.tz_localize(None), "times in zone None; convert them to UTC"),
        (lambda b: b.tz_convert("Europe/Berlin"), "times in zone Europe/Berlin"),
        (lambda b: b.iloc[[0, 2, 1]], "row 2: 2024-01-01 02:00Z follows 2024-01-01 03:00Z"),
        (lambda b: b.iloc[[0, 1, 1]], "row 2: 2024-01-01 02:00Z follows 2024-01-01 02:00Z"),
        (lambda b: pd.concat([b, b["close"]], axis=1), "close"),
    ],
)
def test_a_table_that_is_no_bar_table_is_refused(change, says):
    with pytest.raises(DataError, match=says):
        table.check(change(hourly(3)))


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_bar_without_an_end_is_refused(row):
    times = hourly(3).index.to_list()
    times[row] = pd.NaT
    with pytest.raises(DataError, match=f"row {row}"):
        table.check(flat(pd.DatetimeIndex(times, name="time")))


def test_symbols_of_a_panel_are_sorted_and_in_one_block_each():
    bars = hourly(4)
    split = pd.concat([panel(A=bars.iloc[:2]), panel(B=bars), panel(A=bars.iloc[2:])])
    with pytest.raises(DataError, match=r"the order is \['A', 'B', 'A'\]"):
        table.check(split)
    with pytest.raises(DataError, match=r"sorted, one block each; the order is \['B', 'A'\]"):
        table.check(panel(B=bars, A=bars))


def test_a_panel_whose_levels_have_other_names_is_refused():
    with pytest.raises(DataError, match="symbol"):
        table.check(panel(A=hourly(2)).rename_axis(["ticker", "time"]))


@CAREFUL
@given(made_bars(spacing_known=True), st.sampled_from(sorted(LONGER)))
def test_resampling_equals_plain_loops(bars, interval):
    assert_equal_to_loops(bars, interval)


@pytest.mark.skipif(not BTC.exists(), reason="the shared market data are not beside the project")
@pytest.mark.parametrize("interval", ["1d", "1w"])
def test_resampling_real_hours_equals_plain_loops(interval):
    with gzip.open(BTC, "rt") as file:
        lines = list(csv.DictReader(file))
    opens = pd.DatetimeIndex([datetime.fromisoformat(line["timestamp"]) for line in lines])
    values = [[float(line[name]) for name in table.COLUMNS] for line in lines]
    ends = (opens + pd.Timedelta(1, "h")).rename("time")
    assert_equal_to_loops(pd.DataFrame(values, ends, list(table.COLUMNS)), interval)


# no shrinking: what breaks the rule is small already, in the test below
@settings(CAREFUL, phases=(Phase.explicit, Phase.generate))
@given(made_bars(least=4, most=8, widest=20))
def test_later_bars_never_change_a_resampled_row(bars):
    after = table.resample(bars, "1d")
    for cut in range(1, len(bars)):
        before = table.resample(bars.iloc[:cut], "1d")
        assert before.to_dict("index") == after.loc[: bars.index[cut - 1]].to_dict("index")


def test_a_first_day_that_began_with_a_gap_stays_as_it_was_when_closer_bars_follow():
    even, later = hourly(24).iloc[1::2], hourly(48).iloc[24:]
    before = table.resample(even, "1d")
    after = table.resample(pd.concat([even, later]), "1d")
    assert before.to_dict("index") == after.loc[: even.index[-1]].to_dict("index")


def test_two_days_worked_by_hand():
    got = table.resample(hourly(48), "1d")
    assert got.index.equals(at("2024-01-02", "2024-01-03"))
    assert got.to_numpy().tolist() == [
        [100.0, 125.0, 99.0, 124.0, 24.0],
        [124.0, 149.0, 123.0, 148.0, 24.0],
    ]


@pytest.mark.parametrize(
    ("n_bars", "first", "ends"),
    [
        (47, "2024-01-01 02:00", ["2024-01-03"]),
        (47, "2024-01-01 01:00", ["2024-01-02"]),
        (23, "2024-01-01 01:00", []),
        (40, "2024-01-01 12:00", ["2024-01-03"]),
    ],
)
def test_a_day_that_lacks_its_begin_or_its_end_is_left_out(n_bars, first, ends):
    assert table.resample(hourly(n_bars, first), "1d").index.equals(at(*ends))


def test_a_day_without_bars_is_left_out_and_a_week_ends_on_monday():
    bars = hourly(24 * 15)  # from Monday 1 January on
    holed = bars[bars.index.day != 4].drop(at("2024-01-05")[0])
    assert "2024-01-05" not in table.resample(holed, "1d").index.strftime("%Y-%m-%d")
    assert table.resample(bars, "1w").index.equals(at("2024-01-08", "2024-01-15"))


def test_each_symbol_is_resampled_by_itself():
    a, b = hourly(48), hourly(50, "2024-01-01 23:00")
    got = table.resample(panel(A=a, B=b), "1d")
    expected = panel(A=table.resample(a, "1d"), B=table.resample(b, "1d"))
    pd.testing.assert_frame_equal(got, expected)


@pytest.mark.parametrize(("interval", "bars_a_day"), [("30m", [13, 7, 13]), ("1h", [7, 4, 7])])
def test_days_of_an_exchange_end_at_its_close_the_first_whole_one_included(interval, bars_a_day):
    first, last = at("2018-11-21 00:00", "2018-11-26 23:00")
    bars = flat(table.expected_times(first, last, interval, "XNYS"))
    got = table.resample(bars, "1d", "XNYS")
    # Thanksgiving on the 22nd is closed; the day after it closes at 13:00 New York
    assert got.index.equals(at("2018-11-21 21:00", "2018-11-23 18:00", "2018-11-26 21:00"))
    assert got["volume"].tolist() == bars_a_day


def test_resampling_to_shorter_or_to_half_sessions_is_refused():
    with pytest.raises(ParamsError, match=r"bars every 0 days 01:00:00 cannot .* shorter 15m"):
        table.resample(hourly(5), "15m")
    minutes = table.expected_times(*at("2024-01-03 14:31", "2024-01-04 21:00"), "1m", "XNYS")
    with pytest.raises(ParamsError, match="1d"):
        table.resample(flat(minutes), "1h", "XNYS")


@pytest.mark.parametrize(
    ("calendar", "date", "close"),
    [
        ("XNYS", "2003-07-02", "20:00"),
        ("XNYS", "2003-07-03", "17:00"),  # half day: 13:00 in New York
        ("XNYS", "2018-11-23", "18:00"),
        ("XNYS", "2018-12-24", "18:00"),
        ("XNYS", "2024-03-08", "21:00"),  # the Friday before and the Monday after DST begins
        ("XNYS", "2024-03-11", "20:00"),
        ("XNYS", "2024-11-01", "20:00"),
        ("XNYS", "2024-11-04", "21:00"),
        ("XLON", "2024-12-24", "12:30"),
        ("XTKS", "2024-01-10", "06:00"),
    ],
)
def test_sessions_close_when_the_exchange_did(calendar, date, close):
    got = table.session_closes(pd.DatetimeIndex([date]), calendar)
    assert got.equals(at(f"{date} {close}"))
    assert got.name == "time"


def test_a_day_of_a_market_without_sessions_ends_at_midnight():
    got = table.session_closes(pd.DatetimeIndex(["2023-12-31"]), "24/7")
    assert got.equals(at("2024-01-01"))


@pytest.mark.parametrize(
    ("dates", "calendar", "error", "says"),
    [
        (["2001-09-10", "2001-09-11"], "XNYS", DataError, r"no session on 2001-09-11 \(1 such"),
        (["2012-10-29", "2012-10-30"], "XNYS", DataError, r"2012-10-29 \(2 such dates\)"),
        (["2024-01-06"], "XNYS", DataError, "XNYS had no session on 2024-01-06"),
        (["2024-01-05"], "NYSE!", ParamsError, "calendar 'NYSE!' is not 24/7 or known"),
        (["1980-01-02"], "XSES", DataError, "1980"),  # the calendar is recorded from 1986 on
    ],
)
def test_a_date_without_a_session_is_refused(dates, calendar, error, says):
    with pytest.raises(error, match=says):
        table.session_closes(pd.DatetimeIndex(dates), calendar)


def test_expected_ends_of_a_half_day_and_of_weeks():
    day = at("2018-11-23 00:00", "2018-11-23 23:59")
    hours = at(*(f"2018-11-23 {hour}" for hour in ("15:30", "16:30", "17:30", "18:00")))
    assert table.expected_times(*day, "1h", "XNYS").equals(hours)
    assert table.expected_times(*day, "1d", "XNYS").equals(hours[-1:])
    weeks = table.expected_times(*at("2024-01-01", "2024-01-15"), "1w", "24/7")
    assert weeks.equals(at("2024-01-01", "2024-01-08", "2024-01-15"))
    with pytest.raises(ParamsError, match="XNYS bars are 1d or shorter, was 1w"):
        table.expected_times(*day, "1w", "XNYS")


@pytest.mark.parametrize(
    ("interval", "bars"),
    [("1m", 525_960), ("1h", 8766), ("4h", 2191.5), ("1d", 365.25), ("1w", 365.25 / 7)],
)
def test_bars_a_year_of_a_market_that_never_closes(interval, bars):
    assert table.bars_per_year(interval, "24/7") == bars


def test_bars_a_year_of_an_exchange_are_its_sessions():
    # an early start: the calendar's own default begins twenty years before today
    calendar = exchange_calendars.get_calendar("XNYS", start="1999-01-01", end="2020-12-31")
    counted = [day for day in calendar.sessions if 2000 <= day.year <= 2019]
    assert len(counted) == 5031
    assert table.bars_per_year("1d", "XNYS") == 5031 / 20 == 251.55


@pytest.mark.parametrize("interval", ["", "h", "0h", "1", "1H", "1.5h", "-1h", "1 h", "1mo"])
def test_an_interval_is_a_count_and_a_unit(interval):
    with pytest.raises(ParamsError, match="a count and one of m, h, d, w"):
        table.interval_length(interval)


@CAREFUL
@given(made_bars())
def test_gaps_equal_a_walk_over_every_hour(bars):
    runs, hour = [], bars.index[0]
    present = set(bars.index)
    while hour < bars.index[-1]:
        hour += pd.Timedelta(1, "h")
        if hour in present:
            continue
        if runs and runs[-1][1] == hour - pd.Timedelta(1, "h"):
            runs[-1][1:] = [hour, runs[-1][2] + 1]
        else:
            runs.append([hour, hour, 1])
    got = table.gaps(bars, "1h", "24/7")
    assert [list(row) for row in got.itertuples(index=False)] == runs


def test_gaps_of_an_exchange_count_sessions_not_days():
    # Friday, Tuesday after a long weekend, Thursday: one session is missing
    bars = flat(at("2024-01-12 21:00", "2024-01-16 21:00", "2024-01-18 21:00"))
    got = table.gaps(bars, "1d", "XNYS")
    missing = pd.Timestamp("2024-01-17 21:00", tz="UTC")
    assert got.to_dict("records") == [{"first": missing, "last": missing, "bars": 1}]


@pytest.mark.parametrize(
    ("ends", "interval", "calendar", "says"),
    [
        (["2024-01-01 01:30", "2024-01-01 02:30"], "1h", "24/7", r"2 bars .*first: .* 01:30Z"),
        (["2024-01-01 01:00", "2024-01-01 02:30"], "1h", "24/7", r"1 bars .*first: .* 02:30Z"),
        (["2024-01-05 21:00", "2024-01-08 20:00"], "1d", "XNYS", "2024-01-08 20:00Z"),
        (["2024-01-02", "2024-01-09"], "1w", "24/7", "1w grid of 24/7"),
    ],
)
def test_bars_off_the_grid_are_refused(ends, interval, calendar, says):
    with pytest.raises(DataError, match=says):
        table.gaps(flat(at(*ends)), interval, calendar)
