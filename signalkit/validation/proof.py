"""Proof that whatever is fitted on data knows nothing of later: truncate and poison, every stage.

What is fitted in a training window predicts the window after it, up to some time t. Rows after
t, and labels settled at or after the first test time, are cut off, then replaced by garbage: the
predictions up to t must be equal to the last bit. What is fitted on the stream of predictions is
asked the same with rows after t, and outcomes known after t, cut off or replaced.

The tables are seeded and small: a stage is proven as code, not on the data of a study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from signalkit import causality, signals
from signalkit.causality import Causality
from signalkit.errors import DataError
from signalkit.splits import WalkForward
from signalkit.training import (
    ENSEMBLE,
    PROBABILITIES,
    Recipe,
    combine,
    make,
    prediction_intervals,
    prediction_sets,
    select,
)
from signalkit.validation.drift import drift
from signalkit.validation.walkforward import walk_forward

# features, labels to predictions indexed by (symbol, time, model_id)
Fold = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
# predictions to what is fitted on them, indexed by (symbol, time)
Stream = Callable[[pd.DataFrame], pd.DataFrame]

_SEED = 20260101
_SYMBOLS = ("A", "B")
# times of the seeded tables, and those of them before the first test
_TIMES, _TRAIN = 320, 240
_MEMBERS = ("ONE", "TWO", "THREE")
_FOLD = 60
# test times of a fold whose drift is measured
_TEST = 40
_GUESSED = ["prediction", *PROBABILITIES, "confidence"]
_IN_WINDOW = "rows after t, labels settled from the first test time on"
_SETTLED = "rows after t, labels settled after t"
_IN_STREAM = "predictions after t, outcomes known after t"
_IN_BARS = "bars after t"
# bars to cut at: a regime ranks all bars so far, so that more of them take long
_BARS = (75, 150, 265)


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
    rng = np.random.default_rng(_SEED)
    index = _rows()
    n, times = len(index), index.get_level_values("time")
    one, two, last = rng.normal(size=(3, n))
    late = times >= _clock()[_TRAIN]
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
    rng = np.random.default_rng(_SEED + 1)
    index = _rows()
    times = index.get_level_values("time")
    known_at = times + pd.to_timedelta(rng.integers(1, 7, len(index)), "h")
    truth = rng.integers(-1, 2, len(index)).astype(float)
    fold = np.minimum(_clock().get_indexer(times), _TIMES - 1) // _FOLD
    shared = pd.DataFrame({"target": target, "fold": fold, "known_at": known_at}, index)
    parts = {}
    for skill, name in enumerate(_MEMBERS):
        guess = _guess(rng, truth, skill, classes=target == "signal_direction")
        guess[rng.random(len(index)) < 0.05] = np.nan
        parts[name] = shared.assign(**dict(zip(_GUESSED, guess.T, strict=True)), actual=truth)
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
    return pd.date_range("2024-01-01", periods=_TIMES, freq="h", tz="UTC", name="time")


def _rows() -> pd.MultiIndex:
    """Rows of the seeded tables."""
    return pd.MultiIndex.from_product([_SYMBOLS, _clock()], names=["symbol", "time"])


def fold_of(names: Iterable[str] = ("LIGHTGBM",), recipe: Recipe | None = None) -> Fold:
    """Predictions of models in one fold of the seeded market, each fitted by a recipe.

    Parameters
    ----------
    names : iterable of str
        Model types.
    recipe : Recipe, optional
        How they are fitted; as `walk_forward` has it if omitted.
    """
    small = {
        "LIGHTGBM": {"rounds": 40, "min_rows_leaf": 10, "learning_rate": 0.4},
        "LSTM": {"units": 2, "lookback": 4, "epochs": 1, "batch": 512},
    }
    models = {name: make(name, "signal_direction", **small.get(name, {})) for name in names}
    # one fold: a window that starts at the first bar, and all bars after it
    splits = WalkForward(_TRAIN, 1, step=_TIMES)

    def predict(features: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
        """The fold's predictions."""
        return walk_forward(features, labels, models, splits, recipe=recipe)[_GUESSED]

    return predict


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
        until = clock[_TRAIN + place]
        known = labels["known_at"] <= until if settled else labels["known_at"] < clock[_TRAIN]
        seen = _times(features) <= until
        changed = [
            (features[seen], labels[known]),
            (_garbage(features, ~seen), _turned(labels, ~known)),
        ]
        found += [_changes(whole, predict(*tables), until) for tables in changed]
    return _outcome(found)


