"""stacking.py: scikit-learn on what is settled, fold by fold, and nothing on too little."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from signalkit.metrics import CLASSES
from signalkit.training.stacking import stack

WAIT = 4


def world(n=400, *, numbers=False, seed=8):
    """Two members, hourly, four folds: one sees something of the outcome, one nothing."""
    rng = np.random.default_rng(seed)
    actual = rng.normal(0, 1, n) if numbers else rng.integers(-1, 2, n).astype(float)
    if numbers:
        told = np.column_stack([actual + rng.normal(0, 1, n), rng.normal(0, 1, n)])[:, :, None]
    else:
        knows = rng.dirichlet([3, 3, 3], n) + 0.5 * (actual[:, None] == CLASSES)
        told = np.stack(
            [knows / knows.sum(axis=1, keepdims=True), rng.dirichlet([3] * 3, n)], axis=1
        )
    at = np.arange(n)
    return told, actual, (at, at + WAIT, at // (n // 4)), np.full(n, 1 / WAIT)


def by_hand(told, actual, when, weight, fold):
    """The definition with scikit-learn: everything known at the fold's first time."""
    at, known, folds = when
    mine = folds == fold
    rows = known <= at[mine].min()
    classes = told.shape[2] == 3
    inputs = (np.log(told) if classes else told).reshape(len(told), -1)
    scaled = (inputs - inputs[rows].mean(axis=0)) / inputs[rows].std(axis=0)
    model = LogisticRegression(C=0.5, max_iter=1000) if classes else Ridge(alpha=2.0)
    model.fit(scaled[rows], actual[rows], sample_weight=weight[rows])
    return model.predict_proba(scaled[mine]) if classes else model.predict(scaled[mine])[:, None]


@pytest.mark.parametrize("numbers", [False, True])
def test_each_fold_is_predicted_by_scikit_learn_fitted_on_what_is_settled(numbers):
    told, actual, when, counts = world(numbers=numbers)
    got, shares = stack(told, actual, when, counts=counts, least=20, strength=2.0)
    assert np.isnan(got[when[2] == 0]).all()
    for fold in (1, 2, 3):
        expected = by_hand(told, actual, when, counts, fold)
        np.testing.assert_allclose(got[when[2] == fold], expected, rtol=1e-9, atol=1e-12)
    assert sorted(shares) == [1, 2, 3]
    assert all(share.sum() == pytest.approx(1) and share[0] > 0.6 for share in shares.values())


def test_what_is_older_counts_less_by_the_decay():
    told, actual, when, counts = world()
    got, _ = stack(told, actual, when, counts=counts, decay=0.98, least=5, strength=2.0)
    left = counts * 0.98 ** (200.0 - when[1])
    expected = by_hand(told, actual, when, left, 2)
    np.testing.assert_allclose(got[when[2] == 2], expected, rtol=1e-9)


def test_it_undoes_what_members_have_in_common_and_no_mean_can():
    told, actual, when, counts = world(1200)
    # both call a buy a sell and the reverse
    got, _ = stack(told[:, :, ::-1], actual, when, counts=counts)
    late = when[2] == 3
    mean = told[:, :, ::-1].mean(axis=1)
    share = [part[late, (actual[late] + 1).astype(int)] for part in (got, mean)]
    assert -np.log(share[0]).mean() < 1.0 < np.log(3) < -np.log(share[1]).mean()


def test_a_fold_needs_as_much_as_least_of_what_is_settled():
    told, actual, when, counts = world()
    # 97 rows are settled at hour 100, one at a quarter: 24.25
    assert 1 in stack(told, actual, when, counts=counts, least=24.25)[1]
    assert 1 not in stack(told, actual, when, counts=counts, least=24.26)[1]
    assert np.isnan(stack(told, actual, when, counts=counts, least=1e9)[0]).all()


def test_rows_at_which_a_member_failed_teach_nothing_and_are_not_predicted():
    told, actual, when, counts = world()
    broken = told.copy()
    broken[::7, 1] = np.nan
    other = np.where(np.arange(400) % 7 == 0, -actual, actual)
    got, _ = stack(broken, actual, when, counts=counts, least=5)
    again, _ = stack(broken, other, when, counts=counts, least=5)
    np.testing.assert_array_equal(got, again)
    assert np.isnan(got[100:]).all(axis=1).tolist() == [k % 7 == 0 for k in range(100, 400)]


def test_a_class_that_members_expect_must_have_been_seen():
    told, actual, when, counts = world()
    early = np.where(np.arange(400) < 150, np.abs(actual), actual)
    assert sorted(stack(told, early, when, counts=counts, least=5)[1]) == [2, 3]
    assert not stack(told, np.ones(400), when, counts=counts, least=5)[1]


def test_two_classes_have_no_share_of_the_third():
    told, actual, when, counts = world()
    told = told * [0.0, 1.0, 1.0]
    told /= told.sum(axis=2, keepdims=True)
    actual = np.abs(actual)
    got, _ = stack(told, actual, when, counts=counts, least=20, strength=2.0)
    late = when[2] == 3
    assert (got[late, 0] == 0).all()
    inputs = np.log(told[:, :, 1:]).reshape(400, -1)
    rows = when[1] <= 300
    scaled = (inputs - inputs[rows].mean(axis=0)) / inputs[rows].std(axis=0)
    model = LogisticRegression(C=0.5, max_iter=1000).fit(scaled[rows], actual[rows], counts[rows])
    np.testing.assert_allclose(got[late, 1:], model.predict_proba(scaled[late]), rtol=1e-9)


def test_a_member_that_always_says_the_same_gets_no_share():
    told, actual, when, counts = world(numbers=True)
    told[:, 1] = 0.1
    got, shares = stack(told, actual, when, counts=counts, least=20)
    assert np.isfinite(got[100:]).all()
    assert shares[3].tolist() == [1.0, 0.0]
    told[:, 0] = 0.1
    assert stack(told, actual, when, counts=counts, least=20)[1][3].tolist() == [0.5, 0.5]


def test_one_thread_and_two_give_the_same_bits():
    told, actual, when, counts = world(4000)
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.append(stack(told, actual, when, counts=counts)[0])
    np.testing.assert_array_equal(*found)
    assert np.isfinite(found[0][1000:]).all()
