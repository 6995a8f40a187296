"""What has settled of deployed models, kept warm, and what it makes of their newest predictions.

The past of a model is what it predicted in the walk-forward of its study, as it carries it,
followed by its stored predictions; where both have a bar, the walk-forward's row counts. One
`training.Stream` a choice of models is told of it, by what is new in the store since the last
call, so that weights, disagreement, sets and intervals have the bits of `training.combine`,
`prediction_sets` and `prediction_intervals` on the whole table.

The store writes a prediction once and settles it once: what was read is not read again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.bars import interval_length
from signalkit.errors import DataError, LeakError
from signalkit.inference.choice import Question
from signalkit.inference.results import SIDES, Flag
from signalkit.inference.shelf import Member
from signalkit.params import Params
from signalkit.store import Store
from signalkit.training import CLASSIFICATION_TARGETS, Joint, Stream
from signalkit.training.members import KEYS

# step of the quantile of conformal sets, at most, as in validation
_RATE = 0.01
# choices of models that are kept warm
_KEPT = 16
_FEW = "too few predictions have settled for a prediction set; it comes with time"
_ROWS = """SELECT id, made_by, symbol, prediction_timestamp, prediction_value,
    prediction_probabilities, known_at, actual_value FROM ml_predictions
    WHERE {among} IN (SELECT value FROM json_each(:models)) AND id > :last
    AND prediction_type = :target AND interval = :interval AND horizon = :horizon ORDER BY id"""
# all of a model are found by its number; those that are new by theirs, which the + asks for
_ALL, _NEW = (_ROWS.format(among=name) for name in ("made_by", "+made_by"))
_SETTLED = """SELECT id, known_at, actual_value FROM ml_predictions
    WHERE id IN (SELECT value FROM json_each(?)) AND known_at IS NOT NULL"""
_BESIDE = """SELECT symbol FROM bars WHERE symbol IN (SELECT value FROM json_each(?))
    AND interval = ? AND source = ? AND time = ?"""


@dataclass(frozen=True)
class Joined:
    """Several models' newest predictions made one."""

    value: float
    shares: np.ndarray | None
    confidence: float | None
    disagreement: float
    weights: dict[int, float]
    sides: tuple[str, ...] | None
    interval: tuple[float, float] | None
    flags: tuple[Flag, ...] = ()


def how(asked: Params) -> dict[str, object]:
    """How the study of a model joins models, as `training.Stream` takes it."""
    joins = asked.training.ensemble
    return {
        "method": joins.method,
        "half_life": joins.half_life,
        "coverage": asked.training.calibration.coverage,
        # a miss is known a horizon late: many steps at once would swing
        "rate": min(_RATE, 0.25 / asked.labeling.horizon),
    }


