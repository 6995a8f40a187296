"""Significance: how likely luck is, for scores, Sharpe ratios, selections and comparisons."""

from signalkit.significance.bootstrap import (
    bootstrap_ci,
    draw_counts,
    few_at_once,
    intervals,
    p_value,
)
from signalkit.significance.comparison import diebold_mariano, model_confidence_set, spa
from signalkit.significance.overfitting import Overfitting, pbo
from signalkit.significance.sharpe import (
    deflated_sharpe,
    effective_trials,
    expected_max_sharpe,
    min_track_record,
    probabilistic_sharpe,
    psr_from_moments,
    track_record_from_moments,
)

__all__ = [
    "Overfitting",
    "bootstrap_ci",
    "deflated_sharpe",
    "diebold_mariano",
    "draw_counts",
    "effective_trials",
    "expected_max_sharpe",
    "few_at_once",
    "intervals",
    "min_track_record",
    "model_confidence_set",
    "p_value",
    "pbo",
    "probabilistic_sharpe",
    "psr_from_moments",
    "spa",
    "track_record_from_moments",
]
