"""The catalogue of features: name, family, warm-up, unit, meaning and function."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit import causality
from signalkit.bars import COLUMNS
from signalkit.errors import ParamsError

# of bars, or of bars and news
Function = Callable[..., np.ndarray | pd.Series]


@dataclass(frozen=True)
class Feature:
    """One column: `function` maps one symbol's bars to one number a bar.

    `warmup` is the number of first bars without a value, `unit` what the number counts; with
    `reads_news` the function takes the symbol's news beside the bars.
    """

    name: str
    family: str
    warmup: int
    unit: str
    description: str
    function: Function
    reads_news: bool = False

    def proof(self) -> causality.Causality:
        """Outcome of cutting off and poisoning the future of seeded bars, and of news."""
        bars, *news = self._probe()
        return causality.check(self._series, bars, news=news[0] if news else None)

    def _probe(self) -> tuple[pd.DataFrame, ...]:
        """Seeded bars, and news where the function reads them."""
        bars = causality.probe_bars()
        return (bars, causality.probe_news(bars)) if self.reads_news else (bars,)

    def _series(self, *read: pd.DataFrame) -> pd.Series:
        """The column of some bars, and of news where it reads them."""
        return pd.Series(self.function(*read), read[0].index)

    def source(self) -> str:
        """Hash of the function's source and of what it gives on probe bars.

        Part of the identity of what it made; the second half tells closures apart.
        """
        try:
            text = inspect.getsource(self.function)
        except OSError:  # made at run time: what it gives has to do
            text = ""
        given = np.asarray(self.function(*self._probe()), dtype=float)
        return hashlib.sha256(text.encode() + given.tobytes()).hexdigest()


CATALOG: dict[str, Feature] = {}


def declare(
    name: str,
    family: str,
    *,
    warmup: int,
    unit: str,
    description: str,
    reads_news: bool = False,
) -> Callable[[Function], Function]:
    """Enter a function of this package into the catalogue; the tests sweep it."""

    def enter(function: Function) -> Function:
        if name in CATALOG:
            raise ParamsError(f"the catalogue has a feature {name!r} already; choose another name")
        CATALOG[name] = Feature(name, family, warmup, unit, description, function, reads_news)
        return function

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
        Takes one symbol's bars, returns one number a bar, indexed as the bars.
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
    causality.check(function).require(f"feature {name}")
    seen = np.asarray(function(causality.probe_bars()), dtype=float)
    blank = int(np.argmax(np.isfinite(seen))) if np.isfinite(seen).any() else len(seen)
    if blank != warmup:
        raise ParamsError(f"feature {name} has no value for {blank} bars; warmup says {warmup}")
    declare(name, family, warmup=warmup, unit=unit, description=description)(function)
    return CATALOG[name]


def column(bars: pd.DataFrame, name: str) -> np.ndarray:
    """One column of bars as an array."""
    if name not in COLUMNS:
        raise ParamsError(f"bars have {COLUMNS}, not {name!r}")
    return bars[name].to_numpy()
