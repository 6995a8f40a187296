"""markov.py: the filter of statsmodels, its maximum, planted regimes, and no future."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from signalkit import causality, collection
from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.signals.markov import NAMES, filtered, markov_fits, markov_regime

STAY = {
    2: [[0.98, 0.02], [0.04, 0.96]],
    3: [[0.98, 0.015, 0.005], [0.02, 0.97, 0.01], [0, 0.05, 0.95]],
}
DEVIATION = {2: [0.005, 0.02], 3: [0.004, 0.01, 0.03]}


def planted(n, states=2, seed=5):
    """Bars whose log returns switch between states, and the state of each."""
    rng, state, hidden = np.random.default_rng(seed), 0, []
    for _ in range(n):
        state = int(rng.choice(states, p=STAY[states][state]))
        hidden.append(state)
    returns = rng.normal(0.0003, np.array(DEVIATION[states])[hidden])
    return bars_of(returns), np.array(hidden)


def bars_of(returns):
    times = pd.date_range("2020-01-01", periods=len(returns), freq="h", tz="UTC", name="time")
    return pd.DataFrame({"close": 100 * np.exp(np.cumsum(returns))}, index=times)


def spans(times, train, test):
    """Windows that move forward by their test length."""
    starts = range(train, len(times) - test + 1, test)
    rows = [(times[s - train], times[s - 1], times[s], times[s + test - 1]) for s in starts]
    columns = ["train_from", "train_to", "test_from", "test_to"]
    return pd.DataFrame(rows, columns=columns).rename_axis("fold")


def returns_of(bars):
    return np.diff(np.log(bars["close"].to_numpy()))


def of_statsmodels(returns, fit, states):
    """statsmodels' model of returns at our parameters."""
    names = NAMES[states]
    chances = [fit[f"{one}_to_{to}"] for to in names[:-1] for one in names]
    variances = [fit[f"volatility_{name}"] ** 2 for name in names]
    model = MarkovRegression(returns - fit["mean"], states, trend="n", switching_variance=True)
    return model.smooth(np.array(chances + variances, dtype=float), cov_type="none")


@pytest.mark.parametrize("states", [2, pytest.param(3, marks=pytest.mark.certify)])
def test_odds_are_those_of_the_filter_of_statsmodels(states):
    bars, _ = planted(900, states)
    windows = spans(bars.index, 500, 200)
    fits = markov_fits(bars, windows, states=states)
    got = filtered(bars, fits)
    for (_, fit), stop in zip(fits.iterrows(), (700, 900), strict=True):
        begin, first = bars.index.get_indexer([fit["train_from"], fit["test_from"]])
        begin = max(begin, 1)
        theirs = of_statsmodels(returns_of(bars)[begin - 1 : stop - 1], fit, states)
        expected = theirs.filtered_marginal_probabilities[first - begin :]
        np.testing.assert_allclose(got.iloc[first:stop, 1:], expected, rtol=0, atol=1e-8)
        # what knows the bars to come is something else
        assert (
            np.abs(
                got.iloc[first:stop, 1:] - theirs.smoothed_marginal_probabilities[first - begin :]
            ).max(axis=None)
            > 0.2
        )


@pytest.mark.parametrize("states", [2, pytest.param(3, marks=pytest.mark.certify)])
def test_parameters_are_those_of_the_maximum_that_statsmodels_finds(states):
    bars, _ = planted(1501, states)
    fit = markov_fits(bars, spans(bars.index, 1500, 1), states=states).iloc[0]
    values = returns_of(bars)[:1499]
    scale = values.std()
    model = MarkovRegression(
        (values - values.mean()) / scale, states, trend="n", switching_variance=True
    )
    theirs = model.fit(em_iter=40, maxiter=500, cov_type="none")
    likelihood = theirs.llf - len(values) * np.log(scale)
    assert fit["log_likelihood"] == pytest.approx(likelihood, abs=1e-3)
    found = [fit[f"volatility_{name}"] for name in NAMES[states]]
    assert found == pytest.approx(scale * np.sqrt(np.sort(theirs.params[-states:])), rel=1e-3)
    # and the likelihood is the one its filter gives these parameters
    assert of_statsmodels(values, fit, states).llf == pytest.approx(fit["log_likelihood"], abs=1e-6)


