"""Charts as numbers a template can draw: ticks, paths in a box, the readings behind a cursor.

The one rule: fewer points may be drawn than there are, but never another shape. Of every column
of the picture the lowest and the highest point of each line stay, so that no extreme is lost.
Nothing here knows what a number means; words and units come with the chart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np

WIDTH, HEIGHT = 1000, 200  # of the box that paths are drawn in; the page stretches its width
_COLUMNS = 320  # of the picture; each keeps up to two points a line
_ROWS = 40  # of the table beside a chart
_NS = 1_000_000_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
# seconds between two marks, and how their moments are written
_SPACINGS = (
    (_MINUTE, "%H:%M"), (5 * _MINUTE, "%H:%M"), (15 * _MINUTE, "%H:%M"), (_HOUR, "%d %b %H:%M"),
    (3 * _HOUR, "%d %b %H:%M"), (6 * _HOUR, "%d %b %H:%M"), (_DAY, "%d %b"), (2 * _DAY, "%d %b"),
    (7 * _DAY, "%d %b"), (14 * _DAY, "%d %b %Y"), (30 * _DAY, "%b %Y"), (91 * _DAY, "%b %Y"),
    (182 * _DAY, "%b %Y"), (365 * _DAY, "%Y"), (2 * 365 * _DAY, "%Y"), (5 * 365 * _DAY, "%Y"),
    (10 * 365 * _DAY, "%Y"), (25 * 365 * _DAY, "%Y"), (50 * 365 * _DAY, "%Y"),
)  # fmt: skip
_MOST_MARKS = 6

Words = Callable[[float], str]


@dataclass(frozen=True)
class Line:
    """One line: a name, a value a moment (NaN where there is none), and its look by a class."""

    name: str
    values: Sequence[float]
    look: str = "one"


@dataclass(frozen=True)
class Band:
    """A range around a line, such as its interval."""

    name: str
    low: Sequence[float]
    high: Sequence[float]
    look: str = "one"


@dataclass(frozen=True)
class Level:
    """A value to compare with, at all times."""

    name: str
    value: float
    look: str = "base"


@dataclass(frozen=True)
class Chart:
    """What is to be drawn: lines, bands and levels over common moments.

    `times` are nanoseconds since the epoch, increasing; `unit` is the label of the upright
    axis; `words` writes a value. `id` is unique on its page.
    """

    id: str
    title: str
    unit: str
    times: Sequence[int]
    lines: Sequence[Line]
    bands: Sequence[Band] = ()
    levels: Sequence[Level] = ()
    words: Words = field(default=lambda value: f"{value:.3f}")


@dataclass(frozen=True)
class Drawn:
    """A chart as a template draws it; `readings` is JSON for the script behind the cursor."""

    chart: Chart
    told: str
    lines: list[dict[str, str]]
    bands: list[dict[str, str]]
    levels: list[dict[str, Any]]
    across: list[dict[str, Any]]
    upright: list[dict[str, Any]]
    readings: str
    rows: list[dict[str, Any]]
    shown: str


def moment(nanoseconds: int, form: str = "%Y-%m-%d %H:%M") -> str:
    """A moment in UTC; a form may leave out what is not needed."""
    return datetime.fromtimestamp(nanoseconds // _NS, UTC).strftime(form)


def thinned(times: np.ndarray, lines: Sequence[np.ndarray], columns: int = _COLUMNS) -> np.ndarray:
    """Positions that are drawn: all where they are few, otherwise the extremes of each column.

    Parameters
    ----------
    times : array of shape (n,)
        Increasing.
    lines : sequence of arrays of shape (n,)
        Values, NaN where there is none.
    columns : int
        Columns of equal time; each keeps the lowest and the highest point of every line.

    Returns
    -------
    array of int
        Increasing positions; the first and the last are among them, and beside every gap of a
        line the places where it begins and ends.
    """
    count = len(times)
    if count <= 2 * columns:
        return np.arange(count)
    span = max(int(times[-1]) - int(times[0]), 1)
    column = ((times - times[0]).astype(float) / span * columns).astype(int).clip(0, columns - 1)
    kept = [np.array([0, count - 1])]
    for values in lines:
        there = np.flatnonzero(np.isfinite(values))
        order = there[np.lexsort((values[there], column[there]))]
        edge = np.flatnonzero(np.diff(column[order])) + 1
        kept += (
            [order[np.r_[0, edge]], order[np.r_[edge - 1, len(order) - 1]]] if len(order) else []
        )
        turn = np.flatnonzero(np.diff(np.isfinite(values)))
        kept += [turn, turn + 1]
    return np.unique(np.concatenate(kept))


def steps(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that divide a range: 1, 2, 2.5 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def marks(first: int, last: int, most: int = _MOST_MARKS) -> list[tuple[int, str]]:
    """Round moments of a range of nanoseconds, each with its words."""
    span = max(last - first, 0) / _NS
    seconds, form = next((s for s in _SPACINGS if span / s[0] <= most), _SPACINGS[-1])
    found = _calendar(first, last, seconds) if seconds >= 30 * _DAY else _even(first, last, seconds)
    return [(time, moment(time, form)) for time in found] or [(first, moment(first, form))]


def _even(first: int, last: int, seconds: int) -> list[int]:
    """Multiples of a spacing."""
    step = seconds * _NS
    return list(range(-(-first // step) * step, last + 1, step))


def _calendar(first: int, last: int, seconds: int) -> list[int]:
    """First days of months a number of months apart, of years where it is a year or more."""
    apart = round(seconds / (30.4375 * _DAY))
    begin, end = (datetime.fromtimestamp(t / _NS, UTC) for t in (first, last))
    months = range(begin.year * 12 // apart * apart, end.year * 12 + end.month + 1)
    days = (datetime(m // 12, m % 12 + 1, 1, tzinfo=UTC) for m in months if m % apart == 0)
    counts = [int(day.timestamp()) * _NS for day in days]
    return [count for count in counts if first <= count <= last]


def _range(chart: Chart, at: np.ndarray) -> tuple[float, float]:
    """Lowest and highest value that must fit, with a little room."""
    parts = [np.asarray(line.values, float)[at] for line in chart.lines]
    parts += [np.asarray(side, float)[at] for band in chart.bands for side in (band.low, band.high)]
    parts.append(np.array([level.value for level in chart.levels], float))
    every = np.concatenate(parts)
    every = every[np.isfinite(every)]
    if not every.size:
        return 0.0, 1.0
    low, high = float(every.min()), float(every.max())
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - room, high + room


class _Box:
    """Moments and values as places in the box."""

    def __init__(self, times: np.ndarray, low: float, high: float) -> None:
        self._first, self._span = int(times[0]), max(int(times[-1]) - int(times[0]), 1)
        self._low, self._high = low, high

    def across(self, time: float) -> float:
        """Share of the width."""
        return (time - self._first) / self._span

    def up(self, value: float) -> float:
        """Place from above."""
        return round(HEIGHT * (self._high - value) / (self._high - self._low), 2)

    def points(self, times: np.ndarray, values: np.ndarray) -> list[str]:
        """Places as a path writes them; an empty text where a line has a gap."""
        return [
            f"{WIDTH * self.across(time):.1f} {self.up(value)}" if math.isfinite(value) else ""
            for time, value in zip(times, values, strict=True)
        ]


def _path(points: Sequence[str]) -> str:
    """A line through places that is broken where one is empty."""
    stretches = [list(part) for there, part in groupby(points, bool) if there]
    # a stretch of one point is a dot: a line of no length with round ends
    return "".join(f"M{'L'.join(part)}{'h0' if len(part) == 1 else ''}" for part in stretches)


def _area(lows: Sequence[str], highs: Sequence[str]) -> str:
    """The areas between two lines, one for each stretch where both are there."""
    pairs = zip(lows, highs, strict=True)
    stretches = [list(part) for there, part in groupby(pairs, all) if there]
    around = ([low for low, _ in s] + [high for _, high in reversed(s)] for s in stretches)
    return "".join(f"M{'L'.join(places)}Z" for places in around)


def _told(chart: Chart, total: int) -> str:
    """What the picture shows, in words for who does not see it."""
    ends = f"{moment(chart.times[0])} to {moment(chart.times[-1])} UTC, {total} points."
    said = []
    for line in chart.lines:
        values = np.asarray(line.values, float)
        values = values[np.isfinite(values)]
        if values.size:
            low, high, last = (chart.words(v) for v in (values.min(), values.max(), values[-1]))
            said.append(f"{line.name}: last {last}, lowest {low}, highest {high}.")
    said += [f"{level.name}: {chart.words(level.value)}." for level in chart.levels]
    return " ".join([f"{chart.unit}, {ends}", *said])


def _cells(chart: Chart, place: int) -> list[tuple[str, str]]:
    """Names and values at one moment."""
    told = [(line.name, line.values[place]) for line in chart.lines]
    cells = [(name, chart.words(v) if math.isfinite(v) else "–") for name, v in told]
    for band in chart.bands:
        low, high = band.low[place], band.high[place]
        known = math.isfinite(low) and math.isfinite(high)
        cells.append((band.name, f"{chart.words(low)} to {chart.words(high)}" if known else "–"))
    return cells


def _readings(chart: Chart, at: np.ndarray, box: _Box) -> str:
    """What the script shows at each drawn moment, as JSON."""
    rows = [
        [round(box.across(chart.times[i]), 5), moment(chart.times[i])]
        + [value for _, value in _cells(chart, i)]
        for i in at
    ]
    return json.dumps(rows, separators=(",", ":"))


def draw(chart: Chart) -> Drawn | None:
    """A chart ready to be written by the template, None where there is nothing to draw.

    Parameters
    ----------
    chart : Chart
        Lines and bands have a value for each of `times`.
    """
    times = np.asarray(chart.times, dtype="int64")
    if not len(times):
        return None
    values = [np.asarray(line.values, float) for line in chart.lines]
    sides = [np.asarray(side, float) for band in chart.bands for side in (band.low, band.high)]
    at = thinned(times, [*values, *sides])
    low, high = _range(chart, at)
    box = _Box(times, low, high)
    edges = [box.points(times[at], side[at]) for side in sides]
    few = np.unique(np.linspace(0, len(times) - 1, min(_ROWS, len(times))).round().astype(int))
    return Drawn(
        chart=chart,
        told=_told(chart, len(times)),
        lines=[
            {"name": line.name, "look": line.look, "path": _path(box.points(times[at], own[at]))}
            for line, own in zip(chart.lines, values, strict=True)
        ],
        bands=[
            {"name": band.name, "look": band.look, "path": _area(edges[2 * i], edges[2 * i + 1])}
            for i, band in enumerate(chart.bands)
        ],
        levels=[
            {"name": v.name, "look": v.look, "up": box.up(v.value), "told": chart.words(v.value)}
            for v in chart.levels
        ],
        across=[
            {"at": f"{100 * box.across(time):.2f}%", "told": told}
            for time, told in marks(int(times[0]), int(times[-1]))
        ],
        upright=[{"up": box.up(v), "told": chart.words(v)} for v in steps(low, high)],
        readings=_readings(chart, at, box),
        rows=[{"at": moment(int(times[i])), "cells": _cells(chart, i)} for i in reversed(few)],
        shown=f"{len(few)} of {len(times)} points, evenly spaced"
        if len(few) < len(times)
        else f"all {len(times)} points",
    )
