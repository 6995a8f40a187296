"""store/models.py: a model is stored once, handed out only whole, and one of a name is deployed."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from signalkit import ROOT
from signalkit.errors import ParamsError, StoreError
from signalkit.store import Store

DAY = pd.Timestamp("2024-01-01", tz="UTC")
FILES = {"model.ubj": b"\x00\xfftrees", "model.json": b"{}"}
ABOUT = {
    "name": "direction",
    "identity": "a" * 64,
    "model_type": "XGBOOST",
    "target_variable": "signal_direction",
    "prediction_horizon": 24,
    "features_used": ["rsi_14", "atr_14"],
    "params": {"max_depth": 3, "eta": 0.1},
    "files": FILES,
    "metrics": {"auc": 0.54, "brier": 0.66},
    "study": "coins",
    "symbols": ["BTCUSDT", "ETHUSDT"],
    "interval": "1h",
    "trained_from": DAY,
    "trained_to": DAY + pd.Timedelta(90, "D"),
}
# is killed where the files are in place and the row is not written yet
KILLED = """
import os, signal, sys
from signalkit.store import Store
from signalkit.store.models import Models
from tests.store.test_models import ABOUT

place = Models._place

def dies(self, identity, files):
    place(self, identity, files)
    os.kill(os.getpid(), signal.SIGKILL)

