"""Stability: whether the folds agree on what matters, and whether a score lasts.

An importance that another fold does not confirm is luck, and so is a score that only the first
folds have. Both are told, and neither is a verdict.

Sources: Kuncheva, A Stability Index for Feature Selection (2007); Nogueira, Sechidis and Brown,
On the Stability of Feature Selection Algorithms (2018); Newey and West, A Simple, Positive
Semi-definite, Heteroskedasticity and Autocorrelation Consistent Covariance Matrix (1987).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.training.ranks import mean_known
from signalkit.validation.walkforward import Walk

# folds that a slope needs to have an error
_LEAST_FOLDS = 4


def stability(walk: Walk, k: int = 10) -> pd.DataFrame:
    """Whether the folds agree on the k features that matter most.

    Parameters
    ----------
    walk : Walk
        What `validation.walk` left.
    k : int
        Features a fold may name, at least 1; it names no feature of importance 0 or below.

    Returns
    -------
    DataFrame indexed by model_id
        By `permutation` and by `gain`: `..._overlap`, the mean over every two folds of the
        features both name as a share of those that either names (Jaccard); `..._stability`, 1
        where all name the same and about 0 where they name at random. NaN with fewer than two
        folds, or where none or all features are named. `folds` counts them.

    Raises
    ------
    ParamsError
        If `k` is below 1.

    Notes
    -----
    Stability is that of Nogueira, Sechidis and Brown (2018); where every fold names k features
    it is the mean of Kuncheva's (2007) index over every two folds. `agreement` compares whole
    orders.
    """
    if k < 1:
        raise ParamsError(f"stability asks for the k best features, k was {k}; ask for 1 or more")
    tables = {
        "permutation": walk.rises.groupby(level=["model_id", "fold"]).mean(),
        "gain": walk.gain,
    }
    found = {}
    for name, table in tables.items():
        best = table.rank(axis=1, ascending=False, method="first").le(k) & (table > 0)
        parts = {model: part.to_numpy() for model, part in best.groupby(level="model_id")}
        found[f"{name}_overlap"] = {model: _jaccard(part) for model, part in parts.items()}
        found[f"{name}_stability"] = {model: _nogueira(part) for model, part in parts.items()}
    folds = walk.gain.groupby(level="model_id").size()
    return pd.DataFrame(found).assign(folds=folds).rename_axis("model_id")


def _jaccard(named: np.ndarray) -> float:
    """Mean over every two rows of the share both name of what either names."""
    one, other = np.triu_indices(len(named), 1)
    if not len(one):
        return np.nan
    both = (named[one] & named[other]).sum(axis=1)
    either = (named[one] | named[other]).sum(axis=1)
    return float(mean_known(np.where(either > 0, both / np.maximum(either, 1), np.nan)))


def _nogueira(named: np.ndarray) -> float:
    """1 less the variance of what is named, in units of that of random names."""
    share = named.mean(axis=0)
    chance = share.mean() * (1 - share.mean())
    if len(named) < 2 or chance == 0:
        return np.nan
    return float(1 - (share * (1 - share)).mean() * len(named) / (len(named) - 1) / chance)


def decay(by_fold: pd.DataFrame, metric: str, *, lags: int | None = None) -> pd.DataFrame:
    """How fast a score changes from fold to fold.

    Parameters
    ----------
    by_fold : DataFrame indexed by (model_id, fold)
        What `validation.by_fold` gave.
    metric : str
        One of its columns.
    lags : int, optional
        Neighbouring folds whose errors may go together; 4 (n / 100)^(2/9), rounded down, if
        omitted, the rule of Newey and West (1994).

    Returns
    -------
    DataFrame indexed by model_id
        `slope`, the least-squares change of the score a fold, in its own units (of a loss a
        rise is the decay); `error`, its standard error; `t`; `p`, two-sided from Student's t
        with folds - 2; and `folds` that have the score. NaN with fewer than 4 of them.

    Raises
    ------
    DataError
        If there is no such score.

    Notes
    -----
    The error is that of Newey and West (1987), Bartlett weights, times n / (n - 2). With a
    dozen folds it is too small rather than too large.
    """
    if metric not in by_fold:
        raise DataError(f"by_fold has no score {metric!r}; it has {sorted(by_fold.columns)}")
    found = {
        model: _slope(part.droplevel("model_id").dropna(), lags)
        for model, part in by_fold[metric].groupby(level="model_id")
    }
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("model_id")


def _slope(scores: pd.Series, lags: int | None) -> dict[str, float]:
    """Slope of a score over the folds, with its error."""
    n = len(scores)
    if n < _LEAST_FOLDS:
        return dict.fromkeys(["slope", "error", "t", "p"], np.nan) | {"folds": n}
    from scipy.stats import t as student  # noqa: PLC0415 - takes over 0.3 s

    y, x = scores.to_numpy(dtype=float), scores.index.to_numpy(dtype=float)
    x, y = x - x.mean(), y - y.mean()
    slope = (x * y).sum() / (x**2).sum()
    pull = x * (y - slope * x)
    reach = int(4 * (n / 100) ** (2 / 9)) if lags is None else lags
    total = (pull**2).sum()
    for lag in range(1, min(reach, n - 1) + 1):
        total += 2 * (1 - lag / (reach + 1)) * (pull[lag:] * pull[:-lag]).sum()
    error = np.sqrt(total * n / (n - 2)) / (x**2).sum()
    t = slope / error if error > 0 else np.nan
    return {"slope": slope, "error": error, "t": t, "p": 2 * student.sf(abs(t), n - 2), "folds": n}
