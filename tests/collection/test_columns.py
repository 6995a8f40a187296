"""collection/columns.py: roles by name and by what the numbers can be, never by hope."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.collection.columns import (
    is_clock,
    layout,
    name_columns,
    normal,
    number,
    volume_sides,
)
from signalkit.collection.formats import Raw
from signalkit.errors import DataError

PRICES = ("open", "high", "low", "close")
NAMES = ["time", *PRICES, "volume"]


def walk(count=200, *, price=100.0, step=0.01, digits=2, seed=1):
    """Bars of a seeded random walk in which all four prices differ somewhere."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0, step, count)))
    open_ = np.r_[price, close[:-1]]
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, step / 2, count)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, step / 2, count)))
    bars = pd.DataFrame({"open": open_, "high": high, "low": low, "close": close}).round(digits)
    bars["volume"] = rng.lognormal(3, 1, count).round(8)
    bars.insert(0, "time", 1704067200 + 3600 * np.arange(count))
    return bars


def unnamed(bars, *columns):
    """The columns as a file without a header has them."""
    return Raw(bars[list(columns)].set_axis(range(len(columns)), axis=1), "CSV", named=False)


def roles(bars):
    """Layout of a table with names, after their normalisation."""
    return layout(name_columns(Raw(bars, "CSV")))


@pytest.mark.parametrize(
    ("written", "known"),
    [
        (" Open Time ", "open_time"),
        ("1. open", "open"),
        ("<OPEN>", "open"),
        ("Close*", "close"),
        ("Vol.", "vol"),
        ("Volume_(BTC)", "volume_btc"),
        ("Adj Close**", "adj_close"),
    ],
)
def test_names_lose_their_decoration(written, known):
    assert normal(written) == known


@pytest.mark.parametrize(
    "names",
    [
        ["Open Time", "OPEN ", "High", "Low", "Close", " Volume"],
        ["timestamp", "open", "high", "low", "close", "vol"],
        ["Date", "Open", "High", "Low", "Close", "Volume_Base"],
        ["t", "o", "h", "l", "c", "v"],
        ["timestamp", "1. open", "2. high", "3. low", "4. close", "5. volume"],
        ["<DATE>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>"],
        ["Date", "Open", "High", "Low", "Close/Last", "Volume"],
        ["Date", "Open", "High", "Low", "Last", "Volume BTC"],
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0)])
def test_usual_names_are_known_in_any_order(names, order):
    table = walk().set_axis(names, axis=1).iloc[:, list(order)]
    found = roles(table)
    want = [normal(name) for name in names]
    assert found.times == (want[0],)
    assert [found.prices[role] for role in PRICES] == want[1:5]
    assert (found.volume, found.other_volume) == (want[5], None)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([*NAMES[:5], "amount"], "no column named volume or vol; the file has .*'amount'"),
        (["when", *NAMES[1:]], "no column named time, timestamp or date; the file has .*'when'"),
        (["close_time", *NAMES[1:]], "no column named time, timestamp or date"),
        ([*NAMES[:4], "price", "volume"], "no column named close or c or close_price; the file"),
        (["time", "a", "b", "c1", "d", "volume"], "no bars: the file has no columns open, high"),
        (["time", "title", *PRICES], "no bars: .*it looks like news, which read_news reads"),
        (["time", "price", "x", "y", "z", "volume"], "one price a row is no bar"),
        (["time", *PRICES[:3], "close", "Close", "volume"], r"two columns have one name: \['close"),
        ([*NAMES[:5], "taker_buy_volume"], "no column named volume or vol"),
        ([*NAMES[:5], "cumulative_volume"], "no column named volume or vol"),
    ],
)
def test_a_missing_or_doubled_column_is_named(names, says):
    with pytest.raises(DataError, match=says):
        roles(walk().assign(more=1.0).iloc[:, : len(names)].set_axis(names, axis=1))


