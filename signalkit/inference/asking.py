"""Asking models: each alone, so that a broken one is left out with its reason and no more.

A model that was loaded is asked about the newest row of its columns. It does not count where it
cannot be loaded or asked, says no number, has columns without a value, or is asked about a
market outside the ranges that it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.inference.quality import MOST_OUTSIDE, knew, outside
from signalkit.inference.results import IN_SAMPLE, Flag, LeftOut
from signalkit.inference.shelf import Member, Shelf, failures
from signalkit.inference.warm import Streams
from signalkit.store import Registered, Store
from signalkit.training.recipe import likeliest

# by how much the sum of shares may miss 1 for rounding
_SLACK = 1e-6


@dataclass(frozen=True)
class Answer:
    """What one model says of the newest bar: shares of classes or None, and its value.

    `inside` is the share of its columns that are in the ranges of training, `missing` how many
    of the newest bars lack.
    """

    member: Member
    time: pd.Timestamp
    value: float
    shares: np.ndarray | None
    inside: float
    missing: int
    flags: tuple[Flag, ...]

    @property
    def said(self) -> np.ndarray:
        """Shares of classes, or the number in an array of one."""
        return np.array([self.value]) if self.shares is None else self.shares


class _Refused(DataError):
    """A model that is sound and must not be asked here, with the code of the reason."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Panel:
    """Models and the warm rows that they read."""

    def __init__(self, store: Store) -> None:
        self.shelf, self._streams = Shelf(store), Streams(store)

    def first(
        self, entries: Sequence[Registered], symbol: str, at: pd.Timestamp
    ) -> tuple[list[Answer], list[LeftOut]]:
        """The first of some models that answers, and those before it that did not."""
        out: list[LeftOut] = []
        for entry in entries:
            found = self.ask(entry, symbol, at)
            if isinstance(found, Answer):
                return [found], out
            out.append(found)
        return [], out

    def each(
        self, entries: Sequence[Registered], symbol: str, at: pd.Timestamp
    ) -> tuple[list[Answer], list[LeftOut]]:
        """Answers of some models of the newest bar that any has, and those that did not."""
        told = [self.ask(entry, symbol, at) for entry in entries]
        answers = [one for one in told if isinstance(one, Answer)]
        out = [one for one in told if isinstance(one, LeftOut)]
        newest = max((one.time for one in answers), default=None)
        for one in [one for one in answers if one.time < newest]:
            reason = f"its newest bar is of {one.time:%Y-%m-%d %H:%M}Z; others have a newer one"
            out.append(_left(one.member.entry, "older_bar", reason))
        return [one for one in answers if one.time == newest], out

    def ask(self, entry: Registered, symbol: str, at: pd.Timestamp) -> Answer | LeftOut:
        """What one model says at a moment, or why it is left out."""
        code = "not_loaded"
        try:
            member = self.shelf.member(entry)
            code = "no_features"
            warm = self._streams.warm(member, symbol)
            warm.advance(at)
            code = "not_asked"
            return _answer(member, *warm.newest())
        except _Refused as refused:
            return _left(entry, refused.code, str(refused))
        except failures() as cause:
            return _left(entry, code, f"{type(cause).__name__}: {cause}")


def _left(entry: Registered, code: str, reason: str) -> LeftOut:
    """A model that does not count."""
    return LeftOut(entry.id, entry.name, code, reason)


def _answer(member: Member, rows: pd.DataFrame, missing: int) -> Answer:
    """What a model says of the last row."""
    row, time = rows.to_numpy()[-1], rows.index[-1]
    lacking = np.isnan(row)
    if lacking.any():
        name = rows.columns[int(np.argmax(lacking))]
        raise _Refused("warm_up", f"{lacking.sum()} of its columns have no value yet, as {name}")
    share, names = outside(member, row)
    if share > MOST_OUTSIDE:
        raise _Refused(
            "outside_hull", f"{share:.0%} of its columns are out of their ranges: {names}"
        )
    flags = [Flag("outside_hull", f"{member.entry.name}: {names}")] if share else []
    if member.hull is None:
        flags.append(Flag("no_hull", f"{member.entry.name} keeps no ranges; train it again"))
    if knew(member, time):
        told = f"{member.entry.name} was trained up to {member.entry.trained_to:%Y-%m-%d %H:%M}Z"
        flags.append(Flag(IN_SAMPLE, f"{told} and the labels after it"))
    value, shares = _said(member, rows)
    return Answer(member, time, value, shares, 1 - share, missing, tuple(flags))


def _said(member: Member, rows: pd.DataFrame) -> tuple[float, np.ndarray | None]:
    """Value and shares at the last row; refused where they are none."""
    last = np.array([len(rows) - 1])
    if not member.trained.classifies:
        value = float(member.trained.predict(rows, last)[0])
        if not np.isfinite(value):
            raise _Refused("no_number", f"it says {value}")
        return value, None
    raw = _checked(member.trained.raw(rows, last))
    shares = _checked(member.trained.calibrate(raw))
    return float(likeliest(shares)[0]), shares[0]


def _checked(shares: np.ndarray) -> np.ndarray:
    """Probabilities of one row; calibration would hide that raw ones are none."""
    if not ((shares >= 0).all() and abs(shares.sum() - 1) <= _SLACK):
        raise _Refused("no_number", f"its probabilities are {shares[0].tolist()}")
    return shares
