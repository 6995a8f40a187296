"""Sentiment features: how much is written about a symbol, and in which tone.

An item belongs to the first bar that ends at or after its `known_at`; a bar sees its own
items and earlier ones. A stretch without items has tone 0, which is what it says: nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.features.catalog import declare
from signalkit.features.kernels import rolling_mean


def _per_bar(bars: pd.DataFrame, news: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Number of items of each bar, and the sum of their sentiment.

    Items known after the last bar belong to none; those known before the first bar began
    are over.
    """
    # an item that has no score says nothing, but it was written
    score = np.nan_to_num(news["sentiment"].to_numpy(dtype=float))
    place = bars.index.as_unit("ns").asi8.searchsorted(news.index.as_unit("ns").asi8)
    inside = place < len(bars)
    if len(bars) > 1:
        begun = bars.index[0] - (bars.index[1] - bars.index[0])
        inside &= news.index > begun
    count = np.bincount(place[inside], minlength=len(bars)).astype(float)
    return count, np.bincount(place[inside], weights=score[inside], minlength=len(bars))


def _tone(bars: pd.DataFrame, news: pd.DataFrame, span: int) -> np.ndarray:
    """Mean sentiment of the items of the last bars, 0 where there are none."""
    count, total = (rolling_mean(part, span) for part in _per_bar(bars, news))
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), 0.0 * count)


@declare(
    "news_count_24",
    "sentiment",
    warmup=23,
    unit="log items",
    description="log of 1 + number of news items of 24 bars",
    reads_news=True,
)
def news_count_24(bars: pd.DataFrame, news: pd.DataFrame) -> np.ndarray:
    """Log of 1 + number of items of 24 bars."""
    return np.log1p(24 * rolling_mean(_per_bar(bars, news)[0], 24))


@declare(
    "news_mood_4",
    "sentiment",
    warmup=3,
    unit="score",
    description="sum of the sentiment of the news of 4 bars",
    reads_news=True,
)
def news_mood_4(bars: pd.DataFrame, news: pd.DataFrame) -> np.ndarray:
    """Sum of the sentiment of the items of 4 bars: tone and number in one."""
    return 4 * rolling_mean(_per_bar(bars, news)[1], 4)


@declare(
    "news_tone_24",
    "sentiment",
    warmup=23,
    unit="score",
    description="mean sentiment of the news of 24 bars",
    reads_news=True,
)
def news_tone_24(bars: pd.DataFrame, news: pd.DataFrame) -> np.ndarray:
    """Mean sentiment of the items of 24 bars."""
    return _tone(bars, news, 24)


@declare(
    "news_tone_change_24_120",
    "sentiment",
    warmup=119,
    unit="score",
    description="mean sentiment of the news of 24 bars less that of 120",
    reads_news=True,
)
def news_tone_change_24_120(bars: pd.DataFrame, news: pd.DataFrame) -> np.ndarray:
    """Mean sentiment of the items of 24 bars less that of 120."""
    return _tone(bars, news, 24) - _tone(bars, news, 120)
