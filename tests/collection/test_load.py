"""collection/load.py: the panel that was asked for, and refusals that say what to ask instead."""

import pandas as pd
import pytest

from signalkit import ROOT
from signalkit import bars as table
from signalkit.collection import data_files, load
from signalkit.errors import DataError, ParamsError

HEAD = "time,open,high,low,close,volume\n"


def written(folder, name, *, hours=5, price=2.0, head=HEAD, cell=""):
    rows = "".join(f"2024-01-01 0{k}:00{cell},{price},3,1,2,{k}\n" for k in range(hours))
    (folder / name).write_text(head + rows)
    return str(folder / name)


@pytest.fixture
def path(tmp_path):
    """Files of BBB and AAA, an hour apart in length."""
    written(tmp_path, "BBB.csv")
    written(tmp_path, "AAA.csv", hours=4, price=2.5)
    return str(tmp_path / "{symbol}.csv")


def test_a_panel_is_sorted_by_symbol_whatever_was_asked_first(path):
    got = load("files", ["BBB", "AAA"], "1h", path=path, calendar="24/7")
    table.check(got)
    assert got.index.names == ["symbol", "time"]
    assert got.index.get_level_values("symbol").unique().tolist() == ["AAA", "BBB"]
    assert got.groupby("symbol").size().to_dict() == {"AAA": 4, "BBB": 5}
    assert got.loc["AAA", "open"].tolist() == [2.5] * 4
    assert {s: r.rows for s, r in got.attrs["reports"].items()} == {"AAA": 4, "BBB": 5}


def test_the_sample_is_sorted_too():
    got = load("sample", ["SP500", "NASDAQ"], "1d")
    assert got.index.get_level_values("symbol").unique().tolist() == ["NASDAQ", "SP500"]
    assert load("sample", ["SP500"], "1d").equals(got.loc[["SP500"]])


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (None, None, [1, 2, 3, 4, 5]),
        ("2024-01-01T02:00", None, [2, 3, 4, 5]),
        (None, "2024-01-01T03:00", [1, 2, 3]),
        ("2024-01-01T02:00", "2024-01-01T03:00", [2, 3]),
        ("2024-01-01T02:30", "2024-01-01T04:59", [3, 4]),
        ("2024-01-01T04:00+02:00", "2024-01-01T03:00Z", [2, 3]),
    ],
)
def test_bars_that_end_from_start_to_end_are_kept_both_included(path, start, end, hours):
    got = load("files", ["BBB"], "1h", start, end, path=path, calendar="24/7")
    assert got.index.get_level_values("time").hour.tolist() == hours


@pytest.mark.parametrize("start", ["2016-01-04", "20160104", "2016-W01-1", "2016-W01"])
def test_every_way_to_write_a_date_names_the_same_day(start):
    got = load("sample", ["SP500"], "1d", start=start)
    assert got.index[0][1] == pd.Timestamp("2016-01-04 21:00", tz="UTC")


@pytest.mark.parametrize(
    ("symbol", "start", "end"),
    [("BBB", "2025-01-01", None), ("BBB", None, "2023-01-01"), ("BBB", "2024-01-02", "2024-01-01")],
)
def test_a_span_without_bars_is_refused_with_the_span_there_is(path, symbol, start, end):
    says = f"{symbol} has no bars from {start} to {end}, only 2024-01-01 to 2024-01-01"
    with pytest.raises(DataError, match=says):
        load("files", [symbol], "1h", start, end, path=path, calendar="24/7")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"symbols": ["SP50"]}, r"the sample lacks 'SP50'; did you mean 'SP500'\?"),
        ({"symbols": ["SP500", "NASDQ"]}, r"lacks 'NASDQ'; did you mean 'NASDAQ'\?"),
        ({"symbols": ["BTCUSDT"]}, "lacks 'BTCUSDT'; it has NASDAQ, SP500"),
        ({"symbols": ["SP500", "SP500"]}, r"one stands twice in \['SP500', 'SP500'\]"),
        ({"symbols": []}, r"collection\.symbols"),
        ({"source": "smaple"}, "'smaple' is none of sample, .* ccxt knows; did you mean 'sample'"),
        ({"interval": "1h"}, "the sample has 1d bars, was '1h'"),
        ({"source": "files"}, "files needs one, such as 'prices/{symbol}.csv'"),
        (
            {"source": "files", "path": "no/{symbol}.csv"},
            r"SP500\.csv is no file for the symbol SP",
        ),
        ({"start": "soon"}, "'soon' is no date"),
    ],
)
def test_what_a_source_does_not_have_is_refused(options, says):
    asked = {"source": "sample", "symbols": ["SP500"], "interval": "1d"} | options
    with pytest.raises(ParamsError, match=says):
        load(**asked)


def test_files_are_named_by_symbol_under_the_project_or_by_a_whole_path(path, tmp_path):
    found = data_files("files", ["AAA", "BBB"], path)
    assert found == {"AAA": tmp_path / "AAA.csv", "BBB": tmp_path / "BBB.csv"}
    assert data_files("files", ["README"], "{symbol}.md") == {"README": ROOT / "README.md"}
    sample = data_files("sample", ["NASDAQ"])["NASDAQ"]
    assert sample.name == "nasdaq.csv.gz"
    assert sample.exists()


def test_one_file_of_several_symbols_is_read_by_its_symbol_column(tmp_path):
    rows = [
        f"2024-01-01 0{k}:00,{s},{p},9,1,2,3" for k in range(3) for s, p in (("B", 5), ("A", 4))
    ]
    (tmp_path / "all.csv").write_text("time,symbol,open,high,low,close,volume\n" + "\n".join(rows))
    got = load("files", ["A", "B"], "1h", path=str(tmp_path / "all.csv"), calendar="24/7")
    assert got["open"].groupby("symbol").unique().map(list).to_dict() == {"A": [4.0], "B": [5.0]}


def test_one_file_without_a_symbol_column_cannot_be_two_symbols(tmp_path):
    path = written(tmp_path, "all.csv")
    with pytest.raises((DataError, ParamsError), match="symbol"):
        load("files", ["A", "B"], "1h", path=path, calendar="24/7")


def test_the_zone_of_a_file_is_passed_on(tmp_path):
    path = written(tmp_path, "X.csv")
    got = load("files", ["X"], "1h", path=path, calendar="24/7", tz="Asia/Tokyo")
    assert got.index[0][1] == pd.Timestamp("2023-12-31 16:00", tz="UTC")


def test_a_broken_file_is_named(path, tmp_path):
    (tmp_path / "AAA.csv").write_text(HEAD + "2024-01-01 00:00,1,2,3,4,5\n")
    with pytest.raises(DataError, match=r"AAA\.csv: .*row 0"):
        load("files", ["BBB", "AAA"], "1h", path=path, calendar="24/7")


def test_an_end_without_a_time_takes_in_its_day():
    panel = load("sample", ["SP500"], "1d", "2015-12-30", "2015-12-31")
    assert [str(t.date()) for t in panel.loc["SP500"].index] == ["2015-12-30", "2015-12-31"]
