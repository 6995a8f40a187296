"""Worlds whose truth is known: nothing is found in noise, a planted edge is found.

Daily returns r follow r[t + 1] = phi r[t] + noise. With phi 0 the past says nothing; with
phi 0.3 the last return, a feature of the catalogue, has an IC of 0.3 with the next one.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

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
