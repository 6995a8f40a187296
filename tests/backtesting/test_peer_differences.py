"""Where docs/backtesting.md says that a peer differs: a few bars each, both worked by hand.

Asked of the peers by `make certify`, with the pythons that test_peers.py names; what simulate
does with the same bars is tested always.
"""

import json
import os
import subprocess

import pandas as pd
import pytest

from signalkit.backtesting import simulate
from tests.backtesting.test_peers import HERE, PYTHONS

CALM, FALLS = (100, 100, 100, 100), (100, 101, 90, 96)
THEIRS = {
    "vectorbt": {
        "all_in": [1 / 101],
        "entry_bar": [100],
        "dropped_signal": [100, 95],
        "slipped_profit": [101, 111.1 * 0.99],
        "enlarged": [100, 120, 108],
        "below_zero": [1, -1, -1],
        "dust": 0,
    },
    "backtesting": {
        "spread": [[3, 101, 100]],
        "whole_units": [[1, 300, 300]],
        "sized_by_close": [8, 10],
        "booked_late": [1000, 1000, 997, 994],
        "stop_first": [[3, 100, 95], [-6, 100, 100]],
        "stop_refused": "Long orders require",
        "worst_price": [1000, 1000, 1000, 1000, 1000],
    },
    "backtrader": {
        "held_in_bar": [[3, 100]],
        "last_close": [[3, 100]],
        "entry_bar": [[3, 100]],
        "both_fill": [[3, 100], [-3, 95], [-3, 100]],
        "refused_whole": [],
        "booked_late": [1000, 997, 997],
        "slipped_profit": [[3, 101], [-3, 120 * 0.99]],
        "trails_close": [[3, 100]],
        "below_zero": [1000, 1000, -800, -800],
    },
}


def flat(price):
    return (price,) * 4


def ours(rows, weights, **settings):
    """A backtest of some bars; `weights` by bar."""
    time = pd.date_range("2024-01-01", periods=len(rows), tz="UTC", name="time")
    bars = pd.DataFrame(rows, time, ["open", "high", "low", "close"], dtype=float)
    asked = pd.DataFrame({"weight": weights}).set_axis(time[list(weights)])
    if "stop" in settings:
        asked["stop"] = settings.pop("stop")
    rules = {"fill": "close", "max_leverage": 10} | settings
    return simulate(bars.assign(volume=1e6), asked, **rules)


def trade(column, *args, **settings):
    return ours(*args, **settings).trades[column].iloc[0]


@pytest.mark.certify
@pytest.mark.parametrize("peer", PYTHONS)
def test_a_peer_does_what_the_docs_say_it_does(peer):
    if PYTHONS[peer] not in os.environ:
        pytest.skip(f"{PYTHONS[peer]} names no python")
    asked = [os.environ[PYTHONS[peer]], HERE / f"{peer}_differs.py"]
    told = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    assert told.keys() == THEIRS[peer].keys()
    for name, value in THEIRS[peer].items():
        for got, wanted in zip(flattened(told[name]), flattened(value), strict=True):
            assert got == (wanted if isinstance(wanted, str) else pytest.approx(wanted)), name


def flattened(value):
    """The leaves of nested lists."""
    if not isinstance(value, list):
        return [value]
    return [leaf for part in value for leaf in flattened(part)]


def test_all_of_the_equity_is_bought_and_its_costs_borrowed():
    found = ours([CALM, CALM], {0: 1.0}, fee_bps=100)
    assert found.trades["size"].tolist() == pytest.approx([1 / 100])
    assert found.equity["strategy"].tolist() == pytest.approx([0.99, 0.99])


def test_the_bar_that_opens_a_position_can_stop_it():
    bars = [CALM, FALLS, flat(96)]
    asked = {"fill": "next_open", "stop_loss": 0.05}
    assert trade("exit_price", bars, {0: 0.5}, **asked) == pytest.approx(95)


