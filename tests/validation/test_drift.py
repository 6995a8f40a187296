"""drift.py: SciPy's numbers, the index worked by hand, and yardsticks beside both."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp, kstest

from signalkit.errors import DataError, ParamsError
from signalkit.splits import WalkForward
from signalkit.validation.drift import FLOOR, drift, ks, moved, psi


def textbook(reference, sample, edges):
    """Population stability index of open-ended bins (low, high] by pandas, empty ones floored."""
    bins = [-np.inf, *edges, np.inf]
    one, other = (
        pd.cut(pd.Series(part), bins).value_counts(sort=False, normalize=True).clip(lower=FLOOR)
        for part in (reference, sample)
    )
    return float(((other - one) * np.log(other / one)).sum())


def test_psi_of_two_bins_worked_by_hand():
    # half and half against three quarters and one quarter: 0.25 ln 1.5 + 0.25 ln 2
    got = psi(np.array([1, 2, 3, 4]), np.array([1, 1, 2, 4]), bins=2)
    assert got == pytest.approx(0.25 * np.log(1.5) + 0.25 * np.log(2), abs=1e-12)


@pytest.mark.parametrize("n", [37, 1000])
@pytest.mark.parametrize("shift", [0.0, 0.7, 20.0])
def test_psi_is_the_textbooks_on_deciles(n, shift):
    rng = np.random.default_rng(n)
    reference, sample = rng.normal(size=n), rng.normal(shift, 1.5, size=250)
    # numpy's inverted_cdf: the smallest value with i tenths at or below it
    deciles = np.quantile(reference, np.arange(1, 10) / 10, method="inverted_cdf")
    assert psi(reference, sample) == pytest.approx(textbook(reference, sample, deciles), abs=1e-12)


def test_psi_of_unchanged_rows_is_what_luck_alone_makes_of_it():
    # Yurdakul (2018): (1/n + 1/m) times a chi-square of bins - 1, so 0.045 on average
    rng = np.random.default_rng(5)
    found = [psi(*np.split(rng.normal(size=1250), [1000])) for _ in range(1000)]
    error = np.sqrt(2 * 9) * (1 / 1000 + 1 / 250) / np.sqrt(1000)
    assert np.mean(found) == pytest.approx(9 * (1 / 1000 + 1 / 250), abs=4 * error)


def test_psi_of_the_same_rows_is_nought():
    rows = np.random.default_rng(1).normal(size=101)
    assert psi(rows, rows[::-1]) == 0.0


@pytest.mark.parametrize("other", [-1.0, 0.99, 1.01, 5.0])
def test_a_column_that_never_varied_tells_any_other_value(other):
    # one bin from full to empty, another from empty to full
    expected = 2 * (1 - FLOOR) * np.log(1 / FLOOR)
    assert psi(np.ones(50), np.full(20, other)) == pytest.approx(expected)
    assert psi(np.ones(50), np.ones(20)) == 0.0


def test_a_value_that_many_rows_have_is_a_bin_of_its_own():
    flag = np.repeat([0.0, 1.0], [70, 30])
    moved_flag = np.repeat([0.0, 1.0], [40, 60])
    expected = (0.4 - 0.7) * np.log(0.4 / 0.7) + (0.6 - 0.3) * np.log(0.6 / 0.3)
    assert psi(flag, moved_flag) == pytest.approx(expected, abs=1e-12)


def test_missing_values_are_a_bin_of_their_own():
    whole, holed = np.arange(100.0), np.arange(100.0)
    holed[::2] = np.nan  # half of every decile
    expected = 10 * (0.05 - 0.1) * np.log(0.05 / 0.1) + (0.5 - FLOOR) * np.log(0.5 / FLOOR)
    assert psi(whole, holed) == pytest.approx(expected)
    assert psi(holed, holed) == 0.0


def test_the_floor_is_what_an_empty_bin_counts():
    rows = np.arange(10.0)
    got = psi(rows, rows[:5], bins=2, floor=0.01)
    assert got == pytest.approx(0.5 * np.log(2) + (0.01 - 0.5) * np.log(0.01 / 0.5))


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"bins": 1}, ParamsError, "at least 2 bins, was 1"),
        ({"floor": 0.0}, ParamsError, "above 0 and below 0.1"),
        ({"floor": 0.1}, ParamsError, "the share of one of 10 bins, was 0.1"),
        ({"sample": np.array([])}, DataError, r"was of shape \(0,\)"),
        ({"reference": np.array([np.nan, np.nan])}, DataError, "that have a value"),
        ({"sample": np.ones((2, 2))}, DataError, r"was of shape \(2, 2\)"),
    ],
)
def test_psi_refuses_what_it_cannot_compare(asked, error, says):
    with pytest.raises(error, match=says):
        psi(**({"reference": np.ones(3), "sample": np.ones(3)} | asked))


@pytest.mark.parametrize("sizes", [(1000, 250), (7, 400), (50, 50)])
@pytest.mark.parametrize("decimals", [12, 1, 0])
def test_ks_is_scipys_with_and_without_ties(sizes, decimals):
    rng = np.random.default_rng(sum(sizes) + decimals)
    one, other = rng.normal(size=sizes[0]), rng.normal(0.2, 1.3, size=sizes[1])
    for a, b in ((one, other), (other, one)):
        a, b = a.round(decimals), b.round(decimals)
        expected = ks_2samp(a, b, method="asymp")
        assert ks(a, b) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-12)


def test_ks_leaves_missing_values_out():
    one, other = np.arange(9.0), np.arange(4.0)
    assert ks(np.append(one, np.nan), np.insert(other, 0, np.nan)) == ks(one, other)


def test_p_values_of_independent_rows_are_uniform():
    rng = np.random.default_rng(3)
    found = [ks(rng.normal(size=400), rng.normal(size=300))[1] for _ in range(400)]
    assert kstest(found, "uniform").pvalue > 0.01


def panel(n, columns, seed=0):
    """Two symbols with columns of normal numbers, and labels known five hours later."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["symbol", "time"])
    features = pd.DataFrame(rng.normal(size=(2 * n, len(columns))), index, columns=columns)
    known_at = index.get_level_values("time") + pd.Timedelta(5, "h")
    return features, pd.DataFrame({"label": 0.0, "known_at": known_at}, index)


