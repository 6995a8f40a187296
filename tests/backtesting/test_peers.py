"""simulate against vectorbt, backtesting.py and backtrader, where conventions meet.

`SIGNALKIT_VECTORBT`, `SIGNALKIT_BACKTESTING_PY` and `SIGNALKIT_BACKTRADER` name pythons that
have them, each in an environment of its own: `make certify` then compares with them. The scripts
in benchmarks/peers say how their input is arranged; docs/backtesting.md says where they differ.
"""

import json
import os
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import collection
from signalkit.backtesting import simulate

HERE = Path(__file__).resolve().parents[2] / "benchmarks/peers"
PYTHONS = {
    "vectorbt": "SIGNALKIT_VECTORBT",
    "backtesting": "SIGNALKIT_BACKTESTING_PY",
    "backtrader": "SIGNALKIT_BACKTRADER",
}
PLAIN, STOP, PROFIT, TRAIL = {}, {"stop_loss": 0.03}, {"take_profit": 0.04}, {"trailing_stop": 0.04}
SLIPS = {"slippage_bps": 3}
CASES = [
    # vectorbt: one rule for the price of stops and profits, a trailing stop from closes on
    *[("vectorbt", fill, rules) for fill in ("next_open", "next_close", "close")
      for rules in (PLAIN | SLIPS, STOP | SLIPS, PROFIT, STOP | PROFIT)],
    *[("vectorbt", fill, rules | SLIPS) for fill in ("next_close", "close")
      for rules in (PROFIT, TRAIL)],
    # backtesting.py: no slippage at an exit, no fill at the next close
    *[("backtesting", fill, rules) for fill in ("next_open", "close")
      for rules in (PLAIN, STOP, PROFIT, STOP | PROFIT)],
    # backtrader: a profit that gapped is slipped
    *[("backtrader", fill, rules) for fill in ("next_open", "next_close", "close")
      for rules in (PLAIN | SLIPS, STOP | SLIPS, STOP | PROFIT)],
]  # fmt: skip


def sample():
    return collection.load("sample", ["SP500"], "1d").droplevel("symbol")


def gaps(n=2000, daily=0.02):
    """A market in which one open in seven is far from the close before it."""
    rng = np.random.default_rng(11)
    gap = rng.normal(0, np.where(rng.random(n) < 0.15, 3 * daily, daily / 4))
    body = rng.normal(0, daily, n)
    close = 100 * np.exp(np.cumsum(gap + body))
    open_ = close / np.exp(body)
    beyond = np.exp(np.abs(rng.normal(0, daily / 2, (2, n))))
    high, low = np.maximum(open_, close) * beyond[0], np.minimum(open_, close) / beyond[1]
    time = pd.date_range("2020-01-01", periods=n, tz="UTC", name="time")
    columns = {"open": open_, "high": high, "low": low, "close": close, "volume": 1e6}
    return pd.DataFrame(columns, time)


def turning(bars, peer, rules):
    """Weights that change now and then: any without stops, else from flat or by turning over."""
    rng = np.random.default_rng(5)
    # the first bar is too early for backtesting.py, an order of the last ones is never booked
    at = 1 + np.flatnonzero(rng.random(len(bars) - 4) < 0.1)
    if not {"stop_loss", "take_profit", "trailing_stop"} & set(rules):
        return pd.Series(rng.choice([-0.9, -0.4, 0.0, 0.4, 0.9], len(at)), bars.index[at])
    weight = rng.choice([-0.9, 0.9], len(at))
    if peer == "vectorbt":
        weight[1::2] = 0.0
    return pd.Series(weight, bars.index[at])


@pytest.fixture(scope="module", params=PYTHONS)
def asked(request, tmp_path_factory):
    """Every case of a peer with the folder of its answer, all asked at once."""
    peer, folder = request.param, tmp_path_factory.mktemp(request.param)
    if PYTHONS[peer] not in os.environ:
        pytest.skip(f"{PYTHONS[peer]} names no python")
    cases = []
    for number, (market, (_, fill, rules)) in enumerate(
        product((sample(), gaps()), [case for case in CASES if case[0] == peer])
    ):
        settings, weight = {"fill": fill, "fee_bps": 5} | rules, turning(market, peer, rules)
        place = folder / str(number)
        place.mkdir()
        market.to_csv(place / "bars.csv")
        weight.rename("weight").to_csv(place / "weights.csv")
        (place / "settings.json").write_text(json.dumps(settings))
        cases.append((place, market, weight, settings))
    pairs = [part for place, *_ in cases for part in (place, place / "out")]
    asked = [os.environ[PYTHONS[peer]], HERE / f"{peer}_peer.py", *pairs]
    told = subprocess.run(asked, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return peer, cases


def booked_late(peer, fill, bars, weight):
    """Bars whose fills at the close a peer books with the bar after."""
    if peer == "vectorbt" or fill == "next_open":
        return np.zeros(len(bars), dtype=bool)
    return np.roll(bars.index.isin(weight.index), fill == "next_close")


@pytest.mark.certify
def test_equity_equals_that_of_a_peer_at_every_bar(asked):
    peer, cases = asked
    for place, bars, weight, settings in cases:
        found = pd.read_csv(place / "out/equity.csv", index_col="time")["equity"].to_numpy()
        compared = ~booked_late(peer, settings["fill"], bars, weight)
        compared &= bars.index >= weight.index[0]
        # with room for the leverage that a losing account comes to nothing is trimmed
        ours = simulate(bars, weight, max_leverage=10, **settings).equity["strategy"]
        ours = ours.reindex(bars.index)[compared]
        np.testing.assert_allclose(found[compared], ours, rtol=1e-9, err_msg=str(settings))
        assert compared.mean() > 0.85


@pytest.mark.certify
def test_every_trade_equals_that_of_a_peer(asked):
    _, cases = asked
    order = ["entry_time", "exit_time"]
    for place, bars, weight, settings in cases:
        ours = simulate(bars, weight, max_leverage=10, **settings).trades
        ours = ours[ours["exit_reason"] != "open"].sort_values(order, ignore_index=True)
        found = pd.read_csv(place / "out/trades.csv", parse_dates=order)
        found = found.sort_values(order, ignore_index=True)
        assert len(found) == len(ours) > 100
        for name in ("side", *order):
            assert (found[name] == ours[name]).all(), settings
        for name in ("entry_price", "exit_price", "size", "fee"):
            np.testing.assert_allclose(found[name], ours[name], rtol=1e-9, err_msg=str(settings))
        np.testing.assert_allclose(found["pnl"], ours["pnl"], rtol=0, atol=1e-9)
        reasons = {"stop_loss": "stop", "take_profit": "take_profit"}
        assert set(ours["exit_reason"]) >= {reasons[rule] for rule in reasons if rule in settings}


@pytest.mark.parametrize("rules", [STOP, PROFIT, TRAIL])
def test_the_market_of_gaps_opens_beyond_stops_and_within_bars_reaches_them(rules):
    bars = gaps()
    trades = simulate(bars, turning(bars, "vectorbt", rules), max_leverage=10, **rules).trades
    left = trades[trades["exit_reason"].isin(["stop", "trailing_stop", "take_profit"])]
    at_open = left["exit_price"].to_numpy() == bars["open"].loc[left["exit_time"]].to_numpy()
    assert at_open.sum() >= 10
    assert (~at_open).sum() >= 10
