"""Training: every model behind one contract, the naive ones too."""

from signalkit.training.baselines import Majority, Persistence
from signalkit.training.boosting import LightGBM, XGBoost
from signalkit.training.calibration import Calibrator, calibrator
from signalkit.training.conformal import prediction_intervals, prediction_sets
from signalkit.training.contract import CLASSIFICATION_TARGETS, Model, make, saved
from signalkit.training.ensemble import ENSEMBLE, PROBABILITIES, Combined, combine, pool
from signalkit.training.linear import Logistic, Ridge
from signalkit.training.ranks import cluster_order, clusters, rank_correlation, rank_ic
from signalkit.training.recipe import Recipe, Trained
from signalkit.training.recurrent import GRU, LSTM
from signalkit.training.selection import KEPT, kept, select
from signalkit.training.stream import Joint, Stream
from signalkit.training.tuning import SPACES, Tuned, tune
from signalkit.training.volatility_models import GARCH, HAR

_NAIVE = ("MAJORITY", "PERSISTENCE")


def baselines_of(target: str) -> tuple[str, ...]:
    """Model types that always run beside the models of a target, and must be beaten."""
    if target in CLASSIFICATION_TARGETS:
        return (*_NAIVE, "LOGISTIC")
    return (*_NAIVE, "RIDGE", *(("HAR", "GARCH") if target == "target_volatility" else ()))


__all__ = [
    "CLASSIFICATION_TARGETS",
    "ENSEMBLE",
    "GARCH",
    "GRU",
    "HAR",
    "KEPT",
    "LSTM",
    "PROBABILITIES",
    "SPACES",
    "Calibrator",
    "Combined",
    "Joint",
    "LightGBM",
    "Logistic",
    "Majority",
    "Model",
    "Persistence",
    "Recipe",
    "Ridge",
    "Stream",
    "Trained",
    "Tuned",
    "XGBoost",
    "baselines_of",
    "calibrator",
    "cluster_order",
    "clusters",
    "combine",
    "kept",
    "make",
    "pool",
    "prediction_intervals",
    "prediction_sets",
    "rank_correlation",
    "rank_ic",
    "saved",
    "select",
    "tune",
]
