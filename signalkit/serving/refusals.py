"""Which refusals an endpoint may answer with, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

JSON = "application/problem+json"

# who asks, how often, how much; these come before any endpoint is asked
_ANY = {
    400: "the request is not what it must be",
    401: "nobody is known by this token, or none was given",
    403: "the token may not do this",
    414: "the address is too long",
    421: "the server does not answer under this host",
    422: "values are refused; `errors` says which",
    429: "too many requests; Retry-After says when to ask again",
    431: "the headers are too many or too long",
    503: "the database, the disk or a queue refuses; Retry-After says when to ask again",
}
_OF_BODIES = {413: "the body is too large", 415: "the body is not application/json"}
_MISSING = {404: "there is no such thing"}
_CONFLICT = {409: "it is not in a state that allows this"}


def refusals(
    *, body: bool = False, missing: bool = False, conflict: bool = False
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an endpoint.

    Parameters
    ----------
    body, missing, conflict : bool
        Whether it reads a body, names something that may not be there, or changes what has a
        state.
    """
    told = dict(_ANY)
    told |= _OF_BODIES if body else {}
    told |= _MISSING if missing else {}
    told |= _CONFLICT if conflict else {}
    return {status: {"description": words} for status, words in sorted(told.items())}
