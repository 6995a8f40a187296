"""errors.py: one family, so that a caller catches all of it or just one part."""

import inspect

import pytest

from signalkit import errors

NAMES = {"ParamsError", "DataError", "LeakError", "SourceError", "StoreError"}


def test_there_are_five_classes_and_their_parent():
    found = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    assert found == NAMES | {"SignalkitError"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_class_is_caught_as_a_signalkit_error_and_as_a_value_error(name):
    error = getattr(errors, name)
    with pytest.raises(errors.SignalkitError, match="the message as it was") as caught:
        raise error("the message as it was")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_no_class_catches_another(name):
    caught = {other for other in NAMES if issubclass(getattr(errors, name), getattr(errors, other))}
    assert caught == {name}
