"""Markets of other sizes than markets.py makes: prices from 1e-8 to 1e9, thirty symbols, 1e10.

Leverage goes to 125, impact to hundreds of volatilities, volumes stay away for long; what holds
for every account has to hold here too, and the plain event loop has to agree.
"""

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting import simulate
from tests.backtesting.markets import START, bars, wishes
from tests.backtesting.reference import play
from tests.backtesting.test_limits import assert_adds_up
from tests.backtesting.test_parity import assert_alike

SCALES = ([1e-8], [1e9], [1e-8, 1.0, 1e9], [100.0])
# each is asked for now and then; None stands for a multiple of the leverage or the capital
ASKED = {
    "fee_bps": (1.0, 30.0, 900.0),
    "maker_bps": (0.0, 2.0),
    "slippage_bps": (2.0, 100.0, 3000.0),
    "slippage_vol": (0.1, 3.0),
    "impact": (0.5, 20.0, 500.0),
    "volume_cap": (0.01, 0.3, 1.0),
    "borrow_bps": (100.0, 1e5),
    "stop_loss": (0.001, 0.02, 0.3, 0.95),
    "take_profit": (0.001, 0.03, 2.0),
    "trailing_stop": (0.001, 0.05, 0.9),
    "drift": (0.0, 0.001, 0.5, 50.0),
    "max_positions": (1, 3, 7),
    "max_turnover": (0.01, 0.4, 3.0),
    "maintenance": (0.005, 0.05, 0.5, 0.99),
    "brake": (0.005, 0.1, 0.6),
    "brake_bars": (0, 1, 3, 500),
    "path": ("optimistic",),
    "prices": ("worse", "better"),
}


def pick(rng, *values):
    return values[rng.integers(len(values))]


def market(rng, scale, capital):
    """Bars of up to thirty symbols, many of them missing or without volume for long."""
    n, n_symbols = pick(rng, 1, 2, 5, 25), pick(rng, 1, 2, 5, 12, 30)
    volatility, missing = pick(rng, 0.002, 0.03, 0.15, 0.5), pick(rng, 0.0, 0.1, 0.6)
    times = pd.date_range(START, periods=n, freq=pick(rng, "min", "h", "D", "W"), name="time")
    parts = {}
    for k in range(n_symbols):
        price = scale[k % len(scale)]
        path = price * np.exp(np.clip(np.cumsum(rng.normal(0, volatility, 2 * n)), -9, 9))
        o, c = path[::2], path[1::2]
        wick = np.exp(np.abs(rng.normal(0, volatility, (2, n))) * (rng.random((2, n)) < 0.7))
        volume = capital / price * pick(rng, 0.01, 1.0, 1e4) * np.exp(rng.normal(0, 1.5, n))
        silent = rng.integers(n)
        volume[silent : silent + int(n * pick(rng, 0.0, 0.3, 0.9))] = 0.0
        high, low = np.maximum(o, c) * wick[0], np.minimum(o, c) / wick[1]
        table = {"open": o, "high": high, "low": low, "close": c, "volume": volume}
        here = rng.random(n) >= missing
        here[rng.integers(n)] = True
        parts[f"S{k:02d}"] = pd.DataFrame(table, times)[here]
    return pd.concat(parts, names=["symbol", "time"]), volatility


def wild(seed):
    """A panel, weights that use all of the leverage, and rules."""
    rng = np.random.default_rng(seed)
    capital, scale = pick(rng, 1.0, 1e10, 1e-3), pick(rng, *SCALES)
    panel, volatility = market(rng, scale, capital)
    leverage, often = pick(rng, 1.0, 3.0, 10.0, 125.0), pick(rng, 0.1, 0.5, 1.0)
    share = np.floor(leverage / panel.index.unique("symbol").size * 2**20) / 2**20
    rows = panel[rng.random(len(panel)) < often]
    rows = panel[:1] if rows.empty else rows
    weight = rng.choice([-1.0, -0.5, 0.0, 0.3, 1.0, 1.0], len(rows)) * share
    limit = rows["close"] * np.exp(rng.normal(0, volatility, len(rows)))
    limit = limit.where(rng.random(len(rows)) < 0.25)
    side = np.sign(weight)
    edge = side * np.fmin(side * rows["close"], side * limit)
    stop = edge * np.exp(-side * rng.uniform(0.0005, 2 * volatility, len(rows)))
    stop = stop.where((side != 0) & (rng.random(len(rows)) < 0.3))
    asked = pd.DataFrame({"weight": weight, "limit_price": limit, "stop": stop})
    options = {name: pick(rng, *of) for name, of in ASKED.items() if rng.random() < 0.3}
    options |= {"fill": pick(rng, "next_open", "next_close", "close")}
    options |= {"max_leverage": leverage, "capital": capital}
    if rng.random() < 0.3:
        options["lot"] = capital / pick(rng, *scale) * pick(rng, 1e-3, 0.03)
        options["max_weight"] = leverage * pick(rng, 0.04, 0.5)
    if rng.random() < 0.4:
        rates = pd.Series(rng.normal(0, pick(rng, 1e-4, 0.02, 0.3), len(panel)), panel.index)
        options["funding"] = rates[rng.random(len(rates)) < 0.5]
    return panel, asked, options


