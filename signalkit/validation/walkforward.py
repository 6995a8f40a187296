"""Walk-forward: fit on each training window, predict the window after it, keep only that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.splits import WalkForward, check_fold
from signalkit.training import Recipe
from signalkit.training.contract import Model
from signalkit.training.ensemble import PROBABILITIES
from signalkit.training.recipe import check_classes, likeliest
from signalkit.training.selection import KEPT, kept
from signalkit.validation.jobs import RAW, Job, Keep, Shared, run
from signalkit.validation.rows import aligned

_COLUMNS = ["target", "fold", "prediction", *PROBABILITIES, "confidence", "known_at", "actual"]
_SELECTION = "fold-{fold:04d}.selection"


@dataclass(frozen=True)
class Walk:
    """What is left of walking forward.

    `predictions` are those of `walk_forward`; `raw` are the same with the probabilities before
    calibration. `selection` is indexed by fold with a column a feature: `kept`, or why it was
    left out. `gain` is indexed by (model_id, fold): the share of gain of each feature. `rises` is
    indexed by (model_id, fold) and the row's own index: by how much the row's loss rises when a
    feature is permuted; for a number in units of the model's mean squared error. What was not
    kept has 0 in both; models without gain are in neither. `history` has the loss by round or
    epoch of models that were watched, `fits` a row a fit: rows and seconds, what failed and what
    could not be done, `tuned` the trials of every search.
    """

    predictions: pd.DataFrame
    raw: pd.DataFrame
    selection: pd.DataFrame
    gain: pd.DataFrame
    rises: pd.DataFrame
    history: pd.DataFrame
    fits: pd.DataFrame
    tuned: pd.DataFrame


@dataclass(frozen=True)
class Run:
    """How the jobs of a walk are run; nothing in it changes a number.

    `keep` holds finished jobs, so that an interrupted walk goes on where it was; `storage` is a
    folder for searches that go on likewise; `told` hears how many jobs are done, of how many, and
    the rows of the last; `workers` is the number of processes, that of SIGNALKIT_WORKERS if None.
    """

    keep: Keep | None = None
    storage: Path | None = None
    told: Callable[[int, int, int], None] | None = None
    workers: int | None = None


def walk_forward(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    models: Mapping[str, Model],
    splits: WalkForward,
    *,
    recipe: Recipe | None = None,
    returns: pd.DataFrame | None = None,
    pooled: bool = True,
    how: Run | None = None,
) -> pd.DataFrame:
    """Out-of-sample predictions of every model over all folds.

    Parameters
    ----------
    features : DataFrame indexed by (symbol, time)
        Feature matrix; rows with a NaN are warm-up: not learned from, not asked about.
    labels : DataFrame indexed by (symbol, time)
        `label` and `known_at`; bars without a settled label have no row and are predicted
        all the same, with `actual` NaN.
    models : mapping of str to Model
        Unfitted models by model_id; each fold fits a copy.
    splits : WalkForward
        The folds; each is checked for leaks before anything is fitted on it.
    recipe : Recipe, optional
        How a model is fitted inside a training window; on all its rows, without constant
        columns, neither stopped early nor calibrated, if omitted.
    returns : DataFrame indexed by (symbol, time), optional
        Column `return` on the rows of the matrix, for models that read returns.
    pooled : bool
        Whether a model learns from all symbols together, or each symbol has its own.
    how : Run, optional
        Workers, progress, and where finished jobs are kept.

    Returns
    -------
    DataFrame indexed by (symbol, time, model_id)
        `target fold prediction p_sell p_hold p_buy confidence known_at actual`; NaN where a
        model could not be fitted or did not answer in numbers.

    Raises
    ------
    DataError
        If no bar has every feature, there are too few bars for one fold, a fold has no
        feature or no training row left, or one class in them where a model that is no baseline
        is to tell classes apart; if returns are needed and not given; if a baseline fails, or
        every model does.
    LeakError
        If a fold would train on a label that its test window settles.
    """
    shared = Shared(features, labels, models, recipe or Recipe(), returns)
    return _walked(shared, splits, pooled=pooled, how=how or Run()).predictions


def walk(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    models: Mapping[str, Model],
    splits: WalkForward,
    *,
    recipe: Recipe | None = None,
    returns: pd.DataFrame | None = None,
    pooled: bool = True,
    how: Run | None = None,
    seed: int = 0,
) -> Walk:
    """`walk_forward` with what each fold's models read, and what it was worth to them.

    Parameters
    ----------
    features, labels, models, splits, recipe, returns, pooled, how
        As in `walk_forward`.
    seed : int
        Same seed, same permutations.

    Returns
    -------
    Walk
        Predictions, selection, gain, and rises of the loss under permutation.

    Raises
    ------
    DataError, LeakError
        As `walk_forward`.

    Notes
    -----
    Of a test window of more than 5,000 settled rows, 5,000 are permuted, evenly spaced. A
    recurrent model is not permuted: a column shuffled in time is not one it could meet.
    """
    shared = Shared(features, labels, models, recipe or Recipe(), returns, seed)
    return _walked(shared, splits, pooled=pooled, how=how or Run())


def check(
    features: pd.DataFrame, labels: pd.DataFrame, models: Mapping[str, Model], splits: WalkForward
) -> None:
    """Raise what `walk_forward` would raise before it fits anything."""
    answers, rows = aligned(features, labels)
    _Plan(Shared(features, answers, models, Recipe(), None), splits, rows, True, Run())


@dataclass
class _Plan:
    """The jobs of a walk, made while it runs, and what each fold's selection said."""

    shared: Shared
    splits: WalkForward
    rows: np.ndarray
    pooled: bool
    how: Run
    selection: dict[int, pd.Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Split, and prove every fold before anything is fitted."""
        own = self.shared.labels.iloc[self.rows]
        times, known_at = own.index.get_level_values("time"), own["known_at"]
        self.pairs = list(self.splits.split(times, known_at))
        names = own.index.get_level_values("symbol")
        self.places = {"": None}
        if not self.pooled:
            self.places = {name: np.flatnonzero(names == name) for name in names.unique()}
        for fold, (train, test) in enumerate(self.pairs):
            check_fold(train, test, times, known_at, fold=fold)
            for symbol, mine in self.places.items():
                if len(_both(test, mine)):
                    answers = own["label"].to_numpy()[_both(train, mine)]
                    self._check_answers(
                        answers, " of ".join(filter(None, (f"fold {fold}", symbol)))
                    )
        for model in self.shared.models.values():
            self.shared.matrix(model)

    def _check_answers(self, answers: np.ndarray, where: str) -> None:
        """Refuse training rows that teach nothing."""
        if not len(answers):
            pool = "" if self.pooled else ", or set training.pooled to true"
            raise DataError(
                f"{where} has no training row left after the purge; lengthen validation.train or"
                f" shorten labeling.horizon{pool}"
            )
        told_apart = any(m.classifies and not m.baseline for m in self.shared.models.values())
        if told_apart:
            check_classes(answers, where=where)

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return len(self.pairs) * len(self.shared.models) * len(self.places)

    def jobs(self) -> Iterator[Job]:
        """Every job, in order of fold, model and symbol."""
        models = self.shared.models
        for fold, (train, test) in enumerate(self.pairs):
            told = self._told(fold, self.rows[train])
            for name, model in models.items():
                for symbol, mine in self.places.items():
                    parts = [self.rows[_both(part, mine)] for part in (train, test)]
                    if not len(parts[1]):
                        continue
                    mine_told = told if model.reads == "features" else None
                    place = self.how.storage and self.how.storage / f"{fold}.{name}.{symbol}.log"
                    yield Job(name, fold, symbol, *parts, mine_told, place)

    def _told(self, fold: int, train: np.ndarray) -> pd.Series:
        """What the columns became in a fold, asked once and kept."""
        key, shared, keep = _SELECTION.format(fold=fold), self.shared, self.how.keep
        found = keep.find(key) if keep is not None else None
        if found:
            told = found["selection"]["selection"].astype(object)  # as `select` has it
        elif all(model.reads != "features" for model in shared.models.values()):
            told = pd.Series(KEPT, index=shared.features.columns, dtype=object)
        else:
            told = shared.recipe.columns(shared.features, shared.labels, train)
            kept(told, where=f"fold {fold}")
            if keep is not None:
                keep.write(key, {"selection": told.rename_axis("feature").to_frame("selection")})
        self.selection[fold] = told
        return told


def _both(part: np.ndarray, mine: np.ndarray | None) -> np.ndarray:
    """Positions that are in both; all of them without a second."""
    return part if mine is None else np.intersect1d(part, mine, assume_unique=True)


def _walked(shared: Shared, splits: WalkForward, *, pooled: bool, how: Run) -> Walk:
    """Every job of a walk, run, and their tables joined."""
    answers, rows = aligned(shared.features, shared.labels)
    shared = Shared(
        shared.features, answers, shared.models, shared.recipe, shared.returns, shared.seed
    )
    plan = _Plan(shared, splits, rows, pooled, how)
    told = how.told and (lambda done, n: how.told(done, plan.total, n))
    made = run(
        plan.jobs(), shared, total=plan.total, keep=how.keep, told=told, n_workers=how.workers
    )
    return _joined(made, plan)


def _joined(made: Mapping[str, dict[str, pd.DataFrame]], plan: _Plan) -> Walk:
    """The tables of all jobs, one of each kind."""
    names = plan.shared.features.columns
    keys = {key: _who(tables["predictions"]) for key, tables in made.items()}
    table = pd.concat([t["predictions"] for t in made.values()])
    table = table.set_index("model_id", append=True).sort_index()
    fits = _stacked(made, keys, "about").droplevel(-1)
    fits = fits.assign(notes=fits["notes"].map(json.loads))
    _some_model(fits, plan.shared.models)
    return Walk(
        table[_COLUMNS],
        _raw(table),
        pd.DataFrame(plan.selection, index=names).T.rename_axis("fold"),
        _gains(made, keys, names),
        _stacked(made, keys, "rises").reindex(columns=names).fillna(0.0),
        _stacked(made, keys, "history"),
        fits,
        _stacked(made, keys, "tuned"),
    )


def _raw(table: pd.DataFrame) -> pd.DataFrame:
    """The predictions with the probabilities that the models gave, before calibration."""
    shares = table[RAW].to_numpy()
    given = dict(zip(PROBABILITIES, shares.T, strict=True))
    answered = np.isfinite(shares).all(axis=1)
    guess = np.where(answered, likeliest(np.nan_to_num(shares)), table["prediction"])
    return table[_COLUMNS].assign(**given, prediction=guess, confidence=shares.max(axis=1))


def _who(table: pd.DataFrame) -> tuple[str, int]:
    """Model and fold of a job's predictions."""
    return table["model_id"].iloc[0], int(table["fold"].iloc[0])


def _some_model(fits: pd.DataFrame, models: Mapping[str, Model]) -> None:
    """Refuse a walk in which every model that is no baseline failed in every fold."""
    real = [name for name, model in models.items() if not model.baseline]
    failed = fits["failed"][fits.index.get_level_values("model_id").isin(real)]
    if len(failed) and failed.ne("").all():
        raise DataError(f"every model failed in every fold, first: {failed.iloc[0]}")


def _stacked(
    made: Mapping[str, dict[str, pd.DataFrame]], keys: Mapping[str, tuple[str, int]], kind: str
) -> pd.DataFrame:
    """One kind of table of all jobs that have it, under (model_id, fold)."""
    parts = [(*keys[key], tables[kind]) for key, tables in made.items() if kind in tables]
    names = ["model_id", "fold"]
    if not parts:
        return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], [], []], names=[*names, "row"]))
    return pd.concat([pd.concat({(m, fold): t}, names=names) for m, fold, t in parts])


def _gains(
    made: Mapping[str, dict[str, pd.DataFrame]],
    keys: Mapping[str, tuple[str, int]],
    names: pd.Index,
) -> pd.DataFrame:
    """Share of gain of each feature, by model and fold; the mean over symbols."""
    parts: dict[tuple[str, int], list[pd.Series]] = {}
    for key, tables in made.items():
        if "gain" in tables:
            parts.setdefault(keys[key], []).append(tables["gain"]["gain"].reindex(names))
    means = [pd.concat(found, axis=1).fillna(0.0).mean(axis=1) for found in parts.values()]
    levels = [[key[i] for key in parts] for i in (0, 1)]
    index = pd.MultiIndex.from_arrays(levels, names=["model_id", "fold"])
    return pd.DataFrame(np.reshape(means, (len(parts), len(names))), index=index, columns=names)
