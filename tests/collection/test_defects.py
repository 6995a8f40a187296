"""collection/defects.py: found where it was planted, and nowhere in a clean market."""

from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.bars import COLUMNS
from signalkit.collection import defects
from signalkit.collection.defects import claimed_interval, stretches, swapped_volume
from signalkit.errors import DataError

FIRST = pd.Timestamp("2024-01-05", tz="UTC")
LOOKS = (defects.interpolated, defects.forward_filled, defects.copied, defects.spikes)
AT = 500


def market(count=2000, *, price=100.0, tick=0.01, step=0.01, lots=1e-5, freq="h", seed=1):
    """A random walk in ticks, with volumes in lots; opens of the bars are the index."""
    rng = np.random.default_rng(seed)
    close = np.rint(price * np.exp(np.cumsum(rng.normal(0, step, count))) / tick).clip(1)
    reach = np.abs(rng.normal(0, step / 2, (2, count))) * close
    open_ = np.r_[close[0], close[:-1]]
    high = np.rint(np.maximum(open_, close) + reach[0])
    low = np.maximum(np.rint(np.minimum(open_, close) - reach[1]), 1)
    volume = np.rint(rng.lognormal(3, 1, count) / lots) * lots
    table = np.stack([open_ * tick, high * tick, low * tick, close * tick, volume], axis=1)
    times = pd.date_range(FIRST, periods=count, freq=freq)
    return pd.DataFrame(table.round(9), times, list(COLUMNS))


def found(look, bars):
    """Where a look finds its defect: row of the first bar and length of each stretch."""
    defect = look(bars, bars.index)
    if defect is None:
        return []
    assert defect.name in defects.NAMES
    return [(bars.index.get_loc(place.first), place.bars) for place in defect.places]


def mended(bars):
    """High and low that hold the other prices, as a file's must."""
    prices = bars[list(COLUMNS[:4])]
    return bars.assign(high=prices.max(axis=1), low=prices.min(axis=1))


def with_gap(bars, count):
    """The market with some bars gone."""
    out = bars.copy()
    out.iloc[AT : AT + count] = np.nan
    return out


# price, tick, relative step of a bar, lot; a minute of a coin at two cents moves by a few ticks
CLEAN = {
    "hours in cents": {"count": 20_000},
    "wild days": {"count": 5_000, "price": 1e5, "step": 0.05, "freq": "D"},
    "eight decimals": {"count": 20_000, "price": 0.041, "tick": 1e-8, "lots": 1e-8},
    "coarse minutes": {
        "count": 100_000,
        "price": 0.0005,
        "tick": 1e-5,
        "step": 0.001,
        "lots": 1.0,
        "freq": "min",
    },
}


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.__name__)
@pytest.mark.parametrize("kind", CLEAN)
def test_nothing_is_found_in_a_clean_market(look, kind):
    assert found(look, market(**CLEAN[kind])) == []


# few digits in a price and in a volume: equal bars come by chance
FEW_DIGITS = {
    "minutes of a coin at two cents": {
        "count": 100_000,
        "price": 0.02,
        "tick": 1e-5,
        "step": 0.0008,
        "lots": 1.0,
        "freq": "min",
    },
    "index in points": {"count": 20_000, "price": 4000.0, "tick": 1.0, "step": 0.002, "lots": 1.0},
}


@pytest.mark.parametrize("kind", FEW_DIGITS)
@pytest.mark.parametrize("look", [defects.interpolated, defects.spikes])
def test_few_digits_make_no_line_and_no_spike(look, kind):
    assert found(look, market(**FEW_DIGITS[kind])) == []


@pytest.mark.parametrize(
    ("look", "kind"),
    [
        (defects.forward_filled, "minutes of a coin at two cents"),
        (defects.copied, "minutes of a coin at two cents"),
        (defects.copied, "index in points"),
    ],
)
def test_bars_that_are_equal_by_chance_are_no_copies(look, kind):
    assert found(look, market(**FEW_DIGITS[kind])) == []


def test_a_price_of_a_few_ticks_has_no_spikes():
    bars = market(price=3.0, tick=1.0, step=1e-6)
    bars.iloc[AT, [1, 3]] = 4.0
    assert found(defects.spikes, bars) == []


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.__name__)
@pytest.mark.parametrize("quiet", [1, 30])
def test_nothing_is_found_in_flat_bars_without_volume(look, quiet):
    bars = market()
    bars.iloc[AT : AT + quiet, :4] = bars["close"].iloc[AT - 1]
    bars.iloc[AT : AT + quiet, 4] = 0.0
    assert found(look, bars) == []


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.__name__)
def test_nothing_is_found_in_one_or_two_bars(look):
    for count in (1, 2):
        assert found(look, market(count)) == []


@pytest.mark.parametrize("count", [1, 2, 3, 30])
@pytest.mark.parametrize("digits", [None, 2])
def test_bars_on_the_line_between_their_neighbours_are_found(count, digits):
    filled = with_gap(market(step=0.02), count).interpolate()
    if digits is not None:
        filled = filled.round(dict.fromkeys(COLUMNS[:4], digits) | {"volume": 5})
    assert found(defects.interpolated, filled) == [(AT, count)]