Models._place = dies
Store.open().models.register(**ABOUT)
"""


@pytest.fixture
def store(own_store):
    with Store.open() as opened:
        yield opened


def register(store, letter="a", **changed):
    return store.models.register(**(ABOUT | {"identity": letter * 64} | changed))


def audit(store):
    rows = store.db["audit"].rows_where(order_by="id")
    return [(row["action"], row["subject"], row["actor"]) for row in rows]


def statuses(store):
    return [model.status for model in store.models.list()]


def test_what_was_registered_is_read_back(store):
    number = register(store)
    model = store.models.find(number)
    same = ("name", "identity", "model_type", "target_variable", "prediction_horizon", "params")
    same += ("features_used", "metrics", "study", "symbols", "interval", "trained_from")
    assert {name: getattr(model, name) for name in same} == {name: ABOUT[name] for name in same}
    assert model.trained_to == ABOUT["trained_to"]
    assert (model.status, model.is_active, model.deployed_at) == ("trained", False, None)
    assert store.models.files(number) == FILES
    assert model.artifact == f"models/{'a' * 64}"
    assert audit(store) == [("register", f"model {number}", "local")]


def test_metrics_with_a_column_are_there_and_the_others_beside_them(store):
    metrics = {"auc": np.float64(0.5), "mse": np.nan, "rank_ic": np.float32(0.25), "mae": np.inf}
    register(store, metrics=metrics)
    (row,) = store.db["ml_models"].rows
    assert (row["auc"], row["mse"], row["mae"], row["accuracy"]) == (0.5, None, None, None)
    assert json.loads(row["metrics"]) == {"rank_ic": 0.25}
    assert store.models.find(1).metrics == {"auc": 0.5, "rank_ic": 0.25}


def test_the_same_identity_is_registered_once_and_stays_as_it_was(store):
    first = register(store)
    assert register(store, name="another", files={"model.ubj": b"made again"}) == first
    assert store.models.files(first) == FILES
    assert [model.name for model in store.models.list()] == ["direction"]
    assert len(audit(store)) == 1


def test_several_that_register_one_identity_at_once_get_one_number(own_store):
    together = threading.Barrier(4)

    def registers(_):
        with Store.open() as store:
            together.wait()
            return register(store)

    with ThreadPoolExecutor(4) as pool:
        numbers = set(pool.map(registers, range(4)))
    with Store.open() as store:
        assert numbers == {model.id for model in store.models.list()} == {1}
        assert store.models.files(1) == FILES
        assert [folder.name for folder in store.models.folder.iterdir()] == ["a" * 64]


@pytest.mark.parametrize("damage", ["changed", "renamed", "added", "removed", "folder", "nested"])
def test_files_that_are_not_what_was_stored_are_refused_until_it_is_trained_again(store, damage):
    number = register(store)
    folder = store.models.folder / ("a" * 64)
    file = folder / "model.ubj"
    if damage == "changed":
        file.write_bytes(b"\x00\xffTrees")
    elif damage == "renamed":
        file.rename(folder / "model.bin")
    elif damage == "added":
        (folder / "more").write_bytes(b"")
    elif damage == "removed":
        file.unlink()
    elif damage == "nested":
        (folder / "more").mkdir()
    else:
        folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(StoreError, match=r"model 1 'direction': .*was changed.*train it again"):
        store.models.files(number)
    with pytest.raises(StoreError, match="was changed"):
        store.models.deploy(number)
    assert statuses(store) == ["trained"]
    assert register(store) == number
    assert store.models.files(number) == FILES
    assert [action for action, *_ in audit(store)] == ["register", "restore"]


def test_names_and_contents_cannot_be_shifted_against_each_other(store):
    numbers = [
        register(store, "a", files={"a": b"1", "b": b"2"}),
        register(store, "b", files={"a": b"2", "b": b"1"}),
        register(store, "c", files={"a": b"12", "b": b""}),
    ]
    assert len({store.models.find(number).sha256 for number in numbers}) == 3
    same = register(store, "d", files={"b": b"2", "a": b"1"})
    assert store.models.find(same).sha256 == store.models.find(numbers[0]).sha256


def test_a_kill_between_files_and_row_leaves_no_model_and_the_next_one_registers(own_store):
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    with Store.open() as store:
        assert (store.models.folder / ("a" * 64) / "model.ubj").exists()
        assert store.models.list() == []
        other = FILES | {"model.ubj": b"made again"}
        assert store.models.files(register(store, files=other)) == other


def test_one_model_of_a_name_is_deployed(store):
    for letter in "abc":
        register(store, letter)
    other = register(store, "d", name="returns")
    for number in (1, 2, other):
        store.models.deploy(number, actor="me")
    assert statuses(store) == ["archived", "deployed", "trained", "deployed"]
    first, second, *_ = store.models.list()
    assert (first.is_active, second.is_active) == (False, True)
    assert pd.Timestamp(second.deployed_at) >= pd.Timestamp(second.created_at)
    assert audit(store)[4:] == [
        ("deploy", "model 1", "me"),
        ("archive", "model 1", "me"),
        ("deploy", "model 2", "me"),
        ("deploy", "model 4", "me"),
    ]
    details = [json.loads(row["detail"]) for row in store.db["audit"].rows_where(order_by="id")]
    assert details[5:7] == [{"replaced_by": 2}, {"name": "direction", "replaces": [1]}]


def test_deploying_what_is_deployed_changes_nothing_and_an_archived_one_comes_back(store):
    register(store)
    store.models.deploy(1)
    kept = store.models.find(1), audit(store)
    store.models.deploy(1)
    assert (store.models.find(1), audit(store)) == kept
    store.models.archive(1, force=True)
    store.models.archive(1)
    store.models.deploy(1)
    assert [action for action, *_ in audit(store)] == ["register", "deploy", "archive", "deploy"]


def test_a_deployed_model_is_archived_by_force_alone(store):
    register(store)
    store.models.deploy(1)
    with pytest.raises(ParamsError, match=r"model 1 'direction' is deployed.*or force it"):
        store.models.archive(1)
    assert statuses(store) == ["deployed"]
    store.models.archive(1, force=True)
    assert (statuses(store), store.models.find(1).is_active) == (["archived"], False)
    assert store.models.files(1) == FILES


def test_several_that_deploy_at_once_leave_one_deployed(own_store):
    with Store.open() as store:
        for letter in "abcd":
            register(store, letter)
    together = threading.Barrier(4)

    def deploys(number):
        with Store.open() as store:
            together.wait()
            store.models.deploy(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(deploys, range(1, 5)))
    with Store.open() as store:
        assert sorted(statuses(store)) == ["archived"] * 3 + ["deployed"]


def test_the_database_itself_refuses_a_second_deployed_model_of_a_name(store):
    register(store, "a")
    register(store, "b")
    with pytest.raises(sqlite3.IntegrityError, match=r"ml_models\.name"):
        store.db.execute("UPDATE ml_models SET status = 'deployed'")


def test_a_name_is_the_deployed_model_then_the_newest_that_is_not_archived(store):
    for letter in "abc":
        register(store, letter)
    assert store.models.find("direction").id == 3
    store.models.archive(3)
    assert store.models.find("direction").id == 2
    store.models.deploy(1)
    assert store.models.find("direction").id == 1
    for number in (1, 2):
        store.models.archive(number, force=True)
    assert store.models.find("direction").id == 3
    assert (store.models.find("2").id, store.models.find(2).id) == (2, 2)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("directon", "no model 'directon' is registered; did you mean 'direction'"),
        ("zzz", "no model 'zzz' is registered; the newest are 1 'direction'"),
        (2, "no model 2 is registered; the newest are 1 'direction'"),
    ],
)
def test_a_model_that_is_not_there_is_refused_with_those_that_are(store, asked, says):
    register(store)
    with pytest.raises(ParamsError, match=says):
        store.models.find(asked)


def test_an_empty_registry_says_how_to_make_a_model(store):
    assert store.models.list() == []
    with pytest.raises(ParamsError, match="no model is registered yet; train one"):
        store.models.find("direction")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"identity": "../elsewhere"}, r"identity of model 'direction' '\.\./elsewhere' cannot"),
        ({"files": {"../model.ubj": b""}}, r"file of model 'direction' '\.\./model.ubj' cannot"),
        ({"files": {"a/b": b""}}, "'a/b' cannot name a file"),
        ({"files": {".hidden": b""}}, "'.hidden' cannot name a file"),
        ({"files": {"x" * 121: b""}}, "cannot name a file"),
        ({"files": {}}, "model 'direction' has no files; save it first"),
        ({"name": "12"}, "name must not be empty or digits alone, was '12'"),
        ({"name": " "}, "name must not be empty or digits alone, was ' '"),
        ({"prediction_horizon": 0}, "prediction_horizon must be 1 or more, was 0"),
        ({"params": {"x": np.nan}}, "params of model 'direction' is not JSON"),
        ({"params": {"x": {1}}}, "params of model 'direction' is not JSON"),
        ({"metrics": {"auc": "high"}}, "metric 'auc' must be a number, was 'high'"),
        ({"trained_to": DAY - pd.Timedelta(1, "h")}, "2024-01-01.* after 2023-12-31T23"),
        ({"trained_from": pd.Timestamp("2024-01-01")}, "trained_from must be a Timestamp with"),
        ({"trained_to": pd.NaT}, "trained_to must be a Timestamp with"),
    ],
)
def test_what_could_not_be_stored_is_refused_and_nothing_is_written(store, changed, says):
    with pytest.raises(ParamsError, match=says):
        store.models.register(**(ABOUT | changed))
    assert store.models.list() == []
    assert not store.models.folder.exists()


def test_a_folder_that_cannot_be_written_is_a_store_error_and_leaves_no_row(store):
    store.models.folder.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"models/a+ cannot be written"):
        register(store)
    assert (store.models.list(), audit(store)) == ([], [])


def test_a_database_that_another_writer_keeps_is_a_store_error(own_store):
    with Store.open() as store:
        register(store)
        store.db.execute("PRAGMA busy_timeout = 10")
        with closing(sqlite3.connect(own_store / "signalkit.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="look for another writer"):
                store.models.deploy(1)
        store.models.deploy(1)
        assert statuses(store) == ["deployed"]
