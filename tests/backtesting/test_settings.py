"""settings.py, and what simulate refuses: every message has the thing, the value, the way out."""

import math

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting import Settings, simulate
from signalkit.backtesting.settings import FILLS, PATHS, PRICES
from signalkit.causality import probe_bars
from signalkit.errors import DataError, ParamsError

BARS = probe_bars(6)
TIMES = BARS.index
FIRST = f"{TIMES[0]:%Y-%m-%d %H:%M}Z"


def wish(**columns):
    """One row of weights at the first bar."""
    return pd.DataFrame({"weight": [0.5], **columns}, index=TIMES[:1])


REFUSED = {
    "unknown fill": ({"fill": "open"}, "fill is one of next_open, next_close, close, was 'open'"),
    "unknown path": ({"path": "worst"}, "path is one of pessimistic, optimistic, was 'worst'"),
    "unknown prices": ({"prices": "best"}, "prices is one of stated, worse, better, was 'best'"),
    "negative fee": ({"fee_bps": -1}, "fee_bps must not be negative, was -1"),
    "negative maker fee": ({"maker_bps": -0.5}, "maker_bps must not be negative, was -0.5"),
    "negative slippage": ({"slippage_bps": -0.5}, "slippage_bps must not be negative, was -0.5"),
    "negative impact": ({"impact": -0.1}, "impact must not be negative, was -0.1"),
    "negative borrow": ({"borrow_bps": -3}, "borrow_bps must not be negative, was -3"),
    "a fee that is no number": ({"fee_bps": math.nan}, "fee_bps must be a finite number, was nan"),
    "a fee of text": ({"fee_bps": "5"}, "fee_bps must be a finite number, was '5'"),
    "no fee at all": ({"fee_bps": None}, "fee_bps must be a finite number, was None"),
    "a truth for a number": ({"lot": True}, "lot must be a finite number, was True"),
    "no capital": ({"capital": 0}, "capital must be above 0, was 0$"),
    "no leverage": ({"max_leverage": 0.0}, "max_leverage must be above 0, was 0.0$"),
    "a stop of nothing": ({"stop_loss": 0}, "stop_loss must be above 0, was 0; leave it out"),
    "a stop of everything": ({"stop_loss": 1}, "stop_loss is a fraction below 1, was 1"),
    "a trail in percent": ({"trailing_stop": 5}, "trailing_stop is a fraction below 1, was 5"),
    "a brake in percent": ({"brake": 20.0}, "brake is a fraction below 1, was 20.0"),
    "maintenance of all": ({"maintenance": 1.0}, "maintenance is a fraction below 1, was 1.0"),
    "more than the volume": ({"volume_cap": 1.5}, "volume_cap is a share .*, was 1.5; give at m"),
    "half a position": ({"max_positions": 0.5}, "max_positions is a whole number of at least 1"),
    "no position": ({"max_positions": 0}, "max_positions is a whole number of at least 1, was 0"),
    "bars before now": ({"brake_bars": -1}, "brake_bars is a whole number of at least 0, was -1"),
    "a name nobody knows": ({"stoploss": 0.1}, "no setting 'stoploss'; did you mean 'stop_loss'"),
    "a name like none": ({"xyzzy": 1}, "no setting 'xyzzy'; it has fill, fee_bps"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_rules_that_make_no_sense(case):
    options, says = REFUSED[case]
    with pytest.raises(ParamsError, match=f"backtesting.*{says}"):
        simulate(BARS, wish(), **options)


BAD = {
    "a weight without a bar": (
        {"weight": pd.Series(0.5, TIMES[:1] - pd.Timedelta(1, "min"))},
        "a weight at .* has no bar to be decided on",
    ),
    "a weight of another zone": (
        {"weight": pd.Series(0.5, TIMES[:1].tz_convert("Europe/Paris"))},
        "a weight is indexed by datetime64.*Paris.*; give bar ends in UTC",
    ),
    "a weight by number": ({"weight": pd.Series([0.5])}, "a weight is indexed by int64; give bar"),
    "no column weight": (
        {"weight": wish().rename(columns={"weight": "w"})},
        r"weights need the column weight; they have \['w'\]",
    ),
    "two weights": (
        {"weight": pd.Series([0.5, 0.2], TIMES[[0, 0]])},
        f"there are two weights at {FIRST}; keep one",
    ),
    "an infinite weight": (
        {"weight": wish(weight=[-math.inf])},
        f"the weight at {FIRST} is -inf; give 0 for no position",
    ),
    "too much weight": (
        {"weight": wish(weight=[-1.5])},
        f"weights at {FIRST} sum to 1.5 times equity; backtesting.max_leverage allows 1",
    ),
    "a stop of 0": (
        {"weight": wish(stop=[0.0])},
        f"the stop at {FIRST} is 0; give a price above 0, NaN for none",
    ),
    "an infinite limit": (
        {"weight": wish(limit_price=[math.inf])},
        f"the limit_price at {FIRST} is inf; give a price above 0",
    ),
    "a negative limit": (
        {"weight": wish(limit_price=[-5.0])},
        f"the limit_price at {FIRST} is -5; give a price above 0",
    ),
    "a long's stop above its limit": (
        {"weight": wish(limit_price=[90.0], stop=[90.5])},
        f"the stop at {FIRST} is 90.5, at or beyond its limit_price of 90; give a long's stop bel",
    ),
    "a short's stop below its limit": (
        {"weight": wish(weight=[-0.5], limit_price=[90.0], stop=[89.0])},
        f"the stop at {FIRST} is 89, at or beyond its limit_price of 90; .* a short's above",
    ),
    "funding without a bar": (
        {"weight": wish(), "funding": pd.Series(0.001, TIMES[:1] + pd.Timedelta(1, "min"))},
        "a funding rate at .* has no bar to fall due on",
    ),
    "funding that is no number": (
        {"weight": wish(), "funding": pd.Series(math.nan, TIMES[:1])},
        f"the funding rate at {FIRST} is nan; leave it out",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses_weights_and_rates_with_their_place(case):
    given, says = BAD[case]
    with pytest.raises(DataError, match=says):
        simulate(BARS, **given)


def test_refuses_a_bar_with_a_price_of_0_in_a_frame_and_in_a_panel():
    broken = BARS.copy()
    broken.loc[TIMES[2], ["open", "low"]] = 0.0
    place = f"row 2, bar end {TIMES[2]:%Y-%m-%d %H:%M}Z"
    with pytest.raises(DataError, match=f"bars: prices must be above 0; {place}"):
        simulate(broken, wish())
    panel = pd.concat({"A": BARS, "B": broken}, names=["symbol", "time"])
    weight = pd.concat({"A": wish()}, names=["symbol", "time"])
    with pytest.raises(DataError, match=f"B: prices must be above 0; {place}"):
        simulate(panel, weight)


def test_refuses_a_symbol_that_the_panel_does_not_have():
    panel = pd.concat({"A": BARS}, names=["symbol", "time"])
    weight = pd.concat({"C": wish()}, names=["symbol", "time"])
    with pytest.raises(DataError, match=f"a weight at C {FIRST} has no bar"):
        simulate(panel, weight)
    with pytest.raises(DataError, match=f"a weight at {FIRST} has no bar"):
        simulate(panel, wish())


def test_a_limit_or_stop_that_is_not_a_number_is_none():
    plain = simulate(BARS, wish())
    beside = simulate(BARS, wish(limit_price=[np.nan], stop=[np.nan]))
    pd.testing.assert_frame_equal(plain.fills, beside.fills, check_exact=True)


@pytest.mark.parametrize(
    ("options", "notes"),
    [
        ({}, []),
        ({"fill": "close"}, ["the very price they were decided on"]),
        ({"path": "optimistic"}, ["profits come before stops"]),
        ({"prices": "better"}, ["the better of open and close"]),
        ({"fill": "close", "prices": "better"}, ["decided on", "better of"]),
    ],
)
def test_what_is_optimistic_is_said(options, notes):
    found = Settings(**options).optimistic
    assert len(found) == len(notes)
    assert all(note in said for note, said in zip(notes, found, strict=True))


def test_every_choice_and_the_ends_of_ranges_are_taken():
    for fill in FILLS:
        for path in PATHS:
            for prices in PRICES:
                assert Settings(fill=fill, path=path, prices=prices).fill == fill
    edge = Settings(volume_cap=1, max_positions=1, take_profit=5.0, drift=0.0, maintenance=0.0)
    assert edge.take_profit == 5.0
