"""Backtesting: what a target position would have earned after costs."""

from signalkit.backtesting.attribution import attribution
from signalkit.backtesting.bracket import LEAD, bracket, bracket_of, break_even, legal_runs
from signalkit.backtesting.capacity import Capacity, capacity
from signalkit.backtesting.engine import Backtest, simulate
from signalkit.backtesting.market import Market, prepare
from signalkit.backtesting.money import by_confidence, by_model, by_regime, called
from signalkit.backtesting.performance import (
    daily,
    intervals,
    monthly,
    rolling_sharpe,
    sharpe_interval,
    statistics,
)
from signalkit.backtesting.settings import Settings
from signalkit.backtesting.sweep import sweep

__all__ = [
    "LEAD",
    "Backtest",
    "Capacity",
    "Market",
    "Settings",
    "attribution",
    "bracket",
    "bracket_of",
    "break_even",
    "by_confidence",
    "by_model",
    "by_regime",
    "called",
    "capacity",
    "daily",
    "intervals",
    "legal_runs",
    "monthly",
    "prepare",
    "rolling_sharpe",
    "sharpe_interval",
    "simulate",
    "statistics",
    "sweep",
]
