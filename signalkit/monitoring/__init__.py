"""Monitoring: settled predictions against what validation promised."""

from signalkit.monitoring.alarm import Alarm, delay_bound
from signalkit.monitoring.champion import paired
from signalkit.monitoring.drift import drift, outputs
from signalkit.monitoring.halves import Halves, halves
from signalkit.monitoring.ledger import Ledger
from signalkit.monitoring.performance import in_turn, kept, promised, rolling, settled

__all__ = [
    "Alarm",
    "Halves",
    "Ledger",
    "delay_bound",
    "drift",
    "halves",
    "in_turn",
    "kept",
    "outputs",
    "paired",
    "promised",
    "rolling",
    "settled",
]
