"""Inner folds: a training window by itself, and what a model scores on parts of it.

The window's times are cut into one block more than there are folds; each block but the first
is predicted by a model that learned the blocks before it, purged on `known_at`. A model is
handed the window's rows alone, so that nothing outside of them can matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.lineage import digest
from signalkit.metrics import CLASSES
from signalkit.splits import WalkForward, check_fold
from signalkit.training.contract import Model

_CLIP = np.finfo(float).eps
_WAY_OUT = "lengthen validation.train or lower training.tuning.folds"

# weight of each of some training rows, from (labels, rows)
Weigher = Callable[[pd.DataFrame, np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class Window:
    """Rows of a training window, and the folds inside it as positions among them.

    `features` and `labels` hold the window's rows and no others; `folds` are pairs of training
    and test positions, `weights` those of each fold's training rows.
    """

    features: pd.DataFrame
    labels: pd.DataFrame
    folds: list[tuple[np.ndarray, np.ndarray]]
    weights: list[np.ndarray | None]

    @staticmethod
    def of(
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        folds: int,
        gap: int = 0,
        sample_weight: np.ndarray | Weigher | None = None,
    ) -> Window:
        """The window of some rows of a matrix.

        Parameters
        ----------
        features : DataFrame of shape (n_rows, n_features)
            The whole matrix, indexed by (symbol, time) or by time.
        labels : DataFrame of shape (n_rows, 2)
            `label` and `known_at`.
        rows : array of int
            Positions of the window, in order; each has a settled label.
        folds : int
            Inner folds, at least 1.
        gap : int
            Bars left out before each inner test block.
        sample_weight : array of shape (len(rows),) or callable, optional
            Weight of each row; or what weighs the training rows of a fold, called with the
            window's labels and their positions, so that a weight which depends on other rows
            knows nothing of a fold's test rows.

        Raises
        ------
        ParamsError
            If there are not as many weights as rows.
        DataError
            If a row has no settled label, or the window is too short for the folds.
        """
        own = labels.iloc[rows]
        lacking = int((own["label"].isna() | own["known_at"].isna()).sum())
        if lacking:
            raise DataError(f"{lacking} of {len(rows)} training rows have no settled label")
        weigh = sample_weight if callable(sample_weight) else _given(sample_weight, len(rows))
        found = _folds(own.index.get_level_values(-1), own["known_at"], folds, gap)
        weights = [weigh(own, train) for train, _ in found]
        return Window(features.iloc[rows], own, found, weights)

    def losses(self, model: Model, fold: int) -> pd.Series:
        """Loss of each test row of a fold, once an unfitted model has learned its training rows.

        Returns
        -------
        Series indexed by time
            -ln of the probability of what came; for a number its squared error over the mean
            squared error of the training rows' mean.

        Raises
        ------
        DataError
            If the model cannot be fitted or answers with no finite number, or the labels of
            the test rows are all the training mean.
        """
        train, test = self.folds[fold]
        model.fit(self.features, self.labels, train, sample_weight=self.weights[fold])
        found = self._scored(model, train, test)
        if not np.isfinite(found).all():
            raise DataError(f"{model.model_type} answers inner fold {fold} with NaN or infinity")
        return pd.Series(found, self.labels.index.get_level_values(-1)[test])

    def _scored(self, model: Model, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        """Losses of a fitted model."""
        answers = self.labels["label"].to_numpy()
        if model.classifies:
            came = (answers[test] - CLASSES[0]).astype(int)
            shares = model.predict_proba(self.features, test)[np.arange(len(test)), came]
            return -np.log(np.clip(shares, _CLIP, 1.0))
        naive = np.mean((answers[test] - answers[train].mean()) ** 2)
        if not naive > 0:
            raise DataError(
                f"the labels of an inner test block are all {answers[test][0]:g}, the mean of the"
                f" rows before it; {_WAY_OUT}"
            )
        return (model.predict(self.features, test) - answers[test]) ** 2 / naive

    def identity(self) -> str:
        """Hash of the rows, their weights and the folds."""
        times = self.labels.index.get_level_values(-1)
        dates = [
            pd.DatetimeIndex(part).as_unit("ns").asi8 for part in (times, self.labels["known_at"])
        ]
        parts = [self.features.to_numpy(), self.labels["label"].to_numpy(), *dates]
        parts += [np.ones(0) if weight is None else weight for weight in self.weights]
        parts += [position for pair in self.folds for position in pair]
        hashed = [
            hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest() for part in parts
        ]
        return digest({"columns": [str(name) for name in self.features.columns], "parts": hashed})


def _given(weight: np.ndarray | None, n_rows: int) -> Weigher:
    """Weights that are known already, one a row of the window, or none."""
    if weight is not None and len(weight) != n_rows:
        raise ParamsError(f"{len(weight)} weights do not fit {n_rows} training rows")
    return lambda _, rows: None if weight is None else weight[rows]


def _folds(
    times: pd.DatetimeIndex, known_at: pd.Series, folds: int, gap: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test positions of each fold; the first block takes the times that remain."""
    n = times.nunique()
    test = n // (folds + 1)
    train = n - folds * test - gap
    if test < 1 or train < 1:
        raise DataError(
            f"{n} training times are too few for {folds} inner folds and a gap of {gap}; {_WAY_OUT}"
        )
    found = list(WalkForward(train, test, expanding=True, gap=gap).split(times, known_at))
    for fold, (before, after) in enumerate(found):
        if not len(before):
            raise DataError(f"inner fold {fold} has no training row after the purge; {_WAY_OUT}")
        check_fold(before, after, times, known_at, fold=fold)
    return found
