"""store/artifacts.py: a folder is there whole or not at all, and what was changed is refused."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pandas as pd
import pytest

from signalkit import lineage
from signalkit.errors import StoreError
from signalkit.store import Artifacts

MADE = lineage.identity("features", params={"span": 20}, modules=[], upstream={})
TABLE = pd.DataFrame(
    {"ratio": [0.1, float("nan"), -1e-300]},
    index=pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC", name="time"),
)
# a writer that is killed where the folder is complete but for its last sync
KILLED = """
import json, os, signal, sys
from pathlib import Path
from signalkit.store import Artifacts
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
Artifacts(Path(sys.argv[1])).write(json.loads(sys.argv[2]), files={"x.txt": b"one"})
"""


@pytest.fixture
def artifacts(tmp_path):
    return Artifacts(tmp_path / "artifacts")


def test_what_is_written_is_found_and_read(artifacts):
    written = artifacts.write(MADE, tables={"features": TABLE}, files={"model.ubj": b"\x00\xff"})
    found = artifacts.find("features", MADE["identity"])
    assert found.identity == written.identity == MADE["identity"]
    pd.testing.assert_frame_equal(
        found.table("features"), TABLE, check_exact=True, check_freq=False
    )
    assert found.path("model.ubj").read_bytes() == b"\x00\xff"
    assert {name: found.about[name] for name in MADE} == MADE


def test_what_was_not_made_is_not_found(artifacts):
    assert artifacts.find("features", MADE["identity"]) is None
    artifacts.write(MADE)
    assert artifacts.find("labeling", MADE["identity"]) is None
    assert artifacts.find("features", "0" * 64) is None


@pytest.mark.parametrize("name", ["features.parquet", "model.ubj"])
def test_a_changed_byte_is_refused_by_the_name_of_its_file(artifacts, name):
    made = artifacts.write(MADE, tables={"features": TABLE}, files={"model.ubj": b"\x00" * 99})
    file = made.folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{name} is not what was written .*remove .* run again"):
        artifacts.find("features", MADE["identity"]).path(name)


def test_a_tampered_table_is_not_read(artifacts):
    made = artifacts.write(MADE, tables={"features": TABLE})
    (made.folder / "features.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"features\.parquet is not what was written"):
        made.table("features")


def test_a_missing_or_an_unknown_file_is_refused(artifacts):
    made = artifacts.write(MADE, files={"x.txt": b"one"})
    (made.folder / "more.txt").write_text("nobody recorded this")
    for name in ("more.txt", "none.txt", "../x.txt"):
        with pytest.raises(StoreError, match=r"txt is missing; remove .* and run again"):
            made.path(name)
    (made.folder / "x.txt").unlink()
    with pytest.raises(StoreError, match=r"x\.txt is missing"):
        made.path("x.txt")


@pytest.mark.parametrize("content", [b"", b'{"files": {', b"{}", b"[]", b"\xff\xfe{}"])
def test_a_broken_description_is_refused(artifacts, content):
    made = artifacts.write(MADE, files={"x.txt": b"one"})
    (made.folder / "artifact.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"artifact\.json"):
        artifacts.find("features", MADE["identity"]).path("x.txt")


def test_a_folder_under_the_identity_of_another_is_refused(artifacts):
    made = artifacts.write(MADE, files={"x.txt": b"one"})
    made.folder.rename(made.folder.with_name("0" * 64))
    with pytest.raises(StoreError, match="0000"):
        artifacts.find("features", "0" * 64)


def test_a_description_whose_params_were_changed_is_refused(artifacts):
    made = artifacts.write(MADE, files={"x.txt": b"one"})
    about = made.about | {"params": {"span": 21}}
    (made.folder / "artifact.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match=r"artifact\.json"):
        artifacts.find("features", MADE["identity"])


def test_the_second_writer_of_an_identity_gets_what_is_stored(artifacts):
    first = artifacts.write(MADE, files={"page.html": b"made at noon"})
    second = artifacts.write(MADE, files={"page.html": b"made later"})
    assert first.path("page.html").read_bytes() == b"made at noon"
    assert second.path("page.html").read_bytes() == b"made at noon"


def test_writers_of_one_identity_at_once_leave_one_whole_folder(artifacts):
    together = threading.Barrier(4)

    def writes(_):
        together.wait()
        return artifacts.write(MADE, tables={"features": TABLE}, files={"x": b"1" * 10_000})

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(writes, range(4)))
    assert [artifact.path("x").read_bytes() for artifact in made] == [b"1" * 10_000] * 4
    assert [folder.name for folder in (artifacts.folder / "features").iterdir()] == [
        MADE["identity"]
    ]


def test_a_write_that_fails_leaves_nothing(artifacts):
    with pytest.raises(TypeError):
        artifacts.write(MADE, tables={"features": TABLE}, files={"x.txt": "text is no bytes"})
    assert artifacts.find("features", MADE["identity"]) is None
    assert list((artifacts.folder / "features").iterdir()) == []


def test_a_killed_writer_leaves_nothing_under_the_identity_and_the_next_one_writes(artifacts):
    arguments = [str(artifacts.folder), json.dumps(MADE)]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert artifacts.find("features", MADE["identity"]) is None
    artifacts.write(MADE, files={"x.txt": b"two"})
    found = artifacts.find("features", MADE["identity"])
    assert found.path("x.txt").read_bytes() == b"two"


def test_a_place_that_cannot_be_written_is_a_store_error(tmp_path):
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="artifacts"):
        Artifacts(tmp_path / "artifacts").write(MADE, files={"x.txt": b"one"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write in a read-only folder")
def test_a_read_only_folder_is_a_store_error(artifacts):
    artifacts.folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="artifacts"):
        artifacts.write(MADE, files={"x.txt": b"one"})


def test_over_a_half_removed_artifact_is_written_or_refused_in_words(artifacts):
    left = artifacts.folder / "features" / MADE["identity"]
    left.mkdir(parents=True)
    (left / "x.txt").write_bytes(b"left over")
    assert artifacts.find("features", MADE["identity"]) is None
    with suppress(StoreError):
        artifacts.write(MADE, files={"x.txt": b"one"})
    found = artifacts.find("features", MADE["identity"])
    assert found is None or found.path("x.txt").read_bytes() == b"one"
