"""collection/feeds.py: strangers' bytes are fetched within bounds and become plain text."""

import gzip
import threading
import time
import tracemalloc
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalkit.collection.feeds import TITLE_LENGTH, fetch, is_url, plain_text, read_feed, unpacked
from signalkit.collection.news import read_news
from signalkit.errors import DataError, ParamsError, SourceError

DATE = "<pubDate>Mon, 07 Mar 2022 00:14:42 GMT</pubDate>"
LIMIT = 10**7


def rss(*items, head='<?xml version="1.0"?>'):
    return f'{head}<rss version="2.0"><channel><title>Wire</title>{"".join(items)}</channel></rss>'


def item(title, more=DATE):
    return f"<item><title>{title}</title><guid>g-{zlib.crc32(title.encode())}</guid>{more}</item>"


def titles(text):
    return [plain_text(found["title"]) for found in read_feed(text)[0]]


class Pages(BaseHTTPRequestHandler):
    """Answers of a test's table: path to (status, headers, parts of the body)."""

    answers: dict
    hold: threading.Event

    def do_GET(self):
        status, headers, parts = self.answers[self.path]
        if status is None:
            self.drip()
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for part in parts:
                if part is None:
                    self.hold.wait(30)
                else:
                    self.wfile.write(part)
        except OSError:
            self.close_connection = True

    def drip(self):
        """A header now and then, and never the last."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        while not self.hold.wait(0.1):
            try:
                self.wfile.write(b"X: y\r\n")
            except OSError:
                return

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch):
    """A function that serves answers on the loopback and gives the address."""
    monkeypatch.setenv("NO_PROXY", "*")
    servers = []
    hold = threading.Event()

    def start(answers):
        handler = type("Handler", (Pages,), {"answers": answers, "hold": hold})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    hold.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def page(body, status=200, **headers):
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, [body]


def test_a_feed_behind_a_url_is_read_with_its_host_as_source(serve):
    body = rss(item("Bitcoin rises"), item("Bitcoin falls", DATE.replace("2022", "2032")))
    url = serve({"/rss": page(body.encode(), Content_Type="application/rss+xml")}) + "/rss"
    news = read_news(url, clock=lambda: pd.Timestamp("2022-03-08", tz="UTC"))
    assert news["title"].tolist() == ["Bitcoin rises"]
    assert news["source"].tolist() == ["127.0.0.1"]
    found = news.attrs["report"]
    assert (found.path, found.format) == (url, "rss20")
    assert found.refused == {"published after now": 1}


def test_redirects_are_followed_to_http_alone_and_not_for_ever(serve):
    base = serve(
        {
            "/a": page(b"", 302, Location="/b"),
            "/b": page(b"here"),
            "/file": page(b"", 301, Location="file:///etc/hostname"),
            "/ftp": page(b"", 307, Location="ftp://127.0.0.1/x"),
            "/loop": page(b"", 302, Location="/loop"),
        }
    )
    assert fetch(base + "/a", limit=100).data == b"here"
    for path in ("/file", "/ftp"):
        with pytest.raises(SourceError, match="only http and https are fetched"):
            fetch(base + path, limit=100)
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        fetch(base + "/loop", limit=100)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x.csv", "FILE:/etc/passwd"])
def test_other_schemes_are_refused(url):
    with pytest.raises(ParamsError, match="only http and https"):
        read_news(url)
    assert not is_url("news/file.csv")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (page(b"gone", 404), "answered 404"),
        (page(b"no", 503), "answered 503"),
        (page(b"x", Content_Encoding="br"), "sent as 'br'"),
        (page(b"short", Content_Length="100"), "no answer .*IncompleteRead"),
        ((200, {}, [b"x", None]), r"no answer .*(timed out|Timeout)"),
    ],
)
def test_an_answer_that_is_not_the_file_is_a_matter_of_the_network(serve, answer, says):
    url = serve({"/": answer}) + "/"
    with pytest.raises(SourceError, match=says):
        fetch(url, limit=1000, timeout=0.5 if None in answer[2] else 20)


def test_nobody_there_is_a_matter_of_the_network():
    with pytest.raises(SourceError, match="no answer"):
        fetch("http://127.0.0.1:9/", limit=1000, timeout=2)


def test_a_server_that_drips_is_cut_off(serve, monkeypatch):
    ticks = iter(range(0, 1000, 20))
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    url = serve({"/": (200, {}, [b"x"] * 50)}) + "/"
    with pytest.raises(SourceError, match="bytes came in the time; raise timeout"):
        fetch(url, limit=1000, timeout=10)


@pytest.mark.parametrize("stated", [True, False])
def test_fifty_megabytes_are_refused_after_ten(serve, stated):
    chunk = b" " * 10**6
    length = {"Content-Length": str(5 * 10**7)} if stated else {}
    url = serve({"/": (200, length, [chunk] * 50)}) + "/"
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(DataError, match="over the limit of 10 MB; raise max_mb"):
        read_news(url)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e7
    assert time.process_time() - started < 10


def test_the_limit_can_be_raised(serve):
    url = serve({"/": page(rss(item("A"), f"<!--{'x' * 11 * 10**6}-->").encode())}) + "/"
    with pytest.raises(DataError, match="over the limit of 10 MB"):
        read_news(url)
    assert len(read_news(url, max_mb=12)) == 1


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("encoded", [True, False])
def test_a_gzip_bomb_is_not_unpacked(serve, tmp_path, layers, encoded):
    bomb = gzip.compress(b"\0" * 10**7) * 50  # 500 MB in 0.5 MB
    bomb = gzip.compress(bomb) if layers == 2 else bomb
    headers = {"Content_Encoding": "gzip"} if encoded else {}
    url = serve({"/": page(bomb, **headers)}) + "/"
    file = tmp_path / "bomb"
    file.write_bytes(bomb)
    started = time.process_time()
    tracemalloc.start()
    for path in (url, file):
        with pytest.raises(DataError, match="bytes unpack to"):
            read_news(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5e8
    assert time.process_time() - started < 10


def test_gzip_in_either_place_is_unpacked(serve):
    body = gzip.compress(rss(item("A")).encode())
    base = serve({"/a": page(body), "/b": page(gzip.compress(body), Content_Encoding="gzip")})
    assert len(read_news(base + "/a")) == len(read_news(base + "/b")) == 1
    with pytest.raises(DataError, match="broken or cut off"):
        unpacked(body[:-20], LIMIT)


LAUGHS = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
READS = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("doctype", [LAUGHS, READS, "<!DOCTYPE rss SYSTEM 'x.dtd' [ ]>"])
def test_xml_that_declares_entities_is_refused(tmp_path, doctype, encoding):
    file = tmp_path / "feed"
    file.write_bytes(rss(item("&b;&f;"), head=f"<!-- a --> {doctype}").encode(encoding))
    with pytest.raises(DataError, match=r"declares entities or elements itself .*remove"):
        read_news(file)


def test_a_doctype_without_declarations_and_html_entities_are_fine():
    head = '<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://x.invalid/rss.dtd">'
    assert titles(rss(item("A &ndash; B&nbsp;C"), head=head)) == ["A – B C"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (rss(item("A"))[:-30], "cut off or not well formed: .*line 1, column"),
        (rss(item("A")).replace("</title>", "", 1), "not well formed: mismatched tag"),
        ("<note><to>you</to></note>", "no RSS or Atom: its root is <note>"),
        ("<!doctype html><html><body>hi", "a web page, no feed"),
        ("<html><body>hi</body></html>", "a web page, no feed"),
        (rss(), "a feed .rss20. without items"),
        (rss(item("A", "")), "none of 1 items has a date"),
        (rss(item("A", "<pubDate></pubDate>")), "none of 1 items has a date"),
    ],
)
def test_what_is_no_feed_is_refused(tmp_path, text, says):
    file = tmp_path / "feed.xml"
    file.write_text(text)
    with pytest.raises(DataError, match=says) as told:
        read_news(file)
    assert str(told.value).startswith(str(file))
    assert [path.name for path in tmp_path.iterdir()] == ["feed.xml"]


def test_atom_is_read_by_published_else_updated():
    text = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Wire</title>
      <entry><id>urn:1</id><title type="html">&lt;b&gt;Up&lt;/b&gt;</title>
        <updated>2022-03-08T00:00:00Z</updated><published>2022-03-07T01:02:03Z</published></entry>
      <entry><title>Down</title><link href="http://x.invalid/2"/>
        <updated>2022-03-07T04:05:06+01:00</updated></entry></feed>"""
    items, version, title = read_feed(text)
    assert (version, title) == ("atom10", "Wire")
    assert [found["time"] for found in items] == [
        "2022-03-07T01:02:03Z",
        "2022-03-07T04:05:06+01:00",
    ]
    assert [found["key"] for found in items] == ["urn:1", "http://x.invalid/2"]
    assert titles(text) == ["Up", "Down"]


