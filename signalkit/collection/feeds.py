"""News from the network and from feeds: bytes that a stranger wrote.

Nothing is believed: only http and https, only so many bytes, packed or not, only so many
seconds; XML that declares entities is refused before it is parsed, and titles become plain
text. A refusal says what was found and what to do; nothing is written anywhere.
"""

from __future__ import annotations

import gzip
import html
import html.entities
import io
import re
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from xml.parsers import expat

import feedparser
import requests
import urllib3

from signalkit.errors import DataError, ParamsError, SignalkitError, SourceError

GZIP = b"\x1f\x8b"
TITLE_LENGTH = 500  # characters
_RAW_TITLE_LENGTH = 10_000  # characters of a title that are looked at
_REDIRECTS = 5
_TAGS_IN_TAGS = 3  # tags that others are written into
_DEEPEST, _ATTRIBUTES = 100, 200  # nested elements, attributes of one
_CHUNK = 2**16  # bytes
_ANSWER_TIME = 15.0  # seconds in which a server answers or sends its next bytes
_SMALL = 10**7  # bytes; a gzip file that unpacks to less cannot hurt
_PACKED = 100  # times; text is hardly ever packed tighter
_BLOCKS = "br|p|div|li|tr|td|th|h[1-6]|hr|ul|ol|table|blockquote"
_HIDDEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)", re.I | re.S)
_BLOCK_TAGS = re.compile(rf"</?(?:{_BLOCKS})\b[^<>]*>", re.I)
# no part of a tag reaches beyond the next "<", so that the time is linear in the text
_TAGS = re.compile(
    r"""</?[a-z](?:[^<>"']|"[^"<]*"|'[^'<]*')*>|<[!?][^<>]*>|<[a-z]+\s[^<>=]*=[^<>]*$""", re.I
)
# controls, marks that turn the direction of text, blanks of no width, halves of characters
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
_PROLOG = re.compile(r"\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*)*", re.S)
_DOCTYPE = re.compile(
    r"""<!DOCTYPE\s+[\w:.-]+(?:\s+(?:PUBLIC|SYSTEM)(?:\s+(?:"[^"]*"|'[^']*')){1,2})?\s*>\s*"""
)
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")


@dataclass(frozen=True)
class Fetched:
    """What a server sent: bytes as they came, who sent them, and the charset it named."""

    data: bytes
    host: str
    charset: str | None


def is_url(path: object) -> bool:
    """Whether a path is a URL; one that is neither http nor https is refused.

    Raises
    ------
    ParamsError
        With the scheme found.
    """
    match = re.match(r"([a-z][a-z0-9+.-]+)://?", path, re.I) if isinstance(path, str) else None
    if match is None:
        return False
    if match[1].lower() not in ("http", "https"):
        raise ParamsError(f"{path}: only http and https are fetched, not {match[1]}")
    return True


def fetch(url: str, *, limit: int, timeout: float = 60.0) -> Fetched:
    """Bytes behind a URL.

    Parameters
    ----------
    url : str
        http or https; redirects are followed to these alone, at most five.
    limit : int
        Most bytes read, both as sent and unpacked.
    timeout : float
        Seconds for the whole of it.

    Raises
    ------
    ParamsError
        If the URL is of another kind.
    SourceError
        If nobody answers in time, or something else than the file comes.
    DataError
        If there are more bytes than `limit`.
    """
    answered: list[Fetched | SignalkitError] = []

    def ask() -> None:
        try:
            answered.append(_followed(url, limit, timeout))
        except SignalkitError as refused:  # raised again by who waits
            answered.append(refused)

    # a server that drips its headers or the size of a chunk is outlived, not waited for
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout + 1)
    if not answered:
        raise SourceError(f"{url}: no whole answer in {timeout:g} s; raise timeout or try later")
    if isinstance(answered[0], SignalkitError):
        raise answered[0]
    return answered[0]


