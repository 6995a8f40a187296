"""Adversarial validation: whether a model can tell the rows of a test window from the training's.

Rows are never shuffled: a bar is so like its neighbours that a model would know where it stands
by theirs. Both windows are cut into blocks of consecutive bars; a block is scored by a model
that has seen neither it nor the bars beside it.

Source: Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests (2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit import metrics
from signalkit.splits import WalkForward
from signalkit.training.contract import make
from signalkit.validation.drift import halves, windows

_BLOCKS = 4
# bars beside a scored block that are left out, as a share of its length
_MARGIN = 0.25
# times that a window needs, two to a block
_LEAST = 2 * _BLOCKS
# rows of a window that are looked at, evenly spaced
_MOST = 5_000
# a small model: what it cannot see in so few trees is no change to speak of
_ASKED = {"rounds": 20, "learning_rate": 0.15, "min_rows_leaf": 20}


@dataclass(frozen=True)
class Adversary:
    """What a model that tells test rows from training rows found.

    `scores` is indexed by fold: `auc`, the mean over the blocks, and `auc_error`, its standard
    error over them; `auc_inside` and `inside_error`, the same of the newer against the older
    half of the training window; `told_by`, the feature with the most gain. `gain` is indexed by
    fold with a column a feature: its share of the gain, which says what gives the test rows away.
    """

    scores: pd.DataFrame
    gain: pd.DataFrame


def adversarial(
    features: pd.DataFrame, labels: pd.DataFrame, splits: WalkForward, *, seed: int = 7
) -> Adversary:
    """How well a model tells the rows of each test window from those of its training window.

    Parameters
    ----------
    features : DataFrame indexed by (symbol, time)
        Feature matrix; rows with a NaN are warm-up and left out.
    labels : DataFrame indexed by (symbol, time)
        `label` and `known_at`, which say what the purge leaves of a training window.
    splits : WalkForward
        The folds.
    seed : int
        Same seed, same trees.

    Returns
    -------
    Adversary
        AUC of each fold beside its yardstick, and the features that give the rows away. NaN in
        a fold one of whose windows, or halves, has fewer than 8 times.

    Raises
    ------
    DataError
        If no bar has every feature, there are too few bars for one fold, or a fold has fewer
        than two training times.

    Notes
    -----
    0.5 says that no such model can tell them apart. Features that move slowly always give away
    the time, in the training window as well: an AUC above `auc_inside` is what says that the
    test rows are stranger than training rows are to each other. Below 0.5, what tells some
    blocks apart misleads in the others: nothing that lasts. One fold says little; compare the
    means over all of them.

    Both windows are cut into 4 blocks of consecutive times. The i-th block of both is scored by
    a LightGBM of 20 small trees, fitted on the other blocks less the bars nearest to the scored
    ones, on each side a quarter of their number. Of a window of more than 5,000 rows 5,000 are
    looked at, evenly spaced. Nothing is fitted on these numbers.
    """
    times = features.index.get_level_values("time").asi8
    told, gains = {}, {}
    for fold, (train, test) in enumerate(windows(features, labels, splits)):
        aucs, gain = _told_apart(features, times, (train, test), seed)
        inside, _ = _told_apart(features, times, halves(times, train, fold), seed)
        told[fold] = {
            "auc": aucs.mean(),
            "auc_error": aucs.std(ddof=1) / np.sqrt(_BLOCKS),
            "auc_inside": inside.mean(),
            "inside_error": inside.std(ddof=1) / np.sqrt(_BLOCKS),
            "told_by": gain.idxmax() if gain.max() > 0 else "",
        }
        gains[fold] = gain
    scores = pd.DataFrame.from_dict(told, orient="index").rename_axis("fold")
    return Adversary(scores, pd.DataFrame(gains).T.rename_axis("fold"))


def _told_apart(
    features: pd.DataFrame, times: np.ndarray, sides: tuple[np.ndarray, np.ndarray], seed: int
) -> tuple[np.ndarray, pd.Series]:
    """AUC on each block of two windows, and the mean share of gain of each feature."""
    aucs, gains = np.full(_BLOCKS, np.nan), []
    if min(len(np.unique(times[side])) for side in sides) < _LEAST:
        return aucs, pd.Series(0.0, features.columns)
    sides = tuple(_spaced(side) for side in sides)
    rows = np.concatenate(sides)
    table = features.iloc[rows].reset_index(drop=True)
    later = np.repeat([0.0, 1.0], [len(side) for side in sides])
    origin = pd.DataFrame({"label": later})
    for block, (fitted, scored) in enumerate(_blocks([times[side] for side in sides])):
        model = make("LIGHTGBM", "target_profitable", **_ASKED, seed=seed)
        model.fit(table, origin, fitted)
        shares = model.predict_proba(table, scored)
        aucs[block] = metrics.classification(later[scored], shares)["auc"]
        gains.append(model.importance())
    return aucs, pd.concat(gains, axis=1).mean(axis=1)


def _spaced(rows: np.ndarray, most: int = _MOST) -> np.ndarray:
    """Rows, or evenly spaced ones of them where they are many."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _blocks(sides: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions, in the rows of both windows one after the other, to fit on and to score."""
    bars = [np.unique(times, return_inverse=True)[1] for times in sides]
    lengths = [bar.max() + 1 for bar in bars]
    for block in range(_BLOCKS):
        scored, fitted = [], []
        for bar, length in zip(bars, lengths, strict=True):
            first, stop = (part * length // _BLOCKS for part in (block, block + 1))
            margin = int(np.ceil(_MARGIN * (stop - first)))
            scored.append((bar >= first) & (bar < stop))
            fitted.append((bar < first - margin) | (bar >= stop + margin))
        yield np.flatnonzero(np.concatenate(fitted)), np.flatnonzero(np.concatenate(scored))
