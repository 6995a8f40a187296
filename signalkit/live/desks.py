"""Desks: what is deployed, a desk for each study and question, with its challengers.

A desk's params are those of its newest model whose files are whole; those given to the loop
replace the sections that only a deployed study reads. What was said of how one model is to be
watched comes before both: of several of a desk that of the best.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field

import pandas as pd

from signalkit import params
from signalkit.bars import interval_length
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.inference.choice import ordered
from signalkit.params import Params
from signalkit.store import Asked, Registered, Store
from signalkit.study import Study
from signalkit.study.registry import STUDY, past_of

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Papers:
    """What a model's files say beside itself: params of its study, its walk-forward past."""

    asked: Params
    past: pd.DataFrame | None


@dataclass(frozen=True)
class Desk:
    """Deployed models of one study that answer one question, best first.

    `speaks` says whether the study's signal is made of them; `challengers` are newer models of
    a deployed one's name, each with the number of the one that it may replace.
    """

    study: Study
    asked: Asked
    entries: tuple[Registered, ...]
    challengers: tuple[tuple[Registered, int], ...] = ()
    speaks: bool = True
    papers: dict[int, Papers] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.params.study_name

    @property
    def symbols(self) -> list[str]:
        """Symbols of its models."""
        return sorted({symbol for entry in self.entries for symbol in entry.symbols})

    @property
    def hours(self) -> float:
        """Hours that it looks ahead, as the predictor is asked."""
        return hours(self.asked)


def hours(asked: Asked) -> float:
    """Hours of a question, a day of an exchange counts 24."""
    return interval_length(asked.interval) * asked.horizon / pd.Timedelta(1, "h")


def question_of(entry: Registered) -> Asked:
    """What a model is asked."""
    return Asked(entry.target_variable, entry.interval or "", entry.prediction_horizon)


class Archive:
    """Papers of registered models, each read once after its hash was compared."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[tuple[int, str], Papers] = {}

    def papers(self, entry: Registered) -> Papers | None:
        """What a model's files say, None where they are not whole or say nothing."""
        key = (entry.id, entry.sha256)
        if key not in self._held:
            try:
                files = self._store.models.files(entry.id)
                asked = params.parse(json.loads(files[STUDY]))
                self._held[key] = Papers(asked, past_of(files))
            except (StoreError, KeyError, DataError, ParamsError) as cause:
                _LOG.warning("model %d %s is not read: %s", entry.id, entry.name, cause)
                return None
        return self._held[key]


def desks(store: Store, archive: Archive, given: Params | None = None) -> list[Desk]:
    """Every desk, by the name of its study; of one study where params are given.

    Parameters
    ----------
    store : Store
        With the registry.
    archive : Archive
        Papers of models.
    given : Params, optional
        Params whose study is meant and whose sections of a deployed study hold.
    """
    models = [m for m in store.models.list() if m.interval]
    deployed = [m for m in models if m.status == "deployed"]
    if given is not None:
        deployed = [m for m in deployed if m.study == given.study_name]
    groups: dict[tuple[str, Asked], list[Registered]] = {}
    for model in deployed:
        groups.setdefault((model.study or "", question_of(model)), []).append(model)
    newest: dict[str, int] = {}
    for (name, _), members in groups.items():
        newest[name] = max([newest.get(name, 0), *(m.id for m in members)])
    found = []
    for (name, asked), members in sorted(groups.items()):
        alike = [m for m in models if m.study == name and question_of(m) == asked]
        held = {m.id: told for m in alike if (told := archive.papers(m)) is not None}
        own = next((held[m.id] for m in _leading(members, alike) if m.id in held), None)
        if own is None:
            _LOG.warning("no model of %s says what its study is; train it again", name)
            continue
        watched = _watched(store, _with(own.asked, given), ordered(members))
        study = Study(watched)
        speaks = newest[name] in {m.id for m in members}
        rivals = _challengers(members, alike)
        found.append(Desk(study, asked, tuple(ordered(members)), rivals, speaks, held))
    return found


def _leading(members: list[Registered], alike: list[Registered]) -> list[Registered]:
    """Models whose params are asked for, in order: deployed ones, then all, newest first."""
    return [*sorted(members, key=lambda m: -m.id), *sorted(alike, key=lambda m: -m.id)]


def _with(own: Params, given: Params | None) -> Params:
    """Params of a model with the sections of a deployed study that were given."""
    if given is None:
        return own
    return own.model_copy(update={"inference": given.inference, "monitoring": given.monitoring})


def watched_key(model: int) -> str:
    """Under which key of the states a model's own way of being watched is kept."""
    return f"monitoring model {model}"


def _watched(store: Store, asked: Params, members: list[Registered]) -> Params:
    """Params with what was said of how the best of some models is to be watched."""
    said = (store.watch.state(watched_key(member.id)) for member in members)
    own = next((found for found in said if found), {})
    told = asked.monitoring.model_dump() | {n: v for n, v in own.items() if v is not None}
    return asked.model_copy(update={"monitoring": type(asked.monitoring)(**told)})


def _challengers(
    members: list[Registered], alike: list[Registered]
) -> tuple[tuple[Registered, int], ...]:
    """The newest trained model of each deployed one's name, where it is newer."""
    found = []
    for member in members:
        newer = [m for m in alike if m.name == member.name and m.status == "trained"]
        newer = [m for m in newer if m.id > member.id and m.symbols == member.symbols]
        if newer:
            found.append((max(newer, key=lambda m: m.id), member.id))
    return tuple(found)
