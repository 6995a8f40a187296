"""Labels: what a model is asked to predict, and when each answer becomes known."""

from signalkit.labeling.horizon import signal_direction, target_return

TARGETS = {"signal_direction": signal_direction, "target_return": target_return}

__all__ = ["TARGETS", "signal_direction", "target_return"]
