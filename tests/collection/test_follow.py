"""Following: a bar is collected just after its end, whatever the network does meanwhile."""

import numpy as np
import pandas as pd
import pytest

from signalkit.bars import COLUMNS, interval_length
from signalkit.collection.collector import follow
from signalkit.collection.source import Market, TransientError
from signalkit.errors import DataError, SourceError
from signalkit.store import Store
from tests.collection.binance_server import walk

SINCE = pd.Timestamp("2024-01-01", tz="UTC")
HOUR = pd.Timedelta(1, "h")


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as opened:
        yield opened


class Simulated:
    """A source whose pauses move its clock; `down` names moments when it refuses."""

    name, page = "simulated", 50

    def __init__(self, bars, now, *, down=None):
        self.bars, self.now = bars, now
        self.down, self.asked_at = down or (lambda now: False), []

    def market(self, symbol):
        return Market(symbol, "A", "B")

    def clock(self):
        return self.now

    def fetch(self, symbol, interval, since, limit):
        self.asked_at.append(self.now)
        if self.down(self.now):
            raise TransientError("the line is dead")
        length = interval_length(interval)
        opens = self.bars.index - length
        page = self.bars[(opens >= since) & (opens <= self.now)].iloc[:limit]
        ms = (page.index - length).as_unit("ms").asi8.astype(float)
        return np.column_stack([ms, page[list(COLUMNS)].to_numpy()])

    def pause(self, seconds):
        self.now += pd.Timedelta(seconds, "s")


def test_following_collects_each_bar_just_after_its_end(store):
    source = Simulated(walk(10), SINCE + 2.5 * HOUR)
    seen = []

    def stop():
        seen.append((source.now, store.span("A", "1h", "simulated")))
        return source.now > SINCE + 6.5 * HOUR

    table = follow(source, store, ["A"], "1h", since=SINCE, stop=stop)
    assert table[["added", "revised"]].to_numpy().tolist() == [[6, 0]]
    pd.testing.assert_frame_equal(store.read_bars("A", "1h"), source.bars[:6], check_freq=False)
    assert all(now - now.floor("h") >= pd.Timedelta(2, "s") for now in source.asked_at)
    for now, span in seen[5:]:  # a bar is there three seconds after its end
        assert span[1] >= (now - pd.Timedelta(3, "s")).floor("h")
        assert span[1] <= now


def test_following_goes_on_after_the_network_was_down(store, caplog):
    down = SINCE + 3.9 * HOUR, SINCE + 6.1 * HOUR
    source = Simulated(walk(10), SINCE + 2.5 * HOUR, down=lambda now: down[0] < now < down[1])
    end = SINCE + 8.5 * HOUR
    with caplog.at_level("WARNING", "signalkit"):
        table = follow(source, store, ["A"], "1h", since=SINCE, stop=lambda: source.now > end)
    assert table["added"].tolist() == [8]
    warned = [record.message for record in caplog.records]
    assert len(warned) == 3
    assert "the line is dead" in warned[0]
    assert "trying again at the next bar's end" in warned[0]


def test_following_ends_on_what_does_not_pass(store):
    source = Simulated(walk(10, first="2024-01-01 00:20"), SINCE + 2.5 * HOUR)
    with pytest.raises(SourceError, match="not on the 1h grid"):
        follow(source, store, ["A"], "1h", since=SINCE, stop=lambda: False)


class Delisting(Simulated):
    """A source that refuses B for good from a moment on, with an error of a test's choice."""

    def __init__(self, bars, now, error, since):
        super().__init__(bars, now)
        self.error, self.since = error, since

    def fetch(self, symbol, interval, since, limit):
        if symbol == "B" and self.now >= self.since:
            raise self.error
        return super().fetch(symbol, interval, since, limit)


@pytest.mark.parametrize(
    "error", [SourceError("B is delisted"), SourceError("maintenance"), DataError("B is nonsense")]
)
def test_following_survives_a_symbol_that_is_refused_for_good(store, caplog, error):
    source = Delisting(walk(10), SINCE + 2.5 * HOUR, error, SINCE + 4.5 * HOUR)
    end = SINCE + 6.5 * HOUR
    options = {"since": SINCE, "stop": lambda: source.now > end}
    table = follow(source, store, ["B", "A"], "1h", **options)
    assert table["added"].to_dict() == {"A": 6, "B": 4}
    assert f"{error}; the other symbols go on" in caplog.text


def test_a_symbol_that_never_went_well_ends_following(store):
    source = Delisting(walk(10), SINCE + 2.5 * HOUR, SourceError("B is delisted"), SINCE)
    with pytest.raises(SourceError, match="B is delisted"):
        follow(source, store, ["A", "B"], "1h", since=SINCE, stop=lambda: False)


def test_a_ban_is_waited_out_by_every_symbol(store):
    ban = SINCE + 4 * HOUR, SINCE + 7 * HOUR

    class Banning(Simulated):
        def fetch(self, symbol, interval, since, limit):
            if ban[0] <= self.now < ban[1]:
                self.asked_at.append(self.now)
                raise TransientError("banned", (ban[1] - self.now).total_seconds())
            return super().fetch(symbol, interval, since, limit)

    source = Banning(walk(12), SINCE + 2.5 * HOUR)
    end = SINCE + 8.5 * HOUR
    table = follow(source, store, ["A", "B"], "1h", since=SINCE, stop=lambda: source.now > end)
    assert table["added"].tolist() == [8, 8]
    assert sum(ban[0] <= now < ban[1] for now in source.asked_at) == 1
