"""What a feature matrix says of its own columns: which are empty, constant or full of holes.

A column that says nothing is named, by feature and symbol; it is never left out in silence.
The leading NaN of a column are its warm-up and count for nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from signalkit.bars import by_symbol
from signalkit.errors import DataError

EVERY = ""  # the symbol under which a report speaks of all rows
LIMIT = 256  # distinct values are counted up to here
_ALIKE = 1e-12  # of the largest value: what differs by less is rounding
_FEW = 3  # symbols named in a sentence
_HOLES = 0.5  # share of missing numbers that is worth a finding


@njit(cache=True)
def _survey(values: np.ndarray, limit: int) -> tuple[int, int, int, int, float, float]:
    """First and last place of a number, how many there are and are distinct, least, largest.

    Distinct values are counted to `limit` in a table of twice as many places; places are -1
    where there is no number.
    """
    first, last, count, distinct = -1, -1, 0, 0
    least, largest = np.inf, -np.inf
    size = 2 * limit
    table, used = np.empty(size), np.zeros(size, dtype=np.bool_)
    before = np.nan
    for row in range(len(values)):
        value = values[row]
        if np.isnan(value):
            continue
        if first < 0:
            first = row
        last = row
        count += 1
        if value < least:
            least = value
        if value > largest:
            largest = value
        if distinct == limit or value == before:
            continue
        before = value
        place = hash(value) % size
        while used[place] and table[place] != value:
            place = (place + 1) % size
        if not used[place]:
            used[place] = True
            table[place] = value
            distinct += 1
    return first, last, count, distinct, least, largest


def columns_report(matrix: pd.DataFrame) -> pd.DataFrame:
    """What can be said of each column before a model sees it.

    Parameters
    ----------
    matrix : DataFrame of shape (n_rows, n_features)
        Features of one symbol, indexed by time, or of a panel, indexed by (symbol, time).

    Returns
    -------
    DataFrame of shape (n_features * (n_symbols + 1), 8)
        Indexed by feature and symbol; the symbol "" speaks of all rows, and alone where the
        matrix is no panel. `rows`; `empty`, whether there is no number at all; `missing`, the
        share of NaN from the first number on, 1 where there is none; `distinct` values, at
        most 256; `constant`, whether all numbers, two or more, are one but for rounding;
        `value`, that number, else NaN; `first` and `last` time of a number.

    Raises
    ------
    DataError
        If the matrix has no rows or columns, or a name twice.
    """
    if not matrix.size:
        raise DataError(
            f"the feature matrix has {len(matrix)} rows and {matrix.shape[1]} columns; build one"
            " feature of one bar at least"
        )
    if not matrix.columns.is_unique:
        twice = matrix.columns[matrix.columns.duplicated()][0]
        raise DataError(f"the feature matrix has {twice!r} twice; name each feature once")
    parts = {symbol: _figures(block) for symbol, block in by_symbol(matrix)}
    if EVERY not in parts:
        parts[EVERY] = _together(list(parts.values()), matrix)
    figures = pd.concat(parts, names=["symbol", "feature"]).swaplevel()
    places = pd.MultiIndex.from_product([matrix.columns, parts], names=["feature", "symbol"])
    return _report(figures.loc[places])


def _figures(block: pd.DataFrame) -> pd.DataFrame:
    """What is counted in one symbol's rows, a row a column."""
    found = [_survey(block[name].to_numpy(dtype=float), LIMIT) for name in block.columns]
    first, last, count, distinct, least, largest = (
        np.array(part) for part in zip(*found, strict=True)
    )
    some = count > 0
    return pd.DataFrame(
        {
            "rows": len(block),
            "count": count,
            "expected": np.where(some, len(block) - first, len(block)),
            "distinct": distinct,
            "least": least,
            "largest": largest,
            "first": block.index[first].where(some),
            "last": block.index[last].where(some),
        },
        index=block.columns,
    )


