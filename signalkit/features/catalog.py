"""The catalogue of features: kinds with their usual windows, and any other window by its name.

A kind makes the graph of kernels of a column from its windows; `rsi` with the window 14 is the
feature `rsi_14`. Warm-up follows from the graph. `register` adds a function of your own.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pandas as pd

from signalkit import causality
from signalkit.errors import ParamsError
from signalkit.features import talib_columns
from signalkit.features.inputs import of_bars, of_news
from signalkit.kernels import Engine, Node, Program

# of bars, or of bars and news
Function = Callable[..., np.ndarray | pd.Series]
# windows longer than this are asked for by mistake
_LONGEST = 100_000


@dataclass(frozen=True)
class Feature:
    """One column: `function` maps one symbol's bars to one number a bar.

    `warmup` is the number of first bars without a value, `unit` what the number counts,
    `source` who defined it; with `reads_news` the function takes the symbol's news beside
    the bars. `node` is its graph of kernels, None for a function of whole bars.
    """

    name: str
    family: str
    warmup: int
    unit: str
    description: str
    function: Function
    reads_news: bool = False
    source: str = ""
    node: Node | None = None

    def proof(self) -> causality.Causality:
        """Outcome of cutting off and poisoning the future of seeded bars, and of news."""
        bars, *news = self._probe()
        return causality.check(self._series, bars, news=news[0] if news else None)

    def _probe(self) -> tuple[pd.DataFrame, ...]:
        """Seeded bars, and news where the function reads them."""
        bars = causality.enough_bars(self.warmup)
        return (bars, causality.probe_news(bars)) if self.reads_news else (bars,)

    def _series(self, *read: pd.DataFrame) -> pd.Series:
        """The column of some bars, and of news where it reads them."""
        return pd.Series(self.function(*read), read[0].index)

    def digest(self) -> str:
        """Hash of the function's source and of what it gives on probe bars.

        Part of the identity of what it made; the second half tells closures apart.
        """
        try:
            text = inspect.getsource(self.function)
        except (OSError, TypeError):  # no function in a file: what it gives has to do
            text = ""
        given = np.asarray(self.function(*self._probe()), dtype=float)
        return hashlib.sha256(text.encode() + given.tobytes()).hexdigest()


@dataclass(frozen=True)
class Kind:
    """Features that differ in their windows alone.

    `words` describe it, with `{}` for each window; `least` is the shortest first window.
    """

    name: str
    family: str
    make: Callable[..., Node]
    windows: tuple[tuple[int, ...], ...]
    unit: str
    words: str
    source: str
    least: int
    reads_news: bool

    @property
    def n_windows(self) -> int:
        """How many windows a name of the kind has."""
        return len(self.windows[0])

    def feature(self, windows: tuple[int, ...]) -> Feature:
        """The feature of some windows.

        Raises
        ------
        ParamsError
            If they are not as many as the kind has, too short, too long or out of order.
        """
        name = "_".join([self.name, *map(str, windows)])
        if len(windows) != self.n_windows:
            usual = "_".join([self.name, *map(str, self.windows[0])])
            raise ParamsError(
                f"feature {name!r}: {self.name} takes {self.n_windows} windows, as in {usual}"
            )
        wrong = [w for w in windows if not 1 <= w <= _LONGEST]
        if wrong or (windows and windows[0] < self.least):
            raise ParamsError(
                f"feature {name!r}: windows are {self.least} to {_LONGEST} bars,"
                f" was {(wrong or windows)[0]}"
            )
        column = self.make(*windows)
        return Feature(
            name,
            self.family,
            column.warmup,
            self.unit,
            self.words.format(*windows),
            _Column(column, self.reads_news),
            self.reads_news,
            self.source,
            column,
        )


@dataclass(frozen=True)
class _Column:
    """The function of a graph: its column of some bars."""

    node: Node
    reads_news: bool

    def __call__(self, bars: pd.DataFrame, news: pd.DataFrame | None = None) -> np.ndarray:
        if self.reads_news and news is None:
            raise ParamsError("the feature reads news; give the news of the symbol beside its bars")
        inputs = of_bars(bars, with_news=self.reads_news)
        if self.reads_news:
            of_news(inputs, bars.index.as_unit("ns").asi8, news, begun=None)
        out = np.empty((1, len(bars)))
        Engine(Program([self.node])).feed(inputs, out, np.full(1, -1), span=(0, len(bars), 0))
        return out[0]


KINDS: dict[str, Kind] = {}


class Catalog(dict[str, Feature]):
    """Features by name: those declared and registered, and others of a kind when asked for."""

    def __missing__(self, name: str) -> Feature:
        """A feature that its name alone describes.

        Raises
        ------
        KeyError
            If the name describes none.
        ParamsError
            If its windows are impossible.
        """
        found = _described(name)
        if found is None:
            raise KeyError(name)
        return found


CATALOG = Catalog()


@lru_cache(maxsize=4096)
def _described(name: str) -> Feature | None:
    """The feature of a kind and its windows, or of a TA-Lib function; None if it is neither."""
    if name.startswith(f"{talib_columns.PREFIX}_"):
        family, warmup, unit, words, source = talib_columns.describe(name)
        function = partial(talib_columns.compute, name)
        return Feature(name, family, warmup, unit, words, function, source=source)
    kind, *windows = _split(name)
    return KINDS[kind].feature(tuple(windows)) if kind in KINDS else None


def _split(name: str) -> tuple[str, *tuple[int, ...]]:
    """Name of the kind and its windows."""
    words = name.split("_")
    count = len(words)
    while count > 1 and words[count - 1].isascii() and words[count - 1].isdigit():
        count -= 1
    return "_".join(words[:count]), *(int(word) for word in words[count:])


def find(name: str, place: str = "features.names") -> Feature:
    """The feature of a name.

    Raises
    ------
    ParamsError
        If there is none, with the near match, or its windows are impossible.
    """
    try:
        return CATALOG[name]
    except KeyError:
        near = difflib.get_close_matches(name, CATALOG, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(CATALOG)}"
        raise ParamsError(f"{place}: {name!r} is not in the catalogue; {hint}") from None


def declare(
    name: str,
    family: str,
    *windows: int | tuple[int, ...],
    unit: str,
    words: str,
    source: str,
    least: int = 1,
    reads_news: bool = False,
) -> Callable[[Callable[..., Node]], Callable[..., Node]]:
    """Enter a kind of this package into the catalogue, with its usual windows; tests sweep it."""
    usual = tuple(w if isinstance(w, tuple) else (w,) for w in windows) or ((),)

    def enter(make: Callable[..., Node]) -> Callable[..., Node]:
        kind = Kind(name, family, make, usual, unit, words, source, least, reads_news)
        KINDS[name] = kind
        for each in usual:
            feature = kind.feature(each)
            CATALOG[feature.name] = feature
        return make

    return enter


def register(
    function: Callable[[pd.DataFrame], pd.Series],
    *,
    name: str,
    family: str,
    warmup: int,
    unit: str = "fraction",
    description: str = "",
) -> Feature:
    """Add a feature of your own, after proving that it does not read the future.

    Parameters
    ----------
    function : callable
        Takes one symbol's bars, returns one number a bar, indexed as the bars. After a gap
        that is not bridged it is called anew, on the bars from there on.
    name : str
        Column name, not yet in the catalogue.
    family : str
        Family under which params select it.
    warmup : int
        First bars without a value.
    unit, description : str
        For tables and pages.

    Returns
    -------
    Feature
        The entry of the catalogue.

    Raises
    ------
    LeakError
        If the function changes when later bars do.
    ParamsError
        If the name is taken or the warm-up is not what the function shows.

    Examples
    --------
    >>> register(lambda bars: bars["close"].shift(-1) / bars["close"] - 1,
    ...          name="tomorrow", family="mine", warmup=0)
    Traceback (most recent call last):
    signalkit.errors.LeakError: feature tomorrow reads the future: at 2024-01-01 00:00Z value
    changes by inf when later bars do; use trailing windows only
    """
    if not 0 <= warmup <= _LONGEST:
        raise ParamsError(f"feature {name}: warmup is 0 to {_LONGEST} bars, was {warmup}")
    if name in CATALOG or _described(name) is not None:
        raise ParamsError(f"the catalogue has a feature {name!r} already; choose another name")
    bars = causality.enough_bars(warmup)
    causality.check(function, bars).require(f"feature {name}")
    seen = np.asarray(function(bars), dtype=float)
    blank = int(np.argmax(np.isfinite(seen))) if np.isfinite(seen).any() else len(seen)
    if blank != warmup:
        raise ParamsError(f"feature {name} has no value for {blank} bars; warmup says {warmup}")
    CATALOG[name] = Feature(name, family, warmup, unit, description, function)
    return CATALOG[name]
