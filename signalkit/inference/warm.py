"""Features of the newest bars, kept warm: the same numbers as in training, bar by bar.

One stream for each series and choice of columns is fed with bars that the store has and the
stream has not. It begins at the first bar of the study's `collection.start`, as training did,
and anew where bars that it has read were changed, where an earlier moment is asked for, and
where a model looks further back than rows are kept. Columns that cannot be streamed, TA-Lib's
and those that read news, are built of all bars at each new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from signalkit import features, params
from signalkit.errors import DataError, StoreError
from signalkit.features.catalog import find
from signalkit.inference.shelf import Member
from signalkit.params import timestamp
from signalkit.store import Store
from signalkit.study.inputs import load_news

# newest bars in which gaps are told
RECENT = 64
# fed bars, the newest, that are compared with the store for late ones at each new bar
_COMPARED = 1000
# so few bars are fed one by one
_FEW = 16
_NS = pd.Timedelta(1, "ns")
_SERIES = "symbol = :symbol AND interval = :interval AND source = :source"
_BARS = f"""SELECT time, open, high, low, close, volume FROM bars WHERE {_SERIES}
    AND time > :last AND time <= :until ORDER BY time LIMIT {_FEW + 1}"""  # noqa: S608
_STATE = f"SELECT first_bar, last_bar, recorded_at FROM symbols WHERE {_SERIES}"  # noqa: S608
_LATE = f"""SELECT EXISTS (SELECT 1 FROM bars WHERE {_SERIES} AND time BETWEEN :first AND :last
        AND recorded_at > :seen)
    OR EXISTS (SELECT 1 FROM bar_revisions WHERE {_SERIES} AND time <= :last
        AND replaced_at > :seen)"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Series:
    """Bars of one symbol and the columns made of them, as a study asks for them."""

    symbol: str
    interval: str
    source: str
    calendar: str
    start: str | None
    max_gap: int
    columns: tuple[str, ...]

    @classmethod
    def of(cls, member: Member, symbol: str) -> Series:
        """What a model reads of a symbol."""
        kept = member.asked.collection
        return cls(
            symbol,
            kept.interval,
            member.source,
            kept.calendar,
            kept.start,
            member.asked.features.max_gap,
            tuple(member.trained.columns),
        )

    @property
    def clock(self) -> features.Clock:
        """Which bars follow on each other."""
        return features.Clock(self.interval, self.calendar, self.max_gap)

    @property
    def begin(self) -> pd.Timestamp | None:
        """First bar end that is read."""
        return pd.Timestamp(timestamp(self.start)) if self.start else None


