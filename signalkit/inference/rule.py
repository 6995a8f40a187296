"""The rule that stands in where no model answers: a direction without a probability.

It is the rule that stands in where every model of a study fails, `signals.trend`, on the same
bars and with the same convention, `signals.stand_in`; the rulebook has it as
`moving_average_cross`. It is read from the bars of the store and needs no file of a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit import signals
from signalkit.bars import interval_length
from signalkit.errors import DataError, StoreError
from signalkit.inference.choice import Question
from signalkit.store import Store
from signalkit.training import CLASSIFICATION_TARGETS

# a predicted move that has a direction and says nothing of how far, as in validation
_NO_SIZE = 1e-9
# bars that the slower of its two means reads
_SLOW = 50
# targets of which a direction says something without the params of a study
_DIRECTIONS = frozenset({"signal_direction", "target_return", "triple_barrier"})
_CALENDAR = "SELECT calendar FROM symbols WHERE symbol = ? AND interval = ? AND source = ?"


@dataclass(frozen=True)
class Stood:
    """What the rule says of the newest bar, and the calendar of its bars."""

    time: pd.Timestamp
    calendar: str
    value: float
    shares: np.ndarray | None
    confidence: float | None


def stood_in(store: Store, asked: Question, at: pd.Timestamp) -> Stood | str:
    """The rule's answer, or why it has none."""
    if asked.target not in _DIRECTIONS:
        return f"a direction says nothing of {asked.target}"
    there = store.sources(asked.symbol, asked.interval)
    if len(there) != 1:
        return f"bars of {asked.symbol} are stored from {' and '.join(there) or 'nowhere'}"
    series = (asked.symbol, asked.interval, there[0])
    try:
        bars = _newest(store, series, at)
    except (DataError, StoreError) as cause:
        return str(cause)
    rows = pd.MultiIndex.from_product([[asked.symbol], bars.index[-1:]], names=["symbol", "time"])
    panel = pd.concat({asked.symbol: bars}, names=["symbol", "time"])
    classifies = asked.target in CLASSIFICATION_TARGETS
    size = None if classifies else _NO_SIZE
    made = signals.stand_in(signals.trend(panel, slow=_SLOW), rows, size=size).iloc[0]
    return Stood(
        time=bars.index[-1],
        calendar=store.db.execute(_CALENDAR, series).fetchone()[0],
        value=float(made["prediction"]),
        shares=made[["p_sell", "p_hold", "p_buy"]].to_numpy(float) if classifies else None,
        confidence=float(made["confidence"]) if classifies else None,
    )


def _newest(store: Store, series: tuple[str, str, str], at: pd.Timestamp) -> pd.DataFrame:
    """Bars that the rule reads, and no fewer; weekends and holidays are reached over."""
    symbol, interval, source = series
    span = store.span(symbol, interval, source)
    last = min(span[1], at) if span else at
    found = pd.DataFrame()
    for reach in (2, 10, None):  # an exchange is closed more often than it is open
        start = last - reach * _SLOW * interval_length(interval) if reach else None
        try:
            found = store.read_bars(symbol, interval, source=source, start=start, end=at)
        except StoreError:
            if reach is None:
                raise
            continue
        if len(found) >= _SLOW:
            break
    if len(found) < _SLOW:
        raise DataError(f"{len(found)} bars are stored by then; the rule reads {_SLOW}")
    return found[-_SLOW:]
