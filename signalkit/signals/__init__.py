"""Signals: from predictions to the position one would want to hold."""

from signalkit.signals.sizing import target_weights

__all__ = ["target_weights"]
