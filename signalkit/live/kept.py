"""The replay of a study, kept in the store under the identity of what it was made from.

The notebook asks for it; models of the last fold are fitted anew for it, which is not done twice.
A study that cannot be served, such as one whose models are fitted a symbol each, gets empty
tables and the reason.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from signalkit import lineage
from signalkit.errors import DataError
from signalkit.live.replay import Replay, replay
from signalkit.study import Study
from signalkit.training import PROBABILITIES

_ROW = ["symbol", "time"]
# tables of a replay: names of index and columns
_TABLES = {
    "served": (
        [*_ROW, "model_id"],
        ["prediction", *PROBABILITIES, "confidence", "walked", "apart"],
    ),
    "joint": (_ROW, ["confidence", "disagreement", "set", "flags", "left_out"]),
    "weights": (_ROW, ["served", "backtested", "apart"]),
    "drills": (
        ["case"],
        ["answered by", "value", "confidence", "votes", "left out", "flags"],
    ),
}
_STAGE, _MODULES = "replay", ("signalkit.live", "signalkit.inference", "signalkit.monitoring")
# what a rehearsal must not do: act on what it finds
_CALM = {"on_alarm": "tell", "on_drift": "tell", "retrain_every": None}


def replayed(study: Study) -> tuple[Replay, str]:
    """The newest bars of a study's last fold served again, read where that was done before.

    Parameters
    ----------
    study : Study
        Validated, or validated now; `inference.replay` says how many bars.

    Returns
    -------
    Replay
        As `live.replay` gives it, with no policy that would act on an alarm.
    str
        Why nothing was served, empty where it was.
    """
    about = _identity(study)
    found = study.store.artifacts.find(_STAGE, about["identity"])
    if found is None:
        found = study.store.artifacts.write(about, tables=_made(study))
    tables = {name: found.table(name) for name in _TABLES}
    return Replay(**tables), str(found.table("remark")["remark"].iloc[0])


def _identity(study: Study) -> dict[str, Any]:
    """What a replay is made from."""
    upstream = {stage: study.identity(stage)["identity"] for stage in ("validation", "signals")}
    asked = study.params.model_dump(exclude={"study_name"})
    return lineage.identity(_STAGE, params=asked, modules=_MODULES, upstream=upstream)


def _made(study: Study) -> dict[str, pd.DataFrame]:
    """The tables of a replay made now, and its remark."""
    asked = study.params
    watched = asked.monitoring.model_copy(update=_CALM)
    calm = Study(asked.model_copy(update={"monitoring": watched}))
    remark, tables = "", {name: _empty(*parts) for name, parts in _TABLES.items()}
    try:
        found = replay(calm, bars=asked.inference.replay)
        tables = {name: getattr(found, name) for name in _TABLES}
    except DataError as cause:
        remark = str(cause)
    return tables | {"remark": pd.DataFrame({"remark": [remark]})}


def _empty(index: list[str], columns: list[str]) -> pd.DataFrame:
    """A table without rows."""
    return pd.DataFrame(columns=[*index, *columns]).set_index(index)
