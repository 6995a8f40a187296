"""A seeded world for whoever decides and trades in it, and the same past with other futures.

What a desk did up to t in the world must be what it did in every world that has the same past
until then. The functions that are proven so belong to signalkit.proof.money.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from signalkit import causality
from signalkit.bars import by_symbol
from signalkit.causality import Causality
from signalkit.proof.poison import (
    SEED,
    SYMBOLS,
    TIMES,
    changes,
    other_predictions,
    outcome,
    predicted,
    times_of,
    unsettled,
)

# how far bars are moved when they are replaced
_SCALES = (7.0, 1 / 7)
# what the seeded weights are drawn from, and bars from one funding to the next
_WEIGHTS = (-0.9, -0.4, 0.0, 0.5, 0.9)
_FUNDED = 8


class World(NamedTuple):
    """All that a desk is told: bars, predictions of three models, weights and funding rates.

    Tables are indexed by (symbol, time), predictions by model_id too. `weights` have a
    `limit_price` and a `stop` beside them and stand at some of the bars; they are there for
    accounts that follow weights from outside.
    """

    bars: pd.DataFrame
    predictions: pd.DataFrame
    weights: pd.DataFrame
    funding: pd.Series


# a world to what is decided, or what became of it, indexed by (symbol, time) and perhaps more
Desk = Callable[[World], pd.DataFrame]


def world() -> World:
    """Seeded world of two symbols, hourly; one of them joins later and misses some bars.

    Returns
    -------
    World
        Bars of `causality.probe_bars`, predictions of `predicted` where there is a bar, weights
        at about every third bar and funding at every eighth.
    """
    parts = {s: causality.probe_bars(TIMES, SEED + n) for n, s in enumerate(SYMBOLS)}
    late = parts[SYMBOLS[1]]
    parts[SYMBOLS[1]] = late.drop(late.index[[*range(12), *range(100, 105), 130]])
    bars = pd.concat(parts, names=["symbol", "time"])
    there = predicted().reset_index("model_id").loc[lambda table: table.index.isin(bars.index)]
    rng = np.random.default_rng(SEED + 4)
    asked = bars[rng.random(len(bars)) < 0.35]
    weight = pd.DataFrame({"weight": rng.choice(_WEIGHTS, len(asked))}, asked.index)
    side, close = np.sign(weight["weight"]), asked["close"]
    for name, away, share in (("limit_price", 0.002, 0.2), ("stop", 0.03, 0.3)):
        price = (close * (1 - side * away)).where(side != 0)
        weight[name] = price.where(rng.random(len(asked)) < share)
    rates = pd.Series(rng.normal(0, 1e-3, len(bars)), bars.index)[::_FUNDED]
    predictions = there.set_index("model_id", append=True)
    return World(bars, predictions, weight, rates)


def futures(whole: World, places: Sequence[int]) -> list[tuple[pd.Timestamp, World]]:
    """The same past with other futures, to be handed to `in_world`.

    Parameters
    ----------
    whole : World
        Such as that of `world`.
    places : sequence of int
        Positions t among the times of the bars to cut at.

    Returns
    -------
    list of (Timestamp, World)
        For each t three worlds in which everything after it is cut off, or replaced by other,
        once far above and once far below: bars, predictions, weights and funding rates, and
        outcomes that are not known by t.
    """
    clock = times_of(whole.bars).unique().sort_values()
    found = []
    for until in clock[list(places)]:
        found.append((until, _cut(whole, until)))
        found += [(until, _replaced(whole, until, scale)) for scale in _SCALES]
    return found


def insides(
    whole: World, places: Sequence[int], parts: Sequence[str] = ("high", "low", "close", "volume")
) -> list[tuple[pd.Timestamp, World]]:
    """The same past up to the open of bar t, whose inside is another, and nothing after it.

    Parameters
    ----------
    whole, places
        As in `futures`.
    parts : sequence of str
        What of the bar is another: a higher `high`, a lower `low`, a `close` at either of the
        two, a tenth of the `volume`.

    Returns
    -------
    list of (Timestamp, World)
        For each t two worlds, which close at the one and at the other.
    """
    clock = times_of(whole.bars).unique().sort_values()
    found = []
    for until in clock[list(places)]:
        for end in ("high", "low"):
            known = _cut(whole, until)
            bars, last = known.bars.copy(), times_of(known.bars) == until
            moved = {"high": bars["high"] * 1.5, "low": bars["low"] / 1.5}
            moved |= {"close": moved[end], "volume": bars["volume"] / 10}
            for name in parts:
                bars.loc[last, name] = moved[name][last]
            found.append((until, known._replace(bars=bars)))
    return found


def unasked(whole: World, places: Sequence[int]) -> list[tuple[pd.Timestamp, World]]:
    """The same bars, in which other weights, or none, are asked for from bar t on.

    Parameters
    ----------
    whole, places
        As in `futures`.

    Returns
    -------
    list of (Timestamp, World)
        For each t two worlds: without the weights of bar t and after, and with others.
    """
    clock, times = times_of(whole.bars).unique().sort_values(), times_of(whole.weights)
    found = []
    for until in clock[list(places)]:
        found.append((until, whole._replace(weights=whole.weights[times < until])))
        other = _reweighed(whole.weights, times >= until)
        found.append((until, whole._replace(weights=other)))
    return found


def in_world(
    function: Desk, whole: World, others: Sequence[tuple[pd.Timestamp, World]]
) -> Causality:
    """Compare what a desk did up to t in a world and in those that have another future.

    Parameters
    ----------
    function : callable
        Takes a world, returns numbers indexed by (symbol, time), or with more levels.
    whole : World
        Such as that of `world`.
    others : sequence of (Timestamp, World)
        Its `futures`, `insides` or `unasked`.

    Returns
    -------
    Causality
        The largest change up to t, and the first time that changed.

    Raises
    ------
    DataError
        If there is nothing up to some t.
    """
    told = function(whole)
    return outcome([changes(told, function(other), until) for until, other in others])


def _cut(whole: World, until: pd.Timestamp) -> World:
    """A world as it is known at a time."""
    parts = whole._replace(predictions=unsettled(whole.predictions, until))
    return World(*(part[times_of(part) <= until] for part in parts))


def _replaced(whole: World, until: pd.Timestamp, scale: float) -> World:
    """A world in which everything that is not known at a time is another."""
    blocks = {}
    for symbol, block in by_symbol(whole.bars):
        last = int((block.index <= until).sum()) - 1
        there = 0 <= last < len(block) - 1
        blocks[symbol] = causality.poisoned(block, last, scale) if there else block
    return World(
        pd.concat(blocks, names=["symbol", "time"]),
        other_predictions(whole.predictions, until),
        _reweighed(whole.weights, times_of(whole.weights) > until),
        whole.funding.where(times_of(whole.funding) <= until, -scale * whole.funding),
    )


def _reweighed(weights: pd.DataFrame, where: np.ndarray) -> pd.DataFrame:
    """Weights of which some are of the other side, without prices beside them."""
    other = weights.copy()
    other.loc[where, "weight"] *= -0.5
    other.loc[where, ["limit_price", "stop"]] = np.nan
    return other
