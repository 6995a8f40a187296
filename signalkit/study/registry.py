"""What was trained, into the database: models with files and scores, features with their worth.

Scores are those of walk-forward predictions, never of rows that a model has seen; a feature is
entered after proof that it does not read the future.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pandas as pd

from signalkit import causality, features
from signalkit.errors import StoreError
from signalkit.lineage import digest
from signalkit.store.models import Registered
from signalkit.study.hull import HULL, Hull
from signalkit.training import KEPT, PROBABILITIES
from signalkit.training.recipe import RECIPE

if TYPE_CHECKING:
    from signalkit.store import Store
    from signalkit.study.study import Study

COLUMNS = ["target", "fold", "prediction", *PROBABILITIES, "confidence", "known_at", "actual"]
# file of a model that holds the params of its study
STUDY = "study.json"
# file of a model that holds its walk-forward predictions
PAST = "validation.parquet"
# names of our scores in the database
_COLUMNS = {"f1": "f1_score"}


def register(
    study: Study,
    scores: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
) -> dict[str, int]:
    """Enter the models of a study's newest training window.

    Parameters
    ----------
    study : Study
        Its training stage is made if it was not.
    scores : DataFrame indexed by (model_id, metric), optional
        What the walk-forward gave; without it models are entered without scores.
    predictions : DataFrame indexed by (symbol, time, model_id), optional
        What it predicted, kept beside each model: the settled past of what is served.

    Returns
    -------
    dict of str to int
        Number in the registry, by model.
    """
    made = study.artifact("training")
    table, names = made.table("models"), [str(name) for name in made.about["files"]]
    numbers = {}
    for model in study.params.training.models:
        mine = [name for name in names if name.startswith(f"{model}.")]
        files = {name.removeprefix(f"{model}."): made.path(name).read_bytes() for name in mine}
        past = None if predictions is None else predictions.xs(model, level="model_id")
        numbers[model] = enter(
            study,
            study.store,
            model,
            files,
            window=(table.at[model, "from"], table.at[model, "to"]),
            made=made.identity,
            metrics=_scores(scores, model),
            past=past,
        )
    return numbers


def enter(
    study: Study,
    store: Store,
    model: str,
    files: dict[str, bytes],
    *,
    window: tuple[pd.Timestamp, pd.Timestamp],
    made: str,
    metrics: Mapping[str, float],
    past: pd.DataFrame | None,
) -> int:
    """Enter one trained model of a study into a store; returns its number.

    Parameters
    ----------
    study : Study
        Whose model it is.
    store : Store
        Where it is entered.
    model : str
        Model type.
    files : dict of str to bytes
        What `Trained.files` gave.
    window : tuple of Timestamp
        First and last bar end that it was trained on.
    made : str
        Identity of what it was made by.
    metrics : mapping of str to float
        Its scores out of sample, by their names in the database; empty where it has none.
    past : DataFrame indexed by (symbol, time), optional
        Its predictions out of sample.
    """
    asked = study.params
    name, columns = f"{asked.study_name}.{model}", json.loads(files[RECIPE])["columns"]
    hull = Hull.of(study.features()[columns], *window).content()
    kept = {STUDY: json.dumps(asked.model_dump(mode="json"), sort_keys=True).encode(), HULL: hull}
    own = {"training": made, "name": name, "scores": sorted(metrics.items())}
    own |= {"hull": sha256(hull).hexdigest()}
    if past is not None:
        kept[PAST] = _content(past)
        own |= {"past": sha256(kept[PAST]).hexdigest()}
    return store.models.register(
        name=name,
        identity=digest(own),
        model_type=model,
        target_variable=asked.labeling.target,
        prediction_horizon=asked.labeling.horizon,
        features_used=columns,
        params=asked.training.settings(model),
        files=files | kept,
        metrics=dict(metrics),
        study=asked.study_name,
        symbols=asked.collection.symbols,
        interval=asked.collection.interval,
        trained_from=window[0],
        trained_to=window[1],
    )


def _content(past: pd.DataFrame) -> bytes:
    """A model's own predictions as the file that is kept beside it."""
    written = io.BytesIO()
    past.to_parquet(written)
    return written.getvalue()


def past_of(files: Mapping[str, bytes]) -> pd.DataFrame | None:
    """The walk-forward predictions among a model's files, None where none were kept.

    Returns
    -------
    DataFrame indexed by (symbol, time)
        `target fold prediction p_sell p_hold p_buy confidence known_at actual`.

    Raises
    ------
    StoreError
        If the file is no such table.
    """
    if PAST not in files:
        return None
    try:
        found = pd.read_parquet(io.BytesIO(files[PAST]))
        return found[COLUMNS]
    except (OSError, KeyError, ValueError) as cause:
        raise StoreError(f"{PAST} holds no predictions of ours ({cause})") from None


def study_of(model: Registered, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Name and sections of the study of a registered model, with that model's voice alone.

    Rules keep their voices; no more are asked to agree than there are.

    Raises
    ------
    StoreError
        If the model's files do not say what it was trained by.
    """
    if STUDY not in files:
        raise StoreError(
            f"model {model.id} ({model.name}) does not hold the params of its study; train it again"
        )
    asked = json.loads(files[STUDY])
    fusion = asked["signals"]["fusion"] | {"voices": [model.model_type], "regime_weights": {}}
    fusion["agree"] = min(fusion["agree"], 1 + len(fusion["rules"]))  # more there are not
    return asked | {"signals": asked["signals"] | {"fusion": fusion}}


def _scores(scores: pd.DataFrame | None, model: str) -> dict[str, float]:
    """A model's scores by their names in the database; none where it has none."""
    if scores is None or model not in scores.index.get_level_values("model_id"):
        return {}
    found = scores.loc[model, "value"].rename(_COLUMNS).to_dict()
    return {name: value for name, value in found.items() if math.isfinite(value)}


def record_features(study: Study, made: dict[str, pd.DataFrame]) -> None:
    """What the features were worth into the database, after proof that none reads the future.

    Parameters
    ----------
    study : Study
        Whose validation it is.
    made : dict of str to DataFrame
        Its tables `permutation`, `information` and `selection`.

    Raises
    ------
    LeakError
        If a feature reads the future; then nothing is written.
    """
    identity, chosen = study.identity("validation")["identity"], made["selection"].iloc[-1]
    worth = dict(list(made["permutation"].groupby(level="model_id")))
    rows = {}
    for name, alone in made["information"].iterrows():
        own = features.CATALOG[name]
        by_model = {model: _known(part.loc[(model, name)]) for model, part in worth.items()}
        rows[name] = {
            "family": own.family,
            "description": own.description,
            "warmup": own.warmup,
            "importance": {"models": by_model, "alone": _known(alone), "validation": identity},
            "active": chosen[name] == KEPT,
        }
    _prove(list(rows))
    table, moment = pd.DataFrame.from_dict(rows, orient="index"), pd.Timestamp.now("UTC")
    study.store.write_features(table, leak_checked_at=moment)


def _known(row: pd.Series) -> dict[str, float | None]:
    """A row of numbers as JSON can say it."""
    return {name: float(value) if pd.notna(value) else None for name, value in row.items()}


def _prove(names: list[str]) -> None:
    """Refuse features that read the future, all of them at once."""
    bars = causality.enough_bars(max(features.CATALOG[name].warmup for name in names))
    reads = any(features.CATALOG[name].reads_news for name in names)
    causality.check(
        lambda seen, news=None: features.build(seen, names, news),
        bars,
        news=causality.probe_news(bars) if reads else None,
    ).require("a feature")
