"""rulebook.py: directions by hand, the trend again, no future, and rules of one's own."""

import numpy as np
import pandas as pd
import pytest
import talib

from signalkit import causality, collection, features
from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.signals.rulebook import RULES, features_of, register_rule, vote
from signalkit.signals.rules import trend

NAN = np.nan


@pytest.fixture
def rulebook():
    """The rulebook, put back afterwards as it was."""
    before = dict(RULES)
    yield RULES
    RULES.clear()
    RULES.update(before)


def table(symbol=None, **columns):
    length = len(next(iter(columns.values())))
    times = pd.date_range("2024-01-01", periods=length, freq="h", tz="UTC", name="time")
    made = pd.DataFrame(columns, index=times, dtype=float)
    return made if symbol is None else pd.concat({symbol: made}, names=["symbol", "time"])


@pytest.mark.parametrize(
    ("name", "columns", "expected"),
    [
        # the mean of 20 is the lower, the further the close is above it
        (
            "moving_average_cross",
            {"mean_distance_20": [0.01, 0.03, 0.02, NAN], "mean_distance_50": [0.02] * 4},
            [1, -1, 0, 0],
        ),
        ("rsi_reversal", {"rsi_14": [0.0, 0.1, 0.3, 0.7, 0.71, NAN]}, [0, 1, 0, 0, -1, 0]),
        ("macd", {"macd_histogram_12_26_9": [0.001, -0.001, 0.0, NAN]}, [1, -1, 0, 0]),
        (
            "bollinger_breakout",
            {"bollinger_position_20": [1.01, 1, 0, -0.1, NAN]},
            [1, 0, 0, -1, 0],
        ),
        ("momentum", {"return_63": [0.2, -0.2, 0.0, NAN]}, [1, -1, 0, 0]),
    ],
)
def test_directions_on_features_worked_by_hand(name, columns, expected):
    got = vote(table(**columns), [name])
    assert got[name].tolist() == expected
    assert got.columns.tolist() == [name]


def of_talib(close):
    """The rules said with TA-Lib's own indicators."""
    upper, _, lower = talib.BBANDS(close, 20, 2, 2)
    rsi = talib.RSI(close, 14)
    return {
        "moving_average_cross": np.sign(talib.SMA(close, 20) - talib.SMA(close, 50)),
        "rsi_reversal": np.where(rsi < 30, 1, np.where(rsi > 70, -1, 0)),
        "macd": np.sign(talib.MACD(close)[2]),
        "bollinger_breakout": np.where(close > upper, 1, np.where(close < lower, -1, 0)),
        "momentum": np.sign(talib.MOM(close, 63)),
    }


@pytest.mark.parametrize("market", ["sample", "made"])
def test_rules_say_what_the_indicators_of_talib_say(market):
    made = causality.probe_bars(1500)
    one = collection.load("sample", ["SP500"], "1d").droplevel("symbol")
    bars = made if market == "made" else one
    got = vote(features.build(bars, features_of()))
    for name, expected in of_talib(bars["close"].to_numpy()).items():
        assert np.array_equal(got[name], np.nan_to_num(expected)), name
        assert set(got[name]) == {-1, 0, 1}


def test_the_cross_of_averages_is_the_trend_of_the_closes():
    bars = causality.probe_bars(900)
    got = vote(
        features.build(bars, features_of(["moving_average_cross"])), ["moving_average_cross"]
    )
    assert got["moving_average_cross"].tolist() == trend(bars, fast=20, slow=50).tolist()
    assert set(got["moving_average_cross"]) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("name", RULES)  # a new rule is swept the day it enters
def test_a_rule_never_reads_the_future_and_speaks_after_its_warmup(name):
    rule = RULES[name]
    assert rule.proof().passed
    bars = causality.probe_bars(1500)
    said = vote(features.build(bars, list(rule.needs)), [name])[name].to_numpy()
    assert not said[: rule.warmup].any()
    assert set(said) == {-1.0, 0.0, 1.0}


def test_the_sweep_of_rules_would_see_one_that_looks_ahead():
    def ahead(bars):
        said = vote(features.build(bars, features_of(["macd"])), ["macd"])
        return said.shift(-1)

    assert not causality.check(ahead).passed


