"""Rows of news from bytes: what is a title, a time and a source in a file of any usual form.

The form is found in the bytes, never in a name: RSS and Atom, CSV with any of , ; tab and |,
JSON lines, a JSON list, each plain or in gzip. Every cell stays as it is written; rows
without anything in them are dropped and counted. Bars are refused: `read_file` reads them.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from signalkit.collection.feeds import read_feed, unpacked
from signalkit.errors import DataError

_NAMES = {
    "title": "title titles headline headlines headlinetext newstitle newsheadline articletitle"
    " text tweet content body message",
    "time": "publishedat published publishedtime publishedon publishedutc publisheddate publishdate"
    " pubdate publicationdate datepublished datetime timestamp createdat created date time updated",
    "source": "source sources publisher site outlet provider domain",
    "key": "guid id url link",
    "symbols": "symbol symbols ticker tickers stock",
}
_PRICES = {"open", "high", "low", "close"}
_SEPARATORS = ",;\t|"
_BINARY = {b"PAR1": "Parquet", b"ARROW1": "Feather", b"PK\x03\x04": "zip", b"%PDF": "PDF"}
_MANY_CELLS = "more cells than the header"
_ROW_NUMBER = re.compile(r"\d{1,7}")
_CLOCK_ALONE = re.compile(r"\s*\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*([ap]m)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class NewsRows:
    """Cells of a file: `cells` has a text a row under title, time, source, key, symbols."""

    cells: list[dict[str, str]]
    format: str
    encoding: str
    rows: int
    empty: int = 0
    source: str = ""
    refused: dict[str, int] = field(default_factory=dict)
    stated: bool = False  # whether the file has a column of symbols


def read_rows(data: bytes, *, charset: str | None = None, limit: int) -> NewsRows:
    """Cells of a file of news.

    Parameters
    ----------
    data : bytes
        The file, plain or in gzip.
    charset : str, optional
        Encoding that its sender named; what the bytes say goes before it.
    limit : int
        Most bytes after unpacking.

    Raises
    ------
    DataError
        If the form or the encoding is none of those known, the file holds bars, or it lacks
        a title or a time.
    """
    data = unpacked(data, limit)
    for magic, name in _BINARY.items():
        if data.startswith(magic):
            raise DataError(f"a {name} file, no news; bars of that kind are read by read_file")
    text, encoding = decoded(data, _declared(data) or charset)
    start = text.lstrip()[:1]
    if not start:
        raise DataError("the file is empty")
    if start == "<":
        return _from_feed(text, encoding)
    if start in "[{":
        return _from_json(text, encoding)
    return _from_csv(text, encoding)


def _declared(data: bytes) -> str | None:
    """The encoding that an XML declaration names."""
    match = re.match(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)", data[:1000])
    return match[1].decode("ascii") if match else None


def decoded(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """Text of some bytes, and its encoding.

    A byte order mark decides, then UTF-8 where the bytes are nothing else, then what was
    declared, then cp1252 where single bytes stand among ASCII, then charset-normalizer.

    Raises
    ------
    DataError
        If none of them fits, or the text is UTF-8 with broken bytes.
    """
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16"}
    for mark, encoding in (marks | {codecs.BOM_UTF16_BE: "utf-16"}).items():
        if data.startswith(mark):
            return _strict(data, encoding), encoding
    if data[:4].count(0) == 2:
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
        return _strict(data, encoding), encoding
    if b"\0" in data[:4096]:
        raise DataError("bytes that are no text (zeros among the first); no news file")
    for encoding in ("utf-8", declared):
        try:
            return data.decode(encoding or "utf-8"), encoding or "utf-8"
        except (UnicodeError, LookupError):  # some codecs raise the plain UnicodeError
            continue
    return _undeclared(data)


def _strict(data: bytes, encoding: str) -> str:
    """Text of bytes in an encoding that they must be in."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as cause:
        raise DataError(
            f"no {encoding} text: byte {cause.start} breaks it; save as UTF-8"
        ) from None


def _undeclared(data: bytes) -> tuple[str, str]:
    """Text of bytes that are not UTF-8 and of which nobody says what they are."""
    broken = data.decode("utf-8", errors="replace").count("\ufffd")
    high = re.findall(rb"[\x80-\xff]+", data)
    whole = sum(len(run) > 1 for run in high)
    if whole > 10 * broken:
        raise DataError(f"UTF-8 with {broken} broken characters; get the file again")
    try:
        # bytes of other alphabets come in runs; quotes and accents of the West stand alone
        if whole < 0.1 * len(high):
            return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        pass
    from charset_normalizer import from_bytes  # noqa: PLC0415 - hardly ever needed

    best = from_bytes(data[:200_000]).best()
    if best is None:
        raise DataError("text in no encoding that can be told; save it as UTF-8")
    return _strict(data, best.encoding), best.encoding


def _from_feed(text: str, encoding: str) -> NewsRows:
    """Items of a feed."""
    items, version, title = read_feed(text)
    if not items:
        raise DataError(f"a feed ({version}) without items")
    return NewsRows(items, version, encoding, rows=len(items), source=title)


