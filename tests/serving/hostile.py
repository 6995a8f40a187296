"""Requests of somebody who means harm, drawn from a seed, and a way to send them as they are.

They go to the application directly: a client library would refuse to write half of them.
"""

import asyncio
import random
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

SQL = [
    "' OR '1'='1", "1; DROP TABLE ml_models;--", "1 UNION SELECT sql FROM sqlite_master--",
    "'; UPDATE ml_models SET status='archived';--", '" OR ""="', "1) OR 1=1--", "%' --",
    "ATTACH DATABASE '/tmp/x.db' AS x", "x'; PRAGMA user_version=99;--", "load_extension('x')",
    "BTCUSDT'/**/OR/**/1=1", "1e309", "-1", "0x10", "9" * 40, "NaN", "null", "{{7*7}}", "${7*7}",
]  # fmt: skip
MARKUP = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)"]
PATHS = [
    "../../../etc/passwd", "..%2f..%2fetc/passwd", "%2e%2e/%2e%2e/signalkit.db", "....//x",
    "..\\..\\x", "%5c..%5cx", "/etc/passwd", "%00", "x%00.json", "%ff%fe", "%c0%ae%c0%ae/",
    "signalkit.db", "signalkit.db-wal", ".env", ".git/config", "%0d%0aSet-Cookie:%20a=b",
    "%E2%80%AE", "%2e", ".", "..", "~root", "con", "a" * 3000, "%zz", "%", ";x=y", "*",
]  # fmt: skip
ODD = [
    "\0",
    "\r\nX: y",
    "é" * 50,
    "\u202e",
    "\ud83d\ude00",
    "a" * 5000,
    "",
    " ",
    "\t",
    "%s%n",
    "[]",
    "x[]",
    "²",
    str(2**63),
]
WORDS = SQL + MARKUP + ODD
METHODS = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "G T",
    "",
]
UNSAFE = ["POST", "PUT", "PATCH", "DELETE"]
HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "",
    "a" * 300,
    "[::ffff:1.2.3.4]:80",
    "évil",
    "localhost:x",
]
ORIGINS = [
    "null",
    "http://evil.example",
    "http://127.0.0.1:1",
    "https://127.0.0.1:8765",
    "http://127.0.0.1:8765.evil.example",
    "",
]
KINDS = [
    "application/json",
    "text/plain",
    "application/xml",
    "multipart/form-data",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-7",
    "",
]
ADMIN = [
    "",
    "/ml_models",
    "/ml_models/2",
    "/bars",
    "/predictions",
    "/models.json",
    "/audit.csv",
    "/bars/BTCUSDT,1h,binance,1",
]
ASKED = [
    "_sort",
    "_sort_desc",
    "_size",
    "_next",
    "_facet",
    "_facet_array",
    "_facet_date",
    "_shape",
    "_where",
    "_through",
    "_search",
    "_col",
    "_nocol",
    "_labels",
    "_stream",
    "_trace",
    "_ttl",
    "_json",
    "_nl",
    "_extra",
    "_dl",
    "_blob_column",
    "_timelimit",
    "_facet_size",
    "_filter_column",
    "_filter_op",
    "_hash",
    "sql",
    "symbol",
    "id__exact",
    "id__in",
    "name__glob",
    "id__gt",
    "name__like",
    "id__arraycontains",
    "x__y",
    "_show_hidden",
    "_hide_sql",
]


@dataclass
class Ask:
    """One request as bytes on the wire would say it."""

    method: str
    path: str  # percent-encoded
    query: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=lambda: [b""])


def send(app, ask, client="203.0.113.9"):
    """Status, headers and body of an application's answer."""
    return asyncio.run(_send(app, ask, client))


async def _send(app, ask, client):
    chunks, told = iter(ask.chunks), []
    left = len(ask.chunks)

    async def receive():
        nonlocal left
        left -= 1
        body = next(chunks, None)
        if body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": left > 0}

    async def sending(message):
        told.append(message)

    raw = ask.path.encode("ascii")
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": ask.method, "scheme": "http", "path": unquote(ask.path), "raw_path": raw,
        "query_string": ask.query.encode("ascii"), "headers": ask.headers, "root_path": "",
        "client": (client, 1234), "server": ("127.0.0.1", 8765), "state": {},
    }  # fmt: skip
    await app(scope, receive, sending)
    body = b"".join(m.get("body", b"") for m in told if m["type"] == "http.response.body")
    return told[0]["status"], told[0]["headers"], body


