"""Bars and labels of a deployed study, kept warm: what can be read of its market by a moment.

Bars of sources that are read whole end before the study's holdout while that is closed; those
that an exchange closes now are the future and are read. Labels are those of all bars at hand,
and only those known by the moment.
"""

from __future__ import annotations

import pandas as pd

from signalkit import collection, labeling
from signalkit.errors import DataError, StoreError
from signalkit.lineage import digest
from signalkit.params import Params, timestamp
from signalkit.store import Store
from signalkit.study import Study
from signalkit.study.inputs import stored_as
from signalkit.study.stages import label_settings

# sources that have all their bars at once
WHOLE = ("sample", "files", collection.SIMULATOR)
_NS = pd.Timedelta(1, "ns")
_SERIES = "symbol = :symbol AND interval = :interval AND source = :source"
_STATE = f"SELECT first_bar, last_bar, recorded_at FROM symbols WHERE {_SERIES}"  # noqa: S608
_LATE = f"""SELECT EXISTS (SELECT 1 FROM bars WHERE {_SERIES} AND time <= :last
        AND recorded_at > :seen)
    OR EXISTS (SELECT 1 FROM bar_revisions WHERE {_SERIES} AND time <= :last
        AND replaced_at > :seen)"""  # noqa: S608 - constants


def border(asked: Params) -> pd.Timestamp | None:
    """First time that must not be read, None where all may be."""
    if asked.collection.source not in WHOLE or asked.backtesting.open_holdout:
        return None
    return pd.Timestamp(timestamp(asked.validation.holdout_from))


class _Series:
    """Bars of one symbol, of which only new ones are read."""

    def __init__(self, store: Store, key: dict[str, str], begin: pd.Timestamp | None) -> None:
        self._store, self._key, self._begin = store, key, begin
        self._state: tuple | None = None
        self._reached: pd.Timestamp | None = None
        self.bars: pd.DataFrame | None = None

    def advance(self, at: pd.Timestamp) -> bool:
        """Read what the store has up to a moment; whether anything changed."""
        found = self._store.db.execute(_STATE, self._key).fetchone()
        if found is None or (found == self._state and self._reached and at <= self._reached):
            return False
        start, held = self._begin, None
        if self.bars is not None and not self._late(found):
            held = self.bars
            start = held.index[-1] + _NS
        before, self._state = self.bars, found
        self._reached = max(at, self._reached or at)
        try:
            new = self._store.read_bars(**self._key, start=start, end=self._reached)
        except StoreError:
            new = None
        parts = [part for part in (held, new) if part is not None]
        self.bars = pd.concat(parts) if len(parts) == 2 else next(iter(parts), None)
        return self.bars is not before

    def _late(self, found: tuple) -> bool:
        """Whether bars that were read are no longer what the store has."""
        if found[2] == self._state[2]:
            return False
        asked = self._key | {"last": self.bars.index[-1].value, "seen": self._state[2]}
        return bool(self._store.db.execute(_LATE, asked).fetchone()[0])


class Market:
    """Bars and labels of the symbols of one study.

    Parameters
    ----------
    store : Store
        Where the bars are.
    study : Study
        Whose collection and labeling sections say which.
    """

    def __init__(self, store: Store, study: Study) -> None:
        self.study, self.border = study, border(study.params)
        kept = study.params.collection
        begin = pd.Timestamp(timestamp(kept.start)) if kept.start else None
        own = {"interval": kept.interval, "source": stored_as(study.params)}
        self._series = {
            symbol: _Series(store, own | {"symbol": symbol}, begin)
            for symbol in sorted(kept.symbols)
        }
        self._panel: pd.DataFrame | None = None
        self._labels: pd.DataFrame | None = None
        self._blocks: dict[str, tuple] = {}
        self._at: pd.Timestamp | None = None

    def moment(self, at: pd.Timestamp) -> pd.Timestamp:
        """The last moment up to which bars may be read, at most the one given."""
        return at if self.border is None else min(at, self.border - _NS)

    def advance(self, at: pd.Timestamp) -> None:
        """Have the bars up to a moment, as the store has them now."""
        moment = self.moment(at)
        changed = [series.advance(moment) for series in self._series.values()]
        if any(changed) or moment != self._at:
            self._panel = self._labels = None
            self._at = moment

    def times(self, symbol: str) -> pd.DatetimeIndex:
        """Bar ends of a symbol up to the moment."""
        series = self._series.get(symbol)
        if series is None or series.bars is None:
            return pd.DatetimeIndex([], tz="UTC")
        return series.bars.index[: series.bars.index.searchsorted(self._at, side="right")]

    @property
    def newest(self) -> pd.Timestamp | None:
        """The newest bar end of any symbol, None where there is no bar."""
        ends = [times[-1] for times in map(self.times, self._series) if len(times)]
        return max(ends, default=None)

    @property
    def panel(self) -> pd.DataFrame:
        """Bars up to the moment, indexed by (symbol, time).

        Raises
        ------
        StoreError
            If there is none.
        """
        if self._panel is None:
            parts = {s: self._series[s].bars.loc[: self._at] for s in self._series if self._has(s)}
            if not parts:
                raise StoreError(
                    f"no {self.study.params.collection.interval} bars of {', '.join(self._series)}"
                    " are stored by then; collect them first"
                )
            self._panel = pd.concat(parts, names=["symbol", "time"])
        return self._panel

    def _has(self, symbol: str) -> bool:
        """Whether a symbol has a bar by then."""
        return len(self.times(symbol)) > 0

    @property
    def labels(self) -> pd.DataFrame:
        """Labels known by the moment, `label` and `known_at`, indexed as the panel."""
        if self._labels is None:
            asked = self.study.params.labeling
            make = labeling.TARGETS[asked.target]
            try:
                found = make(self.panel, asked.horizon, **label_settings(self.study))
            except DataError:  # too few bars for any label
                found = pd.DataFrame({"label": [], "known_at": []}, self.panel.index[:0])
            self._labels = found
            blocks = found.groupby(level="symbol", sort=False)
            self._blocks = {symbol: _block(part) for symbol, part in blocks}
        return self._labels

    def outcome(self, symbol: str, time: int) -> tuple[float, int] | None:
        """Label of a bar and when it was known, nanoseconds; None while it is not."""
        if self.labels.empty or symbol not in self._blocks:
            return None
        times, answers, known = self._blocks[symbol]
        place = int(times.searchsorted(time))
        if place == len(times) or times[place] != time:
            return None
        return float(answers[place]), int(known[place])


def _block(part: pd.DataFrame) -> tuple:
    """Times, labels and known_at of a symbol, as numbers."""
    times = part.index.get_level_values("time").as_unit("ns").asi8
    known = pd.DatetimeIndex(part["known_at"]).as_unit("ns").asi8
    return times, part["label"].to_numpy(dtype=float), known


class Markets:
    """Markets by what is read of them; studies that read the same share one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[str, Market] = {}

    def of(self, asked: Params, at: pd.Timestamp) -> Market:
        """The market of a study, advanced to a moment."""
        study = Study(asked)
        kept = asked.collection.model_dump(exclude={"end", "news"})
        told = [kept, asked.labeling.target, asked.labeling.horizon, label_settings(study)]
        key = digest([*told, str(border(asked)), asked.features.max_gap])
        if key not in self._held:
            self._held[key] = Market(self._store, study)
        self._held[key].advance(at)
        return self._held[key]
