"""Log in and out: a token becomes a visit, and leaves the address bar."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from signalkit.serving.problems import Problem
from signalkit.serving.security import Door, client_of

router = APIRouter(include_in_schema=False)

HOME = "/ml/"
_ENTRY = Path(__file__).parent / "entry"
_PAGE = Template((_ENTRY / "login.html").read_text())
_STYLE = (_ENTRY / "login.css").read_text()
_ICON = (_ENTRY / "icon.svg").read_text()
_OURS = re.compile(r"/(?![/\\])[A-Za-z0-9/_.~-]*")


def _place(asked: str) -> str:
    """Where to go after the log in: a path of this server, home for all else."""
    return asked if _OURS.fullmatch(asked) else HOME


def _page(asked: str, *, told: str = "", status: int = 200, **headers: str) -> Response:
    """The page with the form."""
    words = f'<p class="bad" role="alert">{escape(told)}</p>' if told else ""
    text = _PAGE.substitute(told=words, next=escape(_place(asked)))
    return HTMLResponse(text, status, headers)


def _enter(request: Request, token: str, asked: str) -> Response:
    """A visit for who has the token, the form again for who does not."""
    door: Door = request.app.state.door
    try:
        visitor = door.by_token(token, client_of(request.scope))
    except Problem as refused:
        return _page(asked, told=refused.detail, status=refused.status_code, **refused.headers)
    there = RedirectResponse(_place(asked), 303, {"Referrer-Policy": "no-referrer"})
    there.set_cookie(
        door.cookie,
        door.visits.begin(visitor.role),
        max_age=door.visits.seconds,
        httponly=True,
        samesite="strict",
        secure=door.settings.https or request.url.scheme == "https",
    )
    return there


@router.get("/login")
def log_in_by_link(request: Request, token: str | None = None, next: str = HOME) -> Response:
    """The form, or, with the token of the printed link, a visit."""
    return _page(next) if token is None else _enter(request, token, next)


@router.post("/login")
async def log_in(request: Request) -> Response:
    """A visit for the token of the form."""
    told = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
    first = {name: values[0] for name, values in told.items()}
    return _enter(request, first.get("token", ""), first.get("next", HOME))


@router.get("/login.css")
def style() -> Response:
    """The style of the form."""
    return Response(_STYLE, media_type="text/css")


@router.get("/favicon.ico")
def icon() -> Response:
    """The sign in the browser's tab."""
    return Response(_ICON, media_type="image/svg+xml")


@router.post("/logout")
def log_out(request: Request) -> Response:
    """The end of a visit; its cookie is worth nothing from now on."""
    door: Door = request.app.state.door
    if request.state.visitor.by == "browser":
        door.visits.end(request.state.visitor)
    there = RedirectResponse("/login", 303)
    there.delete_cookie(door.cookie, httponly=True, samesite="strict")
    return there


@router.get("/")
def home() -> Response:
    """The way to the dashboard."""
    return RedirectResponse(HOME, 303)
