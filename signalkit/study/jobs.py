"""What a worker does for a queued job: train a model, train a study again, simulate a model.

A job is the same study that a command would open, so what was finished before a stop is read,
not made again, and doing a job twice gives what doing it once gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from signalkit.errors import ParamsError
from signalkit.store import Store
from signalkit.study import request
from signalkit.study.registry import register, study_of
from signalkit.study.study import Study


def do(store: Store) -> int | None:
    """Do the oldest queued job.

    Parameters
    ----------
    store : Store
        Its queue, bars and registry.

    Returns
    -------
    int
        Number of its session, which is completed; None where nothing was queued.

    Raises
    ------
    SignalkitError
        Why it failed, as its session says.
    """
    job = store.sessions.take()
    if job is None:
        return None
    with job:
        kind = job.asked.get("kind")
        if kind not in KINDS:
            raise ParamsError(f"a job is one of {list(KINDS)}, was {kind!r}")
        job.make(KINDS[kind](store, job.asked))
    return job.id


def _train(store: Store, asked: Mapping[str, Any]) -> list[int]:
    """A model of stored bars, scored by a walk-forward."""
    words = {name: value for name, value in asked.items() if name != "kind"}
    study = Study.open(request.name(**words), **request.sections(store, **words))
    request.check(study, **words)
    return _registered(study)


def _again(store: Store, asked: Mapping[str, Any]) -> list[int]:
    """The models of a study up to the newest bar."""
    model = store.models.find(asked["model"])
    return _registered(Study.open(**request.again(store, model)))


def _registered(study: Study) -> list[int]:
    """Numbers of a study's models, with what their walk-forward predicted and how it scored."""
    past = study.validate()
    return list(register(study, study.evidence("scores"), past).values())


def _backtest(store: Store, asked: Mapping[str, Any]) -> list[int]:
    """The simulation of a model; its trades and its trial are stored by the study."""
    model = store.models.find(asked["model"])
    Study.open(**study_of(model, store.models.files(model.id))).backtest()
    return [model.id]


KINDS: dict[str, Callable[[Store, Mapping[str, Any]], list[int]]] = {
    "train": _train,
    "again": _again,
    "backtest": _backtest,
}
