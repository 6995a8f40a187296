"""The ensemble: members weighed by what was settled of them, and how far they disagree.

A weight at t reads predictions with `known_at` at or before t and nothing else: the last labels
of one fold settle inside the next, so weights move on in order of `known_at`, not of folds.
They are pooled over symbols. What the last labels of a study were never moves a weight.

Labels overlap, and symbols move together: a prediction counts as one over the number of its
symbol's predictions whose bars its label spans, and one over the symbols predicted at its time,
so that evidence grows by about one a horizon. A member that did not predict is charged the mean
loss of those that did: absence neither earns nor costs.

Sources: Cesa-Bianchi and Lugosi, Prediction, Learning, and Games (2006), sections 2.11
(discounted regret) and 3.3 (log-loss and learning rate 1); Bates and Granger, The Combination of
Forecasts (1969), for numbers; Stone, The Opinion Pool (1961); Lin, Divergence Measures Based on
the Shannon Entropy (1991), section V, for disagreement.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.metrics import CLASSES
from signalkit.training import steps
from signalkit.training.members import KEYS, PROBABILITIES, Members, side_by_side, without_failures
from signalkit.training.stacking import stack

ENSEMBLE = "ENSEMBLE"
METHODS = ("weighted", "mean", "stacking")


@dataclass(frozen=True)
class Combined:
    """What is made of several models' predictions.

    `predictions` are those that were given and the ensemble's, sorted. `weights` is indexed by
    time with a column a member, before members drop out. `disagreement` is indexed by (symbol,
    time), from 0 to 1, NaN where no member predicted; `stood` are the (symbol, time) at which
    none did. `dropped` counts the rows at which each member did not predict. `stackers` is
    indexed by the folds that a stacker predicts: each member's share of its absolute
    coefficients; empty for other methods.
    """

    predictions: pd.DataFrame
    weights: pd.DataFrame
    disagreement: pd.Series
    stood: pd.MultiIndex
    dropped: pd.Series
    stackers: pd.DataFrame


def combine(
    predictions: pd.DataFrame,
    members: Sequence[str],
    *,
    method: str = "weighted",
    half_life: float | None = None,
    least: float = 100.0,
    strength: float = 1.0,
) -> Combined:
    """Predictions with those of some models combined as one more model, ENSEMBLE.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Out-of-sample predictions of one target, in any order.
    members : sequence of str
        Models to combine. One without any row has failed everywhere.
    method : str
        `weighted`: for classes weights proportional to exp(-loss), the loss being the
        accumulated log-loss; for numbers proportional to 1 / mean squared error. `mean`: equal
        weights. `stacking`: a regression on the members' predictions, see
        `training.stacking`; `weighted` until there is enough, and where a member failed.
    half_life : float, optional
        Bars after which what was settled counts half; it counts for ever if omitted.
    least : float
        Settled predictions, each counted as above, that a stacker needs.
    strength : float
        Penalty of a stacker.

    Returns
    -------
    Combined
        Predictions, weights, disagreement and who failed. Weights are equal until something
        has settled. Members that failed at a row (no row, NaN, a share outside 0 to 1) drop
        out there and the rest are weighted to sum 1; where all did, the ensemble's prediction
        is NaN. Classes have the weighted mean of shares, the likeliest class, and as
        confidence its share times (1 - disagreement).

    Raises
    ------
    ParamsError
        If the method is unknown, there are no members or one twice, or a number is not above 0.
    DataError
        If a row is there twice, the table has no row, several targets or an ensemble already,
        or models differ in fold, known_at or actual of one bar.
    LeakError
        If a label is known at or before its own bar.

    Notes
    -----
    Disagreement of classes is the generalised Jensen-Shannon divergence of the members, entropy
    of the mean less mean of the entropies by weight, over ln 3. That of numbers is s / (s + |m|),
    s and m being their weighted standard deviation and mean. A lone member does not disagree.
    """
    check_asked(members, method, half_life=half_life, least=least, strength=strength)
    cells = side_by_side(predictions, members)
    if ENSEMBLE in cells.models:
        raise DataError(f"predictions hold {ENSEMBLE} already; combine the members' rows alone")
    weights = np.full((len(cells.clock), len(members)), 1 / len(members))
    decay = 1.0 if half_life is None else 0.5 ** (1 / half_life)
    if method != "mean":
        weights = _weights(cells, decay)
    values, disagreement = steps.mixed(cells.values, weights, cells.at)
    shares = {}
    if method == "stacking":
        fold = predictions["fold"].to_numpy()[cells.row]
        stacked, shares = stack(
            cells.values,
            cells.actual,
            (cells.at, cells.known, fold),
            counts=cells.count,
            decay=decay,
            least=least,
            strength=strength,
        )
        values = np.where(np.isnan(stacked), values, stacked)
    failed = np.isnan(cells.values).any(axis=2)
    return Combined(
        predictions=_joined(predictions, cells, values, disagreement),
        weights=pd.DataFrame(weights, index=cells.clock, columns=list(members)),
        disagreement=pd.Series(disagreement, index=cells.index, name="disagreement"),
        stood=cells.index[failed.all(axis=1)],
        dropped=pd.Series(failed.sum(axis=0), index=list(members), name="dropped"),
        stackers=pd.DataFrame.from_dict(
            shares, orient="index", columns=list(members), dtype=float
        ).rename_axis("fold"),
    )


def pool(
    shares: Sequence[np.ndarray], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members' probabilities pooled with given weights, as `combine` pools those of a time.

    Parameters
    ----------
    shares : sequence of m arrays of shape (n, 3)
        Each member's probabilities of -1, 0, 1; a row with NaN drops out.
    weights : array of shape (m,)
        Weight of each member, none below 0, their sum above 0.

    Returns
    -------
    tuple of arrays of shape (n, 3), (n,), (n,)
        Probabilities, confidence and disagreement; NaN where no member predicted.

    Raises
    ------
    ParamsError
        If there is not a usable weight for each member.
    DataError
        If the arrays' shapes are not the same (n, 3).

    Examples
    --------
    >>> one, two = np.array([[0.5, 0.5, 0.0]]), np.array([[0.0, 0.5, 0.5]])
    >>> proba, confidence, disagreement = pool([one, two], np.array([0.5, 0.5]))
    >>> proba.tolist(), confidence.round(4).tolist(), disagreement.round(4).tolist()
    ([[0.25, 0.5, 0.25]], [0.3423], [0.3155])
    """
    weights = np.asarray(weights, dtype=float)
    if (
        weights.shape != (len(shares),)
        or not np.all(weights >= 0)
        or not 0 < weights.sum() < np.inf
    ):
        raise ParamsError(
            f"{len(shares)} members need as many weights, none below 0 and not all 0, were"
            f" {weights.tolist()}"
        )
    shapes = sorted({np.shape(part) for part in shares})
    if len(shapes) > 1 or len(shapes[0]) != 2 or shapes[0][1] != len(CLASSES):
        raise DataError(f"members' shares need one shape (n, 3), had {shapes}")
    values = without_failures(np.stack(shares, axis=1).astype(float, copy=False))
    proba, disagreement = steps.mixed(values, weights[None], np.zeros(len(values), dtype=np.int64))
    return proba, confidence(proba, disagreement), disagreement


