"""Validation: out-of-sample predictions of every fold, and what they are worth."""

from signalkit.validation.evidence import by_fold, fit_inside, scores
from signalkit.validation.features import agreement, importance, information, left_out
from signalkit.validation.verdict import HEADLINE, verdict, words
from signalkit.validation.walkforward import Walk, aligned, folds, walk, walk_forward

__all__ = [
    "HEADLINE",
    "Walk",
    "agreement",
    "aligned",
    "by_fold",
    "fit_inside",
    "folds",
    "importance",
    "information",
    "left_out",
    "scores",
    "verdict",
    "walk",
    "walk_forward",
    "words",
]
