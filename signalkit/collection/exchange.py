"""Bars of an exchange, asked for through ccxt.

What the exchange answers is handed on as it came: nothing is sorted out, cut or filled
here. A refusal that may pass is a TransientError with the pause that was asked for; any
other says which exchange refused which request, and what it said.
"""

from __future__ import annotations

import difflib
import logging
import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pandas as pd

from signalkit.bars import interval_length
from signalkit.collection.source import Market, TransientError
from signalkit.errors import ParamsError, SourceError

T = TypeVar("T")
log = logging.getLogger(__name__)
# what every exchange of ccxt that names no limit is known to give
_SMALLEST_PAGE = 100
# a time that is refused this often is one that the exchange does not tell
_ASKED_FOR_TIME = 4
_TIMES_MS = (1e12, 9e12)  # 2001 to 2255
_TOLD = 200  # characters of an answer that an error repeats


class Exchange:
    """Spot markets of an exchange that ccxt knows.

    Parameters
    ----------
    name : str
        The exchange as ccxt calls it, such as binance.
    url : str, optional
        Address that stands in for the exchange's own hosts, such as http://127.0.0.1:8080:
        a mirror, a proxy or a test. The paths are kept.

    Raises
    ------
    ParamsError
        If ccxt has no such exchange, it has no bars, or `url` is no address.
    """

    def __init__(self, name: str, *, url: str | None = None) -> None:
        import ccxt  # noqa: PLC0415 - takes over 0.3 s

        if name not in ccxt.exchanges:
            raise ParamsError(f"no exchange is called {name!r}; {_near(name, ccxt.exchanges)}")
        self.name = name
        self.client = getattr(ccxt, name)({"enableRateLimit": True})
        if self.client.has["fetchOHLCV"] is not True:
            raise ParamsError(f"{name} serves no bars; name another exchange")
        if url is not None:
            self.client.urls["api"] = _moved(self.client.urls["api"], url)
        limits = ((self.client.features or {}).get("spot") or {}).get("fetchOHLCV") or {}
        self.page = int(limits.get("limit") or _SMALLEST_PAGE)
        self._markets: dict[str, dict[str, object]] = {}
        self._dated: tuple[pd.Timestamp, float] | None = None
        self._told: tuple[pd.Timestamp, float] | None = None
        self._untold = 0
        self._prepare()

    def _prepare(self) -> None:
        """Ask for spot markets only, and see all that is answered."""
        self.client.options["defaultType"] = "spot"
        asked = self.client.options.get("fetchMarkets")
        if isinstance(asked, dict) and "spot" in (asked.get("types") or ()):
            self.client.options["fetchMarkets"] = asked | {"types": ["spot"]}
        self.client.enableLastJsonResponse = True
        # ccxt would drop rows outside the page unseen, and one of two versions with them
        self.client.filter_by_since_limit = lambda rows, *_, **__: rows

    def market(self, symbol: str) -> Market:
        """The symbol by the exchange's id, or by base and quote written together.

        Raises
        ------
        ParamsError
            If the exchange has no such spot market; with the near match.
        SourceError
            If the exchange does not list its markets.
        """
        found = self._market(symbol)
        return Market(symbol, str(found["base"]), str(found["quote"]))

    def clock(self) -> pd.Timestamp:
        """The exchange's present time, UTC.

        Raises
        ------
        TransientError
            If it was refused, until it has been asked often enough to take that it has none.
        """
        if self.client.has["fetchTime"] is True and self._untold < _ASKED_FOR_TIME:
            try:
                now = pd.Timestamp(self._ask("its time", self._time), unit="ms", tz="UTC")
            except TransientError:
                if self._told is None:
                    self._untold += 1
                    if self._untold < _ASKED_FOR_TIME:
                        raise
            except SourceError as refused:
                log.debug("%s; going by the date of its last answer", refused)
            else:
                self._told = now, time.monotonic()
                return now
        # what it said of its own clock comes before the date that a proxy may have written
        if self._told:
            now, answered = self._told
            return now + pd.Timedelta(time.monotonic() - answered, "s")
        # a local clock that runs ahead would take an open bar for a closed one, so the
        # local time is the last resort; the date of an answer is at most a second behind
        if self._dated:
            date, answered = self._dated
            return date + pd.Timedelta(time.monotonic() - answered, "s")
        return pd.Timestamp.now("UTC")

    def fetch(self, symbol: str, interval: str, since: pd.Timestamp, limit: int) -> np.ndarray:
        """At most `limit` bars that open at or after `since`, as served; see `Source`.

        Raises
        ------
        ParamsError
            If the exchange has no such symbol or interval.
        TransientError
            If asking again may help.
        SourceError
            If it will not.
        """
        self._check_interval(interval)
        unified = self._market(symbol)["symbol"]
        what = f"{interval} bars of {symbol} from {since:%Y-%m-%d %H:%M}Z"
        start = since.value // 10**6

        def bars() -> np.ndarray:
            rows = self.client.fetch_ohlcv(unified, interval, start, limit)
            page = np.array(rows, dtype=np.float64).reshape(len(rows), 6)
            if np.isnan(page[:, 0]).any():
                raise ValueError("a row without a time is no bar")
            return page

        return self._ask(what, bars)

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _check_interval(self, interval: str) -> None:
        """Refuse an interval that the exchange lacks, with those it has."""
        interval_length(interval)
        has = [name for name in self.client.timeframes or () if name[-1] in "mhdw"]
        if interval not in has:
            listed = ", ".join(sorted(has, key=interval_length))
            raise ParamsError(f"{self.name} has no {interval} bars; it has {listed}")

    def _market(self, symbol: str) -> dict[str, object]:
        """What ccxt knows of a symbol; the list of markets is asked for once."""
        if not self._markets:
            self._ask("its list of markets", self.client.load_markets)
            spot = [one for one in (self.client.markets or {}).values() if one["spot"]]
            named = {str(one["symbol"]).replace("/", ""): one for one in spot}
            self._markets = named | {str(one["id"]): one for one in spot}
        if not self._markets:
            raise SourceError(f"{self.name} lists no spot market; check its address")
        if symbol not in self._markets:
            raise ParamsError(f"{self.name} has no {symbol!r}; {_near(symbol, self._markets)}")
        return self._markets[symbol]

    def _time(self) -> int:
        """The exchange's own time in ms."""
        told = int(self.client.fetch_time())
        if not _TIMES_MS[0] <= told < _TIMES_MS[1]:
            raise ValueError("no time in ms")
        return told

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        """What a request of ccxt gives, its refusals as ours."""
        import ccxt  # noqa: PLC0415 - takes over 0.3 s

        client = self.client
        client.last_response_headers = None
        client.last_http_response = client.last_json_response = None
        try:
            answer = call()
        except ccxt.OperationFailed as cause:
            # of a broken connection ccxt tells the address only
            said = f"{cause}: {cause.__cause__}" if cause.__cause__ else cause
            told = f"{self.name} refused {what}: {_short(said)}"
            raise TransientError(told, self._retry_after()) from None
        except ccxt.BaseError as cause:
            raise SourceError(f"{self.name} refused {what}: {_short(cause)}") from None
        except (TypeError, ValueError, LookupError, AttributeError):
            raise TransientError(self._nonsense(what)) from None
        finally:
            self._note_date()
        if client.last_http_response is not None and client.last_json_response is None:
            raise TransientError(self._nonsense(what))
        return answer

    def _nonsense(self, what: str) -> str:
        """That the answer is not what was asked for."""
        return (
            f"{self.name} was asked for {what} and answered something else:"
            f" {_short(self.client.last_http_response)!r}; check its address"
        )

    def _note_date(self) -> None:
        """Keep the date of the answer and when it came."""
        date = _moment((self.client.last_response_headers or {}).get("Date"))
        if date is not None:
            self._dated = date, time.monotonic()

    def _retry_after(self) -> float | None:
        """The pause in seconds that the answer asks for, in seconds or as a date."""
        told = (self.client.last_response_headers or {}).get("Retry-After")
        try:
            seconds = float(told) if told else math.nan
        except ValueError:
            until = _moment(told)
            seconds = (until - self._now()).total_seconds() if until is not None else math.nan
        return max(seconds, 0.0) if math.isfinite(seconds) else None

    def _now(self) -> pd.Timestamp:
        """The date of the answer itself, else the local time."""
        date = _moment((self.client.last_response_headers or {}).get("Date"))
        return pd.Timestamp.now("UTC") if date is None else date


