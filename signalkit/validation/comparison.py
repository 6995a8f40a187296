"""Models against each other and against the baseline, on the loss of every time.

A mean over symbols makes one loss a time, for symbols of a time move together. What is compared
is log-loss for classes and squared error for numbers, both less is better.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.metrics import CLASSES
from signalkit.significance import diebold_mariano, model_confidence_set, spa
from signalkit.training.ensemble import PROBABILITIES
from signalkit.validation.evidence import BASELINE, comparable

_CLIP = np.finfo(float).eps
_TIMES = 10_000


def losses(predictions: pd.DataFrame) -> pd.DataFrame:
    """Loss of every model at every time, the mean over symbols.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Out-of-sample predictions, those of MAJORITY among them.

    Returns
    -------
    DataFrame indexed by time with a column a model
        -ln of the probability of what came, or the squared error; rows that every model
        answered and that have settled.
    """
    known = comparable(predictions)
    shares, actual = known[PROBABILITIES].to_numpy(), known["actual"].to_numpy()
    if np.isfinite(shares).all():
        came = (actual - CLASSES[0]).astype(int)
        loss = -np.log(np.clip(shares[np.arange(len(known)), came], _CLIP, 1.0))
    else:
        loss = (known["prediction"].to_numpy() - actual) ** 2
    table = pd.Series(loss, known.index).groupby(level=["time", "model_id"]).mean()
    return table.unstack("model_id")


def comparison(
    predictions: pd.DataFrame,
    *,
    horizon: int,
    block: int,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Which models are better than the baseline, and which cannot be told from the best.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Out-of-sample predictions, those of MAJORITY among them.
    horizon : int
        Bars that a label looks ahead.
    block, draws, seed
        Blocks of the bootstrap, their number and their seed.
    level : float
        Confidence of the set of models.

    Returns
    -------
    DataFrame indexed by model_id, from the smallest loss
        `loss`, its `difference` from MAJORITY's, the statistic `dm` and two-sided `dm_p` of
        Diebold and Mariano, and `set_p` and `in_set` of the model confidence set. MAJORITY has
        `spa_p`, Hansen's consistent p-value that no model beats it, searched over all of them.

    Notes
    -----
    Of more than 10,000 times, neighbours are averaged until that many are left: a search over
    models takes a time that grows with the square of their number.

    Sources: Diebold and Mariano (1995), Harvey, Leybourne and Newbold (1997), Hansen (2005),
    Hansen, Lunde and Nason (2011).
    """
    table = losses(predictions)
    near = -(-len(table) // _TIMES)
    few = table.groupby(np.arange(len(table)) // near).mean()
    drawn = {"block": -(-block // near), "draws": draws, "seed": seed}
    found = model_confidence_set(few, level=level, **drawn)
    best = spa(few[BASELINE], few.drop(columns=BASELINE), **drawn)["consistent"]
    rows = {}
    for model in table:
        tested = diebold_mariano(table[model], table[BASELINE], horizon=horizon)
        rows[model] = {
            "loss": table[model].mean(),
            "difference": tested["difference"],
            "dm": tested["statistic"],
            "dm_p": tested["p_value"],
            "set_p": found.loc[model, "p_value"],
            "in_set": bool(found.loc[model, "included"]),
            "spa_p": best if model == BASELINE else np.nan,
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model_id")
    return frame.sort_values("loss", kind="stable")
