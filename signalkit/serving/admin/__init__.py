"""Admin pages: Datasette over the database, read-only, behind the server's guard.

The one rule: a request here can change nothing. Only looking is answered, connections are
read-only, no SQL is taken, and only pages of the one database are there.
"""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl

import datasette as library
from datasette.app import Datasette
from datasette.views.base import BaseView
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signalkit.serving.admin import cells
from signalkit.serving.admin.labels import labelling
from signalkit.serving.admin.queries import QUERIES, TABLES
from signalkit.serving.database import Database
from signalkit.serving.headers import CONTENT, SAFE_METHODS
from signalkit.serving.problems import Problem

PREFIX = "/admin"
_HERE = Path(__file__).parent
_STYLE = (_HERE / "admin.css").read_text()
_THEIRS = Path(library.__file__).parent / "templates"
# pages that this server shows; styles of their heads depend on columns and are left out
_PAGES = ("base", "table", "row", "_close_open_menus")
_STATIC = ("/-/static/app.css", "/-/static/table.js")
# what Datasette reads beside columns; others of its names take SQL, JSON or limits
_READ = re.compile(
    r"_(sort|sort_desc|sort_by_desc|size|next|facet|facet_array|facet_date|shape|search|col|nocol"
    r"|labels|nl|dl|show_hidden|filter_(column|op|value)(_[0-9]{1,3})?)"
)
# largest integer of SQLite
_MOST = 2**63 - 1
_SETTINGS = {
    "base_url": f"{PREFIX}/",
    "default_allow_sql": False,
    "allow_download": False,
    "allow_csv_stream": False,
    "suggest_facets": False,
    "sql_time_limit_ms": 2_000,
    "num_sql_threads": 2,
    "max_returned_rows": 1_000,
}


def content_policy() -> str:
    """The content policy of the admin pages.

    Inline scripts and styles of the installed Datasette may run, by their hashes. These are of
    its templates, not of answers: what somebody smuggles into a page has no hash.
    """
    colour = f"#{BaseView.database_color(None, cells.DATABASE)}"
    texts = [(_THEIRS / f"{name}.html").read_text() for name in _PAGES]
    scripts = [s for text in texts for s in re.findall(r"<script>(.*?)</script>", text, re.S)]
    scripts += [f"DATASETTE_ALLOW_FACET = {told};" for told in ("true", "false")]
    styles = {
        s for text in texts for s in re.findall(r'\bstyle="([^"{]*(?:#\{\{[^"]*\}\})?)"', text)
    }
    styles = {re.sub(r"#\{\{.*?\}\}", colour, style) for style in styles}
    policy = CONTENT.replace("script-src 'self'", f"script-src 'self' {_hashes(scripts)}")
    return policy.replace("style-src 'self'", f"style-src 'self' 'unsafe-hashes' {_hashes(styles)}")


def _hashes(texts: list[str] | set[str]) -> str:
    """Texts as a content policy names them; those with a placeholder have no hash."""
    plain = sorted(text for text in set(texts) if "{{" not in text)
    made = [base64.b64encode(sha256(text.encode()).digest()).decode() for text in plain]
    return " ".join(f"'sha256-{text}'" for text in made)


class Admin:
    """ASGI application of the admin pages, mounted under `/admin`.

    Parameters
    ----------
    database : Database
        The store whose file is shown; Datasette has connections of its own, which cannot write.
    """

    prefix = f"{PREFIX}/"

    def __init__(self, database: Database) -> None:
        self._database = database
        self._policy = content_policy()
        self._pages: ASGIApp | None = None
        self._datasette: Datasette | None = None
        self._columns: dict[str, set[str]] = {}

    def _open(self) -> ASGIApp:
        """Datasette over the file, once that is there."""
        with self._database.reading() as store:
            self._columns = {t.name: {c.name for c in t.columns} for t in store.db.tables}
        cells.install()
        self._datasette = Datasette(
            files=[str(self._database.file)],
            settings=_SETTINGS,
            template_dir=str(_HERE),
            metadata={
                "title": "signalkit",
                "extra_css_urls": ["/-/admin.css"],
                "databases": {cells.DATABASE: {"queries": QUERIES, "tables": TABLES}},
            },
        )
        return self._datasette.app()

    def close(self) -> None:
        """Close Datasette's connections."""
        if self._datasette is not None:
            for database in self._datasette.databases.values():
                database.close()
            self._datasette.executor.shutdown()
        self._datasette = self._pages = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the guard let through."""
        if scope["method"] not in SAFE_METHODS:
            words = "admin pages are read-only; changes go through /api/ml/ and /ml/"
            raise Problem(405, words, headers={"Allow": ", ".join(SAFE_METHODS)})
        path = scope["path"].removeprefix(PREFIX)
        if path == "/":
            await RedirectResponse(f"{PREFIX}/{cells.DATABASE}", 303)(scope, receive, send)
            return
        if path == "/-/admin.css":
            await Response(_STYLE, media_type="text/css")(scope, receive, send)
            return
        asked = _asked(path, scope["query_string"])
        if self._pages is None:
            self._pages = await run_in_threadpool(self._open)
        columns = self._columns.get(path.split("/")[-1].partition(".")[0])
        if columns is not None:
            _check_columns(asked, columns)
        raw = scope.get("raw_path", scope["path"].encode()).removeprefix(PREFIX.encode())
        # no token, no cookie: Datasette needs to know nobody
        headers = [(name, value) for name, value in scope["headers"] if name == b"host"]
        inner = dict(scope) | {"path": path, "raw_path": raw, "root_path": "", "headers": headers}
        told = labelling(send) if scope["method"] == "GET" else send
        await self._pages(inner, receive, self._sending(told))

    def _sending(self, send: Send) -> Send:
        """Sends answers with the policy of these pages, which nobody keeps."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(n.lower(), value) for n, value in message["headers"]]
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = self._policy
                headers["cache-control"] = "no-store"
            await send(message)

        return sending


def _asked(path: str, query: bytes) -> list[tuple[str, str]]:
    """What a query says, of a page that is there.

    Raises
    ------
    Problem
        If it is no page of the one database, or asks for what is not read here.
    """
    name = path.split("/")[1].partition(".")[0]
    if path not in _STATIC and name != cells.DATABASE:
        raise Problem(404, "the admin has no such page")
    try:
        asked = parse_qsl(query.decode("ascii"), True, errors="strict", max_num_fields=64)
    except ValueError:
        raise Problem(400, "the query is no text, or has more than 64 parts") from None
    for name, value in asked:
        if name.startswith("_") and not _READ.fullmatch(name):
            raise Problem(400, f"the admin reads no {name[:40]}")
        if "\0" in name + value:
            raise Problem(400, f"{name[:40]} has a character that it never has")
        if value.isdigit() and not (value.isascii() and int(value[:20]) <= _MOST):
            raise Problem(400, f"{name[:40]} is no number that a database holds")
    return asked


def _check_columns(asked: list[tuple[str, str]], columns: set[str]) -> None:
    """Refuse filters and facets by what is no column; Datasette leaves work undone over them.

    Raises
    ------
    Problem
        If there is one.
    """
    for name, value in asked:
        meant = value if name.startswith("_facet") else name.partition("__")[0]
        if meant not in columns and (name.startswith("_facet") or not name.startswith("_")):
            raise Problem(400, f"{meant[:40]!r} is no column of this table")
