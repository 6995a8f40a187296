"""Predictions that were made of new bars, and what came of them.

A prediction is written once: its maker, symbol, what is asked and its bar name it, and whoever
writes it again changes nothing. An outcome is written once too, when it is settled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pandas as pd
from sqlite_utils import Database

from signalkit.errors import DataError
from signalkit.store.moments import utc
from signalkit.store.schema import transaction

# who makes what several models say together, or the rule in their place
ENSEMBLE = "ENSEMBLE"
SIDES = ("sell", "hold", "buy")
_SHARES = ("p_sell", "p_hold", "p_buy")
_KEYS = ["symbol", "time", "model_id"]

_WRITE = """INSERT INTO ml_predictions (made_by, model, symbol, prediction_type, interval, horizon,
    prediction_value, confidence_score, prediction_probabilities, prediction_timestamp, created_at,
    origin, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_SETTLE = """UPDATE ml_predictions SET known_at = ?, actual_value = ?, is_correct = ?
    WHERE id = ? AND known_at IS NULL"""
_ASKED = "prediction_type = :target AND interval = :interval AND horizon = :horizon"
_OPEN = f"""SELECT id, made_by, symbol, prediction_timestamp, prediction_value FROM ml_predictions
    WHERE {_ASKED} AND known_at IS NULL ORDER BY prediction_timestamp, id"""  # noqa: S608
_TABLE = f"""SELECT symbol, prediction_timestamp, made_by, prediction_value,
    prediction_probabilities ->> '$.sell', prediction_probabilities ->> '$.hold',
    prediction_probabilities ->> '$.buy', confidence_score, known_at, actual_value
    FROM ml_predictions WHERE made_by = :made_by AND {_ASKED} AND prediction_value IS NOT NULL
    ORDER BY symbol, prediction_timestamp"""  # noqa: S608 - constants
_COLUMNS = """id, made_by, model, symbol, prediction_type, interval, horizon, prediction_value,
    confidence_score, prediction_probabilities, prediction_timestamp, created_at, origin, detail,
    known_at, actual_value, is_correct"""
# by symbol the newest are read off one index; a condition that is not asked for is not written
_CONDITIONS = {
    "symbol": "symbol = :symbol",
    "target": "prediction_type = :target",
    "made_by": "made_by = :made_by",
    "interval": "interval = :interval",
    "horizon": "horizon = :horizon",
    "before": "(prediction_timestamp, id) < (:time, :id)",
}


class Asked(NamedTuple):
    """What is predicted: a target, of bars of an interval, a number of them ahead."""

    target: str
    interval: str
    horizon: int

    def __str__(self) -> str:
        return f"{self.target} {self.horizon} x {self.interval}"


@dataclass(frozen=True)
class Predicted:
    """One prediction: who made it, of what, and what it says.

    `made_by` is the number of a model as text, or ENSEMBLE; `time` the end of the newest bar
    that was read, nanoseconds; `probabilities` by `sell`, `hold`, `buy`; `value` is None where
    an answer was refused; `detail` what JSON can say beside it.
    """

    made_by: str
    symbol: str
    asked: Asked
    time: int
    value: float | None
    confidence: float | None = None
    probabilities: Mapping[str, float] | None = None
    origin: str = "deployed"
    detail: Mapping[str, Any] = field(default_factory=dict)

    def row(self, moment: str) -> tuple[Any, ...]:
        """The cells of its row."""
        model = None if self.made_by == ENSEMBLE else int(self.made_by)
        told = None if self.probabilities is None else json.dumps(dict(self.probabilities))
        said = (self.value, self.confidence, told, self.time, moment, self.origin)
        return (self.made_by, model, self.symbol, *self.asked, *said, json.dumps(dict(self.detail)))


class Outcome(NamedTuple):
    """What came of a stored prediction: `known_at` in nanoseconds, whether it was right."""

    id: int
    known_at: int
    actual: float
    correct: bool | None


class Predictions:
    """The predictions of a store."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def write(self, made: Iterable[Predicted]) -> int:
        """Enter predictions in one transaction; those that are there stay as they are.

        Returns
        -------
        int
            How many are new.
        """
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        rows = [one.row(moment) for one in made]
        with transaction(self._db):
            before = self._db.conn.total_changes
            self._db.conn.executemany(_WRITE, rows)
            return self._db.conn.total_changes - before

    def unsettled(self, asked: Asked) -> list[dict[str, Any]]:
        """Predictions without an outcome, oldest first.

        Returns
        -------
        list of dict
            `id made_by symbol prediction_timestamp prediction_value`.
        """
        return list(self._db.query(_OPEN, asked._asdict()))

    def settle(self, outcomes: Sequence[Outcome]) -> int:
        """Write what came of predictions, in one transaction; what is settled stays.

        Returns
        -------
        int
            How many are new.
        """
        rows = [
            (o.known_at, o.actual, None if o.correct is None else int(o.correct), o.id)
            for o in outcomes
        ]
        with transaction(self._db):
            before = self._db.conn.total_changes
            self._db.conn.executemany(_SETTLE, rows)
            return self._db.conn.total_changes - before

    def page(
        self,
        *,
        before: tuple[int, int] | None = None,
        limit: int = 50,
        **of: str | int | None,
    ) -> list[dict[str, Any]]:
        """Predictions, newest bar first.

        Parameters
        ----------
        before : tuple of int, optional
            `(prediction_timestamp, id)` of the last row of the page before.
        limit : int
            Rows at most.
        **of : str or int
            `symbol`, `target`, `made_by`, `interval`, `horizon`; one that is None asks nothing.

        Returns
        -------
        list of dict
            The columns of `ml_predictions`; probabilities and detail as they are stored, JSON.

        Raises
        ------
        DataError
            If a name is not one of these.
        """
        given = {name: value for name, value in of.items() if value is not None}
        if given.keys() - _CONDITIONS.keys():
            raise DataError(f"predictions are asked for by {list(_CONDITIONS)}, not {list(of)}")
        if before is not None:
            given |= {"before": None, "time": before[0], "id": before[1]}
        where = " AND ".join(text for name, text in _CONDITIONS.items() if name in given) or "1"
        query = f"""SELECT {_COLUMNS} FROM ml_predictions WHERE {where}
            ORDER BY prediction_timestamp DESC, id DESC LIMIT :limit"""  # noqa: S608 - constants
        return list(self._db.query(query, given | {"limit": limit}))

    def table(self, made_by: str, asked: Asked) -> pd.DataFrame:
        """All answers of one maker to one question, as a table of predictions.

        Returns
        -------
        DataFrame indexed by (symbol, time, model_id)
            `target fold prediction p_sell p_hold p_buy confidence known_at actual`; `fold` 0;
            refused answers are left out.
        """
        rows = self._db.execute(_TABLE, asked._asdict() | {"made_by": made_by}).fetchall()
        names = [*_KEYS, "prediction", *_SHARES, "confidence", "known_at", "actual"]
        found = pd.DataFrame(rows, columns=names)
        numbers = ["prediction", *_SHARES, "confidence", "actual"]
        found = found.astype(dict.fromkeys(numbers, float))
        found["time"] = utc(found["time"].to_numpy(dtype="int64"), "ns")
        known = found["known_at"].astype("Int64").astype("datetime64[ns]")
        found["known_at"] = known.dt.tz_localize("UTC")
        found.insert(len(_KEYS), "target", asked.target)
        found.insert(len(_KEYS) + 1, "fold", 0)
        return found.set_index(_KEYS)
