"""How much one client may ask: requests a second, sizes, time for a body.

A bucket holds tokens that come back at a steady rate; a request takes one. Buckets of those
who did not come for long are forgotten, so that many addresses cannot fill the memory.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from starlette.types import Message, Receive, Scope

from signalkit.serving.problems import Problem

_KEPT = 4_096  # buckets
LONGEST_PATH = 2_048  # bytes
LONGEST_QUERY = 8_192
MOST_HEADERS = 64
LONGEST_HEADERS = 32_768


class Buckets:
    """A bucket of tokens for each client.

    Parameters
    ----------
    rate : float
        Tokens that come back a second.
    burst : float
        Tokens that a full bucket holds.
    clock : callable
        Seconds that only grow.
    """

    def __init__(
        self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, client: str, *, take: bool = True) -> int:
        """Whole seconds until a client has a token; 0 if it has one, which is then taken."""
        now = self._clock()
        with self._lock:
            level, then = self._held.pop(client, (self.burst, now))
            level = min(self.burst, level + (now - then) * self.rate)
            has = level >= 1
            self._held[client] = level - (has and take), now
            while len(self._held) > _KEPT:
                self._held.popitem(last=False)
        return 0 if has else max(1, math.ceil((1 - level) / self.rate))


def head_fault(scope: Scope) -> Problem | None:
    """What is wrong with address and headers of a request before anything reads them."""
    raw = scope.get("raw_path") or scope["path"].encode()
    headers = scope["headers"]
    if len(raw) > LONGEST_PATH or len(scope["query_string"]) > LONGEST_QUERY:
        return Problem(414, f"a path has {LONGEST_PATH} bytes at most, a query {LONGEST_QUERY}")
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > MOST_HEADERS or size > LONGEST_HEADERS:
        return Problem(431, f"{MOST_HEADERS} headers at most, {LONGEST_HEADERS} bytes in all")
    return None if is_plain(raw) else Problem(400, "the path has characters that no path here has")


def is_plain(raw: bytes) -> bool:
    """Whether a path means the same to all who read it: UTF-8, no dots, no hidden slashes."""
    if b"%2f" in raw.lower() or b"%5c" in raw.lower() or b"\\" in raw:
        return False
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    dots = {".", ".."} & set(path.split("/"))
    return path.startswith("/") and path.isprintable() and not dots and "//" not in path


def told_length(scope: Scope) -> int:
    """The length of the body that a request announces; 0 where it does not.

    Raises
    ------
    Problem
        If it announces no number.
    """
    told = [value for name, value in scope["headers"] if name == b"content-length"]
    if len(set(told)) > 1 or not all(value.isdigit() and len(value) < 19 for value in told):
        raise Problem(400, "Content-Length is no number of bytes")
    return int(told[0]) if told else 0


async def whole_body(scope: Scope, receive: Receive, *, most: int, seconds: float) -> bytes:
    """The body of a request, announced or in chunks.

    Raises
    ------
    Problem
        If it has more than `most` bytes (413), takes longer than `seconds` (408) or its
        sender leaves (400).
    """
    too_large = Problem(413, f"a body has {most} bytes at most")
    if told_length(scope) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "the body ended before it was whole")
                body += message.get("body", b"")
                if len(body) > most:
                    raise too_large
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {seconds:g} seconds") from None


def replayed(body: bytes, receive: Receive) -> Receive:
    """What an application receives where the body was read before it."""
    told = False

    async def first() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first
