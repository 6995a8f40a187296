"""Fixed-horizon labels: what holding for some bars would have brought.

A label at bar t is computed from prices after t. It always travels with `known_at`, the
end of the bar that settles it; splits purge on that. Labels are fractions before costs.

Source: López de Prado, Advances in Financial Machine Learning (2018), section 3.2 to 3.3.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.bars import check, each_symbol
from signalkit.errors import DataError, ParamsError
from signalkit.volatility import realised


def target_return(bars: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Return from buying at each close and selling `horizon` bars later.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        Bars of one symbol, or a panel.
    horizon : int
        Holding period in bars, at least 1.

    Returns
    -------
    DataFrame of shape (n_bars - horizon, 2) for each symbol
        `label`, a fraction before costs, and `known_at`, the end of the bar that settles
        it. The last `horizon` bars have no row: their label does not exist yet.

    Raises
    ------
    ParamsError
        If `horizon` is less than 1.
    DataError
        If a symbol has no more than `horizon` bars, or bars break their rule.

    Examples
    --------
    >>> from signalkit.causality import probe_bars
    >>> bars = probe_bars(3).assign(open=1.0, low=1.0, high=9.0, close=[1.0, 2.0, 3.0])
    >>> target_return(bars, horizon=1)["label"].tolist()
    [1.0, 0.5]
    """
    if horizon < 1:
        raise ParamsError(f"labeling.horizon must be at least 1 bar, was {horizon}")
    check(bars)
    return each_symbol(bars, lambda block: _forward_return(block, horizon))


def _forward_return(bars: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """One symbol's forward returns."""
    if len(bars) <= horizon:
        raise DataError(
            f"a horizon of {horizon} bars needs at least {horizon + 1}, there are {len(bars)};"
            " shorten labeling.horizon"
        )
    close = bars["close"].to_numpy()
    label = close[horizon:] / close[:-horizon] - 1
    return pd.DataFrame(
        {"label": label, "known_at": bars.index[horizon:]}, index=bars.index[:-horizon]
    )


def signal_direction(
    bars: pd.DataFrame, horizon: int, *, threshold: float = 0.5, volatility_span: int = 60
) -> pd.DataFrame:
    """Direction of the move over `horizon` bars: -1 sell, 0 hold, 1 buy.

    A move counts when it exceeds `threshold` times the volatility expected at t for the
    horizon: realised volatility of the last `volatility_span` bars times sqrt(horizon).

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        Bars of one symbol, or a panel.
    horizon : int
        Bars ahead, at least 1.
    threshold : float
        Largest move that is still `hold`, in units of the horizon's volatility.
    volatility_span : int
        Window of the volatility, in bars, at least 2.

    Returns
    -------
    DataFrame
        `label` (-1.0, 0.0 or 1.0) and `known_at`; no row for the first `volatility_span`
        bars (no volatility yet) and the last `horizon` bars (not settled yet).

    Raises
    ------
    ParamsError
        If `horizon` is less than 1 or `threshold` is negative.
    DataError
        If a symbol has too few bars for one label.
    """
    if threshold < 0:
        raise ParamsError(f"labeling.threshold must not be negative, was {threshold}")
    if horizon < 1:
        raise ParamsError(f"labeling.horizon must be at least 1 bar, was {horizon}")
    check(bars)
    return each_symbol(bars, lambda block: _direction(block, horizon, threshold, volatility_span))


def _direction(
    bars: pd.DataFrame, horizon: int, threshold: float, volatility_span: int
) -> pd.DataFrame:
    """One symbol's directions."""
    if len(bars) <= horizon + volatility_span:
        raise DataError(
            f"a horizon of {horizon} and a volatility over {volatility_span} bars need at least"
            f" {horizon + volatility_span + 1}, there are {len(bars)}; shorten one of them"
        )
    moves = _forward_return(bars, horizon)
    expected = realised(bars["close"].to_numpy(), volatility_span)[: len(moves)]
    limit = threshold * expected * np.sqrt(horizon)
    move = moves["label"].to_numpy()
    label = np.where(move > limit, 1.0, np.where(move < -limit, -1.0, 0.0))
    return moves.assign(label=label)[np.isfinite(limit)]
