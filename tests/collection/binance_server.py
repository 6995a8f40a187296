"""A loopback server that speaks Binance's market data and can be told to misbehave.

It serves given bars on /api/v3/klines, /api/v3/exchangeInfo and /api/v3/time by a clock of
its own. Each request for bars takes the next fault of the script; without one the answer is
the truth: every bar from `startTime` on, the last one open where the clock is inside it. No
bar is withheld more than twice, so whoever asks three times gets all of them.

Answers are those of https://developers.binance.com/docs/binance-spot-api-docs/rest-api.
"""

import json
import threading
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

from signalkit.bars import COLUMNS, interval_length

REFUSALS = ("429", "418", "500", "cut", "html", "half json")
BROKEN = ("two versions", "high under low", "no number")
WITHHELD = ("empty", "some missing", "end missing", "begin missing")
HARMLESS = ("doubled", "disorder", "nothing")
FAULTS = (*REFUSALS, *BROKEN, *WITHHELD, *HARMLESS, "newest not final")
_WITHHELD_AT_MOST = 2


def walk(n, *, interval="1h", first="2024-01-01", seed=0, lacking=()):
    """Bars by their end, of a walk with a seed; those at the positions `lacking` are not there."""
    random = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.01, n + 1)))
    opens, closes = closes[:-1], closes[1:]
    high = np.maximum(opens, closes) * (1 + random.uniform(0, 0.01, n))
    low = np.minimum(opens, closes) * (1 - random.uniform(0, 0.01, n))
    length = interval_length(interval)
    ends = pd.date_range(pd.Timestamp(first, tz="UTC") + length, periods=n, freq=length, unit="ns")
    values = np.column_stack([opens, high, low, closes, random.lognormal(3, 1, n)])
    bars = pd.DataFrame(values, index=ends.rename("time"), columns=list(COLUMNS))
    return bars.drop(bars.index[list(lacking)])


