"""Visits: what a browser may do from log in to log out, signed into its cookie.

The key is made when the server starts and is nowhere on the disk: a restart ends all visits,
and what was ended by a log out needs no memory beyond the server's. A cookie holds role,
number and end of its visit, never the token.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

WRITE, READ = "write", "read"


@dataclass(frozen=True)
class Visitor:
    """Who asks: `role` is write or read, `by` token or browser; `visit` numbers a browser's."""

    role: str
    by: str
    visit: str = ""

    @property
    def actor(self) -> str:
        """How the audit calls the visitor."""
        return f"{self.by} ({self.role})"


def same(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that says nothing of where they differ."""
    digests = [sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (one, other)]
    return hmac.compare_digest(*digests)


class Visits:
    """The visits of one server.

    Parameters
    ----------
    hours : float
        Hours from log in to the end of a visit.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(self, hours: float, *, clock: Callable[[], float] = time.time) -> None:
        self.seconds = int(hours * 3600)
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._ended: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(self, role: str) -> str:
        """The cookie of a new visit."""
        words = f"{role}.{secrets.token_urlsafe(16)}.{int(self._clock()) + self.seconds}"
        return f"{words}.{self._signed(words)}"

    def _signed(self, words: str) -> str:
        """What only this server can write under words."""
        return hmac.new(self._key, words.encode(), sha256).hexdigest()

    def read(self, cookie: str) -> Visitor | None:
        """Who a cookie stands for; nobody where it is forged, over or ended."""
        words, _, signature = cookie.rpartition(".")
        if not cookie.isascii() or not same(signature, self._signed(words)):
            return None
        role, number, until = words.split(".")
        if int(until) <= self._clock() or number in self._ended:
            return None
        return Visitor(role, "browser", number)

    def end(self, visitor: Visitor) -> None:
        """End a visit, though its cookie may live on somewhere."""
        now = int(self._clock())
        with self._lock:
            kept = {number: until for number, until in self._ended.items() if until > now}
            self._ended = kept | {visitor.visit: now + self.seconds}
