"""costs.py: worked by hand, and what must hold at any price and rate."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.costs import fee, fill_price, slippage_rate, slipped

PRICES = st.floats(1e-6, 1e6)
RATES = st.floats(0, 500)


@pytest.mark.parametrize(
    ("price", "side", "slippage_bps", "expected"),
    [
        (100.0, 1.0, 10.0, 100.1),
        (100.0, -1.0, 10.0, 99.9),
        (250.0, 0.003, 4.0, 250.1),
        (250.0, -0.003, 4.0, 249.9),
        (0.5, 1.0, 0.0, 0.5),
        (0.5, -1.0, 0.0, 0.5),
    ],
)
def test_a_buy_fills_above_and_a_sell_below(price, side, slippage_bps, expected):
    assert fill_price(price, side, slippage_bps) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("notional", "fee_bps", "expected"),
    [(1000.0, 5.0, 0.5), (-1000.0, 5.0, 0.5), (1000.0, 0.0, 0.0), (0.0, 5.0, 0.0)],
)
def test_a_fee_is_paid_on_either_side(notional, fee_bps, expected):
    assert fee(notional, fee_bps) == pytest.approx(expected, rel=1e-12)


def test_a_round_trip_at_one_price_costs_both_sides():
    bought, sold = fill_price(100.0, 1.0, 10.0), fill_price(100.0, -1.0, 10.0)
    spent = bought + fee(bought, 5.0)
    got = sold - fee(sold, 5.0)
    # 100.1 x 1.0005 - 99.9 x 0.9995 = 0.2 slippage + 0.1 fees
    assert spent - got == pytest.approx(0.3, rel=1e-9)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(price=PRICES, size=st.floats(1e-6, 1e3), slippage_bps=RATES, fee_bps=RATES)
def test_costs_never_pay(price, size, slippage_bps, fee_bps):
    assert fill_price(price, size, slippage_bps) >= price
    assert fill_price(price, -size, slippage_bps) <= price
    assert fee(size * price, fee_bps) == fee(-size * price, fee_bps) >= 0


@pytest.mark.parametrize(
    ("rates", "volatility", "share", "expected"),
    [
        # bps alone reads neither volatility nor volume
        ((10.0, 0.0, 0.0), float("nan"), float("nan"), 0.001),
        ((10.0, 0.2, 0.0), 0.02, float("nan"), 0.005),
        # a quarter of the mean volume moves the price by half of what the whole would
        ((0.0, 0.0, 1.0), 0.02, 1.0, 0.02),
        ((0.0, 0.0, 1.0), 0.02, 0.25, 0.01),
        ((10.0, 0.2, 0.5), 0.02, 0.04, 0.001 + 0.004 + 0.002),
    ],
)
def test_slippage_is_bps_and_volatility_and_the_root_of_the_share(
    rates, volatility, share, expected
):
    assert slippage_rate(*rates, volatility, share) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(price=PRICES, rate=st.floats(0, 3))
def test_a_slipped_price_is_on_its_side_and_never_below_nothing(price, rate):
    assert slipped(price, 1.0, rate) >= price >= slipped(price, -1.0, rate) >= 0
    assert slipped(price, -1.0, 1.0 + rate) == 0


@settings(max_examples=50, deadline=None, derandomize=True)
@given(price=PRICES, size=st.floats(1e-6, 1e3), slippage_bps=RATES)
def test_labels_and_engine_pay_the_same_price(price, size, slippage_bps):
    # labels ask for a price in bps, the engine for a rate that may hold more
    for side in (size, -size):
        rate = slippage_rate(slippage_bps, 0.0, 0.0, 0.01, 0.5)
        assert slipped(price, side, rate) == fill_price(price, side, slippage_bps)


def test_the_compiled_functions_do_what_their_source_says():
    assert fill_price(123.4, -1.0, 7.0) == fill_price.py_func(123.4, -1.0, 7.0)
    assert fee(-321.0, 7.0) == fee.py_func(-321.0, 7.0)
    asked = 3.0, 0.1, 0.4, 0.013, 0.07
    assert slippage_rate(*asked) == slippage_rate.py_func(*asked)
    assert slipped(123.4, -1.0, 0.007) == slipped.py_func(123.4, -1.0, 0.007)
