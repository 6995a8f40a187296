"""The trial ledger: every configuration whose out-of-sample returns were seen.

A trial is one distinct configuration; an identical rerun adds nothing. Each row holds the
hash of the row before it, so that a removed or changed row breaks the chain. Numbers that
correct for luck take their count from here, never from an argument.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database

from signalkit.errors import StoreError
from signalkit.lineage import digest
from signalkit.params import timestamp
from signalkit.store.schema import transaction

GENESIS = "0" * 64


@dataclass(frozen=True)
class Trial:
    """One row of the ledger; `hash` covers all else and the row before."""

    seq: int
    configuration: str
    params: str
    series: str
    artifact: str
    holdout: int
    recorded_at: str
    previous: str
    hash: str


def _seal(row: Mapping[str, Any]) -> str:
    """Hash of a row's content, the previous hash included."""
    return digest({k: v for k, v in row.items() if k not in {"seq", "hash"}})


class Ledger:
    """The trials table of a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(
        self, params: Mapping[str, Any], *, series: str, artifact: str, holdout: bool = False
    ) -> None:
        """Add a trial, unless the same configuration already gave the same series.

        Parameters
        ----------
        params : mapping
            The configuration: everything that tells it from another.
        series : str
            SHA-256 of its out-of-sample return series.
        artifact : str
            Identity of the artifact that holds the series.
        holdout : bool
            Whether the series is that of the holdout.
        """
        configuration = digest(dict(params))
        with transaction(self._db):
            key = [configuration, series, int(holdout)]
            known = "configuration = ? AND series = ? AND holdout = ?"
            if self._db["trials"].count_where(known, key):
                return
            row = {
                "configuration": configuration,
                "params": json.dumps(dict(params), sort_keys=True),
                "series": series,
                "artifact": artifact,
                "holdout": int(holdout),
                "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "previous": self.head(),
            }
            self._db["trials"].insert(row | {"hash": _seal(row)})

    def trials(self) -> list[Trial]:
        """Every row, oldest first."""
        return [Trial(**row) for row in self._db["trials"].rows_where(order_by="seq")]

    def head(self, *, besides: Mapping[str, Any] | None = None) -> str:
        """Hash of the newest row; 64 zeros for an empty ledger.

        Holdout rows of the configuration `besides` are passed over: who makes them cannot know
        their hash before.
        """
        query = (
            "SELECT hash FROM trials WHERE NOT (holdout = 1 AND configuration = ?)"
            " ORDER BY seq DESC LIMIT 1"
        )
        passed = "" if besides is None else digest(dict(besides))
        newest = self._db.execute(query, [passed]).fetchone()
        return newest[0] if newest else GENESIS

    def count(self, *, holdout: bool = False) -> int:
        """Distinct configurations seen, on the research bars or on the holdout."""
        query = "SELECT count(DISTINCT configuration) FROM trials WHERE holdout = ?"
        return self._db.execute(query, [int(holdout)]).fetchone()[0]

    def opened(
        self,
        source: str,
        symbols: Sequence[str],
        border: str,
        *,
        own: Mapping[str, Any] | None = None,
    ) -> int:
        """Distinct configurations that have seen returns at or after a border.

        Those that opened their holdout, and those whose own border lies later, on the same
        source and any of the same symbols; and `own`, a configuration that is about to.
        """
        seen = set() if own is None else {digest(dict(own))}
        for trial in self.trials():
            asked = json.loads(trial.params)
            kept = asked.get("collection", {})
            same = kept.get("source") == source and set(kept.get("symbols", ())) & set(symbols)
            theirs = asked.get("validation", {}).get("holdout_from", border)
            if same and (trial.holdout or timestamp(theirs) > timestamp(border)):
                seen.add(trial.configuration)
        return len(seen)

    def since(self, head: str) -> list[Trial]:
        """Rows added after the row whose hash is `head`."""
        rows = self.trials()
        known = [row.seq for row in rows if row.hash == head]
        return [row for row in rows if not known or row.seq > known[0]]

    def check(self) -> None:
        """Refuse a ledger with a changed, missing or reordered row.

        Raises
        ------
        StoreError
            With the first row that does not follow from the one before it.
        """
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'trials'"
        made = self._db.execute(query).fetchone()  # first: a row may be added while we read
        previous, expected = GENESIS, 1
        for trial in self.trials():
            row = asdict(trial)
            if trial.seq != expected or trial.previous != previous:
                raise StoreError(f"the trial ledger misses the row before row {trial.seq}")
            if _seal(row) != trial.hash:
                raise StoreError(f"row {trial.seq} of the trial ledger was changed")
            previous, expected = trial.hash, expected + 1
        if made and made[0] >= expected:
            raise StoreError(f"the trial ledger misses its newest rows, {expected} to {made[0]}")