def _followed(url: str, limit: int, timeout: float) -> Fetched:
    """What is at the end of a URL's redirects."""
    until = time.monotonic() + timeout
    asked = url
    try:
        for _ in range(_REDIRECTS + 1):
            with _ask(url, min(timeout, _ANSWER_TIME)) as answer:
                if not answer.is_redirect:
                    return _received(answer, limit, until)
                url = _redirected(url, answer.headers["location"])
    except SignalkitError:
        raise
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as cause:
        raise SourceError(f"{asked}: no answer ({_short(cause)}); try again later") from None
    raise SourceError(f"{asked}: redirects more than {_REDIRECTS} times, last to {url}")


def _ask(url: str, timeout: float) -> requests.Response:
    """The server's answer, its body still unread."""
    headers = {"User-Agent": "signalkit", "Accept-Encoding": "gzip"}
    return requests.get(url, stream=True, allow_redirects=False, timeout=timeout, headers=headers)


def _short(cause: Exception) -> str:
    """What went wrong, in a line."""
    return f"{type(cause).__name__}: {str(cause)[:200]}"


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads."""
    target = urljoin(url, location)
    if urlsplit(target).scheme not in ("http", "https"):
        raise SourceError(f"{url}: redirects to {target[:200]!r}; only http and https are fetched")
    return target


def _received(answer: requests.Response, limit: int, until: float) -> Fetched:
    """The body of an answer, no longer than the limit and not after its time."""
    url, headers = answer.url, answer.headers
    if answer.status_code != 200:
        raise SourceError(f"{url}: answered {answer.status_code} {answer.reason}; check the URL")
    coding = headers.get("content-encoding", "identity").lower()
    if coding not in ("identity", "gzip", "x-gzip"):
        raise SourceError(f"{url}: sent as {coding!r}, asked for gzip or plain; fetch it yourself")
    length = headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > limit:
        raise _too_large(f"{int(length):,} bytes", limit)
    data = _body(answer, limit, until)
    if coding != "identity":
        data = _inflate(data, limit)
    charset = re.search(r"charset=[\"']?([\w.:-]+)", headers.get("content-type", ""), re.I)
    return Fetched(data, urlsplit(url).hostname or "", charset[1] if charset else None)


def _body(answer: requests.Response, limit: int, until: float) -> bytes:
    """Bytes of a body as they come in."""
    body = bytearray()
    # read1 returns what has come, so that a server that drips cannot stretch the time
    while part := answer.raw.read1(_CHUNK, decode_content=False):
        body += part
        if len(body) > limit:
            raise _too_large(f"at least {len(body):,} bytes", limit)
        if time.monotonic() > until:
            raise SourceError(
                f"{answer.url}: {len(body):,} bytes came in the time; raise timeout or try later"
            )
    return bytes(body)


def _too_large(found: str, limit: int) -> DataError:
    """The refusal of a file over the limit."""
    return DataError(
        f"{found}, over the limit of {limit / 1e6:g} MB; raise max_mb if you trust the source"
    )


def unpacked(data: bytes, limit: int) -> bytes:
    """Bytes with at most two layers of gzip taken off.

    Raises
    ------
    DataError
        If they are broken, or unpack to more than `limit` bytes or to a bomb's many.
    """
    for _ in range(2):
        if data[:2] == GZIP:
            data = _inflate(data, limit)
    return data


def _inflate(packed: bytes, limit: int) -> bytes:
    """Bytes of a gzip stream, never more than the limit."""
    limit_here = min(limit, max(_SMALL, _PACKED * len(packed)))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            data = file.read(limit_here + 1)
    except (OSError, EOFError, zlib.error) as cause:
        raise DataError(
            f"a gzip stream that is broken or cut off ({cause}); get it again"
        ) from None
    if len(data) > limit_here == limit:
        raise _too_large(f"{len(packed):,} packed bytes unpack to {len(data):,} or more", limit)
    if len(data) > limit_here:
        raise DataError(
            f"{len(packed):,} packed bytes unpack to over {_PACKED} times as many, as no text"
            " does; unpack the file yourself if you trust it"
        )
    return data


def check_xml(text: str) -> None:
    """Refuse XML that declares anything itself, or that is not well formed.

    Raises
    ------
    DataError
        With the declaration found, or the line and column of the fault.
    """
    start = _PROLOG.match(text).end()
    if text[start : start + 9].upper() == "<!DOCTYPE":
        doctype = _DOCTYPE.match(text, start)
        if re.match(r"<!DOCTYPE\s+html\b", text[start:], re.I):
            raise DataError("a web page, no feed; look for its link to RSS or Atom")
        if doctype is None:
            raise DataError(
                f"declares entities or elements itself ({text[start : start + 60]!r}); feeds need"
                " none, and these can exhaust memory or read files: remove the DOCTYPE"
            )
    if re.match(r"<html\b", text[start:], re.I):
        raise DataError("a web page, no feed; look for its link to RSS or Atom")
    try:
        parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        parser.StartElementHandler, parser.EndElementHandler = _shape()
        parser.Parse(text.encode("utf-8"), True)
    except expat.ExpatError as cause:
        raise DataError(f"XML cut off or not well formed: {cause}; get it again") from None
    except UnicodeEncodeError:
        raise DataError("XML with half a character (a lone surrogate); get it again") from None


def _shape() -> tuple[Callable, Callable]:
    """Handlers that refuse what makes feedparser's time grow with its square."""
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST or len(attributes) > _ATTRIBUTES:
            raise DataError(
                f"XML {depth} elements deep or with {len(attributes):,} attributes in"
                f" <{name[:60]}>; feeds have at most {_DEEPEST} and {_ATTRIBUTES}"
            )

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    return start, end


