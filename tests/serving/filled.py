"""A store as a house that has run for a while leaves it, made without training anything."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.store import Asked, Outcome, Predicted, Store

DAY = 86_400_000_000_000
FIRST = 1_451_768_400_000_000_000
ASKED = Asked("signal_direction", "1d", 5)
RUN = "ab" * 32


def register(store, name="quickstart.XGBOOST", identity="a1" * 32, **given):
    """Number of a model whose file says nothing."""
    row = {
        "model_type": "XGBOOST",
        "target_variable": ASKED.target,
        "prediction_horizon": ASKED.horizon,
        "features_used": ["return_5", "std_20"],
        "params": {"depth": 3},
        "files": {"model.json": identity.encode()},
        "metrics": {"accuracy": 0.41, "log_loss": 1.08},
        "study": "quickstart",
        "symbols": ["NASDAQ", "SP500"],
        "interval": "1d",
        "trained_from": pd.Timestamp("2012-01-04", tz="UTC"),
        "trained_to": pd.Timestamp("2015-12-23", tz="UTC"),
    }
    return store.models.register(name=name, identity=identity, **row | given)


def predict(store, makers, *, bars=120, symbols=("NASDAQ", "SP500"), asked=ASKED, seed=5):
    """Write predictions of some bars; all but those of the last five bars are settled."""
    rng, times = np.random.default_rng(seed), [FIRST + k * DAY for k in range(bars)]
    truth = {symbol: rng.choice([-1.0, 0.0, 1.0], bars, p=[0.2, 0.5, 0.3]) for symbol in symbols}
    made = []
    for maker in makers:
        for symbol in symbols:
            shares = rng.dirichlet([4, 5, 5], bars)
            for time, share in zip(times, shares, strict=True):
                told = dict(zip(("sell", "hold", "buy"), map(float, share), strict=True))
                value = float(share.argmax() - 1)
                made.append(Predicted(maker, symbol, asked, time, value, max(told.values()), told))
    store.predictions.write(made)
    outcomes = []
    for row in store.predictions.unsettled(asked):
        place = (row["prediction_timestamp"] - FIRST) // DAY
        if place + 5 < bars:
            came = float(truth[row["symbol"]][place])
            right = row["prediction_value"] == came
            outcomes.append(Outcome(row["id"], times[place + 5], came, right))
    store.predictions.settle(outcomes)
    return truth


def trades(odd=""):
    """Two trades, one of them open."""
    times = pd.to_datetime([FIRST, FIRST + DAY], utc=True)
    rows = {
        "symbol": ["SP500", f"NASDAQ{odd}"],
        "side": ["long", "short"],
        "entry_time": times,
        "exit_time": [times[1], pd.NaT],
        "entry_price": [2000.0, 4000.0],
        "exit_price": [2010.0, 3990.0],
        "size": [0.1, 0.1],
        "fee": [0.001, 0.001],
        "slippage": [0.0005, 0.0005],
        "funding": [0.0, 0.0],
        "pnl": [0.01, -0.002],
        "return": [0.005, -0.0025],
        "exit_reason": [f"reversal{odd}", "open"],
        "model_id": ["ENSEMBLE", "ENSEMBLE"],
        "prediction": [1.0, -1.0],
        "confidence": [0.5, 0.4],
    }
    return pd.DataFrame(rows)


def watch(store, odd=""):
    """Scores, alarms, signals, equity and a heartbeat as the loop writes them."""
    scores = [
        {"window": "250", "date": FIRST + k * DAY, "n": 250, "accuracy": 0.4, "log_loss": 1.1}
        | {"calibration": 0.03, "coverage": 0.9, "drift": 0.1 + k / 1000, "state": "kept"}
        for k in range(60)
    ]
    for maker in ("1", "ENSEMBLE"):
        store.watch.write_performance(maker, ASKED, scores)
    store.watch.raise_alarm(f"accuracy{odd}", f"model 1{odd}", FIRST, {"says": f"worse{odd}"})
    signal = {"symbol": f"SP500{odd}", "time": FIRST, "weight": -0.2, "price": 2000.0}
    store.watch.write_signals(f"quickstart{odd}", [signal | {"detail": {"voices": odd or "one"}}])
    times = [FIRST + k * DAY for k in range(30)]
    equity = {"times": times, "strategy": [1 + k / 100 for k in range(30)], "hold": [1.0] * 30}
    store.watch.keep({f"equity quickstart{odd}": equity, "heartbeat": {"at": "2026-01-01T00:00Z"}})


def fill(folder, *, odd=""):
    """A store with something on every page; `odd` is put into every name."""
    with Store.open(folder) as store:
        number = register(store, name=f"quickstart.XGBOOST{odd}", metrics={f"accuracy{odd}": 0.4})
        other = register(store, name="old", identity="b2" * 32, study=f"study{odd}")
        store.models.deploy(number)
        store.models.archive(other)
        symbols = ("NASDAQ", f"SP500{odd}")
        predict(store, (str(number), "ENSEMBLE"), symbols=symbols)
        watch(store, odd)
        store.write_trades(RUN, trades(odd))
        store.start_run(f"quickstart{odd}", RUN, {})
        store.sessions.queue({"kind": "train", "model_type": f"GRU{odd}"}, asked_by=f"token{odd}")
        bars = {"symbol": f"SP500{odd}", "interval": "1d", "source": f"sample{odd}"}
        bars |= {"calendar": "XNYS", "first_bar": FIRST, "last_bar": FIRST + DAY, "recorded_at": 1}
        store.db["symbols"].insert(bars)
    return number
