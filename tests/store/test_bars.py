"""store/bars.py: bars come back as they went in and as they were, whatever is written when."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.bars import COLUMNS, gaps
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.store import Store, Written

HOURS = {"source": "files", "interval": "1h", "calendar": "24/7"}
NOON = pd.Timestamp("2024-02-01 12:00", tz="UTC")

# one process for each moment: the first dies before BEGIN, the last but one before COMMIT, the
# last after it
KILLED = """
import os, signal, sys
import pandas as pd
from pathlib import Path
from signalkit.store import Store

panel, folder, moments = pd.read_parquet(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def write(name, dies_at=0):
    seen = []

    def dies(statement):
        seen.append(statement)
        if len(seen) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    with Store.open(folder / name) as store:
        store.db.execute("PRAGMA cache_size = 10")  # pages go to disk before the commit
        store.db.conn.set_trace_callback(dies)
        store.write_bars(panel, source="files", interval="1h", calendar="24/7")
        if dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
    return seen

seen = write("whole")
last = seen.index("COMMIT") + 1
for number in range(moments):
    moment = last + 1 if number == moments - 1 else 1 + number * (last - 1) // (moments - 2)
    if os.fork() == 0:
        write(str(number), moment)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
MOMENTS = 9


@pytest.fixture
def store(own_store):
    with Store.open() as opened:
        yield opened


def panel(n, first="2024-01-01 01:00", close=101.0, symbol="A"):
    opens = np.linspace(100.0, 101.0, n)
    columns = np.column_stack([opens, opens + 9, opens - 9, np.full(n, close), np.ones(n)])
    times = pd.date_range(first, periods=n, freq="h", tz="UTC", name="time")
    bars = pd.DataFrame(columns, times, list(COLUMNS))
    return pd.concat({symbol: bars}, names=["symbol", "time"])


def rows(store, table):
    return list(store.db[table].rows)


def assert_stored(store, expected, symbol="A"):
    got = store.read_bars(symbol, "1h")
    pd.testing.assert_frame_equal(
        got, expected.loc[symbol], check_exact=True, check_freq=False, check_index_type=False
    )


def row_of(store, symbol="A"):
    (row,) = store.db["symbols"].rows_where("symbol = ?", [symbol])
    return row


def moment(number):
    """Some microseconds after noon."""
    return NOON + pd.Timedelta(number, "us")


def test_bars_come_back_with_their_times_types_and_name(store):
    written = panel(30)
    store.write_bars(written, **HOURS)
    got = store.read_bars("A", "1h")
    assert got.index.name == "time"
    assert str(got.index.tz) == "UTC"
    assert [str(kind) for kind in got.dtypes] == ["float64"] * 5
    assert_stored(store, written)


PRICES = st.floats(min_value=5e-324, max_value=1.7e308)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(PRICES, PRICES, PRICES, PRICES, st.floats(0, 1e300)), min_size=1))
def test_numbers_come_back_bit_for_bit(tmp_path_factory, values):
    written = panel(len(values))
    drawn = np.array(values)
    drawn[:, :4] = np.sort(drawn[:, :4], axis=1)[:, [1, 3, 0, 2]]  # open high low close
    written.loc[:, list(COLUMNS)] = drawn
    with Store.open(tmp_path_factory.mktemp("data")) as store:
        store.write_bars(written, **HOURS)
        got = store.read_bars("A", "1h")
    assert got.to_numpy().tobytes() == written.to_numpy().tobytes()


def test_writing_the_same_bars_again_changes_nothing(store):
    store.write_bars(panel(20), **HOURS)
    kept = rows(store, "bars"), rows(store, "symbols")
    store.write_bars(panel(20), **HOURS)
    store.write_bars(panel(20).iloc[5:9], **HOURS)
    assert (rows(store, "bars"), rows(store, "symbols")) == kept
    assert rows(store, "bar_revisions") == []