@pytest.mark.parametrize(
    ("states", "least"), [(2, 0.9), pytest.param(3, 0.8, marks=pytest.mark.certify)]
)
def test_planted_regimes_are_found_out_of_sample_in_the_order_of_variance(states, least):
    bars, hidden = planted(3000, states)
    windows = spans(bars.index, 1500, 500)
    fits = markov_fits(bars, windows, states=states)
    wild = fits[[f"volatility_{name}" for name in NAMES[states]]].to_numpy(dtype=float)
    np.testing.assert_allclose(wild, [DEVIATION[states]] * len(fits), rtol=0.15)
    assert (fits["bic_gain"] > 100).all()
    got = filtered(bars, fits).iloc[1500:]
    right = got["regime"].to_numpy() == np.array(NAMES[states])[hidden[1500:]]
    assert right.mean() > least
    odds = got[[f"p_{name}" for name in NAMES[states]]].to_numpy()
    np.testing.assert_allclose(odds.sum(axis=1), 1.0, rtol=1e-12)
    assert (got["regime"].to_numpy() == np.array(NAMES[states])[odds.argmax(axis=1)]).all()


def test_a_market_without_regimes_gains_nothing_from_two():
    returns = np.random.default_rng(3).normal(0, 0.01, 1001)
    fits = markov_fits(bars_of(returns), spans(bars_of(returns).index, 1000, 1))
    assert fits["bic_gain"].max() < 0


def test_a_fold_holds_from_its_test_to_the_next_and_nothing_is_known_before_the_first():
    bars, _ = planted(900)
    windows = spans(bars.index, 300, 100).iloc[[0, 3]]
    got, fits = markov_regime(bars, windows), markov_fits(bars, windows)
    assert (got["regime"].iloc[:300] == "unknown").all()
    assert got.iloc[:300, 1:].isna().all(axis=None)
    for fold, rows in ((0, slice(300, 600)), (3, slice(600, 900))):
        alone = filtered(bars, fits.xs(fold, level="fold", drop_level=False))
        pd.testing.assert_frame_equal(got.iloc[rows], alone.iloc[rows])
    assert set(got["regime"].iloc[300:]) == {"calm", "wild"}
    assert fits.index.tolist() == [("", 0), ("", 3)]


def test_the_same_bars_give_the_same_bits():
    bars, _ = planted(500)
    windows = spans(bars.index, 400, 50)
    one, other = markov_regime(bars, windows), markov_regime(bars, windows)
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_symbols_have_parameters_of_their_own():
    one, other = planted(700)[0], planted(600, seed=6)[0].iloc[60:]
    panel = pd.concat({"A": one, "B": other}, names=["symbol", "time"])
    windows = spans(one.index, 400, 100)
    got = markov_regime(panel, windows)
    assert got.index.equals(panel.index)
    for symbol, alone in (("A", one), ("B", other)):
        expected = markov_regime(alone, windows)
        pd.testing.assert_frame_equal(got.loc[symbol], expected, check_freq=False)


MARKET = causality.probe_bars(340)
WINDOWS = spans(MARKET.index, 200, 60)
CUTS = [150, 199, 200, 201, 230, 259, 260, 300, 338]
CODES = {"unknown": np.nan, "calm": 0.0, "wild": 1.0}


def coded(table):
    return table.assign(regime=table["regime"].map(CODES))


def test_regime_never_reads_the_future_to_the_last_bit():
    whole = coded(markov_regime(MARKET, WINDOWS, least=150))
    assert whole.iloc[200:].notna().all(axis=None)
    found = causality.check(
        lambda seen: coded(markov_regime(seen, WINDOWS, least=150)), MARKET, CUTS
    )
    found.require("markov_regime")
    assert found.probes == 3 * len(CUTS)


