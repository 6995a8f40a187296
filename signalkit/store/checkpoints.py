"""Checkpoints: finished pieces of a long job, so that a killed one does not start over.

`checkpoints/<identity of the job>/<piece>/` holds one artifact. A piece is there whole or not
at all, and what was changed is refused, as with every artifact. When the job is done and its
result is stored, its pieces are cleared.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pandas as pd

from signalkit.errors import ParamsError, StoreError
from signalkit.lineage import digest
from signalkit.store.artifacts import Artifact, Artifacts
from signalkit.store.names import check_name

_ABOUT = "about.json"
_GONE = ".gone-"


class Pieces:
    """The finished pieces of one job."""

    def __init__(self, folder: Path) -> None:
        self._artifacts = Artifacts(folder)

    def write(
        self,
        key: str,
        tables: Mapping[str, pd.DataFrame],
        about: Mapping[str, object] | None = None,
    ) -> None:
        """Store a finished piece; one that is stored stays as it is.

        Parameters
        ----------
        key : str
            Name of the piece within the job, such as fold-003.XGBOOST.
        tables : mapping of str to DataFrame
            What came of it, by name.
        about : mapping, optional
            What else is to be known of it, such as its seconds: JSON values.

        Raises
        ------
        ParamsError
            If a name could not name a file, or `about` is not JSON.
        StoreError
            If the disk refuses.
        """
        check_name(key, "piece")
        for name in tables:
            check_name(name, f"table of piece {key}")
        try:
            told = json.dumps(dict(about or {}), allow_nan=False, sort_keys=True)
        except (TypeError, ValueError) as cause:
            raise ParamsError(f"about of piece {key} is not JSON: {cause}") from None
        made = self._identity(key)
        try:
            self._artifacts.write(made, tables=tables, files={_ABOUT: told.encode()})
        except OSError as cause:
            raise StoreError(f"piece {key} cannot be written ({cause}); look for space") from None

    def find(self, key: str) -> dict[str, pd.DataFrame] | None:
        """Tables of a piece by name, None where it was not finished yet.

        Raises
        ------
        StoreError
            If a file of it is not what was written.
        """
        found = self._find(key)
        if found is None:
            return None
        names = sorted(found.about["files"])  # type: ignore[call-overload]
        stems = [name.removesuffix(".parquet") for name in names if name != _ABOUT]
        return {name: found.table(name) for name in stems}

    def about(self, key: str) -> dict[str, object] | None:
        """What else was written of a piece, None where it was not finished yet.

        Raises
        ------
        StoreError
            If a file of it is not what was written.
        """
        found = self._find(key)
        return None if found is None else json.loads(found.path(_ABOUT).read_text())

    def clear(self) -> None:
        """Remove every piece: all of them are gone at once, whenever the process ends."""
        folder = self._artifacts.folder
        if folder.exists():
            folder.rename(folder.with_name(f"{_GONE}{uuid4().hex}"))
        for left in folder.parent.glob(f"{_GONE}*"):  # of a process that was killed here, too
            shutil.rmtree(left, ignore_errors=True)

    def _find(self, key: str) -> Artifact | None:
        """The artifact of a piece."""
        check_name(key, "piece")
        return self._artifacts.find(key, str(self._identity(key)["identity"]))

    def _identity(self, key: str) -> dict[str, object]:
        """What an artifact of the piece says that it was made from."""
        parts = {"stage": key, "job": self._artifacts.folder.name}
        return parts | {"identity": digest(parts)}


class Checkpoints:
    """A folder of jobs that are not done yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def at(self, identity: str) -> Pieces:
        """The pieces of a job.

        Parameters
        ----------
        identity : str
            Identity of what the job is to make.

        Raises
        ------
        ParamsError
            If it could not name a folder.
        """
        check_name(identity, "identity")
        return Pieces(self.folder / identity)
