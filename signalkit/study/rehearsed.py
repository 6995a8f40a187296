"""The last fold of a walk-forward as a deployed house: its models, its bars, its past.

What is served can be compared with what was validated only where the same model answers both.
Validation's models are fitted anew in each fold and thrown away; those of the last fold are
fitted here again, by the same recipe on the same rows, and deployed in another store. What they
predicted up to a moment is their past; what they say after it must be what validation has.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pandas as pd

from signalkit import validation
from signalkit.errors import DataError
from signalkit.study import learning
from signalkit.study.inputs import stored_as
from signalkit.study.registry import enter
from signalkit.study.stages import holdout_from

if TYPE_CHECKING:
    from signalkit.store import Store
    from signalkit.study.study import Study


def rehearse(study: Study, store: Store, *, until: pd.Timestamp) -> dict[str, int]:
    """Deploy the models of a study's last fold in another store, with the study's bars and news.

    Parameters
    ----------
    study : Study
        Validated, or validated now.
    store : Store
        An empty one.
    until : Timestamp
        Predictions of bars before it are the models' past; at or after the fold's first.

    Returns
    -------
    dict of str to int
        Number of each model in that store, by model type.

    Raises
    ------
    DataError
        If models are fitted a symbol each, or `until` is before the last fold.
    """
    if not study.params.training.pooled:
        raise DataError("models fitted a symbol each are not served; set training.pooled to true")
    last = study.evidence("folds").iloc[-1]
    if until < last["test_from"]:
        raise DataError(f"the last fold begins at {last['test_from']}, after {until}")
    _lend(study, store)
    table = study.features()
    answers, there = validation.aligned(table, study.labels())
    settled = answers.iloc[there]
    times = settled.index.get_level_values("time")
    train, _ = list(study.splits.split(times, settled["known_at"]))[-1]
    own = learning.recipe(study)
    told, models = own.columns(table, answers, there[train]), learning.models(study)
    past = study.validate()
    past = past[past.index.get_level_values("time") < until]
    numbers = {}
    for name in study.params.training.models:
        found = own.fit(copy.deepcopy(models[name]), table, answers, there[train], told=told)
        numbers[name] = enter(
            study,
            store,
            name,
            found.files(),
            window=(times[train].min(), times[train].max()),
            made=study.identity("validation")["identity"],
            metrics={},
            past=past.xs(name, level="model_id"),
        )
        store.models.deploy(numbers[name], actor="rehearsal")
    return numbers


def _lend(study: Study, store: Store) -> None:
    """Write the study's bars and news, up to the holdout, into another store."""
    kept = study.params.collection
    store.write_bars(
        study.bars(), source=stored_as(study.params), interval=kept.interval, calendar=kept.calendar
    )
    if kept.news.source == "store":  # others are read or made anew wherever they are asked for
        before = holdout_from(study.params) - pd.Timedelta(1, "ns")
        store.write_news(study.store.read_news(end=before), scorer=kept.news.scorer)
