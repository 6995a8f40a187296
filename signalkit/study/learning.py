"""What models learn and what they are worth: the makers of the training and validation stages.

Everything that is fitted is fitted by the recipe inside one training window; everything that is
fitted on predictions moves on in order of `known_at`.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from signalkit import features, signals, training, validation
from signalkit.splits import CombinatorialPurged
from signalkit.study.registry import record_features, register
from signalkit.study.telling import notes
from signalkit.training import ENSEMBLE
from signalkit.training.recipe import check_classes

if TYPE_CHECKING:
    from signalkit.store.sessions import Session
    from signalkit.study.study import Study

_LOG = logging.getLogger(__name__)

Made = tuple[dict[str, pd.DataFrame], dict[str, bytes]]
RESEARCH = "research"
# settings of LSTM and GRU that the study knows from its bars
_RECURRENT = frozenset({"LSTM", "GRU"})
_FORECASTERS = frozenset({"HAR", "GARCH"})
# a predicted move that has a direction and says nothing of how far
_NO_SIZE = 1e-9
# step of the quantile of conformal sets, at most
_RATE = 0.01


def models(study: Study) -> dict[str, training.Model]:
    """Unfitted models by name: those asked for, then the baselines of the target."""
    asked, target = study.params.training, study.params.labeling.target
    found = {}
    for name in asked.models:
        clock = asdict(study.clock) if name in _RECURRENT else {}
        found[name] = training.make(name, target, **asked.settings(name), **clock)
    for name in training.baselines_of(target):
        ahead = {"horizon": study.params.labeling.horizon} if name in _FORECASTERS else {}
        found[name] = training.make(name, target, **ahead)
    return found


def recipe(study: Study) -> training.Recipe:
    """How models are fitted inside a training window."""
    asked = study.params.training
    ranker = models(study)[asked.models[0]]
    selector = partial(training.select, ranker=ranker, **asked.selection.model_dump())
    classifies = study.params.labeling.target in training.CLASSIFICATION_TARGETS
    return training.Recipe(
        selector,
        **asked.weights.model_dump(exclude={"balanced"}),
        balanced=asked.weights.balanced and classifies,
        stopping=tuple(asked.stopping.models),
        stopping_share=asked.stopping.share,
        calibration=asked.calibration.method if classifies else "none",
        calibration_share=asked.calibration.share,
        refit=asked.calibration.refit,
        **asked.tuning.model_dump(),
        seed=asked.seed,
    )


def returns(study: Study, table: pd.DataFrame, scope: str) -> pd.DataFrame:
    """Log returns close to close on the rows of the matrix, for models that read them."""
    close = np.log(study.panel(scope)["close"])
    moved = close.groupby(level="symbol", sort=False).diff()
    return moved.reindex(table.index).to_frame("return")


def train(study: Study, scope: str) -> Made:
    """Every model fitted once, on the newest training window."""
    table = study.features()
    answers, rows = _window(study, table, study.labels())
    own, closes = recipe(study), returns(study, table, RESEARCH)
    told = own.columns(table, answers, rows)
    frames: dict[str, list[Any]] = {"models": [], "history": [], "costs": []}
    gains, files = {}, {}
    for name, model in models(study).items():
        read = closes if model.reads == "returns" else table
        found = own.fit(model, read, answers, rows, told=told)
        for note in found.notes:
            _LOG.warning("%s, in the newest window: %s", name, note)
        mine = found.files()
        files |= {f"{name}.{file}": content for file, content in mine.items()}
        frames["models"].append(_told(name, found, read, answers, rows))
        size = sum(map(len, mine.values())) / 1e6
        frames["costs"].append({"model_id": name, "seconds": found.seconds, "megabytes": size})
        frames["history"].append(found.model.history_.assign(model_id=name))
        if name in study.params.training.models and hasattr(found.model, "importance"):
            gains[name] = found.model.importance()
    history = pd.concat([part for part in frames["history"] if len(part)] or [pd.DataFrame()])
    return {
        "models": pd.DataFrame(frames["models"]).set_index("model_id"),
        "costs": pd.DataFrame(frames["costs"]).set_index("model_id"),
        "history": history.rename_axis("step").reset_index(),
        "importance": pd.DataFrame(gains, index=training.kept(told, where="the newest window")),
        "selection": told.rename_axis("feature").to_frame("selection"),
    }, files


def _window(
    study: Study, table: pd.DataFrame, labels: pd.DataFrame
) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels on the rows of the matrix, and the rows of the newest training window."""
    answers, there = validation.aligned(table, labels)
    held = study.params.validation
    return answers, newest(answers, there, None if held.expanding else held.train)


def newest(answers: pd.DataFrame, there: np.ndarray, length: int | None) -> np.ndarray:
    """Rows of the newest window: the last `length` times with a settled label, None for all."""
    settled = there[answers["label"].notna().to_numpy()[there]]
    times = answers.index.get_level_values("time")[settled]
    if length is None:
        return settled
    window = times.unique().sort_values()[-length:]
    return settled[times >= window[0]]


