"""Trained models into the registry: their files, what they read, and their scores.

A model's scores are those of its walk-forward predictions, never of rows it has seen.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pandas as pd

from signalkit.lineage import digest
from signalkit.training.recipe import RECIPE

if TYPE_CHECKING:
    from signalkit.study.study import Study

# names of our scores in the database
_COLUMNS = {"f1": "f1_score"}


def register(study: Study, scores: pd.DataFrame | None = None) -> dict[str, int]:
    """Enter the models of a study's newest training window.

    Parameters
    ----------
    study : Study
        Its training stage is made if it was not.
    scores : DataFrame indexed by (model_id, metric), optional
        What the walk-forward gave; without it models are entered without scores.

    Returns
    -------
    dict of str to int
        Number in the registry, by model.
    """
    made = study.artifact("training")
    table, asked = made.table("models"), study.params
    names = [str(name) for name in made.about["files"]]
    numbers = {}
    for model in asked.training.models:
        mine = [name for name in names if name.startswith(f"{model}.")]
        files = {name.removeprefix(f"{model}."): made.path(name).read_bytes() for name in mine}
        metrics = _scores(scores, model)
        name = f"{asked.study_name}.{model}"
        own = {"training": made.identity, "name": name, "scores": sorted(metrics.items())}
        row = table.loc[model]
        numbers[model] = study.store.models.register(
            name=name,
            identity=digest(own),
            model_type=model,
            target_variable=asked.labeling.target,
            prediction_horizon=asked.labeling.horizon,
            features_used=json.loads(files[RECIPE])["columns"],
            params=asked.training.settings(model),
            files=files,
            metrics=metrics,
            study=asked.study_name,
            symbols=asked.collection.symbols,
            interval=asked.collection.interval,
            trained_from=row["from"],
            trained_to=row["to"],
        )
    return numbers


def _scores(scores: pd.DataFrame | None, model: str) -> dict[str, float]:
    """A model's scores by their names in the database; none where it has none."""
    if scores is None or model not in scores.index.get_level_values("model_id"):
        return {}
    found = scores.loc[model, "value"].rename(_COLUMNS).to_dict()
    return {name: value for name, value in found.items() if math.isfinite(value)}