def _times(table: pd.DataFrame) -> pd.DatetimeIndex:
    """Time of each row."""
    return table.index.get_level_values("time")


def _garbage(features: pd.DataFrame, where: np.ndarray) -> pd.DataFrame:
    """Features with some rows replaced by wild ones, far above and below all others."""
    rng, other = np.random.default_rng(_SEED + 2), features.copy()
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
    whole, clock = function(predictions), _times(predictions).unique().sort_values()
    found = []
    for place in places:
        until = clock[place]
        waits = (predictions["known_at"] > until).to_numpy()
        cut = predictions.copy()
        cut.loc[waits, ["known_at", "actual"]] = [pd.NaT, np.nan]
        changed = (cut[_times(cut) <= until], _other(predictions, waits, until))
        found += [_changes(whole, function(table), until) for table in changed]
    return _outcome(found)


def _other(predictions: pd.DataFrame, waits: np.ndarray, until: pd.Timestamp) -> pd.DataFrame:
    """Predictions with outcomes turned round where they wait, known later, and later rows mixed."""
    other, actual = predictions.copy(), predictions["actual"]
    other["actual"] = actual.mask(waits, -actual.replace(0.0, 1.0))
    later = other["known_at"] + pd.Timedelta(2, "h")
    other["known_at"] = other["known_at"].mask(waits, later)
    after = np.flatnonzero(_times(other) > until)
    mixed = np.random.default_rng(_SEED + 3).permutation(after)
    other.iloc[after, other.columns.get_indexer(_GUESSED)] = predictions[_GUESSED].iloc[mixed]
    return other


