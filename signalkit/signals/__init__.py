"""Signals: from predictions to the position one would want to hold."""

from signalkit.signals.bets import Sizing, bet_size, kelly_odds, kelly_return, payoff_ratio
from signalkit.signals.fusion import fuse, voice_weights
from signalkit.signals.markov import filtered, markov_fits, markov_regime
from signalkit.signals.regimes import volatility_regime
from signalkit.signals.rulebook import (
    RULES,
    Rule,
    features_of,
    find_rules,
    register_rule,
    vote,
)
from signalkit.signals.rules import stand_in, trend
from signalkit.signals.sizing import target_weights, trailing_volatility
from signalkit.signals.thresholds import threshold_path

__all__ = [
    "RULES",
    "Rule",
    "Sizing",
    "bet_size",
    "features_of",
    "filtered",
    "find_rules",
    "fuse",
    "kelly_odds",
    "kelly_return",
    "markov_fits",
    "markov_regime",
    "payoff_ratio",
    "register_rule",
    "stand_in",
    "target_weights",
    "threshold_path",
    "trailing_volatility",
    "trend",
    "voice_weights",
    "volatility_regime",
    "vote",
]
