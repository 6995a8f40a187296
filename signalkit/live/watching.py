"""What is watched of a desk: accuracy by an alarm, drift of inputs and outputs, challengers.

Every state is kept under a key of its own and goes on from itself: outcomes that an alarm took
are not taken again. An alarm that somebody closed begins anew with later predictions.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from signalkit import features, monitoring
from signalkit.bars import ALWAYS_OPEN, interval_length
from signalkit.errors import DataError
from signalkit.features.catalog import find
from signalkit.live.desks import Desk
from signalkit.live.market import Market
from signalkit.live.past import Pasts, whole
from signalkit.live.record import Records
from signalkit.live.scoring import Scoring
from signalkit.store import Store
from signalkit.store.predictions import ENSEMBLE
from signalkit.study.inputs import load_news
from signalkit.study.stages import label_settings

ACCURACY, INPUTS, OUTPUTS = "accuracy", "drift of inputs", "drift of outputs"
# share of columns that must have moved before drift of inputs is an alarm: some always do
_MANY = 0.25
# looks at drift in a window
_LOOKS = 10
# days that an exchange may be closed beside its horizon
_CLOSED = pd.Timedelta(10, "D")


def subject(desk: Desk, made_by: str) -> str:
    """Of what an alarm is."""
    return f"model {made_by}" if made_by != ENSEMBLE else f"{desk.name} {ENSEMBLE} {desk.asked}"


class Watching:
    """Watches the makers of desks."""

    def __init__(self, store: Store, pasts: Pasts, records: Records, scoring: Scoring) -> None:
        self._store, self._pasts, self._records = store, pasts, records
        self._scoring = scoring

    def alarms(self, desk: Desk, at: pd.Timestamp) -> int:
        """Take what settled of each deployed maker; how many alarms are new."""
        made_by = [ENSEMBLE, *(str(entry.id) for entry in desk.entries)]
        states: dict[str, dict[str, Any]] = {}
        new = sum(self._alarm(desk, maker, at, states) for maker in made_by)
        if states:
            self._store.watch.keep(states)
        return new

    def _alarm(
        self, desk: Desk, made_by: str, at: pd.Timestamp, states: dict[str, dict[str, Any]]
    ) -> bool:
        """Take what settled of one maker; whether its alarm is new. A changed state is noted."""
        claim = self._scoring.promise(desk, made_by)["accuracy_low"]
        if claim is None:
            return False
        key = f"alarm {desk.name} {made_by} {desk.asked}"
        held = self._store.watch.state(key)
        table = self._own(desk, made_by)
        alarm, begun = self._begun(desk, claim, held, made_by)
        times = table.index.get_level_values("time").asi8
        last = alarm.state()["last"][0]
        since = begun if last is None else max(begun, pd.Timestamp(last).value)
        rows = table[times >= since] if last is not None else table[times > since]
        if len(rows):
            alarm.follow(monitoring.in_turn(rows, at=at, wait=_wait(desk)))
        models = _numbers(desk)
        state = {"begun": begun, "claim": claim, "models": models, "alarm": alarm.state()}
        if state != held:
            states[key] = state
        if alarm.raised_at is None:
            return False
        detail = {"accuracy": claim, "alpha": alarm.alpha, "outcomes": alarm.n}
        detail |= {"models": models, "study": desk.name}
        raised = alarm.raised_at.value
        return self._store.watch.raise_alarm(ACCURACY, subject(desk, made_by), raised, detail)

    def _own(self, desk: Desk, made_by: str) -> pd.DataFrame:
        """What a maker answered of the desk's symbols; others may be of another study."""
        table = self._records.table(made_by, desk.asked)
        mine = table.index.get_level_values("symbol").isin(desk.symbols)
        return table if mine.all() else table[mine]

    def _begun(
        self,
        desk: Desk,
        claim: float,
        held: dict[str, Any] | None,
        made_by: str,
    ) -> tuple[monitoring.Alarm, int]:
        """The alarm as it was left; a new one at first, after it was closed, and of other models.

        What former models said together is no evidence against those that took their place.
        """
        overlap, alpha = _overlap(desk), desk.study.params.monitoring.alpha
        fresh = monitoring.Alarm(claim, overlap=overlap, alpha=alpha)
        if held is None:
            return fresh, self._first(desk, made_by)
        if made_by == ENSEMBLE and held["models"] != _numbers(desk):
            return fresh, self._newest(desk, made_by)
        alarm = monitoring.Alarm.restore(held["alarm"])
        if (alarm.accuracy, alarm.overlap, alarm.alpha) != (claim, overlap, alpha):
            return fresh, held["begun"]
        named, raised = subject(desk, made_by), alarm.raised_at
        if raised is not None and self._closed(named, raised.value):
            return fresh, self._newest(desk, made_by)
        return alarm, held["begun"]

    def _newest(self, desk: Desk, made_by: str) -> int:
        """The last bar that a maker answered; of no moment that is asked, for it may be far."""
        times = self._own(desk, made_by).index.get_level_values("time")
        return times.max().value if len(times) else 0

    def _first(self, desk: Desk, made_by: str) -> int:
        """The bar after which the first alarm of a maker takes what it said."""
        if made_by != ENSEMBLE:
            return 0
        firsts = [
            table.index.get_level_values("time").min().value
            for entry in desk.entries
            if len(table := self._own(desk, str(entry.id)))
        ]
        return min(firsts) - 1 if firsts else self._newest(desk, made_by)

    def _closed(self, named: str, time: int) -> bool:
        """Whether somebody has seen to an alarm."""
        asked = "SELECT closed_at FROM alarms WHERE kind = ? AND subject = ? AND time = ?"
        row = self._store.db.execute(asked, [ACCURACY, named, time]).fetchone()
        return row is not None and row[0] is not None

    def drift(self, desk: Desk, market: Market, at: pd.Timestamp) -> float | None:
        """Compare the newest rows with those before, some times a window, and keep it.

        Returns
        -------
        float or None
            The largest PSI of what the ensemble says, as it was found last; None before there
            are enough.
        """
        key, window = f"drift {desk.name} {desk.asked}", desk.study.params.monitoring.drift_window
        held = self._store.watch.state(key)
        live = self._own(desk, ENSEMBLE)
        times = live.index.get_level_values("time").unique().sort_values()
        step, n = max(1, window // _LOOKS), len(times)
        if n < window or (held is not None and held["n"] // step >= n // step):
            return _largest(held)
        asked = {"since": times[0], "at": at, "window": window}
        found = {"outputs": _drifted(self._said(desk, live), asked)}
        found["inputs"] = _drifted(self._read(desk, market), asked)
        for kind, name, least in ((INPUTS, "inputs", _MANY), (OUTPUTS, "outputs", 0.0)):
            self._raise(desk, kind, found[name], least, times[-1])
        held = {"n": n, "at": times[-1].value} | found
        self._store.watch.keep({key: held})
        return _largest(held)

    def _said(self, desk: Desk, live: pd.DataFrame) -> pd.DataFrame:
        """What the ensemble said, in validation and live."""
        return monitoring.outputs(whole(self._pasts.of(desk, ENSEMBLE), live))

    def _read(self, desk: Desk, market: Market) -> pd.DataFrame:
        """What the best model reads, from where it was trained."""
        best, panel = desk.entries[0], market.panel
        names = best.features_used
        reads = any(find(name).reads_news for name in names)
        news = load_news(desk.study.params, panel, self._store) if reads else None
        table = features.build(panel, names, news, **asdict(desk.study.clock)).dropna()
        return table[table.index.get_level_values("time") >= best.trained_from]

    def _raise(
        self, desk: Desk, kind: str, found: dict[str, Any], least: float, time: pd.Timestamp
    ) -> None:
        """Raise an alarm of drift, where none of its kind is open."""
        moved = sorted(name for name, one in found.items() if one["moved"])
        if not moved or len(moved) / len(found) < least:
            return
        named = f"{desk.name} {desk.asked}"
        if any((a["kind"], a["subject"]) == (kind, named) for a in self._store.watch.alarms()):
            return
        detail = {"moved": moved, "of": len(found), "study": desk.name}
        detail |= {"models": _numbers(desk)}
        self._store.watch.raise_alarm(kind, named, time.value, detail)

    def challengers(self, desk: Desk, at: pd.Timestamp) -> None:
        """Keep how far each challenger leads the model that it may replace."""
        for entry, champion in desk.challengers:
            pair = [self._records.table(str(n), desk.asked) for n in (champion, entry.id)]
            asked = {"overlap": _overlap(desk), "at": at}
            asked["alpha"] = desk.study.params.monitoring.alpha
            try:
                row = monitoring.paired(*pair, **asked).iloc[-1]
            except DataError:  # nothing in common yet
                continue
            told = {"champion": champion, "challenger": entry.id, "n": int(row["n"])}
            told |= {name: float(row[name]) for name in ("lead", "low", "high")}
            key = f"challenger {entry.id}"
            if self._store.watch.state(key) != told:
                self._store.watch.keep({key: told})


def _numbers(desk: Desk) -> list[int]:
    """Numbers of the deployed models."""
    return sorted(entry.id for entry in desk.entries)


def _bars_to_outcome(desk: Desk) -> int:
    """Bars after its own at which an outcome is known; a trade may begin a bar later."""
    entry = label_settings(desk.study).get("entry", "close")
    return desk.asked.horizon + (entry != "close")


def _overlap(desk: Desk) -> int:
    """Predictions that may be open at a time."""
    return _bars_to_outcome(desk) * len(desk.symbols)


def _wait(desk: Desk) -> pd.Timedelta:
    """How long an outcome is waited for."""
    span = interval_length(desk.asked.interval) * _bars_to_outcome(desk)
    closes = desk.study.params.collection.calendar != ALWAYS_OPEN
    return 3 * span + _CLOSED if closes else span


def _drifted(table: pd.DataFrame, asked: dict[str, Any]) -> dict[str, Any]:
    """Drift of each column as JSON says it; none where there are too few rows."""
    table = table.dropna()
    if table.empty:
        return {}
    try:
        found = monitoring.drift(table, **asked)
    except DataError:
        return {}
    return {
        str(name): {
            "psi": _finite(row["psi"]),
            "ks": _finite(row["ks"]),
            "moved": bool(row["moved"]),
        }
        for name, row in found.iterrows()
    }


def _largest(held: dict[str, Any] | None) -> float | None:
    """The largest PSI of outputs, None where none is kept."""
    found = [] if held is None else [one["psi"] for one in held["outputs"].values()]
    return max((psi for psi in found if psi is not None), default=None)


def _finite(value: float) -> float | None:
    """A number as JSON says it."""
    return float(value) if math.isfinite(value) else None
