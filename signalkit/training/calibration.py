"""Calibrated confidence: probabilities bent until 0.7 happens seven times in ten.

A calibrator learns on rows that its model has not learned from, and that come later, such as
a purged tail of the training window; it is told no times, so that is its caller's to see to.
A probability of 0 stays 0. What a slice is too small for is refused, never mended.

Source: temperature, Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks
(2017), section 4.2; sigmoid, Platt, Probabilistic Outputs for Support Vector Machines (1999),
section 2.2; one class against the rest, renormalised, and isotonic: Zadrozny and Elkan,
Transforming Classifier Scores into Accurate Multiclass Probability Estimates (2002).
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.metrics import CLASSES

# fewest rows that a curve is fitted on: two numbers a class, and a free curve a class
LEAST_ROWS = 50
LEAST_ROWS_ISOTONIC = 1000
# log T from -10 to 10, and its tolerance, as scikit-learn has it
_LOG_RANGE = (-10.0, 10.0)
_TOLERANCE = 64 * float(np.finfo(float).eps)
_CLIP = float(np.finfo(float).eps)
# Newton's steps at most, when to stop, and what keeps a flat curvature from breaking
_STEPS, _SMALL_STEP, _RIDGE = 100, 1e-10, 1e-12
# how far from 1 a row of single-precision shares may sum
_SUM = 1e-4


class Calibrator(ABC):
    """What bends probabilities: `fit` on outcomes, `apply`, `state` and `restore`.

    Attributes
    ----------
    n_ : int
        Rows it was fitted on, those of weight 0 left out; 0 before.
    """

    method: ClassVar[str] = ""
    least: ClassVar[int] = LEAST_ROWS
    _methods: ClassVar[dict[str, type[Calibrator]]] = {}

    def __init_subclass__(cls) -> None:
        Calibrator._methods[cls.method] = cls

    def __init__(self) -> None:
        self.n_ = 0

    def fit(
        self, proba: np.ndarray, actual: np.ndarray, *, sample_weight: np.ndarray | None = None
    ) -> Calibrator:
        """Learn from probabilities and what happened.

        Parameters
        ----------
        proba : array of shape (n, 3)
            Probabilities of -1, 0, 1; rows sum to 1.
        actual : array of shape (n,)
            Outcomes -1, 0 or 1.
        sample_weight : array of shape (n,), optional
            Weight of each row, at least 0; 1 if omitted.

        Returns
        -------
        Calibrator
            Itself.

        Raises
        ------
        DataError
            If shapes differ, a row is no probability or an outcome no class, there are too
            few rows (50; 1,000 for isotonic), or all outcomes are of one class.
        """
        shares, outcome = _checked(proba), np.asarray(actual, dtype=float)
        weight = np.ones(len(shares)) if sample_weight is None else np.asarray(sample_weight)
        _check_outcomes(shares, outcome, weight)
        used = weight > 0
        self._check_enough(outcome[used])
        self.n_ = int(used.sum())
        truth = outcome[used, None] == np.array(CLASSES)
        self._fit(shares[used], truth, weight[used].astype(float))
        return self

    def _check_enough(self, outcome: np.ndarray) -> None:
        """Refuse a slice that is too small, or holds one class."""
        if len(outcome) < self.least:
            way = "use temperature" if self.least > LEAST_ROWS else "use none"
            raise DataError(
                f"{self.method} calibration needs {self.least} rows, found {len(outcome)};"
                f" {way}, or lengthen the slice it is fitted on"
            )
        classes = np.unique(outcome)
        if self.least and len(classes) == 1:
            raise DataError(
                f"all {len(outcome)} outcomes that {self.method} calibration is fitted on are"
                f" {classes[0]:g}; lengthen the slice, or use none"
            )

    @abstractmethod
    def _fit(self, shares: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        """Learn from rows known to be sound; `truth` has a column a class."""

    def apply(self, proba: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of shape (n, 3), rows sum to 1, zeros where zeros were.

        Raises
        ------
        DataError
            If it is not fitted, or a row is no probability.
        """
        if not self.n_:
            raise DataError(f"{self.method} calibration is not fitted; call fit, or restore")
        shares = _checked(proba)
        bent = self._bent(shares) * (shares > 0)
        total = bent.sum(axis=1, keepdims=True)
        # all curves may be 0 at once: then any class that was possible is as likely
        even = (shares > 0) / (shares > 0).sum(axis=1, keepdims=True)
        return np.divide(bent, total, out=even, where=total > 0)

    @abstractmethod
    def _bent(self, shares: np.ndarray) -> np.ndarray:
        """What each probability becomes, before rows are made to sum to 1."""

    def state(self) -> dict[str, Any]:
        """What was learned, as JSON holds it; `restore` takes it up to the last bit."""
        return {"method": self.method, "n": self.n_} | self._learned()

    @abstractmethod
    def _learned(self) -> dict[str, Any]:
        """Learned numbers by name."""

    def restore(self, state: dict[str, Any]) -> Calibrator:
        """Take up what `state` left.

        Raises
        ------
        StoreError
            If it is the state of another method, or of no calibrator.
        """
        if state.get("method") != self.method:
            raise StoreError(
                f"this is the state of {state.get('method')!r}, not of {self.method} calibration;"
                " take calibrator(state['method'])"
            )
        try:
            self._restore(state)
            self.n_ = int(state["n"])
        except (KeyError, TypeError, ValueError) as cause:
            raise StoreError(f"no state of {self.method} calibration of ours ({cause!r})") from None
        return self

    @abstractmethod
    def _restore(self, state: dict[str, Any]) -> None:
        """Take up what `_learned` left."""


