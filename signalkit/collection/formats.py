"""A file's bytes as one raw table: the format is found in the content, never in the name.

gzip, bzip2, xz and zip are opened; Parquet, Feather, JSON and CSV are told by their first
bytes. Lines before a CSV's table (a URL, a comment) are kept as notes. What cells mean is
decided elsewhere.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

from signalkit.errors import DataError

# what a compressed file may become in memory; a year of minutes takes 60 MB
_LIMIT = 2 * 2**30
_SNIFFED_LINES = 50
_SEPARATORS = (",", ";", "\t", "|")
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_COMMENT = re.compile(r"^\s*(#|//)|^\s*https?://\S*\s*$")


@dataclass(frozen=True)
class Raw:
    """A table as the file holds it.

    `named` says whether the file names its columns (else they are counted from 0),
    `preamble` holds the lines before the table.
    """

    table: pd.DataFrame
    format: str
    named: bool = True
    preamble: tuple[str, ...] = ()
    encoding: str | None = None


def read_raw(path: Path) -> Raw:
    """The table in a file.

    Raises
    ------
    DataError
        If the file is empty, of no known format, cut off, or holds no table.
    """
    return _from_bytes(path.read_bytes(), ())


def _from_bytes(content: bytes, outer: tuple[str, ...]) -> Raw:
    """The table in some bytes; `outer` names the containers already opened."""
    if not content:
        where = f" inside {outer[-1]}" if outer else ""
        raise DataError(f"the file is empty{where} (0 bytes)")
    for magic, name, opener in _CONTAINERS:
        if content.startswith(magic):
            if len(outer) == 2:
                raise DataError(
                    f"a {name} inside {' inside '.join(outer)} is not opened; unpack it"
                )
            return _from_bytes(_opened(content, name, opener), (*outer, name))
    found = _parsed(content)
    if found.table.empty:
        raise DataError("no rows; the file has a table without any")
    return Raw(
        found.table,
        " in ".join([found.format, *outer[::-1]]),
        found.named,
        found.preamble,
        found.encoding,
    )


def _gunzip(content: bytes) -> bytes:
    with gzip.open(io.BytesIO(content)) as file:
        return file.read(_LIMIT + 1)


def _bunzip(content: bytes) -> bytes:
    with bz2.open(io.BytesIO(content)) as file:
        return file.read(_LIMIT + 1)


def _unxz(content: bytes) -> bytes:
    with lzma.open(io.BytesIO(content)) as file:
        return file.read(_LIMIT + 1)


def _unzip(content: bytes) -> bytes:
    """The only file of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [i.filename for i in archive.infolist() if not i.is_dir()]
        if len(names) != 1:
            raise DataError(f"the zip holds {len(names)} files {names[:5]}; keep the one with bars")
        with archive.open(names[0]) as file:
            return file.read(_LIMIT + 1)


_CONTAINERS = (
    (b"\x1f\x8b", "gzip", _gunzip),
    (b"PK\x03\x04", "zip", _unzip),
    (b"PK\x05\x06", "zip", _unzip),
    (b"BZh", "bzip2", _bunzip),
    (b"\xfd7zXZ\x00", "xz", _unxz),
)


def _opened(content: bytes, name: str, opener) -> bytes:  # noqa: ANN001 - one of the above
    """The bytes inside a container."""
    try:
        inside = opener(content)
    except (OSError, EOFError, ValueError, RuntimeError) as cause:
        if isinstance(cause, DataError):
            raise
        raise DataError(f"the {name} is cut off or broken ({cause}); fetch it again") from None
    except (zlib.error, zipfile.BadZipFile, lzma.LZMAError, NotImplementedError) as cause:
        raise DataError(f"the {name} is cut off or broken ({cause}); fetch it again") from None
    if len(inside) > _LIMIT:
        raise DataError(f"the {name} opens to more than {_LIMIT >> 20} MiB; split it")
    return inside


def _parsed(content: bytes) -> Raw:
    """The table in bytes that are no container."""
    if content.startswith(b"PAR1"):
        return Raw(_arrow(lambda: pq.read_table(io.BytesIO(content)), "Parquet"), "Parquet")
    if content.startswith((b"ARROW1", b"FEA1")):
        return Raw(_arrow(lambda: feather.read_table(io.BytesIO(content)), "Feather"), "Feather")
    if b"\x00" in content[:4096] and not content.startswith(_UTF16):
        raise DataError("no format that is known: not CSV, JSON, Parquet, Feather, gzip or zip")
    text, encoding = _decoded(content)
    if text.lstrip()[:1] in {"[", "{"}:
        return Raw(*_json(text), encoding=encoding)
    return _csv(text, encoding)


def _arrow(read, name: str) -> pd.DataFrame:  # noqa: ANN001 - a reader of no arguments
    """A Parquet or Feather table, its index as columns."""
    try:
        table = read().to_pandas()
    except (pa.ArrowException, OSError) as cause:
        raise DataError(f"the {name} file is cut off or broken ({cause})") from None
    unnamed = isinstance(table.index, pd.RangeIndex) and table.index.name is None
    return table if unnamed else table.reset_index()


def _decoded(content: bytes) -> tuple[str, str]:
    """Text of a file of bars: UTF-8, else cp1252 (its names and numbers are ASCII anyway)."""
    try:
        return content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        pass
    if content.startswith(_UTF16):
        return content.decode("utf-16", errors="replace"), "utf-16"
    return content.decode("cp1252", errors="replace"), "cp1252"


