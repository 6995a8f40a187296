"""collection/files.py: usual files are read, broken ones refused with file, row and value.

A seeded market is written in every dialect that data come in, and must come back bit for bit.
"""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.bars import COLUMNS, interval_length
from signalkit.collection import read_file
from signalkit.collection.files import check_names_symbols
from signalkit.errors import DataError, ParamsError

HEAD = "time,open,high,low,close,volume"
ROW = "2,4,1,3,10"
HOURS = [f"2024-01-01 {hour:02}:00" for hour in range(5)]


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
        ([f"{HOURS[1]},2,4,,3,10"], "low in row 1 is (empty|no number)"),
    ],
)
def test_a_broken_row_is_named_with_its_values(csv, lines, says):
    file = csv([HEAD, f"{HOURS[0]},{ROW}", *lines, f"{HOURS[2]},{ROW}"])
    with pytest.raises(DataError, match=rf"bars\.csv: (bars: )?{says}"):
        read_file(file, interval="1h")


def test_a_file_with_its_newest_bar_first_is_turned(csv):
    times = [*HOURS[:2], HOURS[3], HOURS[4]]
    plain = read_file(csv(rows(times)))
    turned = read_file(csv(rows(times[::-1])))
    pd.testing.assert_frame_equal(turned, plain)
    assert turned.attrs["report"].notes == ("newest first in the file",)


def test_rows_that_contradict_each_other_are_refused(csv):
    with pytest.raises(DataError, match=r"1 bars come in two versions, .*: 2024-01-01 04:00Z \(1"):
        read_file(csv([*rows(HOURS), f"{HOURS[4]},2,4,1,3,9"]))
    with pytest.raises(DataError, match="1 rows stand against the order of the file; row 5, 2023"):
        read_file(csv(rows([*HOURS, "2023-12-31 22:00"])))


def test_equal_rows_are_dropped_and_counted(csv):
    bars = read_file(csv(rows([*HOURS, HOURS[4]])))
    assert len(bars) == 5
    assert (bars.attrs["report"].duplicates, bars.attrs["report"].rows_read) == (1, 6)


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
        (HOURS, "2h", "bars are most often 1h apart, not 2h; pass interval='1h'"),
        (HOURS, "1d", "bars are most often 1h apart, not 1d"),
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


def test_rows_of_two_symbols_are_not_read_as_one(csv):
    with pytest.raises(DataError, match="rows of 2 symbols; pass symbol, such as 'A'"):
        read_file(csv(MIXED))
    assert read_file(csv(MIXED), symbol="B").index.hour.tolist() == [4, 5]
    check_names_symbols(csv(MIXED))
    with pytest.raises(DataError, match=r"no symbol column .* write \{symbol\} in the path"):
        check_names_symbols(csv(rows(HOURS)))


def test_the_last_bar_of_a_session_ends_at_its_close(tmp_path):
    opens = ["09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30"]
    rows = "".join(f"2024-01-10T{time},10,11,9,10,5\n" for time in opens)
    file = tmp_path / "hours.csv"
    file.write_text(f"time,open,high,low,close,volume\n{rows}")
    got = read_file(file, interval="1h", tz="America/New_York", calendar="XNYS")
    assert got.index[-1] == pd.Timestamp("2024-01-10 21:00", tz="UTC")
    assert got.index[0] == pd.Timestamp("2024-01-10 15:30", tz="UTC")


def market(count, *, digits=2, seed=1, interval="1h", first="2023-10-28 20:00"):
    """Bars of a seeded random walk by open, past the twelfth and across the change of clocks."""
    rng = np.random.default_rng(seed)
    tick = 10.0**-digits
    close = rng.integers(300, 9000) + np.cumsum(rng.integers(-9, 10, count))
    open_ = np.r_[close[0], close[:-1]]
    reach = rng.integers(0, 9, (2, count))
    high, low = np.maximum(open_, close) + reach[0], np.minimum(open_, close) - reach[1]
    prices = np.stack([open_, high, low, close], axis=1) * tick
    opens = pd.date_range(first, periods=count, freq=interval_length(interval), name="t")
    bars = pd.DataFrame(prices.round(digits), opens, list(COLUMNS[:4]))
    return bars.assign(volume=rng.lognormal(3, 2, count))


def plain(value):
    """Shortest digits of a number that give it back, without an exponent."""
    return np.format_float_positional(value, trim="0")


