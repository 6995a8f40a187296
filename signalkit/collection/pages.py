"""Pages of a source, each asked for until it is whole or the source has had its chances.

A refusal that may pass is met with growing pauses, never shorter than the source asked for.
A page that contradicts itself or the rules of the bar table is asked for again, then
refused: which of two versions is true is not ours to guess.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

import numpy as np
import pandas as pd
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from signalkit.bars import ALWAYS_OPEN, COLUMNS, check, expected_times, interval_length
from signalkit.collection.source import Market, Source, TransientError
from signalkit.errors import DataError, SourceError

T = TypeVar("T")
log = logging.getLogger(__name__)
ATTEMPTS = 8
ASKINGS = 4
_LONGEST_PAUSE_SECONDS = 60.0
# a ban of hours is not waited for
_LONGEST_WAIT_SECONDS = 900.0
# ms from 1973 on, below 2255: times in s, us or ns are outside
_TIMES_MS = (1e11, 9e12)


class Stopped(Exception):
    """The caller wants no more."""


@dataclass
class Pages:
    """Pages of one symbol of a source.

    `stop` is asked before each request and in each pause; `seed` makes the jitter of the
    pauses repeatable; refusals are logged at `level`.
    """

    source: Source
    symbol: str
    interval: str
    stop: Callable[[], bool] = lambda: False
    seed: int = 0
    level: int = logging.INFO
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.length = interval_length(self.interval)

    def market(self) -> Market:
        """The symbol as the source knows it."""
        return self._ask(f"the market {self.symbol}", self.source.market, self.symbol)

    def present(self) -> pd.Timestamp:
        """The source's present time."""
        return self._ask("its time", self.source.clock)

    def read(
        self, since: pd.Timestamp, limit: int, last: pd.Timestamp
    ) -> tuple[pd.DataFrame, pd.Timestamp | None]:
        """Bars that open at or after `since` and end by `last`, and the last end served.

        Raises
        ------
        TransientError
            If the source refuses for longer than we try.
        SourceError
            If it refuses for good, or its bars are not on the grid of the interval.
        DataError
            If every asking brings a page that breaks a rule.
        """
        what = f"{self.interval} bars of {self.symbol} from {since:%Y-%m-%d %H:%M}Z"
        asked = (self.symbol, self.interval, since, limit)
        for asking in range(ASKINGS):
            rows = self._ask(what, self.source.fetch, *asked)
            try:
                return page_bars(rows, self.interval, since, last)
            except DataError as cause:
                broken = cause
                log.log(self.level, "%s: %s; asking again", self.source.name, broken)
            pause(self.source, 2.0**asking, self.stop)
        kept = _without_broken(rows, self.interval)
        if kept is not None:
            # one bar that is wrong for good must not keep all later ones away
            log.warning("%s, %s: %s; that bar is left out", self.source.name, what, broken)
            return page_bars(kept, self.interval, since, last)
        raise DataError(
            f"{self.source.name}, {what}: {broken} (asked {ASKINGS} times); what came before is"
            " stored; collect what comes after with a later since"
        )

    def _ask(self, what: str, call: Callable[..., T], *args: object) -> T:
        """The answer to a request, asked again while the refusal may pass."""
        if self.stop():
            raise Stopped
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=self._enough,
            wait=self._wait,
            sleep=lambda seconds: pause(self.source, seconds, self.stop),
            before_sleep=self._say,
            reraise=True,
        )
        try:
            return retrying(call, *args)
        except TransientError as last:
            raise TransientError(
                f"{self.source.name} did not give {what} in"
                f" {retrying.statistics['attempt_number']} attempts; the last refusal: {last};"
                " what was collected until then is stored, and the same command goes on from there",
                last.wait,
            ) from None

    def _wait(self, state: RetryCallState) -> float:
        """Pause before the next attempt: doubled each time, with jitter, at least as told."""
        refused = state.outcome.exception()
        longest = min(2.0 ** (state.attempt_number - 1), _LONGEST_PAUSE_SECONDS)
        growing = longest * (1 + self.random.random()) / 2
        return max(growing, refused.wait or 0.0)

    def _enough(self, state: RetryCallState) -> bool:
        """Whether the attempts are used up, or the source sends us away for long."""
        told = state.outcome.exception().wait or 0.0
        return told > _LONGEST_WAIT_SECONDS or stop_after_attempt(ATTEMPTS)(state)

    def _say(self, state: RetryCallState) -> None:
        """Log a refusal and the pause that follows."""
        refused = state.outcome.exception()
        log.log(self.level, "%s; waiting %.1f s", refused, state.next_action.sleep)