def _near(name: str, names: list[str] | dict[str, object]) -> str:
    """The near match of a name, or how many there are."""
    near = difflib.get_close_matches(name, list(names), n=1) or difflib.get_close_matches(
        name.upper(), list(names), n=1
    )
    return f"did you mean {near[0]!r}?" if near else f"it is none of {len(names)} known ones"


def _short(told: object) -> str:
    """An answer or an error on one line."""
    text = " ".join(str(told).split())
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}…"


def _moment(text: str | None) -> pd.Timestamp | None:
    """An HTTP date as a time, None where there is none."""
    try:
        return pd.Timestamp(parsedate_to_datetime(text)).tz_convert("UTC") if text else None
    except (ValueError, TypeError):
        return None


def _moved(bases: object, url: str) -> object:
    """REST bases with their hosts replaced."""
    try:
        place = urlsplit(url)
    except ValueError as cause:
        raise ParamsError(f"url {url!r} is no address: {cause}") from None
    if place.scheme not in ("http", "https") or not place.netloc:
        raise ParamsError(f"url must be an address such as http://127.0.0.1:8080, was {url!r}")
    if isinstance(bases, dict):
        return {name: _moved(base, url) for name, base in bases.items()}
    own = urlsplit(str(bases))
    if own.scheme not in ("http", "https"):
        return bases
    path = place.path.rstrip("/") + own.path
    return urlunsplit((place.scheme, place.netloc, path, own.query, ""))
