"""LSTM on views of one matrix, against bare Keras on windows that lie ready, in the same run."""

import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from signalkit import ROOT, training
from signalkit.features.gaps import Clock
from signalkit.training import networks
from signalkit.training.windows import Scaling, Windows

# times bare keras.fit; times the float32 matrix; stated in docs/performance.md
EPOCH, MEMORY = 1.10, 1.5
N, LOOKBACK, COLUMNS, UNITS, BATCH, EPOCHS = 20_000, 32, 70, 64, 256, 2
SETTINGS = {"units": UNITS, "lookback": LOOKBACK, "batch": BATCH, "epochs": EPOCHS, "dropout": 0.1}

# the most that a process held while it fitted, the library and the table it is given included
PEAK = """
import re, sys
from pathlib import Path
from benchmarks import test_recurrent as bench

features, labels = bench.table()
bench.fitted(features, labels) if sys.argv[1] == "ours" else bench.bare(features, labels)()
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
"""


def table():
    """Noise: what is learned does not change what it costs."""
    rng = np.random.default_rng(7)
    times = pd.date_range("2020-01-01", periods=N, freq="h", tz="UTC", name="time")
    names = [f"column_{i}" for i in range(COLUMNS)]
    features = pd.DataFrame(rng.normal(size=(N, COLUMNS)), times, names)
    label = rng.integers(-1, 2, N).astype(float)
    return features, pd.DataFrame({"label": label, "known_at": times + pd.Timedelta("1h")}, times)


def fitted(features, labels):
    """Our fit of some epochs, scaling and windows included."""
    return training.make("LSTM", "signal_direction", **SETTINGS).fit(features, labels, np.arange(N))


def bare(features, labels):
    """Keras' own fit of as many epochs, on windows that were made before."""
    keras = networks.library()
    inputs = keras.Input((LOOKBACK, COLUMNS))
    flow = keras.layers.Dropout(0.1)(keras.layers.LSTM(UNITS)(inputs))
    net = keras.Model(inputs, keras.layers.Dense(3)(flow))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(optimizer=keras.optimizers.Adam(), loss=loss, jit_compile=False)
    padded = np.zeros((N + LOOKBACK - 1, COLUMNS), dtype=np.float32)
    padded[LOOKBACK - 1 :] = features.to_numpy()
    view = np.lib.stride_tricks.sliding_window_view(padded, LOOKBACK, axis=0)
    ready = np.ascontiguousarray(view.transpose(0, 2, 1))
    answers = (labels["label"].to_numpy() + 1).astype(np.int32)
    return lambda: net.fit(ready, answers, batch_size=BATCH, epochs=EPOCHS, verbose=0)


@pytest.fixture(scope="module")
def pair():
    """Table, labels, and the bare fit; both ways have run once."""
    features, labels = table()
    peer = bare(features, labels)
    peer()
    fitted(features, labels)
    return features, labels, peer


def seconds(function, *given):
    begun = time.perf_counter()
    function(*given)
    return time.perf_counter() - begun


def test_an_epoch_costs_little_more_than_that_of_bare_keras(benchmark, pair):
    features, labels, peer = pair
    # in turn, so that a busy moment of the machine meets both
    pairs = [(seconds(fitted, features, labels), seconds(peer)) for _ in range(4)]
    ours, theirs = np.min(pairs, axis=0)
    benchmark.pedantic(fitted, (features, labels), rounds=1, iterations=1)
    benchmark.extra_info |= {"times_keras_fit": ours / theirs, "keras_epoch_s": theirs / EPOCHS}
    assert ours / theirs <= EPOCH


def test_the_way_of_the_data_holds_little_more_than_the_matrix(benchmark, pair):
    features = pair[0]
    rows = np.random.default_rng(1).permutation(N)

    def epoch():
        scaling = Scaling.of(features, rows)
        made = Windows(features, rows, scaling=scaling, lookback=LOOKBACK, clock=Clock())
        for first in range(0, N, BATCH):
            made.batch(rows[first : first + BATCH])

    tracemalloc.start()
    epoch()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ratio = peak / (N * COLUMNS * 4)
    benchmark.pedantic(epoch, rounds=3, iterations=1)
    benchmark.extra_info["times_matrix"] = ratio
    assert ratio <= MEMORY


def test_a_process_holds_no_more_than_one_of_bare_keras(benchmark):
    def peak(whose):
        run = subprocess.run(
            [sys.executable, "-c", PEAK, whose],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return int(run.stdout)

    theirs = peak("bare")
    ours = benchmark.pedantic(peak, ("ours",), rounds=1, iterations=1)
    benchmark.extra_info |= {"ours_mb": ours / 1e6, "bare_mb": theirs / 1e6}
    assert ours <= theirs
