"""The loop that stays: a step at every bar's end, until it is told to stop.

Whatever a source or the disk refuses is warned of and tried again in a minute.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pandas as pd

from signalkit.bars import ALWAYS_OPEN, expected_times, interval_length
from signalkit.collection.pages import Stopped
from signalkit.errors import SignalkitError
from signalkit.live.desks import Desk
from signalkit.live.loop import Loop
from signalkit.store import Store

_LOG = logging.getLogger(__name__)

HEARTBEAT = "heartbeat"
# an exchange is closed for fewer days than these
_CLOSED = pd.Timedelta(14, "D")
# how long to wait where nothing is deployed, and between beats
_IDLE = pd.Timedelta(60, "s")


def follow(
    loop: Loop, store: Store, *, stop: Callable[[], bool], delay_seconds: float = 2.0
) -> int:
    """Step at every bar's end until told to stop; how many steps were whole.

    Parameters
    ----------
    loop : Loop
        What steps.
    store : Store
        Where the heartbeat is kept: `process`, `at`, `newest` bar, `due`, when the next beat is
        at the latest; `stopped` after a clean end.
    stop : callable
        Whether to stop, asked between parts and about once a second in between.
    delay_seconds : float
        Time that a source has to finish a bar after its end.
    """
    steps, newest = 0, None
    _beat(store, newest)
    while not stop():
        after = _IDLE
        try:
            done = loop.step()
            steps, newest = steps + 1, done.newest or newest
            _LOG.info("%s", done.words())
            after = _until_next(loop.desks(), delay_seconds)
        except Stopped:
            break
        except (SignalkitError, OSError, sqlite3.Error) as refused:
            _LOG.warning("%s; trying again in a minute", refused)
        _wait(store, newest, pd.Timestamp.now("UTC") + after, stop)
    _keep(store, {"stopped": True})
    return steps


def _until_next(found: list[Desk], delay_seconds: float) -> pd.Timedelta:
    """Time to the next end of a bar of any study, and a little more."""
    present = pd.Timestamp.now("UTC")
    ends = []
    for desk in found:
        kept = desk.study.params.collection
        length = interval_length(kept.interval)
        reach = length if kept.calendar == ALWAYS_OPEN else length + _CLOSED
        after = present + pd.Timedelta(1, "ns")
        ends.append(expected_times(after, present + reach, kept.interval, kept.calendar)[0])
    if not ends:
        return _IDLE
    return min(ends) - present + pd.Timedelta(delay_seconds, "s")


def _wait(
    store: Store, newest: pd.Timestamp | None, until: pd.Timestamp, stop: Callable[[], bool]
) -> None:
    """Wait, with a beat a minute, in steps short enough to be stopped."""
    beaten: pd.Timestamp | None = None
    while not stop() and (present := pd.Timestamp.now("UTC")) < until:
        if beaten is None or present - beaten >= _IDLE:
            _beat(store, newest)
            beaten = present
        time.sleep(min(0.5, max(0.0, (until - present).total_seconds())))


def _beat(store: Store, newest: pd.Timestamp | None) -> None:
    """Say that the loop lives, and until when it will say so again."""
    present = pd.Timestamp.now("UTC")
    told = {"process": os.getpid(), "at": present.isoformat()}
    told["due"] = (present + 2 * _IDLE).isoformat()
    told["newest"] = None if newest is None else newest.isoformat()
    _keep(store, told)


def _keep(store: Store, told: dict[str, Any]) -> None:
    """Keep the heartbeat; a disk that refuses is warned of."""
    try:
        store.watch.keep({HEARTBEAT: told})
    except (SignalkitError, sqlite3.Error) as refused:
        _LOG.warning("%s", refused)
