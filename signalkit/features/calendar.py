"""Calendar features of the bar's end in UTC, as points on a circle."""

from __future__ import annotations

from signalkit.features.catalog import declare
from signalkit.kernels.graph import DAY, SECOND, Node, node

_CIRCLE = "Mardia and Jupp, Directional Statistics (2000)"
_SINE, _COSINE = 0, 1
_WEEKDAY, _DAY_OF_MONTH, _MONTH = range(3)


def _declared(name: str, words: str, make) -> None:  # noqa: ANN001 - a maker of a node
    """Enter a feature without windows."""
    declare(name, "calendar", unit="-1 to 1", words=words, source=_CIRCLE)(make)


def _hour(part: int) -> Node:
    """Angle of the time of day."""
    return node("hour_angle", SECOND, p=part)


def _date(part: int, of: int) -> Node:
    """Angle of a part of the date."""
    return node("date_angle", DAY, p=part, q=of)


_declared("hour_sine", "time of day, sine", lambda: _hour(_SINE))
_declared("hour_cosine", "time of day, cosine", lambda: _hour(_COSINE))
_declared("weekday_sine", "day of week, Monday at 0, sine", lambda: _date(_SINE, _WEEKDAY))
_declared("weekday_cosine", "day of week, cosine", lambda: _date(_COSINE, _WEEKDAY))
_declared("day_sine", "day of month, the 1st at 0, sine", lambda: _date(_SINE, _DAY_OF_MONTH))
_declared("day_cosine", "day of month, cosine", lambda: _date(_COSINE, _DAY_OF_MONTH))
_declared("month_sine", "month, January at 0, sine", lambda: _date(_SINE, _MONTH))
_declared("month_cosine", "month, cosine", lambda: _date(_COSINE, _MONTH))
