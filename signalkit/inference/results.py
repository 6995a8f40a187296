"""What a prediction says: the answer, how sure, what it rests on and what was left out.

A prediction that was refused has no value; its flags say why. Everything here becomes JSON by
`to_dict`: times are ISO 8601 in UTC, what is not there is null.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import pandas as pd

SIDES = ("sell", "hold", "buy")

# code of the flag of an answer that knew its outcome
IN_SAMPLE = "in_sample"


@dataclass(frozen=True)
class Flag:
    """One thing that takes away from a prediction: its code and what was found."""

    code: str
    detail: str


@dataclass(frozen=True)
class LeftOut:
    """A registered model that was asked for and does not count, and why."""

    model: int
    name: str
    code: str
    reason: str


@dataclass(frozen=True)
class Vote:
    """What one model says: its answer, its own calibrated confidence, its weight from 0 to 1."""

    model: int
    name: str
    model_type: str
    value: float
    probabilities: dict[str, float] | None
    confidence: float | None
    weight: float


@dataclass(frozen=True)
class Prediction:
    """One answer about one symbol.

    Parameters
    ----------
    symbol, target, interval : str
        What was asked of which bars.
    horizon : int
        Bars from `time` to the answer; `hours` is how long that is.
    time : Timestamp
        End of the newest bar that was read, None where there is none.
    asked_at : Timestamp
        The moment for which it was asked.
    value : float
        Class -1, 0 or 1, or a number in the target's unit; None where it was refused.
    probabilities : dict of str to float
        Of sell, hold and buy; None for numbers.
    confidence : float
        Calibrated probability of the class, lowered by what the flags say; None for numbers.
    origin : str
        `deployed`, `former` (a version deployed before), `rule` or `none`.
    model, name : int, str
        The model whose answer it is; None of several, a rule or none.
    refused : bool
        Whether no answer is given, for the reasons in `flags`.
    flags : tuple of Flag
        What takes away from the answer.
    left_out : tuple of LeftOut
        Models that do not count, and why.
    """

    symbol: str
    target: str
    interval: str
    horizon: int
    hours: float
    time: pd.Timestamp | None
    asked_at: pd.Timestamp
    value: float | None
    probabilities: dict[str, float] | None
    confidence: float | None
    origin: str
    model: int | None
    name: str | None
    refused: bool
    flags: tuple[Flag, ...]
    left_out: tuple[LeftOut, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return _plain(self)


@dataclass(frozen=True)
class EnsemblePrediction(Prediction):
    """One answer of all models that could be asked.

    Parameters
    ----------
    prediction_set : tuple of str
        Sides to be reckoned with; None for numbers and while too few predictions settled.
    prediction_interval : tuple of float
        Low and high around a number; None for classes and while too few settled.
    disagreement : float
        From 0 to 1, see `training.combine`; None where nobody voted.
    votes : tuple of Vote
        What each model says.
    """

    prediction_set: tuple[str, ...] | None
    prediction_interval: tuple[float, float] | None
    disagreement: float | None
    votes: tuple[Vote, ...]


def _plain(value: Any) -> Any:
    """A value as JSON can say it."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value
