"""Proof that what is decided, and what an account makes of it, knows nothing of later.

Rules, regimes, voices, thresholds, sizes, weights and accounts follow one seeded world. At some
time t everything after it, and every outcome that is not known then, is cut off, then replaced:
what was decided, held, filled and earned up to t must be equal to the last bit.

An account at t is its equity and that of holding, cash and costs, what it holds, and all fills
and trades that ended at or before t. An order decided at t that fills later is none of them, it
waits: its fill belongs to the bar t + 1, and must not know the weights of that bar (`next_open`
and `next_close`), nor, at its open, what else happens inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from signalkit import backtesting, features, labeling, signals
from signalkit.backtesting.account import REASONS
from signalkit.backtesting.settings import FILLS, PATHS
from signalkit.causality import Causality
from signalkit.proof.desk import Desk, World, futures, in_world, insides, unasked, world
from signalkit.proof.poison import MEMBERS
from signalkit.signals.timeline import KNOWN_REGIMES

_BARS = "bars after t"
_TOLD = "bars and predictions after t, outcomes known after t"
_ASKED = "bars, weights and funding after t"
_WEIGHTS = "weights of bar t and after"
_INSIDE = "high, low, close and volume of bar t, bars and weights after t"
_HIGH = "the high of bar t, bars and weights after t"
_HIGHER = partial(insides, parts=("high",))
_HORIZON, _HOURS_A_YEAR = 5, 8760
# bars of a world that have no predictions, for which rules are judged by labels alone
_UNTOLD = 60
# training and test windows of a Markov regime, in bars
_TRAIN, _TEST = 150, 100
# bars to cut at, for accounts those around a gap of one symbol among them
_EARLY, _LATE = (75, 203, 290), (90, 150, 203, 290)
_FITTED, _FITTED_SLOWLY = (165, 249, 270), (180,)
_OFTEN, _FEW = (40, 101, 104, 149, 250, 317), (67, 130, 213)

COSTS = {
    "capital": 5e4,
    "fee_bps": 5.0,
    "maker_bps": 1.0,
    "slippage_bps": 2.0,
    "slippage_vol": 0.05,
    "impact": 0.2,
    "borrow_bps": 500.0,
}
LIMITS = {"volume_cap": 0.1, "lot": 0.01, "min_notional": 50.0, "max_turnover": 0.7}
STOPS = {"stop_loss": 0.02, "take_profit": 0.03, "trailing_stop": 0.025}
CAPS = {"max_leverage": 2.0, "max_weight": 0.6, "max_positions": 1, "drift": 0.02}
BRAKE = {"brake": 0.05, "brake_bars": 5}
_WHOLE = COSTS | LIMITS | STOPS | CAPS | BRAKE | {"maintenance": 0.3}


class Stage(NamedTuple):
    """What is proven: what is replaced, the function, and the bars to cut at."""

    poisoned: str
    function: Desk
    places: tuple[int, ...]
    others: Callable[..., list[tuple[pd.Timestamp, World]]] = futures


def voted(world: World, rule: signals.Rule) -> pd.DataFrame:
    """Directions of a rule, from features of the bars."""
    return rule.directions(features.build(world.bars, rule.needs)).to_frame()


def _votes(world: World) -> pd.DataFrame:
    """Two rules that speak early."""
    names = ["rsi_reversal", "bollinger_breakout"]
    return signals.vote(features.build(world.bars, signals.features_of(names)), names)


def _labels(world: World) -> pd.DataFrame:
    """Outcomes of all rows that have settled."""
    own = world.predictions.xs(MEMBERS[0], level="model_id")
    return own[["actual", "known_at"]].set_axis(["label", "known_at"], axis=1).dropna()


def _heard(world: World) -> pd.DataFrame:
    """Predictions, from the bar on at which models begin."""
    times = world.predictions.index.get_level_values("time")
    return world.predictions[times >= times.unique().sort_values()[_UNTOLD]]


def _calm(world: World) -> pd.Series:
    """Regime of each bar by its volatility."""
    return signals.volatility_regime(world.bars, span=10, least=30)


def _signal(world: World, **how: Any) -> pd.DataFrame:
    """Signals of models and rules."""
    return signals.fuse(_heard(world), _votes(world), outcomes=_labels(world), **how)


def fused(world: World, **how: Any) -> pd.DataFrame:
    """Signals as numbers, the loudest voice by its place."""
    found = _signal(world, regime=_calm(world), **how)
    names = [*MEMBERS, *signals.RULES]
    return found.assign(model_id=found["model_id"].map(names.index, na_action="ignore"))


def weighed(world: World) -> pd.DataFrame:
    """Weights of voices, by what has settled."""
    found = signals.voice_weights(
        _heard(world), _votes(world), outcomes=_labels(world), half_life=50.0
    )
    return _of("all", found)


def _threshold(world: World, **how: Any) -> pd.DataFrame:
    """Thresholds with all that they are made of."""
    return signals.threshold_path(
        _signal(world),
        base=0.1,
        bounds=(0.0, 0.3),
        outcomes=_labels(world),
        volatility=signals.trailing_volatility(world.bars, 10),
        least=30,
        regime=_calm(world),
        half_life=50.0,
        prior=5.0,
        **how,
    )


def odds(world: World, states: int = 2) -> pd.DataFrame:
    """Markov regimes and their odds, refitted in every window that has begun."""
    clock = world.bars.index.get_level_values("time").unique().sort_values()
    firsts = range(_TRAIN, len(clock), _TEST)
    spans = [(clock[first - _TRAIN], clock[first - 1], clock[first]) for first in firsts]
    windows = pd.DataFrame(spans, columns=["train_from", "train_to", "test_from"])
    windows = windows.rename_axis("fold")
    found = signals.markov_regime(world.bars, windows, states=states, least=100)
    return found.assign(regime=found["regime"].map(KNOWN_REGIMES.index))


def _sized(world: World, signal: pd.DataFrame, sizing: signals.Sizing, **how: Any) -> pd.DataFrame:
    """Weights of signals or predictions, slices averaged over the horizon and capped."""
    return signals.target_weights(
        signal,
        _HORIZON,
        bars=world.bars.index,
        sizing=sizing,
        volatility=signals.trailing_volatility(world.bars, 10),
        periods_per_year=_HOURS_A_YEAR,
        symbols=2,
        **({"threshold": 0.05, "leverage": 1.5, "cap": 0.6} | how),
    )


def _payoff(world: World, signal: pd.DataFrame) -> pd.Series:
    """Gain over loss of what was bet on, as it has settled."""
    moved = labeling.target_return(world.bars, _HORIZON)
    return signals.payoff_ratio(np.sign(signal["score"]), moved, least=5)


def _by_signal(world: World, **sizing: Any) -> pd.DataFrame:
    """Weights of fused signals."""
    signal = _signal(world)
    how = {"payoff": _payoff(world, signal)} if sizing["method"] == "kelly" else {}
    return _sized(world, signal, signals.Sizing(**sizing), **how)


def _by_model(world: World, *, numbers: bool = False, **sizing: Any) -> pd.DataFrame:
    """Weights of one model's shares, or of a return that it predicts."""
    own = world.predictions.xs(MEMBERS[-1], level="model_id").dropna(subset=["prediction"])
    if not numbers:
        return _sized(world, own, signals.Sizing(**sizing))
    told = own.assign(prediction=0.01 * (own["p_buy"] - own["p_sell"]))
    told[["p_sell", "p_hold", "p_buy", "confidence"]] = np.nan
    return _sized(world, told, signals.Sizing(**sizing), threshold=0.001)


