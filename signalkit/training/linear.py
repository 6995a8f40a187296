"""Linear baselines: LOGISTIC for a class and RIDGE for a number, on scaled columns.

What fills and scales a column is learned from the training rows alone: their median stands
in for a NaN, then their mean and standard deviation (ddof 0) scale it, and what lies beyond
ten of them is cut there.

A prediction adds up column by column, so that a row has the same bits alone and among others;
a fit holds BLAS to one thread, because the bits of its sums differ with their number.

Source: scikit-learn, User Guide 1.1.2 (ridge) and 1.1.11 (logistic regression).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.metrics import CLASSES
from signalkit.training.contract import Model
from signalkit.training.matrix import block, weights

# standard deviations of the training rows beyond which a value is cut
_REACH = 10.0
# Newton's steps: three to five are enough on scaled columns, where L-BFGS takes hundreds
_STEPS = 100
_TOLERANCE = 1e-8
# numbers that are learned, kept in JSON by these names
_LEARNED = ("fill", "centre", "scale", "slopes", "start")


class _Linear(Model):
    """What both share: columns filled and scaled, and their weighted sum."""

    model_type = ""
    baseline = True
    features_: list[str]
    # of each column in the training rows: median, mean and standard deviation
    fill_: np.ndarray
    centre_: np.ndarray
    scale_: np.ndarray
    # a row of slopes for each output, and what each output starts from
    slopes_: np.ndarray
    start_: np.ndarray

    def _check_above_zero(self, name: str) -> None:
        """Refuse a setting that is not above 0."""
        value = self.params[name]
        if not 0 < value < np.inf:
            raise ParamsError(f"{self.model_type}: {name} must be above 0, was {value}")

    def _matrix(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """The rows of the matrix; its columns must be those that were learned."""
        return block(features, rows, learned=self.features_, model_type=self.model_type)

    def _learned_scale(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """The training rows, filled and scaled by what is learned from them."""
        self.features_ = list(features.columns)
        # row by row in memory always: the last bit of a mean depends on the order
        found = np.ascontiguousarray(self._matrix(features, rows))
        empty = np.isnan(found).all(axis=0)
        if empty.any():
            raise DataError(
                f"feature {self.features_[int(empty.argmax())]} has no value in the"
                f" {len(rows)} training rows of {self.model_type}; leave it out"
            )
        self.fill_ = np.nanmedian(found, axis=0)
        found = self._filled(found)
        # the computed mean of one repeated number can miss it by a bit
        still = found.max(axis=0) == found.min(axis=0)
        self.centre_ = np.where(still, found[0], found.mean(axis=0))
        self.scale_ = np.where(still, 1.0, found.std(axis=0))
        return self._scaled(found)

    def _filled(self, matrix: np.ndarray) -> np.ndarray:
        """The matrix with the training median for each NaN; itself where there is none."""
        missing = np.isnan(matrix)
        return np.where(missing, self.fill_, matrix) if missing.any() else matrix

    def _scaled(self, matrix: np.ndarray) -> np.ndarray:
        """Columns filled, in training standard deviations from the training mean, and cut."""
        found = self._filled(matrix) - self.centre_
        found /= self.scale_
        return np.clip(found, -_REACH, _REACH, out=found)

    def _sums(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        """Start and weighted columns of each output, shape (len(rows), n_outputs)."""
        scaled = self._scaled(self._matrix(features, rows))
        found = np.tile(self.start_, (len(rows), 1))
        for column, slope in zip(scaled.T, self.slopes_.T, strict=True):
            found += column[:, None] * slope
        return found

    def _state(self, folder: Path) -> dict[str, Any]:
        numbers = {name: getattr(self, f"{name}_").tolist() for name in _LEARNED}
        return {"features": self.features_} | numbers

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        self.features_ = about["features"]
        for name in _LEARNED:
            setattr(self, f"{name}_", np.array(about[name], dtype=float))


class Logistic(_Linear):
    """Multinomial logistic regression whose slopes are held near 0 by their squares.

    Parameters
    ----------
    target : str
        A target that is a class.
    C : float
        scikit-learn's C, above 0: how much the summed log-loss of the rows counts against
        half the sum of squared slopes; more rows hold the slopes less.

    Raises
    ------
    ParamsError
        If the target is a number, or C is not above 0.

    Notes
    -----
    A class that the training rows lack gets a probability of 0, and the one class of rows
    that have no other gets 1. Sample weights are scaled to a mean of 1 first.
    """

    model_type = "LOGISTIC"
    defaults: ClassVar[dict[str, Any]] = {"C": 0.1}
    # places of the classes that the training rows have
    seen_: np.ndarray

    def __init__(self, target: str, **params: Any) -> None:
        super().__init__(target, **params)
        if not self.classifies:
            raise ParamsError(f"LOGISTIC predicts a class and {target} is a number; take RIDGE")
        self._check_above_zero("C")

    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        weight = weights(sample_weight, rows, model_type=self.model_type)
        scaled = self._learned_scale(features, rows)
        answers = labels["label"].to_numpy()[rows]
        self.seen_ = np.flatnonzero(np.isin(CLASSES, answers))
        if len(self.seen_) > 1:
            self.slopes_, self.start_ = self._regression(scaled, answers, weight)
        else:
            self.slopes_, self.start_ = np.zeros((1, scaled.shape[1])), np.zeros(1)

    def _regression(
        self, scaled: np.ndarray, answers: np.ndarray, weight: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Slopes and start of each class that was seen."""
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - takes over 0.3 s
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - takes over 0.3 s
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

        model = LogisticRegression(
            C=self.params["C"], solver="newton-cholesky", tol=_TOLERANCE, max_iter=_STEPS
        )
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model.fit(scaled, answers, sample_weight=weight)
            except ConvergenceWarning as cause:
                raise DataError(
                    f"LOGISTIC does not converge on {len(scaled)} rows in {_STEPS} steps; lower C,"
                    " or leave out columns that repeat others"
                ) from cause
        if len(model.classes_) > 2:
            return model.coef_, model.intercept_
        # of two classes scikit-learn has one row, the second's log-odds against the first
        return np.vstack([0 * model.coef_, model.coef_]), np.append(0.0, model.intercept_)

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        sums = self._sums(features, rows)
        odds = np.exp(sums - sums.max(axis=1, keepdims=True))
        shares = np.zeros((len(rows), len(CLASSES)))
        shares[:, self.seen_] = odds / odds.sum(axis=1, keepdims=True)
        return shares

    def _state(self, folder: Path) -> dict[str, Any]:
        return super()._state(folder) | {"seen": self.seen_.tolist()}

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        super()._restore(folder, about)
        self.seen_ = np.array(about["seen"])