def assert_held_by_rules(panel, options, got):
    """Every table is finite, equity and prices never below 0, sums add up, caps hold."""
    for table in (got.equity, got.positions, got.accounts, got.trades[["pnl", "size", "fee"]]):
        assert np.isfinite(table.to_numpy()).all()
    assert (got.equity["strategy"] >= 0).all()
    assert (got.positions.dtypes == np.float64).all()
    assert_adds_up(got)
    fills = got.fills[got.fills["reason"] != "ruin"]
    there = panel.loc[pd.MultiIndex.from_frame(fills[["symbol", "time"]])]
    quote = fills["quote"].to_numpy()
    assert (fills["price"] >= 0).all()
    assert (quote >= there["low"].to_numpy() * (1 - 1e-12)).all()
    assert (quote <= there["high"].to_numpy() * (1 + 1e-12)).all()
    if "volume_cap" in options:
        traded = fills["units"].abs().groupby([fills["symbol"], fills["time"]]).sum()
        most = panel["volume"].loc[traded.index] * options["volume_cap"] / options["capital"]
        assert (traded <= most * (1 + 1e-9)).all()
    most = options.get("max_positions", np.inf)
    assert ((got.positions != 0).sum(axis=1) <= most).all()
    assert_within_weight(got.fills, options.get("max_weight", options["max_leverage"]))


def assert_within_weight(fills, most):
    """No order leaves a position above its cap that is larger than the one before."""
    after = fills.groupby("symbol")["units"].cumsum()
    before = after - fills["units"]
    larger = (after.abs() > before.abs()) | (after * before < 0)
    value = after.abs() * fills["quote"] / fills["equity"]
    assert (value[larger & (fills["reason"] == "signal")] <= most * (1 + 1e-8)).all()


def assert_sound(seed):
    panel, weight, options = wild(seed)
    got, expected = simulate(panel, weight, **options), play(panel, weight, **options)
    assert_held_by_rules(panel, options, got)
    for name in ("equity", "accounts", "positions"):
        assert_alike(getattr(got, name), getattr(expected, name))
    # units of 1e-8 each are compared by what they are worth
    for name, units, price in (("fills", "units", "quote"), ("trades", "size", "entry_price")):
        tables = (getattr(side, name) for side in (got, expected))
        assert_alike(*(t.assign(**{units: t[units] * t[price]}) for t in tables))
    return len(got.fills)


def test_wild_accounts_keep_every_rule_and_equal_the_plain_event_loop():
    assert sum(assert_sound(seed) for seed in range(30)) > 400


@pytest.mark.certify
def test_wild_accounts_keep_every_rule_and_equal_the_plain_event_loop_at_length():
    assert sum(assert_sound(seed) for seed in range(30, 1000)) > 10_000


@pytest.mark.parametrize("run", [simulate, play], ids=["engine", "loop"])
def test_lots_are_counted_beyond_what_an_integer_holds(run):
    table = bars((1e-8, 1e-8, 1e-8, 1e-8), (1e-8, 1e-8, 1e-8, 1e-8))
    got = run(table, wishes(table, 1.0), lot=1e-12)
    assert got.positions.iloc[-1, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("run", [simulate, play], ids=["engine", "loop"])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_of_a_loss_and_a_trail_of_one_distance_the_reason_is_stop(run, side):
    # a mean entry price is a sum over units, and seldom the price to the last digit
    for price in np.random.default_rng(3).uniform(1, 100, 40):
        gone = price * (1 - side * 0.5)
        table = bars((price,) * 4, (price,) * 4, (gone,) * 4)
        got = run(table, wishes(table, side * 0.7), stop_loss=0.03, trailing_stop=0.03)
        assert got.trades["exit_reason"].tolist() == ["stop"]


@pytest.mark.parametrize("run", [simulate, play], ids=["engine", "loop"])
def test_the_rest_of_an_order_does_not_bring_its_first_stop_back(run):
    row = (100, 100, 100, 100)
    table = bars(
        row, (*row, 0.004), (*row, 0.004), (*row, 0.004), (100, 100, 93, 94), (94, 94, 94, 94)
    )
    # it fills over three bars; meanwhile the same weight asks for another stop
    wish = wishes(table, (0.005, None, 80), (0.005, None, 95))
    got = run(table, wish, volume_cap=0.005)
    assert got.trades["exit_reason"].tolist() == ["stop"]
    assert got.fills["quote"].iloc[-1] == pytest.approx(95.0)
    assert len(got.fills) == 4


@pytest.mark.parametrize("run", [simulate, play], ids=["engine", "loop"])
def test_three_tenths_are_three_lots_of_a_tenth(run):
    # 0.3 / 0.1 is a little less than 3
    table = bars((1, 1, 1, 1), (1, 1, 1, 1))
    got = run(table, wishes(table, 0.3), lot=0.1)
    assert got.fills["units"].tolist() == pytest.approx([0.3])


@pytest.mark.parametrize("run", [simulate, play], ids=["engine", "loop"])
def test_nothing_fills_at_a_close_at_which_funding_left_nothing(run):
    table = bars(*[(1, 1, 1, 1)] * 4)
    due = pd.Series(2.0, table.index[2:3])
    got = run(table, wishes(table, 1.0, 0.5), fill="next_close", fee_bps=10, funding=due)
    assert got.fills["reason"].tolist() == ["signal", "ruin"]