def decided(world: World) -> pd.DataFrame:
    """Weights by everything at once: regimes, rules, records, thresholds, payoffs, caps."""
    wild = {"wild": {"rsi_reversal": 0.0, "ONE": 0.5}}
    signal = _signal(
        world, method="dynamic", half_life=50.0, regime=_calm(world), regime_weights=wild
    )
    moving = {"by_performance": 0.5, "by_volatility": 0.02, "regime_thresholds": {"wild": 0.12}}
    return _sized(
        world,
        signal,
        signals.Sizing("kelly", fraction=0.5),
        threshold=_threshold(world, **moving)["threshold"],
        payoff=_payoff(world, signal),
    )


def account(
    world: World, weights: Callable[[World], pd.DataFrame] | None = None, **rules: Any
) -> pd.DataFrame:
    """Everything of an account that is written down by a bar's end.

    Parameters
    ----------
    world : World
        Bars and funding; weights too where none are made.
    weights : callable, optional
        Takes the world, returns weights.
    **rules
        Settings of the account.

    Returns
    -------
    DataFrame indexed by (symbol, time, number)
        At each bar equity, positions and accounts; a row a fill at its time and a row a closed
        trade at its exit, words as numbers and times in hours.
    """
    asked = world.weights if weights is None else weights(world)
    run = backtesting.simulate(world.bars, asked, funding=world.funding, **rules)
    held = run.positions.add_prefix("weight of ")
    bars = _of("account", run.equity.join(held).join(run.accounts))
    closed = run.trades.dropna(subset="exit_time")
    closed = closed.assign(symbol="trades of " + closed["symbol"])
    found = [
        bars.assign(number=0).set_index("number", append=True),
        _events(run.fills, "time", {"reason": REASONS}),
        _events(closed, "exit_time", {"exit_reason": REASONS, "side": ("short", "long")}),
    ]
    return pd.concat(found)


def opened(world: World) -> pd.DataFrame:
    """Orders of weights that fill at the next open."""
    rules = COSTS | {"max_leverage": 2.0, "max_turnover": 0.7}
    run = backtesting.simulate(world.bars, world.weights["weight"], **rules)
    asked = run.fills[run.fills["reason"] == "signal"]
    return _events(asked, "time", {"reason": REASONS})


def trailed(world: World) -> pd.DataFrame:
    """Fills of an account that only buys and trails; a high belongs to the bars after it."""
    weights = world.weights["weight"].abs()
    run = backtesting.simulate(world.bars, weights, max_leverage=2.0, trailing_stop=0.015)
    return _events(run.fills, "time", {"reason": REASONS})


