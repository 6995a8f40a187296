"""doctor.py: what is whole is told, what is not is named, and nothing stops the telling."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import __version__, doctor, lineage
from signalkit.bars import COLUMNS
from signalkit.store import Store
from signalkit.store.schema import MIGRATIONS

MADE = lineage.identity("features", params={}, modules=[], upstream={})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A project folder without a lock file."""
    (tmp_path / "project").mkdir()
    monkeypatch.setattr(doctor, "ROOT", tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def stored(own_store):
    """A store with bars, an artifact, two trials and a run."""
    times = pd.date_range("2024-01-01 01:00", periods=3000, freq="h", tz="UTC", name="time")
    bars = pd.DataFrame(np.ones((3000, 5)), times, list(COLUMNS))
    with Store.open() as store:
        panel = pd.concat({"BTCUSDT": bars}, names=["symbol", "time"])
        store.write_bars(panel, source="files", interval="1h", calendar="24/7")
        store.write_bars(panel.iloc[:2] * 2, source="files", interval="1h", calendar="24/7")
        store.artifacts.write(MADE, files={"x.txt": b"one"})
        store.ledger.record({"horizon": 1}, series="s", artifact="a")
        store.ledger.record({"horizon": 1}, series="s", artifact="a", holdout=True)
        store.finish_run(store.start_run("btc_hourly", "0" * 64, {}), status="finished")
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return own_store


PRESENT = pd.Timestamp("2024-05-05 03:10", tz="UTC")


def examined():
    rows, whole = doctor.examine(PRESENT)
    return dict(rows), whole


def test_an_empty_place_is_whole_and_says_that_nothing_is_stored(own_store):
    told, whole = examined()
    assert whole
    assert told["signalkit"].startswith(f"{__version__} in ")
    assert told["store"] == f"nothing stored yet in {own_store}"
    assert told["libraries"] == "no requirements.lock beside the package"
    assert {"python", "threads", "kernel cache", "free disk"} <= set(told)
    assert not own_store.exists()


def test_a_whole_store_is_told_part_by_part(stored):
    told, whole = examined()
    assert whole
    assert told["database"].startswith(f"ok, schema {len(MIGRATIONS)}, ")
    assert told["database"].endswith(str(stored / "signalkit.db"))
    span = "2024-01-01 01:00Z to 2024-05-05 00:00Z"
    assert told["  BTCUSDT"] == (
        f"3,000 bars 1h from files, {span}, none missing, 2 revised, newest 3 h old"
    )
    assert told["artifacts"] == "1 whole"
    assert told["models"] == "0 registered, 0 deployed, files whole"
    assert told["trial ledger"] == "1 configurations seen, 1 opened the holdout, chain whole"
    assert told["newest run"].startswith("btc_hourly finished, started ")


def test_bars_that_are_missing_are_counted_and_known_outages_told_apart(own_store):
    times = pd.date_range("2024-05-01 01:00", periods=24, freq="h", tz="UTC", name="time")
    bars = pd.DataFrame(np.ones((24, 5)), times, list(COLUMNS)).drop(times[[3, 4, 5, 9, 20]])
    outages = pd.DataFrame({"first": times[[3, 4, 20]], "last": times[[4, 4, 20]], "bars": 1})
    with Store.open() as store:
        panel = pd.concat({"A": bars}, names=["symbol", "time"])
        store.write_bars(panel, source="binance", interval="1h", calendar="24/7")
        store.note_outages("A", "1h", outages, source="binance")
        store.write_bars(panel.iloc[:1], source="files", interval="1h", calendar="XNYS")
    told, whole = doctor.examine(PRESENT)
    assert whole
    first, second = (text for name, text in told if name == "  A")
    span = "2024-05-01 01:00Z to 2024-05-02 00:00Z"
    missing = "5 of 24 missing (3 in known outages), 0 revised, newest 3 d old"
    assert first == f"19 bars 1h from binance, {span}, {missing}"
    assert "1 bars 1h from files" in second
    assert "not compared with a calendar: 1 bars do not end on the 1h grid of XNYS" in second


@pytest.mark.parametrize(
    ("later", "says"),
    [
        ("2D", "2 d old"),
        ("47h", "1 d old"),
        ("23h59min", "23 h old"),
        ("59min", "59 min old"),
        ("59s", "under 1 min old"),
        ("-1s", "later than the clock"),
    ],
)
def test_age_of_the_newest_bar_is_told_in_its_largest_whole_unit(stored, later, says):
    rows, _ = doctor.examine(pd.Timestamp("2024-05-05", tz="UTC") + pd.Timedelta(later))
    assert dict(rows)["  BTCUSDT"].endswith(f"2 revised, newest {says}")


def test_without_a_present_the_age_is_that_of_the_clock(stored):
    rows, _ = doctor.examine()
    age = int(dict(rows)["  BTCUSDT"].split("newest ")[1].split(" d old")[0].replace(",", ""))
    assert age == (pd.Timestamp.now("UTC") - pd.Timestamp("2024-05-05", tz="UTC")).days


def test_news_are_told_by_source(stored):
    times = pd.DatetimeIndex(["2024-01-01 10:00Z", "2024-01-03 11:30Z"], name="known_at")
    items = {"title": "t", "symbols": [(), ()], "sentiment": 0.0, "key": ["1", "2"]}
    news = pd.DataFrame({"published": times} | items, index=times)
    with Store.open() as store:
        store.write_news(news.assign(source="wire"), scorer="VADER")
        store.write_news(news.iloc[:1].assign(source="blog"), scorer="VADER")
    told, whole = examined()
    assert whole
    assert told["  news wire"] == "2 items, known 2024-01-01 10:00Z to 2024-01-03 11:30Z"
    assert told["  news blog"] == "1 items, known 2024-01-01 10:00Z to 2024-01-01 10:00Z"


def test_an_old_database_is_upgraded(own_store):
    own_store.mkdir()
    with closing(sqlite3.connect(own_store / "signalkit.db")) as old:
        old.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    told, whole = examined()
    assert whole
    assert told["database"].startswith(f"ok, schema {len(MIGRATIONS)}, ")


def test_a_tampered_artifact_is_named(stored):
    (stored / "artifacts" / "features" / MADE["identity"] / "x.txt").write_bytes(b"two")
    told, whole = examined()
    assert not whole
    assert told["artifacts"].startswith("1 broken: ")
    assert "x.txt is not what was written" in told["artifacts"]
    assert told["trial ledger"].endswith("chain whole")


@pytest.fixture
def registered(stored):
    """Files of two models, the first of which is deployed."""
    names = ["features_used", "params", "metrics", "symbols"]
    about = dict(zip(names, (["rsi_14"], {}, {}, ["BTCUSDT"]), strict=True))
    about |= {"name": "way", "model_type": "XGBOOST", "target_variable": "signal_direction"}
    about |= {"prediction_horizon": 1, "study": "s", "interval": "1h"}
    about |= {"trained_from": PRESENT, "trained_to": PRESENT, "files": {"model.ubj": b"trees"}}
    with Store.open() as store:
        for identity in ("a" * 64, "b" * 64):
            store.models.register(identity=identity, **about)
        store.models.deploy(1)
    return [stored / "models" / (letter * 64) / "model.ubj" for letter in "ab"]


def test_registered_models_are_counted_and_their_files_compared(registered):
    told, whole = examined()
    assert whole
    assert told["models"] == "2 registered, 1 deployed, files whole"


@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_bytes(b"other")])
def test_a_model_whose_file_is_not_what_was_stored_is_named(registered, change):
    change(registered[1])
    told, whole = examined()
    assert not whole
    assert told["models"].startswith("2 registered, 1 deployed, 1 broken: model 2 'way': ")
    assert "its SHA-256 differs from the registry); train it again" in told["models"]
    assert told["artifacts"] == "1 whole"


