"""Locks that die with their process: who holds one lives, whatever its number is.

The kernel lets go of a `flock` when the process ends, also by a kill, so a lock that can be
taken has no holder. A file is removed before its lock is let go; whoever then holds the lock
of a removed file takes the new file's.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from signalkit.errors import StoreError


class Lock:
    """The lock of one file, held by at most one holder of all processes and threads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._handle: int | None = None

    def take(self) -> bool:
        """Hold the lock, if nobody else does; whether it is held.

        Raises
        ------
        StoreError
            If the file cannot be made.
        """
        while True:
            handle = self._open()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return False
            if self._names(handle):
                self._handle = handle
                return True
            os.close(handle)

    def _open(self) -> int:
        """The file, made where it is missing; a program that this process starts lacks it."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as cause:
            raise StoreError(
                f"{self._file} cannot be written ({cause}); check the folder"
            ) from None

    def _names(self, handle: int) -> bool:
        """Whether the file is still the one that was opened."""
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self._file))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go of a lock that is held, and remove its file."""
        if self._handle is not None:
            self._file.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None
