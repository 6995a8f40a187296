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

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.metrics import CLASSES
from signalkit.training import steps
from signalkit.training.ensemble import PROBABILITIES
from signalkit.training.told import Grown

SETS = ["in_sell", "in_hold", "in_buy"]
_STATE = ["threshold", "alpha", "n"]


def check_settings(coverage: float, window: int, least: int, rate: float) -> None:
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
    rows = settled[order := np.argsort(known_at, kind="stable")]
    found = Followed(settings)
    found.advance(clock, known_at[order], score[rows], issued[rows])
    return found.state.view[issued]


class Followed:
    """The state of one stream as times go by: thresholds in force, and the newest scores.

    `state` has a row a time: threshold, alpha, and the number of scores, below 0 while there
    are too few. Settings are (1 - coverage, window, least, rate).
    """

    def __init__(self, settings: tuple[float, int, int, float]) -> None:
        self.state, self._settings = Grown(float, len(_STATE)), settings
        self._clock, self._due, self._group = (Grown(np.int64) for _ in range(3))
        self._score, self._issued = Grown(float), Grown(np.int64)
        self._kept = steps.unfollowed(settings[0])

    def advance(
        self, times: np.ndarray, due: np.ndarray, score: np.ndarray, issued: np.ndarray
    ) -> None:
        """Go on to new times.

        Parameters
        ----------
        times : int array of shape (t,)
            New times, later than those before, nanoseconds.
        due : int array of shape (n,)
            In order: when rows settle, after the time before these.
        score, issued : arrays of shape (n,)
            Score of each, and the place of its time among all times.
        """
        first, known = self._clock.n, self._due.n
        before = self._due.view[-1:] if known else due[:1] - 1
        group = self._group.view[-1] if known else -1
        self._group.extend(group + np.cumsum(np.diff(due, prepend=before) != 0))
        self._clock.extend(times)
        self._due.extend(due)
        self._score.extend(score)
        self._issued.extend(issued)
        self.state.extend(np.zeros((len(times), len(_STATE))))
        told = (self._issued.view, self._due.view, self._group.view, self._score.view)
        self._kept = steps.follow(
            self.state.view, first, self._clock.view, *told, self._kept, self._settings
        )

    def last(self) -> tuple[float, float, int]:
        """Threshold, alpha and number of scores at the newest time."""
        threshold, alpha, n = self.state.view[-1].tolist()
        return threshold, alpha, int(n if n >= 0 else -1 - n)

    def here(self) -> tuple[int, int, tuple]:
        """Where it is, for `back`."""
        return self._clock.n, self._due.n, self._kept

    def back(self, here: tuple[int, int, tuple]) -> None:
        """Go back to where it was."""
        self._clock.n, self._due.n, self._kept = here
        self.state.n = self._clock.n
        self._group.n = self._score.n = self._issued.n = self._due.n


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


def _truth(actual: np.ndarray) -> np.ndarray:
    """Which class came, shape (n, 3); none where that is not known."""
    return actual[:, None] == np.array(CLASSES)


def missed_by(shares: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Score of each prediction: 1 - the outcome's share, or how far off a number was.

    Parameters
    ----------
    shares : array of shape (n, 3) or (n, 1)
        Shares of -1, 0, 1, or numbers.
    actual : array of shape (n,)
        Outcomes; the score of a class that is not known yet is -inf.
    """
    if shares.shape[1] == 1:
        return np.abs(actual - shares[:, 0])
    distance = np.where(shares > 0, 1 - shares, np.inf)
    return np.where(_truth(actual), distance, -np.inf).max(axis=1)


def taken(shares: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Which classes are in the set of each row, shape (n, 3), by the threshold in force there."""
    found = (1 - shares <= threshold[:, None]) & (shares > 0)
    found[np.arange(len(found)), shares.argmax(axis=1)] = True
    return found


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
    check_settings(coverage, window, least, rate)
    _check_stream(predictions)
    shares = predictions[PROBABILITIES].to_numpy()
    silent = ~np.isfinite(shares).all(axis=1)
    if silent.any():
        raise DataError(
            f"{predictions.index[silent][0]} has no probability of each class; leave out rows"
            " without an answer, and take prediction_intervals of numbers"
        )
    actual = predictions["actual"].to_numpy()
    score, settings = missed_by(shares, actual), (1 - coverage, window, least, rate)
    state = _followed(predictions, score, settings, per_symbol=per_symbol)
    inside = taken(shares, state["threshold"].to_numpy())
    table = pd.DataFrame(inside, predictions.index, SETS).assign(size=inside.sum(axis=1))
    hit = np.where(np.isnan(actual), np.nan, (inside & _truth(actual)).any(axis=1))
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
    check_settings(coverage, window, least, rate)
    _check_stream(predictions)
    guess, actual = predictions["prediction"].to_numpy(), predictions["actual"].to_numpy()
    unit = np.ones(len(guess)) if scale is None else scale.reindex(predictions.index).to_numpy()
    _check_numbers(predictions.index, {"prediction": np.isfinite(guess), "scale": unit > 0})
    score = missed_by(guess[:, None], actual) / unit
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
