"""One symbol's bars on their way from a source into the store.

What is stored is what the source says, no more: a bar that is still open is never stored,
one that is not there is asked for again and then noted as an outage, one that changed is a
revision. Each page is one transaction; whatever stops a run, the next goes on from there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from tqdm import tqdm

from signalkit.bars import ALWAYS_OPEN, expected_times, gaps
from signalkit.collection.pages import Pages
from signalkit.collection.source import Market
from signalkit.errors import ParamsError
from signalkit.store import Store

log = logging.getLogger(__name__)
_NONE = pd.DatetimeIndex([], tz="UTC").as_unit("ns")
_CONFIRMED_IN = 3  # askings


@dataclass
class Series:
    """One symbol's bars on their way from the source into the store."""

    pages: Pages
    store: Store
    since: pd.Timestamp | None
    until: pd.Timestamp | None
    overlap: int
    recheck: bool
    progress: bool
    market: Market | None = None
    checked_to: pd.Timestamp | None = None
    added: int = 0
    revised: int = 0
    key: tuple[str, str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.key = (self.pages.symbol, self.pages.interval, self.pages.source.name)

    def check(self) -> None:
        """Refuse a symbol that the source lacks, or a series without a beginning."""
        self.market = self.market or self.pages.market()
        if self.since is None and self.store.span(*self.key) is None:
            symbol, interval, source = self.key
            raise ParamsError(
                f"no {interval} bars of {symbol} from {source} are stored; name since, the time to"
                " begin at"
            )

    def collect(self) -> None:
        """Everything there is between `since` and the present."""
        self.check()
        had = self.store.span(*self.key)
        if had is not None:
            self._ask_for(self._missing(before=had[0]), "before the stored")
        self._ask_for_newest(had)
        self._ask_for_missing()
        span = self.store.span(*self.key)
        self.checked_to = None if span is None else span[1]

    def _ask_for_newest(self, had: tuple[pd.Timestamp, pd.Timestamp] | None) -> None:
        """Bars from the last stored ones to the present, which moves on meanwhile."""
        length = self.pages.length
        # some stored bars are asked for again, so that a late correction is seen
        start = self.since + length if had is None else had[1] - (self.overlap - 1) * length
        start = start if had is None else max(start, had[0])
        while True:
            wanted = expected_times(start, self._present(), self.pages.interval, ALWAYS_OPEN)
            if not len(wanted):
                return
            self._ask_for(wanted, "to the present", patient=True)
            start = wanted[-1] + length

    def _ask_for_missing(self) -> None:
        """Ask twice for what lacks between the bars; note what the source does not have."""
        for words in ("missing", "still missing"):
            lacking = self._missing()
            if not len(lacking):
                return
            self._ask_for(lacking, words)
        found = _runs(self._missing(), self.pages.length)
        if len(found):
            symbol, interval, source = self.key
            told = (symbol, interval, len(found), source)
            log.log(self.pages.level, "%s %s: noted %d outages of %s", *told)
            self.store.note_outages(symbol, interval, found, source=source)

    def _ask_for(self, wanted: pd.DatetimeIndex, words: str, *, patient: bool = False) -> None:
        """Ask for the pages that hold the wanted bars; store what comes.

        Patient at the present: an empty page is asked for again, and a bar served after
        some that lack does not mean that they will not come.
        """
        at, last, length = 0, wanted[-1] if len(wanted) else None, self.pages.length
        off = None if self.progress else True
        with tqdm(
            total=len(wanted),
            desc=f"{self.pages.symbol} {words}",
            unit=" bars",
            disable=off,
            leave=False,
        ) as shown:
            while at < len(wanted):
                since = wanted[at] - length
                limit = int(min(self.pages.source.page, (last - since) // length))
                bars, served = self.pages.read(since, limit, last)
                if patient and bars.empty:
                    bars, served = self.pages.read(since, limit, last)
                if patient or served is None:
                    served = bars.index[-1] if len(bars) else since + limit * length
                if patient and len(bars) and bars.index[-1] == last:
                    bars = self._confirmed(bars)
                self._write(bars)
                after = int(wanted.searchsorted(served, side="right"))
                shown.update(after - at)
                at = after

    def _confirmed(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Bars with the newest asked for once more: one that has just ended may be half."""
        newest, span = bars.index[-1], self.store.span(*self.key)
        if span is not None and newest <= span[1]:
            return bars
        for _ in range(_CONFIRMED_IN):
            again, _served = self.pages.read(newest - self.pages.length, 1, newest)
            if not again.empty:
                return pd.concat([bars.iloc[:-1], again.iloc[-1:]])
        return bars.iloc[:-1]  # the next run asks for it

    def _write(self, bars: pd.DataFrame) -> None:
        """Store a page in one transaction."""
        if bars.empty:
            return
        symbol, interval, source = self.key
        written = self.store.write_bars(
            pd.concat({symbol: bars}, names=["symbol", "time"]),
            source=source,
            interval=interval,
            calendar=ALWAYS_OPEN,
            markets={symbol: (self.market.base, self.market.quote)},
        )
        self.added += written.added
        self.revised += written.revised

    def _missing(self, before: pd.Timestamp | None = None) -> pd.DatetimeIndex:
        """Bar ends from `since` on that are neither stored nor known as an outage.

        A bar before the first stored one is missing too; `before` asks for those only.
        """
        span = self.store.span(*self.key)
        if span is None:
            return _NONE
        symbol, interval, source = self.key
        first = span[0] if self.since is None else min(span[0], self.since + self.pages.length)
        first = self.checked_to or first
        last = span[1] if before is None else before
        expected = expected_times(first, last, interval, ALWAYS_OPEN)
        if not len(expected):
            return _NONE
        stored = self.store.read_bars(symbol, interval, source=source, start=first, end=last)
        lacking = expected[~expected.isin(stored.index)]
        if self.recheck or not len(lacking):
            return lacking
        return lacking[~_inside(lacking, self.store.outages(symbol, interval, source=source))]

    def _present(self) -> pd.Timestamp:
        """The source's present, or `until` where that comes first."""
        present = self.pages.present()
        return present if self.until is None else min(present, self.until)

    def row(self) -> dict[str, object]:
        """What came in, and what is stored now."""
        symbol, interval, source = self.key
        row = {"added": self.added, "revised": self.revised, "gaps": 0, "outages": 0}
        span = self.store.span(*self.key)
        if span is None:
            return row | {"first": pd.NaT, "last": pd.NaT}
        bars = self.store.read_bars(symbol, interval, source=source)
        noted = self.store.outages(symbol, interval, source=source)
        row |= {"gaps": len(gaps(bars, interval, ALWAYS_OPEN)), "outages": len(noted)}
        return row | {"first": span[0], "last": span[1]}


def _runs(times: pd.DatetimeIndex, length: pd.Timedelta) -> pd.DataFrame:
    """Times as runs of neighbours: first, last and how many bars."""
    edges = np.flatnonzero(np.diff(times.asi8) != length.value) + 1
    starts = np.r_[0, edges].astype(int)[: len(times)]
    stops = np.r_[edges, len(times)].astype(int)[: len(starts)]
    return pd.DataFrame(
        {"first": times[starts], "last": times[stops - 1], "bars": (stops - starts).astype(int)}
    )


def _inside(times: pd.DatetimeIndex, spans: pd.DataFrame) -> np.ndarray:
    """Whether each time lies in one of the spans."""
    spans = spans.sort_values("first")
    at = np.searchsorted(pd.DatetimeIndex(spans["first"]), times, side="right") - 1
    ends = np.maximum.accumulate(pd.DatetimeIndex(spans["last"]).as_unit("ns").asi8)
    return (at >= 0) & (times.as_unit("ns").asi8 <= np.r_[ends, 0][at])