class Ridge(_Linear):
    """Linear regression whose slopes are held near 0 by their squares.

    Parameters
    ----------
    target : str
        A target that is a number.
    alpha : float
        Above 0: how much the sum of squared slopes counts against the mean squared error; 1
        halves the slope of a column that is alone. scikit-learn's alpha is this times the
        number of rows, so that windows of any length hold the slopes alike.

    Raises
    ------
    ParamsError
        If the target is a class, or alpha is not above 0.

    Notes
    -----
    Sample weights are scaled to a mean of 1 first.
    """

    model_type = "RIDGE"
    defaults: ClassVar[dict[str, Any]] = {"alpha": 1.0}

    def __init__(self, target: str, **params: Any) -> None:
        super().__init__(target, **params)
        if self.classifies:
            raise ParamsError(f"RIDGE predicts a number and {target} is a class; take LOGISTIC")
        self._check_above_zero("alpha")

    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        from sklearn.linear_model import Ridge as Regression  # noqa: PLC0415 - takes over 0.3 s
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

        weight = weights(sample_weight, rows, model_type=self.model_type)
        scaled = self._learned_scale(features, rows)
        answers = labels["label"].to_numpy()[rows]
        model = Regression(alpha=self.params["alpha"] * len(rows), solver="cholesky")
        with threadpool_limits(1):
            model.fit(scaled, answers, sample_weight=weight)
        self.slopes_, self.start_ = model.coef_[None], np.array([model.intercept_])

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        return self._sums(features, rows)[:, 0]
