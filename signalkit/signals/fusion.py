"""Fusion: one signal a bar from all that models and rules say of it.

A voice's weight at t reads outcomes with `known_at` at or before t and nothing else, pooled over
symbols. A voice that says nothing at a bar - a model that failed, a rule without a direction -
drops out there, and the others are weighted anew.

How large a position a signal asks for belongs to signalkit.signals.sizing.

Sources: Cesa-Bianchi and Lugosi, Prediction, Learning, and Games (2006), sections 2.11
(discounted regret) and 3.3 (squared loss in [0, 1] and learning rate 1/2); Bates and Granger, The
Combination of Forecasts (1969); Stone, The Opinion Pool (1961), for the confidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numba import njit

from signalkit.errors import ParamsError
from signalkit.signals.timeline import (
    KNOWN_REGIMES,
    Outcomes,
    decay_of,
    discounted,
    outcomes_of,
    place_of,
    regime_codes,
    row_of,
)
from signalkit.signals.voices import Choir, gathered

METHODS = ("equal", "confidence", "dynamic")
# learning rate of squared losses in [0, 1], and a weight that no record falls below, so that
# a voice is there to fall back upon where all better ones are silent
_RATE, _LEAST = 0.5, 1e-100


def fuse(
    predictions: pd.DataFrame | None,
    votes: pd.DataFrame | None = None,
    *,
    outcomes: pd.DataFrame | None = None,
    models: Sequence[str] | None = None,
    says: str = "direction",
    method: str = "confidence",
    min_confidence: float = 0.0,
    agree: int = 0,
    rule_weight: float = 0.25,
    half_life: float | None = 250.0,
    regime: pd.Series | None = None,
    regime_weights: Mapping[str, Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """One signal for each bar: side, strength, and how sure and how much of one mind it is.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id), or None
        Out-of-sample predictions of one target, in any order.
    votes : DataFrame indexed by (symbol, time), optional
        Directions of rules, a column a rule, from `vote`. Rows without predictions are not
        answered where there are predictions, but count in the record of the rules.
    outcomes : DataFrame indexed by (symbol, time), optional
        Labels, `label` and `known_at`, by which `dynamic` judges votes at rows without
        predictions; elsewhere they must be those of the predictions.
    models : sequence of str, optional
        Models that have a voice; one without rows has failed everywhere. All if omitted, an
        ensemble beside its own members too.
    says : str
        `direction`, or `long` or `short`, whether that trade pays; `nothing` for a target that
        tells no direction: its models are silent.
    method : str
        `equal`: voices weigh alike; `confidence`: by their calibrated confidence; `dynamic`: by
        confidence times exp(-loss / 2), the loss being the discounted sum, over what has
        settled, of ((lean - outcome) / 2)².
    min_confidence : float
        Voices less sure than this are silent, 0 to 1.
    agree : int
        Voices that must share the side, else the score is 0.
    rule_weight : float
        Weight of a rule beside a model's 1, at least 0. The default weighs that a rule, which
        has no probabilities, leans further than a calibrated model mostly does.
    half_life : float, optional
        Bars after which what was settled counts half; it counts for ever if None.
    regime : Series indexed by (symbol, time), optional
        `calm`, `normal`, `wild` or `unknown`; where there is none, `unknown`.
    regime_weights : mapping of str to mapping of str to float, optional
        For a regime, by what the weight of a voice is multiplied: `{"wild": {"macd": 0.0}}`.

    Returns
    -------
    DataFrame indexed by (symbol, time), sorted
        `score` in [-1, 1], the weighted mean of leans: what to do; `confidence` in [0, 1], the
        weighted mean share of that side (dissenters' too); `agreement`, the share of voices on
        that side; `voices`, how many spoke; `model_id`, the voice with the largest weight times
        lean for the side, and its `prediction` (a rule's direction). Without a side confidence
        and agreement are 0, model_id and prediction missing; without a voice the score is 0 and
        confidence and agreement are NaN. Where too few agree, the score alone is 0.

    Raises
    ------
    ParamsError
        If an option is out of its range or unknown, there is nothing to fuse, or `dynamic`
        has nothing to judge votes by.
    DataError
        If a table has a row twice, other columns or several targets, a vote is no direction,
        or outcomes of one row differ.
    LeakError
        If a label is known at or before its own bar.

    Notes
    -----
    What a voice leans to is the outcome that it expects: p_buy - p_sell, or p_buy - p_hold of a
    trade; scores of `long` are at least 0, of `short` at most 0. A rule's side has twice the
    share of each other class, so it leans by 1/4 of three classes and 1/3 of two; a number
    leans by 2/3 x / (|x| + m), m being the model's mean |x| of the symbol up to the bar. A row
    counts in the record one over those its label overlaps with, and over symbols at its time; a
    voice that was silent there is charged the mean loss of the others.

    Examples
    --------
    >>> time = pd.to_datetime(["2024-01-01"], utc=True)
    >>> rows = pd.MultiIndex.from_product([["A"], time], names=["symbol", "time"])
    >>> votes = pd.DataFrame({"macd": [1.0], "momentum": [1.0], "trend": [-1.0]}, index=rows)
    >>> found = fuse(None, votes)
    >>> found[["score", "confidence", "agreement"]].round(4).iloc[0].tolist()
    [0.0833, 0.4167, 0.6667]
    """
    _check_numbers(min_confidence=min_confidence, rule_weight=rule_weight, agree=agree)
    decay = decay_of(half_life, "signals.fusion")
    choir = gathered(predictions, votes, models, says)
    _check_choice(choir, method, says, agree)
    weights = np.ones((1, len(choir.names)))  # a row a time where they change
    if method == "dynamic":
        weights = _by_record(choir, _judged(choir, predictions, outcomes, says), decay)
    at = choir.rows.at[choir.answered] if len(weights) > 1 else np.zeros_like(choir.answered)
    weights = weights * np.where(choir.rules, float(rule_weight), 1.0)
    code, factors = _by_regime(choir, regime, regime_weights)
    bounds = {"long": (0.0, 1.0), "short": (-1.0, 0.0)}.get(says, (-1.0, 1.0))
    numbers, best = _mixed(
        *(getattr(choir, name) for name in ("lean", "up", "down", "sure")),
        choir.answered,
        (weights, at),
        (factors, code),
        (method != "equal", float(min_confidence), int(agree), *bounds),
    )
    return _told(choir, numbers, best)


def voice_weights(
    predictions: pd.DataFrame | None,
    votes: pd.DataFrame | None = None,
    *,
    outcomes: pd.DataFrame | None = None,
    models: Sequence[str] | None = None,
    says: str = "direction",
    half_life: float | None = 250.0,
) -> pd.DataFrame:
    """Weights that `dynamic` gives voices by their settled record, before all else.

    Parameters
    ----------
    predictions, votes, outcomes, models, says, half_life
        As in `fuse`.

    Returns
    -------
    DataFrame indexed by time
        A column a voice, rows sum to 1. Equal until something has settled.

    Raises
    ------
    ParamsError, DataError, LeakError
        As in `fuse`.
    """
    decay = decay_of(half_life, "signals.fusion")
    choir = gathered(predictions, votes, models, says)
    _check_choice(choir, "dynamic", says, 0)
    found = _by_record(choir, _judged(choir, predictions, outcomes, says), decay)
    found /= found.sum(axis=1, keepdims=True)
    return pd.DataFrame(found, index=choir.rows.clock.rename("time"), columns=choir.names)


def _judged(
    choir: Choir, predictions: pd.DataFrame | None, outcomes: pd.DataFrame | None, says: str
) -> Outcomes:
    """What became of all rows, by the predictions' own outcomes and those given."""
    if predictions is None and outcomes is None:
        raise ParamsError("dynamic weights of votes need outcomes; give labels with known_at")
    tables = []
    if predictions is not None:
        own = predictions[["actual", "known_at"]].set_axis(["label", "known_at"], axis=1)
        tables.append((own, choir.placed))
    if outcomes is not None:
        rows = choir.rows
        tables.append((outcomes, row_of(rows.key, rows.keys(outcomes.index, "outcomes"))))
    return outcomes_of(choir.rows, tables, says)


def _by_record(choir: Choir, became: Outcomes, decay: float) -> np.ndarray:
    """Weights by what is settled at each time of the clock, shape (times, voices)."""
    times = len(choir.rows.clock)
    lost = discounted(_lost(choir.lean, became.side, became.known, became.count, times), decay)
    share = np.exp(_RATE * (lost.min(axis=1, keepdims=True) - lost))
    return np.maximum(share, _LEAST)


@njit(cache=True)
def _lost(lean, side, known, count, times):  # noqa: ANN001, ANN202 - numba
    """Losses that settle at each time; who was silent is charged the mean of the others."""
    n_voices = len(lean)
    out, loss = np.zeros((times, n_voices)), np.empty(n_voices)
    for row in range(len(side)):
        if known[row] >= times:
            continue
        total, n = 0.0, 0
        for v in range(n_voices):
            loss[v] = ((lean[v, row] - side[row]) / 2) ** 2
            if not np.isnan(loss[v]):
                total += loss[v]
                n += 1
        for v in range(n_voices):
            if n > 0:
                charged = total / n if np.isnan(loss[v]) else loss[v]
                out[known[row], v] += charged * count[row]
    return out


def _by_regime(
    choir: Choir,
    regime: pd.Series | None,
    regime_weights: Mapping[str, Mapping[str, float]] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Regime of each answered row, and by what each regime multiplies each voice."""
    factors = np.ones((len(KNOWN_REGIMES), len(choir.names)))
    if not regime_weights:
        return np.zeros(len(choir.answered), dtype=np.int64), factors
    if regime is None:
        raise ParamsError("regime_weights need the regime of each bar; give regime")
    for name, each in regime_weights.items():
        row = place_of(name, KNOWN_REGIMES, "regime_weights")
        for voice, factor in each.items():
            column = place_of(voice, choir.names, f"regime_weights.{name}")
            if not 0 <= factor < np.inf:
                raise ParamsError(
                    f"regime_weights.{name}.{voice} must be a factor of at least 0, was {factor}"
                )
            factors[row, column] = factor
    return regime_codes(choir.rows, regime)[choir.answered], factors


def _check_numbers(*, min_confidence: float, rule_weight: float, agree: int) -> None:
    """Refuse options out of their range."""
    if not 0 <= min_confidence <= 1:
        raise ParamsError(f"min_confidence is a share from 0 to 1, was {min_confidence}")
    if not 0 <= rule_weight < np.inf:
        raise ParamsError(f"rule_weight must be at least 0, was {rule_weight}")
    if not isinstance(agree, int) or isinstance(agree, bool) or agree < 0:
        raise ParamsError(f"agree is a number of voices, at least 0, was {agree!r}")


def _check_choice(choir: Choir, method: str, says: str, agree: int) -> None:
    """Refuse a method that is unknown or cannot be used on these voices."""
    place_of(method, METHODS, "signals.fusion")
    if agree > len(choir.names):
        raise ParamsError(f"agree asks for {agree} voices; there are {len(choir.names)} in all")
    if method == "dynamic" and says == "nothing":
        raise ParamsError(
            "dynamic weights need outcomes that tell a side, and the target says nothing of one;"
            " use confidence or equal"
        )


@njit(cache=True)
def _mixed(lean, up, down, sure, answered, record, regimes, rules):  # noqa: ANN001, ANN202 - numba
    """Score, confidence, agreement and voices of each answered row, and its loudest voice."""
    (weights, at), (factors, code) = record, regimes
    by_sure, least, agree, low, high = rules
    n_voices, n = len(lean), len(answered)
    out, best = np.zeros((4, n)), np.full(n, -1)
    weight = np.zeros(n_voices)
    for i in range(n):
        row, total, mean, spoke = answered[i], 0.0, 0.0, 0
        for v in range(n_voices):
            said = lean[v, row]
            base = weights[at[i], v] * factors[code[i], v]
            loud = base * sure[v, row] if by_sure else base
            heard = not np.isnan(said) and sure[v, row] >= least and loud > 0.0
            weight[v] = loud if heard else 0.0
            if heard:
                total += loud
                mean += loud * said
                spoke += 1
        out[3, i] = spoke
        if spoke == 0:
            out[1, i], out[2, i] = np.nan, np.nan
            continue
        score = min(max(mean / total, low), high)
        side = np.sign(score)
        if side == 0.0:
            continue
        share, whole, agreed, loudest = 0.0, 0.0, 0, 0.0
        for v in range(n_voices):
            if weight[v] == 0.0:
                continue
            base = weights[at[i], v] * factors[code[i], v]
            whole += base
            share += base * (up[v, row] if side > 0 else down[v, row])
            if np.sign(lean[v, row]) == side:
                agreed += 1
                if weight[v] * abs(lean[v, row]) > loudest:
                    best[i], loudest = v, weight[v] * abs(lean[v, row])
        out[0, i] = score if agreed >= agree else 0.0
        out[1, i] = min(max(share / whole, 0.0), 1.0)
        out[2, i] = agreed / spoke
    return out, best


def _told(choir: Choir, numbers: np.ndarray, best: np.ndarray) -> pd.DataFrame:
    """The table of signals."""
    score, confidence, agreement, voices = numbers
    told = np.where(best >= 0, choir.told[best, choir.answered], np.nan)
    columns = {
        "score": score,
        "confidence": confidence,
        "agreement": agreement,
        "voices": voices.astype(np.int64),
        "model_id": pd.Categorical.from_codes(best, choir.names).astype("str"),
        "prediction": told,
    }
    return pd.DataFrame(columns, index=choir.index)
