"""Sections of money: how predictions become positions, and positions money."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from signalkit.params.types import Bars, Bps, Section

Fill = Literal["next_open", "next_close", "close"]
Regime = Literal["calm", "normal", "wild", "unknown"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
NotNegative = Annotated[float, Field(ge=0)]


class Fusion(Section):
    """Whose voices make the signal, and what each of them weighs."""

    voices: Annotated[list[str], Field(min_length=1)] = ["ENSEMBLE"]
    rules: list[str] = []
    method: Literal["equal", "confidence", "dynamic"] = "confidence"
    min_confidence: Share = 0.0
    agree: Annotated[int, Field(ge=0)] = 0
    rule_weight: NotNegative = 0.25
    half_life: Bars = 250
    regime_weights: dict[Regime, dict[str, NotNegative]] = {}


class Adapting(Section):
    """How the threshold follows what was earned, how wild the market is, and its regime."""

    by_performance: NotNegative = 0.0
    by_volatility: float = 0.0
    low: Share = 0.0
    high: Share = 1.0
    half_life: Bars = 250
    prior: NotNegative = 30.0
    by_regime: dict[Regime, Share] = {}


class MarketRegime(Section):
    """By which rule a bar is calm, normal or wild."""

    method: Literal["quantile", "markov"] = "quantile"
    span: Annotated[int, Field(ge=2)] = 60
    least: Annotated[int, Field(ge=50)] = 250
    states: Literal[2, 3] = 2


class BetSize(Section):
    """How much a signal puts to work."""

    method: Literal["fixed", "volatility", "kelly", "probability"] = "fixed"
    by_confidence: bool = True
    annual_volatility: Positive = 0.1
    volatility_span: Annotated[int, Field(ge=2)] = 60
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.25
    payoff: Literal["even", "settled"] = "even"
    step: Share = 0.0
    cap: Positive | None = None


class Signals(Section):
    """How predictions become positions."""

    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.0
    direction: Literal["long_short", "long_only"] = "long_short"
    fusion: Fusion = Fusion()
    adapting: Adapting = Adapting()
    regime: MarketRegime = MarketRegime()
    sizing: BetSize = BetSize()


class Backtesting(Section):
    """How positions become money; docs/backtesting.md says what each rule does."""

    fill: Fill = "next_close"
    fee_bps: Bps = 2.0
    maker_bps: Bps | None = None
    slippage_bps: Bps = 1.0
    slippage_vol: NotNegative = 0.0
    impact: NotNegative = 0.0
    volume_cap: Annotated[float, Field(gt=0, le=1)] | None = None
    lot: NotNegative = 0.0
    min_notional: NotNegative = 0.0
    capital: Positive = 100_000.0
    borrow_bps: NotNegative = 0.0
    stop_loss: Fraction | None = None
    take_profit: Positive | None = None
    trailing_stop: Fraction | None = None
    max_leverage: Annotated[float, Field(gt=0, le=10)] = 1.0
    max_weight: Positive | None = None
    drift: NotNegative = 0.01
    max_positions: Annotated[int, Field(ge=1)] | None = None
    max_turnover: Positive | None = None
    maintenance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    brake: Fraction | None = None
    brake_bars: Annotated[int, Field(ge=0)] = 0
    path: Literal["pessimistic", "optimistic"] = "pessimistic"
    open_holdout: bool = False
