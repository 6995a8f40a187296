"""The registry of models: what was trained, on what, how good it is, and which one is deployed.

`models/<identity>/` holds the files that a model saved; its row holds one SHA-256 over all of
them, and they are handed out only where it still fits. At most one model of a name is
deployed. Every change is a row of `audit`.
"""

from __future__ import annotations

import difflib
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd
from sqlite_utils import Database

from signalkit.errors import ParamsError, StoreError
from signalkit.lineage import digest
from signalkit.store import audit
from signalkit.store.moments import nanoseconds
from signalkit.store.names import check_name
from signalkit.store.schema import transaction

# metrics that have a column of their own; others are in the column `metrics`
_METRICS = ("accuracy", "precision", "recall", "f1_score", "auc", "log_loss", "mse", "mae")
_LISTS = ("features_used", "symbols", "params", "metrics")
NO_MODELS = (
    "no model is registered yet; train one, such as with `signalkit train --model-type XGBOOST"
    " --target signal_direction --symbols BTCUSDT`"
)


@dataclass(frozen=True)
class Registered:
    """One row of the registry.

    A metric that was not measured is not among `metrics`; `trained_from` and `trained_to` are
    UTC bar ends, `deployed_at` and `created_at` UTC in ISO 8601.
    """

    id: int
    name: str
    model_type: str
    target_variable: str
    prediction_horizon: int
    features_used: list[str]
    params: dict[str, Any]
    metrics: dict[str, float]
    study: str | None
    symbols: list[str]
    interval: str | None
    trained_from: pd.Timestamp
    trained_to: pd.Timestamp
    artifact: str
    sha256: str
    identity: str
    status: str
    is_active: bool
    deployed_at: str | None
    created_at: str


def _now() -> str:
    """The present moment as the database writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _fingerprint(files: Mapping[str, bytes]) -> str:
    """One SHA-256 over names and contents."""
    return digest({name: sha256(content).hexdigest() for name, content in files.items()})


def _json(value: object, what: str) -> str:
    """A value as JSON text."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as cause:
        raise ParamsError(f"{what} is not JSON: {cause}") from None


def _utc(moment: pd.Timestamp, name: str) -> str:
    """A moment as the database writes it."""
    nanoseconds(moment, name)  # refuses one without a zone
    return moment.tz_convert("UTC").isoformat()


