"""Baselines: what a model must beat before it says anything.

MAJORITY gives the class shares (or the mean) of the training rows. PERSISTENCE says that
what was last seen to happen happens again; "seen" means known_at at or before the bar.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.metrics import CLASSES
from signalkit.training.contract import Model

_LABELS = "labels.parquet"


class Majority(Model):
    """Class shares, or mean, of the training rows."""

    model_type = "MAJORITY"
    reads = "labels"
    baseline = True

    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        answers = labels["label"].to_numpy()[rows]
        values = (answers[:, None] == np.array(CLASSES)) if self.classifies else answers
        self.share_ = np.average(values, axis=0, weights=sample_weight)

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        return np.repeat(np.atleast_1d(self.share_)[None], len(rows), axis=0).squeeze(
            axis=() if self.classifies else 1
        )

    def _state(self, folder: Path) -> dict[str, Any]:
        return {"share": np.asarray(self.share_).tolist()}

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        self.share_ = np.array(about["share"])


class Persistence(Model):
    """The last settled label again; how often that holds is learned."""

    model_type = "PERSISTENCE"
    reads = "labels"
    baseline = True

    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        self._labels = labels
        before = self._last(rows)
        known = np.isfinite(before)
        held = before[known] == labels["label"].to_numpy()[rows][known]
        weight = None if sample_weight is None else sample_weight[known]
        # not below an even chance, so that the last label stays the likeliest class
        floor = 1 / len(CLASSES) + 0.01
        share = float(np.average(held, weights=weight)) if known.any() else floor
        self.stays_ = max(share, floor)

    def _last(self, rows: np.ndarray) -> np.ndarray:
        """Each row's newest label of its symbol that was known at the row's time."""
        symbols = self._labels.index.get_level_values("symbol")
        times = self._labels.index.get_level_values("time").as_unit("ns").asi8
        known_at = pd.DatetimeIndex(self._labels["known_at"]).as_unit("ns")
        label = self._labels["label"].to_numpy()
        out = np.full(len(rows), np.nan)
        for symbol in symbols.unique():
            mine = np.flatnonzero((symbols == symbol) & known_at.notna())
            asked = np.flatnonzero(symbols[rows] == symbol)
            # a label may be settled before those of earlier bars, as barriers are
            mine = mine[np.argsort(known_at.asi8[mine], kind="stable")]
            newest = np.searchsorted(known_at.asi8[mine], times[rows[asked]], side="right") - 1
            found = newest >= 0
            out[asked[found]] = label[np.maximum.accumulate(mine)[newest[found]]]
        return out

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        if not features.index.equals(self._labels.index):
            raise DataError("PERSISTENCE predicts rows of the table it was fitted on only")
        last = self._last(rows)
        if not self.classifies:
            return np.nan_to_num(last, nan=0.0)
        others = (1 - self.stays_) / (len(CLASSES) - 1)
        same = last[:, None] == np.array(CLASSES)
        shares = np.where(same, self.stays_, others)
        return np.where(np.isfinite(last)[:, None], shares, 1 / len(CLASSES))

    def _state(self, folder: Path) -> dict[str, Any]:
        self._labels.to_parquet(folder / _LABELS)
        return {"stays": self.stays_}

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        self._labels = pd.read_parquet(folder / _LABELS)
        self.stays_ = about["stays"]
