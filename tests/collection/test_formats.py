"""collection/formats.py: the format is found in the bytes; what is broken is told as what it is."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pandas as pd
import pytest

from signalkit.collection.formats import read_raw
from signalkit.errors import DataError

HEAD = "time,open,high,low,close,volume"
LINES = [f"2024-01-01 0{hour}:00,2,4,1,3,1{hour}.5" for hour in range(4)]
TEXT = "\n".join([HEAD, *LINES, ""])
CELLS = [line.split(",") for line in LINES]
TABLE = pd.DataFrame({"time": ["a", "b"], "open": [1.5, 2.5]})


@pytest.fixture
def raw(tmp_path):
    """A function that reads bytes from a file without a telling name."""

    def read(content):
        file = tmp_path / "q"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_raw(file)

    return read


def zipped(**files):
    """A zip of files by name."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def written(method, **options):
    """Bytes of a table written by one of its methods."""
    held = io.BytesIO()
    getattr(TABLE, method)(held, **options)
    return held.getvalue()


def shown(found):
    """The cells of a raw table as text."""
    return [[str(cell) for cell in row] for row in found.table.to_numpy().tolist()]


@pytest.mark.parametrize(
    ("packed", "name"),
    [
        (TEXT.encode(), "CSV"),
        (gzip.compress(TEXT.encode()), "CSV in gzip"),
        (gzip.compress(TEXT[:90].encode()) + gzip.compress(TEXT[90:].encode()), "CSV in gzip"),
        (bz2.compress(TEXT.encode()), "CSV in bzip2"),
        (lzma.compress(TEXT.encode()), "CSV in xz"),
        (zipped(bars=TEXT), "CSV in zip"),
        (gzip.compress(zipped(bars=TEXT)), "CSV in zip in gzip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_container_is_known_by_its_first_bytes(raw, packed, name):
    found = raw(packed)
    assert found.format == name
    assert shown(found)[3] == ["2024-01-01 03:00", "2", "4", "1", "3", "13.5"]
    assert found.named
    assert list(found.table) == HEAD.split(",")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (gzip.compress(b""), r"the file is empty inside gzip \(0 bytes\)"),
        (zipped(), "the zip holds 0 files"),
        (zipped(a=TEXT, b=TEXT), r"the zip holds 2 files \['a', 'b'\]; keep the one with bars"),
        (gzip.compress(TEXT.encode() * 9)[:-20], "the gzip is cut off or broken"),
        (gzip.compress(TEXT.encode())[:-8] + bytes(8), r"the gzip is .*broken \(CRC"),
        (b"\x1f\x8b" + b"x" * 50, "the gzip is cut off or broken"),
        (bz2.compress(TEXT.encode())[:-9], "the bzip2 is cut off or broken"),
        (lzma.compress(TEXT.encode())[:-9], "the xz is cut off or broken"),
        (zipped(bars=TEXT)[:-9], "the zip is cut off or broken"),
        (gzip.compress(gzip.compress(gzip.compress(b"a"))), "a gzip inside gzip inside gzip is"),
        (b"PAR1" + b"x" * 50, "the Parquet file is cut off or broken"),
        (b"ARROW1" + b"x" * 50, "the Feather file is cut off or broken"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "no format that is known: not CSV, JSON, Par"),
        (b"\n\n\n", "no table with columns; the file begins ''"),
        (b"just a few words\nof text\n", "no table with columns; the file begins 'just a few w"),
        (b"version https://lfs\noid sha256:1\n", "the file begins 'version https://lfs'"),
        (HEAD.encode() + b"\n", "no rows; the file has a table without any"),
    ],
)
def test_bytes_that_hold_no_table_are_refused_as_what_they_are(raw, content, says):
    with pytest.raises(DataError, match=says):
        raw(content)


def test_a_container_that_would_fill_the_memory_is_refused(raw, monkeypatch):
    monkeypatch.setattr("signalkit.collection.formats._LIMIT", 2**20)
    with pytest.raises(DataError, match="the gzip opens to more than 1 MiB; split it"):
        raw(gzip.compress(b"1,2\n" * 2**19))


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        "\ufeff" + TEXT,
        TEXT.replace("\n", "\n\n"),
        TEXT.replace(",", " , "),
        TEXT.replace(",", ";"),
        TEXT.replace(",", "\t"),
        TEXT.replace(",", "|"),
    ],
    ids=["CRLF", "CR", "BOM", "blank lines", "padded", "semicolon", "tab", "bar"],
)
def test_lines_and_separators_of_any_system_are_read(raw, text):
    found = raw(text).table
    assert [name.strip() for name in found] == HEAD.split(",")
    for row, cells in zip(found.to_numpy().tolist(), CELLS, strict=True):
        assert [row[0].strip(), *map(float, row[1:])] == [cells[0], *map(float, cells[1:])]