def lines(bars, times, *, head="time,open,high,low,close,volume", extra=None, sep=",", end="\n"):
    """Bars as text; `extra` gives each row's further cells."""
    extra = extra or [()] * len(bars)
    cells = [
        [str(time), *map(plain, row), *map(str, more)]
        for time, row, more in zip(times, bars.to_numpy().tolist(), extra, strict=True)
    ]
    return (head.replace(",", sep) + end) * bool(head) + end.join(map(sep.join, cells)) + end


def epochs(bars, per_second):
    """Opens as epochs."""
    return (bars.index.as_unit("ns").asi8 // (10**9 // per_second)).tolist()


def binance(bars, per_second, head=""):
    """The twelve columns of a dump."""
    quote = (bars["volume"] * bars[["high", "low"]].mean(axis=1)).tolist()
    stamps = epochs(bars, per_second)
    extra = [(time + 3599, q, 7, 1, 1, 0) for time, q in zip(stamps, quote, strict=True)]
    return lines(bars, stamps, head=head, extra=extra)


def of_berlin(bars):
    """Opens with the offset of Berlin, which changes inside the market."""
    return [time.isoformat() for time in bars.index.tz_localize("UTC").tz_convert("Europe/Berlin")]


def table(bars, name="date"):
    """Bars with their opens as a column."""
    return bars.rename_axis(name).reset_index()


def saved(frame, method, **options):
    """Bytes of a frame written by one of its methods."""
    held = io.BytesIO()
    getattr(frame, method)(held, **options)
    return held.getvalue()


def zipped(text):
    """A zip of one file."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("q.csv", text)
    return held.getvalue()


FUTURES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
MT5 = "<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<TICKVOL>"
YAHOO = "Date,Open,High,Low,Close,Volume,Adj Close"
UMLAUT = "Date,Open,High,Low,Close,Volume,Größe"
CDD = "https://www.example.com\nunix,date,symbol,open,high,low,close,Volume BTC\n"
OCHL = ["open", "close", "high", "low", "volume"]


def cryptodatadownload(bars):
    """A line with the address, newest first, a clock of twelve hours, epochs of two units."""
    stamps = [t * (1000 if k % 3 else 1) for k, t in enumerate(epochs(bars, 1))]
    text = [f"{t},{d:%Y-%m-%d %I-%p},BTCUSD" for t, d in zip(stamps, bars.index, strict=True)]
    return CDD + lines(bars[::-1], text[::-1], head="")


def rows_of(bars):
    """Lists of epochs in ms and values."""
    return [[t, *v] for t, v in zip(epochs(bars, 1000), bars.to_numpy().tolist(), strict=True)]


DIALECTS = {
    "binance ms": lambda b: binance(b, 1000),
    "binance us": lambda b: binance(b, 10**6),
    "binance both": lambda b: binance(b[:7], 1000) + binance(b[7:], 10**6),
    "binance futures": lambda b: binance(b, 1000, FUTURES),
    "cryptodatadownload": cryptodatadownload,
    "bitfinex": lambda b: lines(b[OCHL], epochs(b, 1000), head=""),
    "freqtrade json": lambda b: json.dumps(rows_of(b)),
    "freqtrade feather": lambda b: saved(table(b.tz_localize("UTC")), "to_feather"),
    "parquet s": lambda b: saved(table(b.set_axis(b.index.as_unit("s"))), "to_parquet"),
    "parquet index us": lambda b: saved(b.set_axis(b.index.as_unit("us")), "to_parquet"),
    "parquet tz": lambda b: saved(b.tz_localize("UTC").tz_convert("Asia/Tokyo"), "to_parquet"),
    "json objects": lambda b: json.dumps(
        [dict(zip("tohlcv", row, strict=True)) for row in rows_of(b)]
    ),
    "json columns": lambda b: json.dumps(
        dict(zip("tohlcv", map(list, zip(*rows_of(b), strict=True)), strict=True))
    ),
    "json lines": lambda b: "\n".join(
        json.dumps(dict(zip("tohlcv", row, strict=True))) for row in rows_of(b)
    ),
    "metatrader": lambda b: lines(b, b.index.strftime("%Y.%m.%d\t%H:%M:%S"), head=MT5, sep="\t"),
    "adjusted close": lambda b: lines(b, b.index, head=YAHOO, extra=[(1.5,)] * len(b)),
    "decimal comma": lambda b: lines(b, b.index, sep=";").replace(".", ","),
    "cp1252": lambda b: lines(b, b.index, head=UMLAUT, extra=[(1,)] * len(b)).encode("cp1252"),
    "offsets": lambda b: lines(b, of_berlin(b)),
    "day first": lambda b: lines(b, b.index.strftime("%d/%m/%Y %H:%M")),
    "month first": lambda b: lines(b, b.index.strftime("%m/%d/%Y %I:%M %p")),
    "years of two digits": lambda b: lines(b, b.index.strftime("%d-%b-%y %H:%M")),
    "dots": lambda b: lines(b, b.index.strftime("%d.%m.%Y %H:%M:%S.000")),
    "CRLF and BOM": lambda b: "\ufeff" + lines(b, b.index, end="\r\n"),
    "blank lines": lambda b: "\n" + lines(b, b.index, end="\n\n"),
    "quoted": lambda b: saved(table(b), "to_csv", index=False, quoting=1),
    "bzip2": lambda b: bz2.compress(lines(b, b.index).encode()),
    "xz": lambda b: lzma.compress(lines(b, b.index).encode()),
    "gzip": lambda b: gzip.compress(lines(b, b.index).encode()),
    "zip": lambda b: zipped(lines(b, b.index)),
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=12, deadline=None)
@given(
    st.integers(9, 60), st.integers(2, 8), st.integers(0, 2**32 - 1), st.sampled_from(["1h", "4h"])
)
def test_every_dialect_gives_the_same_bars_bit_for_bit(
    tmp_path_factory, dialect, count, digits, seed, interval
):
    bars = market(count, digits=digits, seed=seed, interval=interval)
    written = DIALECTS[dialect](bars)
    file = tmp_path_factory.getbasetemp() / "dialect"
    file.write_bytes(written.encode() if isinstance(written, str) else written)
    got = read_file(file)
    assert got.index.equals((bars.index + interval_length(interval)).tz_localize("UTC"))
    assert np.array_equal(got.to_numpy(), bars.to_numpy())


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y%m%d", "%b %d, %Y", "%d-%b-%y", "%d.%m.%Y"])
def test_days_come_back_from_dates(csv, form):
    bars = market(40, interval="1d", first="2023-10-13")
    file = csv([])
    file.write_text(lines(bars, bars.index.strftime(form), sep=";"))
    got = read_file(file)
    assert got.index.equals((bars.index + pd.Timedelta(1, "D")).tz_localize("UTC").rename("time"))
    assert np.array_equal(got.to_numpy(), bars.to_numpy())


@pytest.mark.parametrize("cut", [1, 20, 35])
def test_a_last_line_that_is_cut_off_is_refused_or_ends_the_file(csv, cut):
    bars = market(20).round({"volume": 2})
    file = csv([])
    whole = lines(bars, bars.index)
    last = whole.splitlines()[-1]
    file.write_text(whole[: -len(last)] + last[:-cut] if cut > 1 else whole[:-1])
    if cut == 1:
        assert len(read_file(file)) == 20
        return
    with pytest.raises(DataError, match=r"in row 19 is (no number|empty)"):
        read_file(file)


def test_local_time_without_its_zone_is_refused_with_the_hint(csv):
    bars = market(12)
    local = bars.index.tz_localize("UTC").tz_convert("Europe/Berlin").tz_localize(None)
    file = csv([])
    file.write_text(lines(bars, local))
    with pytest.raises(DataError, match=r"1 bars come in two versions.*local time, pass tz"):
        read_file(file)
    got = read_file(file, tz="Europe/Berlin")
    assert np.array_equal(got.to_numpy(), bars.to_numpy())
    assert got.attrs["report"].zone == "Europe/Berlin, given"


def test_every_defect_is_told_at_once_and_allowed_by_its_name(csv):
    bars = market(300, digits=4).assign(volume=lambda b: b["volume"].round(4))
    bars.iloc[100:, :4] += 0.1
    bars.iloc[100:103] = np.nan
    bars = bars.interpolate()
    bars.iloc[200, :4] *= 10
    file = csv([], name="x_8m.csv")
    file.write_text(lines(bars, bars.index))
    with pytest.raises(DataError, match=r"; pass allow=\('interval', 'interpolated', 'spikes',\)"):
        read_file(file)
    got = read_file(file, allow=("interval", "interpolated", "spikes"))
    names = [defect.name for defect in got.attrs["report"].flagged]
    assert names == ["interval", "interpolated", "spikes"]
    assert np.array_equal(got.to_numpy(), bars.to_numpy())
    with pytest.raises(ParamsError, match="allow: no defect 'spike'; known are interpolated, for"):
        read_file(file, allow=("spike",))
