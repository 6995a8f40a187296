"""Headers that every answer carries, and what of a request's headers says who sent it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.datastructures import Headers

CONTENT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# same-origin and not no-referrer: without a referrer a browser says `Origin: null` of a form
SAFE: Mapping[str, str] = {
    "content-security-policy": CONTENT,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
SAFE_METHODS = ("GET", "HEAD")
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(:[0-9]{1,5})?", re.ASCII)


def host_name(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None where it is no host."""
    found = _HOST.fullmatch(host.lower())
    return found[1].strip("[]") if found else None


def is_foreign(headers: Headers, origin: str, *, by_browser: bool) -> bool:
    """Whether a request that changes something may come from a page of elsewhere.

    Parameters
    ----------
    headers : Headers
        Of the request.
    origin : str
        Scheme, host and port of this server, as its pages have them.
    by_browser : bool
        Whether the browser alone vouches for it, by its cookie; then it must say whence.
    """
    told, site = headers.getlist("origin"), headers.getlist("sec-fetch-site")
    if any(value != origin for value in told):
        return True
    fine = ("same-origin",) if by_browser else ("same-origin", "none")
    return any(value not in fine for value in site) or (by_browser and not (told or site))


def is_embedded_elsewhere(headers: Headers) -> bool:
    """Whether a page of elsewhere, another port of this host too, loads this into itself."""
    site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
    return site in ("cross-site", "same-site") and mode != "navigate"
