"""The engine against the plain event loop of reference.py, over markets made by hypothesis.

Equity, every column of the account, every fill and every trade are equal to 1e-9. The
loop was written from docs/backtesting.md and knows nothing of the engine.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from signalkit.backtesting import simulate
from tests.backtesting.markets import CAPS, COSTS, EXITS, SIZING, games
from tests.backtesting.reference import play

GROUPS = {
    "costs": (COSTS,),
    "exits": (COSTS, EXITS),
    "caps": (COSTS, CAPS),
    "sizing": (EXITS, SIZING),
    "everything": (COSTS, EXITS, CAPS, SIZING),
    "some of it": (),
}
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
FEW = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=SLOW)
MANY = settings(max_examples=1500, deadline=None, derandomize=True, suppress_health_check=SLOW)
ALIKE = {"rtol": 1e-9, "atol": 1e-9}


def assert_alike(got, expected):
    """Tables of one length, numbers equal to 1e-9 and all else exactly."""
    assert len(got) == len(expected)
    for name in expected:
        found, wanted = got[name], expected[name]
        if pd.api.types.is_float_dtype(wanted):
            np.testing.assert_allclose(found.to_numpy(float), wanted, **ALIKE, err_msg=name)
        else:
            assert found.isna().equals(wanted.isna()), name
            assert found.dropna().tolist() == wanted.dropna().tolist(), name


def assert_parity(game):
    """One game through both."""
    panel, weight, options = game
    got, expected = simulate(panel, weight, **options), play(panel, weight, **options)
    assert got.equity.index.tolist() == expected.equity.index.tolist()
    assert_alike(got.equity, expected.equity)
    assert_alike(got.accounts, expected.accounts)
    assert_alike(got.positions, expected.positions)
    assert_alike(got.fills, expected.fills)
    assert_alike(got.trades, expected.trades)
    return expected


def assert_parity_over(group, examples):
    """As many games of a group of settings; more trades than games, so not by standing still."""
    seen = []

    @examples
    @given(games(*GROUPS[group]))
    def compared(game):
        seen.append(len(assert_parity(game).trades))

    compared()
    assert sum(seen) > len(seen) > 0


@pytest.mark.parametrize("group", GROUPS)
def test_equity_account_fills_and_trades_equal_those_of_a_plain_event_loop(group):
    assert_parity_over(group, FEW)


@pytest.mark.certify
@pytest.mark.parametrize("group", GROUPS)
def test_equity_account_fills_and_trades_equal_those_of_a_plain_event_loop_at_length(group):
    assert_parity_over(group, MANY)


@pytest.mark.certify
def test_the_made_markets_reach_every_reason_to_trade():
    seen = set()

    @settings(FEW, max_examples=200)
    @given(games())
    def collected(game):
        panel, weight, options = game
        found = play(panel, weight, **options)
        seen.update(found.fills["reason"], found.trades["exit_reason"])

    collected()
    reasons = "signal reversal stop trailing_stop take_profit liquidation brake ruin open trim"
    assert seen == set(reasons.split())
