"""Predictions of new bars: which bars lack one, who answers, and the rows that are written.

A bar is predicted as at its own end, also when it is read late, and once: what is stored stays.
A question goes on after the last bar that it answered. A model answers no bar that it was
trained on, none whose label its training knew in part, and none that ended before it was
deployed; at first the newest bar alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pandas as pd

from signalkit.inference import EnsemblePrediction, Predictor
from signalkit.inference.asking import Answer, Panel
from signalkit.live.desks import Desk, question_of
from signalkit.live.market import Market
from signalkit.live.record import SIDES
from signalkit.store import Asked, Predicted, Registered, Store
from signalkit.store.predictions import ENSEMBLE

_LOG = logging.getLogger(__name__)

# bars back that are predicted late at most
MOST = 1000
_LATE = {"code": "late", "detail": "a later bar had ended when it was predicted"}


class Answering:
    """Asks the models of a store and writes what they say."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._predictor, self._panel = Predictor(store), Panel(store)

    def due(self, desk: Desk, market: Market) -> list[tuple[pd.Timestamp, str]]:
        """Bars that the desk's question has not answered, with their symbols, oldest first."""
        found = []
        for symbol in desk.symbols:
            members = [entry for entry in desk.entries if symbol in entry.symbols]
            ends = self._lacking(ENSEMBLE, members, symbol, desk.asked, market.times(symbol))
            found += [(time, symbol) for time in ends]
        return sorted(found)

    def challenged(self, desk: Desk, market: Market) -> Iterator[tuple[pd.Timestamp, str, int]]:
        """Bars that challengers have not answered: time, symbol and place of the challenger."""
        for place, (entry, _) in enumerate(desk.challengers):
            for symbol in entry.symbols:
                times = market.times(symbol)
                for time in self._lacking(str(entry.id), [entry], symbol, desk.asked, times):
                    yield time, symbol, place

    def _lacking(
        self,
        made_by: str,
        members: Sequence[Registered],
        symbol: str,
        asked: Asked,
        times: pd.DatetimeIndex,
    ) -> list[pd.Timestamp]:
        """Bar ends that a maker has not answered and may."""
        if not len(times):
            return []
        last = self._newest(made_by, symbol, asked)
        first = 0 if last is None else int(times.searchsorted(last, side="right"))
        if first == len(times):
            return []
        for member in members:
            first = max(first, _after_training(member, times))
            if self._newest(str(member.id), symbol, asked) is None:
                first = max(first, _after_deployment(member, times))
        if len(times) - first > MOST:
            told = "%s of %s: %d bars lack a prediction; the newest %d are made"
            _LOG.warning(told, asked, symbol, len(times) - first, MOST)
            first = len(times) - MOST
        return list(times[first:])

    def _newest(self, made_by: str, symbol: str, asked: Asked) -> pd.Timestamp | None:
        """The last bar that a maker answered."""
        of = {"made_by": made_by, "symbol": symbol, "target": asked.target}
        of |= {"interval": asked.interval, "horizon": asked.horizon}
        rows = self._store.predictions.page(limit=1, **of)
        return pd.Timestamp(rows[0]["prediction_timestamp"], tz="UTC") if rows else None

    def ask(self, desk: Desk, symbol: str, time: pd.Timestamp, *, late: bool) -> list[Predicted]:
        """What the desk's question is answered at a bar: a row a vote, and their joint one."""
        told = self._predictor.get_ensemble_prediction(
            symbol, desk.hours, target=desk.asked.target, interval=desk.asked.interval, at=time
        )
        return _rows(told, desk.asked, time, late=late)

    def ask_alone(
        self, entry: Registered, symbol: str, time: pd.Timestamp, *, late: bool
    ) -> Predicted:
        """What a challenger says of a bar; nothing, with the reason, where it cannot be asked."""
        found = self._panel.ask(entry, symbol, time)
        detail = {"challenger": True} | ({"flags": [_LATE]} if late else {})
        own = (str(entry.id), symbol, question_of(entry), time.value)
        if not isinstance(found, Answer) or found.time != time:
            reason = getattr(found, "reason", "its newest bar is an older one")
            return Predicted(*own, None, detail=detail | {"left_out": reason})
        shares = None if found.shares is None else list(map(float, found.shares))
        return Predicted(
            *own,
            found.value,
            None if shares is None else max(shares),
            None if shares is None else dict(zip(SIDES, shares, strict=True)),
            detail=detail,
        )


def _after_training(entry: Registered, times: pd.DatetimeIndex) -> int:
    """Place of the first bar that ended after every label that a model learned was known."""
    last = int(times.searchsorted(entry.trained_to, side="right")) - 1
    return last + entry.prediction_horizon + 1


def _after_deployment(entry: Registered, times: pd.DatetimeIndex) -> int:
    """Place of the first bar that ended after a model was deployed, else of the newest."""
    if entry.deployed_at is None:
        return len(times) - 1
    place = int(times.searchsorted(pd.Timestamp(entry.deployed_at), side="right"))
    return min(place, len(times) - 1)


def _rows(
    told: EnsemblePrediction, asked: Asked, time: pd.Timestamp, *, late: bool
) -> list[Predicted]:
    """The rows of one answer."""
    plain = told.to_dict()
    flags = plain["flags"] + ([_LATE] if late else [])
    detail = {n: plain[n] for n in ("left_out", "disagreement")} | {"flags": flags}
    detail |= {n: plain[n] for n in ("prediction_set", "prediction_interval")}
    detail["weights"] = {str(vote.model): vote.weight for vote in told.votes}
    own = (told.symbol, asked, time.value)
    rows = [
        Predicted(
            str(vote.model),
            *own,
            vote.value,
            vote.confidence,
            vote.probabilities,
            told.origin,
            {"weight": vote.weight} | ({"flags": [_LATE]} if late else {}),
        )
        for vote in told.votes
        if told.time == time
    ]
    joint = (told.value, told.confidence, told.probabilities, told.origin, detail)
    return [*rows, Predicted(ENSEMBLE, *own, *joint)]
