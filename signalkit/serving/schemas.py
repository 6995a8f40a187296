"""What the API answers, and how it refuses.

Times are ISO 8601 in UTC; returns are fractions; horizons are bars, `hours` says how long that
is. Nothing is answered that is not declared here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["trained", "deployed", "archived"]
Stage = Literal["queued", "running", "completed", "failed", "interrupted"]


class Answer(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid")


class Fault(Answer):
    """One value that was refused."""

    location: list[str]
    detail: str


class Refusal(Answer):
    """A refusal as problem details (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: list[Fault] | None = None


class Queued(Answer):
    """A session that was queued, resumed or cancelled."""

    session_id: int
    status: Stage


class ModelRow(Answer):
    """A registered model."""

    id: int
    name: str
    model_type: str
    target_variable: str
    prediction_horizon: int
    interval: str | None
    symbols: list[str]
    features_used: list[str]
    params: dict[str, Any]
    metrics: dict[str, float]
    study: str | None
    trained_from: str
    trained_to: str
    status: Role
    is_active: bool
    deployed_at: str | None
    created_at: str
    identity: str
    sha256: str
    monitoring: dict[str, Any]


class ModelPage(Answer):
    """Models, newest first."""

    models: list[ModelRow]
    total: int


class Sides(Answer):
    """Probabilities by side."""

    sell: float
    hold: float
    buy: float


class PredictionRow(Answer):
    """A stored prediction and, once settled, what came of it."""

    id: int
    made_by: str
    model: int | None
    symbol: str
    prediction_type: str
    interval: str
    horizon: int
    prediction_value: float | None
    confidence_score: float | None
    prediction_probabilities: Sides | None
    prediction_timestamp: str
    created_at: str
    origin: str
    detail: dict[str, Any]
    known_at: str | None
    actual_value: float | None
    is_correct: bool | None


class PredictionPage(Answer):
    """Predictions, newest bar first; `next` is the `before` of the page after, null at the end."""

    predictions: list[PredictionRow]
    next: str | None


class Flag(Answer):
    """One thing that takes away from a prediction."""

    code: str
    detail: str


class LeftOut(Answer):
    """A model that does not count, and why."""

    model: int
    name: str
    code: str
    reason: str


class Vote(Answer):
    """What one model says."""

    model: int
    name: str
    model_type: str
    value: float
    probabilities: Sides | None
    confidence: float | None
    weight: float


class Predicted(Answer):
    """An answer made now; refused, it has no value and its flags say why."""

    symbol: str
    target: str
    interval: str
    horizon: int
    hours: float
    time: str | None
    asked_at: str
    value: float | None
    probabilities: Sides | None
    confidence: float | None
    origin: str
    model: int | None
    name: str | None
    refused: bool
    flags: list[Flag]
    left_out: list[LeftOut]
    stored: bool


class Joined(Predicted):
    """The answer of all deployed models together."""

    prediction_set: list[str] | None
    prediction_interval: list[float] | None
    disagreement: float | None
    votes: list[Vote]


class SessionRow(Answer):
    """A training session; `asked` and `made` are those of a job."""

    id: int
    model: str
    status: Stage
    progress: float
    started: str | None
    finished: str | None
    rows: int | None
    error: str | None
    identity: str | None
    study: str | None
    jobs: int
    done: int
    resumed: int
    asked: dict[str, Any] | None
    asked_by: str | None
    made: list[int] | None


class SessionPage(Answer):
    """Sessions, newest first."""

    sessions: list[SessionRow]
    next: int | None


class FeatureRow(Answer):
    """A feature, what it was last worth, and whether it may be read."""

    name: str
    family: str
    description: str
    warmup: int
    unit: str | None
    importance: dict[str, Any] | None
    active: bool
    enabled: bool
    leak_checked_at: str | None


class FeaturePage(Answer):
    """Every feature of the catalogue."""

    features: list[FeatureRow]
    total: int


class PerformanceRow(Answer):
    """What predictions of one maker were worth in one window, as of a bar."""

    made_by: str
    model: int | None
    prediction_type: str
    interval: str
    horizon: int
    window: str
    date: str
    n: int
    accuracy: float | None
    log_loss: float | None
    calibration: float | None
    coverage: float | None
    mse: float | None
    after_cost_return: float | None
    drift: float | None
    state: str | None
    detail: dict[str, Any]


class Scores(Answer):
    """Walk-forward scores of a registered model."""

    model: int
    name: str
    status: Role
    metrics: dict[str, float]


class PerformancePage(Answer):
    """Scores of live predictions, newest first, and those that validation promised."""

    performance: list[PerformanceRow]
    validation: list[Scores]


class BacktestRow(Answer):
    """A simulation whose trades are stored."""

    run: str
    trades: int
    created_at: str
    statistics: dict[str, float | None]


class RunRow(Answer):
    """A study that was executed as a whole."""

    id: int
    study_name: str
    identity: str
    started: str
    finished: str | None
    status: str


class BacktestPage(Answer):
    """Simulations and executed studies."""

    backtests: list[BacktestRow]
    runs: list[RunRow]


class TradeRow(Answer):
    """One trade of a simulation, with the prediction that caused it."""

    id: int
    symbol: str
    side: str
    entry_time: str
    exit_time: str | None
    entry_price: float
    exit_price: float | None
    size: float
    fee: float
    slippage: float
    funding: float
    pnl: float
    return_: Annotated[float, Field(alias="return")]
    model_id: str | None
    prediction: float | None
    confidence: float | None
    exit_reason: str


class Point(Answer):
    """Equity as a multiple of the first."""

    time: str
    strategy: float
    hold: float | None


class Backtest(BacktestRow):
    """A simulation with its newest trades and its equity, thinned."""

    newest_trades: list[TradeRow]
    equity: list[Point]


class AlarmRow(Answer):
    """An alarm; closed, it says by whom."""

    id: int
    kind: str
    subject: str
    time: str
    raised_at: str
    detail: dict[str, Any]
    closed_at: str | None
    closed_by: str | None


class AlarmPage(Answer):
    """Alarms, newest first."""

    alarms: list[AlarmRow]


class SignalRow(Answer):
    """The position wanted at a bar's end, a fraction of equity."""

    study: str
    symbol: str
    time: str
    weight: float
    price: float
    created_at: str
    detail: dict[str, Any]


class SignalPage(Answer):
    """Signals, newest bar first."""

    signals: list[SignalRow]


class AuditRow(Answer):
    """Who changed what."""

    id: int
    at: str
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class AuditPage(Answer):
    """The audit, newest first."""

    audit: list[AuditRow]
    next: int | None
