"""Requests of somebody who means harm: nothing changes, and nothing breaks."""

import asyncio
import hashlib
from collections import Counter

import pytest

from signalkit.serving import create, dashboard, dashboard_changes
from signalkit.serving.security import PUBLIC
from signalkit.store import Store
from tests.serving.client import HOST, READ_TOKEN, TOKEN
from tests.serving.hostile import Ask, drawn, send
from tests.serving.house import digest, furnish

UNLIMITED = dict.fromkeys(("reads", "writes", "strangers", "failures"), 1e9)
LEAKS = (b"Traceback", b'File "', b"sqlite3.", b"site-packages", TOKEN.encode())


@pytest.fixture
def house(own_store):
    furnish(own_store)
    return own_store


@pytest.fixture
def app(house):
    app = create(house, token=TOKEN, read_token=READ_TOKEN, **UNLIMITED)
    yield app
    app.state.admin.close()
    app.state.database.close()


def everything(folder):
    """A hash of all tables and of all files but the database's own."""
    seen = hashlib.sha256(digest(folder).encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if not path.name.startswith("signalkit.db"):
            seen.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return seen.hexdigest()


def identities(app):
    """Headers of strangers, of browsers that are in, and of programs; whether they are in."""
    cookies = {role: app.state.door.visits.begin(role) for role in ("read", "write")}
    browsers = [[(b"cookie", f"{app.state.door.cookie}={c}".encode())] for c in cookies.values()]
    inside = [[(b"authorization", b"Bearer " + t.encode())] for t in (TOKEN, READ_TOKEN)]
    wrong = [[], [(b"authorization", b"Bearer " + TOKEN[:-1].encode())]]
    return [(who, False) for who in wrong + browsers] + [(who, True) for who in inside]


def assert_harmless(app, asks):
    """Each answer is a refusal or a page, with safe headers and nothing of the machine."""
    codes = Counter()
    for ask in asks:
        status, headers, body = send(app, ask)
        assert status < 500, (ask, body[:500])
        assert not [leak for leak in LEAKS if leak in body], (ask, body[:500])
        told = {name.lower(): value for name, value in headers}
        assert b"default-src 'none'" in told[b"content-security-policy"], ask
        assert told[b"x-content-type-options"] == b"nosniff"
        assert not [value for value in told.values() if b"\r" in value or b"\n" in value], ask
        assert b"set-cookie" not in told, ask
        codes[status] += 1
    return codes


def paths(app):
    """Templates of all paths of the API, of the pages, and some that are not there."""
    pages = [getattr(route, "path", "") for route in dashboard.router.routes]
    forms = [f"/ml{route.path}" for route in dashboard_changes.router.routes]
    return [*app.openapi()["paths"], *filter(None, pages), *forms, "/login", "/logout", "/", "/x/"]


def test_hostile_requests_change_nothing_and_break_nothing(app, house):
    before = everything(house)
    codes = assert_harmless(app, drawn(7, 600, paths(app), identities(app)))
    assert everything(house) == before
    assert {400, 401, 403, 404, 405, 413, 414, 421} <= set(codes)
    assert send(app, Ask("GET", "/readyz", headers=[(b"host", b"127.0.0.1")]))[0] == 200


@pytest.mark.certify
def test_ten_thousand_hostile_requests_change_nothing_and_break_nothing(app, house):
    before = everything(house)
    codes = assert_harmless(app, drawn(8, 10_000, paths(app), identities(app)))
    assert everything(house) == before
    assert sum(codes.values()) == 10_000
    assert {200, 400, 401, 403, 404, 405, 413, 414, 415, 421, 422, 431} <= set(codes)
    assert send(app, Ask("GET", "/readyz", headers=[(b"host", b"127.0.0.1")]))[0] == 200


def test_the_hash_of_a_house_sees_one_changed_cell(house):
    before = everything(house)
    with Store.open(house) as store:
        store.watch.close_alarm(1, actor="test")
    assert everything(house) != before


@pytest.mark.parametrize("path", ["/", "/ml/", "/api/ml/models/", "/admin/signalkit"])
def test_websockets_are_closed_before_they_open(app, path):
    told = []

    async def ask():
        async def sending(message):
            told.append(message)

        where = {"path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
        await app({"type": "websocket", **where}, None, sending)

    asyncio.run(ask())
    assert told == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("role", ["read", "write"])
@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1:1", None])
def test_no_form_of_elsewhere_changes_anything_for_somebody_who_is_logged_in(
    app, house, role, origin
):
    before = everything(house)
    cookie = f"{app.state.door.cookie}={app.state.door.visits.begin(role)}"
    headers = [(b"host", HOST.removeprefix("http://").encode()), (b"cookie", cookie.encode())]
    headers += [] if origin is None else [(b"origin", origin.encode())]
    for path in [p.replace("{id}", "2").replace("{number}", "2") for p in paths(app)]:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            for kind in (b"application/x-www-form-urlencoded", b"text/plain", b"application/json"):
                ask = Ask(method, path.replace("{", "").replace("}", ""), "", headers)
                ask.headers = [*headers, (b"content-type", kind)]
                ask.chunks = [b'{"status": "archived"}']
                status = send(app, ask)[0]
                # what needs no visit may come from nowhere
                assert status == 403 or (path in PUBLIC and origin is None and status >= 400)
    assert everything(house) == before
