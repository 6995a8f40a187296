"""attribution.py: parts worked by hand, and parts that add up whatever happens."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.backtesting import simulate
from signalkit.backtesting.attribution import PARTS, attribution
from signalkit.causality import probe_bars


def bars(*closes, first="2024-01-01"):
    """Daily bars that open where the one before closed."""
    close = np.array(closes, dtype=float)
    opens = np.r_[close[0], close[:-1]]
    times = pd.date_range(first, periods=len(close), freq="D", tz="UTC", name="time")
    ends = {"high": np.maximum(opens, close), "low": np.minimum(opens, close)}
    return pd.DataFrame({"open": opens, **ends, "close": close, "volume": 1.0}, index=times)


def panel(**tables):
    """Bars of named symbols."""
    return pd.concat(tables, names=["symbol", "time"])


def assert_adds_up(result):
    """Rows and columns add up to the change of equity, and to the account's own sums."""
    table, end = attribution(result), result.accounts.iloc[-1]
    change = result.equity["strategy"].iloc[-1] - 1
    assert table.loc["total", "total"] == pytest.approx(change, abs=1e-9)
    parts = table.drop("total")
    assert table.loc["total"].tolist() == pytest.approx(parts.sum().tolist(), abs=1e-9)
    sums = table[list(PARTS)].sum(axis=1)
    assert table["total"].tolist() == pytest.approx(sums.tolist(), abs=1e-9)
    for name in ("fees", "slippage", "interest"):
        assert table.loc["total", name] == pytest.approx(-end[name], abs=1e-9)
    assert table.loc["total", "signal"] == pytest.approx(end["signal"], abs=1e-9)
    carried = table.loc["total", ["funding", "borrow"]].sum()
    assert carried == pytest.approx(-end["funding"] - end["borrow"], abs=1e-9)
    return table


def test_two_symbols_worked_by_hand():
    table = panel(A=bars(100, 100, 110, 110), B=bars(50, 50, 50, 40))
    keys = pd.MultiIndex.from_tuples(
        [("A", table.index[0][1]), ("A", table.index[1][1]), ("B", table.index[0][1])],
        names=["symbol", "time"],
    )
    weight = pd.Series([0.5, 0.0, -0.5], keys)
    got = assert_adds_up(simulate(table, weight, fee_bps=10, slippage_bps=20))
    # A: 0.005 units bought at 100 and sold at the open of 100 again; B: 0.01 sold at 50
    assert got.loc["A", ["signal", "fees", "slippage"]].tolist() == pytest.approx(
        [0.0, -0.001 * (0.5 * 1.002 + 0.5 * 0.998), -0.002], abs=1e-12
    )
    assert got.loc["B", ["signal", "fees", "slippage"]].tolist() == pytest.approx(
        [0.1, -0.001 * 0.5 * 0.998, -0.001], abs=1e-12
    )
    assert got.index.tolist() == ["A", "B", "account", "total"]


def test_funding_is_of_the_symbol_that_paid_it():
    table = panel(A=bars(100, 100, 100), B=bars(50, 50, 50))
    times = table.loc["A"].index
    weight = pd.Series(0.5, pd.MultiIndex.from_product([["A", "B"], times[:1]])).rename_axis(
        ["symbol", "time"]
    )
    rates = pd.Series([0.01, -0.02], pd.MultiIndex.from_product([["A"], times[1:]]))
    got = assert_adds_up(simulate(table, weight, funding=rates.rename_axis(["symbol", "time"])))
    assert got["funding"].to_dict() == pytest.approx(
        {"A": 0.5 * 0.01, "B": 0.0, "account": 0.0, "total": 0.5 * 0.01}
    )
    assert (got["borrow"] == 0).all()


def test_borrow_is_of_the_short_and_interest_of_the_account():
    # short 0.5 and long 1.5 on no cash: 1 + 0.5 - 1.5 = 0; then the short's fee makes it less
    table = panel(A=bars(100, 100, 100, 100), B=bars(50, 50, 50, 50))
    times = table.loc["A"].index
    weight = pd.Series([1.8, -0.2], pd.MultiIndex.from_product([["A", "B"], times[:1]]))
    result = simulate(
        table, weight.rename_axis(["symbol", "time"]), borrow_bps=365, max_leverage=2.0
    )
    got = assert_adds_up(result)
    # 0.0001 a day for three days: of 0.2 short, and of cash 1 + 0.2 - 1.8 = -0.6 and a little less
    assert got.loc["B", "borrow"] == pytest.approx(-3 * 0.0001 * 0.2)
    assert got.loc["account", "interest"] == pytest.approx(-3 * 0.0001 * 0.6, rel=1e-3)
    assert got.loc["A", "borrow"] == 0.0
    assert (got["funding"] == 0).all()


def test_funding_and_borrow_together_stand_as_they_do_in_a_trade():
    table = bars(100, 100, 100)
    rates = pd.Series([0.01], table.index[1:2])
    weight = pd.Series([-0.5], table.index[:1])
    got = assert_adds_up(simulate(table, weight, funding=rates, borrow_bps=365))
    # a short earns the rate and pays the lender, the second bar alone at first
    assert got.loc["", "funding"] == pytest.approx(0.005 - 2 * 0.5 * 0.0001)
    assert got.loc["", "borrow"] == 0.0


def test_what_a_lender_lost_is_of_the_account():
    table = bars(100, 100, 300, 300)
    got = assert_adds_up(simulate(table, pd.Series([-1.0], table.index[:1])))
    assert got.loc["", "signal"] == pytest.approx(-2.0)
    assert got.loc["account", "written_off"] == pytest.approx(1.0)
    assert got.loc["total", "total"] == pytest.approx(-1.0)


def test_no_trade_adds_nothing():
    table = bars(100, 110, 120)
    got = assert_adds_up(simulate(table, pd.Series([0.0], table.index[:1])))
    assert (got.to_numpy() == 0.0).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    fill=st.sampled_from(["next_open", "next_close", "close"]),
    rules=st.fixed_dictionaries(
        {
            "stop_loss": st.sampled_from([None, 0.01]),
            "trailing_stop": st.sampled_from([None, 0.02]),
            "volume_cap": st.sampled_from([None, 0.1]),
            "maintenance": st.sampled_from([0.0, 0.4]),
            "brake": st.sampled_from([None, 0.05]),
            "borrow_bps": st.sampled_from([0.0, 500.0]),
            "impact": st.sampled_from([0.0, 0.5]),
        }
    ),
    paid=st.booleans(),
)
def test_parts_add_up_in_any_market(seed, fill, rules, paid):
    rng = np.random.default_rng(seed)
    tables = {name: probe_bars(120, seed + i) for i, name in enumerate("ABC")}
    tables["B"] = tables["B"].drop(tables["B"].index[rng.integers(5, 115, 10)])
    table = panel(**tables)
    weight = pd.Series(rng.choice([-0.6, -0.3, 0.0, 0.3, 0.6], len(table)), table.index)
    weight = weight[rng.random(len(table)) < 0.15]
    funding = pd.Series(rng.normal(0, 0.001, len(table)), table.index) if paid else None
    costs = {"fee_bps": 5.0, "slippage_bps": 2.0, "capital": 1e3, "max_leverage": 2.0}
    result = simulate(table, weight, fill=fill, funding=funding, **costs, **rules)
    assert_adds_up(result)
