"""What features read of a bar and of the news that belong to it, as rows for the kernels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.bars import COLUMNS
from signalkit.kernels import INPUTS

_DAY = 86_400_000_000_000
_DAY_ROW, _NEWS_ROW = INPUTS.index("day"), INPUTS.index("news_count")


def of_bars(bars: pd.DataFrame, *, with_news: bool) -> np.ndarray:
    """Prices, volume, day and second of the bar's end; no news yet.

    Returns
    -------
    array of shape (n_inputs, n_bars)
        In the order of `kernels.INPUTS`; without news those that are not of news.
    """
    rows = np.zeros((len(INPUTS) if with_news else _NEWS_ROW, len(bars)))
    for i, name in enumerate(COLUMNS):
        rows[i] = bars[name].to_numpy()
    ends = bars.index.as_unit("ns").asi8
    days = ends // _DAY
    rows[_DAY_ROW] = days
    rows[_DAY_ROW + 1] = (ends - days * _DAY) / 1e9
    return rows


def of_news(rows: np.ndarray, ends: np.ndarray, news: pd.DataFrame, *, begun: int | None) -> None:
    """Fill in number, mean and squares of the scores of each bar's items.

    An item belongs to the first bar that ends at or after its `known_at`. Items known after
    the last bar belong to none; those known before the first bar began are over. An item
    that has no score says nothing, but it was written.

    Parameters
    ----------
    rows : array of shape (n_inputs, n_bars)
        Inputs of the bars; their rows of news are written.
    ends : array of int64, shape (n_bars,)
        Bar ends in nanoseconds since the epoch.
    news : DataFrame indexed by known_at, sorted
        `sentiment` in [-1, 1] or NaN.
    begun : int or None
        When the first bar began; where that is not known it has no items.
    """
    known = news.index.as_unit("ns").asi8
    place = ends.searchsorted(known)
    inside = (place < len(ends)) & (known > begun if begun is not None else place > 0)
    score = np.nan_to_num(news["sentiment"].to_numpy(dtype=float))[inside]
    rows[_NEWS_ROW:] = grouped(place[inside], score, len(ends))


def grouped(place: np.ndarray, score: np.ndarray, n_bars: int) -> np.ndarray:
    """Number, mean and squared distances from it of the scores at each place.

    Returns
    -------
    array of shape (3, n_bars)
        0 where there are none.
    """
    count = np.bincount(place, minlength=n_bars).astype(float)
    some = np.maximum(count, 1.0)
    mean = np.bincount(place, weights=score, minlength=n_bars) / some
    gap = score - mean[place]
    return np.vstack([count, mean, np.bincount(place, weights=gap * gap, minlength=n_bars)])
