"""store/locks.py: one holder at a time, and none once its process is gone."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from signalkit.errors import StoreError
from signalkit.store.locks import Lock

HOLDS = """
import sys
from pathlib import Path
from signalkit.store.locks import Lock
assert Lock(Path(sys.argv[1])).take()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "locks" / "one.lock"


def test_a_lock_has_one_holder_and_can_be_taken_again_when_it_is_let_go(file):
    first, second = Lock(file), Lock(file)
    assert first.take()
    assert not second.take()
    assert not first.take()
    second.release()  # holds nothing: changes nothing
    assert not second.take()
    first.release()
    assert second.take()
    second.release()


def test_a_lock_that_nobody_holds_leaves_no_file(file):
    lock = Lock(file)
    assert lock.take()
    assert file.exists()
    lock.release()
    assert list(file.parent.iterdir()) == []


def test_a_holder_that_is_killed_holds_nothing(file):
    command = [sys.executable, "-c", HOLDS, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert not Lock(file).take()
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
    lock = Lock(file)
    assert lock.take()
    lock.release()


def test_a_program_started_by_the_holder_does_not_keep_the_lock(file):
    lock = Lock(file)
    assert lock.take()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
        os.close(lock._handle)  # as the kernel does when the holder is killed
        lock._handle = None
        assert Lock(file).take()
        child.kill()


def test_a_file_removed_before_its_lock_was_taken_is_not_taken_for_the_lock(file, monkeypatch):
    opened, stale = os.open, []

    def slow(*arguments):
        handle = opened(*arguments)
        if not stale:  # another holder comes, goes, and removes the file
            stale.append(handle)
            file.unlink()
        return handle

    monkeypatch.setattr(os, "open", slow)
    lock = Lock(file)
    assert lock.take()
    assert file.exists()
    assert not Lock(file).take()
    lock.release()


def test_many_that_want_a_lock_never_hold_it_together(file):
    inside, most, until = [], [], time.monotonic() + 0.5

    def wants(_):
        lock, times = Lock(file), 0
        while time.monotonic() < until:
            if lock.take():
                inside.append(None)
                most.append(len(inside))
                inside.pop()
                lock.release()
                times += 1
        return times

    with ThreadPoolExecutor(4) as pool:
        times = sum(pool.map(wants, range(4)))
    assert times > 10
    assert max(most) == 1


def test_a_place_that_cannot_be_written_is_a_store_error(tmp_path):
    (tmp_path / "locks").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"one\.lock cannot be written .*check the folder"):
        Lock(tmp_path / "locks" / "one.lock").take()
