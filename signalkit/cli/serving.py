"""The verbs of a house that is open: its worker, and its server with all that belongs to it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from signalkit.cli.children import Child
from signalkit.cli.command import main, stop_on_signal
from signalkit.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signalkit.store import Store

_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 15.0
_GRACE_SECONDS = 5.0
_NICE = 10


@main.command()
@click.option("--once", is_flag=True, help="Do the oldest job that is queued, and end.")
def work(once: bool) -> None:
    """Do the trainings and backtests that were queued, one at a time and at low priority.

    A job that is stopped or killed is noted as interrupted and can be resumed.
    """
    from signalkit.store import Store

    with Store.open() as store:
        if once:
            _do_one(store)
            return
        with _only_one(store), stop_on_signal() as stopped:
            _watch(store, stopped)


def _do_one(store: Store) -> None:
    """Do the oldest job here; SIGTERM interrupts it."""
    from signalkit.study import jobs

    os.nice(_NICE)
    signal.signal(signal.SIGTERM, _leave)
    number = jobs.do(store)
    click.echo("nothing is queued" if number is None else f"session {number} is completed")


def _leave(number: int, _: object) -> None:
    """End at the next step of Python; a fit that takes long is not waited for."""
    ends = threading.Timer(_GRACE_SECONDS, os._exit, [128 + number])
    ends.daemon = True
    ends.start()
    sys.exit(128 + number)


@contextmanager
def _only_one(store: Store) -> Iterator[None]:
    """Hold the lock of the worker of a data folder."""
    from signalkit.store.locks import Lock

    lock, until = Lock(store.folder / "locks" / "worker.lock"), time.monotonic() + _PATIENCE_SECONDS
    while not lock.take():  # one whose server was killed just now is about to end
        if time.monotonic() > until:
            raise StoreError(f"another worker does the jobs of {store.folder}; stop it first")
        time.sleep(_LOOK_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _watch(store: Store, stopped: Callable[[], bool]) -> None:
    """Do job after job, each in a process of its own, until told to stop."""
    one = Child("work", "--once")
    try:
        while not stopped():
            if one.ended():
                store.sessions.settle()
                if store.sessions.waiting():
                    one.start()
            time.sleep(_LOOK_SECONDS)
    finally:
        one.stop()
