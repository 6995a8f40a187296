"""A recipe: how any model is fitted inside one training window, and nothing outside of it.

The window's newest rows may be set aside twice, each time purged on `known_at`: the newest
share, on which probabilities are calibrated, and the share before it, on which a model stops
early. Columns and settings are decided on the rows before the calibration's, weights and scales
on what remains. Nobody sees the test window.

Source: López de Prado, Advances in Financial Machine Learning (2018), sections 4.4 to 4.7, 7.4.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from signalkit import labeling
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.metrics import CLASSES
from signalkit.training.calibration import Calibrator, calibrator
from signalkit.training.contract import Model, saved
from signalkit.training.selection import kept, select
from signalkit.training.tuning import Tuned, tune

# the file beside a model that says how it is used
RECIPE = "recipe.json"

# what becomes of each column, from (features, labels, training rows)
Selector = Callable[[pd.DataFrame, pd.DataFrame, np.ndarray], pd.Series]


@dataclass(frozen=True)
class Trained:
    """A fitted model with the columns it reads and what makes its answers confidence.

    `rows` were learned from, `watched` stopped it, `calibrated` made its probabilities honest;
    `seconds` is what fitting took. `notes` say what the recipe asked for and could not be done.
    """

    model: Model
    columns: list[str]
    calibrator: Calibrator | None = None
    rows: int = 0
    watched: int = 0
    calibrated: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    tuned: pd.DataFrame | None = None

    @property
    def classifies(self) -> bool:
        """Whether the target is a class rather than a number."""
        return self.model.classifies

    def raw(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Probabilities of -1, 0, 1 as the model gives them, shape (len(rows), 3)."""
        return self.model.predict_proba(self._read(features), rows)

    def predict_proba(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of -1, 0, 1, shape (len(rows), 3)."""
        return self.calibrate(self.raw(features, rows))

    def calibrate(self, shares: np.ndarray) -> np.ndarray:
        """Raw probabilities made confidence; themselves where nothing was calibrated."""
        return shares if self.calibrator is None else self.calibrator.apply(shares)

    def predict(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Likeliest class (the first of equals) or predicted number, shape (len(rows),)."""
        if not self.model.classifies:
            return self.model.predict(self._read(features), rows)
        return likeliest(self.predict_proba(features, rows))

    def _read(self, features: pd.DataFrame) -> pd.DataFrame:
        """The columns that were learned, without a copy where they are all there are."""
        if not self.columns or list(features.columns) == self.columns:
            return features
        lacking = [name for name in self.columns if name not in features]
        if lacking:
            raise DataError(f"{self.model.model_type} reads {lacking[0]}, which is not given")
        return features[self.columns]

    def files(self) -> dict[str, bytes]:
        """Everything that is needed to load it again, by file name."""
        state = None if self.calibrator is None else self.calibrator.state()
        about = {"columns": self.columns, "calibrator": state, "rows": self.rows}
        return saved(self.model) | {RECIPE: json.dumps(about, indent=1).encode()}

    @staticmethod
    def load(files: Mapping[str, bytes]) -> Trained:
        """A trained model of the files that `files` gave.

        Raises
        ------
        StoreError
            If they are no trained model of ours.
        """
        try:
            about = json.loads(files[RECIPE])
            state, columns, rows = about["calibrator"], about["columns"], about["rows"]
        except (KeyError, TypeError, ValueError) as cause:
            raise StoreError(f"the files hold no trained model of ours ({cause!r})") from None
        with tempfile.TemporaryDirectory() as name:
            for file, content in files.items():
                (Path(name) / Path(file).name).write_bytes(content)
            model = Model.load(Path(name))
        found = None if state is None else calibrator(state["method"]).restore(state)
        return Trained(model, columns, found, rows=rows)


def check_classes(answers: np.ndarray, *, where: str) -> None:
    """Refuse training labels that are all of one class.

    Raises
    ------
    DataError
        With the class and the place.
    """
    if len(answers) and (answers == answers[0]).all():
        raise DataError(
            f"{where} has one class to learn from: all {len(answers)} labels are {answers[0]:g};"
            " lengthen validation.train, or set labeling so that others occur"
        )


def likeliest(shares: np.ndarray) -> np.ndarray:
    """Likeliest of -1, 0, 1 in each row, the first of equals."""
    return np.array(CLASSES, dtype=float)[shares.argmax(axis=1)]


@dataclass(frozen=True)
class Recipe:
    """How models are fitted inside a training window.

    Parameters
    ----------
    selector : callable
        What becomes of each column, from (features, labels, rows); `training.select`, which
        leaves out constant columns, if omitted.
    uniqueness, last, balanced
        Row weights: average uniqueness of the labels; decay towards `last` with age (1 is
        none); whether the classes weigh alike.
    stopping : tuple of str
        Model types that stop early, on `stopping_share` of the times before the calibration's.
    calibration : str
        none, temperature, sigmoid or isotonic, on `calibration_share` of the window's times.
    refit : bool
        Whether the model is fitted again on all rows once it is calibrated and stopped; the
        calibration stays.
    trials, seconds, folds
        A search for settings by `training.tune` before anything is fitted; 0 trials is none.
    seed : int
        Seed of the search.

    Raises
    ------
    ParamsError
        If the shares leave nothing to learn from, or there is no such calibration.
    """

    selector: Selector = select
    uniqueness: bool = False
    last: float = 1.0
    balanced: bool = False
    stopping: tuple[str, ...] = ()
    stopping_share: float = 0.15
    calibration: str = "none"
    calibration_share: float = 0.2
    refit: bool = False
    trials: int = 0
    seconds: float | None = None
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing, and a calibration that is unknown."""
        calibrator(self.calibration)
        if min(self.stopping_share, self.calibration_share) < 0:
            raise ParamsError(
                "training.stopping.share and training.calibration.share must not be below 0, were"
                f" {self.stopping_share} and {self.calibration_share}"
            )
        if not self.stopping_share + self.calibration_share < 1:
            raise ParamsError(
                "training.stopping.share and training.calibration.share must leave something to"
                f" learn from, were {self.stopping_share} and {self.calibration_share}"
            )

    def core(self, labels: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Rows on which columns and settings are decided: those before the calibration's."""
        return self._cut(labels, rows, self._calibrates(labels))[0]

    def _calibrates(self, labels: pd.DataFrame) -> float:
        """Share of the window that calibration takes."""
        return self.calibration_share if self.calibration != "none" else 0.0

    def _cut(
        self, labels: pd.DataFrame, rows: np.ndarray, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows before the newest share of times and settled before it, and those in it."""
        if not share:
            return rows, rows[:0]
        times = labels.index.get_level_values(-1).asi8[rows]
        known = pd.DatetimeIndex(labels["known_at"]).as_unit(_unit(labels)).asi8[rows]
        clock = np.unique(times)
        first = clock[-max(1, int(np.ceil(share * len(clock))))]
        early = rows[(times < first) & (known < first)]
        if not len(early):
            raise DataError(
                f"{len(rows)} training rows leave none before the newest {share:.0%} of their"
                " times; lengthen validation.train or shorten labeling.horizon"
            )
        return early, rows[times >= first]

    def columns(self, features: pd.DataFrame, labels: pd.DataFrame, rows: np.ndarray) -> pd.Series:
        """What becomes of each column in a window: kept, or why not."""
        return self.selector(features, labels, self.core(labels, rows))

    def fit(
        self,
        model: Model,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        told: pd.Series | None = None,
        storage: Path | None = None,
    ) -> Trained:
        """Fit an unfitted model on a training window.

        Parameters
        ----------
        model : Model
            Unfitted; it is fitted in place.
        features : DataFrame of shape (n_rows, n_features)
            The whole matrix that the model type reads.
        labels : DataFrame of shape (n_rows, 2)
            `label` and `known_at`.
        rows : array of int
            Training rows, in order; each has a label.
        told : Series, optional
            What `columns` gave for the window; asked for if omitted.
        storage : Path, optional
            File that keeps a search for settings, to go on with it later.

        Raises
        ------
        DataError
            If nothing is left to learn from, the labels are all of one class, or the model
            cannot be fitted.
        """
        begun = time.perf_counter()
        if model.baseline or model.reads != "features":
            return self._baseline(model, features, labels, rows, told)
        if model.classifies:
            check_classes(labels["label"].to_numpy()[rows], where="the training window")
        told = self.columns(features, labels, rows) if told is None else told
        names = kept(told, where="the training window")
        read = features if len(names) == features.shape[1] else features[names]
        share = self._calibrates(labels) if model.classifies else 0.0
        core, tail = self._cut(labels, rows, share)
        tuned = self._tuned(model, read, labels, core, storage)
        stops = model.model_type in self.stopping
        early, watch = self._cut(labels, core, self.stopping_share if stops else 0.0)
        watched = watch if len(watch) else None
        model.fit(read, labels, early, sample_weight=self.weight(labels, early), watch=watched)
        found, notes = self._calibrated(model, read, labels, tail)
        if self.refit and len(early) < len(rows):
            told_of = model.history_
            model = model.again(read, labels, rows, sample_weight=self.weight(labels, rows))
            model.history_ = told_of if len(watch) else model.history_
        sizes = {"rows": len(rows) if self.refit else len(early), "watched": len(watch)}
        return Trained(
            model,
            names,
            found,
            **sizes,
            calibrated=len(tail) if found else 0,
            seconds=time.perf_counter() - begun,
            notes=notes,
            tuned=tuned.table if tuned else None,
        )

    def _baseline(
        self,
        model: Model,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        told: pd.Series | None,
    ) -> Trained:
        """A baseline on all rows, without weights; one that reads features has the selected."""
        begun, names = time.perf_counter(), []
        if model.reads == "features":
            told = self.columns(features, labels, rows) if told is None else told
            names = kept(told, where="the training window")
            features = features if len(names) == features.shape[1] else features[names]
        model.fit(features, labels, rows)
        return Trained(model, names, rows=len(rows), seconds=time.perf_counter() - begun)

    def _tuned(
        self,
        model: Model,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        storage: Path | None,
    ) -> Tuned | None:
        """The outcome of a search, whose best settings the model has taken."""
        if not self.trials:
            return None
        found = tune(
            model.model_type,
            model.target,
            features,
            labels,
            rows,
            trials=self.trials,
            seconds=self.seconds,
            folds=self.folds,
            seed=self.seed,
            storage=storage,
            fixed=model.params,
            sample_weight=self.weight,
        )
        model.params = model.params | found.params
        return found

    def _calibrated(
        self, model: Model, features: pd.DataFrame, labels: pd.DataFrame, tail: np.ndarray
    ) -> tuple[Calibrator | None, list[str]]:
        """A calibrator fitted on the newest rows, or why there is none."""
        if not len(tail):
            return None, []
        shares = model.predict_proba(features, tail)
        try:
            found = calibrator(self.calibration).fit(shares, labels["label"].to_numpy()[tail])
        except DataError as refused:
            return None, [f"not calibrated: {refused}"]
        return found, []

    def weight(self, labels: pd.DataFrame, rows: np.ndarray) -> np.ndarray | None:
        """Weight of each training row, mean 1; None where all weigh alike.

        Only the rows' own labels count: what overlaps them later is not known.
        """
        own = labels.iloc[rows]
        weight = np.ones(len(rows))
        if self.uniqueness or self.last < 1:
            unique = labeling.uniqueness(own)
            weight = unique.to_numpy() if self.uniqueness else weight
            if self.last < 1:
                weight = weight * labeling.time_decay(unique, last=self.last).to_numpy()
        if self.balanced:
            answers = own["label"].to_numpy()
            for answer in np.unique(answers):
                mine = answers == answer
                total = weight[mine].sum()
                # a class that is too old to weigh anything stays without weight
                weight = np.where(mine, weight / total, weight) if total > 0 else weight
        if np.ptp(weight) <= 1e-9 * weight.max():
            return None
        return weight / weight.mean()


def _unit(labels: pd.DataFrame) -> str:
    """Unit of the times of a table of labels."""
    return labels.index.get_level_values(-1).unit
