"""Moments of the database as the API and pages show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as ISO 8601 in UTC.

    Examples
    --------
    >>> shown(1_700_000_000_000_000_000)
    '2023-11-14T22:13:20Z'
    >>> shown(1_500_000_000)
    '1970-01-01T00:00:01.500000Z'
    """
    moment = _EPOCH + timedelta(microseconds=nanoseconds // 1_000)
    return moment.isoformat().replace("+00:00", "Z")


def shown_or_none(nanoseconds: int | None) -> str | None:
    """The same; None stays None."""
    return None if nanoseconds is None else shown(nanoseconds)