class Identity(Calibrator):
    """Probabilities as they are."""

    method = "none"
    least = 0

    def _fit(self, shares: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        return None

    def apply(self, proba: np.ndarray) -> np.ndarray:
        """The same probabilities, to the last bit, fitted or not."""
        return _checked(proba).copy()

    def _bent(self, shares: np.ndarray) -> np.ndarray:
        return shares

    def _learned(self) -> dict[str, Any]:
        return {}

    def _restore(self, state: dict[str, Any]) -> None:
        return None


class Temperature(Calibrator):
    """One T above 0: each probability to the power 1 / T, so the order of classes stays.

    T is that of the least log-loss; above 1 it makes confidence smaller.
    """

    method = "temperature"

    def __init__(self) -> None:
        super().__init__()
        self.temperature_ = 1.0

    def _fit(self, shares: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        from scipy.optimize import minimize_scalar  # noqa: PLC0415 - takes over 0.3 s

        def log_loss(log_t: float) -> float:
            bent = _powers(shares, np.exp(log_t))
            told = bent[truth] / bent.sum(axis=1)
            return -float((weight * np.log(np.maximum(told, _CLIP))).sum())

        found = minimize_scalar(log_loss, bounds=_LOG_RANGE, options={"xatol": _TOLERANCE})
        self.temperature_ = float(np.exp(found.x))

    def _bent(self, shares: np.ndarray) -> np.ndarray:
        return _powers(shares, self.temperature_)

    def _learned(self) -> dict[str, Any]:
        return {"temperature": self.temperature_}

    def _restore(self, state: dict[str, Any]) -> None:
        self.temperature_ = float(state["temperature"])


class Sigmoid(Calibrator):
    """A logistic curve of each class's log-odds, against the rest, then made to sum to 1.

    Slope 1 and offset 0 leave a probability as it is; a class whose probability ran against
    its outcomes gets a falling curve. Outcomes are pulled to the middle as Platt has it.
    """

    method = "sigmoid"

    def __init__(self) -> None:
        super().__init__()
        self.curves_ = np.tile([1.0, 0.0], (len(CLASSES), 1))

    def _fit(self, shares: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        odds = _log_odds(shares)
        # a class that is possible nowhere stays at 0, whatever its curve
        possible = (shares > 0).any(axis=0)
        fitted = [_platt(odds[:, k], truth[:, k], weight) for k in np.flatnonzero(possible)]
        self.curves_ = np.tile([1.0, 0.0], (len(CLASSES), 1))
        self.curves_[possible] = fitted

    def _bent(self, shares: np.ndarray) -> np.ndarray:
        return _logistic(_log_odds(shares) * self.curves_[:, 0] + self.curves_[:, 1])

    def _learned(self) -> dict[str, Any]:
        return {"curves": self.curves_.tolist()}

    def _restore(self, state: dict[str, Any]) -> None:
        self.curves_ = np.array(state["curves"], dtype=float).reshape(len(CLASSES), 2)


class Isotonic(Calibrator):
    """A rising curve of each class against the rest (PAV), then made to sum to 1."""

    method = "isotonic"
    least = LEAST_ROWS_ISOTONIC

    def __init__(self) -> None:
        super().__init__()
        self.knots_: list[tuple[np.ndarray, np.ndarray]] = []

    def _fit(self, shares: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> None:
        from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - takes over 0.3 s

        self.knots_ = []
        for k in range(len(CLASSES)):
            curve = IsotonicRegression(out_of_bounds="clip")
            curve.fit(shares[:, k], truth[:, k].astype(float), sample_weight=weight)
            self.knots_.append((curve.X_thresholds_, curve.y_thresholds_))

    def _bent(self, shares: np.ndarray) -> np.ndarray:
        curves = zip(shares.T, self.knots_, strict=True)
        return np.column_stack([np.interp(column, x, y) for column, (x, y) in curves])

    def _learned(self) -> dict[str, Any]:
        return {"knots": [[x.tolist(), y.tolist()] for x, y in self.knots_]}

    def _restore(self, state: dict[str, Any]) -> None:
        knots = [(np.array(x, dtype=float), np.array(y, dtype=float)) for x, y in state["knots"]]
        if len(knots) != len(CLASSES) or any(len(x) != len(y) or not len(x) for x, y in knots):
            raise ValueError("knots do not pair")
        self.knots_ = knots


def calibrator(method: str) -> Calibrator:
    """A calibrator that has learned nothing yet.

    Parameters
    ----------
    method : str
        none, temperature, sigmoid or isotonic.

    Raises
    ------
    ParamsError
        If the method is unknown.

    Examples
    --------
    >>> sure = np.tile([0.05, 0.05, 0.9], (100, 1))
    >>> right = np.repeat([1.0, -1.0], [60, 40])
    >>> calibrator("temperature").fit(sure, right).apply(sure)[0].round(2).tolist()
    [0.2, 0.2, 0.6]
    """
    if method not in Calibrator._methods:
        near = difflib.get_close_matches(str(method), Calibrator._methods, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {list(Calibrator._methods)}"
        raise ParamsError(f"no calibration {method!r}; {hint}")
    return Calibrator._methods[method]()


def _checked(proba: np.ndarray) -> np.ndarray:
    """Probabilities as floats, or an error that names the row."""
    shares = np.asarray(proba, dtype=float)
    if shares.ndim != 2 or shares.shape[1] != len(CLASSES):
        raise DataError(f"probabilities need the shape (n, 3): sell, hold, buy; was {shares.shape}")
    # NaN compares as false, so it is caught here too
    sound = (shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) <= _SUM)
    if not sound.all():
        row = int(np.argmin(sound))
        raise DataError(f"row {row} is no probability of three classes: {shares[row].tolist()}")
    return shares


def _check_outcomes(shares: np.ndarray, outcome: np.ndarray, weight: np.ndarray) -> None:
    """Refuse outcomes and weights that do not fit the probabilities."""
    if not outcome.shape == weight.shape == (len(shares),):
        raise DataError(
            f"{len(shares)} rows of probabilities do not fit outcomes {outcome.shape} and weights"
            f" {weight.shape}"
        )
    strange = ~np.isin(outcome, CLASSES)
    if strange.any():
        raise DataError(
            f"the outcome in row {int(np.argmax(strange))} is {outcome[strange][0]:g}; classes are"
            " -1, 0, 1; leave out rows that have not settled"
        )
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise DataError("a weight is below 0 or not finite; weights are shares of a row")


def _powers(shares: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities to the power 1 / T, each row against its largest; 0 stays 0."""
    return (shares / shares.max(axis=1, keepdims=True)) ** (1 / temperature)


def _log_odds(shares: np.ndarray) -> np.ndarray:
    """Log of p / (1 - p); certain ones as if a float's width away from it."""
    inside = np.clip(shares, _CLIP, 1 - _CLIP)
    return np.log(inside / (1 - inside))


def _logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1 + np.tanh(x / 2))


def _platt(odds: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logistic curve of least log-loss against Platt's targets."""
    yes, no = weight[truth].sum(), weight[~truth].sum()
    target = np.where(truth, (yes + 1) / (yes + 2), 1 / (no + 2))
    # sums, not dot products: those add in an order that depends on the number of threads
    middle = float((weight * odds).sum() / weight.sum())
    spread = max(float(odds.std()), 1.0)
    start = np.array([0.0, np.log((yes + 1) / (no + 1))])
    slope, offset = _newton((odds - middle) / spread, target, weight / weight.sum(), start)
    return slope / spread, offset - slope / spread * middle


def _newton(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray, curve: np.ndarray
) -> tuple[float, float]:
    """Slope and offset of least log-loss, by Newton's steps, halved where they go too far.

    Source: Lin, Lin and Weng, A Note on Platt's Probabilistic Outputs (2007), section 3.
    """

    def loss(tried: np.ndarray) -> float:
        z = tried[0] * x + tried[1]
        return float((weight * (np.logaddexp(0, z) - target * z)).sum())

    for _ in range(_STEPS):
        told = _logistic(curve[0] * x + curve[1])
        wrong, bend = weight * (told - target), weight * told * (1 - told)
        cross = (bend * x).sum()
        curvature = np.array([[(bend * x * x).sum(), cross], [cross, bend.sum()]])
        fall = np.array([(wrong * x).sum(), wrong.sum()])
        step = np.linalg.solve(curvature + _RIDGE * np.eye(2), fall)
        while loss(curve - step) > loss(curve):
            step = step / 2
        curve = curve - step
        if np.abs(step).max() < _SMALL_STEP:
            break
    return float(curve[0]), float(curve[1])
