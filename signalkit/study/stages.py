"""The stages in order: what makes each, from which modules, params and earlier stages.

`STAGES` is the map of the house, read top to bottom. A maker takes the study and a scope
and returns tables and files; it is called only when the store does not have them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from signalkit import (
    backtesting,
    features,
    labeling,
    params,
    signals,
    training,
    validation,
)
from signalkit.study import inputs

if TYPE_CHECKING:
    from signalkit.study.study import Study

RESEARCH, WHOLE = "research", "whole"

Made = tuple[dict[str, pd.DataFrame], dict[str, bytes]]


@dataclass(frozen=True)
class Stage:
    """What a stage is made by, from which modules, params and earlier stages."""

    make: Callable[[Study, str], Made]
    modules: tuple[str, ...]
    params: Callable[[Study], dict[str, Any]]
    upstream: tuple[str, ...] = ()


def holdout_from(asked: params.Params) -> pd.Timestamp:
    """First time that is held out."""
    return pd.Timestamp(params.timestamp(asked.validation.holdout_from))


def names_of(study: Study) -> list[str]:
    """Features that the params ask for."""
    return features.select(study.params.features.families, study.params.features.names)


def _collect(study: Study, scope: str) -> Made:
    """Bars and news from the source, checked, into the store."""
    return inputs.gather(study.params, study.store), {}


def _build(study: Study, scope: str) -> Made:
    """Features of the bars and news of the scope."""
    news = study.news_until(scope) if study.has_news else None
    return {"features": features.build(study.panel(scope), names_of(study), news)}, {}


def features_asked(study: Study) -> dict[str, Any]:
    """Names of the features, and the source of those that are not ours."""
    names = names_of(study)
    own = {n: features.CATALOG[n] for n in names}
    mine = {
        n: f.source() for n, f in own.items() if not f.function.__module__.startswith("signalkit.")
    }
    return {"names": names, "registered": mine}


def _label(study: Study, scope: str) -> Made:
    """Labels of the bars of the scope."""
    kept = study.params.labeling
    bars = study.panel(scope)
    if kept.target == "target_return":
        return {"labels": labeling.target_return(bars, kept.horizon)}, {}
    labels = labeling.signal_direction(
        bars, kept.horizon, threshold=kept.threshold, volatility_span=kept.volatility_span
    )
    return {"labels": labels}, {}


def _models(study: Study) -> dict[str, training.Model]:
    """Unfitted models by name, baselines among them."""
    target = study.params.labeling.target
    settings = study.params.training.model_dump(exclude={"models"})
    boosters = {
        name: training.make(name, target, **settings) for name in study.params.training.models
    }
    return boosters | {name: training.make(name, target) for name in training.BASELINES}


def _train(study: Study, scope: str) -> Made:
    """Every model fitted once, on the newest training window."""
    whole, answers = validation.aligned(study.features(), study.labels())
    times = whole.index.get_level_values("time")
    clock = times[answers["label"].notna()].unique().sort_values()
    window = clock[-study.params.validation.train :]
    rows = np.flatnonzero(answers["label"].notna() & times.isin(window))
    table, gains, files = {}, {}, {}
    for name, model in _models(study).items():
        model.fit(whole, answers, rows)
        files |= {f"{name}.{file}": content for file, content in training.saved(model).items()}
        table[name] = {"rows": len(rows), "from": window[0], "to": window[-1]}
        table[name] |= validation.fit_inside(model, whole, answers, rows).to_dict()
        if name in study.params.training.models:
            gains[name] = model.importance()
    models = pd.DataFrame.from_dict(table, orient="index").rename_axis("model_id")
    return {"models": models, "importance": pd.DataFrame(gains)}, files


def _validate(study: Study, scope: str) -> Made:
    """Predictions of every fold and what they are worth."""
    table = study.artifact("features", scope).table("features")
    answers = study.artifact("labeling", scope).table("labels")
    found = validation.walk_forward(table, answers, _models(study), study.splits)
    found = training.add_mean(found, study.params.training.models)
    held = study.params.validation
    evidence = validation.scores(
        found,
        block=study.block,
        draws=held.draws,
        level=held.level,
        seed=study.params.training.seed,
    )
    return {
        "predictions": found,
        "scores": evidence,
        "folds": validation.folds(table, answers, study.splits),
        "by_fold": validation.by_fold(found),
    }, {}


def _weigh(study: Study, scope: str) -> Made:
    """Positions that the ensemble's predictions ask for."""
    found = study.artifact("validation", scope).table("predictions")
    weights = signals.target_weights(
        found.xs(training.ENSEMBLE, level="model_id"),
        study.params.labeling.horizon,
        bars=study.panel(scope).index,
        threshold=study.params.signals.threshold,
        direction=study.params.signals.direction,
        leverage=study.params.backtesting.max_leverage,
    )
    return {"weights": weights}, {}


