"""What benchmarks share: the least wall time of some repeats."""

import time

import pytest


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
