"""What the API reads: parameters and bodies, each body with an example.

Bodies take no unknown names and no text for a number. A horizon of `prediction_horizon_hours`
and that of a training are hours; times have a zone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from signalkit.params.sections import Model, Target

Number = Annotated[int, Field(ge=1, le=2**53 - 1, description="number of a row")]
Symbol = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$", examples=["BTCUSDT"])]
Interval = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}[mhdw]$", examples=["1h"])]
Source = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,30}$", examples=["binance"])]
Hours = Annotated[float, Field(gt=0, le=876_000, examples=[24])]


def _in_our_time(moment: datetime) -> datetime:
    """Refuse years that no bar has, and that nanoseconds do not reach."""
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"a year from {_FIRST_YEAR} to {_LAST_YEAR}, was {moment.year}")
    return moment


_FIRST_YEAR, _LAST_YEAR = 1971, 2199
Moment = Annotated[
    AwareDatetime,
    Field(strict=False, examples=["2024-03-01T12:00:00Z"]),
    AfterValidator(_in_our_time),
]


class Body(BaseModel):
    """A body of a request: no unknown names, no text for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Train(Body):
    """Which model to train, on which stored bars; scored by a walk-forward."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_type": "XGBOOST",
                    "target_variable": "signal_direction",
                    "symbols": ["BTCUSDT", "ETHUSDT"],
                    "prediction_horizon": 24,
                    "training_days": 180,
                }
            ]
        }
    )
    model_type: Model
    target_variable: Target = "signal_direction"
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=100)]
    prediction_horizon: Annotated[Hours, Field(description="hours ahead")] = 24
    training_days: Annotated[int, Field(ge=1, le=36_500)] = 180
    interval: Interval = "1h"
    source: Source | None = None


class OfModel(Body):
    """A registered model."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": 1}]})
    model: Number


class Watched(Body):
    """How a model is watched; what is null or left out is as its study asks."""

    on_alarm: Literal["tell", "pause", "retire", "roll_back", "retrain"] | None = None
    on_drift: Literal["tell", "retrain"] | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    window: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    drift_window: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    retrain_every: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Configure(Body):
    """What to change of a model: its status, how it is watched."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "deployed"}]})
    status: Literal["deployed", "archived"] | None = None
    force: bool = False
    monitoring: Watched | None = None


class Predict(Body):
    """What to predict; `at` asks as at a moment, and is answered without being stored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"symbol": "BTCUSDT", "prediction_horizon_hours": 24}]}
    )
    symbol: Symbol
    prediction_horizon_hours: Hours = 24
    target: Target = "signal_direction"
    interval: Interval | None = None
    at: Moment | None = None


class Switch(Body):
    """Whether later trainings may read a feature."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})
    enabled: bool


class Close(Body):
    """That somebody has seen to an alarm."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"closed": True}]})
    closed: Literal[True]
