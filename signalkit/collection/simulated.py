"""A simulated exchange: it serves the bars of a simulated market as exchanges do.

Requests are refused, pages come back empty, old, doubled or out of order, the newest bars
change after they were first served. The one rule: all of it passes. Who asks again, and
waits as long as he is told, gets the truth within six requests; the same requests in the
same order get the same answers.

Its time is its own: it moves by a small step a request and by `pause`, and ends with the
market.
"""

from __future__ import annotations

import difflib
import re

import numpy as np
import pandas as pd

from signalkit.bars import COLUMNS, by_symbol, interval_length
from signalkit.collection.simulated_news import generator
from signalkit.collection.simulator import SimulatedMarket
from signalkit.collection.source import Market, TransientError
from signalkit.errors import ParamsError
from signalkit.lineage import code, digest

_STEP = 0.25  # seconds that a request takes
_REFUSALS = 2  # in a row, at most
_FRESH = 3  # bars, from the newest, that may still be corrected
_QUOTED = re.compile(r"(.+?)[/_-]?(USDT|USDC|USD|EUR|BTC|ETH)")


class SimulatedExchange:
    """A `Source` over a simulated market.

    Parameters
    ----------
    truth : SimulatedMarket
        What it serves in the end.
    faults : float
        From 0 to 1. The chance that a request is refused (too many requests with a wait,
        server error or time-out), that an answered one is empty or the settled bars of the
        page before it, that a page has rows twice, that its rows are out of order, and that
        one of the newest three bars is first served with preliminary values; each by
        itself. Above 0 the bar that is still open is the last row of its page. At most two
        refusals follow one another, and at most one useless page of a symbol. 0 serves
        cleanly.
    seed : int
        Another seed has other faults.
    now : Timestamp, optional
        Where its clock begins (UTC); at the end of the market if omitted.
    page : int
        Most bars that one request returns.

    Attributes
    ----------
    name : str
        `simulator-` and eight hex digits of a digest of the market's settings, those of the
        faults and the code that makes both. A market with a later end is the same one, so
        it has the same name.

    Raises
    ------
    ParamsError
        If `faults` or `page` is out of its range, or `now` is after the market's end.
    """

    def __init__(
        self,
        truth: SimulatedMarket,
        *,
        faults: float = 0.1,
        seed: int = 0,
        now: pd.Timestamp | None = None,
        page: int = 500,
    ) -> None:
        if not 0 <= faults <= 1:
            raise ParamsError(f"faults is a chance from 0 to 1, was {faults}")
        if page < 1:
            raise ParamsError(f"page must be at least 1 bar, was {page}")
        if now is not None and now > truth.end:
            raise ParamsError(f"now must not be after the market's end, {truth.end}; was {now}")
        made_by = code(["signalkit.collection.simulated"])
        settings = {**truth.settings, "faults": faults, "fault_seed": seed, "code": made_by}
        self.name = f"simulator-{digest(settings)[:8]}"
        self.page = page
        self._truth, self._faults, self._seed = truth, faults, seed
        self._now = truth.end if now is None else now
        self._length = interval_length(truth.interval)
        self._bars = {symbol: bars[list(COLUMNS)] for symbol, bars in by_symbol(truth.bars)}
        self._passed = self._shut_until = 0.0  # seconds since its clock began
        self._requests = self._refusals = 0
        self._before: dict[str, np.ndarray] = {}  # the last page of each symbol
        self._useless: set[str] = set()  # symbols whose last answer was
        self._corrected: set[tuple[str, int]] = set()  # bars once served as preliminary

    def market(self, symbol: str) -> Market:
        """The symbol with its base and quote, taken from its name.

        Raises
        ------
        ParamsError
            If the market lacks the symbol; with the near match.
        """
        if symbol not in self._bars:
            near = difflib.get_close_matches(symbol, self._bars, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self._bars)}"
            raise ParamsError(f"{self.name} has no {symbol!r}; {hint}")
        named = _QUOTED.fullmatch(symbol)
        return Market(symbol, *(named.groups() if named else (symbol, "USD")))

    def clock(self) -> pd.Timestamp:
        """Its present time, UTC; never after the end of the market."""
        return min(self._now + pd.Timedelta(self._passed, "s"), self._truth.end)

    def pause(self, seconds: float) -> None:
        """Move the clock."""
        self._passed += seconds

    def news(self, since: pd.Timestamp) -> pd.DataFrame:
        """Headlines known from `since` (included) to the present, as the news table."""
        known = self._truth.news.index
        return self._truth.news[(known >= since) & (known <= self.clock())]

    def fetch(self, symbol: str, interval: str, since: pd.Timestamp, limit: int) -> np.ndarray:
        """At most `limit` bars that open at or after `since`, as served; see `Source`.

        Raises
        ------
        ParamsError
            If it has no such symbol or interval, or `limit` is less than 1.
        TransientError
            If it refuses; asking again helps.
        """
        self.market(symbol)
        if interval != self._truth.interval:
            raise ParamsError(f"{self.name} has {self._truth.interval} bars only, not {interval}")
        if limit < 1:
            raise ParamsError(f"limit must be at least 1 bar, was {limit}")
        self._requests += 1
        self._passed += _STEP
        rng = generator(self._seed, "request", self._requests)
        self._refuse(rng, f"{interval} bars of {symbol} from {since:%Y-%m-%d %H:%M}Z")
        if symbol not in self._useless and rng.random() < self._faults:
            self._useless.add(symbol)
            none = np.empty((0, 6))
            return self._before.get(symbol, none)[:limit] if rng.random() < 0.5 else none
        self._useless.discard(symbol)
        rows = self._rows(symbol, since, min(limit, self.page))
        # an old page with a bar that was open then would pass for the truth later
        settled = (self.clock() - (_FRESH + 1) * self._length).value / 10**6
        self._before[symbol] = rows[rows[:, 0] <= settled]
        return self._disturbed(rng, rows)

    def _refuse(self, rng: np.random.Generator, what: str) -> None:
        """Now and then raise TransientError; always before a wait is over."""
        refused = f"{self.name} refused {what}"
        wait = self._shut_until - self._passed
        if wait > 1e-6:  # pauses are summed in floats
            raise TransientError(f"{refused}: 429, asked again too early", wait)
        if self._refusals >= _REFUSALS or rng.random() >= self._faults:
            self._refusals = 0
            return
        self._refusals += 1
        kind = rng.choice(["429, too many requests", "503, unavailable", "no answer in 10 s"])
        if kind.startswith("429"):
            wait = float(rng.integers(1, 31))
            self._shut_until = self._passed + wait
            raise TransientError(f"{refused}: {kind}", wait)
        raise TransientError(f"{refused}: {kind}")

    def _rows(self, symbol: str, since: pd.Timestamp, limit: int) -> np.ndarray:
        """The bars from `since` on that have begun, the newest as they are known by now."""
        ends, clock = self._bars[symbol].index, self.clock()
        first = ends.searchsorted(since + self._length)
        closed = ends.searchsorted(clock, side="right")
        rows = self._table(symbol, first, min(first + limit, closed))
        if self._faults == 0:
            return rows
        fresh = ends[first : first + len(rows)] > clock - _FRESH * self._length
        for row in np.flatnonzero(fresh):
            if self._is_preliminary(symbol, int(rows[row, 0])):
                rows[row] = _so_far(rows[row], 0.9)
        if first <= closed < len(ends) and len(rows) < limit:
            passed = 1 - (ends[closed] - clock) / self._length
            if passed >= 0:  # after an outage the next bar has yet to open
                still_open = self._table(symbol, closed, closed + 1)[0]
                rows = np.vstack([rows, _so_far(still_open, passed)])
        return rows

    def _table(self, symbol: str, first: int, stop: int) -> np.ndarray:
        """True bars by position: open time in ms, open, high, low, close, volume."""
        bars = self._bars[symbol].iloc[first : max(first, stop)]
        opens = (bars.index - self._length).as_unit("ms").asi8
        return np.column_stack([opens.astype(np.float64), bars.to_numpy()])

    def _is_preliminary(self, symbol: str, opens: int) -> bool:
        """Whether a fresh bar is served with preliminary values, which happens once."""
        chosen = generator(self._seed, "fresh", symbol, opens).random() < self._faults
        if not chosen or (symbol, opens) in self._corrected:
            return False
        self._corrected.add((symbol, opens))
        return True

    def _disturbed(self, rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
        """A page with rows twice, or out of order; never longer than it was."""
        if len(rows) and rng.random() < self._faults:
            twice = rng.random(len(rows)) < 0.1
            twice[rng.integers(len(rows))] = True
            rows = np.repeat(rows, 1 + twice, axis=0)[: len(rows)]
        return rng.permutation(rows) if rng.random() < self._faults else rows.copy()


def _so_far(row: np.ndarray, passed: float) -> np.ndarray:
    """A bar when only a share of it has been traded, its path taken as straight."""
    opens, first, _, _, last, volume = row
    close = first + passed * (last - first)
    return np.array([opens, first, max(first, close), min(first, close), close, passed * volume])