def _from_json(text: str, encoding: str) -> NewsRows:
    """Objects of a JSON list, or of JSON lines."""
    lines = text.lstrip().startswith("{")
    try:
        found = list(_json_lines(text)) if lines else json.loads(text)
        whole = all(isinstance(item, dict) for item in found)
        names = list(dict.fromkeys(name for item in found for name in item)) if whole else []
        table = [[_cell(item.get(name)) for name in names] for item in found] if whole else []
    except (ValueError, RecursionError) as cause:
        raise DataError(f"JSON cut off or broken ({cause}); get the file again") from None
    if not whole:
        raise DataError(
            "a JSON list of rows without names, as exchanges send bars; read_file reads bars,"
            " news needs objects with title and date"
        )
    return _rows(names, table, "json lines" if lines else "json", encoding)


def _json_lines(text: str) -> Iterator[object]:
    """The value of each line that is not blank."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as cause:
                raise ValueError(f"line {number}: {cause}") from None


def _cell(value: object) -> str:
    """A JSON value as the text of a cell."""
    if isinstance(value, dict):
        value = value.get("name")
    if isinstance(value, list):
        return ",".join(_cell(part) for part in value)
    return "" if value is None else str(value)


def _from_csv(text: str, encoding: str) -> NewsRows:
    """Rows of a CSV file, by the separator under which its header has a title and a time."""
    text = re.sub(r"\A(?:[^\S\n]*\n)+", "", text.replace("\r\n", "\n"))
    lines = [line for line in text[:100_000].splitlines()[:3] if line.strip()]
    separator, names = max(
        ((sep, next(csv.reader(lines[:1], delimiter=sep))) for sep in _SEPARATORS),
        key=lambda found: (len(_columns(found[1])), len(found[1])),
    )
    for line in lines:
        _check_no_bars(line.split(separator))
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as cause:
        raise DataError(f"no CSV ({cause}); a quote may be left open") from None
    return _rows(
        names, [row for row in table if row][1:], f"csv, separator {separator!r}", encoding
    )


def _check_no_bars(names: Sequence[str]) -> None:
    """Refuse the header of bars, and bars without one."""
    plain = {_plain(name) for name in names}
    numbers = [re.fullmatch(r'\s*"?-?\d+(\.\d*)?(e[+-]?\d+)?"?\s*', n, re.I) for n in names]
    if (plain >= _PRICES or (len(names) > 4 and all(numbers))) and not (
        plain & set(_NAMES["title"].split())
    ):
        raise DataError(f"bars, no news (a line is {list(names)[:8]}); read them with read_file")


def _plain(name: str) -> str:
    """A column's name in small letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _columns(names: Sequence[str]) -> dict[str, int]:
    """Column of each cell that news has, by the usual names in their order."""
    plain = [_plain(str(name)) for name in names]
    found = {
        cell: next((plain.index(name) for name in usual.split() if name in plain), -1)
        for cell, usual in _NAMES.items()
    }
    return {cell: column for cell, column in found.items() if column >= 0}


def _rows(names: list[str], table: list[list[str]], form: str, encoding: str) -> NewsRows:
    """Cells of a table under the names that news has."""
    if not table:
        raise DataError("no rows, and so no news")
    _check_no_bars(names)
    columns = _columns(names)
    for cell, example in (("title", "title or headline"), ("time", "published or date")):
        if cell not in columns:
            raise DataError(f"no column of {cell}s, such as {example}; it has {names[:20]}")
    whole = [row for row in table if len(row) <= len(names)]
    filled = [row for row in whole if any(cell.strip() for cell in row)]
    if not filled:
        raise DataError(f"no news in {len(table)} rows")
    cells = [
        {cell: row[at] if at < len(row) else "" for cell, at in columns.items()} for row in filled
    ]
    _join_clock(cells, filled, names)
    _drop_row_numbers(cells, names, columns)
    return NewsRows(
        cells,
        form,
        encoding,
        rows=len(table),
        empty=len(whole) - len(filled),
        refused={_MANY_CELLS: len(table) - len(whole)} if len(table) > len(whole) else {},
        stated="symbols" in columns,
    )


def _join_clock(cells: list[dict[str, str]], table: list[list[str]], names: list[str]) -> None:
    """Put date and time together where they are columns of their own."""
    plain = [_plain(str(name)) for name in names]
    if not {"date", "time"} <= set(plain):
        return
    date, time = plain.index("date"), plain.index("time")
    for cell, row in zip(cells, table, strict=True):
        if time < len(row) and _CLOCK_ALONE.fullmatch(row[time]):
            cell["time"] = f"{row[date].strip()} {row[time].strip()}"


def _drop_row_numbers(cells: list[dict[str, str]], names: list[str], columns: dict) -> None:
    """Forget ids that only count rows: they name other items in the next file."""
    if "key" not in columns or _plain(str(names[columns["key"]])) != "id":
        return
    if all(_ROW_NUMBER.fullmatch(cell["key"].strip()) or not cell["key"] for cell in cells):
        for cell in cells:
            cell["key"] = ""
