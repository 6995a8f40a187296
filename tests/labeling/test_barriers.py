"""barriers.py: touches worked by hand, a loop over real bars, and what must not be read."""

import math
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit import collection
from signalkit.causality import check_labels, poisoned, probe_bars
from signalkit.errors import DataError, ParamsError
from signalkit.labeling import meta_label, triple_barrier
from signalkit.volatility import realised

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
MINUTES = Path(__file__).resolve().parents[3] / "shared/data/crypto_1m"
SPAN = 4


def after(*coming, entry=100.0):
    """Bars that swing by one percent until the last close is `entry`; then (high, low, close).

    The volatility over the last four bars is that of log returns ln 1.01, -ln 1.01, ...
    """
    past = [entry * (1.01 if i % 2 else 1.0) for i in range(SPAN + 1)]
    rows = [(c, c, c, c) for c in past] + [(c, h, low, c) for h, low, c in coming]
    end = pd.date_range("2024-01-01", periods=len(rows), freq="h", tz="UTC", name="time")
    bars = pd.DataFrame(rows, columns=["open", "high", "low", "close"], index=end, dtype=float)
    return bars.assign(volume=1.0)


VOLATILITY = statistics.stdev([math.log(1.01), -math.log(1.01)] * 2)


def first(bars, horizon, **options):
    """Label of the bar before the first coming one, and how many bars it waited."""
    got = triple_barrier(bars, horizon, volatility_span=SPAN, **options)
    row = bars.index[SPAN]
    if row not in got.index:
        return None
    wait = bars.index.get_loc(got.at[row, "known_at"]) - SPAN
    return got.at[row, "label"], wait


# distance of one volatility over four bars from 100: 2.2979
WIDTH = 100 * VOLATILITY * math.sqrt(4)
QUIET = (100.5, 99.5, 100.0)
UP, DOWN, BOTH = (103.0, 100.0, 102.0), (100.0, 97.0, 98.0), (103.0, 97.0, 100.0)


def test_the_width_of_the_barriers_worked_by_hand():
    # deviation of four returns +-ln 1.01 is ln 1.01 x sqrt(4/3), times sqrt(4) bars
    assert pytest.approx(100 * math.log(1.01) * math.sqrt(4 / 3) * 2) == WIDTH


@pytest.mark.parametrize(
    ("coming", "expected"),
    [
        ([UP, QUIET, QUIET, QUIET], (1.0, 1)),
        ([QUIET, QUIET, DOWN, UP], (-1.0, 3)),
        ([QUIET, QUIET, QUIET, QUIET, UP], (0.0, 4)),
        ([QUIET, BOTH, UP, UP], (0.0, 2)),
        ([QUIET, QUIET, QUIET], None),
        ([QUIET, QUIET, UP], (1.0, 3)),
    ],
)
def test_the_first_touch_settles_the_label(coming, expected):
    assert first(after(*coming), 4) == expected


def test_a_barrier_is_met_when_the_price_reaches_it_and_not_before():
    width = realised(after(QUIET)["close"].to_numpy(copy=True), SPAN)[SPAN] * math.sqrt(4)
    upper, lower = 100 * (1 + width), 100 * (1 - width)
    for reached, label in ((upper, 1.0), (np.nextafter(upper, 0), 0.0)):
        assert first(after((reached, 100, 100), QUIET, QUIET, QUIET), 4)[0] == label
    for reached, label in ((lower, -1.0), (np.nextafter(lower, 200), 0.0)):
        assert first(after((100, reached, 100), QUIET, QUIET, QUIET), 4)[0] == label


def test_upper_and_lower_are_multiples_and_infinity_leaves_one_out():
    assert first(after(UP, QUIET, QUIET, DOWN), 4, upper=2.0) == (-1.0, 4)
    assert first(after(DOWN, QUIET, UP, QUIET), 4, lower=2.0) == (1.0, 3)
    assert first(after(DOWN, DOWN, UP, QUIET), 4, lower=math.inf) == (1.0, 3)
    assert first(after(UP, UP, UP, UP), 4, upper=math.inf) == (0.0, 4)


