"""Policy: what is done about an alarm, about drift and about age, each once and in the audit.

An alarm of accuracy is of a model, or of the ensemble and so of all its models. What was done
is to be done is written before it is done, and each step changes nothing where it is done
already, so that a kill between them loses and doubles nothing.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from signalkit.inference.choice import former
from signalkit.live.desks import Desk
from signalkit.live.market import Market
from signalkit.live.watching import ACCURACY, INPUTS, OUTPUTS, subject
from signalkit.store import Registered, Store, audit
from signalkit.store.predictions import ENSEMBLE
from signalkit.store.schema import transaction

ACTOR = "policy"
_ASKED = """SELECT id FROM ml_training_sessions WHERE asked ->> '$.model' = ?
    AND asked ->> '$.why' = ? LIMIT 1"""


class Policy:
    """Acts as the monitoring sections say."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def act(self, desk: Desk, market: Market) -> list[str]:
        """Do what open alarms of a desk, and the age of its models, ask for; what was done."""
        asked = desk.study.params.monitoring
        done = []
        for alarm in self._open():
            entries = _concerned(desk, alarm)
            if entries and alarm["kind"] == ACCURACY:
                done += self._once(alarm, asked.on_alarm, entries)
            elif alarm["kind"] in (INPUTS, OUTPUTS) and entries:
                done += self._once(alarm, asked.on_drift, entries)
        if asked.retrain_every is not None:
            old = [e.id for e in desk.entries if _age(e, market) >= asked.retrain_every]
            done += [told for n in old if (told := self._retrain(n, f"age of model {n}"))]
        return done

    def paused(self, desk: Desk) -> int | None:
        """The open alarm for which the desk's signals rest, None where they do not.

        They rest by a pause, and until a model that is to be replaced or put away is.
        """
        if desk.study.params.monitoring.on_alarm in ("tell", "retrain"):
            return None
        found = [a["id"] for a in self._open() if a["kind"] == ACCURACY and _concerned(desk, a)]
        return min(found, default=None)

    def _open(self) -> list[dict[str, Any]]:
        """Open alarms, oldest first."""
        return self._store.watch.alarms(limit=1_000_000)[::-1]

    def _once(self, alarm: dict[str, Any], act: str, entries: list[Registered]) -> list[str]:
        """Act on an alarm as it was first planned, unless that is done."""
        key = f"acts alarm {alarm['id']}"
        plan = self._store.watch.state(key)
        if plan is None:
            plan = {"act": act, "steps": self._steps(alarm, act, entries), "done": False}
            self._store.watch.keep({key: plan})
        return [] if plan["done"] else [self._follow(alarm, plan)]

    def resume(self) -> list[str]:
        """Do what is left of plans that were not done to the end; what was done."""
        found = [(a, self._store.watch.state(f"acts alarm {a['id']}")) for a in self._open()]
        return [self._follow(a, plan) for a, plan in found if plan and not plan["done"]]

    def _follow(self, alarm: dict[str, Any], plan: dict[str, Any]) -> str:
        """Do the steps of a plan and note it."""
        done = [told for step in plan["steps"] if (told := self._do(*step))]
        named = f"alarm {alarm['id']}"
        noted = audit.page(self._store.db, subject=named, limit=1000)
        if not any((row["actor"], row["action"]) == (ACTOR, plan["act"]) for row in noted):
            detail = {"kind": alarm["kind"], "of": alarm["subject"], "steps": plan["steps"]}
            with transaction(self._store.db):
                audit.note(self._store.db, ACTOR, plan["act"], named, detail)
        self._store.watch.keep({f"acts {named}": plan | {"done": True}})
        told = f"{named}, {alarm['kind']} of {alarm['subject']}: {plan['act']}"
        return "; ".join([told, *done])

    def _steps(
        self, alarm: dict[str, Any], act: str, entries: list[Registered]
    ) -> list[tuple[str, int, str]]:
        """What is to be done of each model: a word, a number, why."""
        why = f"{alarm['kind']} of {alarm['subject']}, alarm {alarm['id']}"
        steps = []
        for entry in entries:
            before = self._before(entry) if act == "roll_back" else []
            if before:
                steps.append(("deploy", before[0].id, why))
            elif act in ("retire", "roll_back"):
                steps.append(("archive", entry.id, why))
            elif act == "retrain":
                steps.append(("queue", entry.id, why))
        return steps

    def _before(self, entry: Registered) -> list[Registered]:
        """Versions to go back to, newest first; none that was itself taken away for an alarm."""
        return [one for one in former(self._store, entry) if self._taken_by(one) != ACTOR]

    def _taken_by(self, entry: Registered) -> str | None:
        """Who archived a model last, None where nobody did."""
        noted = audit.page(self._store.db, subject=f"model {entry.id}", limit=1000)
        return next((row["actor"] for row in noted if row["action"] == "archive"), None)

    def _do(self, word: str, number: int, why: str) -> str:
        """Do one step; one that is done already changes nothing."""
        if word == "deploy":
            self._store.models.deploy(number, actor=ACTOR)
            return f"model {number} is deployed"
        if word == "archive":
            self._store.models.archive(number, force=True, actor=ACTOR)
            return f"model {number} is archived"
        return self._retrain(number, why)

    def _retrain(self, number: int, why: str) -> str:
        """Ask for a training on the newest bars, once for a reason."""
        if self._store.db.execute(_ASKED, [number, why]).fetchone() is not None:
            return ""
        asked = {"kind": "again", "model": number, "why": why}
        session = self._store.sessions.queue(asked, asked_by=ACTOR)
        return f"training session {session} is queued for model {number}: {why}"


def _concerned(desk: Desk, alarm: dict[str, Any]) -> list[Registered]:
    """Deployed models of a desk that an alarm is about; none once others are deployed."""
    if alarm["detail"].get("study") != desk.name:
        return []
    for entry in desk.entries:
        if alarm["subject"] == subject(desk, str(entry.id)):
            return [entry]
    of_all = alarm["subject"] in (subject(desk, ENSEMBLE), f"{desk.name} {desk.asked}")
    same = sorted(alarm["detail"].get("models", [])) == sorted(e.id for e in desk.entries)
    return list(desk.entries) if of_all and same else []


def _age(entry: Registered, market: Market) -> int:
    """Bars since the newest that a model was trained on."""
    times = market.times(entry.symbols[0])
    return len(times) - int(times.searchsorted(pd.Timestamp(entry.trained_to), side="right"))
