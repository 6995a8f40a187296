"""Which registered models answer a question: those deployed now, and those deployed before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import pandas as pd

from signalkit.bars import interval_length
from signalkit.errors import ParamsError
from signalkit.store import Registered, Store

# what orders models, by the kind of score that their validation gave
_SCORES = ("log_loss", "mse")
_DEPLOYED = """SELECT subject FROM audit WHERE action = 'deploy'
    AND json_extract(detail, '$.name') = ? ORDER BY id DESC"""


@dataclass(frozen=True)
class Question:
    """A symbol, a target and bars ahead, and the deployed models that answer, best first."""

    symbol: str
    target: str
    hours: float
    horizon: int
    interval: str
    entries: tuple[Registered, ...]


def question(
    deployed: Sequence[Registered],
    symbol: str,
    hours: float,
    target: str,
    *,
    interval: str | None = None,
) -> Question:
    """Those of the deployed models that answer a question.

    Raises
    ------
    ParamsError
        If none does, the hours are no whole number of bars, or models of several intervals
        answer and none is named.
    """
    if not isinstance(hours, Real) or isinstance(hours, bool) or not 0 < hours < math.inf:
        raise ParamsError(
            f"prediction_horizon_hours must be above 0 hours and finite, was {hours!r}"
        )
    mine = [m for m in deployed if m.target_variable == target and symbol in m.symbols]
    mine = [m for m in mine if interval in (None, m.interval)]
    if not mine:
        of = f" on {interval} bars" if interval else ""
        told = sorted({f"{m.target_variable} of {', '.join(m.symbols)}" for m in deployed})
        raise ParamsError(
            f"no deployed model predicts {target} of {symbol}{of}; deployed are"
            f" {'; '.join(told) or 'none'}; deploy one with `signalkit models deploy`"
        )
    lengths = {m.interval: bars_ahead(hours, m.interval) for m in mine}
    if not any(lengths.values()):
        found = ", ".join(sorted(lengths))
        raise ParamsError(
            f"prediction_horizon_hours is {hours:g}, which is no whole number of {found} bars"
        )
    fits = [m for m in mine if m.prediction_horizon == lengths[m.interval]]
    kinds = sorted({m.interval for m in fits})
    if not fits:
        there = sorted({f"{_hours(m):g}" for m in mine}, key=float)
        raise ParamsError(
            f"no deployed model predicts {target} of {symbol} {hours:g} hours ahead; deployed are"
            f" {' and '.join(there)} hours"
        )
    if len(kinds) > 1:
        raise ParamsError(
            f"models on {' and '.join(kinds)} bars predict {target} of {symbol} {hours:g} hours"
            " ahead; name one as interval"
        )
    horizon = fits[0].prediction_horizon
    return Question(symbol, target, float(hours), horizon, kinds[0], tuple(ordered(fits)))


def bars_ahead(hours: float, interval: str) -> int:
    """The bars that so many hours are; 0 where they are no whole number of them."""
    length = interval_length(interval)
    span = pd.Timedelta(hours, "h")
    return int(span // length) if span >= length and span % length == pd.Timedelta(0) else 0


def _hours(model: Registered) -> float:
    """Hours that a model looks ahead."""
    return interval_length(model.interval) * model.prediction_horizon / pd.Timedelta(1, "h")


def ordered(entries: Sequence[Registered]) -> list[Registered]:
    """Models by their out-of-sample score, best first; those without one last, newest first."""

    def place(model: Registered) -> tuple[float, int]:
        found = [model.metrics[name] for name in _SCORES if name in model.metrics]
        return (found[0] if found else math.inf), -model.id

    return sorted(entries, key=place)


def former(store: Store, model: Registered) -> list[Registered]:
    """Models that were deployed under a model's name before, for the same question, newest first.

    The audit says in which order they were deployed.
    """
    rows = store.db.execute(_DEPLOYED, [model.name]).fetchall()
    numbers = dict.fromkeys(int(subject.removeprefix("model ")) for (subject,) in rows)
    there = {m.id: m for m in store.models.list()}
    asked = (model.target_variable, model.prediction_horizon, model.interval)
    found = [there[number] for number in numbers if number in there and number != model.id]
    return [
        m
        for m in found
        if (m.target_variable, m.prediction_horizon, m.interval) == asked
        and set(model.symbols) <= set(m.symbols)
    ]
