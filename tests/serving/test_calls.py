"""The calls of docs/api.md as they stand there: the shell with curl, and Python."""

import json
import re
import subprocess
import sys

import pytest

from signalkit.inference import Predictor
from signalkit.store import Store
from signalkit.study import jobs, request
from tests.serving.calls import PORT, TOKEN, collect, example, served, stopped
from tests.serving.test_work import until
from tests.serving.trained import small_sections

QUESTION = {"kind": "train", "model_type": "XGBOOST", "target": "signal_direction"}
QUESTION |= {"symbols": ["BTCUSDT", "ETHUSDT"], "interval": "1h", "prediction_horizon": 24}
QUESTION |= {"training_days": 180}


@pytest.fixture
def quick(own_store, monkeypatch):
    """A data folder in which what the examples train first was trained, small, by session 1."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    with monkeypatch.context() as patched, Store.open(own_store) as store:
        patched.setattr(request, "sections", small_sections())
        collect(store, 1100)
        store.sessions.queue(QUESTION, asked_by="a")
        assert jobs.do(store) == 1
    return own_store


def answers(said):
    """JSON documents of the shell's words, whatever stands between them."""
    decode, found, at = json.JSONDecoder().raw_decode, [], 0
    while (at := said.find("{", at)) >= 0:
        told, at = decode(said, at)
        found.append(told)
    return found


def assert_calls_are_answered(folder, tmp_path, *, session):
    """Every call of the examples is answered as the page says, and as a predictor answers."""
    with served(folder, tmp_path / "said") as (said, port):
        alive, queued, *events, deployed, predicted, listed, joined = answers(said)
        assert alive == {"status": "alive"}
        assert queued == {"session_id": session, "status": "queued"}
        assert [event["id"] for event in events] == [1] * len(events)
        assert (events[-1]["status"], events[-1]["made"]) == ("completed", [1])
        assert re.findall(r"^event: (\w+)", said, re.MULTILINE)[-1] == "end"
        assert (deployed["id"], deployed["status"]) == (1, "deployed")
        assert predicted["stored"]
        assert set(listed) == {"predictions", "next"}
        assert [row["made_by"] for row in listed["predictions"]] == ["1"]
        assert listed["predictions"][0]["prediction_value"] == predicted["value"]
        assert [vote["model"] for vote in joined["votes"]] == [1]
        told = python(port)
        assert [model["id"] for model in told["deployed"]] == [1]
        assert told["answer"]["probabilities"] == predicted["probabilities"]
    until(lambda: stopped(folder))
    with Store.open(folder) as store:
        desk = Predictor(store)
        own = desk.predict_signal_direction("BTCUSDT", prediction_horizon_hours=24)
        every = desk.get_ensemble_prediction("BTCUSDT", prediction_horizon_hours=24)
    assert own.to_dict()["probabilities"] == predicted["probabilities"]
    assert every.to_dict()["probabilities"] == joined["probabilities"]
    return len(events)


def python(port):
    """What the names of the example in Python hold after it has run."""
    words = example("python").replace(PORT, port)
    words += "\nimport json; print(json.dumps({'deployed': deployed, 'answer': answer}))"
    command = [sys.executable, "-c", words]
    env = {"SIGNALKIT_TOKEN": TOKEN}
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return json.loads(told.stdout)


def test_calls_of_the_page_are_answered(quick, tmp_path):
    assert assert_calls_are_answered(quick, tmp_path, session=2) == 1


@pytest.mark.certify
def test_calls_of_the_page_are_answered_from_bars_alone_to_a_prediction(
    own_store, tmp_path, monkeypatch
):
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    with Store.open(own_store) as store:
        collect(store, 1100)
    assert assert_calls_are_answered(own_store, tmp_path, session=1) >= 3
