"""collection/matching.py: letters that no alphabet shares make no match and no error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalkit.collection.matching import find_symbols, symbol_names

NAMES = symbol_names({"BTC": ["bitcoin", "kiss"], "IZM": ["İzmir"]}, None)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("BITCOIN", ("BTC",)),
        ("b\u0131tco\u0131n falls", ()),  # dotless
        ("B\u0130TCO\u0130N falls", ()),  # dotted
        ("ki\u017f\u017f", ()),  # long s
        ("\u212aiss", ("BTC",)),  # the sign of kelvin is a k in small letters
        ("\u0130zmir", ("IZM",)),
    ],
)
def test_letters_that_only_look_alike_name_nothing(title, expected):
    assert find_symbols([title], NAMES) == [expected]


@given(st.text(st.sampled_from("bitconkszmrBITCONKS\u0131\u0130\u017f\u212a\u00df$ "), max_size=30))
def test_any_title_can_be_looked_through(title):
    (found,) = find_symbols([title], NAMES)
    assert set(found) <= set(NAMES)
