"""quality.py: what is old, lacks or is out of range lowers confidence, or refuses, and is said."""

import numpy as np
import pandas as pd
import pytest

from signalkit.inference import Predictor
from signalkit.inference.quality import behind, completeness, freshness

HOURS = 5 * 24
# inside the training window, so that no column is out of its range
LAST = pd.Timestamp("2004-06-01 20:00", tz="UTC")


def utc(text):
    """A moment in UTC."""
    return pd.Timestamp(text, tz="UTC")


def cut(store, after):
    """Make a bar end the newest of the store."""
    with store.db.conn:
        store.db.execute("DELETE FROM bars WHERE time > ?", [after.value])
        store.db.execute("UPDATE symbols SET last_bar = ?", [after.value])


def codes(told):
    """Codes of flags but that a set needs more and that models were trained on these bars."""
    return [flag.code for flag in told.flags if flag.code not in ("few_settled", "in_sample")]


@pytest.mark.parametrize(("sessions", "says"), [(-3, True), (0, True), (4, True), (5, False)])
def test_an_answer_that_knew_some_of_its_outcome_says_so(store, sessions, says):
    entry = next(m for m in store.models.list() if m.status == "deployed")
    times = store.read_bars("SP500", "1d").index
    at = times[times.searchsorted(entry.trained_to) + sessions]
    assert entry.prediction_horizon == 5
    told = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=at)
    assert told.time == at
    found = [flag for flag in told.flags if flag.code == "in_sample"]
    assert len(found) == 2 * says
    assert all(f"trained up to {entry.trained_to:%Y-%m-%d %H:%M}Z" in f.detail for f in found)


@pytest.mark.parametrize(
    ("last", "at", "interval", "calendar", "bars"),
    [
        ("2024-01-05 12:00", "2024-01-05 12:59:59", "1h", "24/7", 0),
        ("2024-01-05 12:00", "2024-01-05 13:00", "1h", "24/7", 1),
        ("2024-01-05 12:00", "2024-01-06 12:30", "1h", "24/7", 24),
        ("2024-01-01", "2024-01-14 23:00", "1w", "24/7", 1),
        # New York: Friday's close, then Monday's; 15 January 2024 was a holiday
        ("2024-01-12 21:00", "2024-01-16 20:59", "1d", "XNYS", 0),
        ("2024-01-12 21:00", "2024-01-16 21:00", "1d", "XNYS", 1),
        ("2024-01-05 12:00", "2024-01-05 11:00", "1h", "24/7", 0),
    ],
)
def test_bars_behind_are_those_of_the_calendar_that_have_ended(last, at, interval, calendar, bars):
    assert behind(utc(last), utc(at), interval, calendar) == bars


@pytest.mark.parametrize(
    ("late", "share", "told"),
    [(0, 1.0, []), (1, 0.75, ["stale"]), (3, 0.25, ["stale"]), (4, 0.0, ["too_old"])],
)
def test_what_is_left_of_the_horizon_is_the_share(late, share, told):
    found, flags = freshness(late, 4, LAST)
    assert found == share
    assert [flag.code for flag in flags] == told


def test_missing_bars_lower_by_their_share():
    assert completeness(0) == (1.0, ())
    share, (flag,) = completeness(16)
    assert (share, flag.code) == (0.8, "gap")


@pytest.mark.parametrize(("sessions", "share"), [(0, 1.0), (1, 0.8), (4, 0.2)])
def test_confidence_falls_as_the_newest_bar_gets_old(store, sessions, share):
    later = store.read_bars("SP500", "1d", start=LAST).index[sessions]
    fresh = Predictor(store).predict_signal_direction("SP500", HOURS, at=LAST)
    cut(store, LAST)
    told = Predictor(store).predict_signal_direction("SP500", HOURS, at=later)
    assert codes(told) == (["stale"] if sessions else [])
    assert told.time == LAST
    assert told.value == fresh.value
    assert told.confidence == pytest.approx(share * max(fresh.probabilities.values()))


def test_once_the_answer_is_over_it_is_refused_and_votes_are_still_told(store):
    later = store.read_bars("SP500", "1d", start=LAST).index[5]
    cut(store, LAST)
    told = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=later)
    assert (told.refused, told.value, told.confidence) == (True, None, None)
    assert (told.probabilities, told.origin) == (None, "none")
    assert codes(told) == ["too_old"]
    assert "5 bars ended after 2004-06-01 20:00Z" in told.flags[0].detail
    assert len(told.votes) == 2


def test_a_long_gap_leaves_models_without_features_and_the_rule_answers(store):
    bars = store.read_bars("SP500", "1d", end=LAST)
    with store.db.conn:
        begin, end = bars.index[-70].value, bars.index[-55].value
        store.db.execute("DELETE FROM bars WHERE time BETWEEN ? AND ?", [begin, end])
    told = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=LAST)
    assert {out.code for out in told.left_out} == {"warm_up"}
    assert told.origin == "rule"


def test_columns_out_of_their_ranges_lower_confidence_and_then_refuse(store, monkeypatch):
    entry = next(m for m in store.models.list() if m.status == "deployed")
    n, predictor = len(entry.features_used), Predictor(store)
    sound = predictor.predict_signal_direction("SP500", HOURS, at=LAST)
    assert codes(sound) == []
    for count, origin in ((1, "deployed"), (n // 2, "deployed"), (n // 2 + 1, "rule")):
        out = entry.features_used[:count]
        monkeypatch.setattr("signalkit.inference.shelf.Hull.outside", lambda self, row, o=out: o)
        told = predictor.predict_signal_direction("SP500", HOURS, at=LAST)
        assert told.origin == origin
        if origin == "rule":
            assert {left.code for left in told.left_out} == {"outside_hull"}
            continue
        assert codes(told) == ["outside_hull"]
        assert told.value == sound.value
        assert told.confidence == pytest.approx(sound.confidence * (1 - count / n))


def test_a_model_that_keeps_no_ranges_says_so(store, monkeypatch):
    monkeypatch.setattr("signalkit.inference.shelf.Hull.read", lambda files: None)
    told = Predictor(store).get_ensemble_prediction("SP500", HOURS, at=utc("2008-10-10 20:00"))
    assert codes(told) == ["no_hull", "no_hull"]
    assert np.isfinite(told.confidence)
