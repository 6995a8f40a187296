"""money.py: every stage can fail, does something, and each kind of leak is caught.

That no stage fails is shown with all others in test_fitted.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from signalkit import signals
from signalkit.backtesting import account, kernel
from signalkit.backtesting.account import CLOSES, HIGHS, LOWS, OPENS
from signalkit.backtesting.settings import FILLS, PATHS
from signalkit.errors import DataError
from signalkit.proof import money
from signalkit.proof.desk import World, futures, in_world, world
from signalkit.signals import fusion, markov, rulebook, sizing, thresholds

WORLD = world()
STAGES = money.stages()
CLOCK = WORLD.bars.index.get_level_values("time").unique().sort_values()


@cache
def others_of(others, places):
    """The world's other futures, made once."""
    return others(WORLD, places)


def proven(name, step=1, stage=None):
    """Outcome of a stage, by all of its other futures or every so many of them."""
    stage = stage or money.stages()[name]
    return in_world(stage.function, WORLD, others_of(stage.others, stage.places)[::step])


def assert_caught(outcome):
    """The leak is seen, and with it a time, a column and a size."""
    assert not outcome.passed
    assert outcome.difference > 0
    assert outcome.first <= CLOCK[-1]
    assert outcome.column is not None


def next_row(table, *levels):
    """Each row as the next one of its own; the last as it is."""
    groups = table.groupby(level=list(levels))
    return groups.shift(-1).mask(groups.cumcount(ascending=False) == 0, table)


def ahead(seen):
    """A world one bar early: what a desk sees at a bar is of the next."""
    late = next_row(seen.predictions.drop(columns="target"), "symbol", "model_id")
    settled = late["known_at"] - pd.Timedelta(1, "h")
    return World(
        next_row(seen.bars, "symbol"),
        late.assign(target="signal_direction", known_at=settled),
        next_row(seen.weights, "symbol"),
        next_row(seen.funding, "symbol"),
    )


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_sees_the_world_one_bar_early_is_caught(name):
    stage = STAGES[name]
    early = stage._replace(function=lambda seen: stage.function(ahead(seen)))
    assert_caught(proven(name, 1 if name.startswith("rule") else 6, early))


@pytest.fixture
def rules():
    """The rulebook, put back afterwards as it was."""
    before = dict(signals.RULES)
    yield signals.RULES
    signals.RULES.clear()
    signals.RULES.update(before)


def test_a_rule_that_a_user_registers_has_a_row_of_its_own(rules):
    def turned(read):
        up = np.sign(read["return_1"])
        return up.where(up != up.shift(1))

    signals.register_rule(turned, name="turned", needs=["return_1"])
    assert proven("rule: turned").passed
    # one that was entered without the check of register_rule
    leak = rulebook._rule(lambda read: turned(read).shift(-1), "tomorrow", ["return_1"], "", "")
    rules["tomorrow"] = leak
    assert_caught(proven("rule: tomorrow"))


def known_at_once(made):
    """Outcomes of rows, settled a bar after their own."""

    def outcomes_of(rows, tables, says):
        became = made(rows, tables, says)
        return became.__class__(became.side, np.minimum(became.known, rows.at + 1), became.count)

    return outcomes_of


def ranked_in_hindsight(made):
    """Ranks of volatility among all values of the symbol."""

    def rank(index, volatility, least):
        share = volatility.groupby(level="symbol").rank(pct=True)
        return share.where(share > 0).reindex(index).to_numpy()

    return rank


def wild_in_hindsight(made):
    """Wild is what turns out to be in the upper half of all bars."""

    def regime(bars, **_):
        moved = signals.trailing_volatility(bars, 10)
        high = moved > moved.groupby(level="symbol").transform("median")
        return pd.Series(np.where(high, "wild", "calm"), bars.index)

    return regime


def smoothed(made):
    """Odds that know the returns after each bar too."""

    def odds(values, *parameters):
        both = made(values, *parameters)[0] * made(values[::-1].copy(), *parameters)[0][::-1]
        return both / both.sum(axis=1, keepdims=True), None, 0.0

    return odds


def named_in_hindsight(made):
    """The calm state is the one that the last bar is in."""

    def odds(block, fits, states):
        found = made(block, fits, states)
        return found[:, np.argsort(-found[-1], kind="stable")]

    return odds


def a_bar_early(made):
    """What it says of the bar after."""
    return lambda *given, **how: next_row(made(*given, **how), "symbol")