def test_drift_is_psi_and_ks_of_each_fold_and_of_the_halves_before_it():
    features, labels = panel(200, ["a", "b"])
    features.loc[("A",), "a"] = np.append([np.nan] * 10, features["a"].to_numpy()[10:200])
    got = drift(features, labels, WalkForward(80, 40))
    times = features.index.get_level_values("time")
    clock, whole = times.unique().sort_values(), features.notna().all(axis=1)
    assert got.index.names == ["fold", "feature"]
    assert len(got) == 3 * 2
    for fold, first in enumerate((80, 120, 160)):
        # a label of the last five bars is known inside the test window
        train = whole & (times >= clock[first - 80]) & (times < clock[first - 5])
        test = whole & (times >= clock[first]) & (times < clock[first] + pd.Timedelta(40, "h"))
        seen = times[train].unique().sort_values()
        newer = train & (times >= seen[len(seen) // 2])
        older = train & ~newer
        for name in features:
            one, other, old, new = (features.loc[p, name] for p in (train, test, older, newer))
            row = got.loc[(fold, name)]
            assert row["psi"] == psi(one, other)
            assert row["psi_inside"] == psi(old, new)
            assert (row["ks"], row["ks_p"]) == ks(one, other)
            assert row["ks_inside"] == ks(old, new)[0]


def test_a_column_that_moved_is_told_and_one_that_did_not_is_not():
    features, labels = panel(600, ["still", "shifts"], seed=4)
    late = features.index.get_level_values("time") >= pd.Timestamp("2024-01-20", tz="UTC")
    features.loc[late, "shifts"] += 2.0
    got = moved(drift(features, labels, WalkForward(200, 100)))
    assert got.index.tolist() == ["shifts", "still"]
    # 20 January is bar 456 of 600: the shift is inside the test window from bar 400 and in the
    # training window of the next, whose newer half does not know it
    assert got["moved"].tolist() == [0.5, 0.0]
    assert got.loc["shifts", "ks"] > 3 * got.loc["still", "ks"]


def test_slow_columns_look_drifted_by_the_p_value_and_not_by_the_yardstick():
    features, labels = panel(1000, ["fast"], seed=6)
    steps = np.random.default_rng(2).normal(size=(1000, 40))
    slow = np.zeros((1000, 40))
    for i in range(1, 1000):  # a stationary column with a memory of some fifty bars
        slow[i] = 0.98 * slow[i - 1] + steps[i]
    part = pd.DataFrame(slow, features.index[:1000]).add_prefix("slow")
    got = drift(part, labels.iloc[:1000], WalkForward(400, 100))
    # of independent rows one in a hundred would be
    assert (got["ks_p"] < 0.01).mean() > 0.8
    assert got["ks"].mean() < 2 * got["ks_inside"].mean()


def test_drift_needs_two_training_times():
    features, labels = panel(30, ["a"])
    with pytest.raises(DataError, match="fold 0 has one training time"):
        drift(features, labels, WalkForward(6, 10))
    with pytest.raises(DataError, match="fold 0 has no training row left"):
        drift(features, labels, WalkForward(5, 10))
