"""performance.py: what is scored, when, and against which range."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from signalkit import metrics
from signalkit.errors import DataError, ParamsError
from signalkit.monitoring import Alarm, in_turn, kept, promised, rolling, settled

SHARES = ["p_sell", "p_hold", "p_buy"]
HOUR = pd.Timedelta(1, "h")


def predicted(n, *, horizon=2, accuracy=0.6, seed=0, symbols=("A",)):
    """Predictions of up or down at 60 %, settled `horizon` hours later, right as often as said."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])
    up, right = rng.random(len(index)) < 0.5, rng.random(len(index)) < accuracy
    shares = np.column_stack([np.where(up, 0.4, 0.6), np.zeros(len(index)), np.where(up, 0.6, 0.4)])
    known_at = index.get_level_values("time") + horizon * HOUR
    table = pd.DataFrame(shares, index, SHARES).assign(known_at=known_at)
    return table.assign(actual=np.where(up == right, 1.0, -1.0))


def test_only_what_is_known_has_settled():
    table = predicted(5)
    at = table["known_at"].iloc[2]
    assert settled(table, at).index.tolist() == table.index[:3].tolist()
    later = table.copy()
    later.loc[table["known_at"] > at, "actual"] *= -1
    pd.testing.assert_frame_equal(settled(later, at), settled(table, at))
    pd.testing.assert_frame_equal(rolling(later, window=2, at=at), rolling(table, window=2, at=at))
    assert list(in_turn(later, at=at)) == list(in_turn(table, at=at))


def test_right_is_that_the_likeliest_class_came():
    table = predicted(50)
    found = settled(table)
    assert (
        found["right"].mean() == metrics.classification(table["actual"], table[SHARES])["accuracy"]
    )


def test_rows_without_an_answer_are_left_out():
    table = predicted(4)
    table.iloc[1, :3] = np.nan
    assert len(settled(table)) == 3
    assert len(list(in_turn(table))) == 3


def test_outcomes_wait_for_those_that_were_predicted_before_them():
    table = predicted(6)
    table.iloc[2, [3, 4]] = [pd.NaT, np.nan]
    times = table.index.get_level_values("time")
    taken = list(in_turn(table))
    assert [time for time, _, _ in taken] == times[:2].tolist()
    assert [right for _, right, _ in taken] == settled(table)["right"].tolist()[:2]
    given_up = list(in_turn(table, at=times[5] + 2 * HOUR, wait=3 * HOUR))
    assert [time for time, _, _ in given_up] == times[[0, 1, 3, 4, 5]].tolist()


def test_an_outcome_that_was_given_up_is_never_taken_later():
    table = predicted(6)
    table.iloc[2, 3] += 3 * HOUR
    times = table.index.get_level_values("time")
    for at in times + 4 * HOUR:
        assert times[2] not in [time for time, _, _ in in_turn(table, at=at, wait=3 * HOUR)]


@pytest.mark.parametrize("wait", [None, 2 * HOUR, 5 * HOUR])
def test_a_tick_a_bar_takes_the_outcomes_of_the_batch(wait):
    table = predicted(40, symbols=("A", "B"), seed=3)
    table.iloc[7, 3] += 3 * HOUR
    end = table["known_at"].max()
    batch, ticks = Alarm(0.5, overlap=4), Alarm(0.5, overlap=4)
    batch.follow(in_turn(table, at=end, wait=wait))
    for at in pd.date_range(table["known_at"].min(), end, freq="h"):
        ticks.follow(in_turn(table, at=at, wait=wait))
    assert ticks.state() == batch.state()
    assert batch.n == (79 if wait == 2 * HOUR else 80)


def test_numbers_are_waited_for_as_classes_are():
    table = predicted(6).assign(prediction=[1.0, -1.0, 1.0, 1.0, -1.0, 1.0], actual=0.5)
    table[SHARES] = np.nan
    times = table.index.get_level_values("time")
    taken = list(in_turn(table, at=times[4], wait=2 * HOUR))
    assert [right for _, right, _ in taken] == [True, False, True]
    assert [time for time, _, _ in taken] == times[:3].tolist()


def test_rolling_scores_are_those_of_metrics_on_the_newest_rows():
    table = predicted(30).assign(covered=np.tile([1.0, 0.0, 1.0], 10))
    found = rolling(table, window=10)
    assert found["n"].tolist() == [*range(1, 11), *[10] * 20]
    assert found.index.equals(pd.DatetimeIndex(table["known_at"], name="known_at"))
    last = table.iloc[-10:]
    by_hand = metrics.classification(last["actual"].to_numpy(), last[SHARES].to_numpy())
    for name in ("accuracy", "log_loss", "ece"):
        assert found[name].iloc[-1] == by_hand[name]
    assert found["coverage"].iloc[-1] == last["covered"].mean()
    assert rolling(table, window=10, step=7).index.equals(found.index[1::7])