def test_a_description_that_is_not_json_is_named_and_the_rest_is_told(stored):
    (stored / "artifacts" / "features" / MADE["identity"] / "artifact.json").write_text("{")
    told, whole = examined()
    assert not whole
    assert "artifact.json is not JSON" in told["artifacts"]
    assert told["trial ledger"].endswith("chain whole")


def test_what_a_killed_writer_left_behind_is_no_broken_artifact(stored):
    left = stored / "artifacts" / "features" / ".making-abc"
    left.mkdir()
    (left / "artifact.json").write_text('{"files": {"x.t')
    told, whole = examined()
    assert told["artifacts"] == "1 whole"
    assert whole


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DELETE FROM trials WHERE seq = 1", "the trial ledger misses the row before row 2"),
        ("UPDATE trials SET params = '{}' WHERE seq = 2", "row 2 of the trial ledger was changed"),
    ],
)
def test_a_touched_ledger_is_named(stored, change, says):
    with Store.open() as store:
        store.db.execute(change)
    told, whole = examined()
    assert not whole
    assert told["trial ledger"] == says


@pytest.mark.parametrize("version", [len(MIGRATIONS) + 1, 99])
def test_a_database_that_is_newer_is_told(stored, version):
    with Store.open() as store:
        store.db.execute(f"PRAGMA user_version = {version}")
    told, whole = examined()
    assert not whole
    knows = f"this signalkit knows up to {len(MIGRATIONS)}; update"
    assert f"has schema {version}, {knows}" in told["store"]


def test_a_file_that_is_no_database_is_told(own_store):
    own_store.mkdir()
    (own_store / "signalkit.db").write_bytes(b"garbage " * 1000)
    told, whole = examined()
    assert not whole
    assert "cannot be read" in told["store"]


@pytest.mark.parametrize("pages", [range(20, 45), range(40, 45), range(1, 60)])
def test_a_database_with_broken_pages_is_told(stored, pages):
    file = stored / "signalkit.db"
    content = bytearray(file.read_bytes())
    for page in pages:
        if page * 4096 < len(content):
            content[page * 4096 : (page + 1) * 4096] = b"\xaa" * 4096
    file.write_bytes(content)
    told, whole = examined()
    assert not whole
    assert any("malformed" in row or "invalid page" in row for row in told.values())


@pytest.mark.parametrize(
    ("lock", "says"),
    [
        ("numpy=={} \\\n    --hash=sha256:0\n", "all 1 as in requirements.lock"),
        ("numpy=={} ; python_version > '3' \\\n", "all 1 as in requirements.lock"),
        ("numpy=={}\n", "all 1 as in requirements.lock"),
        ("numpy=={} \\\nx==1 ; python_version < '3' \\\n", "all 1 as in requirements.lock"),
        ("numpy==0.0.1 \\\n", "1 differ from requirements.lock: numpy {} (locked 0.0.1)"),
        ("no-such==1.0 \\\n", "1 differ from requirements.lock: no-such missing (locked 1.0)"),
    ],
)
def test_libraries_are_compared_with_the_lock(own_store, elsewhere, lock, says):
    (elsewhere / "requirements.lock").write_text(lock.format(np.__version__))
    told, whole = examined()
    assert told["libraries"] == says.format(np.__version__)
    assert whole == says.startswith("all")
