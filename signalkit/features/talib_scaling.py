"""How an indicator's output is made free of scale, found by running it on seeded bars.

The indicator is run on bars, on the same with other prices and volumes, from a later first bar
on, on bars that do not move and on wild ones. What it does there decides; nothing is known of
it by name. What fits no rule is Unfit, with the words that say why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from signalkit.bars import COLUMNS
from signalkit.causality import probe_bars

SPAN = 20  # bars whose mean volume is the unit of volume
_ALIKE = 1e-9  # of the largest value: equal but for rounding
_FORGOT = 1e-6  # of the largest value: the first bar has died away
_PRICE, _VOLUME = 16.0, 1024.0  # powers of four: halves of a power scale without rounding, too
_STEEPEST = 10.0  # power: beyond it numbers overflow, and nothing is that steep
_LEVELS = {"price": 100.0, "volume": 1000.0}

Columns = Mapping[str, np.ndarray]
Outputs = Mapping[str, np.ndarray]


class Unfit(ValueError):
    """An output that cannot be made free of scale; `place` is its place among the outputs."""

    def __init__(self, reason: str, place: int = 0) -> None:
        super().__init__(reason)
        self.place = place


@dataclass(frozen=True)
class Recipe:
    """What is done to an output.

    First `turn`: nothing, its `difference` or `growth` (log) from bar to bar, the `age` of the
    bar it points at, a `pattern`'s mark over 100, its `log` distance or `gap` below the close.
    Then it is divided by close ** `price` x mean volume ** `volume`. Where nothing was traded
    in `traded` bars before (0: whatever was traded) it is 0.
    """

    warmup: int
    turn: str = ""
    price: float = 0.0
    volume: float = 0.0
    traded: int = 0

    def apply(self, raw: np.ndarray, columns: Columns) -> np.ndarray:
        """The column made of an output and of the bars it was computed on."""
        out = _TURNS[self.turn](raw, columns["close"])
        if self.price:
            out = out / columns["close"] ** self.price
        if self.volume:
            mean = mean_volume(columns["volume"])
            unit = np.where(mean == 0, 1.0, mean)  # NaN stays NaN: the mean's own warm-up
            out = np.where(mean == 0, 0.0, out / unit**self.volume)
        if self.traded:
            out = np.where(_dry(columns["volume"], self.traded), 0.0, out)
        out[: self.warmup] = np.nan
        return out

    def words(self, title: str) -> tuple[str, str]:
        """Unit and meaning of the column made of the output `title`."""
        unit, meaning = _WORDS[self.turn]
        parts = [("close", self.price), (f"(mean volume of {SPAN} bars)", self.volume)]
        by = " ".join(name if power == 1 else f"{name}^{power:g}" for name, power in parts if power)
        if by:
            unit, meaning = f"multiples of {by}", f"{meaning} over {by}"
        return unit, meaning.format(title)


def _difference(raw: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Change from the bar before."""
    return np.diff(raw, prepend=np.nan)


def _growth(raw: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Log change from the bar before."""
    return np.diff(np.log(raw), prepend=np.nan)


def _distance(raw: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Log of close over the output, NaN where that is nothing (VWMA without volume)."""
    positive = raw > 0
    return np.log(close / np.where(positive, raw, np.nan))


_TURNS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "": lambda raw, close: raw,
    "difference": _difference,
    "growth": _growth,
    "age": lambda raw, close: np.arange(len(raw)) - raw,
    "pattern": lambda raw, close: raw / 100,
    "log": _distance,
    "gap": lambda raw, close: 1 - raw / close,
}

_WORDS = {
    "": ("TA-Lib's own", "{}"),
    "difference": ("TA-Lib's own", "change from bar to bar of {}"),
    "growth": ("log ratio", "log change from bar to bar of {}"),
    "age": ("bars", "bars since {}"),
    "pattern": ("-1 to 1, or 2 when confirmed", "mark of {} over 100"),
    "log": ("log ratio", "log of close over {}"),
    "gap": ("fraction of close", "close less {}, over close"),
}


def mean_volume(volume: np.ndarray) -> np.ndarray:
    """Mean volume of each bar and those before it, NaN in the first `SPAN` - 1 bars."""
    out = np.full(len(volume), np.nan)
    # added up anew at every bar: a running sum keeps a rest where nothing was traded
    parts = [volume[SPAN - 1 - lag : len(volume) - lag] for lag in range(SPAN)]
    if len(volume) >= SPAN:
        out[SPAN - 1 :] = sum(parts[1:], parts[0]) / SPAN
    return out