def _of(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """A table by time under one name in place of a symbol."""
    return pd.concat({name: table}, names=["symbol", "time"])


def _events(table: pd.DataFrame, when: str, words: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """What happened in order of time, a row each, as numbers; the third is the third everywhere."""
    table = table.sort_values(when, kind="stable")
    keys = [table["symbol"], table[when], np.arange(len(table))]
    told = {}
    for name in table.columns.drop(["symbol", when]):
        column = table[name]
        if name in words:
            told[name] = column.map({word: n for n, word in enumerate(words[name])})
        elif isinstance(column.dtype, pd.DatetimeTZDtype):
            told[name] = (column - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(1, "h")
        else:
            told[name] = column
    index = pd.MultiIndex.from_arrays(keys, names=["symbol", "time", "number"])
    return pd.DataFrame({name: column.to_numpy(float) for name, column in told.items()}, index)


def _rules() -> dict[str, Desk]:
    """The rulebook, those of users in it too."""
    return {f"rule: {rule.name}": partial(voted, rule=rule) for rule in signals.find_rules()}


def _decisions() -> dict[str, Desk]:
    """Fusion, thresholds, sizes, and weights by all of them."""
    wild = {"wild": {"rsi_reversal": 0.0, "ONE": 0.5}}
    dynamic = {"method": "dynamic", "half_life": 50.0}
    return {
        "fusion: confidence": fused,
        "fusion: k of n, the sure alone": partial(fused, agree=3, min_confidence=0.5),
        "fusion: dynamic weights": partial(fused, **dynamic),
        "fusion: weights of regimes": partial(fused, regime_weights=wild),
        "voices: weights by record": weighed,
        "threshold: by performance": partial(_threshold, by_performance=0.5),
        "threshold: by volatility": partial(_threshold, by_volatility=0.1),
        "threshold: by regime": partial(_threshold, regime_thresholds={"wild": 0.2}),
        "size: fixed, by confidence": partial(_by_signal, method="fixed", by_confidence=True),
        "size: volatility target": partial(_by_signal, method="volatility"),
        "size: Kelly, payoff as settled": partial(_by_signal, method="kelly"),
        "size: Kelly of a return": partial(_by_model, method="kelly", numbers=True),
        "size: probability": partial(_by_model, method="probability", step=0.05),
        "weights: by all of these": decided,
    }


def _accounts() -> dict[str, Desk]:
    """All rules in force, by every fill rule and path."""
    return {
        f"account: {fill}, {path}": partial(account, **_WHOLE, fill=fill, path=path)
        for fill in FILLS
        for path in PATHS
    }


def _alone() -> dict[str, Desk]:
    """Rules of an account one by one."""
    stops = {name: {name: size} for name, size in STOPS.items()}
    return {
        f"account: {name}": partial(account, **({"max_leverage": 2.0} | rules))
        for name, rules in {
            **stops,
            "costs that follow the market": COSTS,
            "volume, lots and turnover": COSTS | LIMITS,
            "caps and trims": CAPS,
            "margin and liquidation": {"maintenance": 0.6},
            "brake": BRAKE,
        }.items()
    }


def stages() -> dict[str, Stage]:
    """What signals and accounts do, by name, ready to be proven by `prove`.

    Returns
    -------
    dict of str to Stage
        Rules of the rulebook, users' too; Markov regimes; fusion, thresholds, sizes, weights;
        accounts that follow weights from outside, and one that follows its own.
    """
    follows = partial(account, weights=decided, **_WHOLE)
    groups = (
        (_BARS, _EARLY, _rules()),
        (_BARS, _FITTED, {"regimes: Markov, 2 states": odds}),
        (_BARS, _FITTED_SLOWLY, {"regimes: Markov, 3 states": partial(odds, states=3)}),
        (_TOLD, _LATE, _decisions()),
        (_ASKED, _OFTEN, _accounts()),
        (_ASKED, _FEW, _alone()),
        (_TOLD, _LATE, {"account: follows its own weights": follows}),
    )
    found = {
        name: Stage(poisoned, desk, places)
        for poisoned, places, desks in groups
        for name, desk in desks.items()
    }
    for fill in FILLS[:2]:
        desk = partial(account, **_WHOLE, fill=fill)
        found[f"account: orders before {fill}"] = Stage(_WEIGHTS, desk, _OFTEN, unasked)
    found["account: fills at the open"] = Stage(_INSIDE, opened, _OFTEN, insides)
    found["account: a trail inside a bar"] = Stage(_HIGH, trailed, _OFTEN, _HIGHER)
    return found


def proofs() -> dict[str, tuple[str, Causality]]:
    """Truncate and poison everything of `stages`.

    Returns
    -------
    dict of str to (str, Causality)
        By stage, what was cut off and replaced, and the outcome.
    """
    whole, asked = world(), stages()
    used = {(stage.others, stage.places) for stage in asked.values()}
    made = {(others, places): others(whole, places) for others, places in used}
    return {
        name: (s.poisoned, in_world(s.function, whole, made[s.others, s.places]))
        for name, s in asked.items()
    }
