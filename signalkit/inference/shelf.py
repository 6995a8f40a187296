"""The shelf: registered models in memory, each loaded once after its hash was compared.

What is loaded stays as it was loaded; a model of another number or another hash is loaded
anew. A model that cannot be loaded is tried again at the next call: its files may be restored.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from signalkit import params
from signalkit.errors import StoreError
from signalkit.store import Registered, Store
from signalkit.study.hull import Hull
from signalkit.study.inputs import stored_as
from signalkit.study.registry import STUDY
from signalkit.training import Trained

# ValueError covers our own classes and XGBoost's
_FAILURES: tuple[type[Exception], ...] = (
    ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A loaded model: its row, itself, the ranges it was trained on, the params of its study."""

    entry: Registered
    trained: Trained
    hull: Hull | None
    asked: params.Params

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

    def member(self, entry: Registered) -> Member:
        """A registered model, loaded once.

        Raises
        ------
        StoreError
            If its files are not what was stored, or do not say how they are used.
        """
        sealed, held = self._held.get(entry.id, (None, None))
        if held is not None and sealed == entry.sha256:
            return Member(entry, held.trained, held.hull, held.asked)
        files = self._store.models.files(entry.id)
        if STUDY not in files:
            raise StoreError(f"{entry.name} does not hold the params of its study; train it again")
        asked = params.parse(json.loads(files[STUDY]))
        found = Member(entry, Trained.load(files), Hull.read(files), asked)
        if found.trained.model.reads != "features":
            raise StoreError(f"{entry.name} reads {found.trained.model.reads}, not features")
        self._held[entry.id] = entry.sha256, found
        return found