def _dry(volume: np.ndarray, span: int) -> np.ndarray:
    """Whether nothing was traded in the `span` bars before each."""
    count = np.concatenate([[0], np.cumsum(volume > 0)])
    return count[:-1] == count[np.maximum(np.arange(len(volume)) - span, 0)]


def levelled(columns: Columns) -> dict[str, np.ndarray]:
    """The columns times a power of four each that brings their start to ordinary size.

    TA-Lib takes divisors below 1e-14 for nothing: very small prices in PPO, in older releases
    their squares in STDDEV. A power of two rounds nothing, so all else is the same to the bit.
    """
    volume = columns["volume"]
    traded = volume[np.argmax(volume > 0)] or 1.0
    price = _factor(columns["close"][0], _LEVELS["price"])
    return _times(columns, price, _factor(traded, _LEVELS["volume"]))


def _factor(value: float, level: float) -> float:
    """The power of four that brings a value nearest to a level."""
    return 4.0 ** round(math.log(level / value, 4))


def _times(columns: Columns, price: float, volume: float) -> dict[str, np.ndarray]:
    """The columns with other prices and volumes."""
    return {name: part * (volume if name == "volume" else price) for name, part in columns.items()}


def recipes(
    function: Callable[[Columns], list[np.ndarray]], lookback: int, *, pattern: bool = False
) -> tuple[Recipe, ...]:
    """How each output of a function of bar columns is made free of scale.

    Parameters
    ----------
    function : callable
        Takes columns of bars as arrays, returns its outputs as arrays of the same length.
    lookback : int
        First bars for which it gives no value.
    pattern : bool
        Whether its outputs are marks in hundreds.

    Raises
    ------
    Unfit
        If an output follows no fixed power of prices and volumes, depends on the first bar
        for ever, is not finite, or says nothing once its scale is taken out.
    """
    bars = _probe(8000 + 20 * lookback)  # MAMA forgets half in 140 bars at its slowest
    cut = len(bars["close"]) // 8
    worlds = {
        "whole": bars,
        "price": _times(bars, _PRICE, 1.0),
        "volume": _times(bars, 1.0, _VOLUME),
        "small": _times(bars, 1 / _VOLUME, 1 / _VOLUME),
        "late": {name: part[cut:] for name, part in bars.items()},
        "flat": _flat(bars),
        "wild": _wild(bars, lookback),
        "dry": _times(bars, 1.0, 0.0),
    }
    runs = {world: function(columns) for world, columns in worlds.items()}
    found = []
    for place in range(len(runs["whole"])):
        outs = {world: run[place][lookback:] for world, run in runs.items()}
        try:
            recipe = _recipe(outs, cut, lookback, pattern)
            _check_tells(recipe, runs["whole"][place], bars)
        except Unfit as unfit:
            raise Unfit(str(unfit), place) from unfit
        found.append(recipe)
    return tuple(found)


@cache
def _probe(n_bars: int) -> dict[str, np.ndarray]:
    """Columns of seeded bars."""
    bars = probe_bars(n_bars)
    return {name: bars[name].to_numpy() for name in COLUMNS}


def _flat(bars: Columns) -> dict[str, np.ndarray]:
    """The bars at one price."""
    still = np.full(len(bars["close"]), _LEVELS["price"])
    return {name: part if name == "volume" else still for name, part in bars.items()}


def _wild(bars: Columns, lookback: int) -> dict[str, np.ndarray]:
    """The bars with hundredfold jumps, one a window, and every other jump with wide bars."""
    era = np.arange(len(bars["close"])) // (lookback + 7)
    jump, wide = 100.0 ** (era % 2), 10.0 ** (era % 4 > 1)
    factors = {"high": jump * wide, "low": jump / wide, "volume": 1.0}
    return {name: part * factors.get(name, jump) for name, part in bars.items()}


