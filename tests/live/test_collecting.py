"""collecting.py and positions.py: symbols that stop, or come late, hold up and lose nothing."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from signalkit.collection.source import Market, TransientError
from signalkit.errors import ParamsError
from signalkit.live import Collecting, collecting
from signalkit.live.past import Pasts
from signalkit.live.positions import Positions
from signalkit.live.record import Records
from tests.live.houses import SYMBOL

HOUR = pd.Timedelta(1, "h")
GONE = ParamsError("is no symbol of binance")


class Venue:
    """A market of the same bars for every symbol, which refuses one."""

    name, page = "binance", 1000

    def __init__(self, bars, now, refused):
        self.bars, self.now, self.refused = bars, now, refused

    def market(self, symbol):
        if symbol in self.refused:
            raise self.refused[symbol]
        return Market(symbol, symbol[:3], "USDT")

    def clock(self):
        return self.now

    def fetch(self, symbol, interval, since, limit):
        opened = self.bars.index - HOUR
        rows = self.bars[(opened >= since) & (self.bars.index <= self.now)][:limit]
        return np.column_stack([(rows.index - HOUR).as_unit("ms").asi8, rows.to_numpy()[:, :5]])

    def pause(self, seconds):
        """No time passes."""


@pytest.mark.parametrize(
    ("refused", "collected"),
    [
        ({}, ["AAAUSDT", SYMBOL, "ZZZUSDT"]),
        ({"AAAUSDT": GONE}, [SYMBOL, "ZZZUSDT"]),
        ({"ZZZUSDT": GONE}, ["AAAUSDT", SYMBOL]),
        ({"AAAUSDT": TransientError("sent away", 1e6)}, []),
    ],
)
def test_a_symbol_that_the_source_refuses_holds_up_no_other(
    house, store, monkeypatch, refused, collected
):
    symbols, bars, now = ["AAAUSDT", SYMBOL, "ZZZUSDT"], house.bars[SYMBOL], house.clock[5]
    for symbol in symbols:
        panel = pd.concat({symbol: bars.loc[: house.first - HOUR]}, names=["symbol", "time"])
        store.write_bars(panel, source="binance", interval="1h", calendar="24/7")
    venue = Venue(bars, now, refused)
    monkeypatch.setattr(collecting, "Exchange", lambda name, url: venue)
    kept = house.asked.collection.model_copy(update={"symbols": symbols})
    told = Collecting(store)(house.asked.model_copy(update={"collection": kept}))
    newest = [one for one in symbols if store.span(one, "1h", "binance")[1] == now]
    assert newest == collected
    assert bool(told) == bool(refused)


def test_signals_of_a_symbol_whose_bars_came_late_are_followed_too(store):
    positions = Positions(store, Pasts(), Records(store))
    desk = SimpleNamespace(name="house")

    def written(symbol, hour):
        row = {"symbol": symbol, "time": hour * HOUR.value, "weight": 0.5, "price": 1.0}
        store.watch.write_signals("house", [row | {"detail": {}}])
        return len(positions._weights(desk))

    assert [written("A", hour) for hour in (1, 2, 3)] == [1, 2, 3]
    assert [written("B", hour) for hour in (1, 2, 3)] == [4, 5, 6]
    assert written("A", 4) == 7
