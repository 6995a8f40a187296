"""Scores of class probabilities: against scikit-learn and sums by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs
from sklearn.calibration import calibration_curve
from threadpoolctl import threadpool_limits

from signalkit import metrics
from signalkit.errors import DataError

CLASSES = np.array([-1.0, 0.0, 1.0])
SEEDS = st.integers(0, 10_000)
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)


def cases(seed, n, classes=CLASSES):
    """Outcomes, and probabilities in tenths: full of ties and of zeros."""
    rng = np.random.default_rng(seed)
    return rng.choice(classes, n), rng.multinomial(10, [0.3, 0.3, 0.4], n) / 10


def their_auc(truth, score, weight):
    """scikit-learn's AUC, NaN where one class is all there is."""
    if len(set(truth)) < 2:
        return np.nan
    return theirs.roc_auc_score(truth, score, sample_weight=weight)


def their_scores(actual, proba, weight):
    """Every score from scikit-learn on the rows that weigh anything."""
    binary = not (proba[:, 0].any() or (actual == -1).any())
    kept = weight > 0
    actual, proba, weight = actual[kept], proba[kept], weight[kept]
    predicted, present = CLASSES[proba.argmax(axis=1)], np.unique(actual)
    macro = {
        "labels": present,
        "average": "macro",
        "zero_division": 0,
        "sample_weight": weight,
    }
    moved = actual != 0
    one_vs_rest = [
        their_auc(actual == k, proba[:, i], weight) for i, k in enumerate(CLASSES) if k in present
    ]
    return {
        "accuracy": theirs.accuracy_score(actual, predicted, sample_weight=weight),
        "precision": theirs.precision_score(actual, predicted, **macro),
        "recall": theirs.recall_score(actual, predicted, **macro),
        "f1": theirs.f1_score(actual, predicted, **macro),
        "auc": np.mean(one_vs_rest),
        "auc_direction": their_auc(
            actual[moved] > 0, (proba[:, 2] - proba[:, 0])[moved], weight[moved]
        ),
        "log_loss": theirs.log_loss(actual, proba, labels=CLASSES, sample_weight=weight),
        "matthews": their_matthews(actual, predicted, weight),
        "brier": their_brier(actual, proba, weight, binary=binary),
        "ece": plain_ece(actual, proba, weight),
    }


def their_matthews(actual, predicted, weight):
    """scikit-learn's correlation; where there is but one class it warns, and gives 0."""
    if len({*actual, *predicted}) == 1:
        return 0.0
    return theirs.matthews_corrcoef(actual, predicted, sample_weight=weight)


def their_brier(actual, proba, weight, *, binary):
    """scikit-learn's Brier score, of buy alone where sell is no answer."""
    if binary:
        return theirs.brier_score_loss(actual == 1, proba[:, 2], sample_weight=weight)
    return theirs.brier_score_loss(actual, proba, labels=CLASSES, sample_weight=weight)


def plain_ece(actual, proba, weight):
    """The definition, row by row: tenths of confidence without their lower edge."""
    bins = {}
    for outcome, shares, weighs in zip(actual, proba, weight, strict=True):
        number = min(k for k in range(1, 11) if max(shares) <= k / 10)
        right = CLASSES[list(shares).index(max(shares))] == outcome
        bins.setdefault(number, []).append((weighs, right, max(shares)))
    far = [abs(sum(w * (right - sure) for w, right, sure in rows)) for rows in bins.values()]
    return sum(far) / weight.sum()


@EXAMPLES
@given(seed=SEEDS, n=st.integers(2, 40))
def test_classification_equals_scikit_learn(seed, n):
    actual, proba = cases(seed, n)
    expected = their_scores(actual, proba, np.ones(n))
    assert metrics.classification(actual, proba).to_dict() == pytest.approx(
        expected, rel=1e-9, abs=1e-12, nan_ok=True
    )


@EXAMPLES
@given(seed=SEEDS, n=st.integers(2, 40))
def test_weighted_classification_equals_scikit_learn(seed, n):
    actual, proba = cases(seed, n)
    weight = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 3.0], n)
    assume(weight.sum() > 0)
    got = metrics.classification(actual, proba, weight=weight)
    assert got.to_dict() == pytest.approx(
        their_scores(actual, proba, weight), rel=1e-9, abs=1e-12, nan_ok=True
    )


