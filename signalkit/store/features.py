"""Features in the database: what each is, what it was last worth, and when it was proved.

One row a feature: the study that was computed last has the word. A feature that it did not
ask for keeps its row as it was.
"""

from __future__ import annotations

import json

import pandas as pd
from sqlite_utils import Database

from signalkit.errors import DataError
from signalkit.store import audit
from signalkit.store.schema import transaction

COLUMNS = ("family", "description", "warmup", "importance", "active")
# whether later trainings may read a feature is nobody's to replace but who said so
_WRITE = """INSERT INTO ml_features
    (name, family, description, warmup, importance, active, leak_checked_at)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET family = excluded.family,
    description = excluded.description, warmup = excluded.warmup,
    importance = excluded.importance, active = excluded.active,
    leak_checked_at = excluded.leak_checked_at"""
_READ = """SELECT name, family, description, warmup, importance, active, leak_checked_at, enabled
    FROM ml_features ORDER BY name"""
_ENTER = """INSERT INTO ml_features (name, family, description, warmup, active, enabled)
    VALUES (:name, :family, :description, :warmup, 0, :enabled)
    ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled"""


class Features:
    """The features of a store."""

    db: Database

    def write_features(
        self, table: pd.DataFrame, *, leak_checked_at: pd.Timestamp | None = None
    ) -> None:
        """Replace the rows of some features, in one transaction.

        Parameters
        ----------
        table : DataFrame indexed by name
            Columns `family`, `description`, `warmup` (bars), `importance` (a dict of what JSON
            can say, or None) and `active` (bool: a model may read it).
        leak_checked_at : Timestamp, optional
            When all of them were proved not to read the future; unknown if omitted.

        Raises
        ------
        DataError
            If a column is missing, a name stands twice, or an importance is not JSON.
        """
        missing = [name for name in COLUMNS if name not in table.columns]
        if missing:
            raise DataError(f"features lack the columns {missing}; they have {list(table.columns)}")
        if table.index.has_duplicates:
            twice = table.index[table.index.duplicated()][0]
            raise DataError(f"feature {twice!r} stands twice; write it once")
        moment = None if leak_checked_at is None else leak_checked_at.isoformat()
        rows = [
            (str(name), row.family, row.description, int(row.warmup))
            + (_json(str(name), row.importance), int(row.active), moment)
            for name, row in zip(table.index, table.itertuples(index=False), strict=True)
        ]
        with transaction(self.db):
            self.db.conn.executemany(_WRITE, rows)

    def switch_feature(
        self, name: str, enabled: bool, *, family: str, description: str, warmup: int, actor: str
    ) -> None:
        """Say whether later trainings may read a feature, and who said so.

        Parameters
        ----------
        name : str
            Feature; entered, not active, where it was not written before.
        enabled : bool
            Whether it may be read.
        family, description, warmup : str, str, int
            What it is, for one that is entered.
        actor : str
            Who asks, for the audit.
        """
        row = {"name": name, "family": family, "description": description, "warmup": warmup}
        with transaction(self.db):
            self.db.execute(_ENTER, row | {"enabled": int(enabled)})
            audit.note(self.db, actor, "enable" if enabled else "disable", f"feature {name}")

    def read_features(self) -> pd.DataFrame:
        """Every feature that was written.

        Returns
        -------
        DataFrame indexed by name
            `family description warmup importance active leak_checked_at` (UTC, NaT where
            unknown) and `enabled`, by name; empty where nothing was written.
        """
        rows = self.db.execute(_READ).fetchall()
        names = ["name", *COLUMNS, "leak_checked_at", "enabled"]
        table = pd.DataFrame(rows, columns=names).set_index("name")
        told = [json.loads(row[4]) if row[4] else None for row in rows]
        return table.assign(
            importance=pd.Series(told, table.index, dtype=object),
            active=table["active"].astype(bool),
            enabled=table["enabled"].astype(bool),
            leak_checked_at=pd.to_datetime(table["leak_checked_at"], utc=True),
        )


def _json(name: str, importance: dict | None) -> str | None:
    """An importance as JSON text."""
    if importance is None:
        return None
    try:
        return json.dumps(importance, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as cause:
        raise DataError(f"importance of feature {name!r} is not JSON: {cause}") from None
