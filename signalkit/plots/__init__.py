"""Figures: a finished table in, Axes out; files by stage. Nothing is computed here.

In a notebook, Axes at the end of a cell are shown as a picture with a text alternative:
the finding of the run and what the axes show.
"""

from signalkit.plots.backtesting import plot_drawdown, plot_equity
from signalkit.plots.collection import (
    plot_anomalies,
    plot_closes,
    plot_gap_map,
    plot_news,
    plot_stale_opens,
)
from signalkit.plots.confidence import plot_ensemble, plot_placebo, plot_reliability
from signalkit.plots.features import plot_correlation, plot_families
from signalkit.plots.figure import show_axes_in_notebooks
from signalkit.plots.inference import plot_votes
from signalkit.plots.labeling import (
    plot_label_balance,
    plot_returns_by_label,
    plot_uniqueness,
    plot_widths,
)
from signalkit.plots.money import (
    plot_bracket,
    plot_capacity,
    plot_confidence,
    plot_months,
    plot_rolling,
    plot_trades,
)
from signalkit.plots.monitoring import plot_drift, plot_evidence, plot_kept, plot_lead
from signalkit.plots.training import (
    plot_importance,
    plot_information,
    plot_learning,
    plot_permutation,
    plot_trials,
)
from signalkit.plots.validation import (
    plot_adversarial,
    plot_border,
    plot_folds,
    plot_gains,
    plot_parts,
    plot_scores_by_fold,
)

show_axes_in_notebooks()

__all__ = [
    "plot_adversarial",
    "plot_anomalies",
    "plot_border",
    "plot_bracket",
    "plot_capacity",
    "plot_closes",
    "plot_confidence",
    "plot_correlation",
    "plot_drawdown",
    "plot_drift",
    "plot_ensemble",
    "plot_equity",
    "plot_evidence",
    "plot_families",
    "plot_folds",
    "plot_gains",
    "plot_gap_map",
    "plot_importance",
    "plot_information",
    "plot_kept",
    "plot_label_balance",
    "plot_lead",
    "plot_learning",
    "plot_months",
    "plot_news",
    "plot_parts",
    "plot_permutation",
    "plot_placebo",
    "plot_reliability",
    "plot_returns_by_label",
    "plot_rolling",
    "plot_scores_by_fold",
    "plot_stale_opens",
    "plot_trades",
    "plot_trials",
    "plot_uniqueness",
    "plot_votes",
    "plot_widths",
]
