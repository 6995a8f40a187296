"""store/database.py: bars come back as they went in, whatever is repeated, changed or killed."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit import ROOT
from signalkit.bars import COLUMNS
from signalkit.errors import StoreError
from signalkit.store import Store, data_folder
from signalkit.store.ledger import GENESIS

HOURS = {"source": "files", "interval": "1h", "calendar": "24/7"}
TRADE = {
    "symbol": "A", "side": "long", "entry_time": pd.Timestamp("2024-01-01", tz="UTC"),
    "exit_time": pd.NaT, "entry_price": 100.0, "exit_price": np.nan, "size": 1.0, "fee": 0.1,
    "slippage": 0.2, "funding": 0.0, "pnl": -0.3, "return": -0.003, "model_id": "mean",
    "prediction": 0.1, "confidence": 0.2, "exit_reason": "open",
}  # fmt: skip

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
    written.loc[:, list(COLUMNS)] = np.array(values)
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
    assert kept["replaced_at"].endswith("+00:00")


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
    broken.iloc[-1, 3] = np.nan
    with pytest.raises(Exception, match="NOT NULL"):
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


def test_the_data_folder_is_the_one_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGNALKIT_DATA", str(tmp_path / "named"))
    assert data_folder() == tmp_path / "named"
    monkeypatch.delenv("SIGNALKIT_DATA")
    assert data_folder() == ROOT / "data"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path, place):
    (tmp_path / "file").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"signalkit\.db cannot be opened .*check the folder"):
        Store.open(tmp_path / place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write in a read-only folder")
def test_a_read_only_folder_is_a_store_error(tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(StoreError, match=r"signalkit\.db"):
        Store.open(tmp_path / "data")


def test_trades_of_a_run_are_replaced_those_of_others_stay(store):
    store.write_trades("one", pd.DataFrame([TRADE, TRADE]))
    store.write_trades("two", pd.DataFrame([TRADE]))
    closed = TRADE | {"exit_time": TRADE["entry_time"], "exit_price": 99.0, "exit_reason": "stop"}
    store.write_trades("one", pd.DataFrame([closed]))
    kept = {row["run"]: row for row in rows(store, "trades")}
    assert store.db["trades"].count == 2
    assert kept["one"]["exit_reason"] == "stop"
    assert kept["one"]["entry_time"] == "2024-01-01T00:00:00+00:00"
    assert (kept["two"]["exit_time"], kept["two"]["exit_price"]) == (None, None)


def test_a_run_that_no_longer_trades_has_no_trades(store):
    store.write_trades("one", pd.DataFrame([TRADE]))
    store.write_trades("one", pd.DataFrame([TRADE]).iloc[:0])
    assert rows(store, "trades") == []


def test_a_run_notes_its_params_its_end_and_the_head_of_the_ledger(store):
    first = store.start_run("study", "0" * 64, {"b": 1, "a": 2})
    second = store.start_run("study", "1" * 64, {})
    store.ledger.record({"horizon": 5}, series="s", artifact="a")
    store.finish_run(first, status="finished", report="reports/study")
    done, running = rows(store, "runs")
    assert (done["id"], running["id"]) == (first, second)
    assert (done["status"], running["status"]) == ("finished", "running")
    assert json.loads(done["params"]) == {"a": 2, "b": 1}
    assert done["ledger_head"] == store.ledger.head()
    assert (running["finished"], running["ledger_head"]) == (None, None)


@pytest.mark.parametrize("lent", range(4))
def test_the_ledger_is_lent_up_to_a_head(store, tmp_path, lent):
    heads = [GENESIS]
    for number in range(3):
        store.ledger.record({"horizon": number}, series="s", artifact="a")
        heads.append(store.ledger.head())
    store.lend_ledger(tmp_path / "lent", heads[lent])
    with Store.open(tmp_path / "lent") as other:
        assert other.ledger.trials() == store.ledger.trials()[:lent]
        other.ledger.check()


def test_a_head_that_the_ledger_does_not_have_is_not_lent(store, tmp_path):
    store.ledger.record({"horizon": 1}, series="s", artifact="a")
    with pytest.raises(StoreError, match="ledger"):
        store.lend_ledger(tmp_path / "lent", "f" * 64)
    assert not Path(tmp_path / "lent").exists()
