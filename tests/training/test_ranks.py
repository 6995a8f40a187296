"""ranks.py: SciPy's rank correlations over time within a symbol; scikit-learn's clusters."""

from itertools import groupby

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.cluster import AgglomerativeClustering

from signalkit.training import cluster_order, clusters, rank_correlation, rank_ic
from signalkit.training.ranks import blocks, centred_ranks, correlations

NAMES = list("abcdef")


def table(seed=1, **rows):
    """Columns that go with each other, some with many ties; symbols of the given lengths."""
    rng = np.random.default_rng(seed)
    parts = {}
    for symbol, n in (rows or {"A": 200}).items():
        times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
        values = rng.normal(size=(n, 6))
        values[:, 1] += values[:, 0]
        values[:, 2] = np.round(values[:, 2])
        values[:, 5] = -3 * values[:, 4] + 0.1 * values[:, 5]
        parts[symbol] = pd.DataFrame(values, times, columns=NAMES)
    return pd.concat(parts, names=["symbol", "time"])


def answers(features, seed=5):
    """Classes that lean on the first column."""
    rng = np.random.default_rng(seed)
    return np.sign(np.round(features["a"].to_numpy() + rng.normal(size=len(features))))


def test_rank_correlation_of_one_symbol_is_that_of_scipy_ties_included():
    found = rank_correlation(table())
    expected = spearmanr(table().to_numpy()).statistic
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert found.index.tolist() == found.columns.tolist() == NAMES


def test_rank_correlation_of_a_panel_is_the_mean_of_scipys_over_symbols():
    panel = table(A=200, B=90)
    parts = [spearmanr(panel.loc[symbol].to_numpy()).statistic for symbol in "AB"]
    np.testing.assert_allclose(rank_correlation(panel), np.mean(parts, axis=0), rtol=0, atol=1e-12)


def test_rank_ic_is_that_of_scipy_and_its_mean_over_symbols():
    panel = table(A=200, B=90)
    label = pd.Series(answers(panel), panel.index)
    for name in NAMES:
        each = [spearmanr(panel.loc[s, name], label.loc[s]).statistic for s in "AB"]
        assert rank_ic(panel, label.to_numpy())[name] == pytest.approx(np.mean(each), abs=1e-12)
        alone = rank_ic(panel.loc["A"], label.loc["A"].to_numpy())[name]
        assert alone == pytest.approx(each[0], abs=1e-12)


def test_what_tells_one_symbol_from_another_is_no_correlation_over_time():
    panel = table(A=200, B=90)
    label = answers(panel)
    moved = panel + 1e3 * (panel.index.get_level_values("symbol") == "B")[:, None]
    assert rank_ic(moved, label).equals(rank_ic(panel, label))
    assert rank_correlation(moved).equals(rank_correlation(panel))


def test_rows_of_a_panel_may_stand_in_any_order():
    panel = table(A=50, B=40)
    label = pd.Series(answers(panel), panel.index)
    mixed = panel.sample(frac=1, random_state=3)
    got = rank_ic(mixed, label.loc[mixed.index].to_numpy())
    pd.testing.assert_series_equal(got, rank_ic(panel, label.to_numpy()), rtol=1e-12)


def test_a_constant_column_has_no_correlation_and_its_symbol_is_left_out():
    panel = table(A=200, B=90)
    panel.loc["B", "a"] = 7.0
    panel["d"] = 7.0
    found = rank_correlation(panel)
    assert found.loc["a", "b"] == pytest.approx(
        spearmanr(panel.loc["A", "a"], panel.loc["A", "b"]).statistic, abs=1e-12
    )
    assert found["d"].isna().all()
    assert np.isnan(rank_ic(panel, answers(panel))["d"])
    assert rank_ic(panel, np.ones(len(panel))).isna().all()


def test_centred_ranks_and_their_correlation_worked_by_hand():
    # 5, 1, 5, 9 have the ranks 2.5, 1, 2.5, 4; with 1, 2, 3, 4 they correlate by 3 / sqrt(4.5 5)
    found = centred_ranks(np.array([[5.0, 1.0], [1.0, 2.0], [5.0, 3.0], [9.0, 4.0]]))
    assert found.T.tolist() == [[0, -1.5, 0, 1.5], [-1.5, -0.5, 0.5, 1.5]]
    assert correlations(found, found)[0, 1] == pytest.approx(3 / np.sqrt(4.5 * 5))


