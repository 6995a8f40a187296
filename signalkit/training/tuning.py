"""Tuning: a search for a model's settings inside one training window, on its own inner folds.

Nothing outside the window's rows is handed to a model. The first trial has the settings one
starts from, so that the best is never worse than they are on the search's own score. That score
has been looked at many times over: it says which settings to take, not what they are worth.

Sources: Bergstra et al., Algorithms for Hyper-Parameter Optimization (2011), section 4 (TPE);
Golovin et al., Google Vizier (2017), section 3.2.2 (the median rule).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.lineage import digest
from signalkit.training.contract import Model, make
from signalkit.training.inner import Weigher, Window

if TYPE_CHECKING:
    import optuna

# told of a finished trial: its number, its searched settings and its losses by time
Told = Callable[[int, dict[str, Any], pd.Series], None]

_IDENTITY, _REFUSED = "identity", "refused"
# seconds that a process waits for another to leave the file
_PATIENCE = 60


@dataclass(frozen=True)
class Span:
    """Values of a setting that are searched: whole numbers where both ends are."""

    low: float
    high: float
    log: bool = False


_TREES = {
    "rounds": Span(30, 400, log=True),
    "learning_rate": Span(0.01, 0.3, log=True),
    "depth": Span(2, 6),
    "min_rows_leaf": Span(10, 300, log=True),
    "row_share": Span(0.4, 1.0),
    "column_share": Span(0.3, 1.0),
}
_LAYERS = {
    "units": Span(8, 128, log=True),
    "lookback": Span(8, 96, log=True),
    "dropout": Span(0.0, 0.5),
    "learning_rate": Span(1e-4, 1e-2, log=True),
    "epochs": Span(5, 40, log=True),
}
# what is searched of each model type; a start outside of a span widens it
SPACES: dict[str, dict[str, Span]] = {
    "XGBOOST": _TREES,
    "LIGHTGBM": _TREES,
    "LSTM": _LAYERS,
    "GRU": _LAYERS,
    "LOGISTIC": {"C": Span(1e-4, 1e2, log=True)},
    "RIDGE": {"alpha": Span(1e-2, 1e5, log=True)},
}


@dataclass(frozen=True)
class Tuned:
    """Outcome of a search.

    `params` are the settings of the best trial, those that were not searched among them: what
    `make` takes. `table` has a row a trial: `number`; `state` (complete, pruned, or refused: the
    model could not be fitted with these settings); `value`, the score, for a pruned trial that
    of the folds it saw, NaN for a refused one; `params`, the searched settings as JSON;
    `seconds`.
    """

    params: dict[str, Any]
    table: pd.DataFrame


@dataclass(frozen=True)
class _Search:
    """What is searched, and on what; every trial follows from it and the trials before."""

    begin: Model
    window: Window
    space: dict[str, Span]
    start: dict[str, Any]
    seed: int

    def identity(self) -> str:
        """Hash of all that the outcome of the trials depends on."""
        return digest(
            {
                "model": [self.begin.model_type, self.begin.target, self.begin.params],
                "space": {name: asdict(span) for name, span in self.space.items()},
                "seed": self.seed,
                "window": self.window.identity(),
            }
        )

    def trial(self, study: optuna.Study, number: int, told: Told | None) -> None:
        """One trial from its settings to its score."""
        import optuna  # noqa: PLC0415 - takes over 0.3 s

        state = optuna.trial.TrialState
        # a sampler of its own, so that a trial does not depend on where the run before it ended
        own_seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=own_seed)
        if not number and not study.get_trials(deepcopy=False, states=(state.WAITING,)):
            study.enqueue_trial(self.start)
        trial = study.ask({name: _distribution(span) for name, span in self.space.items()})
        parts = self._tried(trial, number)
        if len(parts) < len(self.window.folds):
            study.tell(trial, state=state.PRUNED)
            return
        if told:
            losses = pd.concat(parts).groupby(level=0).mean().rename("loss").rename_axis("time")
            told(number, dict(trial.params), losses)
        study.tell(trial, _score(parts))

    def _tried(self, trial: optuna.Trial, number: int) -> list[pd.Series]:
        """Losses of the inner folds, up to the one after which the trial is given up."""
        parts: list[pd.Series] = []
        for fold in range(len(self.window.folds)):
            model = make(
                self.begin.model_type, self.begin.target, **self.begin.params | trial.params
            )
            try:
                parts.append(self.window.losses(model, fold))
            except DataError as refused:
                # what cannot be fitted with the settings it starts from is not searched
                if not number:
                    raise
                trial.set_user_attr(_REFUSED, str(refused))
                break
            trial.report(_score(parts), fold)
            if fold + 1 < len(self.window.folds) and trial.should_prune():
                break
        return parts


def tune(
    model_type: str,
    target: str,
    features: pd.DataFrame,
    labels: pd.DataFrame,
    rows: np.ndarray,
    *,
    trials: int = 20,
    seconds: float | None = None,
    folds: int = 3,
    gap: int = 0,
    seed: int = 7,
    fixed: Mapping[str, Any] | None = None,
    sample_weight: np.ndarray | Weigher | None = None,
    storage: Path | None = None,
    study_name: str = "tuning",
    told: Told | None = None,
) -> Tuned:
    """Search the settings of a model type on the inner folds of a training window.

    Parameters
    ----------
    model_type : str
        One of `SPACES`.
    target : str
        Target variable.
    features : DataFrame of shape (n_rows, n_features)
        The whole matrix, indexed by (symbol, time) or by time; read at `rows` only.
    labels : DataFrame of shape (n_rows, 2)
        `label` and `known_at`; read at `rows` only.
    rows : array of int
        The training window: positions in order, each with a settled label.
    trials : int
        How many, those done by an earlier run among them; of more than these nothing is read.
    seconds : float, optional
        No trial is begun after so long in this run; the first is always made.
    folds : int
        Inner folds.
    gap : int
        Bars left out before each inner test block.
    seed : int
        Same seed, same trials: trial n depends on it, on n and on the trials before.
    fixed : mapping, optional
        Settings of every trial; of those that are searched, where the search starts. The
        type's defaults for what is left out.
    sample_weight : array of shape (len(rows),) or callable, optional
        Weight of each row where it is learned from, or what weighs the training rows of an
        inner fold, see `inner.Window.of`; scores do not weigh.
    storage : Path, optional
        SQLite file in a folder that exists. Run again with the same name, the search goes on
        after the trials that are done; one that was killed is made again.
    study_name : str
        Name of the search in that file.
    told : callable, optional
        Hears of each completed trial its number, its searched settings and a Series of its
        out-of-sample losses by time (mean over symbols), before the trial counts as done.

    Returns
    -------
    Tuned
        Settings of the best trial, the first of equals, and a table of all trials.

    Raises
    ------
    ParamsError
        If the type has nothing to search, a number is out of its range, a setting unknown, or
        the file holds another search of that name: other rows, settings, folds or seed.
    DataError
        If the window is too short for the folds, or the model cannot be fitted on them with
        the settings the search starts from.
    StoreError
        If the file cannot be used.

    Notes
    -----
    A fold scores the mean log-loss of its rows or, for a number, their mean squared error over
    that of the training mean; a trial scores the mean over its folds. After each fold but the
    last a trial is pruned whose best score so far is above the median of the completed trials
    at that fold, once there are five. The first ten trials, the start among them, are drawn at
    random, the others by TPE. The time a trial takes is not cut short, so that `seconds` changes
    how many trials there are and nothing in them.
    """
    _check_numbers(trials, seconds, folds, gap)
    begin = make(model_type, target, **(fixed or {}))
    space, start = _space(model_type, begin.params)
    window = Window.of(features, labels, rows, folds=folds, gap=gap, sample_weight=sample_weight)
    search = _Search(begin, window, space, start, seed)
    with _quiet(), _opened(storage, study_name) as study:
        if storage is not None:
            _check_same(study, search.identity(), storage)
        _forget_killed(study)
        begun = time.perf_counter()
        for number in range(len(_done(study)), trials):
            if number and seconds is not None and time.perf_counter() - begun >= seconds:
                break
            search.trial(study, number, told)
        done = _done(study)[:trials]
    table = _table(done)
    best = done[table["value"].where(table["state"] == "complete").idxmin()]
    return Tuned(begin.params | best.params, table)


def _check_numbers(trials: int, seconds: float | None, folds: int, gap: int) -> None:
    """Refuse numbers out of their range."""
    if trials < 1 or folds < 1 or gap < 0:
        raise ParamsError(
            f"a search needs at least 1 trial and 1 fold, and a gap of at least 0 bars; asked were"
            f" {trials}, {folds} and {gap}"
        )
    if seconds is not None and not seconds > 0:
        raise ParamsError(f"the seconds of a search must be above 0, were {seconds}")


def _space(model_type: str, settings: Mapping[str, Any]) -> tuple[dict[str, Span], dict[str, Any]]:
    """What is searched, widened to hold its start, and the start."""
    if model_type not in SPACES:
        raise ParamsError(f"{model_type} has no settings to search; {sorted(SPACES)} have")
    start = {name: settings[name] for name in SPACES[model_type]}
    space = {}
    for name, span in SPACES[model_type].items():
        if span.log and not start[name] > 0:
            raise ParamsError(f"{model_type}: {name} must be above 0, was {start[name]}")
        space[name] = Span(min(span.low, start[name]), max(span.high, start[name]), span.log)
    return space, start


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's log without its news of every study and trial; its own level comes back."""
    import optuna  # noqa: PLC0415 - takes over 0.3 s

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _connected(place: Path) -> sqlite3.Connection:
    """A link to the file; Optuna commits a dozen times a trial, and waits for the disk at none.

    What a killed process has committed is there; a power cut may take the newest trials.
    """
    found = sqlite3.connect(place, timeout=_PATIENCE)
    try:
        found.execute("PRAGMA journal_mode = WAL")
        found.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error:
        found.close()
        raise
    return found