def test_a_changed_bar_is_kept_once_as_it_was(store):
    before = panel(5)
    after = before.copy()
    after.iloc[2, 4] = 7.5
    store.write_bars(before, **HOURS)
    store.write_bars(after, **HOURS)
    store.write_bars(after, **HOURS)
    assert_stored(store, after)
    (kept,) = rows(store, "bar_revisions")
    assert [kept[name] for name in COLUMNS] == before.iloc[2].tolist()
    assert kept["time"] == before.index[2][1].value
    assert kept["replaced_at"] == row_of(store)["recorded_at"] > kept["recorded_at"]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_change_in_any_column_is_a_revision(store, column):
    after = panel(3)
    after.loc[:, column] += 0.5
    store.write_bars(panel(3), **HOURS)
    store.write_bars(after, **HOURS)
    assert store.db["bar_revisions"].count == 3
    assert_stored(store, after)


def test_a_bar_that_changes_twice_within_a_second_is_kept_both_times(store):
    for volume in (1.0, 2.0, 3.0):
        store.write_bars(panel(2).assign(volume=volume), **HOURS)
    assert sorted(row["volume"] for row in rows(store, "bar_revisions")) == [1.0, 1.0, 2.0, 2.0]
    assert_stored(store, panel(2).assign(volume=3.0))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.permutations(range(6)))
def test_the_order_of_writing_does_not_matter(tmp_path_factory, order):
    whole = pd.concat([panel(30), panel(30, symbol="B", close=103.0)])
    parts = [whole.iloc[10 * k : 10 * k + 13] for k in range(6)]
    with Store.open(tmp_path_factory.mktemp("data")) as store:
        for part in order:
            store.write_bars(parts[part], **HOURS)
        assert_stored(store, whole, "A")
        assert_stored(store, whole, "B")
        assert store.db["bar_revisions"].count == 0
        first, last = whole.loc["A"].index[[0, -1]].as_unit("ns").asi8.tolist()
        described = {row["symbol"]: row for row in rows(store, "symbols")}
    assert (described["A"]["first_bar"], described["A"]["last_bar"]) == (first, last)
    assert set(described) == {"A", "B"}


def test_intervals_of_a_symbol_are_kept_apart(store):
    store.write_bars(panel(4), **HOURS)
    store.write_bars(panel(2, close=104.0), **HOURS | {"interval": "1d"})
    assert_stored(store, panel(4))
    assert len(store.read_bars("A", "1d")) == 2
    with pytest.raises(StoreError, match="no 4h bars of A are stored; collect them first"):
        store.read_bars("A", "4h")


def test_a_panel_that_cannot_be_stored_whole_is_not_stored_at_all(store):
    store.write_bars(panel(3), **HOURS)
    broken = pd.concat([panel(5, close=105.0), panel(5, symbol="B")])
    refuse = "CREATE TEMP TRIGGER refuse BEFORE INSERT ON bars WHEN new.symbol = 'B' BEGIN"
    store.db.execute(f"{refuse} SELECT raise(ABORT, 'the disk is full'); END")
    with pytest.raises(Exception, match="the disk is full"):
        store.write_bars(broken, **HOURS)
    assert_stored(store, panel(3))
    assert store.db["bar_revisions"].count == 0
    assert [row["symbol"] for row in rows(store, "symbols")] == ["A"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_writer_leaves_all_of_its_bars_or_none(tmp_path):
    old = panel(1000)
    new = pd.concat([panel(1000, close=105.0), panel(1000, symbol="B")])
    new.to_parquet(tmp_path / "new.parquet")
    for name in ("whole", *map(str, range(MOMENTS))):
        with Store.open(tmp_path / name) as store:
            store.write_bars(old, **HOURS)
    arguments = [str(tmp_path / "new.parquet"), str(tmp_path), str(MOMENTS)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.split() == [str(-signal.SIGKILL)] * MOMENTS
    for moment in range(MOMENTS):
        with Store.open(tmp_path / str(moment)) as store:
            assert store.db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            landed = moment == MOMENTS - 1
            assert_stored(store, new if landed else old)
            assert store.db["bar_revisions"].count == (1000 if landed else 0)
            assert store.db["symbols"].count == (2 if landed else 1)
            store.write_bars(new, **HOURS)
            assert_stored(store, new, "B")


def test_two_writers_at_once_both_land(own_store):
    Store.open().close()
    together, whole = threading.Barrier(2), panel(3000)
    parts = [whole.iloc[start : start + 500] for start in range(0, 3000, 500)]

    def writes(symbol):
        with Store.open() as store:
            together.wait()
            for part in parts:
                store.write_bars(part.rename(index={"A": symbol}), **HOURS)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(writes, "AB"))
    with Store.open() as store:
        assert_stored(store, whole)
        assert_stored(store, whole.rename(index={"A": "B"}), "B")


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("close", np.nan, "every value must be finite"),
        ("high", np.inf, "every value must be finite"),
        ("low", 0.0, "prices must be above 0"),
        ("high", 99.0, "high must not be under"),
        ("low", 102.0, "low must not be over"),
        ("volume", -1.0, "volume must not be negative"),
    ],
)
def test_bars_that_break_the_rule_of_the_table_are_refused(store, column, value, says):
    broken = panel(3)
    broken.iloc[1, COLUMNS.index(column)] = value
    with pytest.raises(DataError, match=f"A: {says}"):
        store.write_bars(broken, **HOURS)
    assert rows(store, "bars") == []


