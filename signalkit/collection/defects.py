"""What a file of bars must not hide: repairs by others, doubled bars, ticks that never were.

Each function looks for one defect and says where it is; `read_file` refuses the file, or
flags the defect where the caller allows it by name. Times in messages are bar **opens**,
as the file writes them. Nothing here changes a bar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from signalkit.bars import COLUMNS
from signalkit.errors import DataError
from signalkit.params import DefectName

# what `read_file(allow=...)` may name
NAMES: tuple[str, ...] = get_args(DefectName)
_SHOWN = 50
# a close, open or both that leave and come back by this much, and by this many usual moves
_SPIKE, _SPIKE_MOVES = np.log(1.25), 15.0
# so many digits in five cells do not come twice by chance: in any two bars of a file, in a bar
# and the next one, in a bar of a run of three that tells as many as two bars in sum
_TELLING_DIGITS, _TELLING_NEXT, _TELLING_IN_RUN = 14, 13, 4
# where more bars than this have no volume, the source does not know volumes
_KNOWN_VOLUME = 0.05
# a price of a few ticks jumps by a third
_SPIKE_TICKS = 5
# neighbours further apart than this many intervals are no neighbours
_NEAR = 30
# fewer neighbours than these prove no exchange of open and close
_TELLING_STEPS = 30
# no market trades at a twentieth or at twenty times the price and back within one bar
_WICK = np.log(20.0)
_NAMED = re.compile(
    r"(?<![A-Za-z0-9])(\d{1,3})\s?(minutes?|mins?|m|hours?|hrs?|hr|h|days?|d|weeks?|w)(?![A-Za-z0-9])"
    r"|(?<![A-Za-z])(minutely|hourly|daily|weekly)(?![A-Za-z])",
    re.IGNORECASE,
)
# more days or weeks than these are how much a file holds
_LONGEST = {"d": 3, "w": 4}
_WORDS = {"minutely": "1m", "hourly": "1h", "daily": "1d", "weekly": "1w"}


@dataclass(frozen=True)
class Stretch:
    """Consecutive bars: opens of the first and the last, and how many there are."""

    first: pd.Timestamp
    last: pd.Timestamp
    bars: int

    def __str__(self) -> str:
        if self.bars == 1:
            return f"{self.first:%Y-%m-%d %H:%M}Z (1 bar)"
        return f"{self.first:%Y-%m-%d %H:%M}Z to {self.last:%Y-%m-%d %H:%M}Z ({self.bars:,} bars)"


@dataclass(frozen=True)
class Defect:
    """A defect: its name in `allow`, what it means, and where it is."""

    name: str
    told: str
    places: tuple[Stretch, ...] = ()

    def __str__(self) -> str:
        shown = "; ".join(str(place) for place in self.places[:_SHOWN])
        more = len(self.places) - _SHOWN
        rest = f" and {more} more" if more > 0 else ""
        return f"{self.told}{': ' if shown else ''}{shown}{rest}"


def stretches(flags: np.ndarray, opens: pd.DatetimeIndex) -> tuple[Stretch, ...]:
    """Runs of flagged bars."""
    starts = np.flatnonzero(flags & ~np.r_[False, flags[:-1]])
    stops = np.flatnonzero(flags & ~np.r_[flags[1:], False])
    return tuple(
        Stretch(opens[a], opens[b], int(b - a + 1)) for a, b in zip(starts, stops, strict=True)
    )


def interpolated(
    bars: pd.DataFrame, opens: pd.DatetimeIndex, *, sessions: bool = False
) -> Defect | None:
    """Bars on the straight line between their neighbours: they hold the price after the gap.

    All five columns of such a bar lie halfway between the bar before and after, up to the
    rounding of the file, and the price moves by more than rounding could explain; or the
    four prices do so three bars running.
    """
    values = bars[list(COLUMNS)].to_numpy()
    if len(values) < 3:
        return None
    bend = np.abs(values[:-2] - 2 * values[1:-1] + values[2:])
    slack = _rounding(values) + 1e-12 * np.abs(values[1:-1])
    straight = bend <= 2.02 * slack
    moves = np.abs(values[2:, 3] - values[:-2, 3]) > 20 * slack[:, 3]
    thin = values[1:-1, 4] == 0
    # without a trade there is one price: a bar that moved is made up, if volume is known at all
    made_up = thin & (values[1:-1, 1] > values[1:-1, 2]) & (thin.mean() < _KNOWN_VOLUME)
    steps = np.diff(opens.asi8)
    # over a night or a weekend the neighbours of a session are as near as on other days
    longest = steps.min() * (_NEAR if sessions else 1)
    even = (steps[:-1] <= longest) & (steps[1:] <= longest)
    lines = straight[:, :4].all(axis=1) & moves & even
    # a close halfway between its neighbours that nobody traded at
    drawn = straight[:, 3] & moves & even & thin & (thin.mean() < _KNOWN_VOLUME)
    whole = lines & (straight[:, 4] & ~thin | made_up) | drawn
    runs = _runs_of(lines, 3)
    told = "are linear interpolations of their neighbours, so they hold the price after a gap"
    return _found("interpolated", np.r_[False, whole | runs, False], opens, told)


def _found(name: str, flags: np.ndarray, opens: pd.DatetimeIndex, told: str) -> Defect | None:
    """The defect of the flagged bars, if there are any."""
    places = stretches(flags, opens)
    many = f"{int(flags.sum())} bars in {len(places)} stretch{'es' * (len(places) > 1)}"
    return Defect(name, f"{many} {told} (opens)", places) if places else None


def _rounding(values: np.ndarray) -> np.ndarray:
    """Half a unit of the last decimal that each column is written with."""
    sample = values[:: max(1, len(values) // 2000)]
    places = np.full(values.shape[1], 12)
    for column in range(values.shape[1]):
        for digits in range(12):
            if np.abs(sample[:, column] - np.round(sample[:, column], digits)).max() < 1e-13 * (
                1 + np.abs(sample[:, column]).max()
            ):
                places[column] = digits
                break
    return 0.5 * 10.0 ** -places.astype(float)


def _runs_of(flags: np.ndarray, least: int) -> np.ndarray:
    """The flags that stand in runs of at least some length."""
    ids = np.cumsum(np.r_[True, flags[1:] != flags[:-1]])
    return flags & (np.bincount(ids)[ids] >= least)


def forward_filled(bars: pd.DataFrame, opens: pd.DatetimeIndex) -> Defect | None:
    """Bars equal to the bar before in all five columns, too long in digits for chance.

    Flat bars do not count: a thin market trades one size at one price in many bars, and an
    exchange writes a quiet bar as a flat one without volume.
    """
    values = bars[list(COLUMNS)].to_numpy()
    if len(values) < 2:
        return None
    steps = np.diff(opens.asi8)
    thin = values[:, 4] == 0
    same = (values[1:, :4] == values[:-1, :4]).all(axis=1) & (steps <= _NEAR * steps.min())
    if thin.mean() < _KNOWN_VOLUME:
        same &= (values[1:, 4] == values[:-1, 4]) | thin[1:]
    else:
        same &= values[1:, 4] == values[:-1, 4]
    flags = np.r_[False, same] & (values[:, 1] > values[:, 2])
    told = np.zeros(len(values))
    told[flags] = _digits(values[flags], 2 * _rounding(values))
    runs = np.cumsum(~flags)
    told[told < _TELLING_IN_RUN] = 0.0
    long = (
        flags & (np.bincount(runs, told)[runs] >= _TELLING_DIGITS) & (np.bincount(runs)[runs] > 3)
    )
    said = "repeat the bar before in all five columns: somebody filled gaps forward"
    return _found("forward_filled", (told >= _TELLING_NEXT) | long, opens, said)


def copied(bars: pd.DataFrame, opens: pd.DatetimeIndex) -> Defect | None:
    """Bars that stand at two times, equal in all five columns: one of them is not its own.

    Where the copy is the earlier one it holds prices of the future; a file joined from two
    zones does that.
    """
    values = bars[list(COLUMNS)].to_numpy()
    moved = np.flatnonzero(_moved(values))
    rows = bars.iloc[moved][list(COLUMNS)]
    again = moved[rows.duplicated(keep=False).to_numpy()]
    again = again[_digits(values[again], 2 * _rounding(values)) >= _TELLING_DIGITS]
    if not len(again):
        return None
    keys = pd.Series(list(map(tuple, values[again].tolist())), index=again)
    apart = keys.groupby(keys).transform(lambda k: np.ptp(k.index.to_numpy()))
    flags = np.zeros(len(values), dtype=bool)
    flags[again[(apart > keys.groupby(keys).transform("size") - 1).to_numpy()]] = True
    return _found("copied", flags, opens, "stand at two times with all five columns equal")


def _moved(values: np.ndarray) -> np.ndarray:
    """Bars in which something traded at more than one price."""
    return (values[:, 1] > values[:, 2]) & (values[:, 4] > 0)


def _digits(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Digits that each row tells: those it is written with, less those that its prices share."""
    shown = [{f"{v:.12e}" for v in row[:4]} | {f"v{row[4]:.12e}"} for row in values.tolist()]
    written = np.array([sum(len(_mantissa(cell)) for cell in row) for row in shown], dtype=float)
    apart = np.log10(1 + np.abs(values[:, :3] - values[:, 3:4]) / units[:4].min()).sum(axis=1)
    return np.minimum(written, apart + np.log10(1 + values[:, 3:] / units[3:]).sum(axis=1))


