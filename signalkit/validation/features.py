"""Evidence of features, from rows that no model had seen: what a column is worth, and to whom.

Three answers that need not agree: the rank IC asks whether the column alone goes with the label,
gain what the trees used, permutation what a model would lose without it. Each has an interval or
a spread over the folds, for among many columns some look good by luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.significance import draw_counts, few_at_once
from signalkit.training.ranks import (
    blocks,
    centred_ranks,
    clusters,
    correlations,
    mean_known,
    rank_correlation,
)
from signalkit.training.selection import KEPT
from signalkit.validation.walkforward import Walk

# absolute rank correlation from which on two columns are called twins
TWINS = 0.8
_ROUNDING = 1e-12
_WORTH = ["gain", "gain_error", "permutation", "low", "high", "helped"]
# cells of draws, or of columns, that are multiplied at once: 32 MB
_CELLS = 4_000_000


def importance(
    walk: Walk, *, block: int, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Importance of each feature to each model on the folds' test windows.

    Parameters
    ----------
    walk : Walk
        What `validation.walk` left.
    block : int
        Bars in a bootstrap block, at least the label's horizon.
    draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by (model_id, feature)
        `gain`, the mean share over the folds, and `gain_error`, its standard error;
        `permutation`, the mean rise of the loss over all rows when the feature is permuted
        (nats a row for a class; for a number a share of the model's mean squared error),
        `low` and `high`, its interval over drawn blocks of time, and `helped`, the share of
        folds in which it is above 0. Without a model that has gain there is no row.

    Notes
    -----
    A feature that says nothing has an expected permutation importance of 0, so its interval
    holds 0 as often as `level` says. Twins share what they know: each can be spared while
    the other is there, and both look small.
    """
    parts = {}
    for model, share in walk.gain.groupby(level="model_id"):
        rows = walk.rises.loc[model]
        means = rows.groupby(level="fold").mean()
        times = rows.index.get_level_values("time")
        value, low, high = _mean_ci(rows.to_numpy(), times, block, draws, level=level, seed=seed)
        columns = {
            "gain": share.mean(),
            "gain_error": share.sem() if len(share) > 1 else np.nan,
            "permutation": value,
            "low": low,
            "high": high,
            "helped": (means > 0).mean(),
        }
        parts[model] = pd.DataFrame(columns, index=share.columns)
    if not parts:
        none = pd.MultiIndex.from_arrays([[], []], names=["model_id", "feature"])
        return pd.DataFrame(columns=_WORTH, index=none, dtype=float)
    return pd.concat(parts, names=["model_id", "feature"])