@pytest.mark.parametrize(
    ("broken", "error", "says"),
    [
        (panel(3).loc["A"], DataError, "name the symbol of these bars"),
        (panel(3).iloc[::-1], DataError, "goes back in time"),
        (panel(3).astype("float32"), DataError, "open is float32"),
        (pd.concat([panel(1, symbol="B"), panel(1)]), DataError, "must be sorted"),
        (panel(3).drop(columns="low"), DataError, "lack the columns"),
    ],
)
def test_a_table_that_is_no_panel_is_refused(store, broken, error, says):
    with pytest.raises(error, match=says):
        store.write_bars(broken, **HOURS)


def test_an_interval_that_is_none_is_refused(store):
    with pytest.raises(ParamsError, match="such as 1h"):
        store.write_bars(panel(3), **HOURS | {"interval": "hourly"})


def test_what_was_written_is_counted(store):
    assert store.write_bars(panel(5), **HOURS) == Written(added=5, revised=0)
    both = pd.concat([panel(8).iloc[3:].assign(volume=2.0), panel(2, symbol="B")])
    assert store.write_bars(both, **HOURS) == Written(added=5, revised=2)
    assert store.write_bars(both, **HOURS) == Written(added=0, revised=0)
    assert store.write_bars(both.iloc[:0], **HOURS) == Written(added=0, revised=0)


def test_writing_the_same_bars_again_touches_no_row(store):
    store.write_bars(panel(20), **HOURS, markets={"A": ("BTC", "USDT")})
    before = store.db.conn.total_changes
    store.write_bars(panel(20), **HOURS, markets={"A": ("BTC", "USDT")})
    store.write_bars(panel(20), **HOURS, at=pd.Timestamp(0, tz="UTC"))
    assert store.db.conn.total_changes == before


def test_a_volume_of_minus_zero_is_no_change(store):
    store.write_bars(panel(3).assign(volume=-0.0), **HOURS)
    assert store.write_bars(panel(3).assign(volume=-0.0), **HOURS) == Written(0, 0)
    assert store.write_bars(panel(3).assign(volume=0.0), **HOURS) == Written(0, 0)


def test_a_range_is_closed_at_both_ends(store):
    store.write_bars(panel(10), **HOURS)
    times = panel(10).loc["A"].index
    got = store.read_bars("A", "1h", start=times[2], end=times[4])
    assert got.index.tolist() == times[2:5].tolist()
    zoned = times[8].tz_convert("Asia/Tokyo")
    assert store.read_bars("A", "1h", start=zoned).index.tolist() == times[8:].tolist()
    assert store.read_bars("A", "1h", end=times[0]).index.tolist() == times[:1].tolist()
    with pytest.raises(
        StoreError, match=r"from files are stored from 2030.* now they go from 2024"
    ):
        store.read_bars("A", "1h", start=pd.Timestamp("2030-01-01", tz="UTC"))


@pytest.mark.parametrize("name", ["start", "end", "as_of"])
@pytest.mark.parametrize("given_", [pd.Timestamp("2024-01-01"), "2024-01-01", pd.NaT])
def test_a_moment_without_a_zone_is_refused(store, name, given_):
    store.write_bars(panel(1), **HOURS)
    with pytest.raises(ParamsError, match=f"{name} must be a Timestamp with a zone"):
        store.read_bars("A", "1h", **{name: given_})


