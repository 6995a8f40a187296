"""A new hour in the store to the ensemble's answer and its stored row, one at a time."""

import numpy as np
import pandas as pd
import pytest

from signalkit import collection, features, training
from signalkit.inference import Predictor
from signalkit.store import Store
from signalkit.store.predictions import Asked, Outcome, Predicted
from signalkit.study import Study, register
from tests.features.bar_sets import LACKING, SHARED, SHARED_FILES

# milliseconds from a new bar to its stored rows, of two boosters and with a network as third;
# the rows alone; what a naive answer takes against ours; stated in docs/inference.md
MEDIAN, WORST, NETWORK, ROW, NAIVE = 3.0, 8.0, 25.0, 1.0, 10.0
FIRST, BARS, HORIZON, SETTLED = 20_000, 8_000, 24, 5_000
HOURS = {"source": "binance", "interval": "1h", "calendar": "24/7"}
ASKED = Asked("signal_direction", "1h", HORIZON)
SIDES = ("sell", "hold", "buy")


class House:
    """A store with deployed models and settled predictions, to which bars come."""

    def __init__(self, store, bars, models):
        self.store, self.bars, self.newest = store, bars, BARS
        self.collect(0, BARS)
        study = Study.open(
            "served",
            collection={"source": "binance", "symbols": ["BTCUSDT"], "interval": "1h"},
            labeling={"horizon": HORIZON},
            training={"models": models},
            validation={"train": 2000, "holdout_from": str(bars.index[BARS - 1].date())},
        )
        for number in register(study).values():
            store.models.deploy(number)
        self.outcomes = np.random.default_rng(1).integers(-1, 2, len(bars)).astype(float)
        self.predict(range(BARS - SETTLED - HORIZON, BARS))
        self.settle()
        self.predictor = Predictor(store)

    def collect(self, first, end):
        part = pd.concat({"BTCUSDT": self.bars[first:end]}, names=["symbol", "time"])
        self.store.write_bars(part, **HOURS)

    def predict(self, places):
        """Stored predictions of each model at some bars, drawn."""
        rng, numbers = np.random.default_rng(2), [m.id for m in self.store.models.list()]
        self.store.predictions.write(
            Predicted(
                str(number), "BTCUSDT", ASKED, self.bars.index[place].value, 0.0, 0.5,
                dict(zip(SIDES, rng.dirichlet([4, 4, 4]), strict=True)),
            )
            for place in places for number in numbers
        )  # fmt: skip

    def settle(self):
        """Write the outcomes that the newest bar makes known."""
        found, times = [], self.bars.index.as_unit("ns").asi8
        for row in self.store.predictions.unsettled(ASKED):
            place = int(np.searchsorted(times, row["prediction_timestamp"]))
            if place + HORIZON < self.newest:
                known = int(times[place + HORIZON])
                found.append(Outcome(row["id"], known, self.outcomes[place], None))
        self.store.predictions.settle(found)

    def next_bar(self):
        """One bar more in the store, and what it settles."""
        self.collect(self.newest, self.newest + 1)
        self.newest += 1
        self.settle()

    def answer(self):
        """The ensemble's answer of the newest bar and those of its members, stored."""
        at = self.bars.index[self.newest - 1]
        found = self.predictor.get_ensemble_prediction("BTCUSDT", HORIZON, at=at)
        self.write(found)
        return found

    def write(self, found):
        made = [("ENSEMBLE", found), *((str(vote.model), vote) for vote in found.votes)]
        self.store.predictions.write(
            Predicted(
                by, "BTCUSDT", ASKED, found.time.value, one.value, one.confidence,
                one.probabilities,
            )
            for by, one in made
        )  # fmt: skip


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Makes a house of some models; one thread, as a server that shares two cores."""
    if not SHARED.exists():
        pytest.skip(LACKING)
    monkeypatch.setenv("SIGNALKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")
    path, options, _ = SHARED_FILES["hours"]
    bars = collection.read_file(SHARED / path, **options)[FIRST : FIRST + BARS + 1000]
    opened = []

    def made(*models):
        opened.append(Store.open(tmp_path / "data"))
        return House(opened[-1], bars, list(models))

    yield made
    for store in opened:
        store.close()


def milliseconds(benchmark, function, before):
    """Median and 99th percentile of a function, each time after something is made ready."""

    def ready():
        before()
        return (), {}

    benchmark.pedantic(function, setup=ready, rounds=400, iterations=1, warmup_rounds=30)
    found = 1e3 * np.percentile(benchmark.stats.stats.data, [50, 99])
    benchmark.extra_info |= dict(zip(("p50_ms", "p99_ms"), found.tolist(), strict=True))
    return found


def test_a_new_bar_to_the_stored_answer_of_two_boosters(benchmark, house):
    served = house("XGBOOST", "LIGHTGBM")
    first = served.answer()
    assert len(first.votes) == 2
    assert first.prediction_set is not None
    median, worst = milliseconds(benchmark, served.answer, served.next_bar)
    assert median <= MEDIAN
    assert worst <= WORST


def test_a_new_bar_to_the_stored_answer_with_a_network(benchmark, house):
    served = house("XGBOOST", "LIGHTGBM", "LSTM")
    assert len(served.answer().votes) == 3
    worst = milliseconds(benchmark, served.answer, served.next_bar)[1]
    assert worst <= NETWORK


def test_what_the_row_itself_costs(benchmark, house):
    served = house("XGBOOST", "LIGHTGBM")
    answers = []

    def before():
        served.next_bar()
        at = served.bars.index[served.newest - 1]
        answers.append(served.predictor.get_ensemble_prediction("BTCUSDT", HORIZON, at=at))

    milliseconds(benchmark, lambda: served.write(answers[-1]), before)
    # the least: the disk, where others write to it, decides the rest
    assert 1e3 * benchmark.stats.stats.min <= ROW


def test_all_anew_takes_many_times_as_long(benchmark, house, best):
    served = house("XGBOOST", "LIGHTGBM")
    held = [served.predictor._panel.shelf.member(one) for one in served.store.models.list()]
    past = pd.concat([served.store.predictions.table(str(one.entry.id), ASKED) for one in held])
    names, columns = [str(one.entry.id) for one in held], held[0].trained.columns

    def votes():
        bars = served.store.read_bars("BTCUSDT", "1h", source="binance")
        panel = pd.concat({"BTCUSDT": bars}, names=["symbol", "time"])
        table = features.build(panel, columns, interval="1h", calendar="24/7")
        return [one.trained.predict_proba(table, np.array([len(table) - 1]))[0] for one in held]

    def joined():
        found = training.combine(past, names, half_life=250).predictions
        training.prediction_sets(found.xs(training.ENSEMBLE, level="model_id"))

    anew, again = best(votes), best(joined)
    served.answer()
    median = milliseconds(benchmark, served.answer, served.next_bar)[0]
    benchmark.extra_info |= {"features_anew_ms": 1e3 * anew, "joined_anew_ms": 1e3 * again}
    last = served.answer()
    said = {vote.model: list(vote.probabilities.values()) for vote in last.votes}
    assert [said[one.entry.id] for one in held] == [shares.tolist() for shares in votes()]
    assert 1e3 * (anew + again) / median >= NAIVE