@pytest.mark.parametrize("symbols", [("A",), ("A", "B")])
def test_scores_of_what_is_new_are_those_of_all_that_was_ever_known(symbols):
    table = predicted(40, seed=3, symbols=symbols).sample(frac=1.0, random_state=4)
    every, moments = rolling(table, window=12), sorted(set(table["known_at"]))
    assert list(every.index) == moments
    for before, moment in pairwise(moments):
        known = table[table["known_at"] <= moment]
        new = rolling(known, window=12, since=before)
        pd.testing.assert_frame_equal(new, every.loc[[moment]], check_exact=True)
    since = rolling(table, window=12, since=moments[-4])
    pd.testing.assert_frame_equal(since, every.iloc[-3:], check_exact=True)
    assert rolling(table, window=12, since=moments[-1]).empty


def test_numbers_are_right_by_their_sign_and_scored_by_their_square():
    rng = np.random.default_rng(5)
    table = predicted(40).assign(prediction=rng.normal(size=40), actual=rng.normal(size=40))
    table[SHARES] = np.nan
    found = rolling(table.assign(paid=0.01), window=10)
    last = table.iloc[-10:]
    by_hand = metrics.regression(last["actual"].to_numpy(), last["prediction"].to_numpy())
    assert found["mse"].iloc[-1] == pytest.approx(by_hand["mse"], rel=1e-12)
    assert found["accuracy"].iloc[-1] == (last["prediction"] * last["actual"] > 0).mean()
    assert found["after_cost_return"].iloc[-1] == pytest.approx(0.01)
    promise = promised(table, window=10)
    assert promise.index.tolist() == ["accuracy", "mse"]
    assert promise.at["mse", "low"] < promise.at["mse", "value"] < promise.at["mse", "high"]
    said = kept(pd.DataFrame({"n": [10], "mse": [99.0]}), promise, window=10)
    assert said["mse"].tolist() == ["worse"]


def test_symbols_that_settle_together_are_scored_together():
    found = rolling(predicted(10, symbols=("A", "B")), window=4)
    assert found["n"].tolist() == [2, *[4] * 9]


def test_promise_is_the_range_of_windows_as_long():
    table = predicted(400)
    promise = promised(table, window=50, level=0.9)
    windows = rolling(table, window=50, step=2)
    accuracy = windows.loc[windows["n"] == 50, "accuracy"]
    assert promise.loc["accuracy", ["low", "high"]].tolist() == pytest.approx(
        np.quantile(accuracy, [0.05, 0.95]).tolist()
    )
    assert promise.at["accuracy", "value"] == settled(table)["right"].mean()
    assert promise["windows"].tolist() == [8, 8, 8]


def test_a_model_that_is_as_good_is_mostly_in_its_range_and_a_worse_one_is_not():
    promise = promised(predicted(3000), window=200)
    same = kept(rolling(predicted(1500, seed=1), window=200, step=20), promise, window=200)
    worse = kept(
        rolling(predicted(1500, accuracy=0.45, seed=2), window=200, step=20), promise, window=200
    )
    assert (same["accuracy"] == "kept").mean() > 0.75
    assert (worse["accuracy"] == "worse").mean() > 0.85
    assert (worse["log_loss"] == "worse").mean() > 0.85
    assert "few" in set(worse["accuracy"])


def test_words_of_each_score_by_hand():
    promise = pd.DataFrame(
        {"low": [0.5, 0.6, 0.8], "high": [0.6, 0.7, 0.9]}, ["accuracy", "log_loss", "coverage"]
    )
    scores = pd.DataFrame(
        {
            "n": [9, 10, 10, 10],
            "accuracy": [0.0, 0.4, 0.5, 0.7],
            "log_loss": [9.0, 0.8, 0.7, 0.5],
            "coverage": [0.0, 0.7, 0.8, 0.95],
        }
    )
    found = kept(scores, promise, window=10)
    assert found["accuracy"].tolist() == ["few", "worse", "kept", "better"]
    assert found["log_loss"].tolist() == ["few", "worse", "kept", "better"]
    assert found["coverage"].tolist() == ["few", "worse", "kept", "worse"]


def test_refuses_what_cannot_be_scored():
    table = predicted(20)
    with pytest.raises(ParamsError, match="window must be at least 2"):
        rolling(table, window=1)
    with pytest.raises(ParamsError, match="level must be"):
        promised(table, window=5, level=1.0)
    with pytest.raises(ParamsError, match="counted from a moment"):
        list(in_turn(table, wait=HOUR))
    with pytest.raises(DataError, match="no two windows of 11"):
        promised(table, window=11)
    with pytest.raises(DataError, match="no prediction has settled"):
        rolling(table.assign(actual=np.nan), window=5)
    with pytest.raises(DataError, match="has no known_at"):
        settled(table.assign(known_at=pd.NaT))
    with pytest.raises(DataError, match="nothing was answered"):
        settled(table.assign(p_sell=np.nan))
    with pytest.raises(DataError, match="one model"):
        settled(pd.concat([table, table]))
