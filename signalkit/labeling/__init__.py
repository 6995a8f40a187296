"""Labels: what a model is asked to predict, and when each answer becomes known."""

from signalkit.labeling.barriers import meta_label, triple_barrier
from signalkit.labeling.bootstrap import draw_odds, sequential_bootstrap
from signalkit.labeling.horizon import signal_direction, target_return, target_volatility
from signalkit.labeling.profit import target_profitable
from signalkit.labeling.proof import proofs
from signalkit.labeling.weights import (
    concurrency,
    return_attribution,
    time_decay,
    uniqueness,
    wait,
)

TARGETS = {
    "signal_direction": signal_direction,
    "target_return": target_return,
    "target_volatility": target_volatility,
    "target_profitable": target_profitable,
    "triple_barrier": triple_barrier,
}

__all__ = [
    "TARGETS",
    "concurrency",
    "draw_odds",
    "meta_label",
    "proofs",
    "return_attribution",
    "sequential_bootstrap",
    "signal_direction",
    "target_profitable",
    "target_return",
    "target_volatility",
    "time_decay",
    "triple_barrier",
    "uniqueness",
    "wait",
]
