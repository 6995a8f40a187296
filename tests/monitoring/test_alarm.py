"""alarm.py and ledger.py: false alarms stay rare however often one looks; a drop is found."""

import itertools
import json
from math import log
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.monitoring.alarm import Alarm, delay_bound
from signalkit.monitoring.ledger import EVERY, SHARES, Ledger

ALPHA = 0.05


def hours(n):
    return pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC")


def wrong(n, streams, *, overlap=1, accuracy=0.56, drop=None, seed=0):
    """Whether a bet on a rising price, `overlap` bars long, fails: shares bars with the next.

    Moves are independent, so that the chance to be right given the past is exactly `accuracy`;
    from bar `drop` on it is one half.
    """
    rng = np.random.default_rng(seed)
    trend = np.full((n + overlap, 1), NormalDist().inv_cdf(accuracy) / np.sqrt(overlap))
    if drop is not None:
        trend[drop:] = 0.0
    moves = rng.normal(size=(n + overlap, streams)) + trend
    path = np.vstack([np.zeros((1, streams)), moves.cumsum(axis=0)])
    return (path[overlap : overlap + n] <= path[:n]).astype(float)


def first_alarm(outcomes, *, overlap=1, accuracy=0.56):
    """Outcomes after which each stream's alarm is raised; one more than there are if never."""
    n, streams = outcomes.shape
    ledger = Ledger(np.full(streams, 1 - accuracy), overlap=overlap)
    found = np.full(streams, n + 1)
    for i, outcome in enumerate(outcomes):
        raised = (ledger.settle(outcome) >= 1 / ALPHA) & (found > n)
        found[raised] = i + 1
    return found


def median_delay(drop, *, overlap=1, streams, n=2000, seed=1):
    """Median independent outcomes from a drop to the alarm, of streams not raised before."""
    at = drop * overlap
    outcomes = wrong((drop + n) * overlap, streams, overlap=overlap, drop=at, seed=seed)
    found = first_alarm(outcomes, overlap=overlap)
    assert (found <= at).mean() <= ALPHA
    return np.median(found[found > at] - at) / overlap


def test_money_of_one_bettor_is_worked_by_hand():
    # one half of the money starts, a tenth of it is at risk, the price of a miss is 0.4
    ledger = Ledger(0.4, shares=(0.1,))
    assert ledger.settle(1.0) == pytest.approx(0.5 + 0.5 * (0.9 + 0.1 / 0.4))
    assert ledger.settle(0.0) == pytest.approx(0.5 + 0.5 * (0.9 + 0.1 / 0.4) * 0.9)


def test_open_tickets_count_nothing():
    ledger = Ledger(0.4, overlap=2, shares=(0.1,))
    first, second = 0.5 * 0.05, 0.5 * 0.95 * 0.05
    assert ledger.money == pytest.approx(1 - first - second)
    assert ledger.settle(1.0) == pytest.approx(1 - first - second + first / 0.4)


def test_starts_have_all_the_money_between_them():
    # outcomes as good as the price itself change nothing, so that money would leak here
    ledger = Ledger(0.44)
    for _ in range(5 * EVERY):
        assert ledger.settle(0.44) == pytest.approx(1.0, abs=1e-12)


def best_stop(coins, overlap, chance, counted):
    """What one may expect who knows all coins so far and stops when it is best, by brute force.

    A coin falls each bar; outcome i is 1 if the `overlap` coins after it all do. So one knows of
    an open bet whether it is lost.
    """
    value = {}
    for path in itertools.product((0.0, 1.0), repeat=coins):
        ledger = Ledger(chance**overlap, overlap=overlap, shares=(0.9,))
        for i in range(overlap, coins + 1):
            money = float(ledger.settle(min(path[i - overlap : i])))
            value[path[:i]] = counted(ledger, money)
    for length in range(coins - 1, -1, -1):
        for path in itertools.product((0.0, 1.0), repeat=length):
            go_on = chance * value[(*path, 1.0)] + (1 - chance) * value[(*path, 0.0)]
            value[path] = max(value.get(path, 0.0), go_on)
    return value[()]


def at_cost(ledger, money):
    """Money with open tickets at what was paid for them."""
    return float(ledger.money + np.sum(ledger.state()["open"]))


@pytest.mark.parametrize("overlap", [1, 2, 3])
def test_nobody_expects_to_gain_whenever_they_stop(overlap):
    assert best_stop(9, overlap, 0.7, lambda _, money: money) <= 1 + 1e-12


@pytest.mark.parametrize("overlap", [2, 3])
def test_one_who_counts_open_tickets_at_cost_gains_by_stopping_before_they_are_lost(overlap):
    assert best_stop(9, overlap, 0.7, at_cost) > 1.05


@pytest.mark.parametrize(("overlap", "seed"), [(1, 0), (5, 1)])
def test_false_alarms_of_stable_streams_stay_rare(overlap, seed):
    found = first_alarm(wrong(1000, 300, overlap=overlap, seed=seed), overlap=overlap)
    assert (found <= 1000).mean() <= ALPHA


def test_symbols_that_move_as_one_raise_no_more_false_alarms():
    twins = np.repeat(wrong(500, 300, overlap=3, seed=4), 2, axis=0)
    assert (first_alarm(twins, overlap=6) <= 1000).mean() <= ALPHA
    assert (first_alarm(twins, overlap=1) <= 1000).mean() > 3 * ALPHA


