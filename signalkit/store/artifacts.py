"""Artifacts: tables and files under the identity of what they were made from.

`artifacts/<stage>/<identity>/` holds Parquet tables, files and `artifact.json`, which says
what it was made from and the SHA-256 of every file. A folder appears whole or not at all;
a file that is not what was written is refused, never repaired.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from signalkit.errors import StoreError
from signalkit.lineage import digest, file_digest

_ABOUT = "artifact.json"
_ADDED = {"identity", "files", "created_at"}


@dataclass(frozen=True)
class Artifact:
    """One stored result: read its tables and files by name."""

    folder: Path
    about: dict[str, object]

    @property
    def identity(self) -> str:
        """Identity under which it is stored."""
        return str(self.about["identity"])

    def path(self, name: str) -> Path:
        """A stored file, after checking its hash.

        Raises
        ------
        StoreError
            If it is missing or its bytes are not what was written.
        """
        file = self.folder / name
        recorded = self.about["files"].get(name)  # type: ignore[union-attr]
        if recorded is None or not file.exists():
            raise StoreError(f"{file} is missing; remove {self.folder} and run again")
        if file_digest(file) != recorded:
            raise StoreError(
                f"{file} is not what was written (its SHA-256 differs from {_ABOUT});"
                f" remove {self.folder} and run again"
            )
        return file

    def table(self, name: str) -> pd.DataFrame:
        """A stored table."""
        return pd.read_parquet(self.path(f"{name}.parquet"))


class Artifacts:
    """A folder of artifacts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, stage: str, identity: str) -> Artifact | None:
        """The artifact of a stage under an identity, None where it was not made yet."""
        about = self.folder / stage / identity / _ABOUT
        if not about.exists():
            return None
        try:
            told = json.loads(about.read_text(encoding="utf-8"))
            parts = {k: v for k, v in told.items() if k not in _ADDED}
            if digest(parts) != identity or told["identity"] != identity or "files" not in told:
                raise StoreError(f"{about} is not what was written; remove its folder")
            return Artifact(about.parent, told)
        except (ValueError, AttributeError, KeyError) as cause:
            if isinstance(cause, StoreError):
                raise
            raise StoreError(f"{about} is not JSON ({cause}); remove its folder") from None

    def write(
        self,
        about: Mapping[str, object],
        *,
        tables: Mapping[str, pd.DataFrame] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Artifact:
        """Store tables and files under their identity.

        Parameters
        ----------
        about : mapping
            What `lineage.identity` returned.
        tables : mapping of str to DataFrame, optional
            Written as Parquet (zstd).
        files : mapping of str to bytes, optional
            Written as they are.
        """
        stage = self.folder / str(about["stage"])
        try:
            stage.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=".making-", dir=stage))
        except OSError as cause:
            raise StoreError(f"{stage} cannot be written ({cause}); check the folder") from None
        try:
            for name, table in (tables or {}).items():
                table.to_parquet(made / f"{name}.parquet", compression="zstd")
            for name, content in (files or {}).items():
                (made / name).write_bytes(content)
            return self._finish(made, stage / str(about["identity"]), about)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def lend(self, stage: str, identity: str, other: Artifacts) -> None:
        """Copy an artifact into another folder of artifacts, where there is such an artifact."""
        found = self.find(stage, identity)
        if found is not None:
            shutil.copytree(found.folder, other.folder / stage / identity, dirs_exist_ok=True)

    def _finish(self, made: Path, place: Path, about: Mapping[str, object]) -> Artifact:
        """Describe a made folder and move it to its place."""
        sums = {file.name: file_digest(file) for file in sorted(made.iterdir())}
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        described = dict(about) | {"files": sums, "created_at": moment}
        with (made / _ABOUT).open("w") as file:
            json.dump(described, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        try:
            made.rename(place)
        except OSError as cause:  # another process finished the same artifact first
            stored = self.find(place.parent.name, place.name)
            if stored is None:
                raise StoreError(f"{place} cannot be written ({cause}); remove it") from None
            return stored
        return Artifact(place, described)