def check_asked(members: Sequence[str], method: str, **above_zero: float | None) -> None:
    """Refuse an unknown method, members that make no ensemble, and numbers not above 0."""
    if method not in METHODS:
        near = difflib.get_close_matches(str(method), METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(METHODS)}"
        raise ParamsError(f"no ensemble method {method!r}; {hint}")
    if isinstance(members, str) or not len(members) or len(set(members)) < len(members):
        raise ParamsError(f"an ensemble needs members, each once, were {members!r}")
    for name, value in above_zero.items():
        if value is not None and not 0 < value < np.inf:
            raise ParamsError(f"{name} of an ensemble must be above 0, was {value}")


def _weights(cells: Members, decay: float) -> np.ndarray:
    """Weights of the members at each time, from what is settled by then, shape (times, members)."""
    lost = np.zeros(cells.values.shape[1])
    settled = np.flatnonzero(cells.known < len(cells.clock))
    rows = settled[np.argsort(cells.known[settled], kind="stable")]
    starts = np.searchsorted(cells.known[rows], np.arange(len(cells.clock) + 1))
    return steps.weights(lost, starts, rows, cells.values, cells.actual, cells.count, decay)


def confidence(shares: np.ndarray, disagreement: np.ndarray) -> np.ndarray:
    """Share of the likeliest class, lowered by disagreement."""
    return shares.max(axis=1) * (1 - disagreement)


def _joined(
    predictions: pd.DataFrame, cells: Members, values: np.ndarray, disagreement: np.ndarray
) -> pd.DataFrame:
    """The predictions and the ensemble's, in order of symbol, time and model."""
    mine = predictions.iloc[cells.row].assign(
        **dict.fromkeys([*PROBABILITIES, "confidence"], np.nan)
    )
    mine["prediction"] = values[:, 0]
    if cells.classifies:
        mine[PROBABILITIES] = values
        likeliest = np.array(CLASSES, dtype=float)[values.argmax(axis=1)]
        mine["prediction"] = np.where(np.isnan(values[:, 0]), np.nan, likeliest)
        mine["confidence"] = confidence(values, disagreement)
    mine.index = _named(cells.index, ENSEMBLE)
    return pd.concat([predictions, mine[predictions.columns]]).sort_index()


def _named(index: pd.MultiIndex, model_id: str) -> pd.MultiIndex:
    """Rows of one model."""
    levels, codes = [*index.levels, pd.Index([model_id])], [*index.codes, np.zeros(len(index), int)]
    return pd.MultiIndex(levels, codes, names=KEYS, verify_integrity=False)
