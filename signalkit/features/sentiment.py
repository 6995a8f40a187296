"""Sentiment features: how much is written about a symbol, and in which tone.

An item belongs to the first bar that ends at or after its `known_at`; a bar sees its own
items and earlier ones. A stretch without items has tone 0, which is what it says: nothing.
"""

from __future__ import annotations

from signalkit.errors import ParamsError
from signalkit.features.catalog import declare
from signalkit.kernels.graph import (
    NEWS_COUNT,
    NEWS_MEAN,
    NEWS_SQUARES,
    Node,
    node,
    output,
    over,
    root,
    total,
    window,
)

_TETLOCK = "Tetlock, Giving Content to Investor Sentiment (2007)"
_ATTENTION = "Da, Engelberg and Gao, In Search of Attention (2011)"
_SUM = NEWS_COUNT * NEWS_MEAN


def _items(span: int) -> Node:
    """Number, mean and squares of the scores of the items of some bars."""
    return window("window_groups", NEWS_COUNT, NEWS_MEAN, NEWS_SQUARES, span=span)


@declare("news_count", "sentiment", 24, unit="log items", reads_news=True, source=_ATTENTION,
         words="log of 1 + number of news items of {} bars")  # fmt: skip
def news_count(span: int) -> Node:
    """Log of 1 + number of items."""
    return node("log_one_more", total(NEWS_COUNT, span))


@declare("news_mood", "sentiment", 4, unit="score", reads_news=True, source=_TETLOCK,
         words="sum of the sentiment of the news of {} bars")  # fmt: skip
def news_mood(span: int) -> Node:
    """Sum of the sentiment of the items: tone and number in one."""
    return total(_SUM, span)


@declare("news_tone", "sentiment", 24, unit="score", reads_news=True, source=_TETLOCK,
         words="mean sentiment of the news of {} bars")  # fmt: skip
def news_tone(span: int) -> Node:
    """Mean sentiment of the items, 0 without any."""
    return output(_items(span), 1)


@declare("news_decayed_tone", "sentiment", 12, unit="score", reads_news=True, source=_TETLOCK,
         words="mean sentiment of the news so far, weights halving every {} bars")  # fmt: skip
def news_decayed_tone(half_life: int) -> Node:
    """Mean sentiment of all items so far, newer ones weighing more; 0 without any."""
    return node("decayed_mean", NEWS_COUNT, _SUM, rate=0.5 ** (1.0 / half_life))


@declare("news_dispersion", "sentiment", 24, unit="score", reads_news=True,
         words="standard deviation of the sentiment of the news of {} bars",
         source="Garfinkel, Measuring Investors' Opinion Divergence (2009)")  # fmt: skip
def news_dispersion(span: int) -> Node:
    """How much the items disagree, ddof 0; 0 without any."""
    items = _items(span)
    return root(over(output(items, 2), output(items, 0)))


def _shorter(kind: str, short: int, long: int) -> None:
    """The first window must be the shorter one."""
    if short >= long:
        raise ParamsError(f"{kind}_{short}_{long}: the first window must be the shorter one")


@declare("news_tone_change", "sentiment", (24, 120), unit="score", reads_news=True,
         words="mean sentiment of the news of {} bars less that of {}",
         source=_TETLOCK)  # fmt: skip
def news_tone_change(short: int, long: int) -> Node:
    """Tone of the newest items less that of more."""
    _shorter("news_tone_change", short, long)
    return news_tone(short) - news_tone(long)


@declare("news_surprise", "sentiment", (24, 120), unit="log ratio", reads_news=True,
         words="number of news items of {} bars against what {} bars let expect, log",
         source=_ATTENTION)  # fmt: skip
def news_surprise(short: int, long: int) -> Node:
    """How much more is written than usual; 0 where nothing is."""
    _shorter("news_surprise", short, long)
    expected = total(NEWS_COUNT, long) * (short / long)
    return news_count(short) - node("log_one_more", expected)
