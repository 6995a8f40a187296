"""Recurrent models: LSTM and GRU over the last bars of each row.

What is learned, the scaling included, is learned from the training rows. A window holds bars
of one symbol without an unbridged gap; one that has not as many bars as it looks back on is
used as it is. Inputs are in standard deviations of the training rows, cut off at ±10, and a
missing value is at the mean.

Sources: Hochreiter and Schmidhuber, Long Short-Term Memory (1997); Cho et al., Learning Phrase
Representations using RNN Encoder-Decoder (2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signalkit.bars import ALWAYS_OPEN
from signalkit.errors import DataError, ParamsError
from signalkit.features.gaps import MAX_GAP, Clock
from signalkit.metrics import CLASSES
from signalkit.training import networks
from signalkit.training.contract import Model
from signalkit.training.windows import Scaling, Windows

_SETTINGS = {
    "units": 32,
    "layers": 1,
    "lookback": 32,  # bars
    "dropout": 0.1,  # share of a layer's outputs
    "learning_rate": 1e-3,
    "epochs": 15,
    "batch": 256,  # rows
    "patience": 3,  # epochs
    "seed": 7,
    "interval": None,
    "calendar": ALWAYS_OPEN,
    "max_gap": MAX_GAP,  # bars
}
_COUNTS = ("units", "layers", "lookback", "epochs", "batch", "patience")
_FILE = "model.keras"


class _Recurrent(Model):
    """What both kinds of layer share.

    Parameters
    ----------
    target : str
        Target variable.
    **params
        `units`, `layers`, `lookback` (bars), `dropout` (share), `learning_rate`, `epochs`,
        `batch` (rows), `patience` (epochs without a lower loss of the watched rows before it
        stops), `seed`; `interval`, `calendar` and `max_gap` (bars) say which bars follow on
        each other: without an interval a symbol's rows all do.

    Raises
    ------
    ParamsError
        If a setting is unknown or out of its range.
    """

    defaults = _SETTINGS
    model_type = ""
    length = "epochs"
    features_: list[str]
    scaling_: Scaling
    weights_: list[np.ndarray]
    # mean and spread of a number in the training rows
    answer_: tuple[float, float]

    def __init__(self, target: str, **params: Any) -> None:
        super().__init__(target, **params)
        p = self.params
        for name in _COUNTS:
            self._need(name, "a whole number above 0", type(p[name]) is int and p[name] > 0)
        self._need("seed", "a whole number, 0 or more", type(p["seed"]) is int and p["seed"] >= 0)
        self._need("dropout", "at least 0 and below 1", 0 <= p["dropout"] < 1)
        self._need("learning_rate", "above 0", p["learning_rate"] > 0)
        self._clock = Clock(p["interval"], p["calendar"], p["max_gap"])

    def _need(self, name: str, what: str, holds: bool) -> None:
        """Refuse a setting that is out of its range."""
        if not holds:
            raise ParamsError(f"{self.model_type}: {name} must be {what}, was {self.params[name]}")

    def _shape(self) -> networks.Shape:
        """What the network is like."""
        p = self.params
        return networks.Shape(
            kind=self.model_type,
            lookback=p["lookback"],
            columns=len(self.features_),
            units=p["units"],
            layers=p["layers"],
            dropout=p["dropout"],
            outputs=len(CLASSES) if self.classifies else 1,
        )

    def _windows(self, features: pd.DataFrame, rows: np.ndarray) -> Windows:
        """Windows of some rows; the columns must be those that were learned."""
        if list(features.columns) != self.features_:
            raise DataError(
                f"{self.model_type} learned the columns {self.features_}, was asked with"
                f" {list(features.columns)}"
            )
        lookback = self.params["lookback"]
        given = {"scaling": self.scaling_, "lookback": lookback, "clock": self._clock}
        return Windows(features, rows, **given)

    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        self.features_ = list(features.columns)
        self.scaling_ = Scaling.of(features, rows)
        label = labels["label"].to_numpy(dtype=float)
        mean, spread = float(label[rows].mean()), float(label[rows].std())
        self.answer_ = (mean, spread if spread > 0 else 1.0)
        watched = rows[:0] if watch is None else watch
        windows = self._windows(features, np.r_[rows, watched])
        weight = _weight(sample_weight, len(rows), self.model_type)
        lesson = _Part(windows, rows, self._answers(label[rows]), weight)
        exam = _Part(windows, watched, self._answers(label[watched]), np.ones(len(watched)))
        with networks.told(self.model_type):
            net = networks.network(self._shape(), classifies=self.classifies)
            with net.lock:
                net.begin(self.params["seed"], self.params["learning_rate"])
                self._learn(net, lesson, exam)

    def _answers(self, label: np.ndarray) -> np.ndarray:
        """Labels as the network wants them: classes from 0, or in standard deviations."""
        if self.classifies:
            return (label - CLASSES[0]).astype(np.int32)
        return ((label - self.answer_[0]) / self.answer_[1]).astype(np.float32)

    def _learn(self, net: networks.Network, lesson: _Part, exam: _Part) -> None:
        """Epochs over the lesson, the rows in a new order each time, until it is time to stop."""
        order = np.random.default_rng(self.params["seed"])
        said: list[dict[str, float]] = []
        best, self.weights_ = np.inf, net.weights()
        since = 0
        while len(said) < self.params["epochs"] and since < self.params["patience"]:
            said.append(self._epoch(net, lesson, exam, order))
            better = not len(exam.rows) or said[-1]["watch"] < best
            since = 0 if better else since + 1
            if better:
                best, self.weights_ = said[-1].get("watch", np.inf), net.weights()
        epochs = pd.RangeIndex(1, len(said) + 1, name="epoch")
        self.history_ = pd.DataFrame(said, index=epochs)

    def _epoch(
        self, net: networks.Network, lesson: _Part, exam: _Part, order: np.random.Generator
    ) -> dict[str, float]:
        """Mean loss of the lesson, with dropout and while learning, and then of the exam."""
        size = self.params["batch"]
        places = _portions(order.permutation(len(lesson.rows)), size)
        losses = [net.step(*lesson.batch(place), size=size) for place in places]
        said = {"train": float(np.average(losses, weights=[len(place) for place in places]))}
        if len(exam.rows):
            said["watch"] = self._loss(_ask(net, exam.windows, exam.rows), exam.answers)
        if not np.isfinite(list(said.values())).all():
            raise DataError(
                f"{self.model_type}: the loss is no longer a number ({said}); lower learning_rate,"
                f" was {self.params['learning_rate']}"
            )
        return said

    def _loss(self, found: np.ndarray, answers: np.ndarray) -> float:
        """Mean cross-entropy (natural) of log-odds, or squared error in units of the spread."""
        if not self.classifies:
            return float(np.mean((found[:, 0] - answers) ** 2))
        held = _shares(found)[np.arange(len(answers)), answers]
        return float(-np.log(np.maximum(held, np.finfo(float).tiny)).mean())

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.empty((0, len(CLASSES)) if self.classifies else 0)
        windows = self._windows(features, rows)
        with networks.told(self.model_type):
            net = networks.network(self._shape(), classifies=self.classifies)
            with net.lock:
                net.take(self.weights_)
                found = _ask(net, windows, rows)
        if self.classifies:
            return _shares(found)
        return found[:, 0] * self.answer_[1] + self.answer_[0]

    def _state(self, folder: Path) -> dict[str, Any]:
        networks.write(folder / _FILE, self._shape(), self.weights_, self.params["seed"])
        return {
            "features": self.features_,
            "mean": self.scaling_.mean.tolist(),
            "gain": self.scaling_.gain.tolist(),
            "answer": list(self.answer_),
        }

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        self.features_ = about["features"]
        self.scaling_ = Scaling(np.array(about["mean"]), np.array(about["gain"]))
        self.answer_ = tuple(about["answer"])
        self.weights_ = networks.read(folder / _FILE, self._shape())


@dataclass(frozen=True)
class _Part:
    """Rows to learn from or to look at, with what they should be answered."""

    windows: Windows
    rows: np.ndarray
    answers: np.ndarray
    weight: np.ndarray

    def batch(
        self, place: np.ndarray
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
        """Windows, answers and weight of some of the rows."""
        return self.windows.batch(self.rows[place]), self.answers[place], self.weight[place]


def _portions(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """The rows, so many at a time."""
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def _weight(given: np.ndarray | None, n_rows: int, who: str) -> np.ndarray:
    """Weights with a mean of 1, so that they move no learning rate."""
    if given is None:
        return np.ones(n_rows, dtype=np.float32)
    mean = np.mean(given)
    if len(given) != n_rows or not np.isfinite(mean) or mean <= 0:
        raise DataError(f"{who}: {len(given)} weights of mean {mean} for {n_rows} rows")
    return (np.asarray(given) / mean).astype(np.float32)


def _ask(net: networks.Network, windows: Windows, rows: np.ndarray) -> np.ndarray:
    """Answers of a network to the windows of some rows."""
    parts = [net.answers(*windows.batch(some)) for some in _portions(rows, networks.ASKED)]
    return np.concatenate(parts)


def _shares(odds: np.ndarray) -> np.ndarray:
    """Probabilities from log-odds."""
    raised = np.exp(odds - odds.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


class LSTM(_Recurrent):
    """Long short-term memory."""

    model_type = "LSTM"


class GRU(_Recurrent):
    """Gated recurrent units."""

    model_type = "GRU"