def _mean_ci(
    values: np.ndarray,
    times: pd.DatetimeIndex,
    block: int,
    draws: int,
    *,
    level: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of each column and its interval: `bootstrap_ci` of a mean, for many columns at once."""
    clock, place = np.unique(times.asi8, return_inverse=True)
    sums = pd.DataFrame(values).groupby(place).sum().to_numpy()
    sizes = np.bincount(place)[:, None]
    counts = draw_counts(len(clock), block, draws, seed)
    # not a matrix product, whose last bits depend on the number of threads
    drawn = [np.einsum("dt,tk->dk", part, sums) / (part @ sizes) for part in few_at_once(counts)]
    low, high = _edges(np.concatenate(drawn), level)
    return values.mean(axis=0), low, high


def information(
    features: pd.DataFrame,
    walk: Walk,
    *,
    block: int,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    twins: float = TWINS,
) -> pd.DataFrame:
    """Rank IC of each feature on the rows that were predicted, its twins, and its selection.

    Parameters
    ----------
    features : DataFrame indexed by (symbol, time)
        The matrix that was walked through.
    walk : Walk
        What `validation.walk` left.
    block : int
        Bars in a bootstrap block, at least the label's horizon.
    draws, level, seed
        As in `significance.bootstrap_ci`.
    twins : float
        Absolute rank correlation from which on columns are twins.

    Returns
    -------
    DataFrame indexed by feature
        `ic`, over time within a symbol, the mean over symbols; `low` and `high`, its interval
        over drawn blocks of time; `n` rows; `cluster`, the number of its group of twins; and
        `kept`, the share of folds whose selection kept it.

    Raises
    ------
    DataError
        If nothing has settled.

    Notes
    -----
    Ranks are those among all the rows; a draw weighs them and does not rank again.
    """
    known = walk.predictions["actual"].dropna()
    answers = known[~known.index.droplevel("model_id").duplicated()].droplevel("model_id")
    if answers.empty:
        raise DataError("no prediction has settled; there is no rank IC")
    rows = features.loc[answers.index]
    times = rows.index.get_level_values("time")
    clock, place = np.unique(times.asi8, return_inverse=True)
    counts = draw_counts(len(clock), block, draws, seed)
    found = []
    for names in _few(rows):
        ics = _weighted_ics(rows[names], answers.to_numpy(), place)
        drawn = [ics(weights) for weights in few_at_once(counts)]
        found.append(np.vstack([ics(np.ones((1, len(clock)))), *drawn]))
    value, *drawn = np.hstack(found)
    low, high = _edges(np.array(drawn), level)
    columns = {
        "ic": value,
        "low": low,
        "high": high,
        "n": len(rows),
        "cluster": clusters(rank_correlation(rows), twins),
        "kept": (walk.selection == KEPT).mean(),
    }
    return pd.DataFrame(columns, index=features.columns).rename_axis("feature")


def _few(rows: pd.DataFrame) -> Iterator[pd.Index]:
    """The columns, a few at once."""
    step = max(1, _CELLS // len(rows))
    for start in range(0, rows.shape[1], step):
        yield rows.columns[start : start + step]


def _edges(drawn: np.ndarray, level: float) -> np.ndarray:
    """Quantiles of drawn values over the draws, NaN where a column has none."""
    edges = np.full((2, drawn.shape[1]), np.nan)
    known = np.isfinite(drawn).any(axis=0)
    tails = [(1 - level) / 2, (1 + level) / 2]
    edges[:, known] = np.nanquantile(drawn[:, known], tails, axis=0)
    return edges


def _weighted_ics(
    features: pd.DataFrame, answers: np.ndarray, place: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Rank ICs of all columns as a function of the weights of times, many draws at once."""
    values, parts = features.to_numpy(dtype=float), []
    for mine in blocks(features.index):
        x, y = centred_ranks(values[mine]), centred_ranks(answers[mine][:, None])
        parts.append((place[mine], np.hstack([x, y, x * y, x**2, y**2])))
    k = values.shape[1]

    def ics(weights: np.ndarray) -> np.ndarray:
        found = []
        for times, moments in parts:
            weight = weights[:, times]
            # sums of halves and quarters: exact, however many threads add them
            mean = weight @ moments / np.maximum(weight.sum(axis=1, keepdims=True), 1)
            x, y, xy, xx, yy = np.split(mean, [k, k + 1, 2 * k + 1, 3 * k + 1], axis=1)
            # a draw in which a side has one value leaves its rounding
            spread = [
                np.where(s - m**2 > _ROUNDING * s, s - m**2, np.nan) for s, m in ((xx, x), (yy, y))
            ]
            found.append((xy - x * y) / np.sqrt(spread[0] * spread[1]))
        return mean_known(np.array(found))

    return ics


def agreement(walk: Walk) -> pd.DataFrame:
    """How far the folds agree on which features matter.

    Returns
    -------
    DataFrame indexed by model_id
        `permutation` and `gain`: the mean rank correlation of the features' importances between
        every two folds. 1 is one order in all folds; 0 is another order in each, which is what
        features that say nothing give. NaN with fewer than two folds. `folds` counts them.
    """
    rises = walk.rises.groupby(level=["model_id", "fold"]).mean()
    tables = {"permutation": rises, "gain": walk.gain}
    found = {
        name: {m: _mean_pairwise(part) for m, part in table.groupby(level="model_id")}
        for name, table in tables.items()
    }
    folds = walk.gain.groupby(level="model_id").size()
    return pd.DataFrame(found).assign(folds=folds).rename_axis("model_id")


def _mean_pairwise(table: pd.DataFrame) -> float:
    """Mean rank correlation of every two rows."""
    if len(table) < 2:
        return np.nan
    ranks = centred_ranks(table.to_numpy().T)
    pairs = correlations(ranks, ranks)[np.triu_indices(len(table), 1)]
    return float(mean_known(pairs))


def left_out(selection: pd.DataFrame) -> list[str]:
    """A sentence about features that could say nothing in some training window, if there are any.

    Parameters
    ----------
    selection : DataFrame indexed by fold
        What `walk` left: `kept` or a reason, a column a feature.
    """
    silent = (selection == "constant") | selection.apply(
        lambda told: told.str.startswith("missing")
    )
    count = silent.sum()[silent.any()].sort_values(ascending=False, kind="stable")
    if count.empty:
        return []
    named = ", ".join(f"{name} in {folds}" for name, folds in count.head(5).items())
    more = f" and {len(count) - 5} more" if len(count) > 5 else ""
    return [
        f"Without a value that varies in the training window, and so not fed to a model, were, of"
        f" {len(selection)} folds: {named}{more}."
    ]
