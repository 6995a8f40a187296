"""Champion and challenger: how much more often one of two models is right on the same bars.

The interval may be looked at after every outcome: the chance that it ever misses is at most
alpha. It is what is left of all differences when those are struck out against which a bettor has
made 2 / alpha of 1 (signalkit.monitoring.ledger), the evidence from below and from above.

Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (2024),
section 4; Choe and Ramdas, Comparing sequential forecasters (2023), on what it is of.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.monitoring.ledger import Ledger
from signalkit.monitoring.performance import settled

# differences of accuracy that are asked; outside, the end of the interval is -1 or 1
_ASKED = np.arange(-50, 51) / 100
_SHARES = (0.05, 0.1, 0.2, 0.4)


def paired(
    champion: pd.DataFrame,
    challenger: pd.DataFrame,
    *,
    overlap: int = 1,
    alpha: float = 0.05,
    at: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """Lead of a challenger's accuracy over the champion's, after each common outcome.

    Parameters
    ----------
    champion, challenger : DataFrames indexed by (symbol, time)
        Predictions of one model each, as `monitoring.settled` takes them.
    overlap : int
        Predictions that may be open at a time, the newest counted: horizon times symbols.
    alpha : float
        Chance that the interval ever misses, above 0 and below 1.
    at : Timestamp, optional
        The moment that is asked of; later outcomes do not exist.

    Returns
    -------
    DataFrame indexed by (time, symbol)
        `n` common outcomes, `lead`, the mean difference so far, `low high` of the interval, in
        steps of 0.01. A `low` of 0 or more: the challenger is better beyond doubt.

    Raises
    ------
    ParamsError
        If alpha is no share, or less than one prediction may be open.
    DataError
        As in `settled`, or if the two have no settled row in common.

    Notes
    -----
    The interval holds the expected difference given what was known, if that stays the same. If it
    moves, a `low` still says: not at every time was it that small; and `high` alike. Whoever
    chooses the better of many challengers divides alpha by their number.
    """
    if not 0 < alpha < 1:
        raise ParamsError(f"alpha must be above 0 and below 1, was {alpha:g}")
    both = [settled(one, at)["right"].astype(float) for one in (champion, challenger)]
    lead = (both[1] - both[0]).dropna().swaplevel().sort_index()
    if lead.empty:
        raise DataError("champion and challenger have no settled row in common")
    table = pd.DataFrame(_limits(lead.to_numpy(), overlap, alpha), lead.index, ["low", "high"])
    n = np.arange(1, len(lead) + 1)
    table.insert(0, "n", n)
    table.insert(1, "lead", lead.to_numpy().cumsum() / n)
    return table


def _limits(lead: np.ndarray, overlap: int, alpha: float) -> np.ndarray:
    """Ends of the interval after each difference."""
    prices = np.stack([(1 + _ASKED) / 2, (1 - _ASKED) / 2])
    ledger = Ledger(prices, overlap=overlap, shares=_SHARES)
    struck, found = np.zeros(prices.shape, dtype=bool), np.empty((len(lead), 2))
    for i, difference in enumerate(lead):
        outcome = np.array([[1 + difference], [1 - difference]]) / 2
        # what is struck out stays so; outcomes at the price keep its money as it is
        struck |= ledger.settle(np.where(struck, prices, outcome)) >= 2 / alpha
        found[i] = _end(struck[0]), -_end(struck[1][::-1])
    return found


def _end(struck: np.ndarray) -> float:
    """The largest difference that is struck out from below."""
    return float(_ASKED[struck].max()) if struck.any() else -1.0
