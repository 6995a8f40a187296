"""Live drift: whether the newest rows look like those that the model was made from.

Inputs are features, outputs what models say; both are known at their own time, so that drift is
seen long before outcomes settle. The reference ends where the model began to predict and never
moves; nothing after the moment that is asked of is read.

A number of drift means nothing alone (signalkit.validation.drift). A window of bars differs from
years of them by luck and by mood of the market: the yardstick is the most that any window as
long, inside the reference, differs from the reference.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.training.ensemble import PROBABILITIES
from signalkit.validation.drift import BINS, MOVED, ks, psi

_MEASURES = ("psi", "ks")
# windows side by side that the reference must hold, for a most of them to mean something
_LEAST_WINDOWS = 4


def outputs(predictions: pd.DataFrame) -> pd.DataFrame:
    """What a model says of each row, as columns whose drift can be asked.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time)
        Predictions of one model.

    Returns
    -------
    DataFrame indexed as `predictions`
        `p_sell p_hold p_buy confidence` of a class, `prediction` of a number.
    """
    classes = predictions[PROBABILITIES].notna().any(axis=None)
    return predictions[[*PROBABILITIES, "confidence"] if classes else ["prediction"]]


def drift(
    table: pd.DataFrame, *, since: pd.Timestamp, at: pd.Timestamp, window: int, bins: int = BINS
) -> pd.DataFrame:
    """How far the newest rows of each column are from those before the model predicted.

    Parameters
    ----------
    table : DataFrame indexed by (symbol, time)
        Features, or `outputs`.
    since : Timestamp
        First time that the model predicted live; the reference is all before it.
    at : Timestamp
        The moment that is asked of.
    window : int
        Newest times that are looked at, from `since` on.
    bins : int
        As in `validation.psi`.

    Returns
    -------
    DataFrame indexed by column
        `psi` and `ks` of the newest rows against the reference; `psi_inside` and `ks_inside`,
        the most that a window as long inside the reference has; `moved`, whether `psi` is above
        0.25 and both are above what was inside; `n`, rows looked at.

    Raises
    ------
    ParamsError
        If the window is none.
    DataError
        If fewer than `window` times have been predicted, the reference holds fewer than 4
        windows, or a column has no value in a part.

    Notes
    -----
    Rows of all symbols stand together. Of K windows side by side in the reference, and nothing
    changed, a column's newest is beyond them all with a chance of about 1 / (K + 1), by each
    measure; with many columns some are.
    """
    if window < 1:
        raise ParamsError(f"window must be at least 1 time, was {window}")
    times = table.index.get_level_values("time")
    before, live = times < since, (times >= since) & (times <= at)
    clock, newest = times[before].unique().sort_values(), times[live].unique().sort_values()
    if len(newest) < window or len(clock) < _LEAST_WINDOWS * window:
        raise DataError(
            f"drift over {window} times needs {window} since {since} and {_LEAST_WINDOWS * window}"
            f" before it; there are {len(newest)} and {len(clock)}"
        )
    sample = live & (times >= newest[-window])
    starts = clock[len(clock) % window :: window]
    parts = np.where(before, starts.searchsorted(times, side="right") - 1, -1)
    found = {
        name: _column(column.to_numpy(dtype=float), before, sample, parts, bins)
        for name, column in table.items()
    }
    told = pd.DataFrame.from_dict(found, orient="index").rename_axis("column")
    beyond = (told["psi"] > told["psi_inside"]) & (told["ks"] > told["ks_inside"])
    return told.assign(moved=beyond & (told["psi"] > MOVED), n=int(sample.sum()))


def _column(
    values: np.ndarray, before: np.ndarray, sample: np.ndarray, parts: np.ndarray, bins: int
) -> dict[str, float]:
    """Both measures of a column, and their yardsticks."""
    reference = values[before]
    inside = [_measured(reference, values[parts == k], bins) for k in range(parts.max() + 1)]
    most = {f"{name}_inside": max(part[name] for part in inside) for name in _MEASURES}
    return _measured(reference, values[sample], bins) | most


def _measured(reference: np.ndarray, sample: np.ndarray, bins: int) -> dict[str, float]:
    """Both measures."""
    return {"psi": psi(reference, sample, bins=bins), "ks": ks(reference, sample)[0]}
