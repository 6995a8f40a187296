"""gaps.py: bars missing from a calendar are bridged or start every state anew."""

import numpy as np
import pandas as pd
import pytest

from signalkit import collection
from signalkit.causality import probe_bars
from signalkit.features import CATALOG, Clock, build, gap_table

OF_BARS = [name for name, feature in CATALOG.items() if not feature.reads_news]


def without(bars, first, count):
    """The bars without some of them."""
    return bars.drop(bars.index[first : first + count])


def test_without_an_interval_rows_follow_on_each_other():
    bars = without(probe_bars(300), 150, 40)
    moved = bars.set_axis(probe_bars(300).index[: len(bars)], axis=0)
    names = [n for n in OF_BARS if CATALOG[n].family != "calendar"]
    np.testing.assert_array_equal(build(bars, names), build(moved, names))


@pytest.mark.parametrize("missing", [1, 10])
def test_a_short_gap_is_bridged(missing):
    bars = without(probe_bars(300), 150, missing)
    got = build(bars, interval="1h", max_gap=10)
    pd.testing.assert_frame_equal(got, build(bars), check_exact=True)


@pytest.mark.parametrize("missing", [11, 60])
def test_after_a_long_gap_everything_starts_anew(missing):
    bars = without(probe_bars(400), 150, missing)
    got = build(bars, OF_BARS, interval="1h", max_gap=10)
    before, after = bars.iloc[:150], bars.iloc[150:]
    pd.testing.assert_frame_equal(got.iloc[:150], build(before, OF_BARS), check_exact=True)
    pd.testing.assert_frame_equal(got.iloc[150:], build(after, OF_BARS), check_exact=True)


def test_a_long_gap_costs_the_stated_warm_up_and_no_more():
    bars = without(probe_bars(400), 150, 20)
    got = build(bars, OF_BARS, interval="1h", max_gap=3).iloc[150:]
    assert got.isna().sum().to_dict() == {name: CATALOG[name].warmup for name in OF_BARS}


def test_a_weekend_is_no_gap_on_an_exchange():
    bars = collection.load("sample", ["SP500"], "1d").loc["SP500"]
    got = build(bars, ["return_1"], interval="1d", calendar="XNYS", max_gap=0)
    assert got["return_1"].isna().sum() == 1
    assert Clock("1d", "24/7", 0).missing(bars.index.asi8).sum() > 1000


def test_a_session_that_is_missing_is_a_gap_on_an_exchange():
    bars = without(collection.load("sample", ["SP500"], "1d").loc["SP500"], 100, 2)
    clock = Clock("1d", "XNYS", 1)
    table = gap_table(bars.index, clock)
    assert table.to_dict("list") == {"missing": [2], "bridged": [False]}
    assert table.index[0] == bars.index[100]
    assert clock.runs(bars.index.asi8)[:2] == [(0, 100, True), (100, len(bars), True)]


def test_each_symbol_has_gaps_of_its_own():
    one, other = without(probe_bars(200), 90, 30), probe_bars(200, seed=3)
    both = pd.concat({"A": one, "B": other}, names=["symbol", "time"])
    got = build(both, OF_BARS, interval="1h")
    alone = build(one, OF_BARS, interval="1h")
    pd.testing.assert_frame_equal(got.loc["A"], alone, check_exact=True, check_freq=False)
    whole = build(other, OF_BARS)
    pd.testing.assert_frame_equal(got.loc["B"], whole, check_exact=True, check_freq=False)


def test_news_of_a_long_gap_belong_to_the_first_bar_after_it():
    bars = without(probe_bars(300), 150, 60)
    known = bars.index[149] + pd.to_timedelta([1, 30, 59], "h")
    news = pd.DataFrame({"symbols": [()] * 3, "sentiment": 0.5}, known)
    got = build(bars, ["news_mood_1", "news_count_24"], news, interval="1h")
    assert got["news_mood_1"].iloc[148:153].tolist() == [0.0, 0.0, 1.5, 0.0, 0.0]
    assert got["news_count_24"].iloc[150:].isna().sum() == CATALOG["news_count_24"].warmup


def test_functions_of_whole_bars_are_called_anew_after_a_long_gap():
    bars = without(probe_bars(300), 150, 30)
    name = "talib_EMA_timeperiod_20"
    got = build(bars, [name], interval="1h", max_gap=3)[name]
    pd.testing.assert_series_equal(got.iloc[150:], build(bars.iloc[150:], [name])[name])
    assert got.iloc[150:].isna().sum() == CATALOG[name].warmup