@pytest.mark.parametrize(
    ("declared", "written", "named"),
    [
        ("utf-8", "utf-8", "utf-8"),
        ("iso-8859-1", "utf-8", "utf-8"),  # wrongly declared, as often
        ("utf-8", "cp1252", "cp1252"),
        ("windows-1251", "cp1251", "windows-1251"),
        ("no-such-code", "cp1252", "cp1252"),
        ("utf-16", "utf-16", "utf-16"),
    ],
)
def test_what_the_bytes_say_goes_before_what_is_declared(tmp_path, declared, written, named):
    title = "Цена растёт" if "1251" in written else "Société “up”"
    file = tmp_path / "feed"
    head = f'<?xml version="1.0" encoding="{declared}"?>'
    file.write_bytes(rss(item(title), head=head).encode(written))
    news = read_news(file)
    assert news["title"].tolist() == [title]
    assert news.attrs["report"].encoding == named


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("<b>AT&amp;T</b> up", "AT&T up"),
        ("a<script>alert('x')</script>b<style>i{}</style>c", "a b c"),
        ("a<script>alert(1)", "a"),
        ("a<!-- <b> -->b", "a b"),
        ("Bit<i>coin</i><br/>falls", "Bitcoin falls"),
        ('<img alt="a>b" onerror="x()">now', "now"),
        ("now <img src=x onerror=alert(1)", "now"),
        ("5 < 6 and 7 > 3, P/E <10", "5 < 6 and 7 > 3, P/E <10"),
        ("&lt;b&gt; &amp;amp; &#8217;", "&amp; ’"),
        ("a\u202eb\u200b\x00c\ud800", "abc"),
        ("  two \r\n\t words\u2028here ", "two words here"),
        ("x" * 600, "x" * TITLE_LENGTH),
    ],
)
def test_titles_become_plain_text(raw, plain):
    assert plain_text(raw) == plain


