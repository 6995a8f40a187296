"""How likely luck is: the study's returns against all that was tried on the same market.

Number, variance and series of the trials come from the ledger and from nowhere else. A search
for settings adds trials that have no returns of their own: they count, with the spread of those
that have some; where only one has any, with the spread that Sharpe ratios have by luck.

Sources: Bailey and López de Prado, The Sharpe Ratio Efficient Frontier (2012) and The Deflated
Sharpe Ratio (2014); Bailey, Borwein, López de Prado and Zhu, The Probability of Backtest
Overfitting (2017); Hansen, A Test for Superior Predictive Ability (2005).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from signalkit import significance
from signalkit.lineage import digest
from signalkit.store.ledger import Trial

if TYPE_CHECKING:
    from signalkit.study.study import Study

# what two trials must share to have been chosen from each other; symbols need only overlap
_MARKET = ("source", "interval", "path", "simulator")
_BLOCKS = 16


def trials(study: Study) -> tuple[int, pd.DataFrame]:
    """What was tried on the study's market: how many configurations, and returns of those known.

    Returns
    -------
    int
        Distinct configurations in the ledger, trials of searches among them.
    DataFrame indexed by time
        Returns after costs on the times that all have, a column a configuration: the study's
        own is called `this`.

    Raises
    ------
    StoreError
        If the ledger, or a trial's returns, are not what was written.
    """
    mine = study.params.collection.model_dump()
    found = {"this": study.backtest().table("returns")["strategy"]}
    own, seen = digest(study.configuration()), set()
    study.store.ledger.check()
    for trial in study.store.ledger.trials():
        if trial.holdout or not _same_market(json.loads(trial.params), mine):
            continue
        seen.add(trial.configuration)
        returns = None if trial.configuration == own else _returns(study, trial)
        if returns is not None:
            found[trial.configuration] = returns
    return len(seen), pd.DataFrame(found).dropna()


def _same_market(asked: dict[str, Any], mine: dict[str, Any]) -> bool:
    """Whether a configuration was tried on the bars of another, or on some of them."""
    theirs = asked.get("collection", {})
    alike = all(theirs.get(name) == mine[name] for name in _MARKET)
    return alike and bool(set(theirs.get("symbols", ())) & set(mine["symbols"]))


def _returns(study: Study, trial: Trial) -> pd.Series | None:
    """Returns of a trial, None where they are no longer stored or it never had any."""
    found = study.store.artifacts.find("backtesting", trial.artifact)
    return None if found is None else found.table("returns")["strategy"]


def luck(study: Study) -> pd.Series:
    """What the study's Sharpe ratio is worth, given all that was tried.

    Returns
    -------
    Series
        `trials`, distinct configurations on this market; `effective_trials`, how many
        independent ones they amount to; `probabilistic_sharpe`, the probability that the true
        Sharpe ratio is above 0; `deflated_sharpe`, that it is above what the best of so many
        trials has by luck; `min_track_record`, bars that are needed to call it above 0, beside
        `bars`, those there are; `pbo`, the probability that the best trial is below the median
        elsewhere; `spa`, Hansen's p-value that no trial beats holding; `shared`, bars of which
        all trials have returns. NaN where a number does not exist: nothing was traded, one trial
        leaves nothing to choose from, or `shared` is less than `compared_from`, a block of the
        bootstrap or two bars for each block of the ranking, so that nothing is compared.
    """
    count, table = trials(study)
    returns = study.backtest().table("returns")
    own, level = returns["strategy"].to_numpy(), study.params.validation.level
    found = dict.fromkeys(_NAMES, np.nan) | {"trials": float(count), "bars": float(len(own))}
    least = max(2 * _BLOCKS, study.block)
    found |= {"shared": float(len(table)), "compared_from": float(least)}
    if np.ptp(own) == 0:
        return pd.Series(found)
    found["probabilistic_sharpe"] = significance.probabilistic_sharpe(own)
    found["min_track_record"] = significance.min_track_record(own, level=level)
    if len(table) < least:
        return pd.Series(found)
    share = count / table.shape[1]
    effective = max(1.0, significance.effective_trials(table) * share)
    moves = table.loc[:, np.ptp(table.to_numpy(), axis=0) > 0]
    sharpes = (moves.mean() / moves.std(ddof=1)).to_numpy()
    found["effective_trials"] = effective
    # of one series nobody knows the spread: without skill it is 1 / bars
    spread = sharpes.var(ddof=1) if len(sharpes) > 1 else 1 / len(own)
    beaten = significance.expected_max_sharpe(effective, float(spread))
    found["deflated_sharpe"] = significance.probabilistic_sharpe(own, beaten)
    if moves.shape[1] > 1:
        found["pbo"] = significance.pbo(moves, blocks=_BLOCKS).pbo
    hold = returns["hold"].reindex(table.index)
    asked = {"block": study.block, "draws": study.params.validation.draws}
    found["spa"] = significance.spa(-hold, -table, **asked, seed=study.params.training.seed)[
        "consistent"
    ]
    return pd.Series(found)


_NAMES = (
    "trials",
    "effective_trials",
    "probabilistic_sharpe",
    "deflated_sharpe",
    "min_track_record",
    "bars",
    "pbo",
    "spa",
    "shared",
    "compared_from",
)
