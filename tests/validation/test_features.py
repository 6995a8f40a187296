"""features.py: a planted signal comes first, what says nothing is within luck; SciPy's numbers."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, spearmanr

from signalkit.errors import DataError
from signalkit.significance import bootstrap_ci
from signalkit.splits import WalkForward
from signalkit.training import clusters, make, rank_correlation
from signalkit.validation import agreement, importance, information, walk
from signalkit.validation import features as evidence
from signalkit.validation.features import left_out

NOISE = [f"noise_{i}" for i in range(6)]
DRAWN = {"block": 8, "draws": 300, "level": 0.99, "seed": 3}
# twelve intervals of noise: by luck one of them leaves out 0 once in eighty seeds
SURE = {"block": 8, "draws": 4000, "level": 0.999, "seed": 3}


def table(n=700, seed=4):
    """Two symbols; `planted` leads the label, `twin` says nearly the same, the rest is noise."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["symbol", "time"])
    planted = rng.normal(size=2 * n)
    features = pd.DataFrame({"planted": planted}, index)
    features["twin"] = planted + 0.3 * rng.normal(size=2 * n)
    features[NOISE] = rng.normal(size=(2 * n, len(NOISE)))
    label = np.clip(np.round(planted + rng.normal(size=2 * n)), -1, 1)
    known_at = index.get_level_values("time") + pd.Timedelta(2, "h")
    labels = pd.DataFrame({"label": label, "known_at": known_at}, index)
    return features, labels[labels["known_at"] <= times[-1]]


def walked(features, labels, target="signal_direction", **more):
    settings = {"rounds": 30, "min_rows_leaf": 20, "learning_rate": 0.1}
    own = {name: make(name, target, **settings) for name in ("XGBOOST", "LIGHTGBM")}
    return walk(features, labels, own, WalkForward(200, 100), **more)


@pytest.fixture(scope="module")
def planted():
    """The walk through the planted table, made once."""
    features, labels = table()
    return features, walked(features, labels)


@pytest.mark.parametrize("model", ["XGBOOST", "LIGHTGBM"])
def test_a_planted_signal_ranks_first_and_noise_is_within_luck(planted, model):
    found = importance(planted[1], **SURE).loc[model]
    assert found["permutation"].idxmax() == found["gain"].idxmax() == "planted"
    assert found.loc["planted", "low"] > 0.05
    assert found.loc["planted", "helped"] == 1.0
    noise = found.loc[NOISE]
    assert ((noise["low"] <= 0) & (noise["high"] >= 0)).all()
    assert noise["permutation"].abs().max() < found.loc["planted", "permutation"] / 10


def test_a_planted_number_ranks_first_as_well():
    features, labels = table()
    moves = (features["planted"] + np.random.default_rng(8).normal(size=len(features))) / 100
    numbers = labels.assign(label=moves.loc[labels.index])
    found = importance(walked(features, numbers, "target_return"), **SURE)
    for model in ("XGBOOST", "LIGHTGBM"):
        assert found.loc[model]["permutation"].idxmax() == "planted"
        noise = found.loc[model].loc[NOISE]
        assert ((noise["low"] <= 0) & (noise["high"] >= 0)).all()


@pytest.mark.certify
def test_intervals_of_noise_leave_out_nought_no_oftener_than_they_may():
    missed = []
    for seed in range(100, 125):
        found = importance(walked(*table(seed=seed), seed=seed), block=8, seed=1).loc["LIGHTGBM"]
        noise = found.loc[NOISE]
        missed += ((noise["low"] > 0) | (noise["high"] < 0)).tolist()
    assert sum(missed) <= binom.ppf(0.99, len(missed), 0.05)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_are_those_of_the_bootstrap_of_a_mean(planted, level):
    asked = DRAWN | {"level": level}
    got = importance(planted[1], **asked)
    for model in ("XGBOOST", "LIGHTGBM"):
        rows = planted[1].rises.loc[model]
        expected = bootstrap_ci(
            lambda weight, rows=rows: rows.mul(weight, axis=0).sum() / weight.sum(),
            rows.index.get_level_values("time"),
            **asked,
        )
        for mine, theirs in (("permutation", "value"), ("low", "low"), ("high", "high")):
            np.testing.assert_allclose(got.loc[model, mine], expected[theirs], rtol=1e-9)