@pytest.mark.parametrize(
    ("side", "coming", "label"),
    [
        (1, [QUIET, UP, QUIET, QUIET], 1.0),
        (1, [QUIET, DOWN, QUIET, QUIET], -1.0),
        (1, [QUIET, BOTH, QUIET, QUIET], -1.0),
        (-1, [QUIET, UP, QUIET, QUIET], -1.0),
        (-1, [QUIET, DOWN, QUIET, QUIET], 1.0),
        (-1, [QUIET, BOTH, QUIET, QUIET], -1.0),
        (-1, [QUIET, QUIET, QUIET, QUIET], 0.0),
    ],
)
def test_with_a_side_the_label_is_profit_or_stop_and_both_is_the_stop(side, coming, label):
    assert first(after(*coming), 4, side=side)[0] == label
    paid = meta_label(after(*coming), side, 4, volatility_span=SPAN)
    assert paid["label"].iloc[0] == float(label == 1.0)


def test_upper_is_the_profit_of_a_sale_too():
    # a fall of 3 % is beyond one width (2.3 %) and inside two
    assert first(after(DOWN, QUIET, QUIET, QUIET), 4, side=-1, upper=1.0, lower=9.0)[0] == 1.0
    assert first(after(DOWN, QUIET, QUIET, QUIET), 4, side=-1, upper=2.0, lower=9.0)[0] == 0.0
    assert first(after(UP, QUIET, QUIET, QUIET), 4, side=-1, upper=9.0, lower=1.0)[0] == -1.0


@pytest.mark.parametrize(
    ("side", "close", "label"), [(None, 101, 1), (None, 99, -1), (None, 100, 0), (-1, 101, -1)]
)
def test_the_sign_of_the_return_may_be_the_label_at_the_last_bar(side, close, label):
    bars = after(QUIET, (102.0, 98.5, close))
    assert first(bars, 2, upper=9.0, lower=9.0, vertical="sign", side=side) == (label, 2)
    assert first(bars, 2, upper=9.0, lower=9.0, side=side) == (0.0, 2)


def test_by_the_close_a_wick_does_not_count():
    spike = (110.0, 90.0, 100.0)
    assert first(after(spike, spike, UP, (103.0, 100.0, 103.0)), 4, touch="close") == (1.0, 4)
    assert first(after(spike, spike, spike, spike), 4, touch="close") == (0.0, 4)


def test_a_gap_beyond_a_barrier_counts_at_the_bar_that_opens_there():
    assert first(after(QUIET, (111.0, 109.0, 110.0), QUIET, QUIET), 4) == (1.0, 2)


def test_a_trade_begins_at_its_entry():
    # from 102, where the next bar opens, 104 is less than the width of 2.3 % away, 99.5 more
    coming = [(102.0, 101.9, 102.0), QUIET, (104.0, 100.0, 100.0), QUIET, QUIET, QUIET]
    assert first(after(*coming), 4) == (1.0, 3)
    assert first(after(*coming), 4, entry="next_open") == (-1.0, 2)
    later = [(100.0, 90.0, 100.0), QUIET, QUIET, QUIET, QUIET]
    # the wick of the bar that ends with the entry is over; four bars follow it
    assert first(after(*later), 4, entry="next_close") == (0.0, 5)
    assert first(after(*later), 4, entry="next_open") == (-1.0, 1)
    assert first(after(*later[:4]), 4, entry="next_close") is None


def test_prices_that_never_move_have_no_barrier_and_no_row():
    still = after(QUIET, QUIET, QUIET)
    still[["open", "high", "low", "close"]] = 100.0
    assert triple_barrier(still, 2, volatility_span=SPAN).empty


