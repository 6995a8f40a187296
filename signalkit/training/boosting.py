"""Gradient boosting: XGBoost and LightGBM with the same settings and the same answers twice.

Both give the same bits on one thread and on two: histograms built row-wise and
deterministically, never GOSS. The three classes are always there, also where a training
window lacks one: it keeps a share that is next to nothing. A NaN goes the way that the trees
learned for it.

Where rows are watched, rounds end when the loss there has not fallen for `patience` rounds,
and only the trees up to the best round are kept: they are what predicts, what is weighed and
what is saved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from signalkit.errors import DataError, StoreError
from signalkit.kernels import threads
from signalkit.metrics import CLASSES
from signalkit.training.contract import _BINARY_TARGETS, Model
from signalkit.training.matrix import block, weights

if TYPE_CHECKING:
    import lightgbm
    import xgboost

_SETTINGS = {
    "rounds": 100,
    # rounds without a lower loss on the watched rows after which no more are made
    "patience": 20,
    "learning_rate": 0.03,
    "depth": 3,
    "min_rows_leaf": 50,
    "row_share": 0.7,
    "column_share": 0.7,
    "seed": 7,
}
# what a row weighs in a leaf before anything is learned: 2 p (1 - p) in a softmax of three
# classes, p (1 - p) between two, 1 in a squared error
_ROW_WEIGHT = {"multi:softprob": 2 * (1 / 3) * (2 / 3), "binary:logistic": 1 / 4}

# below this many cells waking a second thread costs more than it brings; the bits are the same
_SMALL = 1_000_000
# training rows whose loss LightGBM tells: that of 60,000 would make a fit a fifth slower
_TOLD = 5_000
# rows that LightGBM is given at a time where it would copy them all
_COPIED = 10_000


def _threads(cells: int) -> int:
    """Threads for a matrix of some cells."""
    return threads() if cells >= _SMALL else 1


@contextmanager
def _refusals(model_type: str, error: type[Exception]) -> Iterator[None]:
    """A library's own error, told as ours; the first line says what it is about."""
    try:
        yield
    except error as cause:
        raise DataError(f"{model_type} refuses the rows: {str(cause).splitlines()[0]}") from cause