def pause(source: Source, seconds: float, stop: Callable[[], bool]) -> None:
    """Wait through the source, in steps short enough to be stopped.

    Raises
    ------
    Stopped
        As soon as `stop()` is true.
    """
    while seconds > 0:
        if stop():
            raise Stopped
        step = min(seconds, 1.0)
        source.pause(step)
        seconds -= step


def page_bars(
    rows: np.ndarray, interval: str, since: pd.Timestamp, last: pd.Timestamp
) -> tuple[pd.DataFrame, pd.Timestamp | None]:
    """Bars of a page, in order and once each.

    Parameters
    ----------
    rows : ndarray of shape (n, 6)
        As `Source.fetch` gives them.
    interval : str
        Spacing of the bars.
    since, last : Timestamp
        Bars that open before `since` or end after `last` are left out: an open bar is
        never judged, it may still change.

    Returns
    -------
    tuple of DataFrame of shape (n_bars, 5) and Timestamp
        Bars by their end; the end of the last row that was served, left out or not, None
        where none opens at or after `since`.

    Raises
    ------
    DataError
        If a time is none, one bar comes in two versions, or a rule of the bar table is
        broken.
    SourceError
        If rows have not six cells, or bars are not on the grid of the interval.
    """
    bars = _table(np.asarray(rows, dtype=np.float64), interval)
    bars = bars[bars.index >= since + interval_length(interval)]
    served = bars.index.max() if len(bars) else None
    bars = bars[bars.index <= last].sort_index(kind="stable")
    again = bars.index.duplicated() & bars.reset_index().duplicated().to_numpy()
    bars = bars[~again]
    if len(bars):
        _check_grid(bars.index, interval)
    twice = np.flatnonzero(bars.index.duplicated())
    if len(twice):
        at = int(twice[0])
        raise DataError(
            f"the bar that ends {bars.index[at]:%Y-%m-%d %H:%M}Z comes in two versions in one page,"
            f" {_values(bars.iloc[at - 1])} and {_values(bars.iloc[at])}"
        )
    check(bars)
    return bars, served


def _without_broken(rows: np.ndarray, interval: str) -> np.ndarray | None:
    """Rows of the bars that keep the rules; None where more than a hundredth do not."""
    try:
        bars = _table(rows, interval)
    except DataError:
        return None
    broken = set()
    for end, versions in bars.groupby(level=0):
        try:
            check(versions.drop_duplicates())
        except DataError:
            broken.add(end)
    few = len(broken) <= max(1, bars.index.nunique() // 100)
    return rows[~bars.index.isin(list(broken))] if few else None


def _table(rows: np.ndarray, interval: str) -> pd.DataFrame:
    """Rows as a table by bar end, in their order."""
    rows = rows.reshape(0, 6) if rows.size == 0 else rows
    if rows.ndim != 2 or rows.shape[1] != 6:
        raise SourceError(f"a page has the shape {rows.shape}, not six columns; ask another source")
    opens = rows[:, 0]
    wrong = ~((opens >= _TIMES_MS[0]) & (opens < _TIMES_MS[1]) & (opens == np.floor(opens)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"row {row} opens at {opens[row]:.15g}, which is no time in ms since 1970")
    times = opens.astype("int64").astype("datetime64[ms]").astype("datetime64[ns]")
    ends = pd.DatetimeIndex(times, tz="UTC", name="time") + interval_length(interval)
    return pd.DataFrame(rows[:, 1:], index=ends, columns=list(COLUMNS))


def _check_grid(ends: pd.DatetimeIndex, interval: str) -> None:
    """Refuse bars that are not whole intervals of UTC."""
    off = ~ends.isin(expected_times(ends[0], ends[-1], interval, ALWAYS_OPEN))
    if off.any():
        raise SourceError(
            f"the bar that ends {ends[np.argmax(off)]:%Y-%m-%d %H:%M:%S}Z is not on the {interval}"
            f" grid of UTC ({int(off.sum())} of {len(ends)} in one page); collect a shorter"
            " interval and resample"
        )


def _values(bar: pd.Series) -> str:
    """A bar's values for a message."""
    return "/".join(f"{value:.12g}" for value in bar)
