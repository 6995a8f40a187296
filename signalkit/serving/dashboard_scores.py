"""How right predictions were, never without what chance gives and how sure that is.

The one rule: a number stands beside its baseline and its 95 % interval, and the words follow
from them: what is inside its interval of the baseline is no better than the baseline.

Outcomes of neighbouring bars share bars, and symbols move together: a stretch counts as many
independent outcomes as it has moments, divided by the horizon. The interval of a share is
Wilson's (1927), that of a mean the normal one, both on that count. The baseline is the most
frequent outcome of the same stretch, or its mean: known only afterwards, so hard to beat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signalkit.metrics import CLASSES
from signalkit.store import Asked
from signalkit.training.contract import CLASSIFICATION_TARGETS

LEAST = 20  # outcomes, before anything is said of them
LONGEST_WINDOW = 250  # outcomes of a rolling score
_Z = 1.959963984540054  # of a two-sided interval of 95 %
_LEAST_SHARE = 1e-15
SIDES = {-1: "sell", 0: "hold", 1: "buy"}
_PAYS = {0: "does not pay", 1: "pays"}


def class_words(target: str, value: float | None) -> str:
    """A class as a word; a number that is none as it is."""
    if value is None:
        return "–"
    words = _PAYS if target == "target_profitable" else SIDES
    return words.get(int(value), f"{value:g}") if value == int(value) else f"{value:g}"


def is_class(target: str) -> bool:
    """Whether a target is one of classes; the others are numbers."""
    return target in CLASSIFICATION_TARGETS


@dataclass(frozen=True)
class Score:
    """A mean over outcomes: `value` between `low` and `high`, its baseline and what follows.

    `compared` names the baseline; `verdict` is better, worse or none.
    """

    metric: str
    value: float
    low: float
    high: float
    baseline: float
    compared: str
    n: int
    independent: float
    verdict: str


@dataclass(frozen=True)
class Track:
    """Rolling scores as of each moment at which an outcome became known.

    `value low high baseline` are of accuracy, or of the mean absolute error; `confidence` is
    the mean that was claimed, `loss` and `loss_baseline` log-losses, for classes alone.
    """

    window: int
    times: list[int]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    baseline: np.ndarray
    confidence: np.ndarray | None = None
    loss: np.ndarray | None = None
    loss_baseline: np.ndarray | None = None


class Outcomes:
    """Settled predictions as arrays, in order of when their outcome became known.

    Parameters
    ----------
    asked : Asked
        The question they answer.
    rows : sequence of tuple
        Those of `reading.settled`.
    """

    def __init__(self, asked: Asked, rows: Sequence[tuple[Any, ...]]) -> None:
        cells = np.array([row[2:] for row in rows], dtype=object).reshape(len(rows), 8)
        self.asked, self.n = asked, len(rows)
        self.known_at = cells[:, 0].astype("int64")
        numbers = cells[:, 1:].astype(float)
        self.said, self.actual = numbers[:, 0], numbers[:, 1]
        self.confidence, self.shares = numbers[:, 3], numbers[:, 4:7]
        self.is_class = is_class(asked.target)
        # a moment counts once, however many symbols it settles
        self._moments = np.r_[1, np.diff(self.known_at) > 0].cumsum() if len(rows) else cells

    @property
    def right(self) -> np.ndarray:
        """1 where a class was right."""
        return (self.said == self.actual).astype(float)

    @property
    def missed(self) -> np.ndarray:
        """How far a number was off."""
        return np.abs(self.said - self.actual)

    def truth(self) -> np.ndarray:
        """Which class each outcome was, a column a class."""
        return (self.actual[:, None] == np.array(CLASSES, dtype=float)).astype(float)

    def losses(self) -> np.ndarray:
        """Log-loss of each; NaN where there were no probabilities."""
        share = (self.shares * self.truth()).sum(axis=1)
        return -np.log(np.clip(share, _LEAST_SHARE, 1.0))

    def independent(self, window: int) -> np.ndarray:
        """Independent outcomes in each window."""
        first = np.r_[0, self._moments][: self.n - window + 1]
        return np.maximum((self._moments[window - 1 :] - first) / self.asked.horizon, 1.0)


def _means(values: np.ndarray, window: int) -> np.ndarray:
    """Means of each window of rows."""
    sums = np.r_[np.zeros((1, *values.shape[1:])), values.cumsum(axis=0)]
    return (sums[window:] - sums[:-window]) / window


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval of a share of so many independent outcomes."""
    size = 1 + _Z**2 / count
    middle = (share + _Z**2 / (2 * count)) / size
    half = _Z / size * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def _shares(of: Outcomes, window: int) -> Track:
    """Rolling accuracy and what belongs to it."""
    right, outcomes = _means(of.right, window), _means(of.truth(), window)
    low, high = wilson(right, of.independent(window))
    odds = np.where(outcomes > 0, outcomes, 1.0)
    told = not np.isnan(of.losses()).any()
    return Track(
        window,
        of.known_at[window - 1 :].tolist(),
        *(right, low, high, outcomes.max(axis=1)),
        confidence=_means(of.confidence, window) if told else None,
        loss=_means(of.losses(), window) if told else None,
        loss_baseline=-(outcomes * np.log(odds)).sum(axis=1) if told else None,
    )


