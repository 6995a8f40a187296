"""One store with deployed models for all tests of inference; each test works on its own copy."""

import shutil

import pytest

from signalkit.store import Store
from signalkit.study import register
from tests.inference.studies import study_of


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """A data folder with two boosters, each deployed after one of fewer rounds."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("inference") / "data"
        patched.setenv("SIGNALKIT_DATA", str(folder))
        patched.setenv("SIGNALKIT_THREADS", "1")
        for rounds in (3, 8):
            study = study_of(training={"rounds": rounds})
            for number in register(study).values():
                study.store.models.deploy(number)
            study.store.close()
        yield folder


@pytest.fixture
def store(made, tmp_path, monkeypatch):
    """A copy of that folder, opened."""
    folder = tmp_path / "data"
    shutil.copytree(made, folder)
    monkeypatch.setenv("SIGNALKIT_DATA", str(folder))
    with Store.open(folder) as opened:
        yield opened
