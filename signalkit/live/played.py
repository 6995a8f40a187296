"""A study played once more as if it had been deployed: bar by bar, by the models of its last fold.

They are deployed in a store of their own and the loop steps from bar to bar, with what was known
at each bar's end. A loop, a dashboard and an API can so be looked at on past bars without one
answer of a model to a bar that it was trained on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from signalkit import lineage
from signalkit.errors import DataError, StoreError
from signalkit.live.loop import Loop
from signalkit.store import Store
from signalkit.store.locks import Lock
from signalkit.study import Study, rehearse

_LOG = logging.getLogger(__name__)

# key of `live_states` under which a store says that it is one of these
REHEARSAL = "rehearsal"


def fold_clock(study: Study, bars: int | None = None) -> pd.DatetimeIndex:
    """The newest bar ends of a study's last fold.

    Parameters
    ----------
    study : Study
        Validated, or validated now.
    bars : int, optional
        How many; all if omitted.

    Raises
    ------
    DataError
        If the fold has no bar.
    """
    times = study.validate().index.get_level_values("time")
    first = study.evidence("folds")["test_from"].iloc[-1]
    clock = times[times >= first].unique().sort_values()
    if clock.empty:
        raise DataError("the last fold holds no bar to serve")
    return clock if bars is None else clock[-bars:]


def play(study: Study, store: Store, clock: pd.DatetimeIndex) -> dict[str, int]:
    """Deploy the last fold's models in a store and step the loop through bars; begins anew never.

    Parameters
    ----------
    study : Study
        As `study.rehearse` takes it.
    store : Store
        An empty one, or one in which the same was begun.
    clock : DatetimeIndex
        Bar ends, in order.

    Returns
    -------
    dict of str to int
        Number of each model in that store, by model type.

    Raises
    ------
    DataError
        If models are fitted a symbol each.
    """
    known = store.watch.state(REHEARSAL)
    if known is None:
        known = {"study": study.params.study_name, "from": clock[0].isoformat()}
        known |= {"models": rehearse(study, store, until=clock[0]), "to": None}
        store.watch.keep({REHEARSAL: known})
    done = pd.Timestamp(known["to"]) if known["to"] else None
    left = clock if done is None else clock[clock > done]
    _LOG.info("%s: %d bars to play up to %s", store.folder, len(left), clock[-1])
    loop = Loop(store)
    for time in tqdm(left, desc="rehearsal", unit="bar", disable=None):
        loop.step(at=time)
        store.watch.keep({REHEARSAL: known | {"to": time.isoformat()}})
    return dict(known["models"])


def rehearsal(study: Study, *, bars: int | None = None) -> Path:
    """A data folder in which a study was played; made where it is not there yet.

    Parameters
    ----------
    study : Study
        Validated, or validated now; bars of the holdout are not read.
    bars : int, optional
        Newest bar ends of the last fold; all if omitted.

    Returns
    -------
    Path
        A data folder below the study's own: `rehearsals/<identity>`, which is of the validated
        study and of `bars`. One that was interrupted goes on where it was.

    Raises
    ------
    DataError
        If models are fitted a symbol each, or the fold has no bar.
    StoreError
        If another process is at it.
    """
    clock = fold_clock(study, bars)
    made = lineage.identity(
        "rehearsal",
        params={"from": clock[0].isoformat(), "to": clock[-1].isoformat()}
        | study.params.monitoring.model_dump(),
        modules=("signalkit.live.loop", __name__),
        upstream={"backtesting": study.identity("backtesting")["identity"]},
    )
    folder = study.store.folder / "rehearsals" / str(made["identity"])[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), Store.open(folder) as store:
        play(study, store, clock)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder while it is played."""
    lock = Lock(folder / "locks" / "rehearsal.lock")
    if not lock.take():
        raise StoreError(f"another process plays {folder}; wait for it")
    try:
        yield
    finally:
        lock.release()
