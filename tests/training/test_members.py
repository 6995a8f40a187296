"""members.py: predictions side by side, counts by hand, and tables that say two things."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError, LeakError
from signalkit.training.members import PROBABILITIES, side_by_side, without_failures

START = pd.Timestamp("2024-01-01", tz="UTC")


def numbers(**rows):
    """Predicted numbers of the models ONE and TWO: hour of the bar, hour at which it is known."""
    parts = []
    for symbol, hours in rows.items():
        for model in ("ONE", "TWO"):
            for hour, known in hours:
                said = 10.0 * hour + (model == "TWO")
                when = [START + pd.Timedelta(h, "h") for h in (hour, known)]
                parts.append((symbol, when[0], model, said, when[1]))
    keys = ["symbol", "time", "model_id"]
    table = pd.DataFrame(parts, columns=[*keys, "prediction", "known_at"]).set_index(keys)
    fixed = dict.fromkeys([*PROBABILITIES, "confidence"], np.nan)
    return table.assign(target="target_return", fold=0, actual=1.0, **fixed)


def classes(**columns):
    shares = dict(zip(PROBABILITIES, (0.2, 0.3, 0.5), strict=True))
    return numbers(A=[(0, 1), (1, 2)]).assign(target="signal_direction", **shares | columns)


def test_members_stand_side_by_side_in_the_order_that_was_asked():
    got = side_by_side(numbers(A=[(0, 1), (2, 3)], B=[(2, 3)]), ["TWO", "GONE", "ONE"])
    assert got.index.tolist() == [
        ("A", START),
        ("A", START + pd.Timedelta(2, "h")),
        ("B", START + pd.Timedelta(2, "h")),
    ]
    expected = [[1.0, np.nan, 0.0], [21.0, np.nan, 20.0], [21.0, np.nan, 20.0]]
    np.testing.assert_array_equal(got.values[:, :, 0], expected)
    assert got.models.tolist() == ["ONE", "TWO"]
    assert not got.classifies


def test_outcomes_are_known_at_the_first_time_at_or_after_known_at():
    got = side_by_side(numbers(A=[(0, 2), (1, 3), (4, 9)], B=[(2, 3)]), ["ONE"])
    assert len(got.clock) == 4  # hours 0, 1, 2, 4
    assert got.at.tolist() == [0, 1, 3, 2]
    assert got.known.tolist() == [2, 3, 4, 3]


def test_a_row_counts_one_over_what_its_label_spans_and_over_the_symbols_there():
    got = side_by_side(numbers(A=[(0, 3), (1, 2), (2, 4), (3, 5)], B=[(3, 4)]), ["ONE"])
    # A at 0 spans hours 1, 2, 3; at 2 hour 3 alone; at 3 nothing, but B is there too
    assert got.count.tolist() == [1 / 3, 1.0, 1.0, 0.5, 0.5]


def test_what_has_no_outcome_is_never_known():
    table = numbers(A=[(0, 1), (1, 2), (2, 3)])
    table.loc[(slice(None), START), "actual"] = np.nan
    table.loc[(slice(None), START + pd.Timedelta(1, "h")), "known_at"] = pd.NaT
    assert side_by_side(table, ["ONE"]).known.tolist() == [3, 3, 3]


def test_levels_that_are_not_sorted_or_not_used_make_no_difference():
    whole = numbers(A=[(0, 2), (1, 3), (2, 4)], B=[(1, 3)])
    part = whole.drop("B", level="symbol").iloc[::-1]
    clean = part.reset_index().set_index(whole.index.names).sort_index()
    got, expected = side_by_side(part, ["ONE"]), side_by_side(clean, ["ONE"])
    assert got.index.tolist() == expected.index.tolist()
    for name in ("at", "known", "count", "values", "actual"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    pd.testing.assert_index_equal(got.clock, expected.clock)


def test_a_share_outside_0_to_1_or_a_number_that_is_not_finite_has_failed():
    shares = np.array([[[0.2, 0.3, 0.5], [1.1, 0.0, -0.1], [0.0, 0.0, 1 + 1e-12]]])
    assert np.isnan(without_failures(shares)).all(axis=2).tolist() == [[False, True, False]]
    told = np.array([[[1e300], [np.inf], [np.nan]]])
    assert np.isnan(without_failures(told)).ravel().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda t: t.iloc[:0], DataError, "need rows under .*, had 0"),
        (lambda t: t.droplevel("symbol"), DataError, "had 4 under"),
        (lambda t: pd.concat([t, t.iloc[[2]]]), DataError, "two rows at .*'A'.* drop"),
        (lambda t: t.assign(target=["a", "a", "a", "b"]), DataError, "combine one at a time"),
        (lambda t: t.assign(actual=[0, 0, 0, 1.0]), DataError, "not agree on actual at"),
        (lambda t: t.assign(actual=[0, 0, 0, np.nan]), DataError, "not agree on actual at"),
        (lambda t: t.assign(fold=[0, 0, 0, 1]), DataError, "not agree on fold at"),
        (lambda t: t.assign(actual=2.0), DataError, "an outcome is 2; classes are"),
        (lambda t: t.assign(known_at=START), LeakError, "known at or before its bar"),
    ],
)
def test_refuses_predictions_that_say_two_things_or_too_early(change, error, says):
    with pytest.raises(error, match=says):
        side_by_side(change(classes()), ["ONE", "TWO"])


def test_refuses_models_that_disagree_on_when_a_label_is_known():
    table = classes()
    table.iloc[3, list(table.columns).index("known_at")] = pd.NaT
    with pytest.raises(DataError, match="not agree on known_at at"):
        side_by_side(table, ["ONE"])


def test_refuses_a_row_without_a_time():
    table = classes()
    table.index = table.index.set_codes([0, -1, 1, 1], level="time")
    with pytest.raises(DataError, match="row 1 of predictions has no time"):
        side_by_side(table, ["ONE"])
