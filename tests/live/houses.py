"""A study of made-up hourly bars, and houses in which its last fold's models are deployed."""

import io
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit import validation
from signalkit.causality import probe_bars
from signalkit.live import Loop
from signalkit.live.record import SIDES
from signalkit.params import Params
from signalkit.study import Study, learning
from signalkit.study.hull import HULL, Hull
from signalkit.study.registry import PAST, STUDY

SYMBOL = "BTCUSDT"
SHARES = ["p_sell", "p_hold", "p_buy"]
HORIZON = 4


@dataclass(frozen=True)
class Walked:
    """A study that was walked, and the files of its last fold's models by type."""

    bars: dict[str, pd.DataFrame]
    asked: Params
    predictions: pd.DataFrame
    weights: pd.DataFrame
    files: dict[str, dict[str, bytes]]
    trained: tuple[pd.Timestamp, pd.Timestamp]
    first: pd.Timestamp
    border: pd.Timestamp

    @property
    def clock(self):
        """Bar ends that the last fold tests."""
        times = next(iter(self.bars.values())).index
        return times[(times >= self.first) & (times < self.border)]

    def write(self, store, start=None, end=None):
        """Bars of all symbols into a store."""
        for symbol, bars in self.bars.items():
            panel = pd.concat({symbol: bars.loc[start:end]}, names=["symbol", "time"])
            store.write_bars(panel, source="binance", interval="1h", calendar="24/7")

    def deploy(self, store, *, mark="", **monitoring):
        """The models, deployed in a store that has the bars before the last fold's test."""
        self.write(store, end=self.first - pd.Timedelta(1, "ns"))
        return {model: self.enter(store, model, mark=mark, **monitoring) for model in self.files}

    def enter(self, store, model, *, deploy=True, mark="", **monitoring):
        """One model into the registry; its number."""
        told = self.asked.model_dump(mode="json")
        told["monitoring"] |= monitoring
        files = self.files[model] | {STUDY: json.dumps(told).encode()}
        number = store.models.register(
            name=f"{self.asked.study_name}.{model}",
            identity=f"{model}{mark}".lower(),
            model_type=model,
            target_variable=self.asked.labeling.target,
            prediction_horizon=self.asked.labeling.horizon,
            features_used=json.loads(files["recipe.json"])["columns"],
            params={},
            files=files,
            metrics={"log_loss": 1.0 + len(model) / 100},
            study=self.asked.study_name,
            symbols=self.asked.collection.symbols,
            interval="1h",
            trained_from=self.trained[0],
            trained_to=self.trained[1],
        )
        if deploy:
            store.models.deploy(number)
        return number


def walked(n_bars, *, models=("XGBOOST", "LIGHTGBM"), symbols=(SYMBOL,), **sections):
    """A study over made-up bars, walked in the data folder of the environment."""
    bars = {name: probe_bars(n_bars, seed=5 + i) for i, name in enumerate(symbols)}
    border = bars[symbols[0]].index[-30]
    asked = {
        "collection": {"source": "binance", "symbols": list(symbols), "interval": "1h"},
        "features": {"families": ["price"]},
        "labeling": {"horizon": HORIZON},
        "training": {"models": list(models), "rounds": 8},
        "validation": {"train": 250, "test": 100, "draws": 100, "placebos": 0},
        "monitoring": {"window": 40, "drift_window": 40},
    }
    for name, section in sections.items():
        asked[name] = asked.get(name, {}) | section
    asked["validation"]["holdout_from"] = border.isoformat()
    study = Study.open("house", **asked)
    Walked(bars, study.params, *[None] * 6).write(study.store)
    table, answers = study.features(), study.labels()
    answers, rows = validation.aligned(table, answers)
    own = answers.iloc[rows]
    times = own.index.get_level_values("time")
    train, test = list(study.splits.split(times, own["known_at"]))[-1]
    found, weights, first = study.validate(), study.signals(), times[test].min()
    ends = times[train].min(), times[train].max()
    recipe, files = learning.recipe(study), {}
    told = recipe.columns(table, answers, rows[train])
    for model in models:
        empty = learning.models(study)[model]
        fitted = recipe.fit(empty, table, answers, rows[train], told=told)
        past, content = found.xs(model, level="model_id"), io.BytesIO()
        past[past.index.get_level_values("time") < first].to_parquet(content)
        # of all rows: what lies outside is told of, or left out, which validation does not do
        hull = Hull.of(table[fitted.columns], times[0], times[-1]).content()
        files[model] = fitted.files() | {PAST: content.getvalue(), HULL: hull}
    study.store.close()
    return Walked(bars, study.params, found, weights, files, ends, first, border)


TABLES = ("ml_predictions", "signals", "alarms", "live_states", "ml_model_performance")
_MOMENTS = ("created_at", "changed_at", "raised_at", "id")


def dump(store, tables=TABLES):
    """Every row that the loop writes, without the moments at which it was written."""
    found = {}
    for table in tables:
        rows = store.db[table].rows
        kept = [{n: v for n, v in row.items() if n not in _MOMENTS} for row in rows]
        found[table] = sorted(kept, key=lambda row: json.dumps(row, sort_keys=True))
    return found


def fed(house, store, times, loop=None):
    """Bars written one by one, each followed by a step at its end; the last step."""
    done = None
    for at in times:
        house.write(store, at, at)
        done = (loop or Loop(store)).step(at)
    return done


def answers(store, made_by):
    """What a maker answered, by bar end."""
    rows = store.predictions.page(made_by=str(made_by), limit=10_000)[::-1]
    told = [json.loads(row["prediction_probabilities"] or "{}") for row in rows]
    table = pd.DataFrame(rows).assign(**{f"p_{s}": [t.get(s) for t in told] for s in SIDES})
    times = pd.DatetimeIndex(np.array(table["prediction_timestamp"], "M8[ns]"), tz="UTC")
    return table.set_axis(pd.MultiIndex.from_arrays([table["symbol"], times]))


def bits(values):
    """Numbers as their bits, NaN among them."""
    return np.asarray(values, dtype=float).view(np.int64).tolist()
