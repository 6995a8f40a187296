"""champion.py: the interval by brute force, its coverage however often one looks, its use."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError, ParamsError
from signalkit.monitoring import paired
from signalkit.monitoring.champion import _SHARES, _limits
from signalkit.monitoring.ledger import Ledger

HOUR = pd.Timedelta(1, "h")


def model(right):
    """Predictions of buy at 60 %, right as given, settled an hour later."""
    times = pd.date_range("2024-01-01", periods=len(right), freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A"], times], names=["symbol", "time"])
    shares = dict(zip(("p_sell", "p_hold", "p_buy"), (0.4, 0.0, 0.6), strict=True))
    table = pd.DataFrame(shares, index).assign(known_at=times + HOUR)
    return table.assign(actual=np.where(right, 1.0, -1.0))


def differences(n, lead, seed, overlap=1):
    """One of -1, 0, 1: models differ on two bars in five; a draw lasts `overlap` bars."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice([-1.0, 0.0, 1.0], n // overlap + 1, p=[0.2 - lead / 2, 0.6, 0.2 + lead / 2])
    return np.repeat(drawn, overlap)[:n]


def test_ends_are_those_of_one_bettor_against_each_difference():
    drawn = differences(400, 0.2, 0)
    ends = []
    for sign in (1, -1):
        struck = []
        for asked in np.arange(-50, 51) / 100:
            ledger = Ledger((1 + asked) / 2, shares=_SHARES)
            money = 1.0
            for lead in sign * drawn:
                money = max(money, float(ledger.settle((1 + lead) / 2)))
                if money >= 40:
                    struck.append(asked)
                    break
        ends.append(sign * max(struck, default=-1.0))
    assert _limits(drawn, 1, 0.05)[-1].tolist() == ends
    assert 0 < ends[0] < 0.2 < ends[1]


@pytest.mark.parametrize("overlap", [1, 4])
def test_interval_never_misses_in_more_than_alpha_of_streams(overlap):
    missed = 0
    for seed in range(60):
        found = _limits(differences(200, 0.1, seed, overlap), overlap, 0.1)
        missed += ((found[:, 0] >= 0.1) | (found[:, 1] <= 0.1)).any()
    assert missed <= 6


def test_a_better_challenger_is_found_and_an_equal_one_is_not():
    rng = np.random.default_rng(1)
    easy = rng.random(2000) < 0.5
    champion, equal = (model(easy ^ (rng.random(2000) < 0.1)) for _ in range(2))
    better = model(easy | (rng.random(2000) < 0.3))
    assert paired(champion, better)["low"].iloc[-1] > 0
    last = paired(champion, equal).iloc[-1]
    assert last["low"] < 0 < last["high"]
    assert last["n"] == 2000
    turned = paired(better, champion)
    pd.testing.assert_series_equal(
        turned["high"], -paired(champion, better)["low"], check_names=False
    )


def test_only_common_outcomes_that_are_known_count():
    one, other = model([1, 1, 0, 0]), model([0, 1, 1, 0])
    other.iloc[3, other.columns.get_indexer(["actual"])] = np.nan
    found = paired(one, other)
    assert found["n"].tolist() == [1, 2, 3]
    assert found["lead"].tolist() == [-1.0, -0.5, 0.0]
    assert len(paired(one, other, at=one["known_at"].iloc[1])) == 2


def test_refuses_what_cannot_be_compared():
    one = model([1, 0])
    with pytest.raises(ParamsError, match="alpha must be"):
        paired(one, one, alpha=0.0)
    with pytest.raises(DataError, match="no settled row in common"):
        paired(one, one, at=one.index[0][1])
