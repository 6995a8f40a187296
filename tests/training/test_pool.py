"""ensemble.pool: members' shares pooled with given weights, as for the newest bar."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

from signalkit.errors import DataError, ParamsError
from signalkit.training.ensemble import ENSEMBLE, PROBABILITIES, combine, pool

ONE = [[0.5, 0.3, 0.2], [0.1, 0.5, 0.4], [0.0, 0.4, 0.6]]
TWO = [[0.1, 0.1, 0.8], [0.3, 0.3, 0.4], [0.4, 0.4, 0.2]]


def predictions(**said):
    """Hourly predictions whose label is buy, known an hour later."""
    parts = {}
    for name, shares in said.items():
        times = pd.date_range("2024-01-01", periods=len(shares), freq="h", tz="UTC", name="time")
        table = pd.DataFrame(np.array(shares), columns=PROBABILITIES, index=times)
        fixed = {"target": "signal_direction", "fold": 0, "actual": 1.0, "prediction": 0.0}
        parts[("A", name)] = table.assign(**fixed, confidence=0.5, known_at=times + times.freq)
    table = pd.concat(parts, names=["symbol", "model_id"])
    return table.reorder_levels(["symbol", "time", "model_id"])


def test_it_is_what_combine_does_with_the_weights_of_a_time():
    got = combine(predictions(ONE=ONE, TWO=TWO), ["ONE", "TWO"])
    row = got.predictions.xs(ENSEMBLE, level="model_id").iloc[-1]
    weights = got.weights.iloc[-1].to_numpy()
    assert weights[0] != weights[1]
    given = [np.array(said)[-1:] for said in (ONE, TWO)]
    proba, confidence, disagreement = pool(given, weights)
    assert proba[0].tolist() == row[PROBABILITIES].tolist()
    assert confidence[0] == row["confidence"]
    assert disagreement[0] == got.disagreement.iloc[-1]


def test_entropies_of_scipy_give_the_same():
    rng = np.random.default_rng(2)
    shares, weights = rng.dirichlet([1, 1, 1], (3, 40)), np.array([0.5, 0.2, 0.3])
    proba, confidence, disagreement = pool(list(shares), 7 * weights)
    mean = np.einsum("m,mnk->nk", weights, shares)
    apart = (entropy(mean, axis=1) - weights @ entropy(shares, axis=2)) / np.log(3)
    np.testing.assert_allclose(proba, mean, rtol=1e-12)
    np.testing.assert_allclose(disagreement, apart, rtol=1e-10)
    np.testing.assert_allclose(confidence, mean.max(axis=1) * (1 - apart), rtol=1e-10)
    assert ((disagreement > 0) & (disagreement < 1)).all()


def test_who_says_nothing_is_left_out_and_what_was_given_stays():
    one, two = np.array(ONE), np.array(TWO)
    one[0, 1] = two[1, 2] = np.nan
    one[2], two[2] = np.nan, np.nan
    before = one.copy(), two.copy()
    proba, confidence, _ = pool([one, two], np.array([0.9, 0.1]))
    np.testing.assert_array_equal(proba[:2], [TWO[0], ONE[1]])
    assert np.isnan(proba[2]).all()
    assert np.isnan(confidence[2])
    np.testing.assert_array_equal((one, two), before)


def test_a_member_without_weight_is_not_asked_where_it_alone_is_left():
    proba, confidence, disagreement = pool([[[np.nan] * 3], ONE[:1]], np.array([1.0, 0.0]))
    assert np.isnan(np.r_[proba[0], confidence, disagreement]).all()


@pytest.mark.parametrize(
    ("weights", "error", "says"),
    [
        ([1.0], ParamsError, "2 members need as many weights"),
        ([0.0, 0.0], ParamsError, "not all 0"),
        ([1.0, -1.0], ParamsError, "none below 0"),
        ([1.0, np.nan], ParamsError, "none below 0"),
        ([0.5, 0.5], DataError, r"one shape \(n, 3\), had"),
    ],
)
def test_refuses_weights_and_shapes_that_do_not_fit(weights, error, says):
    with pytest.raises(error, match=says):
        pool([np.ones((2, 3)) / 3, np.ones((3, 3)) / 3], np.array(weights))