def test_gain_is_the_mean_over_folds_with_its_standard_error(planted):
    found = importance(planted[1], **DRAWN).loc["LIGHTGBM"]
    shares = planted[1].gain.loc["LIGHTGBM"]
    assert len(shares) == 5
    assert found["gain"].to_numpy() == pytest.approx(shares.to_numpy().mean(axis=0))
    error = shares.to_numpy().std(axis=0, ddof=1) / np.sqrt(5)
    assert found["gain_error"].to_numpy() == pytest.approx(error)
    means = planted[1].rises.loc["LIGHTGBM"].groupby(level="fold").mean()
    assert found["helped"].to_numpy() == pytest.approx((means > 0).mean().to_numpy())


def settled(features, found):
    """Rows whose outcome is known, and the outcomes."""
    actual = found.predictions.xs("XGBOOST", level="model_id")["actual"].dropna()
    return features.loc[actual.index], actual


def test_the_rank_ic_is_the_mean_over_symbols_of_scipys_on_rows_that_were_predicted(planted):
    features, found = planted
    got = information(features, found, **DRAWN)
    rows, actual = settled(features, found)
    for name in features:
        each = [spearmanr(rows.loc[s, name], actual.loc[s]).statistic for s in "AB"]
        assert got.loc[name, "ic"] == pytest.approx(np.mean(each), abs=1e-12)
    assert (got["n"] == len(rows)).all()
    assert len(rows) == 2 * (700 - 200 - 2)


def slow_ics(ranked, actual, weight):
    """Weighted correlation of ranks within each symbol, by numpy's weighted covariance."""
    within = []
    for symbol in "AB":
        mine = weight[actual.index.get_level_values("symbol") == symbol]
        both = np.column_stack([ranked.loc[symbol], actual.loc[symbol]])
        spread = np.cov(both.T, aweights=mine, ddof=0)
        scale = np.sqrt(np.diag(spread))
        within.append((spread / np.outer(scale, scale))[:-1, -1])
    return pd.Series(np.mean(within, axis=0), ranked.columns)


def test_intervals_of_the_rank_ic_are_those_of_the_bootstrap(planted):
    features, found = planted
    asked = DRAWN | {"draws": 60}
    rows, actual = settled(features, found)
    ranked, outcome = (part.groupby(level="symbol").rank() for part in (rows, actual))
    expected = bootstrap_ci(
        lambda weight: slow_ics(ranked, outcome, weight),
        rows.index.get_level_values("time"),
        **asked,
    )
    got = information(features, found, **asked)
    edges = expected[["value", "low", "high"]]
    np.testing.assert_allclose(got[["ic", "low", "high"]], edges, rtol=0, atol=1e-12)


SCRIPT = """
import hashlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("other", sys.argv[1])
other = importlib.util.module_from_spec(spec)
spec.loader.exec_module(other)
print(other.digest())
"""


def digest():
    """Hash of every number that this module's evidence holds, on a table of some size."""
    features, labels = table(n=900)
    extra = np.random.default_rng(9).normal(size=(len(features), 70))
    features = features.assign(**{f"x{i}": column for i, column in enumerate(extra.T)})
    found = walked(features, labels)
    tables = importance(found, **DRAWN), information(features, found, **DRAWN), agreement(found)
    return hashlib.sha256(b"".join(part.to_numpy().tobytes() for part in tables)).hexdigest()


def test_another_process_with_other_threads_finds_the_same_bits():
    found = []
    for threads in ("1", "2"):
        told = dict.fromkeys(("SIGNALKIT_THREADS", "OPENBLAS_NUM_THREADS"), threads)
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, __file__],
            env=os.environ | told,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(run.stdout)
    assert found[0] == found[1]


