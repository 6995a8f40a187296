"""Who may come in, from where, and what it may do."""

import re

import pytest

from signalkit.errors import ParamsError
from signalkit.serving import Settings, create
from tests.serving.client import HOST, READ_TOKEN, TOKEN

OURS = {"origin": HOST}


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
    assert stranger.get(f"/nothing?token={TOKEN}").status_code == 401


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


def test_a_log_out_ends_the_visit_though_the_cookie_lives_on(stranger):
    cookie = dict(logged_in(stranger).cookies)
    assert stranger.post("/logout", headers=OURS).status_code == 303
    assert "signalkit-8765" not in stranger.cookies
    for name, value in cookie.items():
        stranger.cookies.set(name, value)
    assert stranger.get("/nothing").status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "desk.example"])
def test_other_computers_are_let_in_only_where_it_was_said_and_with_a_long_token(host, tmp_path):
    with pytest.raises(ParamsError, match="allow it with allow_remote"):
        create(tmp_path, token="t" * 32, host=host)
    with pytest.raises(ParamsError, match="has 31 characters"):
        create(tmp_path, token="t" * 31, host=host, allow_remote=True)
    assert Settings(token="t" * 32, host=host, allow_remote=True).host == host
