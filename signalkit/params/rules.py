"""Rules that join two names of a study's params. Each is a place and what is wrong there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from signalkit.params.money import Backtesting
from signalkit.params.sections import (
    TARGET_SETTINGS,
    Collection,
    Labeling,
    Params,
)
from signalkit.params.types import timestamp

# share of a training window that may be set aside to stop and to calibrate on
_MOST = 0.6
# models that say what a column was worth to them
_GAINING = ("XGBOOST", "LIGHTGBM")


def broken_rules(params: Params) -> Iterator[tuple[str, str]]:
    """Every broken rule: the dotted name it concerns, what was found and what would do."""
    yield from _source_rules(params.collection)
    yield from _label_rules(params.labeling)
    yield from _direction_rules(params)
    yield from _voice_rules(params)
    yield from _regime_rules(params)
    yield from _threshold_rules(params)
    yield from _engine_rules(params.backtesting)
    yield from _order_rules(params)


def _source_rules(asked: Collection) -> Iterator[tuple[str, str]]:
    """What a source needs, and what it does not take."""
    files, sample = asked.source == "files", asked.source == "sample"
    if files and not asked.path:
        yield "collection.source", "files needs collection.path, such as 'prices/{symbol}.csv'"
    if not files and asked.path:
        kind = "the sample" if sample else asked.source
        yield "collection.path", f"{kind} has no path, was {asked.path!r}; set source: files"
    for name in ("interval", "calendar", "tz") if sample else ():
        found, own = getattr(asked, name), Collection.model_fields[name].default
        if found != own:
            yield f"collection.{name}", f"the sample has {own}, was {found!r}; leave it out"
    if not (files or sample) and asked.calendar != "24/7":
        yield (
            "collection.calendar",
            f"{asked.source} never closes, was {asked.calendar!r}; use 24/7",
        )
    if asked.source == "simulator" and not (asked.start and asked.end):
        yield "collection.source", "simulator needs collection.start and collection.end"
    yield from _news_rules(asked)


def _news_rules(asked: Collection) -> Iterator[tuple[str, str]]:
    """What a source of news needs."""
    news = asked.news
    if (news.source == "file") != bool(news.path):
        yield (
            "collection.news",
            f"source: file and path go together, was {news.source}, {news.path!r}",
        )
    if news.source == "simulator" and asked.source != "simulator":
        yield "collection.news.source", f"simulator has news for its own market, not {asked.source}"
    for name in ("tz", "latency") if news.source != "file" else ():
        found, own = getattr(news, name), type(news).model_fields[name].default
        if found != own:
            yield (
                f"collection.news.{name}",
                f"is of source: file alone, was {found!r} with {news.source}; stored news keep"
                " those of signalkit collect --news",
            )
    for symbol in news.aliases:
        if symbol not in asked.symbols:
            yield "collection.news.aliases", f"{symbol!r} is not in collection.symbols"


def _label_rules(asked: Labeling) -> Iterator[tuple[str, str]]:
    """What a target reads, and what it needs."""
    mine = TARGET_SETTINGS[asked.target]
    for name in sorted({name for names in TARGET_SETTINGS.values() for name in names}):
        found, own = getattr(asked, name), Labeling.model_fields[name].default
        if name not in mine and found != own:
            readers = " and ".join(t for t, names in TARGET_SETTINGS.items() if name in names)
            yield (
                f"labeling.{name}",
                f"is read by {readers} alone, was {found!r} with {asked.target}; leave it out",
            )
    least = 2 if asked.settings().get("estimator") in {"realised", "yang_zhang"} else 1
    if asked.horizon < least:
        yield (
            "labeling.horizon",
            f"a volatility by {asked.estimator} takes at least {least} bars, was {asked.horizon}",
        )
    if asked.scale == "fixed" and "threshold" not in asked.model_fields_set:
        yield (
            "labeling.scale",
            "fixed needs labeling.threshold, a fraction such as 0.01 for one percent",
        )


def _direction_rules(params: Params) -> Iterator[tuple[str, str]]:
    """A target whose predictions could never ask for a position that is allowed."""
    short = params.labeling.target == "target_profitable" and params.labeling.side == "short"
    if short and params.signals.direction == "long_only":
        yield (
            "signals.direction",
            "long_only takes no position where labeling.side is short; use long_short",
        )


def _voice_rules(params: Params) -> Iterator[tuple[str, str]]:
    """Voices that there are, counts that can be reached, and what weighs them."""
    fusion = params.signals.fusion
    there = ["ENSEMBLE", *params.training.models]
    for name in fusion.voices:
        if name not in there:
            yield "signals.fusion.voices", f"{name!r} is none of {', '.join(there)}"
    spoken = len(fusion.voices) + len(fusion.rules)
    if fusion.agree > spoken:
        yield "signals.fusion.agree", f"{fusion.agree} of {spoken} voices cannot agree; add some"
    known = {*fusion.voices, *fusion.rules}
    for regime, weights in fusion.regime_weights.items():
        for name in sorted(set(weights) - known):
            yield f"signals.fusion.regime_weights.{regime}", f"{name!r} has no voice"
    if fusion.method == "dynamic" and params.labeling.says == "nothing":
        yield (
            "signals.fusion.method",
            f"dynamic weighs by sides that came true, and {params.labeling.target} tells none; use"
            " equal",
        )


def _regime_rules(params: Params) -> Iterator[tuple[str, str]]:
    """Regimes that there are, in windows long enough to tell them."""
    asked, held = params.signals, params.validation
    if asked.regime.method != "markov":
        return
    named = {
        "adapting.by_regime": asked.adapting.by_regime,
        "fusion.regime_weights": asked.fusion.regime_weights,
    }
    for name, regimes in named.items():
        if asked.regime.states == 2 and "normal" in regimes:
            yield (
                f"signals.{name}.normal",
                "a Markov regime of 2 states is calm or wild; set signals.regime.states: 3 or leave"
                " it out",
            )
    if asked.regime.least > held.train and not held.expanding:
        yield (
            "signals.regime.least",
            f"no training window has so many returns, was {asked.regime.least} with"
            f" validation.train {held.train}; take at most that",
        )


def _threshold_rules(params: Params) -> Iterator[tuple[str, str]]:
    """Bounds that hold every threshold, and a record that it can follow."""
    asked = params.signals
    low, high = asked.adapting.low, asked.adapting.high
    if low > high:
        yield "signals.adapting.low", f"must be at most adapting.high {high}, was {low}"
    bounds = f"must lie from adapting.low {low} to adapting.high {high}"
    if not low <= asked.threshold <= high:
        yield "signals.threshold", f"{bounds}, was {asked.threshold}"
    for regime, threshold in asked.adapting.by_regime.items():
        if not low <= threshold <= high:
            yield f"signals.adapting.by_regime.{regime}", f"{bounds}, was {threshold}"
    if asked.adapting.by_performance and params.labeling.says == "nothing":
        yield (
            "signals.adapting.by_performance",
            f"follows sides that came true, and {params.labeling.target} tells none; leave it out",
        )


def _engine_rules(asked: Backtesting) -> Iterator[tuple[str, str]]:
    """Settings of the account that would undo one another, or that nothing reads."""
    if asked.brake_bars and asked.brake is None:
        yield (
            "backtesting.brake_bars",
            f"is the pause after backtesting.brake, which is not set, was {asked.brake_bars}; set"
            " both or none",
        )
    if asked.maintenance * asked.max_leverage >= 1:
        yield (
            "backtesting.maintenance",
            f"a position at max_leverage {asked.max_leverage:g} would be liquidated at once, was"
            f" {asked.maintenance:g}; keep it below {1 / asked.max_leverage:.3g}",
        )


def _order_rules(params: Params) -> Iterator[tuple[str, str]]:
    """Lists name things once; dates and windows follow one another."""
    asked, held = params.collection, params.validation
    lists = {"collection.symbols": asked.symbols, "training.models": params.training.models}
    fusion = params.signals.fusion
    lists |= {"signals.fusion.voices": fusion.voices, "signals.fusion.rules": fusion.rules}
    lists |= {f"features.{n}": getattr(params.features, n) for n in ("families", "names")}
    for name, found in lists.items():
        if len(set(found)) < len(found):
            yield name, f"one stands twice in {found}; keep one"
    order = [("collection.start", asked.start), ("validation.holdout_from", held.holdout_from)]
    order += [("collection.end", asked.end)]
    dated = [(name, timestamp(text), text) for name, text in order if text]
    for (before, first, a), (after, second, b) in pairwise(dated):
        if first >= second:
            yield after, f"must come after {before} {a!r}, was {b!r}"
    yield from _share_rules(params)
    if held.step is not None and held.step < held.test:
        yield "validation.step", f"must be at least test ({held.test}), was {held.step}"


def _share_rules(params: Params) -> Iterator[tuple[str, str]]:
    """Shares of a training window, what ranks its columns, and folds among folds."""
    asked, held = params.training, params.validation
    stops = set(asked.models) & set(asked.stopping.models)
    used = asked.stopping.share if stops else 0.0
    used += asked.calibration.share if asked.calibration.method != "none" else 0.0
    if used > _MOST:
        yield (
            "training.calibration.share",
            f"with training.stopping.share takes {used:.0%} of a training window, which leaves too"
            f" little to learn from; take {_MOST:.0%} at most",
        )
    ranks, first = asked.selection, asked.models[0]
    if ranks.by == "gain" and ranks.keep and first not in _GAINING:
        yield (
            "training.selection.by",
            f"gain is that of the first of training.models, and {first} has none; name"
            f" {' or '.join(_GAINING)} first, or rank by ic",
        )
    if 0 < held.combinatorial.folds <= held.combinatorial.test_folds:
        yield (
            "validation.combinatorial.test_folds",
            f"must be below folds ({held.combinatorial.folds}), was"
            f" {held.combinatorial.test_folds}",
        )
