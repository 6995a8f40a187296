"""bets.py: snippets of the book, stakes that grow fastest by search, and no outcome too early."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.signals.bets import (
    Sizing,
    bet_size,
    discretised,
    kelly_odds,
    kelly_return,
    payoff_ratio,
    volatility_share,
)


@pytest.mark.parametrize("classes", [2, 3])
def test_bet_size_is_that_of_snippet_10_1(classes):
    p = np.linspace(0.01, 0.99, 99)
    z = (p - 1 / classes) / (p * (1 - p)) ** 0.5
    np.testing.assert_allclose(bet_size(p, classes), 2 * norm.cdf(z) - 1, rtol=0, atol=1e-15)


def test_bet_size_by_hand_and_at_the_ends():
    # z = 0.25 / sqrt(0.1875) = 0.57735, Phi = 0.71815; z = 1/6 / 0.5 = 1/3 of three classes
    assert bet_size(np.array([0.75])) == pytest.approx([0.43630], abs=1e-5)
    assert bet_size(np.array([0.5]), 3) == pytest.approx([2 * norm.cdf(1 / 3) - 1])
    assert bet_size(np.array([0.0, 0.5, 1.0])).tolist() == [-1.0, 0.0, 1.0]
    assert np.isnan(bet_size(np.array([np.nan]))).all()


def test_sizes_are_rounded_as_snippet_10_3_does():
    size = np.random.default_rng(2).uniform(-1, 1, 500)
    for step in (0.05, 0.3, 0.7):
        expected = (pd.Series(size) / step).round() * step
        expected[expected > 1], expected[expected < -1] = 1, -1
        assert discretised(size, step).tolist() == expected.tolist()
    assert discretised(size, 0.0).tolist() == size.tolist()


def test_a_coin_of_even_odds_is_worth_its_edge():
    # Thorp (2006), section 2: f* = p - q
    p = np.array([0.5, 0.53, 0.6, 1.0])
    assert kelly_odds(p, 1 - p).tolist() == pytest.approx((2 * p - 1).tolist())


@pytest.mark.parametrize(
    ("win", "lose", "payoff"),
    [(0.6, 0.4, 1.0), (0.45, 0.55, 2.0), (0.4, 0.3, 1.5), (0.2, 0.1, 0.7)],
)
def test_stake_grows_fastest(win, lose, payoff):
    def growth(stake):
        return -(win * np.log1p(payoff * stake) + lose * np.log1p(-stake))

    best = minimize_scalar(growth, bounds=(0, 0.999), method="bounded", options={"xatol": 1e-9}).x
    got = kelly_odds(np.array([win]), np.array([lose]), payoff)
    assert got == pytest.approx([best], abs=1e-6)
    if win + lose == 1:  # Thorp (2006), section 3: (b p - q) / b
        assert got == pytest.approx([(payoff * win - lose) / payoff])


def test_a_bet_not_worth_taking_has_no_stake():
    assert kelly_odds(np.array([0.4, 0.0, 0.3]), np.array([0.6, 0.0, 0.3])).tolist() == [0, 0, 0]


def test_leverage_of_a_price_grows_fastest():
    # Thorp (2006), section 7: g(f) = f m - f² s² / 2 has its top at m / s²
    mean, variance = 0.003, 0.0004
    found = minimize_scalar(lambda f: f * f * variance / 2 - f * mean)
    got = kelly_return(
        np.array([mean, -mean, mean, mean]), np.array([variance, variance, 0, np.nan])
    )
    assert got[:2] == pytest.approx([found.x, -found.x])
    assert got[2:].tolist() == [0.0, 0.0]


def test_a_share_moves_by_its_target_or_is_none():
    moves = np.array([0.01, 0.005, 0.0, np.nan])
    got = volatility_share(moves, 0.16, 256)
    assert (got * moves * 16)[:2].tolist() == pytest.approx([0.16, 0.16])
    assert got[2:].tolist() == [0.0, 0.0]


def outcomes(n=120, horizon=3, seed=4):
    """Sides and returns of two symbols, known a horizon late."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=n // 2 + horizon, freq="h", tz="UTC")
    index = pd.MultiIndex.from_product([["A", "B"], times[: n // 2]], names=["symbol", "time"])
    known = np.tile(times[horizon:], 2)
    returns = rng.normal(0, 0.01, n).round(3)
    side = pd.Series(rng.integers(-1, 2, n).astype(float), index)
    return side, pd.DataFrame({"label": returns, "known_at": pd.DatetimeIndex(known)}, index)


def test_payoff_is_that_of_a_loop_over_what_is_known():
    side, table = outcomes()
    expected = []
    for time in side.index.get_level_values("time"):
        earned = (side * table["label"])[table["known_at"] <= time]
        won, lost = earned[earned > 0], -earned[earned < 0]
        enough = min(len(won), len(lost)) >= 5
        expected.append(won.mean() / lost.mean() if enough else 1.0)
    got = payoff_ratio(side, table, least=5)
    assert got.tolist() == pytest.approx(expected)
    assert got.nunique() > 30


@pytest.mark.parametrize("mostly", [1, -1])
def test_four_bets_lost_or_won_are_too_few_for_a_payoff_of_five(mostly):
    _, table = outcomes()
    side = mostly * np.sign(table["label"])
    side.iloc[::30] *= -1
    assert (side.iloc[::30] != 0).sum() == 4
    assert (payoff_ratio(side, table, least=5) == 1.0).all()
    assert (payoff_ratio(side, table, least=3) != 1.0).any()


def test_later_outcomes_never_change_a_payoff():
    side, table = outcomes()
    base, times = payoff_ratio(side, table, least=5), side.index.get_level_values("time")
    for at in times[[20, 30, 45]]:
        late = (table["known_at"] > at).to_numpy()
        poison = table.assign(label=np.where(late, 50.0, table["label"]))
        cut = table.assign(label=table["label"].mask(late), known_at=table["known_at"].mask(late))
        for other in (poison, cut, table[~late]):
            got = payoff_ratio(side, other, least=5)
            pd.testing.assert_series_equal(got[times <= at], base[times <= at], check_exact=True)
        # the check can fail: one known too early does move it
        early = poison.assign(known_at=table["known_at"] - pd.Timedelta("2h"))
        assert (payoff_ratio(side, early, least=5)[times <= at] != base[times <= at]).any()


def test_refuses_an_outcome_known_at_its_own_bar():
    side, table = outcomes(horizon=3)
    table["known_at"] -= pd.Timedelta("3h")
    with pytest.raises(LeakError, match=r"outcome at \('A', .* known at its own bar or before"):
        payoff_ratio(side, table)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: bet_size(np.array([0.5, 1.2])), DataError, "from 0 to 1, was 1.2"),
        (lambda: bet_size(np.array([0.5]), 1), ParamsError, "at least 2 classes, had 1"),
        (lambda: kelly_odds(np.array([-0.1]), np.array([0.2])), DataError, "was -0.1"),
        (lambda: kelly_odds(np.array([0.5]), np.array([0.5]), 0.0), DataError, "above 0"),
        (lambda: Sizing("martingale"), ParamsError, "fixed, volatility, .*, was 'martingale'"),
        (lambda: Sizing(annual_volatility=0.0), ParamsError, "annual_volatility .* was 0.0"),
        (lambda: Sizing(fraction=1.5), ParamsError, "fraction must be above 0, at most 1, was 1.5"),
        (lambda: Sizing(step=-0.1), ParamsError, "step must be from 0 to 1, was -0.1"),
    ],
)
def test_refuses_what_is_no_bet(make, error, says):
    with pytest.raises(error, match=says):
        make()
