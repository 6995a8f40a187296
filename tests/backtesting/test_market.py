"""market.py, layout.py: tables laid out by place, and runs that write into lent arrays."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting import prepare, simulate
from signalkit.backtesting.account import OPENS, TOTALS
from signalkit.backtesting.layout import trailing
from signalkit.causality import probe_bars
from signalkit.errors import DataError, ParamsError

RULES = {"fee_bps": 3.0, "slippage_bps": 2.0, "stop_loss": 0.02, "max_leverage": 2.0}


def wandering(n=200, seed=1):
    """Bars and a weight at every third of them."""
    table = probe_bars(n)
    sizes = np.random.default_rng(seed).choice([-1.0, 0.0, 0.5, 2.0], n)
    return table, pd.Series(sizes, table.index)[::3]


def panel_of(*tables):
    """A panel of tables under A, B, ..."""
    return pd.concat(dict(zip("ABCD", tables, strict=False)), names=["symbol", "time"])


def test_a_run_gives_the_equity_and_totals_of_the_simulation():
    table, weight = wandering()
    expected = simulate(table, weight, **RULES, borrow_bps=500.0)
    market = prepare(table, times_from=weight.index[0], **RULES, borrow_bps=500.0)
    totals, lent = np.empty(len(TOTALS)), np.empty(len(table))
    orders = market.place(weight)
    got = market.run(orders.target, equity_out=lent, totals_out=totals)
    assert got is lent
    assert got.tolist() == expected.equity["strategy"].tolist()
    end = dict(zip(TOTALS, totals, strict=True))
    account = expected.accounts.iloc[-1]
    for name in ("fees", "slippage", "funding", "borrow", "interest", "written_off"):
        assert end[name] == account[name]
    assert end["borrow"] > 0
    assert end["traded"] == pytest.approx(expected.traded)
    assert end["fills"] == len(expected.fills)


def test_limits_and_stops_run_as_they_are_simulated():
    table, weight = wandering()
    beside = {"limit_price": table["close"] * 0.995, "stop": table["close"] * 0.98}
    asked = pd.DataFrame({"weight": weight.clip(lower=0)} | beside).loc[weight.index]
    expected = simulate(table, asked, **RULES)
    market = prepare(table, times_from=weight.index[0], **RULES)
    orders = market.place(asked)
    got = market.run(orders.target, limit_price=orders.limit_price, stop=orders.stop)
    assert got.tolist() == expected.equity["strategy"].tolist()
    assert {"signal", "stop"} <= set(expected.fills["reason"])
    assert got.tolist() != market.run(orders.target).tolist()


def test_threads_share_a_market_and_each_gets_its_own_bits():
    table, _ = wandering()
    market = prepare(table, **RULES)
    targets = [market.place(wandering(seed=seed)[1]).target for seed in range(8)]
    alone = [market.run(target).tobytes() for target in targets]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda target: market.run(target).tobytes(), targets))
    assert together == alone
    assert len(set(alone)) == len(alone)


def test_runs_into_a_lent_array_keep_nothing():
    table, weight = wandering(3000)
    market = prepare(table, **RULES)
    target, lent = market.place(weight).target, np.empty(len(table))
    market.run(target, equity_out=lent)
    seen = []
    for _ in range(8):
        tracemalloc.start()
        for _ in range(50):
            market.run(target, equity_out=lent)
        seen.append(tracemalloc.get_traced_memory())
        tracemalloc.stop()
    # numba keeps small objects of its own at first, what a run kept would be kept in every
    # round; an equity of 3,000 bars alone is 24,000 bytes
    kept, most = min(seen)
    assert kept < 5_000
    assert most < 20_000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda a: a[:-1],
            r"target must be .* of shape \(200, 1\), was float64 of shape \(199, 1\)",
        ),
        (lambda a: a.astype(np.float32), r"target must be a contiguous float64 .* was float32"),
        (lambda a: a[:, 0], r"was float64 of shape \(200,\)"),
    ],
)
def test_refuses_an_array_that_is_not_the_markets(change, says):
    table, weight = wandering()
    market = prepare(table, **RULES)
    target = market.place(weight).target
    with pytest.raises(ParamsError, match=says):
        market.run(change(target))
    with pytest.raises(ParamsError, match="equity_out must be"):
        market.run(target, equity_out=np.empty(3))


def test_a_market_begins_where_it_is_told():
    table, _ = wandering()
    market = prepare(table, times_from=table.index[150])
    assert market.times.equals(table.index[150:])
    assert market.shape == (50, 1)
    with pytest.raises(DataError, match=r"no bar ends at 2100.* or later"):
        prepare(table, times_from=pd.Timestamp("2100-01-01", tz="UTC"))
    early = pd.Series(0.5, table.index[:1])
    with pytest.raises(DataError, match="has no bar to be decided on"):
        market.place(early)


def test_bars_lie_at_their_time_and_gaps_carry_the_last_close():
    a, b = probe_bars(6), probe_bars(6, seed=9)
    panel = panel_of(a.iloc[[0, 1, 2, 3, 5]], b.iloc[[2, 4]])
    market = prepare(panel)
    assert market.times.tolist() == a.index[[0, 1, 2, 3, 4, 5]].tolist()
    assert market.symbols.tolist() == ["A", "B"]
    there = np.array([[1, 0], [1, 0], [1, 1], [1, 0], [0, 1], [1, 0]])
    assert market.bars.there.tolist() == there.tolist()
    for k, name in enumerate(["open", "high", "low", "close"]):
        cells, full = market.bars.prices[k], np.column_stack([a[name], b[name]])
        assert cells[there == 1].tolist() == full[there == 1].tolist()
        assert cells[4, 0] == a["close"].iloc[3]
        assert cells[:2, 1].tolist() == [0.0, 0.0]
        assert cells[3, 1] == b["close"].iloc[2]


def test_a_panel_cut_from_a_larger_one_has_only_its_own_symbols_and_times():
    whole = panel_of(probe_bars(8), probe_bars(8, seed=2), probe_bars(8, seed=3))
    times = whole.index.get_level_values("time")
    cut = whole[(times > times[2]) & (whole.index.get_level_values("symbol") != "B")]
    market = prepare(cut)
    assert market.symbols.tolist() == ["A", "C"]
    assert market.shape == (5, 2)
    assert market.bars.prices[OPENS, :, 1].tolist() == cut.loc["C", "open"].tolist()


@pytest.mark.parametrize("swap", ["symbols", "times"])
def test_a_panel_out_of_order_is_refused(swap):
    a, b = probe_bars(4), probe_bars(4, seed=2)
    parts = {"B": b, "A": a} if swap == "symbols" else {"A": a.iloc[::-1], "B": b}
    panel = pd.concat(parts, names=["symbol", "time"])
    says = "symbols must be sorted" if swap == "symbols" else "A goes back in time at row 1"
    with pytest.raises(DataError, match=says):
        prepare(panel)


def test_weights_may_come_in_any_order():
    table, weight = wandering()
    one = simulate(table, weight, **RULES)
    other = simulate(table, weight.sample(frac=1.0, random_state=3), **RULES)
    pd.testing.assert_frame_equal(one.equity, other.equity, check_exact=True)


def test_trailing_volatility_and_volume_are_those_of_pandas_up_to_the_bar_before():
    table = probe_bars(60)
    close, volume = table["close"], table["volume"]
    spread, mean = trailing(close.to_numpy(), volume.to_numpy(), np.array([0, 35, 60]))
    for block in (slice(0, 35), slice(35, 60)):
        steps = np.log(close.iloc[block]).diff()
        expected = steps.rolling(20, min_periods=2).std().shift()
        np.testing.assert_allclose(spread[block], expected, rtol=1e-9)
        expected = volume.iloc[block].rolling(20, min_periods=2).mean().shift()
        np.testing.assert_allclose(mean[block], expected, rtol=1e-12)


def test_holding_waits_until_slippage_is_known_and_pays_it():
    table = probe_bars(30)
    market = prepare(table, slippage_vol=0.5, fee_bps=10)
    # two returns are known at the fourth bar
    assert market.hold[:3].tolist() == [1.0, 1.0, 1.0]
    quote, volatility = table["open"].iloc[3], market.bars.volatility[3, 0]
    units, price = 1 / quote, quote * (1 + 0.5 * volatility)
    expected = 1 - units * price * 1.001 + units * table["close"].to_numpy()[3:]
    np.testing.assert_allclose(market.hold[3:], expected, rtol=1e-12)