def loop(bars, horizon, span, *, upper, lower, entry, touch, side, vertical):
    """The rule, one bar after the other, in plain numbers: {row: (label, settling row)}."""
    names = ["open", "high", "low", "close"]
    open_, high, low, close = (bars[name].tolist() for name in names)
    moves = [math.nan, *np.log(bars["close"]).diff().tolist()[1:]]
    found = {}
    for t in range(span, len(bars) - 1):
        width = statistics.stdev(moves[t - span + 1 : t + 1]) * math.sqrt(horizon)
        toward = 0 if side is None else side[t]
        if width == 0 or (side is not None and toward == 0):
            continue
        price = {"close": close[t], "next_close": close[t + 1], "next_open": open_[t + 1]}[entry]
        up, down = (lower, upper) if toward < 0 else (upper, lower)
        begin = t + 2 if entry == "next_close" else t + 1
        for k in range(begin, min(begin + horizon, len(bars))):
            top, bottom = (high[k], low[k]) if touch == "high_low" else (close[k], close[k])
            above, below = top >= price * (1 + up * width), bottom <= price * (1 - down * width)
            if above and below:
                found[t] = (0.0 if side is None else -1.0, k)
            elif above or below:
                found[t] = ((1.0 if above else -1.0) * (toward or 1), k)
            elif k == begin + horizon - 1:
                sign = np.sign(close[k] - price) * (toward or 1)
                found[t] = (sign if vertical == "sign" else 0.0, k)
            if t in found:
                break
    return found


def assert_equals_the_loop(bars, horizon, span, options):
    got = triple_barrier(bars, horizon, volatility_span=span, **options)
    plain = loop(bars, horizon, span, **options)
    rows = bars.index.get_indexer(got.index)
    settled = bars.index.get_indexer(got["known_at"])
    told = dict(zip(rows.tolist(), zip(got["label"], settled.tolist(), strict=True), strict=True))
    assert told == plain
    return got


OPTIONS = st.fixed_dictionaries(
    {
        "upper": st.sampled_from([0.3, 1.0, 2.5]),
        "lower": st.sampled_from([0.3, 1.0, 2.5]),
        "entry": st.sampled_from(["close", "next_close", "next_open"]),
        "touch": st.sampled_from(["high_low", "close"]),
        "vertical": st.sampled_from(["zero", "sign"]),
    }
)


@EXAMPLES
@given(st.integers(0, 999), st.integers(1, 90), OPTIONS, st.sampled_from([None, "long", "mixed"]))
def test_labels_equal_a_plain_loop(seed, horizon, options, sides):
    bars = probe_bars(150, seed=seed)
    drawn = np.random.default_rng(seed).integers(-1, 2, len(bars)).astype(float)
    side = {None: None, "long": np.ones(len(bars)), "mixed": drawn}[sides]
    assert_equals_the_loop(bars, horizon, 8, options | {"side": side})


@pytest.mark.skipif(not MINUTES.exists(), reason="the shared market data are not beside us")
@pytest.mark.parametrize(("horizon", "width"), [(15, 1.0), (240, 1.5)])
def test_labels_of_ten_thousand_real_minutes_equal_a_plain_loop(horizon, width):
    (file,) = MINUTES.glob("*.parquet")
    bars = collection.read_file(file, interval="1m").iloc[200_000:210_000]
    options = {"entry": "close", "touch": "high_low", "vertical": "zero", "side": None}
    got = assert_equals_the_loop(bars, horizon, 60, options | {"upper": width, "lower": width})
    assert len(got) > 9_600
    assert set(got["label"]) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("entry", ["close", "next_close", "next_open"])
@pytest.mark.parametrize("touch", ["high_low", "close"])
@pytest.mark.parametrize("side", [None, 1, -1])
def test_every_label_is_known_at_its_touch_and_not_before(entry, touch, side):
    def labels(bars):
        return triple_barrier(bars, 5, volatility_span=8, entry=entry, touch=touch, side=side)

    # a trade that begins at a bar's open may end in that bar: there the rest of it is moved
    parts = ["bar", "path"] if entry == "next_open" else ["bar"]
    found = check_labels(labels, probe_bars(60), parts=parts)
    assert found.passed
    assert found.labels > 40