@contextmanager
def _opened(storage: Path | None, study_name: str) -> Iterator[optuna.Study]:
    """The search of a name, in memory or in a file that is let go at the end."""
    import optuna  # noqa: PLC0415 - takes over 0.3 s
    import sqlalchemy  # noqa: PLC0415 - comes with optuna

    if storage is None:
        yield optuna.create_study(pruner=optuna.pruners.MedianPruner())
        return
    kept = None
    try:
        kept = optuna.storages.RDBStorage(
            "sqlite:///search", engine_kwargs={"creator": partial(_connected, storage)}
        )
        yield optuna.create_study(
            storage=kept,
            study_name=study_name,
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(),
        )
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as cause:
        raise StoreError(f"{storage} cannot keep a search for settings ({cause})") from None
    finally:
        if kept is not None:
            kept.remove_session()
            kept.engine.dispose()


def _check_same(study: optuna.Study, identity: str, storage: Path) -> None:
    """Refuse to go on with a search of something else."""
    found = study.user_attrs.get(_IDENTITY)
    if found is None:
        study.set_user_attr(_IDENTITY, identity)
    elif found != identity:
        raise ParamsError(
            f"{storage} holds a search {study.study_name!r} of other rows, settings, folds or seed;"
            " give this one another name or file"
        )