def test_rank_correlations_are_the_same_bits_in_whatever_order_rows_are_added():
    panel = table(A=3000, B=2000)
    mixed = panel.sample(frac=1, random_state=3).sort_index(level="symbol", sort_remaining=False)
    assert not mixed.equals(panel)
    pd.testing.assert_frame_equal(
        rank_correlation(mixed), rank_correlation(panel), check_exact=True
    )


def test_blocks_are_the_symbols_or_all_rows():
    assert [b.tolist() for b in blocks(table(A=2, B=3).index)] == [[0, 1], [2, 3, 4]]
    assert [b.tolist() for b in blocks(pd.RangeIndex(3))] == [[0, 1, 2]]


@pytest.mark.parametrize("at_least", [0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_clusters_are_those_of_scikit_learns_complete_linkage(at_least, seed):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 20)) + rng.normal(size=(300, 20))
    correlation = rank_correlation(pd.DataFrame(mixed))
    theirs = AgglomerativeClustering(
        None, metric="precomputed", linkage="complete", distance_threshold=1 - at_least
    ).fit_predict(1 - correlation.abs())
    mine = clusters(correlation, at_least)
    assert mine.tolist() == pd.factorize(theirs)[0].tolist()
    assert mine.nunique() > 1


def square(*pairs):
    """Correlations of a, b and c: of a and b, b and c, a and c."""
    found = pd.DataFrame(np.eye(3), list("abc"), list("abc"))
    for (one, other), value in zip(("ab", "bc", "ac"), pairs, strict=True):
        found.loc[one, other] = found.loc[other, one] = value
    return found


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ((0.9, -0.85, 0.9), [0, 0, 0]),  # the sign does not matter
        ((0.9, 0.85, 0.5), [0, 0, 1]),  # no chain joins a and c
        ((0.1, 0.8, 0.2), [0, 1, 1]),  # the border belongs to it
        ((0.1, 0.79, 0.2), [0, 1, 2]),
        ((np.nan, np.nan, 0.9), [0, 1, 0]),  # a constant is alone
    ],
)
def test_every_two_members_of_a_cluster_correlate_by_at_least_so_much(pairs, expected):
    assert clusters(square(*pairs), 0.8).tolist() == expected


def test_exact_twins_are_found_where_nothing_less_counts():
    panel = table()
    panel["g"] = np.exp(panel["a"])
    assert clusters(rank_correlation(panel), 1.0).tolist() == [0, 1, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_columns_are_clusters_of_their_own(n):
    alone = pd.DataFrame(np.eye(n), list("a")[:n], list("a")[:n])
    assert clusters(alone, 0.8).tolist() == list(range(n))


@pytest.mark.parametrize("at_least", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_members_of_a_cluster_are_neighbours_and_every_column_is_there_once(seed, at_least):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(100, 3)) @ rng.normal(size=(3, 40)) + rng.normal(size=(100, 40))
    correlation = rank_correlation(pd.DataFrame(mixed))
    order, groups = cluster_order(correlation, at_least), clusters(correlation, at_least)
    assert sorted(order) == list(correlation.index)
    assert len(list(groupby(groups[order]))) == groups.nunique()


def test_columns_along_a_line_come_back_in_the_order_of_the_line():
    place = np.array([5, 1, 4, 0, 3, 2])  # the nearer two columns are, the more they share
    nearness = 0.7 ** np.abs(np.subtract.outer(place, place) * (1 + 0.01 * place))
    correlation = pd.DataFrame((nearness + nearness.T) / 2)
    order = [int(place[column]) for column in cluster_order(correlation, 0.95)]
    assert order in (list(range(6)), list(range(5, -1, -1)))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ((0.1, 0.5, 0.2), ["acb", "bca"]),  # c shares more with a than b does
        ((0.2, -0.5, 0.1), ["abc", "cba"]),  # the sign does not matter
        ((np.nan, np.nan, 0.9), ["acb", "bac", "cab", "bca"]),  # a constant shares nothing
    ],
)
def test_branches_are_turned_so_that_those_that_meet_are_alike(pairs, expected):
    assert "".join(cluster_order(square(*pairs), 0.8)) in expected


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_columns_are_in_order(n):
    alone = pd.DataFrame(np.eye(n), list("a")[:n], list("a")[:n])
    assert cluster_order(alone, 0.8) == list("a")[:n]


def test_columns_that_all_say_the_same_keep_their_order():
    assert cluster_order(square(0.9, 0.9, 0.9), 0.8) == list("abc")
