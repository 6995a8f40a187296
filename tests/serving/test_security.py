"""Who may come in, from where, and what it may do."""

import re
from pathlib import Path

import pytest

from signalkit.errors import ParamsError
from signalkit.serving import Settings, create
from signalkit.serving.limits import Buckets, is_plain
from signalkit.serving.visits import Visits
from tests.serving.client import HOST, READ_TOKEN, TOKEN

OURS = {"origin": HOST}
COOKIE = "signalkit-8765"


def logged_in(client, token=TOKEN):
    """A client with a browser's cookie."""
    assert client.post("/login", data={"token": token}, headers=OURS).status_code == 303
    return client


def test_a_token_opens_and_a_wrong_one_does_not(stranger):
    def asked(header):
        return stranger.get("/nothing", headers={"authorization": header}).status_code

    assert (
        asked(f"Bearer {TOKEN}") == asked(f"token {TOKEN}") == asked(f"bearer {READ_TOKEN}") == 404
    )
    assert asked("Bearer wrong") == asked(f"Basic {TOKEN}") == asked(TOKEN) == asked("") == 401
    assert asked(f"Bearer {TOKEN[:-1]}") == asked(f"Bearer {TOKEN}x") == asked("Bearer ") == 401
    assert stranger.get(f"/nothing?token={TOKEN}").status_code == 401


def test_what_is_refused_says_how_to_come_in(stranger):
    answer = stranger.get("/nothing")
    assert answer.headers["www-authenticate"] == 'Bearer realm="signalkit"'
    assert "log in at /login" in answer.json()["detail"]


def test_the_printed_link_sets_a_cookie_and_takes_the_token_out_of_the_address(stranger):
    came = stranger.get(f"/login?token={TOKEN}&next=/admin/")
    assert (came.status_code, came.headers["location"]) == (303, "/admin/")
    assert came.headers["referrer-policy"] == "no-referrer"
    cookie = came.headers["set-cookie"]
    assert TOKEN not in cookie
    assert re.search(
        r"^signalkit-8765=\S+; HttpOnly; Max-Age=43200; Path=/; SameSite=strict$", cookie
    )
    assert stranger.get("/nothing").status_code == 404


def test_the_cookie_is_secure_where_browsers_come_by_https(serve):
    came = serve(None, https=True).get(f"/login?token={TOKEN}")
    assert came.headers["set-cookie"].endswith("; Secure")


@pytest.mark.parametrize(
    "asked",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a?b"],
)
def test_a_log_in_leads_to_a_page_of_this_server_alone(stranger, asked):
    answer = stranger.get("/login", params={"token": TOKEN, "next": asked})
    assert answer.headers["location"] == "/ml/"
    assert asked not in stranger.get("/login", params={"next": asked}).text


def test_a_wrong_token_gets_the_form_again_and_no_cookie(stranger):
    answer = stranger.post("/login", data={"token": "wrong"}, headers=OURS)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text


def test_a_log_out_ends_the_visit_though_the_cookie_lives_on(stranger):
    cookie = logged_in(stranger).cookies[COOKIE]
    assert stranger.post("/logout", headers=OURS).status_code == 303
    assert COOKIE not in stranger.cookies
    stranger.cookies.set(COOKIE, cookie)
    assert stranger.get("/nothing").status_code == 401


def test_a_cookie_of_before_a_restart_is_worth_nothing(serve, stranger):
    cookie = logged_in(stranger).cookies[COOKIE]
    restarted = serve(None)
    restarted.cookies.set(COOKIE, cookie)
    assert restarted.get("/nothing").status_code == 401


def test_a_visit_ends_by_itself():
    seconds = [1_000.0]
    visits = Visits(12, clock=lambda: seconds[0])
    cookie = visits.begin("read")
    assert visits.read(cookie).role == "read"
    seconds[0] += 12 * 3600
    assert visits.read(cookie) is None


