"""What one maker predicted of one question, live, and what came of it; only news are read."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from signalkit.store import Asked, Store
from signalkit.training import CLASSIFICATION_TARGETS, PROBABILITIES

SIDES = ("sell", "hold", "buy")
_ROWS = """SELECT id, symbol, prediction_timestamp, prediction_value,
    prediction_probabilities ->> '$.sell', prediction_probabilities ->> '$.hold',
    prediction_probabilities ->> '$.buy', confidence_score, known_at, actual_value,
    detail ->> '$.prediction_set', detail ->> '$.prediction_interval'
    FROM ml_predictions WHERE made_by = :made_by AND prediction_type = :target
    AND interval = :interval AND horizon = :horizon AND prediction_value IS NOT NULL
    AND (id > :last OR id IN (SELECT value FROM json_each(:open)))
    ORDER BY prediction_timestamp, symbol"""
_NAMES = ["prediction", *PROBABILITIES, "confidence", "known_at", "actual", "covered"]


class Record:
    """Answers of one maker to one question, oldest first."""

    def __init__(self, store: Store, made_by: str, asked: Asked) -> None:
        self._store, self.made_by, self.asked = store, made_by, asked
        self._kept: pd.DataFrame | None = None
        self._last, self._open = 0, "[]"

    def table(self) -> pd.DataFrame:
        """All that it answered.

        Returns
        -------
        DataFrame indexed by (symbol, time), in order of time
            Columns of a table of predictions, and `covered`, whether its set or interval held
            the outcome, NaN where there is none. Refused answers are left out.
        """
        own = {"made_by": self.made_by, "last": self._last, "open": self._open}
        rows = self._store.db.execute(_ROWS, self.asked._asdict() | own).fetchall()
        if not rows and self._kept is not None:
            return self._kept
        new = _table([row[1:] for row in rows], self.asked.target)
        table = new if self._kept is None else pd.concat([self._kept, new])
        # what has settled stays as it is
        done = table["known_at"].notna().to_numpy()
        self._kept = table[done] if done.any() else None
        self._last = max([self._last, *(row[0] for row in rows)])
        self._open = json.dumps([row[0] for row in rows if row[8] is None])
        return table


def _table(rows: list[tuple], target: str) -> pd.DataFrame:
    """Rows of the database as a table of predictions."""
    cells = list(zip(*rows, strict=True)) if rows else [[] for _ in range(11)]
    times = pd.DatetimeIndex(np.array(cells[1], dtype="M8[ns]"), tz="UTC")
    index = pd.MultiIndex.from_arrays([list(cells[0]), times], names=["symbol", "time"])
    numbers = [np.array(column, dtype=float) for column in cells[2:7]]
    known = [np.datetime64("NaT") if k is None else np.datetime64(k, "ns") for k in cells[7]]
    actual = np.array(cells[8], dtype=float)
    told = zip(*cells[8:], strict=True)
    covered = np.array([_covered(*one, target) for one in told], dtype=float)
    known_at = pd.DatetimeIndex(np.array(known, dtype="M8[ns]"), tz="UTC")
    table = pd.DataFrame(dict(zip(_NAMES, [*numbers, known_at, actual, covered], strict=True)))
    return table.set_axis(index).assign(target=target, fold=0)


def _covered(actual: float | None, sides: str | None, ends: str | None, target: str) -> float:
    """Whether what was said to be reckoned with came, NaN where nothing was said."""
    if actual is None or (sides is None and ends is None):
        return np.nan
    if target in CLASSIFICATION_TARGETS:
        return np.nan if sides is None else float(SIDES[int(actual) + 1] in json.loads(sides))
    low, high = json.loads(ends) if ends else (np.nan, np.nan)
    return float(low <= actual <= high)


class Records:
    """Records by maker and question."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[tuple[str, Asked], Record] = {}

    def table(self, made_by: str, asked: Asked) -> pd.DataFrame:
        """What a maker answered to a question; see `Record.table`."""
        key = (made_by, asked)
        if key not in self._held:
            self._held[key] = Record(self._store, made_by, asked)
        return self._held[key].table()
