"""The only disk: a SQLite database, content-addressed artifacts and the trial ledger.

`Store.open()` finds the data folder (SIGNALKIT_DATA, else `data/` of the project) and
brings the database to the current schema. Nothing is written before it is complete: rows
in one transaction, artifacts by renaming a finished folder.
"""

from signalkit.store.artifacts import Artifact, Artifacts
from signalkit.store.bars import Written
from signalkit.store.database import Store, data_folder
from signalkit.store.ledger import Ledger, Trial

__all__ = ["Artifact", "Artifacts", "Ledger", "Store", "Trial", "Written", "data_folder"]