@pytest.mark.parametrize("part", range(4))
def test_a_cookie_that_was_changed_is_worth_nothing(part):
    visits = Visits(12)
    parts = visits.begin("read").split(".")
    for other in ("write", "", "é", "9999999999", "0" * 64):
        changed = ".".join([*parts[:part], other, *parts[part + 1 :]])
        assert visits.read(changed) is None
    assert visits.read(".".join(parts)).role == "read"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_read_token_may_look_and_no_more(serve, method):
    for client in (serve(READ_TOKEN), logged_in(serve(None), READ_TOKEN)):
        assert client.get("/nothing").status_code == 404
        assert client.request(method, "/nothing", headers=OURS).status_code == 403
    assert logged_in(serve(None), READ_TOKEN).post("/logout", headers=OURS).status_code == 303


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"origin": HOST}, True),
        ({"origin": HOST, "sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"origin": "https://127.0.0.1:8765"}, False),
        ({"origin": "http://localhost:8765"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": HOST, "sec-fetch-site": "cross-site"}, False),
        ({"origin": HOST, "sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"referer": f"{HOST}/ml/"}, False),
        ({"x-http-method-override": "GET"}, False),
    ],
)
def test_a_browsers_change_comes_from_a_page_of_this_server(stranger, headers, passes):
    answer = logged_in(stranger).post("/nothing", headers=headers)
    assert answer.status_code == (404 if passes else 403)


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"origin": HOST, "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
    ],
)
def test_a_program_with_a_token_needs_no_origin_but_may_not_have_a_foreign_one(
    write, headers, passes
):
    assert write.post("/nothing", headers=headers).status_code == (404 if passes else 403)


@pytest.mark.parametrize("path", ["/nothing", "/login", "/healthz"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_elsewhere_load_nothing(stranger, path, site):
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    assert logged_in(stranger).get(path, headers=headers).status_code == 403


def test_a_log_in_form_of_elsewhere_is_refused_before_its_token_is_looked_at(stranger):
    for _ in range(20):
        answer = stranger.post(
            "/login", data={"token": "x"}, headers={"origin": "http://evil.example"}
        )
        assert answer.status_code == 403
    assert logged_in(stranger).get("/nothing").status_code == 404


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("127.0.0.1:8765", True),
        ("localhost:9000", True),
        ("[::1]:8765", True),
        ("LOCALHOST", True),
        ("evil.example:8765", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.", False),
        ("192.168.1.7:8765", False),
        ("", False),
        ("127.0.0.1:8765@evil.example", False),
        ("127.0.0.1:8765/x", False),
    ],
)
def test_only_names_of_this_computer_are_answered(write, host, passes):
    assert write.get("/nothing", headers={"host": host}).status_code == (404 if passes else 421)


def test_hosts_that_were_named_are_answered_too(serve):
    client = serve(hosts=("desk.example",))
    assert client.get("/nothing", headers={"host": "desk.example"}).status_code == 404
    assert client.get("/nothing", headers={"host": "x.desk.example"}).status_code == 421


def test_where_others_were_allowed_addresses_are_answered_and_names_are_not(serve):
    client = serve(host="0.0.0.0", allow_remote=True)
    assert client.get("/nothing", headers={"host": "192.168.1.7:8765"}).status_code == 404
    assert client.get("/nothing", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "desk.example"])
def test_other_computers_are_let_in_only_where_it_was_said_and_with_a_long_token(host, tmp_path):
    with pytest.raises(ParamsError, match="allow it with allow_remote"):
        create(tmp_path, token="t" * 32, host=host)
    with pytest.raises(ParamsError, match="has 31 characters"):
        create(tmp_path, token="t" * 31, host=host, allow_remote=True)
    with pytest.raises(ParamsError, match="the read_token has 5 characters"):
        create(tmp_path, token="t" * 32, read_token="short", host=host, allow_remote=True)
    assert Settings(token="t" * 32, host=host, allow_remote=True).host == host


@pytest.mark.parametrize("token", ["", "with blank", "tab\t", "ümlaut", "line\n"])
def test_a_token_that_no_header_can_carry_is_refused(token):
    with pytest.raises(ParamsError, match="visible ASCII"):
        Settings(token=token)
    with pytest.raises(ParamsError, match="the read token is the token"):
        Settings(token=TOKEN, read_token=TOKEN)


def test_wrong_tokens_are_slowed_down_and_those_who_are_in_go_on(serve):
    client = serve(None)
    browser = logged_in(serve(None, app=client.app))
    wrong = {"authorization": "Bearer wrong"}
    codes = [client.get("/nothing", headers=wrong).status_code for _ in range(12)]
    assert codes == [401] * 10 + [429] * 2
    right = client.get("/nothing", headers={"authorization": f"Bearer {TOKEN}"})
    assert right.status_code == 429
    assert 1 <= int(right.headers["retry-after"]) <= 5
    assert client.post("/login", data={"token": TOKEN}, headers=OURS).status_code == 429
    assert browser.get("/nothing").status_code == 404


@pytest.mark.parametrize(
    ("token", "method", "rate", "burst"),
    [(TOKEN, "GET", "reads", 2), (TOKEN, "POST", "writes", 5), (None, "GET", "strangers", 4)],
)
def test_who_asks_too_often_waits(serve, token, method, rate, burst):
    client = serve(token, **{rate: 1})
    answers = [client.request(method, "/nothing") for _ in range(burst + 2)]
    assert [a.status_code == 429 for a in answers] == [False] * burst + [True] * 2
    assert answers[-1].headers["retry-after"] == "1"


def test_a_bucket_fills_again_and_old_ones_are_forgotten():
    seconds = [0.0]
    buckets = Buckets(0.5, 2, clock=lambda: seconds[0])
    assert [buckets.wait("a") for _ in range(4)] == [0, 0, 2, 2]
    assert buckets.wait("b") == 0
    seconds[0] = 2.0
    assert [buckets.wait("a") for _ in range(2)] == [0, 2]
    for number in range(10_000):
        buckets.wait(str(number))
    assert len(buckets._held) == 4_096


def in_chunks(size):
    """A body without a length."""

    async def chunks():
        for _ in range(size // 1000):
            yield b"x" * 1000

    return chunks()


def test_bodies_have_a_limit_announced_or_not(serve):
    client = serve(body=10_000)
    kind = {"content-type": "application/json"}
    assert client.post("/api/x", content=b"x" * 10_000, headers=kind).status_code == 404
    assert client.post("/api/x", content=b"x" * 10_001, headers=kind).status_code == 413
    assert client.post("/api/x", content=in_chunks(10_000), headers=kind).status_code == 404
    assert client.post("/api/x", content=in_chunks(11_000), headers=kind).status_code == 413
    lying = kind | {"content-length": "5"}
    assert client.post("/api/x", content=b"x" * 10_001, headers=lying).status_code == 413
    assert client.get("/api/x", headers={"content-length": "1e9"}).status_code == 400


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/" + "a" * 2_048, {}, 414),
        ("/x?" + "a" * 8_193, {}, 414),
        ("/x", {"x-long": "a" * 33_000}, 431),
        ("/x", {f"x-{i}": "a" for i in range(65)}, 431),
    ],
)
def test_addresses_and_headers_have_limits(write, path, headers, status):
    assert write.get(path, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"/admin/signalkit/ml_models", True),
        (b"/api/ml/models/%C3%A9/", True),
        (b"/admin/../etc/passwd", False),
        (b"/admin/%2e%2e/etc/passwd", False),
        (b"/admin/..%2fetc", False),
        (b"/admin/..%5cetc", False),
        (b"/admin/%00", False),
        (b"/admin/%ff", False),
        (b"/a%0d%0aSet-Cookie:x", False),
        (b"//evil.example/", False),
        (b"*", False),
        (b"http://evil.example/", False),
    ],
)
def test_a_path_means_the_same_to_all_who_read_it(raw, plain):
    assert is_plain(raw) is plain


def test_every_answer_carries_safe_headers(write, stranger):
    for client, path in [(write, "/nothing"), (stranger, "/login"), (stranger, "/x"), (write, "/")]:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "same-origin"


def test_every_test_that_the_page_of_threats_names_is_there():
    root = Path(__file__).parents[2]
    named = set(re.findall(r"`(test_\w+)`", (root / "docs" / "serving.md").read_text()))
    files = [*(root / "tests" / "serving").glob("*.py"), *(root / "tests" / "browser").glob("*.py")]
    there = {name for f in files for name in re.findall(r"^def (test_\w+)", f.read_text(), re.M)}
    assert len(named) > 10
    assert named <= there