def test_overlap_that_is_not_told_raises_false_alarms():
    found = first_alarm(wrong(1000, 300, overlap=5, seed=1), overlap=1)
    assert (found <= 1000).mean() > 3 * ALPHA


def test_a_drop_is_found_within_a_thousand_outcomes():
    bound = delay_bound(0.56, 0.50)
    assert bound == pytest.approx(413, abs=0.5)
    assert bound / 2 < median_delay(0, streams=200) < 500
    assert bound / 2 < median_delay(300, streams=200) < 800


@pytest.mark.certify
@pytest.mark.parametrize("overlap", [1, 5, 24])
def test_a_thousand_stable_streams_keep_the_stated_rate(overlap):
    n = 4000 * overlap if overlap < 24 else 1500 * overlap
    found = first_alarm(wrong(n, 1000, overlap=overlap, seed=2), overlap=overlap)
    assert (found <= n).mean() <= ALPHA


@pytest.mark.certify
@pytest.mark.parametrize("overlap", [1, 5])
@pytest.mark.parametrize("drop", [0, 300, 500, 1000])
def test_a_drop_is_found_in_the_median_within_a_thousand_independent_outcomes(drop, overlap):
    assert median_delay(drop, overlap=overlap, streams=1000) < 1000


def test_bound_is_the_divergence_of_the_shares():
    apart = 0.5 * log(0.5 / 0.6) + 0.5 * log(0.5 / 0.4)
    assert delay_bound(0.6, 0.5, alpha=0.01) == pytest.approx(log(100) / apart)
    assert delay_bound(0.6, 0.6) == float("inf")


def taken(n, overlap=3, seed=5):
    """Outcomes of a model that is right less often than claimed, or as often."""
    right = 1 - wrong(n, 1, overlap=overlap, accuracy=0.52, seed=seed)[:, 0]
    return list(zip(hours(n), right, strict=True))


def test_alarm_is_the_ledger_and_stays_raised():
    outcomes = taken(3000)
    alarm = Alarm(0.6, overlap=3)
    assert alarm.follow(outcomes)
    (when,) = first_alarm(1 - np.array([[right] for _, right in outcomes]), overlap=3, accuracy=0.6)
    assert alarm.n == when < 3000
    assert alarm.raised_at == outcomes[when - 1][0]
    assert alarm.evidence == alarm.highest >= 20
    assert alarm.p_value == 1 / alarm.highest <= 0.05


def test_one_outcome_at_a_time_through_json_is_the_batch_to_the_last_bit():
    outcomes = taken(320)
    batch = Alarm(0.5, overlap=3)
    batch.follow(outcomes)
    state = Alarm(0.5, overlap=3).state()
    for outcome in outcomes:
        alarm = Alarm.restore(json.loads(json.dumps(state)))
        alarm.update(*outcome)
        state = alarm.state()
    assert batch.raised_at is None
    assert state == batch.state()


def test_an_outcome_that_comes_twice_changes_nothing():
    outcomes = taken(50)
    once, twice = Alarm(0.4), Alarm(0.4)
    once.follow(outcomes)
    for i in range(len(outcomes)):
        twice.follow(outcomes[max(0, i - 3) : i + 1])
    assert once.state() == twice.state()
    assert twice.n == 50


def test_symbols_of_one_time_are_outcomes_of_their_own():
    alarm = Alarm(0.56, overlap=2)
    (time,) = hours(1)
    alarm.follow([(time, 1, "A"), (time, 0, "B"), (time, 1, "A"), (time, 0, "B")])
    assert alarm.n == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"accuracy": 1.0}, "accuracy must be above 0 and below 1, was 1"),
        ({"accuracy": float("nan")}, "accuracy must be"),
        ({"alpha": 0.0}, "alpha must be"),
        ({"overlap": 0}, "overlap must be at least 1 prediction, was 0"),
    ],
)
def test_refuses_what_cannot_be_watched(given, says):
    with pytest.raises(ParamsError, match=says):
        Alarm(**{"accuracy": 0.56} | given)


@pytest.mark.parametrize("shares", [(), (1.0,), (0.1, 0.0)])
def test_refuses_shares_that_are_none(shares):
    with pytest.raises(ParamsError, match="shares at risk"):
        Ledger(0.5, shares=shares)


@pytest.mark.parametrize("price", [0.0, 1.1, float("nan")])
def test_refuses_a_claim_that_says_nothing(price):
    with pytest.raises(ParamsError, match="a claim must be"):
        Ledger(price)


def test_refuses_outcomes_that_are_none():
    with pytest.raises(DataError, match=r"right \(1\) or wrong \(0\), was nan"):
        Alarm(0.56).update(hours(1)[0], float("nan"))
    with pytest.raises(DataError, match="UTC timestamp"):
        Alarm(0.56).update(pd.Timestamp("2024-01-01"), 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 0}, "of version 0"),
        ({"ledger": {}}, "KeyError"),
        ({"ledger": {"n": 1, "cash": [1.0], "open": [[1.0] * len(SHARES)]}}, "ValueError"),
        ({"ledger": {"n": 1, "cash": [float("nan")] * 3, "open": [[1.0] * 3]}}, "no number"),
        ({"last": None}, "TypeError"),
        ({"raised_at": "soon"}, "begin a new alarm"),
    ],
)
def test_refuses_a_state_that_is_not_what_was_written(change, says):
    with pytest.raises(StoreError, match=says):
        Alarm.restore(Alarm(0.56).state() | change)
