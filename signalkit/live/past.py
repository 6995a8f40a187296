"""What the models of a desk predicted before they were deployed, and live since.

Walk-forward validation comes first; where both have a bar, its row counts.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit import training
from signalkit.live.desks import Desk
from signalkit.live.record import Records
from signalkit.store.predictions import ENSEMBLE

_COLUMNS = [
    "target", "fold", "prediction", *training.PROBABILITIES, "confidence", "known_at", "actual",
]  # fmt: skip

# step of the quantile of conformal sets at most, as in validation
_RATE = 0.01


class Pasts:
    """Validation's predictions of desks, those of the ensemble made once."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, ...], pd.DataFrame | None] = {}

    def of(self, desk: Desk, made_by: str) -> pd.DataFrame | None:
        """Walk-forward predictions of a maker, indexed by (symbol, time); None without any."""
        if made_by != ENSEMBLE:
            papers = desk.papers.get(int(made_by))
            return None if papers is None else papers.past
        listed = desk.study.params.training.models
        inside = [entry for entry in desk.entries if entry.model_type in listed]
        members = tuple(e.id for e in sorted(inside, key=lambda e: listed.index(e.model_type)))
        if members not in self._held:
            self._held[members] = _joined(desk, members)
        return self._held[members]


def _joined(desk: Desk, members: tuple[int, ...]) -> pd.DataFrame | None:
    """The ensemble of what members predicted in validation."""
    pasts = {str(m): desk.papers[m].past for m in members if m in desk.papers}
    pasts = {name: past for name, past in pasts.items() if past is not None and len(past)}
    if not pasts:
        return None
    table = pd.concat(
        [past.assign(model_id=name).set_index("model_id", append=True)[_COLUMNS]
         for name, past in pasts.items()]
    )  # fmt: skip
    how = desk.study.params.training.ensemble
    found = training.combine(table, list(pasts), method=how.method, half_life=how.half_life)
    mine = found.predictions.xs(training.ENSEMBLE, level="model_id")
    mine = mine[mine["prediction"].notna()]
    return mine.assign(covered=_covered(desk, mine))


def _covered(desk: Desk, mine: pd.DataFrame) -> pd.Series:
    """Whether sets of the study's coverage held the outcome; NaN where they held everything."""
    asked = desk.study.params
    how = {"coverage": asked.training.calibration.coverage}
    # a miss is known a horizon late: many steps at once would swing
    how["rate"] = min(_RATE, 0.25 / asked.labeling.horizon)
    if desk.asked.target in training.CLASSIFICATION_TARGETS:
        sets = training.prediction_sets(mine, **how)
        return sets["covered"].where(np.isfinite(sets["threshold"]))
    return training.prediction_intervals(mine, **how)["covered"]


def whole(past: pd.DataFrame | None, live: pd.DataFrame) -> pd.DataFrame:
    """Validation's rows followed by live ones of other bars, indexed by (symbol, time)."""
    live = live[_COLUMNS]
    if past is None or past.empty:
        return live.sort_index()
    fresh = _fresh(past, live)
    parts = [past[_COLUMNS], fresh] if len(fresh) else [past[_COLUMNS]]
    return pd.concat(parts).sort_index()


def voices(desk: Desk, pasts: Pasts, records: Records) -> pd.DataFrame:
    """Predictions of the desk's voices by the names that the study calls them.

    Returns
    -------
    DataFrame indexed by (symbol, time, model_id)
        Model types, and ENSEMBLE; of each validation's rows first, then live ones of other bars.
    """
    makers = {entry.model_type: str(entry.id) for entry in reversed(desk.entries)}
    makers[training.ENSEMBLE] = ENSEMBLE
    parts = []
    for name, made_by in makers.items():
        past, live = pasts.of(desk, made_by), records.table(made_by, desk.asked)
        parts += [] if past is None else [(name, past)]
        parts.append((name, _fresh(past, live)))
    return _joined_by_name(parts)


def _joined_by_name(parts: list[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Tables under each other, with a name each in the index.

    The index is made of codes: to find them anew takes longer than all that is done with them.
    """
    parts = [(name, rows) for name, rows in parts if len(rows)] or parts[:1]
    names = list(dict.fromkeys(name for name, _ in parts))
    symbols = sorted({symbol for _, rows in parts for symbol in rows.index.levels[0]})
    listed, times, symbol, model = pd.Index(symbols, dtype="str"), [], [], []
    for name, rows in parts:
        clock = pd.DatetimeIndex(rows.index.get_level_values("time"))
        times.append(clock.as_unit("ns").asi8)
        symbol.append(listed.get_indexer(rows.index.levels[0])[rows.index.codes[0]])
        model.append(np.full(len(rows), names.index(name)))
    every, place = np.unique(np.concatenate(times), return_inverse=True)
    index = pd.MultiIndex(
        levels=[listed, pd.DatetimeIndex(every.view("M8[ns]"), tz="UTC"), pd.Index(names)],
        codes=[np.concatenate(symbol), place, np.concatenate(model)],
        names=["symbol", "time", "model_id"],
        verify_integrity=False,
    )
    return pd.concat([rows[_COLUMNS] for _, rows in parts], ignore_index=True).set_axis(index)


def _fresh(past: pd.DataFrame | None, live: pd.DataFrame) -> pd.DataFrame:
    """Live rows of bars that validation does not have."""
    if past is None or past.empty:
        return live
    last = past.index.get_level_values("time").max()
    later = live.index.get_level_values("time") > last
    if later.all():
        return live
    return live[later | ~live.index.isin(past.index)]
