"""Tails, time under water, alpha and beta: sums by hand, numpy, and what other libraries give.

`SIGNALKIT_STATISTICS` names a python that has empyrical-reloaded and quantstats, in an environment
of its own: `make certify` then compares whole random series with them.

Where definitions differ: empyrical compounds alpha over the year where ours is times the bars;
quantstats' VaR is that of a normal distribution with the same mean and deviation, ours of the
returns there were; its CVaR takes every return equal to VaR in, ours a fixed number of them; its
profit factor is of bars, ours of trades; its exposure counts bars that moved, ours is the mean
absolute position.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit import metrics
from signalkit.errors import DataError, ParamsError

PEER = Path(__file__).resolve().parents[2] / "benchmarks/peers/statistics_peer.py"
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
TEN = np.array([0.02, -0.01, 0.03, -0.04, 0.01, 0.0, 0.05, -0.02, -0.03, 0.04])
MARKET = np.array([0.01, -0.02, 0.02, -0.03, 0.02, 0.01, 0.03, -0.01, -0.02, 0.02])


def ours(returns, benchmark, periods):
    """All statistics, alpha compounded over the year as empyrical has it among them."""
    line = metrics.against(returns, benchmark, periods)
    compounded = (1 + line["alpha_annual"] / periods) ** periods - 1
    parts = [metrics.returns(returns, periods), metrics.risk(returns), line]
    return pd.concat([*parts, pd.Series({"alpha_compounded": compounded})]).to_dict()


def test_ten_returns_have_the_statistics_of_other_libraries():
    # empyrical-reloaded 0.7.1 and quantstats 0.0.86, which agree where both have a name; alpha_
    # annual and max_drawdown_bars are of quantstats, var_95 and alpha_compounded of empyrical
    expected = {
        "return_total": 0.04685286563906077,
        "return_annual": 2.170430845142742,
        "volatility_annual": 0.48062459362791665,
        "sharpe_annual": 2.6215886925159095,
        "sortino_annual": 4.582575694955841,
        "max_drawdown": -0.04939999999999998,
        "calmar": 43.93584706766686,
        "max_drawdown_bars": 3,
        "var_95": -0.0355,
        "cvar_95": -0.04,
        "beta": 1.3341645885286781,
        "alpha_annual": 0.2513715710723192,
        "alpha_compounded": 0.28562667208929615,
    }
    found = ours(TEN, MARKET, 252.0)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)


@pytest.mark.certify
@pytest.mark.skipif(
    "SIGNALKIT_STATISTICS" not in os.environ, reason="SIGNALKIT_STATISTICS names no python"
)
def test_random_returns_have_the_statistics_of_other_libraries():
    rng = np.random.default_rng(6)
    cases = []
    for n, periods in ((20, 12.0), (250, 252.0), (1000, 251.55), (5000, 8766.0)):
        market = rng.standard_t(4, n) * 0.01
        mine = 0.0005 + 0.6 * market + rng.normal(0, 0.008, n)
        cases.append({"returns": [*mine], "benchmark": [*market], "periods": periods})
    told = subprocess.run(
        [os.environ["SIGNALKIT_STATISTICS"], str(PEER)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
    )
    for case, theirs in zip(cases, json.loads(told.stdout), strict=True):
        found = ours(*(np.array(case[k]) for k in ("returns", "benchmark")), case["periods"])
        for library in ("empyrical", "quantstats"):
            shared = sorted(found.keys() & theirs[library].keys())
            assert len(shared) >= 11
            expected = {name: theirs[library][name] for name in shared}
            assert {name: found[name] for name in shared} == pytest.approx(expected, rel=1e-9)


def test_normal_var_is_another_number_than_that_of_the_returns_there_were():
    # quantstats 0.0.86, value_at_risk of the ten returns
    assert metrics.risk(TEN)["var_95"] != pytest.approx(-0.04480041666078169, rel=0.1)


@EXAMPLES
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 60),
    level=st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99]),
)
def test_var_is_the_quantile_of_numpy_and_cvar_the_mean_up_to_it(seed, n, level):
    moves = np.random.default_rng(seed).normal(0, 0.1, n).clip(-0.9)
    got = metrics.risk(moves, level=level)
    name = f"{100 * level:g}"
    tail = round(1 - level, 12)
    assert got[f"var_{name}"] == pytest.approx(np.quantile(moves, tail), abs=1e-15)
    up_to = np.sort(moves)[: int((n - 1) * tail) + 1]
    assert got[f"cvar_{name}"] == pytest.approx(up_to.mean(), abs=1e-15)


def test_bars_at_rest_do_not_dilute_the_worst_ones():
    # 40 bars of which one lost: floor(39 x 0.05) + 1 = 2 bars count, the quantile is at 0
    got = metrics.risk(np.r_[-0.2, np.zeros(39)])
    assert (got["var_95"], got["cvar_95"]) == pytest.approx((0.0, -0.1))


def test_a_drawdown_lasts_until_the_peak_is_reached_again():
    # under water at bars 1 to 3, back at its peak to the last digit or nearly, then for one bar
    moves = np.array([0.1, -0.1, 0.05, 0.02, 1 / (0.9 * 1.05 * 1.02) - 1, 0.3, -0.01])
    assert metrics.risk(moves)["max_drawdown_bars"] == 3
    assert metrics.risk(np.array([-0.5, 0.1, 0.1, 0.1]))["max_drawdown_bars"] == 4
    assert metrics.risk(np.array([0.0, 0.0, 0.5]))["max_drawdown_bars"] == 0
    # what a rounding leaves below the peak is no water
    short = next(d for d in np.arange(1, 99) / 100 if (1 - d) * (1 + (1 / (1 - d) - 1)) < 1)
    moves = np.array([-short, 1 / (1 - short) - 1, 0.0])
    assert metrics.risk(moves)["max_drawdown_bars"] == 1


@EXAMPLES
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60))
def test_under_water_is_the_distance_from_the_peak_and_its_length(seed, n):
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC")
    moves = np.random.default_rng(seed).choice([-0.1, 0.0, 0.2], n)
    got = metrics.underwater(pd.Series(moves, times))
    wealth = np.r_[1.0, np.cumprod(1 + moves)]
    for t in range(1, n + 1):
        peak = wealth[: t + 1].max()
        at_peak = [k for k in range(t + 1) if wealth[k] > peak * (1 - 1e-12)]
        assert got["drawdown"].iloc[t - 1] == pytest.approx(wealth[t] / peak - 1, abs=1e-12)
        # the run so far: bars since the one that was at its own peak
        below = [wealth[k] < wealth[: k + 1].max() * (1 - 1e-12) for k in range(t + 1)]
        run = next((i for i, b in enumerate(below[::-1]) if not b), t)
        assert got["bars"].iloc[t - 1] == run
        assert run > 0 or t in at_peak
    assert metrics.risk(moves)["max_drawdown_bars"] == got["bars"].max()
    assert metrics.returns(moves, 252)["max_drawdown"] == pytest.approx(got["drawdown"].min())


def test_a_year_of_minutes_that_all_paid_has_no_drawdown_however_large_it_grows():
    # wealth is far beyond what a float holds
    got = metrics.returns(np.r_[np.full(100_000, 0.01), -0.5], 525_960.0)
    assert got["return_total"] == np.inf
    assert got["max_drawdown"] == pytest.approx(-0.5)


@EXAMPLES
@given(seed=st.integers(0, 10_000), n=st.integers(3, 80))
def test_alpha_and_beta_are_those_of_least_squares(seed, n):
    rng = np.random.default_rng(seed)
    market, mine = rng.normal(0, 0.02, (2, n))
    slope, intercept = np.polyfit(market, mine, 1)
    got = metrics.against(mine, market, 365.25)
    assert got["beta"] == pytest.approx(slope, rel=1e-9, abs=1e-12)
    assert got["alpha_annual"] == pytest.approx(intercept * 365.25, rel=1e-9, abs=1e-12)


def test_a_market_that_stands_still_has_no_beta():
    assert metrics.against(TEN, np.full(10, 0.1), 252).isna().all()
    assert metrics.against(MARKET, MARKET, 252).to_dict() == pytest.approx(
        {"alpha_annual": 0.0, "beta": 1.0}, abs=1e-12
    )


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda: metrics.risk(TEN, level=1.0), ParamsError, "between 0 and 1, was 1"),
        (lambda: metrics.risk(TEN[:1]), DataError, "at least 2"),
        (lambda: metrics.risk(np.array([0.1, -1.5])), DataError, "loses more than everything"),
        (lambda: metrics.against(TEN, MARKET[:9], 252), DataError, "one length"),
        (lambda: metrics.against(TEN[:1], MARKET[:1], 252), DataError, "at least 2 returns"),
        (lambda: metrics.underwater(pd.Series([np.nan])), DataError, "row 0 is not finite"),
    ],
)
def test_refuses_what_it_cannot_judge(ask, error, says):
    with pytest.raises(error, match=says):
        ask()
