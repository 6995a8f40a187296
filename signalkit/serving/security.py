"""Who may ask for what: the guard before every path of the server.

The one rule: nothing behind the guard runs before host, address, sizes, token, role and
origin of a request have been looked at. `docs/serving.md` says what each is against.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signalkit.serving.headers import (
    SAFE,
    SAFE_METHODS,
    host_name,
    is_embedded_elsewhere,
    is_foreign,
)
from signalkit.serving.limits import Buckets, head_fault, replayed, told_length, whole_body
from signalkit.serving.problems import Problem, answer
from signalkit.serving.settings import LOOPBACK, Settings, is_address, is_loopback
from signalkit.serving.visits import READ, WRITE, Visitor, Visits, same

PUBLIC = ("/healthz", "/readyz", "/login", "/login.css", "/favicon.ico")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_LOG = logging.getLogger("signalkit.serving")
_SCHEMES = ("bearer", "token")
_FIRST_FAILURES = 10

Seen = Callable[[Scope, int, float], None]


class Door:
    """Tokens and cookies of a server, and who stands behind them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.visits = Visits(settings.visit_hours)
        self._failures = Buckets(settings.failures, _FIRST_FAILURES)
        self.cookie = f"signalkit-{settings.port}"  # cookies do not tell ports apart

    def by_token(self, token: str, client: str) -> Visitor:
        """Who has a token.

        Raises
        ------
        Problem
            401 where nobody has it; 429, without a look at it, after too many that were wrong.
        """
        wait = self._failures.wait(client, take=False)
        if wait:
            words = f"too many wrong tokens came from here; the next is looked at in {wait} s"
            raise Problem(429, words, headers={"Retry-After": str(wait)})
        may_write = same(token, self.settings.token)
        may_read = self.settings.read_token is not None and same(token, self.settings.read_token)
        if may_write or may_read:
            return Visitor(WRITE if may_write else READ, "token")
        self._failures.wait(client)
        _LOG.warning("a wrong token came from %s", client)
        raise unknown("the token is not the one this server was started with")

    def by_headers(self, headers: Headers, client: str) -> Visitor | None:
        """Who a request says it is by its headers; nobody where it says nothing.

        Raises
        ------
        Problem
            If the token that it gives is wrong.
        """
        given = headers.get("authorization")
        if given is not None:
            scheme, _, token = given.partition(" ")
            if scheme.lower() not in _SCHEMES:
                raise unknown("Authorization takes the scheme Bearer")
            return self.by_token(token.strip(), client)
        cookie = cookie_parser(headers.get("cookie", "")).get(self.cookie)
        return self.visits.read(cookie) if cookie else None


def unknown(words: str) -> Problem:
    """The refusal of somebody who is not known."""
    return Problem(401, words, headers={"WWW-Authenticate": 'Bearer realm="signalkit"'})


def client_of(scope: Scope) -> str:
    """The address that a request came from."""
    return scope["client"][0] if scope.get("client") else "unknown"


def origin_of(scope: Scope, settings: Settings) -> str:
    """Scheme, host and port under which a browser asked for a page."""
    scheme = "https" if settings.https else scope["scheme"]
    return f"{scheme}://{Headers(scope=scope).get('host', '').lower()}"


