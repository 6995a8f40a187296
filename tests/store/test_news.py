"""store/news.py: each item once, as it was first seen, and as it was known at a moment."""

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalkit.errors import DataError
from signalkit.store import Store

TEN = pd.Timestamp("2024-01-01 10:00", tz="UTC")
KINDS = {"source": "str", "title": "str", "key": "str"}


def minute(number):
    """Some minutes after ten."""
    return TEN + pd.Timedelta(number, "min")


def news(*known, source="wire", sentiment=0.5, title="up"):
    """Items known some minutes after ten, each with its minute as key."""
    table = {
        "published": pd.DatetimeIndex([minute(n - 1) for n in known], tz="UTC").as_unit("ns"),
        "source": source, "title": title, "symbols": [("BTCUSDT",)] * len(known),
        "sentiment": sentiment, "key": [str(n) for n in known],
    }  # fmt: skip
    times = pd.DatetimeIndex([minute(n) for n in known], tz="UTC", name="known_at").as_unit("ns")
    return pd.DataFrame(table, index=times).astype(KINDS)


@pytest.fixture
def store(own_store):
    with Store.open() as opened:
        yield opened


def keys(store, **options):
    return store.read_news(**options)["key"].tolist()


def test_news_come_back_as_they_went_in(store):
    written = news(1, 2, 5, sentiment=[0.25, float("nan"), -1.0])
    written["symbols"] = [(), ("BTCUSDT", "ETHUSDT"), ("BTCUSDT",)]
    written["title"] = ["Grüße \U0001f680", "a 'quoted' title", "3"]
    assert store.write_news(written, scorer="VADER") == 3
    pd.testing.assert_frame_equal(store.read_news(), written, check_exact=True, check_freq=False)
    assert {row["scorer"] for row in store.db["news"].rows} == {"VADER"}


def test_an_item_that_comes_again_stays_as_it_was_first_seen(store):
    store.write_news(news(1, 2), scorer="VADER", at=minute(3))
    again = news(2, 3, sentiment=-1.0, title="down").set_index(pd.DatetimeIndex([minute(8)] * 2))
    assert store.write_news(again, scorer="other", at=minute(9)) == 1
    got = store.read_news()
    assert got["key"].tolist() == ["1", "2", "3"]
    assert got.index.tolist() == [minute(1), minute(2), minute(8)]
    assert got["title"].tolist() == ["up", "up", "down"]
    assert got["sentiment"].tolist() == [0.5, 0.5, -1.0]


def test_an_item_twice_in_one_call_is_stored_once(store):
    assert store.write_news(pd.concat([news(1), news(1, title="again")]), scorer="VADER") == 1
    assert store.read_news()["title"].tolist() == ["up"]


def test_a_key_belongs_to_its_source(store):
    store.write_news(news(1), scorer="VADER")
    assert store.write_news(news(1, source="blog"), scorer="VADER") == 1
    assert store.read_news(source="blog")["source"].tolist() == ["blog"]
    assert store.read_news()["source"].tolist() == ["blog", "wire"]


def test_a_range_of_known_at_is_closed_at_both_ends(store):
    store.write_news(news(*range(1, 8)), scorer="VADER")
    assert keys(store, start=minute(3), end=minute(5)) == ["3", "4", "5"]
    assert keys(store, start=minute(7)) == ["7"]
    assert keys(store, end=minute(1) - pd.Timedelta(1, "ns")) == []


def test_as_of_reads_what_was_recorded_up_to_it(store):
    store.write_news(news(1, 2), scorer="VADER", at=minute(10))
    store.write_news(news(0, 1, 3), scorer="VADER", at=minute(20))
    assert keys(store, as_of=minute(10) - pd.Timedelta(1, "us")) == []
    assert keys(store, as_of=minute(10)) == ["1", "2"]
    assert keys(store, as_of=minute(20)) == ["0", "1", "2", "3"]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    writes=st.lists(st.lists(st.integers(0, 9), unique=True).map(sorted), max_size=6),
    asked=st.integers(0, 8),
)
def test_as_of_is_a_replay_of_the_writes_up_to_it(store, writes, asked):
    store.db.execute("DELETE FROM news")
    first = {}
    for number, chosen in enumerate(writes, start=1):
        scored = [number / 10] * len(chosen)
        store.write_news(news(*chosen, sentiment=scored), scorer="VADER", at=minute(number))
        if number <= asked:
            first = dict.fromkeys(chosen, number / 10) | first
    got = store.read_news(as_of=minute(asked))
    assert dict(zip(got["key"], got["sentiment"], strict=True)) == {
        str(key): first[key] for key in sorted(first)
    }


def test_the_order_of_writing_does_not_show(store, tmp_path):
    same = news(1).set_index(pd.DatetimeIndex([minute(4)], name="known_at"))
    parts = [same.assign(source=source, key=key) for source, key in ("b1", "a2", "a1")]
    with Store.open(tmp_path / "other") as other:
        for part in parts:
            store.write_news(part, scorer="VADER")
        for part in reversed(parts):
            other.write_news(part, scorer="VADER")
        pd.testing.assert_frame_equal(store.read_news(), other.read_news())
    assert keys(store) == ["1", "2", "1"]


def test_no_news_is_a_table_without_rows(store):
    pd.testing.assert_frame_equal(store.read_news(), news(1).iloc[:0], check_dtype=True)
    assert store.write_news(news(1).iloc[:0], scorer="VADER") == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda n: n.drop(columns="key"), r"lack the columns \['key'\]"),
        (lambda n: n.iloc[::-1], "go back in time|goes back in time"),
        (lambda n: n.tz_localize(None), "zone None"),
        (lambda n: n.reset_index(drop=True), "indexed by int64"),
        (lambda n: n.assign(published=n["published"].dt.tz_localize(None)), "convert it to UTC"),
        (
            lambda n: n.assign(published=n["published"].where([True, False])),
            "must be a time; row 1",
        ),
        (lambda n: n.assign(published=n["published"] + pd.Timedelta(1, "h")), "before published"),
        (lambda n: n.assign(sentiment=1.5), "from -1 to 1, or NaN; row 0 .*2 such rows"),
        (lambda n: n.assign(key=["1", ""]), "must be text; row 1"),
        (lambda n: n.assign(source=[None, "wire"]), "must be text; row 0"),
        (lambda n: n.assign(symbols=["BTCUSDT"] * 2), "tuple of text"),
        (lambda n: n.assign(symbols=[("A",), (1,)]), "tuple of text; row 1"),
    ],
)
def test_news_that_break_the_rule_of_their_table_are_refused(store, change, says):
    with pytest.raises(DataError, match=says):
        store.write_news(change(news(1, 2)), scorer="VADER")
    assert store.db["news"].count == 0
