"""collection/news.py: news of any usual form, known no earlier than it was."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalkit.collection.matching import find_symbols, symbol_names
from signalkit.collection.news import COLUMNS, read_news
from signalkit.collection.news_times import read_times
from signalkit.collection.zone_names import zone_named
from signalkit.errors import DataError, ParamsError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
shared = pytest.mark.skipif(
    not SHARED.exists(), reason="the shared market data are not beside the project"
)
NEW_YORK = zone_named("America/New_York")
UTC = zone_named("UTC")
CRYPTO = "news/crypto_news_2021-10_2022-07.csv.gz"


@pytest.fixture
def file(tmp_path):
    """A function that writes lines as a file and gives its path."""

    def write(*lines, encoding="utf-8"):
        path = tmp_path / "news"
        path.write_bytes("\n".join(lines).encode(encoding))
        return path

    return write


def utc(text):
    return pd.Timestamp(text, tz="UTC")


def moments(*texts, zone=None):
    """Published and known times of texts, as short UTC text."""
    table = read_times(texts, zone).table
    return [
        tuple(f"{time:%Y-%m-%d %H:%M}" for time in (row.published, row.known_at))
        for row in table.itertuples()
    ]


def test_the_table_and_its_report(file):
    path = file(
        "title,published,guid",
        "Bitcoin falls,2022-03-07T02:00:00Z,b",
        "Bitcoin  rises,2022-03-07T01:00:00Z,a",
        ",,",
        "Bitcoin rose,2022-03-07T05:00:00Z,a",
        "Bitcoin rises,2022-03-07T01:00:00Z,a",
        "No time,,c",
        ",2022-03-07T02:00:00Z,d",
    )
    news = read_news(path, source="wire", latency="5min", aliases={"BTCUSDT": ["bitcoin"]})
    assert tuple(news.columns) == COLUMNS
    assert (news.index.name, str(news.index.dtype)) == ("known_at", "datetime64[ns, UTC]")
    assert news.index.tolist() == [utc("2022-03-07 01:05"), utc("2022-03-07 02:05")]
    assert news["published"].tolist() == [utc("2022-03-07 01:00"), utc("2022-03-07 02:00")]
    assert news["title"].tolist() == ["Bitcoin rises", "Bitcoin falls"]
    assert news["symbols"].tolist() == [("BTCUSDT",)] * 2
    assert news["key"].tolist() == ["a", "b"]
    assert set(news["source"]) == {"wire"}
    assert news["sentiment"].isna().all()
    assert news["sentiment"].dtype == np.float64
    found = news.attrs["report"]
    assert (found.path, found.format, found.encoding) == (str(path), "csv, separator ','", "utf-8")
    assert (found.rows, found.empty, found.duplicates, found.republished) == (7, 1, 1, 1)
    assert found.refused == {"no time": 1, "no title": 1}
    assert (found.items, found.zone) == (2, "stated: Z")
    assert (found.first, found.last) == (news.index[0], news.index[-1])


ROWS = [("A, b; c", "2022-03-07T01:00:00Z"), ("D\te", "2022-03-08T01:00:00Z")]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "head",
    [("title", "published_at"), ("Headlines", "Time"), ("text", "pubDate"), ("Tweet", "date")],
)
def test_any_separator_and_any_usual_name(file, separator, head):
    lines = [separator.join(f'"{cell}"' for cell in row) for row in (head, *ROWS)]
    news = read_news(file(*lines))
    assert news["title"].tolist() == ["A, b; c", "D e"]
    assert news.index.tolist() == [utc("2022-03-07 01:00"), utc("2022-03-08 01:00")]


def test_json_lists_and_lines_and_gzip_are_known_by_their_bytes(file):
    rows = [
        {"title": title, "publishedAt": time, "source": {"id": 1, "name": "Wire"}, "url": title}
        for title, time in ROWS
    ]
    one = read_news(file(json.dumps(rows)))
    path = file(*map(json.dumps, rows))
    lines = read_news(path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    for news in (lines, read_news(path)):
        pd.testing.assert_frame_equal(news, one)
    assert set(one["source"]) == {"Wire"}
    assert [one.attrs["report"].format, lines.attrs["report"].format] == ["json", "json lines"]


def test_epochs_of_any_unit_are_read_in_one_file(file):
    # 1646611200 is 2022-03-07 00:00:00 UTC (date -u -d @1646611200)
    epochs = [
        1646614800,
        1646614800_000,
        1646614800_000_000,
        1646614800_000_000_000,
        "1646614800.0",
    ]
    news = read_news(
        file(*(json.dumps({"title": f"t{k}", "time": t}) for k, t in enumerate(epochs)))
    )
    assert set(news.index) == {utc("2022-03-07 01:00")}
    assert len(news) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-07-05T04:24:00+05:30", "2022-07-04 22:54"),
        ("2022-07-05 04:24Z", "2022-07-05 04:24"),
        ("20220705T042400Z", "2022-07-05 04:24"),
        ("Tue, 05 Jul 2022 04:24:00 GMT", "2022-07-05 04:24"),
        ("Tue, 5 Jul 2022 04:24:00 -0400", "2022-07-05 08:24"),
        ("Tue Jul 05 04:24:00 +0000 2022", "2022-07-05 04:24"),
        ("Tue Jul 05 2022 04:24:00 GMT+0200 (CEST)", "2022-07-05 02:24"),
        (" 7:51  PM ET Fri, 17 July 2020", "2020-07-17 23:51"),
        (" 7:51  PM ET Fri, 17 January 2020", "2020-01-18 00:51"),
        ("Jul 17, 2020, 12:30 a.m. EDT", "2020-07-17 04:30"),
        ("July 17th, 2020 at 7 pm PT", "2020-07-18 02:00"),
        ("17-Jul-20 19:51 EST", "2020-07-18 00:51"),
        ("13/7/2020 10:00 CT", "2020-07-13 15:00"),
        ("13.07.2020, 10:00 CEST", "2020-07-13 08:00"),
    ],
)
def test_usual_texts_of_a_time_with_its_zone(text, expected):
    assert moments(text) == [(expected, expected)]


@pytest.mark.parametrize(
    ("text", "zone", "published", "known"),
    [
        ("18-Jul-20", None, "2020-07-18 00:00", "2020-07-19 12:00"),
        ("2022-03-07 00:00:00", None, "2022-03-07 00:00", "2022-03-08 12:00"),
        ("2022-03-07", UTC, "2022-03-07 00:00", "2022-03-08 00:00"),
        ("2022-03-07T00:00:00Z", NEW_YORK, "2022-03-07 00:00", "2022-03-08 00:00"),
        ("12:00 AM ET 7 March 2022", None, "2022-03-07 05:00", "2022-03-08 05:00"),
        # the day on which New York's clocks go forward has 23 hours
        ("2022-03-13", NEW_YORK, "2022-03-13 05:00", "2022-03-14 04:00"),
        ("1646611200", None, "2022-03-07 00:00", "2022-03-08 00:00"),
    ],
)
def test_a_date_alone_is_known_when_its_day_has_ended(text, zone, published, known):
    assert moments(text, zone=zone) == [(published, known)]


def test_local_times_shown_twice_or_never_are_read_as_the_later_moment():
    texts = ["2020-11-01 01:30", "2020-03-08 02:30", "1:30 AM ET 1 November 2020"]
    found = read_times(texts, NEW_YORK)
    # 01:30 EST; 02:30 EST, which New York's clocks call 03:30 EDT
    assert found.table["published"].tolist() == [
        utc("2020-11-01 06:30"),
        utc("2020-03-08 07:30"),
        utc("2020-11-01 06:30"),
    ]
    assert (found.ambiguous, found.nonexistent) == (2, 1)


@pytest.mark.parametrize(
    ("text", "place", "moment"),
    [
        ("7 Mar 2022 13:00 IST", "Asia/Kolkata", "2022-03-07 07:30"),
        ("2022-03-07 13:00 CST", "America/Chicago", "2022-03-07 19:00"),
        ("2022-03-07 13:00 CST", "Asia/Shanghai", "2022-03-07 05:00"),
        ("2022-03-07 13:00", "America/New_York", "2022-03-07 18:00"),
    ],
)
def test_a_zone_is_asked_for_never_guessed(text, place, moment):
    with pytest.raises(DataError, match=r"1 of 2 times name no zone.* row 1, .*pass tz"):
        read_times(["2022-03-07", text])
    assert moments(text, zone=zone_named(place)) == [(moment, moment)]


def test_a_zone_that_never_shows_the_name_in_a_text_is_no_answer():
    with pytest.raises(DataError, match="name no zone but CST, which several places use"):
        read_times(["2022-03-07 13:00 CST"], UTC)


@pytest.mark.parametrize("text", ["20/07/18", "13.07.22 10:00 UTC"])
def test_two_digits_that_may_be_the_year_or_the_day_are_not_read(text):
    assert read_times([text]).table["reason"].tolist() == ["time not readable"]


@pytest.mark.parametrize(
    ("dates", "days", "told"),
    [
        (["5-7-2022", "13-6-2022"], ["07-05", "06-13"], "day first, as in '13-6-2022'"),
        (["5/7/2022", "6/13/2022"], ["05-07", "06-13"], "month first, as in '6/13/2022'"),
        (["2/3/2022", "3/3/2022", "1/4/2022"], ["03-02", "03-03", "04-01"], "day first, by the"),
        (["3/1/2022", "3/2/2022", "4/1/2022"], ["03-01", "03-02", "04-01"], "month first, by the"),
        (["5.5.2022", "6.6.2022"], ["05-05", "06-06"], ""),
    ],
)
def test_day_and_month_are_told_apart_by_evidence(dates, days, told):
    found = read_times(dates)
    assert found.date_order.startswith(told)
    assert [f"{time:%m-%d}" for time in found.table["published"]] == days


@pytest.mark.parametrize(
    ("dates", "says"),
    [
        (["5-7-2022"], "nothing tells day from month in '5-7-2022'.* both readings"),
        (["1/2/2022", "5/1/2022", "2/1/2022", "1/5/2022"], "no reading"),
        (["5/7/2022", "13/6/2022", "6/13/2022"], "told apart both ways"),
    ],
)
def test_day_and_month_that_nothing_tells_apart_are_refused(dates, says):
    with pytest.raises(DataError, match=says):
        read_times(dates)


@pytest.mark.parametrize(
    "text",
    ["noon", "2022", "17 July", "2022-02-30", "2022-03-07T24:00:00Z", "13:00 PM 7 Mar 2022 ET"]
    + ["1.53618E+12", "202203070100", "5 hours ago", "07-03-22", "2022-03-07 10:00 XYZ", "1/2/3/4"],
)
def test_texts_that_state_no_one_moment_are_refused_and_counted(text):
    table = read_times(["2022-03-07", text, " "]).table
    assert table["reason"].tolist() == ["", "time not readable", "no time"]
    assert table["known_at"].isna().tolist() == [False, True, True]


@given(
    st.datetimes(pd.Timestamp(1975, 1, 1), pd.Timestamp(2100, 1, 1)),
    st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    st.sampled_from(["%Y-%m-%d %H:%M:%S.%f", "%d %B %Y %H:%M:%S", "%Y/%m/%dT%H:%M", "%b %d, %Y"]),
)
def test_nothing_is_known_before_it_is_published(when, zone, form):
    text = when.strftime(form)
    row = read_times([text], zone_named(zone)).table.iloc[0]
    assert row["known_at"] >= row["published"]
    local = row["published"].tz_convert(zone).tz_localize(None)
    # within the half hour or hour by which clocks move, it is the time that the text states
    assert abs(local - pd.Timestamp(pd.to_datetime(text, format=form))) <= pd.Timedelta("1h")


def test_without_guid_the_same_title_source_and_symbols_are_one_item(file):
    path = file(
        "title,source,symbol,date",
        "Oil RISES,x,A,2022-03-07T01:00Z",
        "Oil  rises,x,A,2022-03-07T03:00Z",
        "Oil rises,x,B,2022-03-07T03:00Z",
        "Oil rises,y,A,2022-03-07T03:00Z",
    )
    news = read_news(path)
    assert list(zip(news["source"], news["symbols"], strict=True)) == [
        ("x", ("A",)),
        ("x", ("B",)),
        ("y", ("A",)),
    ]
    assert news.attrs["report"].republished == 1
    plain = read_news(file("title,date", "Oil RISES,2022-03-07"), source="x", aliases={"OIL": []})
    # without a column of symbols the key is the digest of source and title alone
    assert plain["key"].tolist() == [hashlib.sha256(b"x\0oil rises").hexdigest()]


def test_ids_that_count_rows_identify_nothing(file):
    rows = [f"{k},Oil rises,2022-03-07" for k in range(3)]
    assert len(read_news(file("id,title,date", *rows))) == 1
    long = [f"44{k:016},Oil rises,2022-03-07" for k in range(3)]
    assert len(read_news(file("id,title,date", *long))) == 3


def test_a_column_of_symbols_is_taken_as_stated(file):
    path = file(
        "title,date,tickers", 'Oil,2022-03-07,"ETH, BTC"', "Oil up,2022-03-07,", "BTC,2022-03-07,X"
    )
    news = read_news(path, symbols=["OIL", "BTC"]).set_index("title")["symbols"]
    assert news.to_dict() == {"Oil": ("BTC", "ETH"), "Oil up": ("OIL",), "BTC": ("X",)}


NAMES = symbol_names({"BTCUSDT": ["bitcoin", "btc"], "BCH": ["bitcoin cash"], "T": ["AT&T"]}, None)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("BITCOIN and bitcoin", ("BTCUSDT",)),
        ("Bitcoin's fall, bitcoin-based", ("BTCUSDT",)),
        ("bitcoiners and abtc", ()),
        ("$BTC, $ btc", ("BTCUSDT",)),
        ("$btcx", ()),
        ("Bitcoin  Cash falls", ("BCH",)),
        ("AT&T buys Bitcoin", ("BTCUSDT", "T")),
        ("don t buy t", ()),
        ("T: a letter", ()),
        ("long $T", ("T",)),
        ("long $ t now", ("T",)),
        ("", ()),
    ],
)
def test_symbols_are_named_by_whole_words_and_short_ones_by_cashtags(title, expected):
    assert find_symbols([title], NAMES) == [expected]


def test_only_symbols_asked_for_are_looked_for():
    names = symbol_names({"BTC": ["bitcoin"], "ETH": ["ether"]}, ["ETH", "SOL"])
    assert find_symbols(["bitcoin ether sol"], names) == [("ETH", "SOL")]
    assert find_symbols(["bitcoin"], symbol_names(None, None)) == [()]


@pytest.mark.parametrize(
    ("lines", "options", "error", "says"),
    [
        (["time,open,high,low,close,volume", "1,2,3,1,2,5"], {}, DataError, "bars, .*read_file"),
        (["1518048000000,7599.0,7600.0,7572.0,7587.5,16.9"], {}, DataError, "bars, .*read_file"),
        (["[[1518048000000, 7599.0, 7600.0]]"], {}, DataError, "as exchanges send bars"),
        (['[{"open":1,"high":2,"low":1,"close":1,"time":5}]'], {}, DataError, "read_file"),
        (["title,author", "A,b"], {}, DataError, "no column of times, .*'title', 'author'"),
        (["date,author", "2022-03-07,b"], {}, DataError, "no column of titles"),
        (["title,date", "A,"], {}, DataError, "none of 1 items has a date"),
        (["title,date", "A,x", "B,y", "C,2022-03-07"], {}, DataError, "2 of 3 rows .*row 0, 'x'"),
        (["title,date", ","], {}, DataError, "no news in 1 rows"),
        (["title,date"], {}, DataError, "no rows"),
        ([""], {}, DataError, "the file is empty"),
        (["[]"], {}, DataError, "no rows"),
        (['{"title": "A"}', '{"title":'], {}, DataError, "JSON cut off or broken .line 2"),
        (["[" * 100_000], {}, DataError, "JSON cut off or broken"),
        (["PAR1"], {}, DataError, "a Parquet file"),
        (["title,date", "A,2022-03-07"], {"tz": "Mars/Base"}, ParamsError, "'Mars/Base' is no"),
        (["title,date"], {"latency": "-1min"}, ParamsError, "at least 0, was '-1min'"),
        (["title,date"], {"latency": "soon"}, ParamsError, "was 'soon'"),
        (["title,date"], {"latency": pd.NaT}, ParamsError, "at least 0, was NaT"),
        (["title,date"], {"max_mb": 0}, ParamsError, "max_mb and timeout must be over 0"),
        (["title,date"], {"max_mb": 1e-6}, DataError, "over the limit .* raise max_mb"),
        (["title,date"], {"aliases": {"A": "a"}}, ParamsError, "'a' is a text; write a list"),
        (["title,date"], {"aliases": {"A": [" "]}}, ParamsError, "aliases of A: .* is empty"),
        (["title,date"], {"symbols": "BTC"}, ParamsError, r"symbols is the text 'BTC'"),
    ],
)
def test_refuses_what_is_no_news_or_is_asked_wrongly(file, lines, options, error, says):
    with pytest.raises(error, match=says):
        read_news(file(*lines), **options)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_news(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("encoding", "title", "named"),
    [
        ("utf-8-sig", "Société", "utf-8-sig"),
        ("utf-16", "Société", "utf-16"),
        ("cp1252", "“Now” at £5 – Société", "cp1252"),
        ("cp1251", "Цена биткоина растёт после решения банка", "cp1251"),
    ],
)
def test_encodings_are_told_by_the_bytes(file, encoding, title, named):
    lines = ["title,date", *(f"{title} {k},2022-03-07" for k in range(20))]
    news = read_news(file(*lines, encoding=encoding))
    assert set(news["title"]) == {f"{title} {k}" for k in range(20)}
    assert news.attrs["report"].encoding == named


def test_broken_utf8_is_refused_not_guessed(file):
    path = file("title,date", *(f"Société {k} été,2022-03-07" for k in range(20)))
    path.write_bytes(path.read_bytes() + b"\nbad \xc3,2022-03-07")
    with pytest.raises(DataError, match="UTF-8 with 1 broken character"):
        read_news(path)


def test_rows_longer_than_the_header_are_refused_and_counted(file):
    news = read_news(file("title,date", "A,2022-03-07", "B,c,2022-03-07", "D,2022-03-07"))
    assert news["title"].tolist() == ["A", "D"]
    assert news.attrs["report"].refused == {"more cells than the header": 1}


def test_date_and_clock_in_columns_of_their_own_are_put_together(file):
    news = read_news(file("date,time,title", "2022-03-07,13:45,A"), tz="UTC")
    assert news.index.tolist() == [utc("2022-03-07 13:45")]


def accounted(report):
    """Rows that a report accounts for."""
    again = report.duplicates + report.republished
    return report.items + report.empty + again + sum(report.refused.values())


@shared
def test_bbc_business_keeps_the_first_of_each_guid():
    path = SHARED / "news/bbc_business_2022-2023.csv.gz"
    news = read_news(path)
    found, raw = news.attrs["report"], pd.read_csv(path)
    assert found.rows == accounted(found) == len(raw) == 2138
    assert found.duplicates + found.republished == raw["guid"].duplicated().sum() == 531
    first = pd.to_datetime(raw["published_at"]).groupby(raw["guid"]).min()
    assert (news.set_index("key")["published"].sort_index() == first.sort_index()).all()


@shared
def test_crypto_news_asks_for_its_zone_and_knows_midnight_items_a_day_later():
    with pytest.raises(DataError, match="7395 of 7524 times name no zone"):
        read_news(SHARED / CRYPTO)
    news = read_news(SHARED / CRYPTO, tz="UTC", aliases={"BTCUSDT": ["bitcoin", "btc"]})
    found = news.attrs["report"]
    assert found.rows == accounted(found) == 7524
    assert found.refused == {"no title": 28}
    assert (found.date_only, found.midnight) == (129, 129)
    late = news[news.index > news["published"]]
    assert (late.index - late["published"] == pd.Timedelta("1D")).all()
    assert (late["published"] == late["published"].dt.normalize()).all()
    assert 0.2 < (news["symbols"].map(len) > 0).mean() < 0.5


@shared
def test_the_raw_crypto_file_is_day_first_and_equals_the_prepared_one():
    raw = read_news(SHARED / "dirty/nyu_cryptonews_semicolon.csv.gz", tz="UTC")
    assert raw["published"].max() == utc("2022-07-05 04:24")
    assert raw.attrs["report"].date_order.startswith("day first, as in")
    prepared = read_news(SHARED / CRYPTO, tz="UTC")
    pd.testing.assert_frame_equal(raw, prepared)


@shared
def test_guardian_is_cp1252_mostly_empty_and_of_dates_alone():
    news = read_news(SHARED / "dirty/guardian_headlines_cp1252.csv")
    found = news.attrs["report"]
    assert found.rows == accounted(found) == 17_800
    assert (found.encoding, found.empty, found.date_only) == ("cp1252", 17_301, 499)
    assert (news.index - news["published"] == pd.Timedelta("36h")).all()
    assert found.zone.startswith("unknown")


@shared
def test_cnbc_is_in_the_zone_of_new_york():
    news = read_news(SHARED / "dirty/cnbc_headlines.csv.gz")
    found = news.attrs["report"]
    assert found.rows == accounted(found) == 3080
    assert (found.empty, found.zone, found.refused) == (280, "stated: ET", {})
    assert found.last == utc("2020-07-17 23:51")


@shared
def test_tweets_are_read_with_the_symbols_stated():
    news = read_news(SHARED / "news/stocknet_tweets.csv.gz")
    found = news.attrs["report"]
    assert found.rows == accounted(found) == 63_994
    assert news["symbols"].map(len).eq(1).all()
    assert len({symbol for row in news["symbols"] for symbol in row}) == 49
    assert not news.duplicated(["source", "key"]).any()


@shared
@pytest.mark.parametrize(
    "name",
    [
        "crypto_1h/BTCUSDT_1h.csv.gz",
        "binance_raw/BTCUSDT-1m-2018-02-08.csv",
        "dirty/cdd_Coinbase_BTCUSD_1h.csv.gz",
        "dirty/cdd_Binance_ADAUSDT_1h.csv.gz",
        "dirty/gemini_BTCUSD_1hr_excel_mangled.csv.gz",
        "freqtrade/XRP_USDT_USDT-1h-futures.json.gz",
        "freqtrade/ETH_USDT-1h.feather",
        "formats/lean/equity/usa/daily/aapl.zip",
    ],
)
def test_files_of_bars_are_sent_to_read_file(name):
    with pytest.raises(DataError, match="read_file"):
        read_news(SHARED / name)
