"""collection/times.py: every way to write a time gives the instant, or the reason why it cannot."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.collection.times import read_times
from signalkit.collection.zone_names import zone_named
from signalkit.errors import DataError, ParamsError

# past the twelfth of a month, so that the order of day and month shows
HOURS = pd.date_range("2023-12-20 21:00", periods=30, freq="h")


def times(values, tz=None, **options):
    """Times of a column."""
    return read_times(pd.Series(list(values)), tz, **options)


def utc(*texts):
    """Instants."""
    return pd.DatetimeIndex(texts, tz="UTC").as_unit("ns")


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d %H:%M:%S.000000",
        "%Y/%m/%d %H:%M",
        "%Y.%m.%d %H:%M",
        "%Y%m%d %H:%M",
        "%Y%m%d %H%M%S",
        "%Y-%m-%d %I-%p",
        "%d/%m/%Y %H:%M",
        "%d.%m.%Y %H:%M:%S.000",
        "%d-%m-%y %H:%M",
        "%m/%d/%Y %I:%M:%S %p",
        "%m/%d/%y %H:%M",
        "%d-%b-%Y %H:%M",
        "%d %B %Y %H:%M",
        "%b %d, %Y %I:%M %p",
        "%a, %d %b %Y %H:%M:%S GMT",
        "%Y-%m-%d %H:%M:%S UTC",
        "%Y-%m-%dT%H:%M:%S.000Z",
        "%Y-%m-%d %H:%M:%S+00:00",
        "%m/%d/%Y %H:%M +0000",
    ],
)
def test_a_time_written_by_strftime_is_read_back(form):
    found = times(HOURS.strftime(form))
    assert found.utc.equals(HOURS.tz_localize("UTC").as_unit("ns"))
    assert found.dates.equals(HOURS.normalize().as_unit(found.dates.unit))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(10**8, 4 * 10**9), min_size=1, max_size=20), st.booleans())
def test_an_epoch_is_read_in_the_unit_of_its_size(unit, seconds, as_text):
    per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    written = [second * per for second in seconds]
    found = times(map(str, written) if as_text else written)
    assert found.utc.asi8.tolist() == [second * 10**9 for second in seconds]
    assert found.notes == (f"epochs in {unit}",)
    assert found.zone == "UTC, epochs"


def test_epochs_of_two_units_are_each_read_in_their_own():
    # Binance went from milliseconds to microseconds on 2025-01-01
    found = times([1735689540000, 1735689600000000, 1735689660])
    assert found.utc.tolist() == utc("2024-12-31 23:59", "2025-01-01", "2025-01-01 00:01").tolist()
    assert found.notes == ("epochs mixed: 1 in s, 1 in ms, 1 in us",)


def test_the_last_digit_of_a_nanosecond_epoch_is_kept():
    assert times([1704067200123456789]).utc.asi8.tolist() == [1704067200123456789]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1, 2, 3], "times from 1 to 3 are no epoch in s, ms, us or ns; write ISO 8601"),
        ([-1704067200, 1704067200], "are no epoch"),
        ([1e25, 2e25], "are no epoch"),
        ([1704067200, np.nan, 1704070800], r"the time in row 1 is empty \(1 such rows\)"),
        (["2024-01-01", None], "the time in row 1 is empty"),
        (["2024-01-01 00:00", "noon"], r"a time cannot be read: 'noon' in row 1 \(1 such rows\)"),
        (["2023-02-28", "2023-02-29"], "row 1 has no such day or hour, '2023-02-29'"),
        (["28.02.2023", "29.02.2023"], r"row 1 has no such day, '29\.02\.2023'"),
        (["2024-01-01 23:00", "2024-01-01 24:00"], "row 1 has no such day or hour"),
        (["20.01.2024 24:00"], "row 0 has no such hour"),
        (["20.01.2024 13:00 PM"], "row 0 has no such hour"),
        (["2024-01-01T00:00Z", "2024-01-01T01:00"], "row 1 has no offset .* where others have one"),
        (["20.01.2024 00:00 Z", "20.01.2024 01:00"], "row 1 states no zone .* where others"),
        (["13/01/2024", "01/14/2024"], "dates mix orders: 1 rows have a first number over 12, 1 a"),
        (["2024-01-01 00:00:00 EST"], "a time cannot be read: '2024-01-01 00:00:00 EST' in row 0"),
    ],
)
def test_a_time_that_cannot_be_read_is_named_with_its_row(values, says):
    with pytest.raises(DataError, match=says):
        times(values)


def test_day_and_month_are_told_apart_by_a_day_over_twelve():
    assert times(["12/01/2024", "13/01/2024"]).utc.equals(utc("2024-01-12", "2024-01-13"))
    assert times(["01/12/2024", "01/13/2024"]).utc.equals(utc("2024-01-12", "2024-01-13"))
    assert times(["13/01/2024"]).notes == ("dates are day-first: 1 rows have a day over 12 there",)


def test_day_and_month_are_told_apart_by_even_steps():
    # read the other way these three days would be a month apart, 31 and 30 days
    for texts, order in (
        (["05/06/2024", "06/06/2024", "07/06/2024"], "day-first"),
        (["06/05/2024", "06/06/2024", "06/07/2024"], "month-first"),
    ):
        found = times(texts)
        assert found.utc.equals(utc("2024-06-05", "2024-06-06", "2024-06-07"))
        assert found.notes[0] == f"dates are {order}: so read 100% of the steps are even, else 50%"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["03/02/2024 00:00", "03/02/2024 01:00"], "100% .* even day-first, 100% month-first"),
        (["10/8/2015 13:00", "10/8/2015 14:00"], "no number is over 12, .* write ISO 8601"),
        (["05/06/2024"], "0% of the steps are even day-first, 0% month-first"),
        # monthly bars or days: nothing but the calendar of the market would tell
        ([f"{k:02}/01/2024" for k in range(1, 13)], "day-first or month-first"),
    ],
)
def test_dates_that_can_be_read_in_two_ways_are_refused_with_the_evidence(values, says):
    with pytest.raises(DataError, match=says):
        times(values)


def test_a_year_of_two_digits_that_may_stand_first_is_refused():
    with pytest.raises(DataError, match="year"):
        times([f"24-01-05 {hour:02}:00" for hour in range(24)])


def test_years_of_two_digits_are_those_around_now():
    assert times(["31-Dec-69"]).utc.equals(utc("2069-12-31"))
    assert times(["31-Dec-70"]).utc.equals(utc("1970-12-31"))


def test_midnight_and_noon_of_a_clock_of_twelve_hours():
    found = times(["2020-11-20 12-AM", "2020-11-20 01-AM", "2020-11-20 12-PM", "2020-11-20 11-PM"])
    assert found.utc.hour.tolist() == [0, 1, 12, 23]


@pytest.mark.parametrize(
    ("zone_of", "turn"),
    [("Europe/Berlin", "2023-10-28 12:00"), ("Asia/Jerusalem", "2023-03-23 12:00")],
)
@pytest.mark.parametrize("sep", ["", ":"])
def test_offsets_that_change_with_the_season_give_hour_after_hour(zone_of, turn, sep):
    local = pd.date_range(turn, periods=24, freq="h", tz="UTC").tz_convert(zone_of)
    assert len({t.utcoffset() for t in local}) == 2
    offset = [t.strftime("%z") if not sep else t.isoformat()[-6:] for t in local]
    iso = [f"{t:%Y-%m-%dT%H:%M:%S}{o}" for t, o in zip(local, offset, strict=True)]
    other = [f"{t:%d %b %Y %H:%M:%S} {o}" for t, o in zip(local, offset, strict=True)]
    for texts in (iso, other):
        found = times(texts)
        assert found.utc.equals(local.tz_convert("UTC").as_unit("ns"))
        assert found.dates.tolist() == [pd.Timestamp(t.date()) for t in local]
        assert found.zone.startswith("offset in the text")


def test_a_zone_doubles_an_hour_in_autumn_and_leaves_one_out_in_spring():
    for start in ("2023-10-28 22:00", "2023-03-25 22:00"):
        instants = pd.date_range(start, periods=9, freq="h", tz="UTC").as_unit("ns")
        local = instants.tz_convert("Europe/Berlin").tz_localize(None)
        found = times(local.strftime("%Y-%m-%d %H:%M"), "Europe/Berlin")
        assert found.utc.equals(instants)
        assert found.zone == "Europe/Berlin, given"
        assert times(local, "Europe/Berlin").utc.equals(instants)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            ["2023-03-26 01:00", "2023-03-26 02:00"],
            r"cannot be read .*2023-03-26 02:00.* in Europe",
        ),
        (["2023-10-29 01:00", "2023-10-29 02:00"], r"cannot be read .*2023-10-29 02:00"),
    ],
)
def test_an_hour_that_a_zone_does_not_have_or_has_twice_is_refused(values, says):
    with pytest.raises(DataError, match=says):
        times(values, "Europe/Berlin")


def test_times_that_state_nothing_are_utc_and_told_so():
    assert times(["2024-01-01"]).zone == "UTC, assumed: the file states none"
    assert times(["2024-01-01"], stated="UTC").zone == "UTC, stated in the file"
    assert times(["2024-01-01"], "Asia/Tokyo", stated="UTC").zone == "Asia/Tokyo, given"
    assert times(["2024-01-01 09:00"], "Asia/Tokyo").utc.equals(utc("2024-01-01"))
    # what the text states goes before what the caller says
    assert times(["2024-01-01T09:00+09:00"], "Europe/Berlin").utc.equals(utc("2024-01-01"))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_datetimes_of_any_unit_and_zone_become_utc(unit):
    naive = HOURS.as_unit(unit)
    assert times(naive).utc.equals(HOURS.tz_localize("UTC").as_unit("ns"))
    tokyo = naive.tz_localize("Asia/Tokyo")
    found = times(tokyo)
    assert found.utc.equals(tokyo.tz_convert("UTC").as_unit("ns"))
    assert found.zone == "Asia/Tokyo in the file"
    assert found.dates[0] == pd.Timestamp("2023-12-20")


def test_dates_as_one_number_are_days():
    assert times([20240229, 20240301]).utc.equals(utc("2024-02-29", "2024-03-01"))


def test_minutes_as_one_number_are_times_of_day():
    assert times([202402292359, 202403010000]).utc.equals(utc("2024-02-29 23:59", "2024-03-01"))


def test_a_zone_nobody_knows_is_refused():
    with pytest.raises(ParamsError, match="'Mars/Base' is no time zone; write one such as Europe"):
        zone_named("Mars/Base")
    with pytest.raises(ParamsError, match="Mars/Base"):
        times(["2024-01-01"], "Mars/Base")


def test_the_doubled_hour_is_told_apart_newest_first_too():
    moments = pd.date_range("2023-10-28 22:00", periods=6, freq="h", tz="UTC")
    local = moments.tz_convert("Europe/Berlin").strftime("%Y-%m-%d %H:%M")
    assert local.duplicated().sum() == 1
    forward, backward = times(local, "Europe/Berlin"), times(local[::-1], "Europe/Berlin")
    assert forward.utc.tolist() == moments.tolist()
    assert backward.utc.tolist() == moments[::-1].tolist()
    assert backward.dates.tolist() == forward.dates[::-1].tolist()
