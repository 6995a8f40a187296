"""Headlines of a simulated market: when they come, their tone, their words.

A headline is known some seconds after it is published; one that has a date only is known
at the end of that day. Some are published again, under the key they had. The words agree
with the tone, so a scorer of sentiment can be run on them.

What has been written stays: headlines are drawn in blocks of days, each from its own seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

_BLOCK = 64  # days drawn together
_DAY = pd.Timedelta(1, "D")
_HOURLY, _PEAK = 0.5, 15.0  # swing of the log rate over the day, its highest hour (UTC)
_DELAY = 40.0  # median seconds from published to known_at
_MILD, _STRONG = 0.2, 0.6  # least tone of a headline that has one; a strong one says why
_SILENT = 0.3  # share of headlines without a tone
_DATED, _AGAIN = 0.1, 0.05  # share without a time, share published again
_WIRE, _DIGEST = "simulated wire", "simulated digest"
_COLUMNS = ["published", "source", "title", "symbols", "sentiment", "key"]

# mean square of a tone, by which a market scales what news does to it
TONE_SQUARE = (1 - _SILENT) * (1 - _MILD**3) / (3 * (1 - _MILD))

_OPENINGS = {
    1: (
        "{} gains with strong buying",
        "Optimism lifts {} to a new high",
        "{} posts a solid profit",
        "{} wins praise from investors",
        "Confident buyers support a rally in {}",
        "{} enjoys its best run of the season",
        "Growth of {} beats what analysts hoped for",
        "{} improves and surges on positive results",
    ),
    0: (
        "{} trades where it stood",
        "{} publishes its timetable",
        "{} moves to a new office",
        "Holders of {} are to meet",
        "{} names a new auditor",
        "{} keeps its fee table as it is",
        "{} changes the format of its reports",
        "Figures of {} come out on the usual day",
    ),
    -1: (
        "{} slumps on heavy losses",
        "Fear drives {} to a new low",
        "{} warns of a painful loss",
        "{} fails to calm worried investors",
        "Panic sellers dump {} in a plunge",
        "{} suffers its worst run of the season",
        "Doubts about {} spread after a bad report",
        "{} weakens and plunges on negative results",
    ),
}
_CAUSES = {
    1: (
        "as a great partnership wins approval",
        "and the outlook is excellent",
        "after a successful upgrade",
        "helped by strong growth",
        "as trust in it improves",
        "thanks to a big boost in profit",
    ),
    0: (
        "this week",
        "in the morning session",
        "at the turn of the month",
        "as the quarter closes",
        "according to its calendar",
        "says the desk",
    ),
    -1: (
        "as a fraud charge hurts it",
        "and the outlook is terrible",
        "after a failed upgrade",
        "dragged down by weak sales and debt",
        "as a threat of a ban looms",
        "amid a crisis that worries lenders",
    ),
}


def generator(seed: int, *purpose: object) -> np.random.Generator:
    """Random numbers that belong to a seed and a purpose alone."""
    key = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:16]))


def headlines(
    symbol: str, start: pd.Timestamp, end: pd.Timestamp, *, seed: int, per_day: float
) -> pd.DataFrame:
    """Headlines of one symbol that become known from start to end.

    Parameters
    ----------
    symbol : str
        Whom they are about.
    start, end : Timestamp
        First and last `known_at`, UTC.
    seed : int
        Another seed is other news.
    per_day : float
        Mean number of new headlines in a day.

    Returns
    -------
    DataFrame of shape (n_headlines, 8)
        Columns of the news table, `known_at` among them, both times in ns since the epoch,
        and `again`: whether an earlier row has the same key. In the order of `known_at`.
    """
    first = start.floor("D")
    blocks = (end - first) // (_BLOCK * _DAY) + 1
    asked = {"seed": seed, "per_day": per_day}
    parts = [_written(symbol, first, block, **asked) for block in range(blocks)]
    items = pd.concat(parts, ignore_index=True)
    items = items[items["known_at"].between(start.value, end.value)]
    items = items.sort_values(["known_at", "key"], kind="stable", ignore_index=True)
    items = items.astype({"title": "str", "key": "str"})  # no headline, no words to tell it by
    named = pd.Series([(symbol,)] * len(items), dtype=object)
    return items.assign(again=items.duplicated("key"), symbols=named)


def news_table(headlines: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The headlines of all symbols as the news table that travels."""
    ordered = [headlines[symbol] for symbol in sorted(headlines)]
    news = pd.concat(ordered).sort_values(["known_at", "key"], kind="stable")
    for column in ("known_at", "published"):
        news[column] = pd.to_datetime(news[column], unit="ns", utc=True)
    return news.set_index("known_at")[_COLUMNS]


