"""Conformal sets: what "90 %" must hold to be right nine times in ten, kept so while times change.

Every settled prediction leaves a score: how far it was from what happened. The threshold at
t is a quantile of the newest scores, and the quantile itself moves: up after misses, down
after hits. Both read at t only predictions with `known_at` at or before t, in that order.

The score of classes is 1 - probability of the outcome; of numbers |error| / scale. Nothing
is drawn at random: a model whose probabilities never vary gets sets that take turns.

Source: sets by least probability, Sadinle, Lei and Wasserman, Least Ambiguous Set-Valued
Classifiers (2019), section 2; a window of newest scores, Barber, Candès, Ramdas and
Tibshirani, Conformal Prediction Beyond Exchangeability (2023), section 3.1 with weights 1
and 0; the moving quantile, Gibbs and Candès, Adaptive Conformal Inference Under Distribution
Shift (2021), section 2, each step taken when its label settles.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.metrics import CLASSES
from signalkit.training.ensemble import PROBABILITIES

SETS = ["in_sell", "in_hold", "in_buy"]
_STATE = ["threshold", "alpha", "n"]


@njit(cache=True)
def _add(tree, rank, change):  # noqa: ANN001, ANN202 - numba
    """Count a rank once more, or once less, in a Fenwick tree."""
    i = rank + 1
    while i < len(tree):
        tree[i] += change
        i += i & -i


@njit(cache=True)
def _smallest(tree, k):  # noqa: ANN001, ANN202 - numba
    """Rank of the k-th smallest score counted in the tree, k from 1."""
    step, position = 1, 0
    while step * 2 < len(tree):
        step *= 2
    while step > 0:
        reach = position + step
        if reach < len(tree) and tree[reach] < k:
            position, k = reach, k - tree[reach]
        step //= 2
    return position


@njit(cache=True)
def _follow(clock, issued, due, group, rank, values, settings):  # noqa: ANN001, ANN202 - numba
    """Threshold, alpha and number of scores in force at each time of the clock.

    Settled rows come in order of `due`, their known_at: `issued` is where in the clock they
    were predicted, `group` counts the distinct times of settling, `values[rank]` is the score.
    """
    miss, window, least, rate = settings
    out = np.empty((len(clock), 3))
    tree = np.zeros(len(values) + 1, dtype=np.int64)
    alpha, n, done, oldest, groups = miss, 0, 0, 0, 0
    for t in range(len(clock)):
        while done < len(due) and due[done] <= clock[t]:
            missed, told, now = 0, 0, group[done]
            while done < len(due) and group[done] == now:
                _add(tree, rank[done], 1)
                at = issued[done]
                if out[at, 2] >= 0:
                    told += 1
                    score = values[rank[done]]
                    missed += score > out[at, 0] or score == np.inf
                n += 1
                done += 1
            while group[oldest] <= now - window:
                _add(tree, rank[oldest], -1)
                n -= 1
                oldest += 1
            groups = now + 1
            if told > 0:
                alpha += rate * (miss - missed / told)
        # the smallest whole number at or above, but for rounding
        k = int(np.ceil((n + 1) * (1 - alpha) - 1e-9))
        out[t, 0], out[t, 1], out[t, 2] = np.inf, alpha, n
        if groups < least:
            out[t, 2] = -1 - n
        elif k < 1:
            out[t, 0] = -np.inf
        elif k <= n:
            out[t, 0] = values[_smallest(tree, k)]
    return out


def _check_settings(coverage: float, window: int, least: int, rate: float) -> None:
    """Refuse settings that no stream can be followed with."""
    if not 0.5 <= coverage < 1:
        raise ParamsError(f"coverage is a share from 0.5 to below 1, was {coverage}")
    fewest = int(np.ceil(coverage / (1 - coverage) - 1e-9))
    if not fewest <= least <= window:
        raise ParamsError(
            f"least must be from {fewest}, the fewest scores with a quantile at {coverage:g},"
            f" to the window of {window}, was {least}"
        )
    if not 0 <= rate <= 0.5:
        raise ParamsError(f"rate is a step of the quantile from 0 to 0.5, was {rate}")


def _check_stream(predictions: pd.DataFrame) -> None:
    """Refuse predictions of several models, repeated ones, and labels known too early."""
    if list(predictions.index.names) != ["symbol", "time"] or predictions.index.has_duplicates:
        raise DataError(
            "sets follow the predictions of one model, indexed by (symbol, time), each once;"
            f" the index is {list(predictions.index.names)}; take predictions.xs(model,"
            " level='model_id')"
        )
    known = predictions["actual"].notna()
    undated = known & predictions["known_at"].isna()
    if undated.any():
        raise DataError(f"{predictions.index[undated][0]} has an outcome, but no known_at")
    early = known & (predictions["known_at"] <= predictions.index.get_level_values("time"))
    if early.any():
        raise LeakError(
            f"the label at {predictions.index[early][0]} is known at its own bar or before, so it"
            " was no prediction; make known_at the end of the bar that settles it"
        )


def _stream(predictions: pd.DataFrame, score: np.ndarray, settings: tuple) -> np.ndarray:
    """What was in force at each row of one stream: threshold, alpha, n (below 0: too few)."""
    times = pd.DatetimeIndex(predictions.index.get_level_values("time")).as_unit("ns").asi8
    clock, issued = np.unique(times, return_inverse=True)
    settled = np.flatnonzero(predictions["actual"].notna())
    known_at = pd.DatetimeIndex(predictions["known_at"]).as_unit("ns").asi8[settled]
    order = np.argsort(known_at, kind="stable")
    group = np.unique(known_at, return_inverse=True)[1]
    values, rank = np.unique(score[settled], return_inverse=True)
    rows = settled[order]
    found = _follow(
        clock, issued[rows], known_at[order], group[order], rank[order], values, settings
    )
    return found[issued]


def _followed(
    predictions: pd.DataFrame, score: np.ndarray, settings: tuple, *, per_symbol: bool
) -> pd.DataFrame:
    """State of every row, all symbols in one stream or each in its own."""
    found = np.empty((len(predictions), len(_STATE)))
    symbols = predictions.index.get_level_values("symbol")
    parts = [symbols == s for s in symbols.unique()] if per_symbol else [slice(None)]
    for part in parts:
        found[part] = _stream(predictions.iloc[part], score[part], settings)
    state = pd.DataFrame(found, predictions.index, _STATE)
    waits = state["n"] < 0
    return state.assign(n=state["n"].where(~waits, -1 - state["n"]).astype(int))


def _columns(table: pd.DataFrame, state: pd.DataFrame, hit: np.ndarray) -> pd.DataFrame:
    """The table with its state, and whether each settled row was covered."""
    table[_STATE] = state
    return table.assign(covered=hit)


def prediction_sets(
    predictions: pd.DataFrame,
    *,
    coverage: float = 0.9,
    window: int = 500,
    least: int = 100,
    rate: float = 0.01,
    per_symbol: bool = False,
) -> pd.DataFrame:
    """Classes that must be reckoned with at each prediction, so that `coverage` of sets hold.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time)
        Predictions of one model of a class: `p_sell p_hold p_buy known_at actual`, the last
        two missing while not settled.
    coverage : float
        Share of sets that are to hold the outcome, from 0.5 to below 1.
    window : int
        Newest times of settling whose scores give the threshold.
    least : int
        Times of settling before which a set holds every class, and so says nothing.
    rate : float
        Step of the quantile at each time of settling; 0 leaves it where it is. With a
        horizon h, keep rate x h below 0.5: a miss is known h bars late.
    per_symbol : bool
        Whether each symbol is followed by itself; in one stream if omitted.

    Returns
    -------
    DataFrame indexed as `predictions`
        `in_sell in_hold in_buy` (bool); `size`, classes in the set; `threshold` on
        1 - probability, infinite while every class is taken; `alpha`, the share of scores
        left above it, which may pass below 0 and above 1; `n` scores in the window;
        `covered` 1.0 or 0.0, NaN until settled.

    Raises
    ------
    ParamsError
        If a setting is out of its range.
    DataError
        If several models are mixed, the target is a number, or an outcome has no known_at.
    LeakError
        If a label is known at its own bar or before.

    Notes
    -----
    A set is never empty: the likeliest class is in it, also where the threshold leaves out
    all. The moving quantile counts such a set as a miss if the threshold left its outcome
    out, so a model that is right more often than `coverage` is covered more often. A class
    to which a row gives no probability at all is not in its set; as outcome it is a miss.

    A step is taken at each time of settling, by the share of misses among the rows that
    settle then. Over T steps the mean of that share cannot be farther from 1 - coverage than
    (1 + rate (1 + delay)) / (rate T), whatever the market does (Gibbs and Candès 2021,
    proposition 4.1, with labels that settle `delay` steps late), unless outcomes come that
    had no probability at all.

    Examples
    --------
    >>> time = pd.date_range("2024-01-01", periods=400, freq="h", tz="UTC")
    >>> index = pd.MultiIndex.from_product([["A"], time], names=["symbol", "time"])
    >>> shares = pd.DataFrame([[0.2, 0.3, 0.5]], index, ["p_sell", "p_hold", "p_buy"])
    >>> settled = {"known_at": time + pd.Timedelta(1, "h"), "actual": 1.0}
    >>> sets = prediction_sets(shares.assign(**settled))
    >>> sets["size"].iloc[[0, 100, 101, 399]].tolist()
    [3, 1, 1, 1]
    """
    _check_settings(coverage, window, least, rate)
    _check_stream(predictions)
    shares = predictions[PROBABILITIES].to_numpy()
    silent = ~np.isfinite(shares).all(axis=1)
    if silent.any():
        raise DataError(
            f"{predictions.index[silent][0]} has no probability of each class; leave out rows"
            " without an answer, and take prediction_intervals of numbers"
        )
    actual = predictions["actual"].to_numpy()
    truth = actual[:, None] == np.array(CLASSES)
    distance = np.where(shares > 0, 1 - shares, np.inf)
    score = np.where(truth, distance, -np.inf).max(axis=1)
    settings = (1 - coverage, window, least, rate)
    state = _followed(predictions, score, settings, per_symbol=per_symbol)
    taken = (distance <= state["threshold"].to_numpy()[:, None]) & (shares > 0)
    taken[np.arange(len(taken)), shares.argmax(axis=1)] = True
    table = pd.DataFrame(taken, predictions.index, SETS).assign(size=taken.sum(axis=1))
    hit = np.where(np.isnan(actual), np.nan, (taken & truth).any(axis=1))
    return _columns(table, state, hit)


def prediction_intervals(
    predictions: pd.DataFrame,
    *,
    scale: pd.Series | None = None,
    coverage: float = 0.9,
    window: int = 500,
    least: int = 100,
    rate: float = 0.01,
    per_symbol: bool = False,
) -> pd.DataFrame:
    """Interval around each predicted number, so that `coverage` of intervals hold.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time)
        Predictions of one model of a number: `prediction known_at actual`.
    scale : Series indexed as `predictions`, optional
        What an error is measured in, above 0 and known at the bar, such as a volatility;
        the target's own unit if omitted.
    coverage, window, least, rate, per_symbol
        As in `prediction_sets`.

    Returns
    -------
    DataFrame indexed as `predictions`
        `low` and `high` in the target's unit, infinite before `least` times have settled;
        `threshold` on |error| / scale; `alpha n covered` as in `prediction_sets`. Where the
        quantile falls below all scores the interval is the prediction alone.

    Raises
    ------
    ParamsError, LeakError
        As `prediction_sets`.
    DataError
        As `prediction_sets`, and if a prediction is not finite or a scale not above 0.
    """
    _check_settings(coverage, window, least, rate)
    _check_stream(predictions)
    guess, actual = predictions["prediction"].to_numpy(), predictions["actual"].to_numpy()
    unit = np.ones(len(guess)) if scale is None else scale.reindex(predictions.index).to_numpy()
    _check_numbers(predictions.index, {"prediction": np.isfinite(guess), "scale": unit > 0})
    score = np.abs(actual - guess) / unit
    settings = (1 - coverage, window, least, rate)
    state = _followed(predictions, score, settings, per_symbol=per_symbol)
    threshold = state["threshold"].to_numpy()
    reach = np.maximum(threshold, 0.0) * unit
    table = pd.DataFrame({"low": guess - reach, "high": guess + reach}, index=predictions.index)
    hit = np.where(np.isnan(actual), np.nan, score <= np.maximum(threshold, 0.0))
    return _columns(table, state, hit)


def _check_numbers(index: pd.MultiIndex, sound: dict[str, np.ndarray]) -> None:
    """Refuse a column with a value that is not as it should be."""
    for name, whether in sound.items():
        if not whether.all():
            raise DataError(
                f"the {name} of {index[np.argmin(whether)]} is no usable number; leave the row out"
            )
