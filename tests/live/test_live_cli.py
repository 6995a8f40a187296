"""cli/live.py: predict, tick and live, as they are typed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from signalkit import ROOT, cli
from signalkit.store import Store
from signalkit.store.locks import Lock
from tests.live.houses import SYMBOL, dump

QUICK = {"window": 200}


def run(*words):
    """The command with these words."""
    return CliRunner().invoke(cli.main, ["--quiet", *map(str, words)])


@pytest.fixture
def ready(house, store):
    """A deployed house with the bars of three steps; the numbers of its models."""
    numbers = house.deploy(store, **QUICK)
    house.write(store, house.clock[0], house.clock[2])
    return numbers


def test_tick_says_what_it_did_and_a_second_one_that_nothing_is_new(house, store, ready):
    done = run("tick", "--at", house.clock[1].isoformat())
    assert done.exit_code == 0
    assert done.output.strip() == (
        f"{house.clock[1]:%Y-%m-%d %H:%M}Z: 3 predictions, 0 outcomes, 1 signals, 0 alarms"
    )
    before = dump(store)
    again = run("tick", "--at", house.clock[1].isoformat())
    assert "0 predictions, 0 outcomes, 0 signals" in again.output
    assert dump(store) == before


def test_tick_of_another_study_is_remarked(house, store, ready, tmp_path):
    file = tmp_path / "other.yaml"
    file.write_text("# Why?\nstudy_name: other\n")
    done = run("tick", file, "--at", house.clock[1].isoformat())
    assert done.exit_code == 0
    assert "no model of 'other' is deployed" in done.output
    assert store.predictions.page() == []


def test_params_say_how_a_deployed_study_is_watched(house, store, ready, tmp_path):
    file = tmp_path / "house.yaml"
    file.write_text("# Why?\nstudy_name: house\nmonitoring: {retrain_every: 5}\n")
    done = run("tick", file, "--at", house.clock[2].isoformat())
    assert done.exit_code == 0
    assert done.output.count("is queued for model") == 2


def test_a_tick_beside_another_one_ends_well(house, store, ready):
    held = Lock(store.folder / "locks" / "live.lock")
    assert held.take()
    done = run("tick", "--at", house.clock[1].isoformat())
    held.release()
    assert (done.exit_code, done.output.strip()) == (
        0,
        "another step is running; nothing was done",
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tick", "--at", "soon"], "'soon' is no date"),
        (["tick", "none.yaml"], "none.yaml: no such params file"),
        (["predict", SYMBOL, "--hours", "4.5"], "no whole number of 1h bars"),
        (["predict", "NONE", "--hours", "4"], "no deployed model predicts signal_direction"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(house, store, ready, words, says):
    done = run(*words)
    assert done.exit_code == 1
    assert says in done.output
    assert "Traceback" not in done.output


def test_predict_prints_the_answer_its_votes_and_flags(house, store, ready):
    at = house.clock[1].isoformat()
    done = run("predict", SYMBOL, "--hours", "4", "--at", at)
    assert done.exit_code == 0
    first, *rest = done.output.splitlines()
    assert first.startswith(f"{SYMBOL} signal_direction, 4 hours ahead, bar of ")
    assert "(sell 0." in first
    assert len([line for line in rest if ", weight 0." in line]) == 2


def test_predict_as_json_is_the_whole_answer(house, store, ready):
    at = house.clock[0].isoformat()
    done = run("predict", SYMBOL, "--hours", "4", "--at", at, "--json")
    told = json.loads(done.output)
    want = house.predictions.loc[(SYMBOL, house.clock[0], "ENSEMBLE")]
    assert told["value"] == want["prediction"]
    assert told["probabilities"]["buy"] == want["p_buy"]
    assert {vote["model"] for vote in told["votes"]} == set(ready.values())


def test_predict_of_bars_that_are_over_is_refused_and_says_so(house, store, ready):
    done = run("predict", SYMBOL, "--hours", "4")
    assert done.exit_code == 0
    assert "no answer" in done.output
    assert "too_old" in done.output


def test_live_steps_beats_and_ends_by_a_signal(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNALKIT_DATA", str(tmp_path / "data"))
    command = [sys.executable, "-m", "signalkit.cli", "live"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    beat, until = None, time.monotonic() + 60
    while beat is None and process.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
        if (tmp_path / "data" / "signalkit.db").exists():
            with Store.open(tmp_path / "data") as store:
                beat = store.watch.state("heartbeat")
    assert beat["process"] == process.pid
    assert beat["at"] < beat["due"]
    os.kill(process.pid, signal.SIGTERM)
    told, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert told.strip() == "stopped after 1 steps; what was written is whole"
    assert "no model is deployed" in said
    with Store.open(tmp_path / "data") as store:
        assert store.watch.state("heartbeat") == {"stopped": True}
