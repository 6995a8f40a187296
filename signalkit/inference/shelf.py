"""The shelf: registered models in memory, each loaded once after its hash was compared.

What is loaded stays as it was loaded; a model of another number or another hash is loaded
anew. A model that cannot be loaded is tried again at the next call: its files may be restored.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from signalkit import params
from signalkit.errors import StoreError
from signalkit.store import Registered, Store
from signalkit.study.hull import Hull
from signalkit.study.inputs import stored_as
from signalkit.study.registry import STUDY, past_of
from signalkit.training import Trained

_DEPLOYED = "SELECT * FROM ml_models WHERE status = 'deployed' ORDER BY id"
# ValueError covers our own classes and XGBoost's
_FAILURES: tuple[type[Exception], ...] = (
    ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A loaded model: its row, itself, the ranges it was trained on, the params of its study.

    `past` is what it predicted in the walk-forward of its study, None where it carries none.
    """

    entry: Registered
    trained: Trained
    hull: Hull | None
    asked: params.Params
    past: pd.DataFrame | None = None

    @property
    def lookback(self) -> int:
        """Rows of features that one answer reads."""
        return int(self.trained.model.params.get("lookback", 1))

    @property
    def source(self) -> str:
        """Name under which the store has the bars of its study."""
        return stored_as(self.asked)


def failures() -> tuple[type[Exception], ...]:
    """What a broken model may raise, by our classes and by its library's own."""
    lightgbm = sys.modules.get("lightgbm")
    own = () if lightgbm is None else (lightgbm.basic.LightGBMError,)
    return (*_FAILURES, *own)


class Shelf:
    """Models of a store, loaded when first asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[int, tuple[str, Member]] = {}
        self._rows: list[tuple] = []
        self._deployed: list[Registered] = []

    def deployed(self) -> list[Registered]:
        """Models that are deployed now, oldest first; read anew where one's row has changed."""
        rows = self._store.db.execute(_DEPLOYED).fetchall()
        if rows != self._rows:
            found = self._store.models.list()
            self._deployed = [model for model in found if model.status == "deployed"]
            self._rows = rows
        return self._deployed

    def loaded(self, entries: Sequence[Registered]) -> list[Member]:
        """Those of some models that are loaded."""
        held = [self._held.get(entry.id, ("", None)) for entry in entries]
        pairs = zip(entries, held, strict=True)
        return [member for entry, (sealed, member) in pairs if sealed == entry.sha256]

    def member(self, entry: Registered) -> Member:
        """A registered model, loaded once.

        Raises
        ------
        StoreError
            If its files are not what was stored, or do not say how they are used.
        """
        sealed, held = self._held.get(entry.id, (None, None))
        if held is not None and sealed == entry.sha256:
            return replace(held, entry=entry)
        files = self._store.models.files(entry.id)
        if STUDY not in files:
            raise StoreError(f"{entry.name} does not hold the params of its study; train it again")
        asked = params.parse(json.loads(files[STUDY]))
        found = Member(entry, Trained.load(files), Hull.read(files), asked, past_of(files))
        if found.trained.model.reads != "features":
            raise StoreError(f"{entry.name} reads {found.trained.model.reads}, not features")
        self._held[entry.id] = entry.sha256, found
        return found