class Guard:
    """ASGI middleware that lets through what may pass.

    Parameters
    ----------
    app : ASGI application
        What is guarded; it finds the visitor as `request.state.visitor`, None on public paths.
    door : Door
        Who may come in.
    seen : callable
        Told scope, status and seconds to its head of every answer.
    """

    def __init__(self, app: ASGIApp, *, door: Door, seen: Seen) -> None:
        self.app, self.door, self.settings, self._seen = app, door, door.settings, seen
        asked = self.settings
        self._reads = Buckets(asked.reads, 2 * asked.reads)
        self._writes = Buckets(asked.writes, 5 * asked.writes)
        self._strangers = Buckets(asked.strangers, 4 * asked.strangers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; there are no websockets here."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer to a request, with safe headers, and noted."""
        begun = time.perf_counter()
        noted: list[int] = []

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                noted.append(message["status"])
                self._seen(scope, message["status"], time.perf_counter() - begun)
                headers = MutableHeaders(scope=message)
                for name, value in SAFE.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._judge(scope, receive, sending)
        finally:
            if not noted:
                self._seen(scope, 500, time.perf_counter() - begun)

    async def _judge(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's answer, or a refusal."""
        reply: Callable[[Scope, Receive, Send], Awaitable[None]]
        try:
            receive = await self._admitted(scope, receive)
            reply = self.app
        except Problem as refused:
            reply = _refusal(scope, refused)
        await reply(scope, receive, send)

    async def _admitted(self, scope: Scope, receive: Receive) -> Receive:
        """What the application may receive of a request that may pass.

        Raises
        ------
        Problem
            If it may not.
        """
        self._check_address(scope)
        headers = Headers(scope=scope)
        if is_embedded_elsewhere(headers):
            raise Problem(403, "pages of elsewhere do not load from here")
        visitor = self._visitor(scope, headers)
        scope.setdefault("state", {})["visitor"] = visitor
        self._check_rate(scope, visitor)
        if scope["method"] in SAFE_METHODS:
            told_length(scope)
            return receive
        self._check_change(scope, headers, visitor)
        asked = self.settings
        body = await whole_body(scope, receive, most=asked.body, seconds=asked.seconds)
        _check_kind(scope["path"], headers, body)
        return replayed(body, receive)

    def _check_address(self, scope: Scope) -> None:
        """Refuse hosts that are not ours, against names that were bent to us, and odd paths."""
        fault = head_fault(scope)
        if fault is not None:
            raise fault
        hosts = Headers(scope=scope).getlist("host")
        name = host_name(hosts[0]) if len(hosts) == 1 else None
        allowed = {*LOOPBACK, self.settings.host.lower(), *map(str.lower, self.settings.hosts)}
        anywhere = not is_loopback(self.settings.host)
        if name is None or (name not in allowed and not (anywhere and is_address(name))):
            raise Problem(421, "this server does not answer under that host")

    def _visitor(self, scope: Scope, headers: Headers) -> Visitor | None:
        """Who asks; nobody on a path that is public."""
        path, client = scope["path"], client_of(scope)
        public = path in PUBLIC or (
            path == "/metrics" and self.settings.open_metrics and is_loopback(client)
        )
        visitor = None if public else self.door.by_headers(headers, client)
        if visitor is None and not public:
            self._wait(self._strangers, client)
            raise unknown("say who you are: Authorization: Bearer TOKEN, or log in at /login")
        return visitor

    def _check_rate(self, scope: Scope, visitor: Visitor | None) -> None:
        """Refuse who asks too often."""
        if visitor is None:
            self._wait(self._strangers, client_of(scope))
        elif scope["method"] in SAFE_METHODS:
            self._wait(self._reads, visitor.visit or visitor.role)
        else:
            self._wait(self._writes, visitor.visit or visitor.role)

    def _wait(self, buckets: Buckets, who: str) -> None:
        """Refuse who has taken all tokens of a bucket."""
        seconds = buckets.wait(who)
        if seconds:
            words = f"too many requests; the next is answered in {seconds} s"
            raise Problem(429, words, headers={"Retry-After": str(seconds)})

    def _check_change(self, scope: Scope, headers: Headers, visitor: Visitor | None) -> None:
        """Refuse changes by those who may only look, or on behalf of a page of elsewhere."""
        by_browser = visitor is not None and visitor.by == "browser"
        if is_foreign(headers, origin_of(scope, self.settings), by_browser=by_browser):
            raise Problem(403, "a change must come from a page of this server, or with its token")
        if visitor is not None and visitor.role != WRITE and scope["path"] != "/logout":
            raise Problem(403, "the read token may look; a change needs the other one")


def _check_kind(path: str, headers: Headers, body: bytes) -> None:
    """Refuse bodies that are not of the kind that a path reads."""
    fine = ("application/json",) if path.startswith("/api/") else _FORMS
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind not in fine:
        raise Problem(415, f"the body must be {' or '.join(fine)}")


def _refusal(scope: Scope, refused: Problem) -> Response:
    """A refusal as an answer: to a browser that asks for a page without a visit, the log in."""
    headers = Headers(scope=scope)
    unread = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    wants_page = "text/html" in headers.get("accept", "")
    on_page = scope["path"] == "/" or scope["path"].startswith(("/ml/", "/admin/"))
    if refused.status_code == 401 and wants_page and on_page and scope["method"] == "GET":
        return RedirectResponse(f"/login?next={quote(scope['path'])}", 303)
    told = answer(refused, scope["path"])
    if unread:  # nobody will read the rest of a body that was refused
        told.headers["connection"] = "close"
    return told
