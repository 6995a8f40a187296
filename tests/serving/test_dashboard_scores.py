"""Scores beside baseline and interval, against sums by hand and other people's functions."""

import math
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import log_loss

from signalkit.serving.dashboard_scores import (
    LEAST,
    LONGEST_WINDOW,
    Outcomes,
    class_words,
    reliability,
    score,
    track,
    wilson,
)
from signalkit.serving.dashboard_views import validated
from signalkit.store import Asked, Store
from signalkit.study.registry import PAST
from tests.serving.filled import register

HOUR = 3_600_000_000_000
CLASSES = Asked("signal_direction", "1h", 1)
NUMBERS = Asked("target_return", "1h", 1)


def answered(said, actual, *, asked=CLASSES, shares=None, moments=None):
    """Outcomes as the store reads them."""
    shares = np.full((len(said), 3), math.nan) if shares is None else shares
    moments = range(len(said)) if moments is None else moments
    rows = [
        ("S", 0, HOUR * m, v, a, v == a, None if math.isnan(p[0]) else max(p), *p)
        for m, v, a, p in zip(moments, said, actual, shares, strict=True)
    ]
    return Outcomes(asked, rows)


def random(count, seed=3, asked=CLASSES):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([3, 4, 5], count)
    said = shares.argmax(axis=1) - 1.0
    return answered(said, rng.choice([-1.0, 0.0, 1.0], count), shares=shares, asked=asked), shares


@pytest.mark.parametrize(("right", "count"), [(0, 30), (13, 30), (30, 30), (480, 1000)])
def test_interval_of_a_share_is_wilsons_as_scipy_has_it(right, count):
    low, high = wilson(np.array(right / count), np.array(float(count)))
    told = binomtest(right, count).proportion_ci(method="wilson")
    assert (float(low), float(high)) == pytest.approx((told.low, told.high), abs=1e-12)


def test_a_score_by_hand():
    found = score(answered([1.0] * 30, [1.0] * 12 + [0.0] * 18))
    assert (found.value, found.baseline, found.n, found.independent) == (0.4, 0.6, 30, 30)
    assert found.compared == "always “hold”"
    # Brown, Cai and DasGupta (2001), equation 4, worked by hand
    assert (found.low, found.high) == pytest.approx((0.2459, 0.5768), abs=1e-4)
    assert found.verdict == "worse"


@pytest.mark.parametrize(
    ("right", "verdict"),
    [(95, "better"), (60, "none"), (35, "worse")],
)
def test_words_follow_from_interval_and_baseline(right, verdict):
    actual = [0.0] * 60 + [1.0] * 40
    said = [a if k < right else -1.0 for k, a in enumerate(actual)]
    assert score(answered(said, actual)).verdict == verdict


def test_too_few_outcomes_have_no_score():
    assert score(answered([1.0] * (LEAST - 1), [1.0] * (LEAST - 1))) is None
    assert track(answered([1.0] * (LEAST - 1), [1.0] * (LEAST - 1))) is None
    assert score(answered([], [])) is None


