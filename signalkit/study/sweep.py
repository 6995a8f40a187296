"""Tried thresholds: the study traded at each of them, every one a trial of the ledger.

A threshold is tried as the study itself is, by its own predictions, rules, costs and fills, on
the research bars alone: the result at the study's own threshold is the study's own account. The
more are tried, the better the best of them looks by luck; what corrects for luck counts them.

`backtesting.sweep` runs thousands of thresholds of one score and keeps no series; nothing that it
shows is in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from signalkit import params
from signalkit.errors import ParamsError

if TYPE_CHECKING:
    from signalkit.study.study import Study


def sweep(study: Study, thresholds: Iterable[float]) -> pd.DataFrame:
    """Statistics of the study's account at each of several thresholds.

    Parameters
    ----------
    study : Study
        Whose predictions are traded, before its holdout.
    thresholds : iterable of float
        Values of `signals.threshold`, at least one, each within the bounds of the params; one
        that stands twice is tried once.

    Returns
    -------
    DataFrame indexed by `threshold`
        The rows of `backtesting.statistics` as columns, a row a threshold, in the order given.

    Raises
    ------
    ParamsError
        If there is no threshold, or one is not what the params take; then none is tried.

    Notes
    -----
    Every threshold is a configuration in the ledger of trials, with its return series; one that
    was seen before, as the study's own, is not entered again. A threshold that the regime sets
    (`signals.adapting.by_regime`) stays as it is set.
    """
    tried = {float(threshold) + 0.0: None for threshold in thresholds}  # -0 is 0
    if not tried:
        raise ParamsError("thresholds must be at least one, such as [0.0, 0.1, 0.2]")
    others = {threshold: _at(study, threshold) for threshold in tried}
    rows = {
        threshold: other.backtest().table("statistics")["strategy"]
        for threshold, other in others.items()
    }
    return pd.DataFrame(rows).T.rename_axis(index="threshold", columns=None)


def _at(study: Study, threshold: float) -> Study:
    """The study with another threshold, and its holdout closed."""
    asked = study.params.model_dump()
    asked["signals"]["threshold"] = threshold
    asked["backtesting"]["open_holdout"] = False
    return type(study)(params.parse(asked))
