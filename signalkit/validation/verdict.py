"""The verdict: one table and the words that follow from its numbers, never the reverse.

An edge is claimed only when the prediction beats its baseline, the Sharpe ratio after costs
beats holding, and that ratio is itself above 0, each by an interval that leaves out 0.
"""

from __future__ import annotations

import pandas as pd

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
# Daily direction is hardly ever predicted better than this out of sample; a score above it
# is a leak until shown otherwise. (Accuracies of 0.50 to 0.56 are what the literature
# reports: Gu, Kelly, Xiu 2020, table 1, monthly R2 under 0.4 %.)
TOO_GOOD = {
    "AUC's distance from 0.5": 0.10,
    "accuracy's lead": 0.10,
    "information coefficient": 0.20,
    "R²": 0.05,
    "Sharpe ratio": 3.0,
}
_NAMES = {
    "auc_direction": "AUC, buys against sells",
    "auc": "AUC, mean over the classes",
    "accuracy": "accuracy",
    "log_loss": "log-loss (nats, less is better)",
    "ic": "information coefficient",
    "r2": "R² against no change",
    "mae": "mean absolute error (less is better)",
}


def verdict(scores: pd.DataFrame, sharpe: pd.DataFrame, *, target: str, model: str) -> pd.DataFrame:
    """The verdict's table.

    Parameters
    ----------
    scores : DataFrame indexed by (model_id, metric)
        What `evidence.scores` gave.
    sharpe : DataFrame indexed by strategy, hold, difference
        What `backtesting.sharpe_interval` gave.
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
    strategy, hold, lead = (sharpe.loc[name] for name in ("strategy", "hold", "difference"))
    rows["Sharpe ratio, annual, after costs"] = [*strategy, hold["value"], *lead]
    columns = ["value", "low", "high", "baseline", "lead", "lead_low", "lead_high"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype(float)
    table["says"] = [_says(low, high) for low, high in table[["lead_low", "lead_high"]].to_numpy()]
    return table.rename_axis("measure")


def _says(low: float, high: float) -> str:
    """What an interval of the lead over the baseline says."""
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference seen"


def words(table: pd.DataFrame, *, trials: int, level: float) -> list[str]:
    """The verdict in words, composed from its table.

    Parameters
    ----------
    table : DataFrame
        What `verdict` gave.
    trials : int
        Configurations whose out-of-sample returns were seen.
    level : float
        Coverage of the intervals.
    """
    prediction, money = table.iloc[0], table.iloc[-1]
    found = prediction["says"] == "better" and money["says"] == "better" and money["low"] > 0
    first = "An edge is seen: " if found else "No edge is seen: "
    first += (
        f"{table.index[0]} is {prediction['value']:.3f} with {level:.0%} interval"
        f" {prediction['low']:.3f} to {prediction['high']:.3f} against a baseline of"
        f" {prediction['baseline']:.3f}, and the Sharpe ratio after costs is"
        f" {money['value']:.2f} ({money['low']:.2f} to {money['high']:.2f}) against"
        f" {money['baseline']:.2f} for holding."
    )
    count = f"{trials} configuration{'s' if trials != 1 else ''}"
    luck = f"The ledger holds {count} whose returns were seen"
    more = "; the more there are, the more of this is luck, and the verdict does not correct for it"
    luck += f"{more}." if trials > 1 else "."
    return [first, _believable(table, level), luck]


def _believable(table: pd.DataFrame, level: float) -> str:
    """Whether the scores are of a size that markets are known to allow."""
    value = table["value"]
    found = {
        "AUC's distance from 0.5": max(
            abs(value.get(_NAMES[name], 0.5) - 0.5) for name in ("auc_direction", "auc")
        ),
        "accuracy's lead": table["lead"].get(_NAMES["accuracy"], 0.0),
        "information coefficient": abs(value.get(_NAMES["ic"], 0.0)),
        "R²": value.get(_NAMES["r2"], 0.0),
        "Sharpe ratio": abs(value.iloc[-1]),
    }
    for name, size in found.items():
        if size > TOO_GOOD[name]:
            return (
                f"Too good to be believed: {name} is {size:.3f}, above"
                f" {TOO_GOOD[name]:.2f}, the most that bar data is known to give; look for a leak"
                " before anything else."
            )
    near = table.iloc[:-1]
    inside = near[near["says"] == "no difference seen"]
    return (
        "The scores are of a believable size:"
        f" {len(inside)} of {len(near)} cannot be told from the baseline at {level:.0%},"
        f" and the first differs from it by {near['lead'].iloc[0]:+.3f}."
    )
