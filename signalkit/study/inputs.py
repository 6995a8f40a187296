"""What a study starts from: bars, news, what their files said, what was revised since.

A study of an exchange reads the store, where `signalkit collect` put the bars; a simulated
market is collected into it here, as an exchange's would be.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd

from signalkit import ROOT, collection, lineage, params
from signalkit.bars import by_symbol, interval_length
from signalkit.store import Store

REPORT = ("format", "zone", "rows_read", "duplicates")
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
    """Tables of the collection stage: bars, news, and what is known of them."""
    kept = asked.collection
    panel = load(asked, store)
    told = panel.attrs.pop("reports", {})
    if kept.source in _READ:
        own = {"interval": kept.interval, "calendar": kept.calendar}
        store.write_bars(panel, source=_stored_as(asked), **own)
    news = load_news(asked, panel, store)
    news.attrs = {}
    return {
        "bars": panel,
        "news": news,
        "sources": _sources(asked, told),
        "findings": _findings(asked, panel, told, store),
        "revisions": _revisions(asked, panel, store),
    }


def _sources(asked: params.Params, told: dict[str, collection.CollectionReport]) -> pd.DataFrame:
    """Where the bars of each symbol are from; of files what they are."""
    source = _stored_as(asked)
    rows = {
        symbol: {"source": source} | {n: getattr(told.get(symbol), n, None) for n in REPORT}
        for symbol in sorted(asked.collection.symbols)
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("symbol")
    return table.drop(columns=[name for name in table if table[name].isna().all()])


def _findings(
    asked: params.Params,
    panel: pd.DataFrame,
    told: dict[str, collection.CollectionReport],
    store: Store,
) -> pd.DataFrame:
    """What was decided, flagged or not there, a row each; places by bar end where there are any."""
    length, rows = interval_length(asked.collection.interval), []
    for symbol, bars in by_symbol(panel):
        report = told.get(symbol)
        rows += [(symbol, "decided", note, None, None, 0) for note in getattr(report, "notes", ())]
        for defect in getattr(report, "flagged", ()):
            named = (symbol, "flagged", defect.name)
            places = [(p.first + length, p.last + length, p.bars) for p in defect.places]
            rows += [(*named, *place) for place in places or [(None, None, 0)]]
        for gap in _history(asked, symbol, bars, store)[1].itertuples():
            rows.append((symbol, "outage", "the source has none", gap.first, gap.last, gap.bars))
    names = ["symbol", "kind", "what", "first", "last", "bars"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(**{n: pd.to_datetime(table[n], utc=True) for n in ("first", "last")})


def _revisions(asked: params.Params, panel: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Bars that the source changed after they were stored, with what they were before."""
    parts = {
        symbol: _history(asked, symbol, bars, store)[0].set_index("time")
        for symbol, bars in by_symbol(panel)
    }
    return pd.concat(parts, names=["symbol", "time"])


def _history(
    asked: params.Params, symbol: str, bars: pd.DataFrame, store: Store
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Revisions of these bars, and outages between them; what is read from files has none."""
    interval, source = asked.collection.interval, _stored_as(asked)
    changed = store.revisions(symbol, interval, source=source)
    absent = store.outages(symbol, interval, source=source)
    first, last = bars.index[[0, -1]]
    mine = changed["time"].isin(bars.index) & (asked.collection.source not in _READ)
    return changed[mine], absent[(absent["last"] >= first) & (absent["first"] <= last)]


def _stored_as(asked: params.Params) -> str:
    """Name under which the bars of a source are in the store; each set of files has its own."""
    kept = asked.collection
    if kept.source == "files":
        return f"files-{lineage.digest(kept.path)[:8]}"
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
        with Store.open() as store:
            for symbol, bars in by_symbol(load(asked, store)):
                changed, absent = _history(asked, symbol, bars, store)
                tables = (bars, changed, absent.drop(columns="asked_at"))
                found[symbol] = lineage.digest([_digest(table) for table in tables])
    return found | _news_digests(kept.news)


def _news_digests(asked: params.News) -> dict[str, str]:
    """SHA-256 of the news, and of the lexicon or model that scores them."""
    found = {}
    if asked.source == "file":
        found["news"] = lineage.file_digest(collection.news_file(asked.path))
    if asked.source == "store":
        with Store.open() as store:
            found["news"] = _digest(collection.collected_news(store))
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
