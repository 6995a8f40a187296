"""Admin pages: what they show, and that they can change nothing."""

import base64
import html
import re
from hashlib import sha256

import pytest

from signalkit.serving.admin.cells import moment
from signalkit.serving.admin.queries import QUERIES, TABLES
from signalkit.store import Store
from tests.serving.client import HOST, READ_TOKEN
from tests.serving.house import EVIL, digest, furnish

BASE = "/admin/signalkit"
KINDS = ["", "/ml_models", "/ml_models/2", "/bars", "/models", "/predictions", "/nothing"]


@pytest.fixture
def house(own_store):
    furnish(own_store)
    return own_store


@pytest.fixture
def reader(house, serve):
    """Who may look into a furnished house."""
    return serve(READ_TOKEN)


def test_every_table_and_query_has_a_page_of_its_rows(reader, house):
    with Store.open(house) as store:
        tables = store.db.table_names()
    front = reader.get(BASE).text
    for name in [*QUERIES, *tables]:
        page = reader.get(f"{BASE}/{name}")
        assert page.status_code == 200, page.text
        assert f'href="{BASE}/{name}"' in front or name.startswith("sqlite_")
    assert set(TABLES) <= set(tables)


def test_models_are_coloured_by_what_they_keep(reader):
    page = reader.get(f"{BASE}/models").text
    rows = re.findall(r"<tr>.*?</tr>", page, re.S)[1:]
    states = [re.search(r'col-performance"><span class="is-(\w+)">([\w ]+)<', row) for row in rows]
    assert [(s[1], s[2]) for s in states] == [
        ("bad", "worse"), ("good", "kept"), ("dim", "not measured"), ("dim", "not measured"),
    ]  # fmt: skip


def test_sessions_that_failed_come_first_with_their_error(reader):
    page = reader.get(f"{BASE}/sessions").text
    first = re.findall(r"<tr>.*?</tr>", page, re.S)[1]
    assert "is-bad" in first
    assert "the loss of LSTM is NaN after epoch 3" in first


def test_features_are_ordered_by_importance(reader):
    rows = reader.get(f"{BASE}/features.json?_shape=array").json()
    assert [(r["name"], r["measured_by"], r["importance"]) for r in rows] == [
        ("return_1", "2", 0.031), ("rsi_14", "2", 0.02), ("return_1", "3", 0.012),
    ]  # fmt: skip


def test_predictions_can_be_asked_for_one_symbol(reader):
    rows = reader.get(f"{BASE}/predictions.json?_shape=array&symbol=ETHUSDT").json()
    assert {r["symbol"] for r in rows} == {"ETHUSDT"}
    assert len(rows) == 80


@pytest.mark.parametrize(
    ("value", "column", "told"),
    [
        (1_709_251_200_000_000_000, "time", "2024-03-01 00:00:00 UTC"),
        (1_709_251_200_000_001, "recorded_at", "2024-03-01 00:00:00 + UTC"),
        (-1_297_728_000 * 10**9, "known_at", "1928-11-17 00:00:00 UTC"),
        (2**63 - 1, "recorded_at", None),
        (5, "horizon", None),
    ],
)
def test_moments_are_shown_in_utc(value, column, told):
    assert moment(value, column) == told


def test_texts_of_the_database_are_shown_and_never_run(reader):
    for path in ("/ml_models", "/models", "/sessions", "/audit", "/ml_features", "/features"):
        page = reader.get(BASE + path).text
        assert html.escape("<script>alert(1)", quote=False) in page, path
        assert "<script>alert" not in page
        assert "<img src=x" not in page
    assert EVIL in reader.get(f"{BASE}/models.json?_shape=array").json()[2]["name"]


def named(page, directive):
    """Hashes that a page's policy has for a kind."""
    policy = page.headers["content-security-policy"]
    return set(re.findall(r"'sha256-([^']+)'", re.search(rf"{directive}-src [^;]+", policy)[0]))


def hashes(texts):
    return {base64.b64encode(sha256(text.encode()).digest()).decode() for text in texts}


@pytest.mark.parametrize("path", KINDS)
def test_inline_parts_of_a_page_are_those_that_its_policy_names(reader, path):
    page = reader.get(BASE + path)
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.S)
    styles = [html.unescape(s) for s in re.findall(r'\sstyle="([^"]*)"', page.text)]
    assert scripts
    assert hashes(scripts) <= named(page, "script")
    assert hashes(styles) <= named(page, "style")
    assert "<style" not in page.text
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/admin/-/versions", 404),
        ("/admin/-/databases.json", 404),
        ("/admin/-/plugins", 404),
        ("/admin/-/permissions", 404),
        ("/admin/_internal", 404),
        ("/admin/signalkit.db", 403),
        ("/admin/signalkit?sql=select+1", 403),
        ("/admin/signalkit/bars?_where=1=1", 400),
        ("/admin/signalkit/bars?_timelimit=x", 400),
        ("/admin/signalkit/bars?_through={}", 400),
        ("/admin/signalkit/bars?_facet={", 400),
        ("/admin/signalkit/bars?_facet=name", 400),
        ("/admin/signalkit/bars?name__gt=1", 400),
        ("/admin/signalkit/bars?open__gt=1&_facet=symbol", 200),
        ("/admin/signalkit/bars?_sort=nothing", 400),
        ("/admin/signalkit/bars?x=%00", 400),
        ("/admin/signalkit/bars?x=%ff", 400),
    ],
)
def test_what_is_no_page_of_the_database_is_refused(reader, path, status):
    assert reader.get(path).status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_admin_pages_take_no_changes(house, serve, method):
    before = digest(house)
    for path in (BASE, f"{BASE}/ml_models", f"{BASE}/models", f"{BASE}/ml_models/2"):
        answer = serve().request(method, path, headers={"origin": HOST})
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"
    assert digest(house) == before


def test_a_row_written_later_is_shown(reader, house):
    assert len(reader.get(f"{BASE}/audit.json?_shape=array").json()) == 9
    with Store.open(house) as store:
        store.models.archive(4)
    assert len(reader.get(f"{BASE}/audit.json?_shape=array").json()) == 10


def test_strangers_see_no_page_and_a_browser_is_sent_to_log_in(house, stranger):
    assert stranger.get(BASE).status_code == 401
    sent = stranger.get(BASE, headers={"accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/admin/signalkit")
