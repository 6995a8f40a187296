"""What a study starts from: bars, news, what their files said, what was revised since.

A study of an exchange reads the store, where `signalkit collect` put the bars; a simulated
market is collected into it here, as an exchange's would be.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd

from signalkit import ROOT, collection, lineage, params
from signalkit.bars import by_symbol
from signalkit.store import Store

REPORT = (
    "format",
    "zone",
    "rows_read",
    "duplicates",
    "conflicting",
    "zero_volume_runs",
    "longest_zero_volume_run",
)
_READ = ("sample", "files")


def load(asked: params.Params, store: Store | None = None) -> pd.DataFrame:
    """The panel that the collection section asks for."""
    kept = asked.collection
    return collection.load(
        kept.source,
        kept.symbols,
        kept.interval,
        kept.start,
        kept.end,
        path=kept.path,
        calendar=kept.calendar,
        tz=kept.tz,
        allow=kept.allow,
        simulator=kept.simulator.model_dump(),
        store=store,
    )


def load_news(asked: params.Params, panel: pd.DataFrame, store: Store | None) -> pd.DataFrame:
    """The news that the collection section asks for, known while there were bars."""
    kept = asked.collection
    times = panel.index.get_level_values("time")
    market = {"interval": kept.interval, "start": kept.start, "end": kept.end}
    return collection.load_news(
        kept.news.source,
        kept.symbols,
        news=kept.news.model_dump(exclude={"source"}),
        span=(times.min(), times.max()),
        simulated=market | {"settings": kept.simulator.model_dump()},
        store=store,
    )


def gather(asked: params.Params, store: Store) -> dict[str, pd.DataFrame]:
    """Tables of the collection stage: `bars news sources revisions`; all of it is stored."""
    kept = asked.collection
    panel = load(asked, store)
    told = panel.attrs.pop("reports", {})
    if kept.source in _READ:
        store.write_bars(panel, source=kept.source, interval=kept.interval, calendar=kept.calendar)
    news = load_news(asked, panel, store)
    if kept.news.source in {"file", "simulator"}:
        store.write_news(news, scorer=kept.news.scorer)
    news.attrs = {}
    return {
        "bars": panel,
        "news": news,
        "sources": _sources(asked, panel, told, store),
        "revisions": _revisions(asked, panel, store),
    }


def _sources(
    asked: params.Params,
    panel: pd.DataFrame,
    told: dict[str, collection.CollectionReport],
    store: Store,
) -> pd.DataFrame:
    """Where the bars of each symbol are from, and what was found on the way."""
    kept, source, rows = asked.collection, _stored_as(asked), {}
    for symbol, bars in by_symbol(panel):
        changed = store.revisions(symbol, kept.interval, source=source)
        absent = store.outages(symbol, kept.interval, source=source)
        rows[symbol] = {"source": source, "bars": len(bars), "revised": len(changed)}
        rows[symbol] |= {"outages": len(absent)}
        report = told.get(symbol)
        rows[symbol] |= {name: getattr(report, name, None) for name in REPORT}
        rows[symbol] |= {"decided": "; ".join(getattr(report, "notes", ()))}
        rows[symbol] |= {"flagged": "; ".join(map(str, getattr(report, "flagged", ())))}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("symbol")
    return table.drop(columns=[name for name in table if table[name].isna().all()])


def _revisions(asked: params.Params, panel: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Bars that the source changed after they were stored, with what they were before."""
    kept, parts, source = asked.collection, {}, _stored_as(asked)
    for symbol, bars in by_symbol(panel):
        found = store.revisions(symbol, kept.interval, source=source).set_index("time")
        parts[symbol] = found[found.index.isin(bars.index)]
    return pd.concat(parts, names=["symbol", "time"])


def _stored_as(asked: params.Params) -> str:
    """Name under which the bars of a source are in the store."""
    kept = asked.collection
    if kept.source != collection.SIMULATOR:
        return kept.source
    market = [kept.symbols, kept.interval, kept.start, kept.end]
    return collection.simulated_exchange(*market, settings=kept.simulator.model_dump()).name


def digests(asked: params.Params) -> dict[str, str]:
    """SHA-256 of all data that the collection section names, by symbol and for the news.

    A simulated market is made from params and code alone, which are part of the identity.
    """
    kept = asked.collection
    files = collection.data_files(kept.source, kept.symbols, kept.path)
    found = {symbol: lineage.file_digest(file) for symbol, file in files.items()}
    if kept.source not in {*_READ, collection.SIMULATOR}:
        panel = load(asked)
        found = {symbol: _digest(bars) for symbol, bars in by_symbol(panel)}
    return found | _news_digests(kept.news)


def _news_digests(asked: params.News) -> dict[str, str]:
    """SHA-256 of the news, and of the lexicon or model that scores them."""
    found = {}
    if asked.source == "file":
        found["news"] = lineage.file_digest(collection.news_file(asked.path))
    if asked.source == "store":
        with Store.open() as store:
            found["news"] = _digest(store.read_news())
    if asked.source != "none" and asked.scorer == "vader_finance":
        lexicon = collection.sentiment.LEXICON
        file = collection.news_file(asked.lexicon) if asked.lexicon else lexicon
        found["lexicon"] = lineage.file_digest(file)
    if asked.scorer == "transformer" and asked.model and (ROOT / asked.model).is_dir():
        files = sorted(p for p in (ROOT / asked.model).rglob("*") if p.is_file())
        found["model"] = lineage.digest([lineage.file_digest(file) for file in files])
    return found


def _digest(table: pd.DataFrame) -> str:
    """SHA-256 of a table's index and cells."""
    hashed: Any = pd.util.hash_pandas_object(table.astype(str) if "title" in table else table)
    return hashlib.sha256(hashed.to_numpy().tobytes()).hexdigest()