def test_a_price_that_stands_still_asks_for_nothing():
    bars = causality.probe_bars(200)
    bars[["open", "high", "low", "close"]] = 100.1
    assert not vote(features.build(bars, features_of())).any(axis=None)


def test_a_panel_is_its_symbols_one_by_one():
    one, two = causality.probe_bars(150), causality.probe_bars(90, seed=4)
    panel = pd.concat({"A": one, "B": two}, names=["symbol", "time"])
    got = vote(features.build(panel, features_of()))
    assert got.columns.tolist() == list(RULES)
    for symbol, alone in (("A", one), ("B", two)):
        expected = vote(features.build(alone, features_of()))
        pd.testing.assert_frame_equal(got.loc[symbol], expected, check_freq=False)


def test_no_bars_have_no_votes():
    empty = table(rsi_14=[0.2]).iloc[:0]
    assert vote(empty, ["rsi_reversal"]).shape == (0, 1)


def test_a_rule_of_ones_own_votes_beside_the_others(rulebook):
    rule = register_rule(
        lambda read: np.where(read["rsi_7"] > 0.5, 1.0, -1.0), name="mine", needs=["rsi_7"]
    )
    assert (rule.warmup, rule.needs, rulebook["mine"]) == (7, ("rsi_7",), rule)
    got = vote(table(rsi_7=[NAN, 0.6, 0.4], rsi_14=[0.2, 0.2, 0.9]), ["mine", "rsi_reversal"])
    assert got.to_numpy().T.tolist() == [[0, 1, -1], [1, 1, -1]]


def test_a_rule_that_looks_back_never_looks_into_another_symbol(rulebook):
    def turned(read):
        up = np.sign(read["return_1"])
        return up.where(up != up.shift(1))  # NaN, where it did not turn, is no direction

    register_rule(turned, name="turned", needs=["return_1"])
    panel = pd.concat([table("A", return_1=[1, 1, -1]), table("B", return_1=[-1, -1, 1])])
    assert vote(panel, ["turned"])["turned"].tolist() == [1, 0, -1, -1, 0, 1]


def test_a_rule_may_read_news(rulebook):
    news = next(name for name, feature in features.CATALOG.items() if feature.reads_news)
    rule = register_rule(lambda read: np.sign(read[news]), name="mood", needs=[news])
    assert rule.proof().passed
    assert "mood" in rulebook


def test_the_digest_of_a_rule_follows_what_it_says():
    rules = list(RULES.values())
    assert len({rule.digest() for rule in rules}) == len(rules)
    assert rules[0].digest() == rules[0].digest()


@pytest.mark.parametrize(
    ("function", "options", "error", "says"),
    [
        (lambda r: np.sign(r["return_1"].shift(-1)), {}, LeakError, "rule own reads the future"),
        (lambda r: np.sign(r["return_1"] - r["return_1"].mean()), {}, LeakError, "trailing"),
        (lambda r: 0 * r["return_1"], {}, ParamsError, "says nothing on the seeded bars"),
        (lambda r: r["return_1"], {}, DataError, "rule own gives .*; a direction is -1, 0 or 1"),
        (lambda r: r["return_1"].iloc[1:], {}, DataError, "one direction for each of its rows"),
        (np.sign, {"name": "macd"}, ParamsError, "has a rule 'macd' already"),
        (np.sign, {"needs": ["rsi14"]}, ParamsError, "'rsi14' .* did you mean 'rsi_14'"),
        (np.sign, {"needs": "rsi_14"}, ParamsError, "needs a list of features"),
        (np.sign, {"needs": []}, ParamsError, "needs a list of features"),
    ],
)
def test_refuses_rules_of_ones_own_that_are_none(rulebook, function, options, error, says):
    before = list(rulebook)
    with pytest.raises(error, match=says):
        register_rule(function, **{"name": "own", "needs": ["return_1"]} | options)
    assert list(rulebook) == before


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["macdd"], "signals.fusion.rules: 'macdd' is not in the rulebook; did you mean 'macd'"),
        (["xyz"], "known are moving_average_cross, rsi_reversal"),
        ("macd", "is a list of names"),
        (["macd"], "macd reads macd_histogram_12_26_9, which the table of features lacks"),
    ],
)
def test_refuses_rules_it_does_not_know_or_cannot_feed(names, says):
    with pytest.raises(ParamsError, match=says):
        vote(table(rsi_14=[0.5]), names)