def read_feed(text: str) -> tuple[list[dict[str, str]], str, str]:
    """Items of an RSS or Atom feed.

    Parameters
    ----------
    text : str
        XML, decoded.

    Returns
    -------
    items : list of dict
        `title`, `time` (published, else updated), `source`, `key` (guid, else link), as
        written; empty where the feed says nothing.
    version : str
        Such as rss20 or atom10.
    title : str
        The feed's own.

    Raises
    ------
    DataError
        If it is no feed, or XML that `check_xml` refuses.
    """
    text = _NAMED.sub(_numbered, re.sub(r"^\s*<\?xml.*?\?>", "", text, flags=re.S))
    check_xml(text)
    feed = feedparser.parse(
        io.BytesIO(text.encode("utf-8")),
        response_headers={"content-type": "application/xml; charset=utf-8"},
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    if not feed.version:
        root = re.search(r"<([A-Za-z_][\w:.-]*)", text)
        raise DataError(f"XML, but no RSS or Atom: its root is <{root[1] if root else ''}>")
    items = [
        {
            "title": entry.get("title", ""),
            "time": entry.get("published") or _updated(entry),
            "source": entry.get("source", {}).get("title", ""),
            "key": entry.get("id") or entry.get("link") or "",
        }
        for entry in feed.entries
    ]
    return items, feed.version, feed.feed.get("title", "")


def _updated(entry: feedparser.FeedParserDict) -> str:
    """When an item was last changed, empty if it does not say."""
    # to `get` feedparser answers with a deprecated substitute and a warning
    if "updated" not in entry:
        return ""
    return entry["updated"] or ""


def _numbered(match: re.Match) -> str:
    """An HTML entity, which XML does not know, by its number."""
    if match[1] in ("amp", "lt", "gt", "quot", "apos"):
        return match[0]
    letters = html.entities.html5.get(f"{match[1]};")
    return match[0] if letters is None else "".join(f"&#{ord(letter)};" for letter in letters)


def _without_tags(title: str) -> str:
    """A title without tags, scripts, or tags that stand open when others are taken out."""
    for _ in range(_TAGS_IN_TAGS):
        if "<" not in title:
            break
        title = _TAGS.sub("", _BLOCK_TAGS.sub(" ", _HIDDEN.sub(" ", title)))
    return title


def plain_text(title: str) -> str:
    """A title without HTML, control characters or line breaks, at most 500 characters.

    Tags and scripts go, also those written as entities, characters that turn the direction
    of text or cannot be seen go, blanks become one.

    Examples
    --------
    >>> plain_text("<b>AT&amp;T</b> falls<br>hard<script>x()</script>")
    'AT&T falls hard'
    """
    title = _without_tags(title[:_RAW_TITLE_LENGTH])
    if "&" in title:
        title = _without_tags(html.unescape(title))
    return " ".join(_UNSEEN.sub("", title).split())[:TITLE_LENGTH].rstrip()