def test_sources_of_a_symbol_are_kept_apart_and_named_where_none_is_chosen(store):
    store.write_bars(panel(3), **HOURS)
    store.write_bars(panel(3).assign(volume=9.0), **HOURS | {"source": "binance"})
    assert rows(store, "bar_revisions") == []
    assert store.read_bars("A", "1h", source="files")["volume"].tolist() == [1.0] * 3
    assert store.read_bars("A", "1h", source="binance")["volume"].tolist() == [9.0] * 3
    for read in (store.read_bars, store.revisions, store.outages):
        with pytest.raises(StoreError, match="1h bars of A are stored from binance, files; name"):
            read("A", "1h")
    with pytest.raises(StoreError, match="no 1h bars of A from kraken are stored; they are stored"):
        store.read_bars("A", "1h", source="kraken")


def test_span_is_that_of_all_writes(store):
    assert store.span("A", "1h", "files") is None
    store.write_bars(panel(9).iloc[4:6], **HOURS)
    store.write_bars(panel(9).iloc[2:3], **HOURS)
    times = panel(9).loc["A"].index
    assert store.span("A", "1h", "files") == (times[2], times[5])
    assert store.span("A", "1h", "binance") is None


def test_a_market_once_named_stays_named(store):
    store.write_bars(panel(1), **HOURS, markets={"A": ("BTC", "USDT")})
    store.write_bars(panel(2), **HOURS)
    assert (row_of(store)["base"], row_of(store)["quote"]) == ("BTC", "USDT")
    store.write_bars(panel(2), **HOURS, markets={"A": ("XBT", "USDT"), "B": ("ETH", "USDT")})
    assert (row_of(store)["base"], row_of(store)["quote"]) == ("XBT", "USDT")


def test_outages_are_noted_once_and_asked_again(store):
    bars = panel(12).iloc[[0, 1, 4, 5, 6, 9, 10, 11]]
    found = gaps(bars.loc["A"], "1h", "24/7")
    store.note_outages("A", "1h", found, source="files", at=moment(1))
    got = store.outages("A", "1h", source="files")
    pd.testing.assert_frame_equal(got[["first", "last", "bars"]], found)
    assert got["asked_at"].tolist() == [moment(1)] * 2
    shorter = found.iloc[:1].assign(last=found["first"], bars=1)
    store.note_outages("A", "1h", shorter, source="files", at=moment(2))
    got = store.outages("A", "1h", source="files")
    assert got["bars"].tolist() == [1, 2]
    assert got["asked_at"].tolist() == [moment(2), moment(1)]
    noted = store.db.execute("SELECT DISTINCT noted_at FROM outages").fetchall()
    assert noted == [(moment(1).value // 1000,)]  # asking again notes nothing anew
    assert store.outages("A", "1h", source="binance").empty


def test_no_outages_are_a_table_without_rows(store):
    store.write_bars(panel(3), **HOURS)
    store.note_outages("A", "1h", gaps(panel(3).loc["A"], "1h", "24/7"), source="files")
    assert list(store.outages("A", "1h").columns) == ["first", "last", "bars", "asked_at"]
    assert len(store.outages("A", "1h")) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"last": NOON - pd.Timedelta(1, "h")}, "row 0 has 1 bars from .* its last not before"),
        ({"bars": 0}, "row 0 has 0 bars"),
    ],
)
def test_an_outage_that_cannot_be_is_refused(store, change, says):
    found = pd.DataFrame({"first": [NOON], "last": [NOON], "bars": [1]})
    with pytest.raises(DataError, match=says):
        store.note_outages("A", "1h", found.assign(**change), source="files")
    with pytest.raises(DataError, match=r"lack the columns .'bars'"):
        store.note_outages("A", "1h", found.drop(columns="bars"), source="files")


def test_a_writer_that_waits_too_long_says_what_it_waits_for(store):
    with Store.open() as other:
        other.db.execute("PRAGMA busy_timeout = 0")
        store.db.conn.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"database is locked.; look for another writer"):
            other.write_bars(panel(1), **HOURS)
        store.db.conn.rollback()
