"""store/database.py: the data folder, its trades, its runs and the ledger that is lent."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import ROOT
from signalkit.errors import StoreError
from signalkit.lineage import digest
from signalkit.store import Store, data_folder
from signalkit.store.ledger import GENESIS

TRADE = {
    "symbol": "A", "side": "long", "entry_time": pd.Timestamp("2024-01-01", tz="UTC"),
    "exit_time": pd.NaT, "entry_price": 100.0, "exit_price": np.nan, "size": 1.0, "fee": 0.1,
    "slippage": 0.2, "funding": 0.0, "pnl": -0.3, "return": -0.003, "model_id": "mean",
    "prediction": 0.1, "confidence": 0.2, "exit_reason": "open",
}  # fmt: skip


@pytest.fixture
def store(own_store):
    with Store.open() as opened:
        yield opened


def rows(store, table):
    return list(store.db[table].rows)


def test_the_data_folder_is_the_one_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGNALKIT_DATA", str(tmp_path / "named"))
    assert data_folder() == tmp_path / "named"
    monkeypatch.delenv("SIGNALKIT_DATA")
    assert data_folder() == ROOT / "data"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path, place):
    (tmp_path / "file").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"signalkit\.db cannot be opened .*check the folder"):
        Store.open(tmp_path / place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write in a read-only folder")
def test_a_read_only_folder_is_a_store_error(tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(StoreError, match=r"signalkit\.db"):
        Store.open(tmp_path / "data")


def test_trades_of_a_run_are_replaced_those_of_others_stay(store):
    store.write_trades("one", pd.DataFrame([TRADE, TRADE]))
    store.write_trades("two", pd.DataFrame([TRADE]))
    closed = TRADE | {"exit_time": TRADE["entry_time"], "exit_price": 99.0, "exit_reason": "stop"}
    store.write_trades("one", pd.DataFrame([closed]))
    kept = {row["run"]: row for row in rows(store, "trades")}
    assert store.db["trades"].count == 2
    assert kept["one"]["exit_reason"] == "stop"
    assert kept["one"]["entry_time"] == "2024-01-01T00:00:00+00:00"
    assert (kept["two"]["exit_time"], kept["two"]["exit_price"]) == (None, None)


def test_a_run_that_no_longer_trades_has_no_trades(store):
    store.write_trades("one", pd.DataFrame([TRADE]))
    store.write_trades("one", pd.DataFrame([TRADE]).iloc[:0])
    assert rows(store, "trades") == []


def test_a_run_notes_its_params_its_end_and_the_head_of_the_ledger(store):
    first = store.start_run("study", "0" * 64, {"b": 1, "a": 2})
    second = store.start_run("study", "1" * 64, {})
    store.ledger.record({"horizon": 5}, series="s", artifact="a")
    store.finish_run(first, status="finished", report="reports/study")
    done, running = rows(store, "runs")
    assert (done["id"], running["id"]) == (first, second)
    assert (done["status"], running["status"]) == ("finished", "running")
    assert json.loads(done["params"]) == {"a": 2, "b": 1}
    assert done["ledger_head"] == store.ledger.head()
    assert (running["finished"], running["ledger_head"]) == (None, None)


@pytest.mark.parametrize("lent", range(4))
def test_the_ledger_is_lent_up_to_a_head(store, tmp_path, lent):
    heads = [GENESIS]
    for number in range(3):
        store.ledger.record({"horizon": number}, series="s", artifact="a")
        heads.append(store.ledger.head())
    store.lend_ledger(tmp_path / "lent", heads[lent])
    with Store.open(tmp_path / "lent") as other:
        assert other.ledger.trials() == store.ledger.trials()[:lent]
        other.ledger.check()


def test_returns_go_with_the_chain_but_for_those_of_one_artifact_and_of_holdouts(store, tmp_path):
    made = {}
    for name in ("mine", "other", "held"):
        about = {"stage": "backtesting", "of": name}
        made[name] = digest(about)
        tables = {"returns": pd.DataFrame({"strategy": [0.1]})}
        store.artifacts.write(about | {"identity": made[name]}, tables=tables)
        told = {"series": "s", "artifact": made[name], "holdout": name == "held"}
        store.ledger.record(about, **told)
    store.lend_ledger(tmp_path / "lent", store.ledger.head(), but=made["mine"])
    with Store.open(tmp_path / "lent") as other:
        assert len(other.ledger.trials()) == 3
        found = {name: other.artifacts.find("backtesting", made[name]) for name in made}
        assert [name for name, there in found.items() if there] == ["other"]


def test_a_head_that_the_ledger_does_not_have_is_not_lent(store, tmp_path):
    store.ledger.record({"horizon": 1}, series="s", artifact="a")
    with pytest.raises(StoreError, match="ledger"):
        store.lend_ledger(tmp_path / "lent", "f" * 64)
    assert not Path(tmp_path / "lent").exists()
