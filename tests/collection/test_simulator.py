"""collection/simulator.py: its past stays, its facts are those of markets, its edge is as told.

Stylised facts: Cont, Quantitative Finance 1 (2001), section 2. Oracles: arch (GARCH, variance
ratio), vaderSentiment, pandas' resampling, and hourly bars of four real markets.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from arch import arch_model
from arch.unitroot import VarianceRatio
from hypothesis import given, settings
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from signalkit.bars import check, expected_times, gaps, interval_length
from signalkit.collection import read_file
from signalkit.collection.sentiment import score
from signalkit.collection.simulator import market
from signalkit.errors import ParamsError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
shared = pytest.mark.skipif(
    not SHARED.exists(), reason="the shared market data are not beside the project"
)
SYMBOLS = ["ADAUSDT", "BTCUSDT", "ETHUSDT"]
FIRST = pd.Timestamp("2024-01-01", tz="UTC")
HOUR = pd.Timedelta(1, "h")


def hours(count, symbols=("BTCUSDT",), *, seed=1, interval="1h", **options):
    """A market of so many bars."""
    end = FIRST + (count - 1) * interval_length(interval)
    return market(list(symbols), interval, start=FIRST, end=end, seed=seed, **options)


def log_returns(bars):
    return np.log(bars["close"]).diff().dropna()


def next_return_and_mood(truth, symbol, lead):
    """Log return of the next bar beside the sentiment known in the last bars, by pandas alone."""
    news = truth.news[[symbol in named for named in truth.news["symbols"]]]
    news = news[~news.duplicated(["source", "key"])]
    length = interval_length(truth.interval)
    tone = news["sentiment"].resample(length, closed="right", label="right").sum()
    bars = truth.bars.loc[symbol]
    grid = expected_times(bars.index[0], bars.index[-1], truth.interval, "24/7")
    mood = tone.reindex(grid, fill_value=0.0).rolling(lead).sum()
    returns = np.log(bars["close"].reindex(grid)).diff()
    return pd.DataFrame({"next": returns.shift(-1), "mood": mood}).dropna()


def memory_scores(returns, lags):
    """Autocorrelations in standard errors that hold under changing volatility (White)."""
    x = returns.to_numpy() - returns.mean()
    pairs = [x[lag:] * x[:-lag] for lag in lags]
    return np.array([p.sum() / np.sqrt((p**2).sum()) for p in pairs])


@pytest.fixture(scope="module")
def truth():
    """Four years of three symbols, without outages."""
    return hours(4 * 8766, SYMBOLS, outages=0)


@pytest.fixture(scope="module")
def returns(truth):
    return np.log(truth.bars["close"]).unstack("symbol").diff().dropna()


def bits(truth):
    news = truth.news.reset_index().to_csv().encode()
    return hashlib.sha256(truth.bars.to_numpy().tobytes() + news).hexdigest()


def test_a_new_process_makes_the_same_bits():
    here = str(Path(__file__).parent)
    made = "t.bits(t.hours(5000, t.SYMBOLS, edge=0.1))"
    asked = f"import sys; sys.path.insert(0, {here!r}); import test_simulator as t; print({made})"
    run = [sys.executable, "-c", asked]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    assert told == bits(hours(5000, SYMBOLS, edge=0.1))


@settings(max_examples=12, deadline=None)
@given(
    bars=st.integers(1, 5000),
    more=st.integers(1, 5000),
    interval=st.sampled_from(["1m", "1h", "1d"]),
    edge=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 10**6),
)
def test_a_later_end_changes_nothing_before_it(bars, more, interval, edge, seed):
    asked = {"seed": seed, "interval": interval, "edge": edge, "lead": 3, "news_per_day": 1.0}
    short = hours(bars, **asked)
    long = hours(bars + more, **asked)
    kept = long.bars[long.bars.index.get_level_values("time") <= short.end]
    pd.testing.assert_frame_equal(short.bars, kept, check_exact=True)
    known = long.news[long.news.index <= short.end]
    pd.testing.assert_frame_equal(short.news, known, check_exact=True)
    assert short.settings == long.settings


def test_a_symbol_does_not_depend_on_the_others():
    alone = hours(3000, ["ETHUSDT"], edge=0.2)
    among = hours(3000, ["ETHUSDT", "ADAUSDT", "BTCUSDT"], edge=0.2)
    pd.testing.assert_frame_equal(alone.bars.loc["ETHUSDT"], among.bars.loc["ETHUSDT"])
    about = among.news[among.news["symbols"] == ("ETHUSDT",)]
    pd.testing.assert_frame_equal(alone.news, about)


def test_another_seed_is_another_market():
    assert bits(hours(50)) != bits(hours(50, seed=2))


@pytest.mark.parametrize("interval", ["1m", "15m", "1h", "4h", "1d", "1w"])
def test_bars_keep_the_rule_of_the_table_at_every_interval(interval):
    truth = hours(300, SYMBOLS, interval=interval)
    check(truth.bars)
    assert gaps(truth.bars.loc["BTCUSDT"], interval, "24/7")["bars"].sum() < 40
    assert truth.bars.index.get_level_values("time").max() <= truth.end


def test_prices_have_six_digits():
    close = hours(2000, SYMBOLS).bars["close"]
    assert all(float(f"{price:.6g}") == price for price in close)


def test_an_outage_is_the_same_for_all_symbols_and_at_most_34_bars():
    truth = hours(20_000, SYMBOLS, outages=0.005)
    found = [gaps(truth.bars.loc[symbol], "1h", "24/7") for symbol in SYMBOLS]
    assert all(found[0].equals(other) for other in found[1:])
    assert 60 < len(found[0]) < 130  # 100 begin, less those that fall in another
    assert found[0]["bars"].between(1, 34).all()
    assert found[0]["bars"].max() > 20


def test_outages_hide_bars_and_change_none():
    whole, holed = hours(3000, outages=0).bars, hours(3000, outages=0.01).bars
    assert len(holed) < len(whole)
    pd.testing.assert_frame_equal(holed, whole.loc[holed.index])


def test_the_open_is_near_the_close_before_it(truth):
    bars = truth.bars.loc["BTCUSDT"]
    apart = np.log(bars["open"] / bars["close"].shift()).std()
    assert 0 < apart < 0.05 * log_returns(bars).std()


def test_returns_have_no_memory(returns):
    scores = np.array([memory_scores(returns[symbol], range(1, 49)) for symbol in returns])
    assert np.abs(scores).max() < 4
    calmed = (returns / returns.rolling(48).std().shift()).dropna()
    for lag in (1, 2, 24):
        memory = calmed.apply(lambda r, lag=lag: r.autocorr(lag))
        assert (memory.abs() < 4 / np.sqrt(len(calmed))).all()


def test_the_variance_ratio_is_one(returns):
    for symbol in returns:
        prices = np.log(100) + returns[symbol].cumsum()
        for lags in (2, 24):
            assert abs(VarianceRatio(prices, lags=lags, robust=True).stat) < 4


def test_simple_returns_have_mean_zero(returns):
    simple = np.expm1(returns)
    assert (simple.mean().abs() < 4 * simple.std() / np.sqrt(len(simple))).all()


def test_volatility_comes_in_clusters_and_fades(returns):
    sizes = returns.abs()
    near, day, month = (sizes.apply(lambda r, k=k: r.autocorr(k)) for k in (1, 24, 720))
    assert (near > 0.2).all()
    assert ((day > 0.1) & (day < near)).all()
    assert (month.abs() < 0.1).all()


def test_garch_finds_the_persistence_of_markets(returns):
    fit = arch_model(100 * returns["BTCUSDT"].iloc[:12_000], mean="Zero").fit(disp="off")
    assert 0.8 < fit.params["alpha[1]"] + fit.params["beta[1]"] < 1


def test_tails_are_fat(returns):
    assert (returns.kurt() > 1).all()
    assert (hours(8000, interval="1d", outages=0).bars["close"].pipe(np.log).diff().kurt()) > 1


def test_symbols_move_together(returns):
    pairs = returns.corr().to_numpy()[np.triu_indices(3, 1)]
    assert ((pairs > 0.5) & (pairs < 0.7)).all()


def test_afternoons_are_wilder_and_busier_than_nights(truth, returns):
    sizes = returns.abs().groupby(returns.index.hour).mean()
    assert (sizes.loc[13:17].mean() / sizes.loc[1:5].mean()).between(1.3, 1.8).all()
    volume = truth.bars["volume"].groupby(truth.bars.index.get_level_values("time").hour).mean()
    assert volume.loc[13:17].mean() > 1.3 * volume.loc[1:5].mean()


def test_the_range_is_that_of_a_path_through_the_bar(truth):
    # Parkinson (1980): the mean squared log range of Brownian motion is 4 ln 2 times its variance
    bars = truth.bars
    ranged = (np.log(bars["high"] / bars["low"]) ** 2).groupby("symbol").mean() / (4 * np.log(2))
    moved = (np.log(bars["close"] / bars["open"]) ** 2).groupby("symbol").mean()
    assert (ranged / moved).between(0.92, 1.02).all()  # jumps move a bar and widen it once
    ends = bars[["open", "close"]]
    assert (bars["high"] == ends.max(axis=1)).mean() < 0.02
    assert (bars["low"] == ends.min(axis=1)).mean() < 0.02


def test_volume_follows_volatility(truth):
    bars = truth.bars.loc["BTCUSDT"]
    assert np.corrcoef(np.log(bars["volume"]), np.log(bars["high"] / bars["low"]))[0, 1] > 0.5


@shared
def test_facts_are_those_of_hourly_bars_of_real_markets(truth):
    def facts(bars):
        r = log_returns(bars)
        by_hour = r.abs().groupby(r.index.hour).mean()
        memory = [r.abs().autocorr(lag) for lag in (1, 24)]
        return [r.std(), r.kurt(), *memory, by_hour.max() / by_hour.min()]

    folder, names = SHARED / "crypto_1h", ("ADAUSDT", "BNBUSDT", "BTCUSDT", "ETHUSDT")
    real = [facts(read_file(folder / f"{n}_1h.csv.gz", interval="1h")) for n in names]
    got = np.median([facts(truth.bars.loc[symbol]) for symbol in SYMBOLS], axis=0)
    assert (got > np.min(real, axis=0) / 2).all()
    assert (got < np.max(real, axis=0) * 1.5).all()


@pytest.mark.parametrize(("edge", "lead"), [(0.05, 4), (0.3, 1), (0.3, 12)])
def test_sentiment_explains_the_stated_share_of_the_next_return(edge, lead):
    shares = []
    for seed in range(12):
        made = hours(3 * 8766, seed=seed, edge=edge, lead=lead)
        table = next_return_and_mood(made, "BTCUSDT", lead)
        shares.append(table["next"].corr(table["mood"]) ** 2)
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert error < 0.08 * edge
    assert abs(np.mean(shares) - edge) < 3 * error


@pytest.mark.parametrize(("interval", "bars", "daily"), [("1m", 20_000, 24), ("1d", 3000, 2)])
def test_the_share_holds_at_other_intervals(interval, bars, daily):
    shares = []
    for seed in range(8):
        made = hours(bars, seed=seed, interval=interval, edge=0.2, news_per_day=daily)
        table = next_return_and_mood(made, "BTCUSDT", 4)
        shares.append(table["next"].corr(table["mood"]) ** 2)
    assert abs(np.mean(shares) - 0.2) < 3 * np.std(shares, ddof=1) / np.sqrt(8)


def test_without_edge_sentiment_explains_nothing_at_any_lag(truth):
    for symbol in SYMBOLS:
        table = next_return_and_mood(truth, symbol, 1)
        for lag in range(-24, 25):
            product = (table["next"] * table["mood"].shift(lag)).dropna()
            assert abs(product.sum() / np.sqrt((product**2).sum())) < 4


def test_news_moves_nothing_before_it_is_known():
    table = next_return_and_mood(hours(3 * 8766, edge=0.5, lead=1, outages=0), "BTCUSDT", 1)
    for ahead in range(1, 13):
        product = (table["next"] * table["mood"].shift(-ahead)).dropna()
        assert abs(product.sum() / np.sqrt((product**2).sum())) < 4
    assert table["next"].corr(table["mood"]) > 0.6


def test_a_headline_published_again_moves_nothing():
    truth = hours(3 * 8766, edge=0.5, lead=1, outages=0)
    news = truth.news[truth.news.duplicated(["source", "key"])]
    tone = news["sentiment"].resample(HOUR, closed="right", label="right").sum()
    following = log_returns(truth.bars.loc["BTCUSDT"]).shift(-1)
    product = (following * tone).dropna()
    product = product[product != 0]
    assert len(product) > 100
    assert abs(product.sum() / np.sqrt((product**2).sum())) < 4


def test_the_edge_changes_neither_news_nor_the_size_of_returns():
    plain, led = (hours(30_000, seed=4, edge=edge, outages=0) for edge in (0.0, 0.4))
    pd.testing.assert_frame_equal(plain.news, led.news)
    spread = [log_returns(made.bars.loc["BTCUSDT"]).std() for made in (plain, led)]
    assert spread[1] == pytest.approx(spread[0], rel=0.1)


@pytest.mark.certify
def test_what_is_no_edge_looks_like_one_no_oftener_than_chance_allows():
    scores = []
    for seed in range(200):
        made = hours(6000, seed=1000 + seed, outages=0)
        table = next_return_and_mood(made, "BTCUSDT", 4)
        product = table["next"] * table["mood"]
        scores.append(product.sum() / np.sqrt((product**2).sum()))
        scores.extend(memory_scores(log_returns(made.bars.loc["BTCUSDT"]), (1, 2, 24)))
    scores = np.array(scores)
    assert abs(scores.mean()) < 4 / np.sqrt(len(scores))
    assert scores.std() == pytest.approx(1, abs=0.1)
    assert 0.03 < (np.abs(scores) > 1.96).mean() < 0.07


def test_headlines_come_at_the_asked_rate_and_most_in_the_afternoon(truth):
    news = truth.news[~truth.news["key"].duplicated()]
    days = (truth.end - FIRST) / pd.Timedelta(1, "D")
    expected = 4.0 * days * len(SYMBOLS)
    assert abs(len(news) - expected) < 4 * np.sqrt(expected)
    hour = news["published"][news["source"] == "simulated wire"].dt.hour
    assert (hour.between(12, 18)).sum() > 1.5 * (hour.between(0, 6)).sum()


def test_a_headline_is_known_after_it_is_published(truth):
    news = truth.news
    assert news.index.is_monotonic_increasing
    assert str(news.index.tz) == "UTC"
    assert list(news.columns) == ["published", "source", "title", "symbols", "sentiment", "key"]
    assert (news.index > news["published"]).all()
    assert news["sentiment"].between(-1, 1).all()


def test_a_headline_with_a_date_only_is_known_at_the_end_of_that_day(truth):
    dated = truth.news[truth.news["source"] == "simulated digest"]
    assert 0.08 < len(dated) / len(truth.news) < 0.12
    assert (dated["published"] == dated["published"].dt.normalize()).all()
    assert (dated.index == dated["published"] + pd.Timedelta(1, "D")).all()


def test_some_headlines_are_published_again_under_their_key(truth):
    groups = truth.news.reset_index().groupby(["source", "key"])
    assert 0.03 < (groups.size() == 2).mean() < 0.06
    assert groups.size().max() == 2
    assert (groups[["title", "sentiment", "symbols"]].nunique() == 1).all(axis=None)
    twice = groups.filter(lambda rows: len(rows) == 2).groupby("key")["published"]
    assert (twice.last() - twice.first() >= HOUR).all()


def test_titles_name_the_symbol_and_agree_with_the_tone(truth):
    plain = SentimentIntensityAnalyzer().polarity_scores
    news = truth.news.drop_duplicates("title")
    named = [s[0] in title for s, title in zip(news["symbols"], news["title"], strict=True)]
    assert all(named)
    vader = np.array([plain(title)["compound"] for title in news["title"]])
    for found in (vader, score(news["title"], scorer="vader_finance")):
        assert (np.sign(found) == np.sign(news["sentiment"])).all()
        assert (np.abs(found[found != 0]) > 0.05).all()


def test_strong_tones_have_stronger_words(truth):
    news = truth.news[truth.news["sentiment"] > 0].drop_duplicates("title")
    found = score(news["title"], scorer="vader_finance")
    strong = (news["sentiment"] >= 0.6).to_numpy()
    assert found[strong].mean() > found[~strong].mean() + 0.1


def test_titles_are_varied_in_each_tone(truth):
    about = truth.news[truth.news["symbols"] == ("BTCUSDT",)]
    kinds = about.groupby(np.sign(about["sentiment"]))["title"].nunique()
    assert kinds.to_dict() == {-1.0: 96, 0.0: 48, 1.0: 96}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"symbols": []}, r"list of different names, was \[\]"),
        ({"symbols": ["A", "A"]}, "different names"),
        ({"symbols": "BTCUSDT"}, "was 'BTCUSDT'"),
        ({"edge": 1.0}, "from 0 to below 1, was 1.0"),
        ({"edge": -0.1}, "was -0.1"),
        ({"edge": float("nan")}, "was nan"),
        ({"lead": 0}, "at least 1, was 0"),
        ({"lead": 2.5}, r"a whole number of bars, at least 1, was 2\.5"),
        ({"start": "soon"}, "'soon' is no time: .*write one such as 2024-01-31"),
        ({"end": None}, "None is no time"),
        ({"seed": -1}, "a whole number, at least 0, was -1"),
        ({"news_per_day": -1.0}, "news_per_day is from 0 to 1000"),
        ({"news_per_day": 0.0, "edge": 0.1}, "above 0 with edge"),
        ({"outages": 0.5}, "from 0 to 0.05, was 0.5"),
        ({"interval": "1 hour"}, "was '1 hour'"),
        ({"end": "2023-12-31"}, "no 1h bar ends from 2024-01-01 .* to 2023-12-31"),
    ],
)
def test_refuses_what_it_cannot_simulate(asked, says):
    asked = {"symbols": ["A"], "interval": "1h", "start": FIRST, "end": FIRST, "seed": 1} | asked
    with pytest.raises(ParamsError, match=says):
        market(asked.pop("symbols"), asked.pop("interval"), **asked)


def test_a_market_without_news_has_an_empty_table():
    news = hours(10, news_per_day=0.0).news
    assert (len(news), news.index.name, str(news.index.tz)) == (0, "known_at", "UTC")
