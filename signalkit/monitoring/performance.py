"""Performance: scores of what has settled, beside what windows as long scored in validation.

A window of some hundred rows scatters far more than a whole validation, so that the interval of
the whole is no measure for it. The range here is that of validation's own windows of the same
length; their rows depend on each other as the live ones do.

Nothing here is a test: looked at often enough, some window is outside. The alarm is the test.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from signalkit import metrics
from signalkit.errors import DataError, ParamsError
from signalkit.training.ensemble import PROBABILITIES

SCORES = metrics.UNRANKED
# what a row may say beside its outcome, and the score that is its mean
_TOLD = {"covered": "coverage", "paid": "after_cost_return"}
# windows of validation whose scores make the range, about
_WINDOWS = 200


def settled(predictions: pd.DataFrame, at: pd.Timestamp | None = None) -> pd.DataFrame:
    """Predictions of one model whose outcome is known, in order of becoming known.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time)
        Predictions of one model: `p_sell p_hold p_buy known_at actual`, the last two missing
        while not settled; of a number `prediction` in place of the shares.
    at : Timestamp, optional
        The moment that is asked of; later outcomes do not exist. All that settled if omitted.

    Returns
    -------
    DataFrame indexed by (symbol, time)
        The rows settled by then, with `right`, whether the likeliest class came (the first of
        equals), or a number of the same sign. Rows without an answer are left out.

    Raises
    ------
    DataError
        If several models are mixed, an outcome has no known_at, or nothing was answered.
    """
    _check(predictions)
    rows = predictions[_done(predictions, at)]
    order = np.lexsort([*_places(rows)[::-1], pd.DatetimeIndex(rows["known_at"]).asi8])
    return rows.assign(right=_right(rows)).iloc[order]


def _done(predictions: pd.DataFrame, at: pd.Timestamp | None) -> np.ndarray:
    """Which rows have an answer whose outcome was known at a moment."""
    found = _answered(predictions) & predictions["actual"].notna().to_numpy()
    return found if at is None else found & (predictions["known_at"] <= at).to_numpy()


def _places(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Time of each row in nanoseconds, and a number by which symbols are in order."""
    times = pd.DatetimeIndex(rows.index.get_level_values("time")).as_unit("ns").asi8
    codes, _ = pd.factorize(rows.index.get_level_values("symbol"), sort=True)
    return times, codes


def _right(rows: pd.DataFrame) -> np.ndarray:
    """Whether the likeliest class of each settled row came, or a number of the same sign."""
    actual = rows["actual"].to_numpy()
    if _are_classes(rows):
        return np.array(metrics.CLASSES)[_shares(rows).argmax(axis=1)] == actual
    return np.sign(rows["prediction"].to_numpy()) == np.sign(actual)


def _check(predictions: pd.DataFrame) -> None:
    """Refuse what is not one model's stream."""
    if list(predictions.index.names) != ["symbol", "time"] or predictions.index.has_duplicates:
        raise DataError(
            "monitoring takes predictions of one model indexed by (symbol, time), each once; was"
            f" indexed by {list(predictions.index.names)}"
        )
    lost = predictions["actual"].notna() & predictions["known_at"].isna()
    if lost.any():
        raise DataError(f"the outcome at {predictions.index[lost][0]} has no known_at")


def _are_classes(rows: pd.DataFrame) -> bool:
    """Whether rows with an answer say probabilities, not numbers."""
    return bool((~np.isnan(_shares(rows))).any()) or "prediction" not in rows


def _shares(rows: pd.DataFrame) -> np.ndarray:
    """Probabilities of sell, hold, buy, a row each."""
    # columns by themselves: a frame of them takes longer than what is done with it
    return np.column_stack([rows[name].to_numpy(dtype=float) for name in PROBABILITIES])


def _answered(predictions: pd.DataFrame) -> np.ndarray:
    """Which rows have an answer."""
    answered = ~np.isnan(_shares(predictions)).any(axis=1)
    if not answered.any() and "prediction" in predictions:
        answered = ~np.isnan(predictions["prediction"].to_numpy(dtype=float))
    if len(answered) and not answered.any():
        raise DataError("no prediction has probabilities or a number; nothing was answered")
    return answered


def in_turn(
    predictions: pd.DataFrame,
    *,
    at: pd.Timestamp | None = None,
    wait: pd.Timedelta | None = None,
) -> Iterator[tuple[pd.Timestamp, bool, str]]:
    """Outcomes for `Alarm.follow`: in order of prediction, none before those that it waits for.

    Parameters
    ----------
    predictions, at
        As in `settled`.
    wait : Timedelta, optional
        How long after a prediction its outcome is waited for; one still open then is left out
        for good, and a later outcome of it too. For ever if omitted.

    Yields
    ------
    time, right, symbol
        Of each prediction that has settled, up to the oldest that may still.

    Raises
    ------
    ParamsError
        If a wait is given and no moment to count it from.
    DataError
        As in `settled`.
    """
    if wait is not None and at is None:
        raise ParamsError("a wait is counted from a moment; give at")
    _check(predictions)
    done, open_still = _done(predictions, at), _answered(predictions)
    times, codes = _places(predictions)
    if at is not None:
        open_still &= times <= at.value
    if wait is not None:
        known = pd.DatetimeIndex(predictions["known_at"]).as_unit("ns").asi8
        done &= known <= times + wait.value
        open_still &= times + wait.value >= at.value
    open_still &= ~done
    if open_still.any():
        done &= times < times[open_still].min()
    rows = predictions[done]
    right, order = _right(rows), np.lexsort([codes[done], times[done]])
    for (symbol, time), one in zip(rows.index[order], right[order], strict=True):
        yield time, bool(one), symbol


