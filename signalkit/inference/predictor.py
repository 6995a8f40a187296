"""The predictor: one answer for the newest bar, by deployed models, with all that it rests on.

One broken model is no error of the caller: it is left out, with its reason, and what remains
answers. Where no deployed model does, versions deployed before are asked, then a rule of two
moving averages. Where the newest bar is too old, nothing is answered, and the flags say so.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from signalkit.errors import ParamsError
from signalkit.inference import choice, rule
from signalkit.inference.asking import Answer, Panel
from signalkit.inference.quality import behind, completeness, freshness
from signalkit.inference.results import (
    SIDES,
    EnsemblePrediction,
    Flag,
    LeftOut,
    Prediction,
    Vote,
)
from signalkit.inference.settled import Histories, Joined
from signalkit.store import Registered, Store

_DAY = 24.0


@dataclass(frozen=True)
class _Found:
    """Who answered and from where, who did not, and what must be told of it."""

    origin: str
    answers: list[Answer]
    left_out: list[LeftOut]
    flags: tuple[Flag, ...] = ()


class Predictor:
    """Answers of the deployed models of a store.

    Models, warm features and what has settled stay in memory from call to call. Threads may
    share one, where the store's connection lets them: it answers one call at a time.

    Parameters
    ----------
    store : Store
        Registry, bars and settled predictions.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as name, Store.open(Path(name)) as store:
    ...     Predictor(store).predict_signal_direction("BTCUSDT", 24)
    Traceback (most recent call last):
    signalkit.errors.ParamsError: no deployed model predicts signal_direction of BTCUSDT; deployed
    are none; deploy one with `signalkit models deploy`
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._panel, self._histories = Panel(store), Histories(store)
        self._lock = threading.RLock()
        self._deployed: list[Registered] = []
        self._questions: dict[tuple, choice.Question] = {}

    def predict_signal_direction(
        self, symbol: str, prediction_horizon_hours: float = _DAY, **how: Any
    ) -> Prediction:
        """Whether to sell (-1), hold (0) or buy (1); see `predict`."""
        return self.predict(symbol, prediction_horizon_hours, "signal_direction", **how)

    def predict_target_return(
        self, symbol: str, prediction_horizon_hours: float = _DAY, **how: Any
    ) -> Prediction:
        """The next return, a fraction before costs; see `predict`."""
        return self.predict(symbol, prediction_horizon_hours, "target_return", **how)

    def predict_target_volatility(
        self, symbol: str, prediction_horizon_hours: float = _DAY, **how: Any
    ) -> Prediction:
        """The volatility to come, as the study's estimator measures it; see `predict`."""
        return self.predict(symbol, prediction_horizon_hours, "target_volatility", **how)

    def predict_target_profitable(
        self, symbol: str, prediction_horizon_hours: float = _DAY, **how: Any
    ) -> Prediction:
        """Whether the study's trade pays after costs, 1 or 0; see `predict`."""
        return self.predict(symbol, prediction_horizon_hours, "target_profitable", **how)

    def predict(
        self,
        symbol: str,
        prediction_horizon_hours: float,
        target: str,
        *,
        interval: str | None = None,
        at: pd.Timestamp | None = None,
    ) -> Prediction:
        """The answer of one model: the best by its out-of-sample score, else the next.

        Parameters
        ----------
        symbol : str
            A symbol that deployed models were trained on.
        prediction_horizon_hours : float
            Hours ahead, a whole number of bars; a day of an exchange counts 24.
        target : str
            Target variable.
        interval : str, optional
            Spacing of the bars; needed where models of several answer.
        at : Timestamp, optional
            Answer as at this moment, by the bars that end by then as they are stored now; the
            present if omitted.

        Returns
        -------
        Prediction
            Refused, without a value, where nothing can be answered.

        Raises
        ------
        ParamsError
            If no deployed model answers such a question, or `at` has no zone.
        """
        with self._lock:
            asked = self._asked(symbol, prediction_horizon_hours, target, interval)
            return self._alone(asked, _moment(at))

    def _asked(
        self, symbol: str, hours: float, target: str, interval: str | None
    ) -> choice.Question:
        """What is asked, and the deployed models that answer."""
        deployed = self._panel.shelf.deployed()
        if deployed is not self._deployed:
            self._deployed, self._questions = deployed, {}
        key = (symbol, hours, target, interval)
        if key not in self._questions:
            found = choice.question(deployed, symbol, hours, target, interval=interval)
            self._questions[key] = found
        return self._questions[key]

    def _alone(self, asked: choice.Question, moment: pd.Timestamp) -> Prediction:
        """The answer of the best model that has one."""
        found = self._found(asked, moment, alone=True)
        if not found.answers:
            return Prediction(**self._by_rule(asked, found, moment))
        (one,) = found.answers
        told = {"value": one.value, "shares": one.shares}
        told["confidence"] = None if one.shares is None else float(one.shares.max())
        entry = one.member.entry
        return Prediction(**_judged(asked, found, moment, **told), model=entry.id, name=entry.name)

    def get_ensemble_prediction(
        self,
        symbol: str,
        prediction_horizon_hours: float = _DAY,
        *,
        target: str = "signal_direction",
        interval: str | None = None,
        at: pd.Timestamp | None = None,
    ) -> EnsemblePrediction:
        """The answer of all models together, weighed by what has settled of them.

        Parameters
        ----------
        symbol, prediction_horizon_hours, target, interval, at
            As in `predict`.

        Returns
        -------
        EnsemblePrediction
            With each model's vote, and who was left out and why.

        Raises
        ------
        ParamsError
            As `predict`.
        """
        with self._lock:
            asked = self._asked(symbol, prediction_horizon_hours, target, interval)
            return self._together(asked, _moment(at))

    def _together(self, asked: choice.Question, moment: pd.Timestamp) -> EnsemblePrediction:
        """The answer of all models that have one."""
        found = self._found(asked, moment, alone=False)
        none = {"prediction_set": None, "prediction_interval": None, "disagreement": None}
        if not found.answers:
            return EnsemblePrediction(**self._by_rule(asked, found, moment), **none, votes=())
        one = self._joined(asked, found)
        told = {"value": one.value, "shares": one.shares, "confidence": one.confidence}
        judged = _judged(asked, found, moment, **told, more=one.flags)
        if not judged["refused"]:
            none = {"prediction_set": one.sides, "prediction_interval": one.interval}
            none["disagreement"] = one.disagreement
        votes = tuple(_vote(answer, one.weights) for answer in found.answers)
        return EnsemblePrediction(**judged, **none, model=None, name=None, votes=votes)

    def _found(self, asked: choice.Question, at: pd.Timestamp, *, alone: bool) -> _Found:
        """Answers of deployed models, else of versions deployed before."""
        ask = self._panel.first if alone else self._panel.each
        answers, out = ask(asked.entries, asked.symbol, at)
        if answers:
            return _Found("deployed", answers, out)
        for entry in asked.entries:
            before = choice.former(self._store, entry)
            found, more = self._panel.first(before, asked.symbol, at)
            answers, out = answers + found, out + more
            if answers and alone:
                break
        told = ", ".join(f"{one.member.entry.id} {one.member.entry.name}" for one in answers)
        flags = (Flag("former", f"no deployed model answers; asked instead: {told}"),)
        newest = max((one.time for one in answers), default=None)
        answers = [one for one in answers if one.time == newest]
        return _Found("former", answers, out, flags if answers else ())

    def _joined(self, asked: choice.Question, found: _Found) -> Joined:
        """One answer of several, weighed by what has settled.

        A deployed model that is loaded and did not answer is one that failed at this bar.
        """
        members = [one.member for one in found.answers]
        if found.origin == "deployed":
            members = self._panel.shelf.loaded(asked.entries)
        history = self._histories.of(asked, members)
        said = {one.member.entry.id: one.said for one in found.answers}
        return history.ask(asked.symbol, found.answers[0].time, said)

    def _by_rule(self, asked: choice.Question, found: _Found, at: pd.Timestamp) -> dict[str, Any]:
        """The rule's answer, or a refusal, where no model answers."""
        made = rule.stood_in(self._store, asked, at)
        empty = {"model": None, "name": None}
        if isinstance(made, str):
            flags = (Flag("no_answer", f"no model answers, and no rule: {made}"),)
            return _told(asked, at, flags=flags, left_out=tuple(found.left_out)) | empty
        late = behind(made.time, at, asked.interval, made.calendar)
        share, flags = freshness(late, asked.horizon, made.time)
        flags = (Flag("rule", "no model answers; the direction of two averages stands in"), *flags)
        kept = {"time": made.time, "flags": flags, "left_out": tuple(found.left_out)}
        if not share:
            return _told(asked, at, **kept) | empty
        sure = None if made.confidence is None else made.confidence * share
        kept |= {"value": made.value, "shares": made.shares, "confidence": sure, "origin": "rule"}
        return _told(asked, at, **kept) | empty


