"""sizing.py: positions worked by hand, plain loops, caps in any input, and no future."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from signalkit import causality
from signalkit.errors import DataError, ParamsError
from signalkit.signals.bets import METHODS, Sizing, bet_size, kelly_odds
from signalkit.signals.sizing import target_weights, trailing_volatility
from signalkit.volatility import realised


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


def signals(confidence=None, **scores):
    """Fused signals of each symbol: scores, and confidence in their side."""
    parts = {}
    for symbol, values in scores.items():
        score = np.array(values, dtype=float)
        times = pd.date_range("2024-01-01", periods=len(score), freq="h", tz="UTC", name="time")
        sure = (1 + np.abs(score)) / 2 if confidence is None else confidence
        parts[symbol] = pd.DataFrame({"score": score, "confidence": sure}, index=times)
    return pd.concat(parts, names=["symbol", "time"])


def shares(**rows):
    """Predictions of each symbol with the shares of three classes."""
    parts = {}
    for symbol, values in rows.items():
        times = pd.date_range("2024-01-01", periods=len(values), freq="h", tz="UTC", name="time")
        table = pd.DataFrame(values, columns=["p_sell", "p_hold", "p_buy"], index=times)
        parts[symbol] = table.assign(prediction=0.0, confidence=table.max(axis=1))
    return pd.concat(parts, names=["symbol", "time"])


def test_a_probability_is_sized_by_the_book_and_bets_are_averaged():
    table = shares(A=[[0.2, 0.2, 0.6], [0.5, 0.4, 0.1], [0.3, 0.38, 0.32], [0.1, 0.1, 0.8]])
    sizes = [2 * norm.cdf((p - 1 / 3) / np.sqrt(p * (1 - p))) - 1 for p in (0.6, 0.5, 0.8)]
    # the third asks to buy with less than chance, which is worth nothing
    each = [sizes[0], -sizes[1], 0.0, sizes[2]]
    assert weights(table, 1, sizing=Sizing("probability")) == pytest.approx(each)
    both = [each[0] / 2, *[(a + b) / 2 for a, b in pairwise(each)]]
    assert weights(table, 2, sizing=Sizing("probability")) == pytest.approx(both)


def test_with_every_slice_open_the_mean_is_that_of_snippet_10_2():
    rng = np.random.default_rng(8)
    horizon, score = 4, rng.uniform(0.05, 0.95, 30) * rng.choice([-1, 1], 30)
    table = signals(A=score)
    size = np.sign(score) * np.maximum(bet_size((1 + np.abs(score)) / 2, 3), 0)
    # snippet 10.2: the mean of the bets with t0 <= loc < t1
    active = [size[max(0, t - horizon + 1) : t + 1].mean() for t in range(30)]
    got = weights(table, horizon, sizing=Sizing("probability"))
    assert got[horizon - 1 :] == pytest.approx(active[horizon - 1 :])


def test_steps_are_shares_of_the_most_and_never_above_it():
    table = signals(A=[0.3, 0.6, 0.9, -0.9])
    smooth = weights(table, 1, sizing=Sizing("probability"), leverage=2.0)
    stepped = weights(table, 1, sizing=Sizing("probability", step=0.25), leverage=2.0)
    assert stepped == [round(weight / 0.5) * 0.5 for weight in smooth]
    assert weights(table, 1, sizing=Sizing(step=0.7)) == [0.7, 0.7, 0.7, -0.7]


def test_kelly_stakes_the_edge_of_the_shares():
    table = shares(A=[[0.2, 0.2, 0.6], [0.5, 0.4, 0.1]], B=[[0.4, 0.2, 0.4]] * 2)
    # (0.6 - 0.2) / 0.8 and (0.5 - 0.1) / 0.6, a half of each, of half the capital
    got = weights(table, 1, sizing=Sizing("kelly", fraction=0.5))
    assert got == pytest.approx([0.125, -1 / 6, 0, 0])
    paid = weights(table, 1, sizing=Sizing("kelly", fraction=0.5), payoff=2.0)
    assert paid == pytest.approx([(1.2 - 0.2) / 1.6 / 4, -(1.0 - 0.1) / 1.2 / 4, 0, 0])
    by_row = pd.Series([2.0, 1.0, 1.0, 1.0], table.index)
    mixed = weights(table, 1, sizing=Sizing("kelly", fraction=0.5), payoff=by_row)
    assert mixed == pytest.approx([paid[0], got[1], 0, 0])


def test_kelly_of_signals_takes_the_other_side_from_confidence_less_score():
    table = signals(confidence=[0.5, 0.6], A=[0.2, -0.5])
    expected = kelly_odds(np.array([0.5, 0.6]), np.array([0.3, 0.1])) * [1, -1] * 0.25
    assert weights(table, 1, sizing=Sizing("kelly")) == pytest.approx(expected.tolist())


def test_kelly_of_a_predicted_return_is_mean_over_variance_of_the_horizon():
    table = predictions(numbers=True, A=[0.002, -0.001, 0.1, 0.002])
    moves = pd.Series([0.02, 0.02, 0.02, np.nan], table.index)
    got = target_weights(table, 4, sizing=Sizing("kelly"), volatility=moves, leverage=2.0)
    # 0.25 x mu / (4 x 0.0004), a slice of four each; the third is capped; the last not known
    each = np.array([0.3125, -0.15625, 2.0, 0.0]) / 4
    assert got["weight"].tolist() == pytest.approx(np.cumsum(each).tolist())


def test_volatility_target_is_met_in_what_is_not_capped():
    table = signals(A=[1, 1, -1, 1, 1], B=[1, 1, 1, 1, 1])
    moves = pd.Series([0.01, 0.02, 0.01, 0.001, 0.0, *[np.nan] * 5], table.index)
    rule = Sizing("volatility", annual_volatility=0.16)
    got = weights(table, 1, sizing=rule, volatility=moves, periods_per_year=256, cap=0.6)
    assert got == pytest.approx([0.5, 0.25, -0.5, 0.6, 0.0, *[0.0] * 5])


@pytest.mark.parametrize("method", ["fixed", "volatility"])
def test_confidence_scales_what_is_not_made_of_it(method):
    table = signals(confidence=[0.4, 0.9], A=[0.2, -0.5])
    moves = pd.Series(0.02, table.index)
    known = {"volatility": moves, "periods_per_year": 256}
    plain = weights(table, 1, sizing=Sizing(method), **known)
    scaled = weights(table, 1, sizing=Sizing(method, by_confidence=True), **known)
    assert scaled == pytest.approx([plain[0] * 0.4, plain[1] * 0.9])


def test_a_share_is_lowered_as_the_confidence_of_an_ensemble_is():
    table = shares(A=[[0.2, 0.2, 0.6], [0.6, 0.2, 0.2]])
    table["confidence"] *= [1.0, 0.75]
    got = weights(table, 1, sizing=Sizing(by_confidence=True))
    assert got == pytest.approx([0.6, -0.45])
    unsure = weights(table, 1, sizing=Sizing("probability"))
    assert unsure == pytest.approx([bet_size(0.6, 3), -bet_size(0.45, 3)])


def test_a_trade_has_two_outcomes():
    table = shares(A=[[0.0, 0.3, 0.7], [0.0, 0.6, 0.4]])
    got = weights(table, 1, says="short", sizing=Sizing("probability"))
    assert got == pytest.approx([-bet_size(0.7, 2), 0.0])
    assert weights(table, 1, says="long", sizing=Sizing("kelly")) == pytest.approx([0.1, 0.0])


def test_signals_without_a_voice_ask_for_nothing():
    table = signals(confidence=[np.nan, 0.0, 0.6], A=[0.0, 0.0, 0.2])
    for method in ("fixed", "kelly", "probability"):
        got = weights(table, 1, sizing=Sizing(method))
        assert got[:2] == [0.0, 0.0]
        assert got[2] > 0


def test_a_threshold_may_be_another_at_each_bar():
    table = signals(A=[0.3, 0.3, -0.3, 0.3])
    bar = pd.Series([0.2, 0.4, 0.3, np.nan], table.index)
    assert weights(table, 1, threshold=bar) == [1.0, 0.0, -1.0, 0.0]
    # in any order, with rows that nothing is asked of
    more = pd.concat([bar.iloc[::-1], bar.rename(index={"A": "C"})])
    assert weights(table, 1, threshold=more) == [1.0, 0.0, -1.0, 0.0]


def test_bars_without_a_prediction_open_an_empty_slice():
    table = predictions(A=[1, 1, 1, 1], B=[1, 1, 1, 1])
    some = table.drop([table.index[0], table.index[2], table.index[4]])
    got = target_weights(some, 2, bars=table.index)
    assert got.index.tolist() == [*table.index[1:4], *table.index[5:]]
    assert got["weight"].tolist() == [0.25, 0.25, 0.25, 0.25, 0.5, 0.5]


def test_symbols_that_join_later_have_their_share_kept():
    table = predictions(A=[1, 1])
    assert weights(table, 1, symbols=4) == [0.25, 0.25]
    panel = predictions(A=[1, 1], B=[1, 1]).index
    assert weights(table, 1, bars=panel) == [0.5, 0.5]


def test_the_order_of_rows_makes_no_difference():
    rng = np.random.default_rng(2)
    table = predictions(A=rng.uniform(-1, 1, 20), B=rng.uniform(-1, 1, 20))
    mixed = table.sample(frac=1, random_state=3)
    expected = target_weights(table, 3).loc[mixed.index]
    pd.testing.assert_frame_equal(target_weights(mixed, 3), expected, check_exact=True)


def test_weights_in_force_where_a_symbol_has_no_row_count_in_the_sum():
    table = signals(A=[1, 1, 1], B=[1, 1, 1], C=[1, 1, 1]).drop([("B", "2024-01-01 01:00")])
    moves = pd.Series(0.01, table.index)
    rule = Sizing("volatility", annual_volatility=0.48)
    known = {"volatility": moves, "periods_per_year": 256, "sizing": rule}
    got = target_weights(table, 1, leverage=2.0, cap=1.5, **known)["weight"].unstack("symbol")
    # each asks for 3 of a third: 1, so 2/3 of it where all three do
    assert got.iloc[0].tolist() == pytest.approx([2 / 3] * 3)
    assert got.iloc[1, [0, 2]].tolist() == pytest.approx([2 / 3] * 2)
    assert (got.ffill().abs().sum(axis=1) <= 2.0 + 1e-12).all()


def test_slices_that_cancel_out_leave_nothing():
    table = signals(A=[0.1, 0.2, -0.3, 0.7, 0.9, -0.7, -0.9, 0.0, 0.0, 0.0])
    moves = pd.Series(1 / np.array([1, 2, 3, 7, 9, 7, 9, 1, 1, 1]), table.index)
    rule = Sizing("volatility", annual_volatility=0.1)
    got = weights(table, 3, sizing=rule, volatility=moves, periods_per_year=1)
    assert got[2] == 0.0  # 0.1 + 0.2 - 0.3 is 5.6e-17
    assert got[9] == 0.0


def any_signals(rng):
    """Signals and volatilities of three symbols with rows missing, the extremes among them."""
    n = 3 * int(rng.integers(1, 15))
    score = rng.uniform(-1, 1, n) * rng.choice([0, 1e-9, 1, 1, 1], n)
    score = np.where(rng.random(n) < 0.2, np.sign(score), score)
    table = signals(**dict(zip("ABC", np.split(score, 3), strict=True)))
    table["confidence"] = np.where(rng.random(n) < 0.2, rng.integers(0, 2, n), rng.random(n))
    moves = rng.choice([0.0, np.nan, 1e-300, 1e-9, 0.01, 0.02, 1.0, 1e300, np.inf], n)
    kept = rng.random(n) < rng.choice([0.3, 0.8, 1.0])
    kept[rng.integers(n)] = True
    return table[kept], pd.Series(moves, table.index)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    method=st.sampled_from(METHODS),
    horizon=st.integers(1, 5),
    leverage=st.floats(0.1, 5),
    cap=st.floats(0.05, 5),
    payoff=st.floats(1e-3, 1e3),
    step=st.sampled_from([0.0, 0.3]),
    direction=st.sampled_from(["long_short", "long_only"]),
)
def test_no_weight_is_ever_above_the_caps(seed, method, horizon, leverage, cap, **options):
    rng = np.random.default_rng(seed)
    table, moves = any_signals(rng)
    rule = Sizing(method, step=options.pop("step"), fraction=1.0, annual_volatility=0.3)
    known = {"volatility": moves, "periods_per_year": 256, "threshold": rng.choice([0.0, 0.3])}
    got = target_weights(
        table, horizon, leverage=leverage, cap=cap, sizing=rule, **known, **options
    )["weight"]
    assert got.notna().all()
    assert got.abs().max() <= cap
    in_force = got.unstack("symbol").sort_index().ffill().abs().sum(axis=1)
    assert in_force.max() <= leverage * (1 + 1e-12)
    if options["direction"] == "long_only":
        assert got.min() >= 0


@pytest.mark.parametrize("method", METHODS)
def test_size_never_reads_the_future_to_the_last_bit(method):
    market = causality.probe_bars(200)

    def sized(bars, shift=0):
        moves = trailing_volatility(bars, 10).rename("volatility")
        score = np.tanh(50 * bars["close"].pct_change(5)).fillna(0.0).shift(shift).fillna(0.0)
        table = pd.DataFrame({"score": score, "confidence": (1 + score.abs()) / 2})
        panel = pd.concat({"A": table}, names=["symbol", "time"])
        moves = pd.concat({"A": moves}, names=["symbol", "time"])
        found = target_weights(
            panel,
            4,
            sizing=Sizing(method, by_confidence=True, step=0.01),
            volatility=moves,
            periods_per_year=8760,
            threshold=panel["score"].abs().groupby(level="symbol").cummax() / 4,
            leverage=2.0,
        )
        return found["weight"].loc["A"]

    assert sized(market).abs().gt(0).mean() > 0.2
    causality.check(sized, market, [20, 66, 67, 120, 198]).require(method)
    assert not causality.check(lambda bars: sized(bars, -1), market, [66, 120]).passed


def test_one_symbol_does_not_see_the_later_rows_of_another():
    rng = np.random.default_rng(6)
    table = signals(A=rng.uniform(-1, 1, 30), B=rng.uniform(-1, 1, 30), C=rng.uniform(-1, 1, 30))
    moves = pd.Series(rng.uniform(0.001, 0.02, 90), table.index)
    how = {"sizing": Sizing("volatility", annual_volatility=0.5), "periods_per_year": 256}
    base = target_weights(table, 5, volatility=moves, **how)
    times = table.index.get_level_values("time")
    assert base["weight"].abs().groupby("time").sum().max() == pytest.approx(1.0)
    for after in times[[0, 7, 28]]:
        late = times > after
        poison = table.assign(score=np.where(late, -table["score"], table["score"]))
        wild = moves.where(~late, moves / 100)
        got = target_weights(poison, 5, volatility=wild, **how)
        pd.testing.assert_frame_equal(got[~late], base[~late], check_exact=True)
        got = target_weights(table[~late], 5, volatility=moves[~late], **how)
        pd.testing.assert_frame_equal(got, base[~late], check_exact=True)


def test_trailing_volatility_is_that_of_each_symbol():
    one, other = causality.probe_bars(80), causality.probe_bars(60, seed=3)
    got = trailing_volatility(pd.concat({"A": one, "B": other}, names=["symbol", "time"]), 20)
    expected = [*realised(one["close"].to_numpy(), 20), *realised(other["close"].to_numpy(), 20)]
    np.testing.assert_array_equal(got.to_numpy(), expected)


@pytest.mark.parametrize(
    ("table", "options", "error", "says"),
    [
        (signals(A=[1.2]), {}, DataError, r"the score at \('A', .* is 1.2; it lies from -1 to 1"),
        (signals(A=[np.nan]), {}, DataError, "the score at .* is nan"),
        (signals(confidence=1.5, A=[0.1]), {}, DataError, "confidence at .* is 1.5; .* 0 to 1"),
        (signals(A=[1.0]), {"sizing": Sizing("volatility")}, ParamsError, "needs the volatility"),
        (
            signals(A=[1.0]),
            {"sizing": Sizing("volatility"), "volatility": pd.Series(0.1, signals(A=[1.0]).index)},
            ParamsError,
            "needs periods_per_year",
        ),
        (
            predictions(numbers=True, A=[0.1]),
            {"sizing": Sizing("kelly")},
            ParamsError,
            "kelly needs the volatility",
        ),
        (
            predictions(numbers=True, A=[0.1]),
            {"sizing": Sizing("probability")},
            ParamsError,
            "probability needs probabilities, and numbers are predicted",
        ),
        (signals(A=[1.0]), {"leverage": 0.0}, ParamsError, "must be above 0, were 0.0 and 0.0"),
        (signals(A=[1.0]), {"cap": np.inf}, ParamsError, "must be above 0, were 1.0 and inf"),
        (signals(A=[1.0], B=[1.0]), {"symbols": 1}, ParamsError, "1 symbols .* there are 2"),
        (
            signals(A=[1.0, 1.0]),
            {"threshold": pd.Series([0.1], signals(A=[1.0]).index)},
            DataError,
            r"no threshold at \('A', .*01:00",
        ),
        (
            signals(A=[1.0, 1.0]),
            {"bars": signals(A=[1.0]).index},
            DataError,
            r"prediction at \('A', .*01:00.* has no bar",
        ),
        (pd.concat([signals(A=[1.0])] * 2), {}, DataError, "two rows at"),
    ],
)
def test_refuses_what_cannot_be_sized(table, options, error, says):
    with pytest.raises(error, match=says):
        target_weights(table, 1, **options)