def test_smoothed_odds_and_parameters_of_all_bars_are_caught():
    fits = markov_fits(MARKET, WINDOWS, least=150)

    def smoothed(seen):
        odds = of_statsmodels(returns_of(seen), fits.iloc[0], 2).smoothed_marginal_probabilities
        return pd.DataFrame(odds, seen.index[1:]).iloc[199:]

    def fitted_in_hindsight(seen):
        spans_ = WINDOWS.assign(train_from=MARKET.index[0], train_to=MARKET.index[-1])
        own = markov_fits(seen, spans_.assign(test_from=MARKET.index[-1] + pd.Timedelta("1h"))[:0])
        assert own.empty
        later = WINDOWS.iloc[:1].assign(train_to=seen.index[-2], test_from=seen.index[-1])
        fit = markov_fits(seen, later, least=150).assign(test_from=MARKET.index[200])
        return coded(filtered(seen, fit))

    for leak in (smoothed, fitted_in_hindsight):
        found = causality.check(leak, MARKET, [230, 260])
        assert not found.passed
        with pytest.raises(LeakError, match="reads the future"):
            found.require("odds")


def test_the_autumn_of_2008_was_wild_and_2005_calm():
    bars = collection.load("sample", ["SP500"], "1d").loc["SP500"]
    windows = spans(bars.loc["1999":"2009"].index, 1000, 250)
    got = markov_regime(bars, windows)
    assert (got.loc["2008-10":"2008-12", "regime"] == "wild").mean() > 0.9
    assert (got.loc["2005", "regime"] == "calm").mean() > 0.9


def test_a_jump_of_two_hundred_deviations_leaves_odds_that_sum_to_one():
    bars, _ = planted(500)
    bars.iloc[450:] *= 7.0
    got = markov_regime(bars, spans(bars.index, 400, 100))
    assert got["p_wild"].iloc[450] == pytest.approx(1.0)
    np.testing.assert_allclose(got[["p_calm", "p_wild"]].iloc[400:].sum(axis=1), 1, rtol=1e-12)


def flat(n):
    return bars_of(np.zeros(n))


def often_still(n):
    """One bar in four moves, up and down in turn: a mean of nothing, and many returns of it."""
    returns = np.zeros(n)
    returns[1::8], returns[5::8] = 0.01, -0.01
    return bars_of(returns)


@pytest.mark.parametrize(
    ("bars", "least", "outcome"),
    [
        (planted(400)[0], 300, "too few returns"),
        (flat(400), 250, "no variance"),
        (often_still(400), 250, "collapsed"),
    ],
)
def test_a_window_that_cannot_be_trusted_has_no_regime_and_says_why(bars, least, outcome):
    windows = spans(bars.index, 300, 100)
    fits = markov_fits(bars, windows, least=least)
    assert fits["outcome"].tolist() == [outcome]
    assert fits["returns"].tolist() == [299]
    assert fits["volatility_wild"].isna().all()
    got = filtered(bars, fits)
    assert (got["regime"] == "unknown").all()
    assert got[["p_calm", "p_wild"]].isna().all(axis=None)


def test_a_search_that_ends_nowhere_is_told(monkeypatch):
    bars, _ = planted(700)
    windows = spans(bars.index, 300, 200)
    usual, calls = MarkovRegression.fit, []

    def fit(self, *args, **options):
        calls.append(self)
        return usual(self, *args, **options | ({"maxiter": 1} if len(calls) == 1 else {}))

    monkeypatch.setattr(MarkovRegression, "fit", fit)
    fits = markov_fits(bars, windows)
    assert fits["outcome"].tolist() == ["not converged", "fitted"]
    got = filtered(bars, fits)
    assert (got["regime"].iloc[:500] == "unknown").all()
    assert (got["regime"].iloc[500:] != "unknown").all()


@pytest.mark.parametrize(
    ("change", "options", "error", "says"),
    [
        ({}, {"states": 4}, ParamsError, "2 or 3 states, was 4"),
        ({}, {"least": 20}, ParamsError, "at least 50 returns a window, was 20"),
        ({"train_to": None}, {}, DataError, r"lack the columns \['train_to'\]"),
        ({"train_to": pd.NaT}, {}, DataError, "window of fold 0 lacks a time"),
        ({"test_from": MARKET.index[3]}, {}, DataError, "in the order of their test_from"),
        ({"train_to": MARKET.index[-1]}, {}, LeakError, "fold 0 trains up to .* before"),
    ],
)
def test_refuses_windows_that_are_none(change, options, error, says):
    windows = WINDOWS.assign(**change).drop(columns=[k for k, v in change.items() if v is None])
    with pytest.raises(error, match=says):
        markov_regime(MARKET, windows, **options)