@pytest.mark.parametrize("classes", [[-1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
def test_a_class_that_never_came_is_left_out_of_the_macro_scores(classes):
    actual, proba = cases(5, 60, classes)
    got = metrics.classification(actual, proba)
    expected = their_scores(actual, proba, np.ones(60))
    assert got.to_dict() == pytest.approx(expected, rel=1e-9, nan_ok=True)
    assert np.isnan(got["auc_direction"]) == (len(set(classes) - {0.0}) == 1)


@EXAMPLES
@given(SEEDS, st.integers(2, 60))
def test_scores_without_ranks_are_the_bits_of_all_scores(seed, n):
    given_cases = cases(seed, n)
    got, whole = metrics.unranked(*given_cases), metrics.classification(*given_cases)
    assert got.index.tolist() == ["accuracy", "log_loss", "ece"]
    assert got.tolist() == whole[got.index].tolist()


def test_scores_without_ranks_refuse_what_all_scores_refuse():
    with pytest.raises(DataError, match="classes are -1, 0, 1"):
        metrics.unranked(np.array([2.0]), np.array([[0.2, 0.3, 0.5]]))


def test_macro_auc_is_scikit_learns_one_vs_rest():
    actual, proba = cases(11, 200)
    expected = theirs.roc_auc_score(actual, proba, multi_class="ovr", average="macro")
    assert metrics.classification(actual, proba)["auc"] == pytest.approx(expected, rel=1e-12)


@EXAMPLES
@given(seed=SEEDS)
def test_a_weight_is_a_row_repeated(seed):
    actual, proba = cases(seed, 12)
    counts = np.random.default_rng(seed).integers(0, 4, 12)
    assume(counts.sum() > 0)
    repeated = metrics.classification(actual.repeat(counts), proba.repeat(counts, axis=0))
    weighted = metrics.classification(actual, proba, weight=counts)
    pd.testing.assert_series_equal(weighted, repeated, rtol=1e-9)


def test_equal_probabilities_order_nothing_and_choose_the_first_class():
    got = metrics.classification(CLASSES, np.full((3, 3), 1 / 3))
    assert got[["auc", "auc_direction"]].tolist() == [0.5, 0.5]
    assert got["accuracy"] == pytest.approx(1 / 3)
    assert got["log_loss"] == pytest.approx(np.log(3))


def test_direction_is_judged_on_the_bars_that_moved():
    actual = np.array([-1, 0, 1, 0, 1])
    proba = [[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.2, 0.3, 0.5], [0.8, 0.1, 0.1], [0.5, 0.4, 0.1]]
    # pairs of buy and sell by p_buy - p_sell: 0.3 over -0.5 right, -0.4 over -0.5 right
    assert metrics.classification(actual, np.array(proba))["auc_direction"] == 1.0


def test_a_certain_error_costs_the_clipped_log_loss():
    # scikit-learn clips at the float epsilon, -ln(2.22e-16) = 36.04
    got = metrics.classification(np.array([1.0]), np.array([[1.0, 0.0, 0.0]]))
    assert got["log_loss"] == pytest.approx(36.0436534, rel=1e-8)


@pytest.mark.parametrize(
    ("actual", "proba", "says"),
    [
        ([1.0, 2.0], [[0.2, 0.3, 0.5]] * 2, "an outcome is 2; classes are -1, 0, 1"),
        ([1.0], [[0.2, 0.3, 0.5]] * 2, r"columns of one length above 0, were \[1, 2\]"),
        ([], np.empty((0, 3)), r"columns of one length above 0, were \[0\]"),
        ([1.0, np.nan], [[0.2, 0.3, 0.5]] * 2, "scored value in row 1 is not finite"),
        ([1.0, 0.0], [[0.2, 0.3, 0.5], [np.nan, 0.5, 0.5]], "row 1 is not finite"),
    ],
)
def test_classification_refuses_what_it_cannot_score(actual, proba, says):
    with pytest.raises(DataError, match=says):
        metrics.classification(np.array(actual), np.array(proba))


def test_classification_refuses_two_probabilities_for_three_classes():
    with pytest.raises(DataError):
        metrics.classification(np.array([-1.0, 1.0]), np.array([[0.5, 0.5], [0.4, 0.6]]))


@pytest.mark.parametrize("n", [1, 3])
def test_classification_refuses_weights_of_another_length(n):
    with pytest.raises(DataError):
        metrics.classification(*cases(1, 2), weight=np.ones(n))


def test_calibration_error_equals_the_gaps_of_scikit_learns_curve():
    # sklearn.calibration.calibration_curve has the same bins (low, high]
    rng = np.random.default_rng(3)
    proba = rng.dirichlet([2, 2, 2], 400)
    actual = rng.choice(CLASSES, 400)
    top, right = proba.max(axis=1), CLASSES[proba.argmax(axis=1)] == actual
    came, said = calibration_curve(right, top, n_bins=10)
    sizes = np.histogram(top, bins=10, range=(0, 1))[0]
    expected = (np.abs(came - said) * sizes[sizes > 0]).sum() / 400
    assert metrics.classification(actual, proba)["ece"] == pytest.approx(expected, rel=1e-12)


def test_confidence_on_an_edge_belongs_to_the_bin_below_it():
    # 0.4 and 0.35 share the bin (0.3, 0.4]: |1 + 0 - 0.75| / 2; 0.41 would stand alone
    proba = np.array([[0.4, 0.3, 0.3], [0.35, 0.33, 0.32]])
    got = metrics.classification(np.array([-1.0, 1.0]), proba)["ece"]
    assert got == pytest.approx(0.125)
    proba[0] = [0.41, 0.3, 0.29]
    got = metrics.classification(np.array([-1.0, 1.0]), proba)["ece"]
    assert got == pytest.approx((0.59 + 0.35) / 2)


def test_the_brier_score_of_a_binary_target_is_not_summed_twice():
    actual, buy = np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.9, 0.4])
    proba = np.column_stack([np.zeros(3), 1 - buy, buy])
    # (0.04 + 0.01 + 0.36) / 3 by hand, and sklearn.metrics.brier_score_loss
    got = metrics.classification(actual, proba)["brier"]
    assert got == pytest.approx(0.41 / 3)
    assert got == pytest.approx(theirs.brier_score_loss(actual, buy))
    summed = metrics.classification(actual, proba + [1e-9, -1e-9, 0.0])["brier"]
    assert summed == pytest.approx(2 * 0.41 / 3)


@EXAMPLES
@given(seed=SEEDS, n=st.integers(2, 40))
def test_scores_of_a_binary_target_equal_scikit_learn(seed, n):
    rng = np.random.default_rng(seed)
    actual, buy = rng.integers(0, 2, n).astype(float), rng.integers(0, 11, n) / 10
    weight = rng.random(n) + 0.1
    proba = np.column_stack([np.zeros(n), 1 - buy, buy])
    got = metrics.classification(actual, proba, weight=weight)
    expected = their_scores(actual, proba, weight)
    assert got.to_dict() == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def test_the_brier_score_of_several_classes_is_brier_s_own():
    # Brier (1950): sum over the classes, so that certain errors cost 2
    proba = np.array([[1.0, 0.0, 0.0], [0.5, 0.25, 0.25]])
    got = metrics.classification(np.array([1.0, -1.0]), proba)["brier"]
    assert got == pytest.approx((2 + 0.25 + 0.0625 + 0.0625) / 2)


@pytest.mark.parametrize(
    ("actual", "chosen"), [([1, 1, 1], [1, 0, -1]), ([1, 0, -1], [0, 0, 0]), ([1, 1], [1, 1])]
)
def test_matthews_is_nought_where_a_margin_is_empty(actual, chosen):
    shares = np.array([(k == CLASSES) * 0.8 + 0.1 for k in chosen])
    got = metrics.classification(np.array(actual, dtype=float), shares)
    assert got["matthews"] == 0.0


def test_matthews_of_two_classes_is_the_formula_of_1975():
    # tp 4, tn 3, fp 1, fn 2: (12 - 2) / sqrt(5 * 6 * 4 * 5)
    got = metrics.matthews(np.array([[3.0, 1.0], [2.0, 4.0]]))
    assert got == pytest.approx(10 / np.sqrt(600))


def test_scores_are_the_same_bits_on_one_and_two_threads():
    rng = np.random.default_rng(1)
    actual, proba = rng.choice(CLASSES, 40_000), rng.dirichlet([2, 2, 2], 40_000)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            classes = metrics.classification(actual, proba, weight=proba[:, 0])
            numbers = metrics.regression(proba[:, 1], proba[:, 2], weight=proba[:, 0])
        found.append(classes.tolist() + numbers.tolist())
    assert found[0] == found[1]


@pytest.mark.parametrize("rows", [0.0, -1.0])
def test_classification_refuses_rows_that_weigh_nothing(rows):
    with pytest.raises(DataError, match=r"weights of 4 rows sum to .*no row is scored"):
        metrics.classification(*cases(1, 4), weight=np.full(4, rows))


def test_less_is_better_for_losses_alone():
    assert {"log_loss", "brier", "ece", "mse", "mae"} == metrics.LESS_IS_BETTER
    assert set(metrics.CLASSIFICATION + metrics.REGRESSION) > metrics.LESS_IS_BETTER
