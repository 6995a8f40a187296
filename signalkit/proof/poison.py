"""Seeded tables to be poisoned, and the comparison: what is said up to t must not change.

Rows after some time t, and outcomes that are not known then, are cut off, and then replaced by
garbage. What a function says up to t is compared with what it said of the whole tables, to the
last bit; NaN equals NaN only. Which functions are proven belongs to signalkit.proof.fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from signalkit.causality import Causality
from signalkit.errors import DataError
from signalkit.training import PROBABILITIES

# features, labels to predictions indexed by (symbol, time, model_id)
Fold = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
# predictions to what is fitted on them, indexed by (symbol, time)
Stream = Callable[[pd.DataFrame], pd.DataFrame]

SYMBOLS = ("A", "B")
# times of the seeded tables, and those of them before the first test
TIMES, TRAIN = 320, 240
MEMBERS = ("ONE", "TWO", "THREE")
GUESSED = ["prediction", *PROBABILITIES, "confidence"]
SEED = 20260101
_FOLD = 60


def market() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seeded features and directions of two symbols, hourly.

    Returns
    -------
    features : DataFrame indexed by (symbol, time)
        `one` and `two` say something of the labels, `twin` repeats `one`, `still` does not
        move before the first test, `later` says a lot from there on and nothing before.
    labels : DataFrame indexed by (symbol, time)
        `label` of -1, 0, 1 and `known_at`, one to six hours later.
    """
    rng = np.random.default_rng(SEED)
    index = _rows()
    n, times = len(index), index.get_level_values("time")
    one, two, last = rng.normal(size=(3, n))
    late = times >= _clock()[TRAIN]
    features = pd.DataFrame(
        {
            "one": one,
            "two": two,
            "twin": one + 0.2 * rng.normal(size=n),
            "still": np.where(late, rng.normal(size=n), 0.0),
            "later": last,
        },
        index,
    )
    said = 0.8 * one + 0.2 * two + 2.5 * late * last + rng.normal(size=n)
    label = np.where(np.abs(said) < 0.6, 0.0, np.sign(said))
    known_at = times + pd.to_timedelta(rng.integers(1, 7, n), "h")
    labels = pd.DataFrame({"label": label, "known_at": known_at}, index)
    return features, labels[labels["known_at"] <= times.max()]


def predicted(target: str = "signal_direction") -> pd.DataFrame:
    """Seeded predictions of three models, of a class or of a number; some of them failed.

    Returns
    -------
    DataFrame indexed by (symbol, time, model_id)
        As of `walk_forward`; labels settle one to six hours after their bar.
    """
    rng = np.random.default_rng(SEED + 1)
    index = _rows()
    times = index.get_level_values("time")
    known_at = times + pd.to_timedelta(rng.integers(1, 7, len(index)), "h")
    truth = rng.integers(-1, 2, len(index)).astype(float)
    fold = np.minimum(_clock().get_indexer(times), TIMES - 1) // _FOLD
    shared = pd.DataFrame({"target": target, "fold": fold, "known_at": known_at}, index)
    parts = {}
    for skill, name in enumerate(MEMBERS):
        guess = _guess(rng, truth, skill, classes=target == "signal_direction")
        guess[rng.random(len(index)) < 0.05] = np.nan
        parts[name] = shared.assign(**dict(zip(GUESSED, guess.T, strict=True)), actual=truth)
    table = pd.concat(parts, names=["model_id"]).reorder_levels([1, 2, 0]).sort_index()
    table.loc[table["known_at"] > times.max(), ["known_at", "actual"]] = [pd.NaT, np.nan]
    return table


def _guess(
    rng: np.random.Generator, truth: np.ndarray, skill: float, *, classes: bool
) -> np.ndarray:
    """Prediction, shares and confidence of one model, the better the more skill, shape (n, 5)."""
    if not classes:
        said = truth * skill / 4 + rng.normal(size=len(truth))
        return np.column_stack([said, np.full((len(truth), 4), np.nan)])
    share = rng.gamma(1.0, size=(len(truth), 3)) + 0.01
    share[np.arange(len(truth)), (truth + 1).astype(int)] += skill / 4
    share /= share.sum(axis=1, keepdims=True)
    return np.column_stack([share.argmax(axis=1) - 1.0, share, share.max(axis=1)])


def _clock() -> pd.DatetimeIndex:
    """Times of the seeded tables."""
    return pd.date_range("2024-01-01", periods=TIMES, freq="h", tz="UTC", name="time")


def _rows() -> pd.MultiIndex:
    """Rows of the seeded tables."""
    return pd.MultiIndex.from_product([SYMBOLS, _clock()], names=["symbol", "time"])


