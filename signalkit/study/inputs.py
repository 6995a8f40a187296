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
# by symbol: bars that were changed after they were stored, and those that the source lacks
History = dict[str, tuple[pd.DataFrame, pd.DataFrame]]


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
    source = stored_as(asked)
    if kept.source in _READ:
        store.write_bars(panel, source=source, interval=kept.interval, calendar=kept.calendar)
    past = _history(asked, panel, store, source)
    changed = {symbol: revisions.set_index("time") for symbol, (revisions, _) in past.items()}
    return {
        "bars": panel,
        "news": load_news(asked, panel, store),
        "sources": _sources(source, list(past), told),
        "findings": _findings(interval_length(kept.interval), past, told),
        "revisions": pd.concat(changed, names=["symbol", "time"]),
    }


def _sources(
    source: str, symbols: list[str], told: dict[str, collection.CollectionReport]
) -> pd.DataFrame:
    """Where the bars of each symbol are from; of files what they are."""
    rows = {
        symbol: {"source": source} | {n: getattr(told.get(symbol), n, None) for n in REPORT}
        for symbol in symbols
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("symbol")
    return table.drop(columns=[name for name in table if table[name].isna().all()])


def _findings(
    length: pd.Timedelta, past: History, told: dict[str, collection.CollectionReport]
) -> pd.DataFrame:
    """What was decided, flagged or not there, a row each; places by bar end where there are any."""
    rows = []
    for symbol, (_, absent) in past.items():
        report = told.get(symbol)
        rows += [(symbol, "decided", note, None, None, 0) for note in getattr(report, "notes", ())]
        for defect in getattr(report, "flagged", ()):
            named = (symbol, "flagged", defect.name)
            places = [(p.first + length, p.last + length, p.bars) for p in defect.places]
            rows += [(*named, *place) for place in places or [(None, None, 0)]]
        for gap in absent.itertuples():
            rows.append((symbol, "outage", "the source has none", gap.first, gap.last, gap.bars))
    table = pd.DataFrame(rows, columns=["symbol", "kind", "what", "first", "last", "bars"])
    return table.assign(**{n: pd.to_datetime(table[n], utc=True) for n in ("first", "last")})


def _history(asked: params.Params, panel: pd.DataFrame, store: Store, source: str) -> History:
    """Revisions of each symbol's bars, and outages between them; of what is read, none."""
    past = {}
    for symbol, bars in by_symbol(panel):
        key = (symbol, asked.collection.interval)
        changed = store.revisions(*key, source=source)
        absent = store.outages(*key, source=source)
        first, last = bars.index[[0, -1]]
        mine = changed["time"].isin(bars.index) & (asked.collection.source not in _READ)
        inside = (absent["last"] >= first) & (absent["first"] <= last)
        past[symbol] = changed[mine], absent[inside]
    return past


def stored_as(asked: params.Params) -> str:
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
            panel = load(asked, store)
            past = _history(asked, panel, store, kept.source)
            for symbol, bars in by_symbol(panel):
                changed, absent = past[symbol]
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