def test_overlapping_outcomes_and_symbols_of_one_moment_count_once():
    moments = [k // 2 for k in range(400)]  # two symbols
    asked = Asked("signal_direction", "1h", 8)
    found = score(answered([1.0] * 400, [1.0, 0.0] * 200, asked=asked, moments=moments))
    assert found.n == 400
    assert found.independent == 200 / 8
    assert (found.low, found.high) == pytest.approx(
        tuple(map(float, wilson(np.array(0.5), np.array(25.0))))
    )


def test_rolling_scores_are_those_of_each_window_alone():
    of, shares = random(900)
    found = track(of)
    assert found.window == LONGEST_WINDOW
    for place in (0, 1, 100, len(found.times) - 1):
        part = slice(place, place + found.window)
        actual = of.actual[part]
        assert found.value[place] == pytest.approx((of.said[part] == actual).mean())
        often = [np.mean(actual == each) for each in (-1, 0, 1)]
        assert found.baseline[place] == pytest.approx(max(often))
        assert found.loss[place] == pytest.approx(log_loss(actual, shares[part], labels=[-1, 0, 1]))
        blind = np.tile(often, (found.window, 1))
        assert found.loss_baseline[place] == pytest.approx(
            log_loss(actual, blind, labels=[-1, 0, 1])
        )
        assert found.confidence[place] == pytest.approx(shares[part].max(axis=1).mean())
        assert found.times[place] == HOUR * (place + found.window - 1)


def test_a_moment_has_one_point_when_all_of_it_is_known():
    of = answered([1.0] * 200, [1.0, 0.0] * 100, moments=[k // 2 for k in range(200)])
    times = track(of).times
    assert times == sorted(set(times))


def test_numbers_are_scored_by_how_far_they_miss():
    rng = np.random.default_rng(1)
    actual = rng.normal(0, 0.01, 500)
    good, useless = actual + rng.normal(0, 0.002, 500), rng.normal(0, 0.01, 500)
    found = score(answered(good, actual, asked=NUMBERS))
    assert found.metric == "mean absolute error"
    assert found.value == pytest.approx(np.abs(good - actual).mean())
    assert found.baseline == pytest.approx(np.abs(actual - actual.mean()).mean())
    half = 1.959963984540054 * np.abs(good - actual).std() / math.sqrt(500)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))
    assert found.verdict == "better"
    assert score(answered(useless, actual, asked=NUMBERS)).verdict == "worse"
    assert score(answered(np.full(500, actual.mean()), actual, asked=NUMBERS)).verdict == "none"


def test_without_probabilities_there_is_accuracy_and_no_loss():
    found = track(answered([1.0] * 100, [1.0, 0.0] * 50))
    assert found.loss is found.confidence is None
    assert found.value[-1] == pytest.approx(16 / 33)  # the newest 33
    assert reliability(answered([1.0] * 100, [1.0, 0.0] * 50)) == []


def test_reliability_sorts_by_what_was_claimed_into_equal_parts():
    of, shares = random(503)
    rows = reliability(of)
    top = np.sort(shares.max(axis=1))
    assert [row["n"] for row in rows] == [101, 101, 101, 100, 100]
    assert rows[0]["claimed"] == pytest.approx(top[:101].mean())
    assert sum(row["right"] * row["n"] for row in rows) == pytest.approx(of.right.sum())
    assert all(row["low"] <= row["right"] <= row["high"] for row in rows)


@pytest.mark.parametrize(
    ("target", "value", "word"),
    [
        ("signal_direction", -1.0, "sell"),
        ("target_profitable", 1.0, "pays"),
        ("target_profitable", 0.0, "does not pay"),
        ("signal_direction", 0.5, "0.5"),
        ("signal_direction", None, "–"),
    ],
)
def test_classes_are_words(target, value, word):
    assert class_words(target, value) == word


def walked(count=400):
    """Walk-forward predictions as the registry keeps them beside a model."""
    of, shares = random(count)
    times = pd.date_range("2015-01-01", periods=count, freq="D", tz="UTC")
    index = pd.MultiIndex.from_product([["SP500"], times], names=["symbol", "time"])
    columns = {"prediction": of.said, "actual": of.actual, "known_at": times + pd.Timedelta("5D")}
    columns |= dict(zip(("p_sell", "p_hold", "p_buy"), shares.T, strict=True))
    table = pd.DataFrame(columns | {"confidence": shares.max(axis=1)}, index)
    table.iloc[-5:, table.columns.get_indexer(["actual"])] = math.nan
    return table


def validated_model(store, table):
    """A registered model with its walk-forward predictions among its files."""
    content = BytesIO()
    table.to_parquet(content)
    number = register(store, files={"model.json": b"{}", PAST: content.getvalue()})
    return store.models.find(number)


def test_validation_is_scored_by_the_predictions_that_the_registry_keeps(own_store):
    table = walked()
    with Store.open(own_store) as store:
        found, fault = validated(store, validated_model(store, table))
    known = table.dropna()
    assert fault is None
    assert found.value == pytest.approx((known["prediction"] == known["actual"]).mean())
    assert found.baseline == pytest.approx(known["actual"].value_counts(normalize=True).max())
    assert (found.n, found.independent) == (395, 395 / 5)


def test_files_that_were_changed_say_nothing_of_a_model(own_store):
    with Store.open(own_store) as store:
        model = validated_model(store, walked(300))
        (store.folder / model.artifact / PAST).write_bytes(b"better")
        assert validated(store, model) == (None, "its files are missing or changed; train it again")


def test_the_overview_says_where_what_it_shows_is_a_rehearsal(own_store, write):
    assert "rehearsal" not in write.get("/ml/").text
    told = {"study": "quick<b>", "from": "2015-01-02T21:00:00+00:00"}
    with Store.open(own_store) as store:
        store.watch.keep({"rehearsal": told | {"to": "2015-12-31T21:00:00+00:00"}})
    text = write.get("/ml/").text
    assert (
        "A rehearsal: study quick&lt;b&gt; as if it had been deployed at 2015-01-02 21:00" in text
    )
    assert "stopped at 2015-12-31 21:00" in text
