"""The example in JavaScript of docs/api.md, on a page of the server, after a log in by the form."""

import pytest

from signalkit.store import Store
from tests.browser.test_dashboard import Server, enter
from tests.serving.calls import collect, example
from tests.serving.trained import train

# what a page sees of the example: its answers, and how the stream ends
TOLD = """
const ended = new Promise((done) => session.addEventListener("end", (e) => done(e.data)));
return [answer.status, await answer.json(), JSON.parse(await ended)];
"""
TRAIN = """async () => {
  const asked = {"model_type":"XGBOOST","target_variable":"signal_direction",
    "symbols":["BTCUSDT","ETHUSDT"],"prediction_horizon":24,"training_days":180};
  const answer = await fetch("/api/ml/models/", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(asked)});
  const session = new EventSource(`${answer.headers.get("location")}events/`), seen = [];
  session.addEventListener("progress", (e) => seen.push(JSON.parse(e.data).progress));
  const end = await new Promise((done) => session.addEventListener("end", (e) => done(e.data)));
  session.close();
  return [answer.status, seen, JSON.parse(end).status];
}"""


@pytest.fixture
def house(chromium, own_store, monkeypatch):
    """A deployed model that answers the example's question, and a session that is over."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    (number,) = train(own_store, "XGBOOST", bars=1100, prediction_horizon=24)
    with Store.open(own_store) as store:
        store.models.deploy(number)
        with store.sessions.open("XGBOOST", "a" * 64, jobs=2) as session:
            session.progress(2)
    return own_store


def assert_the_example_is_answered(server, new_tab):
    """What the example asks for is answered, and stored."""
    tab = new_tab()
    page = enter(tab, server)
    status, answer, end = page.evaluate(f"async () => {{ {example('js')} {TOLD} }}")
    assert (status, answer["symbol"], answer["stored"]) == (200, "BTCUSDT", True)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert (end["id"], end["status"]) == (1, "completed")
    assert tab.said == []
    return page


def test_the_example_is_answered_on_a_page_of_the_server(house, new_tab):
    server = Server(house, "--no-worker", "--no-live")
    try:
        assert_the_example_is_answered(server, new_tab).context.close()
    finally:
        server.close()
    with Store.open(house) as store:
        assert [row["made_by"] for row in store.predictions.page()] == ["1"]


@pytest.mark.certify
def test_a_page_trains_and_is_told_the_progress(house, new_tab):
    with Store.open(house) as store:
        collect(store, 1100)
    server = Server(house, "--no-live")
    try:
        page = assert_the_example_is_answered(server, new_tab)
        status, seen, end = page.evaluate(TRAIN)
        assert (status, end) == (202, "completed")
        assert seen == sorted(seen)
        assert len(set(seen)) >= 3
        page.context.close()
    finally:
        server.close()
