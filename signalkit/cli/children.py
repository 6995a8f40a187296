"""Processes that a command starts: the same command with other words, ended with it.

A child ends when its parent does, also when that was killed (`cli.child`). One that ends by itself
is started again, each time later.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds
_LOOK_SECONDS = 0.5
_ENDS_WITHIN = 10.0  # seconds, then it is killed


class Child:
    """One command in a process of its own.

    Parameters
    ----------
    *words : str
        What follows `signalkit`.
    """

    def __init__(self, *words: str) -> None:
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None
        self._told = False
        self._pause, self._not_before = 0.0, 0.0

    @property
    def process(self) -> int | None:
        """Number of the process, None where there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> bool:
        """Start it, unless it ended badly a moment ago; whether it was started."""
        if self._process is not None or time.monotonic() < self._not_before:
            return False
        command = [sys.executable, "-m", "signalkit.cli.child", *self._words]
        # a signal to this command's group is passed on once, by this command
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)
        self._told = False
        return True

    def ended(self) -> bool:
        """Whether there is no process (any more)."""
        if self._process is None or self._process.poll() is None:
            return self._process is None
        code = self._process.returncode
        self._close()
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE) if code else 0.0
        self._not_before = time.monotonic() + self._pause
        if code:
            _LOG.warning("signalkit %s ended with %s", " ".join(self._words), code)
        return True

    def _close(self) -> None:
        """Forget a process that has ended."""
        self._process.stdin.close()
        self._process = None

    def tell_to_end(self) -> None:
        """Have it end, once: a second signal would end it in the middle. It is not waited for."""
        if self._process is not None and not self._told:
            self._process.terminate()
            self._told = True

    def stop(self) -> None:
        """End it, by force where it does not end by itself."""
        if self._process is None:
            return
        self.tell_to_end()
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()


class Beside:
    """Children that run while something else does.

    Parameters
    ----------
    children : sequence of Child
        What to run; each is started again where it ends.
    """

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Start them all."""
        self._watch.start()

    def _keep(self) -> None:
        """Start what is not there, until all is over."""
        while not self._over.is_set():
            for child in self._children:
                if child.ended():
                    child.start()
            self._over.wait(_LOOK_SECONDS)

    def stop(self) -> None:
        """End them all."""
        self._over.set()
        if self._watch.is_alive():
            self._watch.join()
        for child in self._children:
            child.tell_to_end()
        for child in self._children:
            child.stop()
