"""The newest predictions as JSON, written from the row without a detour.

This is what is asked most often, so it is read in the loop of the server itself: one index,
few rows, one connection that only that thread uses.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from signalkit.serving.database import Database
from signalkit.serving.problems import Problem
from signalkit.serving.times import shown
from signalkit.store.moments import LAST

_COLUMNS = """id, made_by, model, symbol, prediction_type, interval, horizon, prediction_value,
    confidence_score, prediction_probabilities, prediction_timestamp, created_at, origin, detail,
    known_at, actual_value, is_correct"""
_NEWEST = f"""SELECT {_COLUMNS} FROM ml_predictions WHERE symbol = ?
    ORDER BY prediction_timestamp DESC, id DESC LIMIT ?"""  # noqa: S608 - constants
_quoted = json.encoder.encode_basestring_ascii
_BITS = ("null", "false", "true")


class Recent:
    """The connection that reads the newest predictions of a symbol."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None

    def rows(self, symbol: str, limit: int) -> list[tuple[Any, ...]]:
        """The newest rows of a symbol.

        Raises
        ------
        sqlite3.Error
            If the database refuses; the connection is made anew at the next call.
        """
        if self._connection is None:
            self._database.prepare()
            name = f"{self._database.file.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(name, uri=True, timeout=0.2)
        try:
            return self._connection.execute(_NEWEST, (symbol, limit)).fetchall()
        except sqlite3.Error:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def page(rows: Sequence[Sequence[Any]], limit: int) -> bytes:
    """A page of predictions as JSON.

    Parameters
    ----------
    rows : sequence of rows
        The columns of the table, one row more than the limit where there are more.
    limit : int
        Rows of a page.
    """
    shown_rows = ",".join([_row(row) for row in rows[:limit]])
    more = f'"{cursor(rows[limit - 1])}"' if len(rows) > limit else "null"
    return f'{{"predictions":[{shown_rows}],"next":{more}}}'.encode()


def cursor(row: Sequence[Any]) -> str:
    """The place after a row."""
    return f"{row[10]}-{row[0]}"


def place(cursor: str | None) -> tuple[int, int] | None:
    """Time and number of the row that a cursor names.

    Raises
    ------
    Problem
        422 where no page ends there.
    """
    if cursor is None:
        return None
    time, number = map(int, cursor.rsplit("-", 1))
    if abs(time) > LAST:
        raise Problem(422, f"before is the `next` of a page, was {cursor}")
    return time, number


def _row(row: Sequence[Any]) -> str:
    """One prediction as JSON."""
    id, made_by, model, symbol, target, interval, horizon, value, sure, shares, *rest = row
    time, created, origin, detail, known, actual, correct = rest
    return (
        f'{{"id":{id},"made_by":{_quoted(made_by)},"model":{_number(model)}'
        f',"symbol":{_quoted(symbol)},"prediction_type":{_quoted(target)}'
        f',"interval":{_quoted(interval)},"horizon":{horizon}'
        f',"prediction_value":{_number(value)},"confidence_score":{_number(sure)}'
        f',"prediction_probabilities":{_object(shares)}'
        f',"prediction_timestamp":"{shown(time)}","created_at":{_quoted(created)}'
        f',"origin":{_quoted(origin)},"detail":{_object(detail)}'
        f',"known_at":{_moment(known)},"actual_value":{_number(actual)}'
        f',"is_correct":{_BITS[0 if correct is None else 1 + bool(correct)]}}}'
    )


def _number(value: float | None) -> str:
    """A number as JSON, by its shortest digits; SQLite holds no NaN."""
    return "null" if value is None else repr(value) if abs(value) < _ENDLESS else "null"


_ENDLESS = float("inf")


def _moment(nanoseconds: int | None) -> str:
    """A moment as JSON."""
    return "null" if nanoseconds is None else f'"{shown(nanoseconds)}"'


def _object(text: str | None) -> str:
    """An object that is stored as JSON; numbers that JSON has not are null."""
    if text is None:
        return "null"
    if "NaN" in text or "Infinity" in text:
        return json.dumps(json.loads(text, parse_constant=lambda _: None))
    return text
