"""regimes.py: ranks by a plain loop, and no year called calm because of a later one."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from signalkit import causality, collection
from signalkit.errors import ParamsError
from signalkit.signals.regimes import REGIMES, UNKNOWN, volatility_regime
from signalkit.volatility import realised

CODES = {UNKNOWN: -1.0} | {name: float(code) for code, name in enumerate(REGIMES)}


def by_loop(close, span, least, cuts):
    """The definition: rank every value among those up to it."""
    wildness, found = realised(close, span), []
    for t in range(len(close)):
        so_far = wildness[: t + 1]
        so_far = so_far[~np.isnan(so_far)]
        rank = rankdata(so_far)[-1] / len(so_far) if len(so_far) >= least else None
        named = (
            "calm" if rank and rank <= cuts[0] else "wild" if rank and rank > cuts[1] else "normal"
        )
        found.append(named if rank else UNKNOWN)
    return found


@pytest.mark.parametrize("cuts", [(1 / 3, 2 / 3), (0.1, 0.9)])
def test_regimes_are_those_of_a_loop_over_the_definition(cuts):
    table = causality.probe_bars(500)
    got = volatility_regime(table, span=10, least=30, cuts=cuts)
    assert got.tolist() == by_loop(table["close"].to_numpy(), 10, 30, cuts)
    assert set(got) == {UNKNOWN, *REGIMES}
    assert got.name == "regime"


def test_the_first_bars_are_unknown():
    got = volatility_regime(causality.probe_bars(400))
    assert (got.iloc[: 60 + 250 - 1] == UNKNOWN).all()
    assert (got.iloc[60 + 250 - 1 :] != UNKNOWN).all()


def test_regime_never_reads_the_future_to_the_last_bit():
    def coded(seen):
        return volatility_regime(seen, span=10, least=20).map(CODES)

    causality.check(coded).require("volatility_regime")

    def ranked_in_hindsight(seen):
        return pd.Series(realised(seen["close"].to_numpy(), 10), seen.index).rank(pct=True)

    assert not causality.check(ranked_in_hindsight).passed


def test_symbols_have_their_own_standards():
    quiet, wild = causality.probe_bars(400), causality.probe_bars(400, seed=3)
    panel = pd.concat({"A": quiet, "B": wild}, names=["symbol", "time"])
    got = volatility_regime(panel, span=10, least=30)
    for symbol, alone in (("A", quiet), ("B", wild)):
        expected = volatility_regime(alone, span=10, least=30)
        pd.testing.assert_series_equal(got.loc[symbol], expected, check_freq=False)


def test_a_price_that_stands_still_is_normal():
    table = causality.probe_bars(100)
    table[["open", "high", "low", "close"]] = 100.1
    got = volatility_regime(table, span=10, least=20)
    assert set(got.iloc[40:]) == {"normal"}


def test_the_autumn_of_2008_was_wild_and_2017_calm():
    got = volatility_regime(collection.load("sample", ["SP500"], "1d")).loc["SP500"]
    assert set(got.loc["2008-10":"2008-12"]) == {"wild"}
    assert set(got.loc["2017-06":"2017-12"]) == {"calm"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"least": 2}, "at least 3 values to compare with, was 2"),
        ({"least": 10.0}, "was 10.0"),
        ({"cuts": (0.5, 0.5)}, "0 < first < second < 1"),
        ({"cuts": (0.0, 0.5)}, "0 < first < second < 1"),
        ({"span": 1}, "at least 2 bars, was 1"),
    ],
)
def test_refuses_windows_and_cuts_that_make_no_regime(options, says):
    with pytest.raises(ParamsError, match=says):
        volatility_regime(causality.probe_bars(50), **options)
