"""A store of its own for every test run: tests never touch the project's data folder."""

import os
import tempfile
from pathlib import Path

import pytest

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
