"""Time zones by the names that texts and people give them.

A name that two places use is no zone: it is asked about.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from signalkit.errors import ParamsError

_PLACES = {
    "ET": "America/New_York",
    "CT": "America/Chicago",
    "MT": "America/Denver",
    "PT": "America/Los_Angeles",
}
# hours east of Greenwich; EST in summer is read as written, which is the later moment
_HOURS = {
    **dict.fromkeys(("Z", "UTC", "GMT", "UT"), 0),
    **{"EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7},
    **{"CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "HKT": 8, "SGT": 8},
    **{"JST": 9, "KST": 9, "AEST": 10, "AEDT": 11},
}
# Chicago or Shanghai, London or Dhaka, Delhi, Dublin or Jerusalem
_ASKED = {"AST", "BST", "CST", "ECT", "GST", "IST", "SST", "WST"}


def zone_named(name: str | None) -> ZoneInfo | None:
    """A zone by its name, None for None.

    Raises
    ------
    ParamsError
        If there is no such zone.
    """
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise ParamsError(f"{name!r} is no time zone; write one such as Europe/Berlin") from None


@lru_cache(maxsize=1024)
def stated_zone(offset: str | None, name: str) -> tuple[tzinfo | None, str]:
    """The zone after a clock time, with its name; of two or none, a refusal."""
    if offset:
        if name.upper() not in ("", "UTC", "GMT"):
            raise ValueError(name)
        digits = offset[1:].replace(":", "")
        hours, minutes = int(digits[:2]), int(digits[2:] or 0)
        if hours > 14 or minutes > 59:
            raise ValueError(offset)
        sign = -1 if offset[0] == "-" else 1
        return timezone(sign * timedelta(hours=hours, minutes=minutes)), offset
    name = name.strip(", ").upper()
    if name in _PLACES:
        return ZoneInfo(_PLACES[name]), name
    if not name or name in _ASKED:
        return None, name
    return timezone(timedelta(hours=_HOURS[name])), name


def may_show(zone: ZoneInfo, name: str, year: int) -> bool:
    """Whether clocks of a zone show a name at some time of a year; any zone may show none."""
    shown = {datetime(year, month, 1, tzinfo=zone).tzname() for month in range(1, 13)}
    return not name or name in shown
