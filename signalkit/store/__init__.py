"""The only disk: a SQLite database, content-addressed artifacts, the trial ledger, the models.

`Store.open()` finds the data folder (SIGNALKIT_DATA, else `data/` of the project) and
brings the database to the current schema. Nothing is written before it is complete: rows
in one transaction, artifacts by renaming a finished folder.
"""

from signalkit.store.artifacts import Artifact, Artifacts
from signalkit.store.bars import Written
from signalkit.store.checkpoints import Pieces
from signalkit.store.database import Store, data_folder
from signalkit.store.ledger import Ledger, Trial
from signalkit.store.models import Registered
from signalkit.store.predictions import Asked, Outcome, Predicted
from signalkit.store.sessions import Session, Training

__all__ = [
    "Artifact", "Artifacts", "Asked", "Ledger", "Outcome", "Pieces", "Predicted", "Registered",
    "Session", "Store", "Training", "Trial", "Written", "data_folder",
]  # fmt: skip
