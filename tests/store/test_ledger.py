"""store/ledger.py: each configuration counts once, and a row that was touched is named."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from signalkit.errors import StoreError
from signalkit.store import Store
from signalkit.store.ledger import GENESIS

FIVE = "DELETE FROM trials WHERE seq = {}"
ROW = "UPDATE trials SET {} WHERE seq = 3"


@pytest.fixture
def store(own_store):
    with Store.open() as opened:
        yield opened


def recorded(store, n, **options):
    for number in range(n):
        store.ledger.record({"horizon": number}, series=f"s{number}", artifact="a", **options)


def test_an_empty_ledger_is_whole(store):
    store.ledger.check()
    assert store.ledger.head() == GENESIS == "0" * 64
    assert store.ledger.trials() == []
    assert store.ledger.count() == store.ledger.count(holdout=True) == 0


def test_each_row_holds_the_hash_of_the_row_before(store):
    recorded(store, 5)
    rows = store.ledger.trials()
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert [row.previous for row in rows] == [GENESIS, *(row.hash for row in rows[:-1])]
    assert store.ledger.head() == rows[-1].hash
    assert len({row.hash for row in rows}) == 5
    store.ledger.check()


def test_an_identical_record_adds_nothing(store):
    store.ledger.record({"a": 1, "b": 2}, series="s", artifact="first")
    kept = store.ledger.trials()
    store.ledger.record({"b": 2, "a": 1}, series="s", artifact="first")
    store.ledger.record({"a": 1, "b": 2}, series="s", artifact="made again elsewhere")
    assert store.ledger.trials() == kept


def test_configurations_are_counted_not_rows(store):
    store.ledger.record({"a": 1}, series="on old bars", artifact="x")
    store.ledger.record({"a": 1}, series="on new bars", artifact="y")
    store.ledger.record({"a": 2}, series="on new bars", artifact="z")
    assert len(store.ledger.trials()) == 3
    assert store.ledger.count() == 2
    store.ledger.check()


def test_the_holdout_is_counted_apart(store):
    recorded(store, 3)
    store.ledger.record({"horizon": 1}, series="s1", artifact="a", holdout=True)
    store.ledger.record({"horizon": 9}, series="s9", artifact="a", holdout=True)
    assert (store.ledger.count(), store.ledger.count(holdout=True)) == (3, 2)
    store.ledger.check()


def test_the_head_besides_a_configuration_passes_over_its_holdout_alone(store):
    recorded(store, 2)
    research = store.ledger.head()
    store.ledger.record({"horizon": 1}, series="s1", artifact="a", holdout=True)
    assert store.ledger.head(besides={"horizon": 1}) == research
    assert store.ledger.head(besides={"horizon": 0}) == store.ledger.head() != research
    store.ledger.record({"horizon": 0}, series="s0", artifact="a", holdout=True)
    assert store.ledger.head(besides={"horizon": 1}) == store.ledger.head()


def test_the_chain_goes_on_in_a_store_opened_again(own_store):
    with Store.open() as store:
        recorded(store, 2)
        head = store.ledger.head()
    with Store.open() as store:
        recorded(store, 3)
        assert store.ledger.trials()[2].previous == head
        store.ledger.check()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (FIVE.format(1), "misses the row before row 2"),
        (FIVE.format(3), "misses the row before row 4"),
        (FIVE.format("3 OR seq = 4"), "misses the row before row 5"),
        (FIVE.format(5), "misses its newest rows, 5 to 5"),
        (FIVE.format("4 OR seq = 5"), "misses its newest rows, 4 to 5"),
        ("DELETE FROM trials", "misses its newest rows, 1 to 5"),
        (ROW.format("params = '{}'"), "row 3 of the trial ledger was changed"),
        (ROW.format("configuration = 'x'"), "row 3 of the trial ledger was changed"),
        (ROW.format("series = 'x'"), "row 3 of the trial ledger was changed"),
        (ROW.format("artifact = 'x'"), "row 3 of the trial ledger was changed"),
        (ROW.format("holdout = 1"), "row 3 of the trial ledger was changed"),
        (ROW.format("recorded_at = '2020-01-01'"), "row 3 of the trial ledger was changed"),
        (ROW.format("hash = 'x'"), "row 3 of the trial ledger was changed"),
        (ROW.format("previous = 'x'"), "misses the row before row 3"),
        (ROW.format("seq = 9"), "misses the row before row 4"),
        ("UPDATE trials SET seq = seq + 10", "misses the row before row 11"),
    ],
)
def test_a_touched_row_is_named(store, change, says):
    recorded(store, 5)
    store.ledger.check()
    store.db.execute(change)
    with pytest.raises(StoreError, match=says):
        store.ledger.check()


def test_swapped_rows_are_named(store):
    recorded(store, 5)
    for before, after in ((2, -1), (3, 2), (-1, 3)):
        store.db.execute("UPDATE trials SET seq = ? WHERE seq = ?", [after, before])
    assert [trial.seq for trial in store.ledger.trials()] == [1, 2, 3, 4, 5]
    with pytest.raises(StoreError, match="misses the row before row 2"):
        store.ledger.check()


def test_a_row_replaced_by_one_with_its_own_right_hash_breaks_the_next(store, tmp_path):
    recorded(store, 5)
    with Store.open(tmp_path / "other") as forge:
        recorded(forge, 2)
        forge.ledger.record({"horizon": "better"}, series="s", artifact="a")
        forged = forge.ledger.trials()[2]
    change = "UPDATE trials SET configuration = ?, params = ?, series = ?, artifact = ?, "
    change += "recorded_at = ?, previous = ?, hash = ? WHERE seq = 3"
    names = ["configuration", "params", "series", "artifact", "recorded_at", "previous", "hash"]
    store.db.execute(change, [getattr(forged, name) for name in names])
    with pytest.raises(StoreError, match=r"misses the row before row [34]"):
        store.ledger.check()


def test_a_record_that_fails_leaves_the_chain_whole(store):
    recorded(store, 2)
    with pytest.raises(TypeError):
        store.ledger.record({"horizon": object()}, series="s", artifact="a")
    recorded(store, 3)
    store.ledger.check()
    assert store.ledger.count() == 3


def test_several_may_record_at_once(own_store):
    Store.open().close()
    together = threading.Barrier(3)

    def records(writer):
        with Store.open() as store:
            together.wait()
            for number in range(10):
                store.ledger.record({"writer": writer, "n": number}, series="s", artifact="a")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(records, range(3)))
    with Store.open() as store:
        assert store.ledger.count() == 30
        store.ledger.check()


def test_seen_returns_of_a_holdout_are_counted_over_borders(own_store):
    def asked(border, symbols=("A",), source="sample"):
        kept = {"source": source, "symbols": list(symbols)}
        return {"collection": kept, "validation": {"holdout_from": border}}

    with Store.open() as store:
        ledger = store.ledger
        ledger.record(asked("2016-01-01"), series="1", artifact="a")
        ledger.record(asked("2018-01-01"), series="2", artifact="a")
        ledger.record(asked("2016-01-01"), series="3", artifact="a", holdout=True)
        ledger.record(asked("2019-01-01", ["B"]), series="4", artifact="a")
        ledger.record(asked("2019-01-01", source="files"), series="5", artifact="a")
        assert ledger.opened("sample", ["A"], "2016-01-01") == 2
        assert ledger.opened("sample", ["A"], "2018-01-01") == 1
        assert ledger.opened("sample", ["A", "B"], "2018-01-01") == 2
