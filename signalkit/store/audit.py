"""The audit: who changed what, and when. Rows are added and never changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database

_WRITE = "INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)"
_PAGE = """SELECT id, at, actor, action, subject, detail FROM audit
    WHERE id < coalesce(:before, id + 1) AND subject = coalesce(:subject, subject)
    ORDER BY id DESC LIMIT :limit"""


def note(
    database: Database,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a row; inside the transaction of the change where there is one.

    Parameters
    ----------
    database : Database
        The store's.
    actor, action, subject : str
        Who did what to what.
    detail : mapping, optional
        What JSON can say of it.
    """
    told = json.dumps(dict(detail or {}), sort_keys=True, allow_nan=False)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    database.execute(_WRITE, [at, actor, action, subject, told])


def page(
    database: Database, *, subject: str | None = None, before: int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Rows, newest first.

    Parameters
    ----------
    database : Database
        The store's.
    subject : str, optional
        Of one subject alone, such as `model 3`.
    before : int, optional
        Older than the row of this number.
    limit : int
        Rows at most.
    """
    rows = database.query(_PAGE, {"subject": subject, "before": before, "limit": limit})
    return [row | {"detail": json.loads(row["detail"] or "{}")} for row in rows]
