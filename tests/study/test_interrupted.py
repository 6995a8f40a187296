"""A walk that is killed goes on where it was, and gives what an undisturbed one gives."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit.store import Store
from signalkit.study import Study

SECTIONS = {
    "collection": {"symbols": ["SP500"], "end": "2006-12-31"},
    "features": {"families": ["price", "calendar"]},
    "training": {"rounds": 5, "models": ["LIGHTGBM"]},
    "validation": {
        "train": 400,
        "test": 200,
        "draws": 100,
        "holdout_from": "2005-01-01",
        "placebos": 0,  # a placebo fits too, and keeps nothing
    },
}
# jobs of the walk: 5 folds of LIGHTGBM, MAJORITY, PERSISTENCE and LOGISTIC
JOBS = 20
# stores of the slow proof, each killed up to three times
N_STORES = 100
# writes down each fit as it begins; kills itself as one begins, at a moment of its own, or
# before or after the result is stored
RUN = """
import os, signal, sys, threading, time
from pathlib import Path
from signalkit.study import Study
from signalkit.store import Artifacts
from signalkit.validation import jobs

log, last, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
place, begun, fit, write = sys.argv[4], [], jobs.work, Artifacts.write

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def counted(job, shared):
    begun.append(job.key)
    with log.open("a") as file:
        file.write(job.key + "\\n")
    if len(begun) == last:
        die()
    return fit(job, shared)

def written(self, about, **content):
    ends = self.folder.name == "artifacts" and about["stage"] == "validation"
    if ends and place == "before":
        die()
    made = write(self, about, **content)
    if ends and place == "after":
        die()
    return made

jobs.work, Artifacts.write = counted, written
study = Study.open("killed", **{sections!r})
study.features(), study.labels()
clock = threading.Timer(seconds, die)
clock.daemon = True
if seconds:
    clock.start()
start = time.perf_counter()
study.validate()
log.with_name("seconds.txt").write_text(str(time.perf_counter() - start))
"""


CODE = RUN.replace("{sections!r}", repr(SECTIONS))


@dataclass(frozen=True)
class Walked:
    """A store in a folder of its own, validated by processes that may be killed."""

    folder: Path

    @property
    def data(self):
        return self.folder / "data"

    def run(self, *, last=0, seconds=0.0, place=""):
        """Exit status of a process that validates, and the fits that it began, in order."""
        self.folder.mkdir(exist_ok=True)
        log = self.folder / "fits.txt"
        log.write_text("")
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(log), str(last), str(seconds), place],
            env=os.environ | {"SIGNALKIT_DATA": str(self.data), "SIGNALKIT_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode, log.read_text().split()

    def finished(self):
        """Names of the fits that are kept for the next process."""
        made = (self.data / "checkpoints").glob("*/fold-*/*")
        whole = {path.parent.name for path in made if not path.name.startswith(".")}
        return {name for name in whole if not name.endswith(".selection")}

    def stored(self):
        """Whether the result is in the store."""
        return len(list((self.data / "artifacts" / "validation").glob("[!.]*"))) == 1

    def sessions(self):
        """Status of each session, and how often it was taken up again."""
        with Store.open(self.data) as store:
            return [(found.status, found.resumed) for found in store.sessions.list()]

    def tables(self, monkeypatch):
        """What the validation gave, read and not made again."""
        monkeypatch.setenv("SIGNALKIT_DATA", str(self.data))
        study = Study.open("killed", **SECTIONS)
        found = {name: study.evidence(name) for name in ("raw", "weights", "scores", "selection")}
        found["predictions"] = study.validate()
        assert study.computed == []
        return found


def assert_same(found, expected):
    """Every table equal to the last bit."""
    assert list(found) == list(expected)
    for name, table in found.items():
        pd.testing.assert_frame_equal(table, expected[name], check_exact=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    walked = Walked(tmp_path_factory.mktemp("undisturbed"))
    status, fits = walked.run()
    assert status == 0
    assert len(fits) == len(set(fits)) == JOBS
    assert walked.sessions() == [("completed", 0)]
    return walked


def test_a_walk_killed_twice_ends_as_an_undisturbed_one(undisturbed, tmp_path, monkeypatch):
    walked = Walked(tmp_path)
    status, first = walked.run(last=8)
    assert (status, len(first)) == (-signal.SIGKILL, 8)
    assert walked.finished() == set(first[:-1])
    assert walked.sessions() == [("interrupted", 0)]

    status, second = walked.run(last=5)
    assert (status, len(second)) == (-signal.SIGKILL, 5)
    assert walked.finished() == set(first[:-1] + second[:-1])
    assert walked.sessions() == [("interrupted", 1)]

    status, third = walked.run()
    assert status == 0
    assert len(set(first[:-1] + second[:-1] + third)) == JOBS
    assert len(first) + len(second) + len(third) == JOBS + 2  # each kill lost one
    assert walked.sessions() == [("completed", 2)]
    assert walked.finished() == set()
    assert_same(walked.tables(monkeypatch), undisturbed.tables(monkeypatch))


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_kill_around_the_storing_of_the_result_is_told_and_mended(
    undisturbed, tmp_path, monkeypatch, place
):
    walked = Walked(tmp_path)
    status, first = walked.run(place=place)
    assert (status, len(first)) == (-signal.SIGKILL, JOBS)
    assert walked.sessions() == [("interrupted", 0)]
    assert walked.stored() == (place == "after")
    status, again = walked.run()
    assert (status, again) == (0, [])
    assert walked.sessions() == [("completed", int(place == "before"))]
    assert walked.finished() == set()
    assert_same(walked.tables(monkeypatch), undisturbed.tables(monkeypatch))


@pytest.mark.certify
def test_walks_killed_at_random_moments_end_as_an_undisturbed_one(
    undisturbed, tmp_path, monkeypatch
):
    expected, rng = undisturbed.tables(monkeypatch), np.random.default_rng(1)
    whole = float((undisturbed.folder / "seconds.txt").read_text())
    kills = inside = 0
    for number in range(N_STORES):
        walked, kept = Walked(tmp_path / f"{number}"), set()
        for _ in range(3):
            status, fits = walked.run(seconds=rng.uniform(0.01, whole))
            kills += status != 0
            inside += status != 0 and bool(walked.finished())
            assert not kept & set(fits)
            kept = walked.finished()
            if status == 0:
                break
            left = [found[0] for found in walked.sessions()]
            # killed before there was a session, in it, or after the result was stored
            assert left in ([], ["interrupted"], ["completed"])
            assert left != ["completed"] or walked.stored()
        status, fits = walked.run()
        assert status == 0
        assert not kept & set(fits)
        assert [found[0] for found in walked.sessions()] == ["completed"]
        assert_same(walked.tables(monkeypatch), expected)
    assert kills > N_STORES
    assert inside > N_STORES / 4
