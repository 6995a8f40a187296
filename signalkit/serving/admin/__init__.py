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

    def _open(self) -> ASGIApp:
        """Datasette over the file, once that is there."""
        self._database.prepare()
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
        _check(path, scope["query_string"])
        if self._pages is None:
            self._pages = await run_in_threadpool(self._open)
        raw = scope.get("raw_path", scope["path"].encode()).removeprefix(PREFIX.encode())
        inner = dict(scope) | {"path": path, "raw_path": raw, "root_path": ""}
        await self._pages(inner, receive, self._sending(send))

    def _sending(self, send: Send) -> Send:
        """Sends answers with the policy of these pages, which nobody keeps."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = self._policy
                headers["cache-control"] = "no-store"
            await send(message)

        return sending


def _check(path: str, query: bytes) -> None:
    """Refuse what is no page of the one database, and what Datasette fails at.

    Raises
    ------
    Problem
        If so.
    """
    name = path.split("/")[1].partition(".")[0]
    if path not in _STATIC and name != cells.DATABASE:
        raise Problem(404, "the admin has no such page")
    try:
        asked = parse_qsl(query.decode("ascii"), errors="strict", max_num_fields=64)
    except ValueError:
        raise Problem(400, "the query is no text, or has more than 64 parts") from None
    if any("\0" in name + value for name, value in asked):
        raise Problem(400, "the query has a character that no query has")
