"""weights.py: the book's indicator matrix, plain loops, and panels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.causality import probe_bars
from signalkit.errors import DataError, ParamsError
from signalkit.labeling import (
    concurrency,
    return_attribution,
    target_return,
    time_decay,
    triple_barrier,
    uniqueness,
    wait,
)

EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
DAYS = pd.date_range("2024-01-01", periods=40, freq="D", tz="UTC", name="time")


def spanning(*pairs):
    """Labels that start at one day and are settled at another."""
    start, settled = np.array(pairs).T
    return pd.DataFrame({"label": 1.0, "known_at": DAYS[settled]}, index=DAYS[start])


# AFML section 4.5.3: three labels span the bars 0-2, 2-3 and 4-5 of six; ours begin one after
# their own bar, so that they start at bar -1, 1 and 3, here days 0, 2 and 4
BOOK = spanning((0, 3), (2, 4), (4, 6))
BOOK_BARS = pd.DataFrame(index=DAYS[:7])


def indicators(labels, bars):
    """Snippet 4.3: a row a bar, a column a label, 1 where the label spans the bar."""
    times = bars.index.to_numpy()[:, None]
    start, settled = labels.index.to_numpy(), labels["known_at"].to_numpy()
    return ((times > start) & (times <= settled)).astype(float)


def test_uniqueness_of_the_books_three_labels():
    # AFML section 4.5.3 and snippet 4.4: 5/6, 3/4 and 1
    assert uniqueness(BOOK, bars=BOOK_BARS).tolist() == pytest.approx([5 / 6, 3 / 4, 1])
    assert concurrency(BOOK, bars=BOOK_BARS).tolist() == [0, 1, 1, 2, 1, 1, 1]
    assert wait(BOOK, bars=BOOK_BARS).tolist() == [3, 2, 2]


def test_counts_of_a_published_example():
    # mlfinpy tests/test_sampling.py: eight labels of three hours; ours span the hours
    # after their own, so that each begins one earlier here
    starts = [0, 1, 4, 6, 9, 10, 11, 19]
    labels = spanning(*[(s, s + 3) for s in starts])
    counts = concurrency(labels, bars=pd.DataFrame(index=DAYS[:23])).iloc[1:].value_counts()
    assert counts.to_dict() == {1: 11, 2: 5, 0: 5, 3: 1}
    got = uniqueness(labels, bars=pd.DataFrame(index=DAYS[:23]))
    assert got.iloc[[0, 2, 5, 7]].tolist() == pytest.approx([0.66, 0.83, 0.44, 1.0], abs=1e-2)


@EXAMPLES
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=15).map(
        lambda found: sorted({start: (start, start + length) for start, length in found}.values())
    )
)
def test_weights_equal_the_books_matrix(pairs):
    labels, bars = spanning(*pairs), pd.DataFrame(index=DAYS)
    matrix = indicators(labels, bars)
    count = matrix.sum(axis=1)
    assert concurrency(labels, bars=bars).tolist() == count.tolist()
    shares = np.divide(matrix, count[:, None], out=np.zeros_like(matrix), where=matrix > 0)
    plain = shares.sum(axis=0) / matrix.sum(axis=0)
    assert uniqueness(labels, bars=bars).tolist() == pytest.approx(plain.tolist(), rel=1e-12)


@pytest.mark.parametrize("horizon", [1, 4, 7])
def test_labels_of_a_fixed_horizon_share_every_bar_with_as_many(horizon):
    labels = target_return(probe_bars(60), horizon)
    got = uniqueness(labels)
    assert got.iloc[horizon:-horizon].tolist() == pytest.approx([1 / horizon] * (60 - 3 * horizon))
    assert (got.iloc[: horizon - 1] > 1 / horizon).all()
    assert (wait(labels) == horizon).all()


def test_bars_without_a_label_are_counted_when_the_bars_are_given():
    labels = spanning((0, 4), (1, 4))
    # bars 2 and 3 have no label and settle none: only the bars tell that they are there
    assert uniqueness(labels).tolist() == [3 / 4, 1 / 2]
    assert uniqueness(labels, bars=pd.DataFrame(index=DAYS)).tolist() == [5 / 8, 1 / 2]


def test_symbols_do_not_overlap():
    parts = {"A": probe_bars(60), "B": probe_bars(45, seed=3)}
    panel = pd.concat(parts, names=["symbol", "time"])
    labels = triple_barrier(panel, 9, volatility_span=8)
    for weigh in (uniqueness, wait, concurrency):
        got = weigh(labels, bars=panel)
        for symbol, bars in parts.items():
            alone = weigh(labels.loc[symbol], bars=bars)
            assert got.loc[symbol].tolist() == alone.tolist()
            assert got.loc[symbol].index.equals(alone.index)
    assert uniqueness(labels, bars=panel).index.equals(labels.index)


def test_the_order_of_a_panels_rows_does_not_matter():
    parts = {"A": probe_bars(60), "B": probe_bars(45, seed=3)}
    panel = pd.concat(parts, names=["symbol", "time"])
    labels = triple_barrier(panel, 9, volatility_span=8)
    mixed = labels.sample(frac=1, random_state=1)
    for known in (None, panel):
        for weigh in (uniqueness, wait):
            got = weigh(mixed, bars=known)
            assert got.index.equals(mixed.index)
            assert got.reindex(labels.index).tolist() == weigh(labels, bars=known).tolist()


def test_a_drawn_sample_of_a_panel_has_the_uniqueness_of_its_symbols():
    labels = pd.concat({"A": spanning((0, 4), (2, 6)), "B": spanning((0, 4))})
    drawn = labels.rename_axis(["symbol", "time"]).iloc[[0, 2, 0, 1]]
    # the bars 1 and 2 of A are in two labels, 3 and 4 in three, 5 and 6 in one; B is alone
    bars = pd.concat({s: pd.DataFrame(index=DAYS) for s in "AB"}, names=["symbol", "time"])
    first, second = (1 / 2 + 1 / 2 + 1 / 3 + 1 / 3) / 4, (1 / 3 + 1 / 3 + 1 + 1) / 4
    assert uniqueness(drawn, bars=bars).tolist() == pytest.approx([first, 1, first, second])


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        # AFML snippet 4.11 by hand, cumulated uniqueness 1, 2, 3, 4
        (1.0, [1, 1, 1, 1]),
        (0.5, [0.625, 0.75, 0.875, 1]),
        (0.0, [0.25, 0.5, 0.75, 1]),
        (-0.5, [0, 0, 0.5, 1]),
    ],
)
def test_decay_of_four_unique_labels_worked_by_hand(last, expected):
    assert time_decay(pd.Series(1.0, DAYS[:4]), last=last).tolist() == pytest.approx(expected)


def test_age_is_measured_in_uniqueness_and_is_the_same_for_all_symbols():
    index = pd.MultiIndex.from_product([["A", "B"], DAYS[:3]], names=["symbol", "time"])
    unique = pd.Series([0.5, 0.5, 1.0, 0.5, 0.5, 1.0], index)
    # sums 1, 1, 2 by time, cumulated 1, 2, 4
    assert time_decay(unique, last=0.0).tolist() == pytest.approx([0.25, 0.5, 1] * 2)


def test_returns_are_shared_by_the_labels_that_span_them():
    close = pd.Series([100.0, 110, 99, 99, 120], DAYS[:5])
    bars = close.to_frame("close")
    labels = spanning((0, 2), (1, 3), (3, 4))
    # AFML snippet 4.10 by hand: |r1 + r2 / 2|, |r2 / 2 + r3|, |r4|, scaled to a mean of 1
    r1, r2, r4 = np.log([110 / 100, 99 / 110, 120 / 99])
    plain = np.abs([r1 + r2 / 2, r2 / 2, r4])
    got = return_attribution(labels, bars)
    assert got.tolist() == pytest.approx((plain / plain.mean()).tolist())
    assert got.mean() == pytest.approx(1)


def test_prices_that_never_move_weigh_alike():
    still = pd.DataFrame({"close": 1.0}, DAYS)
    assert return_attribution(BOOK, still).tolist() == [1, 1, 1]


def test_no_return_reaches_over_from_one_symbol_to_the_next():
    parts = {"A": probe_bars(40), "B": probe_bars(40, seed=3).mul([500, 500, 500, 500, 1])}
    panel = pd.concat(parts, names=["symbol", "time"])
    labels = target_return(panel, 3)
    got = return_attribution(labels, panel)
    alone = return_attribution(labels.loc["B"], parts["B"])
    assert (got.loc["B"] / alone).std() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda: uniqueness(BOOK.iloc[:0]), DataError, "there are no labels"),
        (lambda: uniqueness(spanning((3, 3))), DataError, "2024-01-04 .* no later bar"),
        (lambda: uniqueness(BOOK, bars=BOOK_BARS.iloc[:6]), DataError, "settled at 2024-01-07"),
        (lambda: uniqueness(BOOK.assign(known_at=pd.NaT)), DataError, "settled at NaT"),
        (lambda: time_decay(pd.Series(1.0, DAYS[:0]), last=0.5), DataError, "there are no labels"),
        (lambda: time_decay(pd.Series(1.0, DAYS), last=-1), ParamsError, "was -1"),
        (lambda: time_decay(pd.Series(1.0, DAYS), last=1.5), ParamsError, "was 1.5"),
    ],
)
def test_refuses_what_it_cannot_weigh(ask, error, says):
    with pytest.raises(error, match=says):
        ask()