def settled_early(made):
    """Payoffs by outcomes four bars before they are known."""

    def payoff(side, outcomes, **how):
        early = outcomes["known_at"] - pd.Timedelta(4, "h")
        return made(side, outcomes.assign(known_at=early), **how)

    return payoff


def slices_to_come(made):
    """Means of the slices that follow."""

    def means(size, symbol, horizon):
        return made(size[::-1].copy(), symbol[::-1].copy(), horizon)[::-1].copy()

    return means


RECORD = ["fusion: dynamic weights", "voices: weights by record", "weights: by all of these"]
REGIME = ["fusion: weights of regimes", "threshold: by regime"]
MARKOV = ["regimes: Markov, 2 states"]
VOLATILITY = ["size: volatility target", "size: Kelly of a return", "threshold: by volatility"]
SLICES = ["size: probability", "size: fixed, by confidence", "account: follows its own weights"]
LEAKS = [
    (fusion, "outcomes_of", known_at_once, RECORD),
    (thresholds, "outcomes_of", known_at_once, ["threshold: by performance"]),
    (thresholds, "_rank", ranked_in_hindsight, ["threshold: by volatility"]),
    (signals, "volatility_regime", wild_in_hindsight, REGIME),
    (markov, "_filter", smoothed, MARKOV),
    (markov, "_odds", named_in_hindsight, MARKOV),
    (signals, "trailing_volatility", a_bar_early, VOLATILITY),
    (signals, "payoff_ratio", settled_early, ["size: Kelly, payoff as settled"]),
    (sizing, "_means", slices_to_come, SLICES),
    (signals, "target_weights", a_bar_early, ["weights: by all of these"]),
]


@pytest.mark.parametrize(
    ("place", "attribute", "leak", "name"),
    [
        pytest.param(place, attribute, leak, name, id=f"{leak.__name__} in {name}")
        for place, attribute, leak, names in LEAKS
        for name in names
    ],
)
def test_a_leak_planted_in_a_decision_is_caught(monkeypatch, place, attribute, leak, name):
    monkeypatch.setattr(place, attribute, leak(getattr(place, attribute)))
    assert_caught(proven(name, 3))


def test_a_regime_fitted_on_bars_after_its_window_is_caught(monkeypatch):
    seen, fit, returns = {}, markov._fit, markov._log_returns

    def noted(block):
        seen["all"] = returns(block)
        return seen["all"]

    monkeypatch.setattr(markov, "_log_returns", noted)
    monkeypatch.setattr(markov, "_fit", lambda _, *how: fit(seen["all"][1:], *how))
    assert_caught(proven("regimes: Markov, 2 states", 6))


def earlier(part, pick=None, like=np.minimum):
    """Bars laid out so that a part of each is of the next, or the worse of both."""

    def laid(bars):
        values = getattr(bars, part)
        at = (slice(None),) if pick is None else (pick,)
        old, new = values[at][..., :-1, :], values[at][..., 1:, :]
        changed = values.copy()
        changed[at][..., :-1, :] = new if like is None else like(old, new)
        return bars._replace(**{part: changed})

    return laid


def closed_at_the_open(bars):
    """A bar whose open is its close already."""
    prices = bars.prices.copy()
    prices[OPENS] = prices[CLOSES]
    return bars._replace(prices=prices)


def marked_at_the_next_open(bars):
    """A bar that closes where the next one opens."""
    prices = bars.prices.copy()
    prices[CLOSES, :-1] = prices[OPENS, 1:]
    return bars._replace(prices=prices)


LOW, HIGH = earlier("prices", LOWS), earlier("prices", HIGHS, np.maximum)
EVERY = [f"{fill}, {path}" for fill in FILLS for path in PATHS]
LAID = {
    "the next low": (LOW, ["stop_loss", "margin and liquidation"]),
    "the next high": (HIGH, ["take_profit", "trailing_stop", "a trail inside a bar"]),
    "the next volatility": (
        earlier("volatility", like=None),
        ["costs that follow the market", "fills at the open"],
    ),
    "the next volume": (earlier("volume", like=None), ["volume, lots and turnover"]),
    "the bar's close": (closed_at_the_open, ["fills at the open"]),
    "the next open": (marked_at_the_next_open, [*EVERY, "brake", "caps and trims"]),
    "the next funding": (earlier("funding", like=None), EVERY[:1]),
}


@pytest.mark.parametrize(
    ("leak", "name"),
    [
        pytest.param(leak, f"account: {name}", id=f"{known} in {name}")
        for known, (leak, names) in LAID.items()
        for name in names
    ],
)
def test_an_account_that_knows_more_than_its_bars_tell_is_caught(monkeypatch, leak, name):
    made = kernel.run
    monkeypatch.setattr(kernel, "run", lambda bars, *rest: made(leak(bars), *rest))
    assert_caught(proven(name))