def in_window(
    predict: Fold, *, places: Sequence[int] = (0, 20, 60), settled: bool = False
) -> Causality:
    """Cut off and replace what a training window must not know, and compare its predictions.

    Parameters
    ----------
    predict : callable
        Predictions of one fold, from features and labels such as those of `market`.
    places : sequence of int
        Bars t after the first test bar to cut at.
    settled : bool
        Whether labels settled up to t may be read too, as PERSISTENCE does.

    Returns
    -------
    Causality
        The largest change up to t, and the first time that changed.

    Raises
    ------
    DataError
        If there is no prediction up to some t.
    """
    features, labels = market()
    whole, clock = predict(features, labels), _clock()
    found = []
    for place in places:
        until = clock[TRAIN + place]
        known = labels["known_at"] <= until if settled else labels["known_at"] < clock[TRAIN]
        seen = times_of(features) <= until
        changed = [
            (features[seen], labels[known]),
            (_garbage(features, ~seen), _turned(labels, ~known)),
        ]
        found += [changes(whole, predict(*tables), until) for tables in changed]
    return outcome(found)


def times_of(table: pd.DataFrame) -> pd.DatetimeIndex:
    """Time of each row."""
    return table.index.get_level_values("time")


def _garbage(features: pd.DataFrame, where: np.ndarray) -> pd.DataFrame:
    """Features with some rows replaced by wild ones, far above and below all others."""
    rng, other = np.random.default_rng(SEED + 2), features.copy()
    other.loc[where] = 1e3 * rng.standard_t(3, (int(where.sum()), features.shape[1])) - 500
    return other


def _turned(labels: pd.DataFrame, where: pd.Series) -> pd.DataFrame:
    """Labels with some of them turned round, each of them another than it was."""
    answer = labels["label"]
    return labels.assign(label=answer.mask(where, -answer.replace(0.0, 1.0)))


def on_stream(
    function: Stream, predictions: pd.DataFrame, *, places: Sequence[int] = (90, 150, 203, 290)
) -> Causality:
    """Cut off and replace what a stream of predictions must not know yet, and compare.

    Parameters
    ----------
    function : callable
        Takes predictions, returns numbers indexed by (symbol, time).
    predictions : DataFrame indexed by (symbol, time, model_id)
        Such as those of `predicted`.
    places : sequence of int
        Positions t among their times to cut at.

    Returns
    -------
    Causality
        The largest change up to t, and the first time that changed.

    Raises
    ------
    DataError
        If there is nothing up to some t.
    """
    whole, clock = function(predictions), times_of(predictions).unique().sort_values()
    found = []
    for place in places:
        until = clock[place]
        cut = unsettled(predictions, until)
        changed = (cut[times_of(cut) <= until], other_predictions(predictions, until))
        found += [changes(whole, function(table), until) for table in changed]
    return outcome(found)


def unsettled(predictions: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Predictions without the outcomes that are known after a time."""
    cut = predictions.copy()
    cut.loc[cut["known_at"] > until, ["known_at", "actual"]] = [pd.NaT, np.nan]
    return cut


def other_predictions(predictions: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Predictions with outcomes turned round where they wait, known later, and later rows mixed."""
    waits = (predictions["known_at"] > until).to_numpy()
    other, actual = predictions.copy(), predictions["actual"]
    other["actual"] = actual.mask(waits, -actual.replace(0.0, 1.0))
    later = other["known_at"] + pd.Timedelta(2, "h")
    other["known_at"] = other["known_at"].mask(waits, later)
    after = np.flatnonzero(times_of(other) > until)
    mixed = np.random.default_rng(SEED + 3).permutation(after)
    other.iloc[after, other.columns.get_indexer(GUESSED)] = predictions[GUESSED].iloc[mixed]
    return other


def changes(whole: pd.DataFrame, got: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Rows up to a time that are not the same: when, in which column, by how much."""
    left, right = (table[times_of(table) <= until] for table in (whole, got))
    if left.empty:
        raise DataError(f"there is nothing to compare up to {until}; cut later")
    if not left.index.equals(right.index):
        right = right.reindex(left.index.union(right.index))
        left = left.reindex(right.index)
    a, b = left.to_numpy(dtype=float), right[left.columns].to_numpy(dtype=float)
    rows, columns = np.nonzero(~((a == b) | (np.isnan(a) & np.isnan(b))))
    gap = np.nan_to_num(np.abs(a[rows, columns] - b[rows, columns]), nan=np.inf)
    found = {"time": times_of(left)[rows], "column": left.columns[columns], "difference": gap}
    return pd.DataFrame(found)


def outcome(found: list[pd.DataFrame]) -> Causality:
    """The comparisons in one outcome."""
    changed = pd.concat([part for part in found if len(part)] or found[:1]).sort_values("time")
    if changed.empty:
        return Causality(0.0, None, None, len(found))
    first, column = changed[["time", "column"]].iloc[0]
    return Causality(float(changed["difference"].max()), first, str(column), len(found))
