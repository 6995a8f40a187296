"""Statistics of returns: against pandas, published numbers and sums by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit import metrics
from signalkit.errors import DataError

BACON = Path(__file__).resolve().parents[3] / "shared/data/reference/returns/portfolio_bacon.csv"
SEEDS = st.integers(0, 10_000)
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


def test_statistics_of_a_path_worked_by_hand():
    # wealth 1.1, 0.88, 1.056, 1.056 with 4 periods a year: the path takes one year
    got = metrics.returns(np.array([0.1, -0.2, 0.2, 0.0]), 4)
    expected = {
        "return_total": 0.056,
        "return_annual": 0.056,
        "volatility_annual": 2 * np.sqrt((0.075**2 + 0.225**2 + 0.175**2 + 0.025**2) / 3),
        "sharpe_annual": 2 * 0.025 / np.sqrt((0.075**2 + 0.225**2 + 0.175**2 + 0.025**2) / 3),
        "sortino_annual": 2 * 0.025 / np.sqrt(0.04 / 4),
        "max_drawdown": -0.2,
        "calmar": 0.056 / 0.2,
        "periods": 4.0,
    }
    assert got.to_dict() == pytest.approx(expected, rel=1e-12)


@pytest.mark.skipif(not BACON.exists(), reason="shared reference data is not there")
def test_downside_deviation_and_pain_index_are_those_of_bacon():
    # PerformanceAnalytics, DownsideDeviation.Rd and PainIndex.Rd: 0.0255 and 0.04
    monthly = pd.read_csv(BACON, index_col=0).iloc[:, 0].to_numpy()
    over = monthly - 0.005
    found = over.mean() * np.sqrt(12) / metrics.returns(over, 12)["sortino_annual"]
    assert found == pytest.approx(0.0255, abs=5e-5)
    assert np.abs(metrics.drawdown(monthly)).mean() == pytest.approx(0.04, abs=5e-3)


@EXAMPLES
@given(seed=SEEDS, n=st.integers(2, 30))
def test_the_worst_drawdown_is_the_worst_pair_of_wealths(seed, n):
    moves = np.random.default_rng(seed).normal(0, 0.1, n).clip(-0.9)
    wealth = [1.0, *np.cumprod(1 + moves)]
    pairs = [wealth[j] / wealth[i] - 1 for i in range(n + 1) for j in range(i, n + 1)]
    assert metrics.returns(moves, 252)["max_drawdown"] == pytest.approx(min(pairs), abs=1e-12)


def test_starting_wealth_counts_as_a_peak():
    assert metrics.drawdown(np.array([-0.1, 0.05])).tolist() == pytest.approx([-0.1, -0.055])


def test_sharpe_equals_that_of_pandas():
    moves = pd.Series(np.random.default_rng(2).normal(0.001, 0.01, 500))
    expected = moves.mean() / moves.std() * np.sqrt(252)
    assert metrics.returns(moves, 252)["sharpe_annual"] == pytest.approx(expected, rel=1e-12)


def test_everything_lost_is_a_return_and_more_is_refused():
    assert metrics.returns(np.array([0.5, -1.0, 0.0]), 252)["return_annual"] == -1.0
    with pytest.raises(DataError, match=r"a return of -1\.01 loses more than everything"):
        metrics.returns(np.array([0.5, -1.01]), 252)


@pytest.mark.parametrize(
    ("moves", "says"),
    [([0.1], "at least 2"), ([], "one length above 0"), ([0.1, np.nan], "row 1 is not finite")],
)
def test_returns_refuses_what_it_cannot_judge(moves, says):
    with pytest.raises(DataError, match=says):
        metrics.returns(np.array(moves), 252)


@pytest.mark.parametrize("move", [0.0, 0.01, 0.1])
def test_a_ratio_whose_divisor_is_nothing_is_not_a_number(move):
    got = metrics.returns(np.full(7, move), 252)
    assert got[["sharpe_annual", "sortino_annual", "calmar"]].isna().all()


def test_a_few_minutes_that_paid_can_be_judged():
    # 1 % a minute over a year of minutes is more than a float holds
    got = metrics.returns(np.array([0.01, 0.01, -0.001]), 525_960.0)
    assert got["return_total"] == pytest.approx(1.01**2 * 0.999 - 1)
