"""ensemble.py: the plain mean of the models, worked by hand."""

import numpy as np
import pandas as pd
import pytest

from signalkit.training import ENSEMBLE, add_mean

TIMES = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC", name="time")


def predictions(model_id, shares=None, numbers=None, symbol="A"):
    """One model's predictions of three bars, the last without an outcome."""
    index = pd.MultiIndex.from_product(
        [[symbol], TIMES, [model_id]], names=["symbol", "time", "model_id"]
    )
    p = np.full((3, 3), np.nan) if shares is None else np.array(shares)
    guess = p.argmax(axis=1) - 1.0 if numbers is None else np.array(numbers)
    columns = {
        "target": "signal_direction" if numbers is None else "target_return",
        "fold": [0, 0, 1],
        "prediction": guess,
        "p_sell": p[:, 0],
        "p_hold": p[:, 1],
        "p_buy": p[:, 2],
        "confidence": p.max(axis=1),
        "known_at": [TIMES[1], TIMES[2], pd.NaT],
        "actual": [1.0, -1.0, np.nan],
    }
    return pd.DataFrame(columns, index=index)


ONE = [[0.5, 0.3, 0.2], [0.1, 0.5, 0.4], [0.0, 0.4, 0.6]]
TWO = [[0.1, 0.1, 0.8], [0.3, 0.3, 0.4], [0.4, 0.4, 0.2]]


def both(**more):
    return pd.concat([predictions("ONE", ONE, **more), predictions("TWO", TWO, **more)])


def test_shares_are_averaged_and_the_likeliest_class_is_predicted():
    got = add_mean(both(), ["ONE", "TWO"]).xs(ENSEMBLE, level="model_id")
    # (0.5 + 0.1) / 2 and so on
    expected = [[0.3, 0.2, 0.5], [0.2, 0.4, 0.4], [0.2, 0.4, 0.4]]
    np.testing.assert_allclose(got[["p_sell", "p_hold", "p_buy"]], expected, rtol=1e-12)
    assert got["prediction"].iloc[0] == 1.0
    assert got["confidence"].tolist() == pytest.approx([0.5, 0.4, 0.4])


def test_equal_shares_choose_the_first_class():
    parts = [predictions("ONE", [[0.5, 0.25, 0.25]] * 3), predictions("TWO", [[0, 0.25, 0.75]] * 3)]
    got = add_mean(pd.concat(parts), ["ONE", "TWO"]).xs(ENSEMBLE, level="model_id")
    assert got["prediction"].tolist() == [1.0, 1.0, 1.0]
    parts[1][["p_sell", "p_hold", "p_buy"]] = [0.25, 0.25, 0.5]
    parts[0][["p_sell", "p_hold", "p_buy"]] = [0.5, 0.25, 0.25]
    got = add_mean(pd.concat(parts), ["ONE", "TWO"]).xs(ENSEMBLE, level="model_id")
    assert got["prediction"].tolist() == [-1.0, -1.0, -1.0]


def test_numbers_are_averaged_and_have_no_shares():
    one = predictions("ONE", numbers=[0.01, 0.02, -0.03])
    two = predictions("TWO", numbers=[0.03, -0.02, -0.01])
    got = add_mean(pd.concat([one, two]), ["ONE", "TWO"]).xs(ENSEMBLE, level="model_id")
    assert got["prediction"].tolist() == pytest.approx([0.02, 0.0, -0.02], abs=1e-15)
    assert got[["p_sell", "p_hold", "p_buy", "confidence"]].isna().all(axis=None)


def test_only_the_members_are_averaged():
    naive = predictions("MAJORITY", [[1.0, 0.0, 0.0]] * 3)
    table = pd.concat([both(), naive])
    got, without = add_mean(table, ["ONE", "TWO"]), add_mean(both(), ["ONE", "TWO"])
    mean = [t.xs(ENSEMBLE, level="model_id") for t in (got, without)]
    pd.testing.assert_frame_equal(mean[0], mean[1])
    assert sorted(got.index.unique("model_id")) == [ENSEMBLE, "MAJORITY", "ONE", "TWO"]


def test_what_was_there_stays_as_it_was_and_in_order():
    table = pd.concat([both(), both(symbol="B")])
    got = add_mean(table, ["ONE", "TWO"])
    assert got.index.is_monotonic_increasing
    assert list(got.columns) == list(table.columns)
    pd.testing.assert_frame_equal(got.loc[table.index], table)


def test_outcomes_and_folds_are_those_of_the_members():
    got = add_mean(both(), ["ONE", "TWO"]).xs(ENSEMBLE, level="model_id")
    expected = predictions("ONE", ONE).droplevel("model_id")
    same = ["target", "fold", "known_at", "actual"]
    pd.testing.assert_frame_equal(got[same], expected[same])


def test_an_ensemble_of_one_is_that_model():
    got = add_mean(both(), ["TWO"])
    alone = got.xs(ENSEMBLE, level="model_id")
    pd.testing.assert_frame_equal(alone, got.xs("TWO", level="model_id"))