def _written(
    symbol: str, first: pd.Timestamp, block: int, *, seed: int, per_day: float
) -> pd.DataFrame:
    """Headlines of one block of days, those published again too."""
    rng = generator(seed, symbol, "news", block)
    count = rng.poisson(per_day * _BLOCK)
    day = (first + block * _BLOCK * _DAY).value + rng.integers(0, _BLOCK, count) * _DAY.value
    published = day + _seconds(rng.random(count)) * 10**9
    known = published + _delays(rng, count)
    dated, tone = rng.random(count) < _DATED, _tones(rng, count)
    items = pd.DataFrame(
        {
            "known_at": np.where(dated, day + _DAY.value, known),
            "published": np.where(dated, day, published),
            "source": np.where(dated, _DIGEST, _WIRE),
            "title": _titles(symbol, tone, rng.random((count, 2))),
            "sentiment": tone,
            "key": [f"{symbol}-{seed}-{block}-{k}" for k in range(count)],
        }
    )
    return pd.concat([items, _published_again(rng, items[~dated])])


def _published_again(rng: np.random.Generator, items: pd.DataFrame) -> pd.DataFrame:
    """Some of the headlines once more, hours later, all else as it was."""
    again = items[rng.random(len(items)) < _AGAIN]
    later = (rng.uniform(1, 48, len(again)) * 3600).astype(np.int64) * 10**9
    moved = again[["known_at", "published"]].add(later, axis=0)
    return again.assign(**moved)


def _tones(rng: np.random.Generator, count: int) -> np.ndarray:
    """Tones from -1 to 1, a share of them exactly 0."""
    loud = rng.choice([-1, 1], count) * rng.uniform(_MILD, 1, count)
    return np.where(rng.random(count) < _SILENT, 0.0, np.round(loud, 4))


def _delays(rng: np.random.Generator, count: int) -> np.ndarray:
    """Nanoseconds, in whole milliseconds, from published to known; an hour at most."""
    seconds = np.minimum(np.exp(rng.normal(np.log(_DELAY), 1.0, count)), 3600)
    return (seconds * 1000).astype(np.int64) * 10**6


def _seconds(chance: np.ndarray) -> np.ndarray:
    """Second of the day at which headlines come, busiest in the afternoon (UTC)."""
    minute = np.arange(1441)
    rate = np.exp(_HOURLY * np.cos(2 * np.pi * (minute / 60 - _PEAK) / 24))
    share = np.r_[0.0, np.cumsum(rate[1:])] / rate[1:].sum()
    return (np.interp(chance, share, minute) * 60).astype(np.int64)


def _titles(symbol: str, tone: np.ndarray, chance: np.ndarray) -> list[str]:
    """A headline for each tone: who and what, and how come or when."""
    titles = []
    for s, (opening, ending) in zip(tone, chance, strict=True):
        sign = int(np.sign(s))
        openings, endings = _OPENINGS[sign], _CAUSES[sign if abs(s) >= _STRONG else 0]
        start = openings[int(opening * len(openings))].format(symbol)
        titles.append(f"{start} {endings[int(ending * len(endings))]}")
    return titles