def test_how_much_is_multiplied_at_once_does_not_matter(planted, monkeypatch):
    features, found = planted
    whole = information(features, found, **DRAWN), importance(found, **DRAWN)
    monkeypatch.setattr(evidence, "_CELLS", 3000)
    parts = information(features, found, **DRAWN), importance(found, **DRAWN)
    for one, other in zip(parts, whole, strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-12, atol=1e-15)


def test_information_tells_signal_from_noise_and_names_twins(planted):
    features, found = planted
    got = information(features, found, **DRAWN)
    assert (got.loc[["planted", "twin"], "low"] > 0.3).all()
    assert ((got.loc[NOISE, "low"] < 0) & (got.loc[NOISE, "high"] > 0)).all()
    assert got.loc["planted", "cluster"] == got.loc["twin", "cluster"]
    assert got["cluster"].nunique() == len(features.columns) - 1
    rows, _ = settled(features, found)
    assert got["cluster"].tolist() == clusters(rank_correlation(rows), 0.8).tolist()
    assert information(features, found, twins=1.0, **DRAWN)["cluster"].is_unique


def test_a_column_that_is_constant_out_of_sample_has_no_rank_ic(planted):
    features, found = planted
    got = information(features.assign(planted=1.0), found, **DRAWN).loc["planted"]
    assert got[["ic", "low", "high"]].isna().all()


def test_information_counts_the_folds_that_kept_a_column(planted):
    features, found = planted
    told = found.selection.copy()
    told.loc[1:2, "twin"] = "redundant with planted"
    other = replace(found, selection=told)
    got = information(features, other, **DRAWN)["kept"]
    assert got["twin"] == 3 / 5
    assert (got.drop("twin") == 1).all()


def test_information_refuses_predictions_of_which_none_has_settled(planted):
    features, found = planted
    none = found.predictions.assign(actual=np.nan)
    with pytest.raises(DataError, match="no prediction has settled"):
        information(features, replace(found, predictions=none), block=3)


def test_agreement_is_scipys_mean_over_every_two_folds(planted):
    got = agreement(planted[1])
    for model in ("XGBOOST", "LIGHTGBM"):
        means = planted[1].rises.loc[model].groupby(level="fold").mean().to_numpy()
        for name, each in (("permutation", means), ("gain", planted[1].gain.loc[model].to_numpy())):
            pairs = [spearmanr(each[i], each[j]).statistic for i in range(5) for j in range(i)]
            assert got.loc[model, name] == pytest.approx(np.mean(pairs), abs=1e-12)
    assert got["folds"].tolist() == [5, 5]


def test_folds_agree_where_something_is_to_be_found_and_not_on_noise(planted):
    features, labels = table()
    alone = walked(features[NOISE], labels)
    assert agreement(alone)["permutation"].abs().max() < 0.35
    assert (agreement(planted[1])["permutation"] > agreement(alone)["permutation"]).all()


def test_one_fold_agrees_with_nobody():
    features, labels = table(n=320)
    got = walk(
        features,
        labels,
        {"M": make("LIGHTGBM", "signal_direction", rounds=3)},
        WalkForward(200, 100),
    )
    assert np.isnan(agreement(got).loc["M", "permutation"])
    assert importance(got, **DRAWN)["gain_error"].isna().all()


def test_what_said_nothing_is_said_in_words():
    told = pd.DataFrame({"a": ["kept", "constant"], "b": ["kept"] * 2, "c": ["constant"] * 2})
    told["d"] = ["missing in 3 rows", "not among the best 2"]
    assert left_out(told) == [
        "Without a value that varies in the training window, and so not fed to a model, were, of"
        " 2 folds: c in 2, a in 1, d in 1."
    ]
    many = pd.DataFrame("constant", range(3), list("abcdefg"))
    assert left_out(many)[0].endswith("a in 3, b in 3, c in 3, d in 3, e in 3 and 2 more.")
    assert left_out(told[["b"]]) == []
    assert left_out(told[["b"]].replace("kept", "redundant with a")) == []
