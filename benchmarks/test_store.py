"""A million one-minute bars into the store and back, against bare SQLite on the same schema."""

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from signalkit.bars import COLUMNS
from signalkit.store import Store, Written

# times the bare statement; times the arrays (time and five values, 48 MB) above the start
# of the process; stated in docs/performance.md
WRITE, READ, MEMORY = 1.3, 1.3, 3.0
N = 1_000_000
MINUTES = {"source": "simulated", "interval": "1m", "calendar": "24/7"}

# what a process holds at most, the bars it is given included, above what it began with
PEAK = """
import re, sys
from pathlib import Path

import numpy as np
import pandas as pd
import signalkit.store.database
from signalkit.bars import COLUMNS

def held(what):
    return 1024 * int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def write(store):
    values, times = np.load(folder / "values.npy"), np.load(folder / "times.npy")
    codes = [np.zeros(len(times), np.int8), np.arange(len(times), dtype=np.int32)]
    levels = [["A"], pd.DatetimeIndex(times, tz="UTC")]
    index = pd.MultiIndex(levels, codes, names=["symbol", "time"], verify_integrity=False)
    panel = pd.DataFrame(values.T, index, list(COLUMNS), copy=False)
    return store.write_bars(panel, source="simulated", interval="1m", calendar="24/7").added

def read(store):
    return len(store.read_bars("A", "1m"))

folder, work = Path(sys.argv[1]), {"write": write, "read": read}[sys.argv[2]]
with signalkit.store.database.Store.open(folder / "measured") as store:
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    start = held("VmRSS")
    rows = work(store)
    print(rows, held("VmHWM") - start)
"""


@pytest.fixture(scope="module")
def panel():
    """A random walk of a million minutes."""
    random = np.random.default_rng(7)
    close = 100 * np.exp(np.cumsum(random.normal(0, 1e-3, N)))
    opens = np.r_[100.0, close[:-1]]
    high, low = np.maximum(opens, close) * 1.001, np.minimum(opens, close) * 0.999
    times = pd.date_range("2024-01-01", periods=N, freq="min", tz="UTC", unit="ns", name="time")
    values = np.column_stack([opens, high, low, close, random.exponential(5, N)])
    bars = pd.DataFrame(values, times, list(COLUMNS))
    return pd.concat({"A": bars}, names=["symbol", "time"])


@pytest.fixture(scope="module")
def rows(panel):
    """The panel as rows of the table, made beforehand: bare SQLite has nothing else to do."""
    times = panel.index.get_level_values("time").asi8.tolist()
    key = [["A"] * N, ["1m"] * N, ["simulated"] * N, times, [0] * N]
    return list(zip(*key, *(panel[name].tolist() for name in COLUMNS), strict=True))


def seconds(function, *given):
    """Wall time of a call."""
    begun = time.perf_counter()
    function(*given)
    return time.perf_counter() - begun


def against(benchmark, ours, bare, fresh=lambda: None):
    """Our least wall time of three over that of the bare way, which runs before each of ours."""
    floor = []

    def setup():
        floor.append(seconds(bare, fresh()))
        return (fresh(),), {}

    benchmark.pedantic(ours, setup=setup, rounds=3, iterations=1)
    ratio = benchmark.stats.stats.min / min(floor)
    benchmark.extra_info["times_bare"] = ratio
    return ratio


def test_a_million_bars_go_in_at_the_speed_of_executemany(benchmark, panel, rows, tmp_path):
    folders = iter(range(99))

    def fresh():
        return Store.open(tmp_path / str(next(folders)))

    def bare(store):
        with store:
            store.db.conn.execute("BEGIN IMMEDIATE")
            fill = "INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            store.db.conn.executemany(fill, rows)
            store.db.conn.commit()

    def ours(store):
        with store:
            assert store.write_bars(panel, **MINUTES) == Written(N, 0)

    assert against(benchmark, ours, bare, fresh) <= WRITE


@pytest.fixture(scope="module")
def filled(panel, tmp_path_factory):
    with Store.open(tmp_path_factory.mktemp("filled")) as store:
        store.write_bars(panel, **MINUTES)
        yield store


def test_a_million_bars_come_out_at_the_speed_of_fetchall(benchmark, filled, panel):
    query = """SELECT time, open, high, low, close, volume FROM bars WHERE symbol = 'A'
        AND interval = '1m' AND source = 'simulated' ORDER BY time"""

    def bare(_):
        return np.array(filled.db.execute(query).fetchall())

    def ours(_):
        return filled.read_bars("A", "1m")

    assert ours(None).to_numpy().tobytes() == panel.to_numpy().tobytes()
    assert against(benchmark, ours, bare) <= READ


def test_a_million_bars_written_again_write_nothing(benchmark, filled, panel):
    before = filled.db.conn.total_changes
    given = {"args": (panel,), "kwargs": MINUTES}
    assert benchmark.pedantic(filled.write_bars, **given, rounds=3, iterations=1) == Written(0, 0)
    assert filled.db.conn.total_changes == before


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_million_bars_need_little_more_memory_than_their_arrays(benchmark, panel, tmp_path):
    np.save(tmp_path / "values.npy", panel.to_numpy().T.copy())
    times = panel.index.get_level_values("time").tz_localize(None).to_numpy()
    np.save(tmp_path / "times.npy", times)

    def peaks():
        for work in ("write", "read"):
            command = [sys.executable, "-c", PEAK, str(tmp_path), work]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            count, peak = map(int, done.stdout.split())
            assert count == N
            benchmark.extra_info[f"times_arrays_{work}"] = peak / (N * 6 * 8)

    benchmark.pedantic(peaks, rounds=1, iterations=1)
    assert max(benchmark.extra_info.values()) <= MEMORY
