"""What each page of the dashboard shows, read from the store and put in order."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd

from signalkit.errors import StoreError
from signalkit.serving import reading
from signalkit.serving.api_models import settings_key
from signalkit.serving.charts import Band, Chart, Drawn, Level, Line, draw
from signalkit.serving.dashboard_pages import maker, number, share
from signalkit.serving.dashboard_scores import (
    Outcomes,
    Score,
    Track,
    reliability,
    score,
    track,
)
from signalkit.serving.problems import Problem
from signalkit.store import Asked, Registered, Store
from signalkit.store.predictions import ENSEMBLE
from signalkit.study.registry import PAST

NEWEST = 1_000  # outcomes that a score in a list is of
TRACKED = 5_000  # outcomes that a chart is of
_MOST_MAKERS = 12
_MOST_KNOWN = 1_000
_KNOWN: dict[tuple[str, Asked], Score | None] = {}


@dataclass(frozen=True)
class Scored:
    """A maker and a question with its score; `state` as the loop last judged it."""

    made_by: str
    asked: Asked
    model: Registered | None
    score: Score | None
    settled: int
    state: str | None


def question_of(model: Registered) -> Asked:
    """What a model answers."""
    return Asked(model.target_variable, model.interval or "", model.prediction_horizon)


def outcomes(store: Store, made_by: str, asked: Asked, limit: int = NEWEST) -> Outcomes:
    """The newest settled predictions of a maker."""
    return Outcomes(asked, reading.settled(store, made_by, asked, limit=limit))


def _scored(store: Store, pair: tuple[str, Asked], models: dict[str, Registered]) -> Scored:
    """The score of a maker."""
    of, last = outcomes(store, *pair), reading.performance(store, *pair, limit=1)
    state = last[0]["state"] if last else None
    return Scored(*pair, models.get(pair[0]), score(of), of.n, state)


def scored(store: Store, models: list[Registered]) -> list[Scored]:
    """Scores of the ensemble and of the deployed models, where they have predicted."""
    deployed = {str(model.id): model for model in models if model.status == "deployed"}
    asked = {question_of(model) for model in deployed.values()}
    pairs = [
        pair
        for pair in reading.questions(store)
        if pair[0] in deployed or (pair[0] == ENSEMBLE and pair[1] in asked)
    ]
    return [_scored(store, pair, deployed) for pair in pairs[:_MOST_MAKERS]]


def _unit(of: Outcomes, window: int) -> str:
    """Label of the upright axis of a rolling score."""
    what = "accuracy, share of right answers" if of.is_class else "mean absolute error, as labels"
    return f"{what}, newest {window} outcomes"


def _promised(rows: list[dict[str, Any]]) -> list[Level]:
    """The least accuracy that validation promised, where the loop noted it."""
    least = rows[0]["detail"].get("accuracy_low") if rows else None
    return [] if least is None else [Level("least that validation promised", least)]


def accuracy_chart(
    of: Outcomes, found: Track | None, name: str, kept: list[dict[str, Any]]
) -> Drawn | None:
    """Rolling accuracy or error in its interval, beside the baseline."""
    if found is None:
        return None
    words = share if of.is_class else lambda value: number(value, 5)
    said = "accuracy" if of.is_class else "mean absolute error"
    often = "always the window's most frequent outcome" if of.is_class else "always its mean"
    return draw(
        Chart(
            "accuracy",
            f"{said.capitalize()} of {name}",
            _unit(of, found.window),
            found.times,
            [Line(said, found.value), Line(often, found.baseline, "base")],
            [Band("95 % interval", found.low, found.high)],
            _promised(kept),
            words,
        )
    )


def confidence_chart(found: Track | None) -> Drawn | None:
    """How sure it said it was, beside how often it was right."""
    if found is None or found.confidence is None:
        return None
    return draw(
        Chart(
            "confidence",
            "Claimed and kept",
            f"mean confidence and accuracy, newest {found.window} outcomes",
            found.times,
            [Line("confidence claimed", found.confidence, "two"), Line("accuracy", found.value)],
            words=share,
        )
    )


def loss_chart(found: Track | None) -> Drawn | None:
    """Log-loss beside that of the frequencies alone; less is better."""
    if found is None or found.loss is None:
        return None
    return draw(
        Chart(
            "loss",
            "Error of the probabilities",
            f"log-loss in nats, less is better, newest {found.window} outcomes",
            found.times,
            [
                Line("log-loss", found.loss, "three"),
                Line("of the window's frequencies alone", found.loss_baseline, "base"),
            ],
            words=lambda value: number(value),
        )
    )


def drift_chart(rows: list[dict[str, Any]]) -> Drawn | None:
    """Drift as the loop measured it."""
    told = [row for row in reversed(rows) if row["drift"] is not None]
    if not told:
        return None
    return draw(
        Chart(
            "drift",
            "Drift of what it reads",
            "population stability index against the bars before it predicted",
            [row["date"] for row in told],
            [Line("drift", [row["drift"] for row in told], "three")],
            levels=[Level("0.25, often taken as moved", 0.25)],
            words=lambda value: number(value),
        )
    )


def equity_charts(store: Store) -> list[tuple[str, Drawn | None, str]]:
    """Equity of each study's deployed signal: name, chart, when it was kept."""
    found = []
    for place, (name, (state, at)) in enumerate(reading.states(store, "equity ").items()):
        found.append((name, equity_chart(state, name, f"equity-{place}"), at))
    return found


