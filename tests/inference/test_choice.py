"""choice.py: hours are whole bars, and what was deployed before is told by the audit."""

import pytest

from signalkit.errors import ParamsError
from signalkit.inference.choice import bars_ahead, former, ordered, question
from signalkit.inference.shelf import Shelf

HOURS = 120


def deployed(store):
    """What answers now."""
    return Shelf(store).deployed()


@pytest.mark.parametrize(
    ("hours", "interval", "bars"),
    [
        (24, "1h", 24),
        (24, "1d", 1),
        (0.5, "15m", 2),
        (1, "15m", 4),
        (36, "1d", 0),
        (0.1, "1h", 0),
        (1.5, "1h", 0),
        (168, "1w", 1),
    ],
)
def test_hours_are_a_whole_number_of_bars_or_none(hours, interval, bars):
    assert bars_ahead(hours, interval) == bars


def test_models_are_ordered_by_their_score_those_without_one_last_and_newest_first(store):
    numbers = [m.id for m in store.models.list()]
    for number, loss in zip(numbers, (1.2, 1.1, None, None), strict=True):
        store.db["ml_models"].update(number, {"log_loss": loss})
    first, second, third, fourth = numbers
    assert [m.id for m in ordered(store.models.list())] == [second, first, fourth, third]


def test_former_models_are_those_deployed_under_the_name_newest_first(store):
    versions = [m for m in store.models.list() if m.name == "small.XGBOOST"]
    old, new = versions
    assert [m.id for m in former(store, new)] == [old.id]
    assert [m.id for m in former(store, old)] == [new.id]
    store.models.deploy(old.id)
    store.models.archive(old.id, force=True)
    store.models.deploy(new.id)
    assert [m.id for m in former(store, new)] == [old.id]
    other = next(m for m in store.models.list() if m.name == "small.LIGHTGBM")
    assert new.id not in [m.id for m in former(store, other)]


def test_a_former_model_of_another_question_does_not_answer(store):
    old, new = (m for m in store.models.list() if m.name == "small.XGBOOST")
    store.db["ml_models"].update(old.id, {"prediction_horizon": 7})
    assert former(store, new) == []


def test_models_on_bars_of_two_intervals_must_be_told_apart(store):
    one = next(m for m in store.models.list() if m.status == "deployed")
    store.db["ml_models"].update(one.id, {"interval": "1h", "prediction_horizon": HOURS})
    with pytest.raises(ParamsError, match="models on 1d and 1h bars predict"):
        question(deployed(store), "SP500", HOURS, "signal_direction")
    found = question(deployed(store), "SP500", HOURS, "signal_direction", interval="1h")
    assert ([m.id for m in found.entries], found.horizon) == ([one.id], HOURS)
