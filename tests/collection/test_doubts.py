"""read_file: what can be read in two ways is settled by evidence the file holds, or refused."""

import pandas as pd
import pytest

from signalkit.bars import COLUMNS
from signalkit.collection import read_file
from signalkit.errors import DataError, ParamsError
from tests.collection.binance_server import walk

HEAD = "time,open,high,low,close,volume"
ROW = "2,4,1,3,10"
HOURS = [f"2024-01-01 {hour:02}:00" for hour in range(5)]
HOUR = pd.Timedelta(1, "h")


@pytest.fixture
def csv(tmp_path):
    """A function that writes lines as a file and gives its path."""

    def write(*lines):
        file = tmp_path / "bars.csv"
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    return write


def rows(times, row=ROW):
    return [HEAD, *(f"{time},{row}" for time in times)]


def opened(bars):
    """Bars by their opens, without a zone."""
    return bars.set_axis((bars.index - HOUR).tz_localize(None).rename("time"), axis=0)


@pytest.mark.parametrize("header", [True, False])
def test_open_and_close_that_have_changed_places_are_refused(tmp_path, header):
    bars, file = opened(walk(200)), tmp_path / "bars.csv"
    order = ["close", "high", "low", "open", "volume"]
    bars[order].set_axis(list(COLUMNS), axis=1).to_csv(file, header=header)
    with pytest.raises(DataError, match=r"bars\.csv: .* open and close are swapped, or the times"):
        read_file(file)
    bars.to_csv(file, header=header)
    assert read_file(file).to_numpy().tolist() == bars.to_numpy().tolist()


def test_an_epoch_goes_before_a_text_that_states_no_zone(tmp_path):
    bars, file = opened(walk(50)), tmp_path / "bars.csv"
    text = (bars.index + 3 * HOUR).strftime("%Y-%m-%d %H:%M")
    epochs = bars.index.as_unit("s").asi8
    bars.assign(timestamp=text, unix=epochs).to_csv(file, index=False)
    got = read_file(file)
    assert got.index[0] == pd.Timestamp("2024-01-01 01:00", tz="UTC")
    found = got.attrs["report"]
    assert found.zone == "UTC, epochs"
    assert "times are those of 'unix'; 'timestamp' says otherwise in 50 rows" in found.notes


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("# all times are UTC", "stated in the file"),
        ("# Times in utc, prices in USD", "stated in the file"),
        ("# times are not UTC", "assumed: the file states none"),
        ("# times are not in UTC", "assumed: the file states none"),
        ("# UTC-5", "assumed: the file states none"),
        ("# times in UTC + 3", "assumed: the file states none"),
        ("# at the Hutchinson exchange", "assumed: the file states none"),
    ],
)
def test_a_line_before_the_table_states_utc_or_something_else(csv, line, told):
    assert read_file(csv(line, *rows(HOURS))).attrs["report"].zone == f"UTC, {told}"


def shares(prices):
    """Rows of hours of 2024-01-10 without a header, the first price as all four."""
    times = [f"20240110 {9 + k:02}:00" for k in range(len(prices))]
    return [
        f"{t},{p},{p},{p},{p},{k + 5}" for k, (t, p) in enumerate(zip(times, prices, strict=True))
    ]


@pytest.mark.parametrize(
    ("prices", "cents"),
    [
        ([1_870_100, 1_871_350, 1_872_400, 1_869_177], "50%"),
        ([1_870_101, 1_871_350, 1_872_401, 1_869_177], "0%"),
    ],
)
def test_whole_numbers_of_few_whole_cents_are_neither_lean_nor_prices(csv, prices, cents):
    with pytest.raises(DataError, match=rf"plain prices, and {cents} of them are whole cents; nam"):
        read_file(csv(*shares(prices)))


def test_small_whole_prices_are_prices_in_utc(csv):
    got = read_file(csv(*shares([137, 141, 139, 144])))
    assert got["open"].tolist() == [137, 141, 139, 144]
    assert got.index[0] == pd.Timestamp("2024-01-10 10:00", tz="UTC")


def test_a_zone_nobody_knows_is_refused_where_the_file_states_its_own(csv):
    file = csv(*rows([f"2024-01-01T0{hour}:00+01:00" for hour in range(3)]))
    with pytest.raises(ParamsError, match="'Mars/Base' is no time zone"):
        read_file(file, tz="Mars/Base")


def test_rows_repeated_elsewhere_are_dropped_and_counted_and_no_disorder(csv):
    got = read_file(csv(*rows([*HOURS, HOURS[1], HOURS[3]])))
    found = got.attrs["report"]
    assert got.index.hour.tolist() == [1, 2, 3, 4, 5]
    assert (found.rows_read, found.duplicates, found.flagged) == (7, 2, ())


def test_rows_with_an_empty_cell_are_left_out_where_broken_is_allowed(csv):
    file = csv(*rows(HOURS[:2]), f"{HOURS[2]},2,4,,3,10", *rows(HOURS[3:])[1:])
    with pytest.raises(DataError, match="low in row 2 is empty"):
        read_file(file)
    found = read_file(file, allow=("broken",)).attrs["report"]
    assert (found.rows_read, found.rows, found.missing_bars) == (5, 4, 1)
    (flagged,) = found.flagged
    assert (flagged.name, flagged.told) == ("broken", "1 rows with an empty cell were left out")


def test_a_file_of_dukascopy_is_read(csv):
    times = [f"13.01.2024 0{hour}:00:00.000" for hour in range(3)]
    lines = ["Gmt time,Open,High,Low,Close,Volume", *(f"{time},{ROW}" for time in times)]
    assert read_file(csv(*lines)).index[0] == pd.Timestamp("2024-01-13 01:00", tz="UTC")


def test_a_session_that_repeats_the_one_before_the_weekend_is_found(tmp_path):
    bars = walk(200, interval="1d")
    sessions = pd.bdate_range("2024-01-16", "2024-02-16").drop(["2024-02-15"])  # no holiday
    bars = bars.iloc[: len(sessions)].set_axis(sessions.rename("time"), axis=0)
    monday = sessions.get_loc("2024-01-29")
    bars.iloc[monday] = bars.iloc[monday - 1]
    bars.to_csv(tmp_path / "bars.csv")
    with pytest.raises(DataError, match=r"1 bars .*2024-01-29.*allow=\('forward_filled',\)"):
        read_file(tmp_path / "bars.csv", interval="1d", calendar="XNYS")