def _simulate(study: Study, scope: str) -> Made:
    """The account that follows the positions; in the whole scope, on the holdout alone."""
    weights, bars = study.artifact("signals", scope).table("weights"), study.panel(scope)
    if scope == WHOLE:
        weights = weights[weights.index.get_level_values("time") >= holdout_from(study.params)]
    rules = study.params.backtesting.model_dump(exclude={"open_holdout"})
    result = backtesting.simulate(bars, weights, **rules)
    predictions = study.artifact("validation", scope).table("predictions")
    trades = _attributed(result.trades, predictions)
    study.store.write_trades(study.identity("backtesting", scope)["identity"], trades)
    held = study.params.validation
    sharpe = backtesting.sharpe_interval(
        result,
        study.periods_per_year,
        block=study.block,
        draws=held.draws,
        level=held.level,
        seed=study.params.training.seed,
    )
    return {
        "equity": result.equity,
        "returns": result.returns,
        "positions": result.positions,
        "trades": trades,
        "statistics": backtesting.statistics(result, study.periods_per_year),
        "sharpe": sharpe,
    }, {}


def _attributed(trades: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Trades with the prediction that caused each."""
    causes = predictions.xs(training.ENSEMBLE, level="model_id")[["prediction", "confidence"]]
    keys = pd.MultiIndex.from_frame(trades[["symbol", "decided_at"]])
    found = causes.reindex(keys).reset_index(drop=True)
    return trades.assign(model_id=training.ENSEMBLE).join(found)


STAGES: dict[str, Stage] = {
    "collection": Stage(
        _collect,
        ("signalkit.collection",),
        lambda study: study.params.collection.model_dump(),
    ),
    "features": Stage(_build, ("signalkit.features",), features_asked, ("collection",)),
    "labeling": Stage(
        _label,
        ("signalkit.labeling",),
        lambda study: study.params.labeling.model_dump(),
        ("collection",),
    ),
    "training": Stage(
        _train,
        ("signalkit.training", "signalkit.validation"),
        lambda study: (
            study.params.training.model_dump()
            | {"target": study.params.labeling.target, "train": study.params.validation.train}
        ),
        ("features", "labeling"),
    ),
    "validation": Stage(
        _validate,
        ("signalkit.training", "signalkit.validation"),
        lambda study: (
            study.params.training.model_dump()
            | study.params.validation.model_dump(exclude={"holdout_from"})
            | {"target": study.params.labeling.target, "block": study.block}
        ),
        ("features", "labeling"),
    ),
    "signals": Stage(
        _weigh,
        ("signalkit.signals",),
        lambda study: (
            study.params.signals.model_dump()
            | study.params.backtesting.model_dump(include={"max_leverage"})
            | {"horizon": study.params.labeling.horizon}
        ),
        ("validation",),
    ),
    "backtesting": Stage(
        _simulate,
        ("signalkit.backtesting",),
        lambda study: (
            study.params.backtesting.model_dump(exclude={"open_holdout"})
            | study.params.validation.model_dump(include={"draws", "level", "holdout_from"})
            | {"block": study.block, "seed": study.params.training.seed}
        ),
        ("collection", "signals"),
    ),
}