class _Booster(Model):
    """What both libraries share."""

    defaults = _SETTINGS
    length = "rounds"
    model_type = ""
    booster: Any = None
    features_: list[str]
    # rounds whose trees are kept
    best_iteration_: int

    @property
    def _binary(self) -> bool:
        """Whether the target has the classes 0 and 1 alone: half the trees tell them apart."""
        return self.target in _BINARY_TARGETS

    def _answers(self, labels: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Labels as the library wants them: classes from 0, or numbers."""
        answers = labels["label"].to_numpy()[rows]
        strange = ~np.isin(answers, CLASSES[1:])
        if self._binary and strange.any():  # LightGBM would take -1 for 0
            raise DataError(
                f"{self.model_type}: {int(strange.sum())} of {len(answers)} labels are no class of"
                f" {self.target}, first {answers[strange][0]:g}; it has 0 and 1"
            )
        return answers - CLASSES[0] if self.classifies and not self._binary else answers

    def _matrix(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """The rows of the matrix; its columns must be those that were learned."""
        return block(features, rows, learned=self.features_, model_type=self.model_type)

    def _shaped(self, found: np.ndarray) -> np.ndarray:
        """What a library predicts, as the contract wants it."""
        found = np.asarray(found, dtype=float)
        return np.column_stack([0 * found, 1 - found, found]) if self._binary else found

    def _gain(self) -> np.ndarray:
        """Total gain of each feature, in the library's units."""
        raise NotImplementedError

    def importance(self) -> pd.Series:
        """Gain of each feature, as a share of all gain."""
        found = pd.Series(self._gain(), index=self.features_, dtype=float)
        return found / max(found.sum(), np.finfo(float).tiny)

    def _about(self) -> dict[str, Any]:
        """What stands in the JSON beside the library's file."""
        return {"features": self.features_, "best_iteration": self.best_iteration_}

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        self.features_, self.best_iteration_ = about["features"], about["best_iteration"]


def _history(losses: dict[str, Any]) -> pd.DataFrame:
    """Loss by round, from 1."""
    rounds = pd.RangeIndex(1, len(losses["watch"]) + 1, name="round")
    return pd.DataFrame(losses, index=rounds)


class XGBoost(_Booster):
    """XGBoost with histogram trees."""

    model_type = "XGBOOST"
    _told: tuple[Any, int] = (None, 0)

    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        import xgboost  # noqa: PLC0415 - takes over 0.3 s

        self.features_ = list(features.columns)
        weight = weights(sample_weight, rows, model_type=self.model_type)
        with _refusals(self.model_type, xgboost.core.XGBoostError):
            data = self._data(features, labels, rows, weight=weight)
            settings = self._settings(len(rows) * features.shape[1])
            if watch is None:
                self.booster = xgboost.train(settings, data, self.params["rounds"])
            else:
                later = self._data(features, labels, watch, like=data)
                self._watched(settings, data, later)
        self.best_iteration_ = self.booster.num_boosted_rounds()

    def _data(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        weight: np.ndarray | None = None,
        like: xgboost.QuantileDMatrix | None = None,
    ) -> xgboost.QuantileDMatrix:
        """Rows in XGBoost's bins, those of another matrix if one is given."""
        import xgboost  # noqa: PLC0415 - takes over 0.3 s

        return xgboost.QuantileDMatrix(
            # row by row in memory: binning columns of a view takes a third longer
            np.ascontiguousarray(self._matrix(features, rows)),
            label=self._answers(labels, rows),
            weight=weight,
            feature_names=self.features_,
            nthread=_threads(len(rows) * features.shape[1]),
            ref=like,
        )

    def _watched(
        self,
        settings: dict[str, Any],
        data: xgboost.QuantileDMatrix,
        later: xgboost.QuantileDMatrix,
    ) -> None:
        """Train until the later rows' loss no longer falls, and keep the best."""
        import xgboost  # noqa: PLC0415 - takes over 0.3 s

        found: dict[str, dict[str, list[float]]] = {}
        stop = xgboost.callback.EarlyStopping(
            rounds=self.params["patience"], data_name="watch", save_best=True
        )
        self.booster = xgboost.train(
            settings,
            data,
            self.params["rounds"],
            evals=[(data, "train"), (later, "watch")],
            evals_result=found,
            verbose_eval=False,
            callbacks=[stop],
        )
        losses = {name: np.array(*metric.values()) for name, metric in found.items()}
        # for a number XGBoost tells the root of the mean squared error
        self.history_ = _history(losses) if self.classifies else _history(losses) ** 2

    def _settings(self, cells: int) -> dict[str, Any]:
        """Settings in XGBoost's words."""
        p = self.params
        kind: dict[str, Any] = {"objective": "reg:squarederror"}
        if self.classifies:
            kind = {"objective": "multi:softprob", "num_class": len(CLASSES)}
        if self._binary:
            kind = {"objective": "binary:logistic"}
        return kind | {
            "tree_method": "hist",
            "eta": p["learning_rate"],
            "max_depth": p["depth"],
            "min_child_weight": p["min_rows_leaf"] * _ROW_WEIGHT.get(kind["objective"], 1.0),
            "subsample": p["row_share"],
            "colsample_bytree": p["column_share"],
            "seed": p["seed"],
            "nthread": _threads(cells),
            "verbosity": 1,
        }

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        matrix = self._matrix(features, rows)
        # a booster keeps the number of threads that it was fitted with, in another process too;
        # it is told once: telling it takes as long as a row
        told = self.booster, _threads(matrix.size)
        if self._told != told:
            self.booster.set_param({"nthread": told[1]})
            self._told = told
        return self._shaped(self.booster.inplace_predict(matrix, validate_features=False))

    def _gain(self) -> np.ndarray:
        gain = self.booster.get_score(importance_type="total_gain")
        return np.array([gain.get(name, 0.0) for name in self.features_])

    def _state(self, folder: Path) -> dict[str, Any]:
        self.booster.save_model(folder / "model.ubj")
        return self._about()

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        import xgboost  # noqa: PLC0415 - takes over 0.3 s

        super()._restore(folder, about)
        content = bytearray((folder / "model.ubj").read_bytes())
        self.booster = xgboost.Booster(model_file=content)


class LightGBM(_Booster):
    """LightGBM, deterministic and row-wise."""

    model_type = "LIGHTGBM"

    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        import lightgbm  # noqa: PLC0415 - takes over 0.3 s

        self.features_ = list(features.columns)
        weight = weights(sample_weight, rows, model_type=self.model_type)
        with _refusals(self.model_type, lightgbm.basic.LightGBMError):
            data = self._data(features, labels, rows, weight=weight)
            settings = self._settings(len(rows) * features.shape[1])
            if watch is None:
                self.booster = lightgbm.train(settings, data, self.params["rounds"])
            else:
                few = _few(weight, len(rows))
                told = None if weight is None else weight[few]
                seen = self._data(features, labels, rows[few], weight=told, like=data)
                later = self._data(features, labels, watch, like=data)
                self._watched(settings, data, [seen, later])
        self.best_iteration_ = self.booster.current_iteration()

    def _data(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        weight: np.ndarray | None = None,
        like: lightgbm.Dataset | None = None,
    ) -> lightgbm.Dataset:
        """Rows in LightGBM's bins, those of another data set if one is given."""
        import lightgbm  # noqa: PLC0415 - takes over 0.3 s

        return lightgbm.Dataset(
            self._matrix(features, rows),
            label=self._answers(labels, rows),
            weight=weight,
            feature_name=self.features_,
            params={"verbosity": -1},
            reference=like,
        )

    def _watched(
        self, settings: dict[str, Any], data: lightgbm.Dataset, told: list[lightgbm.Dataset]
    ) -> None:
        """Train until the later rows' loss no longer falls, and keep the best."""
        import lightgbm  # noqa: PLC0415 - takes over 0.3 s

        found: dict[str, dict[str, list[float]]] = {}
        self.booster = lightgbm.train(
            settings | {"metric": "None"},
            data,
            self.params["rounds"],
            valid_sets=told,
            # rows by the name of `training` do not say when to stop
            valid_names=["training", "watch"],
            feval=self._loss,
            callbacks=[
                lightgbm.early_stopping(self.params["patience"], verbose=False),
                lightgbm.record_evaluation(found),
            ],
        )
        self.history_ = _history(
            {"train": found["training"]["loss"], "watch": found["watch"]["loss"]}
        )

    def _loss(self, found: np.ndarray, data: lightgbm.Dataset) -> tuple[str, float, bool]:
        """Log-loss or mean squared error; LightGBM's own sum differs with its threads."""
        answers = np.asarray(data.get_label())
        if not self.classifies:
            losses = (found - answers) ** 2
        elif self._binary:
            losses = -np.log(np.maximum(np.where(answers > 0, found, 1 - found), 1e-15))
        else:
            share = found[np.arange(len(answers)), answers.astype(int)]
            losses = -np.log(np.maximum(share, 1e-15))
        return "loss", float(np.average(losses, weights=data.get_weight())), False

    def _settings(self, cells: int) -> dict[str, Any]:
        """Settings in LightGBM's words."""
        p = self.params
        kind: dict[str, Any] = {"objective": "regression"}
        if self.classifies:
            kind = {"objective": "multiclass", "num_class": len(CLASSES)}
        if self._binary:
            kind = {"objective": "binary"}
        return kind | {
            "learning_rate": p["learning_rate"],
            "max_depth": p["depth"],
            "num_leaves": 2 ** p["depth"],
            "min_data_in_leaf": p["min_rows_leaf"],
            "bagging_fraction": p["row_share"],
            "bagging_freq": 1,
            "feature_fraction": p["column_share"],
            "seed": p["seed"],
            "num_threads": _threads(cells),
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        matrix = self._matrix(features, rows)
        asked = {"num_threads": _threads(matrix.size)}
        if matrix.flags.forc:
            return self._shaped(self.booster.predict(matrix, **asked))
        # LightGBM copies what is neither whole rows nor whole columns: a few rows at a time
        starts = range(0, len(matrix), _COPIED)
        parts = [self.booster.predict(matrix[i : i + _COPIED], **asked) for i in starts]
        return self._shaped(np.concatenate(parts))

    def _gain(self) -> np.ndarray:
        return self.booster.feature_importance("gain")

    def _state(self, folder: Path) -> dict[str, Any]:
        # the one line that tells how many threads fitted the same trees
        text = re.sub(r"\[num_threads: \d+\]\n", "", self.booster.model_to_string())
        (folder / "model.txt").write_text(text)
        return self._about()

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        import lightgbm  # noqa: PLC0415 - takes over 0.3 s

        super()._restore(folder, about)
        try:
            self.booster = lightgbm.Booster(model_str=(folder / "model.txt").read_text())
        except lightgbm.basic.LightGBMError as cause:
            raise StoreError(f"{folder / 'model.txt'} holds no LightGBM model ({cause})") from None


def _few(weight: np.ndarray | None, n: int) -> np.ndarray:
    """Positions of training rows whose loss is told, evenly spaced among those that count."""
    held = np.arange(n) if weight is None else np.flatnonzero(weight)
    return held[np.linspace(0, len(held) - 1, min(_TOLD, len(held))).astype(int)]
