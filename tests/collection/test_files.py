"""collection/files.py: usual files are read, broken ones refused with file, row and value."""

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from signalkit.bars import COLUMNS
from signalkit.collection import read_file
from signalkit.errors import DataError, ParamsError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
shared = pytest.mark.skipif(
    not SHARED.exists(), reason="the shared market data are not beside the project"
)
HEAD = "time,open,high,low,close,volume"
ROW = "2,4,1,3,10"
HOURS = [f"2024-01-01 {hour:02}:00" for hour in range(5)]
FIRST_END = pd.Timestamp("2024-01-01 01:00", tz="UTC")


@pytest.fixture
def csv(tmp_path):
    """A function that writes lines as bytes of a file and gives its path."""

    def write(lines, *, name="bars.csv", encoding="utf-8"):
        file = tmp_path / name
        file.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
        return file

    return write


def rows(times, row=ROW, head=HEAD):
    return [head, *(f"{time},{row}" for time in times)]


def test_a_plain_file_is_read_with_its_report(csv):
    file = csv([HEAD, *(f"{HOURS[k]},2,4,1,3,{k}" for k in (0, 1, 3, 4))])
    bars = read_file(file)
    assert list(bars.columns) == list(COLUMNS)
    assert bars.index.name == "time"
    assert bars.index.hour.tolist() == [1, 2, 4, 5]
    assert bars.iloc[2].tolist() == [2.0, 4.0, 1.0, 3.0, 3.0]
    found = bars.attrs["report"]
    assert (found.path, found.interval, found.calendar) == (str(file), "1h", "24/7")
    assert (found.rows, found.first, found.last) == (4, bars.index[0], bars.index[-1])
    assert (found.gaps, found.missing_bars, found.zero_volume_bars) == (1, 1, 1)


@pytest.mark.parametrize(
    "head",
    [
        "Open Time, OPEN ,High,Low,Close, Volume",
        "timestamp,open,high,low,close,vol",
        "Date,Open,High,Low,Close,Volume_Base",
        "datetime,open,high,low,close,volume",
        "opentime,open,high,low,close,volume",
        "\ufefftime,open,high,low,close,volume",
    ],
)
def test_usual_names_of_columns_are_known(csv, head):
    assert read_file(csv(rows(HOURS, head=head))).iloc[0].tolist() == [2.0, 4.0, 1.0, 3.0, 10.0]


def test_columns_are_found_by_name_in_any_order_among_others(csv):
    lines = ["trades,close,volume,low,high,open,unix", "7,3,10,1,4,2,1704067200"]
    bars = read_file(csv(lines), interval="1h")
    assert bars.iloc[0].tolist() == [2.0, 4.0, 1.0, 3.0, 10.0]
    assert bars.index[0] == FIRST_END


@pytest.mark.parametrize("name", ["bars.csv", "bars.csv.gz", "bars"])
def test_gzip_is_known_by_its_bytes_not_by_its_name(csv, name):
    file = csv(rows(HOURS), name=name)
    plain = read_file(file)
    file.write_bytes(gzip.compress(file.read_bytes()))
    pd.testing.assert_frame_equal(read_file(file), plain)