class History:
    """The past of some models that answer one question.

    Parameters
    ----------
    store : Store
        Stored predictions and bars.
    asked : Question
        What is asked.
    members : sequence of Member
        Models in order of their numbers.
    joins : mapping
        From `how`.
    """

    def __init__(
        self,
        store: Store,
        asked: Question,
        members: Sequence[Member],
        joins: Mapping[str, object],
    ) -> None:
        self._store, self._members, self._joins = store, list(members), dict(joins)
        self._asked = {n: getattr(asked, n) for n in ("target", "interval", "horizon")}
        self._classifies = asked.target in CLASSIFICATION_TARGETS
        bars = self._members[0].asked.validation.test
        self._length = bars * interval_length(asked.interval).value
        self._places = {str(member.entry.id): m for m, member in enumerate(members)}
        self._stream = self._empty()
        self._walked: set[tuple[str, str, int]] = set()
        self._open: dict[int, tuple[str, int]] = {}
        self._last, self._marker, self._walk = 0, None, (0, -1)
        self._contradiction: str | None = None
        self._noted(self._begin)

    def _empty(self) -> Stream:
        """A stream that was told nothing."""
        return Stream(list(self._places), self._asked["target"], **self._joins)

    def _noted(self, read: object) -> None:
        """Read what is new; rows that contradict each other are noted, and none is used."""
        if self._contradiction is not None:
            return
        try:
            read()
        except (DataError, LeakError) as cause:
            self._contradiction = f"settled predictions cannot be used: {cause}"
            self._stream = self._empty()

    def _begin(self) -> None:
        """Tell the stream of the walk-forward of each model."""
        parts = {n: self._members[m].past for n, m in self._places.items()}
        parts = {n: past for n, past in parts.items() if past is not None and len(past)}
        if not parts:
            return
        table = pd.concat(parts, names=["model_id"]).reorder_levels(KEYS)
        cells = table.groupby(level=["symbol", "time"])
        # a later study settles what was open in an earlier one, and counts its own folds
        for name in ("known_at", "actual"):
            table[name] = table[name].fillna(cells[name].transform("first"))
        table["fold"] = cells["fold"].transform("first")
        self._stream.extend(table)
        times = pd.DatetimeIndex(table.index.get_level_values("time")).as_unit("ns").asi8
        self._walk = int(times.max()), int(table["fold"].max())
        keys = (table.index.get_level_values(name) for name in ("model_id", "symbol"))
        self._walked = set(zip(*keys, times.tolist(), strict=True))

    def fold(self, time: int) -> int:
        """Fold of a bar after the walk-forward: one as long as those of the study, then the next.

        A stacker is fitted again where one begins.
        """
        until, last = self._walk
        if time <= until:
            return last
        return last + 1 + (time - until - 1) // self._length

    def _advance(self) -> None:
        """Tell the stream of what is new in the store."""
        (version,) = self._store.db.execute("PRAGMA data_version").fetchone()
        marker = version, self._store.db.conn.total_changes
        if marker == self._marker:
            return
        told = self._asked | {"models": json.dumps(list(self._places)), "last": self._last}
        rows = self._store.db.execute(_NEW if self._last else _ALL, told).fetchall()
        said: dict[tuple[str, int], np.ndarray] = {}
        settled = []
        for number, made_by, symbol, time, value, shares, known, actual in rows:
            self._last, key = number, (symbol, time)
            if value is None or (made_by, *key) in self._walked:
                continue
            if key not in said:
                said[key] = self._nobody()
            said[key][self._places[made_by]] = self._read(value, shares)
            self._open[number] = key
            if known is not None:
                settled.append((number, known, actual))
        for (symbol, time), values in said.items():
            self._stream.put(symbol, time, values, fold=self.fold(time))
        for row in settled:
            self._settle(*row)
        if self._open:
            asked = [json.dumps(list(self._open))]
            for row in self._store.db.execute(_SETTLED, asked).fetchall():
                self._settle(*row)
        self._marker = marker

    def _nobody(self) -> np.ndarray:
        """What models say of a bar before any has answered."""
        return np.full((len(self._places), 3 if self._classifies else 1), np.nan)

    def _read(self, value: float, shares: str | None) -> float | list[float]:
        """What a stored prediction says."""
        if not self._classifies:
            return value
        told = json.loads(shares) if shares else {}
        return [told.get(side, np.nan) for side in SIDES]

    def _settle(self, number: int, known: int, actual: float) -> None:
        """Tell the stream of an outcome."""
        self._stream.settle(*self._open.pop(number), known_at=known, actual=actual)

    def ask(self, symbol: str, time: pd.Timestamp, said: Mapping[int, np.ndarray]) -> Joined:
        """One answer of several.

        Parameters
        ----------
        symbol, time : str, Timestamp
            The newest bar.
        said : mapping of int to array
            Probabilities of -1, 0, 1, or the number in an array of one, by number of the model.
        """
        self._noted(self._advance)
        at = time.value
        values = self._nobody()
        for number, one in said.items():
            values[self._places[str(number)]] = one
        beside = self._beside(symbol, at)
        found = self._stream.ask(symbol, at, values, fold=self.fold(at), beside=beside)
        return self._joined(found, list(said))

    def _beside(self, symbol: str, time: int) -> list[str]:
        """Other symbols that have a bar at a time, and so are predicted there too."""
        others = [other for other in self._stream.symbols if other != symbol]
        if not others:
            return []
        series = (self._asked["interval"], self._members[0].source, time)
        rows = self._store.db.execute(_BESIDE, [json.dumps(others), *series]).fetchall()
        return [other for (other,) in rows]

    def _joined(self, found: Joint, answered: list[int]) -> Joined:
        """An answer with weights of those that answered, and what says that it is not whole."""
        own = {n: found.weights[self._places[str(n)]] for n in answered}
        whole = 1.0 if len(own) == len(self._places) else sum(own.values())
        sides, interval = _held(found)
        flags = () if sides or interval else (Flag("few_settled", _FEW),)
        if self._contradiction is not None:
            flags = (*flags, Flag("settled_unusable", self._contradiction))
        return Joined(
            value=found.value,
            shares=found.shares,
            confidence=found.confidence,
            disagreement=found.disagreement,
            weights={number: float(weight / whole) for number, weight in own.items()},
            sides=sides,
            interval=interval,
            flags=flags,
        )


def _held(found: Joint) -> tuple[tuple[str, ...] | None, tuple[float, float] | None]:
    """Sides, or low and high, that hold as often as the study asks; None while too few settled."""
    if not np.isfinite(found.threshold):
        return None, None
    if found.taken is None:
        return None, (found.low, found.high)
    return tuple(s for s, inside in zip(SIDES, found.taken, strict=True) if inside), None


class Histories:
    """The pasts of the choices of models that were last asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[tuple, History] = {}

    def of(self, asked: Question, members: Sequence[Member]) -> History:
        """The past of some models, the best first, whose study says how they are joined."""
        joins, mine = how(members[0].asked), sorted(members, key=lambda one: one.entry.id)
        sealed = tuple((one.entry.id, one.entry.sha256) for one in mine)
        key = (asked.target, asked.interval, asked.horizon, sealed, *joins.values())
        found = self._held.pop(key, None)
        if found is None:
            found = History(self._store, asked, mine, joins)
        self._held[key] = found  # the last asked is the last in order
        while len(self._held) > _KEPT:
            del self._held[next(iter(self._held))]
        return found
