"""Validation: out-of-sample predictions of every fold, and what they are worth."""

from signalkit.validation.adversarial import adversarial
from signalkit.validation.alarm import Finding, Setting, alarm
from signalkit.validation.breakdown import ages, breakdown, parts_of
from signalkit.validation.comparison import comparison, losses
from signalkit.validation.drift import drift, ks, moved, psi
from signalkit.validation.evidence import by_fold, comparable, fit_inside, scores
from signalkit.validation.features import agreement, importance, information, left_out
from signalkit.validation.paths import paths
from signalkit.validation.placebo import check_shifts, placebo, shifted, shifts
from signalkit.validation.reliability import (
    calibration_scores,
    coverage_table,
    reliability_table,
)
from signalkit.validation.rows import aligned, folds
from signalkit.validation.stability import decay, stability
from signalkit.validation.verdict import HEADLINE, verdict, words
from signalkit.validation.walkforward import Run, Walk, walk, walk_forward

__all__ = [
    "HEADLINE",
    "Finding",
    "Run",
    "Setting",
    "Walk",
    "adversarial",
    "ages",
    "agreement",
    "alarm",
    "aligned",
    "breakdown",
    "by_fold",
    "calibration_scores",
    "check_shifts",
    "comparable",
    "comparison",
    "coverage_table",
    "decay",
    "drift",
    "fit_inside",
    "folds",
    "importance",
    "information",
    "ks",
    "left_out",
    "losses",
    "moved",
    "parts_of",
    "paths",
    "placebo",
    "psi",
    "reliability_table",
    "scores",
    "shifted",
    "shifts",
    "stability",
    "verdict",
    "walk",
    "walk_forward",
    "words",
]
