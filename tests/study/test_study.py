"""A study reads what it made before, computes what changed, and keeps the holdout closed."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import signalkit
from signalkit.errors import DataError, LeakError, ParamsError, StoreError
from signalkit.study import STAGES, Study

SMALL = {
    "collection": {"end": "2006-12-31"},
    "features": {"families": ["price", "volume", "calendar"]},
    "training": {"rounds": 5},
    "validation": {"train": 400, "test": 200, "draws": 100, "holdout_from": "2005-01-01"},
}
ALL = ["collection", "features", "labeling", "training", "validation", "signals", "backtesting"]


def opened(**changes):
    """A small study with some names changed."""
    sections = {name: dict(section) for name, section in SMALL.items()}
    for name, section in changes.items():
        sections[name] = sections.get(name, {}) | section
    return Study.open("small", **sections)


def computed(study):
    """What a study computes, asked for everything."""
    study.train()
    study.backtest()
    return sorted(study.computed, key=ALL.index)


@pytest.fixture
def first(own_store):
    study = opened()
    assert computed(study) == ALL
    return study


def test_every_stage_is_in_the_map_in_order():
    assert list(STAGES) == ALL


def test_a_second_study_reads_everything(first):
    assert computed(opened()) == []


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"labeling": {"horizon": 6}}, ALL[2:]),
        ({"labeling": {"threshold": 0.6}}, ALL[2:]),
        ({"features": {"families": ["price", "rolling"]}}, ["features", *ALL[3:]]),
        ({"training": {"seed": 8}}, ALL[3:]),
        ({"validation": {"level": 0.9}}, ALL[4:]),
        ({"signals": {"direction": "long_only"}}, ALL[5:]),
        ({"backtesting": {"fee_bps": 3.0}}, ALL[6:]),
        ({"backtesting": {"open_holdout": True}}, []),
    ],
    ids=str,
)
def test_a_changed_parameter_recomputes_its_stage_and_what_comes_after(first, changes, again):
    assert computed(opened(**changes)) == again


COUNT = """
import sys
sys.path.insert(0, sys.argv[1])
import signalkit
assert str(signalkit.PACKAGE).startswith(sys.argv[1]), signalkit.PACKAGE
from signalkit.study import Study
sections = {sections!r}
study = Study.open("small", **sections)
if sys.argv[2] == "all":
    study.train(); study.backtest()
    print(",".join(study.computed))
else:
    find = study.store.artifacts.find
    print(",".join(s for s in {ALL!r} if find(s, study.identity(s)["identity"]) is None))