def test_the_tail_holds_the_labels_that_were_touched_early():
    bars = probe_bars(200)
    whole = triple_barrier(bars, 20, volatility_span=10)
    for cut in (60, 101, 150):
        settled = whole["known_at"] <= bars.index[cut]
        short = triple_barrier(bars.iloc[: cut + 1], 20, volatility_span=10)
        pd.testing.assert_frame_equal(short, whole[settled], check_exact=True, check_freq=False)
        other = triple_barrier(poisoned(bars, cut), 20, volatility_span=10)
        kept = other[other["known_at"] <= bars.index[cut]]
        pd.testing.assert_frame_equal(kept, whole[settled], check_exact=True, check_freq=False)
        tail = short[short.index > bars.index[cut - 20]]
        assert 0 < len(tail) < 20
        assert (tail["label"] != 0).all()


def test_sides_are_found_by_their_bars_in_a_panel():
    parts = {"A": probe_bars(50), "B": probe_bars(40, seed=3)}
    panel = pd.concat(parts, names=["symbol", "time"])
    side = pd.Series(1.0, panel.index[::2]).mask(lambda s: s.index.get_level_values(0) == "B", -1)
    got = triple_barrier(panel, 5, volatility_span=8, side=side.sample(frac=1, random_state=1))
    assert got.index.isin(side.index).all()
    for symbol, toward in (("A", 1), ("B", -1)):
        alone = triple_barrier(parts[symbol], 5, volatility_span=8, side=toward)
        kept = alone[alone.index.isin(side.loc[symbol].index)]
        pd.testing.assert_frame_equal(got.loc[symbol], kept, check_exact=True, check_freq=False)


@pytest.mark.parametrize("mine", [0.0, -1.0, "buy"])
def test_a_column_of_the_bars_that_is_called_side_is_no_side(mine):
    bars = probe_bars(60)
    got = triple_barrier(bars.assign(side=mine), 5, volatility_span=8, lower=3.0)
    plain = triple_barrier(bars, 5, volatility_span=8, lower=3.0)
    pd.testing.assert_frame_equal(got, plain, check_exact=True)


def test_a_meta_label_needs_a_side():
    with pytest.raises(ParamsError, match="judges a side"):
        meta_label(probe_bars(60), None, 5, volatility_span=8)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"horizon": 0}, ParamsError, "at least 1 bar, was 0"),
        ({"upper": 0.0}, ParamsError, r"upper must be above 0, was 0\.0; inf leaves it out"),
        ({"lower": math.nan}, ParamsError, "lower must be above 0, was nan"),
        ({"entry": "open"}, ParamsError, "next_open, was 'open'"),
        ({"touch": "wick"}, ParamsError, "high_low, close, was 'wick'"),
        ({"vertical": "nan"}, ParamsError, "zero, sign, was 'nan'"),
        ({"volatility_span": 1}, ParamsError, "at least 2"),
        ({"volatility_span": 11}, DataError, "at least 13, there are 12"),
        ({"volatility_span": 10, "entry": "next_close"}, DataError, "at least 13, there are 12"),
        ({"horizon": 2.5}, ParamsError, "horizon is a whole number of bars, was 2.5"),
        ({"volatility_span": 5.0}, ParamsError, r"window is a whole number of bars, was 5\.0"),
        ({"side": 2}, ParamsError, "at row 0 it was 2"),
        ({"side": "long"}, ParamsError, "1, -1 or 0 for none; was 'long'"),
        ({"side": np.ones(3)}, DataError, r"\(3,\) sides do not fit 12 bars"),
        ({"side": pd.Series([1.0])}, DataError, "indexed by bars"),
    ],
)
def test_refuses_what_it_cannot_label(options, error, says):
    with pytest.raises(error, match=says):
        triple_barrier(probe_bars(12), **({"horizon": 2, "volatility_span": 5} | options))
