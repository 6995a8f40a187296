"""Monitoring: settled predictions against what validation promised."""

from signalkit.monitoring.alarm import Alarm, delay_bound
from signalkit.monitoring.ledger import Ledger

__all__ = ["Alarm", "Ledger", "delay_bound"]