def _moment(at: pd.Timestamp | None) -> pd.Timestamp:
    """The moment for which it is asked, in UTC."""
    if at is None:
        return pd.Timestamp.now("UTC")
    if not isinstance(at, pd.Timestamp) or at.tzinfo is None:
        raise ParamsError(f"at must be a Timestamp with a zone such as UTC, was {at!r}")
    return at.tz_convert("UTC")


def _judged(
    asked: choice.Question,
    found: _Found,
    at: pd.Timestamp,
    *,
    value: float,
    shares: np.ndarray | None,
    confidence: float | None,
    more: tuple[Flag, ...] = (),
) -> dict[str, Any]:
    """An answer of models with its confidence lowered by what takes away from it, or refused."""
    time, kept = found.answers[0].time, found.answers[0].member.asked.collection
    late = behind(time, at, asked.interval, kept.calendar)
    left, old = freshness(late, asked.horizon, time)
    there, lacking = completeness(max(one.missing for one in found.answers))
    inside = min(one.inside for one in found.answers)
    own = tuple(flag for one in found.answers for flag in one.flags)
    flags = (*found.flags, *old, *lacking, *own, *more)
    told = {"time": time, "flags": flags, "left_out": tuple(found.left_out)}
    if left:
        sure = None if confidence is None else confidence * left * there * inside
        told |= {"value": value, "shares": shares, "confidence": sure, "origin": found.origin}
    return _told(asked, at, **told)


