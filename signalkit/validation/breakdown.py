"""Scores in parts: by fold, symbol, regime and the age of the model, each with its interval.

A score that is good in one part alone is a score of that part. The more parts are looked at,
the more of them look good by luck; none of them is a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from signalkit.validation.evidence import BASELINE, comparable, scores

# a part needs so many blocks of times for an interval
_LEAST_BLOCKS = 4


def ages(predictions: pd.DataFrame, parts: int = 4) -> pd.Series:
    """How old the model was at each prediction, in parts of a test window.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Out-of-sample predictions with their `fold`.
    parts : int
        How many parts of about equal length a test window is cut into.

    Returns
    -------
    Series of str indexed by (symbol, time)
        Such as `bars 0001-0062`: times since the first of its fold, counted from 1.
    """
    own = predictions["fold"].droplevel("model_id")
    own = own[~own.index.duplicated()]
    times = own.index.get_level_values("time")
    age = own.groupby(own).transform(
        lambda fold: pd.factorize(fold.index.get_level_values("time"), sort=True)[0]
    )
    longest = int(age.value_counts().index.max()) + 1 if len(times) else 1
    edges = np.linspace(0, longest, parts + 1).round().astype(int)
    place = np.searchsorted(edges[1:-1], age.to_numpy(), side="right")
    names = [f"bars {a + 1:04d}-{b:04d}" for a, b in pairwise(edges)]
    return pd.Series(np.array(names)[place], own.index, name="age")


def breakdown(
    predictions: pd.DataFrame,
    groups: Mapping[str, pd.Series],
    *,
    model: str,
    block: int,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Every score of one model in every part, with interval, baseline and gain.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Settled or not; MAJORITY's are among them.
    groups : mapping of str to Series
        By kind, such as `regime`: the part of each (symbol, time), such as `calm`.
    model : str
        The model that is scored.
    block, draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by (kind, part, metric)
        The columns of `evidence.scores`. A part of fewer times than four blocks has values
        without intervals; one in which the model never answered is left out.

    Raises
    ------
    DataError
        As `evidence.scores`.
    """
    names = predictions.index.get_level_values("model_id")
    mine = comparable(predictions[names.isin([model, BASELINE])])
    places = mine.index.droplevel("model_id")
    found = {}
    for kind, part in groups.items():
        own = part.reindex(places).to_numpy(dtype=object)
        for name in sorted({value for value in own if isinstance(value, str)}):
            rows = mine[own == name]
            n_times = rows.index.get_level_values("time").nunique()
            whole = n_times >= _LEAST_BLOCKS * block
            table = scores(
                rows,
                block=block if whole else 1,
                draws=draws if whole else 1,
                level=level,
                seed=seed,
            ).loc[model]
            if not whole:
                table[["low", "high", "gain_low", "gain_high", "p"]] = np.nan
            found[(kind, name)] = table
    return pd.concat(found, names=["kind", "part"])


def parts_of(predictions: pd.DataFrame, regime: pd.Series | None = None) -> dict[str, pd.Series]:
    """The usual parts of predictions: fold, symbol, age of the model, and regime where given."""
    own = predictions["fold"].droplevel("model_id")
    own = own[~own.index.duplicated()]
    symbol = pd.Series(own.index.get_level_values("symbol").astype(str), own.index)
    found = {"fold": own.map("fold {:03d}".format), "symbol": symbol, "age": ages(predictions)}
    return found if regime is None else found | {"regime": regime}
