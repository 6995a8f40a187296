"""Reliability and the parts of the Brier score: against scikit-learn, scipy and sums by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as theirs
from sklearn.calibration import calibration_curve

from signalkit import metrics
from signalkit.errors import DataError, ParamsError

CLASSES = np.array([-1.0, 0.0, 1.0])
SEEDS = st.integers(0, 10_000)
EXAMPLES = settings(max_examples=30, deadline=None, derandomize=True)


def cases(seed, n):
    """Outcomes of three classes and shares without ties."""
    rng = np.random.default_rng(seed)
    return rng.choice(CLASSES, n), rng.dirichlet([1, 1, 2], n)


def binary(buy):
    """Shares of a target that is never sell."""
    return np.column_stack([np.zeros(len(buy)), 1 - np.asarray(buy), buy])


def binned(shares, bins):
    """Every probability replaced by the mean of its bin, one class and one row at a time."""
    out = np.empty_like(shares)
    for k in range(shares.shape[1]):
        numbers = [min(b for b in range(bins) if p <= (b + 1) / bins) for p in shares[:, k]]
        for row, number in enumerate(numbers):
            out[row, k] = np.mean(
                [p for p, b in zip(shares[:, k], numbers, strict=True) if b == number]
            )
    return out


def test_reliability_equals_scikit_learns_curve_and_scipys_interval():
    actual, proba = cases(1, 300)
    top, right = proba.max(axis=1), CLASSES[proba.argmax(axis=1)] == actual
    got = metrics.reliability(actual, proba, level=0.9)
    came, said = calibration_curve(right, top, n_bins=10)
    used = got[got["n"] > 0]
    assert used["accuracy"].tolist() == pytest.approx(came)
    assert used["confidence"].tolist() == pytest.approx(said)
    for _, row in used.iterrows():
        inside = right[(top > row["low"]) & (top <= row["high"])]
        assert row["n"] == len(inside)
        theirs_too = binomtest(int(inside.sum()), len(inside)).proportion_ci(0.9, method="wilson")
        ours = row[["accuracy_low", "accuracy_high"]].tolist()
        assert ours == pytest.approx([theirs_too.low, theirs_too.high], abs=1e-12)


def test_wilsons_interval_of_a_sure_bin_is_inside_0_and_1():
    # Brown, Cai, DasGupta (2001): nought of n gives 0 to z^2 / (n + z^2); 1.959964^2 = 3.841459
    proba = np.tile([0.1, 0.15, 0.75], (8, 1))
    wrong = metrics.reliability(np.full(8, -1.0), proba).loc[7]
    sure = metrics.reliability(np.full(8, 1.0), proba).loc[7]
    reach = 3.841459 / (8 + 3.841459)
    assert wrong[["accuracy_low", "accuracy_high"]].tolist() == pytest.approx([0, reach], abs=1e-7)
    assert sure[["accuracy_low", "accuracy_high"]].tolist() == pytest.approx(
        [1 - reach, 1], abs=1e-7
    )


def test_wilsons_interval_stays_inside_0_and_1_to_the_last_bit():
    shares = np.array([0.1, 0.15, 0.75])
    for n in range(1, 60):
        for outcome in (-1.0, 1.0):
            table = metrics.reliability(np.full(n, outcome), np.tile(shares, (n, 1)), level=0.9)
            assert table.loc[7, "accuracy_low"] >= 0
            assert table.loc[7, "accuracy_high"] <= 1


def test_an_empty_bin_has_no_accuracy():
    got = metrics.reliability(*cases(2, 50), bins=20)
    assert len(got) == 20
    assert got["high"].tolist() == [k / 20 for k in range(1, 21)]
    # the largest of three shares is a third at least: six bins of one twentieth are empty
    assert (got["n"][:6] == 0).all()
    assert got.loc[:5, "confidence":"accuracy_high"].isna().all(axis=None)
    assert got["n"].sum() == 50


@EXAMPLES
@given(seed=SEEDS, bins=st.integers(1, 12))
def test_the_calibration_error_is_the_mean_gap_of_the_table(seed, bins):
    actual, proba = cases(seed, 80)
    table = metrics.reliability(actual, proba)
    gap = ((table["accuracy"] - table["confidence"]).abs() * table["n"]).sum() / 80
    assert metrics.classification(actual, proba)["ece"] == pytest.approx(gap, abs=1e-12)


@EXAMPLES
@given(seed=SEEDS, bins=st.integers(1, 12))
def test_the_parts_make_up_scikit_learns_brier_score_of_the_binned_forecasts(seed, bins):
    actual, proba = cases(seed, 60)
    got = metrics.brier_parts(actual, proba, bins=bins)
    truth = (actual[:, None] == CLASSES).astype(float)
    replaced = binned(proba, bins)
    each = [theirs.brier_score_loss(truth[:, k], replaced[:, k], pos_label=1) for k in range(3)]
    made_up = got["reliability"] - got["resolution"] + got["uncertainty"]
    assert made_up == pytest.approx(sum(each), abs=1e-12)
    assert got["brier_binned"] == pytest.approx(sum(each), abs=1e-12)
    whole = theirs.brier_score_loss(actual, proba, labels=CLASSES)
    assert got["brier"] == pytest.approx(whole)


def test_nothing_is_lost_where_a_bin_holds_one_probability():
    rng = np.random.default_rng(5)
    buy = rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], 200)
    actual = (rng.random(200) < buy).astype(float)
    got = metrics.brier_parts(actual, binary(buy))
    assert got["brier_binned"] == pytest.approx(got["brier"])
    assert got["brier"] == pytest.approx(theirs.brier_score_loss(actual, buy))


def test_the_parts_of_a_table_worked_by_hand():
    # 4 rows said 0.8, of which 3 came; 4 said 0.2, of which 2 came; 5 of 8 came in all
    got = metrics.brier_parts(np.array([1.0, 1, 1, 0, 1, 1, 0, 0]), binary([0.8] * 4 + [0.2] * 4))
    expected = {
        "reliability": (0.05**2 + 0.3**2) / 2,
        "resolution": (0.125**2 + 0.125**2) / 2,
        "uncertainty": 0.625 * 0.375,
        "brier_binned": (3 * 0.04 + 0.64 + 2 * 0.64 + 2 * 0.04) / 8,
        "brier": (3 * 0.04 + 0.64 + 2 * 0.64 + 2 * 0.04) / 8,
    }
    assert got.to_dict() == pytest.approx(expected)


def test_a_forecast_of_the_shares_has_nothing_but_uncertainty():
    actual = np.array([-1.0, 0, 0, 1])
    got = metrics.brier_parts(actual, np.tile([0.25, 0.5, 0.25], (4, 1)))
    assert got[["reliability", "resolution"]].tolist() == pytest.approx([0, 0])
    # 3/16 + 1/4 + 3/16
    assert got["uncertainty"] == pytest.approx(0.625)


@pytest.mark.parametrize("function", [metrics.reliability, metrics.brier_parts])
def test_calibration_refuses_what_it_cannot_judge(function):
    with pytest.raises(ParamsError, match="bins must be at least 1, was 0"):
        function(*cases(1, 5), bins=0)
    with pytest.raises(DataError, match="an outcome is 2"):
        function(np.array([2.0]), binary([0.5]))


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_reliability_refuses_a_level_that_is_no_share(level):
    with pytest.raises(ParamsError, match="level must be between 0 and 1, was"):
        metrics.reliability(*cases(1, 5), level=level)
