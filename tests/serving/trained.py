"""A data folder with hourly bars up to this hour, and models that were trained on them."""

import numpy as np
import pandas as pd

from signalkit.store import Store
from signalkit.study import Study, register, request

BARS = 700
WORDS = {
    "target": "signal_direction",
    "symbols": ["BTCUSDT"],
    "interval": "1h",
    "training_days": 180,
    "prediction_horizon": 4,
}
SMALL = {
    "features": {"families": ["price"]},
    "training": {"rounds": 3},
    "validation": {"draws": 100, "placebos": 0},
}


def walk(bars, seed=2):
    """A seeded random walk whose newest bar ended less than an hour ago."""
    rng, last = np.random.default_rng(seed), pd.Timestamp.now("UTC").floor("h")
    times = pd.date_range(end=last, periods=bars, freq="h", name="time")
    close = 100 * np.exp(rng.normal(0, 0.01, bars).cumsum())
    opened = np.r_[100, close[:-1]]
    columns = {"open": opened, "high": np.maximum(opened, close) * 1.003}
    columns |= {"low": np.minimum(opened, close) / 1.003, "close": close}
    return pd.DataFrame(columns | {"volume": rng.lognormal(3, 0.5, bars)}, times)


def collect(store, bars):
    """Bars of one coin into a store."""
    panel = pd.concat({"BTCUSDT": bars}, names=["symbol", "time"])
    store.write_bars(panel, source="binance", interval="1h", calendar="24/7")


def small_sections(asked=request.sections, **more):
    """What asks for the sections of a study, and makes them small; `more` are other sections."""

    def sections(store, **words):
        found = asked(store, **words)
        return found | {part: found[part] | own for part, own in (SMALL | more).items()}

    return sections


def small(store, model_type, **words):
    """The study of the documented call, made small; words in place of those of WORDS."""
    asked = WORDS | words
    sections = small_sections()(store, model_type=model_type, **asked)
    return Study.open(request.name(**asked), **sections)


def train(folder, *model_types, bars=BARS, **words):
    """Fill a data folder, that of SIGNALKIT_DATA; numbers of the models of these words."""
    numbers = []
    with Store.open(folder) as store:
        collect(store, walk(bars))
        for model_type in model_types:
            study = small(store, model_type, **words)
            numbers += register(study).values()
            study.store.close()
    return numbers
