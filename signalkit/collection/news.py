"""News from a file or a URL into one table, each item known no earlier than it was.

`known_at` is when an item could first have been acted on: when it was published and the
latency after it, at the end of its day where no time of day is stated. An item that comes
again keeps its first time and its first text. What is not stated is asked for, never
guessed; what is refused is counted in the report.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from signalkit.collection.feeds import fetch, is_url, plain_text
from signalkit.collection.matching import find_symbols, symbol_names
from signalkit.collection.news_rows import NewsRows, read_rows
from signalkit.collection.news_times import NO_TIME, read_times
from signalkit.collection.zone_names import zone_named
from signalkit.errors import DataError, ParamsError

COLUMNS = ("published", "source", "title", "symbols", "sentiment", "key")
_URL_MB, _FILE_MB = 10.0, 100.0
_NO_TITLE, _FUTURE = "no title", "published after now"
_UNKNOWN_SOURCE = "unknown"
_LONGEST_KEY = 500  # characters


@dataclass(frozen=True)
class NewsReport:
    """What reading news found.

    `rows` = `empty` + the sum of `refused` + `duplicates` + `republished` + `items`.
    `duplicates` came again with the same time, `republished` with a later one. Of all rows
    `date_only` have no time of day, `midnight` of those are stamped 00:00, `ambiguous` and
    `nonexistent` have local times that clocks showed twice or never. `zone` and
    `date_order` say what the times were read by.
    """

    path: str
    format: str
    encoding: str
    zone: str
    date_order: str
    rows: int
    empty: int
    duplicates: int
    republished: int
    date_only: int
    midnight: int
    ambiguous: int
    nonexistent: int
    refused: dict[str, int]
    items: int
    first: pd.Timestamp
    last: pd.Timestamp


def read_news(
    path: Path | str,
    *,
    tz: str | None = None,
    latency: str | pd.Timedelta = "0min",
    source: str | None = None,
    aliases: Mapping[str, Sequence[str]] | None = None,
    symbols: Sequence[str] | None = None,
    max_mb: float | None = None,
    timeout: float = 60.0,
    clock: Callable[[], pd.Timestamp] | None = None,
) -> pd.DataFrame:
    """News of a file or a URL.

    Parameters
    ----------
    path : Path or str
        RSS, Atom, CSV, JSON lines or a JSON list, plain or gzip, found by content; a file,
        or an http or https URL.
    tz : str, optional
        Zone of times that state none.
    latency : str or Timedelta
        Time from publication until an item can be acted on, at least 0.
    source : str, optional
        Source of items that state none; a URL's host or a feed's title if omitted.
    aliases : mapping of str to sequence of str, optional
        Names of each symbol, such as {"BTCUSDT": ["bitcoin", "btc"]}: whole words in any
        case, and cashtags; names of one or two letters as cashtags alone.
    symbols : sequence of str, optional
        Symbols to look for under their own names and aliases; those of `aliases` if omitted.
    max_mb : float, optional
        Most megabytes read, packed or not; 10 from a URL and 100 from a file if omitted.
    timeout : float
        Seconds in which a URL must be read.
    clock : callable, optional
        Present time, UTC; items that a URL dates later are refused. The system's if omitted.

    Returns
    -------
    DataFrame of shape (n_items, 6)
        `published` (UTC), `source`, `title`, `symbols` (sorted tuple; as stated where the
        file has a column of them), `sentiment` (NaN: not scored yet) and `key`, sorted by
        the index `known_at` (UTC). `attrs["report"]` is the NewsReport.

    Raises
    ------
    ParamsError
        If an argument is wrong, or a URL is neither http nor https.
    DataError
        If the file holds no news, is broken or too large, more than half of its rows have
        no readable time, or its times leave the zone or the order of day and month open.
    SourceError
        If a URL does not answer with the file.

    Notes
    -----
    `published` of a date alone is the start of that day in its zone, of UTC if that is
    unknown.
    """
    names = symbol_names(aliases, symbols)
    zone, delay = zone_named(tz), _delay(latency)
    try:
        data, charset, host, limit = _bytes(path, max_mb, timeout)
        now = (clock or _now)() if host else None
        rows = read_rows(data, charset=charset, limit=limit)
        times = read_times([row["time"] for row in rows.cells], zone)
        table, refused = _items(rows, times.table, now)
        table["source"] = _sources(rows, table, source or host)
        table["symbols"] = _symbols(rows, table, names)
        table["key"] = _keys(rows, table)
    except DataError as cause:
        raise DataError(f"{path}: {cause}") from None
    kept, again = _first_of_each(table)
    news = kept.assign(known_at=kept["known_at"] + delay, sentiment=np.nan)
    news = news.set_index("known_at")[list(COLUMNS)]
    news.attrs["report"] = NewsReport(
        path=str(path),
        format=rows.format,
        encoding=rows.encoding,
        zone=times.zone,
        date_order=times.date_order,
        rows=rows.rows,
        empty=rows.empty,
        **again,
        date_only=int(times.table["date_only"].sum()),
        midnight=times.midnight,
        ambiguous=times.ambiguous,
        nonexistent=times.nonexistent,
        refused=refused,
        items=len(news),
        first=news.index[0],
        last=news.index[-1],
    )
    return news


def _now() -> pd.Timestamp:
    """The system's clock."""
    return pd.Timestamp.now("UTC")


