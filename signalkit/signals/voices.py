"""Voices: what models and rules say of each bar, side by side.

A voice leans from -1, sell, to 1, buy: the mean outcome that it expects. A model of classes
leans by its shares. A rule, or a model of numbers, tells a direction and no probability; by the
convention of `signals.stand_in` the side that it takes has twice the share of each other class.

The order in which tables hold their rows makes no difference to anything here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from signalkit.errors import DataError, ParamsError
from signalkit.signals.timeline import KEYS, Rows, row_of, rows_of

SAYS = ("direction", "long", "short", "nothing")
_SHARES = ["p_sell", "p_hold", "p_buy"]
# targets whose predictions are numbers
_NUMBERS = frozenset({"target_return", "target_volatility"})
_PARTS = ("lean", "up", "down", "sure", "told")
# by how much a share may exceed 1 for rounding
_SLACK = 1e-9


def _classes(predictions: pd.DataFrame | None, says: str) -> int:
    """How many classes outcomes have: a direction has 3, a trade that pays or not and a number 2.

    Raises
    ------
    DataError
        If predictions are of several targets.
    """
    if predictions is not None and len(predictions):
        targets = predictions["target"].unique()
        if len(targets) > 1:
            raise DataError(f"predictions are of the targets {list(targets)}; fuse one at a time")
        if targets[0] in _NUMBERS:
            return 2
    return 3 if says == "direction" else 2


def _of_rule(vote: np.ndarray, classes: int) -> list[np.ndarray]:
    """What a rule says: the side of its vote has twice the share of each other class."""
    silent = ~(np.abs(vote) > 0)
    other = 1 / (classes + 1)
    up, down = (np.where(vote == side, 2 * other, other) for side in (1, -1))
    lean = np.where(silent, np.nan, vote * other)
    return [lean, up, down, np.full(len(vote), 2 * other), vote]


def _of_model(mine: pd.DataFrame, symbol: np.ndarray, says: str) -> list[np.ndarray]:
    """What a model says at its rows, in order of symbol and time."""
    if mine["target"].iloc[0] in _NUMBERS:
        return _of_numbers(mine["prediction"].to_numpy(dtype=float), symbol)
    return _of_shares(mine, says)


def _of_shares(table: pd.DataFrame, says: str) -> list[np.ndarray]:
    """What a model of classes says; confidence below its largest share lowers them all."""
    sell, hold, buy = (table[name].to_numpy(dtype=float) for name in _SHARES)
    largest = np.maximum(np.maximum(sell, hold), buy)
    least = np.minimum(np.minimum(sell, hold), buy)
    failed = ~((least >= 0) & (largest <= 1 + _SLACK))
    sure = table["confidence"].to_numpy(dtype=float)
    sure = np.clip(np.where(np.isnan(sure), largest, sure), 0.0, 1.0)
    kept = np.divide(sure, largest, out=np.ones_like(sure), where=largest > 0)
    against = sell if says == "direction" else hold
    lean = np.where(failed, np.nan, np.clip(buy - against, -1.0, 1.0))
    told = table["prediction"].to_numpy(dtype=float)
    if says == "short":
        return [-lean, against * kept, buy * kept, sure, told]
    return [lean, buy * kept, against * kept, sure, told]


def _of_numbers(told: np.ndarray, symbol: np.ndarray) -> list[np.ndarray]:
    """What a model of numbers says.

    A number of its usual size leans as a rule does: 1/3 at the mean of its absolute
    predictions for the symbol so far, 2/3 at most.
    """
    lean = _against_usual(told, symbol) * 2 / 3
    return [lean, (1 + lean) / 2, (1 - lean) / 2, (1 + np.abs(lean)) / 2, told]


@njit(cache=True)
def _against_usual(told, symbol):  # noqa: ANN001, ANN202 - numba
    """X / (|x| + mean of |x| of the symbol so far, x among them); NaN where it failed."""
    out = np.full(len(told), np.nan)
    total, n = 0.0, 0
    for i in range(len(told)):
        if i == 0 or symbol[i] != symbol[i - 1]:
            total, n = 0.0, 0
        if not np.isfinite(told[i]):
            continue
        size = abs(told[i])
        total += size
        n += 1
        out[i] = told[i] / (size + total / n) if size > 0 else 0.0
    return out


@dataclass(frozen=True)
class Choir:
    """All voices, in order of their names, at all rows; arrays have the shape (voices, rows).

    `lean` is NaN where a voice says nothing, `up` and `down` are the shares of the sides, `sure`
    is its confidence, `told` the prediction or direction itself. `answered` are the rows for
    which a signal is asked, `index` names them. `placed` is the row of each prediction.
    """

    rows: Rows
    index: pd.MultiIndex
    answered: np.ndarray
    placed: np.ndarray
    names: list[str]
    rules: np.ndarray
    lean: np.ndarray
    up: np.ndarray
    down: np.ndarray
    sure: np.ndarray
    told: np.ndarray


def gathered(
    predictions: pd.DataFrame | None,
    votes: pd.DataFrame | None,
    models: Sequence[str] | None,
    says: str,
) -> Choir:
    """Voices of models and rules side by side."""
    if says not in SAYS:
        raise ParamsError(f"predictions say one of {', '.join(SAYS)}, was {says!r}")
    if predictions is None and votes is None:
        raise ParamsError("there is nothing to fuse; give predictions, votes of rules or both")
    tables = {"predictions": predictions, "votes": votes}
    found = [(table.index, name) for name, table in tables.items() if table is not None]
    rows, classes = rows_of(*found), _classes(predictions, says)
    placed = np.empty(0, dtype=np.int64)
    if predictions is not None:
        placed = row_of(rows.key, rows.keys(predictions.index, "predictions"))
    members = _models(predictions, placed, models)
    rules = {} if votes is None else dict.fromkeys(map(str, votes.columns))
    if votes is not None and len(rules) < votes.shape[1]:
        raise DataError(f"votes have a rule twice; their columns are {list(votes.columns)}")
    both = [name for name in rules if name in members]
    if both:
        raise DataError(f"{both[0]!r} is a model and a rule; rename one of them")
    names = sorted([*members, *rules])
    if not names:
        raise ParamsError("there is no voice to fuse; name models or rules")
    parts = np.full((len(_PARTS), len(names), len(rows.key)), np.nan)
    for name, mine in members.items():
        if says != "nothing" and len(mine):
            # in order of symbol and time, whatever the order of the table
            mine = mine[np.argsort(placed[mine], kind="stable")]
            said = _of_model(
                predictions.iloc[mine], rows.key[placed[mine]] // len(rows.clock), says
            )
            parts[:, names.index(name), placed[mine]] = said
    if votes is not None:
        place = rows.places(votes.index, "votes")
        for name in votes.columns:
            parts[:, names.index(str(name)), place] = _of_rule(_checked(votes[name]), classes)
    answered, index = _asked(rows, predictions, votes, placed)
    heard = np.array([name in rules for name in names])
    return Choir(rows, index, answered, placed, names, heard, *parts)


def _asked(
    rows: Rows,
    predictions: pd.DataFrame | None,
    votes: pd.DataFrame | None,
    placed: np.ndarray,
) -> tuple[np.ndarray, pd.MultiIndex]:
    """Rows that are answered, those of predictions where there are any, and their index."""
    if predictions is None or (votes is not None and not len(predictions)):
        place, index = row_of(rows.key, rows.keys(votes.index, "votes")), votes.index
    else:
        place, index = placed, predictions.index.droplevel(2)
    found = np.full(len(rows.key), -1, dtype=np.int64)
    # any row of a (symbol, time) names it
    found[place] = np.arange(len(place))
    answered = np.flatnonzero(found >= 0)
    return answered, index.take(found[answered])


def _models(
    predictions: pd.DataFrame | None, placed: np.ndarray, models: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """The rows of predictions that each model has."""
    if isinstance(models, str):
        raise ParamsError(f"models is a list of names, was {models!r}")
    if predictions is None:
        return dict.fromkeys(models or (), placed)
    if predictions.index.names != [*KEYS, "model_id"]:
        raise DataError(
            "predictions are indexed by symbol, time and model_id, was"
            f" {list(predictions.index.names)}"
        )
    level, code = predictions.index.levels[2], predictions.index.codes[2]
    cells = placed * len(level) + code
    if np.bincount(cells, minlength=1).max() > 1:
        twice = predictions.index[predictions.index.duplicated()][0]
        raise DataError(f"predictions have two rows at {twice}; drop the repeated row")
    there = level[np.bincount(code, minlength=len(level)) > 0]
    asked = dict.fromkeys(there if models is None else models)
    nowhere = np.empty(0, dtype=np.int64)
    return {
        str(name): np.flatnonzero(code == level.get_loc(name)) if name in there else nowhere
        for name in asked
    }


def _checked(votes: pd.Series) -> np.ndarray:
    """Votes of a rule, which are directions."""
    given = votes.to_numpy(dtype=float)
    wrong = ~((given == 0) | (np.abs(given) == 1) | np.isnan(given))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"rule {votes.name} votes {given[row]:g} at {votes.index[row]}; a vote is -1, 0 or 1"
        )
    return given
