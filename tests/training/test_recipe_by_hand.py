"""recipe.py: slices and weights of training rows, worked by hand and by brute force."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError, ParamsError
from signalkit.labeling import uniqueness
from signalkit.training import Recipe, inner, make

START, HOUR = pd.Timestamp("2024-01-01", tz="UTC"), pd.Timedelta(1, "h")


def worked(labels, waits):
    """A table of labels by hand: by symbol classes, and bars until they settle."""
    parts = {}
    for symbol, answers in labels.items():
        times = pd.date_range(START, periods=len(answers), freq="h", name="time")
        known_at = times + pd.to_timedelta(waits[symbol], "h")
        parts[symbol] = pd.DataFrame({"label": answers, "known_at": known_at}, times)
    return pd.concat(parts, names=["symbol", "time"]).astype({"label": float})


def test_a_label_of_one_symbol_that_settles_in_the_tail_of_another_is_purged():
    labels = worked({"A": [1, -1] * 5, "B": [0, 1] * 5}, {"A": [1] * 10, "B": [4] * 10})
    recipe = Recipe(calibration="temperature", calibration_share=0.3)
    # hours 7, 8 and 9 calibrate: A is settled up to hour 5, B, which waits longer, up to 2
    assert recipe.core(labels, np.arange(20)).tolist() == [0, 1, 2, 3, 4, 5, 10, 11, 12]


def shared_bars(labels):
    """Mean of 1 / concurrency over the bars that each label spans: brute force, full hours."""
    spans = [
        {(symbol, time + k * HOUR) for k in range(1, int((known - time) / HOUR) + 1)}
        for (symbol, time), known in labels["known_at"].items()
    ]
    count = {}
    for bar in (bar for span in spans for bar in span):
        count[bar] = count.get(bar, 0) + 1
    return np.array([np.mean([1 / count[bar] for bar in span]) for span in spans])


def test_uniqueness_is_that_of_the_training_rows_among_themselves():
    waits = np.random.default_rng(2).integers(1, 6, (2, 40))
    # every bar up to the last that settles a training label settles one
    waits[0, 15:20] = waits[1, 26:31] = 5
    labels = worked({"A": [0] * 40, "B": [1] * 40}, {"A": waits[0], "B": waits[1]})
    rows = np.r_[3:20, 50:71]
    own = shared_bars(labels.iloc[rows])
    got = Recipe(uniqueness=True).weight(labels, rows)
    np.testing.assert_allclose(got, own / own.mean(), rtol=1e-12)
    # labels of all rows overlap more: what lies outside would have told
    among_all = uniqueness(labels).to_numpy()[rows]
    assert np.abs(among_all / among_all.mean() - got).max() > 0.01


@pytest.mark.parametrize(
    ("how", "waits", "weights"),
    [
        # the example of labeling.time_decay, over its mean of 0.8125
        ({"last": 0.5}, [1, 1, 1, 1], np.array([0.625, 0.75, 0.875, 1]) / 0.8125),
        ({"last": 0.0}, [1, 1, 1, 1], [0.4, 0.8, 1.2, 1.6]),
        # three rows of one class share what the one of the other has
        ({"balanced": True}, [1, 1, 1, 1], [2 / 3, 2 / 3, 2 / 3, 2]),
        # the third bar is shared by two labels, one of which has another to itself
        ({"uniqueness": True}, [1, 2, 1, 1], np.array([1, 3 / 4, 1 / 2, 1]) / 0.8125),
    ],
    ids=str,
)
def test_weights_worked_by_hand(how, waits, weights):
    labels = worked({"A": [1, 1, 1, -1]}, {"A": waits})
    got = Recipe(**how).weight(labels, np.arange(4))
    assert got == pytest.approx(np.array(weights))
    assert got.mean() == pytest.approx(1)


def test_rows_that_weigh_alike_have_no_weights():
    labels = worked({"A": [1, -1, 1, -1]}, {"A": [1, 1, 1, 1]})
    for how in ({}, {"uniqueness": True}, {"balanced": True}):
        assert Recipe(**how).weight(labels, np.arange(4)) is None


def test_a_class_that_decay_leaves_no_weight_breaks_no_balance():
    labels = worked({"A": [0, 0, 1, 1, -1, 1]}, {"A": [1] * 6})
    got = Recipe(last=-0.5, balanced=True).weight(labels, np.arange(6))
    # decay leaves 0, 0, 0, 1/3, 2/3 and 1; each class that weighs then has 1, over a mean of 1/3
    assert got == pytest.approx([0, 0, 0, 0.75, 3, 2.25])


def test_inner_folds_of_a_search_weigh_their_own_training_rows_and_know_no_later_ones():
    labels = worked({"A": [0, 1, 0, 0] * 10}, {"A": [1] * 40})
    features = pd.DataFrame({"one": np.arange(40.0)}, labels.index)
    recipe, rows = Recipe(balanced=True), np.arange(40)
    told = inner.Window.of(features, labels, rows, folds=3, sample_weight=recipe.weight)
    train, test = told.folds[0]
    turned = labels.copy()
    turned.iloc[test, 0] = 1.0
    again = inner.Window.of(features, turned, rows, folds=3, sample_weight=recipe.weight)
    # 9 rows are settled before the first test, two of them of class 1
    assert len(train) == 9
    common, rare = 9 / 14, 9 / 4
    expected = [common, rare, *[common] * 3, rare, *[common] * 3]
    assert told.weights[0].tolist() == pytest.approx(expected)
    assert again.weights[0].tolist() == told.weights[0].tolist()
    assert len(told.weights[2]) == len(told.folds[2][0]) == 29


def test_a_search_goes_with_a_decay_that_leaves_old_rows_no_weight():
    labels = worked({"A": [0, 1, -1, 0] * 30}, {"A": [1] * 120})
    features = pd.DataFrame({"one": np.random.default_rng(1).normal(size=120)}, labels.index)
    model = make("LIGHTGBM", "signal_direction", rounds=2, min_rows_leaf=5)
    got = Recipe(last=-0.5, trials=2, folds=3).fit(model, features, labels, np.arange(120))
    assert got.tuned["state"].tolist() == ["complete", "complete"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"calibration": "temprature"}, "no calibration 'temprature'; did you mean 'temperature'"),
        ({"calibration_share": -0.1}, "must not be below 0, were 0.15 and -0.1"),
    ],
)
def test_a_recipe_that_nothing_could_follow_is_refused_before_a_fit(asked, says):
    with pytest.raises(ParamsError, match=says):
        Recipe(**asked)


@pytest.mark.parametrize("name", ["XGBOOST", "LIGHTGBM"])
def test_a_booster_of_two_classes_does_not_take_a_third_for_one_of_them(name):
    labels = worked({"A": [0, 1, -1, -1]}, {"A": [1] * 4})
    features = pd.DataFrame({"one": np.arange(4.0)}, labels.index)
    with pytest.raises(
        DataError, match=r"2 of 4 labels are no class of .* first -1; it has 0 and 1"
    ):
        make(name, "target_profitable", rounds=1).fit(features, labels, np.arange(4))
