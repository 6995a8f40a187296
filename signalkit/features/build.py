"""Feature matrix of a panel: one column a feature, NaN in warm-up, nothing filled.

The columns' graphs are shared out over threads, each with the whole of a symbol's bars; rows
are never shared out. Every column is written once, into the result.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from signalkit.bars import ALWAYS_OPEN, by_symbol, check, check_times
from signalkit.errors import DataError, ParamsError
from signalkit.features.catalog import CATALOG, KINDS, Feature, find
from signalkit.features.gaps import MAX_GAP, Clock
from signalkit.features.inputs import of_bars, of_news
from signalkit.features.talib_columns import talib_names
from signalkit.kernels import Engine, Node, Program, threads
from signalkit.kernels.graph import costs


def select(
    families: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    *,
    windows: Mapping[str, Sequence[int | Sequence[int]]] | None = None,
    talib: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """Names asked for: the catalogue's in its order, then others as they were asked.

    Parameters
    ----------
    families : sequence of str, optional
        Families whose features are taken; all if omitted.
    names : sequence of str, optional
        Exactly these features, any window allowed; overrides `families`.
    windows : mapping, optional
        Windows in bars for a kind, in place of its usual ones and beside what `names` has:
        `{"rsi": [7, 21]}`, or `{"macd_line": [[6, 13]]}` for one that has several.
    talib : sequence of mappings
        TA-Lib functions: `{"function": "AROON", "timeperiod": 25}`.

    Raises
    ------
    ParamsError
        If a family, kind, name or function is not known, with the near match.
    """
    known = sorted({feature.family for feature in CATALOG.values()})
    for family in families or ():
        _check_known("features.families", family, known)
    others = _of_kinds(windows or {})
    taken = [n for n, f in CATALOG.items() if families is None or f.family in families]
    if names:
        asked = [feature.name for feature in _found(names)]
        taken = [name for name in CATALOG if name in set(asked)]
        taken += [name for name in asked if name not in taken]
    for kind, own in others.items():
        usual = {KINDS[kind].feature(each).name for each in KINDS[kind].windows} - set(names or ())
        place = next((i for i, name in enumerate(taken) if name in usual), len(taken))
        kept = [name for name in taken if name not in usual]
        taken = kept[:place] + own + kept[place:]
    called = [name for one in talib for name in talib_names(one)]
    return list(dict.fromkeys(taken + called))


def _of_kinds(windows: Mapping[str, Sequence[int | Sequence[int]]]) -> dict[str, list[str]]:
    """Names of the features of some kinds and windows."""
    named = {}
    for kind, asked in windows.items():
        _check_known("features.windows", kind, list(KINDS))
        if isinstance(asked, Sequence) and not asked:
            raise ParamsError(f"features.windows.{kind}: has no window; name one, or leave it out")
        each = _each(kind, asked)
        try:
            named[kind] = [KINDS[kind].feature(one).name for one in each]
        except ParamsError as cause:
            raise ParamsError(f"features.windows.{kind}: {cause}") from None
    return named


def _each(kind: str, asked: Sequence[int | Sequence[int]]) -> list[tuple[int, ...]]:
    """The windows of each feature of a kind, whole numbers all."""
    if isinstance(asked, Sequence) and not isinstance(asked, str):
        each = [tuple(w) if isinstance(w, list | tuple) else (w,) for w in asked]
        if all(isinstance(w, Integral) and not isinstance(w, bool) for one in each for w in one):
            return [tuple(int(w) for w in one) for one in each]
    raise ParamsError(
        f"features.windows.{kind}: takes a list of whole numbers of bars, or of lists of them,"
        f" was {asked!r}"
    )


def _found(names: Sequence[str]) -> list[Feature]:
    """The features of some names, each once, as they were asked."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ParamsError(f"features.names is a list of names, such as ['rsi_14'], was {names!r}")
    return list({feature.name: feature for feature in map(find, names)}.values())


