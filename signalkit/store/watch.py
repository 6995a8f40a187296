"""What is kept of a running house: states, signals, performance, alarms.

Each is written under a key of its own, so that whoever was killed and writes again replaces
what he wrote and doubles nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database

from signalkit.errors import ParamsError
from signalkit.store import audit
from signalkit.store.predictions import Asked
from signalkit.store.schema import transaction

_STATE = """INSERT INTO live_states (key, state, changed_at) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at"""
_SIGNAL = """INSERT INTO signals (study, symbol, time, weight, price, created_at, detail)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_SIGNALS = """SELECT study, symbol, time, weight, price, created_at, detail FROM signals
    WHERE study = coalesce(:study, study) AND symbol = coalesce(:symbol, symbol)
    ORDER BY time DESC, study, symbol LIMIT :limit"""
_MEASURED = (
    "n", "accuracy", "log_loss", "calibration", "coverage", "mse", "after_cost_return", "drift",
    "state", "detail",
)  # fmt: skip
_SCORE = f"""INSERT INTO ml_model_performance (made_by, model, prediction_type, interval, horizon,
    window, date, {", ".join(_MEASURED)}) VALUES (:made_by, :model, :target, :interval, :horizon,
    :window, :date, {", ".join(":" + name for name in _MEASURED)})
    ON CONFLICT DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _MEASURED)}"""  # noqa: S608 - constants
_SCORES = """SELECT * FROM ml_model_performance
    WHERE made_by = coalesce(:made_by, made_by) AND window = coalesce(:window, window)
    ORDER BY date DESC, made_by LIMIT :limit"""
_ALARM = """INSERT INTO alarms (kind, subject, time, raised_at, detail) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING"""
_ALARMS = (
    """SELECT * FROM alarms WHERE :closed OR closed_at IS NULL ORDER BY id DESC LIMIT :limit"""
)
_CLOSE = "UPDATE alarms SET closed_at = ?, closed_by = ? WHERE id = ? AND closed_at IS NULL"


def _now() -> str:
    """The present moment as the database writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its detail read."""
    return row | {"detail": json.loads(row["detail"])}


class Watch:
    """States, signals, performance and alarms of a store."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def state(self, key: str) -> dict[str, Any] | None:
        """What was kept under a key, None where nothing was."""
        row = self._db.execute("SELECT state FROM live_states WHERE key = ?", [key]).fetchone()
        return None if row is None else json.loads(row[0])

    def keep(
        self, states: Mapping[str, Mapping[str, Any]], *, noted: tuple[Any, ...] | None = None
    ) -> None:
        """Replace what is kept under some keys, in one transaction.

        Parameters
        ----------
        states : mapping of str to mapping
            What JSON can say, by key.
        noted : tuple, optional
            Who did what to what, and its detail, for the audit, where somebody asked for it.
        """
        rows = [(k, json.dumps(dict(s), allow_nan=False), _now()) for k, s in states.items()]
        with transaction(self._db):
            self._db.conn.executemany(_STATE, rows)
            if noted is not None:
                audit.note(self._db, *noted)

    def changed(self, key: str) -> str | None:
        """When a state was last kept, ISO 8601 in UTC."""
        asked = "SELECT changed_at FROM live_states WHERE key = ?"
        row = self._db.execute(asked, [key]).fetchone()
        return None if row is None else row[0]

    def write_signals(self, study: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Enter signals; one that is there for its symbol and bar stays.

        Parameters
        ----------
        study : str
            Name of the study.
        rows : iterable of mappings
            `symbol`, `time` (bar end, nanoseconds), `weight` (fraction of equity wanted),
            `price` (close of the bar), `detail`.
        """
        cells = [
            (
                study,
                r["symbol"],
                r["time"],
                r["weight"],
                r["price"],
                _now(),
                json.dumps(r["detail"]),
            )
            for r in rows
        ]
        with transaction(self._db):
            self._db.conn.executemany(_SIGNAL, cells)

    def signals(
        self, *, study: str | None = None, symbol: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Signals, newest bar first."""
        asked = {"study": study, "symbol": symbol, "limit": limit}
        return [_told(row) for row in self._db.query(_SIGNALS, asked)]

    def write_performance(
        self, made_by: str, asked: Asked, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """Enter scores; those of the same window and date are replaced.

        Parameters
        ----------
        made_by : str
            Number of the model as text, or ENSEMBLE.
        asked : Asked
            What was predicted.
        rows : iterable of mappings
            `window`, `date` (the bar end as of which it is, nanoseconds), `n`, and what was
            measured of `accuracy log_loss calibration coverage mse after_cost_return drift
            state detail`.
        """
        model = int(made_by) if made_by.isdecimal() else None
        own = {"made_by": made_by, "model": model, **asked._asdict()}
        empty = dict.fromkeys(_MEASURED)
        cells = [
            empty | dict(row) | own | {"detail": json.dumps(row.get("detail", {}))} for row in rows
        ]
        with transaction(self._db):
            self._db.conn.executemany(_SCORE, cells)

    def performance(
        self, *, made_by: str | None = None, window: str | None = None, limit: int = 500
    ) -> list[dict[str, Any]]:
        """Scores, newest first."""
        asked = {"made_by": made_by, "window": window, "limit": limit}
        return [_told(row) for row in self._db.query(_SCORES, asked)]

    def raise_alarm(self, kind: str, subject: str, time: int, detail: Mapping[str, Any]) -> bool:
        """Enter an alarm; one that is there stays.

        Parameters
        ----------
        kind : str
            What is wrong, such as `accuracy` or `drift`.
        subject : str
            Of what, such as `model 3`.
        time : int
            Bar end as of which it is, nanoseconds.
        detail : mapping
            What JSON can say of it.

        Returns
        -------
        bool
            Whether it is new.
        """
        with transaction(self._db):
            before = self._db.conn.total_changes
            told = json.dumps(dict(detail), allow_nan=False)
            self._db.execute(_ALARM, [kind, subject, time, _now(), told])
            return self._db.conn.total_changes > before

    def alarms(self, *, closed: bool = False, limit: int = 50) -> list[dict[str, Any]]:
        """Open alarms, newest first; with `closed` those that were closed too."""
        return [_told(r) for r in self._db.query(_ALARMS, {"closed": closed, "limit": limit})]

    def close_alarm(self, id: int, *, actor: str) -> None:
        """Note that somebody has seen to an alarm.

        Raises
        ------
        ParamsError
            If no such alarm is open.
        """
        with transaction(self._db):
            found = self._db.execute(_CLOSE, [_now(), actor, id]).rowcount
            if found:
                audit.note(self._db, actor, "close", f"alarm {id}")
        if not found:
            raise ParamsError(f"no alarm {id} is open")