def _told(
    name: str,
    found: training.Trained,
    read: pd.DataFrame,
    answers: pd.DataFrame,
    rows: np.ndarray,
) -> dict[str, Any]:
    """What is told of a model of the newest window, and its fit inside it."""
    times = answers.index.get_level_values("time")[rows]
    row = {"model_id": name, "rows": found.rows, "watched": found.watched}
    row |= {"calibrated": found.calibrated, "from": times.min(), "to": times.max()}
    return row | validation.fit_inside(found, read, answers, rows).to_dict()


def session(study: Study, scope: str) -> Session:
    """The session in which a study's models are validated; it ends when the result is stored.

    None is opened for what cannot be learned from.
    """
    table = study.artifact("features", scope).table("features")
    answers, asked = study.artifact("labeling", scope).table("labels"), study.params.training
    _check(study, table, answers)
    symbols = 1 if asked.pooled else table.index.unique("symbol").size
    jobs = len(validation.folds(table, answers, study.splits)) * len(models(study)) * symbols
    identity = study.identity("validation", scope)["identity"]
    named = ", ".join(asked.models)
    return study.store.sessions.open(named, identity, jobs=jobs, study=study.params.study_name)


def validate(study: Study, scope: str, running: Session) -> Made:
    """Predictions of every fold and what they are worth, in a session of their own.

    What was done before an interruption is not done again.
    """
    table = study.artifact("features", scope).table("features")
    answers = study.artifact("labeling", scope).table("labels")
    identity = study.identity("validation", scope)["identity"]
    walk = validation.walk(
        table,
        answers,
        models(study),
        study.splits,
        recipe=recipe(study),
        returns=returns(study, table, scope),
        pooled=study.params.training.pooled,
        how=_how(study, identity, running),
        seed=study.params.training.seed,
    )
    made = _judged(study, scope, walk) | {
        "folds": validation.folds(table, answers, study.splits),
        "placebo": _placebo(study, table, answers),
        "paths": _paths(study, table, answers),
    }
    _record_trials(study, walk, identity)
    for words in notes(walk.fits):
        _LOG.warning("%s", words)
    if scope == RESEARCH:  # nobody reads of the holdout in the database
        record_features(study, made)
        register(study, made["scores"], made["predictions"])
    return made, {}


def _how(study: Study, identity: str, session: Session) -> validation.Run:
    """Where the jobs of the walk are kept, and who is told how far it is."""
    pieces, rows = study.store.checkpoints.at(identity), [0]

    def progress(done: int, total: int, predicted: int) -> None:
        """Note how far the walk is."""
        rows[0] += predicted
        session.progress(min(done, total), rows[0])

    if not study.params.training.tuning.trials:
        return validation.Run(pieces, told=progress)
    storage = study.store.checkpoints.folder / identity / "searches"
    storage.mkdir(parents=True, exist_ok=True)
    return validation.Run(pieces, storage, progress)


def _judged(study: Study, scope: str, walk: validation.Walk) -> dict[str, pd.DataFrame]:
    """The predictions with those of the ensemble, and what they and the columns are worth."""
    asked = study.params.training
    joined = training.combine(
        walk.predictions,
        asked.models,
        method=asked.ensemble.method,
        half_life=asked.ensemble.half_life,
    )
    found = _stood_in(study, joined, scope)
    made = {
        "predictions": found,
        "raw": walk.raw,
        "fits": walk.fits.drop(columns="seconds").reset_index(),
        "history": walk.history.droplevel(-1).reset_index(),
        "tuned": walk.tuned.drop(columns="seconds", errors="ignore").reset_index(),
        "weights": joined.weights,
        "disagreement": joined.disagreement.to_frame("disagreement"),
        "stood": joined.stood.to_frame(index=False),
        "sets": _sets(study, found),
        "selection": walk.selection,
    }
    made |= _evidence(study, scope, made, walk)
    return made | _features(study, scope, walk, made["by_fold"])


def _stood_in(study: Study, joined: training.Combined, scope: str) -> pd.DataFrame:
    """Predictions with the rule's direction where every model failed."""
    found, told = joined.predictions, study.params.labeling.says
    if not len(joined.stood) or told == "nothing":
        return found
    classifies = study.params.labeling.target in training.CLASSIFICATION_TARGETS
    rule = signals.trend(study.panel(scope))
    size = None if classifies else _NO_SIZE
    made = signals.stand_in(rule, joined.stood, says=told, size=size)
    made = made.assign(model_id=ENSEMBLE).set_index("model_id", append=True)
    found.loc[made.index, list(made)] = made
    return found


