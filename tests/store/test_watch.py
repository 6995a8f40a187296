"""store/watch.py: written again, nothing of a running house is there twice."""

import pytest

from signalkit.errors import ParamsError
from signalkit.store import Asked, Store, audit

WEEK = Asked("signal_direction", "1d", 5)
DAY = 86_400_000_000_000


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as opened:
        yield opened


def test_a_state_is_what_was_kept_last(store):
    assert store.watch.state("alarm 3") is None
    assert store.watch.changed("alarm 3") is None
    store.watch.keep({"alarm 3": {"n": 1}, "other": {}})
    store.watch.keep({"alarm 3": {"n": 2, "money": 0.1}})
    assert store.watch.state("alarm 3") == {"n": 2, "money": 0.1}
    assert store.watch.changed("alarm 3") >= store.watch.changed("other")


def test_a_number_that_json_has_not_keeps_nothing(store):
    with pytest.raises(ValueError, match="JSON compliant"):
        store.watch.keep({"a": {"n": 1}, "b": {"n": float("nan")}})
    assert store.watch.state("a") is None


def test_a_signal_stays_as_it_was_first_written(store):
    row = {"symbol": "A", "time": DAY, "weight": 0.5, "price": 10.0, "detail": {"by": "1"}}
    store.watch.write_signals("s", [row, row | {"time": 2 * DAY}])
    store.watch.write_signals("s", [row | {"weight": -1.0}])
    told = store.watch.signals(study="s", symbol="A")
    assert [(r["time"] // DAY, r["weight"], r["detail"]) for r in told] == [
        (2, 0.5, {"by": "1"}), (1, 0.5, {"by": "1"})
    ]  # fmt: skip
    assert store.watch.signals(study="t") == []


def test_scores_of_a_window_and_date_are_replaced(store):
    row = {"window": "100", "date": DAY, "n": 10, "accuracy": 0.5}
    store.watch.write_performance("ENSEMBLE", WEEK, [row, row | {"date": 2 * DAY}])
    store.watch.write_performance("ENSEMBLE", WEEK, [row | {"accuracy": 0.6, "state": "worse"}])
    newest, oldest = store.watch.performance(made_by="ENSEMBLE")
    assert (newest["accuracy"], oldest["accuracy"], oldest["state"]) == (0.5, 0.6, "worse")
    assert (oldest["prediction_type"], oldest["horizon"], oldest["model"]) == (
        "signal_direction", 5, None
    )  # fmt: skip
    assert oldest["log_loss"] is None
    assert store.watch.performance(window="7") == []


def test_an_alarm_is_raised_once_and_closed_once_by_somebody(store):
    assert store.watch.raise_alarm("accuracy", "model 3", DAY, {"p": 0.04})
    assert not store.watch.raise_alarm("accuracy", "model 3", DAY, {"p": 0.01})
    assert store.watch.raise_alarm("drift", "model 3", DAY, {})
    newest, first = store.watch.alarms()
    assert (first["kind"], first["subject"], first["detail"]) == (
        "accuracy",
        "model 3",
        {"p": 0.04},
    )
    store.watch.close_alarm(first["id"], actor="me")
    assert [a["id"] for a in store.watch.alarms()] == [newest["id"]]
    assert [a["closed_by"] for a in store.watch.alarms(closed=True)] == [None, "me"]
    with pytest.raises(ParamsError, match=f"no alarm {first['id']} is open"):
        store.watch.close_alarm(first["id"], actor="me")
    assert [(r["actor"], r["action"]) for r in audit.page(store.db)] == [("me", "close")]


def test_the_audit_is_read_page_by_page(store):
    for number in range(5):
        audit.note(store.db, "me", "do", f"thing {number % 2}", {"n": number})
    first = audit.page(store.db, limit=2)
    assert [row["detail"]["n"] for row in first] == [4, 3]
    rest = audit.page(store.db, before=first[-1]["id"])
    assert [row["detail"]["n"] for row in rest] == [2, 1, 0]
    assert [r["detail"]["n"] for r in audit.page(store.db, subject="thing 1")] == [3, 1]