def rolling(
    predictions: pd.DataFrame,
    *,
    window: int,
    step: int = 1,
    at: pd.Timestamp | None = None,
    since: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """Scores of the newest rows, as of each moment at which an outcome became known.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time)
        As in `settled`; beside it `covered`, whether a conformal set held the outcome, and
        `paid`, what the signal earned on the bar after the prediction, after costs, a fraction.
    window : int
        Rows that are scored, at least 2.
    step : int
        Every how many moments, counted back from the newest.
    at : Timestamp, optional
        As in `settled`.
    since : Timestamp, optional
        Moments after it alone; all if omitted.

    Returns
    -------
    DataFrame indexed by known_at
        `n` rows, fewer than the window at the start; `accuracy log_loss ece` as
        `metrics.classification` defines them, of numbers `accuracy` (of the sign) and `mse`;
        `coverage` and `after_cost_return`, the means of `covered` and `paid` where they are
        given.

    Raises
    ------
    ParamsError
        If the window or step is too small.
    DataError
        As in `settled`, or if nothing has settled.
    """
    if window < 2 or step < 1:
        raise ParamsError(f"window must be at least 2 and step 1, were {window} and {step}")
    rows = settled(predictions, at)
    if rows.empty:
        raise DataError("no prediction has settled; there is nothing to score")
    known = pd.DatetimeIndex(rows["known_at"], name="known_at").as_unit("ns")
    last = np.flatnonzero(np.append(np.diff(known.asi8) > 0, True))
    ends = last[::-1][::step][::-1] + 1
    if since is not None:
        ends = ends[known.asi8[ends - 1] > since.value]
    found = [_scored(rows.iloc[max(0, end - window) : end]) for end in ends]
    return pd.DataFrame(found, known[ends - 1])


def _scored(rows: pd.DataFrame) -> dict[str, float]:
    """Scores of one window."""
    actual = rows["actual"].to_numpy(dtype=float)
    told: dict[str, float] = {"n": len(rows)}
    if _are_classes(rows):
        told |= metrics.unranked(actual, _shares(rows)).to_dict()
    else:
        told["accuracy"] = float(rows["right"].mean())
        told["mse"] = float(np.mean((rows["prediction"].to_numpy(dtype=float) - actual) ** 2))
    return told | {score: rows[name].mean() for name, score in _TOLD.items() if name in rows}


def promised(predictions: pd.DataFrame, *, window: int, level: float = 0.95) -> pd.DataFrame:
    """What windows of a length scored in validation, and between what values most of them lay.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time)
        Validation's out-of-sample predictions of one model, as in `settled`.
    window : int
        Rows in a window, as `rolling` is asked for.
    level : float
        Share of the windows between `low` and `high`, between 0 and 1.

    Returns
    -------
    DataFrame indexed by metric
        `value` on all rows, `low high` of the windows, and `windows`, how many would fit side
        by side: of fewer than 20 the ends of the range are little more than the extremes.

    Raises
    ------
    ParamsError
        If the level is no share, or the window too small.
    DataError
        If fewer than two windows fit.
    """
    if not 0 < level < 1:
        raise ParamsError(f"level must be between 0 and 1, was {level:g}")
    rows = settled(predictions)
    if len(rows) < 2 * window:
        raise DataError(
            f"{len(rows)} settled predictions hold no two windows of {window}; take a shorter one"
        )
    moments = rows["known_at"].nunique()
    windows = rolling(predictions, window=window, step=max(1, moments // _WINDOWS))
    windows = windows[windows["n"] == window].drop(columns="n")
    low, high = np.nanquantile(windows, [(1 - level) / 2, (1 + level) / 2], axis=0)
    whole = {name: value for name, value in _scored(rows).items() if name != "n"}
    table = pd.DataFrame({"value": whole, "low": pd.Series(low, windows.columns)})
    table["high"], table["windows"] = high, len(rows) // window
    return table.rename_axis("metric")


def kept(scores: pd.DataFrame, promise: pd.DataFrame, *, window: int) -> pd.DataFrame:
    """Whether each score is in the range that validation promised.

    Parameters
    ----------
    scores : DataFrame indexed by known_at
        What `rolling` gave.
    promise : DataFrame indexed by metric
        What `promised` gave of the same window, or any table with `low` and `high`.
    window : int
        Rows of a full window; of fewer nothing is said.

    Returns
    -------
    DataFrame indexed by known_at
        A column a metric: `kept`, `worse`, `better`, or `few` while the window is not full.
        Coverage is never better: sets that hold more than in validation say too little.
    """
    found = {}
    few = scores["n"].to_numpy() < window
    for metric in promise.index.intersection(scores.columns):
        value, less = scores[metric].to_numpy(dtype=float), metric in metrics.LESS_IS_BETTER
        below, above = value < promise.at[metric, "low"], value > promise.at[metric, "high"]
        worse, better = (above, below) if less else (below, above)
        if metric == "coverage":
            worse, better = worse | better, better & False
        found[metric] = np.select([few, worse, better], ["few", "worse", "better"], "kept")
    return pd.DataFrame(found, scores.index)
