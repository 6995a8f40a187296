"""request.py: what was switched off is left out, and a study goes on to the newest bar."""

import json

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import ParamsError, StoreError
from signalkit.features import CATALOG
from signalkit.params import parse
from signalkit.store import Store
from signalkit.study import Study, request, stages
from signalkit.study.registry import STUDY

WORDS = {"model_type": "XGBOOST", "target": "signal_direction", "symbols": ["BTCUSDT"]}


def walk(n, start="2024-01-01"):
    """Bars of a seeded random walk."""
    times = pd.date_range(start, periods=n, freq="h", tz="UTC", name="time")
    close = 100 * np.exp(np.random.default_rng(3).normal(0, 0.01, n).cumsum())
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    return pd.DataFrame(columns | {"volume": 1.0}, times)


def stored(store, bars):
    """Hourly bars of one coin in the store."""
    panel = pd.concat({"BTCUSDT": bars}, names=["symbol", "time"])
    store.write_bars(panel, source="binance", interval="1h", calendar="24/7")


def registered(store, asked):
    """A model whose files say by which study it was trained."""
    number = store.models.register(
        name="coins.XGBOOST", identity="a" * 64, model_type="XGBOOST",
        target_variable="signal_direction", prediction_horizon=24, features_used=["rsi_14"],
        params={}, files={STUDY: json.dumps(asked).encode()}, metrics={}, study="coins",
        symbols=["BTCUSDT"], interval="1h", trained_from=pd.Timestamp("2024-01-01", tz="UTC"),
        trained_to=pd.Timestamp("2024-01-02", tz="UTC"),
    )  # fmt: skip
    return store.models.find(number)


def switch(store, *names, to=False):
    """Some features switched off, or on again."""
    for name in names:
        told = {"family": CATALOG[name].family, "description": "", "warmup": 1}
        store.switch_feature(name, to, actor="token (write)", **told)


@pytest.fixture
def store(own_store):
    with Store.open() as opened:
        stored(opened, walk(900))
        yield opened


def names_of(sections):
    """Features that a study of these sections reads."""
    return stages.names_of(Study.open(**sections))


def test_a_feature_that_was_switched_off_is_left_out_until_it_is_on_again(store):
    every = names_of(request.sections(store, **WORDS))
    switch(store, "rsi_14", "return_1")
    left = names_of(request.sections(store, **WORDS))
    assert set(every) - set(left) == {"rsi_14", "return_1"}
    assert left == [name for name in every if name in left]
    switch(store, "rsi_14", "return_1", to=True)
    assert request.sections(store, **WORDS)["features"] == {}


def test_what_was_never_asked_for_may_be_off_without_a_change(store):
    switch(store, "rsi_14")
    assert request.enabled(store, {"families": ["calendar"]}) == {"families": ["calendar"]}


def test_windows_of_a_study_are_kept_without_those_that_are_off(store):
    switch(store, "rsi_14")
    kept = {"names": ["return_1", "rsi_14"], "windows": {"rsi": [7]}}
    found = parse({"features": request.enabled(store, kept)}).features
    assert found.names == ["return_1", "rsi_7"]


def test_with_every_feature_off_nothing_can_be_trained(store):
    switch(store, "return_1")
    with pytest.raises(ParamsError, match="every feature that was asked for is switched off"):
        request.enabled(store, {"names": ["return_1"]})


def test_a_study_is_trained_again_up_to_the_newest_bar(store):
    first = {"study_name": "coins"} | request.sections(store, **WORDS)
    asked = parse(first).model_dump(mode="json")
    model = registered(store, asked)
    stored(store, walk(1000).iloc[900:])
    switch(store, "rsi_14")
    found = request.again(store, model)
    last = pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(999, "h")
    assert pd.Timestamp(found["validation"]["holdout_from"], tz="UTC") == last
    assert pd.Timestamp(found["collection"]["end"], tz="UTC") == last + pd.Timedelta(1, "s")
    assert "rsi_14" not in names_of(found)
    kept = {part: found[part] for part in ("training", "labeling", "signals", "study_name")}
    assert kept == {part: asked[part] for part in kept}
    assert found["collection"]["start"] == asked["collection"]["start"]


def test_a_closed_holdout_is_not_opened_by_training_again(store):
    asked = parse({"study_name": "coins"}).model_dump(mode="json")
    with pytest.raises(ParamsError, match=r"reads sample bars whole; .* which is closed"):
        request.again(store, registered(store, asked))


def test_a_model_without_its_study_cannot_be_trained_again(store):
    model = registered(store, {})
    (store.models.folder / model.identity / STUDY).rename(store.models.folder / "gone")
    with pytest.raises(StoreError, match="was changed"):
        request.again(store, model)
