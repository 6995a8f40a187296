"""What every score asks of its rows, and means that are the same bits on any number of threads."""

from __future__ import annotations

import numpy as np

from signalkit.errors import DataError


def count_rows(*columns: np.ndarray) -> int:
    """Number of rows; all columns must agree and be finite."""
    lengths = {len(column) for column in columns}
    if len(lengths) > 1 or 0 in lengths:
        raise DataError(f"scores need columns of one length above 0, were {sorted(lengths)}")
    for column in columns:
        broken = ~np.isfinite(column).reshape(len(column), -1).all(axis=1)
        if broken.any():
            raise DataError(f"a scored value in row {int(np.argmax(broken))} is not finite")
    return lengths.pop()


def total_weight(weight: np.ndarray, n: int) -> float:
    """Sum of row weights that fit n rows and weigh something."""
    if len(weight) != n:
        raise DataError(f"{len(weight)} weights do not fit {n} rows")
    total = float(weight.sum())
    if not total > 0:
        raise DataError(f"weights of {n} rows sum to {total:g}; no row is scored")
    return total


def weighted_mean(values: np.ndarray, weight: np.ndarray, total: float) -> float:
    """Sum of weight x value over the total; not a dot product, which threads add in their order."""
    return float((weight * values).sum()) / total


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
