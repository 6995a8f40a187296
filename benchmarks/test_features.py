"""All features of a million real minutes, against the floor, plain pandas and bare TA-Lib."""

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import talib

from signalkit import ROOT, collection, features
from signalkit.bars import COLUMNS
from tests.features.bar_sets import LACKING, SHARED, SHARED_FILES
from tests.features.pandas_columns import pandas_columns

# stated in docs/performance.md: microseconds a row and column, peak memory over the result,
# microseconds a bar of a stream, and that after a long history over that after a short one
CELL, MEMORY, UPDATE, GROWTH = 0.010, 1.6, 30.0, 1.2
# our time over that of another way; the cost of a cell of ten million rows over the least of
# the smaller sizes
FLOOR, ONE_THREAD, PANDAS, TALIB, LINEAR = 6.0, 0.75, 0.25, 2.0, 1.5
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
N = 1_050_207
FILE = SHARED / SHARED_FILES["minutes"][0]
DEFAULT = [name for name, feature in features.CATALOG.items() if not feature.reads_news]
TECHNICAL = features.select(["technical"])
MATRIX = f"all features of {N:,} minutes"

# what a process holds at most above what it held with the bars read and the kernels warm
PEAK = """
import re, sys
from pathlib import Path

from signalkit import causality, collection, features

def held(what):
    return 1024 * int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

bars = collection.read_file(sys.argv[1], interval="1m")
features.build(causality.probe_bars())
Path("/proc/self/clear_refs").write_text("5")  # forget the peak of reading
start = held("VmRSS")
table = features.build(bars)
print(len(table), (held("VmHWM") - start) / table.to_numpy().nbytes)
"""


@pytest.fixture(scope="module")
def minutes():
    """Two years of real minutes, with kernels that have run."""
    if not FILE.exists():
        pytest.skip(LACKING)
    bars = collection.read_file(FILE, interval="1m")
    assert len(bars) == N
    features.build(bars.iloc[:1000])
    return bars