def _forget_killed(study: optuna.Study) -> None:
    """A trial that was running when its process ended has failed."""
    import optuna  # noqa: PLC0415 - takes over 0.3 s

    state = optuna.trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        study.tell(trial.number, state=state.FAIL)


def _done(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that count, in their order; a killed one is not among them."""
    import optuna  # noqa: PLC0415 - takes over 0.3 s

    state = optuna.trial.TrialState
    return study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED))


def _distribution(span: Span) -> optuna.distributions.BaseDistribution:
    """A span in Optuna's words."""
    import optuna  # noqa: PLC0415 - takes over 0.3 s

    whole = isinstance(span.low, int) and isinstance(span.high, int)
    kind = "IntDistribution" if whole else "FloatDistribution"
    return getattr(optuna.distributions, kind)(span.low, span.high, log=span.log)


def _score(parts: list[pd.Series]) -> float:
    """Mean over folds of their mean losses."""
    return float(np.mean([part.mean() for part in parts]))


def _table(done: list[optuna.trial.FrozenTrial]) -> pd.DataFrame:
    """A row a trial."""
    rows = [
        {
            "number": number,
            "state": _REFUSED if _REFUSED in trial.user_attrs else trial.state.name.lower(),
            "value": np.nan if _REFUSED in trial.user_attrs else trial.value,
            "params": json.dumps(trial.params, sort_keys=True),
            "seconds": trial.duration.total_seconds(),
        }
        for number, trial in enumerate(done)
    ]
    return pd.DataFrame(rows).astype({"value": float})
