"""Inference: the newest bars, through deployed models, to one answer that says what it rests on."""

from signalkit.inference.predictor import Predictor
from signalkit.inference.results import (
    IN_SAMPLE,
    EnsemblePrediction,
    Flag,
    LeftOut,
    Prediction,
    Vote,
)

__all__ = ["IN_SAMPLE", "EnsemblePrediction", "Flag", "LeftOut", "Prediction", "Predictor", "Vote"]
