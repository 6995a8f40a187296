"""A store of its own for every test run: tests never touch the project's data folder."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from signalkit import ROOT
from signalkit.store.locks import Lock

_FOLDER = tempfile.TemporaryDirectory(prefix="signalkit-tests-")
os.environ["SIGNALKIT_DATA"] = str(Path(_FOLDER.name) / "data")
os.environ["SIGNALKIT_REPORTS"] = str(Path(_FOLDER.name) / "reports")
os.environ["MPLBACKEND"] = "agg"


def pytest_sessionfinish():
    _FOLDER.cleanup()


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    """An empty data folder for one test."""
    monkeypatch.setenv("SIGNALKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SIGNALKIT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def outside():
    """Environment of a person at a terminal: that of the tests less their choice of figures."""
    return {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}


@pytest.fixture(scope="session")
def quickstart_made(outside, tmp_path_factory):
    """Folder with `data` and `reports` of the quickstart, made once for all processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "quickstart"
    folder.mkdir(exist_ok=True)
    lock = Lock(folder / "lock")
    while not lock.take():
        time.sleep(0.5)
    try:
        if not (folder / "reports").exists():
            own = {"SIGNALKIT_DATA": folder / "data", "SIGNALKIT_REPORTS": folder / "making"}
            done = subprocess.run(
                [sys.executable, "-m", "signalkit.cli", "run", "params/quickstart.yaml"],
                cwd=ROOT,
                env=outside | {name: str(path) for name, path in own.items()},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            (folder / "making").rename(folder / "reports")
    finally:
        lock.release()
    return folder


@pytest.fixture(scope="module")
def quickstart_ran(quickstart_made, tmp_path_factory):
    """The quickstart's data and reports as the data and reports of a module's tests."""
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patched:
        for kind in ("data", "reports"):
            shutil.copytree(quickstart_made / kind, folder / kind)
            patched.setenv(f"SIGNALKIT_{kind.upper()}", str(folder / kind))
        yield folder
