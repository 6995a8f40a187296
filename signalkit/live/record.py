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
    FROM ml_predictions WHERE {maker} = :made_by AND prediction_type = :target
    AND interval = :interval AND horizon = :horizon AND prediction_value IS NOT NULL
    AND id > :last ORDER BY id"""
# all of a maker are found by its name; those that are new by their number, which the + asks for
_ALL, _NEW = (_ROWS.format(maker=name) for name in ("made_by", "+made_by"))
_SETTLED = """SELECT id, known_at, actual_value,
    detail ->> '$.prediction_set', detail ->> '$.prediction_interval'
    FROM ml_predictions WHERE id IN (SELECT value FROM json_each(?)) AND known_at IS NOT NULL"""
_NUMBERS = ["prediction", *PROBABILITIES, "confidence"]
_OPEN = np.iinfo(np.int64).min  # as numpy writes NaT


class Record:
    """Answers of one maker to one question, oldest first."""

    def __init__(self, store: Store, made_by: str, asked: Asked) -> None:
        self._store, self.made_by, self.asked = store, made_by, asked
        self._symbols: list[str] = []
        self._cells: dict[str, np.ndarray] = {
            name: np.empty(0, np.int64) for name in ("symbol", "time", "known_at")
        } | {name: np.empty(0) for name in (*_NUMBERS, "actual", "covered")}
        self._open: dict[int, int] = {}
        self._last, self._marker = 0, None
        self._table: pd.DataFrame | None = None

    def table(self) -> pd.DataFrame:
        """All that it answered.

        Returns
        -------
        DataFrame indexed by (symbol, time), in order of time
            Columns of a table of predictions, and `covered`, whether its set or interval held
            the outcome, NaN where there is none. Refused answers are left out. The same frame
            while nothing is new.
        """
        (version,) = self._store.db.execute("PRAGMA data_version").fetchone()
        marker = version, self._store.db.conn.total_changes
        if marker != self._marker or self._table is None:
            changed = self._settle() + self._append()
            if changed or self._table is None:
                self._table = self._made()
            self._marker = marker
        return self._table

    def _append(self) -> int:
        """Read rows that are new; how many."""
        told = self.asked._asdict() | {"made_by": self.made_by, "last": self._last}
        rows = self._store.db.execute(_NEW if self._last else _ALL, told).fetchall()
        if not rows:
            return 0
        ids, symbols, times, *numbers, known, actual, sides, ends = zip(*rows, strict=True)
        self._symbols += sorted(set(symbols).difference(self._symbols))
        target, said = self.asked.target, zip(actual, sides, ends, strict=True)
        new = {name: np.array(cells, float) for name, cells in zip(_NUMBERS, numbers, strict=True)}
        new |= {
            "symbol": np.array([self._symbols.index(symbol) for symbol in symbols]),
            "time": np.array(times, np.int64),
            "known_at": np.array([_OPEN if k is None else k for k in known], np.int64),
            "actual": np.array(actual, float),
            "covered": np.array([_covered(*one, target) for one in said], float),
        }
        begin = len(self._cells["time"])
        self._cells = {n: np.concatenate([held, new[n]]) for n, held in self._cells.items()}
        self._open |= {n: begin + i for i, n in enumerate(ids) if known[i] is None}
        self._last = ids[-1]
        return len(rows)

    def _settle(self) -> int:
        """Read what came of rows that were open; of how many."""
        if not self._open:
            return 0
        rows = self._store.db.execute(_SETTLED, [json.dumps(list(self._open))]).fetchall()
        for number, known, actual, *said in rows:
            place = self._open.pop(number)
            self._cells["known_at"][place], self._cells["actual"][place] = known, actual
            self._cells["covered"][place] = _covered(actual, *said, self.asked.target)
        return len(rows)

    def _made(self) -> pd.DataFrame:
        """The rows as a table of predictions."""
        names = sorted(self._symbols)
        rank = np.array([names.index(symbol) for symbol in self._symbols], dtype=np.int64)
        cells = self._cells | {"symbol": rank[self._cells["symbol"]]}
        # symbols that are collected at other moments are not written in order of time
        order = np.lexsort([cells["symbol"], cells["time"]])
        held = {name: cells[name][order] for name in cells}
        times, place = np.unique(held.pop("time"), return_inverse=True)
        clock = pd.DatetimeIndex(times.view("M8[ns]"), tz="UTC")
        index = pd.MultiIndex(
            levels=[pd.Index(names, dtype="str"), clock],
            codes=[held.pop("symbol"), place],
            names=["symbol", "time"],
            verify_integrity=False,
        )
        known = pd.DatetimeIndex(held.pop("known_at").view("M8[ns]"), tz="UTC")
        told = {name: held[name] for name in _NUMBERS} | {"known_at": known}
        told |= {name: held[name] for name in ("actual", "covered")}
        return pd.DataFrame(told).set_axis(index).assign(target=self.asked.target, fold=0)


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