@given(st.text(alphabet=st.sampled_from("<>/&;\"'= abscript!-\u202e\n"), max_size=80))
def test_no_script_and_no_control_is_left_in_any_title(raw):
    plain = plain_text(raw)
    assert "<script>" not in plain.lower()
    assert plain == " ".join(plain.split())
    assert "\u202e" not in plain


@pytest.mark.parametrize("piece", ["<", "<a ", '<a "', "<script ", "<!--", "<a b=", "&", "<![x"])
def test_titles_made_to_be_slow_are_not(piece):
    started = time.process_time()
    for _ in range(10):
        plain_text(piece * 10**6)
    assert time.process_time() - started < 2


def many(count):
    return rss(*(item(f"Bitcoin rises {k}") for k in range(count)))


def test_a_feed_of_many_items_is_read_in_linear_time(tmp_path):
    file = tmp_path / "feed"
    file.write_text(many(5000))
    started = time.process_time()
    assert len(read_news(file)) == 5000
    assert time.process_time() - started < 5  # 0.5 s measured


@pytest.mark.certify
def test_a_feed_of_a_hundred_thousand_items_is_read(tmp_path):
    file = tmp_path / "feed"
    file.write_text(many(100_000))
    started = time.process_time()
    assert len(read_news(file)) == 100_000
    assert time.process_time() - started < 100  # 11 s and 340 MB measured


@pytest.mark.parametrize(
    ("bomb", "says"),
    [
        ("<a>" * 98 + "</a>" * 98, "XML 101 elements deep .*feeds have at most 100 and 200"),
        ("<a>" * 10**5 + "</a>" * 10**5, "XML 101 elements deep"),
        ("<a " + " ".join(f'x{k}=""' for k in range(201)) + "/>", "with 201 attributes in <a>"),
        ("<a " + " ".join(f'x{k}=""' for k in range(10**5)) + "/>", "with 100,000 attributes"),
    ],
    ids=["deep", "very deep", "wide", "very wide"],
)
def test_xml_made_to_be_slow_is_refused_fast(tmp_path, bomb, says):
    (tmp_path / "feed").write_text(rss(item("Bitcoin rises", bomb + DATE)))
    started = time.process_time()
    with pytest.raises(DataError, match=says):
        read_news(tmp_path / "feed")
    assert time.process_time() - started < 2


def test_xml_just_within_the_bounds_is_read():
    deep = "<a>" * 97 + "</a>" * 97
    wide = "<a " + " ".join(f'x{k}=""' for k in range(200)) + "/>"
    assert titles(rss(item("Bitcoin rises", deep + wide + DATE))) == ["Bitcoin rises"]


def test_a_server_that_drips_its_headers_is_outlived(serve):
    url = serve({"/": (None, {}, [])}) + "/"
    with pytest.raises(SourceError, match=r"no whole answer in 0\.3 s; raise timeout"):
        fetch(url, limit=1000, timeout=0.3)


@pytest.mark.parametrize("place", ["http://[::1", "http://[x]/", "http:///x", "http://a:port/"])
def test_a_redirect_to_nowhere_is_a_matter_of_the_network(serve, place):
    url = serve({"/": page(b"", 302, Location=place)}) + "/"
    with pytest.raises(SourceError):
        fetch(url, limit=1000, timeout=5)


@pytest.mark.parametrize("length", ["9" * 5000, "\u00b2"])
def test_a_length_that_is_no_length_is_not_believed(serve, length):
    url = serve({"/": page(b"x", Content_Length=length)}) + "/"
    assert fetch(url, limit=1000, timeout=5).data == b"x"


def test_a_tag_inside_a_tag_or_an_entity_leaves_no_tag():
    assert plain_text("&lt;script&gt;x()&lt;/script&gt;now") == "now"
    assert "<script>" not in plain_text("<<b>script>x()")