@pytest.mark.parametrize("per_second", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("first", ["1975-01-01", "2024-01-01", "2150-01-01"])
def test_epochs_are_read_in_seconds_and_parts_of_them(csv, per_second, first):
    start = pd.Timestamp(first, tz="UTC")
    epochs = [(int(start.timestamp()) + 60 * minute) * per_second for minute in range(4)]
    bars = read_file(csv(rows(epochs)))
    assert bars.attrs["report"].interval == "1m"
    assert bars.index[0] == start + pd.Timedelta(1, "min")


@pytest.mark.parametrize(
    ("epochs", "says"),
    [
        # Binance went from milliseconds to microseconds on 2025-01-01
        ([1735689540000, 1735689600000000], r"times from 1\.73569e\+12 to .* are no one epoch"),
        ([1, 2, 3], "times from 1 to 3 are no one epoch"),
        ([20240101, 20240102], "are no one epoch"),
        ([-1704067200, 1704067200], "are no one epoch"),
        ([1704067200, "", 1704070800], "no one epoch"),
    ],
)
def test_epochs_of_no_or_of_two_units_are_refused(csv, epochs, says):
    with pytest.raises(DataError, match=says):
        read_file(csv(rows(epochs)))


SUMMER_ENDS = ["2023-10-29T01:00+02:00", "2023-10-29T02:00+02:00", "2023-10-29T02:00+01:00"]


@pytest.mark.parametrize(
    ("times", "tz", "first"),
    [
        (HOURS, None, "2024-01-01 01:00"),
        (HOURS, "America/New_York", "2024-01-01 06:00"),
        (HOURS, "Asia/Tokyo", "2023-12-31 16:00"),
        ([f"{time}Z" for time in HOURS], None, "2024-01-01 01:00"),
        ([f"{time}+03:00" for time in HOURS], None, "2023-12-31 22:00"),
        ([f"{time}+03:00" for time in HOURS], "Asia/Tokyo", "2023-12-31 22:00"),
        ([time.replace(" ", "T") for time in HOURS], None, "2024-01-01 01:00"),
        (SUMMER_ENDS, None, "2023-10-29 00:00"),
        (SUMMER_ENDS, "Europe/Berlin", "2023-10-29 00:00"),
    ],
)
def test_iso_times_are_utc_unless_they_or_the_caller_say_otherwise(csv, times, tz, first):
    bars = read_file(csv(rows(times)), tz=tz)
    assert bars.index[0] == pd.Timestamp(first, tz="UTC")
    assert (bars.index.to_series().diff().dropna() == pd.Timedelta(1, "h")).all()


@pytest.mark.parametrize(
    ("times", "tz", "error", "says"),
    [
        (["10/8/2015 13:00", "10/8/2015 14:00"], None, DataError, "write ISO 8601 or epochs"),
        (["2024-01-01 00:00", "noon"], None, DataError, "a time cannot be read .*noon"),
        (["2023-02-29 00:00", "2023-02-29 01:00"], None, DataError, "a time cannot be read"),
        ([HOURS[0], "", HOURS[2]], None, DataError, "row 1"),
        ([*HOURS, ""], None, DataError, "row 5"),
        # clocks go back and forth: these local times are twice or never
        (["2023-10-29 02:00", "2023-10-29 02:00"], "Europe/Berlin", DataError, "2023-10-29 02:00"),
        (["2023-03-26 02:00", "2023-03-26 03:00"], "Europe/Berlin", DataError, "2023-03-26 02:00"),
        (HOURS, "Mars/Base", ParamsError, "Mars/Base"),
    ],
)
def test_times_that_cannot_be_read_are_refused(csv, times, tz, error, says):
    with pytest.raises(error, match=says):
        read_file(csv(rows(times)), tz=tz)


@pytest.mark.parametrize(
    ("dates", "calendar", "tz", "closes"),
    [
        (["2003-07-02", "2003-07-03"], "XNYS", None, ["2003-07-02 20:00", "2003-07-03 17:00"]),
        (["2024-03-08", "2024-03-11"], "XNYS", None, ["2024-03-08 21:00", "2024-03-11 20:00"]),
        (["2024-01-10"], "XNYS", "America/New_York", ["2024-01-10 21:00"]),
        (["2024-01-10", "2024-01-11"], "XTKS", None, ["2024-01-10 06:00", "2024-01-11 06:00"]),
        (
            ["2024-01-10", "2024-01-11"],
            "XTKS",
            "Asia/Tokyo",
            ["2024-01-10 06:00", "2024-01-11 06:00"],
        ),
        (["2024-01-10T00:00+09:00"], "XTKS", None, ["2024-01-10 06:00"]),
    ],
)
def test_daily_bars_of_an_exchange_end_at_the_close_of_their_date(csv, dates, calendar, tz, closes):
    bars = read_file(csv(rows(dates)), interval="1d", calendar=calendar, tz=tz)
    assert bars.index.tolist() == [pd.Timestamp(close, tz="UTC") for close in closes]


def test_a_daily_bar_on_a_day_without_a_session_is_refused(csv):
    with pytest.raises(DataError, match=r"bars\.csv: XNYS had no session on 2024-01-06"):
        read_file(csv(rows(["2024-01-05", "2024-01-06"])), calendar="XNYS")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([f"{HOURS[1]},2,1.5,1,3,10"], "high must not be under .*row 1, .*02:00Z.* high 1.5, .*"),
        ([f"{HOURS[1]},2,4,3.5,3,10"], "low must not be over .*row 1.* low 3.5"),
        ([f"{HOURS[1]},2,1,4,3,10"], "high must not be under .*row 1.* high 1, low 4"),
        ([f"{HOURS[1]},2,4,-1,3,10"], "prices must be above 0; row 1.* low -1"),
        ([f"{HOURS[1]},2,inf,1,3,10"], "every value must be finite; row 1.* high inf"),
        ([f"{HOURS[1]},2,4,1,3,-10"], "volume must not be negative; row 1.* volume -10"),
        ([f"{HOURS[1]},2,4,1,n/a!,10"], "close in row 1 is no number: 'n/a!'"),
        ([f'{HOURS[1]},2,"1,004",1,3,10'], "high in row 1 is no number: '1,004'"),
        ([f"{HOURS[1]},2,4,,3,10"], "low in row 1 is no number: .*nan"),
        ([f"{HOURS[0]},{ROW}"], "row 1: 2024-01-01 01:00Z follows 2024-01-01 01:00Z"),
        ([f"2023-12-31 23:00,{ROW}"], "row 1: 2024-01-01 00:00Z follows 2024-01-01 01:00Z"),
    ],
)
def test_a_broken_row_is_named_with_its_values(csv, lines, says):
    file = csv([HEAD, f"{HOURS[0]},{ROW}", *lines, f"{HOURS[2]},{ROW}"])
    with pytest.raises(DataError, match=rf"bars\.csv: (bars: |bars goes back in time at )?{says}"):
        read_file(file, interval="1h")


