"""The server as a process: one address, one process, an end within seconds."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from asyncio import TimerHandle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from signalkit.errors import ParamsError
from signalkit.serving.app import create
from signalkit.serving.settings import is_loopback

HEAD_SECONDS = 10.0
_END_SECONDS = 3  # streams end by themselves in half a second; then they are cut off
_CONNECTIONS = 256
_HEAD_BYTES = 65_536
_LOG = logging.getLogger("signalkit.serving")


class Patient(H11Protocol):
    """HTTP of uvicorn that waits ten seconds for the head of a request, and no longer."""

    _late: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the head of the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head, or no longer where it is whole."""
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Wait for the head of the next request."""
        super().on_response_complete()
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are no request; where they end a body, who reads it is told so."""
        if self.cycle is None or self.cycle.response_complete:
            super().send_400_response(msg)
            return
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._stop()

    def _wait(self) -> None:
        """Have the connection closed in time if it still owes a head."""
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop(self) -> None:
        """Forget the time."""
        if self._late is not None:
            self._late.cancel()
        self._late = None


class _Server(uvicorn.Server):
    """uvicorn that comes back when it is told to end, where its own kills the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end it, once; whoever called goes on."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kept = {n: signal.signal(n, self.handle_exit) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises
    ------
    ParamsError
        If the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_CONNECTIONS)
    except OSError as cause:
        raise ParamsError(
            f"{host} port {port} cannot be listened on ({cause}); name another port"
        ) from None


def _link(host: str, port: int, *, https: bool) -> str:
    """The address of the server for a browser on this computer."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{named}]" if ":" in named else named
    return f"http{'s' if https else ''}://{shown}:{port}"


def run(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    tell: Callable[[str], object] = _LOG.info,
    certificate: Path | None = None,
    key: Path | None = None,
    **options: Any,
) -> None:
    """Serve a data folder until the process is told to end (SIGINT, SIGTERM).

    Parameters
    ----------
    folder : Path
        The data folder.
    host, port : str, int
        Where to listen; port 0 is any free one.
    tell : callable
        Told the link to open, once. It holds the token where none was given.
    certificate, key : Path, optional
        Files of a certificate and its key, for https.
    **options
        Other fields of `Settings`; the tokens are otherwise those of SIGNALKIT_TOKEN and
        SIGNALKIT_READ_TOKEN, and without one the token is made here.

    Raises
    ------
    ParamsError
        If the settings open the server to others without saying so, or the address is taken.
    """
    given = options.pop("token", None) or os.environ.get("SIGNALKIT_TOKEN")
    token = given or secrets.token_urlsafe(32)
    read_token = options.pop("read_token", None) or os.environ.get("SIGNALKIT_READ_TOKEN")
    https = options.pop("https", False) or certificate is not None
    options |= {"host": host, "https": https, "token": token, "read_token": read_token or None}
    create(folder, **options)  # refuses before anything listens
    with _listening(host, port) as listening:
        port = listening.getsockname()[1]
        config = uvicorn.Config(
            create(folder, port=port, **options),
            http=Patient,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # an address may hold the token
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            timeout_graceful_shutdown=_END_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        link = f"{_link(host, port, https=https)}/login"
        tell(link if given else f"{link}?token={token}")
        if not is_loopback(host) and not https:
            _LOG.warning("other computers reach this server without https: the token is readable")
        _Server(config).run(sockets=[listening])
