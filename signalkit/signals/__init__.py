"""Signals: from predictions to the position one would want to hold."""

from signalkit.signals.regimes import volatility_regime
from signalkit.signals.rules import stand_in, trend
from signalkit.signals.sizing import target_weights

__all__ = ["stand_in", "target_weights", "trend", "volatility_regime"]
