"""`signalkit train`: the calls as they are documented, on stored bars, and what it refuses."""

import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from signalkit import cli, training
from signalkit.errors import DataError, ParamsError
from signalkit.features import CATALOG
from signalkit.store import Store
from signalkit.study import Study, request

DIRECTION = (
    "--model-type XGBOOST --target signal_direction --symbols BTCUSDT ETHUSDT"
    " --training-days 180 --prediction-horizon 24"
)
RETURN = (
    "--model-type LSTM --target target_return --symbols BTCUSDT ETHUSDT ADAUSDT"
    " --training-days 365 --walk-forward"
)
SCORES = ["mse", "mae", "r2", "ic", "rank_ic"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Tiny fits are quicker alone; test_boosting shows that threads change nothing."""
    monkeypatch.setenv("SIGNALKIT_THREADS", "1")


def walk(n, seed, *, freq="h", start="2024-01-01"):
    """Bars of a seeded random walk."""
    rng = np.random.default_rng(seed)
    times = pd.date_range(start, periods=n, freq=freq, tz="UTC", name="time")
    close = 100 * np.exp(rng.normal(0, 0.01, n).cumsum())
    opened = np.r_[100, close[:-1]] * np.exp(rng.normal(0, 0.001, n))
    top, floor = np.maximum(opened, close), np.minimum(opened, close)
    more = np.exp(np.abs(rng.normal(0, 0.003, (2, n))))
    columns = {"open": opened, "high": top * more[0], "low": floor / more[1], "close": close}
    return pd.DataFrame(columns | {"volume": rng.lognormal(3, 0.5, n)}, times)


def stored(store, source="binance", interval="1h", **bars):
    """Bars of several symbols in the store."""
    panel = pd.concat(bars, names=["symbol", "time"])
    store.write_bars(panel, source=source, interval=interval, calendar="24/7")


@pytest.fixture
def three(own_store):
    """A store with three coins by the hour, 1,000 bars of each."""
    with Store.open() as store:
        stored(store, ADAUSDT=walk(1000, 1), BTCUSDT=walk(1000, 2), ETHUSDT=walk(1000, 3))
    return own_store


def called(*words, code=0):
    """What the command says, on stdout or, where it refuses, on stderr."""
    done = CliRunner().invoke(cli.main, [part for word in words for part in word.split()])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def refused(*words):
    """The one sentence of a refusal that trained and stored nothing."""
    (line,) = called("train", *words, code=1).strip().splitlines()
    with Store.open() as store:
        assert not store.models.list()
        assert not store.db["ml_training_sessions"].count
        assert not store.artifacts.folder.exists()
    return line


def test_a_direction_is_trained_listed_shown_deployed_and_archived(three):
    assert called("train", DIRECTION) == "XGBOOST is model 1; signalkit models show 1\n"
    listed = called("models list").splitlines()
    assert listed[1].split()[:7] == [
        "1", "signal_direction_24h_1h.XGBOOST", "XGBOOST", "signal_direction", "24", "trained",
        "none",
    ]  # fmt: skip
    told = dict(
        re.split(" {2,}", line, maxsplit=1) for line in called("models show 1").splitlines()
    )
    assert told["symbols"] == "2: BTCUSDT, ETHUSDT"
    assert told["interval"] == "1h"
    assert told["metrics"] == "none"
    assert told["files"].startswith("whole: ")
    # the newest bar is held out, and labels look 24 bars ahead of those before it
    newest = walk(1000, 1).index[-1]
    assert told["trained_to"] == str(newest - pd.Timedelta(25, "h"))
    name = "signal_direction_24h_1h.XGBOOST"
    assert called("models deploy 1") == f"model 1 {name!r} is deployed\n"
    assert "is deployed; deploy another" in called("models archive 1", code=1)
    assert called("models archive 1 --force") == f"model 1 {name!r} is archived\n"
    assert "archived" in called("models list")


def test_a_model_that_was_trained_is_not_trained_again(three):
    called("train", DIRECTION)
    files = sorted(path for path in three.rglob("*") if path.is_file())
    assert called("train", DIRECTION) == "XGBOOST is model 1; signalkit models show 1\n"
    again = sorted(path for path in three.rglob("*") if path.is_file())
    assert [path for path in again if path.suffix not in {".db-wal", ".db-shm"}] == [
        path for path in files if path.suffix not in {".db-wal", ".db-shm"}
    ]


@pytest.fixture
def small_networks(monkeypatch):
    """The params of the command, but for the size of the network and the number of draws."""
    honest = request.sections

    def smaller(store, **asked):
        found = honest(store, **asked)
        found["training"]["recurrent"] = {"units": 4, "lookback": 8, "epochs": 2}
        found["validation"]["draws"] = 100
        return found

    monkeypatch.setattr(request, "sections", smaller)


def test_a_network_is_scored_on_windows_it_has_not_seen_and_loads_with_the_same_bits(
    three, small_networks
):
    said = called("train", RETURN)
    assert "LSTM is model 1; signalkit models show 1" in said
    with Store.open() as store:
        (model,) = store.models.list()
        assert list(store.db.query("SELECT status, model FROM ml_training_sessions")) == [
            {"status": "completed", "model": "LSTM"}
        ]
        files = store.models.files(1)
        words = {"model_type": "LSTM", "target": "target_return", "training_days": 365}
        sections = request.sections(store, symbols=model.symbols, **words)
    assert model.symbols == ["BTCUSDT", "ETHUSDT", "ADAUSDT"]
    assert sorted(model.metrics) == sorted(SCORES)
    study = Study.open("target_return_24h_1h", **sections)
    scores = study.evidence("scores")
    assert not study.computed
    assert model.metrics == scores.loc["LSTM", "value"].to_dict()
    for name in ("LSTM", "MAJORITY"):
        row = scores.loc[(name, "mse"), ["value", "low", "high", "gain"]].round(4)
        assert re.search(rf"{name}\s+mse\s+" + r"\s+".join(f"{v:.4f}" for v in row), said)
    folds = study.evidence("folds")
    assert (folds["train_to"] < folds["test_from"]).all()
    assert (folds["train_from"] == folds["train_from"].iloc[0]).all()
    table = study.features()
    rows = np.flatnonzero(table.notna().all(axis=1).to_numpy())[-200:]
    one, two = (training.Trained.load(files).predict(table, rows) for _ in range(2))
    assert np.array_equal(one, two)
    assert np.isfinite(one).all()
    assert len(np.unique(one)) > 100


def test_a_model_type_that_does_not_exist_is_named_with_its_likeliest_meaning(three):
    said = refused(DIRECTION.replace("XGBOOST", "XGBOST"))
    assert "'XGBOOST', 'LIGHTGBM', 'LSTM' or 'GRU', was 'XGBOST'; did you mean 'XGBOOST'?" in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("--symbols DOGEUSDT", r"no 1h bars of DOGEUSDT are stored; collect them first: signalkit"),
        ("--symbols BTCUSDT DOGEUSDT", r"no 1h bars of DOGEUSDT are stored"),
        ("--symbols BTCUSDT --interval 4h", r"no 4h bars of BTCUSDT are stored; .*--interval 4h"),
        ("--symbols BTCUSDT --interval 1x", r"interval must be a count and one of m, h, d, w"),
        ("--symbols BTCUSDT --source kraken", r"stored from kraken; .*--source kraken"),
        ("--symbols BTCUSDT --target direction", r"labeling.target: .*, was 'direction'"),
        ("--symbols BTCUSDT --prediction-horizon 1.5", r"is 1.5 hours, which is 1.5 bars of 1h"),
        ("--symbols BTCUSDT --prediction-horizon 0", r"must be above 0 hours and finite, was 0"),
        ("--symbols BTCUSDT --prediction-horizon -24", r"above 0 hours and finite, was -24"),
        ("--symbols BTCUSDT --prediction-horizon nan", r"above 0 hours and finite, was nan"),
        ("--symbols BTCUSDT --prediction-horizon inf", r"above 0 hours and finite, was inf"),
        ("--symbols BTCUSDT --prediction-horizon 600", r"600 bars leave nothing to train on"),
        ("--symbols BTCUSDT --training-days 0", r"--training-days must be from 1 to .*, was 0"),
        ("--symbols BTCUSDT --training-days 99999999999", r"must be from 1 to 36500, was 9999"),
        ("--symbols BTCUSDT --training-days 3", r"there are 72; .* more --training-days than 3"),
        ("--symbols BTCUSDT BTCUSDT", r"collection.symbols: one stands twice"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_sentence(three, more, says):
    assert re.search(f"^Error: .*{says}", refused("--model-type XGBOOST", more))


def test_bars_of_several_sources_are_asked_about_and_chosen_by_name(three):
    with Store.open() as store:
        stored(store, "kraken", BTCUSDT=walk(1000, 9))
    said = refused("--model-type XGBOOST --symbols BTCUSDT")
    assert "1h bars of BTCUSDT are stored from binance and kraken; choose one with --source" in said
    with Store.open() as store:
        found = asked(store, source="kraken")
    assert found["collection"]["source"] == "kraken"


def test_symbols_of_two_sources_are_not_trained_together(three):
    with Store.open() as store:
        stored(store, "kraken", SOLUSDT=walk(1000, 9))
    said = refused("--model-type XGBOOST --symbols BTCUSDT SOLUSDT")
    assert "the symbols are stored from binance and kraken; train on one source at a time" in said


def asked(store, **changes):
    """The sections of a request with some words changed."""
    words = {"model_type": "XGBOOST", "target": "signal_direction", "symbols": ["BTCUSDT"]}
    return request.sections(store, **(words | changes))


def test_the_study_of_a_request_reads_the_days_before_the_newest_common_bar(own_store):
    with Store.open() as store:
        stored(store, BTCUSDT=walk(1000, 1), ETHUSDT=walk(900, 2, start="2024-01-03"))
        found = asked(store, symbols=["BTCUSDT", "ETHUSDT"], training_days=20)
        whole = asked(store, symbols=["BTCUSDT", "ETHUSDT"])
    last = min(walk(1000, 1).index[-1], walk(900, 2, start="2024-01-03").index[-1])
    assert found["validation"]["holdout_from"] == f"{last:%Y-%m-%dT%H:%M:%S}"
    bars = Study.open("one", **found).every_bar
    times = bars.index.get_level_values("time")
    assert times.max() == last
    # both ends are kept: the hours of 20 days, and the bar they begin with
    assert bars.groupby(level="symbol").size().tolist() == [20 * 24 + 1] * 2
    # where fewer are stored, all that both have
    times = Study.open("two", **whole).every_bar.loc["BTCUSDT"].index
    assert times[0] <= pd.Timestamp("2024-01-03", tz="UTC")


def test_the_model_that_is_kept_has_learned_from_all_the_days_that_were_asked_for(three):
    called("train", DIRECTION.replace("180", "30").replace("24", "6"))
    with Store.open() as store:
        (model,) = store.models.list()
        longest = max(CATALOG[name].warmup for name in model.features_used)
    # the features' warm-up before it, and after it the horizon of the last label and the holdout
    lacking = pd.Timedelta(30, "D") - (model.trained_to - model.trained_from)
    assert lacking <= pd.Timedelta(longest + 6 + 2, "h")


def test_the_newest_bar_alone_is_held_out(three):
    with Store.open() as store:
        study = Study.open("held", **asked(store))
    study.check()
    assert study.every_bar.index.get_level_values("time").max() == walk(1000, 1).index[-1]
    times = study.bars().index.get_level_values("time")
    assert times.max() == walk(1000, 1).index[-2]


def test_windows_grow_over_the_newer_half_in_five_tests(three):
    with Store.open() as store:
        found = asked(store)["validation"]
    assert (found["train"], found["test"]) == (500, 100)
    assert found["expanding"]
    assert found["step"] is None


@pytest.mark.parametrize(
    ("interval", "freq", "hours", "bars"),
    [("1h", "h", 24, 24), ("4h", "4h", 24, 6), ("1d", "D", 48, 2), ("15m", "15min", 0.75, 3)],
)
def test_hours_ahead_become_bars_of_the_interval(own_store, interval, freq, hours, bars):
    with Store.open() as store:
        stored(store, interval=interval, BTCUSDT=walk(50, 1, freq=freq))
        found = asked(store, interval=interval, prediction_horizon=hours)
        assert found["labeling"]["horizon"] == bars
        with pytest.raises(ParamsError, match=f"bars of {interval}; it must be a whole number"):
            asked(store, interval=interval, prediction_horizon=hours * 1.1)


def test_models_of_one_purpose_share_their_name(three):
    words = {"target": "target_return", "interval": "4h", "prediction_horizon": 24.0}
    assert request.name(model_type="LSTM", **words) == "target_return_24h_4h"
    assert request.name(model_type="GRU", **words) == request.name(model_type="LSTM", **words)
    assert request.name(**(words | {"prediction_horizon": 0.5})) == "target_return_0.5h_4h"


def test_a_request_of_bars_that_are_not_there_is_a_fault_of_the_data(own_store):
    with Store.open() as store, pytest.raises(DataError, match="no 1h bars of BTCUSDT"):
        asked(store)
