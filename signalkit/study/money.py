"""From predictions to money: the makers of the signals and backtesting stages.

A signal at t reads predictions made at t and outcomes with `known_at` at or before it; the
account that follows it fills later. Of the holdout there are the account, its statistics with
intervals, its bracket and its parts; what asks how it could have been otherwise is asked of the
research scope alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from signalkit import backtesting, features, labeling, params, signals

if TYPE_CHECKING:
    from signalkit.study.study import Study

Made = tuple[dict[str, pd.DataFrame], dict[str, bytes]]
WHOLE = "whole"
# capitals of the capacity curve, in quote currency
_CAPITALS = tuple(10.0**power for power in range(4, 11))
# bars of the rolling Sharpe ratio, as a share of a year and at least so many
_ROLLING, _LEAST = 0.5, 60


@dataclass(frozen=True)
class Ground:
    """What positions are made of: bars, labels and predictions of the same symbols.

    `folds` and `news` are asked for where the params read them.
    """

    panel: pd.DataFrame
    labels: pd.DataFrame
    predictions: pd.DataFrame
    folds: Callable[[], pd.DataFrame]
    news: Callable[[], pd.DataFrame]


def weigh(study: Study, scope: str) -> Made:
    """The signal of each bar and the position that it asks for."""
    found = study.artifact("validation", scope)
    ground = Ground(
        study.panel(scope),
        study.artifact("labeling", scope).table("labels"),
        found.table("predictions"),
        lambda: found.table("folds"),
        lambda: study.news_until(scope),
    )
    return positions(study, ground), {}


def positions(study: Study, ground: Ground) -> dict[str, pd.DataFrame]:
    """The signal of each bar and the position that it asks for, as the params say.

    Parameters
    ----------
    study : Study
        Whose params they are; nothing of its stages is read.
    ground : Ground
        Bars, labels, predictions.

    Returns
    -------
    dict of str to DataFrame
        `weights`, `signal`, `threshold` and `regime`. A row at t reads what was known at t,
        whatever else the ground holds.
    """
    panel, labels = ground.panel, ground.labels
    regime = _regime(study, ground)
    signal = _signal(study, ground, regime)
    threshold = _threshold(study, panel, signal, labels, regime)
    rules = _sizes(study, panel, signal, threshold["threshold"])
    horizon = study.params.labeling.horizon
    weights = signals.target_weights(signal, horizon, bars=panel.index, **rules)
    # a slice by itself, unrounded, tells which side its signal asked for
    alone = rules | {"sizing": replace(rules["sizing"], step=0.0)}
    own = signals.target_weights(signal, 1, **alone)["weight"]
    signal = signal.assign(asked=np.sign(own).astype(int))
    return {
        "weights": weights,
        "signal": signal,
        "threshold": threshold,
        "regime": regime.to_frame("regime"),
    }


def _sizes(
    study: Study, panel: pd.DataFrame, signal: pd.DataFrame, threshold: pd.Series
) -> dict[str, Any]:
    """By what rules a signal becomes a slice of the capital."""
    asked, sizing = study.params.signals, study.params.signals.sizing
    return {
        "says": study.params.labeling.says,
        "threshold": threshold,
        "direction": asked.direction,
        "leverage": study.params.backtesting.max_leverage,
        "cap": sizing.cap,
        "sizing": signals.Sizing(
            sizing.method,
            sizing.by_confidence,
            sizing.annual_volatility,
            sizing.fraction,
            sizing.step,
        ),
        "volatility": signals.trailing_volatility(panel, sizing.volatility_span),
        "periods_per_year": study.periods_per_year,
        "payoff": _payoff(study, panel, signal),
        "symbols": len(study.params.collection.symbols),
    }


def _regime(study: Study, ground: Ground) -> pd.Series:
    """Calm, normal or wild, by the rule that is asked for."""
    asked, panel = study.params.signals.regime, ground.panel
    if asked.method == "quantile":
        return signals.volatility_regime(panel, span=asked.span, least=asked.least)
    windows = ground.folds()
    found = signals.markov_regime(panel, windows, states=asked.states, least=asked.least)
    return found["regime"]


def _signal(study: Study, ground: Ground, regime: pd.Series) -> pd.DataFrame:
    """Models and rules as one voice."""
    asked, says = study.params.signals.fusion, study.params.labeling.says
    votes = None
    if asked.rules:
        names = signals.features_of(asked.rules)
        news = ground.news() if study.has_news else None
        read = features.build(ground.panel, names, news, **asdict(study.clock))
        votes = signals.vote(read, asked.rules)
    return signals.fuse(
        ground.predictions,
        votes,
        outcomes=ground.labels if votes is not None and says != "nothing" else None,
        models=asked.voices,
        says=says,
        method=asked.method,
        min_confidence=asked.min_confidence,
        agree=asked.agree,
        rule_weight=asked.rule_weight,
        half_life=float(asked.half_life),
        regime=regime,
        regime_weights=asked.regime_weights,
    )


def _threshold(
    study: Study,
    panel: pd.DataFrame,
    signal: pd.DataFrame,
    labels: pd.DataFrame,
    regime: pd.Series,
) -> pd.DataFrame:
    """The least score that is acted on, at each bar."""
    asked, says = study.params.signals, study.params.labeling.says
    adapting = asked.adapting
    return signals.threshold_path(
        signal,
        base=asked.threshold,
        bounds=(adapting.low, adapting.high),
        outcomes=None if says == "nothing" else labels,
        says=says,
        by_performance=adapting.by_performance,
        half_life=float(adapting.half_life),
        prior=adapting.prior,
        volatility=signals.trailing_volatility(panel, asked.regime.span),
        by_volatility=adapting.by_volatility,
        least=asked.regime.least,
        regime=regime,
        regime_thresholds=adapting.by_regime,
    )


def _payoff(study: Study, panel: pd.DataFrame, signal: pd.DataFrame) -> float | pd.Series:
    """Gain over loss of a bet: even, or as bets have settled."""
    if study.params.signals.sizing.payoff == "even":
        return 1.0
    moved = labeling.target_return(panel, study.params.labeling.horizon)
    return signals.payoff_ratio(np.sign(signal["score"]), moved)


def signal_settings(study: Study) -> dict[str, Any]:
    """What the signals read beside predictions, and the source of rules that are not ours."""
    own = study.params.signals.model_dump()
    own |= study.params.backtesting.model_dump(include={"max_leverage"})
    own |= {"horizon": study.params.labeling.horizon, "says": study.params.labeling.says}
    rules = signals.find_rules(study.params.signals.fusion.rules or None)
    return own | {"rules": {rule.name: rule.digest() for rule in rules}}


def simulate(study: Study, scope: str) -> Made:
    """The account that follows the positions; in the whole scope, on the holdout alone."""
    found, bars = study.artifact("signals", scope), study.panel(scope)
    weights = found.table("weights")
    if scope == WHOLE:
        first = pd.Timestamp(params.timestamp(study.params.validation.holdout_from))
        weights = weights[weights.index.get_level_values("time") >= first]
    rules = study.params.backtesting.model_dump(exclude={"open_holdout"})
    runs = backtesting.legal_runs(bars, weights, **rules)
    result, per_year = runs["base"], study.periods_per_year
    trades = _attributed(result.trades, found.table("signal"))
    study.store.write_trades(study.identity("backtesting", scope)["identity"], trades)
    drawn = _drawn(study)
    made = {
        "equity": result.equity,
        "returns": result.returns,
        "positions": result.positions,
        "trades": trades,
        "accounts": result.accounts,
        "statistics": backtesting.statistics(result, per_year),
        "sharpe": backtesting.sharpe_interval(result, per_year, **drawn),
        "sharpe_low": backtesting.sharpe_interval(runs["pessimistic"], per_year, **drawn),
        "bracket": backtesting.bracket_of(runs, per_year),
        "intervals": backtesting.intervals(result, per_year, **drawn).reset_index(),
        "legal": pd.DataFrame({name: run.equity["strategy"] for name, run in runs.items()}),
        "attribution": backtesting.attribution(result),
    }
    if scope != WHOLE:
        made |= _sheet(study, result, trades, weights)
    return made, {}


def _drawn(study: Study) -> dict[str, Any]:
    """Settings of the bootstrap."""
    held = study.params.validation
    asked = {"block": study.block, "draws": held.draws, "level": held.level}
    return asked | {"seed": study.params.training.seed}


def _attributed(trades: pd.DataFrame, signal: pd.DataFrame) -> pd.DataFrame:
    """Trades with the signal that caused each: model, prediction, confidence.

    That is the symbol's last signal, up to the decision, that asked for the trade's side. Where
    an older slice ran out, or a pause of the brake ended, the decision's own bar may have asked
    for nothing, or for the other side.
    """
    asked = signal[signal["asked"] != 0].reset_index()
    asked["side"] = np.where(asked["asked"] > 0, "long", "short")
    by, place = ["symbol", "side"], np.full(len(trades), -1)
    own = asked.groupby(by, observed=True).indices
    for key, mine in trades.groupby(by, observed=True).indices.items():
        # signals are in order of symbol and time
        told = asked["time"].iloc[own[key]]
        last = told.searchsorted(trades["decided_at"].iloc[mine], side="right") - 1
        place[mine] = own[key][last]
    causes = asked[["model_id", "prediction", "confidence"]].iloc[place]
    return trades.join(causes.set_axis(trades.index))


def _sheet(
    study: Study,
    result: backtesting.Backtest,
    trades: pd.DataFrame,
    weights: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """Everything of the tear sheet that the holdout is not asked."""
    per_year, drawn = study.periods_per_year, _drawn(study)
    regime = study.artifact("signals").table("regime")["regime"]
    predictions = study.validate()
    moved = labeling.target_return(study.bars(), study.params.labeling.horizon)["label"]
    called = pd.DataFrame(columns=list(trades))
    if (says := study.params.labeling.says) != "nothing":
        called = backtesting.called(predictions, moved, says=says)
    window = max(_LEAST, round(_ROLLING * per_year))
    rules = study.params.backtesting.model_dump(exclude={"open_holdout"})
    return {
        "months": backtesting.monthly(result.returns["strategy"]).rename(columns=str),
        "rolling": backtesting.rolling_sharpe(result.returns, per_year, window=window),
        "break_even": backtesting.break_even(study.bars(), weights, **rules),
        "by_confidence": backtesting.by_confidence(trades, **_spaced(drawn, trades, result)),
        "by_regime": backtesting.by_regime(trades, regime, **_spaced(drawn, trades, result)),
        "by_model": backtesting.by_model(called, **drawn),
    } | _capacity(study, weights, rules)


def _spaced(
    drawn: dict[str, Any], trades: pd.DataFrame, result: backtesting.Backtest
) -> dict[str, Any]:
    """Settings of the bootstrap, the block in times at which trades were decided."""
    share = trades["decided_at"].nunique() / len(result.equity)
    return drawn | {"block": max(1, int(np.ceil(drawn["block"] * share)))}


def _capacity(
    study: Study, weights: pd.DataFrame, rules: dict[str, Any]
) -> dict[str, pd.DataFrame]:
    """Return against capital under impact; empty where a symbol has no volume."""
    volume = study.bars()["volume"].groupby(level="symbol").sum()
    if not (volume > 0).all():
        return {"capacity": pd.DataFrame(), "limits": pd.DataFrame()}
    rules = rules | {"impact": rules["impact"] or 1.0}
    rules.pop("capital")
    found = backtesting.capacity(
        study.bars(), weights, _CAPITALS, periods_per_year=study.periods_per_year, **rules
    )
    return {"capacity": found.curve, "limits": found.limits}