class BinanceServer(ThreadingHTTPServer):
    """The server: `bars` by symbol, a clock `now`, a script of `faults`.

    `corrections` maps (symbol, bar end) to the values served before a moment, and that
    moment. `asked` lists the requests for bars, `paths` all of them; `reached` is set by the
    request for bars with the number `reach`.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, bars, *, interval="1h", now=None, has_time=True):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.interval, self.length = interval, interval_length(interval)
        self.has_time, self.has_markets, self.retry_after = has_time, True, "7"
        self.lock = threading.Lock()
        self.reached, self.reach = threading.Event(), None
        self.serve(bars, now=now)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def serve(self, bars, *, now=None, faults=(), seed=0):
        """Begin anew with these bars."""
        self.bars = bars
        self.rows = {symbol: self._rows(table) for symbol, table in bars.items()}
        # half an hour into the bar that follows the last: that one is open
        last = max(table.index[-1] for table in bars.values())
        self.now = now or last + self.length / 2
        self.faults, self.random = list(faults), Random(seed)
        self.corrections, self.withheld = {}, Counter()
        self.asked, self.paths = [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that was killed is no news."""

    def _rows(self, table):
        """Bars by open time as Binance writes them."""
        opens = (table.index - self.length).as_unit("ms").asi8.tolist()
        return dict(zip(opens, table[list(COLUMNS)].to_numpy().tolist(), strict=True))

    def truth(self, symbol):
        """The bars that have ended by the server's clock."""
        table = self.bars[symbol]
        return table[table.index <= self.now]

    def _page(self, symbol, query):
        """What is there from `startTime` on, as (open, values)."""
        length, now = self.length.value // 10**6, self.now.value // 10**6
        start = int(query["startTime"][0])
        end = int(query.get("endTime", [2**62])[0])
        limit = min(int(query.get("limit", ["500"])[0]), 1000)
        known = sorted(self.rows[symbol])
        at = int(np.searchsorted(known, start))
        page = []
        for opened in known[at : at + limit]:
            if opened > min(end, now):
                break
            values = self._as_served(symbol, opened, length)
            page.append((opened, values if opened + length <= now else _half(values)))
        if len(page) < limit and at + len(page) == len(known):
            page += self._open_bar(symbol, known[-1] + length, start)
        return page

    def _open_bar(self, symbol, opened, start):
        """The bar after the last, where the clock is inside it."""
        inside = opened <= self.now.value // 10**6 < opened + self.length.value // 10**6
        close = self.rows[symbol][opened - self.length.value // 10**6][3]
        return [(opened, [close, close, close, close, 1.0])] if inside and opened >= start else []

    def _as_served(self, symbol, opened, length):
        """Values of a bar: those before its correction while that has not come."""
        end = pd.Timestamp(opened + length, unit="ms", tz="UTC")
        before, corrected_at = self.corrections.get((symbol, end), (None, self.now))
        return self.rows[symbol][opened] if self.now >= corrected_at else list(before)

    def answer(self, symbol, query):
        """The fault of a request, and its rows."""
        with self.lock:
            self.asked.append((symbol, int(query["startTime"][0]), int(query["limit"][0])))
            if self.reach is not None and len(self.asked) >= self.reach:
                self.reached.set()
            fault = self.faults.pop(0) if self.faults else "nothing"
            page = self._page(symbol, query)
            if fault in WITHHELD:
                page = self._withhold(symbol, page, fault)
            elif fault not in REFUSALS:
                page = self._spoil(page, fault)
            length = self.length.value // 10**6
            return fault, [_klines(opened, values, length) for opened, values in page]

    def _withhold(self, symbol, page, fault):
        """The page without some of its bars, none of them for the third time."""
        cut = self.random.randint(0, len(page))
        lacking = {
            "empty": page,
            "some missing": [row for row in page if self.random.random() < 0.3],
            "end missing": page[cut:],
            "begin missing": page[:cut],
        }[fault]
        keys = {(symbol, row[0]) for row in lacking}
        keys = {key for key in keys if self.withheld[key] < _WITHHELD_AT_MOST}
        self.withheld.update(keys)
        return [row for row in page if (symbol, row[0]) not in keys]

    def _spoil(self, page, fault):
        """The page as a fault leaves it."""
        if not page:
            return page
        at = self.random.randrange(len(page))
        opened, values = page[at]
        if fault == "doubled":
            return page + [row for row in page if self.random.random() < 0.3]
        if fault == "disorder":
            return self.random.sample(page, len(page))
        if fault == "two versions":
            return [*page, (opened, [*values[:4], values[4] + 1])]
        if fault == "high under low":
            return [*page[:at], (opened, [2.0, 1.0, 3.0, 2.0, 1.0]), *page[at + 1 :]]
        if fault == "no number":
            return [*page[:at], (opened, [*values[:3], None, values[4]]), *page[at + 1 :]]
        if fault == "newest not final":
            closed = [k for k, row in enumerate(page) if self._is_newest(row[0])]
            return [
                (row[0], [*row[1][:4], row[1][4] / 2]) if k in closed else row
                for k, row in enumerate(page)
            ]
        return page

    def _is_newest(self, opened):
        """Whether a bar is the newest that has ended."""
        length, now = self.length.value // 10**6, self.now.value // 10**6
        return opened + length <= now < opened + 2 * length


def _half(values):
    """A bar half way: what will come is not known yet."""
    return [*values[:2], min(values[0], values[2]), values[0], values[4] / 2]


def _klines(opened, values, length):
    """A row of the twelve columns of Binance; numbers as text with every digit."""
    texts = [None if value is None else repr(value) for value in values]
    return [opened, *texts, opened + length - 1, "0.0", 7, "0.0", "0.0", "0"]


def _market(symbol):
    """A symbol of /exchangeInfo."""
    base, quote = symbol[:-4], symbol[-4:]
    price = {"filterType": "PRICE_FILTER", "minPrice": "0.01", "tickSize": "0.01"}
    size = {"filterType": "LOT_SIZE", "minQty": "0.00001", "stepSize": "0.00001"}
    about = {"symbol": symbol, "status": "TRADING", "baseAsset": base, "quoteAsset": quote}
    digits = {"baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8}
    spot = {"isSpotTradingAllowed": True, "isMarginTradingAllowed": False, "permissions": ["SPOT"]}
    return about | digits | spot | {"filters": [price, size], "orderTypes": ["LIMIT", "MARKET"]}


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *words):
        """Say nothing."""

    def date_time_string(self, timestamp=None):
        return formatdate(self.server.now.timestamp(), usegmt=True)

    def do_GET(self):
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        self.server.paths.append(address.path)
        if address.path == "/api/v3/exchangeInfo" and not self.server.has_markets:
            self.send(b"<html>maintenance</html>", kind="text/html")
        elif address.path == "/api/v3/exchangeInfo":
            symbols = [_market(symbol) for symbol in self.server.bars]
            self.say({"timezone": "UTC", "serverTime": 0, "symbols": symbols})
        elif address.path == "/api/v3/time" and self.server.has_time:
            self.say({"serverTime": self.server.now.value // 10**6})
        elif address.path == "/api/v3/klines":
            self.klines(query)
        else:
            self.send(b"<html>404 not found</html>", status=404, kind="text/html")

    def klines(self, query):
        symbol = query["symbol"][0]
        if symbol not in self.server.bars:
            self.say({"code": -1121, "msg": "Invalid symbol."}, status=400)
            return
        if query["interval"][0] != self.server.interval:
            self.say({"code": -1120, "msg": "Invalid interval."}, status=400)
            return
        fault, rows = self.server.answer(symbol, query)
        if fault in ("429", "418"):
            told = {"code": -1003, "msg": "Too many requests."}
            self.say(told, status=int(fault), headers={"Retry-After": self.server.retry_after})
        elif fault == "500":
            self.say({"code": -1000, "msg": "An unknown error occurred."}, status=500)
        elif fault == "html":
            self.send(b"<html>come back later</html>", kind="text/html")
        elif fault in ("cut", "half json"):
            body = json.dumps(rows).encode()
            half = body[: len(body) // 2]
            self.send(half, length=len(body) if fault == "cut" else len(half))
            self.close_connection = True
        else:
            self.say(rows)

    def say(self, told, *, status=200, headers=None):
        self.send(json.dumps(told).encode(), status=status, headers=headers)

    def send(self, body, *, status=200, headers=None, kind="application/json", length=None):
        self.send_response(status)
        told = {"Content-Type": kind, "Content-Length": str(length or len(body))}
        for name, value in (told | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
