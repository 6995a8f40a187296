"""What came of predictions: the label of each bar once it is known, written once.

A prediction is settled by the labels of the study that its model learned; the joint answer by
those of the best model that voted for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from signalkit.errors import StoreError
from signalkit.inference.choice import ordered
from signalkit.live.desks import Archive, question_of
from signalkit.live.market import Market, Markets
from signalkit.store import Asked, Outcome, Registered, Store
from signalkit.store.predictions import ENSEMBLE
from signalkit.training import CLASSIFICATION_TARGETS


class Settling:
    """Writes what came of the predictions of a store."""

    def __init__(self, store: Store, archive: Archive, markets: Markets) -> None:
        self._store, self._archive, self._markets = store, archive, markets

    def settle(self, at: pd.Timestamp, now: pd.Timestamp) -> int:
        """Settle what was known at a moment; how many are new.

        Labels are those of the bars that are stored `now`: what was known before is among them.
        """
        models = [m for m in self._store.models.list() if m.interval]
        return sum(
            self._settled(asked, [m for m in models if question_of(m) == asked], at, now)
            for asked in dict.fromkeys(map(question_of, models))
        )

    def _settled(
        self, asked: Asked, models: Sequence[Registered], at: pd.Timestamp, now: pd.Timestamp
    ) -> int:
        """Settle the predictions of one question."""
        rows = self._store.predictions.unsettled(asked)
        by_number = {str(m.id): m for m in models}
        votes: dict[tuple, list[Registered]] = {}
        for row in rows:
            if row["made_by"] in by_number:
                votes.setdefault(_place(row), []).append(by_number[row["made_by"]])
        found = []
        for row in rows:
            own = votes.get(_place(row), []) if row["made_by"] == ENSEMBLE else []
            mine = by_number.get(row["made_by"])
            market = self._market([mine] if mine else [*ordered(own), *_leading(models)], now)
            outcome = None if market is None else _outcome(market, row, asked, at)
            found += [outcome] if outcome else []
        return self._store.predictions.settle(found) if found else 0

    def _market(self, entries: Iterable[Registered], at: pd.Timestamp) -> Market | None:
        """The market of the first model that says what its study is, where it has bars."""
        for entry in entries:
            papers = self._archive.papers(entry)
            if papers is not None:
                market = self._markets.of(papers.asked, at)
                return market if market.newest is not None else None
        return None


def _leading(models: Sequence[Registered]) -> list[Registered]:
    """Models by who is asked first where none voted: deployed ones, then the newest."""
    return sorted(models, key=lambda m: (m.status != "deployed", -m.id))


def _place(row: dict) -> tuple[str, int]:
    """Symbol and bar of a row."""
    return row["symbol"], row["prediction_timestamp"]


def _outcome(market: Market, row: dict, asked: Asked, at: pd.Timestamp) -> Outcome | None:
    """What came of a stored prediction, None while it is not known."""
    try:
        found = market.outcome(*_place(row))
    except StoreError:  # no bar by then
        return None
    if found is None or found[1] > at.value:
        return None
    actual, known_at = found
    return Outcome(row["id"], known_at, actual, _is_right(asked, row["prediction_value"], actual))


def _is_right(asked: Asked, value: float | None, actual: float) -> bool | None:
    """Whether a prediction was right; None of one that was refused, and of a volatility."""
    if value is None or asked.target == "target_volatility":
        return None
    if asked.target in CLASSIFICATION_TARGETS:
        return value == actual
    return bool(np.sign(value) == np.sign(actual))
