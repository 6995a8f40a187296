"""store/checkpoints.py: a finished piece is found whole, and a job's pieces go at once."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import ParamsError, StoreError
from signalkit.store import Store

JOB = "a" * 64
KEY = "fold-003.XGBOOST"
INDEX = pd.MultiIndex.from_product(
    [["A", "B"], pd.date_range("2024-01-01", periods=2, freq="h", tz="UTC")],
    names=["symbol", "time"],
)
TABLES = {
    "predictions": pd.DataFrame(
        {
            "prediction": [0.1, np.nan, -1e-300, 1.0],
            "known_at": [pd.NaT, *pd.date_range("2024-01-02", periods=3, freq="h", tz="UTC")],
        },
        INDEX,
    ),
    "gain": pd.DataFrame({"rsi_14": np.float32([0.25])}, pd.Index([3], name="fold")),
}
# is killed where all tables are written and the piece is not in its place yet
KILLED = """
import os, signal, sys
import pandas as pd
from pathlib import Path
from signalkit.store.checkpoints import Checkpoints
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
Checkpoints(Path(sys.argv[1])).at("a" * 64).write(sys.argv[2], {"x": pd.DataFrame({"y": [1]})})
"""
# is killed when the job's folder has been moved away
CLEARED = """
import os, shutil, signal, sys
from pathlib import Path
from signalkit.store.checkpoints import Checkpoints
shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
Checkpoints(Path(sys.argv[1])).at("a" * 64).clear()
"""


@pytest.fixture
def checkpoints(own_store):
    with Store.open() as store:
        yield store.checkpoints


def files(checkpoints):
    return sorted(path.name for path in checkpoints.folder.rglob("*") if path.is_file())


def test_a_piece_comes_back_bit_for_bit_in_another_object(checkpoints):
    checkpoints.at(JOB).write(KEY, TABLES, {"seconds": 1.5})
    found = checkpoints.at(JOB).find(KEY)
    assert sorted(found) == sorted(TABLES)
    for name, table in TABLES.items():
        pd.testing.assert_frame_equal(found[name], table, check_exact=True)
    assert checkpoints.at(JOB).about(KEY) == {"seconds": 1.5}


def test_what_was_not_finished_is_not_found(checkpoints):
    checkpoints.at(JOB).write(KEY, TABLES)
    assert checkpoints.at(JOB).find("fold-004.XGBOOST") is None
    assert checkpoints.at(JOB).about("fold-004.XGBOOST") is None
    assert checkpoints.at("b" * 64).find(KEY) is None


def test_a_piece_that_is_stored_stays_as_it_is(checkpoints):
    pieces = checkpoints.at(JOB)
    pieces.write(KEY, TABLES, {"seconds": 1.5})
    pieces.write(KEY, {}, {"seconds": 9.0})
    assert pieces.about(KEY) == {"seconds": 1.5}
    assert sorted(pieces.find(KEY)) == sorted(TABLES)


def test_a_piece_without_tables_is_finished_all_the_same(checkpoints):
    checkpoints.at(JOB).write(KEY, {})
    assert checkpoints.at(JOB).find(KEY) == {}
    assert checkpoints.at(JOB).about(KEY) == {}


def test_clearing_removes_the_pieces_of_one_job_alone(checkpoints):
    for job in (JOB, "b" * 64):
        for key in (KEY, "fold-004.XGBOOST"):
            checkpoints.at(job).write(key, TABLES)
    checkpoints.at(JOB).clear()
    checkpoints.at(JOB).clear()
    assert [folder.name for folder in checkpoints.folder.iterdir()] == ["b" * 64]
    assert checkpoints.at(JOB).find(KEY) is None
    assert checkpoints.at("b" * 64).find(KEY) is not None
    checkpoints.at(JOB).write(KEY, TABLES)
    assert checkpoints.at(JOB).find(KEY) is not None


def test_clearing_where_nothing_was_written_is_no_error(checkpoints):
    checkpoints.at(JOB).clear()
    assert not checkpoints.folder.exists()


@pytest.mark.parametrize("name", ["predictions.parquet", "about.json", "artifact.json"])
def test_a_piece_that_was_changed_is_refused_and_named(checkpoints, name):
    checkpoints.at(JOB).write(KEY, TABLES, {"seconds": 1.5})
    (file,) = checkpoints.folder.rglob(name)
    file.write_bytes(file.read_bytes()[:-1])
    pieces = checkpoints.at(JOB)
    read = pieces.about if name == "about.json" else pieces.find
    with pytest.raises(StoreError, match=rf"{KEY}.*{name}.*remove"):
        read(KEY)


def test_a_piece_moved_under_the_name_of_another_is_refused(checkpoints):
    pieces = checkpoints.at(JOB)
    pieces.write(KEY, TABLES)
    pieces.write("other", TABLES)
    moved = {path.parent.name: path for path in checkpoints.folder.glob(f"{JOB}/*/*")}
    (moved["other"] / "artifact.json").write_bytes((moved[KEY] / "artifact.json").read_bytes())
    with pytest.raises(StoreError, match="other"):
        pieces.find("other")


def test_a_killed_writer_leaves_no_piece_and_the_next_one_writes(checkpoints):
    arguments = [str(checkpoints.folder), KEY]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert "x.parquet" in files(checkpoints)
    assert checkpoints.at(JOB).find(KEY) is None
    checkpoints.at(JOB).write(KEY, TABLES)
    assert sorted(checkpoints.at(JOB).find(KEY)) == sorted(TABLES)
    checkpoints.at(JOB).clear()
    assert files(checkpoints) == []


def test_a_kill_while_clearing_leaves_no_half_job(checkpoints):
    checkpoints.at(JOB).write(KEY, TABLES)
    done = subprocess.run([sys.executable, "-c", CLEARED, str(checkpoints.folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert checkpoints.at(JOB).find(KEY) is None
    checkpoints.at(JOB).write(KEY, TABLES)
    checkpoints.at(JOB).clear()
    assert files(checkpoints) == []


@pytest.mark.parametrize("name", ["../fold", "a/b", "", ".hidden", "-x", "a b", "x" * 121])
def test_a_name_that_could_leave_its_folder_is_refused(checkpoints, name):
    with pytest.raises(ParamsError, match="cannot name a file"):
        checkpoints.at(name)
    pieces = checkpoints.at(JOB)
    with pytest.raises(ParamsError, match=r"piece .* cannot name a file"):
        pieces.write(name, TABLES)
    with pytest.raises(ParamsError, match="cannot name a file"):
        pieces.find(name)
    with pytest.raises(ParamsError, match=r"table of piece fold .* cannot name a file"):
        pieces.write("fold", {name: TABLES["gain"]})
    assert not checkpoints.folder.exists()


def test_what_is_known_of_a_piece_must_be_json(checkpoints):
    with pytest.raises(ParamsError, match="about of piece fold is not JSON"):
        checkpoints.at(JOB).write("fold", TABLES, {"seconds": np.nan})
    assert checkpoints.at(JOB).find("fold") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write in a read-only folder")
def test_a_read_only_folder_is_a_store_error(checkpoints):
    checkpoints.folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="checkpoints"):
        checkpoints.at(JOB).write(KEY, TABLES)