def equity_chart(state: dict[str, Any], name: str, id: str) -> Drawn | None:
    """Equity beside holding, both from 1."""
    times = state.get("times", [])
    lines = [
        Line(words, state[key], look)
        for key, words, look in (
            ("strategy", "the signal, after costs", "one"),
            ("hold", "holding the symbols", "base"),
        )
        if len(state.get(key, [])) == len(times)
    ]
    unit = "multiple of the capital at the start"
    if not times or not lines:
        return None
    levels = [Level("start", 1.0, "start")]
    return draw(
        Chart(
            id,
            f"Equity of {name}",
            unit,
            times,
            lines,
            levels=levels,
            words=lambda v: f"{number(v, 2)} ×",
        )
    )


def _past(content: bytes, asked: Asked) -> Score | None:
    """Score of walk-forward predictions."""
    table = pd.read_parquet(BytesIO(content)).dropna(subset=["prediction", "actual", "known_at"])
    table = table.sort_values("known_at", kind="stable")
    known_at = pd.DatetimeIndex(table["known_at"]).as_unit("ns").asi8
    empty = np.full(len(table), np.nan)
    cells = zip(
        *(empty, empty, known_at, table["prediction"], table["actual"], empty),
        *(table[name] for name in ("confidence", "p_sell", "p_hold", "p_buy")),
        strict=True,
    )
    return score(Outcomes(asked, list(cells)))


def validated(store: Store, model: Registered) -> tuple[Score | None, str | None]:
    """What validation said of a model, or why nothing can be said.

    The registry compares the files with their SHA-256; what they say never changes, so it is
    worked out once a process.
    """
    known = (model.sha256, question_of(model))
    if known not in _KNOWN:
        try:
            files = store.models.files(model.id)
        except StoreError:
            return None, "its files are missing or changed; train it again"
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[known] = _past(files[PAST], known[1]) if PAST in files else None
    return _KNOWN[known], None


