"""Permutation: by how much a model's loss rises when one column is put in disorder.

The values of a column change rows within their symbol, and the model, fitted before, is asked
again. A rise is a number a row, so that its mean has an interval like any other score. Rows are
shuffled one by one, not in blocks: blocks of a whole number of weeks would leave a weekday where
it was and call it useless. That neighbours are alike is left to the interval, which draws blocks.

Source: Breiman, Random Forests (2001), section 10; Fisher, Rudin and Dominici (2019).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.metrics import CLASSES
from signalkit.training.contract import Model
from signalkit.training.ranks import blocks

_CLIP = np.finfo(float).eps
# cells of the copies that are predicted together: 32 MB
_CELLS = 4_000_000


def losses(model: Model, features: pd.DataFrame, actual: np.ndarray) -> np.ndarray:
    """Loss of each row: -ln of the probability of what came, or the squared error.

    Parameters
    ----------
    model : Model
        A fitted model.
    features : DataFrame of shape (n_rows, n_features)
        The columns it learned.
    actual : array of shape (n_rows,)
        What came.
    """
    rows = np.arange(len(features))
    if not model.classifies:
        return (model.predict(features, rows) - actual) ** 2
    shares = model.predict_proba(features, rows)
    came = (actual - CLASSES[0]).astype(int)
    return -np.log(np.clip(shares[rows, came], _CLIP, 1.0))


def disorder(index: pd.Index, rng: np.random.Generator) -> np.ndarray:
    """Positions of all rows in a random order, each taken from a row of its own symbol."""
    order = np.arange(len(index))
    for mine in blocks(index):
        order[mine] = rng.permutation(mine)
    return order


def rises(
    model: Model, features: pd.DataFrame, actual: np.ndarray, order: np.ndarray
) -> pd.DataFrame:
    """Rise of each row's loss when one column, and no other, is taken from other rows.

    Parameters
    ----------
    model : Model
        A fitted model that reads no row but the one it predicts.
    features : DataFrame of shape (n_rows, n_features)
        The columns it learned, in rows that it has not seen.
    actual : array of shape (n_rows,)
        What came.
    order : array of int, shape (n_rows,)
        Row that each row's value is taken from; the same for every column.

    Returns
    -------
    DataFrame of shape (n_rows, n_features)
        Nats for a class, squared units for a number; above 0 the column helped.

    Notes
    -----
    Copies of the matrix are predicted together, as many as fit in 32 MB.
    """
    values = features.to_numpy(dtype=float)
    n, k = values.shape
    plain = losses(model, features, actual)
    found = np.empty((n, k))
    step = max(1, _CELLS // values.size)
    for columns in (np.arange(k)[start : start + step] for start in range(0, k, step)):
        copies = np.repeat(values[None], len(columns), axis=0)
        copies[np.arange(len(columns)), :, columns] = values[order][:, columns].T
        table = pd.DataFrame(copies.reshape(-1, k), columns=features.columns)
        lost = losses(model, table, np.tile(actual, len(columns)))
        found[:, columns] = lost.reshape(len(columns), n).T - plain[:, None]
    return pd.DataFrame(found, index=features.index, columns=features.columns)
