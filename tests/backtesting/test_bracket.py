"""bracket.py: three legal runs worked by hand, and the cost at which nothing is left."""

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting import simulate, statistics
from signalkit.backtesting.bracket import LEAD, RUNS, bracket, bracket_of, break_even, legal_runs
from signalkit.causality import probe_bars
from signalkit.errors import DataError, ParamsError


def bars(*rows):
    """Hourly bars of (open, close); high and low are their ends."""
    opens, closes = np.array(rows, dtype=float).T
    times = pd.date_range("2024-01-01", periods=len(rows), freq="h", tz="UTC", name="time")
    ends = {"high": np.maximum(opens, closes), "low": np.minimum(opens, closes)}
    prices = {"open": opens, **ends, "close": closes, "volume": 1.0}
    return pd.DataFrame(prices, index=times)


def at(table, *weights):
    """Weights of the first bars."""
    return pd.Series(weights, table.index[: len(weights)], dtype=float)


RISING = bars((100, 100), (100, 110), (121, 132), (132, 132))


def test_twice_and_half_the_slippage_make_the_ends_of_the_bracket():
    # a hundredth of a unit, bought at 100 (1 + s) and sold at 121 (1 - s): 0.21 - 2.21 s
    got = bracket(RISING, at(RISING, 1.0, 0.0), periods_per_year=8766, slippage_bps=100)
    row = got.loc["return_total"]
    expected = [0.21 - 0.0442, 0.21 - 0.0221, 0.21 - 0.01105]
    assert row[["low", "base", "high"]].tolist() == pytest.approx(expected)
    assert row[["low_run", "high_run"]].tolist() == ["pessimistic", "optimistic"]
    # holding buys at the open of bar 1 too, and is at 132 in the end: 0.32 - s
    lead = got.loc[LEAD]
    ahead = [-0.11 - 1.21 * s for s in (0.02, 0.01, 0.005)]
    assert lead[["low", "base", "high"]].tolist() == pytest.approx(ahead)


def test_low_is_the_least_of_the_three_whichever_run_it_is():
    table, rng = probe_bars(300, 4), np.random.default_rng(4)
    weight = pd.Series(rng.choice([-1.0, 0.0, 1.0], 300), table.index)[rng.random(300) < 0.1]
    settings = {"fee_bps": 2, "slippage_bps": 1, "stop_loss": 0.02, "take_profit": 0.03}
    runs = legal_runs(table, weight, **settings)
    got = bracket(table, weight, periods_per_year=8766, **settings)
    assert tuple(runs) == RUNS
    for name in got.index.drop(LEAD):
        found = {k: statistics(run, 8766).loc[name, "strategy"] for k, run in runs.items()}
        assert got.loc[name, "low"] == min(found.values()) == found[got.loc[name, "low_run"]]
        assert got.loc[name, "high"] == max(found.values()) == found[got.loc[name, "high_run"]]
        assert got.loc[name, "base"] == found["base"]


def test_a_close_that_is_filled_at_once_is_bracketed_by_the_next_open():
    weight = at(RISING, 1.0, 0.0)
    worst = legal_runs(RISING, weight, fill="close")["pessimistic"]
    same = simulate(RISING, weight, fill="next_open", path="pessimistic")
    pd.testing.assert_frame_equal(worst.equity, same.equity, check_exact=True)
    got = bracket(RISING, weight, periods_per_year=8766, fill="close")
    # as asked bought and sold at the closes, 100 to 110; by the worst run at 100 and 121
    assert got.loc["return_total", ["low", "base", "high"]].tolist() == pytest.approx(
        [0.1, 0.1, 0.21]
    )
    assert got.loc["return_total", "high_run"] == "pessimistic"


def test_no_trade_has_a_bracket_that_says_so():
    got = bracket(RISING, at(RISING, 0.0), periods_per_year=8766)
    assert got.loc["trades", ["low", "base", "high"]].tolist() == [0.0, 0.0, 0.0]
    assert got.loc["hit_rate", ["low", "base", "high"]].isna().all()
    assert got.loc["hit_rate", ["low_run", "high_run"]].tolist() == ["", ""]
    assert got.loc["return_total", ["low_run", "high_run"]].tolist() == ["base", "base"]


