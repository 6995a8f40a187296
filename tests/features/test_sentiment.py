"""sentiment.py: news counts from the bar in which it is known, and never before."""

import numpy as np
import pandas as pd
import pytest

from signalkit import causality
from signalkit.errors import DataError, ParamsError
from signalkit.features import CATALOG, build

OF_NEWS = [name for name, feature in CATALOG.items() if feature.reads_news]
BARS = causality.probe_bars(200)


def told(*items, symbols=()):
    """News from (bar position, minutes before that bar's end, sentiment)."""
    known = [BARS.index[at] - pd.Timedelta(minutes, "min") for at, minutes, _ in items]
    table = {"symbols": [symbols] * len(items), "sentiment": [tone for *_, tone in items]}
    return pd.DataFrame(table, pd.DatetimeIndex(known, name="known_at"))


def mood(news, at):
    return build(BARS, ["news_mood_4"], news)["news_mood_4"].iloc[at]


@pytest.mark.parametrize("minutes", [0, 1, 59])
def test_an_item_counts_from_the_bar_in_which_it_is_known(minutes):
    news = told((50, minutes, 0.5))
    assert [mood(news, at) for at in (49, 50, 53, 54)] == [0.0, 0.5, 0.5, 0.0]


def test_an_item_known_a_moment_after_the_bar_belongs_to_the_next():
    news = told((50, -1e-6, 0.5))
    assert [mood(news, at) for at in (50, 51)] == [0.0, 0.5]


def test_counts_tones_and_their_change_on_a_case_worked_by_hand():
    news = told((130, 5, 0.5), (130, 4, -0.1), (140, 0, 0.8), (30, 0, -1.0))
    got = build(BARS, OF_NEWS, news).iloc[141]
    assert got["news_count_24"] == pytest.approx(np.log(4))
    assert got["news_mood_4"] == pytest.approx(0.8)
    assert got["news_tone_24"] == pytest.approx((0.5 - 0.1 + 0.8) / 3)
    assert got["news_tone_change_24_120"] == pytest.approx(0.4 - (0.5 - 0.1 + 0.8 - 1.0) / 4)


def tone_of(scores):
    return np.mean(scores) if len(scores) else 0.0


def of_items(place, score, at):
    """Every feature of news at one bar, from the items one by one."""
    age = at - place
    age, score = age[age >= 0], score[age >= 0]
    day, week = score[age < 24], score[age < 120]
    weight = 0.5 ** (age / 12)
    return {
        "news_count_24": np.log(1 + len(day)),
        "news_mood_4": score[age < 4].sum(),
        "news_tone_24": tone_of(day),
        "news_decayed_tone_12": (weight * score).sum() / weight.sum() if len(age) else 0.0,
        "news_dispersion_24": np.std(day) if len(day) else 0.0,
        "news_tone_change_24_120": tone_of(day) - tone_of(week),
        "news_surprise_24_120": np.log((1 + len(day)) / (1 + len(week) * 24 / 120)),
    }


@pytest.mark.parametrize("quiet", [0, 2000])
def test_features_of_news_are_those_of_a_loop_over_the_items(quiet):
    rng = np.random.default_rng(quiet)
    bars = causality.probe_bars(900 + quiet)
    # after 2,000 bars without items the weights of the old ones are 1e-50
    place = np.sort(np.r_[rng.integers(1, 400, 300), 400 + quiet + rng.integers(0, 500, 100)])
    score = rng.uniform(-1, 1, 400).round(2)
    known = bars.index[place] - pd.to_timedelta(rng.integers(0, 3600, 400), "s")
    news = pd.DataFrame({"symbols": [()] * 400, "sentiment": score}, known)
    got = build(bars, OF_NEWS, news)
    assert set(OF_NEWS) == set(of_items(place, score, 0))
    for at in range(120, len(bars), 53):
        expected = of_items(place, score, at)
        assert got.iloc[at].to_dict() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_items_before_the_first_bar_and_after_the_last_are_not_seen():
    news = told((0, 61, 0.9), (199, -1, 0.9))
    got = build(BARS, OF_NEWS, news)
    assert (got.fillna(0.0) == 0).all(axis=None)


def test_an_item_without_a_score_counts_but_has_no_tone():
    got = build(BARS, OF_NEWS, told((50, 0, np.nan))).iloc[60]
    assert got["news_count_24"] == pytest.approx(np.log(2))
    assert got["news_tone_24"] == 0.0


def test_a_symbol_sees_the_news_about_itself_alone():
    panel = pd.concat({"A": BARS, "B": BARS}, names=["symbol", "time"])
    got = build(panel, ["news_mood_4"], told((50, 0, 0.5), symbols=("A",)))["news_mood_4"]
    assert got.loc["A"].iloc[50] == 0.5
    assert (got.loc["B"].dropna() == 0).all()


@pytest.mark.parametrize("name", OF_NEWS)
def test_warm_up_is_exactly_as_stated(name):
    got = build(BARS, [name], causality.probe_news(BARS))[name]
    assert np.flatnonzero(got.isna()).tolist() == list(range(CATALOG[name].warmup))


@pytest.mark.parametrize("name", OF_NEWS)
def test_probe_news_move_the_feature_so_that_its_proof_can_fail(name):
    got = build(BARS, [name], causality.probe_news(BARS))[name].dropna()
    assert got.nunique() > 5


def test_a_feature_that_reads_later_news_is_caught():
    def leak(bars, news):
        ends = bars.index.as_unit("ns").asi8
        known = (ends.searchsorted(news.index.as_unit("ns").asi8) - 1).clip(0, len(bars) - 1)
        return pd.Series(np.bincount(known, minlength=len(bars)), bars.index)

    found = causality.check(leak, BARS, news=causality.probe_news(BARS))
    assert not found.passed


def test_news_features_without_news_are_refused_by_name():
    with pytest.raises(ParamsError, match="news_tone_24 reads news"):
        build(BARS, ["news_tone_24"])
    assert not set(OF_NEWS) & set(build(BARS).columns)


def test_news_without_a_zone_are_refused():
    news = told((50, 0, 0.5)).tz_localize(None)
    with pytest.raises(DataError, match="news has times in zone None"):
        build(BARS, OF_NEWS, news)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"symbols": "BTC"}, "symbols must be a tuple, row 0 has 'BTC'"),
        ({"symbols": None}, "symbols must be a tuple, row 0 has None"),
        ({"sentiment": 1.5}, "sentiment must be from -1 to 1, or NaN"),
        ({"sentiment": -np.inf}, "sentiment must be from -1 to 1"),
    ],
)
def test_news_with_cells_that_are_none_are_refused(change, says):
    with pytest.raises(DataError, match=says):
        build(BARS, OF_NEWS, told((50, 0, 0.5)).assign(**change))


@pytest.mark.parametrize("name", ["symbols", "sentiment"])
def test_news_without_a_column_are_refused_with_those_there_are(name):
    with pytest.raises(DataError, match=rf"news lack the columns \['{name}'\]; they have \["):
        build(BARS, OF_NEWS, told((50, 0, 0.5)).drop(columns=name))