def _recipe(outs: Outputs, cut: int, lookback: int, pattern: bool) -> Recipe:
    """The rule that an output follows."""
    if not np.isfinite(outs["whole"]).all():
        raise Unfit(
            f"is {outs['whole'][~np.isfinite(outs['whole'])][0]} at ordinary prices; register a"
            " function of your own that brings them into its range"
        )
    price, volume = _powers(outs)
    turn = _turn(outs, cut)
    warmup = max(lookback + (turn in ("difference", "growth")), SPAN - 1 if volume else 0)
    if pattern:
        turn = "pattern"
    elif _is_level(outs, turn, price, volume):
        # a logarithm is for what cannot fall below nothing
        turn, price = ("log" if (outs["wild"] > 0).all() else "gap"), 0.0
    # TA-Lib divides by the window's volume, of which its running sums keep a rest
    traded = 0 if np.isfinite(outs["dry"]).all() else lookback
    return Recipe(warmup, turn, price, volume, traded)


def _is_level(outs: Outputs, turn: str, price: float, volume: float) -> bool:
    """Whether an output is a price near the close: at bars of one price it is that price."""
    settled = outs["flat"][-len(outs["flat"]) // 4 :]  # MAMA starts from nothing
    proportional = not turn and (price, volume) == (1, 0)
    return proportional and np.allclose(settled, _LEVELS["price"], rtol=_ALIKE)


def _powers(outs: Outputs) -> tuple[float, float]:
    """The powers of price and volume that the output grows with, in halves."""
    seen = {
        "price": _power(outs["whole"], outs["price"], _PRICE),
        "volume": _power(outs["whole"], outs["volume"], _VOLUME),
    }
    price, volume = (round(2 * power) / 2 for power in seen.values())
    _check_power("price", seen["price"], outs["price"], _PRICE**price * outs["whole"])
    _check_power("volume", seen["volume"], outs["volume"], _VOLUME**volume * outs["whole"])
    # what bends at small prices only, such as TANH
    small = _VOLUME ** -(price + volume) * outs["whole"]
    _check_power("price", seen["price"], outs["small"], small)
    return price, volume


def _power(before: np.ndarray, after: np.ndarray, factor: float) -> float:
    """The usual power of a factor by which an output grew, 0 where there is none."""
    both = (before != 0) & (after != 0) & np.isfinite(after)
    if not both.any():
        return 0.0
    power = float(np.median(np.log(np.abs(after[both] / before[both])))) / math.log(factor)
    return min(max(power, -_STEEPEST), _STEEPEST)


def _check_power(what: str, power: float, got: np.ndarray, expected: np.ndarray) -> None:
    """Refuse an output that does not grow by one power of a factor at every bar."""
    if not _alike(got, expected, _ALIKE):
        raise Unfit(
            f"follows no fixed power of {what} (found about {power:.3g}), so it has no scale to"
            " take out; take one that grows in proportion, or register a function of your own"
            " that works on ratios"
        )


def _turn(outs: Outputs, cut: int) -> str:
    """What rids an output of its first bar: nothing, or its change, growth or age."""
    tail = len(outs["late"]) // 4
    whole, late = outs["whole"][-tail:], outs["late"][-tail:]
    if _alike(whole, late, _FORGOT):
        return ""
    if (whole - late == cut).all():
        return "age"
    if _alike(np.diff(whole), np.diff(late), _ALIKE, size=np.abs(whole).max()):
        return "difference"
    if (outs["whole"] > 0).all() and _alike(np.diff(np.log(whole)), np.diff(np.log(late)), _ALIKE):
        return "growth"
    raise Unfit(
        "depends on the first bar for ever, and so does its change; take a function with a window"
        " (vwap_distance_20 of the catalogue in place of VWAP)"
    )


def _alike(one: np.ndarray, other: np.ndarray, share: float, *, size: float | None = None) -> bool:
    """Whether all values are equal to a share of the largest, or of a size."""
    largest = np.abs(other).max() if size is None else size
    return bool(np.isfinite(one).all() and np.abs(one - other).max() <= share * largest)


def _check_tells(recipe: Recipe, raw: np.ndarray, bars: Columns) -> None:
    """Refuse an output that is one number at every bar once its scale is out."""
    made, moves = recipe.apply(raw, bars)[recipe.warmup :], np.ptp(raw[recipe.warmup :]) > 0
    if moves and np.ptp(made) <= _ALIKE * max(np.abs(made).max(), 1.0):
        raise Unfit(
            f"is {made[0]:g} at every bar once its scale is taken out, which tells a model"
            " nothing; leave it out, or ask for a longer window"
        )
