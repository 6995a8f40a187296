"""Backtesting: what a target position would have earned after costs."""

from signalkit.backtesting.engine import Backtest, simulate
from signalkit.backtesting.performance import sharpe_interval, statistics

__all__ = ["Backtest", "sharpe_interval", "simulate", "statistics"]
