"""warm.py with a lookback: a recurrent model is served from its last rows, bit for bit."""

import numpy as np
import pytest

from signalkit import features
from signalkit.inference import Predictor
from signalkit.study import register
from signalkit.study.hull import Hull
from signalkit.training import Trained
from tests.inference.studies import study_of

HOURS = 5 * 24
SMALL = {"units": 4, "lookback": 8, "epochs": 1, "dropout": 0.0}


@pytest.mark.parametrize("target", ["signal_direction", "target_return"])
def test_a_recurrent_model_is_served_with_the_bits_of_batch(own_store, monkeypatch, target):
    # the first bars are wilder than those of the training window
    monkeypatch.setattr(Hull, "outside", lambda self, row: [])
    study = study_of(
        training={"models": ["GRU"], "recurrent": SMALL},
        features={"families": ["price"]},
        labeling={"target": target},
    )
    (number,) = register(study).values()
    study.store.models.deploy(number)
    bars = study.every_bar.loc["SP500"]
    found = Trained.load(study.store.models.files(number))
    table = features.build(bars, interval="1d", calendar="XNYS")[found.columns]
    rows = np.flatnonzero(table.notna().all(axis=1))
    classifies = target == "signal_direction"
    whole = (found.predict_proba if classifies else found.predict)(table, rows)
    predictor, first = Predictor(study.store), int(rows[0])
    for place in [*range(first, first + 12), 900, 901, 902]:
        told = predictor.predict("SP500", HOURS, target, at=bars.index[place])
        assert told.origin == "deployed"
        if classifies:
            assert list(told.probabilities.values()) == whole[place - first].tolist()
        else:
            assert (told.value, told.probabilities) == (whole[place - first], None)
