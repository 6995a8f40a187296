"""One walked study for all tests of the loop; each test deploys it in a store of its own."""

import pytest

from signalkit.store import Store
from tests.live.houses import walked


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


@pytest.fixture(scope="package")
def house(tmp_path_factory):
    """A study of two boosters on 700 hourly bars, walked."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SIGNALKIT_DATA", str(tmp_path_factory.mktemp("live") / "data"))
        patched.setenv("SIGNALKIT_THREADS", "1")
        yield walked(700)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store."""
    monkeypatch.setenv("SIGNALKIT_DATA", str(tmp_path / "data"))
    with Store.open(tmp_path / "data") as opened:
        yield opened
