"""The news of a study: from a file, from the store or simulated; scored, about its symbols.

Only items about a symbol asked for are kept. The score is made from the title here, also
for simulated news: a study sees what it would see of real ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signalkit import ROOT
from signalkit.collection.load import simulated_exchange
from signalkit.collection.matching import find_symbols, symbol_names
from signalkit.collection.news import read_news
from signalkit.collection.sentiment import score
from signalkit.errors import DataError, ParamsError
from signalkit.store import Store

COLUMNS = ("published", "source", "title", "symbols", "sentiment", "key")


def news_file(path: str) -> Path:
    """A study's file of news: a path under the project folder or an absolute one.

    Raises
    ------
    ParamsError
        If there is no such file.
    """
    file = ROOT / path
    if not file.is_file():
        raise ParamsError(
            f"collection.news.path: {file} is no file; a feed is collected first, with"
            " signalkit collect --news URL, and read with source: store"
        )
    return file


def load_news(
    source: str,
    symbols: Sequence[str],
    *,
    news: Mapping[str, Any],
    span: tuple[pd.Timestamp, pd.Timestamp],
    simulated: Mapping[str, Any] | None = None,
    store: Store | None = None,
) -> pd.DataFrame:
    """Scored news about some symbols.

    Parameters
    ----------
    source : str
        `none`, `file`, `store` or `simulator`.
    symbols : sequence of str
        Symbols of interest.
    news : mapping
        The rest of the section `collection.news`: path, tz, latency, aliases, scorer,
        lexicon, model.
    span : (Timestamp, Timestamp)
        First and last `known_at` kept, both included.
    simulated : mapping, optional
        For `simulator`: interval, start, end and settings of `simulated_exchange`.
    store : Store, optional
        For `store`; the project's if omitted.

    Returns
    -------
    DataFrame indexed by known_at
        `published`, `source`, `title`, `symbols` (tuple), `sentiment`, `key`; empty for
        `none`.
    """
    if source == "none":
        return no_news()
    if source == "file":
        named = {name: news[name] for name in ("tz", "latency", "aliases")}
        found = read_news(news_file(news["path"]), symbols=symbols, **named)
        found = _matched(found, symbols, news["aliases"])
    elif source == "simulator":
        found = _simulated(symbols, span[0], simulated or {}, store)
    else:
        with nullcontext(store) if store else Store.open() as kept:
            told = collected_news(kept, start=span[0], end=span[1])
        found = _matched(told, symbols, news["aliases"])
    wanted = set(symbols)
    about = found["symbols"].map(lambda named: bool(wanted & set(named))).to_numpy(dtype=bool)
    inside = (found.index >= span[0]) & (found.index <= span[1])
    kept_news = found[about & inside]
    if kept_news.empty:
        raise DataError(
            f"collection.news: none of {len(found)} items is about {', '.join(symbols)} and known"
            f" from {span[0]:%Y-%m-%d} to {span[1]:%Y-%m-%d}; name them in aliases, or collect more"
        )
    scored = score(
        kept_news["title"], scorer=news["scorer"], lexicon=_under_root(news["lexicon"]),
        model=news["model"],
    )  # fmt: skip
    scored_news = kept_news.assign(sentiment=scored)[list(COLUMNS)]
    scored_news.attrs = {}
    return scored_news


def no_news() -> pd.DataFrame:
    """A news table without items."""
    empty = pd.DataFrame({name: [] for name in COLUMNS}, dtype=object)
    empty.index = pd.DatetimeIndex([], tz="UTC", name="known_at").as_unit("ns")
    times = pd.DatetimeIndex([], tz="UTC").as_unit("ns")
    return empty.assign(published=times, sentiment=np.array([], dtype=float))


def _simulated(
    symbols: Sequence[str],
    since: pd.Timestamp,
    asked: Mapping[str, Any],
    store: Store | None,
) -> pd.DataFrame:
    """News of the simulated market by way of the store, under the name of its exchange."""
    exchange = simulated_exchange(symbols, **asked)
    told = exchange.news(since).assign(source=exchange.name)
    with (
        tempfile.TemporaryDirectory(prefix="signalkit-simulator-") as name,
        nullcontext(store) if store else Store.open(Path(name)) as kept,
    ):
        kept.write_news(told, scorer="simulator")
        return kept.read_news(source=exchange.name, start=since)


def collected_news(
    store: Store, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None
) -> pd.DataFrame:
    """Stored news of real markets: what `signalkit collect --news` put there."""
    found = store.read_news(start=start, end=end)
    return found[~found["source"].str.startswith("simulator-")]


def _matched(
    found: pd.DataFrame, symbols: Sequence[str], aliases: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """News with the symbols that their titles name beside those they state."""
    named = find_symbols(found["title"], symbol_names(aliases, symbols))
    both = [
        tuple(sorted(set(stated) | set(seen)))
        for stated, seen in zip(found["symbols"], named, strict=True)
    ]
    return found.assign(symbols=pd.Series(both, index=found.index, dtype=object))


def _under_root(path: str | None) -> Path | None:
    """A path under the project folder or an absolute one."""
    return None if path is None else ROOT / path