@pytest.mark.parametrize("order", [PRICES, ("open", "close", "high", "low")])
@pytest.mark.parametrize(("price", "digits"), [(100.0, 2), (0.000123, 8), (1.0, 4)])
def test_without_a_header_the_order_that_every_row_fits_is_taken(order, price, digits):
    # a coin around 1 has prices as small as many volumes, and steps of one tick
    step = 0.0002 if price == 1 else 0.01
    bars = walk(price=price, digits=digits, step=step)
    found = layout(unnamed(bars, "time", *order, "volume"))
    assert found.prices == {role: 1 + order.index(role) for role in PRICES}
    assert (found.times, found.volume) == ((0,), 5)
    assert f"columns read as time, {', '.join(order)}, volume" in found.notes[0]
    assert (order == PRICES) == (len(found.notes) == 1)


def test_flat_bars_of_a_stable_coin_are_read_in_the_usual_order():
    bars = walk().assign(**dict.fromkeys(PRICES, 1.0))
    assert layout(unnamed(bars, "time", *PRICES, "volume")).prices["high"] == 2


def test_the_order_of_the_coinbase_api_is_known():
    order = ("low", "high", "open", "close")
    found = layout(unnamed(walk(), "time", *order, "volume"))
    assert found.prices == {role: 1 + order.index(role) for role in PRICES}


@pytest.mark.parametrize("fifth", ["vwap", "adjusted"])
def test_a_price_in_the_place_of_the_volume_is_not_taken_for_it(fifth):
    bars = walk().assign(
        vwap=lambda b: b[list(PRICES)].mean(axis=1).round(3), adjusted=lambda b: b["close"] * 0.4
    )
    with pytest.raises(DataError, match="column 5"):
        layout(unnamed(bars, "time", *PRICES, fifth, "volume"))


def test_without_a_header_the_prices_tell_base_from_quote_volume():
    bars = walk().assign(quote=lambda b: b["close"] * b["volume"])
    found = layout(unnamed(bars, "time", *PRICES, "quote", "volume"))
    assert (found.volume, found.other_volume) == (6, 5)


def test_date_and_clock_apart_move_the_prices_by_one_column():
    bars = walk().assign(date="2024.01.05", clock="03:00")
    found = layout(unnamed(bars, "date", "clock", *PRICES, "volume"))
    assert (found.prices["open"], found.volume) == (2, 6)


def test_the_twelve_columns_of_binance_hold_both_volumes():
    bars = walk().assign(quote=lambda b: b["close"] * b["volume"], x=0)
    right = ["time", *PRICES, "volume", "time", "quote", "x", "x", "x", "x"]
    swapped = ["time", *PRICES, "quote", "time", "volume", "x", "x", "x", "x"]
    assert layout(unnamed(bars, *right)).volume == 5
    found = layout(unnamed(bars, *swapped))
    assert (found.volume, found.other_volume) == (7, 5)
    assert "by the prices 7 is the base volume" in found.notes[-1]


def test_a_table_of_few_columns_without_a_header_is_no_bars():
    with pytest.raises(DataError, match="no bars: 4 columns without a header; bars have time, fou"):
        layout(unnamed(walk(), "time", "open", "high", "low"))


@pytest.mark.parametrize("order", [o for o in permutations(PRICES) if o[1] != "high"])
def test_names_of_prices_that_the_rows_contradict_are_refused(order):
    # the columns keep their names and hold the prices of `order`
    bars = walk(step=0.02)
    table = bars.assign(**{name: bars[held] for name, held in zip(PRICES, order, strict=True)})
    with pytest.raises(DataError, match="the price columns do not fit their names in") as told:
        roles(table)
    assert f"{PRICES[order.index('high')]!r} holds the high" in str(told.value)


def test_names_that_a_few_rows_contradict_are_left_to_the_rule_of_the_bar_table():
    bars = walk()
    bars.loc[:20, ["high", "low"]] = bars.loc[:20, ["low", "high"]].to_numpy()
    assert roles(bars).prices["high"] == "high"