def repeated(minutes, n_bars):
    """The minutes again and again, later each time, until there are enough."""
    times = -(-n_bars // len(minutes))
    span = minutes.index[-1] - minutes.index[0] + pd.Timedelta("1min")
    ends = np.concatenate([(minutes.index + k * span).asi8 for k in range(times)])[:n_bars]
    index = pd.DatetimeIndex(ends.view(f"M8[{minutes.index.unit}]"), tz="UTC", name="time")
    values = np.tile(minutes.to_numpy().T, times)[:, :n_bars]
    return pd.DataFrame(values.T, index, list(COLUMNS), copy=False)


def written_once(bars):
    """A matrix as large as the features of the bars."""
    return np.full((len(DEFAULT), len(bars)), 0.5)


def bare_talib(bars):
    """TA-Lib's calls for our technical columns, as it gives them: not made scale-free."""
    high, low, close, traded = (bars[name].to_numpy() for name in COLUMNS[1:])
    return [
        talib.RSI(close, 14),
        talib.MACD(close, 12, 26, 9),
        talib.BBANDS(close, 20, 2, 2),
        talib.STOCH(high, low, close, 14, 3, 0, 3, 0),
        talib.WILLR(high, low, close, 14),
        talib.ATR(high, low, close, 14),
        talib.ADX(high, low, close, 14),
        talib.PLUS_DI(high, low, close, 14),
        talib.MINUS_DI(high, low, close, 14),
        talib.CCI(high, low, close, 20),
        talib.MFI(high, low, close, traded, 14),
        talib.LINEARREG_SLOPE(talib.OBV(close, traded), 20),
    ]


def seconds(function, *given):
    """Wall time of a call; what it gives is dropped."""
    begun = time.perf_counter()
    function(*given)
    return time.perf_counter() - begun


def against(benchmark, ours, theirs, bars, *, rounds):
    """Our least wall time over that of another way, measured in turns."""
    times = []

    def setup():
        times.append(seconds(ours, bars))
        return (bars,), {}

    benchmark.pedantic(theirs, setup=setup, rounds=rounds, iterations=1)
    ratio = min(times) / benchmark.stats.stats.min
    benchmark.extra_info |= {"our_seconds": min(times), "ours_over_theirs": ratio}
    return ratio


@pytest.mark.benchmark(group=MATRIX)
def test_all_features_cost_ten_nanoseconds_a_row_and_column(benchmark, minutes):
    table = benchmark.pedantic(features.build, (minutes,), rounds=9, iterations=1)
    assert table.shape == (N, len(DEFAULT))
    cost = benchmark.stats.stats.min / table.size * 1e6
    benchmark.extra_info["us_a_cell"] = cost
    assert cost <= CELL


@pytest.mark.benchmark(group=MATRIX)
def test_numpy_writing_such_a_matrix_once_is_not_much_faster(benchmark, minutes):
    assert against(benchmark, features.build, written_once, minutes, rounds=9) <= FLOOR


@pytest.mark.benchmark(group=MATRIX)
def test_one_thread_alone_is_slower(benchmark, minutes, monkeypatch):
    def alone(bars):
        with monkeypatch.context() as one:
            one.setenv("SIGNALKIT_THREADS", "1")
            return features.build(bars)

    assert against(benchmark, features.build, alone, minutes, rounds=7) <= ONE_THREAD


@pytest.mark.benchmark(group=MATRIX)
def test_plain_pandas_is_several_times_slower(benchmark, minutes):
    assert against(benchmark, features.build, pandas_columns, minutes, rounds=3) <= PANDAS


@pytest.mark.benchmark(group=MATRIX)
def test_bare_talib_is_not_much_faster_for_its_fifteen_columns(benchmark, minutes):
    def ours(bars):
        return features.build(bars, TECHNICAL)

    assert len(TECHNICAL) == 15
    assert against(benchmark, ours, bare_talib, minutes, rounds=7) <= TALIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_all_features_need_little_more_memory_than_their_matrix(benchmark, minutes):
    command = [sys.executable, "-c", PEAK, str(FILE)]

    def peak():
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.split()

    rows, times = benchmark.pedantic(peak, rounds=1, iterations=1)
    assert int(rows) == N
    benchmark.extra_info["times_the_result"] = float(times)
    assert 1.0 < float(times) <= MEMORY


def costs(minutes, n_bars):
    """Least microseconds a row and column of each way, of so many bars."""
    bars = repeated(minutes, n_bars)
    # numpy first: a system that lends memory anew takes longer for it than for our columns
    ways = {
        "numpy, one write": (written_once, len(DEFAULT)),
        "features.build": (features.build, len(DEFAULT)),
        "bare TA-Lib": (bare_talib, len(TECHNICAL)),
    }
    if n_bars <= 1_000_000:  # ten million would take minutes
        ways["plain pandas"] = (pandas_columns, len(DEFAULT))
    least = dict.fromkeys(ways, np.inf)
    for _ in range(5):
        for way, (function, n_columns) in ways.items():
            cost = seconds(function, bars) / (n_bars * n_columns) * 1e6
            least[way] = min(least[way], cost)
    return least


def test_cost_of_a_row_does_not_grow_with_their_number(benchmark, minutes):
    found = {}

    def measure():
        for n_bars in SIZES:
            found[n_bars] = costs(minutes, n_bars)

    benchmark.pedantic(measure, rounds=1, iterations=1)
    benchmark.extra_info["us_a_cell"] = found
    ours = {n_bars: by_way["features.build"] for n_bars, by_way in found.items()}
    largest = ours.pop(SIZES[-1])
    assert largest <= LINEAR * min(ours.values())


def stream_after(minutes, n_bars):
    """A stream that has seen so many bars."""
    stream = features.Stream()
    stream.extend(minutes.iloc[:n_bars])
    return stream


def test_a_stream_takes_a_bar_in_thirty_microseconds(benchmark, minutes):
    stream, rounds = stream_after(minutes, 10_000), 20_000
    following = minutes.iloc[10_000:].itertuples()

    def setup():
        return next(following), {}

    benchmark.pedantic(stream.update, setup=setup, rounds=rounds, iterations=1)
    assert benchmark.stats.stats.median * 1e6 <= UPDATE


def test_a_stream_is_as_fast_after_a_million_bars_as_after_ten_thousand(benchmark, minutes):
    histories = {name: stream_after(minutes, name) for name in (10_000, 1_000_000)}
    bars = list(minutes.iloc[1_000_000 : 1_000_000 + 10_000].itertuples())
    taken = {name: [] for name in histories}

    def feed():
        for begin in range(0, len(bars), 500):  # in turns, so that other work slows both
            for name, stream in histories.items():
                taken[name] += [seconds(stream.update, *bar) for bar in bars[begin : begin + 500]]

    benchmark.pedantic(feed, rounds=1, iterations=1)
    short, long = (float(np.median(taken[name])) for name in histories)
    benchmark.extra_info["long_over_short_history"] = long / short
    assert long <= GROWTH * short
