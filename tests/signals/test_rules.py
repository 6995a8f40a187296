"""rules.py: averages by hand and by pandas, no future, and shares that claim no more."""

import numpy as np
import pandas as pd
import pytest

from signalkit import causality
from signalkit.errors import DataError, ParamsError
from signalkit.signals.rules import stand_in, trend
from signalkit.signals.sizing import target_weights


def bars(*closes, symbol=None):
    times = pd.date_range("2024-01-01", periods=len(closes), freq="h", tz="UTC", name="time")
    table = pd.DataFrame({"close": np.array(closes, dtype=float)}, index=times)
    return table if symbol is None else pd.concat({symbol: table}, names=["symbol", "time"])


def test_direction_on_prices_worked_by_hand():
    # means of 1 and 3: nothing yet twice, 12 > 11, 5 < 28/3, 10 > 9, 9 > 8, 8 < 9
    got = trend(bars(10, 11, 12, 5, 10, 9, 8), fast=1, slow=3)
    assert got.tolist() == [0, 0, 1, -1, 1, 1, -1]
    assert got.name == "direction"


def test_direction_is_that_of_two_means_of_pandas():
    table = causality.probe_bars(600)
    close = table["close"]
    expected = np.sign(close.rolling(20).mean() - close.rolling(50).mean()).fillna(0.0)
    got = trend(table)
    assert got.tolist() == expected.tolist()
    assert set(got) == {-1.0, 0.0, 1.0}


def test_inside_the_band_there_is_no_direction():
    table = bars(100, 100, 103, 100, 100, 97)
    # 103 is 1.98 % above 101, 97 is 2.02 % below 99
    assert trend(table, fast=1, slow=3, band=0.0199).tolist() == [0, 0, 0, 0, 0, -1]
    assert trend(table, fast=1, slow=3).tolist() == [0, 0, 1, -1, -1, -1]


def test_a_price_that_stands_still_has_no_direction():
    assert (trend(bars(*[100.1] * 200)) == 0).all()


def test_symbols_keep_to_themselves():
    one, two = causality.probe_bars(200), causality.probe_bars(120, seed=3)
    got = trend(pd.concat({"A": one, "B": two}, names=["symbol", "time"]))
    assert got.index.names == ["symbol", "time"]
    for symbol, alone in (("A", one), ("B", two)):
        pd.testing.assert_series_equal(got.loc[symbol], trend(alone), check_freq=False)


def test_direction_never_reads_the_future():
    causality.check(lambda seen: trend(seen, fast=5, slow=12)).require("trend")
    leak = causality.check(lambda seen: trend(seen, fast=5, slow=12).shift(-1))
    assert not leak.passed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fast": 50, "slow": 50}, "needs bars 1 <= fast < slow, had fast 50, slow 50"),
        ({"fast": 0}, "fast 0"),
        ({"fast": 2.0}, "fast 2.0"),
        ({"band": -0.1}, "at least 0, was -0.1"),
    ],
)
def test_refuses_windows_and_bands_that_are_none(options, says):
    with pytest.raises(ParamsError, match=says):
        trend(bars(1, 2, 3), **options)


SIDES = pd.concat([bars(*range(1, 4), symbol="A")["close"] - 2, bars(5, symbol="B")["close"]])


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("direction", [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]),
        ("long", [[0, 2 / 3, 1 / 3], [0, 2 / 3, 1 / 3], [0, 1 / 3, 2 / 3]]),
        ("short", [[0, 1 / 3, 2 / 3], [0, 2 / 3, 1 / 3], [0, 2 / 3, 1 / 3]]),
    ],
)
def test_a_direction_stands_in_with_shares_by_convention(says, expected):
    rows = SIDES.index[:3]
    got = stand_in(SIDES, rows, says=says)
    np.testing.assert_allclose(got[["p_sell", "p_hold", "p_buy"]], expected, rtol=1e-15)
    assert got["prediction"].tolist() == [np.argmax(row) - 1.0 for row in expected]
    assert got["confidence"].tolist() == pytest.approx([max(row) for row in expected])
    assert got.index.equals(rows)


def test_a_number_is_the_direction_times_a_size():
    got = stand_in(SIDES, SIDES.index[[2, 0]], size=0.02)
    assert got["prediction"].tolist() == [0.02, -0.02]
    assert got[["p_sell", "p_hold", "p_buy", "confidence"]].isna().all(axis=None)


@pytest.mark.parametrize("size", [None, 0.01])
def test_positions_follow_what_stands_in(size):
    found = stand_in(SIDES, SIDES.index[:3], size=size)
    assert target_weights(found, 1)["weight"].tolist() == [-1.0, 0.0, 1.0]


def test_nothing_stands_in_nowhere():
    assert stand_in(SIDES, SIDES.index[:0]).shape == (0, 5)


@pytest.mark.parametrize(
    ("rows", "options", "error", "says"),
    [
        (slice(0, 1), {"says": "nothing"}, ParamsError, "long or short, was 'nothing'"),
        (slice(0, 1), {"size": 0.0}, ParamsError, "must be above 0, was 0.0"),
        (slice(3, 4), {}, DataError, "no direction at .*'B'"),
    ],
)
def test_refuses_to_stand_in_where_a_direction_says_nothing(rows, options, error, says):
    with pytest.raises(error, match=says):
        stand_in(SIDES.iloc[:3], SIDES.index[rows], **options)
