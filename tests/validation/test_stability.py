"""stability.py: Kuncheva's index by brute force, slopes and errors as statsmodels has them."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import t as student

from signalkit.errors import DataError, ParamsError
from signalkit.validation.stability import decay, stability


class Walked:
    """What `stability` reads of a walk."""

    def __init__(self, gain, rises=None):
        self.gain = gain
        self.rises = gain if rises is None else rises


def importances(values, model="M"):
    """A row a fold, a column a feature."""
    index = pd.MultiIndex.from_product([[model], range(len(values))], names=["model_id", "fold"])
    return pd.DataFrame(np.array(values, dtype=float), index).add_prefix("x")


def kuncheva(one, other, n):
    """Kuncheva (2007), section 3: chance-corrected size of the intersection of two k-subsets."""
    k = len(one)
    return (len(one & other) * n - k**2) / (k * (n - k))


@pytest.mark.parametrize("k", [1, 4, 7])
def test_stability_is_kunchevas_mean_over_every_two_folds(k):
    values = np.random.default_rng(k).uniform(0.1, 1.0, size=(6, 9))
    best = [set(np.argsort(-row)[:k].tolist()) for row in values]
    pairs = list(combinations(best, 2))
    got = stability(Walked(importances(values)), k).loc["M"]
    assert got["gain_stability"] == pytest.approx(np.mean([kuncheva(*p, 9) for p in pairs]))
    overlap = np.mean([len(a & b) / len(a | b) for a, b in pairs])
    assert got["gain_overlap"] == pytest.approx(overlap)
    assert got["permutation_stability"] == pytest.approx(got["gain_stability"])
    assert got["folds"] == 6


def test_folds_that_name_the_same_are_stable_and_random_ones_are_not():
    rng = np.random.default_rng(2)
    same = np.tile(rng.uniform(size=30), (8, 1)) + 0.1
    assert stability(Walked(importances(same))).loc["M", "gain_stability"] == pytest.approx(1.0)
    assert stability(Walked(importances(same))).loc["M", "gain_overlap"] == 1.0
    found = [
        stability(Walked(importances(rng.uniform(0.1, 1, size=(8, 30))))).loc["M", "gain_stability"]
        for _ in range(60)
    ]
    assert np.mean(found) == pytest.approx(0.0, abs=0.03)


def test_a_feature_that_says_nothing_is_not_among_the_best():
    # by place alone the first ten of thirty noughts would be named in every fold
    none = stability(Walked(importances(np.zeros((4, 30))))).loc["M"]
    assert none[["gain_stability", "gain_overlap"]].isna().all()
    values = np.zeros((2, 4))
    values[0, 0] = values[1, 1] = 1.0
    values[:, 3] = -1.0
    got = stability(Walked(importances(values)), 2).loc["M"]
    assert got["gain_overlap"] == 0.0
    # Nogueira et al. (2018): shares 1/2, 1/2, 0, 0, two folds: 1 - (1/8 * 2) / (1/4 * 3/4)
    assert got["gain_stability"] == pytest.approx(1 - 0.25 / 0.1875)


def test_permutation_is_the_mean_over_the_rows_of_a_fold_and_models_stand_apart():
    rises = pd.concat([importances([[5, 0, 1], [1, 0, 5]]), importances([[0, 0, 3], [0, 0, 3]])])
    other = importances([[3, 1, 0], [3, 1, 0]], "N")
    gain = pd.concat([importances([[1, 0, 0], [0, 1, 0]]), other])
    got = stability(Walked(gain, pd.concat([rises, other])), 1)
    # the two rows of each fold of M: 5, 0, 4 and 1, 0, 8 in sum
    assert got.loc["M", "permutation_overlap"] == 0.0
    assert got.loc["N", ["permutation_overlap", "gain_overlap"]].tolist() == [1.0, 1.0]
    assert got.loc["M", "gain_overlap"] == 0.0


def test_one_fold_has_no_stability():
    got = stability(Walked(importances([[1, 2, 3]])), 1).loc["M"]
    assert got[["gain_overlap", "gain_stability"]].isna().all()
    assert got["folds"] == 1


def test_k_must_be_one_or_more():
    with pytest.raises(ParamsError, match="k was 0"):
        stability(Walked(importances([[1, 2]])), 0)


def scored(values, model="M"):
    index = pd.MultiIndex.from_product([[model], range(len(values))], names=["model_id", "fold"])
    return pd.DataFrame({"auc": values}, index)


@pytest.mark.parametrize("lags", [0, 1, 3])
def test_the_slope_and_its_error_are_those_of_statsmodels(lags):
    rng = np.random.default_rng(lags)
    values = 0.55 - 0.004 * np.arange(20) + 0.01 * rng.normal(size=20).cumsum()
    got = decay(scored(values), "auc", lags=lags).loc["M"]
    fit = sm.OLS(values, sm.add_constant(np.arange(20.0))).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=True
    )
    assert got["slope"] == pytest.approx(fit.params[1], rel=1e-9)
    assert got["error"] == pytest.approx(fit.bse[1], rel=1e-9)
    assert got["p"] == pytest.approx(fit.pvalues[1], rel=1e-9)
    assert got["folds"] == 20


def test_the_rule_of_newey_and_west_says_how_many_neighbours():
    values = np.random.default_rng(4).normal(size=12)
    # 4 (12 / 100)^(2/9) = 2.5
    expected = decay(scored(values), "auc", lags=2)
    pd.testing.assert_frame_equal(decay(scored(values), "auc"), expected)
    assert not expected.equals(decay(scored(values), "auc", lags=3))


def test_a_straight_fall_is_found_and_p_is_two_sided():
    values = 0.60 - 0.01 * np.arange(8)
    values[::2] += 0.001
    got = decay(scored(values), "auc").loc["M"]
    assert got["slope"] == pytest.approx(-0.01, abs=2e-4)
    assert got["p"] < 1e-6
    assert got["p"] == pytest.approx(2 * student.cdf(-abs(got["t"]), 6))


def test_models_stand_apart_and_folds_without_a_score_are_left_out():
    both = pd.concat([scored([1.0, 2, np.nan, 4, 5, 7]), scored([3.0, 3, 1, 2, 3, 4], "N")])
    got = decay(both, "auc")
    assert got.index.tolist() == ["M", "N"]
    assert got["folds"].tolist() == [5, 6]
    assert got.loc["M", "slope"] == pytest.approx(
        np.polyfit([0, 1, 3, 4, 5], [1, 2, 4, 5, 7], 1)[0]
    )


def test_three_folds_have_no_slope_and_a_perfect_line_no_error():
    assert decay(scored([1.0, 2, 3]), "auc").loc["M", ["slope", "error", "p"]].isna().all()
    assert np.isnan(decay(scored([2.0] * 6), "auc").loc["M", "p"])


def test_an_unknown_score_is_named_with_those_there_are():
    with pytest.raises(DataError, match=r"no score 'acu'; it has \['auc'\]"):
        decay(scored([1.0, 2]), "acu")
