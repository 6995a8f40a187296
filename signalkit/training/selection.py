"""Selection: which columns a model may read, decided inside its training window alone.

A column that does not vary there is never fed to a model; one that says what another says, or
less than the best, is left out where the params ask for it. Every column that is left out has
its reason. Labels of the training rows are all that selection may know of the future.
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.training.contract import Model
from signalkit.training.ranks import ROUNDING, blocks, rank_correlation, rank_ic

KEPT = "kept"
BY = ("ic", "gain")


def select(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    rows: np.ndarray,
    *,
    max_correlation: float | None = None,
    keep: int | None = None,
    by: str = "ic",
    ranker: Model | None = None,
) -> pd.Series:
    """What becomes of each column in a training window: kept, or why it is left out.

    Columns leave in this order: those without a value in some row, those with one value only
    in each symbol, twins, and what is not among the best.

    Parameters
    ----------
    features : DataFrame of shape (n_rows, n_features)
        The whole matrix, indexed by (symbol, time) or by time.
    labels : DataFrame of shape (n_rows, 2)
        `label` and `known_at`; read at `rows` only.
    rows : array of int
        Training rows; each has a label.
    max_correlation : float, optional
        No two columns that stay have an absolute rank correlation of at least this: from the
        largest absolute rank IC down, each that has it with one that stays leaves; none if
        omitted.
    keep : int, optional
        How many of the rest stay; all if omitted.
    by : str
        What makes a column good: `ic`, its absolute rank IC, or `gain` in a fit of `ranker`.
    ranker : Model, optional
        Unfitted model whose gain counts; a copy of it is fitted.

    Returns
    -------
    Series of str
        By feature: `kept`, or `missing in 3 rows`, `constant`, `redundant with rsi_14`,
        `not among the best 10`.

    Raises
    ------
    ParamsError
        If a setting is out of its range, or gain is asked for without a model that has it.

    Notes
    -----
    Rank correlations are taken over time within a symbol and averaged over symbols. Of equals
    the first column stays.

    Examples
    --------
    >>> table = pd.DataFrame({"same": [1.0, 1.0, 1.0], "varies": [1.0, 2.0, 5.0]})
    >>> labels = pd.DataFrame({"label": [1.0, -1.0, 0.0]})
    >>> select(table, labels, np.arange(3)).to_dict()
    {'same': 'constant', 'varies': 'kept'}
    """
    _check(max_correlation, keep, by, ranker)
    told = _varying(features, rows)
    if max_correlation is not None:
        told = _without_twins(told, features, labels, rows, max_correlation)
    left = told.index[told == KEPT]
    if keep is not None and len(left) > keep:
        if by == "gain":
            worth = copy.deepcopy(ranker).fit(features[left], labels, rows).importance()
        else:
            worth = _absolute_ic(features, labels, rows, left)
        worst = worth.sort_values(ascending=False, kind="stable").index[keep:]
        told[worst] = f"not among the best {keep}"
    return told


def _check(max_correlation: float | None, keep: int | None, by: str, ranker: Model | None) -> None:
    """Refuse settings that select nothing sensible."""
    if max_correlation is not None and not 0 < max_correlation <= 1:
        raise ParamsError(
            f"training.selection.max_correlation is above 0 and at most 1, was {max_correlation}"
        )
    if keep is not None and keep < 1:
        raise ParamsError(f"training.selection.keep must be at least 1, was {keep}")
    if by not in BY:
        raise ParamsError(f"training.selection.by is one of {', '.join(BY)}, was {by!r}")
    if by == "gain" and keep is not None and not hasattr(ranker, "importance"):
        told = ranker.model_type if ranker else None
        raise ParamsError(f"training.selection.by: gain needs a model that has it, was {told}")


def _varying(features: pd.DataFrame, rows: np.ndarray) -> pd.Series:
    """Columns that have a value in every row, and more than one but for rounding in some symbol."""
    values = features.to_numpy()[rows]
    parts = [values[mine] for mine in blocks(features.index[rows])]
    varies = np.any(
        [np.ptp(part, axis=0) > ROUNDING * np.abs(part).max(axis=0) for part in parts], axis=0
    )
    told = pd.Series(np.where(varies, KEPT, "constant"), index=features.columns, dtype=object)
    missing = np.isnan(values).sum(axis=0)
    for place in np.flatnonzero(missing):
        told.iloc[place] = f"missing in {missing[place]} rows"
    return told


def _absolute_ic(
    features: pd.DataFrame, labels: pd.DataFrame, rows: np.ndarray, names: pd.Index
) -> pd.Series:
    """Absolute rank IC of some columns in the training rows, 0 where there is none."""
    answers = labels["label"].to_numpy()[rows]
    return rank_ic(features[names].iloc[rows], answers).abs().fillna(0.0)


def _without_twins(
    told: pd.Series, features: pd.DataFrame, labels: pd.DataFrame, rows: np.ndarray, at_least: float
) -> pd.Series:
    """From the best down, a column that says what a better one says gets its reason."""
    names = told.index[told == KEPT]
    worth = _absolute_ic(features, labels, rows, names)
    alike = rank_correlation(features[names].iloc[rows]).abs() >= at_least - ROUNDING
    staying: list[str] = []
    for name in worth.sort_values(ascending=False, kind="stable").index:
        twin = next((better for better in staying if alike.loc[name, better]), None)
        if twin is None:
            staying.append(name)
        else:
            told[name] = f"redundant with {twin}"
    return told


def kept(told: pd.Series, *, where: str) -> list[str]:
    """Columns that a selection kept, in their order.

    Raises
    ------
    DataError
        If none is left.
    """
    names = told.index[told == KEPT].tolist()
    if not names:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in told.head(3).items())
        raise DataError(
            f"{where} has no feature left of {len(told)} ({reasons}); name features that vary, or"
            " lengthen validation.train"
        )
    return names
