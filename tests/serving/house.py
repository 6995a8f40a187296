"""A data folder with something in every table: what pages show and what nobody may change."""

import hashlib
import json

import pandas as pd

from signalkit.store import Store, audit
from signalkit.store.predictions import Asked, Outcome, Predicted

HOUR = 3_600 * 10**9
FIRST = int(pd.Timestamp("2024-03-01", tz="UTC").value)
EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
DIRECTION = Asked("signal_direction", "1h", 24)


def furnish(folder):
    """Fill a data folder; model 1 is archived, 2 and 3 are deployed, 4 is only trained."""
    with Store.open(folder) as store:
        numbers = [_model(store, *told) for told in _MODELS]
        for number in numbers[:3]:
            store.models.deploy(number)
        _predict(store, numbers[1:3])
        _watch(store, numbers[1:3])
        _rest(store)
        store.write_features(_features(numbers))


_MODELS = (
    ("btc_direction", "XGBOOST", "signal_direction", {"accuracy": 0.41, "auc": 0.561}),
    ("btc_direction", "XGBOOST", "signal_direction", {"accuracy": 0.43, "auc": 0.573}),
    ("btc_return", "LIGHTGBM", "target_return", {"mse": 0.00031, "mae": 0.0121}),
    (EVIL, "LSTM", "signal_direction", {"accuracy": 0.36, "auc": 0.49}),
)


def _model(store, name, kind, target, metrics):
    identity = hashlib.sha256(f"{name}{kind}{metrics}".encode()).hexdigest()
    return store.models.register(
        name=name, identity=identity, model_type=kind, target_variable=target,
        prediction_horizon=24, features_used=["return_1", "rsi_14"], params={"rounds": 100},
        files={"model.txt": identity.encode()}, metrics=metrics, study="house",
        symbols=["BTCUSDT", "ETHUSDT"], interval="1h",
        trained_from=pd.Timestamp("2023-01-01", tz="UTC"),
        trained_to=pd.Timestamp("2024-02-01", tz="UTC"),
    )  # fmt: skip


def _predict(store, numbers):
    shares = {"sell": 0.2, "hold": 0.25, "buy": 0.55}
    told = {"asked": DIRECTION, "value": 1.0, "confidence": 0.55, "probabilities": shares}
    store.predictions.write(
        Predicted(made_by=str(number), symbol=symbol, time=FIRST + bar * HOUR, **told)
        for bar in range(40)
        for symbol in ("BTCUSDT", "ETHUSDT")
        for number in numbers
    )
    open_rows = store.predictions.unsettled(DIRECTION)[:100]
    store.predictions.settle(
        [
            Outcome(r["id"], r["prediction_timestamp"] + 24 * HOUR, 1.0, bool(r["id"] % 3))
            for r in open_rows
        ]
    )


def _watch(store, numbers):
    for number, state in zip(numbers, ("kept", "worse"), strict=True):
        store.watch.write_performance(
            str(number),
            DIRECTION,
            [
                {"window": "200", "date": FIRST + day * 24 * HOUR, "n": 200, "accuracy": 0.42,
                 "log_loss": 1.07, "calibration": 0.03, "state": state}
                for day in range(5)
            ],
        )  # fmt: skip
    store.watch.raise_alarm("accuracy", f"model {numbers[1]}", FIRST, {"evidence": 23.0})
    rows = [{"symbol": "BTCUSDT", "time": FIRST, "weight": 0.4, "price": 61_000.0, "detail": {}}]
    store.watch.write_signals("house", rows)
    store.watch.keep({"loop": {"beat": 1}})


def _rest(store):
    with store.sessions.open("XGBOOST", "a" * 64, study="house", jobs=4) as session:
        session.progress(2, rows=100)
    store.db["ml_training_sessions"].insert(
        {"model": "LSTM", "status": "failed", "study": "house", "progress": 0.25,
         "error": f"the loss of LSTM is NaN after epoch 3; lower learning_rate {EVIL}"}
    )  # fmt: skip
    store.db["symbols"].insert(
        {"symbol": "BTCUSDT", "interval": "1h", "source": "binance", "base": "BTC",
         "quote": "USDT", "calendar": "24/7", "first_bar": FIRST, "last_bar": FIRST + 40 * HOUR,
         "recorded_at": FIRST // 1000}
    )  # fmt: skip
    store.db["bars"].insert_all(
        {"symbol": "BTCUSDT", "interval": "1h", "source": "binance", "time": FIRST + bar * HOUR,
         "recorded_at": FIRST // 1000, "open": 6.1e4, "high": 6.2e4, "low": 6e4, "close": 6.15e4,
         "volume": 12.5}
        for bar in range(41)
    )  # fmt: skip
    store.db["trials"].insert(
        {"configuration": "c" * 64, "params": json.dumps({"study_name": "house"}), "series": "s",
         "artifact": "b" * 64, "holdout": 0, "recorded_at": "2024-03-01T00:00:00+00:00",
         "previous": "0" * 64, "hash": "d" * 64}
    )  # fmt: skip
    store.start_run("house", "e" * 64, {"collection": {"source": "binance"}})
    audit.note(store.db, "browser (write)", "configure", "model 2", {"note": EVIL})
    store.db.conn.commit()


def _features(numbers):
    return pd.DataFrame(
        {
            "family": ["price", "technical"],
            "description": ["return of the last bar", f"relative strength {EVIL}"],
            "warmup": [1, 15],
            "importance": [
                {str(numbers[1]): 0.031, str(numbers[2]): 0.012},
                {str(numbers[1]): 0.02},
            ],
            "active": [True, True],
        },
        index=pd.Index(["return_1", "rsi_14"], name="name"),
    )


def digest(folder):
    """One hash over all rows of all tables."""
    with Store.open(folder) as store:
        seen = hashlib.sha256()
        for table in sorted(store.db.table_names()):
            rows = sorted(repr(tuple(row.values())) for row in store.db[table].rows)
            seen.update(f"{table}{rows}".encode())
    return seen.hexdigest()