def _check_known(place: str, name: str, known: Sequence[str]) -> None:
    """A name must be one of those known."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ParamsError(f"{place}: {name!r} is not in the catalogue; {hint}")


def chosen(names: Sequence[str] | None, *, with_news: bool) -> list[Feature]:
    """Features as asked for; without names all, or all that need no news where there are none.

    Raises
    ------
    ParamsError
        If a name is not known, or reads news and there are none.
    """
    if names is not None and not len(names):
        raise ParamsError("features.names: no feature is asked for; leave names out for all")
    if names is None:
        return [f for f in CATALOG.values() if with_news or not f.reads_news]
    found = _found(names)
    lacking = [feature.name for feature in found if feature.reads_news and not with_news]
    if lacking:
        raise ParamsError(f"features: {lacking[0]} reads news; name some in collection.news")
    return found


def build(
    bars: pd.DataFrame,
    names: Sequence[str] | None = None,
    news: pd.DataFrame | None = None,
    *,
    interval: str | None = None,
    calendar: str = ALWAYS_OPEN,
    max_gap: int = MAX_GAP,
) -> pd.DataFrame:
    """Features of one symbol's bars or of a panel.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        Bars indexed by bar end, or a panel indexed by (symbol, time).
    names : sequence of str, optional
        Features of `CATALOG`, or with windows of your own (`rsi_21`); if omitted all, or all
        that need no news where there are none. Columns come in this order, each once.
    news : DataFrame indexed by known_at, optional
        `symbols` (tuple) and `sentiment`; of one symbol's bars all items count.
    interval : str, optional
        Spacing of the bars, such as 1h. With it missing bars are seen; without it every row
        follows on the one before.
    calendar : str
        "24/7" or an exchange code.
    max_gap : int
        Missing bars in a row that are bridged; after more every state starts anew.

    Returns
    -------
    DataFrame of shape (n_bars, n_features)
        float64, indexed as the bars. The first `warmup` bars of a symbol, and those after a
        gap that is not bridged, are NaN. The value at a bar uses that bar, earlier ones and
        news known by its end only.

    Raises
    ------
    ParamsError
        If a name is not in the catalogue, or reads news and there are none.
    DataError
        If the bars break their rule, or a value past its warm-up is not finite.

    Notes
    -----
    Peak memory is the result, one copy of the bars and some megabytes a thread.
    """
    features = chosen(names, with_news=news is not None)
    clock = Clock(interval, calendar, max_gap)
    check(bars)
    matrix = _Matrix(features, clock, bars)
    with ThreadPoolExecutor(threads()) as pool:
        begin = 0
        for symbol, block in by_symbol(bars):
            matrix.fill(pool, block, about(news, symbol), begin)
            begin += len(block)
        matrix.wait()
    labels = [feature.name for feature in features]
    return pd.DataFrame(matrix.out.T, index=bars.index, columns=labels, copy=False)


class _Matrix:
    """The result as it is filled: a row a feature, symbols one after the other."""

    def __init__(self, features: Sequence[Feature], clock: Clock, bars: pd.DataFrame) -> None:
        self._features, self._clock = features, clock
        self._news = any(feature.reads_news for feature in features)
        panel = bars.index.nlevels > 1
        lengths = np.bincount(bars.index.codes[0]) if panel else np.array([len(bars)])
        longest, symbols = lengths.max(initial=0), np.count_nonzero(lengths)
        # a column that is warm-up from end to end takes no memory of its window
        nodes = tuple(f.node if f.warmup < longest else None for f in features)
        self._parts = _shares(nodes, -(-threads() // max(symbols, 1)))
        self._waiting: list[tuple[pd.DataFrame, int, Future]] = []
        self.out = np.empty((len(features), len(bars)))
        self.out[[node is None for node in nodes]] = np.nan

    def fill(
        self, pool: ThreadPoolExecutor, bars: pd.DataFrame, news: pd.DataFrame | None, begin: int
    ) -> None:
        """Begin to write one symbol's columns from `begin` on."""
        if bars.empty:
            return
        rows = of_bars(bars, with_news=self._news)
        ends = bars.index.as_unit("ns").asi8
        if self._news:
            of_news(rows, ends, news, begun=self._clock.begin(int(ends[0])))
        runs = self._clock.runs(ends)
        for part in self._parts:
            done = pool.submit(_compute, part, rows, runs, (self.out, begin))
            self._waiting.append((bars, begin, done))
        for row, feature in enumerate(self._features):
            if feature.node is None:
                self.out[row, begin : begin + len(bars)] = _called(feature, bars, runs)

    def wait(self) -> None:
        """Wait for every column; refuse one with a hole past its warm-up."""
        for bars, begin, done in self._waiting:
            for row, hole in done.result():
                _refuse(self._features[row], bars.index[hole], self.out[row, begin + hole])


