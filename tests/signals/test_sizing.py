"""sizing.py: positions worked by hand, a plain loop, and what the options do."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.errors import DataError, ParamsError
from signalkit.signals import target_weights


def predictions(numbers=False, **scores):
    """Predictions of each symbol whose p_buy - p_sell (or predicted number) is given."""
    parts = {}
    for symbol, values in scores.items():
        score = np.array(values, dtype=float)
        times = pd.date_range("2024-01-01", periods=len(score), freq="h", tz="UTC", name="time")
        p_buy = np.full(len(score), np.nan) if numbers else (1 + score) / 2
        columns = {"p_buy": p_buy, "p_sell": 1 - p_buy, "prediction": score}
        parts[symbol] = pd.DataFrame(columns, index=times)
    return pd.concat(parts, names=["symbol", "time"])


def weights(table, horizon, **options):
    return target_weights(table, horizon, **options)["weight"].tolist()


def test_each_bar_opens_a_slice_that_is_held_for_the_horizon():
    table = predictions(A=[0.5, -0.2, -0.4, 0.8, 0.1])
    # the mean of the last two signs; the first bar has one slice of two
    assert weights(table, 2) == [0.5, 0.0, -1.0, 0.0, 1.0]
    assert weights(table, 1) == [1.0, -1.0, -1.0, 1.0, 1.0]


def test_symbols_share_the_capital_equally_and_keep_to_themselves():
    table = predictions(A=[1, 1, 1], B=[-1, 1, 1])
    assert weights(table, 2) == [0.25, 0.5, 0.5, -0.25, 0.0, 0.5]


def test_a_symbol_with_a_shorter_history_has_its_own_share():
    table = predictions(A=[1, 1, 1, 1], B=[-1])
    assert weights(table, 4) == [0.125, 0.25, 0.375, 0.5, -0.125]


def test_long_only_sells_nothing_short():
    table = predictions(A=[0.5, -0.2, -0.4, 0.8])
    assert weights(table, 2, direction="long_only") == [0.5, 0.5, 0.0, 0.5]


def test_leverage_is_the_gross_weight_when_all_agree():
    got = target_weights(predictions(A=[1, 1, 1], B=[-1, -1, -1]), 2, leverage=3.0)
    gross = got["weight"].abs().groupby(level="time").sum()
    assert gross.tolist() == [1.5, 3.0, 3.0]


def test_a_score_below_the_threshold_asks_for_nothing():
    table = predictions(A=[0.1, 0.3, -0.1, -0.3])
    assert weights(table, 1, threshold=0.2) == [0.0, 1.0, 0.0, -1.0]


def test_the_threshold_is_the_smallest_score_that_asks_for_a_position():
    # 0.75 - 0.25 is exactly 0.5
    assert weights(predictions(A=[0.5, -0.5, 0.25]), 1, threshold=0.5) == [1.0, -1.0, 0.0]


def test_no_lean_asks_for_no_position():
    assert weights(predictions(A=[0.0, 0.0]), 1) == [0.0, 0.0]


def test_predicted_numbers_take_the_place_of_shares():
    table = predictions(numbers=True, A=[0.02, -0.001, -0.02])
    assert weights(table, 1, threshold=0.01) == [1.0, 0.0, -1.0]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    scores=st.lists(st.floats(-1, 1), min_size=1, max_size=15),
    others=st.lists(st.floats(-1, 1), min_size=1, max_size=15),
    horizon=st.integers(1, 6),
    threshold=st.sampled_from([0.0, 0.15, 0.4]),
    long_only=st.booleans(),
)
def test_weights_equal_a_plain_loop(scores, others, horizon, threshold, long_only):
    table = predictions(A=scores, B=others)
    expected = []
    for values in ((table["p_buy"] - table["p_sell"])[s].tolist() for s in ("A", "B")):
        sides = [0 if abs(v) <= threshold else 1 if v > 0 else -1 for v in values]
        sides = [max(side, 0) for side in sides] if long_only else sides
        for i in range(len(sides)):
            expected.append(sum(sides[max(0, i - horizon + 1) : i + 1]) / horizon / 2)
    direction = "long_only" if long_only else "long_short"
    got = weights(table, horizon, threshold=threshold, direction=direction)
    assert got == pytest.approx(expected)


def test_later_predictions_never_change_a_position():
    rng = np.random.default_rng(6)
    table = predictions(A=rng.uniform(-1, 1, 30), B=rng.uniform(-1, 1, 30))
    base, times = target_weights(table, 5), table.index.get_level_values("time")
    for after in times[[0, 7, 28]]:
        other = table.copy()
        other[times > after] = 1 - table[times > after]
        got = target_weights(other, 5)
        pd.testing.assert_frame_equal(got[times <= after], base[times <= after], check_exact=True)


def test_the_index_is_that_of_the_predictions():
    table = predictions(A=[1, 1], B=[1, 1, 1])
    got = target_weights(table, 2)
    assert got.index.equals(table.index)
    assert got.index.names == ["symbol", "time"]
    assert list(got.columns) == ["weight"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"horizon": 0}, "at least 1 bar, was 0"),
        ({"horizon": 1, "direction": "short"}, "long_short or long_only, was 'short'"),
    ],
)
def test_refuses_options_it_does_not_know(options, says):
    with pytest.raises(ParamsError, match=says):
        target_weights(predictions(A=[1.0]), **options)


def test_refuses_a_prediction_that_is_not_there():
    table = predictions(numbers=True, A=[0.1, np.nan])
    with pytest.raises(DataError, match=r"the prediction at \('A', .*01:00:00.* is NaN"):
        target_weights(table, 1)
