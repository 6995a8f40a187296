"""The sections of a params file that a deployed study reads; they make no trial another one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from signalkit.params.types import Bars, Section


class Inference(Section):
    """How answers of deployed models are looked at: `replay` newest bars are served again."""

    replay: Bars = 20


class Monitoring(Section):
    """What is watched of a deployed study, and what is done when an alarm is raised.

    `window` settled times make a rolling score, `drift_window` times are compared with those
    before the model predicted; a model older than `retrain_every` bars is trained again.
    """

    window: Annotated[int, Field(ge=2)] = 250
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    drift_window: Annotated[int, Field(ge=2)] = 250
    on_alarm: Literal["tell", "pause", "retire", "roll_back", "retrain"] = "pause"
    on_drift: Literal["tell", "retrain"] = "tell"
    retrain_every: Bars | None = None
