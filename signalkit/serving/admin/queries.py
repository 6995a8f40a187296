"""What the admin pages ask of the database, and how its tables are shown."""

from __future__ import annotations

from typing import Any

# the newest score of each model beside what it was trained with
_MODELS = """
WITH newest AS (
    SELECT model, n, accuracy, log_loss, state, date,
        row_number() OVER (PARTITION BY model ORDER BY date DESC, n DESC) AS place
    FROM ml_model_performance WHERE model IS NOT NULL)
SELECT m.id, m.name, m.model_type, m.target_variable, m.prediction_horizon, m.status,
    coalesce(p.state, 'not measured') AS performance, round(p.accuracy, 4) AS accuracy_now,
    round(m.accuracy, 4) AS accuracy_promised, round(p.log_loss, 4) AS log_loss_now,
    round(m.log_loss, 4) AS log_loss_promised, round(m.auc, 4) AS auc, p.n AS settled,
    p.date AS measured, m.deployed_at, m.created_at
FROM ml_models AS m LEFT JOIN newest AS p ON p.model = m.id AND p.place = 1
ORDER BY m.status = 'deployed' DESC, m.id DESC
"""
_PREDICTIONS = """
SELECT prediction_timestamp, symbol, interval, prediction_type, horizon, made_by,
    prediction_value, round(confidence_score, 4) AS confidence_score, actual_value, is_correct,
    known_at, origin, prediction_probabilities
FROM ml_predictions WHERE :symbol = '' OR symbol = :symbol
ORDER BY prediction_timestamp DESC, id DESC LIMIT 500
"""
_FEATURES = """
SELECT f.name, f.family, f.description, f.warmup, f.enabled, f.active,
    i.key AS measured_by, round(i.atom, 5) AS importance, f.leak_checked_at
FROM ml_features AS f LEFT JOIN json_tree(coalesce(f.importance, '{}')) AS i
    ON i.type IN ('real', 'integer')
ORDER BY importance DESC NULLS LAST, f.name
"""
_SESSIONS = """
SELECT id, model, study, status, round(progress, 3) AS progress, error, done, jobs, resumed,
    started, finished, rows, asked_by
FROM ml_training_sessions ORDER BY status IN ('failed', 'interrupted') DESC, id DESC LIMIT 500
"""
_PERFORMANCE = """
SELECT p.date, p.made_by, m.name, p.prediction_type, p.interval, p.horizon, p.window, p.n,
    p.state, round(p.accuracy, 4) AS accuracy, round(p.log_loss, 4) AS log_loss,
    round(p.calibration, 4) AS calibration, round(p.coverage, 4) AS coverage,
    round(p.mse, 8) AS mse, round(p.after_cost_return, 6) AS after_cost_return,
    round(p.drift, 4) AS drift
FROM ml_model_performance AS p LEFT JOIN ml_models AS m ON m.id = p.model
WHERE :made_by = '' OR p.made_by = :made_by ORDER BY p.date DESC, p.made_by LIMIT 500
"""
_ALARMS = """
SELECT id, kind, subject, time, raised_at, CASE WHEN closed_at IS NULL THEN 'open' ELSE 'closed'
    END AS state, closed_at, closed_by, detail
FROM alarms ORDER BY closed_at IS NULL DESC, id DESC LIMIT 500
"""
_LEDGER = """
SELECT seq, recorded_at AS noted, holdout, params, substr(configuration, 1, 12) AS configuration,
    substr(hash, 1, 12) AS hash, substr(previous, 1, 12) AS previous
FROM trials ORDER BY seq DESC LIMIT 500
"""
_AUDIT = "SELECT id, at, actor, action, subject, detail FROM audit ORDER BY id DESC LIMIT 500"

# name: title, what it is for, SQL
_ASKED = {
    "models": ("Models", "What each promised and what it keeps.", _MODELS),
    "predictions": ("Predictions", "Newest first; name a symbol or leave it empty.", _PREDICTIONS),
    "features": ("Features", "What each was worth to the models that read it.", _FEATURES),
    "sessions": ("Training sessions", "Those that failed come first.", _SESSIONS),
    "performance": ("Performance", "Scores of settled predictions over time.", _PERFORMANCE),
    "alarms": ("Alarms", "Open ones come first.", _ALARMS),
    "ledger": ("Trial ledger", "Every configuration whose outcome was seen.", _LEDGER),
    "audit": ("Audit", "Who changed what.", _AUDIT),
}
QUERIES: dict[str, dict[str, str]] = {
    name: {"title": title, "description": text, "sql": sql.strip()}
    for name, (title, text, sql) in _ASKED.items()
}

TABLES: dict[str, dict[str, Any]] = {
    "ml_models": {
        "facets": ["status", "model_type", "target_variable"],
        "sort_desc": "id",
        "label_column": "name",
    },
    "ml_predictions": {
        "facets": ["symbol", "prediction_type", "made_by", "is_correct"],
        "sort_desc": "id",
    },
    "ml_training_sessions": {"facets": ["status", "study"], "sort_desc": "id"},
    "ml_features": {"facets": ["family", "enabled", "active"]},
    "ml_model_performance": {"facets": ["made_by", "state", "window"], "sort_desc": "date"},
    "alarms": {"facets": ["kind", "subject"], "sort_desc": "id"},
    "signals": {"facets": ["study", "symbol"], "sort_desc": "time"},
    "trades": {"facets": ["symbol", "side", "exit_reason"], "sort_desc": "id"},
    "runs": {"facets": ["study_name", "status"], "sort_desc": "id"},
    "trials": {"facets": ["holdout"], "sort_desc": "seq"},
    "audit": {"facets": ["actor", "action"], "sort_desc": "id"},
    "symbols": {"facets": ["source", "interval"]},
    "news": {"facets": ["source"], "sort_desc": "id"},
}
