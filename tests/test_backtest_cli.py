"""`signalkit backtest`: a params file or a registered model, its trades in the database."""

import re

import pandas as pd
import pytest
from click.testing import CliRunner

from signalkit import cli
from signalkit.store import Store
from signalkit.training import ENSEMBLE

PARAMS = """\
# Does a week-ahead direction of one index pay?
collection: {symbols: [SP500], end: "2006-12-31"}
features: {families: [price, calendar]}
training: {rounds: 5, models: [LIGHTGBM]}
validation: {train: 400, test: 200, draws: 100, holdout_from: "2005-01-01", placebos: 0}
signals: {fusion: {voices: [ENSEMBLE, LIGHTGBM], agree: 2}}
"""
DAY = pd.Timestamp("2024-01-01", tz="UTC")


def said(*words, code=0):
    """What `signalkit backtest` says, on stdout or, where it refuses, on stderr."""
    done = CliRunner().invoke(cli.main, ["backtest", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def refused(*words):
    """The one sentence of a refusal."""
    (line,) = said(*words, code=1).strip().splitlines()
    return line


def trades(run=None):
    """Trades in the database, of a run or of all."""
    with Store.open() as store:
        table = pd.DataFrame(store.db["trades"].rows)
    return table if run is None else table[table["run"] == run]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A params file, and a store in which it was simulated; what the command said is beside it."""
    folder = tmp_path_factory.mktemp("backtest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNALKIT_DATA", str(folder / "data"))
        patch.setenv("SIGNALKIT_THREADS", "1")
        (folder / "paid.yaml").write_text(PARAMS)
        (folder / "said.txt").write_text(said(folder / "paid.yaml"))
        yield folder / "paid.yaml"


def test_a_params_file_is_simulated_and_its_trades_and_its_trial_are_stored(file):
    told = file.with_name("said.txt").read_text()
    assert re.search(r"^return_total +-?\d\.\d+ +-?\d\.\d+ +-?\d\.\d+$", told, re.MULTILINE)
    (run,) = trades()["run"].unique()
    found = trades(run)
    assert f"{len(found)} trades of paid are stored\n" in told
    assert len(found) > 10
    assert found["model_id"].unique().tolist() == [ENSEMBLE]
    assert found[["prediction", "confidence", "entry_price", "pnl"]].notna().all(axis=None)
    assert found["entry_time"].max() < "2005"
    assert "No edge is seen" in told
    with Store.open() as store:
        assert store.ledger.trials()[0].artifact == run


def test_a_registered_model_is_simulated_by_its_number_with_its_voice_alone(file):
    with Store.open() as store:
        (model,) = store.models.list()
    told = said(model.id)
    assert "trades of paid are stored" in told
    (mine,) = set(trades()["run"]) - {trades()["run"][0]}
    assert trades(mine)["model_id"].unique().tolist() == ["LIGHTGBM"]
    with Store.open() as store:
        assert [trial.artifact for trial in store.ledger.trials()][1:] == [mine]


def test_the_same_again_stores_nothing_more(file):
    said("1")
    with Store.open() as store:
        head, rows = store.ledger.head(), list(store.db["trades"].rows)
    said(file)
    said("1")
    with Store.open() as store:
        assert store.ledger.head() == head
        assert list(store.db["trades"].rows) == rows


def test_a_number_that_no_model_has_is_refused_with_those_there_are(file):
    says = "Error: no model 99 is registered; the newest are 1 'paid.LIGHTGBM'"
    assert refused("99") == says


def test_a_number_in_an_empty_registry_says_how_to_make_a_model(own_store):
    says = "Error: no model is registered yet; train one, such as with `signalkit train "
    assert refused("1").startswith(says)


def test_a_model_that_does_not_hold_its_study_is_refused_with_the_way_out(own_store):
    with Store.open() as store:
        number = store.models.register(
            name="direction",
            identity="a" * 64,
            model_type="XGBOOST",
            target_variable="signal_direction",
            prediction_horizon=24,
            features_used=["rsi_14"],
            params={},
            files={"model.ubj": b"trees"},
            metrics={},
            study="coins",
            symbols=["BTCUSDT"],
            interval="1h",
            trained_from=DAY,
            trained_to=DAY + pd.Timedelta(90, "D"),
        )
    says = "Error: model 1 (direction) does not hold the params of its study; train it again"
    assert refused(number) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("backtesting:\n  fee_pbs: 3\n", r"line 2, backtesting.fee_pbs: .*did you mean 'fee_bps'"),
        ("backtesting:\n  fee_bps: -3\n", r"line 2, backtesting.fee_bps: .*0.*-3"),
        ("backtesting:\n  fill: now\n", r"line 2, backtesting.fill: .*next_open.*now"),
        ("signals:\n  threshold: 1.5\n", r"line 2, signals.threshold: .*1.*1.5"),
        ("signals: [1]\n", r"line 1, signals: .*\[1\]"),
    ],
)
def test_bad_params_are_refused_with_place_rule_and_value_and_store_nothing(
    own_store, tmp_path, text, says
):
    (tmp_path / "bad.yaml").write_text(text)
    line = refused(tmp_path / "bad.yaml")
    assert line.startswith(f"Error: {tmp_path}/bad.yaml line ")
    assert re.search(says, line)
    assert not own_store.exists()


@pytest.mark.parametrize("asked", ["none.yaml", "paid.LIGHTGBM", "-1x", "1.5"])
def test_what_is_neither_a_file_nor_a_number_is_refused(own_store, tmp_path, asked):
    (line,) = said("--", asked, code=1).strip().splitlines()
    assert line == f"Error: {asked}: no such params file"
    assert not own_store.exists()
