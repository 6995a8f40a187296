"""The ensemble: the plain mean of the models, which learns nothing and so cannot leak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from signalkit.metrics import CLASSES

ENSEMBLE = "ENSEMBLE"
PROBABILITIES = ["p_sell", "p_hold", "p_buy"]


def add_mean(predictions: pd.DataFrame, members: Sequence[str]) -> pd.DataFrame:
    """Predictions with the mean of some models as one more model, ENSEMBLE.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Out-of-sample predictions.
    members : sequence of str
        Models to average, equally.

    Returns
    -------
    DataFrame
        The predictions and those of ENSEMBLE, sorted.
    """
    mine = predictions[predictions.index.get_level_values("model_id").isin(list(members))]
    groups = mine.groupby(level=["symbol", "time"], sort=True)
    mean = groups.first()
    mean[[*PROBABILITIES, "prediction"]] = groups[[*PROBABILITIES, "prediction"]].mean()
    shares = mean[PROBABILITIES].to_numpy()
    if np.isfinite(shares).all():
        mean["prediction"] = np.array(CLASSES, dtype=float)[shares.argmax(axis=1)]
        mean["confidence"] = shares.max(axis=1)
    mean = mean.assign(model_id=ENSEMBLE).set_index("model_id", append=True)
    return pd.concat([predictions, mean[predictions.columns]]).sort_index()
