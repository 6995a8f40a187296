"""The stages in order: what makes each, from which modules, params and earlier stages.

`STAGES` is the map of the house, read top to bottom. A maker takes the study and a scope
and returns tables and files; it is called only when the store does not have them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from signalkit import (
    backtesting,
    causality,
    features,
    labeling,
    params,
    signals,
    training,
    validation,
)
from signalkit.bars import each_symbol
from signalkit.study import inputs

if TYPE_CHECKING:
    from signalkit.study.study import Study

_LOG = logging.getLogger(__name__)

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
    asked = study.params.features
    return features.select(asked.families, asked.names, windows=asked.windows, talib=asked.talib)


def _collect(study: Study, scope: str) -> Made:
    """Bars and news from the source, checked, into the store."""
    return inputs.gather(study.params, study.store), {}


def _build(study: Study, scope: str) -> Made:
    """Features of the bars and news of the scope, the gaps in them, what columns lack."""
    news, panel = study.news_until(scope) if study.has_news else None, study.panel(scope)
    clock = study.clock
    table = features.build(panel, names_of(study), news, **asdict(clock))
    gaps = each_symbol(panel, lambda block: features.gap_table(block.index, clock))
    columns = features.columns_report(table)
    for words in features.findings(columns):
        _LOG.warning("%s", words)
    return {"features": table, "gaps": gaps, "columns": columns.reset_index()}, {}


def features_asked(study: Study) -> dict[str, Any]:
    """Names of the features, the source of those that are not ours, and what is a gap."""
    names = names_of(study)
    entered = {n: features.CATALOG[n] for n in names if n in features.CATALOG}
    mine = {n: f.digest() for n, f in entered.items() if f.node is None}
    return {"names": names, "registered": mine, "clock": asdict(study.clock)}


def label_settings(study: Study) -> dict[str, Any]:
    """What the target reads beside its horizon: for a trade, the costs and fill of the backtest."""
    asked, money = study.params.labeling, study.params.backtesting
    if asked.target != "target_profitable":
        return asked.settings()
    costs = money.model_dump(include={"fee_bps", "slippage_bps"})
    return asked.settings() | costs | {"entry": money.fill}


def _label(study: Study, scope: str) -> Made:
    """Labels of the bars of the scope."""
    asked = study.params.labeling
    make = labeling.TARGETS[asked.target]
    return {"labels": make(study.panel(scope), asked.horizon, **label_settings(study))}, {}


def says(study: Study) -> str:
    """What a prediction of the study's target says to who sizes positions."""
    asked = study.params.labeling
    told = {"target_profitable": asked.side, "target_volatility": "nothing"}
    return told.get(asked.target, "direction")


def _models(study: Study) -> dict[str, training.Model]:
    """Unfitted models by name, baselines among them."""
    target = study.params.labeling.target
    settings = study.params.training.model_dump(exclude={"models", "selection"})
    boosters = {
        name: training.make(name, target, **settings) for name in study.params.training.models
    }
    return boosters | {name: training.make(name, target) for name in training.BASELINES}


def _selector(study: Study) -> Callable[..., pd.Series]:
    """What decides in each training window which columns a model may read."""
    asked = study.params.training
    ranker = _models(study)[asked.models[0]]
    return partial(training.select, ranker=ranker, **asked.selection.model_dump())


def _train(study: Study, scope: str) -> Made:
    """Every model fitted once, on the newest training window."""
    whole, answers = validation.aligned(study.features(), study.labels())
    times = whole.index.get_level_values("time")
    clock = times[answers["label"].notna()].unique().sort_values()
    window = clock[-study.params.validation.train :]
    rows = np.flatnonzero(answers["label"].notna() & times.isin(window))
    told = _selector(study)(whole, answers, rows)
    read = whole[training.kept(told, where="the newest training window")]
    table, gains, files = {}, {}, {}
    for name, model in _models(study).items():
        seen = whole if name in training.BASELINES else read
        model.fit(seen, answers, rows)
        files |= {f"{name}.{file}": content for file, content in training.saved(model).items()}
        table[name] = {"rows": len(rows), "from": window[0], "to": window[-1]}
        table[name] |= validation.fit_inside(model, seen, answers, rows).to_dict()
        if name in study.params.training.models:
            gains[name] = model.importance()
    models = pd.DataFrame.from_dict(table, orient="index").rename_axis("model_id")
    tables = {"models": models, "importance": pd.DataFrame(gains)}
    return tables | {"selection": told.rename_axis("feature").to_frame("selection")}, files


def _validate(study: Study, scope: str) -> Made:
    """Predictions of every fold and what they are worth; what the features were worth."""
    table = study.artifact("features", scope).table("features")
    answers = study.artifact("labeling", scope).table("labels")
    held, seed = study.params.validation, study.params.training.seed
    drawn = {"block": study.block, "draws": held.draws, "level": held.level, "seed": seed}
    walk = validation.walk(
        table, answers, _models(study), study.splits, selector=_selector(study), seed=seed
    )
    found = training.add_mean(walk.predictions, study.params.training.models)
    made = {
        "predictions": found,
        "scores": validation.scores(found, **drawn),
        "folds": validation.folds(table, answers, study.splits),
        "by_fold": validation.by_fold(found),
        "selection": walk.selection,
        "permutation": validation.importance(walk, **drawn),
        "information": validation.information(table, walk, **drawn),
        "agreement": validation.agreement(walk),
    }
    if scope == RESEARCH:  # nobody reads of the holdout in the database
        _record_features(study, made)
    return made, {}


def _record_features(study: Study, made: dict[str, pd.DataFrame]) -> None:
    """What the features were worth into the database, after proof that none reads the future."""
    identity, newest = study.identity("validation")["identity"], made["selection"].iloc[-1]
    worth = dict(list(made["permutation"].groupby(level="model_id")))
    rows = {}
    for name, alone in made["information"].iterrows():
        own = features.CATALOG[name]
        models = {model: _known(part.loc[(model, name)]) for model, part in worth.items()}
        rows[name] = {
            "family": own.family,
            "description": own.description,
            "warmup": own.warmup,
            "importance": {"models": models, "alone": _known(alone), "validation": identity},
            "active": newest[name] == training.KEPT,
        }
    _prove(list(rows))
    table, moment = pd.DataFrame.from_dict(rows, orient="index"), pd.Timestamp.now("UTC")
    study.store.write_features(table, leak_checked_at=moment)


def _known(row: pd.Series) -> dict[str, float | None]:
    """A row of numbers as JSON can say it."""
    return {name: float(value) if pd.notna(value) else None for name, value in row.items()}


def _prove(names: list[str]) -> None:
    """Refuse features that read the future, all of them at once."""
    bars = causality.enough_bars(max(features.CATALOG[name].warmup for name in names))
    reads = any(features.CATALOG[name].reads_news for name in names)
    causality.check(
        lambda seen, news=None: features.build(seen, names, news),
        bars,
        news=causality.probe_news(bars) if reads else None,
    ).require("a feature")


def _weigh(study: Study, scope: str) -> Made:
    """Positions that the ensemble's predictions ask for."""
    found = study.artifact("validation", scope).table("predictions")
    weights = signals.target_weights(
        found.xs(training.ENSEMBLE, level="model_id"),
        study.params.labeling.horizon,
        says=says(study),
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
        lambda study: (
            study.params.labeling.model_dump(include={"target", "horizon"}) | label_settings(study)
        ),
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
            | {"horizon": study.params.labeling.horizon, "says": says(study)}
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