def _told(
    asked: choice.Question,
    at: pd.Timestamp,
    *,
    flags: tuple[Flag, ...],
    left_out: tuple[LeftOut, ...],
    time: pd.Timestamp | None = None,
    value: float | None = None,
    shares: np.ndarray | None = None,
    confidence: float | None = None,
    origin: str = "none",
) -> dict[str, Any]:
    """The fields of a prediction; refused without a value."""
    return {
        "symbol": asked.symbol,
        "target": asked.target,
        "interval": asked.interval,
        "horizon": asked.horizon,
        "hours": asked.hours,
        "time": time,
        "asked_at": at,
        "value": value,
        "probabilities": _by_side(shares),
        "confidence": confidence,
        "origin": origin,
        "refused": value is None,
        "flags": flags,
        "left_out": left_out,
    }


def _by_side(shares: np.ndarray | None) -> dict[str, float] | None:
    """Probabilities by the name of their side."""
    return None if shares is None else dict(zip(SIDES, map(float, shares), strict=True))


def _vote(one: Answer, weights: dict[int, float]) -> Vote:
    """What one model says, with its weight."""
    entry, sure = one.member.entry, None if one.shares is None else float(one.shares.max())
    told = (entry.id, entry.name, entry.model_type)
    return Vote(*told, one.value, _by_side(one.shares), sure, weights[entry.id])
