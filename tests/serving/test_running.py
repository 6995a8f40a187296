"""The server as a process: its link, its limits on the wire, its end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from signalkit.errors import ParamsError
from signalkit.serving import run
from tests.serving.client import TOKEN

# a server with one stream that never ends and short patience for heads
SERVE = """
import asyncio, sys
from pathlib import Path
from sse_starlette import EventSourceResponse
from signalkit.serving import metrics, run, running
running.HEAD_SECONDS = 0.5
@metrics.router.get("/stream/")
def stream():
    async def events():
        while True:
            yield {"data": "beat"}
            await asyncio.sleep(0.1)
    return EventSourceResponse(events())
run(Path(sys.argv[1]), port=0, tell=lambda link: print(link, flush=True), seconds=0.5)
print("ended", flush=True)
"""


class Server:
    """A server process; `link` is what it told."""

    def __init__(self, folder, log, **environment):
        own = {k: v for k, v in os.environ.items() if not k.startswith("SIGNALKIT_")}
        self._log = log.open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder)],
            stdout=subprocess.PIPE, stderr=self._log, text=True, env=own | environment,
        )  # fmt: skip
        self.link = self.process.stdout.readline().strip()
        self.origin = self.link.split("/login")[0]
        self.port = int(self.origin.rsplit(":", 1)[1])

    def raw(self, request, *, wait=5.0, whole=True):
        """What comes back for bytes, until the server closes or nothing comes for a while."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as wire:
            wire.sendall(request)
            told = b""
            try:
                while piece := wire.recv(65_536):
                    told += piece
                    if not whole:
                        break
            except TimeoutError:
                told += b"(open)"
        return told

    def said(self):
        """Everything that it wrote to its log."""
        self._log.seek(0)
        return self._log.read()

    def close(self):
        self.process.kill()
        self.process.communicate()
        self._log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    opened = Server(folder / "data", folder / "log", SIGNALKIT_TOKEN=TOKEN)
    yield opened
    opened.close()


@pytest.fixture
def own(tmp_path):
    """A server of one test, which makes its token itself."""
    opened = Server(tmp_path / "data", tmp_path / "log")
    yield opened
    opened.close()


def head(method="GET", path="/nothing", **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_a_token_that_was_given_is_not_printed(server):
    assert server.link == f"{server.origin}/login"
    answer = httpx.get(f"{server.origin}/nothing", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 404
    assert "server" not in answer.headers
    assert TOKEN not in server.said()


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.certify)]
)
def test_a_signal_ends_it_within_seconds_though_a_stream_is_open(own, number):
    token = re.fullmatch(r"http://127\.0\.0\.1:\d+/login\?token=([\w-]{43})", own.link)[1]
    headers = {"authorization": f"Bearer {token}"}
    with httpx.stream("GET", f"{own.origin}/stream/", headers=headers) as answer:
        assert next(answer.iter_lines()) == "data: beat"
        begun = time.monotonic()
        own.process.send_signal(number)
        assert own.process.wait(10) == 0
    assert time.monotonic() - begun < 5
    assert own.process.stdout.read() == "ended\n"
    assert token not in own.said()
    assert "Traceback" not in own.said()


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"nonsense\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /admin/..%2f..%2fetc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /a%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_bytes_that_are_no_request_are_refused_and_the_server_lives(server, request_):
    told = server.raw(request_, wait=2.0, whole=False)
    assert re.match(rb"HTTP/1.1 4\d\d ", told) or told in (b"", b"(open)")
    assert b"Traceback" not in told
    assert b"\r\nSet-Cookie" not in told
    assert httpx.get(f"{server.origin}/healthz").json() == {"status": "alive"}
    assert "Traceback" not in server.said()


def test_a_websocket_is_not_opened(server):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": 13}
    told = server.raw(head(**upgrade, Sec_WebSocket_Key="x" * 22 + "=="), whole=False)
    assert told.startswith(b"HTTP/1.1 404 ")


def test_a_head_that_does_not_come_is_not_waited_for(server):
    begun = time.monotonic()
    assert server.raw(b"GET / HTTP/1.1\r\nHost: 127") == b""
    assert server.raw(b"") == b""
    slow_second = head(Connection="keep-alive") + b"GET /slow HTTP/1.1\r\n"
    assert server.raw(slow_second).count(b"HTTP/1.1 404") == 1
    assert time.monotonic() - begun < 4


def test_a_body_that_does_not_come_is_not_waited_for(server):
    request = head("POST", "/api/x", Content_Type="application/json", Content_Length=100)
    told = server.raw(request + b'{"a":', wait=3.0)
    assert told.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in told


def test_a_body_without_end_is_cut_off(server):
    request = head("POST", "/api/x", Content_Type="application/json", Transfer_Encoding="chunked")
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as wire:
        wire.sendall(request)
        sent = 0
        try:
            for _ in range(4000):
                wire.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
    assert sent < 2000 * len(piece)  # what lies in the buffers of both ends counts too


def test_a_taken_port_is_told(server, tmp_path):
    with pytest.raises(ParamsError, match=f"port {server.port} cannot be listened on"):
        run(tmp_path, port=server.port, token=TOKEN)
    with pytest.raises(ParamsError, match="allow it with allow_remote"):
        run(tmp_path, host="0.0.0.0", port=0, token=TOKEN)
