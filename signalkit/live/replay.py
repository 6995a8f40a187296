"""The newest bars of a validated study, served again one by one and compared with validation.

The models of the last fold are deployed in a store of their own that is thrown away, and the
loop steps from bar to bar. What it stored must be what the walk-forward has of the same bars and
models. Then things are broken on purpose, to see who answers and what is told.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signalkit.bars import interval_length
from signalkit.inference import EnsemblePrediction, Predictor
from signalkit.inference.quality import behind
from signalkit.live.played import fold_clock, play
from signalkit.store import Asked, Store
from signalkit.store.predictions import ENSEMBLE
from signalkit.study import Study
from signalkit.training import PROBABILITIES

_SAID = ["prediction", *PROBABILITIES]


@dataclass(frozen=True)
class Replay:
    """What was served, beside what was validated.

    `served` is indexed by (symbol, time, model_id): the stored answer, `walked`, what the
    walk-forward said, and `apart`, the largest difference of any number of the two. `joint` are
    the ensemble's rows: `confidence disagreement flags left_out`, and `set`, the sides or the
    interval that hold as often as asked. `weights` are positions of the loop (`served`) and of
    the study (`backtested`), and `apart`. `drills` are answers to the newest bar when something
    is broken, a row each.
    """

    served: pd.DataFrame
    joint: pd.DataFrame
    weights: pd.DataFrame
    drills: pd.DataFrame


def replay(study: Study, *, bars: int) -> Replay:
    """Serve the newest bars of a study's last fold once more.

    Parameters
    ----------
    study : Study
        Validated, or validated now; bars of the holdout are not read.
    bars : int
        Newest bar ends to serve, of the last fold at most all.

    Raises
    ------
    DataError
        If models are fitted a symbol each, or the fold has no bar.
    """
    table, clock = study.validate(), fold_clock(study, bars)
    with tempfile.TemporaryDirectory(prefix="replay-") as name, Store.open(Path(name)) as store:
        numbers = play(study, store, clock)
        asked = _question(study)
        named = {str(number): model for model, number in numbers.items()} | {ENSEMBLE: ENSEMBLE}
        served = pd.concat([store.predictions.table(made_by, asked) for made_by in named])
        served = served.rename(index=named, level="model_id").sort_index()
        return Replay(
            _compared(served, table),
            _joint(store, asked),
            _positions(study, store, clock),
            _drills(study, store, clock[-1]),
        )


def _question(study: Study) -> Asked:
    """What the study's models are asked."""
    asked = study.params
    return Asked(asked.labeling.target, asked.collection.interval, asked.labeling.horizon)


def _compared(served: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Stored answers beside those of the walk-forward."""
    walked = table[_SAID].reindex(served.index)
    gap = (served[_SAID] - walked).abs()
    both = served[_SAID].notna().eq(walked.notna())
    apart = gap.where(both, np.inf).max(axis=1).fillna(0.0)
    return served[[*_SAID, "confidence"]].assign(walked=walked["prediction"], apart=apart)


def _joint(store: Store, asked: Asked) -> pd.DataFrame:
    """What is told beside the ensemble's answers."""
    rows = store.predictions.page(made_by=ENSEMBLE, target=asked.target, limit=10**9)
    found = []
    for row in reversed(rows):
        detail = json.loads(row["detail"])
        held = detail["prediction_set"] or detail["prediction_interval"]
        found.append(
            {
                "symbol": row["symbol"],
                "time": pd.Timestamp(row["prediction_timestamp"], tz="UTC"),
                "confidence": row["confidence_score"],
                "disagreement": detail["disagreement"],
                "set": None if held is None else " ".join(map(_short, held)),
                "flags": " ".join(sorted({flag["code"] for flag in detail["flags"]})),
                "left_out": len(detail["left_out"]),
            }
        )
    table = pd.DataFrame(found).set_index(["symbol", "time"]).sort_index()
    return table.astype({"confidence": float, "disagreement": float})


def _short(part: str | float) -> str:
    """A side, or an end of an interval to four digits."""
    return part if isinstance(part, str) else f"{part:.4g}"


def _positions(study: Study, store: Store, clock: pd.DatetimeIndex) -> pd.DataFrame:
    """Weights of the loop beside those of the study's backtest."""
    rows = store.watch.signals(study=study.params.study_name, limit=10**9)
    keys = [(row["symbol"], pd.Timestamp(row["time"], tz="UTC")) for row in rows]
    index = pd.MultiIndex.from_tuples(keys, names=["symbol", "time"])
    table = pd.DataFrame({"served": [row["weight"] for row in rows]}, index, dtype=float)
    table = table[table.index.get_level_values("time").isin(clock)].sort_index()
    table["backtested"] = study.signals()["weight"].reindex(table.index)
    return table.assign(apart=(table["served"] - table["backtested"]).abs())


def _drills(study: Study, store: Store, last: pd.Timestamp) -> pd.DataFrame:
    """Answers to the newest bar, whole and with something broken."""
    table = pd.DataFrame([_told(case, answer) for case, answer in _cases(study, store, last)])
    return table.set_index("case").astype({"value": float, "confidence": float})


def _cases(
    study: Study, store: Store, last: pd.Timestamp
) -> Iterator[tuple[str, EnsemblePrediction]]:
    """One thing broken after another, each on top of those before but for the age of the bar."""
    horizon = study.params.labeling.horizon
    yield "nothing is broken", _asked(study, store, last)
    yield "the next bar is late", _asked(study, store, _late(study, last, 1))
    yield "all bars to the horizon are late", _asked(study, store, _late(study, last, horizon))
    models = store.models.list()
    for count, model in enumerate(models, start=1):
        for file in (store.folder / "models" / model.identity).iterdir():
            file.write_bytes(b"changed")
        if count in (1, len(models)):
            whose = "every model" if count == len(models) else "one model"
            yield f"the files of {whose} were changed", _asked(study, store, last)


def _late(study: Study, last: pd.Timestamp, bars: int) -> pd.Timestamp:
    """A moment at which the calendar has so many bars after the last."""
    kept, moment = study.params.collection, last
    length = interval_length(kept.interval)
    while behind(last, moment, kept.interval, kept.calendar) < bars:
        moment += length
    return moment


def _asked(study: Study, store: Store, at: pd.Timestamp) -> EnsemblePrediction:
    """The first symbol's answer as of a moment, by a predictor that has loaded nothing yet."""
    target, interval, horizon = _question(study)
    hours = interval_length(interval) * horizon / pd.Timedelta(1, "h")
    symbol = study.params.collection.symbols[0]
    ask = Predictor(store).get_ensemble_prediction
    return ask(symbol, hours, target=target, interval=interval, at=at)


def _told(case: str, answer: EnsemblePrediction) -> dict[str, Any]:
    """An answer as a row."""
    return {
        "case": case,
        "answered by": answer.origin,
        "value": answer.value,
        "confidence": answer.confidence,
        "votes": len(answer.votes),
        "left out": ", ".join(one.name.rpartition(".")[2] for one in answer.left_out),
        "flags": " ".join(sorted({flag.code for flag in answer.flags})),
    }
