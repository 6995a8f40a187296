"""Jobs of a walk: one model in one fold, in this process or in several, each kept when done.

What a job gives depends on its own inputs alone, never on the number of workers, on their
order, or on whether it was kept from a run that was interrupted.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import joblib
import numpy as np
import pandas as pd
from joblib.externals.loky import process_executor
from tqdm import tqdm

from signalkit.errors import DataError, ParamsError
from signalkit.training import Recipe, Trained
from signalkit.training.contract import Model
from signalkit.training.ensemble import PROBABILITIES
from signalkit.training.recipe import likeliest
from signalkit.validation.permutation import disorder, losses, rises

RAW = [f"raw_{name}" for name in PROBABILITIES]
# settled test rows of a fold that are permuted at most
_ROWS = 5_000
_ABOUT = "about"


class Keep(Protocol):
    """Where finished jobs are kept, so that an interrupted walk goes on where it was."""

    def find(self, key: str) -> dict[str, pd.DataFrame] | None:
        """The tables of a finished job, None where it was not finished."""

    def write(self, key: str, tables: dict[str, pd.DataFrame]) -> None:
        """Keep the tables of a finished job."""


@dataclass(frozen=True)
class Shared:
    """What every job reads: the matrix, the labels, unfitted models, how they are fitted.

    `returns` has one column, `return`, on the rows of the matrix, for models that read it;
    without a `seed` nothing is permuted.
    """

    features: pd.DataFrame
    labels: pd.DataFrame
    models: Mapping[str, Model]
    recipe: Recipe
    returns: pd.DataFrame | None = None
    seed: int | None = None

    def matrix(self, model: Model) -> pd.DataFrame:
        """What a model reads."""
        if model.reads != "returns":
            return self.features
        if self.returns is None:
            raise DataError(f"{model.model_type} reads returns, which were not given")
        return self.returns


@dataclass(frozen=True)
class Job:
    """One model in one fold, on all symbols or on one; `told` is what the columns became."""

    model_id: str
    fold: int
    symbol: str
    train: np.ndarray
    test: np.ndarray
    told: pd.Series | None
    storage: Path | None = None

    @property
    def key(self) -> str:
        """Name of the job, fit for a file."""
        return ".".join(filter(None, (f"fold-{self.fold:04d}", self.model_id, self.symbol)))


def workers() -> int:
    """Processes that share the jobs: SIGNALKIT_WORKERS, else one.

    Raises
    ------
    ParamsError
        If that is no whole number above 0.
    """
    named = os.environ.get("SIGNALKIT_WORKERS") or "1"
    if not named.isdigit() or int(named) < 1:
        raise ParamsError(f"SIGNALKIT_WORKERS must be a whole number above 0, was {named!r}")
    return int(named)


def run(
    jobs: Iterable[Job],
    shared: Shared,
    *,
    total: int,
    keep: Keep | None = None,
    told: Callable[[int, int], None] | None = None,
    n_workers: int | None = None,
) -> dict[str, dict[str, pd.DataFrame]]:
    """The tables of every job by its key, in the order of the jobs.

    Parameters
    ----------
    jobs : iterable of Job
        Asked for one by one, while others run.
    shared : Shared
        What they read.
    total : int
        How many there are, for the progress bar.
    keep : Keep, optional
        Finished jobs are taken from here, and left here the moment they are done.
    told : callable, optional
        Told of each job how many are done and how many rows it predicted; in the caller's
        thread, after it is kept.
    n_workers : int, optional
        Processes; `workers()` if omitted.

    Raises
    ------
    ParamsError
        If there is no worker.
    """
    n_workers = workers() if n_workers is None else n_workers
    if n_workers < 1:
        raise ParamsError(f"the workers of a walk must be 1 or more, were {n_workers}")
    made: dict[str, dict[str, pd.DataFrame]] = {}
    order: list[str] = []
    untold: deque[dict[str, pd.DataFrame]] = deque()
    count = itertools.count(1)  # the bar does not count where it is not shown

    def new() -> Iterator[Job]:
        """Jobs that are not kept yet."""
        for job in jobs:
            order.append(job.key)
            found = keep.find(job.key) if keep is not None else None
            if found is None:
                yield job
            else:
                made[job.key] = found
                untold.append(found)

    def tell() -> None:
        """More jobs are done. Said here only: a pool asks for new ones in a thread of its own."""
        while untold:
            tables = untold.popleft()
            bar.update()
            if told:
                told(next(count), len(tables["predictions"]))

    with tqdm(total=total, desc="folds × models", unit="fit", disable=None) as bar:
        for key, tables in _results(new(), shared, n_workers):
            made[key] = tables
            if keep is not None:
                keep.write(key, tables)
            untold.append(tables)
            tell()
        tell()
    return {key: made[key] for key in order}


def _results(
    jobs: Iterator[Job], shared: Shared, n_workers: int
) -> Iterator[tuple[str, dict[str, pd.DataFrame]]]:
    """Key and tables of each job as it ends."""
    if n_workers == 1:
        for job in jobs:
            yield job.key, work(job, shared)
        return
    # one thread in each worker: more of them would share the same cores
    settings = {"backend": "loky", "inner_max_num_threads": 1}
    with tempfile.TemporaryDirectory(prefix="signalkit-walk-") as folder:
        place = str(Path(folder) / "shared")
        joblib.dump(shared, place)
        with joblib.parallel_config(**settings):
            pool = joblib.Parallel(n_jobs=n_workers, return_as="generator_unordered")
            yield from pool(joblib.delayed(_elsewhere)(job, place) for job in jobs)


def _elsewhere(job: Job, place: str) -> tuple[str, dict[str, pd.DataFrame]]:
    """A job in a worker process."""
    os.environ["SIGNALKIT_THREADS"] = "1"
    # loky takes 300 MB more than after the first job for a leak and ends the worker; Keras and
    # a long matrix are more than that
    process_executor._MAX_MEMORY_LEAK_SIZE = np.inf
    return job.key, work(job, _loaded(place))


@lru_cache(maxsize=1)
def _loaded(place: str) -> Shared:
    """What the jobs of a walk share, mapped into memory: one copy for all workers."""
    return joblib.load(place, mmap_mode="r")


def work(job: Job, shared: Shared) -> dict[str, pd.DataFrame]:
    """Fit one model on one training window and ask it about the window after.

    Returns
    -------
    dict of str to DataFrame
        `predictions`; `about`, one row: what failed or could not be done, as JSON, and what
        fitting took; where the model was watched its `history`; `tuned`, the trials of a
        search; for a model with importance `gain` and, where the walk has a seed, `rises`.

    Notes
    -----
    A model that cannot be fitted, or does not answer in numbers, predicts NaN there and the
    reason is kept: the other models go on without it. A baseline that fails is an error.
    """
    model = copy.deepcopy(shared.models[job.model_id])
    matrix = shared.matrix(model)
    try:
        found = shared.recipe.fit(
            model, matrix, shared.labels, job.train, told=job.told, storage=job.storage
        )
        raw = _asked(found, matrix, job.test)
    except DataError as cause:
        if model.baseline:
            raise DataError(f"fold {job.fold}, {job.model_id}: {cause}") from None
        return {
            "predictions": _predicted(job, shared, None, None),
            _ABOUT: _about(failed=str(cause)),
        }
    made = {"predictions": _predicted(job, shared, found, raw)}
    made[_ABOUT] = _about(notes=found.notes, seconds=found.seconds, rows=found.rows)
    if len(found.model.history_):
        made["history"] = found.model.history_.rename_axis("step").reset_index()
    if found.tuned is not None:
        made["tuned"] = found.tuned
    if hasattr(found.model, "importance") and not model.baseline:
        made["gain"] = found.model.importance().to_frame("gain").rename_axis("feature")
        if shared.seed is not None:
            made["rises"] = _risen(found, shared, job)
    return made


def _about(
    *,
    failed: str = "",
    notes: Sequence[str] = (),
    seconds: float = 0.0,
    rows: int = 0,
) -> pd.DataFrame:
    """What is told of a job, as a table of one row."""
    row = {"failed": failed, "notes": json.dumps(list(notes)), "seconds": seconds}
    return pd.DataFrame([row | {"fitted": rows}])


def _asked(found: Trained, matrix: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Raw answers at some rows.

    Raises
    ------
    DataError
        If one is no finite number.
    """
    answers = found.raw(matrix, rows) if found.model.classifies else found.predict(matrix, rows)
    if not np.isfinite(answers).all():
        raise DataError(f"{found.model.model_type} answers with NaN or infinity")
    return answers