class Warm:
    """The newest rows of one series, fed from the store."""

    def __init__(
        self, store: Store, series: Series, asked: params.Params, *, lookback: int = 1
    ) -> None:
        self.series, self.lookback = series, lookback
        self._store, self._asked = store, asked
        found = [find(name) for name in series.columns]
        self._streams = all(f.node is not None and not f.reads_news for f in found)
        self._key = {n: getattr(series, n) for n in ("symbol", "interval", "source")}
        # as objects they compare in a tenth of the time that pandas' own text takes
        self._columns = pd.Index(series.columns, dtype=object)
        self._forget()

    def _forget(self) -> None:
        """Begin anew, with no bar read."""
        self.last: pd.Timestamp | None = None
        self._stream = None
        if self._streams:
            self._stream = features.Stream(self.series.columns, **asdict(self.series.clock))
        self._rows = np.empty((0, len(self.series.columns)))
        self._times = np.empty(0, dtype="M8[ns]")
        self._first: int | None = None
        self._seen = -1
        self._told: tuple[pd.DataFrame, int] | None = None

    def newest(self) -> tuple[pd.DataFrame, int]:
        """What models read of the newest bars.

        Returns
        -------
        tuple of DataFrame and int
            Their features, oldest first, at most as many rows as are looked back on; and how
            many bars the calendar has that the newest `RECENT` lack.
        """
        if self._told is None:
            times = self._times[-len(self._rows) :]
            index = pd.DatetimeIndex(times, dtype="datetime64[ns, UTC]", name="time", copy=False)
            rows = pd.DataFrame(self._rows, index=index, columns=self._columns, copy=False)
            missing = self.series.clock.missing(self._times[-RECENT:].astype(np.int64))
            self._told = rows, int(missing.sum())
        return self._told

    def advance(self, at: pd.Timestamp) -> None:
        """Read the bars that the store has up to a moment.

        Raises
        ------
        StoreError
            If no bar of the series ends by then.
        DataError
            If bars break their rule; nothing of them is kept.
        """
        found = self._store.db.execute(_STATE, self._key).fetchone()
        if found is None:
            raise StoreError(
                f"no {self.series.interval} bars of {self.series.symbol} from"
                f" {self.series.source} are stored; collect them first"
            )
        first, newest, recorded = found
        back = self.last is not None and at < self.last
        if back or (recorded != self._seen and self._late(first)):
            self._forget()
        if self.last is None or (newest > self.last.value and at > self.last):
            self._read(at)
        self._first, self._seen = first, recorded

    def _late(self, first: int) -> bool:
        """Whether bars that were read are no longer what the store has."""
        if self.last is None:
            return False
        begin = int(self._times[0].astype(np.int64))
        asked = {"first": begin, "last": self.last.value, "seen": self._seen}
        begun = self.series.begin
        earlier = first != self._first and (begun is None or begun.value <= self._first)
        return earlier or bool(self._store.db.execute(_LATE, self._key | asked).fetchone()[0])

    def _read(self, at: pd.Timestamp) -> None:
        """Feed the bars after the last one; without any, only a series never read is refused."""
        if self._stream is not None and self.last is not None:
            asked = {"last": self.last.value, "until": at.value}
            bars = self._store.db.execute(_BARS, self._key | asked).fetchall()
            if len(bars) <= _FEW:
                self._fed(bars)
                return
        begin = self.series.begin if self.last is None or not self._streams else self.last + _NS
        try:
            bars = self._store.read_bars(**self._key, start=begin, end=at)
        except StoreError:
            if self.last is None:
                raise
            return
        with self._unbroken():
            rows = self._built(bars) if self._stream is None else self._stream.extend(bars)
        times = bars.index.tz_localize(None).as_unit("ns").to_numpy()
        self._took(times, rows.to_numpy())

    def _fed(self, bars: list[tuple]) -> None:
        """Feed a few bars one by one."""
        if not bars:
            return
        with self._unbroken():
            rows = [self._stream.update(pd.Timestamp(bar[0], tz="UTC"), *bar[1:]) for bar in bars]
        self._took(np.array([bar[0] for bar in bars], dtype="M8[ns]"), np.stack(rows))

    @contextmanager
    def _unbroken(self) -> Iterator[None]:
        """Forget everything where a bar breaks its rule: no half of the bars is kept."""
        try:
            yield
        except DataError:
            self._forget()
            raise

    def _took(self, times: np.ndarray, rows: np.ndarray) -> None:
        """Keep the newest rows."""
        kept = len(self._times) if self._streams else 0
        self._times = np.concatenate([self._times[:kept], times])[-_COMPARED:]
        self._rows = np.concatenate([self._rows[:kept], rows])[-self.lookback :]
        self.last, self._told = pd.Timestamp(self._times[-1], tz="UTC"), None

    def _built(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Features of all bars at once, the news read anew."""
        panel = pd.concat({self.series.symbol: bars}, names=["symbol", "time"])
        reads = any(find(name).reads_news for name in self.series.columns)
        news = load_news(self._asked, panel, self._store) if reads else None
        return features.build(panel, self.series.columns, news, **asdict(self.series.clock))


class Streams:
    """Every warm series, by what it is made of."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[Series, Warm] = {}
        self._series: dict[tuple[str, str], Series] = {}

    def warm(self, member: Member, symbol: str) -> Warm:
        """The rows that a model reads of a symbol, not advanced yet."""
        key = member.entry.sha256, symbol
        series = self._series.get(key) or Series.of(member, symbol)
        self._series[key] = series
        held = self._held.get(series)
        if held is None or held.lookback < member.lookback:
            held = Warm(self._store, series, member.asked, lookback=member.lookback)
            self._held[series] = held
        return held
