"""The sections of a params file: names, types and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from signalkit.params.live import Inference, Monitoring
from signalkit.params.money import Backtesting, Signals
from signalkit.params.types import (
    Bars,
    Date,
    Interval,
    Latency,
    Section,
    Setting,
    Source,
    Symbol,
    Window,
    Zone,
)

Model = Literal["XGBOOST", "LIGHTGBM", "LSTM", "GRU"]
Target = Literal[
    "signal_direction", "target_return", "target_volatility", "target_profitable", "triple_barrier"
]


# what a file of bars may hide; `allow` flags it instead of refusing the file
DefectName = Literal[
    "interpolated",
    "forward_filled",
    "copied",
    "spikes",
    "interval",
    "swapped_volume",
    "conflicting",
    "disorder",
    "broken",
]


class News(Section):
    """Which news, what they are about, and when they are known."""

    source: Literal["none", "file", "store", "simulator"] = "none"
    path: str | None = None
    tz: Zone | None = None
    latency: Latency = "1min"
    aliases: dict[Symbol, list[str]] = {}
    scorer: Literal["vader", "vader_finance", "transformer"] = "vader_finance"
    lexicon: str | None = None
    model: str | None = None


class Simulator(Section):
    """The simulated market, and the faults of the exchange that serves it."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    edge: Annotated[float, Field(ge=0, lt=1)] = 0.0
    lead: Bars = 4
    news_per_day: Annotated[float, Field(ge=0, le=1000)] = 4.0
    outages: Annotated[float, Field(ge=0, le=0.05)] = 0.0005
    faults: Annotated[float, Field(ge=0, le=1)] = 0.1


class Collection(Section):
    """Which bars, and which news beside them."""

    source: Source = "sample"
    symbols: Annotated[list[Symbol], Field(min_length=1)] = ["SP500", "NASDAQ"]
    interval: Interval = "1d"
    start: Date | None = None
    end: Date | None = None
    path: str | None = None
    calendar: str = "XNYS"
    tz: Zone | None = None
    allow: list[DefectName] = []
    news: News = News()
    simulator: Simulator = Simulator()

    @model_validator(mode="before")
    @classmethod
    def _always_open(cls, given: Any) -> Any:
        """Exchanges that we collect from and the simulated one never close."""
        if isinstance(given, dict) and given.get("source", "sample") not in {"sample", "files"}:
            return {"calendar": "24/7"} | given
        return given


class Features(Section):
    """Which columns; empty `names` takes every feature of the families.

    `windows` replaces the usual windows of a kind, `talib` adds functions of TA-Lib; up to
    `max_gap` missing bars in a row are bridged, after more every feature starts anew.
    """

    families: Annotated[list[str], Field(min_length=1)] = [
        "price",
        "technical",
        "volume",
        "calendar",
        "lagged",
        "rolling",
        "volatility",
    ]
    names: list[str] = []
    windows: dict[str, list[Window]] = {}
    talib: list[dict[str, Setting]] = []
    max_gap: Annotated[int, Field(ge=0)] = 10


# the names of section labeling that each target reads beside its horizon
TARGET_SETTINGS: dict[str, tuple[str, ...]] = {
    "signal_direction": ("scale", "threshold", "volatility_span"),
    "target_return": (),
    "target_volatility": ("estimator",),
    "target_profitable": ("side",),
    "triple_barrier": ("volatility_span", "upper", "lower", "entry", "touch", "vertical"),
}


class Labeling(Section):
    """What is predicted."""

    target: Target = "signal_direction"
    horizon: Bars = 5
    threshold: Annotated[float, Field(ge=0)] = 0.5
    scale: Literal["volatility", "fixed"] = "volatility"
    volatility_span: Annotated[int, Field(ge=2)] = 60
    estimator: Literal["realised", "parkinson", "garman_klass", "rogers_satchell", "yang_zhang"] = (
        "realised"
    )
    side: Literal["long", "short"] = "long"
    upper: Annotated[float, Field(gt=0)] = 1.0
    lower: Annotated[float, Field(gt=0)] = 1.0
    entry: Literal["close", "next_close", "next_open"] = "close"
    touch: Literal["high_low", "close"] = "high_low"
    vertical: Literal["zero", "sign"] = "zero"

    def settings(self) -> dict[str, Any]:
        """The names that the target reads beside its horizon, with their values."""
        return {name: getattr(self, name) for name in TARGET_SETTINGS[self.target]}

    @property
    def says(self) -> str:
        """What a prediction of the target says to who sizes positions."""
        told = {"target_profitable": self.side, "target_volatility": "nothing"}
        return told.get(self.target, "direction")


class Selection(Section):
    """Which columns a model may read; decided inside each training window."""

    max_correlation: Annotated[float, Field(gt=0, le=1)] | None = None
    keep: Annotated[int, Field(ge=1)] | None = None
    by: Literal["ic", "gain"] = "ic"