def _changes(whole: pd.DataFrame, got: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Rows up to a time that are not the same: when, in which column, by how much."""
    left, right = (table[_times(table) <= until] for table in (whole, got))
    if left.empty:
        raise DataError(f"there is nothing to compare up to {until}; cut later")
    right = right.reindex(left.index.union(right.index))
    left = left.reindex(right.index)
    a, b = left.to_numpy(dtype=float), right[left.columns].to_numpy(dtype=float)
    rows, columns = np.nonzero(~((a == b) | (np.isnan(a) & np.isnan(b))))
    gap = np.nan_to_num(np.abs(a[rows, columns] - b[rows, columns]), nan=np.inf)
    found = {"time": _times(left)[rows], "column": left.columns[columns], "difference": gap}
    return pd.DataFrame(found)


def _outcome(found: list[pd.DataFrame]) -> Causality:
    """The comparisons in one outcome."""
    changed = pd.concat([part for part in found if len(part)] or found[:1]).sort_values("time")
    if changed.empty:
        return Causality(0.0, None, None, len(found))
    first, column = changed[["time", "column"]].iloc[0]
    return Causality(float(changed["difference"].max()), first, str(column), len(found))


def combined(predictions: pd.DataFrame, method: str = "weighted") -> pd.DataFrame:
    """What an ensemble makes of predictions: shares, confidence, disagreement and weights."""
    found = combine(predictions, list(_MEMBERS), method=method, least=50.0)
    own = found.predictions.xs(ENSEMBLE, level="model_id")[_GUESSED]
    return own.assign(disagreement=found.disagreement).join(found.weights, on="time")


def _sets(predictions: pd.DataFrame) -> pd.DataFrame:
    """Conformal sets of one model, or intervals of a number; without the outcome they cover."""
    own = predictions.xs(_MEMBERS[-1], level="model_id")
    own = own[own["prediction"].notna()]
    classes = own["p_hold"].notna().all()
    found = (prediction_sets if classes else prediction_intervals)(own, least=40, rate=0.05)
    return found.drop(columns="covered").astype(float)


def drifted(features: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Drift of each column in each fold, a row a fold, at its last test time."""
    table = drift(features, labels, WalkForward(_TRAIN, _TEST)).unstack("feature")
    table.columns = [f"{measure} of {name}" for measure, name in table.columns]
    ends = _times(features).unique()[_TRAIN + _TEST - 1 :: _TEST]
    table.index = pd.MultiIndex.from_product([["all"], ends], names=["symbol", "time"])
    return table


def _regime(bars: pd.DataFrame) -> pd.Series:
    """Regimes as numbers."""
    found = signals.volatility_regime(bars, span=10, least=50)
    return found.map({"unknown": np.nan, "calm": 0.0, "normal": 1.0, "wild": 2.0})


def _stood(bars: pd.DataFrame) -> pd.DataFrame:
    """What stands in for an ensemble that failed at every bar."""
    return signals.stand_in(signals.trend(bars, fast=3, slow=10), bars.index)


def recipes() -> dict[str, Recipe]:
    """A recipe for each thing that is fitted inside a training window beside the model."""
    ranker = make("LIGHTGBM", "signal_direction", rounds=10, min_rows_leaf=10)
    by_gain = partial(select, keep=3, by="gain", ranker=ranker)
    stops = {"stopping": ("LIGHTGBM",), "stopping_share": 0.25}
    return {
        "selection: without twins": Recipe(partial(select, max_correlation=0.7)),
        "selection: best by IC": Recipe(partial(select, keep=3)),
        "selection: best by gain": Recipe(by_gain),
        "row weights: uniqueness": Recipe(uniqueness=True),
        "row weights: decay": Recipe(last=0.2),
        "row weights: balanced": Recipe(balanced=True),
        "early stopping": Recipe(**stops),
        "search for settings": Recipe(trials=3, folds=2, seed=1),
        "calibration: temperature": Recipe(calibration="temperature"),
        "calibration: sigmoid": Recipe(calibration="sigmoid"),
        "calibration, then fitted again": Recipe(calibration="temperature", refit=True, **stops),
    }


def stages() -> pd.DataFrame:
    """Truncate and poison every stage that is fitted on data.

    Returns
    -------
    DataFrame indexed by stage
        `poisoned`, what was cut off and replaced; `probes`, how many comparisons were made;
        `difference`, the largest change up to t, inf where a number came or went; `first`,
        the first time that changed, NaT where nothing did; `passed`.
    """
    classes, numbers = predicted(), predicted("target_return")
    found = {
        "model alone": (_IN_WINDOW, in_window(fold_of())),
        "scale: LOGISTIC": (_IN_WINDOW, in_window(fold_of(["LOGISTIC"]))),
        "scale: LSTM": (_IN_WINDOW, in_window(fold_of(["LSTM"]), places=(20,))),
        "shares: MAJORITY": (_IN_WINDOW, in_window(fold_of(["MAJORITY"]))),
        "repeats: PERSISTENCE": (_SETTLED, in_window(fold_of(["PERSISTENCE"]), settled=True)),
    }
    for name, recipe in recipes().items():
        found[name] = (_IN_WINDOW, in_window(fold_of(recipe=recipe)))
    for method in ("weighted", "stacking"):
        for kind, table in {"classes": classes, "numbers": numbers}.items():
            proof = on_stream(partial(combined, method=method), table)
            found[f"ensemble: {method}, {kind}"] = (_IN_STREAM, proof)
    found["conformal sets"] = (_IN_STREAM, on_stream(_sets, classes))
    found["conformal intervals"] = (_IN_STREAM, on_stream(_sets, numbers))
    found["reference of drift"] = (_IN_WINDOW, in_window(drifted, places=(_TEST - 1,)))
    found["regimes"] = (_IN_BARS, causality.check(_regime, at=_BARS))
    found["rule that stands in"] = (_IN_BARS, causality.check(_stood, at=_BARS))
    rows = {name: _row(poisoned, proof) for name, (poisoned, proof) in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")


def _row(poisoned: str, proof: Causality) -> dict[str, object]:
    """A stage's row."""
    first = pd.NaT if proof.first is None else proof.first
    told = {"poisoned": poisoned, "probes": proof.probes, "difference": proof.difference}
    return told | {"first": first, "passed": proof.passed}