@pytest.mark.parametrize("count", [3, 30])
def test_interpolated_prices_without_volume_are_found(count):
    filled = with_gap(market(step=0.02), count).interpolate()
    filled.iloc[AT : AT + count, 4] = 0.0
    assert found(defects.interpolated, filled) == [(AT, count)]


@pytest.mark.parametrize("count", [1, 2])
def test_few_interpolated_prices_without_volume_are_found(count):
    filled = with_gap(market(step=0.02), count).interpolate()
    filled.iloc[AT : AT + count, 4] = 0.0
    assert found(defects.interpolated, filled) == [(AT, count)]


def test_a_straight_line_across_a_real_gap_is_no_interpolation():
    # the bar lies between its neighbours' prices, but they are hours away
    filled = with_gap(market(step=0.02), 1).interpolate()
    kept = filled.drop(filled.index[[AT - 2, AT - 1, AT + 1]])
    assert found(defects.interpolated, kept) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(20, 350))
def test_an_interpolated_stretch_is_found_wherever_it_is(seed, count, at):
    bars = market(400, step=0.03, tick=1e-4, seed=seed)
    bars.iloc[at : at + count] = np.nan
    places = found(defects.interpolated, bars.interpolate())
    inside = np.concatenate([np.arange(first, first + bars) for first, bars in places])
    assert set(inside) <= set(range(at, at + count))
    # a stretch whose ends happen to be level holds no price of the future
    assert len(inside) in {0, min(count, 400 - at)} or count > 20


@pytest.mark.parametrize("count", [1, 5])
def test_bars_that_repeat_the_bar_before_are_found(count):
    filled = with_gap(market(), count).ffill()
    assert found(defects.forward_filled, filled) == [(AT, count)]


def test_repeated_prices_without_volume_are_found():
    filled = with_gap(market(), 5).fillna({"volume": 0.0}).ffill()
    assert found(defects.forward_filled, filled) == [(AT, 5)]


@pytest.mark.parametrize("apart", [2, 5, 300])
def test_bars_that_stand_at_two_times_are_found(apart):
    bars = market()
    bars.iloc[AT + apart : AT + apart + 2] = bars.iloc[AT : AT + 2].to_numpy()
    want = [(AT, 4)] if apart == 2 else [(AT, 2), (AT + apart, 2)]
    assert found(defects.copied, bars) == want


def close_off(bars):
    bars.iloc[AT, 3] *= 1.3


def open_off(bars):
    bars.iloc[AT, 0] *= 0.6


def times_ten(bars):
    bars.iloc[AT, :4] *= 10


def wick_up(bars):
    bars.iloc[AT, 1] *= 100


def wick_down(bars):
    bars.iloc[AT, 2] *= 0.001


@pytest.mark.parametrize("spike", [close_off, open_off, times_ten, wick_up, wick_down])
@pytest.mark.parametrize("step", [0.001, 0.008])
def test_a_tick_that_jumps_off_and_comes_back_is_found(spike, step):
    bars = market(step=step)
    spike(bars)
    assert found(defects.spikes, mended(bars)) == [(AT, 1)]


def crash(bars):
    bars.iloc[AT:, :4] *= 0.5
    bars.iloc[AT, 0] *= 2


def split(bars):
    bars.iloc[AT:, :4] /= 7


def flash(bars):
    bars.iloc[AT, 2] *= 0.85


def reversal(bars):
    bars.iloc[AT, 3] *= 1.2
    bars.iloc[AT + 1, 0] *= 1.2


def gap_over_night(bars):
    bars.iloc[AT : AT + 24, :4] *= 1.4


@pytest.mark.parametrize("move", [crash, split, flash, reversal, gap_over_night])
@pytest.mark.parametrize("step", [0.001, 0.008, 0.03])
def test_a_move_that_a_market_makes_is_no_spike(move, step):
    bars = market(step=step)
    move(bars)
    assert found(defects.spikes, mended(bars)) == []


def test_in_a_wild_market_a_move_must_be_wilder_to_be_a_spike():
    bars = market(step=0.03)
    close_off(bars)
    assert found(defects.spikes, mended(bars)) == []
    times_ten(bars)
    assert found(defects.spikes, mended(bars)) == [(AT, 1)]


