"""profit.py: trades worked by hand, and the same trades in the backtest's own account."""

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting import simulate
from signalkit.causality import check_labels, probe_bars
from signalkit.errors import DataError, ParamsError
from signalkit.labeling import target_profitable

ENTRIES = {"close": 0, "next_close": 1, "next_open": 1}


def hourly(opens, closes):
    """Bars whose opens and closes are given."""
    open_, close = np.array(opens, dtype=float), np.array(closes, dtype=float)
    end = pd.date_range("2024-01-01", periods=len(close), freq="h", tz="UTC", name="time")
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    prices = {"open": open_, "high": high, "low": low, "close": close, "volume": 1.0}
    return pd.DataFrame(prices, index=end)


@pytest.mark.parametrize(
    ("entry", "side", "labels"),
    [
        # closes 100, 102, 101, 104, 100: over two bars +1 %, +1.96 %, -0.99 %
        ("close", "long", [1, 1, 0]),
        ("close", "short", [0, 0, 1]),
        ("next_close", "long", [1, 0]),
        # opens 99, 100, 103, 100, 104: the second to the fourth is even, then +0.97 %
        ("next_open", "long", [0, 1]),
        ("next_open", "short", [0, 0]),
    ],
)
def test_trades_over_two_bars_worked_by_hand(entry, side, labels):
    bars = hourly([99, 100, 103, 100, 104], [100, 102, 101, 104, 100])
    got = target_profitable(bars, 2, side=side, entry=entry)
    assert got["label"].tolist() == labels
    assert got["known_at"].tolist() == bars.index[2 + ENTRIES[entry] :].tolist()
    assert got.index.tolist() == bars.index[: len(labels)].tolist()


@pytest.mark.parametrize(
    ("side", "fee_bps", "slippage_bps", "label"),
    [
        # bought at 100, sold at 101: fees of 0.5 % on both come to 1.005
        ("long", 49, 0, 1),
        ("long", 50, 0, 0),
        # bought at 100.49, sold at 100.5051; at 50 basis points 100.5 and 100.495
        ("long", 0, 49, 1),
        ("long", 0, 50, 0),
        ("short", 0, 0, 0),
    ],
)
def test_costs_are_charged_on_both_sides(side, fee_bps, slippage_bps, label):
    bars = hourly([100, 100], [100, 101])
    costs = {"fee_bps": fee_bps, "slippage_bps": slippage_bps}
    got = target_profitable(bars, 1, side=side, entry="close", **costs)
    assert got["label"].tolist() == [label]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(("side", "weight"), [("long", 0.5), ("short", -0.5)])
def test_the_label_is_the_sign_of_what_the_backtest_earns(entry, side, weight):
    bars, horizon, costs = probe_bars(60), 4, {"fee_bps": 12.0, "slippage_bps": 7.0}
    got = target_profitable(bars, horizon, side=side, entry=entry, **costs)
    seen = set()
    for place in range(0, len(got), 5):
        wanted = pd.Series([weight, 0.0], bars.index[[place, place + horizon]])
        trades = simulate(bars, wanted, fill=entry, **costs).trades
        assert len(trades) == 1
        assert got["label"].iloc[place] == float(trades["pnl"].iloc[0] > 0)
        assert got["known_at"].iloc[place] == trades["exit_time"].iloc[0]
        seen.add(got["label"].iloc[place])
    assert seen == {0.0, 1.0}


@pytest.mark.parametrize("entry", ENTRIES)
def test_known_at_is_the_bar_of_the_price_that_settles(entry):
    found = check_labels(lambda bars: target_profitable(bars, 3, entry=entry, fee_bps=5))
    assert found.passed
    assert found.labels == 150 - 3 - ENTRIES[entry]


def test_a_panel_equals_its_symbols_one_by_one():
    parts = {"A": probe_bars(50), "B": probe_bars(31, seed=3)}
    got = target_profitable(pd.concat(parts, names=["symbol", "time"]), 5)
    for symbol, bars in parts.items():
        pd.testing.assert_frame_equal(got.loc[symbol], target_profitable(bars, 5), check_freq=False)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"horizon": 0}, ParamsError, "at least 1 bar, was 0"),
        ({"horizon": 1, "side": "both"}, ParamsError, "one of long, short, was 'both'"),
        ({"horizon": 1, "entry": "open"}, ParamsError, "next_open, was 'open'"),
        ({"horizon": 1, "fee_bps": -1}, ParamsError, "not be negative, were -1 and 0"),
        ({"horizon": 1, "slippage_bps": np.nan}, ParamsError, "nan bps"),
        ({"horizon": 11}, DataError, "12 bars later needs at least 13, there are 12"),
        ({"horizon": 12, "entry": "close"}, DataError, "12 bars later needs at least 13"),
    ],
)
def test_refuses_what_it_cannot_label(options, error, says):
    with pytest.raises(error, match=says):
        target_profitable(probe_bars(12), **options)