def _errors(of: Outcomes, window: int) -> Track:
    """Rolling mean absolute error, beside that of the stretch's own mean."""
    missed, squared = _means(of.missed, window), _means(of.missed**2, window)
    spread = np.sqrt(np.maximum(squared - missed**2, 0) / of.independent(window))
    views = np.lib.stride_tricks.sliding_window_view(of.actual, window)
    naive = np.abs(views - views.mean(axis=1, keepdims=True)).mean(axis=1)
    low, high = np.maximum(missed - _Z * spread, 0), missed + _Z * spread
    return Track(window, of.known_at[window - 1 :].tolist(), missed, low, high, naive)


def _last_of_moment(track: Track) -> Track:
    """One row a moment: the last, when all of it was known."""
    times = np.asarray(track.times)
    last = np.flatnonzero(np.r_[np.diff(times) > 0, True])
    parts = {
        name: value[last] for name, value in vars(track).items() if isinstance(value, np.ndarray)
    }
    return Track(**vars(track) | parts | {"times": times[last].tolist()})


def track(of: Outcomes) -> Track | None:
    """Rolling scores, None where there are too few outcomes for one.

    The window is a third of what there is, at most `LONGEST_WINDOW` and at least `LEAST`.
    """
    if of.n < LEAST:
        return None
    window = min(max(of.n // 3, LEAST), LONGEST_WINDOW)
    return _last_of_moment((_shares if of.is_class else _errors)(of, window))


def score(of: Outcomes) -> Score | None:
    """The score of all outcomes together, None where there are too few."""
    if of.n < LEAST:
        return None
    whole = (_shares if of.is_class else _errors)(of, of.n)
    value, low, high, baseline = (
        float(part[-1]) for part in (whole.value, whole.low, whole.high, whole.baseline)
    )
    above, below = low > baseline, high < baseline
    better, worse = (above, below) if of.is_class else (below, above)
    if of.is_class:
        often = CLASSES[int(of.truth().sum(axis=0).argmax())]
        compared = f"always “{class_words(of.asked.target, often)}”"
    else:
        compared = f"always {of.actual.mean():.4g}"
    return Score(
        "accuracy" if of.is_class else "mean absolute error",
        *(value, low, high, baseline, compared, of.n, float(of.independent(of.n)[-1])),
        verdict="better" if better else "worse" if worse else "none",
    )


def reliability(of: Outcomes, bins: int = 5) -> list[dict[str, float]]:
    """How often predictions were right, by how sure they claimed to be; an equal number a row.

    Returns
    -------
    list of dict
        `claimed`, `right`, `low`, `high`, `n`, least sure first; empty where there are too few
        or they claim nothing.
    """
    sure = np.flatnonzero(np.isfinite(of.confidence))
    if not of.is_class or len(sure) < LEAST:
        return []
    parts = np.array_split(sure[np.argsort(of.confidence[sure], kind="stable")], bins)
    density = float(of.independent(of.n)[-1]) / of.n
    rows = []
    for part in parts:
        right, count = of.right[part].mean(), max(len(part) * density, 1.0)
        low, high = wilson(np.array(right), np.array(count))
        claimed = float(of.confidence[part].mean())
        rows.append({"claimed": claimed, "right": float(right), "n": len(part)})
        rows[-1] |= {"low": float(low), "high": float(high)}
    return rows


def worth_saying(value: float | None) -> bool:
    """Whether a number is there."""
    return value is not None and math.isfinite(value)