@pytest.mark.parametrize("days", [3, 7, 70])
def test_a_market_that_opens_elsewhere_after_a_pause_has_no_spike(days):
    bars = market(step=0.002)
    bars.iloc[AT : AT + 2, :4] *= 1.6
    later = bars.index[AT:] + pd.Timedelta(days, "D")
    late = bars.index[AT + 2 :] + pd.Timedelta(2 * days, "D")
    bars.index = bars.index[:AT].append([later[:2], late])
    assert found(defects.spikes, bars) == []


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("UNITTEST_BTC-8m.json", "8m"),
        ("BTCUSDT_1h.csv.gz", "1h"),
        ("gemini_BTCUSD_1hr.csv", "1h"),
        ("BTC_USD-Hourly.csv", "1h"),
        ("daily.csv", "1d"),
        ("X_15min.csv", "15m"),
        ("x_15minute.csv", "15m"),
        ("BTCUSDT-1d-2021-01.csv", "1d"),
        ("BTC_1week.csv", "1w"),
        ("BTC 1 h.csv", "1h"),
        ("BTC.1H.csv", "1h"),
        # months, and names that claim nothing or two things
        ("BTC-1M.csv", None),
        ("EURUSD_M15.csv", None),
        ("EURUSD_H1.csv", None),
        ("EURUSD15.csv", None),
        ("BTC1h2.csv", None),
        ("btcusdt1m.csv", None),
        ("everyday.csv", None),
        ("5m_train_1h.csv", None),
        ("q", None),
    ],
)
def test_a_name_claims_an_interval_or_none(name, claim):
    assert claimed_interval(name) == claim


@pytest.mark.parametrize("name", ["last_30d.csv", "btc_90days.csv", "2017-12d.csv"])
def test_how_much_a_file_holds_is_no_interval(name):
    assert claimed_interval(name) is None


def test_blocks_of_swapped_volume_are_told_with_their_places():
    swapped = np.array([False, True, True, False, False, True])
    opens = pd.date_range(FIRST, periods=6, freq="h")
    defect = swapped_volume(swapped, ~swapped, opens)
    assert [place.bars for place in defect.places] == [2, 1]
    assert "in 3 of 6 rows, in 2 blocks" in str(defect)
    assert swapped_volume(swapped, np.zeros(6, dtype=bool), opens) is None
    assert swapped_volume(np.zeros(6, dtype=bool), swapped, opens) is None


@given(st.lists(st.booleans(), max_size=60))
def test_stretches_are_the_runs_of_the_flags(flags):
    opens = pd.date_range(FIRST, periods=len(flags), freq="h")
    again = np.zeros(len(flags), dtype=bool)
    runs = stretches(np.array(flags, dtype=bool), opens)
    for run in runs:
        first = opens.get_loc(run.first)
        assert opens[first + run.bars - 1] == run.last
        again[first : first + run.bars] = True
    assert again.tolist() == flags
    assert all(b.first - a.last > pd.Timedelta(1, "h") for a, b in pairwise(runs))


def test_of_many_places_fifty_are_shown():
    opens = pd.date_range(FIRST, periods=200, freq="h")
    shown = str(defects.Defect("spikes", "told", stretches(np.arange(200) % 2 == 0, opens)))
    assert shown.count("(1 bar)") == 50
    assert shown.endswith(" and 50 more")


@pytest.mark.parametrize("kind", CLEAN)
def test_no_clean_market_has_open_and_close_swapped(kind):
    bars = market(**CLEAN[kind])
    defects.check_open_close(bars, bars.index)


@pytest.mark.parametrize("kind", list(CLEAN)[:3])  # most minutes of the last do not move at all
def test_open_and_close_that_changed_places_are_refused(kind):
    bars = market(**CLEAN[kind])
    swapped = bars.rename(columns={"open": "close", "close": "open"})
    with pytest.raises(DataError, match="open and close are swapped, or the times run backwards"):
        defects.check_open_close(swapped, bars.index)


@pytest.mark.parametrize("count", [1, 2, 30, 500])
def test_a_made_up_line_or_a_short_table_does_not_tell_open_from_close(count):
    bars = market(count)
    bars["open"] = 100.0 + np.arange(count)
    defects.check_open_close(bars.assign(close=bars["open"] - 0.5), bars.index)
    walk = market(30).rename(columns={"open": "close", "close": "open"})
    defects.check_open_close(walk, walk.index)  # of 29 steps


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_a_first_open_that_nobody_reaches_is_a_spike(factor):
    bars = market()
    bars.iloc[0, 0] *= factor
    assert found(defects.spikes, mended(bars)) == [(0, 1)]


def test_a_first_open_that_is_reached_later_is_none():
    bars = market()
    bars.iloc[0, 0] = bars["high"].iloc[1:100].max()
    assert found(defects.spikes, mended(bars)) == []


def test_a_close_on_a_line_that_nobody_traded_at_is_found():
    bars = market()
    bars.iloc[AT, 3] = (bars["close"].iloc[AT - 1] + bars["close"].iloc[AT + 1]) / 2
    assert found(defects.interpolated, mended(bars)) == []
    bars.iloc[AT, 4] = 0.0
    assert found(defects.interpolated, mended(bars)) == [(AT, 1)]


def test_a_monday_made_from_friday_and_tuesday_is_found_in_sessions_alone():
    bars = market(freq="B")
    at = next(k for k in range(AT, AT + 5) if bars.index[k].day_of_week == 0)
    bars.iloc[at] = (bars.iloc[at - 1] + bars.iloc[at + 1]) / 2
    assert found(partial(defects.interpolated, sessions=True), bars) == [(at, 1)]
    assert found(defects.interpolated, bars) == []
