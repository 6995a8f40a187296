"""Scores of predictions and of returns. Fractions unless the name gives a unit.

A score stands beside its baseline, and its definition in the docstring that gives it.
"""

from signalkit.metrics.calibration import brier_parts, reliability
from signalkit.metrics.classes import (
    CLASSES,
    CLASSIFICATION,
    ECE_BINS,
    UNRANKED,
    Classifier,
    classification,
    classifier,
    matthews,
    unranked,
)
from signalkit.metrics.coefficients import LEAST_SYMBOLS, coefficients, information
from signalkit.metrics.numbers import REGRESSION, Regressor, regression, regressor
from signalkit.metrics.rows import Scorer
from signalkit.metrics.wealth import (
    against,
    drawdown,
    from_moments,
    moments,
    returns,
    risk,
    underwater,
)

# scores of which less is better
LESS_IS_BETTER = frozenset({"log_loss", "brier", "ece", "mse", "mae"})

__all__ = [
    "CLASSES",
    "CLASSIFICATION",
    "ECE_BINS",
    "LEAST_SYMBOLS",
    "LESS_IS_BETTER",
    "REGRESSION",
    "UNRANKED",
    "Classifier",
    "Regressor",
    "Scorer",
    "against",
    "brier_parts",
    "classification",
    "classifier",
    "coefficients",
    "drawdown",
    "from_moments",
    "information",
    "matthews",
    "moments",
    "regression",
    "regressor",
    "reliability",
    "returns",
    "risk",
    "underwater",
    "unranked",
]
