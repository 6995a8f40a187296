"""sweep.py: every row is the backtest of its threshold, by any number of workers."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting import simulate, statistics
from signalkit.backtesting.sweep import sweep
from signalkit.causality import probe_bars
from signalkit.errors import DataError, ParamsError

PROBE = probe_bars(600, 5)
SHARED = [
    *("return_total", "return_annual", "volatility_annual", "sharpe_annual", "sortino_annual"),
    *("max_drawdown", "calmar", "turnover_annual", "fees", "slippage"),
]
COSTS = {"fee_bps": 3.0, "slippage_bps": 1.0}


def scored(table=PROBE, seed=1, some=0.7):
    """A score on some of the bars."""
    rng = np.random.default_rng(seed)
    score = pd.Series(rng.normal(0, 1, len(table)), table.index)
    return score[rng.random(len(table)) < some]


def panel(*tables):
    """Bars of several symbols, named S0, S1 and so on."""
    named = {f"S{i}": table for i, table in enumerate(tables)}
    return pd.concat(named, names=["symbol", "time"])


def wanted(table, score, threshold, *, horizon, direction, leverage):
    """Weights slice by slice, as signalkit.signals has them."""
    columns = {}
    names = score.index.unique("symbol")
    for name in names:
        own = score.loc[name]
        times = table.loc[name].index
        times = times[times >= own.index[0]]
        side = np.sign(own).where(own.abs() >= threshold, 0.0)
        side = side.clip(lower=0.0) if direction == "long_only" else side
        side = side.reindex(times, fill_value=0.0).tolist()
        slices = [sum(side[max(0, i - horizon + 1) : i + 1]) for i in range(len(side))]
        columns[name] = pd.Series(slices, times) / horizon * (leverage / len(names))
    return pd.concat(columns, names=["symbol", "time"])


def longhand(table, score, threshold, *, horizon, direction="long_short", **settings):
    """Statistics of simulating those weights."""
    if score.index.nlevels == 1:
        score = pd.concat({"": score}, names=["symbol", "time"])
        table = pd.concat({"": table}, names=["symbol", "time"])
    asked = {"horizon": horizon, "direction": direction}
    weight = wanted(table, score, threshold, leverage=settings.get("max_leverage", 1.0), **asked)
    result = simulate(table, weight, **settings)
    exposure = weight.unstack("symbol").reindex(result.equity.index).ffill().fillna(0.0)
    return statistics(result, 8766)["strategy"], exposure.abs().sum(axis=1).mean()


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("direction", ["long_short", "long_only"])
def test_every_row_is_the_backtest_of_its_threshold(horizon, direction):
    score, thresholds = scored(), [0.0, 0.4, 1.1, 2.5]
    asked = {"horizon": horizon, "direction": direction, **COSTS}
    got = sweep(PROBE, score, thresholds, periods_per_year=8766, **asked)
    assert got.index.tolist() == thresholds
    for threshold in thresholds:
        told, exposure = longhand(PROBE, score, threshold, **asked)
        row = got.loc[threshold]
        assert row[SHARED].to_dict() == pytest.approx(told[SHARED].to_dict(), rel=1e-9, abs=1e-12)
        assert row["exposure"] == pytest.approx(exposure)


def test_symbols_share_the_capital_and_keep_to_their_own_bars():
    # the second starts later, has gaps, and its first score comes later still
    second = probe_bars(600, 6).iloc[100:].drop(PROBE.index[300:340])
    table = panel(PROBE, second)
    score = pd.concat(
        {"S0": scored(some=0.9), "S1": scored(second.iloc[50:], seed=2)}, names=["symbol", "time"]
    )
    settings = {**COSTS, "max_leverage": 1.5, "stop_loss": 0.05, "volume_cap": 0.5, "capital": 50}
    got = sweep(table, score, [0.3, 0.9], periods_per_year=8766, horizon=3, **settings)
    for threshold, row in got.iterrows():
        told, exposure = longhand(table, score, threshold, horizon=3, **settings)
        assert row[SHARED].to_dict() == pytest.approx(told[SHARED].to_dict(), rel=1e-9, abs=1e-12)
        assert row["exposure"] == pytest.approx(exposure)


def test_bars_before_the_first_score_are_not_simulated():
    score = scored().iloc[300:]
    got = sweep(PROBE, score, [0.5], periods_per_year=8766, horizon=2)
    told, _ = longhand(PROBE, score, 0.5, horizon=2)
    assert got.loc[0.5, "return_annual"] == pytest.approx(told["return_annual"], rel=1e-9)


def test_a_ruined_account_and_one_at_rest_stand_in_the_table():
    table = PROBE.copy()
    table.iloc[300:, :4] *= 5.0
    score = pd.Series(-1.0, table.index)
    got = sweep(table, score, [0.5, 2.0], periods_per_year=8766)
    assert got.loc[0.5, ["return_total", "return_annual", "max_drawdown"]].tolist() == [-1.0] * 3
    rest = got.loc[2.0]
    assert rest[["return_total", "max_drawdown", "fills", "exposure"]].tolist() == [0.0] * 4
    assert rest[["sharpe_annual", "sortino_annual", "calmar"]].isna().all()


def test_the_table_is_the_same_bits_for_any_number_of_workers():
    asked = {"periods_per_year": 8766, "horizon": 3, **COSTS, "trailing_stop": 0.03}
    thresholds = np.linspace(0, 2, 40)
    one, four, many = (sweep(PROBE, scored(), thresholds, workers=w, **asked) for w in (1, 4, 64))
    pd.testing.assert_frame_equal(one, four, check_exact=True)
    pd.testing.assert_frame_equal(one, many, check_exact=True)


def test_a_threshold_gives_the_same_alone_and_among_others():
    asked = {"periods_per_year": 8766, "horizon": 3, **COSTS}
    among = sweep(PROBE, scored(), [1.7, 0.1, 0.8], workers=1, **asked)
    for threshold in among.index:
        alone = sweep(PROBE, scored(), [threshold], **asked)
        pd.testing.assert_frame_equal(among.loc[[threshold]], alone, check_exact=True)


@pytest.mark.parametrize("direction", ["long_short", "long_only"])
def test_thresholds_at_a_score_and_beside_it_are_told_apart(direction):
    bars, score = PROBE.iloc[:60], scored(PROBE.iloc[:60]).round(1)
    at = np.unique(score.abs())
    asked = np.concatenate([at, np.nextafter(at, 9), np.nextafter(at, -9).clip(0), at[::-1]])
    given = {"periods_per_year": 8766, "direction": direction, **COSTS}
    alone = [sweep(bars, score, [threshold], **given) for threshold in asked]
    pd.testing.assert_frame_equal(sweep(bars, score, asked, **given), pd.concat(alone))


def test_memory_is_that_of_the_workers_however_many_thresholds():
    score = scored()
    peaks = []
    for n in (4, 400):
        tracemalloc.start()
        sweep(PROBE, score, np.linspace(0, 2, n), periods_per_year=8766, workers=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # a curve of each of 396 more runs would be 1.9 MB
    assert peaks[1] - peaks[0] < 600 * 8 * 396 / 4


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"thresholds": []}, ParamsError, "at least one, were"),
        ({"thresholds": [0.1, -0.1]}, ParamsError, "at least 0"),
        ({"thresholds": [np.nan]}, ParamsError, "at least 0"),
        ({"horizon": 0}, ParamsError, "at least 1 bar, was 0"),
        ({"direction": "up"}, ParamsError, "long_short, long_only, was 'up'"),
        ({"workers": 0}, ParamsError, "at least 1 thread, a whole number, was 0"),
        ({"workers": 1.5}, ParamsError, "a whole number, was 1.5"),
        ({"periods_per_year": 0}, ParamsError, "periods_per_year must be above 0, was 0"),
        ({"fee_bps": -1.0}, ParamsError, "fee_bps must not be negative"),
        ({"score": scored().iloc[:0]}, DataError, "no score"),
        ({"score": scored().iloc[-1:]}, DataError, "no bar|at least 2 bars"),
        ({"score": scored() / 0.0}, DataError, "not finite"),
        ({"score": pd.concat([scored(), scored().iloc[:1]])}, DataError, "two scores at"),
        ({"score": scored().shift(freq="1min")}, DataError, "no bar to trade on"),
    ],
)
def test_refuses_what_it_cannot_sweep(change, error, says):
    asked = {"bars": PROBE, "score": scored(), "thresholds": [0.5], "periods_per_year": 8766}
    asked |= change
    with pytest.raises(error, match=says):
        sweep(asked.pop("bars"), asked.pop("score"), asked.pop("thresholds"), **asked)


def test_a_score_of_a_symbol_without_bars_is_refused():
    score = pd.concat({"S7": scored()}, names=["symbol", "time"])
    with pytest.raises(DataError, match=r"S7.*no bar to trade on"):
        sweep(panel(PROBE, PROBE), score, [0.5], periods_per_year=8766)