@lru_cache(maxsize=32)
def _shares(nodes: tuple[Node | None, ...], count: int) -> list[tuple[Program, np.ndarray]]:
    """Neighbouring columns in shares of about the same work, with their rows in the result."""
    rows = [row for row, node in enumerate(nodes) if node is not None]
    if not rows:
        return []
    upto = costs([nodes[row] for row in rows])
    edges = np.searchsorted(upto, upto[-1] * np.arange(1, count) / count)
    parts = np.split(np.arange(len(rows)), np.unique(edges))
    return [
        (Program([nodes[rows[i]] for i in part]), np.array([rows[i] for i in part]))
        for part in parts
        if len(part)
    ]


def _compute(
    share: tuple[Program, np.ndarray],
    rows: np.ndarray,
    runs: Sequence[tuple[int, int, bool]],
    target: tuple[np.ndarray, int],
) -> list[tuple[int, int]]:
    """Write a share of one symbol's columns; rows and bars of the first holes."""
    program, places = share
    out, offset = target
    engine = Engine(program, places)
    holes = np.full(len(out), -1)
    for begin, end, fresh in runs:
        if fresh:
            engine.restart()
        engine.feed(rows, out, holes, span=(begin, end, offset))
    return [(int(row), int(holes[row])) for row in places if holes[row] >= 0]


def _called(
    feature: Feature, bars: pd.DataFrame, runs: Sequence[tuple[int, int, bool]]
) -> np.ndarray:
    """Column of a function of whole bars, called anew after each long gap."""
    out = np.full(len(bars), np.nan)
    for begin, end, _ in runs:
        first = begin + feature.warmup
        if first >= end:
            continue
        given = np.asarray(feature.function(bars.iloc[begin:end]), dtype=float)
        out[first:end] = given[feature.warmup :]
        wrong = ~np.isfinite(out[first:end])
        if wrong.any():
            row = first + int(np.argmax(wrong))
            _refuse(feature, bars.index[row], out[row])
    return out


def _refuse(feature: Feature, time: pd.Timestamp, value: float) -> None:
    """A feature has a number on every bar past its warm-up."""
    raise DataError(
        f"feature {feature.name} is {value} at {time:%Y-%m-%d %H:%M}Z, past its"
        f" warm-up of {feature.warmup} bars; leave it out of features.names"
    )


def about(news: pd.DataFrame | None, symbol: str) -> pd.DataFrame | None:
    """The news about a symbol, sorted by when they are known."""
    if news is None:
        return None
    _check_news(news)
    named = news["symbols"].map(lambda symbols: symbol in symbols).to_numpy(dtype=bool)
    return (news[named] if symbol else news).sort_index(kind="stable")


def _check_news(news: pd.DataFrame) -> None:
    """Refuse what is no table of news."""
    missing = [name for name in ("symbols", "sentiment") if name not in news.columns]
    if missing:
        raise DataError(f"news lack the columns {missing}; they have {list(news.columns)}")
    check_times(news.index.drop_duplicates().sort_values(), "news")
    named = news["symbols"].map(lambda symbols: isinstance(symbols, tuple | list))
    if not named.all():
        row = int(np.argmin(named.to_numpy(dtype=bool)))
        raise DataError(
            f"news: symbols must be a tuple, row {row} has {news['symbols'].iloc[row]!r}"
        )
    if (news["sentiment"].astype(float).abs() > 1).any():
        raise DataError("news: sentiment must be from -1 to 1, or NaN")
