"""Features of one bar after the other, with exactly the numbers that `build` gives.

A stream holds the newest bars of each column as far back as its kernels look, and their
states: an update costs the same after ten bars and after ten million.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pandas as pd

from signalkit import lineage
from signalkit.bars import ALWAYS_OPEN, check
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.features.build import about, chosen
from signalkit.features.gaps import MAX_GAP, Clock
from signalkit.features.inputs import grouped, of_bars, of_news
from signalkit.kernels import INPUTS, Engine, Program

_DAY, _NEWS = INPUTS.index("day"), INPUTS.index("news_count")
_DAY_LENGTH = 86_400_000_000_000
_FORMAT = "signalkit stream 2"
# what zipfile, numpy and json say of bytes that are none of theirs
_UNREADABLE = (
    OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, OverflowError,
    zipfile.BadZipFile, zlib.error, TokenError,
)  # fmt: skip


class Stream:
    """Features bar by bar.

    Parameters
    ----------
    names : sequence of str, optional
        Features, in the order of the numbers that come out; if omitted all that need no news.
        One asked for twice comes once. Functions of whole bars (registered ones, TA-Lib's)
        cannot be streamed.
    interval : str, optional
        Spacing of the bars; without it every bar follows on the one before.
    calendar : str
        "24/7" or an exchange code.
    max_gap : int
        Missing bars in a row that are bridged; after more every state starts anew.

    Raises
    ------
    ParamsError
        If a name is not known or cannot be streamed.

    Examples
    --------
    >>> from signalkit.causality import probe_bars
    >>> stream = Stream(["return_1"])
    >>> for bar in probe_bars(20).itertuples():
    ...     values = stream.update(*bar)
    >>> float(values.round(4)[0])
    0.003
    """

    def __init__(
        self,
        names: Sequence[str] | None = None,
        *,
        interval: str | None = None,
        calendar: str = ALWAYS_OPEN,
        max_gap: int = MAX_GAP,
    ) -> None:
        features = chosen(names, with_news=names is not None)
        whole = [feature.name for feature in features if feature.node is None]
        if whole:
            raise ParamsError(
                f"{whole[0]} is a function of whole bars and cannot be streamed; leave it out, or"
                " build features of the newest bars"
            )
        self.names = [feature.name for feature in features]
        self._reads_news = any(feature.reads_news for feature in features)
        self._clock = Clock(interval, calendar, max_gap)
        self._engine = Engine(Program([feature.node for feature in features]))
        self._bar = np.zeros((len(INPUTS), 1))
        self._holes = np.full(len(features), -1)
        self._last: int | None = None

    def update(
        self,
        time: pd.Timestamp,
        open: float,
        high: float,
        low: float,
        close: float,
        volume: float,
        news: Iterable[float] = (),
    ) -> np.ndarray:
        """Features of the bar that has just ended.

        Parameters
        ----------
        time : Timestamp
            Bar end, UTC, after the last one.
        open, high, low, close : float
            Prices in quote currency.
        volume : float
            Base units.
        news : iterable of float
            Scores of the items that became known since the last bar, NaN without a score.

        Returns
        -------
        array of shape (n_features,)
            In the order of `stream.names`; NaN in warm-up.

        Raises
        ------
        DataError
            If the bar breaks the rule of the bar table or is not after the last one; the
            stream stays as it was.
        """
        moment = self._moment(time)
        bar = (open, high, low, close, volume)
        if not (
            0.0 < low <= open <= high < math.inf
            and low <= close <= high
            and 0.0 <= volume < math.inf
        ):
            raise DataError(
                f"the bar of {time:%Y-%m-%d %H:%M}Z breaks the rule low <= open, close <= high, all"
                f" finite and above 0, volume 0 or more: {bar}"
            )
        fresh = self._last is not None and self._missing(moment) > self._clock.max_gap
        if self._reads_news:
            self._bar[_NEWS:, 0] = self._group(news)
        if fresh:
            self._engine.restart()
        self._bar[:5, 0] = bar
        self._bar[_DAY, 0], second = divmod(moment, _DAY_LENGTH)
        self._bar[_DAY + 1, 0] = second / 1e9
        out = np.empty((len(self.names), 1))
        self._engine.feed(self._bar, out, self._holes, span=(0, 1, 0))
        self._last = moment
        return out[:, 0]

    def _moment(self, time: pd.Timestamp) -> int:
        """Nanoseconds of a bar end that must be UTC and after the last one."""
        if not isinstance(time, pd.Timestamp) or str(time.tz) != "UTC":
            raise DataError(f"a bar ends at a Timestamp in UTC, was {time!r}")
        moment = time.value
        if self._last is not None and moment <= self._last:
            last = pd.Timestamp(self._last, tz="UTC")
            raise DataError(
                f"the stream goes back in time: {time:%Y-%m-%d %H:%M}Z follows"
                f" {last:%Y-%m-%d %H:%M}Z; feed bars in order, each once"
            )
        return moment

    def _missing(self, moment: int) -> int:
        """Number of bars missing since the last one."""
        begin = self._clock.begin(moment)
        return (
            0
            if begin == self._last
            else int(self._clock.missing(np.array([self._last, moment]))[1])
        )

    def _group(self, news: Iterable[float]) -> np.ndarray | float:
        """Number, mean and squares of the scores of the items of one bar."""
        score = np.nan_to_num(np.fromiter(news, dtype=float))
        if (np.abs(score) > 1).any():
            raise DataError(f"news: sentiment must be from -1 to 1, or NaN, was {score.tolist()}")
        if self._last is None and self._clock.interval is None:
            return 0.0  # as in build: where the first bar began is not known
        return grouped(np.zeros(len(score), dtype=np.int64), score, 1)[:, 0]

    def extend(self, bars: pd.DataFrame, news: pd.DataFrame | None = None) -> pd.DataFrame:
        """Features of some more bars of the symbol at once.

        Parameters
        ----------
        bars : DataFrame of shape (n_bars, 5)
            The bars after those that the stream has seen.
        news : DataFrame indexed by known_at, optional
            Items known since the last bar, as for `build`.

        Returns
        -------
        DataFrame of shape (n_bars, n_features)
            What `update` gives, a row a bar.

        Raises
        ------
        DataError
            If the bars break their rule or do not come after the last one.
        """
        if bars.index.nlevels > 1:
            raise DataError("a stream is of one symbol; bars have an index of several levels")
        check(bars)
        out = np.empty((len(self.names), len(bars)))
        if len(bars):
            self._moment(bars.index[0])
            self._extend(bars, news, out)
        return pd.DataFrame(out.T, index=bars.index, columns=self.names, copy=False)

    def _extend(self, bars: pd.DataFrame, news: pd.DataFrame | None, out: np.ndarray) -> None:
        """Feed bars that are known to be in order."""
        rows, ends = of_bars(bars, with_news=self._reads_news), bars.index.as_unit("ns").asi8
        if self._reads_news and news is not None:
            of_news(rows, ends, about(news, ""), begun=self._begun(int(ends[0])))
        for begin, end, fresh in self._clock.runs(ends, self._last):
            if fresh:
                self._engine.restart()
            self._engine.feed(rows, out, self._holes, span=(begin, end, 0))
        self._last = int(ends[-1])

    def _begun(self, first: int) -> int | None:
        """When the bar began that ends first: news before it are over."""
        return self._last if self._last is not None else self._clock.begin(first)

    def save(self, path: Path | str) -> None:
        """Write the stream's memory to a file, whole or not at all.

        Parameters
        ----------
        path : Path or str
            The file; one that is there is replaced.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        about = {
            "format": _FORMAT,
            "code": _code(),
            "names": self.names,
            "clock": asdict(self._clock),
            "last": self._last,
            "places": [self._engine.cur, self._engine.seen],
        }
        target = Path(path)
        part = target.with_name(f".{target.name}.part")
        text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        try:
            with part.open("wb") as file:
                np.savez(file, about=text, work=self._engine.work, state=self._engine.state)
            os.replace(part, target)
        except OSError as cause:
            raise StoreError(f"{target} cannot be written: {cause}") from None

    @classmethod
    def load(cls, path: Path | str) -> Stream:
        """A stream as it was saved; it goes on with the same bits.

        Parameters
        ----------
        path : Path or str
            A file that `save` wrote.

        Raises
        ------
        StoreError
            If it is no file of ours, or was written by other code.
        """
        try:
            with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                about = json.loads(file["about"].tobytes())
                work, state = file["work"], file["state"]
            if about["format"] != _FORMAT:
                raise ValueError(f"its format is {about['format']!r}")
            written, last = about["code"], about["last"]
            cur, seen = (int(number) for number in about["places"])
            stream = cls(about["names"], **about["clock"])
            stream._last = None if last is None else pd.Timestamp(int(last), tz="UTC").value
        except _UNREADABLE as cause:
            raise StoreError(f"{path} holds no stream of ours ({cause})") from None
        if written != _code():
            raise StoreError(
                f"{path} was written by other code or libraries, so its numbers would not be those"
                " of build; feed the bars from the first one again"
            )
        if not stream._engine.take(work, state, cur, seen):
            raise StoreError(f"{path} was changed: its memory does not fit its features")
        return stream


def _code() -> str:
    """Hash of the code that features are made by, and of the versions of what compiles it."""
    kernels = lineage.libraries(("signalkit.kernels",))
    return lineage.digest([lineage.code(("signalkit.features",)), kernels])
