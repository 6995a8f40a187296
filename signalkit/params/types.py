"""Types of the values in a params file, and what every section is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from signalkit.errors import ParamsError


def timestamp(text: str) -> datetime:
    """UTC time that a params date names.

    Raises
    ------
    ParamsError
        If there is no such day or time.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as cause:
        raise ParamsError(f"{text!r} is no date: {cause}; write one such as '2016-01-31'") from None


def _date(text: str) -> str:
    """Check a date and leave it as it was written."""
    timestamp(text)
    return text


def _symbol(text: str) -> str:
    """Symbols name files: letters, digits and . _ - only."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", text):
        raise ParamsError("a symbol is up to 32 letters, digits, '.', '_' or '-'")
    return text


def _interval(text: str) -> str:
    """Intervals are a count and a unit."""
    if not re.fullmatch(r"[1-9]\d*[mhdw]", text):
        raise ParamsError("an interval is a count and one of m, h, d, w, such as 1h")
    return text


def _source(text: str) -> str:
    """Sources are words of their own or names of exchanges."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,30}", text):
        raise ParamsError("a source is sample, files, simulator or an exchange such as binance")
    return text


def _zone(text: str) -> str:
    """Zones by their names in the time zone database."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ParamsError("a zone has a name such as UTC or Europe/Berlin") from None
    return text


def _latency(text: str) -> str:
    """Latencies are a number and a unit."""
    if not re.fullmatch(r"\d+(\.\d+)?\s?(s|min|h|d)", text):
        raise ParamsError("a latency is a number and one of s, min, h, d, such as 5min")
    return text


def _window(found: Any) -> Any:
    """Windows are counts of bars, several in a list for a kind that has several."""
    each = found if isinstance(found, list) else [found]
    if any(type(window) is not int or window < 1 for window in each):
        raise ParamsError(
            "a window is a whole number of bars, 1 or more, or a list of them such as [12, 26]"
        )
    return found


def _setting(found: Any) -> Any:
    """Settings of a TA-Lib function are its name, a column's name or a number."""
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise ParamsError("a setting of a TA-Lib function is a name or a number")
    return found


# checked before the union, whose own refusals name the first of its types and no rule
Window = Annotated[int | list[int], BeforeValidator(_window)]
Setting = Annotated[str | int | float, BeforeValidator(_setting)]
Zone = Annotated[str, AfterValidator(_zone)]
Latency = Annotated[str, AfterValidator(_latency)]
Date = Annotated[str, AfterValidator(_date)]
Symbol = Annotated[str, AfterValidator(_symbol)]
Interval = Annotated[str, AfterValidator(_interval)]
Source = Annotated[str, AfterValidator(_source)]
Bars = Annotated[int, Field(ge=1)]
Bps = Annotated[float, Field(ge=0, le=1000)]


class Section(BaseModel):
    """A section: strict types, finite numbers, no unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
