"""Gradient boosting: XGBoost and LightGBM with the same settings and the same answers twice.

Both give the same bits on one thread and on two: histograms built row-wise and
deterministically, never GOSS. The three classes are always there, also where a training
window lacks one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.kernels import threads
from signalkit.metrics import CLASSES
from signalkit.training.contract import Model

_SETTINGS = {
    "rounds": 100,
    "learning_rate": 0.03,
    "depth": 3,
    "min_rows_leaf": 50,
    "row_share": 0.7,
    "column_share": 0.7,
    "seed": 7,
}
# a row weighs 2 p (1 - p) in a softmax leaf; p = 1/3 before anything is learned
_SOFTMAX_ROW = 2 * (1 / 3) * (2 / 3)


# below this many cells waking a second thread costs more than it brings; the bits are the same
_SMALL = 1_000_000


def _threads(cells: int) -> int:
    """Threads for a matrix of some cells."""
    return threads() if cells >= _SMALL else 1


class _Booster(Model):
    """What both libraries share."""

    defaults = _SETTINGS
    model_type = ""
    booster: Any = None
    features_: list[str]

    def _answers(self, labels: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Labels as the library wants them: classes from 0, or numbers."""
        answers = labels["label"].to_numpy()[rows]
        return answers - CLASSES[0] if self.classifies else answers

    def _matrix(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """The rows of the matrix; its columns must be those that were learned."""
        if list(features.columns) != self.features_:
            raise DataError(
                f"{self.model_type} learned the columns {self.features_}, was asked with"
                f" {list(features.columns)}"
            )
        return features.to_numpy()[rows]


class XGBoost(_Booster):
    """XGBoost with histogram trees."""

    model_type = "XGBOOST"

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
        data = xgboost.QuantileDMatrix(
            self._matrix(features, rows),
            label=self._answers(labels, rows),
            weight=sample_weight,
            feature_names=self.features_,
            nthread=_threads(len(rows) * features.shape[1]),
        )
        settings = self._settings(len(rows) * features.shape[1])
        self.booster = xgboost.train(settings, data, self.params["rounds"])

    def _settings(self, cells: int) -> dict[str, Any]:
        """Settings in XGBoost's words."""
        p = self.params
        row = _SOFTMAX_ROW if self.classifies else 1.0
        kind = (
            {"objective": "multi:softprob", "num_class": len(CLASSES)}
            if self.classifies
            else {"objective": "reg:squarederror"}
        )
        return kind | {
            "tree_method": "hist",
            "eta": p["learning_rate"],
            "max_depth": p["depth"],
            "min_child_weight": p["min_rows_leaf"] * row,
            "subsample": p["row_share"],
            "colsample_bytree": p["column_share"],
            "seed": p["seed"],
            "nthread": _threads(cells),
            "verbosity": 1,
        }

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        found = self.booster.inplace_predict(self._matrix(features, rows), validate_features=False)
        return np.asarray(found, dtype=float)

    def importance(self) -> pd.Series:
        """Gain of each feature, as a share of all gain."""
        gain = self.booster.get_score(importance_type="total_gain")
        found = pd.Series(gain, dtype=float).reindex(self.features_).fillna(0.0)
        return found / max(found.sum(), np.finfo(float).tiny)

    def _state(self, folder: Path) -> dict[str, Any]:
        self.booster.save_model(folder / "model.ubj")
        return {"features": self.features_}

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        import xgboost  # noqa: PLC0415 - takes over 0.3 s

        self.features_ = about["features"]
        content = bytearray((folder / "model.ubj").read_bytes())
        self.booster = xgboost.Booster({"nthread": threads()}, model_file=content)


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
        data = lightgbm.Dataset(
            self._matrix(features, rows),
            label=self._answers(labels, rows),
            weight=sample_weight,
            feature_name=self.features_,
            params={"verbosity": -1},
        )
        settings = self._settings(len(rows) * features.shape[1])
        self.booster = lightgbm.train(settings, data, self.params["rounds"])

    def _settings(self, cells: int) -> dict[str, Any]:
        """Settings in LightGBM's words."""
        p = self.params
        kind = (
            {"objective": "multiclass", "num_class": len(CLASSES)}
            if self.classifies
            else {"objective": "regression"}
        )
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
        return self.booster.predict(matrix, num_threads=_threads(matrix.size))

    def importance(self) -> pd.Series:
        """Gain of each feature, as a share of all gain."""
        gain = self.booster.feature_importance("gain")
        found = pd.Series(gain, index=self.features_, dtype=float)
        return found / max(found.sum(), np.finfo(float).tiny)

    def _state(self, folder: Path) -> dict[str, Any]:
        # the one line that tells how many threads fitted the same trees
        text = re.sub(r"\[num_threads: \d+\]\n", "", self.booster.model_to_string())
        (folder / "model.txt").write_text(text)
        return {"features": self.features_}

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        import lightgbm  # noqa: PLC0415 - takes over 0.3 s

        self.features_ = about["features"]
        self.booster = lightgbm.Booster(model_str=(folder / "model.txt").read_text())