class Recurrent(Section):
    """How LSTM and GRU are built and fitted; `patience` is read where they stop early."""

    units: Annotated[int, Field(ge=1, le=1024)] = 32
    layers: Annotated[int, Field(ge=1, le=4)] = 1
    lookback: Bars = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.001
    epochs: Annotated[int, Field(ge=1, le=1000)] = 15
    batch: Annotated[int, Field(ge=1)] = 256
    patience: Annotated[int, Field(ge=1)] = 3


class Weights(Section):
    """What a training row weighs; decided from the training rows alone."""

    uniqueness: bool = True
    last: Annotated[float, Field(gt=-1, le=1)] = 1.0
    balanced: bool = False


class Stopping(Section):
    """Which models stop early, on the newest share of what calibration leaves of a window."""

    models: list[Model] = ["LSTM", "GRU"]
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.15
    patience: Annotated[int, Field(ge=1)] = 20


class Calibration(Section):
    """How probabilities become confidence, on which newest share of a training window."""

    method: Literal["none", "temperature", "sigmoid", "isotonic"] = "temperature"
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.2
    refit: bool = False
    coverage: Annotated[float, Field(gt=0.5, lt=1)] = 0.9


class Ensemble(Section):
    """How models are joined: by their settled results, alike, or by a model of them."""

    method: Literal["weighted", "mean", "stacking"] = "weighted"
    half_life: Bars = 250


class Tuning(Section):
    """A search for settings inside each training window; 0 trials is none."""

    trials: Annotated[int, Field(ge=0, le=10_000)] = 0
    seconds: Annotated[float, Field(gt=0)] | None = None
    folds: Annotated[int, Field(ge=1, le=20)] = 3


class Training(Section):
    """Which models, how they are fitted, on which columns, and what is made of their answers."""

    models: Annotated[list[Model], Field(min_length=1)] = ["XGBOOST", "LIGHTGBM"]
    pooled: bool = True
    rounds: Annotated[int, Field(ge=1, le=10_000)] = 100
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    depth: Annotated[int, Field(ge=1, le=12)] = 3
    min_rows_leaf: Annotated[int, Field(ge=1)] = 50
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.7
    column_share: Annotated[float, Field(gt=0, le=1)] = 0.7
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    recurrent: Recurrent = Recurrent()
    weights: Weights = Weights()
    stopping: Stopping = Stopping()
    calibration: Calibration = Calibration()
    ensemble: Ensemble = Ensemble()
    tuning: Tuning = Tuning()
    selection: Selection = Selection()

    def settings(self, model: str) -> dict[str, Any]:
        """The settings that a model type reads, with their values."""
        if model in {"LSTM", "GRU"}:
            return self.recurrent.model_dump() | {"seed": self.seed}
        names = ("rounds", "learning_rate", "depth", "min_rows_leaf", "row_share", "column_share")
        own = {name: getattr(self, name) for name in names}
        return own | {"patience": self.stopping.patience, "seed": self.seed}


class Combinatorial(Section):
    """Combinatorial purged evidence of one model beside the walk-forward; 0 folds is none."""

    folds: Annotated[int, Field(ge=0, le=20)] = 0
    test_folds: Annotated[int, Field(ge=1, le=10)] = 2


class Validation(Section):
    """How evidence is gathered."""

    train: Bars = 1000
    test: Bars = 250
    step: Bars | None = None
    expanding: bool = False
    gap: Annotated[int, Field(ge=0)] = 0
    holdout_from: Date = "2016-01-01"
    draws: Annotated[int, Field(ge=100, le=100_000)] = 1000
    block: Bars | None = None
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    placebos: Annotated[int, Field(ge=0, le=999)] = 1
    combinatorial: Combinatorial = Combinatorial()


# sections that only a deployed study reads
DEPLOYED = ("inference", "monitoring")


class Params(Section):
    """A whole study: its name and one section a stage."""

    study_name: Symbol = "quickstart"
    collection: Collection = Collection()
    features: Features = Features()
    labeling: Labeling = Labeling()
    training: Training = Training()
    validation: Validation = Validation()
    signals: Signals = Signals()
    backtesting: Backtesting = Backtesting()
    inference: Inference = Inference()
    monitoring: Monitoring = Monitoring()

    def configuration(self) -> dict[str, Any]:
        """Everything that tells one trial from another: not the name, not the holdout's door.

        What is done with a deployed model changes no trial either.
        """
        besides = dict.fromkeys(("study_name", *DEPLOYED), True)
        return self.model_dump(exclude=besides | {"backtesting": {"open_holdout"}})


SECTIONS = tuple(name for name in Params.model_fields if name != "study_name")