def overview(store: Store) -> dict[str, Any]:
    """What the first page shows."""
    models = store.models.list()
    rows = scored(store, models)
    lead = rows[0] if rows else None
    chart = _lead_chart(store, lead.made_by, lead.asked) if lead else None
    bars, waiting = reading.bars(store), reading.unsettled(store)
    heartbeat = store.watch.state("heartbeat")
    return {
        "models": models,
        "deployed": [model for model in models if model.status == "deployed"],
        "rows": rows,
        "chart": chart,
        "equity": equity_charts(store),
        "alarms": store.watch.alarms(limit=8),
        "predictions": reading.predictions(store, limit=10).rows,
        "signals": _newest_signals(store),
        "bars": bars,
        "newest_bar": max((row["last_bar"] for row in bars), default=None),
        "heartbeat": heartbeat and heartbeat.get("at"),
        "rehearsal": store.watch.state("rehearsal"),
        "unsettled": waiting,
        "training": reading.waiting(store),
    }


def _lead_chart(store: Store, made_by: str, asked: Asked) -> Drawn | None:
    """Accuracy over time of the first maker of a list."""
    of, kept = (
        outcomes(store, made_by, asked, TRACKED),
        reading.performance(store, made_by, asked, limit=1),
    )
    return accuracy_chart(of, track(of), f"{maker(made_by)}, {asked}", kept)


def _newest_signals(store: Store) -> list[dict[str, Any]]:
    """The newest signal of each study and symbol."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in store.watch.signals(limit=200):
        newest.setdefault((row["study"], row["symbol"]), row)
    return list(newest.values())


def performance(store: Store, made_by: str | None, asked: Asked | None) -> dict[str, Any]:
    """What the page of scores over time shows: of the maker that is asked for, or the first."""
    pairs = reading.questions(store)
    pair = next((p for p in pairs if p == (made_by, asked)), pairs[0] if pairs else None)
    return {"pairs": pairs, "chosen": pair} | (tracked(store, *pair) if pair else {})


def tracked(store: Store, made_by: str, asked: Asked) -> dict[str, Any]:
    """Everything over time of one maker and question."""
    of = outcomes(store, made_by, asked, TRACKED)
    found, kept = track(of), reading.performance(store, made_by, asked)
    return {
        "score": score(of),
        "settled": of.n,
        "tracked": TRACKED,
        "charts": [
            drawn
            for drawn in (
                accuracy_chart(of, found, f"{maker(made_by)}, {asked}", kept),
                confidence_chart(found),
                loss_chart(found),
                drift_chart(kept),
            )
            if drawn
        ],
        "reliability": reliability(of),
        "kept": kept[:12],
    }


def find(store: Store, number: int) -> Registered:
    """The model of a number.

    Raises
    ------
    Problem
        404 where there is none.
    """
    found = next((model for model in store.models.list() if model.id == number), None)
    if found is None:
        raise Problem(404, f"no model {number} is registered")
    return found


def models(store: Store, chosen: dict[str, str]) -> dict[str, Any]:
    """The registry, newest first, each model with what validation said of it."""
    every = store.models.list()
    found = [
        model
        for model in reversed(every)
        if all(getattr(model, name) == value for name, value in chosen.items())
    ]
    return {
        "rows": [(model, *validated(store, model)) for model in found],
        "total": len(every),
        "choices": {
            "status": ["deployed", "trained", "archived"],
            "model_type": sorted({model.model_type for model in every}),
            "target_variable": sorted({model.target_variable for model in every}),
        },
    }


def model(store: Store, found: Registered) -> dict[str, Any]:
    """What the page of a model shows."""
    asked = question_of(found)
    past, fault = validated(store, found)
    named = [other for other in store.models.list() if other.name == found.name]
    return tracked(store, str(found.id), asked) | {
        "model": found,
        "asked": asked,
        "past": past,
        "fault": fault,
        "watched": store.watch.state(settings_key(found.id)) or {},
        "named": [other for other in reversed(named) if other.id != found.id],
    }


def askable(store: Store) -> list[tuple[str, Asked]]:
    """Symbols and questions that a deployed model answers."""
    found = {
        (symbol, question_of(model))
        for model in store.models.list()
        if model.status == "deployed"
        for symbol in model.symbols
    }
    return sorted(found)
