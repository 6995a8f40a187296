"""Positions from predictions: one slice of capital a bar, held for the horizon.

A prediction for `horizon` bars ahead asks for a position for `horizon` bars. Every bar
opens one of `horizon` equal slices, so the position is the mean of the last `horizon`
directions, and symbols share the capital equally.

What a prediction says depends on its target: a direction, whether a trade of one side pays,
or, for a volatility, nothing of direction, which asks for no position.

Source: Jegadeesh and Titman, Returns to Buying Winners (1993), section I, overlapping
portfolios.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError

SAYS = ("direction", "long", "short", "nothing")


def target_weights(
    predictions: pd.DataFrame,
    horizon: int,
    *,
    says: str = "direction",
    bars: pd.MultiIndex | None = None,
    threshold: float = 0.0,
    direction: str = "long_short",
    leverage: float = 1.0,
) -> pd.DataFrame:
    """Fraction of equity wanted in each symbol at each bar end.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time)
        One model's predictions: `p_buy` and `p_sell`, or `prediction` where those are NaN.
    horizon : int
        Bars a slice is held, at least 1.
    says : str
        `direction`: p_buy against p_sell, or the sign of a predicted return; `long` or
        `short`: whether that trade pays, p_buy against p_hold; `nothing`: no direction, and
        every weight is 0.
    bars : MultiIndex of (symbol, time), optional
        All bars; those from a symbol's first prediction on that have none ask for nothing.
    threshold : float
        Smallest p_buy - p_sell (or p_buy - p_hold, or predicted return) that asks for a
        position.
    direction : str
        `long_short`, or `long_only` (no short positions).
    leverage : float
        Sum of absolute weights when every slice of every symbol agrees.

    Returns
    -------
    DataFrame indexed by (symbol, time)
        `weight`. Decided at bar end from predictions made at or before it.

    Raises
    ------
    ParamsError
        If `horizon` is less than 1, or the direction or what predictions say is unknown.
    DataError
        If a prediction is NaN.
    """
    if horizon < 1:
        raise ParamsError(f"horizon must be at least 1 bar, was {horizon}")
    if direction not in ("long_short", "long_only"):
        raise ParamsError(f"signals.direction is long_short or long_only, was {direction!r}")
    if says not in SAYS:
        raise ParamsError(f"predictions say one of {', '.join(SAYS)}, was {says!r}")
    score = _score(predictions, says)
    if score.isna().any():
        raise DataError(f"the prediction at {score.index[int(np.argmax(score.isna()))]} is NaN")
    side = np.sign(score).where(score.abs() >= threshold, 0.0)
    if direction == "long_only":
        side = side.clip(lower=0.0)
    if bars is not None:
        side = side.reindex(_from_first(side.index, bars), fill_value=0.0)
    n_symbols = predictions.index.unique("symbol").size
    slices = side.groupby(level="symbol", sort=False).rolling(horizon, min_periods=1).sum()
    weight = slices.droplevel(0) / horizon * (leverage / n_symbols)
    return weight.to_frame("weight")


def _score(predictions: pd.DataFrame, says: str) -> pd.Series:
    """How much each prediction is for buying, below 0 for selling."""
    if says == "nothing":
        return pd.Series(0.0, predictions.index)
    if says == "direction":
        found = predictions["p_buy"] - predictions["p_sell"]
        return found.fillna(predictions["prediction"])
    pays = (predictions["p_buy"] - predictions["p_hold"]).clip(lower=0.0)
    return pays if says == "long" else -pays


def _from_first(predicted: pd.MultiIndex, bars: pd.MultiIndex) -> pd.MultiIndex:
    """The bars of each symbol from its first prediction on."""
    first = predicted.to_frame(index=False).groupby("symbol")["time"].min()
    begins = first.reindex(bars.get_level_values("symbol")).to_numpy()
    return bars[bars.get_level_values("time").to_numpy() >= begins]
