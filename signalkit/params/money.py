"""Sections of money: how predictions become positions, and positions money."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from signalkit.params.types import Bps, Section

Fill = Literal["next_open", "next_close", "close"]


class Signals(Section):
    """How predictions become positions."""

    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.0
    direction: Literal["long_short", "long_only"] = "long_short"


class Backtesting(Section):
    """How positions become money."""

    fill: Fill = "next_close"
    fee_bps: Bps = 2.0
    slippage_bps: Bps = 1.0
    max_leverage: Annotated[float, Field(gt=0, le=10)] = 1.0
    open_holdout: bool = False
