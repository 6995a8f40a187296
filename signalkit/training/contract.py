"""The contract of a model: rows are positions into one matrix, nothing is copied twice.

`features` and `labels` share their index; a bar without a label has NaN there. What a model
learns it learns from `rows` alone. Probabilities always have three columns: -1, 0, 1.
"""

from __future__ import annotations

import difflib
import json
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.metrics import CLASSES

CLASSIFICATION_TARGETS = frozenset({"signal_direction", "target_profitable", "triple_barrier"})
# targets that have the classes 0 and 1 alone: their probability of -1 is 0
_BINARY_TARGETS = frozenset({"target_profitable"})
_ABOUT = "model.json"


class Model(ABC):
    """A model of one target: `fit` on rows, `predict` on rows, `save` and `load`.

    Parameters
    ----------
    target : str
        Target variable, such as signal_direction.
    **params
        Settings of the model type.
    """

    model_type: ClassVar[str]
    defaults: ClassVar[dict[str, Any]] = {}
    # what the matrix must hold: features, returns (one column `return`), or labels alone
    reads: ClassVar[str] = "features"
    # whether it is what others must beat
    baseline: ClassVar[bool] = False
    # the setting that says how many rounds or epochs are fitted, where there is one
    length: ClassVar[str | None] = None
    _types: ClassVar[dict[str, type[Model]]] = {}

    def __init_subclass__(cls) -> None:
        if cls.model_type:
            Model._types[cls.model_type] = cls

    def __init__(self, target: str, **params: Any) -> None:
        unknown = sorted(set(params) - set(self.defaults))
        if unknown:
            raise ParamsError(
                f"{self.model_type} has no parameter {unknown[0]!r}; it has {sorted(self.defaults)}"
            )
        self.target = target
        self.params = self.defaults | params
        # loss by round or epoch: `train`, and `watch` where it was watched
        self.history_ = pd.DataFrame()

    @property
    def classifies(self) -> bool:
        """Whether the target is a class rather than a number."""
        return self.target in CLASSIFICATION_TARGETS

    def fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None = None,
        watch: np.ndarray | None = None,
    ) -> Model:
        """Learn from some rows.

        Parameters
        ----------
        features : DataFrame of shape (n_rows, n_features)
            The whole matrix.
        labels : DataFrame of shape (n_rows, 2)
            `label` and `known_at` on the matrix's own rows, NaN and NaT where there is no
            label: `labels.reindex(features.index)`.
        rows : array of int
            Positions to learn from.
        sample_weight : array of shape (len(rows),), optional
            Weight of each row.
        watch : array of int, optional
            Positions of later rows, with labels, whose loss says when to stop; a model that
            is not fitted in rounds does not look at them.

        Raises
        ------
        DataError
            If the labels are not on the matrix's rows, a row has no label, there are no rows,
            or the model's library refuses them.
        """
        if labels.index is not features.index and not labels.index.equals(features.index):
            raise DataError(
                f"{self.model_type}: the {len(labels)} labels are not on the {len(features)} rows"
                " of the features, so positions would mean other bars; use"
                " labels.reindex(features.index)"
            )
        for asked in (rows,) if watch is None else (rows, watch):
            answers = labels["label"].to_numpy()[asked]
            if not len(asked) or not np.isfinite(answers).all():
                lacking = int((~np.isfinite(answers)).sum())
                raise DataError(f"{self.model_type}: {lacking} of {len(asked)} rows have no label")
        self._fit(features, labels, rows, sample_weight=sample_weight, watch=watch)
        return self

    def again(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None = None,
    ) -> Model:
        """A new model with the same settings and as many rounds as were best, on other rows."""
        params = dict(self.params)
        if self.length and "watch" in self.history_:
            params[self.length] = int(self.history_["watch"].idxmin())
        new = make(self.model_type, self.target, **params)
        return new.fit(features, labels, rows, sample_weight=sample_weight)

    @abstractmethod
    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        """Learn from rows that are known to have labels."""

    @abstractmethod
    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Probabilities of shape (n, 3) for a class, numbers of shape (n,) otherwise."""

    def predict_proba(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Probabilities of -1, 0, 1 at some rows, shape (len(rows), 3).

        Raises
        ------
        ParamsError
            If the target is a number.
        """
        if not self.classifies:
            raise ParamsError(f"{self.target} is a number; it has predict, not predict_proba")
        return self._shares(features, rows)

    def _shares(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Probabilities over the classes that the target has."""
        shares = self._scores(features, rows)
        if self.target not in _BINARY_TARGETS:
            return shares
        held = shares * [0.0, 1.0, 1.0]
        return held / held.sum(axis=1, keepdims=True)

    def predict(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Likeliest class (the first of equals) or predicted number, shape (len(rows),)."""
        if not self.classifies:
            return self._scores(features, rows)
        return np.array(CLASSES, dtype=float)[self._shares(features, rows).argmax(axis=1)]

    def save(self, folder: Path) -> None:
        """Write the model in its library's own format, with JSON beside it."""
        about = {"model_type": self.model_type, "target": self.target, "params": self.params}
        (folder / _ABOUT).write_text(json.dumps(about | self._state(folder), indent=1))

    def _state(self, folder: Path) -> dict[str, Any]:
        """What the JSON must hold beside type, target and params; files go to the folder."""
        return {}

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        """Take up what `_state` left; a model without state has nothing to take up."""
        return None

    @staticmethod
    def load(folder: Path) -> Model:
        """Read a saved model.

        Raises
        ------
        StoreError
            If the folder holds no model of ours.
        """
        try:
            about = json.loads((folder / _ABOUT).read_text())
            model = make(about["model_type"], about["target"], **about["params"])
            model._restore(folder, about)
        except (OSError, KeyError, TypeError, ValueError) as cause:
            raise StoreError(f"{folder} holds no saved model of ours ({cause!r})") from None
        return model


def make(model_type: str, target: str, **params: Any) -> Model:
    """A model that has learned nothing yet.

    Parameters
    ----------
    model_type : str
        XGBOOST, LIGHTGBM, LSTM, GRU, or a baseline: MAJORITY, PERSISTENCE, LOGISTIC, RIDGE,
        HAR, GARCH.
    target : str
        Target variable.
    **params
        Settings; what is left out has the type's default.

    Raises
    ------
    ParamsError
        If the type or a setting is unknown.
    """
    if model_type not in Model._types:
        near = difflib.get_close_matches(model_type, Model._types, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {sorted(Model._types)}"
        raise ParamsError(f"no model type {model_type!r}; {hint}")
    return Model._types[model_type](target, **params)


def saved(model: Model) -> dict[str, bytes]:
    """The files that `save` writes, by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save(folder)
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
