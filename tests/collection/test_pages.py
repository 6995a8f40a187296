"""Pages: what is left of the rows served, what is refused, how long a source is waited for."""

import numpy as np
import pandas as pd
import pytest

from signalkit.collection.pages import ATTEMPTS, Pages, Stopped, page_bars
from signalkit.collection.source import TransientError
from signalkit.errors import DataError, SourceError

HOUR = 3_600_000
START = pd.Timestamp("2024-01-01", tz="UTC")
LATE = pd.Timestamp("2025-01-01", tz="UTC")


def row(hour, volume=5.0, high=12.0):
    """A bar that opens some hours after the start."""
    return [START.value / 10**6 + hour * HOUR, 10.0, high, 9.0, 11.0, volume]


def page(*rows, interval="1h", last=LATE):
    return page_bars(np.array(rows), interval, START, last)


def test_a_page_is_sorted_and_each_bar_is_in_it_once():
    bars, served = page(row(2), row(0), row(1), row(0), row(2))
    assert [end.hour for end in bars.index] == [1, 2, 3]
    assert served == bars.index[-1]
    assert bars.index.dtype == "datetime64[ns, UTC]"


def test_bars_before_the_page_and_open_bars_are_left_out():
    # the open bar is broken, which does not matter yet
    bars, served = page(row(-1), row(0), row(1, high=1.0), last=START + pd.Timedelta(119, "min"))
    assert bars.index.tolist() == [START + pd.Timedelta(1, "h")]
    assert served == START + pd.Timedelta(2, "h")


@pytest.mark.parametrize("rows", [np.empty((0, 6)), np.array([]), np.array([row(-3)])])
def test_a_page_may_be_empty(rows):
    bars, served = page_bars(rows, "1h", START, LATE)
    assert (len(bars), served) == (0, None)


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        ([row(0), row(1), row(1, 6.0)], DataError, "02:00Z comes in two versions .*/5 and .*/6"),
        ([row(0), row(1, high=8.0)], DataError, "high must not be under .*02:00Z, has open 10"),
        ([row(0), row(1, np.nan)], DataError, "every value must be finite"),
        ([row(0), row(1, -1.0)], DataError, "volume must not be negative"),
        ([row(0), [1704067200, 1, 1, 1, 1, 1]], DataError, "row 1 opens at 1704067200, .* no time"),
        ([[1704067200e6, 1, 1, 1, 1, 1]], DataError, "row 0 opens at 1.7040672e"),
        ([[np.nan, 1, 1, 1, 1, 1]], DataError, "row 0 opens at nan"),
        ([row(0), row(1.5)], SourceError, "ends 2024-01-01 02:30:00Z is not on the 1h grid"),
        ([row(0)[:5]], SourceError, r"shape \(1, 5\), not six columns"),
    ],
)
def test_a_page_that_breaks_a_rule_is_refused_with_the_bar(rows, error, says):
    with pytest.raises(error, match=says):
        page(*rows)


def test_weeks_begin_on_monday():
    assert len(page(row(0), interval="1w")[0]) == 1  # 2024-01-01 was one
    with pytest.raises(SourceError, match=r"ends 2024-01-11 .* not on the 1w grid of UTC"):
        page(row(72), interval="1w")


class Refusing:
    """A source that refuses some times and keeps the pauses that it was given."""

    name, page = "refusing", 10

    def __init__(self, *waits):
        self.waits, self.asked, self.waited = list(waits), 0, 0.0
        self.pauses = []

    def clock(self):
        self.asked += 1
        self.pauses.append(self.waited)
        self.waited = 0.0
        if self.waits:
            raise TransientError("busy", self.waits.pop(0))
        return START

    def pause(self, seconds):
        assert 0 < seconds <= 1
        self.waited += seconds


def test_pauses_double_with_a_jitter_that_its_seed_repeats():
    first, second, other = (Refusing(*[None] * 6) for _ in range(3))
    for source, seed in ((first, 0), (second, 0), (other, 1)):
        assert Pages(source, "A", "1h", seed=seed).present() == START
    assert first.pauses == second.pauses != other.pauses
    for attempt, pause in enumerate(first.pauses[1:]):
        assert 2.0**attempt / 2 <= pause <= 2.0**attempt


def test_a_pause_is_never_shorter_than_the_source_asked_for():
    source = Refusing(7.5, 0.0, None)
    Pages(source, "A", "1h").present()
    assert source.pauses[1] == pytest.approx(7.5)
    assert 0 < source.pauses[2] <= 2


def test_a_source_that_refuses_for_long_is_given_up_with_all_there_is_to_know():
    source = Refusing(*[None] * 20)
    says = rf"refusing did not give its time in {ATTEMPTS} attempts; .*: busy; .* goes on from"
    with pytest.raises(TransientError, match=says):
        Pages(source, "A", "1h").present()
    assert source.asked == ATTEMPTS


def test_a_ban_of_hours_is_not_waited_for():
    source = Refusing(7200.0)
    with pytest.raises(TransientError, match="in 1 attempts") as refused:
        Pages(source, "A", "1h").present()
    assert (source.asked, source.waited, refused.value.wait) == (1, 0.0, 7200.0)


def test_a_refusal_for_good_is_not_asked_twice(monkeypatch):
    source = Refusing()

    def refuse():
        source.asked += 1
        raise SourceError("gone")

    monkeypatch.setattr(source, "clock", refuse)
    with pytest.raises(SourceError, match=r"^gone$"):
        Pages(source, "A", "1h").present()
    assert source.asked == 1


def test_a_long_pause_ends_when_it_is_told_to():
    source = Refusing(600.0)
    with pytest.raises(Stopped):
        Pages(source, "A", "1h", stop=lambda: source.waited >= 3).present()
    assert (source.asked, source.waited) == (1, 3.0)


class Serving(Refusing):
    """A source of the same page again and again."""

    def __init__(self, *rows):
        super().__init__()
        self.rows = np.array(rows)

    def fetch(self, *_):
        self.asked += 1
        return self.rows


def test_one_bar_that_stays_broken_is_left_out_with_a_warning(caplog):
    source = Serving(row(0), row(1, high=1.0), row(2))
    bars, served = Pages(source, "A", "1h").read(START, 10, LATE)
    assert [end.hour for end in bars.index] == [1, 3]
    assert (served, source.asked) == (bars.index[-1], 4)
    assert "02:00Z" in caplog.text
    assert "that bar is left out" in caplog.text


def test_a_page_of_many_broken_bars_is_refused_whole():
    source = Serving(row(0, high=1.0), row(1, high=1.0), row(2))
    with pytest.raises(DataError, match=r"high must not be under .*\(asked 4 times\)"):
        Pages(source, "A", "1h").read(START, 10, LATE)