def _measured(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are numbers; NaN is none."""
    for name, value in metrics.items():
        if not isinstance(value, Real):
            raise ParamsError(f"metric {name!r} must be a number, was {value!r}")
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}


def _read(row: Mapping[str, Any]) -> Registered:
    """A row of the table as the registry tells it."""
    told = {name: row[name] for name in Registered.__dataclass_fields__}
    told |= {name: json.loads(row[name]) for name in _LISTS}
    kept = {name: row[name] for name in _METRICS if row[name] is not None}
    told |= {"metrics": kept | told["metrics"], "is_active": bool(row["is_active"])}
    told |= {name: pd.Timestamp(row[name]) for name in ("trained_from", "trained_to")}
    return Registered(**told)


class Models:
    """The models of a store."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._db = database
        self.folder = folder

    def register(
        self,
        *,
        name: str,
        identity: str,
        model_type: str,
        target_variable: str,
        prediction_horizon: int,
        features_used: Sequence[str],
        params: Mapping[str, Any],
        files: Mapping[str, bytes],
        metrics: Mapping[str, float],
        study: str,
        symbols: Sequence[str],
        interval: str,
        trained_from: pd.Timestamp,
        trained_to: pd.Timestamp,
        actor: str = "local",
    ) -> int:
        """Store a trained model; one that is stored stays as it is.

        Parameters
        ----------
        name : str
            What models of the same purpose share; not digits alone.
        identity : str
            Identity of the model: what it was made from.
        model_type, target_variable : str
            Such as XGBOOST and signal_direction.
        prediction_horizon : int
            Bars from the prediction to its answer.
        features_used : sequence of str
            Names of its columns, in their order.
        params : mapping
            Its settings, JSON values.
        files : mapping of str to bytes
            What it saved, by file name.
        metrics : mapping of str to float
            Out-of-sample scores; those that are not finite are left out.
        study : str
            Name of the study that trained it.
        symbols, interval : sequence of str, str
            Bars it was trained on.
        trained_from, trained_to : Timestamp
            First and last bar end it was trained on.
        actor : str
            Who asks, for the audit.

        Returns
        -------
        int
            Number of the model, the same one for the same identity. Files of that identity
            which are no longer what was stored are replaced.

        Raises
        ------
        ParamsError
            If a name could not name a file, there are no files, the times are not UTC and in
            order, or params or metrics are not what they must be.
        StoreError
            If the disk or the database refuses.
        """
        row = {
            "name": name,
            "identity": identity,
            "model_type": model_type,
            "target_variable": target_variable,
            "prediction_horizon": int(prediction_horizon),
            "features_used": _json(list(features_used), f"features_used of model {name!r}"),
            "params": _json(dict(params), f"params of model {name!r}"),
            "study": study,
            "symbols": _json(list(symbols), f"symbols of model {name!r}"),
            "interval": interval,
            "trained_from": _utc(trained_from, "trained_from"),
            "trained_to": _utc(trained_to, "trained_to"),
        }
        _check(row, files, trained_from <= trained_to)
        found = _measured(metrics)
        row |= {column: found.pop(column, None) for column in _METRICS}
        row["metrics"] = _json(found, f"metrics of model {name!r}")
        with transaction(self._db):
            return self._enter(row, files, actor)

    def _enter(self, row: dict[str, Any], files: Mapping[str, bytes], actor: str) -> int:
        """Write files and row of a model that is not stored whole."""
        identity, sealed = row["identity"], _fingerprint(files)
        stored = next(self._db["ml_models"].rows_where("identity = ?", [identity]), None)
        if stored is not None:
            if self._contents(identity, stored["sha256"]) is None:
                self._place(identity, files)
                self._db["ml_models"].update(stored["id"], {"sha256": sealed})
                subject = f"model {stored['id']}"
                audit.note(self._db, actor, "restore", subject, {"sha256": sealed})
            return int(stored["id"])
        self._place(identity, files)
        told = {"artifact": f"{self.folder.name}/{identity}", "sha256": sealed}
        entry = row | told | {"status": "trained", "is_active": 0, "created_at": _now()}
        number = int(self._db["ml_models"].insert(entry).last_pk)
        told = {"name": row["name"], "sha256": sealed}
        audit.note(self._db, actor, "register", f"model {number}", told)
        return number

    def _place(self, identity: str, files: Mapping[str, bytes]) -> None:
        """Write a folder of files whole, in place of what is there under the identity."""
        place = self.folder / identity
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".making-", dir=self.folder) as making:
                made = Path(making) / "made"
                made.mkdir()
                for name, content in files.items():
                    (made / name).write_bytes(content)
                if place.exists():  # left by a process that was killed here, or not whole
                    place.rename(Path(making) / "left")
                made.rename(place)
        except OSError as cause:
            raise StoreError(f"{place} cannot be written ({cause}); check the folder") from None

    def _contents(self, identity: str, sealed: str) -> dict[str, bytes] | None:
        """Files under an identity by name, None where they are not those that were stored."""
        try:
            found = sorted((self.folder / identity).iterdir())
            files = {file.name: file.read_bytes() for file in found}
        except OSError:
            return None
        return files if _fingerprint(files) == sealed else None

    def list(self) -> list[Registered]:
        """Every model, oldest first."""
        return [_read(row) for row in self._db["ml_models"].rows_where(order_by="id")]

    def find(self, name_or_id: str | int) -> Registered:
        """A model by its number, or by its name.

        Parameters
        ----------
        name_or_id : str or int
            Digits are a number. Of several models of a name it is the deployed one, otherwise
            the newest that is not archived, otherwise the newest.

        Raises
        ------
        ParamsError
            If there is none; near names are told.
        """
        models = self.list()
        if not models:
            raise ParamsError(NO_MODELS)
        if str(name_or_id).isdecimal():
            found = [model for model in models if model.id == int(name_or_id)]
        else:
            found = [model for model in models if model.name == name_or_id]
        if not found:
            raise ParamsError(f"no model {name_or_id!r} is registered; {_near(name_or_id, models)}")
        order = ("archived", "trained", "deployed")
        return max(found, key=lambda model: (order.index(model.status), model.id))

    def files(self, id: int) -> dict[str, bytes]:
        """What a model saved, by file name, after comparing it with its SHA-256.

        Raises
        ------
        ParamsError
            If there is no such model.
        StoreError
            If a file was changed, added or removed.
        """
        model = self.find(id)
        files = self._contents(model.identity, model.sha256)
        if files is None:
            raise StoreError(
                f"model {model.id} {model.name!r}: {self.folder / model.identity} was changed"
                " (its SHA-256 differs from the registry); train it again, which replaces it"
            )
        return files

    def deploy(self, id: int, *, actor: str = "local") -> None:
        """Make a model the deployed one of its name; the one before it is archived.

        Raises
        ------
        ParamsError
            If there is no such model.
        StoreError
            If its files are not what was stored.
        """
        with transaction(self._db):
            model = self.find(id)
            self.files(id)
            if model.status == "deployed":
                return
            of_name = "name = ? AND status = 'deployed'"
            former = [r["id"] for r in self._db["ml_models"].rows_where(of_name, [model.name])]
            for number in former:
                self._change(number, "archived", actor, {"replaced_by": model.id})
            self._change(model.id, "deployed", actor, {"name": model.name, "replaces": former})

    def archive(self, id: int, *, force: bool = False, actor: str = "local") -> None:
        """Put a model away; its files stay.

        Parameters
        ----------
        id : int
            Number of the model.
        force : bool
            Whether one that is deployed may be put away.
        actor : str
            Who asks, for the audit.

        Raises
        ------
        ParamsError
            If there is no such model, or it is deployed and that is not forced.
        """
        with transaction(self._db):
            model = self.find(id)
            if model.status == "deployed" and not force:
                raise ParamsError(
                    f"model {model.id} {model.name!r} is deployed; deploy another one of its name"
                    " first, or force it"
                )
            if model.status != "archived":
                self._change(model.id, "archived", actor, {"name": model.name})

    def _change(self, number: int, status: str, actor: str, detail: dict[str, Any]) -> None:
        """Write a new status, and that it was written."""
        deployed = status == "deployed"
        told = {"status": status, "is_active": int(deployed)}
        told |= {"deployed_at": _now()} if deployed else {}
        self._db["ml_models"].update(number, told)
        action = "deploy" if deployed else "archive"
        audit.note(self._db, actor, action, f"model {number}", detail)


def _check(row: Mapping[str, Any], files: Mapping[str, bytes], in_order: bool) -> None:
    """Refuse what could not be stored or found again."""
    name = row["name"]
    check_name(row["identity"], f"identity of model {name!r}")
    if not isinstance(name, str) or not name.strip() or name.isdecimal():
        raise ParamsError(f"a model's name must not be empty or digits alone, was {name!r}")
    if row["prediction_horizon"] < 1:
        raise ParamsError(f"prediction_horizon must be 1 or more, was {row['prediction_horizon']}")
    if not files:
        raise ParamsError(f"model {name!r} has no files; save it first")
    for file in files:
        check_name(file, f"file of model {name!r}")
    if not in_order:
        raise ParamsError(
            f"trained_from must not be after trained_to, was {row['trained_from']} after"
            f" {row['trained_to']}"
        )


def _near(asked: str | int, models: Sequence[Registered]) -> str:
    """What a wrong name or number may have meant."""
    names = list(dict.fromkeys(model.name for model in models))
    near = difflib.get_close_matches(str(asked), names, n=2)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    told = ", ".join(f"{model.id} {model.name!r}" for model in models[-5:])
    return f"the newest are {told}"