def _mantissa(shown: str) -> str:
    """Significant digits of a number in exponential form."""
    return shown.lstrip("v").split("e")[0].replace(".", "").rstrip("0")


def _tick(values: np.ndarray) -> float:
    """The smallest step of the prices that the file can write."""
    return float(2 * _rounding(values)[:4].min())


def check_open_close(bars: pd.DataFrame, opens: pd.DatetimeIndex) -> None:
    """Refuse bars whose names of open and close have changed places.

    A bar opens near the close of the bar before; where instead it closes near the open of
    the bar before, the two columns are swapped, or the rows run backwards.
    """
    steps = np.diff(opens.asi8)
    if not len(steps):
        return
    near = steps == steps.min()
    first, last = bars["open"].to_numpy(), bars["close"].to_numpy()
    right = np.abs(first[1:] - last[:-1])[near]
    swapped = np.abs(last[1:] - first[:-1])[near]
    # a made-up straight line moves by the same at every step and tells nothing
    lively = len(right) >= _TELLING_STEPS and np.ptp(right) > 1e-6 * right.max()
    if lively and np.median(right) > 1.5 * np.median(swapped):
        raise DataError(
            f"from bar to bar the open is {np.median(right):g} off the last close, the close only"
            f" {np.median(swapped):g} off the last open (medians of {len(right):,} steps): open and"
            " close are swapped, or the times run backwards"
        )


