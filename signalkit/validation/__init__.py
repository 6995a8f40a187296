"""Validation: out-of-sample predictions of every fold, and what they are worth."""

from signalkit.validation.evidence import by_fold, fit_inside, scores
from signalkit.validation.verdict import HEADLINE, verdict, words
from signalkit.validation.walkforward import aligned, folds, walk_forward

__all__ = [
    "HEADLINE",
    "aligned",
    "by_fold",
    "fit_inside",
    "folds",
    "scores",
    "verdict",
    "walk_forward",
    "words",
]
