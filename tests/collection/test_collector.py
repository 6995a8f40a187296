"""The collector against a server that misbehaves, a source that stops, and kills."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from threading import Event

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalkit import ROOT
from signalkit.bars import ALWAYS_OPEN, gaps
from signalkit.collection.collector import collect
from signalkit.collection.exchange import Exchange
from signalkit.collection.files import read_file
from signalkit.collection.source import TransientError
from signalkit.errors import DataError, ParamsError, SourceError
from signalkit.store import Store
from tests.collection.binance_server import FAULTS, BinanceServer, walk

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
shared = pytest.mark.skipif(
    not SHARED.exists(), reason="the shared market data are not beside the project"
)
BTC = ["BTCUSDT"]
SINCE = pd.Timestamp("2024-01-01", tz="UTC")
HOUR = pd.Timedelta(1, "h")


class Impatient(Exchange):
    """Binance at an address, whose pauses are noted and not waited for."""

    def __init__(self, url):
        super().__init__("binance", url=url)
        self.client.enableRateLimit = False
        self.paused = 0.0

    def pause(self, seconds):
        self.paused += seconds


@pytest.fixture(scope="module")
def serving():
    server = BinanceServer({"BTCUSDT": walk(2), "ETHUSDT": walk(2)})
    binance = Impatient(server.url)
    binance.market("BTCUSDT")  # lists both for all tests
    yield server, binance
    binance.close()
    server.close()


@pytest.fixture
def server(serving):
    """A server of 300 bars without those at 5, 6 and 150, in pages of 100."""
    serving[0].serve({"BTCUSDT": walk(300, lacking=[5, 6, 150])})
    return serving[0]


@pytest.fixture
def binance(serving):
    serving[1].page, serving[1].paused = 100, 0.0
    return serving[1]


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as opened:
        yield opened


def assert_stored(store, server, symbol="BTCUSDT", interval="1h"):
    """The store holds the truth to the last bit, and its gaps as outages."""
    truth = server.truth(symbol)
    stored = store.read_bars(symbol, interval, source="binance")
    pd.testing.assert_frame_equal(stored, truth, check_exact=True, check_freq=False)
    noted = store.outages(symbol, interval, source="binance")
    lacking = gaps(truth, interval, ALWAYS_OPEN)
    pd.testing.assert_frame_equal(noted[["first", "last", "bars"]], lacking, check_dtype=False)


def test_what_the_source_has_is_stored_whole(server, binance, store):
    row = collect(binance, store, BTC, "1h", since=SINCE).loc["BTCUSDT"]
    assert_stored(store, server)
    assert row[["added", "revised", "gaps", "outages"]].tolist() == [297, 0, 2, 2]
    assert (row["first"], row["last"]) == (SINCE + HOUR, SINCE + 300 * HOUR)
    quoted = store.db.execute("SELECT base, quote, calendar FROM symbols").fetchall()
    assert quoted == [("BTC", "USDT", "24/7")]


def test_a_second_run_asks_only_for_the_overlap(server, binance, store):
    collect(binance, store, BTC, "1h", since=SINCE)
    server.asked.clear()
    row = collect(binance, store, BTC, "1h", since=SINCE, overlap=3).loc["BTCUSDT"]
    assert server.asked == [("BTCUSDT", (SINCE + 297 * HOUR).value // 10**6, 3)]
    assert row[["added", "revised", "gaps", "outages"]].tolist() == [0, 0, 2, 2]


def test_a_run_goes_on_where_the_last_one_ended(server, binance, store):
    collect(binance, store, BTC, "1h", since=SINCE, until=SINCE + 250 * HOUR)
    assert store.span("BTCUSDT", "1h", "binance")[1] == SINCE + 250 * HOUR
    assert collect(binance, store, BTC, "1h")["added"].tolist() == [50]
    assert_stored(store, server)


def test_an_earlier_since_fills_the_front(server, binance, store):
    collect(binance, store, BTC, "1h", since=SINCE + 220 * HOUR)
    row = collect(binance, store, BTC, "1h", since=SINCE).loc["BTCUSDT"]
    assert row["added"] == 217
    assert_stored(store, server)


def test_a_front_that_the_source_lacks_is_an_outage_that_is_asked_for_once(server, binance, store):
    for _ in range(2):
        server.asked.clear()
        row = collect(binance, store, BTC, "1h", since=SINCE - 5000 * HOUR).loc["BTCUSDT"]
        assert row[["gaps", "outages"]].tolist() == [2, 3]
    assert len(server.asked) == 1
    front = store.outages("BTCUSDT", "1h").iloc[0]
    assert (front["last"], front["bars"]) == (SINCE, 5000)


def test_a_gap_is_asked_for_twice_more_before_it_is_an_outage(server, binance, store):
    collect(binance, store, BTC, "1h", since=SINCE)
    first = (SINCE + 5 * HOUR).value // 10**6
    over = [start for _, start, limit in server.asked if 0 <= first - start < limit * 3_600_000]
    assert len(over) == 3
    assert store.outages("BTCUSDT", "1h")["bars"].tolist() == [2, 1]


def test_a_page_with_rows_missing_is_no_outage(server, binance, store):
    server.serve({"BTCUSDT": walk(300)}, faults=["some missing", "empty", "begin missing"])
    row = collect(binance, store, BTC, "1h", since=SINCE).loc["BTCUSDT"]
    assert row[["added", "gaps", "outages"]].tolist() == [300, 0, 0]


def test_a_front_too_is_asked_for_three_times(server, binance, store):
    collect(binance, store, BTC, "1h", since=SINCE)
    server.asked.clear()
    collect(binance, store, BTC, "1h", since=SINCE - 50 * HOUR)
    front = (SINCE - 50 * HOUR).value // 10**6
    assert [start for _, start, _ in server.asked].count(front) == 3


def test_an_empty_page_before_the_present_is_asked_for_again(server, binance, store):
    server.serve({"BTCUSDT": walk(50)}, faults=["empty"])
    assert collect(binance, store, BTC, "1h", since=SINCE)["added"].tolist() == [50]


def test_the_newest_bars_are_not_given_up_for_the_open_one(server, binance, store, monkeypatch):
    server.serve({"BTCUSDT": walk(50, lacking=[5, 6])})
    fetch, calls = binance.fetch, []

    def late(*asked):
        rows = fetch(*asked)
        calls.append(asked)
        return np.delete(rows, [46, 47], axis=0) if len(calls) == 1 else rows

    monkeypatch.setattr(binance, "fetch", late)
    collect(binance, store, BTC, "1h", since=SINCE)
    assert_stored(store, server)


def test_an_outage_is_asked_for_again_only_on_request(server, binance, store):
    collect(binance, store, BTC, "1h", since=SINCE)
    server.serve({"BTCUSDT": walk(300, lacking=[150])}, now=server.now)
    assert collect(binance, store, BTC, "1h")["added"].tolist() == [0]
    row = collect(binance, store, BTC, "1h", recheck=True).loc["BTCUSDT"]
    assert row[["added", "gaps"]].tolist() == [2, 1]


def test_bars_on_the_other_side_of_empty_pages_are_found(server, binance, store, monkeypatch):
    # some exchanges answer with nothing where Binance skips to the next bar there is
    fetch = binance.fetch

    def window(symbol, interval, since, limit):
        rows = fetch(symbol, interval, since, limit)
        return rows[rows[:, 0] < (since + limit * HOUR).value / 10**6]

    monkeypatch.setattr(binance, "fetch", window)
    server.serve({"BTCUSDT": walk(900, lacking=range(120, 430))})
    collect(binance, store, BTC, "1h", since=SINCE)
    assert_stored(store, server)


def test_an_open_bar_is_stored_when_it_has_ended_and_not_before(server, binance, store):
    server.now = SINCE + 200 * HOUR - pd.Timedelta(1, "ms")
    assert collect(binance, store, BTC, "1h", since=SINCE)["last"].iloc[0] == SINCE + 199 * HOUR
    assert_stored(store, server)
    server.now = SINCE + 200 * HOUR
    assert collect(binance, store, BTC, "1h")["last"].iloc[0] == SINCE + 200 * HOUR
    assert_stored(store, server)


def test_the_newest_bar_is_asked_for_once_more(server, binance, store):
    server.serve({"BTCUSDT": walk(50)}, faults=["newest not final"])
    row = collect(binance, store, BTC, "1h", since=SINCE).loc["BTCUSDT"]
    assert row[["added", "revised"]].tolist() == [50, 0]  # before it is stored
    assert store.revisions("BTCUSDT", "1h").empty
    assert_stored(store, server)


def test_a_newest_bar_that_cannot_be_confirmed_is_not_stored_half(server, binance, store):
    server.serve({"BTCUSDT": walk(50)}, faults=["newest not final", "empty"])
    collect(binance, store, BTC, "1h", since=SINCE)
    assert store.revisions("BTCUSDT", "1h").empty
    assert_stored(store, server)


def test_a_late_correction_is_a_revision_and_the_old_value_stays_known(server, binance, store):
    end = SINCE + 299 * HOUR
    was = [1.0, 2.0, 0.5, 1.5, 7.0]
    server.corrections[("BTCUSDT", end)] = (was, server.now + HOUR)
    collect(binance, store, BTC, "1h", since=SINCE)
    assert store.read_bars("BTCUSDT", "1h").loc[end].tolist() == was
    server.now += HOUR
    assert collect(binance, store, BTC, "1h")["revised"].tolist() == [1]
    assert_stored(store, server)
    replaced = store.revisions("BTCUSDT", "1h")["replaced_at"].iloc[0]
    before = replaced - pd.Timedelta(1, "us")
    assert store.read_bars("BTCUSDT", "1h", as_of=before).loc[end].tolist() == was


def test_a_bar_that_stays_broken_keeps_no_later_one_away(server, binance, store, caplog):
    server.faults = ["nothing", *["high under low"] * 40]
    collect(binance, store, BTC, "1h", since=SINCE)
    assert "that bar is left out" in caplog.text
    stored, truth = store.read_bars("BTCUSDT", "1h"), server.truth("BTCUSDT")
    assert stored.index[-1] >= truth.index[-2]  # the newest is stored once it is confirmed
    assert len(truth) - len(stored) <= 3
    pd.testing.assert_frame_equal(stored, truth.loc[stored.index], check_freq=False)
    server.faults = []
    collect(binance, store, BTC, "1h", recheck=True)
    assert_stored(store, server)


def test_what_came_before_the_source_refused_for_long_is_kept(server, binance, store):
    server.faults = ["nothing", *["500"] * 8]
    with pytest.raises(TransientError, match=r"in 8 attempts; .* is stored, .* goes on from there"):
        collect(binance, store, BTC, "1h", since=SINCE)
    assert len(store.read_bars("BTCUSDT", "1h")) == 100
    collect(binance, store, BTC, "1h")
    assert_stored(store, server)


def test_bars_off_the_grid_are_refused(server, binance, store):
    late = walk(20, first="2024-01-01 00:20")
    server.serve({"BTCUSDT": late})
    with pytest.raises(SourceError, match="ends 2024-01-01 01:20:00Z is not on the 1h grid"):
        collect(binance, store, BTC, "1h", since=SINCE)


@pytest.mark.parametrize(
    ("symbols", "interval", "options", "says"),
    [
        (BTC, "1h", {}, "no 1h bars of BTCUSDT from binance are stored; name since"),
        (["BTCUSDT", "XUSDT"], "1h", {"since": SINCE}, "no 'XUSDT'; did you mean"),
        ([], "1h", {"since": SINCE}, r"one or more, each once, was \[\]"),
        (BTC * 2, "1h", {"since": SINCE}, "each once"),
        (BTC, "7h", {"since": SINCE}, "has no 7h bars"),
        (BTC, "1h", {"since": SINCE, "until": SINCE}, "until must come after since"),
        (BTC, "1h", {"since": SINCE, "overlap": 0}, "overlap must be at least 1 bar, was 0"),
    ],
)
def test_what_is_asked_wrongly_is_refused_before_a_bar_is_stored(
    server, binance, store, symbols, interval, options, says
):
    with pytest.raises(ParamsError, match=says):
        collect(binance, store, symbols, interval, **options)
    assert store.span("BTCUSDT", "1h", "binance") is None


def test_nothing_may_be_there_yet(server, binance, store):
    row = collect(binance, store, BTC, "1h", since=server.now).loc["BTCUSDT"]
    assert row[["added", "gaps", "outages"]].tolist() == [0, 0, 0]
    assert pd.isna(row["last"])


def collect_through(server, binance, store, bars, *, faults, seed):
    """Collect through a script of faults until it is used up, then once without any."""
    server.serve(bars, faults=faults, seed=seed)
    while server.faults:
        try:
            collect(binance, store, list(bars), "1h", since=SINCE)
        except (TransientError, DataError):
            continue
    collect(binance, store, list(bars), "1h", since=SINCE)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    faults=st.lists(st.sampled_from(FAULTS), max_size=25),
    lacking=st.sets(st.integers(1, 118), max_size=40),
    page=st.integers(3, 60),
    seed=st.integers(0, 2**16),
)
def test_no_script_of_faults_changes_what_is_stored(binance, serving, faults, lacking, page, seed):
    binance.page = page
    bars = {"BTCUSDT": walk(120, lacking=lacking), "ETHUSDT": walk(60, seed=1)}
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder)) as store:
        collect_through(serving[0], binance, store, bars, faults=faults, seed=seed)
        for symbol in bars:
            assert_stored(store, serving[0], symbol)
        assert store.read_bars("BTCUSDT", "1h").shape == (120 - len(lacking), 5)


@shared
def test_real_hours_come_whole_through_faults(serving, binance, store):
    binance.page = 1000
    bars = read_file(SHARED / "crypto_1h" / "BTCUSDT_1h.csv.gz", interval="1h")
    bars = bars.set_axis(bars.index.as_unit("ns"))
    bars.attrs = {}
    random = Random(1)
    faults = [random.choice(FAULTS) for _ in range(40)]
    server = serving[0]
    server.serve({"BTCUSDT": bars}, faults=faults, seed=1)
    since = bars.index[0] - HOUR
    while server.faults:
        try:
            collect(binance, store, BTC, "1h", since=since)
        except (TransientError, DataError):
            continue
    collect(binance, store, BTC, "1h", since=since)
    assert_stored(store, server)


def killed_and_whole(folder, kills, *, bars, seed):
    """Kill the command at random moments, then let it end; the store holds the truth."""
    random = Random(seed)
    server = BinanceServer({"BTCUSDT": bars})
    command = [sys.executable, "-m", "signalkit.cli", "--quiet", "collect", "--source", "binance"]
    command += ["--symbols", "BTCUSDT", "--interval", "1h", "--since", "2024-01-01"]
    command += ["--url", server.url]
    environment = os.environ | {"SIGNALKIT_DATA": str(folder)}
    died = 0
    for _ in range(kills):
        server.reached.clear()
        server.reach = len(server.asked) + random.randint(1, 6)
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            assert server.reached.wait(60)
            # in the transaction, or in the pause before the next request
            Event().wait(random.random() / 5)
            running.kill()
        died += running.returncode == -9
        with Store.open(folder) as store:
            if store.span("BTCUSDT", "1h", "binance"):
                stored = store.read_bars("BTCUSDT", "1h")
                pd.testing.assert_frame_equal(stored, bars.loc[stored.index], check_freq=False)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Store.open(folder) as store:
        assert_stored(store, server)
        assert store.revisions("BTCUSDT", "1h").empty
    server.close()
    return died


def test_kills_leave_no_bar_lost_doubled_or_half(tmp_path):
    assert killed_and_whole(tmp_path, 3, bars=walk(20_000, lacking=range(70, 90)), seed=3) == 3


@pytest.mark.certify
def test_fifty_kills_leave_no_bar_lost_doubled_or_half(tmp_path):
    bars = walk(150_000, lacking=[*range(70, 90), 5000, 90_000])
    assert killed_and_whole(tmp_path, 50, bars=bars, seed=50) >= 40
