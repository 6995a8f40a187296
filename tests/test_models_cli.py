"""`signalkit models`: what is registered, in a table, in full, and changed on request."""

import re

import pandas as pd
import pytest
from click.testing import CliRunner

from signalkit import cli
from signalkit.store import Store

DAY = pd.Timestamp("2024-01-01", tz="UTC")


def said(*arguments, code=0):
    """What the command says, on stdout or, where it refuses, on stderr."""
    done = CliRunner().invoke(cli.main, ["models", *arguments])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def registered(store, identity, name="direction", **changed):
    """The number of a small model."""
    about = {
        "model_type": "XGBOOST",
        "target_variable": "signal_direction",
        "prediction_horizon": 24,
        "features_used": ["rsi_14", "atr_14"],
        "params": {"max_depth": 3},
        "files": {"model.ubj": b"trees", "model.json": b"{}"},
        "metrics": {"auc": 0.54321, "brier": 0.66},
        "study": "coins",
        "symbols": ["BTCUSDT", "ETHUSDT"],
        "interval": "1h",
        "trained_from": DAY,
        "trained_to": DAY + pd.Timedelta(90, "D"),
    }
    return store.models.register(name=name, identity=identity, **(about | changed))


@pytest.fixture
def two(own_store):
    """Two models of one name in the store."""
    with Store.open() as store:
        registered(store, "a" * 64)
        registered(store, "b" * 64, metrics={"matthews": 0.1})
    return own_store


@pytest.mark.parametrize("arguments", [[], ["list"]])
def test_an_empty_registry_says_how_to_make_a_model(own_store, arguments):
    assert "no model is registered yet; train one, such as with `signalkit train " in said(
        *arguments
    )


@pytest.mark.parametrize("arguments", [[], ["list"]])
def test_the_list_has_a_line_a_model(two, arguments):
    head, first, second = said(*arguments).splitlines()
    assert head.split() == [
        "id", "name", "type", "target", "horizon", "status", "metric", "created"
    ]  # fmt: skip
    assert first.split()[:8] == [
        "1", "direction", "XGBOOST", "signal_direction", "24", "trained", "auc", "0.5432"
    ]  # fmt: skip
    assert second.split()[6:8] == ["matthews", "0.1"]


def test_a_model_is_shown_whole_with_its_features_and_metrics(two):
    told = dict(re.split(" {2,}", line, maxsplit=1) for line in said("show", "1").splitlines())
    assert told["features_used"] == "2: rsi_14, atr_14"
    assert told["metrics"] == "auc 0.54321, brier 0.66"
    assert told["params"] == "max_depth 3"
    assert told["symbols"] == "2: BTCUSDT, ETHUSDT"
    assert told["trained_to"] == "2024-03-31 00:00:00+00:00"
    assert told["files"] == "whole: model.json (2 bytes), model.ubj (5 bytes)"


def test_a_name_shows_the_newest_model_until_one_is_deployed(two):
    assert re.search(r"^id +2$", said("show", "direction"), re.MULTILINE)
    assert said("deploy", "1") == "model 1 'direction' is deployed\n"
    assert re.search(r"^id +1$", said("show", "direction"), re.MULTILINE)


def test_a_model_whose_file_was_changed_is_shown_as_changed(two):
    (two / "models" / ("a" * 64) / "model.ubj").write_bytes(b"other")
    assert "was changed" in said("show", "1", code=1)
    assert "was changed" in said("deploy", "1", code=1)


def test_a_deployed_model_is_archived_by_force_alone(two):
    said("deploy", "2")
    assert "model 2 'direction' is deployed; deploy another" in said("archive", "2", code=1)
    assert said("archive", "2", "--force") == "model 2 'direction' is archived\n"
    with Store.open() as store:
        assert [model.status for model in store.models.list()] == ["trained", "archived"]
        actors = {row["actor"] for row in store.db["audit"].rows if row["action"] != "register"}
    assert actors == {"command"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "directon"], "no model 'directon' is registered; did you mean 'direction'?"),
        (["show", "7"], "no model '7' is registered; the newest are 1 'direction', 2 'direction'"),
        (["deploy", "7"], "no model 7 is registered; the newest are 1 'direction'"),
        (["archive", "7"], "no model 7 is registered; the newest are 1 'direction'"),
    ],
)
def test_a_model_that_is_not_there_is_refused_in_one_sentence(two, arguments, says):
    (line,) = said(*arguments, code=1).strip().splitlines()
    assert line.startswith(f"Error: {says}")