def test_a_stop_does_not_drop_the_weight_decided_at_the_end_of_its_bar():
    trades = ours([CALM, FALLS, flat(96)], {0: 0.5, 1: -0.5}, stop_loss=0.05).trades
    assert trades["side"].tolist() == ["long", "short"]
    assert trades["entry_price"].tolist() == pytest.approx([100, 96])


def test_a_profit_is_not_slipped_not_even_where_the_open_is_beyond_it():
    asked = {"slippage_bps": 100, "take_profit": 0.1}
    inside, gap = [CALM, (100, 120, 100, 119)], [CALM, (120, 121, 119, 120)]
    assert trade("exit_price", inside, {0: 0.5}, **asked) == pytest.approx(111.1)
    assert trade("exit_price", gap, {0: 0.5}, **asked) == pytest.approx(120)


def test_the_stop_of_an_enlarged_position_counts_from_its_mean_entry():
    # 0.005 units at 100, as many at 120: a tenth below 110 is 99, below the last fill 108
    bars = [CALM, flat(120), (120, 120, 100, 110), (110, 110, 98, 100)]
    found = ours(bars, {0: 0.5, 1: 1.2 / 1.1}, stop_loss=0.1).trades
    assert found["exit_price"].tolist() == pytest.approx([99])
    assert found["exit_time"].dt.day.tolist() == [4]


def test_equity_stops_at_nothing():
    found = ours([CALM, flat(300), flat(300)], {0: -1.0})
    assert found.equity["strategy"].tolist() == [1, 0, 0]


def test_units_are_as_small_as_the_price_asks_for():
    assert trade("size", [flat(2e12)] * 2, {0: 1.0}) == pytest.approx(5e-13)
    assert 1000 * trade("size", [flat(300)] * 2, {0: 0.5}) == pytest.approx(5 / 3)


def test_slippage_is_paid_on_both_sides_and_may_leave_the_bar():
    found = ours([CALM] * 3, {0: 0.3, 1: 0.0}, slippage_bps=100).trades
    assert found[["entry_price", "exit_price"]].to_numpy().tolist() == [[101, 99]]


def test_size_knows_the_price_of_its_fill_and_nothing_after_it():
    sizes = [
        trade("size", [flat(150), (100, 200, 100, last)], {0: 0.5}, fill="next_open")
        for last in (100, 200)
    ]
    assert sizes == pytest.approx([0.005, 0.005])


def test_a_fill_at_the_close_is_in_the_equity_of_its_bar():
    found = ours([CALM] * 2, {0: 0.3}, fee_bps=100)
    assert found.equity["strategy"].tolist() == pytest.approx([0.997, 0.997])


def test_an_order_at_the_open_goes_before_the_stop_of_its_bar():
    asked = {"fill": "next_open", "stop_loss": 0.05}
    for weight, reason in ((-0.3, "reversal"), (0.0, "signal")):
        found = ours([CALM, CALM, CALM, FALLS, CALM], {0: 0.3, 2: weight}, **asked).trades
        assert found["exit_price"].iloc[0] == 100
        assert found["exit_reason"].iloc[0] == reason
        assert len(found) == (2 if weight else 1)


def test_a_stop_between_the_last_close_and_the_open_of_the_fill_is_taken():
    asked = {"fill": "next_open", "stop": 103.0}
    found = ours([CALM, flat(110), (110, 110, 102, 104)], {0: 0.3}, **asked).trades
    assert found[["entry_price", "exit_price"]].to_numpy().tolist() == [[110, 103]]


def test_ruin_is_looked_for_at_the_worst_price_of_the_bar():
    bars = [CALM, (100, 100, 70, 100), CALM]
    assert ours(bars, {0: 5.0}).equity["strategy"].iloc[-1] == 0
    assert ours(bars, {0: 5.0}, path="optimistic").equity["strategy"].iloc[-1] == 1


def test_a_trailing_stop_follows_the_high():
    # a tenth below the high of 150 is above the next open
    bars = [CALM, CALM, (100, 150, 100, 140), (100, 100, 91, 95)]
    assert trade("exit_price", bars, {0: 0.3}, trailing_stop=0.1) == 100
