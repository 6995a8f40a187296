"""performance.py: statistics of accounts worked by hand, intervals, and an account at rest."""

import numpy as np
import pandas as pd
import pytest

from signalkit import metrics
from signalkit.backtesting import Backtest, sharpe_interval, simulate, statistics
from signalkit.causality import probe_bars
from signalkit.store import Store

RATIOS = ["trades", "hit_rate", "turnover_annual", "exposure", "fees", "slippage"]


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
    got = account(100, 110, 99, weights=[1.0], fill="close", fee_bps=100).returns
    # a fee of 0.01 on the first bar's close, before anything has moved
    assert got["strategy"].tolist() == pytest.approx([-0.01, 0.1 / 0.99, -0.11 / 1.09])


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
    twins = result.equity.assign(hold=result.equity["strategy"])
    twin = Backtest(twins, result.positions, result.trades, 0.0, 0.0)
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
