"""Fixed-horizon labels: what the next bars bring, whatever happens on the way.

A label at bar t is computed from prices after t. It always travels with `known_at`, the
end of the bar that settles it; splits purge on that. Labels are before costs.

Source: López de Prado, Advances in Financial Machine Learning (2018), section 3.2 to 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from signalkit import volatility
from signalkit.bars import check, each_symbol
from signalkit.errors import DataError, ParamsError

SCALES = ("volatility", "fixed")
# the columns that each estimator of signalkit.volatility reads, and the fewest bars it takes
_RANGES = ("open", "high", "low", "close")
ESTIMATORS: dict[str, tuple[tuple[str, ...], int]] = {
    "realised": (("close",), 2),
    "parkinson": (("high", "low"), 1),
    "garman_klass": (_RANGES, 1),
    "rogers_satchell": (_RANGES, 1),
    "yang_zhang": (_RANGES, 2),
}


def check_horizon(horizon: int, least: int = 1) -> None:
    """Refuse a horizon that is too short, or no whole number of bars.

    Raises
    ------
    ParamsError
        If it is not an int, or less than `least` bars.
    """
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer):
        raise ParamsError(f"labeling.horizon is a whole number of bars, was {horizon!r}")
    if horizon < least:
        bars = "1 bar" if least == 1 else f"{least} bars"
        raise ParamsError(f"labeling.horizon must be at least {bars}, was {horizon}")


def check_choice(name: str, found: str, choices: Iterable[str]) -> None:
    """Refuse a word that a setting does not have.

    Raises
    ------
    ParamsError
        If it is not one of the choices.
    """
    if found not in choices:
        raise ParamsError(f"labeling.{name} is one of {', '.join(choices)}, was {found!r}")


def settled_later(bars: pd.DataFrame, label: np.ndarray, wait: int) -> pd.DataFrame:
    """Labels of one symbol's first bars, each settled by the bar `wait` bars later."""
    index = bars.index[: len(label)]
    return pd.DataFrame({"label": label, "known_at": bars.index[wait:]}, index=index)


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
    check_horizon(horizon)
    check(bars)
    return each_symbol(bars, lambda block: _forward_return(block, horizon))


def check_enough(bars: pd.DataFrame, wait: int) -> None:
    """Refuse one symbol's bars that settle no label.

    Raises
    ------
    DataError
        If there are no more than `wait` of them.
    """
    if len(bars) <= wait:
        raise DataError(
            f"a label settled {wait} bars later needs at least {wait + 1}, there are {len(bars)};"
            " shorten labeling.horizon"
        )


def _forward_return(bars: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """One symbol's forward returns."""
    check_enough(bars, horizon)
    close = bars["close"].to_numpy()
    return settled_later(bars, close[horizon:] / close[:-horizon] - 1, horizon)


def signal_direction(
    bars: pd.DataFrame,
    horizon: int,
    *,
    scale: str = "volatility",
    threshold: float = 0.5,
    volatility_span: int = 60,
) -> pd.DataFrame:
    """Direction of the move over `horizon` bars: -1 sell, 0 hold, 1 buy.

    A move counts when it exceeds the threshold: that many times the volatility expected at
    t for the horizon (realised volatility of the last `volatility_span` bars times
    sqrt(horizon)), or, where the scale is fixed, that fraction.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        Bars of one symbol, or a panel.
    horizon : int
        Bars ahead, at least 1.
    scale : str
        `volatility` or `fixed`.
    threshold : float
        Largest move that is still `hold`: in units of the horizon's volatility, or a
        fraction (0.01 is one percent) where the scale is fixed.
    volatility_span : int
        Window of the volatility, in bars, at least 2. Not read where the scale is fixed.

    Returns
    -------
    DataFrame
        `label` (-1.0, 0.0 or 1.0) and `known_at`; no row for the last `horizon` bars (not
        settled yet) and, where the scale is volatility, for the first `volatility_span`
        bars (no volatility yet).

    Raises
    ------
    ParamsError
        If `horizon` is less than 1, `threshold` is negative, the scale unknown, or
        `volatility_span` is read and less than 2.
    DataError
        If a symbol has too few bars for one label.
    """
    if not threshold >= 0:
        raise ParamsError(f"labeling.threshold must not be negative, was {threshold}")
    check_horizon(horizon)
    check_choice("scale", scale, SCALES)
    check(bars)
    span = volatility_span if scale == "volatility" else None
    return each_symbol(bars, lambda block: _direction(block, horizon, threshold, span))


def _direction(
    bars: pd.DataFrame, horizon: int, threshold: float, span: int | None
) -> pd.DataFrame:
    """One symbol's directions; without a span the threshold is fixed."""
    if span is not None and len(bars) <= horizon + span:
        raise DataError(
            f"a horizon of {horizon} and a volatility over {span} bars need at least"
            f" {horizon + span + 1}, there are {len(bars)}; shorten one of them"
        )
    moves = _forward_return(bars, horizon)
    limit = np.full(len(moves), threshold)
    if span is not None:
        expected = volatility.realised(bars["close"].to_numpy(copy=True), span)
        limit = threshold * expected[: len(moves)] * np.sqrt(horizon)
    move = moves["label"].to_numpy()
    label = np.where(move > limit, 1.0, np.where(move < -limit, -1.0, 0.0))
    return moves.assign(label=label)[np.isfinite(limit)]


def target_volatility(
    bars: pd.DataFrame, horizon: int, *, estimator: str = "realised"
) -> pd.DataFrame:
    """Volatility of the next `horizon` bars, a fraction per bar.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        Bars of one symbol, or a panel.
    horizon : int
        Bars t + 1 to t + horizon are measured; at least 1, for `realised` and `yang_zhang`
        at least 2.
    estimator : str
        `realised` (closes alone, that of bar t included), `parkinson`, `garman_klass`,
        `rogers_satchell` (inside the bars alone) or `yang_zhang` (both): the functions of
        signalkit.volatility, over exactly those bars.

    Returns
    -------
    DataFrame of shape (n_bars - horizon, 2) for each symbol
        `label`, not annualised, and `known_at`, the end of bar t + horizon.

    Raises
    ------
    ParamsError
        If the horizon is too short or the estimator unknown.
    DataError
        If a symbol has no more than `horizon` bars.

    Notes
    -----
    A volatility says nothing of direction: a study that predicts it takes no position.
    """
    check_choice("estimator", estimator, ESTIMATORS)
    check_horizon(horizon, ESTIMATORS[estimator][1])
    check(bars)
    return each_symbol(bars, lambda block: _coming_volatility(block, horizon, estimator))


def _coming_volatility(bars: pd.DataFrame, horizon: int, estimator: str) -> pd.DataFrame:
    """One symbol's volatilities: those of the window that ends `horizon` bars later."""
    check_enough(bars, horizon)
    read = (bars[name].to_numpy(copy=True) for name in ESTIMATORS[estimator][0])
    found = getattr(volatility, estimator)(*read, horizon)
    return settled_later(bars, found[horizon:], horizon)
