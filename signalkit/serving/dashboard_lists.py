"""What the pages of trainings, features and backtests show."""

from __future__ import annotations

from typing import Any

import pandas as pd

from signalkit import features as columns
from signalkit.labeling import TARGETS
from signalkit.serving import reading
from signalkit.serving.charts import Drawn
from signalkit.serving.dashboard_views import equity_chart
from signalkit.store import Artifact, Store

LEARNERS = ("XGBOOST", "LIGHTGBM", "LSTM", "GRU")
_SESSIONS = 25
# of the statistics of a backtest, in this order, and what is shown in percent
_STATISTICS = {
    "return_total": "total return",
    "return_annual": "return a year",
    "volatility_annual": "volatility a year",
    "sharpe_annual": "Sharpe ratio a year",
    "sortino_annual": "Sortino ratio a year",
    "max_drawdown": "largest drawdown",
    "calmar": "Calmar ratio",
    "trades": "trades",
    "hit_rate": "trades that won",
    "profit_factor": "profit factor",
    "exposure": "exposure",
    "fees": "fees",
    "slippage": "slippage",
}
PERCENT = {
    "return_total", "return_annual", "volatility_annual", "max_drawdown", "hit_rate", "exposure",
    "fees", "slippage",
}  # fmt: skip


def training(store: Store, before: int | None) -> dict[str, Any]:
    """Sessions, newest first, and what the form offers."""
    found = store.sessions.page(before=before, limit=_SESSIONS + 1)
    return form(store) | {
        "sessions": found[:_SESSIONS],
        "next": found[_SESSIONS - 1].id if len(found) > _SESSIONS else None,
    }


def form(store: Store) -> dict[str, Any]:
    """What can be trained: bars that are stored, model types, targets."""
    stored = reading.bars(store)
    return {
        "stored": stored,
        "symbols": sorted({row["symbol"] for row in stored}),
        "intervals": sorted({row["interval"] for row in stored}),
        "sources": sorted({row["source"] for row in stored}),
        "learners": LEARNERS,
        "targets": list(TARGETS),
    }


def features(store: Store, family: str) -> dict[str, Any]:
    """The catalogue with what the store knows of each, most worth first."""
    table = store.read_features()
    known = {str(name): row for name, row in table.to_dict("index").items()}
    # a study may name columns of other windows than the usual ones
    every = {name: columns.CATALOG[name] for name in [*columns.CATALOG, *known]}
    rows = [
        _feature(feature, known.get(name))
        for name, feature in every.items()
        if family in ("", feature.family)
    ]
    most = max((row["gain"] or 0.0 for row in rows), default=0.0)
    return {
        "rows": sorted(rows, key=lambda row: (-(row["gain"] or -1.0), row["name"])),
        "families": sorted({feature.family for feature in every.values()}),
        "most": most,
        "off": sum(not row["enabled"] for row in rows),
    }


def _feature(feature: columns.Feature, stored: dict[str, Any] | None) -> dict[str, Any]:
    """One feature as its row shows it."""
    stored = stored or {"importance": None, "active": None, "enabled": True}
    worth = stored["importance"] or {}
    models = worth.get("models", {}).values()
    gains = [m["gain"] for m in models if m.get("gain") is not None]
    checked = stored.get("leak_checked_at")
    return {
        "name": feature.name,
        "family": feature.family,
        "unit": feature.unit,
        "description": feature.description,
        "warmup": feature.warmup,
        "gain": sum(gains) / len(gains) if gains else None,
        "alone": worth.get("alone") or {},
        "active": stored["active"],
        "enabled": bool(stored["enabled"]),
        "checked": None if checked is None or pd.isna(checked) else checked.isoformat(),
    }


def backtest(store: Store, run: str) -> dict[str, Any] | None:
    """A backtest: equity and statistics from its artifact, trades from the database."""
    found, trades = store.artifacts.find("backtesting", run), reading.trades(store, run)
    if found is None and not trades:
        return None
    return {
        "run": run,
        "trades": trades,
        "chart": found and _equity(found),
        "statistics": _statistics(found) if found else [],
        "made": found and found.about["created_at"],
    }


def _equity(found: Artifact) -> Drawn | None:
    """Equity of a backtest beside holding."""
    table = found.table("equity")
    times = pd.DatetimeIndex(table.index).as_unit("ns").asi8.tolist()
    lines = {name: table[name].tolist() for name in ("strategy", "hold") if name in table}
    return equity_chart({"times": times} | lines, "the backtest", "equity")


def _statistics(found: Artifact) -> list[dict[str, Any]]:
    """Statistics with their intervals, of the strategy and of holding."""
    table, bounds = found.table("statistics"), found.table("intervals")
    ranges = {(row.measure, row.account): (row.low, row.high) for row in bounds.itertuples()}
    return [
        {
            "words": words,
            "percent": name in PERCENT,
            "cells": [
                (float(table.at[name, account]), *ranges.get((name, account), (None, None)))
                for account in ("strategy", "hold")
            ],
        }
        for name, words in _STATISTICS.items()
        if name in table.index
    ]