def _utf8(text):
    """A text as bytes, lone surrogates as bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def _bodies(draw):
    """A body that is no JSON, too deep, too long, or JSON of the wrong things."""
    name = draw.choice(["symbol", "status", "model_type", "enabled", "closed", "target"])
    word = draw.choice(WORDS).encode("utf-16" if draw.random() < 0.05 else "utf-8", "replace")
    word = word.replace(b"\\", b"").replace(b'"', b"'").replace(b"\0", b"").replace(b"\r\n", b"")
    return draw.choice(
        [
            lambda: b'{"%s": "%s"}' % (name.encode(), word),
            lambda: b"[" * 20_000,
            lambda: b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
            lambda: b'{"%s": %s}' % (name.encode(), b"9" * 5_000),
            lambda: b'{"%s": NaN, "%s": Infinity}' % (name.encode(), name.encode()),
            lambda: b'{"%s": 1, "%s": {"$ne": null}}' % (name.encode(), name.encode()),
            lambda: bytes(draw.randrange(256) for _ in range(50)),
            lambda: b"\xff\xfe{}",
            lambda: b"\x1f\x8b\x08\x00",
            lambda: b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\nx\r\n--x--',
            lambda: b"token=" + quote(word).encode(),
            lambda: b"a=b&" * 3_000,
            lambda: b'"%s"' % word,
            lambda: b"null",
            lambda: b"",
        ]
    )()


def _chunks(draw, body):
    """A body whole, in pieces, or without an end."""
    kind = draw.random()
    if kind < 0.1:
        return [b"x" * 70_000] * 20
    if kind < 0.3 and body:
        cuts = sorted(draw.randrange(len(body)) for _ in range(3))
        return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    return [body]


def _path(draw, templates):
    """A path of the server with something else where a name belongs, or none of the server."""
    kind = draw.random()
    if kind < 0.35:
        return _filled(draw, templates)
    if kind < 0.6:
        return "/admin/signalkit" + draw.choice(ADMIN)
    base = draw.choice(
        ["/", "/admin/", "/ml/", "/static/", "/admin/-/static/", "/api/ml/models/", "/login"]
    )
    return base + draw.choice(PATHS)


def _query(draw):
    """Names that something may read, and values that nobody should trust."""
    names = [*ASKED, "limit", "offset", "cursor", "token", "next", "model_type", "status", "at"]
    pairs = [(draw.choice(names), draw.choice(WORDS)) for _ in range(draw.randrange(4))]
    told = "&".join(f"{quote(n)}={quote(_utf8(v))}" for n, v in pairs)
    return draw.choice([told, told, told, "%ff=%fe", "&" * 200, "a=%00", "=&=", "a" * 9_000])


def _look(draw, templates, identities):
    """A request of one who may look, well made but for what it asks for."""
    who = draw.choice([who for who, known in identities if known])
    path = draw.choice(["/admin/signalkit" + draw.choice(ADMIN), _filled(draw, templates)])
    return Ask("GET", path, _query(draw), [(b"host", b"127.0.0.1:8765"), *who])


def _filled(draw, templates):
    """A path of the server with something else where a name belongs."""
    words = draw.choice(templates)
    while "{" in words:
        before, _, rest = words.partition("{")
        words = before + quote(_utf8(draw.choice(WORDS)[:300]), safe="") + rest.partition("}")[2]
    return words


def draw_one(draw, templates, identities):
    """One request.

    `identities` are headers of strangers and of those who are in; a change by one who is in
    never names what is there, so that whatever happens to the house is a fault.
    """
    if draw.random() < 0.4:
        return _look(draw, templates, identities)
    who, known = draw.choice(identities)
    method = draw.choice(METHODS)
    body = b"" if method in ("GET", "HEAD") and draw.random() < 0.8 else _bodies(draw)
    headers = [(b"host", b"127.0.0.1:8765"), *who]
    if draw.random() < 0.1:
        headers[0] = (b"host", draw.choice(HOSTS).encode("latin-1"))
    if draw.random() < 0.5 or not known:
        headers.append((b"origin", draw.choice(ORIGINS).encode()))
    if draw.random() < 0.5:
        headers.append((b"content-type", draw.choice(KINDS).encode()))
    if draw.random() < 0.3:
        headers.append(draw.choice(_TRICKS))
    if draw.random() < 0.2:
        headers.append((b"accept", b"text/html"))
    return Ask(method, _path(draw, templates), _query(draw), headers, _chunks(draw, body))


_TRICKS = [
    (b"x-http-method-override", b"DELETE"),
    (b"x-forwarded-host", b"evil.example"),
    (b"x-forwarded-for", b"127.0.0.1"),
    (b"x-original-url", b"/admin/"),
    (b"content-length", b"-1"),
    (b"content-length", b"99999999999"),
    (b"content-length", b"5, 6"),
    (b"transfer-encoding", b"chunked, identity"),
    (b"sec-fetch-site", b"cross-site"),
    (b"upgrade", b"websocket"),
    (b"cookie", b"signalkit-8765=write.x.9999999999." + b"0" * 64),
    (b"cookie", b"signalkit-8765=" + b"." * 500),
    (b"cookie", b"\xff\xfe=\x00"),
    (b"authorization", b"Bearer \xff\xfe"),
    (b"authorization", b"Bearer " + b"a" * 9_000),
    (b"authorization", b"Basic dXNlcjpwYXNz"),
    (b"x-crlf", b"a\r\nSet-Cookie: b=c"),
    (b"host", b"evil.example"),
    (b"range", b"bytes=0-0,-1"),
    (b"expect", b"100-continue"),
    (b"content-encoding", b"gzip"),
    (b"x-long", b"a" * 40_000),
]


def drawn(seed, number, templates, identities):
    """So many requests of a seed."""
    draw = random.Random(seed)
    return [draw_one(draw, templates, identities) for _ in range(number)]
