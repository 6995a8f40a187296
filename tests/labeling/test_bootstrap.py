"""bootstrap.py: the book's worked example, its snippet as a plain loop, and what it is for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.causality import probe_bars
from signalkit.errors import DataError, ParamsError
from signalkit.labeling import draw_odds, sequential_bootstrap, triple_barrier

EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
DAYS = pd.date_range("2024-01-01", periods=40, freq="D", tz="UTC", name="time")


def spanning(*pairs):
    """Labels that start at one day and are settled at another."""
    start, settled = np.array(pairs).T
    return pd.DataFrame({"label": 1.0, "known_at": DAYS[settled]}, index=DAYS[start])


# AFML section 4.5.3: the bars 0-2, 2-3 and 4-5 of six; ours span from the bar after their own
BOOK = spanning((0, 3), (2, 4), (4, 6))
BOOK_BARS = pd.DataFrame(index=DAYS[:7])
BOOK_MATRIX = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]], dtype=float).T


def snippet(matrix, uniform):
    """AFML snippets 4.4 and 4.5: average uniqueness anew for every label at every draw."""
    drawn = []
    for number in uniform:
        odds = []
        for i in range(matrix.shape[1]):
            count = matrix[:, [*drawn, i]].sum(axis=1)
            mine = matrix[:, i] > 0
            odds.append((1 / count[mine]).mean())
        odds = np.array(odds)
        drawn.append(int(np.searchsorted(np.cumsum(odds), number * odds.sum(), side="right")))
    return drawn


def test_odds_of_the_books_example():
    # AFML section 4.5.3: alike at first; 5/14, 3/14 and 6/14 once the second label is drawn
    assert draw_odds(BOOK, bars=BOOK_BARS).tolist() == pytest.approx([1 / 3] * 3)
    second = draw_odds(BOOK, [1], bars=BOOK_BARS)
    assert second.tolist() == pytest.approx([5 / 14, 3 / 14, 6 / 14])


@pytest.mark.parametrize("seed", range(30))
def test_draws_of_the_books_example_equal_its_snippet(seed):
    got = sequential_bootstrap(BOOK, 9, seed=seed, bars=BOOK_BARS)
    assert got.tolist() == snippet(BOOK_MATRIX, np.random.default_rng(seed).random(9))


@EXAMPLES
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=12),
    st.integers(0, 999),
)
def test_draws_equal_the_snippet_on_any_labels(found, seed):
    pairs = sorted({start: (start, start + length) for start, length in found}.values())
    labels, bars = spanning(*pairs), pd.DataFrame(index=DAYS)
    times = DAYS.to_numpy()[:, None]
    matrix = (times > labels.index.to_numpy()) & (times <= labels["known_at"].to_numpy())
    got = sequential_bootstrap(labels, 20, seed=seed, bars=bars)
    assert got.tolist() == snippet(matrix.astype(float), np.random.default_rng(seed).random(20))


def test_draws_overlap_less_than_draws_at_random_as_in_the_books_experiment():
    # AFML snippets 4.7 to 4.9 and figure 4.2: ten labels of up to five bars among a hundred;
    # the median uniqueness is about 0.6 for plain draws and 0.7 for sequential ones
    bars = pd.DataFrame(index=pd.date_range("2024-01-01", periods=110, freq="D", tz="UTC"))
    ours, plain = [], []
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        start = np.unique(rng.integers(0, 100, 10))
        settled = start + rng.integers(1, 5, len(start)) + 1
        labels = pd.DataFrame({"known_at": bars.index[settled]}, index=bars.index[start])
        place = np.arange(len(bars))[:, None]
        matrix = ((place > start) & (place <= settled)).astype(float)
        n = len(labels)
        ours.append(_mean_uniqueness(matrix, sequential_bootstrap(labels, seed=seed, bars=bars)))
        plain.append(_mean_uniqueness(matrix, rng.integers(0, n, n)))
    assert np.median(plain) == pytest.approx(0.6, abs=0.05)
    assert np.median(ours) == pytest.approx(0.7, abs=0.05)


def _mean_uniqueness(matrix, drawn):
    """Snippet 4.4: the mean of each drawn label's average uniqueness."""
    taken = matrix[:, drawn]
    shares = taken / np.maximum(taken.sum(axis=1, keepdims=True), 1)
    return (shares.sum(axis=0) / taken.sum(axis=0)).mean()


def test_symbols_do_not_overlap():
    parts = {"A": spanning((0, 9)), "B": spanning((0, 9))}
    labels = pd.concat(parts, names=["symbol", "time"])
    # ten bars of A are drawn: A has half its odds left, B all
    assert draw_odds(labels, [0]).tolist() == pytest.approx([1 / 3, 2 / 3])


def test_the_same_seed_draws_the_same():
    labels = triple_barrier(probe_bars(100), 9, volatility_span=8)
    got = sequential_bootstrap(labels, seed=4)
    assert len(got) == len(labels)
    assert got.tolist() == sequential_bootstrap(labels, seed=4).tolist()
    assert got.tolist() != sequential_bootstrap(labels, seed=5).tolist()


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda: sequential_bootstrap(BOOK, 0, seed=1), ParamsError, "at least 1, was 0"),
        (lambda: sequential_bootstrap(BOOK.iloc[:0], seed=1), DataError, "no labels"),
        (lambda: draw_odds(BOOK, [3]), DataError, "from 0 to 2, was 3"),
    ],
)
def test_refuses_what_it_cannot_draw(ask, error, says):
    with pytest.raises(error, match=says):
        ask()
