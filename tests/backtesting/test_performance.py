"""performance.py: statistics of accounts worked by hand, intervals, and an account at rest."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from signalkit import metrics
from signalkit.backtesting import sharpe_interval, simulate, statistics
from signalkit.backtesting.performance import (
    MEASURES,
    daily,
    intervals,
    monthly,
    rolling_sharpe,
)
from signalkit.causality import probe_bars
from signalkit.errors import DataError, ParamsError
from signalkit.significance import draw_counts
from signalkit.store import Store

RATIOS = [
    *("trades", "hit_rate", "profit_factor", "expectancy"),
    *("turnover_annual", "exposure", "fees", "slippage"),
]


def bars(*closes):
    """Bars that open where the one before closed."""
    close = np.array(closes, dtype=float)
    opens = np.r_[close[0], close[:-1]]
    times = pd.date_range("2024-01-01", periods=len(close), freq="h", tz="UTC", name="time")
    high, low = np.maximum(opens, close), np.minimum(opens, close)
    prices = {"open": opens, "high": high, "low": low, "close": close, "volume": 1.0}
    return pd.DataFrame(prices, index=times)


def account(*closes, weights, **rules):
    """A simulation of one symbol with weights at its first bars; None keeps the target."""
    table = bars(*closes)
    kept = {table.index[i]: w for i, w in enumerate(weights) if w is not None}
    return simulate(table, pd.Series(kept, dtype=float), **rules)


def wandering(seed=3, n=400):
    """An account that changes its mind every tenth bar or so."""
    table, rng = probe_bars(n, seed), np.random.default_rng(seed)
    weight = pd.Series(rng.choice([-1.0, 0.0, 1.0], n), table.index)[rng.random(n) < 0.1]
    return simulate(table, weight, fee_bps=2, slippage_bps=1)


def test_returns_start_from_the_starting_capital():
    got = account(100, 110, 99, weights=[1.0], fill="close", fee_bps=50).returns
    # a fee of 0.005 on the first bar's close, before anything has moved
    assert got["strategy"].tolist() == pytest.approx([-0.005, 0.1 / 0.995, -0.11 / 1.095])


def test_statistics_of_both_columns_are_those_of_their_returns():
    result = wandering()
    got = statistics(result, 8766)
    for name in ("strategy", "hold"):
        expected = metrics.returns(result.returns[name].to_numpy(), 8766)
        assert got.loc[expected.index, name].to_dict() == expected.to_dict()
    assert got.loc[RATIOS, "hold"].isna().all()


def test_trades_are_counted_and_only_the_closed_ones_can_hit():
    # filled at the next open: long 100 to 110, short 110 to 121, long from 121 and still open
    result = account(100, 110, 121, 121, 130, weights=[1.0, -1.0, 0.0, 1.0])
    got = statistics(result, 5)["strategy"]
    assert result.trades["exit_reason"].tolist() == ["reversal", "signal", "open"]
    assert got["trades"] == 3
    assert got["hit_rate"] == 0.5


def test_a_trade_that_is_still_open_hits_nothing_yet():
    got = statistics(account(100, 110, 120, weights=[1.0]), 3)["strategy"]
    assert got["trades"] == 1
    assert np.isnan(got["hit_rate"])


def test_exposure_is_the_mean_absolute_position():
    got = statistics(account(100, 100, 100, 100, weights=[-0.5, None, 0.0]), 4)["strategy"]
    assert got["exposure"] == pytest.approx((0 + 0.5 + 0.5 + 0) / 4)


@pytest.mark.parametrize("fill", ["next_open", "next_close", "close"])
def test_turnover_counts_what_was_traded_by_every_fill_rule(fill):
    # all in once, all out once, in one year of six bars
    result = account(100, 100, 100, 100, 100, 100, weights=[1.0, None, 0.0], fill=fill)
    assert statistics(result, 6).loc["turnover_annual", "strategy"] == pytest.approx(2.0)
    # or in half a year of twelve
    assert statistics(result, 12).loc["turnover_annual", "strategy"] == pytest.approx(4.0)


def test_turnover_counts_trades_and_not_the_drift_of_a_position():
    # half the equity bought once; its share of equity grows with the price, untraded
    result = account(100, 100, 150, 225, 300, weights=[0.5])
    assert statistics(result, 5).loc["turnover_annual", "strategy"] == pytest.approx(0.5)


def test_fees_and_slippage_are_those_of_the_account():
    result = wandering()
    got = statistics(result, 8766)["strategy"]
    assert (got["fees"], got["slippage"]) == (result.fees, result.slippage)
    assert got["fees"] == pytest.approx(result.trades["fee"].sum())
    assert got["slippage"] == pytest.approx(result.trades["slippage"].sum())
    assert got["fees"] == pytest.approx(2 * got["slippage"], rel=1e-3)


def test_sharpe_interval_is_centred_on_the_sharpe_of_the_statistics():
    result = wandering()
    got, table = sharpe_interval(result, 8766, block=5, draws=50), statistics(result, 8766)
    for name in ("strategy", "hold"):
        assert got.loc[name, "value"] == pytest.approx(table.loc["sharpe_annual", name])
        assert got.loc[name, "low"] < got.loc[name, "value"] < got.loc[name, "high"]
    lead = got.loc["strategy", "value"] - got.loc["hold", "value"]
    assert got.loc["difference", "value"] == pytest.approx(lead)


def test_the_difference_is_taken_on_the_same_draws():
    result = wandering()
    twin = replace(result, equity=result.equity.assign(hold=result.equity["strategy"]))
    got = sharpe_interval(twin, 8766, block=5, draws=50)
    assert got.loc["difference"].tolist() == [0.0, 0.0, 0.0]


def test_the_interval_repeats_with_its_seed_and_widens_with_its_level():
    result = wandering()
    one, same, wide = (
        sharpe_interval(result, 8766, block=5, draws=200, level=level, seed=1)
        for level in (0.8, 0.8, 0.99)
    )
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert (wide["high"] - wide["low"] > one["high"] - one["low"]).all()


def test_an_account_at_rest_goes_through_to_the_database(own_store):
    result = account(100, 110, 99, 120, weights=[0.0, 0.0])
    got = statistics(result, 4)["strategy"]
    assert got[["return_total", "max_drawdown", "trades", "turnover_annual"]].tolist() == [0.0] * 4
    assert got[["sharpe_annual", "hit_rate"]].isna().all()
    interval = sharpe_interval(result, 4, block=2, draws=20)
    assert interval.loc["strategy"].tolist() == [0.0, 0.0, 0.0]
    with Store.open() as store:
        store.write_trades("at rest", result.trades)
        assert store.db["trades"].count == 0


def test_trades_are_written_as_they_are(own_store):
    result = account(100, 110, 121, 121, 130, weights=[1.0, -1.0, 0.0, 1.0], fee_bps=5)
    with Store.open() as store:
        store.write_trades("one", result.trades)
        store.write_trades("one", result.trades)
        rows = pd.DataFrame(store.db["trades"].rows)
    assert rows["side"].tolist() == ["long", "short", "long"]
    assert rows["pnl"].tolist() == result.trades["pnl"].tolist()
    assert rows["exit_time"].isna().tolist() == [False, False, True]
    assert rows["entry_time"].tolist() == [t.isoformat() for t in result.trades["entry_time"]]


def test_a_ruined_account_has_statistics():
    result = account(100, 100, 100, 250, 120, 90, weights=[-1.0])
    got = statistics(result, 6)["strategy"]
    assert got[["return_total", "return_annual", "max_drawdown"]].tolist() == [-1.0] * 3
    interval = sharpe_interval(result, 6, block=2, draws=20)
    assert np.isfinite(interval.loc["strategy", "value"])


def test_risk_and_the_line_against_holding_stand_in_the_same_table():
    result = wandering()
    got = statistics(result, 8766, level=0.9)
    mine, hold = (result.returns[name].to_numpy() for name in ("strategy", "hold"))
    for name, moves in (("strategy", mine), ("hold", hold)):
        risk, line = metrics.risk(moves, level=0.9), metrics.against(moves, hold, 8766)
        assert got.loc[[*risk.index, *line.index], name].tolist() == [*risk, *line]
    assert got.loc["beta", "hold"] == pytest.approx(1.0)
    assert got.loc["alpha_annual", "hold"] == pytest.approx(0.0, abs=1e-9)


def test_profit_factor_and_expectancy_are_of_closed_trades():
    # long 100 to 110: 0.1; short 110 to 121: -0.1 of 1.1; long 121 to 130: 0.99 x 9 / 121; open
    closes = (100, 110, 121, 121, 130, 130, 140)
    result = account(*closes, weights=[1.0, -1.0, 0.0, 1.0, 0.0, 1.0])
    got = statistics(result, 7)["strategy"]
    assert got["trades"] == 4
    assert got["profit_factor"] == pytest.approx((0.1 + 0.99 * 9 / 121) / 0.11)
    assert got["expectancy"] == pytest.approx((0.1 - 0.1 + 9 / 121) / 3)


def test_nothing_lost_has_no_profit_factor():
    got = statistics(account(100, 110, 121, 121, weights=[1.0, None, 0.0]), 4)["strategy"]
    assert got["hit_rate"] == 1.0
    assert np.isnan(got["profit_factor"])


def days_of(returns, per_day):
    """Hours, so many a day, with the returns given; a day ends at midnight."""
    begins = pd.date_range("2024-01-01", periods=len(returns) // per_day, freq="D", tz="UTC")
    hours = [b + pd.Timedelta(24 - per_day + 1 + h, "h") for b in begins for h in range(per_day)]
    return pd.DataFrame({"strategy": returns, "hold": returns}, pd.DatetimeIndex(hours))


def test_a_day_takes_its_hours_up_to_midnight():
    hours = days_of([0.1, 0.1, -0.5, 1.0, 0.0, 0.2], 2)
    got, per_year = daily(hours, 730.5)
    assert got.index.tolist() == hours.index[1::2].tolist()
    assert got["strategy"].tolist() == pytest.approx([0.21, 0.0, 0.2])
    assert per_year == pytest.approx(365.25)


def test_one_bar_a_day_stays_as_it_is():
    hours = days_of([0.1, -0.5, 0.2], 1)
    got, per_year = daily(hours, 251.55)
    assert got is hours
    assert per_year == 251.55


def by_hand(returns, per_year):
    """The measures of one order of returns."""
    wealth = np.r_[1.0, np.cumprod(1 + returns)]
    annual = wealth[-1] ** (per_year / len(returns)) - 1
    worst = (wealth / np.maximum.accumulate(wealth) - 1).min()
    spread = returns.std(ddof=1)
    sharpe = returns.mean() / spread * np.sqrt(per_year)
    return [annual, spread * np.sqrt(per_year), sharpe, worst, annual / -worst]


def test_intervals_are_quantiles_over_blocks_of_days_worked_by_hand():
    result = wandering(n=20 * 24)
    moves, per_year = daily(result.returns, 8766)
    assert per_year == pytest.approx(365.25, rel=0.06)
    got = intervals(result, 8766, block=60, draws=40, level=0.8, seed=5)
    n = len(moves)
    block = int(np.ceil(60 * n / len(result.equity)))
    first = np.random.default_rng(5).integers(0, n, size=(40, -(-n // block)))
    orders = [np.concatenate([np.arange(a, a + block) for a in row])[:n] % n for row in first]
    for name in ("strategy", "hold"):
        column = moves[name].to_numpy()
        drawn = np.array([by_hand(column[order], per_year) for order in orders])
        low, high = np.quantile(drawn, [0.1, 0.9], axis=0)
        table = got.xs(name, level="account").loc[list(MEASURES)]
        assert table["value"].tolist() == pytest.approx(by_hand(column, per_year), rel=1e-9)
        assert table["low"].tolist() == pytest.approx(low.tolist(), rel=1e-9)
        assert table["high"].tolist() == pytest.approx(high.tolist(), rel=1e-9)


def test_the_lead_over_holding_is_taken_on_the_same_draws():
    result = wandering()
    twin = replace(result, equity=result.equity.assign(hold=result.equity["strategy"]))
    got = intervals(twin, 8766, block=5, draws=30).xs("difference", level="account")
    assert (got.to_numpy() == 0.0).all()


def test_sharpe_intervals_are_of_the_draws_of_the_bootstrap():
    result = wandering()
    moves, drawn = result.returns["strategy"].to_numpy(), []
    for c in draw_counts(len(moves), 7, 50, 3):
        some = np.repeat(moves, c)
        drawn.append(some.mean() / some.std(ddof=1) * np.sqrt(8766))
    got = sharpe_interval(result, 8766, block=7, draws=50, level=0.9, seed=3)
    expected = np.quantile(drawn, [0.05, 0.95]).tolist()
    assert got.loc["strategy", ["low", "high"]].tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("block", [0, 401])
def test_a_block_that_does_not_fit_is_refused(block):
    with pytest.raises(ParamsError, match=r"validation\.block must be from 1 to the"):
        intervals(wandering(), 8766, block=block)
    with pytest.raises(ParamsError, match="times there are, was"):
        sharpe_interval(wandering(), 8766, block=block)


def test_one_day_has_no_interval():
    # the bar that ends at midnight is of another day
    with pytest.raises(DataError, match="at least 2 returns"):
        intervals(account(100, 110, 99, weights=[None, 1.0]), 8766, block=1)


def test_an_account_at_rest_and_a_ruined_one_have_intervals():
    rest = intervals(wide(weights=[0.0]), 12, block=1, draws=20).xs("strategy", level="account")
    assert rest.loc["sharpe_annual"].tolist() == [0.0, 0.0, 0.0]
    assert rest.loc["calmar"].isna().all()
    lost = intervals(wide(weights=[-1.0]), 12, block=1, draws=50).xs("strategy", level="account")
    assert lost.loc["max_drawdown", ["value", "low"]].tolist() == [-1.0, -1.0]
    assert lost.loc["return_annual", "value"] == -1.0


def wide(weights):
    """An account of daily bars in which a short is ruined."""
    table = bars(100, 100, 101, 99, 250, 120, 90, 100)
    table.index = pd.date_range("2024-01-01", periods=len(table), freq="D", tz="UTC", name="time")
    return simulate(table, pd.Series(weights, table.index[: len(weights)], dtype=float))


def test_months_and_years_compound_and_midnight_belongs_to_the_day_before():
    times = ["2023-12-31", "2024-01-01", "2024-01-31 12:00", "2024-02-01", "2024-03-05"]
    moves = [0.5, 0.1, 0.2, 0.5, -0.5]
    got = monthly(pd.Series(moves, pd.DatetimeIndex(times, tz="UTC", name="time")))
    # 1 January and 1 February at midnight are the ends of December and of January
    assert got.index.tolist() == [2023, 2024]
    assert got.columns.tolist() == [*range(1, 13), "year"]
    assert got.loc[2023, [12, "year"]].tolist() == pytest.approx([0.65, 0.65])
    assert got.loc[2024, [1, 3, "year"]].tolist() == pytest.approx([0.8, -0.5, -0.1])
    assert got.loc[2024, [2, *range(4, 13)]].isna().all()
    with pytest.raises(DataError, match="no return"):
        monthly(pd.Series([], pd.DatetimeIndex([], tz="UTC"), dtype=float))


def test_a_rolling_sharpe_is_the_sharpe_of_the_last_bars():
    moves = wandering().returns.iloc[:60]
    got = rolling_sharpe(moves, 8766, window=20)
    assert got.iloc[:19].isna().all().all()
    for t in (19, 40, 59):
        expected = metrics.returns(moves["hold"].iloc[t - 19 : t + 1], 8766)["sharpe_annual"]
        assert got["hold"].iloc[t] == pytest.approx(expected, rel=1e-6)
    flat = rolling_sharpe(pd.Series([0.3, 0.1, 0.1, 0.1, 0.1]), 250, window=3)
    assert flat.isna().tolist() == [True, True, False, True, True]
    with pytest.raises(ParamsError, match="at least 2 bars, was 1"):
        rolling_sharpe(moves, 8766, window=1)
