"""Information coefficients: how well predictions order what came, in a panel of symbols.

With 10 symbols or more at a time, predictions are compared across the symbols of that time: a
market that moves as one then helps nobody. With fewer, they are compared over time within a
symbol, and rows of two symbols never with each other.

Source: Grinold and Kahn, Active Portfolio Management (2000), chapter 6.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.metrics.rows import count_rows

# symbols of one time below which a correlation across them says nothing
LEAST_SYMBOLS = 10


def coefficients(prediction: pd.Series, actual: pd.Series) -> pd.DataFrame:
    """Correlations of prediction and outcome, one a time or one a symbol.

    Parameters
    ----------
    prediction, actual : Series indexed by (symbol, time)
        Predicted and settled numbers of the same rows.

    Returns
    -------
    DataFrame indexed by time or by symbol
        `ic` (Pearson), `rank_ic` (Spearman, ties at their mean rank) and `n` rows. By time,
        across symbols, where a time has at least 10 of them (times with fewer are left out);
        otherwise by symbol, over time. NaN where one side is constant.

    Raises
    ------
    DataError
        If the rows differ or repeat, are not of symbols and times, or a value is not finite.
    """
    _check_rows(prediction, actual)
    table = pd.DataFrame({"prediction": prediction, "actual": actual})
    crowd = table.groupby(level="time")["actual"].transform("size") >= LEAST_SYMBOLS
    axis = "time" if crowd.any() else "symbol"
    table = table[crowd] if crowd.any() else table
    ranks = table.groupby(level=axis).rank()
    found = {"ic": _correlations(table, axis), "rank_ic": _correlations(ranks, axis)}
    return pd.DataFrame(found).assign(n=table.groupby(level=axis).size())


def information(prediction: pd.Series, actual: pd.Series) -> pd.DataFrame:
    """Mean information coefficient of predictions, and how steady it is.

    Parameters
    ----------
    prediction, actual : Series indexed by (symbol, time)
        Predicted and settled numbers of the same rows.

    Returns
    -------
    DataFrame indexed by `ic`, `rank_ic`
        `value`, the mean of the `coefficients`; `spread`, their standard deviation (ddof 1);
        `icir`, value / spread, not annualised; `n`, how many there are; `by`, time or
        symbol: what each of them belongs to. `icir` is NaN where they are fewer than two, or
        all equal. By symbol it compares symbols, and says nothing of steadiness over time.

    Raises
    ------
    DataError
        As `coefficients`.
    """
    found = coefficients(prediction, actual)
    each = found[["ic", "rank_ic"]]
    table = pd.DataFrame({"value": each.mean(), "spread": each.std(ddof=1)})
    icir = table["value"] / table["spread"].where(table["spread"] > 0)
    return table.assign(icir=icir, n=each.count(), by=found.index.name)


def _check_rows(prediction: pd.Series, actual: pd.Series) -> None:
    """Refuse rows that are not the same, once each, of symbols and times, and finite."""
    if list(prediction.index.names) != ["symbol", "time"]:
        raise DataError(
            "information is asked of rows indexed by symbol and time, was"
            f" {list(prediction.index.names)}"
        )
    if not prediction.index.equals(actual.index) or prediction.index.has_duplicates:
        raise DataError(
            f"{len(prediction)} predictions and {len(actual)} outcomes need the same rows, once"
            " each; align them first"
        )
    count_rows(prediction.to_numpy(dtype=float), actual.to_numpy(dtype=float))


def _correlations(table: pd.DataFrame, axis: str) -> pd.Series:
    """Pearson's correlation of the two columns in each group, NaN where one is constant."""
    groups = table.groupby(level=axis)
    moves = (groups.max() > groups.min()).all(axis=1)
    centred = table - groups.transform("mean")
    products = pd.DataFrame(
        {
            "both": centred["prediction"] * centred["actual"],
            "one": centred["prediction"] ** 2,
            "other": centred["actual"] ** 2,
        }
    )
    sums = products.groupby(level=axis).sum()
    scale = np.sqrt(sums["one"] * sums["other"])
    return (sums["both"] / scale.where(moves)).clip(-1, 1)
