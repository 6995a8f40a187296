"""The loop: one step brings everything that is kept of deployed models up to a moment.

A step goes on from what is stored: each part looks for what lacks and writes it under a key, so
that a kill between any two leaves what the next step completes. Bars are predicted oldest
first, each after what was known at its end has settled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from signalkit.collection.pages import Stopped
from signalkit.errors import ParamsError
from signalkit.live.desks import Archive, Desk, desks
from signalkit.live.market import Market, Markets
from signalkit.live.past import Pasts
from signalkit.live.policy import Policy
from signalkit.live.positions import Positions
from signalkit.live.predicting import Answering
from signalkit.live.record import Records
from signalkit.live.scoring import Scoring
from signalkit.live.settling import Settling
from signalkit.live.watching import Watching
from signalkit.params import Params
from signalkit.store import Store
from signalkit.store.locks import Lock

_LOG = logging.getLogger(__name__)

_NO_DESK = "no model is deployed; deploy one with `signalkit models deploy ID`"
_BROKEN = "its files are missing or not what was stored; train it again"


@dataclass
class Step:
    """What one step did: `newest` bar that was read, counts of what is new, acts and remarks."""

    at: pd.Timestamp
    newest: pd.Timestamp | None = None
    predicted: int = 0
    settled: int = 0
    signals: int = 0
    alarms: int = 0
    acts: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    busy: bool = False

    def words(self) -> str:
        """The step in one line."""
        if self.busy:
            return "another step is running; nothing was done"
        if self.newest is None:
            return "; ".join(self.remarks or [_NO_DESK])
        counts = (
            f"{self.newest:%Y-%m-%d %H:%M}Z: {self.predicted} predictions, {self.settled}"
            f" outcomes, {self.signals} signals, {self.alarms} alarms"
        )
        return "; ".join([counts, *self.acts, *self.remarks])


class Loop:
    """Steps over one store; models, features and records stay warm between them.

    Parameters
    ----------
    store : Store
        With the registry and the bars.
    study : Params, optional
        The study that is meant, with its sections of a deployed study; every one if omitted.
    collect : callable, optional
        Brings the bars of a study up to its source's present before a step, and returns a
        remark or ""; nothing is collected if omitted.
    stop : callable, optional
        Asked between parts whether to stop.
    """

    def __init__(
        self,
        store: Store,
        study: Params | None = None,
        *,
        collect: Callable[[Params], str] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store, self._given, self._collect, self._stop = store, study, collect, stop
        self._archive, self._markets = Archive(store), Markets(store)
        self._pasts, self._records = Pasts(), Records(store)
        self._answering = Answering(store)
        self._settling = Settling(store, self._archive, self._markets)
        self._scoring = Scoring(store, self._pasts, self._records)
        self._watching = Watching(store, self._pasts, self._records, self._scoring)
        self._policy = Policy(store)
        self._positions = Positions(store, self._pasts, self._records)

    def step(self, at: pd.Timestamp | None = None) -> Step:
        """Bring everything up to a moment.

        Parameters
        ----------
        at : Timestamp, optional
            The moment, UTC: bars and outcomes known by then alone. The present if omitted;
            nothing is collected for another moment.

        Returns
        -------
        Step
            What was done; `busy` where another process is at it.

        Raises
        ------
        ParamsError
            If the moment has no zone.
        StoreError
            If the disk refuses.
        """
        if at is not None and (not isinstance(at, pd.Timestamp) or at.tzinfo is None):
            raise ParamsError(f"at must be a Timestamp with a zone such as UTC, was {at!r}")
        lock = Lock(self._store.folder / "locks" / "live.lock")
        done = Step(pd.Timestamp.now("UTC") if at is None else at.tz_convert("UTC"))
        if not lock.take():
            done.busy = True
            return done
        try:
            self._parts(done, played=at is not None)
        finally:
            lock.release()
        return done

    def desks(self) -> list[Desk]:
        """What is deployed now."""
        return desks(self._store, self._archive, self._given)

    def _parts(self, done: Step, *, played: bool) -> None:
        """The parts of a step, in order."""
        done.acts += self._policy.resume()
        found = self.desks()
        done.remarks += self._lacking(found)
        if self._collect is not None and not played:
            done.remarks += self._collected(found)
            done.at = pd.Timestamp.now("UTC")
        pairs = [(desk, self._markets.of(desk.study.params, done.at)) for desk in found]
        pairs = [(desk, market) for desk, market in pairs if self._has_bars(desk, market, done)]
        self._predict(pairs, done)
        self._check()
        done.settled += self._settling.settle(done.at, done.at)
        for desk, market in pairs:
            self._check()
            self._watch(desk, market, done)
        self._rest(found, done)

    def _lacking(self, found: list[Desk]) -> list[str]:
        """Remarks on what is deployed and is at no desk, or is not deployed though it is meant."""
        asked = None if self._given is None else self._given.study_name
        held = {entry.id for desk in found for entry in desk.entries}
        deployed = [m for m in self._store.models.list() if m.status == "deployed" and m.interval]
        meant = [m for m in deployed if asked in (None, m.study)]
        if asked is not None and not meant:
            return [f"no model of {asked!r} is deployed"]
        return [f"model {m.id} {m.name}: {_BROKEN}" for m in meant if m.id not in held]

    def _check(self) -> None:
        """Stop here where somebody asked for it."""
        if self._stop():
            raise Stopped

    def _has_bars(self, desk: Desk, market: Market, done: Step) -> bool:
        """Whether a desk's market has a bar by then; remarked where it has none."""
        if market.newest is None:
            source = desk.study.params.collection.source
            done.remarks.append(f"{desk.name}: no bars from {source} are stored by then")
            return False
        done.newest = max(market.newest, done.newest or market.newest)
        return True

    def _collected(self, found: list[Desk]) -> list[str]:
        """Have the newest bars of each study's source; remarks."""
        asked = {}
        for desk in found:
            kept = desk.study.params.collection
            asked[kept.source, tuple(kept.symbols), kept.interval] = desk.study.params
        remarks = [self._collect(params) for params in asked.values() if self._collect]
        return [remark for remark in remarks if remark]

    def _predict(self, pairs: list[tuple[Desk, Market]], done: Step) -> None:
        """Predict every bar that lacks it, in order of time, and challengers after."""
        due = [
            (time, place, symbol)
            for place, (desk, market) in enumerate(pairs)
            for time, symbol in self._answering.due(desk, market)
        ]
        answered: set[tuple] = set()
        for time, batch in _by_time(due):
            self._check()
            done.settled += self._settling.settle(time, done.at)
            for place, symbols in batch.items():
                desk, market = pairs[place]
                rows = []
                for symbol in symbols:
                    if (time, symbol, desk.asked) not in answered:
                        late = time < market.times(symbol)[-1]
                        rows += self._answering.ask(desk, symbol, time, late=late)
                    answered.add((time, symbol, desk.asked))
                done.predicted += self._store.predictions.write(rows)
        for desk, market in pairs:
            for time, symbol, place in self._answering.challenged(desk, market):
                entry, late = desk.challengers[place][0], time < market.times(symbol)[-1]
                row = self._answering.ask_alone(entry, symbol, time, late=late)
                done.predicted += self._store.predictions.write([row])

    def _watch(self, desk: Desk, market: Market, done: Step) -> None:
        """Watch one desk, write its signals, score it, and act at last.

        What an act changes is read by the next step alone, so that a kill amid acts leaves
        nothing to be written otherwise.
        """
        moment = market.moment(done.at)
        done.alarms += self._watching.alarms(desk, moment)
        drifted = self._watching.drift(desk, market, moment)
        self._watching.challengers(desk, moment)
        self._check()
        paid = None
        if desk.speaks:
            done.signals += self._positions.write(desk, market, self._policy.paused(desk))
            equity = self._positions.account(desk, market)
            paid = None if equity is None else equity["strategy"].pct_change().shift(-1)
        self._scoring.score(desk, moment, paid=paid, drift=drifted)
        self._check()
        done.acts += self._policy.act(desk, market)

    def _rest(self, found: list[Desk], done: Step) -> None:
        """Have studies of which nothing is deployed ask for nothing."""
        speaking = {desk.name for desk in found}
        for name in self._positions.held():
            meant = self._given is None or self._given.study_name == name
            if name not in speaking and meant:
                done.signals += self._positions.rest(name, self._market_of(name, done.at))

    def _market_of(self, name: str, at: pd.Timestamp) -> Market | None:
        """The market of a study of which nothing is deployed."""
        models = [m for m in self._store.models.list() if m.study == name]
        papers = [told for m in reversed(models) if (told := self._archive.papers(m))]
        return self._markets.of(papers[0].asked, at) if papers else None


def _by_time(
    due: list[tuple[pd.Timestamp, int, str]],
) -> list[tuple[pd.Timestamp, dict[int, list[str]]]]:
    """Bars that lack a prediction, by time and by place of the desk."""
    found: dict[pd.Timestamp, dict[int, list[str]]] = {}
    for time, place, symbol in sorted(due):
        found.setdefault(time, {}).setdefault(place, []).append(symbol)
    return list(found.items())


def tick(
    store: Store,
    study: Params | None = None,
    *,
    at: pd.Timestamp | None = None,
    collect: Callable[[Params], str] | None = None,
) -> Step:
    """One step of the loop, with nothing kept warm; see `Loop.step`.

    Parameters
    ----------
    store : Store
        With the registry and the bars.
    study, at, collect
        As `Loop` and `Loop.step` take them.
    """
    return Loop(store, study, collect=collect).step(at)
