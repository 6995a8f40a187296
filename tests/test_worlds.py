"""Worlds whose truth is known: nothing is found in noise, a planted edge is found.

A simulated market has 10,000 hourly bars of each symbol. With edge 0.01 the mood of the news,
which reaches a model through features of the catalogue alone, has an IC of 0.10 with the return
of the next bar. Each seed is a market of its own, so that the ledger holds one trial of it.

Daily returns r follow r[t + 1] = phi r[t] + noise. With phi 0 the past says nothing; with
phi 0.3 the last return, a feature of the catalogue, has an IC of 0.3 with the next one.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, kstest
from scipy.stats import t as student

from signalkit import features, labeling, signals, training, validation
from signalkit.collection.simulator import market
from signalkit.splits import WalkForward
from signalkit.study import Study

N_BARS = 2400


def write_world(folder, phi, seed):
    """A CSV file of daily bars of one symbol whose returns have memory phi."""
    rng = np.random.default_rng(seed)
    shocks = 0.01 * rng.standard_t(5, N_BARS) / math.sqrt(5 / 3)
    returns = np.zeros(N_BARS)
    for t in range(1, N_BARS):
        returns[t] = phi * returns[t - 1] + shocks[t]
    close = 100 * np.exp(np.cumsum(returns))
    open_ = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0, 0.001, N_BARS))
    reach = np.exp(np.abs(rng.normal(0, 0.004, (2, N_BARS))))
    table = pd.DataFrame(
        {
            "time": pd.date_range("2010-01-01", periods=N_BARS, freq="D", tz="UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * reach[0],
            "low": np.minimum(open_, close) / reach[1],
            "close": close,
            "volume": rng.gamma(2.0, 500.0, N_BARS),
        }
    )
    table.to_csv(folder / "WORLD.csv", index=False)


def finds_edge(folder, phi, seed):
    """Whether the study of a world claims an edge."""
    write_world(folder, phi, seed)
    study = Study.open(
        "world",
        collection={
            "source": "files",
            "path": str(folder / "{symbol}.csv"),
            "symbols": ["WORLD"],
            "calendar": "24/7",
        },
        labeling={"horizon": 1, "threshold": 0.25},
        training={"rounds": 60},
        validation={"train": 700, "test": 200, "holdout_from": "2016-01-01", "draws": 400},
        backtesting={"fill": "close", "fee_bps": 1.0, "slippage_bps": 0.0},
    )
    study.check()
    return study.words()[0].startswith("An edge is seen")


def test_noise_holds_no_edge(own_store, tmp_path):
    assert not finds_edge(tmp_path, phi=0.0, seed=1)


def test_a_planted_edge_is_found(own_store, tmp_path):
    assert finds_edge(tmp_path, phi=0.3, seed=1)


def finds_edge_in_market(edge, seed):
    """Whether one booster claims an edge in a simulated market of 10,000 hourly bars."""
    study = Study.open(
        "market",
        collection={
            "source": "simulator",
            "symbols": ["AAAUSDT", "BBBUSDT", "CCCUSDT"],
            "interval": "1h",
            "start": "2024-01-01",
            "end": "2025-02-21",
            "simulator": {"seed": seed, "edge": edge, "news_per_day": 24.0},
            "news": {"source": "simulator"},
        },
        features={"families": ["price", "sentiment"]},
        labeling={"horizon": 1},
        training={"models": ["LIGHTGBM"]},
        validation={
            "train": 2000,
            "test": 2000,
            "expanding": True,
            "holdout_from": "2025-02-20",
            "draws": 200,
            "placebos": 0,
        },
        backtesting={"fill": "next_open", "fee_bps": 1.0, "slippage_bps": 0.0},
    )
    study.check()
    words = study.words()
    assert study.luck()["trials"] == 1
    return words[0].startswith("An edge is seen")


@pytest.mark.parametrize(("edge", "found"), [(0.0, False), (0.01, True)])
def test_a_market_of_ten_thousand_bars_is_believed_only_with_its_edge(own_store, edge, found):
    assert finds_edge_in_market(edge, seed=1) == found


@pytest.mark.certify
def test_of_a_hundred_markets_without_an_edge_no_more_are_believed_than_chance_allows(own_store):
    claims = sum(finds_edge_in_market(0.0, seed) for seed in range(100, 200))
    assert claims <= binom.ppf(0.99, 100, 0.05)


@pytest.mark.certify
def test_nine_in_ten_of_a_hundred_markets_with_an_ic_of_a_tenth_are_found(own_store):
    assert sum(finds_edge_in_market(0.01, seed) for seed in range(100, 200)) >= 90


def finds_edge_in_news(edge, seed):
    """Whether the study of a simulated market with news claims an edge."""
    study = Study.open(
        "market",
        collection={
            "source": "simulator",
            "symbols": ["AAAUSDT", "BBBUSDT"],
            "interval": "1h",
            "start": "2024-01-01",
            "end": "2024-08-31",
            "simulator": {"seed": seed, "edge": edge},
            "news": {"source": "simulator"},
        },
        features={"families": ["price", "volatility", "sentiment"]},
        labeling={"horizon": 4},
        training={"rounds": 60},
        validation={"train": 2000, "test": 700, "holdout_from": "2024-08-01", "draws": 400},
        backtesting={"fill": "next_open", "fee_bps": 2.0},
    )
    study.check()
    return study.words()[0].startswith("An edge is seen")


@pytest.mark.parametrize(("edge", "found"), [(0.0, False), (0.05, True)])
def test_news_lead_a_simulated_market_only_where_it_was_planted(own_store, edge, found):
    assert finds_edge_in_news(edge, seed=1) == found


@pytest.mark.certify
def test_simulated_markets_without_an_edge_are_believed_no_oftener_than_chance(own_store):
    claims = sum(finds_edge_in_news(0.0, seed) for seed in range(100, 120))
    assert claims <= binom.ppf(0.99, 20, 0.05)


@pytest.mark.certify
def test_nine_edges_in_ten_of_simulated_news_are_found(own_store):
    assert sum(finds_edge_in_news(0.05, seed) for seed in range(100, 110)) >= 9


@pytest.mark.certify
def test_noise_is_called_an_edge_no_oftener_than_chance_allows(own_store, tmp_path):
    claims = sum(finds_edge(tmp_path, phi=0.0, seed=seed) for seed in range(100, 140))
    assert claims <= binom.ppf(0.99, 40, 0.05)


@pytest.mark.certify
def test_nine_planted_edges_in_ten_are_found(own_store, tmp_path):
    assert sum(finds_edge(tmp_path, phi=0.3, seed=seed) for seed in range(100, 120)) >= 18


def bars_of(seed, n_bars):
    """Hourly bars of one symbol of a simulated market that holds no edge."""
    start = pd.Timestamp("2024-01-01", tz="UTC")
    end = start + pd.Timedelta(n_bars, "h")
    return market(["AAAUSDT"], "1h", start=start, end=end, seed=seed).bars


def pipeline(bars, **settings):
    """Features of bars, directions four bars ahead, one booster and MAJORITY."""
    families = ("price", "volatility")
    names = [name for name, own in features.CATALOG.items() if own.family in families]
    models = {
        "LIGHTGBM": training.make("LIGHTGBM", "signal_direction", **settings),
        "MAJORITY": training.make("MAJORITY", "signal_direction"),
    }
    return features.build(bars, names), labeling.signal_direction(bars, 4), models


def placebo_p(count, seed):
    """p-values of a booster on labels of one market, shifted in a circle."""
    table, labels, models = pipeline(bars_of(seed, 4000), rounds=15)
    found = validation.placebo(
        table,
        labels,
        models,
        WalkForward(1000, 1000),
        by=validation.shifts(labels, count, least=250, seed=seed),
        metric="auc_direction",
        block=16,
        draws=200,
    )
    return found["p"].to_numpy()


def test_a_few_placebos_are_believed_no_oftener_than_chance_allows():
    p = placebo_p(9, seed=1)
    assert ((p > 0) & (p <= 1)).all()
    assert np.unique(p).size > 1
    assert (p < 0.05).sum() <= binom.ppf(0.99, 9, 0.05)


@pytest.mark.certify
def test_p_values_of_ninety_nine_placebos_are_uniform():
    assert kstest(placebo_p(99, seed=1), "uniform").pvalue > 0.01


def confidence_of(seed, n_bars):
    """Coverage of 90 % sets, in all and by regime, and calibration errors, in one market."""
    bars = bars_of(seed, n_bars)
    # many hasty rounds: raw, such a model is too sure of itself
    table, labels, models = pipeline(bars, rounds=100, learning_rate=0.1)
    recipe = training.Recipe(calibration="temperature")
    walk = validation.walk(table, labels, models, WalkForward(2000, 1000), recipe=recipe)
    sets = training.prediction_sets(walk.predictions.xs("LIGHTGBM", level="model_id"))
    by, how = {"regime": signals.volatility_regime(bars)}, {"block": 16, "draws": 100}
    errors = validation.calibration_scores(walk.predictions, walk.raw, **how)
    return validation.coverage_table(sets, by=by, **how), errors.loc[("LIGHTGBM", "ece")]


def assert_covered(coverage):
    """Overall and by regime as often as was promised."""
    assert 0.88 <= coverage.loc[("all", "all"), "coverage"] <= 0.92
    parts = coverage.loc["regime"]
    assert len(parts) == 3
    assert parts.loc[parts["n"] >= 2000, "coverage"].between(0.84, 0.96).all()


def test_confidence_of_a_simulated_market_means_what_it_says():
    coverage, error = confidence_of(seed=1, n_bars=6000)
    assert_covered(coverage)
    assert error["difference_high"] < 0


@pytest.mark.certify
def test_confidence_of_twenty_simulated_markets_means_what_it_says():
    found = [confidence_of(seed, n_bars=10_000) for seed in range(100, 120)]
    for coverage, _ in found:
        assert_covered(coverage)
    rows = pd.concat([coverage.loc[("all", "all")] for coverage, _ in found], axis=1).T
    assert 0.88 <= np.average(rows["coverage"], weights=rows["n"]) <= 0.92
    gained = np.array([error["difference"] for _, error in found])
    reach = student.ppf(0.975, len(gained) - 1) * gained.std(ddof=1) / math.sqrt(len(gained))
    assert gained.mean() + reach < 0