def _json(text: str) -> tuple[pd.DataFrame, str, bool]:
    """Lists of lists, lists of objects, columns, or one object a line."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as cause:
        return _json_lines(text, cause)
    except (RecursionError, ValueError) as cause:
        raise DataError(f"the JSON is nested too deep or has endless numbers ({cause})") from None
    if isinstance(content, dict):
        inner = [value for value in content.values() if isinstance(value, list)]
        if len(inner) == 1 and inner[0] and isinstance(inner[0][0], list | dict):
            content = inner[0]
    if isinstance(content, dict):
        try:
            return pd.DataFrame(content), "JSON columns", True
        except ValueError as cause:
            raise DataError(f"the JSON object is no table of columns ({cause})") from None
    if not content:
        raise DataError("no rows; the JSON list is empty")
    if all(isinstance(row, dict) for row in content):
        return pd.DataFrame(content), "JSON objects", True
    widths = {len(row) if isinstance(row, list) else 0 for row in content}
    if len(widths) > 1 or widths == {0}:
        raise DataError(f"the JSON list has rows of {sorted(widths)} cells; bars have one width")
    return pd.DataFrame(content), "JSON rows", False


def _json_lines(text: str, cause: json.JSONDecodeError) -> tuple[pd.DataFrame, str, bool]:
    """One JSON object a line."""
    try:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (RecursionError, ValueError):
        raise DataError(f"the JSON is cut off or broken ({cause})") from None
    if not all(isinstance(row, dict) for row in rows):
        raise DataError("the JSON lines are not all objects")
    return pd.DataFrame(rows), "JSON lines", True


def _csv(text: str, encoding: str) -> Raw:
    """A CSV with or without a header, after lines that are no part of it."""
    lines = text[: 2**20].splitlines()[:_SNIFFED_LINES]
    try:
        separator, skip, names = _layout(lines)
    except csv.Error as cause:
        raise DataError(f"no table with columns ({cause})") from None
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            skiprows=skip,
            header=0 if names else None,
            low_memory=False,
            skipinitialspace=True,
            skip_blank_lines=False,
        )
    except (ValueError, csv.Error) as cause:
        raise DataError(f"the CSV breaks off or has uneven rows ({cause})") from None
    table = table.dropna(how="all")
    if separator != "," and not any(_has_point(table[name]) for name in table):
        _check_comma(table)
        table = table.apply(_points)
    if names:
        header = [cell.strip() for cell in next(csv.reader([lines[skip]], delimiter=separator))]
        table.columns = [cell or f"unnamed_{place}" for place, cell in enumerate(header)]
    else:
        table.columns = range(table.shape[1])
    return Raw(table.reset_index(drop=True), "CSV", names, tuple(lines[:skip]), encoding)


def _layout(lines: list[str]) -> tuple[str, int, bool]:
    """Separator of a CSV, how many lines come before its table, whether it names columns."""
    best = max(_SEPARATORS, key=lambda s: _width(lines, s)[1] * (_width(lines, s)[0] > 1))
    width, _ = _width(lines, best)
    if width < 2:
        shown = next((line for line in lines if line.strip()), "")[:80]
        raise DataError(f"no table with columns; the file begins {shown!r}")
    cells = list(csv.reader(lines, delimiter=best))
    for row, found in enumerate(cells):
        if len(found) == width and not _COMMENT.match(lines[row]):
            names = not any(_NUMBER.fullmatch(cell.strip()) for cell in found)
            if not names and row:
                _check_no_header(cells[row - 1], found)
            return best, row, names
    raise DataError("no line has as many cells as the table; the file may be quoted wrongly")


def _check_no_header(before: list[str], first: list[str]) -> None:
    """Refuse names that are fewer than the cells of the rows below."""
    named = {cell.strip().lower() for cell in before} & {"open", "high", "low", "close", "volume"}
    if len(named) >= 3:
        raise DataError(
            f"the header has {len(before)} names, but the rows have {len(first)} cells; name them"
            " all, or drop the separator that ends each row"
        )


def _width(lines: list[str], separator: str) -> tuple[int, int]:
    """The most common number of cells a line, and how many lines have it."""
    counts = Counter(len(row) for row in csv.reader(lines, delimiter=separator) if row)
    return counts.most_common(1)[0] if counts else (0, 0)


def _has_point(column: pd.Series) -> bool:
    """Whether numbers of a column are written with a decimal point."""
    if column.dtype.kind == "f":
        return bool((column.dropna() % 1 != 0).any())
    return column.dtype.kind not in "ib" and bool(
        column.dropna().astype(str).str.fullmatch(r"\s*-?\d+\.\d+\s*").any()
    )


def _check_comma(table: pd.DataFrame) -> None:
    """Refuse commas that may separate thousands as well as decimals."""
    cells = pd.concat([table[name].dropna().astype(str).str.strip() for name in table])
    cells = cells[cells.str.fullmatch(r"-?\d+,\d+")]
    if len(cells) and cells.str.fullmatch(r"-?[1-9]\d{0,2},\d{3}").all():
        raise DataError(
            f"{cells.iloc[0]!r} can be read with a decimal comma or with a comma for thousands, as"
            f" all {len(cells):,} such numbers of the file; write a decimal point"
        )


def _points(column: pd.Series) -> pd.Series:
    """Numbers written with a decimal comma as numbers, where a comma does not separate."""
    if column.dtype.kind in "ifb":
        return column
    text = column.dropna().astype(str)
    if len(text) and text.str.fullmatch(r"\s*-?\d+(,\d+)?([eE][-+]?\d+)?\s*").all():
        return pd.to_numeric(column.astype(str).str.replace(",", "."), errors="coerce").astype(
            np.float64
        )
    return column
