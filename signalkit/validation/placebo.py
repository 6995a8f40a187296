"""The placebo: the same pipeline on labels that belong to other bars, where nothing can be found.

Labels are shifted in a circle against the features, within each symbol, by at least the longest
window. They keep their shares, their clusters and their overlap; what they lose is any tie to
the bar they now stand at. A pipeline that finds something there finds it anywhere.

Source: Politis and Romano (1992) for circles; Phipson and Smyth, Permutation p-values should
never be zero (2010), for the p-value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from signalkit.bars import by_symbol
from signalkit.errors import DataError, ParamsError
from signalkit.labeling.weights import spans
from signalkit.splits import WalkForward
from signalkit.training import Recipe
from signalkit.training.contract import Model
from signalkit.validation.evidence import BASELINE, scores
from signalkit.validation.walkforward import check, walk_forward


def shifted(labels: pd.DataFrame, by: int) -> pd.DataFrame:
    """Labels moved in a circle by some rows within each symbol, `known_at` made anew.

    Parameters
    ----------
    labels : DataFrame indexed by (symbol, time)
        `label` and `known_at`.
    by : int
        Rows; each row takes the answer, and the wait for it, of the row so far before it, the
        first rows those of the last.

    Returns
    -------
    DataFrame indexed by (symbol, time)
        As the labels. A row whose new wait reaches past the last bar has no answer yet, and
        is left out.

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=4, freq="D", tz="UTC", name="time")
    >>> index = pd.MultiIndex.from_product([["A"], times[:3]], names=["symbol", "time"])
    >>> labels = pd.DataFrame({"label": [1.0, 0.0, -1.0], "known_at": times[1:]}, index)
    >>> shifted(labels, 1)["label"].tolist()
    [-1.0, 1.0, 0.0]
    """
    parts = []
    for symbol, block in by_symbol(labels):
        found = spans(block)
        wait = np.roll(found.last - found.first + 1, by)
        settles = found.first - 1 + wait
        known = settles < len(found.clock)
        clock = pd.DatetimeIndex(found.clock)
        moved = pd.DataFrame(
            {
                "label": np.roll(block["label"].to_numpy(), by)[known],
                "known_at": clock[settles[known]],
            },
            index=block.index[known],
        )
        parts.append(pd.concat({symbol: moved}, names=["symbol", "time"]))
    return pd.concat(parts)


def shifts(labels: pd.DataFrame, count: int, *, least: int, seed: int) -> list[int]:
    """Different shifts, each at least so long from either side.

    Parameters
    ----------
    labels : DataFrame indexed by (symbol, time)
        What is to be shifted.
    count : int
        How many.
    least : int
        Rows, at least the longest window of a feature.
    seed : int
        Same seed, same shifts.

    Raises
    ------
    DataError
        If there are not so many shifts.
    """
    shortest = int(labels.groupby(level="symbol", sort=False).size().min())
    there = max(shortest - 2 * least + 1, 0)
    if there < count:
        raise DataError(
            f"{shortest} labels have {there} shifts of {least} rows or more from either"
            f" side, {count} were asked for; lower validation.placebos or add bars"
        )
    drawn = np.random.default_rng(seed).choice(there, count, replace=False)
    return sorted(int(least + place) for place in drawn)


def check_shifts(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    models: Mapping[str, Model],
    splits: WalkForward,
    *,
    by: Sequence[int],
) -> None:
    """Refuse shifts that leave a fold nothing to learn, before anything is fitted.

    Raises
    ------
    DataError
        With the shift, the fold and what it lacks.
    """
    for shift in by:
        try:
            check(features, shifted(labels, shift), models, splits)
        except DataError as cause:
            raise DataError(
                f"a placebo, labels shifted by {shift} rows: {cause}; or ask for none with"
                " validation.placebos: 0"
            ) from None


def placebo(
    features: pd.DataFrame,
    labels: pd.DataFrame,
    models: Mapping[str, Model],
    splits: WalkForward,
    *,
    by: Sequence[int],
    metric: str,
    block: int,
    recipe: Recipe | None = None,
    pooled: bool = True,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of a model on shifted labels: what the pipeline finds where there is nothing.

    Parameters
    ----------
    features, labels, splits, recipe, pooled
        As in `validation.walk_forward`.
    models : mapping of str to Model
        One model, and MAJORITY.
    by : sequence of int
        Shifts, in rows.
    metric : str
        The score that is judged.
    block, draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by shift
        `model_id`, the model that was asked; `value low high`, `gain` over the baseline with
        `gain_low` and `gain_high`, and `p`, the one-sided p-value of that gain; where the
        pipeline is honest the p-values of many shifts are uniform.

    Raises
    ------
    ParamsError
        If there is not exactly one model beside MAJORITY.
    """
    names = [name for name in models if name != BASELINE]
    if len(names) != 1 or BASELINE not in models:
        raise ParamsError(f"a placebo takes one model and {BASELINE}, was given {sorted(models)}")
    rows = {}
    for shift in by:
        moved = shifted(labels, shift)
        found = walk_forward(features, moved, models, splits, recipe=recipe, pooled=pooled)
        table = scores(found, block=block, draws=draws, level=level, seed=seed, only=[metric])
        rows[shift] = table.loc[(names[0], metric)]
    columns = ["value", "low", "high", "gain", "gain_low", "gain_high", "p"]
    table = pd.DataFrame(rows, index=columns, dtype=float).T.rename_axis("shift")
    table.insert(0, "model_id", pd.Series(names[0], table.index, dtype="str"))
    return table