""".replace("{sections!r}", repr(SMALL)).replace("{ALL!r}", repr(ALL))


def count_in_copy(folder, what="lacking"):
    """Stages that a copy of the package computes, or finds lacking in the store beside it."""
    places = {"SIGNALKIT_ROOT": str(folder), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(folder), what],
        env=os.environ | places | {"SIGNALKIT_DATA": str(folder / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return sorted(filter(None, done.stdout.strip().split(",")), key=ALL.index)


@pytest.fixture(scope="module")
def made_by_a_copy(tmp_path_factory):
    """A copy of the package and the store that it has filled."""
    copy = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(signalkit.PACKAGE, copy / "signalkit", ignore=ignored)
    assert count_in_copy(copy, "all") == ALL
    assert count_in_copy(copy) == []
    return copy


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("features/price.py", ["features", *ALL[3:]]),
        ("labeling/horizon.py", ALL[2:]),
        ("backtesting/trades.py", ["backtesting"]),
        ("plots/figure.py", []),
    ],
)
def test_a_changed_line_recomputes_its_stage_and_what_comes_after(
    made_by_a_copy, tmp_path, changed, again
):
    copy = tmp_path / "copy"
    shutil.copytree(made_by_a_copy, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "signalkit" / changed).open("a") as file:
        file.write("# one more line\n")
    assert count_in_copy(copy) == again


def test_nothing_before_the_last_notebook_reads_a_bar_of_the_holdout(first):
    border = pd.Timestamp("2005-01-01", tz="UTC")
    tables = [first.bars(), first.features(), first.labels(), first.validate(), first.signals()]
    assert all(t.index.get_level_values("time").max() < border for t in tables)
    assert first.labels()["known_at"].max() < border
    assert first.backtest().table("equity").index.max() < border


def test_holdout_stays_closed_unless_the_params_open_it(first):
    assert first.holdout() is None
    with pytest.raises(LeakError, match="the holdout is closed; set backtesting"):
        first.artifact("backtesting", "whole")
    assert first.store.ledger.count(holdout=True) == 0


def test_bars_of_the_holdout_are_not_handed_out_while_it_is_closed(first):
    with pytest.raises(LeakError, match="the holdout is closed"):
        first.artifact("collection")


def test_two_borders_are_two_holdouts(first):
    opened_at = {
        border: opened(
            validation={"holdout_from": border}, backtesting={"open_holdout": True}
        ).holdout()
        for border in ("2005-01-01", "2005-07-01")
    }
    begins = {b: found.table("equity").index[0].date() for b, found in opened_at.items()}
    assert {b: str(day)[:7] for b, day in begins.items()} == {
        "2005-01-01": "2005-01",
        "2005-07-01": "2005-07",
    }


def test_a_holdout_whose_bars_an_earlier_border_let_through_is_counted(own_store):
    opened(validation={"holdout_from": "2006-01-01"}).backtest()
    study = opened()
    study.backtest()
    assert study.opened() == 1
    assert "1 configuration has seen returns there" in " ".join(study.words())


def test_bars_between_test_windows_ask_for_no_position(first):
    study = opened(validation={"step": 300, "test": 200})
    weights = study.signals()["weight"].loc["SP500"]
    predicted = study.validate().xs("ENSEMBLE", level="model_id").loc["SP500"].index
    silent = weights.index.difference(predicted)
    assert len(silent) >= 100
    horizon = study.params.labeling.horizon
    after = [
        t
        for t in silent
        if predicted[predicted < t].max()
        < weights.index[max(weights.index.get_loc(t) - horizon, 0)]
    ]
    assert (weights.loc[after] == 0).all()


def test_an_opened_holdout_is_simulated_from_its_first_bar_and_counted(first):
    study = opened(backtesting={"open_holdout": True})
    assert (study.opened(), first.opened()) == (1, 0)  # it is about to, the other is not
    held = study.holdout()
    equity = held.table("equity")
    assert equity.index.min() >= pd.Timestamp("2005-01-01", tz="UTC")
    assert study.store.ledger.count(holdout=True) == study.opened() == 1
    assert study.store.ledger.count() == 1
    earned, ends = equity["strategy"].iloc[-1] - 1, held.table("bracket").loc["return_total"]
    assert ends["low"] <= ends["base"] <= ends["high"]
    assert ends["base"] == pytest.approx(earned, abs=1e-12)
    assert held.table("legal")["base"].iloc[-1] == equity["strategy"].iloc[-1]
    assert held.table("attribution").loc["total", "total"] == pytest.approx(earned, abs=1e-9)
    told = held.table("intervals").set_index(["measure", "account"]).loc["sharpe_annual"]
    assert told["value"].to_dict() == pytest.approx(held.table("sharpe")["value"].to_dict())
    assert held.table("trades")["decided_at"].min() >= equity.index[0]


def test_features_of_the_holdout_study_equal_those_before_it(first):
    study = opened(backtesting={"open_holdout": True})
    whole = study.artifact("features", "whole").table("features")
    before = first.features()
    pd.testing.assert_frame_equal(whole.loc[before.index], before, check_exact=True)


def test_a_configuration_is_one_trial_however_often_it_runs(first):
    opened().backtest()
    assert first.store.ledger.count() == 1
    opened(signals={"threshold": 0.05}).backtest()
    assert first.store.ledger.count() == 2
    first.store.ledger.check()


def test_verdict_takes_its_trials_from_the_ledger(first):
    opened(signals={"threshold": 0.05}).backtest()
    assert first.verdict()["trials"].unique().tolist() == [2]
    assert "2 configurations" in " ".join(first.words())


def test_trades_carry_the_prediction_that_caused_them_and_reach_the_database(first):
    trades = first.backtest().table("trades")
    cause = first.artifact("signals").table("signal")
    keys = pd.MultiIndex.from_frame(trades[["symbol", "decided_at"]])
    expected = cause["confidence"].reindex(keys).to_numpy()
    assert np.array_equal(trades["confidence"], expected)
    stored = list(first.store.db["trades"].rows)
    assert [row["pnl"] for row in stored] == trades["pnl"].tolist()


def test_bars_reach_the_database_as_they_were_collected(first):
    kept = first.store.read_bars("SP500", "1d")
    panel = first.every_bar.loc["SP500"]
    assert np.array_equal(kept.to_numpy(), panel.to_numpy())


def test_a_tampered_artifact_is_refused_with_its_file(first):
    table = first.artifact("features").folder / "features.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match=r"features.parquet is not what was written"):
        opened().features()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"validation": {"holdout_from": "1990-01-01"}}, ParamsError, "after the first bar"),
        ({"validation": {"holdout_from": "2006-12-30"}}, ParamsError, "not after the last"),
        ({"collection": {"symbols": ["SP50"]}}, ParamsError, "did you mean 'SP500'"),
        ({"validation": {"train": 4000}}, DataError, "before the holdout there are"),
        ({"features": {"families": ["prise"]}}, ParamsError, "did you mean 'price'"),
        ({"labeling": {"horizon": 399}}, ParamsError, "labeling.horizon: 399 bars"),
    ],
    ids=str,
)
def test_params_that_do_not_fit_the_data_are_refused_before_anything_is_stored(
    own_store, changes, error, says
):
    with pytest.raises(error, match=says):
        opened(**changes).check()
    assert not own_store.exists()


def test_same_params_give_the_same_bits_in_a_second_process_on_one_thread(first, tmp_path):
    other = tmp_path / "other"
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(signalkit.ROOT), "all"],
        env=os.environ | {"SIGNALKIT_DATA": str(other), "SIGNALKIT_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for stage in ALL[1:]:
        mine = first.artifact(stage).about["files"]
        theirs = (other / "artifacts" / stage / first.artifact(stage).identity).glob("*.*")
        found = {p.name: p.read_bytes() for p in theirs if p.name != "artifact.json"}
        found.pop("costs.parquet", None)  # seconds are those of a run
        mine = {name: sealed for name, sealed in mine.items() if name != "costs.parquet"}
        assert set(found) == set(mine)
        assert {n: b == first.artifact(stage).path(n).read_bytes() for n, b in found.items()} == (
            dict.fromkeys(found, True)
        )
