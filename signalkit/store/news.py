"""News in the database: each item once, as it was first seen.

An item is known by its source and its key. One that comes again, even with another date,
title or score, leaves the stored one as it is: what was known when must not move. So
`as_of=t` is a replay of the writes up to t.
"""

from __future__ import annotations

import json
from itertools import repeat

import numpy as np
import pandas as pd
from sqlite_utils import Database

from signalkit.bars import check_times
from signalkit.errors import DataError
from signalkit.store.moments import LAST, limits, microseconds, present, utc
from signalkit.store.schema import transaction

COLUMNS = ("published", "source", "title", "symbols", "sentiment", "key")
_WRITE = """INSERT INTO news (known_at, published, source, title, symbols, sentiment, key,
        recorded_at, scorer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (source, key) DO NOTHING"""
_READ = """SELECT known_at, published, source, title, symbols, sentiment, key FROM news
    WHERE known_at BETWEEN :first AND :last AND recorded_at <= :at
        AND (:source IS NULL OR source = :source)
    ORDER BY known_at, source, key"""


def _check(news: pd.DataFrame) -> None:
    """Refuse what breaks the rule of the news table."""
    missing = [name for name in COLUMNS if name not in news.columns]
    if missing:
        raise DataError(f"news lack the columns {missing}; they have {list(news.columns)}")
    check_times(news.index.drop_duplicates(), "news")
    if not news.index.is_monotonic_increasing:
        raise DataError("news go back in time; sort them by known_at")
    if str(getattr(news["published"].dtype, "tz", None)) != "UTC":
        raise DataError(f"published of news is {news['published'].dtype}; convert it to UTC")
    score = news["sentiment"].to_numpy(float)
    named = [
        all(isinstance(part, str) and part for part in item)
        for item in zip(news["source"], news["key"], news["title"], strict=True)
    ]
    rules = {
        "published must be a time": news["published"].isna(),
        "known_at must not be before published": news["published"] > news.index,
        "sentiment must be from -1 to 1, or NaN": np.abs(score) > 1,
        "source, key and title must be text": ~np.array(named, bool),
        "symbols must be a tuple of text": ~news["symbols"].map(_names_symbols).astype(bool),
    }
    for rule, broken in rules.items():
        if np.any(broken):
            row = int(np.argmax(broken))
            item = {"known_at": str(news.index[row])} | news.iloc[row].to_dict()
            raise DataError(f"news: {rule}; row {row} is {item} ({np.sum(broken)} such rows)")


def _names_symbols(symbols: object) -> bool:
    """Whether an item's symbols are a tuple of text."""
    return isinstance(symbols, tuple) and all(isinstance(name, str) for name in symbols)


class News:
    """The news of a store."""

    db: Database

    def write_news(self, news: pd.DataFrame, *, scorer: str, at: pd.Timestamp | None = None) -> int:
        """Store the items that are not stored yet, in one transaction.

        Parameters
        ----------
        news : DataFrame indexed by known_at
            Columns `published` (UTC), `source`, `title`, `symbols` (tuple of str),
            `sentiment` in [-1, 1] or NaN, and `key`, which tells an item of its source from
            the others.
        scorer : str
            What gave the sentiment.
        at : Timestamp, optional
            Moment of recording; the present if omitted.

        Returns
        -------
        int
            How many were added. An item (source, key) that is stored stays as it was.

        Raises
        ------
        DataError
            If a column is missing, times are not UTC, `known_at` is not sorted or is before
            `published`, or a cell is not what its column holds.
        """
        _check(news)
        moment = present() if at is None else microseconds(at, "at")
        score = news["sentiment"].astype(float)
        columns = [
            news.index.as_unit("ns").asi8.tolist(),
            pd.DatetimeIndex(news["published"]).as_unit("ns").asi8.tolist(),
            news["source"].tolist(),
            news["title"].tolist(),
            [json.dumps(symbols, ensure_ascii=False) for symbols in news["symbols"]],
            score.astype(object).where(score.notna(), None).tolist(),
            news["key"].tolist(),
        ]
        with transaction(self.db):
            before = self.db.conn.total_changes
            rows = zip(*columns, repeat(moment), repeat(scorer), strict=False)
            self.db.conn.executemany(_WRITE, rows)
            return self.db.conn.total_changes - before

    def read_news(
        self,
        *,
        source: str | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
        as_of: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Stored news by `known_at`.

        Parameters
        ----------
        source : str, optional
            One source alone.
        start, end : Timestamp, optional
            First and last `known_at` wanted, both included.
        as_of : Timestamp, optional
            Only what was recorded up to this moment, itself included.

        Returns
        -------
        DataFrame of shape (n_items, 6)
            A news table, empty where there is nothing. Items of one `known_at` stand by
            source and key, whatever the order in which they were written.
        """
        at = LAST if as_of is None else microseconds(as_of, "as_of")
        asked = limits(start, end) | {"at": at, "source": source}
        rows = self.db.execute(_READ, asked).fetchall()
        known_at, published, *columns = zip(*rows, strict=True) if rows else [()] * 7
        cells = dict(zip(COLUMNS[1:], map(list, columns), strict=True))
        cells["symbols"] = [tuple(json.loads(symbols)) for symbols in cells["symbols"]]
        table = pd.DataFrame({"published": utc(np.array(published, "i8"), "ns")} | cells)
        kinds = dict.fromkeys(("source", "title", "key"), "str")
        table = table.astype(kinds | {"sentiment": float, "symbols": object})
        return table.set_index(utc(np.array(known_at, "i8"), "ns").rename("known_at"))
