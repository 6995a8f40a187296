"""What a screen reader needs and Datasette's pages lack: a language, names, reach by keyboard."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

_LABELS = {
    b"<html>": b'<html lang="en">',
    b'name="_filter_column': b'aria-label="column to filter by" name="_filter_column',
    b'name="_filter_op': b'aria-label="comparison" name="_filter_op',
    b'name="_filter_value': b'aria-label="value to filter by" name="_filter_value',
    b'name="_sort"': b'aria-label="column to sort by" name="_sort"',
    b'class="table-wrapper"': b'class="table-wrapper" tabindex="0"',
}


def labelled(page: bytes) -> bytes:
    """A page with what it lacks."""
    for found, better in _LABELS.items():
        page = page.replace(found, better)
    return page


def labelling(send: Send) -> Send:
    """Sends pages with what they lack; what is no page is sent as it comes."""
    start: Message | None = None
    parts: list[bytes] = []

    async def sending(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/html"):
                start = message
                return
        elif start is not None:
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            page = labelled(b"".join(parts))
            headers = MutableHeaders(scope=start)
            if "content-length" in headers:
                headers["content-length"] = str(len(page))
            await send(start)
            message = {"type": "http.response.body", "body": page}
        await send(message)

    return sending
