"""What benchmarks share: the least wall time of some repeats, real minutes, a peer's answer."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from signalkit import collection

HERE = Path(__file__).resolve().parent
MINUTES = HERE.parents[1] / "shared/data/crypto_1m"


@pytest.fixture(scope="session")
def best():
    """Least wall time in seconds of some repeats of a function."""

    def timed(function, repeats=3):
        times = []
        for _ in range(repeats):
            begun = time.perf_counter()
            function()
            times.append(time.perf_counter() - begun)
        return min(times)

    return timed


@pytest.fixture(scope="session")
def real_minutes():
    """A million real one-minute bars."""
    if not MINUTES.exists():
        pytest.skip("the shared market data are not beside the project")
    (file,) = MINUTES.glob("*.parquet")
    return collection.read_file(file, interval="1m").iloc[:1_000_000]


@pytest.fixture
def ask_vectorbt(tmp_path):
    """What vectorbt needs for a task of peers/vectorbt_peer.py, and the folder of its answer."""
    if "SIGNALKIT_VECTORBT" not in os.environ:
        pytest.skip("SIGNALKIT_VECTORBT names no python that has vectorbt")

    def ask(bars, weights, settings):
        bars.to_csv(tmp_path / "bars.csv")
        weights.to_csv(tmp_path / "weights.csv")
        (tmp_path / "settings.json").write_text(json.dumps(settings))
        script, out = HERE / "peers/vectorbt_peer.py", tmp_path / "out"
        command = [os.environ["SIGNALKIT_VECTORBT"], script, tmp_path, out]
        told = subprocess.run(command, capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        return json.loads((out / "seconds.json").read_text()), out

    return ask
