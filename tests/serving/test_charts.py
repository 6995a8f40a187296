"""Charts as numbers: ticks, thinning, paths, readings."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from signalkit.serving.charts import (
    HEIGHT,
    Band,
    Chart,
    Level,
    Line,
    draw,
    marks,
    moment,
    steps,
    thinned,
)

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
START = 1_704_067_200_000_000_000  # 2024-01-01 00:00 UTC


def chart(values, times=None, **parts):
    times = [START + k * DAY for k in range(len(values))] if times is None else times
    return Chart("c", "title", "unit", times, [Line("a", values)], **parts)


@given(
    arrays(float, st.integers(1, 900), elements=st.floats(-5, 5) | st.just(math.nan)),
    st.integers(2, 40),
)
@settings(max_examples=60, deadline=None)
def test_thinning_keeps_the_extremes_of_every_column(values, columns):
    times = START + HOUR * np.arange(len(values))
    at = thinned(times, [values], columns)
    assert at[0] == 0
    assert at[-1] == len(values) - 1
    assert (np.diff(at) > 0).all()
    if len(values) > 2 * columns:
        span = times[-1] - times[0]
        column = np.minimum((times - times[0]) / span * columns, columns - 1).astype(int)
        for each in set(column):
            inside = values[column == each]
            kept = values[at[column[at] == each]]
            if np.isfinite(inside).any():
                assert np.nanmin(kept) == np.nanmin(inside)
                assert np.nanmax(kept) == np.nanmax(inside)


def test_few_points_are_all_drawn():
    assert thinned(START + HOUR * np.arange(10), [np.arange(10.0)], 5).tolist() == list(range(10))


def test_one_spike_among_a_hundred_thousand_points_is_drawn():
    values = np.zeros(100_000)
    values[54_321] = 9.0
    times = START + HOUR * np.arange(len(values))
    assert 54_321 in thinned(times, [values])
    assert len(thinned(times, [values])) < 1_000


def test_a_gap_is_a_gap_after_thinning():
    values = np.ones(10_000)
    values[5_000:5_003] = np.nan
    at = thinned(START + HOUR * np.arange(len(values)), [values], 50)
    assert {4_999, 5_000, 5_002, 5_003} <= set(at.tolist())


@pytest.mark.parametrize(
    ("low", "high", "most", "found"),
    [
        (0.0, 1.0, 5, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.31, 0.52, 5, [0.35, 0.4, 0.45, 0.5]),
        (-3.0, 7.0, 4, [-2.5, 0.0, 2.5, 5.0]),
        (999.0, 1001.0, 4, [999.0, 999.5, 1000.0, 1000.5, 1001.0]),
        (2.0, 2.0, 4, [2.0]),
    ],
)
def test_upright_marks_are_round_numbers_inside_the_range(low, high, most, found):
    assert steps(low, high, most) == pytest.approx(found)


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (
            4 * HOUR,
            ["01 Jan 00:00", "01 Jan 01:00", "01 Jan 02:00", "01 Jan 03:00", "01 Jan 04:00"],
        ),
        (3 * DAY, ["01 Jan", "02 Jan", "03 Jan", "04 Jan"]),
        (100 * DAY, ["Jan 2024", "Feb 2024", "Mar 2024", "Apr 2024"]),
        (3 * 366 * DAY, ["2024", "2025", "2026", "2027"]),
    ],
)
def test_marks_of_time_are_round_moments(span, told):
    assert [words for _, words in marks(START, START + span)] == told


@given(st.integers(0, 40 * 366 * 24), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_marks_are_inside_increasing_and_few(hours, shift):
    first, last = START + shift * HOUR, START + (shift + hours) * HOUR
    found = [time for time, _ in marks(first, last)]
    assert 1 <= len(found) <= 8
    assert found == sorted(set(found))
    assert all(first <= time <= last for time in found)


def test_path_runs_from_the_left_edge_to_the_right_by_hand():
    drawn = draw(chart([0.0, 1.0], levels=[Level("top", 1.0)]))
    room = 0.06
    top, low = HEIGHT * room / (1 + 2 * room), HEIGHT * (1 + room) / (1 + 2 * room)
    assert drawn.lines[0]["path"] == f"M0.0 {round(low, 2)}L1000.0 {round(top, 2)}"
    assert drawn.levels[0]["up"] == round(top, 2)


def test_a_missing_value_breaks_the_line_and_a_lone_point_is_a_dot():
    path = draw(chart([1.0, 2.0, math.nan, 3.0, math.nan, 1.0, 1.0])).lines[0]["path"]
    assert path.count("M") == 3
    assert path.count("h0") == 1


def test_band_is_closed_and_left_out_where_a_side_is_missing():
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    low, high = [0.0, 1.0, math.nan, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0, 6.0]
    area = draw(chart(values, bands=[Band("b", low, high)])).bands[0]["path"]
    assert area.count("M") == area.count("Z") == 2
    assert area.count("L") == 6


def test_readings_say_time_and_every_value_at_each_point():
    words = "{:.1f}".format
    drawn = draw(chart([1.0, math.nan, 3.0], bands=[Band("b", [0, 1, 2], [4, 5, 6])], words=words))
    assert json.loads(drawn.readings) == [
        [0.0, "2024-01-01 00:00", "1.0", "0.0 to 4.0"],
        [0.5, "2024-01-02 00:00", "–", "1.0 to 5.0"],
        [1.0, "2024-01-03 00:00", "3.0", "2.0 to 6.0"],
    ]


def test_words_say_last_lowest_and_highest():
    told = draw(chart([2.0, 1.0, 3.0], words="{:.0f}".format)).told
    assert told == (
        "unit, 2024-01-01 00:00 to 2024-01-03 00:00 UTC, 3 points. a: last 3, lowest 1, highest 3."
    )


def test_table_beside_a_chart_is_short_says_so_and_holds_the_ends():
    drawn = draw(chart(list(range(1_000))))
    assert len(drawn.rows) == 40
    assert drawn.shown == "40 of 1000 points, evenly spaced"
    assert drawn.rows[0]["at"] == moment(START + 999 * DAY)
    assert drawn.rows[-1]["at"] == moment(START)


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [0.0, 0.0], [math.nan, math.nan]])
def test_what_has_no_height_is_drawn_all_the_same(values):
    drawn = draw(chart(values))
    assert "nan" not in drawn.lines[0]["path"]
    assert drawn.upright


def test_nothing_is_no_chart():
    assert draw(chart([])) is None