def test_a_bracket_is_of_three_runs():
    runs = legal_runs(RISING, at(RISING, 1.0))
    with pytest.raises(ParamsError, match="pessimistic, base, optimistic, was of"):
        bracket_of({"base": runs["base"]}, 8766)


def test_break_even_cost_is_the_one_worked_by_hand():
    # all in at 100, all out at 121: 1.21 (1 - f) / (1 + f) = 1 at f = 0.21 / 2.21; the units
    # are those of an order of the whole equity at 100, its fee is paid from cash
    got = break_even(RISING, at(RISING, 1.0, 0.0), tolerance_bps=0.001).loc["return_total"]
    # cash after buying: -f; after selling: -f + 1.21 (1 - f) = 1
    assert got["now"] == pytest.approx(0.21)
    assert got["extra_bps"] == pytest.approx(1e4 * 0.21 / 2.21, abs=0.001)
    assert got["says"] == "comes to 0 at 950.23 bps a side more"


def test_extra_costs_come_on_top_of_the_costs_asked():
    weight = at(RISING, 1.0, 0.0)
    free, paid = (break_even(RISING, weight, fee_bps=f)["extra_bps"] for f in (0, 100))
    assert free["return_total"] - paid["return_total"] == pytest.approx(100, abs=0.02)
    resting = break_even(RISING, weight, fee_bps=100, maker_bps=0.0)["extra_bps"]
    assert resting["return_total"] == pytest.approx(paid["return_total"])


def test_extra_costs_come_on_top_of_a_resting_fee_too():
    # in at 100, out at 105 by a resting order: 0.05 - x - 1.05 (0.001 + x) = 0
    costs = {"take_profit": 0.05, "maker_bps": 10.0, "tolerance_bps": 0.001}
    got = break_even(RISING, at(RISING, 1.0), **costs).loc["return_total"]
    assert got["now"] == pytest.approx(0.05 - 0.00105)
    assert got["extra_bps"] == pytest.approx(1e4 * (0.05 - 0.00105) / 2.05, abs=0.001)


def test_the_lead_over_holding_has_a_break_even_cost_of_its_own():
    table = bars((100, 100), (100, 99), (98, 98), (98, 98))
    got = break_even(table, at(table, -1.0, 0.0), tolerance_bps=0.001)
    # strategy 1 + 0.02 - f - 0.98 f, holding 0.98 - f: 0 at 0.02 / 1.98, and level at 0.04 / 0.98
    assert got.loc["return_total", "extra_bps"] == pytest.approx(1e4 * 0.02 / 1.98, abs=0.001)
    assert got.loc[LEAD, "now"] == pytest.approx(0.04)
    assert got.loc[LEAD, "extra_bps"] == pytest.approx(1e4 * 0.04 / 0.98, abs=0.001)


@pytest.mark.parametrize(
    ("weights", "says"),
    [((0.0,), "nothing is traded"), ((-1.0, 0.0), "no room for more")],
)
def test_where_there_is_no_break_even_cost_words_say_why(weights, says):
    got = break_even(RISING, at(RISING, *weights)).loc["return_total"]
    assert np.isnan(got["extra_bps"])
    assert says in got["says"]


def test_a_return_that_no_cost_eats_says_so():
    # one purchase of a hundredth of the equity that becomes a hundredfold
    table = bars((1, 1), (1, 1), (100, 100), (1000, 1000))
    got = break_even(table, at(table, 0.01)).loc["return_total"]
    assert np.isnan(got["extra_bps"])
    assert got["says"] == "still above 0 at 4096 bps a side more"


def test_settings_that_make_no_sense_are_refused_as_in_a_simulation():
    with pytest.raises(ParamsError, match="fill is one of"):
        bracket(RISING, at(RISING, 1.0), periods_per_year=8766, fill="never")
    with pytest.raises(ParamsError, match="tolerance_bps must be above 0, was 0"):
        break_even(RISING, at(RISING, 1.0), tolerance_bps=0)
    with pytest.raises(DataError, match="is nan"):
        break_even(RISING, at(RISING, np.nan))
