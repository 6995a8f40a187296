"""given.py, and what else simulate refuses: no table is read as another than it is."""

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting import simulate, sweep
from signalkit.causality import probe_bars
from signalkit.errors import DataError, ParamsError

BARS = probe_bars(6)
TIMES = BARS.index
FIRST = f"{TIMES[0]:%Y-%m-%d %H:%M}Z"
PANEL = pd.concat({"A": BARS, "B": BARS * 2.0}, names=["symbol", "time"])
NO_TIME = pd.DatetimeIndex([TIMES[0], pd.NaT])


def wish(**columns):
    """One row of weights at the first bar."""
    return pd.DataFrame({"weight": [0.5], **columns}, index=TIMES[:1])


def keyed(symbols, times):
    """An index of a panel."""
    return pd.MultiIndex.from_arrays([symbols, times], names=["symbol", "time"])


TABLES = {
    "a number": (0.5, "weights are a Series or a DataFrame, were a float"),
    "an array": (np.array([0.5]), "weights are a Series or a DataFrame, were a ndarray"),
    "nothing": (None, "weights are a Series or a DataFrame, were a NoneType"),
    "weights of text": (
        pd.Series(["0.5"], TIMES[:1]),
        f"the weight at {FIRST} is '0.5', which is no number",
    ),
    "weights of truths": (pd.Series([True], TIMES[:1]), f"the weight at {FIRST} is True, which is"),
    "complex weights": (pd.Series([1j], TIMES[:1]), f"the weight at {FIRST} is 1j, which is no"),
    "a weight of none": (
        pd.Series([None, 0.5], TIMES[:2], dtype=object),
        f"the weight at {FIRST} is nan; give 0 for no position",
    ),
    "no time": (pd.Series(0.5, NO_TIME), "a weight in row 1 has no time; drop that row"),
    "no weights": (pd.Series(0.5, TIMES[:0]), "there are no weights to simulate"),
    "a column twice": (
        pd.concat([wish(stop=[50.0]), wish()[[]].assign(stop=51.0)], axis=1),
        "weights have the column 'stop' twice; keep one",
    ),
    "a column nobody reads": (wish(limit=[90.0]), "the column 'limit', which nothing reads; they"),
    "a stop of the settings": (wish(stop_loss=[0.1]), "the column 'stop_loss', which nothing rea"),
    "a stop of text": (wish(stop=["50"]), f"the stop at {FIRST} is '50', which is no number"),
    "weights by model": (
        pd.Series(0.5, pd.MultiIndex.from_arrays([["A"], TIMES[:1], ["m"]])),
        r"a weight is indexed by .*; give \(symbol, time\), or time for one",
    ),
    "weights after the last bar": (
        pd.Series(0.5, TIMES[-1:] + pd.Timedelta(1, "D")),
        "no bar ends at 2024-01-02 05:00Z or later, the last one at 2024-01-01 05:00Z; give bars",
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_refuses_weights_that_are_not_what_they_seem(case):
    table, says = TABLES[case]
    with pytest.raises(DataError, match=says):
        simulate(BARS, table)


def test_a_weight_of_a_panel_without_a_time_is_not_taken_for_one_at_the_last():
    weight = pd.Series([0.5, 0.4], keyed(["A", "B"], NO_TIME))
    with pytest.raises(DataError, match="a weight in row 1 has no time"):
        simulate(PANEL, weight)
    with pytest.raises(DataError, match="a funding rate in row 1 has no time"):
        simulate(PANEL, weight[:1], funding=weight)


def test_columns_of_others_may_stand_beside_weights():
    plain, beside = simulate(BARS, wish()), simulate(BARS, wish(confidence=[0.7], model_id=["m"]))
    pd.testing.assert_frame_equal(plain.fills, beside.fills, check_exact=True)


def test_whole_numbers_and_objects_that_are_numbers_are_weights():
    for weight in (pd.Series([1], TIMES[:1]), pd.Series([1.0], TIMES[:1], dtype=object)):
        assert simulate(BARS, weight).positions.iloc[-1, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("rates", [0.001, pd.DataFrame({"rate": 0.001}, TIMES[:1])])
def test_refuses_funding_that_is_no_series(rates):
    with pytest.raises(DataError, match="funding is a Series of rates, was a "):
        simulate(BARS, wish(), funding=rates)


def test_refuses_a_funding_rate_of_text():
    with pytest.raises(DataError, match=f"the funding rate at {FIRST} is '1', which is no number"):
        simulate(BARS, wish(), funding=pd.Series(["1"], TIMES[:1]))


NO_BARS = {
    "nothing": (None, "bars are a DataFrame, were a NoneType"),
    "a series": (BARS["close"], "bars are a DataFrame, were a Series"),
    "an empty frame": (BARS[:0], "there are no bars to simulate"),
    "an empty panel": (PANEL[:0], "there are no bars to simulate"),
    "symbols of two types": (
        pd.concat({1: BARS, "b": BARS}, names=["symbol", "time"]),
        "the panel's symbols are mixed-integer, which have no order; give names of text",
    ),
    "symbols out of order": (PANEL.iloc[[6, 7, 0, 1]], r"must be sorted.*order is \['B', 'A'\]"),
    "symbols in turns": (PANEL.iloc[[0, 6, 1, 7]], r"one block each; the order is \['A', 'B', 'A"),
    "whole numbers": (BARS.astype({"close": "int64"}), "bars: close is int64; bars are float64"),
    "times that go back": (BARS[::-1], "goes back in time at row 1: 2024-01-01 04:00Z follows"),
    "a time twice": (PANEL.iloc[[0, 1, 1, 2]], "A goes back in time at row 2: 2024-01-01 01:00Z"),
    "times of nowhere": (BARS.tz_localize(None), "times in zone None; convert them to UTC"),
}


@pytest.mark.parametrize("case", NO_BARS)
def test_refuses_bars_that_are_not_what_they_seem(case):
    bars, says = NO_BARS[case]
    with pytest.raises(DataError, match=says):
        simulate(bars, wish())


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0])
def test_refuses_a_bar_with_a_value_that_is_none_with_its_place(column, value):
    broken = BARS.copy()
    broken.loc[TIMES[2], column] = value
    with pytest.raises(DataError, match=f"row 2, bar end .* has .*{column} {value:g}"):
        simulate(broken, wish())


def test_counts_of_numpy_are_counts_and_those_beyond_a_bar_number_are_no_limit():
    few = simulate(BARS, wish(), max_positions=np.int64(1), brake_bars=np.int32(2), brake=0.1)
    many = simulate(BARS, wish(), max_positions=10**30, brake_bars=10**30, brake=0.1)
    pd.testing.assert_frame_equal(few.equity, many.equity, check_exact=True)


def test_refuses_a_number_that_no_float_holds():
    with pytest.raises(ParamsError, match="fee_bps must be a finite number, was 1000"):
        simulate(BARS, wish(), fee_bps=10**400)


SCORES = {
    "of nowhere": (BARS, pd.Series(0.5, TIMES.tz_localize(None)), "is indexed by datetime64"),
    "a frame": (BARS, wish(), "a score is a Series, was a DataFrame"),
    "text": (BARS, pd.Series("1", TIMES), f"the score at {FIRST} is '1', which is no number"),
    "of no symbol": (PANEL, pd.Series(0.5, TIMES), f"the score at {FIRST} has no bar to trade on"),
    "no time": (PANEL, pd.Series(0.5, keyed(["A", "B"], NO_TIME)), "the score in row 1 has no tim"),
}


@pytest.mark.parametrize("case", SCORES)
def test_refuses_scores_that_are_not_what_they_seem(case):
    bars, score, says = SCORES[case]
    with pytest.raises(DataError, match=says):
        sweep(bars, score, [0.1], periods_per_year=365)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"thresholds": 0.1}, "thresholds are a list of numbers, were 0.1"),
        ({"thresholds": ["a"]}, r"thresholds are a list of numbers, were \['a'\]"),
        ({"horizon": 1.5}, "horizon must be a whole number of at least 1 bar, was 1.5"),
    ],
)
def test_refuses_a_sweep_of_no_numbers(change, says):
    asked = {"thresholds": [0.1], "periods_per_year": 365} | change
    with pytest.raises(ParamsError, match=says):
        sweep(BARS, pd.Series(0.5, TIMES), **asked)