def _together(parts: list[pd.DataFrame], matrix: pd.DataFrame) -> pd.DataFrame:
    """What is counted in all symbols' rows."""
    of_feature = pd.concat(parts).groupby(level=0, sort=False)
    how = dict.fromkeys(("rows", "count", "expected"), "sum")
    how |= {"least": "min", "largest": "max", "first": "min", "last": "max"}
    figures = of_feature.agg(how)
    # values of one symbol may be those of another: no sum of the symbols' own
    whole = {name: _survey(matrix[name].to_numpy(dtype=float), LIMIT)[3] for name in matrix.columns}
    return figures.assign(distinct=pd.Series(whole))


def _report(figures: pd.DataFrame) -> pd.DataFrame:
    """Shares and verdicts of what was counted."""
    some, several = figures["count"] > 0, figures["count"] > 1
    size = np.maximum(figures["least"].abs(), figures["largest"].abs())
    # nothing subtracted where there is no number: least is inf there, and largest -inf
    spread = figures["largest"].where(some) - figures["least"].where(some)
    constant = several & (spread <= _ALIKE * size)
    return pd.DataFrame(
        {
            "rows": figures["rows"],
            "empty": ~some,
            "missing": 1 - figures["count"] / figures["expected"],
            "distinct": figures["distinct"],
            "constant": constant,
            "value": figures["least"].where(constant),
            "first": figures["first"],
            "last": figures["last"],
        }
    )


def findings(report: pd.DataFrame) -> list[str]:
    """What a reader must know of columns before a model is fed with them.

    Parameters
    ----------
    report : DataFrame
        As `columns_report` gives it.

    Returns
    -------
    list of str
        What is empty, constant or mostly missing, and the symbols it is so on; features of
        which the same is said share a sentence. Empty where all is well.

    Examples
    --------
    >>> times = pd.date_range("2024-01-01", periods=2, freq="D", tz="UTC", name="time")
    >>> findings(columns_report(pd.DataFrame({"hour_sine": [0.0, 0.0]}, times)))
    ['hour_sine is constant (0 everywhere): it tells a model nothing']
    """
    told: dict[str, list[str]] = {}
    for feature, rows in report.groupby(level="feature", sort=False):
        own = rows.droplevel("feature")
        own = own.drop(index=EVERY) if len(own) > 1 else own
        said = (_emptiness(own), _sameness(own), _holes(own))
        for words in filter(None, said):
            told.setdefault(words, []).append(feature)
    return [f"{_several(names)} {words}" for words, names in told.items()]


def _several(names: list[str]) -> str:
    """Features as the subject of a sentence in the singular."""
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return names[0] if len(names) == 1 else f"each of {', '.join(names[:_FEW])}{more}"


def _emptiness(own: pd.DataFrame) -> str:
    """Where a feature has no value, "" where it has."""
    empty = own[own["empty"]]
    if empty.empty:
        return ""
    return (
        f"has no value{_on(empty, own)} (0 of {empty['rows'].max()} bars): its warm-up or the gaps"
        " take them all; collect more bars, or leave it out"
    )


def _sameness(own: pd.DataFrame) -> str:
    """Where a feature is constant, "" where it is not."""
    constant = own[own["constant"]]
    if constant.empty:
        return ""
    values = constant["value"].unique()
    said = f"{values[0]:.6g} everywhere" if len(values) == 1 else "another number on each"
    tells = "it tells a model nothing" if len(values) == 1 else "it tells symbols apart, no more"
    return f"is constant{_on(constant, own)} ({said}): {tells}"


def _holes(own: pd.DataFrame) -> str:
    """Where a feature is missing more often than not, "" where it is not."""
    holed = own[(own["missing"] > _HOLES) & ~own["empty"]]
    if holed.empty:
        return ""
    share = (
        f"up to {holed['missing'].max():.0%}"
        if len(holed) > 1
        else f"{holed['missing'].iloc[0]:.0%}"
    )
    return (
        f"is missing in {share} of the bars after its first value{_on(holed, own)}: gaps start its"
        " warm-up anew; take shorter windows, or allow a longer max_gap"
    )


def _on(some: pd.DataFrame, own: pd.DataFrame) -> str:
    """The symbols of some rows, in words; nothing where there is one nameless symbol."""
    names = list(some.index)
    if names == [EVERY]:
        return ""
    if len(names) == len(own) > 1:
        return " on every symbol"
    few = ", ".join(names[:_FEW])
    return f" on {few}" if len(names) <= _FEW else f" on {few} and {len(names) - _FEW} more"
