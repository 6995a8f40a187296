"""Training: every model behind one contract, the naive ones too."""

from signalkit.training.baselines import Majority, Persistence
from signalkit.training.boosting import LightGBM, XGBoost
from signalkit.training.contract import Model, make, saved
from signalkit.training.ensemble import ENSEMBLE, add_mean
from signalkit.training.ranks import cluster_order, clusters, rank_correlation, rank_ic
from signalkit.training.selection import KEPT, kept, select

BASELINES = ("MAJORITY", "PERSISTENCE")

__all__ = [
    "BASELINES",
    "ENSEMBLE",
    "KEPT",
    "LightGBM",
    "Majority",
    "Model",
    "Persistence",
    "XGBoost",
    "add_mean",
    "cluster_order",
    "clusters",
    "kept",
    "make",
    "rank_correlation",
    "rank_ic",
    "saved",
    "select",
]
