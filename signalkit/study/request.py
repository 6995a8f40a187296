"""A study from the words of the command line: which bars are stored, and what fits into them.

What a model may read is asked here too: a feature that was switched off is left out of whatever
is trained from now on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from signalkit import features, params
from signalkit.bars import interval_length
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.store import Registered, Store
from signalkit.study.inputs import stored_as
from signalkit.study.registry import STUDY

if TYPE_CHECKING:
    from signalkit.study.study import Study

# test windows that a walk-forward cuts the newer half of the bars into
_FOLDS = 5
# a holdout begins before the bars end, and the newest bar is all of it
_SECOND = pd.Timedelta(1, "s")
# sources that a study reads whole: what comes after its holdout began is not the future
_WHOLE = ("sample", "files", "simulator")
# days; no bars go further back, and no clock
_CENTURY = 36_500


def sections(
    store: Store,
    *,
    model_type: str,
    target: str,
    symbols: Sequence[str],
    interval: str = "1h",
    training_days: int = 180,
    prediction_horizon: float = 24,
    source: str | None = None,
) -> dict[str, Any]:
    """Params sections of a study that trains a model on the newest stored bars.

    Parameters
    ----------
    store : Store
        Where `signalkit collect` put the bars.
    model_type, target : str
        Such as XGBOOST and signal_direction.
    symbols : sequence of str
        One or more.
    interval : str
        Spacing of the bars.
    training_days : int
        Days before the newest bar that all symbols have.
    prediction_horizon : float
        Hours ahead, a whole number of bars.
    source : str, optional
        Exchange the bars are from; needed where several have them.

    Returns
    -------
    dict
        Sections for `Study.open`. The training window grows with time, so that the model that is
        kept has seen all of it; the newest bar is held out. Features that were switched off are
        left out.

    Raises
    ------
    ParamsError
        If the horizon is no whole number of bars, a number is not above 0 or over a century, or
        every feature is switched off.
    DataError
        If bars of a symbol are not stored, or several sources have them.
    """
    length = interval_length(interval)
    horizon = _bars_ahead(prediction_horizon, interval)
    if not 1 <= training_days <= _CENTURY:
        raise ParamsError(f"--training-days must be from 1 to {_CENTURY}, was {training_days}")
    kept = _stored(store, symbols, interval, source)
    last = kept["last_bar"].min()
    start = max(kept["first_bar"].max() - length, last - pd.Timedelta(training_days, "D"))
    bars = int((last - start) / length)
    return {
        "collection": {
            "source": kept["source"].iloc[0],
            "symbols": list(symbols),
            "interval": interval,
            "start": f"{start:%Y-%m-%dT%H:%M:%S}",
            "end": f"{last + _SECOND:%Y-%m-%dT%H:%M:%S}",
        },
        "features": enabled(store, {}),
        "labeling": {"target": target, "horizon": horizon},
        "training": {"models": [model_type]},
        "validation": {
            "train": max(bars // 2, 1),
            "test": max(bars // (2 * _FOLDS), 1),
            "step": None,
            "expanding": True,
            "holdout_from": f"{last:%Y-%m-%dT%H:%M:%S}",
        },
    }


def again(store: Store, model: Registered) -> dict[str, Any]:
    """Name and sections of a registered model's study, up to the newest stored bar.

    Parameters
    ----------
    store : Store
        Registry and bars.
    model : Registered
        One of the models of the study; all of them are trained again.

    Returns
    -------
    dict
        For `Study.open`; only the newest bar is held out.

    Raises
    ------
    ParamsError
        If the study reads its source whole and keeps its holdout closed: no bar came since.
    StoreError
        If the model's files do not say what it was trained by.
    DataError
        If bars of a symbol are not stored any more.
    """
    files = store.models.files(model.id)
    if STUDY not in files:
        raise StoreError(f"model {model.id} does not hold the params of its study; train it anew")
    asked = json.loads(files[STUDY])
    kept, source = asked["collection"], stored_as(params.parse(asked))
    whole = kept["source"] in _WHOLE
    if whole and not asked["backtesting"]["open_holdout"]:
        raise ParamsError(
            f"model {model.id} is of a study that reads {kept['source']} bars whole; what came"
            f" after {asked['validation']['holdout_from']} is its holdout, which is closed"
        )
    last = _stored(store, kept["symbols"], kept["interval"], source)["last_bar"].min()
    end = {} if whole else {"end": f"{last + _SECOND:%Y-%m-%dT%H:%M:%S}"}
    return asked | {
        "collection": kept | end,
        "features": enabled(store, asked["features"]),
        "validation": asked["validation"] | {"holdout_from": f"{last:%Y-%m-%dT%H:%M:%S}"},
    }


def enabled(store: Store, section: Mapping[str, Any]) -> dict[str, Any]:
    """A features section without what was switched off; unchanged where nothing of it was.

    Raises
    ------
    ParamsError
        If nothing is left.
    """
    table = store.read_features()
    off = set(table.index[~table["enabled"]]) if len(table) else set()
    asked = params.parse({"features": dict(section)}).features
    names = features.select(asked.families, asked.names, windows=asked.windows)
    left = [name for name in names if name not in off]
    if len(left) == len(names):
        return dict(section)
    if not left:
        raise ParamsError("every feature that was asked for is switched off; switch one on")
    return dict(section) | {"names": left, "windows": {}}


def name(*, target: str, interval: str, prediction_horizon: float, **_: Any) -> str:
    """Name of such a study, the same for every model type, so that models can follow each other."""
    return f"{target}_{prediction_horizon:g}h_{interval}"


def check(study: Study, *, training_days: int, prediction_horizon: float, **_: Any) -> None:
    """Compare such a study with its bars, and say what is short in the words of the command.

    Raises
    ------
    ParamsError, DataError
        If the days are too few for the horizon, or the bars are not what they must be.
    """
    study.every_bar  # noqa: B018 - what is wrong with the bars is told as it is
    try:
        study.check()
    except (ParamsError, DataError) as short:
        raise type(short)(
            f"{short}; here: more --training-days than {training_days}, or a"
            f" --prediction-horizon below {prediction_horizon:g} hours"
        ) from None


def _bars_ahead(hours: float, interval: str) -> int:
    """The bars that so many hours are."""
    if not 0 < hours <= 24 * _CENTURY:
        raise ParamsError(f"--prediction-horizon must be above 0 hours and finite, was {hours:g}")
    horizon = pd.Timedelta(hours, "h") / interval_length(interval)
    if horizon < 1 or horizon != int(horizon):
        raise ParamsError(
            f"--prediction-horizon is {hours:g} hours, which is {horizon:g} bars of {interval}; it"
            " must be a whole number of them"
        )
    return int(horizon)


def _stored(
    store: Store, symbols: Sequence[str], interval: str, source: str | None
) -> pd.DataFrame:
    """Source, first and last stored bar of each symbol."""
    rows = []
    for symbol in symbols:
        there = [source] if source else store.sources(symbol, interval)
        if len(there) > 1:
            raise DataError(
                f"{interval} bars of {symbol} are stored from {' and '.join(there)}; choose one"
                " with --source"
            )
        span = store.span(symbol, interval, source=there[0]) if there else None
        if span is None:
            asked = source or "binance"
            raise DataError(
                f"no {interval} bars of {symbol} are stored{f' from {source}' if source else ''};"
                f" collect them first: signalkit collect --source {asked} --symbols {symbol}"
                f" --interval {interval} --since 2024-01-01"
            )
        rows.append({"source": there[0], "first_bar": span[0], "last_bar": span[1]})
    found = pd.DataFrame(rows, index=list(symbols))
    if found["source"].nunique() > 1:
        raise DataError(
            f"the symbols are stored from {' and '.join(found['source'].unique())}; train on one"
            " source at a time"
        )
    return found