def _predicted(
    job: Job, shared: Shared, found: Trained | None, raw: np.ndarray | None
) -> pd.DataFrame:
    """One model's predictions of one test window, raw and calibrated; NaN where it failed."""
    n, model = len(job.test), shared.models[job.model_id]
    nothing = np.full((n, len(PROBABILITIES)), np.nan)
    shares, given, guess = nothing, nothing, np.full(n, np.nan)
    if found is not None and model.classifies:
        given, shares = raw, found.calibrate(raw)
        guess = likeliest(shares)
    elif found is not None:
        guess = raw
    settled = shared.labels.iloc[job.test]
    columns = dict(zip([*PROBABILITIES, *RAW], [*shares.T, *given.T], strict=True)) | {
        "prediction": guess,
        "confidence": shares.max(axis=1),
        "actual": settled["label"].to_numpy(),
        "target": model.target,
        "model_id": job.model_id,
        "fold": job.fold,
    }
    table = pd.DataFrame(columns, index=settled.index)
    return table.assign(known_at=settled["known_at"])


def _risen(found: Trained, shared: Shared, job: Job) -> pd.DataFrame:
    """Rises of the loss in the settled rows of one test window."""
    answers = shared.labels["label"].to_numpy()
    settled = job.test[np.isfinite(answers[job.test])]
    if len(settled) > _ROWS:
        settled = settled[np.linspace(0, len(settled) - 1, _ROWS).astype(int)]
    rows, actual = shared.features[found.columns].iloc[settled], answers[settled]
    if rows.empty:
        return rows
    order = disorder(rows.index, np.random.default_rng((shared.seed, job.fold)))
    risen = rises(found.model, rows, actual, order)
    if found.model.classifies:
        return risen
    return risen / losses(found.model, rows, actual).mean()
