"""The rulebook: rules that read columns of the feature catalogue and say buy, sell or nothing.

A rule is a pure function of the features it names, up to its own bar. It tells a direction,
-1, 0 or 1, and no probability. Where one of its features has no value it says nothing.

What it costs to follow a rule belongs to signalkit.backtesting, what it is worth beside others
to signalkit.signals.fusion.

Sources: beside each rule.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from signalkit import causality, features
from signalkit.bars import by_symbol
from signalkit.errors import DataError, ParamsError
from signalkit.features.catalog import find

# two averages of one price differ by rounding alone
_ROUNDING = 1e-12
# where a study names rules
_PLACE = "signals.fusion.rules"
# seeded bars on which a rule is proven, so many that rare events are among them
_PROBED = 1200

Function = Callable[[pd.DataFrame], "pd.Series | np.ndarray"]


@dataclass(frozen=True)
class Rule:
    """One rule: `function` maps one symbol's features to one direction a bar.

    `needs` names the features it reads, `warmup` is the number of first bars at which one of
    them has no value. A `rowwise` function reads each row by itself, and takes all symbols at
    once.
    """

    name: str
    needs: tuple[str, ...]
    function: Function
    warmup: int
    description: str
    source: str = ""
    rowwise: bool = False

    def directions(self, table: pd.DataFrame) -> pd.Series:
        """Direction at each row of features, 0 where one that it reads has no value.

        Raises
        ------
        DataError
            If the function does not give -1, 0 or 1 (or NaN, which is 0) at each row.
        """
        read = table[list(self.needs)]
        if self.rowwise or table.empty:
            said = self._said(read)
        else:
            said = np.concatenate([self._said(block) for _, block in by_symbol(read)])
        blank = np.isnan(read.to_numpy()).any(axis=1) | np.isnan(said)
        said = np.where(blank, 0.0, said)
        wrong = ~np.isin(said, (-1.0, 0.0, 1.0))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"rule {self.name} gives {said[row]:g} at {table.index[row]};"
                " a direction is -1, 0 or 1"
            )
        return pd.Series(said, index=table.index, name=self.name)

    def _said(self, read: pd.DataFrame) -> np.ndarray:
        """What the function gives, one number a row."""
        found = self.function(read)
        strange = isinstance(found, pd.Series) and not found.index.equals(read.index)
        said = np.asarray(found, dtype=float)
        if strange or said.shape != (len(read),):
            raise DataError(f"rule {self.name} must give one direction for each of its rows")
        return said

    def proof(self) -> causality.Causality:
        """Outcome of cutting off and poisoning the future of the bars under its features."""
        bars, *news = self._probe()
        return causality.check(self._followed, bars, news=news[0] if news else None)

    def digest(self) -> str:
        """Hash of the function's source and of what it says on seeded bars, for identities."""
        try:
            text = inspect.getsource(self.function)
        except (OSError, TypeError):  # no function in a file: what it gives has to do
            text = ""
        told = self._followed(*self._probe()).to_numpy()
        return hashlib.sha256(text.encode() + told.tobytes()).hexdigest()

    def _probe(self) -> tuple[pd.DataFrame, ...]:
        """Seeded bars, and news where a feature reads them."""
        bars = causality.probe_bars(max(_PROBED, 2 * self.warmup))
        reads_news = any(find(name).reads_news for name in self.needs)
        return (bars, causality.probe_news(bars)) if reads_news else (bars,)

    def _followed(self, bars: pd.DataFrame, news: pd.DataFrame | None = None) -> pd.Series:
        """Its directions on some bars."""
        return self.directions(features.build(bars, self.needs, news))


RULES: dict[str, Rule] = {}


def _enter(name: str, *needs: str, description: str, source: str) -> Callable[[Function], Function]:
    """Enter a rule of this package into the rulebook; tests sweep it."""

    def enter(function: Function) -> Function:
        rule = _rule(function, name, needs, description, source)
        RULES[name] = replace(rule, rowwise=True)
        return function

    return enter


def _rule(
    function: Function, name: str, needs: Sequence[str], description: str, source: str
) -> Rule:
    """A rule on features of the catalogue, which tell its warm-up."""
    warmup = max(find(each, f"rule {name} needs").warmup for each in needs)
    return Rule(name, tuple(needs), function, warmup, description, source)


def _sides(up: pd.Series, down: pd.Series) -> np.ndarray:
    """1 where one condition holds, -1 where the other does, else 0."""
    return up.to_numpy(dtype=float) - down.to_numpy(dtype=float)


def _sign(column: pd.Series) -> np.ndarray:
    """Sign of a column, 0 where it differs from 0 by rounding alone."""
    return _sides(column > _ROUNDING, column < -_ROUNDING)


@_enter(
    "moving_average_cross",
    "mean_distance_20",
    "mean_distance_50",
    description="up while the mean of 20 closes is above that of 50, down while below",
    source="Brock, Lakonishok and LeBaron, Simple Technical Trading Rules (1992), section I.A",
)
def moving_average_cross(read: pd.DataFrame) -> np.ndarray:
    """The nearer a close is above its mean, the higher that mean."""
    return _sign(read["mean_distance_50"] - read["mean_distance_20"])


@_enter(
    "rsi_reversal",
    "rsi_14",
    description="up while the RSI of 14 bars is below 0.3 (but not 0), down while above 0.7",
    source="Wilder, New Concepts in Technical Trading Systems (1978), section VI",
)
def rsi_reversal(read: pd.DataFrame) -> np.ndarray:
    """An RSI of 0 is also that of a price that never moved, which asks for nothing."""
    rsi = read["rsi_14"]
    return _sides((rsi > 0) & (rsi < 0.3), rsi > 0.7)