def test_quoted_cells_hold_separators_and_a_decimal_comma_is_a_point(raw):
    found = raw('"time","note","close"\n"a","x, y","1.5"\n"b","z","2.5"\n')
    assert shown(found) == [["a", "x, y", "1.5"], ["b", "z", "2.5"]]
    found = raw("time;open;close\na;1,5;2\nb;10,25;3,125\n")
    assert found.table["open"].tolist() == [1.5, 10.25]
    assert found.table["close"].tolist() == [2.0, 3.125]


def test_a_decimal_comma_may_come_with_an_exponent(raw):
    found = raw("time;open;close\na;7,7e-05;1\nb;0,25;1\n")
    assert found.table["open"].tolist() == [7.7e-05, 0.25]


def test_a_comma_beside_decimal_points_is_no_decimal_comma(raw):
    found = raw("time;close;volume\na;1.5;12,466\nb;2.5;30,587\n")
    assert found.table["volume"].tolist() == ["12,466", "30,587"]


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("https://www.example.com/data\n", 1),
        ("Timestamps are UTC timezone,https://www.example.com\n", 1),
        ("# by me\n# a,b,c,d,e,f\n", 2),
        ("\n\n", 2),
    ],
)
def test_lines_before_the_table_are_kept_as_its_preamble(raw, before, kept):
    found = raw(before + TEXT)
    assert len(found.preamble) == kept
    assert list(found.table) == HEAD.split(",")
    assert len(found.table) == 4


def test_two_columns_of_one_name_stay_as_they_are(raw):
    found = raw("time,open,close,close,volume\na,1,2,3,4\nb,1,2,3,4\n")
    assert list(found.table) == ["time", "open", "close", "close", "volume"]


def test_a_file_without_a_header_is_told_by_its_first_row(raw):
    found = raw("\n".join(LINES))
    assert not found.named
    assert list(found.table) == [0, 1, 2, 3, 4, 5]
    assert len(found.table) == 4


def test_a_header_of_fewer_names_than_cells_is_refused(raw):
    # a separator ends each row, or the first column has no name: which belongs to which?
    for text in (
        "\n".join([HEAD, *(f"{row}," for row in LINES)]),
        "\n".join([HEAD, *(f"7,{row}" for row in LINES)]),
    ):
        with pytest.raises(DataError, match="the header has 6 names, but the rows have 7 cells"):
            raw(text)


def test_rows_that_are_cut_off_stay_as_they_are_for_the_checks(raw):
    cut = raw("\n".join([HEAD, *LINES])[:-9])
    assert cut.table["close"].isna().tolist() == [False, False, False, True]
    with pytest.raises(DataError, match="the CSV breaks off or has uneven rows"):
        raw("\n".join([HEAD, *LINES, LINES[0] + ",7,8,9"]))


def test_text_that_is_no_utf8_is_read_with_its_encoding_told(raw):
    found = raw(TEXT.replace("volume", "volume,Größe").replace(".5", ".5,1").encode("cp1252"))
    assert found.encoding == "cp1252"
    assert list(found.table)[-1] == "Größe"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_text_of_two_bytes_a_letter_is_read(raw, encoding):
    text = TEXT if encoding == "utf-16" else "\ufeff" + TEXT
    found = raw(text.encode(encoding))
    assert found.encoding == "utf-16"
    assert shown(found) == CELLS


