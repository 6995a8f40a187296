"""capacity.py: the square-root law worked by hand, limits found, and bars without volume."""

import numpy as np
import pandas as pd
import pytest

from signalkit import metrics
from signalkit.backtesting import simulate
from signalkit.backtesting.capacity import capacity
from signalkit.causality import probe_bars
from signalkit.errors import DataError, ParamsError

YEAR = 400


def traded(n=400, seed=10):
    """Bars with a rise in them, and a position that is halved and filled up every ten bars."""
    table = probe_bars(n, seed)
    table = table.mul(pd.Series(np.exp(0.002 * np.arange(n)), table.index), axis=0)
    times = table.index[30:-5:10]
    return table.assign(volume=100.0), pd.Series(np.resize([1.0, 0.5], len(times)), times)


def test_a_row_is_the_backtest_of_its_capital():
    table, weight = traded()
    got = capacity(table, weight, [1e4, 1e2], periods_per_year=YEAR, impact=0.5, fee_bps=2).curve
    assert got.index.tolist() == [1e2, 1e4]
    for capital, row in got.iterrows():
        result = simulate(table, weight, capital=capital, impact=0.5, fee_bps=2)
        told = metrics.returns(result.returns["strategy"].to_numpy(), YEAR)
        names = ["return_annual", "sharpe_annual", "return_total"]
        assert row[names].to_dict() == told[names].to_dict()
        assert row["slippage"] == result.slippage


def test_four_times_the_capital_pays_twice_the_impact():
    # one purchase of the whole equity at 100 with volatility v and mean volume 50: the price
    # moves by v sqrt(capital / 100 / 50)
    closes = np.tile([100.0, 101.0], 15)
    times = pd.date_range("2024-01-01", periods=30, freq="h", tz="UTC", name="time")
    opens = np.r_[100.0, closes[:-1]]
    ends = {"high": np.maximum(opens, closes), "low": np.minimum(opens, closes)}
    table = pd.DataFrame({"open": opens, **ends, "close": closes, "volume": 50.0}, times)
    weight = pd.Series([1.0], times[24:25])
    got = capacity(table, weight, [100.0, 400.0], periods_per_year=YEAR).curve["slippage"]
    spread = np.std(np.diff(np.log(closes[4:25])), ddof=1)
    units = 100.0 / opens[25]
    assert got.loc[100.0] == pytest.approx(spread * np.sqrt(units / 50), rel=1e-9)
    assert got.loc[400.0] / got.loc[100.0] == pytest.approx(2.0, rel=1e-9)


def test_what_is_lost_to_impact_is_measured_without_lots_and_least_orders():
    table, weight = traded()
    asked = {"periods_per_year": YEAR, "fee_bps": 1}
    got = [capacity(table, weight, [1e4], **asked, **lots) for lots in ({}, {"lot": 1e-6})]
    told = [found.limits["says"].str.split(" a year").str[0].tolist() for found in got]
    assert told[0] == told[1]
    assert float(told[0][0].rstrip("%")) > 0


def test_returns_fall_with_capital_and_the_limits_are_where_they_say():
    table, weight = traded()
    asked = {"periods_per_year": YEAR, "impact": 1.0, "fee_bps": 1}
    got = capacity(table, weight, [1e2, 1e3, 1e4], **asked)
    assert got.curve["return_annual"].is_monotonic_decreasing
    assert got.curve["slippage"].is_monotonic_increasing
    free = capacity(table, weight, [1e-9], **asked).curve["return_annual"].iloc[0]
    for name, share in (("half", 0.5), ("nothing", 0.0)):
        limit = got.limits.loc[name, "capital"]
        around = capacity(table, weight, [limit / 1.01, limit * 1.01], **asked).curve
        assert around["return_annual"].iloc[0] > share * free > around["return_annual"].iloc[1]
        assert f"at a capital of {limit:,.0f}" in got.limits.loc[name, "says"]
    assert got.limits.loc["half", "capital"] < got.limits.loc["nothing", "capital"]


def test_limits_do_not_depend_on_the_capitals_that_are_drawn():
    table, weight = traded()
    one, other = (
        capacity(table, weight, c, periods_per_year=YEAR).limits["capital"]
        for c in ([1.0], [1e3, 1e8])
    )
    assert one.tolist() == pytest.approx(other.tolist(), rel=0.011)


def test_what_earns_nothing_without_impact_has_no_capacity():
    table, weight = traded()
    got = capacity(table, -weight, [1e3], periods_per_year=YEAR)
    assert got.limits["capital"].isna().all()
    assert got.limits["says"].str.contains("nothing to lose").all()


def test_a_strategy_without_trades_says_so():
    table, weight = traded()
    got = capacity(table, 0.0 * weight, [1e3], periods_per_year=YEAR)
    assert got.curve["return_annual"].tolist() == [0.0]
    assert got.limits["capital"].isna().all()


def test_an_index_without_volume_has_no_capacity():
    table, weight = traded()
    flat = table.assign(volume=0.0)
    with pytest.raises(DataError, match="the symbol has no volume in any bar"):
        capacity(flat, weight, [1e3], periods_per_year=YEAR)
    both = pd.concat({"A": table, "INDEX": flat}, names=["symbol", "time"])
    named = pd.concat({"A": weight}, names=["symbol", "time"])
    with pytest.raises(DataError, match="INDEX has no volume in any bar"):
        capacity(both, named, [1e3], periods_per_year=YEAR)


@pytest.mark.parametrize(
    ("capitals", "impact", "says"),
    [
        ([], 1.0, "at least one, were"),
        ([1e3, 0.0], 1.0, "above 0"),
        ([1e3], 0.0, "impact must be above 0"),
    ],
)
def test_refuses_what_has_no_capacity(capitals, impact, says):
    with pytest.raises(ParamsError, match=says):
        capacity(*traded(), capitals, periods_per_year=YEAR, impact=impact)
