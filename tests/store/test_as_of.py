"""store/bars.py: `as_of` reads the bars as the writes up to a moment had left them."""

from itertools import accumulate

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalkit.bars import COLUMNS
from signalkit.errors import ParamsError, StoreError
from signalkit.store import Store
from signalkit.store import bars as stored_bars

HOURS = {"source": "files", "interval": "1h", "calendar": "24/7"}
NOON = pd.Timestamp("2024-02-01 12:00", tz="UTC")
ENDS = pd.date_range("2024-01-01 01:00", periods=10, freq="h", tz="UTC", name="time")


@pytest.fixture
def store(own_store):
    with Store.open() as opened:
        yield opened


def panel(volumes, symbol="A"):
    """Bars by their number with a volume each, all else 100."""
    table = pd.DataFrame(100.0, ENDS[list(volumes)], list(COLUMNS))
    bars = table.assign(volume=list(volumes.values()))
    return pd.concat({symbol: bars}, names=["symbol", "time"])


def moment(number):
    """Some microseconds after noon."""
    return NOON + pd.Timedelta(number, "us")


# writes of a series: microseconds since the write before, and some bars by their number
WRITES = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.dictionaries(st.integers(0, 9), st.sampled_from([1.0, 2.0, 3.0]), min_size=1),
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture
def small_chunks(store, monkeypatch):
    """A store whose bars travel three at a time."""
    monkeypatch.setattr(stored_bars, "_CHUNK", 3)
    return store


def replay(writes, until=None):
    """Volume of each bar after the writes up to a moment, and how many were replaced."""
    volumes, replaced = {}, 0
    for at, given_bars in writes:
        if until is None or at <= until:
            replaced += sum(n in volumes and volumes[n] != v for n, v in given_bars.items())
            volumes |= given_bars
    return dict(sorted(volumes.items())), replaced


def told(store, symbol, **options):
    """Volume of each stored bar by its number."""
    try:
        got = store.read_bars(symbol, "1h", **options)
    except StoreError:
        return {}
    assert (got.drop(columns="volume") == 100).all(axis=None)
    return dict(zip(ENDS.get_indexer(got.index).tolist(), got["volume"].tolist(), strict=True))


# all examples share a store, each has a symbol of its own
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(writes=WRITES, asked=st.lists(st.integers(0, 25), min_size=1, max_size=4))
def test_as_of_is_a_replay_of_the_writes_up_to_it(small_chunks, writes, asked):
    store, symbol = small_chunks, f"S{small_chunks.db['symbols'].count:05}"
    moments = list(accumulate(wait for wait, _ in writes))
    writes = [(at, bars) for at, (_, bars) in zip(moments, writes, strict=True)]
    for at, bars in writes:
        store.write_bars(panel(dict(sorted(bars.items())), symbol), **HOURS, at=moment(at))
    for until in (*asked, *moments):
        assert told(store, symbol, as_of=moment(until)) == replay(writes, until)[0]
    now, replaced = replay(writes)
    assert told(store, symbol) == now
    assert len(store.revisions(symbol, "1h")) == replaced


def test_a_bar_that_changes_back_is_read_as_it_was_at_each_moment(store):
    for at, volume in ((1, 5.0), (3, 6.0), (5, 5.0)):
        store.write_bars(panel({0: volume}), **HOURS, at=moment(at))
    read = [told(store, "A", as_of=moment(at)) for at in range(7)]
    assert read == [{}, {0: 5.0}, {0: 5.0}, {0: 6.0}, {0: 6.0}, {0: 5.0}, {0: 5.0}]
    kept = store.revisions("A", "1h")
    assert kept["volume"].tolist() == [5.0, 6.0]
    assert kept["recorded_at"].tolist() == [moment(1), moment(3)]
    assert kept["replaced_at"].tolist() == [moment(3), moment(5)]
    assert kept["time"].tolist() == [ENDS[0]] * 2
    assert list(kept.columns) == ["time", *COLUMNS, "recorded_at", "replaced_at"]


def test_what_is_finer_than_a_microsecond_is_cut_off(store):
    store.write_bars(panel({0: 1.0}), **HOURS, at=moment(1) + pd.Timedelta(999, "ns"))
    assert told(store, "A", as_of=moment(1)) == {0: 1.0}
    assert told(store, "A", as_of=moment(1) - pd.Timedelta(1, "ns")) == {}


@pytest.mark.parametrize("given_", [1, 2])
def test_a_record_that_is_not_later_than_those_before_is_refused_whole(store, given_):
    store.write_bars(panel({1: 1.0}), **HOURS, at=moment(2))
    for later in (panel({0: 1.0, 1: 7.0}), panel({1: 1.0, 2: 1.0})):
        with pytest.raises(ParamsError, match=r"files were recorded at .*000002.*must be later"):
            store.write_bars(later, **HOURS, at=moment(given_))
    assert told(store, "A") == {1: 1.0}
    assert store.revisions("A", "1h").empty


def test_a_clock_that_was_set_back_leaves_the_records_in_order(store, monkeypatch):
    ticks = iter([1000, 400, 400])
    monkeypatch.setattr(stored_bars, "present", lambda: next(ticks))
    for volume in (1.0, 2.0, 3.0):
        store.write_bars(panel({0: volume}), **HOURS)
    kept = list(store.db["bar_revisions"].rows)
    assert [(row["recorded_at"], row["replaced_at"]) for row in kept] == [
        (1000, 1001),
        (1001, 1002),
    ]