@_enter(
    "macd",
    "macd_histogram_12_26_9",
    description="up while the MACD line of 12 and 26 bars is above its signal of 9, down below",
    source="Appel, The Moving Average Convergence-Divergence Method (1979)",
)
def macd(read: pd.DataFrame) -> np.ndarray:
    """Sign of the line less its signal."""
    return _sign(read["macd_histogram_12_26_9"])


@_enter(
    "bollinger_breakout",
    "bollinger_position_20",
    description="up while the close is above the upper band of 20 bars, down below the lower",
    source="Bollinger, Bollinger on Bollinger Bands (2001), chapter 15, volatility breakout",
)
def bollinger_breakout(read: pd.DataFrame) -> np.ndarray:
    """The bands are at 0 and 1."""
    place = read["bollinger_position_20"]
    return _sides(place > 1, place < 0)


@_enter(
    "momentum",
    "return_63",
    description="up after 63 bars that gained, down after 63 that lost",
    source="Moskowitz, Ooi and Pedersen, Time Series Momentum (2012), section 4",
)
def momentum(read: pd.DataFrame) -> np.ndarray:
    """Sign of the return."""
    return _sign(read["return_63"])


def find_rules(names: Sequence[str] | None = None) -> list[Rule]:
    """Rules of some names, in that order, each once; all of the rulebook if omitted.

    Raises
    ------
    ParamsError
        If there is no such rule, with the near match.
    """
    if isinstance(names, str):
        raise ParamsError(f"{_PLACE} is a list of names, such as ['macd'], was {names!r}")
    asked = list(dict.fromkeys(RULES if names is None else names))
    for name in asked:
        if name not in RULES:
            near = difflib.get_close_matches(str(name), RULES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(RULES)}"
            raise ParamsError(f"{_PLACE}: {name!r} is not in the rulebook; {hint}")
    return [RULES[name] for name in asked]


def features_of(names: Sequence[str] | None = None) -> list[str]:
    """Features that some rules read, each once.

    Raises
    ------
    ParamsError
        As `find_rules` does.
    """
    return list(dict.fromkeys(need for rule in find_rules(names) for need in rule.needs))


def vote(table: pd.DataFrame, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Directions of rules, a column a rule.

    Parameters
    ----------
    table : DataFrame indexed by time, or by (symbol, time)
        Features, those that the rules read among them: `features_of(names)`.
    names : sequence of str, optional
        Rules of `RULES`; all if omitted.

    Returns
    -------
    DataFrame of shape (n_bars, n_rules)
        1 up, -1 down, 0 nothing, indexed as the features. A rule says 0 where one of its
        features is NaN.

    Raises
    ------
    ParamsError
        If a rule is not in the rulebook, with the near match, or a feature is not in the table.
    DataError
        If a rule gives something else than a direction for each row.

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=4, freq="h", tz="UTC", name="time")
    >>> table = pd.DataFrame({"rsi_14": [np.nan, 0.25, 0.5, 0.75]}, index=times)
    >>> vote(table, ["rsi_reversal"])["rsi_reversal"].tolist()
    [0.0, 1.0, 0.0, -1.0]
    """
    rules = find_rules(names)
    for rule in rules:
        missing = [need for need in rule.needs if need not in table.columns]
        if missing:
            raise ParamsError(
                f"rule {rule.name} reads {', '.join(missing)}, which the table of features lacks;"
                " build signals.features_of(names) beside the others"
            )
    columns = {rule.name: rule.directions(table) for rule in rules}
    return pd.DataFrame(columns, index=table.index)


def register_rule(
    function: Function,
    *,
    name: str,
    needs: Sequence[str],
    description: str = "",
    source: str = "",
) -> Rule:
    """Add a rule of your own, after proving that it does not read the future.

    Parameters
    ----------
    function : callable
        Takes one symbol's features, the columns `needs`, and returns -1, 0 or 1 a row, or NaN for
        0. It may look back, as by `shift(1)`.
    name : str
        A name not yet in the rulebook.
    needs : sequence of str
        Features of the catalogue, windows of your own among them.
    description, source : str
        For tables and pages.

    Returns
    -------
    Rule
        The entry of the rulebook.

    Raises
    ------
    LeakError
        If a direction changes when later bars do.
    ParamsError
        If the name is taken, a feature is not in the catalogue (with the near match), or the
        rule says nothing on the seeded bars, so that nothing is proved of it.
    DataError
        If it gives something else than a direction for each row.

    Examples
    --------
    >>> register_rule(lambda read: np.sign(read["return_1"].shift(-1)),
    ...               name="tomorrow", needs=["return_1"])
    Traceback (most recent call last):
    signalkit.errors.LeakError: rule tomorrow reads the future: at 2024-01-01 01:00Z value
    changes by 2 when later bars do; use trailing windows only
    """
    if name in RULES:
        raise ParamsError(f"the rulebook has a rule {name!r} already; choose another name")
    if isinstance(needs, str) or not len(needs):
        raise ParamsError(f"rule {name} needs a list of features, such as ['rsi_14'], had {needs}")
    rule = _rule(function, name, needs, description, source)
    if not rule._followed(*rule._probe()).any():
        raise ParamsError(
            f"rule {name} says nothing on the seeded bars, so nothing is proved of it; ask for less"
        )
    rule.proof().require(f"rule {name}")
    RULES[name] = rule
    return rule
