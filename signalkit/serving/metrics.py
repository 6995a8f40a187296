"""Numbers of the server and its house for Prometheus.

Requests are counted under the template of their path, never under the path that was asked
for: strangers could otherwise fill the memory with names. What is in the store is read at
most every five seconds, however often it is asked for.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from signalkit.errors import StoreError
from signalkit.serving.database import Database
from signalkit.store import Store

router = APIRouter(tags=["health"])

_KEPT_SECONDS = 5.0
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

# metric: kind, what it is, its labels, and SQL whose rows are labels and value
_ASKED: dict[str, tuple[type[Metric], str, tuple[str, ...], str]] = {
    "signalkit_predictions": (
        CounterMetricFamily,
        "Predictions that are stored.",
        (),
        "SELECT count(*) FROM ml_predictions",
    ),
    "signalkit_models": (
        GaugeMetricFamily,
        "Registered models by status.",
        ("status",),
        "SELECT status, count(*) FROM ml_models GROUP BY status",
    ),
    "signalkit_training_sessions": (
        GaugeMetricFamily,
        "Training sessions by status; those queued wait for a worker.",
        ("status",),
        "SELECT status, count(*) FROM ml_training_sessions GROUP BY status",
    ),
    "signalkit_alarms_open": (
        GaugeMetricFamily,
        "Alarms that nobody has closed.",
        (),
        "SELECT count(*) FROM alarms WHERE closed_at IS NULL",
    ),
    "signalkit_newest_bar_age_seconds": (
        GaugeMetricFamily,
        "Seconds since the end of the newest stored bar.",
        ("symbol", "interval", "source"),
        "SELECT symbol, interval, source, ? - last_bar / 1e9 FROM symbols",
    ),
}


class _House(Collector):
    """What the store holds, read at most every five seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._read: tuple[float, list[Metric]] = (-_KEPT_SECONDS, [])

    def describe(self) -> Iterable[Metric]:
        """Nothing: what is in the store is not read to be registered."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The store's numbers; of a store that cannot be read, that it cannot."""
        with self._lock:
            if self._clock() - self._read[0] >= _KEPT_SECONDS:
                self._read = self._clock(), list(self._asked())
            return self._read[1]

    def _asked(self) -> Iterator[Metric]:
        """The numbers as they are now."""
        readable, found = 1.0, []
        try:
            with self._database.reading() as store:
                found = [_measured(store, name) for name in _ASKED]
        except (StoreError, sqlite3.Error):
            readable = 0.0
        yield from found
        words = "Whether the store can be read."
        yield GaugeMetricFamily("signalkit_store_readable", words, value=readable)


def _measured(store: Store, name: str) -> Metric:
    """One metric of the store."""
    kind, words, labels, sql = _ASKED[name]
    metric = kind(name, words, labels=labels)
    for *told, value in store.db.execute(sql, [time.time()] * sql.count("?")).fetchall():
        metric.add_metric(told, value)
    return metric


class Metrics:
    """The metrics of one server.

    Parameters
    ----------
    database : Database
        The store whose numbers are told.
    clock : callable
        Seconds that only grow.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "signalkit_requests",
            "Answered requests.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "signalkit_request_seconds",
            "Seconds from the request to the head of its answer.",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_House(database, clock))

    def seen(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer."""
        route = template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route, method).observe(seconds)

    def text(self) -> bytes:
        """All numbers in the format of Prometheus."""
        return generate_latest(self._registry)


def template(scope: Scope) -> str:
    """The template of the path that answered a request, such as `/api/ml/models/{id}/`."""
    chosen = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    path = getattr(chosen, "path_format", None)
    if path is None:
        return getattr(scope.get("endpoint"), "prefix", "none")
    return path


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """Numbers of the server and its house in the format of Prometheus."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
