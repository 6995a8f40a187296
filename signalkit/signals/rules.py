"""Rules: signals that need no model, and one that stands in where all models failed.

A rule reads bars up to its own and learns nothing. It knows a direction and no probability:
what stands in for a model's shares is a convention, the same for every bar, that tells
direction and claims no more.

Source: Brock, Lakonishok and LeBaron, Simple Technical Trading Rules (1992), section I.A, the
variable-length moving average.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.bars import each_symbol
from signalkit.errors import DataError, ParamsError
from signalkit.kernels import evaluate
from signalkit.kernels.graph import CLOSE, mean

# two means of one price differ by rounding alone
_ROUNDING = 1e-12


def trend(bars: pd.DataFrame, *, fast: int = 20, slow: int = 50, band: float = 0.0) -> pd.Series:
    """Direction by two moving averages of the close: up where the fast one is above the slow.

    Parameters
    ----------
    bars : DataFrame indexed by time, or by (symbol, time)
        Bars, of which `close` is read.
    fast, slow : int
        Windows of the averages in bars, `fast` at least 1 and below `slow`.
    band : float
        Fraction of the slow average by which the fast one must be away from it, at least 0.

    Returns
    -------
    Series indexed as the bars
        `direction`: 1 up, -1 down, 0 inside the band and in the first `slow - 1` bars.

    Raises
    ------
    ParamsError
        If the windows or the band are none.
    """
    whole = all(isinstance(span, int) and not isinstance(span, bool) for span in (fast, slow))
    if not whole or not 1 <= fast < slow:
        raise ParamsError(f"trend needs bars 1 <= fast < slow, had fast {fast!r}, slow {slow!r}")
    if not 0 <= band < np.inf:
        raise ParamsError(f"the band of a trend is a fraction of at least 0, was {band}")

    def direction(block: pd.DataFrame) -> pd.DataFrame:
        averages = [mean(CLOSE, fast), mean(CLOSE, slow)]
        quick, calm = evaluate(averages, close=block["close"].to_numpy())
        away = quick / calm - 1
        side = np.where(np.abs(away) > max(band, _ROUNDING), np.sign(away), 0.0)
        return pd.DataFrame({"direction": side}, index=block.index)

    return each_symbol(bars, direction)["direction"]


def stand_in(
    direction: pd.Series, rows: pd.MultiIndex, *, says: str = "direction", size: float | None = None
) -> pd.DataFrame:
    """A rule's directions as predictions, for the rows at which all models failed.

    Parameters
    ----------
    direction : Series indexed by (symbol, time)
        -1, 0 or 1, from `trend`.
    rows : MultiIndex of (symbol, time)
        Where it stands in: `stood` of the combined predictions.
    says : str
        What the target's predictions say, as in `target_weights`: `direction`, or `long` or
        `short`, whether that trade pays.
    size : float, optional
        For targets that are numbers: the size of a predicted move, in the target's unit; the
        target is a class if omitted.

    Returns
    -------
    DataFrame indexed by (symbol, time)
        `prediction p_sell p_hold p_buy confidence`. A direction has twice the share of each
        other class: 1/2 of three; a trade that it favours has 2/3, another 1/3. A number is
        direction times size, without shares.

    Raises
    ------
    ParamsError
        If a direction says nothing of the target, or the size is not above 0.
    DataError
        If there is no direction at one of the rows.
    """
    if says not in ("direction", "long", "short"):
        raise ParamsError(f"a direction stands in for direction, long or short, was {says!r}")
    if size is not None and not 0 < size < np.inf:
        raise ParamsError(f"the size of a predicted move must be above 0, was {size}")
    side = direction.reindex(rows)
    if side.isna().any():
        place = rows[int(np.argmax(side.isna()))]
        raise DataError(f"the rule has no direction at {place}; give it the bars of all rows")
    told = side.to_numpy(dtype=float)
    shares = np.full((len(rows), 3), np.nan) if size is not None else _shares(told, says)
    likeliest = told * size if size is not None else shares.argmax(axis=1) - 1.0
    columns = dict(zip(("p_sell", "p_hold", "p_buy"), shares.T, strict=True))
    found = {"prediction": likeliest, **columns, "confidence": shares.max(axis=1)}
    return pd.DataFrame(found, index=rows)


def _shares(told: np.ndarray, says: str) -> np.ndarray:
    """Probabilities of -1, 0, 1 that tell a direction, shape (n, 3)."""
    if says == "direction":
        return np.where(told[:, None] == [-1, 0, 1], 0.5, 0.25)
    pays = np.where(told == (1 if says == "long" else -1), 2 / 3, 1 / 3)
    return np.column_stack([np.zeros(len(told)), 1 - pays, pays])