def _sets(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Conformal sets, or intervals, of the ensemble's predictions."""
    mine = found.xs(ENSEMBLE, level="model_id")
    mine = mine[mine["prediction"].notna()]
    horizon = study.params.labeling.horizon
    # a miss is known a horizon late: many steps at once would swing
    how = {"rate": min(_RATE, 0.25 / horizon)}
    how["coverage"] = study.params.training.calibration.coverage
    if study.params.labeling.target in training.CLASSIFICATION_TARGETS:
        mine = mine[mine["confidence"].notna()]
        return training.prediction_sets(mine, **how)
    return training.prediction_intervals(mine, **how)


def drawn(study: Study) -> dict[str, Any]:
    """Settings of every bootstrap of the study."""
    held, seed = study.params.validation, study.params.training.seed
    return {"block": study.block, "draws": held.draws, "level": held.level, "seed": seed}


def _evidence(
    study: Study, scope: str, tables: dict[str, pd.DataFrame], walk: validation.Walk
) -> dict[str, pd.DataFrame]:
    """What the predictions are worth, whole and in parts, and against each other."""
    found, sets = tables["predictions"], tables["sets"]
    how, horizon = drawn(study), study.params.labeling.horizon
    regime = signals.volatility_regime(study.panel(scope))
    parts = validation.parts_of(found, regime)
    made = {
        "scores": validation.scores(found, **how),
        "by_fold": validation.by_fold(found),
        "parts": validation.breakdown(found, parts, model=ENSEMBLE, **how),
        "comparison": validation.comparison(found, horizon=horizon, **how),
        "coverage": validation.coverage_table(sets, by=parts, **how),
        "regime": regime.to_frame("regime"),
    }
    if study.params.labeling.target in training.CLASSIFICATION_TARGETS:
        made["reliability"] = validation.reliability_table(found, **how)
        both = [_of(table, study.params.training.models) for table in (found, walk.raw)]
        made["calibration"] = validation.calibration_scores(*both, **how)
    return made


def _of(predictions: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    """Predictions of some models."""
    return predictions[predictions.index.get_level_values("model_id").isin(models)]


def _features(
    study: Study, scope: str, walk: validation.Walk, by_fold: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """What the columns were worth, and how they changed from training to test windows."""
    table = study.artifact("features", scope).table("features")
    how, answers = drawn(study), study.artifact("labeling", scope).table("labels")
    others = validation.adversarial(table, answers, study.splits, seed=study.params.training.seed)
    headline = validation.HEADLINE[study.params.labeling.target]
    return {
        "permutation": validation.importance(walk, **how),
        "information": validation.information(table, walk, **how),
        "agreement": validation.agreement(walk),
        "stability": validation.stability(walk),
        "decay": validation.decay(by_fold, headline),
        "drift": validation.drift(table, answers, study.splits),
        "adversarial": others.scores,
        "adversarial_gain": others.gain,
    }


def _check(study: Study, table: pd.DataFrame, answers: pd.DataFrame) -> None:
    """There must be something to learn in the newest window and in every placebo."""
    if study.params.labeling.target in training.CLASSIFICATION_TARGETS:
        full, rows = _window(study, table, answers)
        check_classes(full["label"].to_numpy()[rows], where="the newest training window")
    by = _shifts(study, table, answers)
    validation.check_shifts(table, answers, _mimics(study), study.splits, by=by)


def _shifts(study: Study, table: pd.DataFrame, answers: pd.DataFrame) -> list[int]:
    """Bars by which the labels of each placebo are shifted."""
    count, seed = study.params.validation.placebos, study.params.training.seed
    least = max(looked_back(study, table), study.params.labeling.horizon)
    return validation.shifts(answers, count, least=least, seed=seed)


def _mimics(study: Study) -> dict[str, training.Model]:
    """The model of placebos and its baseline."""
    own = models(study)
    return {name: own[name] for name in (_chosen(study), "MAJORITY")}


def _placebo(study: Study, table: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """One booster, or the first model, on labels shifted in a circle."""
    return validation.placebo(
        table,
        answers,
        _mimics(study),
        study.splits,
        by=_shifts(study, table, answers),
        pooled=study.params.training.pooled,
        metric=validation.HEADLINE[study.params.labeling.target],
        recipe=recipe(study),
        **drawn(study),
    )


def _chosen(study: Study) -> str:
    """The model of placebos and paths: the last booster, or the last model where there is none."""
    asked = study.params.training.models
    return ([name for name in asked if name not in _RECURRENT] or asked)[-1]


def looked_back(study: Study, table: pd.DataFrame) -> int:
    """Bars that the model of placebos and paths looks back, by its longest feature and its own."""
    lookback = study.params.training.recurrent.lookback if _chosen(study) in _RECURRENT else 0
    return lookback + max(features.CATALOG[name].warmup for name in table)


def _paths(study: Study, table: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Combinatorial purged evidence of one model, where the params ask for it."""
    asked, chosen = study.params.validation.combinatorial, _chosen(study)
    if not asked.folds:
        return pd.DataFrame()
    need = looked_back(study, table)
    splits = CombinatorialPurged(asked.folds, asked.test_folds, embargo=need)
    return validation.paths(
        table, answers, models(study)[chosen], splits, need=need, recipe=recipe(study)
    )


def _record_trials(study: Study, walk: validation.Walk, identity: str) -> None:
    """Every trial of every search into the ledger: a configuration whose outcome was seen."""
    for row in walk.tuned.reset_index().to_dict("records"):
        about = {name: str(row[name]) for name in ("model_id", "fold", "number", "params")}
        seen = hashlib.sha256(repr(row["value"]).encode()).hexdigest()
        study.store.ledger.record(
            study.configuration() | {"trial": about}, series=seen, artifact=identity
        )
