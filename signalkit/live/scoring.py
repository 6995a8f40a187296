"""Performance: what settled of each maker, beside what validation promised of windows as long.

A row a moment at which something settled, written once. The promise is made once for each
maker, and kept: the ranges of its windows, and the low end of the interval of its accuracy, by
which the alarm judges.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from signalkit import monitoring, significance
from signalkit.errors import DataError
from signalkit.lineage import digest
from signalkit.live.desks import Desk
from signalkit.live.past import Pasts
from signalkit.live.record import Records
from signalkit.store import Store
from signalkit.store.predictions import ENSEMBLE

_LAST = """SELECT max(date) FROM ml_model_performance WHERE made_by = :made_by
    AND prediction_type = :target AND interval = :interval AND horizon = :horizon
    AND window = :window"""
_COLUMNS = ("accuracy", "log_loss", "coverage", "mse", "after_cost_return")


def makers(desk: Desk) -> list[str]:
    """Who answers at a desk: the ensemble, its models and their challengers."""
    numbers = [*(e.id for e in desk.entries), *(e.id for e, _ in desk.challengers)]
    return [ENSEMBLE, *map(str, numbers)]


class Scoring:
    """Writes the performance of makers."""

    def __init__(self, store: Store, pasts: Pasts, records: Records) -> None:
        self._store, self._pasts, self._records = store, pasts, records

    def promise(self, desk: Desk, made_by: str) -> dict[str, Any]:
        """What validation promised of a maker; made once and kept.

        Returns
        -------
        dict
            `ranges`, by metric `value low high`; `accuracy_low`, None where there was no past.
        """
        window = _rows(desk)
        members = sorted(entry.sha256 for entry in desk.entries)
        asked = desk.study.params.model_dump(include={"validation", "training"})
        of = digest([window, made_by, members if made_by == ENSEMBLE else [], asked])
        key = f"promise {desk.name} {made_by} {desk.asked}"
        held = self._store.watch.state(key)
        if held is None or held["of"] != of:
            held = {"of": of} | _promised(desk, self._pasts.of(desk, made_by), window)
            self._store.watch.keep({key: held})
        return held

    def score(
        self,
        desk: Desk,
        at: pd.Timestamp,
        *,
        paid: pd.Series | None = None,
        drift: float | None = None,
    ) -> int:
        """Write the rows of moments after the last one that is written; how many.

        Parameters
        ----------
        desk : Desk
            Whose makers.
        at : Timestamp
            The moment; later outcomes do not exist.
        paid : Series indexed by time, optional
            What the study's signal earned on the bar after each, after costs.
        drift : float, optional
            How far what the ensemble says is from before, for its newest row.
        """
        own = {"paid": paid, "drift": drift}
        none: dict[str, Any] = dict.fromkeys(own)
        return sum(
            self._scored(desk, made_by, at, **(own if made_by == ENSEMBLE else none))
            for made_by in makers(desk)
        )

    def _scored(
        self,
        desk: Desk,
        made_by: str,
        at: pd.Timestamp,
        *,
        paid: pd.Series | None,
        drift: float | None,
    ) -> int:
        """Write the rows of one maker."""
        table = self._records.table(made_by, desk.asked)
        window, last = str(desk.study.params.monitoring.window), self._last(desk, made_by)
        table = _tail(table[table["known_at"] <= at], last, _rows(desk))
        if table is None:
            return 0
        if paid is not None:
            times = table.index.get_level_values("time")
            table = table.assign(paid=paid.reindex(times).to_numpy())
        if table["covered"].isna().all():
            table = table.drop(columns="covered")
        since = pd.Timestamp(last, tz="UTC")
        scores = monitoring.rolling(table, window=_rows(desk), since=since)
        promise = self.promise(desk, made_by)
        ranges = pd.DataFrame.from_dict(promise["ranges"], orient="index")
        told = pd.DataFrame(index=scores.index)
        if len(ranges):
            told = monitoring.kept(scores, ranges, window=_rows(desk))
        rows = [_row(window, *pair, promise) for pair in zip(scores.iloc, told.iloc, strict=True)]
        rows[-1]["drift"] = drift
        self._store.watch.write_performance(made_by, desk.asked, rows)
        return len(rows)

    def _last(self, desk: Desk, made_by: str) -> int:
        """The last moment that is written, nanoseconds."""
        asked = desk.asked._asdict() | {"made_by": made_by}
        asked["window"] = str(desk.study.params.monitoring.window)
        return self._store.db.execute(_LAST, asked).fetchone()[0] or 0


def _rows(desk: Desk) -> int:
    """Rows of a rolling window: its times, of every symbol."""
    return desk.study.params.monitoring.window * len(desk.symbols)


def _tail(table: pd.DataFrame, last: int, window: int) -> pd.DataFrame | None:
    """Settled rows that new windows read; None where nothing new settled."""
    known = pd.DatetimeIndex(table["known_at"]).asi8
    new = int((known > last).sum())
    if not new:
        return None
    order = np.argsort(known, kind="stable")
    # rows of one moment stand together, in whatever order: all of the first one's
    first = known[order[max(0, len(order) - new - window)]]
    return table[known >= first]


def _promised(desk: Desk, past: pd.DataFrame | None, window: int) -> dict[str, Any]:
    """Ranges of windows of validation, and the low end of its accuracy."""
    none: dict[str, Any] = {"ranges": {}, "accuracy_low": None}
    if past is None or past.empty:
        return none
    rows = monitoring.settled(past)
    low = None if desk.asked.target == "target_volatility" else _low(desk, rows)
    try:
        ranges = monitoring.promised(past, window=window)
    except DataError:  # fewer than two windows
        return none | {"accuracy_low": low}
    found = ranges[["value", "low", "high"]].to_dict("index")
    return {"ranges": found, "accuracy_low": low}


def _low(desk: Desk, rows: pd.DataFrame) -> float | None:
    """Low end of the interval of accuracy in validation, by the study's own bootstrap."""
    if len(rows) < 2:
        return None
    rows, held = rows.sort_index(level="time"), desk.study.params.validation
    times = pd.DatetimeIndex(rows.index.get_level_values("time"))
    right = rows["right"].to_numpy(dtype=float)

    def accuracy(weight: np.ndarray) -> pd.Series:
        return pd.Series({"accuracy": weight @ right / weight.sum()})

    found = significance.bootstrap_ci(
        accuracy,
        times,
        block=min(desk.study.block, times.nunique()),
        draws=held.draws,
        level=held.level,
        seed=desk.study.params.training.seed,
    )
    low = float(found.loc["accuracy", "low"])
    return low if 0 < low < 1 else None


def _row(
    window: str, scores: pd.Series, told: pd.Series, promise: dict[str, Any]
) -> dict[str, Any]:
    """A row of performance."""
    row: dict[str, Any] = {"window": window, "date": scores.name.value, "n": int(scores["n"])}
    for name in _COLUMNS:
        row[name] = _number(scores.get(name))
    row["calibration"] = _number(scores.get("ece"))
    row["state"] = _state(list(told))
    row["detail"] = {"by_metric": told.to_dict(), "accuracy_low": promise["accuracy_low"]}
    return row


def _number(value: float | None) -> float | None:
    """A number as the database says it; NaN is none."""
    return None if value is None or not math.isfinite(value) else float(value)


def _state(told: list[str]) -> str | None:
    """One word for a window: the worst of its metrics, None where nothing was promised."""
    return next((word for word in ("worse", "few", "better", "kept") if word in told), None)