def test_a_file_with_its_newest_bar_first_is_refused_as_such(csv):
    with pytest.raises(DataError, match="goes back in time at row 1"):
        read_file(csv(rows(HOURS[::-1])), interval="1h")
    with pytest.raises(DataError, match="goes back in time at row 1"):
        read_file(csv(rows(HOURS[::-1])))


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("time,open,high,low,close,quote", "no column named volume or vol or volume_base; the fi"),
        ("when,open,high,low,close,volume", "no column named time or timestamp or date or .*when"),
        ("time,open,high,low,last,volume", r"no column named close; the file has \['time', 'open'"),
        ("time,open,high,low,close,volume,Close", "close"),
    ],
)
def test_a_missing_or_doubled_column_is_named(csv, head, says):
    row = ROW + ",3" * head.endswith("Close")
    with pytest.raises(DataError, match=rf"bars\.csv: .*{says}"):
        read_file(csv(rows(HOURS, row=row, head=head)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a CSV file with a header"),
        (HEAD.encode() + b"\n", "no rows"),
        (HEAD.encode() + b"\n2024-01-01,1,2,\x93,1,1\n", "not a CSV file with a header .*0x93"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a CSV file with a header"),
        (b"PK\x03\x04" + b"\xff" * 50, "not a CSV file with a header"),
        (gzip.compress(HEAD.encode() * 99)[:-12], "gzip|ended|not a CSV"),
        (b"\x1f\x8b" + b"x" * 50, "gzip|not a CSV"),
        (gzip.compress(b""), "not a CSV file with a header"),
    ],
    ids=["empty", "header", "cp1252", "image", "zip", "cut gzip", "broken gzip", "empty gzip"],
)
def test_a_file_that_is_no_csv_is_refused(csv, content, says):
    file = csv([])
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"bars\.csv: .*({says})"):
        read_file(file)


def test_a_path_without_a_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_file(tmp_path / "none.csv")
    with pytest.raises(DataError, match=str(tmp_path)):
        read_file(tmp_path)


@pytest.mark.parametrize(
    ("minutes", "interval"),
    [(1, "1m"), (15, "15m"), (60, "1h"), (240, "4h"), (1440, "1d"), (4320, "3d"), (10080, "1w")],
)
def test_the_interval_is_the_most_common_distance(csv, minutes, interval):
    # from a Monday on that ends three days, with a hole: four distances of one and one of two
    times = pd.date_range("2024-01-15", periods=7, freq=f"{minutes}min").delete(3)
    bars = read_file(csv(rows(times)))
    assert bars.attrs["report"].interval == interval
    assert bars.attrs["report"].missing_bars == 1


