"""Training: every model behind one contract, the naive ones too."""

from signalkit.training.baselines import Majority, Persistence
from signalkit.training.boosting import LightGBM, XGBoost
from signalkit.training.contract import Model, make, saved, threads
from signalkit.training.ensemble import ENSEMBLE, add_mean

BASELINES = ("MAJORITY", "PERSISTENCE")

__all__ = [
    "BASELINES",
    "ENSEMBLE",
    "LightGBM",
    "Majority",
    "Model",
    "Persistence",
    "XGBoost",
    "add_mean",
    "make",
    "saved",
    "threads",
]