@pytest.mark.parametrize(
    "name", ["close, pessimistic", "orders before next_open", "orders before next_close"]
)
def test_weights_that_act_a_bar_before_they_are_decided_are_caught(monkeypatch, name):
    made = kernel.run

    def run(bars, rules, target, *rest):
        return made(bars, rules, np.vstack([target[1:], target[-1:]]), *rest)

    monkeypatch.setattr(kernel, "run", run)
    assert_caught(proven(f"account: {name}"))


REASONS = {
    "stop_loss": "stop",
    "take_profit": "take_profit",
    "trailing_stop": "trailing_stop",
    "caps and trims": "trim",
    "margin and liquidation": "liquidation",
    "brake": "brake",
    "a trail inside a bar": "trailing_stop",
}


@pytest.mark.parametrize(("name", "reason"), REASONS.items())
def test_accounts_meet_what_their_stage_is_about(name, reason):
    found = STAGES[f"account: {name}"].function(WORLD)
    assert (found["reason"] == account.REASONS.index(reason)).sum() >= 5


@pytest.mark.parametrize("fill", FILLS)
def test_orders_wait_and_trades_are_open_at_the_cuts(fill):
    stage = STAGES[f"account: {fill}, pessimistic"]
    found = stage.function(WORLD).reset_index()
    fills = found[found["reason"].notna()]
    decided = pd.Timestamp(0, tz="UTC") + pd.to_timedelta(fills["decided_at"], "h")
    trades = found[found["exit_reason"].notna()]
    entered = pd.Timestamp(0, tz="UTC") + pd.to_timedelta(trades["entry_time"], "h")
    cuts = CLOCK[list(stage.places)]
    waits = [((decided <= t) & (fills["time"] > t)).any() for t in cuts]
    lasts = [((entered <= t) & (trades["time"] > t)).any() for t in cuts]
    assert sum(waits) >= (1 if fill == "close" else 2)
    assert sum(lasts) >= 2


@pytest.mark.parametrize(
    "name", [name for name in STAGES if name.startswith("fusion") and "confidence" not in name]
)
def test_every_way_of_fusion_changes_signals(name):
    found, plain = (STAGES[each].function(WORLD) for each in (name, "fusion: confidence"))
    assert (found["score"] != plain["score"]).sum() > 50
    assert found["score"].nunique() > 50


@pytest.mark.parametrize(
    ("prefix", "column"), [("threshold", "threshold"), ("size", "weight"), ("weights", "weight")]
)
def test_thresholds_and_sizes_move(prefix, column):
    for name in (name for name in STAGES if name.startswith(prefix)):
        found = STAGES[name].function(WORLD)[column]
        assert found.nunique() >= 2 + 10 * ("regime" not in name), name
        assert found.abs().max() <= 0.6 + 1e-12


@pytest.mark.parametrize(("states", "bars"), [(2, 150), (3, 60)])
def test_markov_regimes_are_fitted_before_and_after_the_cuts(states, bars):
    found = STAGES[f"regimes: Markov, {states} states"].function(WORLD)
    known = found["p_calm"].notna().groupby(level="symbol").sum()
    assert (known >= bars).all()
    assert found["regime"].nunique() >= states


def test_the_world_has_gaps_failures_prices_beside_weights_and_outcomes_that_wait():
    bars, predictions, weights, funding = WORLD
    assert bars.groupby(level="symbol").size().tolist() == [320, 302]
    assert predictions["prediction"].isna().any()
    assert predictions["known_at"].isna().any()
    assert weights.notna().sum().gt(20).all()
    assert (funding != 0).all()


def test_other_futures_have_the_same_past_and_nothing_else_in_common():
    until = CLOCK[150]
    for _, other in futures(WORLD, (150,)):
        for mine, same in zip(other, WORLD, strict=True):
            past = [part[part.index.get_level_values("time") <= until] for part in (mine, same)]
            assert past[0].index.equals(past[1].index)
        prices = [part.bars.loc["A", "close"] for part in (other, WORLD)]
        assert prices[0][:until].equals(prices[1][:until])
        assert not set(prices[0][until:][1:]) & set(prices[1])


def test_a_desk_that_has_done_nothing_up_to_a_cut_is_refused():
    late = WORLD.bars.iloc[-5:]
    with pytest.raises(DataError, match="there is nothing to compare up to 2024-01-02"):
        in_world(lambda _: late, WORLD, futures(WORLD, (40,)))