@pytest.mark.parametrize(
    ("first", "second", "base"),
    [
        ("Volume BTC", "Volume USDT", "volume_btc"),
        ("volume", "Volume USD", "volume"),
        ("volume_btc", "volume", "volume_btc"),
        ("volume", "quote_asset_volume", "volume"),
        ("volume", "turnover", "volume"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_volumes_the_prices_tell_the_base(first, second, base, turned):
    bars = walk()
    table = bars[NAMES[:5]].assign(
        **{first: bars["volume"], second: bars["volume"] * bars["close"]}
    )
    if turned:
        table[[first, second]] = table[[second, first]].to_numpy()
    found = roles(table)
    assert (found.volume == base) is not turned
    assert found.other_volume is not None


@pytest.mark.parametrize("other", ["volume_change", "volume_ma", "volume_sma_20", "rel_volume"])
@pytest.mark.parametrize("first", [True, False])
def test_what_is_made_of_the_volume_is_not_taken_for_it(other, first):
    bars = walk().assign(**{other: lambda b: b["volume"] / 100})
    names = [*NAMES[:5], *([other, "volume"] if first else ["volume", other])]
    assert roles(bars[names]).volume == "volume"


@pytest.mark.parametrize("name", ["quote_volume", "Volume USDT", "turnover"])
def test_a_quote_volume_alone_is_not_taken_for_the_base(name):
    with pytest.raises(DataError, match="quote"):
        roles(walk().rename(columns={"volume": name}))


@settings(max_examples=50, deadline=None)
@given(st.floats(1.2, 1e6), st.integers(0, 2**32 - 1))
def test_rows_tell_base_from_quote_volume_at_any_price_but_one(price, seed):
    bars = walk(50, price=price, digits=8, seed=seed)
    prices = {role: bars[role].to_numpy() for role in PRICES}
    base = bars["volume"].to_numpy()
    quote = base * (bars["high"] + bars["low"]).to_numpy() / 2
    right, swapped = volume_sides(base, quote, prices)
    assert right.all()
    assert not swapped.any()
    right, swapped = volume_sides(quote, base, prices)
    assert swapped.all()
    assert not right.any()


def test_rows_at_a_price_of_one_or_without_volume_tell_nothing():
    prices = {role: np.array([1.0, 100.0, 100.0]) for role in PRICES}
    right, swapped = volume_sides(np.array([5.0, 0, 7.0]), np.array([5.0, 0, 0.0]), prices)
    assert not (right | swapped).any()


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["00:00", "23:59"], True),
        (["9:30:00", "16:00:00.000"], True),
        (["00:00", "noon"], False),
        ([100.5, 99.0], False),
    ],
)
def test_a_clock_is_told_from_a_price(cells, found):
    assert is_clock(pd.Series(cells)) is found


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["1.5", "n/a!"], r"close in row 1 is no number: 'n/a!' \(1 such rows\)"),
        (["1,004.50", "2"], r"close in row 0 is no number: '1,004\.50'"),
        (["$1.5", "$2"], r"close in row 0 is no number: '\$1\.5' \(2 such rows\)"),
        (["12.5K", "2"], "close in row 0 is no number: '12.5K'"),
        (["1.5", None], r"close in row 1 is .*\(1 such rows\)"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_its_row(cells, says):
    with pytest.raises(DataError, match=says):
        number(pd.DataFrame({"close": cells}), "close")


def test_numbers_written_in_text_or_with_an_exponent_are_numbers():
    table = pd.DataFrame({"close": ["1.5", " 2 ", "3E-05", "4.88e3"]})
    assert number(table, "close").tolist() == [1.5, 2.0, 3e-5, 4880.0]


@pytest.mark.parametrize("other", ["amount", "value"])
@pytest.mark.parametrize("turned", [False, True])
def test_an_amount_beside_a_volume_is_told_by_the_prices(other, turned):
    bars = walk()
    bars[other] = bars["volume"] * bars["close"]
    if turned:
        bars = bars.rename(columns={"volume": other, other: "volume"})
    found = roles(bars)
    base, quote = (other, "volume") if turned else ("volume", other)
    assert (found.volume, found.other_volume) == (base, quote)


def test_a_value_that_is_text_or_unrelated_leaves_the_volume_alone():
    bars = walk()
    for cells in (["good"] * len(bars), np.arange(len(bars)) % 7 + 1e6):
        found = roles(bars.assign(value=cells))
        assert (found.volume, found.other_volume) == ("volume", None)
