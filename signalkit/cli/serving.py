"""The verbs of a house that is open: its worker, and its server with all that belongs to it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signalkit.cli.children import Beside, Child
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
    """Hold the lock of the worker of a data folder, and say that there is one."""
    from signalkit.store.locks import Lock

    lock, until = Lock(store.folder / "locks" / "worker.lock"), time.monotonic() + _PATIENCE_SECONDS
    while not lock.take():  # one whose server was killed just now is about to end
        if time.monotonic() > until:
            raise StoreError(f"another worker does the jobs of {store.folder}; stop it first")
        time.sleep(_LOOK_SECONDS)
    try:
        store.watch.keep({"worker": {"process": os.getpid()}})
        yield
        store.watch.keep({"worker": {"stopped": True}})
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


@main.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on; this computer's own.")
@click.option("--port", default=8765, help="8765 if omitted; 0 is any that is free.")
@click.option("--allow-remote", is_flag=True, help="Let other computers reach --host.")
@click.option("--name", "hosts", multiple=True, help="Further host names, as of a proxy.")
@click.option("--certificate", type=click.Path(path_type=Path), help="File of a certificate.")
@click.option("--key", type=click.Path(path_type=Path), help="File of its key.")
@click.option("--rehearse", type=click.Path(path_type=Path), help="Params of a study to play.")
@click.option("--no-worker", is_flag=True, help="Leave queued trainings to `signalkit work`.")
@click.option("--no-live", is_flag=True, help="Leave new bars to `signalkit tick` or `live`.")
def serve(*, rehearse: Path | None, no_worker: bool, no_live: bool, **options: Any) -> None:
    """Serve API, dashboard and admin pages, and print the link that opens them.

    The token is SIGNALKIT_TOKEN, otherwise made anew. Worker and loop run beside the server in
    processes of their own, are started again when they fail, and end with it. With --rehearse
    a study is executed and the models of its last fold are deployed in a data folder of their
    own, which has played that fold bar by bar; it is served in place of the usual one.
    """
    from signalkit.serving.running import run
    from signalkit.store import data_folder

    if rehearse is not None:
        os.environ["SIGNALKIT_DATA"] = str(_rehearsed(rehearse))
    words = {"work": not no_worker, "live": not no_live}
    beside = Beside([Child(verb) for verb, wanted in words.items() if wanted])

    def tell(link: str) -> None:
        click.echo(f"open {link}")
        beside.start()

    try:
        run(data_folder(), tell=tell, **options)
    finally:
        beside.stop()


def _rehearsed(path: Path) -> Path:
    """Data folder of the rehearsal of a study; made where there is none yet."""
    from signalkit import params
    from signalkit.live import rehearsal
    from signalkit.study import Study

    return rehearsal(Study.open(**params.read(path).model_dump()))
