"""conformal.py: covers what it says in calm and in turmoil, from settled predictions alone.

The oracle is the definition in plain loops; streams are simulated so that the truth is known.
"""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.training.conformal import prediction_intervals, prediction_sets

SHARES = ["p_sell", "p_hold", "p_buy"]
SETS = ["in_sell", "in_hold", "in_buy"]
HOUR = pd.Timedelta(1, "h")
SMALL = {"window": 15, "least": 9, "rate": 0.05}


def index(n, symbols=("A",)):
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    return pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])


def stream(shares, actual, *, delay=4, symbols=("A",)):
    """Predictions whose labels settle `delay` bars later; the last of each symbol do not."""
    at = index(len(shares) // len(symbols), symbols)
    times = at.get_level_values("time")
    table = pd.DataFrame(shares, at, SHARES).assign(actual=actual)
    table["known_at"] = times + np.asarray(delay) * HOUR
    open_ = table["known_at"] > times.max()
    return table.assign(
        actual=table["actual"].where(~open_), known_at=table["known_at"].mask(open_)
    )


def drawn(shares, rng):
    """Outcomes that come with the given probabilities."""
    return (rng.random(len(shares))[:, None] > shares.cumsum(axis=1)).sum(axis=1) - 1.0


def honest(n, seed=1, **options):
    """A stream whose probabilities are the truth."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([2.0, 2.0, 2.0], n)
    return stream(shares, drawn(shares, rng), **options)


def turning(n, seed=1):
    """A model that is good in the first half of the stream and knows nothing in the second."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([0.5, 0.5, 0.5], n)
    actual = drawn(shares, rng)
    actual[n // 2 :] = rng.integers(-1, 2, n - n // 2)
    return stream(shares, actual)


def numbers(error, *, delay=4, guess=0.0):
    """Predictions of a number that are wrong by so much."""
    at = index(len(error))
    table = pd.DataFrame({"prediction": guess, "actual": guess + error}, at)
    table["known_at"] = at.get_level_values("time") + delay * HOUR
    table.loc[table.index[-delay:], ["actual", "known_at"]] = [np.nan, pd.NaT]
    return table


def by_definition(table, score, *, coverage=0.9, window=500, least=100, rate=0.01):
    """Threshold, alpha, n of each row: for each time all that was settled by then, in loops."""
    times = table.index.get_level_values("time").as_unit("ns").asi8.tolist()
    known = pd.DatetimeIndex(table["known_at"]).as_unit("ns").asi8.tolist()
    settled = [i for i in range(len(table)) if not math.isnan(table["actual"].iloc[i])]
    found, alpha, told = {}, 1 - coverage, set()
    for now in sorted(set(times)):
        dates = sorted({known[i] for i in settled if known[i] <= now})
        for date in [d for d in dates if d not in told]:
            told.add(date)
            rows = [i for i in settled if known[i] == date and found[times[i]][3]]
            if rows:
                missed = sum(score[i] > found[times[i]][0] for i in rows) / len(rows)
                alpha += rate * ((1 - coverage) - missed)
        recent = sorted(score[i] for i in settled if known[i] in dates[-window:])
        n, ready = len(recent), len(dates) >= least
        k = math.ceil((n + 1) * (1 - alpha) - 1e-9)
        threshold = -math.inf if k < 1 else math.inf if k > n or not ready else recent[k - 1]
        found[now] = (threshold if ready else math.inf, alpha, n, ready)
    return np.array([found[t][:3] for t in times])


def misses(table):
    """1 - the probability of what came."""
    share = table[SHARES].to_numpy()
    actual = table["actual"].fillna(0).to_numpy().astype(int)
    return 1 - share[np.arange(len(share)), actual + 1]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(12, 60), window=st.integers(9, 30))
def test_equals_the_definition_on_panels_with_labels_of_any_length(seed, n, window):
    rng = np.random.default_rng(seed)
    table = honest(2 * n, seed, symbols=("A", "B"), delay=rng.integers(1, 9, 2 * n))
    asked = {"coverage": 0.85, "window": window, "least": 9, "rate": 0.2}
    got = prediction_sets(table, **asked)
    expected = by_definition(table, misses(table), **asked)
    np.testing.assert_array_equal(got["threshold"], expected[:, 0])
    np.testing.assert_allclose(got["alpha"], expected[:, 1], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(got["n"], expected[:, 2])


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_covers_what_is_asked_where_probabilities_are_true(coverage):
    sets = prediction_sets(honest(10_000), coverage=coverage)
    assert sets["covered"].mean() == pytest.approx(coverage, abs=0.01)
    assert sets["size"].iloc[1000:].mean() < 2.7


def test_covers_on_both_sides_of_a_turn_that_a_fixed_quantile_does_not_survive():
    sets = prediction_sets(turning(10_000))
    halves = sets["covered"].groupby(np.arange(10_000) // 5000).mean()
    assert ((halves > 0.88) & (halves < 0.92)).all()
    fixed = prediction_sets(turning(10_000), window=10_000, rate=0.0)
    assert fixed["covered"].iloc[5000:].mean() < 0.85
    assert sets["size"].iloc[6000:].mean() > sets["size"].iloc[1000:5000].mean() + 0.5


def test_covers_a_model_whose_answer_never_changes():
    rng = np.random.default_rng(1)
    shares = np.tile([0.2, 0.5, 0.3], (10_000, 1))
    sets = prediction_sets(stream(shares, drawn(shares, rng)))
    assert sets["covered"].mean() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("coverage", [0.6, 0.9])
def test_misses_stay_within_the_bound_even_against_an_enemy(coverage):
    # Gibbs and Candès (2021), proposition 4.1: the outcome is the least likely class for 500
    # bars, then the likeliest, and so on
    shares = np.sort(np.random.default_rng(1).dirichlet([1.0, 1.0, 1.0], 6000), axis=1)
    actual = np.where(np.arange(6000) // 500 % 2, 1.0, -1.0)
    table = stream(shares, actual, delay=3)
    sets = prediction_sets(table, coverage=coverage, rate=0.02, window=200)
    told = sets[sets["covered"].notna()].iloc[100 + 3 :]
    missed = (misses(table)[sets.index.get_indexer(told.index)] > told["threshold"]).mean()
    bound = (1 + 0.02 * (1 + 3)) / (0.02 * len(told))
    assert abs(missed - (1 - coverage)) <= bound
    assert told["covered"].mean() >= coverage - bound


@pytest.mark.parametrize("cut", [0, 20, 60, 99])
def test_nothing_that_settles_later_or_comes_later_is_read(cut):
    table = honest(200, symbols=("A", "B"), delay=np.random.default_rng(2).integers(1, 9, 200))
    times = table.index.get_level_values("time")
    now = times.unique()[cut]
    poisoned = table.copy()
    later = ~(poisoned["known_at"] <= now)
    poisoned.loc[later, "actual"] = -poisoned.loc[later, "actual"].fillna(1.0)
    poisoned.loc[later, "known_at"] = times.max() + 99 * HOUR
    poisoned.loc[times > now, SHARES] = [0.98, 0.01, 0.01]
    past = table.index[times <= now]
    state = [*SETS, "size", "threshold", "alpha", "n"]
    whole = prediction_sets(table, **SMALL).loc[past, state]
    pd.testing.assert_frame_equal(
        prediction_sets(poisoned, **SMALL).loc[past, state], whole, check_exact=True
    )
    truncated = table.loc[past].assign(
        actual=table["actual"].where(~later), known_at=table["known_at"].mask(later)
    )
    pd.testing.assert_frame_equal(
        prediction_sets(truncated, **SMALL)[state], whole, check_exact=True
    )


def test_a_label_is_used_at_the_bar_that_settles_it_and_not_before():
    table = honest(40, delay=3)
    assert prediction_sets(table, **SMALL)["n"].tolist()[:6] == [0, 0, 0, 1, 2, 3]
    late = table.assign(known_at=table["known_at"] + pd.Timedelta(1, "us"))
    assert prediction_sets(late, **SMALL)["n"].tolist()[:6] == [0, 0, 0, 0, 1, 2]


def test_a_set_says_nothing_before_enough_has_settled():
    sets = prediction_sets(honest(300, delay=2))
    assert np.isinf(sets["threshold"]).tolist() == [True] * 101 + [False] * 199
    assert (sets["size"].iloc[:101] == 3).all()
    # the first set that said something settles two bars later
    assert sets["alpha"].iloc[:103].tolist() == pytest.approx([0.1] * 103)
    assert sets["alpha"].iloc[103] != pytest.approx(0.1, abs=1e-4)
    assert sets["covered"].isna().sum() == 2


def test_threshold_worked_by_hand():
    # ten answers scored 0.1 to 1.0 in disorder; (10 + 1) x 0.8 = 8.8: the ninth smallest
    error = np.array([0.3, 0.9, 0.1, 1.0, 0.5, 0.2, 0.8, 0.4, 0.7, 0.6, 0.0, 0.0])
    table = numbers(error, delay=1, guess=2.0)
    got = prediction_intervals(table, coverage=0.8, window=10, least=10, rate=0.0)
    assert got["threshold"].iloc[10] == pytest.approx(0.9)
    assert got[["low", "high"]].iloc[10].tolist() == pytest.approx([1.1, 2.9])
    assert np.isinf(got["high"].iloc[:10]).all()
    # one bar on, 0.3 has left the window and 0.0 has come
    assert got["threshold"].iloc[11] == pytest.approx(0.9)
    assert got["n"].iloc[11] == 10


def test_the_likeliest_class_is_never_left_out_and_a_good_model_is_covered_more():
    rng = np.random.default_rng(1)
    top = rng.uniform(0.5, 0.9, 5000)
    shares = np.column_stack([(1 - top) / 2, (1 - top) / 2, top])
    actual = np.where(rng.random(5000) < 0.98, 1.0, -1.0)
    sets = prediction_sets(stream(shares, actual))
    assert sets["in_buy"].all()
    assert sets["size"].min() == 1
    assert sets["covered"].mean() > 0.97
    # what is counted as missed is still a tenth, so nothing winds up
    assert sets["alpha"].between(-0.1, 0.3).all()


def test_a_class_without_probability_is_in_no_set():
    rng = np.random.default_rng(1)
    buy = rng.uniform(0.2, 0.8, 4000)
    shares = np.column_stack([np.zeros(4000), 1 - buy, buy])
    sets = prediction_sets(stream(shares, drawn(shares, rng)))
    assert not sets["in_sell"].any()
    assert sets["size"].max() == 2
    assert sets["covered"].mean() == pytest.approx(0.9, abs=0.01)


def test_an_outcome_without_probability_is_a_miss():
    shares = np.tile([0.0, 0.4, 0.6], (300, 1))
    sets = prediction_sets(stream(shares, np.full(300, -1.0), delay=1), **SMALL)
    assert (sets["covered"].dropna() == 0).all()
    assert sets["alpha"].iloc[-1] < 0


def test_symbols_share_a_stream_or_have_their_own():
    table = honest(600, symbols=("A", "B"))
    alone = {s: prediction_sets(table.xs(s, drop_level=False), **SMALL) for s in "AB"}
    own = prediction_sets(table, per_symbol=True, **SMALL)
    pd.testing.assert_frame_equal(own, pd.concat(alone.values()), check_exact=True)
    shared = prediction_sets(table, **SMALL)
    assert shared["n"].max() == 30
    same_time = shared.groupby(level="time")[["threshold", "alpha", "n"]].nunique()
    assert (same_time == 1).all(axis=None)


def test_the_order_of_rows_does_not_matter():
    table = honest(400, symbols=("A", "B"))
    mixed = table.sample(frac=1, random_state=1)
    got = prediction_sets(mixed, **SMALL).loc[table.index]
    pd.testing.assert_frame_equal(got, prediction_sets(table, **SMALL), check_exact=True)


def test_intervals_cover_through_a_storm_and_a_scale_makes_them_breathe():
    rng = np.random.default_rng(1)
    storm = np.where(np.arange(10_000) // 250 % 2, 5.0, 1.0)
    table = numbers(rng.standard_t(4, 10_000) * storm)
    plain = prediction_intervals(table)
    assert plain["covered"].mean() == pytest.approx(0.9, abs=0.01)
    scale = pd.Series(storm, table.index)
    scaled = prediction_intervals(table, scale=scale)
    by_state = scaled["covered"].groupby(storm).mean()
    assert ((by_state > 0.88) & (by_state < 0.92)).all()
    width = (scaled["high"] - scaled["low"]).iloc[200:].groupby(storm[200:]).median()
    assert width[5.0] / width[1.0] == pytest.approx(5, rel=0.1)
    # the scale knows what the state is; without it the calm is covered too often
    assert plain["covered"].groupby(storm).mean()[1.0] > by_state[1.0] + 0.02


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"coverage": 1.0}, "coverage is a share from 0.5 to below 1, was 1.0"),
        ({"coverage": 0.95, "least": 18}, "least must be from 19, the fewest .* was 18"),
        ({"least": 600}, "to the window of 500, was 600"),
        ({"rate": 0.6}, "rate is a step of the quantile from 0 to 0.5, was 0.6"),
    ],
)
def test_settings_out_of_range_are_refused(settings, says):
    with pytest.raises(ParamsError, match=says):
        prediction_sets(honest(20), **settings)


def test_predictions_that_are_no_stream_are_refused():
    table = honest(20)
    with pytest.raises(DataError, match=r"predictions of one model, indexed by \(symbol, time\)"):
        prediction_sets(table.assign(model_id="M").set_index("model_id", append=True))
    with pytest.raises(DataError, match="each once"):
        prediction_sets(pd.concat([table, table]))
    with pytest.raises(DataError, match="has an outcome, but no known_at"):
        prediction_sets(table.assign(known_at=pd.NaT))
    with pytest.raises(DataError, match="has no probability of each class; leave out rows"):
        prediction_sets(table.assign(p_buy=np.nan))
    with pytest.raises(LeakError, match="known at its own bar or before"):
        prediction_sets(table.assign(known_at=table.index.get_level_values("time")))
    wrong = numbers(np.zeros(20))
    with pytest.raises(DataError, match=r"the scale of .* is no usable number; leave the row out"):
        prediction_intervals(wrong, scale=pd.Series(0.0, wrong.index))
    with pytest.raises(DataError, match=r"the prediction of .* is no usable number"):
        prediction_intervals(wrong.assign(prediction=np.inf))
