"""What is broken is told in one sentence, ends nothing that need not end, and is made good."""

import importlib
import json
import shutil
import sqlite3

import pandas as pd
import pytest
from click.testing import CliRunner

from signalkit import cli
from signalkit.errors import StoreError
from signalkit.live import Loop, follow, tick
from signalkit.store import Store, database
from signalkit.store.predictions import ENSEMBLE
from signalkit.study.registry import STUDY
from tests.live.houses import answers, dump, fed

WRITTEN = ("ml_predictions", "signals", "live_states", "ml_model_performance")


def run(*words):
    """The command with these words; it never shows a traceback."""
    done = CliRunner().invoke(cli.main, ["--quiet", *map(str, words)])
    assert "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def files_of(store, number):
    """Folder of a model's files."""
    return store.models.folder / store.models.find(number).identity


def change(folder):
    """Other bytes in every file."""
    for file in folder.iterdir():
        file.write_bytes(b"other")


@pytest.mark.parametrize("harm", [shutil.rmtree, change])
def test_a_broken_model_is_left_out_and_named(house, store, caplog, harm):
    numbers = house.deploy(store)
    house.write(store, house.clock[0], house.clock[0])
    harm(files_of(store, numbers["XGBOOST"]))
    done = run("tick", "--at", house.clock[0].isoformat())
    assert done.exit_code == 0
    assert done.output.count("2 predictions") == 1
    assert f"model {numbers['XGBOOST']} house.XGBOOST is not read" in caplog.text
    detail = json.loads(answers(store, ENSEMBLE)["detail"].iloc[0])
    assert [one["model"] for one in detail["left_out"]] == [numbers["XGBOOST"]]


@pytest.mark.parametrize("harm", [shutil.rmtree, change])
def test_a_study_without_a_whole_model_is_remarked(house, store, harm):
    numbers = house.deploy(store)
    house.write(store, house.clock[0], house.clock[0])
    for number in numbers.values():
        harm(files_of(store, number))
    done = run("tick", "--at", house.clock[0].isoformat())
    assert done.exit_code == 0
    assert len(done.output.strip().splitlines()) == 1
    for number in numbers.values():
        assert f"model {number} house." in done.output
    assert "train it again" in done.output
    assert store.predictions.page() == []


def test_a_loop_that_runs_goes_on_with_the_models_that_it_has_loaded(house, store):
    numbers = house.deploy(store)
    loop = Loop(store)
    fed(house, store, house.clock[:2], loop)
    for number in numbers.values():
        shutil.rmtree(files_of(store, number))
    fed(house, store, house.clock[2:4], loop)
    assert answers(store, ENSEMBLE)["origin"].tolist() == ["deployed"] * 4
    fed(house, store, house.clock[4:5])  # cold
    assert len(answers(store, ENSEMBLE)) == 4


def test_params_that_are_of_another_version_break_one_study_alone(house, store, caplog):
    numbers = house.deploy(store)
    told = json.dumps({"study_name": "other", "unheard": 1}).encode()
    strange = store.models.register(
        name="other.XGBOOST", identity="strange", model_type="XGBOOST",
        target_variable="signal_direction", prediction_horizon=4, features_used=[], params={},
        files={STUDY: told}, metrics={}, study="other", symbols=["BTCUSDT"], interval="1h",
        trained_from=house.trained[0], trained_to=house.trained[1],
    )  # fmt: skip
    store.models.deploy(strange)
    house.write(store, house.clock[0], house.clock[0])
    done = tick(store, at=house.clock[0])
    assert any(f"model {strange} other.XGBOOST" in remark for remark in done.remarks)
    assert "unheard" in caplog.text
    assert len(answers(store, numbers["XGBOOST"])) == 1


@pytest.mark.parametrize("verb", ["tick", "live"])
def test_a_newer_schema_is_refused_with_one_sentence(house, store, verb):
    store.db.execute("PRAGMA user_version = 99")
    done = run(verb)
    assert done.exit_code == 1
    assert len(done.output.strip().splitlines()) == 1
    assert "schema 99, this signalkit knows up to" in done.output


def test_a_read_only_database_is_refused_with_one_sentence(house, store, monkeypatch):
    house.deploy(store)
    house.write(store, house.clock[0], house.clock[0])
    connect = sqlite3.connect

    def closed(*file, **how):
        made = connect(*file, **how)
        made.execute("PRAGMA query_only = 1")
        return made

    monkeypatch.setattr(database.sqlite3, "connect", closed)
    done = run("tick", "--at", house.clock[0].isoformat())
    assert done.exit_code == 1
    assert len(done.output.strip().splitlines()) == 1
    assert "cannot be written (attempt to write a readonly database)" in done.output


def fill(store):
    """Leave a connection no page that it may take, nor one with room."""
    (pages,) = store.db.execute("PRAGMA page_count").fetchone()
    store.db.execute(f"PRAGMA max_page_count = {pages}")


def room(store):
    """Let a connection take pages again."""
    store.db.execute("PRAGMA max_page_count = 1000000")


def test_a_full_disk_loses_and_doubles_nothing(house, store, tmp_path):
    house.deploy(store)
    fed(house, store, house.clock[:14], Loop(store))
    with Store.open(tmp_path / "full") as full:
        house.deploy(full)
        house.write(full, house.clock[0], house.clock[13])
        loop, refusals = Loop(full), []
        for at in house.clock[:14]:
            fill(full)
            try:
                loop.step(at)
            except StoreError as refused:
                refusals.append(str(refused))
                room(full)
                loop.step(at)
        assert all("database or disk is full" in refusal for refusal in refusals)
        assert len(refusals) >= 3
        assert dump(full, WRITTEN) == dump(store, WRITTEN)


def test_live_warns_of_a_full_disk_and_goes_on_when_there_is_room(
    house, store, monkeypatch, caplog
):
    monkeypatch.setattr(importlib.import_module("signalkit.live.follow"), "_IDLE", pd.Timedelta(0))
    house.deploy(store)
    house.write(store, house.clock[0], house.clock[0])
    loop, tried = Loop(store), []
    store.db.execute("PRAGMA query_only = 1")

    def stop():
        tried.append(len(store.predictions.page()))
        if len(tried) == 4:
            store.db.execute("PRAGMA query_only = 0")
        return len(tried) > 40 or tried[-1] > 0

    follow(loop, store, stop=stop)
    assert len(tried) < 40
    assert "cannot be written" in caplog.text
    assert "trying again in a minute" in caplog.text
    assert len(store.predictions.page()) == 3
    assert store.watch.state("heartbeat") == {"stopped": True}