def spikes(bars: pd.DataFrame, opens: pd.DatetimeIndex) -> Defect | None:
    """Bars whose close or open jumps off and is back one bar later, or with a wick of 20 times.

    A jump counts from 25% and from fifteen times the usual move of the 101 bars around.
    """
    logs = np.log(bars[list(COLUMNS[:4])].to_numpy())
    if len(logs) < 3:
        return None
    open_, high, low, close = logs.T
    after = np.r_[open_[1:], close[-1]]
    before = np.r_[open_[0], close[:-1]]
    moves = np.max(np.abs([close - before, close - open_, open_ - before]), axis=0)
    usual = pd.Series(moves).rolling(101, center=True, min_periods=1).median().to_numpy()
    least = np.maximum(_SPIKE, _SPIKE_MOVES * usual)
    following = np.r_[close[1:], close[-1]]
    near = np.diff(opens.asi8) <= _NEAR * np.diff(opens.asi8).min()
    body = (_off(close, before, following) > least) & (_off(close, before, after) > least)
    start = (_off(open_, before, close) > least) & np.r_[True, near]
    body &= np.r_[True, near] & np.r_[near, True]
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    wick = (high - np.maximum(top, before) > _WICK) | (np.minimum(bottom, before) - low > _WICK)
    ticks = np.ptp(np.exp(np.stack([open_, close, before, after, following])), axis=0)
    flags = (body | start) & (ticks > _SPIKE_TICKS * _tick(bars[list(COLUMNS)].to_numpy())) | wick
    flags[-1] = wick[-1] | start[-1]
    # nothing stands before the first bar: it is odd if no bar of the next hundred reaches its open
    later = open_[0] - np.array([low[1:101].min(), high[1:101].max()])
    flags[0] |= abs(close[0] - open_[1]) < _SPIKE and bool(
        later[1] > least[0] or later[0] < -least[0]
    )
    return _found("spikes", flags, opens, "jump off and come straight back, single-tick spikes")


def _off(value: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How far a value lies outside both its neighbours."""
    up = value - np.maximum(before, after)
    return np.maximum(up, np.minimum(before, after) - value)


def claimed_interval(name: str) -> str | None:
    """The interval that a file's name claims, if it claims one."""
    found = [m for m in _NAMED.finditer(name) if m[2] != "M" and (m[2] != "D" or m[1] == "1")]
    found = [m for m in found if m[3] or int(m[1]) <= _LONGEST.get(m[2][0].lower(), 999)]
    claims = {_WORDS[m[3].lower()] if m[3] else f"{int(m[1])}{m[2][0].lower()}" for m in found}
    return claims.pop() if len(claims) == 1 else None


def swapped_volume(
    swapped: np.ndarray, right: np.ndarray, opens: pd.DatetimeIndex
) -> Defect | None:
    """Stretches in which base and quote volume changed places.

    Rows without volume tell nothing and belong to no block.
    """
    if not (swapped.any() and right.any()):
        return None
    places = stretches(swapped, opens)
    told = (
        f"base and quote volume change places in {int(swapped.sum()):,} of {len(swapped):,} rows,"
        f" in {len(places)} blocks (opens)"
    )
    return Defect("swapped_volume", told, places)
