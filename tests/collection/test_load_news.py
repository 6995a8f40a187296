"""collection/load_news.py: a study gets the news about its symbols, never those of another."""

import pandas as pd
import pytest

from signalkit.collection import collected_news, load_news, read_news
from signalkit.errors import DataError
from signalkit.store import Store

SPAN = (pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-02-01", tz="UTC"))
ASKED = {"path": None, "tz": None, "latency": "1min", "aliases": {}}
ASKED |= {"scorer": "vader_finance", "lexicon": None, "model": None}
MARKET = {"interval": "1h", "start": "2024-01-01", "end": "2024-02-01", "settings": {"seed": 3}}


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def path(tmp_path):
    """News of which one states its ticker, one names an alias, one does both and one neither."""
    lines = ["title,published,ticker", "Shares fall,2024-01-02T10:00Z,AAA"]
    lines += ["Alpha soars,2024-01-03T10:00Z,ZZZ", "Beta sinks,2024-01-04T10:00Z,AAA"]
    lines += ["Weather stays mild,2024-01-05T10:00Z,ZZZ"]
    (tmp_path / "news.csv").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "news.csv")


def collected(title, source, day):
    """One stored item about AAA."""
    known = pd.DatetimeIndex([f"2024-01-{day}"], tz="UTC", name="known_at").as_unit("ns")
    item = {"published": known, "source": source, "title": title, "symbols": [("AAA",)]}
    return pd.DataFrame(item | {"sentiment": 0.0, "key": title}, known)


def test_a_file_is_about_the_symbols_it_states_and_those_its_titles_name(path):
    asked = ASKED | {"path": path, "aliases": {"AAA": ["alpha"], "BBB": ["beta"]}}
    got = load_news("file", ["AAA", "BBB"], news=asked, span=SPAN)
    assert got["title"].tolist() == ["Shares fall", "Alpha soars", "Beta sinks"]
    assert got["symbols"].map(lambda named: "AAA" in named).tolist() == [True, True, True]
    assert got["symbols"].map(lambda named: "BBB" in named).tolist() == [False, False, True]
    assert got["sentiment"].iloc[1] > 0 > got["sentiment"].iloc[2]


@pytest.mark.parametrize(
    ("symbols", "span"),
    [(["QQQ"], SPAN), (["AAA"], (SPAN[1], SPAN[1] + pd.Timedelta(1, "D")))],
)
def test_no_item_about_the_symbols_is_refused_with_the_way_out(path, symbols, span):
    says = rf"none of 4 items is about {symbols[0]} and known from .*; name them in aliases"
    with pytest.raises(DataError, match=says):
        load_news("file", symbols, news=ASKED | {"path": path}, span=span)


def test_an_empty_store_is_refused_too(store):
    with pytest.raises(DataError, match="none of 0 items is about AAA"):
        load_news("store", ["AAA"], news=ASKED, span=SPAN, store=store)


def test_simulated_news_never_reach_a_study_of_collected_ones(store):
    simulated = load_news(
        "simulator", ["AAA"], news=ASKED, span=SPAN, simulated=MARKET, store=store
    )
    assert len(simulated) > 10
    assert simulated["source"].str.startswith("simulator-").all()
    assert len(store.read_news()) >= len(simulated)
    with pytest.raises(DataError, match="none of 0 items"):
        load_news("store", ["AAA"], news=ASKED, span=SPAN, store=store)
    store.write_news(collected("AAA rises", "wire", 10), scorer="vader_finance")
    assert collected_news(store)["title"].tolist() == ["AAA rises"]
    got = load_news("store", ["AAA"], news=ASKED, span=SPAN, store=store)
    assert got["title"].tolist() == ["AAA rises"]


def test_simulated_news_leave_nothing_where_no_store_is_lent(own_store):
    got = load_news("simulator", ["AAA"], news=ASKED, span=SPAN, simulated=MARKET)
    assert len(got) > 10
    assert not own_store.exists()


@pytest.mark.parametrize("before", ["\n", "\n\n", " \n\t\n", "\r\n \r\n"])
def test_blank_lines_before_a_file_of_news_are_no_header(tmp_path, before):
    text = before + "title,published\nAlpha soars,2024-01-03T10:00Z\n"
    (tmp_path / "news.csv").write_bytes(text.encode())
    assert read_news(tmp_path / "news.csv")["title"].tolist() == ["Alpha soars"]


@pytest.mark.parametrize("depth", [50, 900, 990, 10**5])
def test_nested_json_is_read_or_refused(tmp_path, depth):
    nested = "[" * depth + "]" * depth
    text = f'[{{"title": "Alpha soars", "date": "2024-01-03T10:00Z", "more": {nested}}}]'
    (tmp_path / "news.json").write_text(text)
    if depth == 50:
        assert read_news(tmp_path / "news.json")["title"].tolist() == ["Alpha soars"]
        return
    with pytest.raises(DataError, match=r"JSON cut off or broken .*recursion"):
        read_news(tmp_path / "news.json")