@pytest.mark.parametrize(
    ("times", "interval", "says"),
    [
        (HOURS[:1], None, "one bar alone does not tell its interval; pass interval"),
        (["2024-01-01 00:00:00", "2024-01-01 00:00:10"], None, "10 s apart, which is no whole min"),
        (
            HOURS,
            "2h",
            "row 1 is 0 days 01:00:00 after .*, less than the interval 2h",
        ),
        (HOURS, "1d", "less than the interval 1d"),
        ([*HOURS[:3], "2024-01-01 02:30"], None, "row 3 is 0 days 00:30:00 after .* interval 1h"),
        ([*HOURS[:3], "2024-01-01 03:30"], None, "1 bars do not end on the 1h grid .* 04:30Z"),
        (["2024-01-01 00:30", "2024-01-01 01:30"], None, "2 bars do not end on the 1h grid"),
        # each bar would be known before it ended
        (HOURS, "30m", "30m"),
        (HOURS, "1m", "1m"),
    ],
)
def test_rows_that_do_not_have_the_interval_are_refused(csv, times, interval, says):
    with pytest.raises(DataError, match=says):
        read_file(csv(rows(times)), interval=interval)


def test_weekly_bars_are_not_taken_for_days_of_an_exchange(csv):
    mondays = ["2024-01-08", "2024-01-22", "2024-01-29", "2024-02-05"]
    with pytest.raises(DataError, match="1d"):
        read_file(csv(rows(mondays)), interval="1d", calendar="XNYS")


def test_an_interval_nobody_knows_is_refused(csv):
    with pytest.raises(ParamsError, match=r"a count and one of m, h, d, w .*, was 'hour'"):
        read_file(csv(rows(HOURS)), interval="hour")


MIXED = ["time,symbol,open,high,low,close,volume"]
MIXED += [f"{time},{name},{ROW}" for time, name in zip(HOURS, "AAABB", strict=True)]


def test_rows_of_a_symbol_are_kept_where_the_file_names_symbols(csv):
    assert len(read_file(csv(MIXED), symbol="A")) == 3
    assert read_file(csv(MIXED), symbol="B").index.hour.tolist() == [4, 5]
    with pytest.raises(DataError, match="no rows of C"):
        read_file(csv(MIXED), symbol="C")
    assert len(read_file(csv(rows(HOURS)), symbol="A")) == 5


def test_rows_of_two_symbols_are_not_read_as_one(csv):
    with pytest.raises(DataError, match="symbol"):
        read_file(csv(MIXED))


@shared
@pytest.mark.parametrize("symbol", ["ADAUSDT", "BNBUSDT", "BTCUSDT", "ETHUSDT"])
def test_the_report_of_real_hours_is_that_of_their_manifest(symbol):
    manifest = json.loads((SHARED / "MANIFEST.json").read_text())
    name = f"crypto_1h/{symbol}_1h.csv.gz"
    (known,) = [entry["stats"] for entry in manifest if entry["file"] == name]
    found = read_file(SHARED / name).attrs["report"]
    assert found.interval == "1h"
    hour = pd.Timedelta(1, "h")
    assert (found.first - hour, found.last - hour) == tuple(
        pd.Timestamp(known[key]) for key in ("first", "last")
    )
    keys = ("rows", "gaps", "missing_bars", "zero_vol")
    assert [found.rows, found.gaps, found.missing_bars, found.zero_volume_bars] == [
        known[key] for key in keys
    ]


@shared
def test_real_hours_with_an_offset_are_in_utc():
    bars = read_file(SHARED / "dirty" / "tz_offset_BTCUSDT_1h.csv.gz")
    assert bars.index[0] == pd.Timestamp("2020-10-23 12:00+03:00")


@shared
def test_real_days_of_one_stock_among_many_end_at_the_close():
    file = SHARED / "stocks_daily" / "stocknet_panel.csv.gz"
    bars = read_file(file, symbol="AAPL", calendar="XNYS")
    found = bars.attrs["report"]
    assert (found.interval, found.rows, found.gaps) == ("1d", 1258, 0)
    assert found.first == pd.Timestamp("2012-09-04 16:00", tz="America/New_York")
    assert bars.loc["2012-11-23"].index[0].hour == 18  # the day after Thanksgiving


def test_the_last_bar_of_a_session_ends_at_its_close(tmp_path):
    opens = ["09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30"]
    rows = "".join(f"2024-01-10T{time},10,11,9,10,5\n" for time in opens)
    file = tmp_path / "hours.csv"
    file.write_text(f"time,open,high,low,close,volume\n{rows}")
    got = read_file(file, interval="1h", tz="America/New_York", calendar="XNYS")
    assert got.index[-1] == pd.Timestamp("2024-01-10 21:00", tz="UTC")
    assert got.index[0] == pd.Timestamp("2024-01-10 15:30", tz="UTC")
