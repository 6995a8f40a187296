"""The stages in order: what makes each, from which modules, params and earlier stages.

`STAGES` is the map of the house, read top to bottom. A maker takes the study and a scope
and returns tables and files; it is called only when the store does not have them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from signalkit import features, labeling, params, training
from signalkit.bars import each_symbol
from signalkit.errors import DataError
from signalkit.study import inputs, learning, money

if TYPE_CHECKING:
    from signalkit.store.sessions import Session
    from signalkit.study.study import Study

_LOG = logging.getLogger(__name__)

RESEARCH, WHOLE = "research", "whole"

Made = tuple[dict[str, pd.DataFrame], dict[str, bytes]]


@dataclass(frozen=True)
class Stage:
    """What a stage is made by, from which modules, params and earlier stages."""

    make: Callable[..., Made]
    modules: tuple[str, ...]
    params: Callable[[Study], dict[str, Any]]
    upstream: tuple[str, ...] = ()
    # modules that only put others together: their own source counts, their imports do not
    glue: tuple[str, ...] = ()
    # what runs until the stage is stored, and is given to its maker
    session: Callable[[Study, str], Session] | None = None


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
    labels = make(study.panel(scope), asked.horizon, **label_settings(study))
    answers = labels["label"].unique()
    if asked.target in training.CLASSIFICATION_TARGETS and len(answers) == 1:
        raise DataError(
            f"labeling.target: every label of {asked.target} is {answers[0]:g}, so there is nothing"
            " to learn; change what the target reads, such as its threshold, barriers or horizon"
        )
    return {"labels": labels}, {}


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
        learning.train,
        ("signalkit.training", "signalkit.validation"),
        lambda study: (
            study.params.training.model_dump()
            | study.params.validation.model_dump(include={"train", "expanding"})
            | {"target": study.params.labeling.target}
        ),
        ("features", "labeling"),
        ("signalkit.study.learning",),
    ),
    "validation": Stage(
        learning.validate,
        (
            "signalkit.training",
            "signalkit.validation",
            "signalkit.signals.rules",
            "signalkit.signals.regimes",
        ),
        lambda study: (
            study.params.training.model_dump()
            | study.params.validation.model_dump(exclude={"holdout_from"})
            | {"target": study.params.labeling.target, "block": study.block}
        ),
        ("features", "labeling"),
        ("signalkit.study.learning",),
        learning.session,
    ),
    "signals": Stage(
        money.weigh,
        ("signalkit.signals", "signalkit.features", "signalkit.labeling"),
        money.signal_settings,
        ("collection", "labeling", "validation"),
        ("signalkit.study.money",),
    ),
    "backtesting": Stage(
        money.simulate,
        ("signalkit.backtesting", "signalkit.labeling"),
        lambda study: (
            study.params.backtesting.model_dump(exclude={"open_holdout"})
            | study.params.validation.model_dump(include={"draws", "level", "holdout_from"})
            | {"block": study.block, "seed": study.params.training.seed}
        ),
        ("collection", "validation", "signals"),
        ("signalkit.study.money",),
    ),
}
