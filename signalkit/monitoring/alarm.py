"""The alarm: whether a model is right less often than it was in validation.

It may be looked at after every outcome, for ever: while nothing has changed, the chance that it
is ever raised is at most alpha. What it bets on, and why overlapping outcomes do no harm, is in
signalkit.monitoring.ledger.

Sources: as there; the bound on the delay is Lorden, Procedures for reacting to a change in
distribution (1971).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.monitoring.ledger import Ledger

_VERSION = 1


def delay_bound(accuracy: float, dropped: float, *, alpha: float = 0.05) -> float:
    """Independent outcomes that the best alarm needs on average, where alpha is small.

    Parameters
    ----------
    accuracy, dropped : float
        Share of predictions that are right before and after, between 0 and 1.
    alpha : float
        Chance of a false alarm over the whole stream.

    Returns
    -------
    float
        ln(1 / alpha) over the Kullback-Leibler divergence of the two shares, the dropped one
        first; infinite where they are equal.

    Notes
    -----
    A mean, and a limit: the median of an alarm may lie a little below it.

    Examples
    --------
    >>> round(delay_bound(0.56, 0.50))
    413
    """
    for name, share in {"accuracy": accuracy, "dropped": dropped, "alpha": alpha}.items():
        _check_share(name, share)
    right, wrong = log(dropped / accuracy), log((1 - dropped) / (1 - accuracy))
    apart = dropped * right + (1 - dropped) * wrong
    return -log(alpha) / apart if apart > 0 else float("inf")


def _check_share(name: str, value: float) -> None:
    """Refuse what is not inside (0, 1)."""
    if not 0 < value < 1:
        raise ParamsError(f"{name} must be above 0 and below 1, was {value:g}")


class Alarm:
    """Raised when predictions are right less often than claimed, beyond doubt at level alpha.

    Parameters
    ----------
    accuracy : float
        Share of predictions that was right in validation, above 0 and below 1. It is an
        estimate: give the lower end of its interval, and a model that validation flattered by
        luck does not raise the alarm for having been that good never.
    overlap : int
        Predictions that may be open at a time, the newest counted: the horizon in bars times
        the symbols. 1 if each is settled before the next is made.
    alpha : float
        Chance of a false alarm over the whole stream, above 0 and below 1.

    Attributes
    ----------
    n : int
        Outcomes taken.
    evidence : float
        Money of one who bets against the accuracy, from 1; the alarm is raised at 1 / alpha.
    highest : float
        The most that it was.
    raised_at : Timestamp or None
        Time of the prediction whose outcome raised the alarm. It stays raised, and nothing is
        bet any more.

    Raises
    ------
    ParamsError
        If a share is none, or less than one prediction may be open.

    Notes
    -----
    What holds: if, given all that was known when a prediction was made, its chance to be right
    was at least `accuracy`, for every one, then P(ever raised) <= alpha. Why, and where it does
    not hold, is in docs/monitoring.md.

    Examples
    --------
    >>> hours = pd.date_range("2024-01-01", periods=60, freq="h", tz="UTC")
    >>> alarm = Alarm(0.56)
    >>> alarm.follow((time, False) for time in hours)
    True
    >>> alarm.n, round(alarm.evidence, 1)
    (21, 22.7)
    """

    def __init__(self, accuracy: float, *, overlap: int = 1, alpha: float = 0.05) -> None:
        _check_share("accuracy", accuracy)
        _check_share("alpha", alpha)
        self.accuracy, self.alpha = float(accuracy), float(alpha)
        self._ledger = Ledger(1 - self.accuracy, overlap=overlap)
        self.evidence = self.highest = 1.0
        self.raised_at: pd.Timestamp | None = None
        self._last: tuple[pd.Timestamp, str] | None = None

    @property
    def n(self) -> int:
        """Outcomes taken."""
        return self._ledger.n

    @property
    def overlap(self) -> int:
        """Predictions that may be open at a time."""
        return self._ledger.overlap

    @property
    def p_value(self) -> float:
        """Chance of so much evidence, ever, by luck: at most this."""
        return min(1.0, 1 / self.highest)

    def update(self, time: pd.Timestamp, right: bool | float, symbol: str = "") -> bool:
        """Take one outcome; whether the alarm is raised.

        Parameters
        ----------
        time : Timestamp
            Time of the prediction (not of its outcome), UTC.
        right : bool
            Whether it was right, or 1 and 0.
        symbol : str
            Symbol, where several are followed together.

        Returns
        -------
        bool
            Whether the alarm is raised, now or before.

        Raises
        ------
        DataError
            If the time is not UTC, or the outcome neither right nor wrong.

        Notes
        -----
        Outcomes come in order of (time, symbol). One at or before the last was taken already and
        changes nothing; so a late one must be waited for, as `monitoring.in_turn` does.
        """
        if not isinstance(time, pd.Timestamp) or str(time.tz) != "UTC":
            raise DataError(f"the time of a prediction must be a UTC timestamp, was {time!r}")
        if right not in (0, 1):
            raise DataError(f"the outcome at {time} must be right (1) or wrong (0), was {right}")
        if self._last is not None and (time, symbol) <= self._last:
            return self.raised_at is not None
        self._last = time, symbol
        if self.raised_at is None:
            self._look(time, 1.0 - right)
        return self.raised_at is not None

    def _look(self, time: pd.Timestamp, wrong: float) -> None:
        """Settle a bet and compare."""
        self.evidence = float(self._ledger.settle(wrong))
        self.highest = max(self.highest, self.evidence)
        if self.evidence >= 1 / self.alpha:
            self.raised_at = time

    def follow(self, outcomes: Iterable[tuple]) -> bool:
        """Take many outcomes, each as `update` does; whether the alarm is raised.

        Parameters
        ----------
        outcomes : iterable of tuples
            (time, right) or (time, right, symbol), in order of time and symbol.
        """
        for outcome in outcomes:
            self.update(*outcome)
        return self.raised_at is not None

    def state(self) -> dict:
        """All that is known, as JSON has it; `restore` goes on from it to the last bit."""
        time, symbol = self._last or (None, "")
        return {
            "version": _VERSION,
            "accuracy": self.accuracy,
            "overlap": self.overlap,
            "alpha": self.alpha,
            "evidence": self.evidence,
            "highest": self.highest,
            "raised_at": _text(self.raised_at),
            "last": [_text(time), symbol],
            "ledger": self._ledger.state(),
        }

    @classmethod
    def restore(cls, state: dict) -> Alarm:
        """The alarm that gave this state.

        Raises
        ------
        StoreError
            If it is of another version, or something of it is missing or of another shape.
        """
        if state.get("version") != _VERSION:
            raise StoreError(
                f"the alarm's state is of version {state.get('version')}, this is {_VERSION};"
                " begin a new alarm"
            )
        try:
            alarm = cls(state["accuracy"], overlap=state["overlap"], alpha=state["alpha"])
            alarm._ledger.resume(state["ledger"])
            alarm.evidence, alarm.highest = float(state["evidence"]), float(state["highest"])
            alarm.raised_at, (time, symbol) = _time(state["raised_at"]), state["last"]
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"the alarm's state is not what was written: {error!r}; begin a new alarm"
            ) from error
        alarm._last = None if time is None else (_time(time), symbol)
        if not np.isfinite(alarm._ledger.money).all():
            raise StoreError("the alarm's state has money that is no number; begin a new alarm")
        return alarm


def _text(time: pd.Timestamp | None) -> str | None:
    """A time as JSON has it."""
    return None if time is None else time.isoformat()


def _time(text: str | None) -> pd.Timestamp | None:
    """A time as it was."""
    return None if text is None else pd.Timestamp(text)