def _delay(latency: str | pd.Timedelta) -> pd.Timedelta:
    """A latency that is no less than nothing."""
    try:
        # pandas calls a day D
        days = isinstance(latency, str)
        delay = pd.Timedelta(re.sub(r"d$", "D", latency.strip()) if days else latency)
    except (ValueError, TypeError):
        raise ParamsError(f"latency must be a time such as '5min', was {latency!r}") from None
    if not delay >= pd.Timedelta(0):
        raise ParamsError(f"latency must be at least 0, was {latency!r}; news is not early")
    return delay


def _bytes(
    path: Path | str, max_mb: float | None, timeout: float
) -> tuple[bytes, str | None, str, int]:
    """Bytes of a file or URL, the charset and host of a URL, and the limit in bytes."""
    url = is_url(path)
    most = (_URL_MB if url else _FILE_MB) if max_mb is None else max_mb
    if not most > 0 or not timeout > 0:
        raise ParamsError(f"max_mb and timeout must be over 0, were {max_mb!r} and {timeout!r}")
    limit = int(most * 1e6)
    if url:
        fetched = fetch(str(path), limit=limit, timeout=timeout)
        return fetched.data, fetched.charset, fetched.host, limit
    file = Path(path)
    if not file.is_file():
        raise DataError("not a file" if file.exists() else "no such file")
    if file.stat().st_size > limit:
        raise DataError(
            f"{file.stat().st_size:,} bytes, over the limit of {most:g} MB; raise max_mb"
        )
    return file.read_bytes(), None, "", limit


def _items(
    rows: NewsRows, times: pd.DataFrame, now: pd.Timestamp | None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Title and times of the rows that have both, and how many others were refused for what."""
    plain = {title: plain_text(title) for title in {row["title"] for row in rows.cells}}
    table = times.assign(title=[plain[row["title"]] for row in rows.cells])
    _check_times(rows, table["reason"])
    reason = table["reason"].mask((table["reason"] == "") & (table["title"] == ""), _NO_TITLE)
    if now is not None:
        reason = reason.mask((reason == "") & (table["published"] > now), _FUTURE)
    refused = rows.refused | dict(Counter(reason[reason != ""]))
    table = table[reason == ""]
    if table.empty:
        raise DataError(f"none of {rows.rows} rows is an item of news: refused for {refused}")
    return table.copy(), refused


def _check_times(rows: NewsRows, reason: pd.Series) -> None:
    """Refuse a file more than half of whose rows have no readable time."""
    broken = np.flatnonzero(reason != "")
    if len(broken) * 2 <= len(reason):
        return
    if (reason == NO_TIME).all():
        raise DataError(f"none of {len(reason)} items has a date; news without one is of no use")
    row = int(broken[0])
    raise DataError(
        f"{len(broken)} of {len(reason)} rows have no readable time (first: row {row},"
        f" {rows.cells[row]['time'][:60]!r}); write ISO 8601"
    )


def _sources(rows: NewsRows, table: pd.DataFrame, named: str | None) -> list[str]:
    """Source of each item: as its row states, else as named, else the feed's title."""
    other = named or plain_text(rows.source) or _UNKNOWN_SOURCE
    return [plain_text(rows.cells[row].get("source", "")) or other for row in table.index]


def _symbols(rows: NewsRows, table: pd.DataFrame, names: Mapping[str, Sequence[str]]) -> pd.Series:
    """Symbols of each item: as its row states, else those that the title names."""
    stated = [_stated(rows, row) for row in table.index]
    found = find_symbols(table["title"], names)
    both = [own or named for own, named in zip(stated, found, strict=True)]
    return pd.Series(both, index=table.index, dtype=object)


def _stated(rows: NewsRows, row: int) -> tuple[str, ...]:
    """Symbols in the column of symbols, sorted."""
    return tuple(sorted(set(re.findall(r"[^\s,;|\[\]'\"]+", rows.cells[row].get("symbols", "")))))


def _keys(rows: NewsRows, table: pd.DataFrame) -> list[str]:
    """What identifies each item: its guid or URL, else a digest of what it says of what."""
    keys = []
    for row, source, title in zip(table.index, table["source"], table["title"], strict=True):
        key = rows.cells[row].get("key", "").strip()
        if not key:
            normal = " ".join(unicodedata.normalize("NFKC", title).casefold().split())
            key = _digest(source, normal, *_stated(rows, row))
        keys.append(key if len(key) <= _LONGEST_KEY and key.isprintable() else _digest(key))
    return keys


def _digest(*parts: str) -> str:
    """SHA-256 of some texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()


def _first_of_each(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """The first item of each source and key in order of time, and how many came again."""
    table = table.sort_values(["known_at", "published"], kind="stable")
    identity = ["source", "key"]
    again = table.duplicated(identity)
    first = table.groupby(identity, sort=False)["published"].transform("first")
    later = int((again & (table["published"] > first)).sum())
    return table[~again], {"duplicates": int(again.sum()) - later, "republished": later}