ROWS = [[1, 2.5], [2, 3.5]]
OBJECTS = [{"time": 1, "open": 2.5}, {"time": 2, "open": 3.5}]


@pytest.mark.parametrize(
    ("content", "name", "named"),
    [
        (json.dumps(ROWS), "JSON rows", False),
        (json.dumps({"code": 0, "data": ROWS}), "JSON rows", False),
        (json.dumps(OBJECTS), "JSON objects", True),
        (json.dumps({"ticker": "X", "results": OBJECTS}), "JSON objects", True),
        (json.dumps({"time": [1, 2], "open": [2.5, 3.5], "s": "ok"}), "JSON columns", True),
        ("\n".join(map(json.dumps, OBJECTS)), "JSON lines", True),
    ],
)
def test_json_of_every_shape_is_one_table(raw, content, name, named):
    found = raw(content)
    assert (found.format, found.named) == (name, named)
    assert found.table.iloc[:, :2].to_numpy().tolist() == ROWS


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "no rows; the JSON list is empty"),
        ("{}", "no rows"),
        ("[[1, 2], [3]]", r"rows of \[1, 2\] cells; bars have one width"),
        ("[1, 2]", r"rows of \[0\] cells"),
        ("[[1, 2], [3, 4]", "the JSON is cut off or broken"),
        ('{"a": [1], "b": [1, 2]}', "the JSON object is no table of columns"),
        ("[1, 2]\n[3, 4]", "the JSON lines are not all objects"),
    ],
)
def test_json_that_is_no_table_is_refused(raw, content, says):
    with pytest.raises(DataError, match=says):
        raw(content)


def test_parquet_and_feather_keep_their_index_as_columns(raw):
    plain = raw(written("to_parquet"))
    assert (plain.format, list(plain.table)) == ("Parquet", ["time", "open"])
    assert raw(written("to_feather")).format == "Feather"
    held = io.BytesIO()
    TABLE.set_index("time").to_parquet(held)
    pd.testing.assert_frame_equal(raw(held.getvalue()).table, plain.table)


def test_numbers_are_read_to_the_last_bit(raw):
    digits = ["0.1234567890123456789", "1234567.8901234567", "9007199254740993.0", "4.9e-324"]
    found = raw("a,b\n" + "".join(f"{cell},1\n" for cell in digits))
    assert found.table["a"].tolist() == [float(cell) for cell in digits]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[" * 10**5, "nested too deep"),
        ('{"a":' * 10**5, "nested too deep"),
        ('{"time": 1}\n' + "[" * 10**5, "cut off or broken"),
        ("[[" + "1" * 5000 + ",1,1,1,1,1]]", "endless numbers"),
        (HEAD + "\n" + "x" * 200_000 + ",1,1,1,1,1\n", r"no table with columns \(field larger"),
    ],
    ids=["lists", "objects", "lines", "digits", "field"],
)
def test_what_is_made_to_break_a_parser_is_refused(raw, content, says):
    with pytest.raises(DataError, match=says):
        raw(content)


def semicolons(*prices):
    """Rows of one price as all four."""
    rows = [f"2024-01-01 0{k}:00;{p};{p};{p};{p};7" for k, p in enumerate(prices)]
    return "\n".join([HEAD.replace(",", ";"), *rows, ""])


def test_a_comma_of_thousands_or_decimals_is_refused_unless_one_cell_tells(raw):
    says = "'1,234' can be read with a decimal comma .* as all 8 such numbers.*a decimal point"
    with pytest.raises(DataError, match=says):
        raw(semicolons("1,234", "1,240"))
    for telling, number in (("1,24", 1.24), ("0,987", 0.987), ("1234,567", 1234.567)):
        found = raw(semicolons("1,234", telling)).table["open"]
        assert found.astype(float).tolist() == [1.234, number]
