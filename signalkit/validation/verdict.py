"""The verdict: one table and the words that follow from its numbers, never the reverse.

An edge is claimed only when the prediction beats its baseline, the Sharpe ratio after costs
beats holding, and that ratio is itself above 0, each by an interval that leaves out 0; the ratio
at pessimistic fills too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from signalkit.validation.thresholds import SHARPE, exceeded

# Where each target's prediction is judged first; the other scores stand beside it.
SHOWN = {
    "signal_direction": ("auc_direction", "accuracy", "log_loss"),
    "triple_barrier": ("auc_direction", "accuracy", "log_loss"),
    "target_profitable": ("auc", "accuracy", "log_loss"),
    "target_return": ("ic", "r2", "mae"),
    # volatility is easy to predict; only the error against its own mean is told
    "target_volatility": ("mae",),
}
HEADLINE = {target: metrics[0] for target, metrics in SHOWN.items()}
_LOW = "Sharpe ratio, annual, at pessimistic fills"
_NAMES = {
    "auc_direction": "AUC, buys against sells",
    "auc": "AUC, mean over the classes",
    "accuracy": "accuracy",
    "log_loss": "log-loss (nats, less is better)",
    "ic": "information coefficient",
    "r2": "R² against no change",
    "mae": "mean absolute error (less is better)",
    SHARPE: "Sharpe ratio, annual, after costs",
}


def verdict(
    scores: pd.DataFrame, sharpe: pd.DataFrame, low: pd.DataFrame, *, target: str, model: str
) -> pd.DataFrame:
    """The verdict's table.

    Parameters
    ----------
    scores : DataFrame indexed by (model_id, metric)
        What `evidence.scores` gave.
    sharpe : DataFrame indexed by strategy, hold, difference
        What `backtesting.sharpe_interval` gave.
    low : DataFrame indexed by strategy, hold, difference
        The same at pessimistic fills.
    target, model : str
        Target variable and the model whose positions were simulated.

    Returns
    -------
    DataFrame indexed by measure
        `value low high`, `baseline`, `lead lead_low lead_high` over the baseline (more is
        better) and `says`: better, worse, or no difference seen.
    """
    rows = {}
    for metric in SHOWN[target]:
        row = scores.loc[(model, metric)]
        lead = row[["gain", "gain_low", "gain_high"]].tolist()
        rows[_NAMES[metric]] = [*row[["value", "low", "high", "baseline"]], *lead]
    for name, found in ((_NAMES[SHARPE], sharpe), (_LOW, low)):
        strategy, hold, lead = (found.loc[part] for part in ("strategy", "hold", "difference"))
        rows[name] = [*strategy, hold["value"], *lead]
    columns = ["value", "low", "high", "baseline", "lead", "lead_low", "lead_high"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype(float)
    table["says"] = [_says(low, high) for low, high in table[["lead_low", "lead_high"]].to_numpy()]
    return table.rename_axis("measure")


def _says(low: float, high: float) -> str:
    """What an interval of the lead over the baseline says."""
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference seen"


def words(
    table: pd.DataFrame, luck: pd.Series, *, level: float, alarms: Sequence[str] = ()
) -> list[str]:
    """The verdict in words, composed from its table.

    Parameters
    ----------
    table : DataFrame
        What `verdict` gave.
    luck : Series
        `trials`, `effective_trials`, `deflated_sharpe`, `pbo`, `spa`: what the Sharpe ratio is
        worth given all that was tried on the same market; NaN where there is no such number.
        Where the trials share too few bars to be compared, `shared` and `compared_from` say so.
    level : float
        Coverage of the intervals, and the deflated Sharpe ratio that an edge needs.
    alarms : sequence of str
        What `validation.alarm` says of scores that are too good; it takes the place of a word
        on their size.
    """
    prediction, money, worst = table.iloc[0], table.loc[_NAMES[SHARPE]], table.loc[_LOW]
    found = (table.loc[[table.index[0], money.name, _LOW], "says"] == "better").all()
    found = found and money["low"] > 0 and worst["low"] > 0
    # with one trial the interval above says as much
    lucky = luck["trials"] > 1 and not luck["deflated_sharpe"] >= level
    first = "An edge is seen: " if found and not lucky else "No edge is seen: "
    if found and not lucky and alarms:
        first = "An edge is seen, not to be believed before what is too good is explained: "
    first += (
        f"{table.index[0]} is {prediction['value']:.3f} with {level:.0%} interval"
        f" {prediction['low']:.3f} to {prediction['high']:.3f} against a baseline of"
        f" {prediction['baseline']:.3f}, and the Sharpe ratio after costs is"
        f" {money['value']:.2f} ({money['low']:.2f} to {money['high']:.2f}) against"
        f" {money['baseline']:.2f} for holding; at pessimistic fills it is {worst['value']:.2f}"
        f" ({worst['low']:.2f} to {worst['high']:.2f})."
    )
    return [first, *(alarms or [_believable(table, level)]), *_luck(luck, level)]


def _luck(luck: pd.Series, level: float) -> list[str]:
    """How likely luck is, in words."""
    count = int(luck["trials"])
    tried = f"The ledger holds {count} configuration{'s' if count != 1 else ''} of this market"
    if pd.isna(luck["probabilistic_sharpe"]):
        return [f"{tried}; nothing was traded here, so there is no Sharpe ratio to be lucky with."]
    told = [
        f"{tried}. That the true Sharpe ratio is above 0 has a probability of"
        f" {luck['probabilistic_sharpe']:.0%}; {_record(luck, level)}."
    ]
    if count > 1 and pd.notna(luck["deflated_sharpe"]):
        told.append(
            f"They amount to {luck['effective_trials']:.1f} independent ones; that the true Sharpe"
            " ratio is above what the best of so many has by luck has a probability of"
            f" {luck['deflated_sharpe']:.0%}."
        )
    if count > 1 and pd.isna(luck["deflated_sharpe"]):
        told.append(
            f"All of them have returns on {luck['shared']:.0f} bars together, and to compare them"
            f" takes {luck['compared_from']:.0f}: what the best of so many has by luck is not"
            " known, so no edge can be claimed; run them again on the same span of bars."
        )
    if pd.notna(luck["pbo"]):
        told.append(
            f"The best of them by one half of the record is below their median in the other with a"
            f" probability of {luck['pbo']:.0%}; that none of them beats holding has a p-value of"
            f" {luck['spa']:.2f}."
        )
    return told


def _record(luck: pd.Series, level: float) -> str:
    """How long a record would have to be."""
    bars, need = int(luck["bars"]), luck["min_track_record"]
    if not np.isfinite(need):
        return f"no record of it, however long, would tell it from 0 at {level:.0%}"
    return f"to tell it from 0 at {level:.0%} takes {np.ceil(need):.0f} bars, and there are {bars}"


def _believable(table: pd.DataFrame, level: float) -> str:
    """Whether the scores are of a size that markets are known to allow."""
    judged = table.rename(index={name: metric for metric, name in _NAMES.items()})
    target = next(name for name, shown in SHOWN.items() if shown[0] == judged.index[0])
    above = exceeded(judged.rename(columns={"lead": "gain"}), target=target)
    if above:
        threshold, size = above[0]
        return (
            f"Too good to be believed: {threshold.measure} is {size:.3f}, above"
            f" {threshold.limit:.2f}, more than is known of markets; look for a leak before"
            " anything else."
        )
    near = table.drop(index=[_NAMES[SHARPE], _LOW])
    inside = near[near["says"] == "no difference seen"]
    return (
        "The scores are of a believable size:"
        f" {len(inside)} of {len(near)} cannot be told from the baseline at {level:.0%},"
        f" and the first differs from it by {near['lead'].iloc[0]:+.3f}."
    )
