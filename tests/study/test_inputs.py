"""inputs.py: bars and news of every source reach the stages, and none from the holdout."""

import numpy as np
import pandas as pd
import pytest

from signalkit import collection
from signalkit.errors import ParamsError, SignalkitError, StoreError
from signalkit.features import CATALOG
from signalkit.store import Store
from signalkit.study import Study

SYMBOLS = ["AAAUSDT", "BBBUSDT"]
MARKET = {"source": "simulator", "symbols": SYMBOLS, "interval": "1h"}
MARKET |= {"start": "2024-01-01", "end": "2024-03-31", "simulator": {"seed": 3, "edge": 0.2}}
NEWS = {"news": {"source": "simulator"}}
SMALL = {
    "labeling": {"horizon": 4, "volatility_span": 24},
    "training": {"rounds": 5, "models": ["LIGHTGBM"]},
    "validation": {"train": 500, "test": 200, "draws": 100, "holdout_from": "2024-03-01"},
    "features": {"families": ["price", "sentiment"]},
    "backtesting": {"fill": "next_open"},
}
BORDER = pd.Timestamp("2024-03-01", tz="UTC")


def opened(collected, **changes):
    """A small study over some source."""
    return Study.open("small", collection=collected, **(SMALL | changes))


def written(folder, times, titles):
    """A CSV file of news, and the section that reads it."""
    file = folder / "news.csv"
    lines = [f'{time},"{title}"' for time, title in zip(times, titles, strict=True)]
    file.write_text("\n".join(["published,title", *lines]) + "\n")
    return {"source": "file", "path": str(file), "aliases": {"AAAUSDT": ["alpha"]}}


def first_told(truth):
    """News before the border, each item when it was first known."""
    return truth.news[~truth.news["key"].duplicated() & (truth.news.index < BORDER)]


@pytest.fixture(scope="module")
def truth():
    """The simulated market as it is, without an exchange in between."""
    market = [SYMBOLS, "1h", "2024-01-01", "2024-03-31"]
    exchange = collection.simulated_exchange(*market, settings=MARKET["simulator"])
    return exchange._truth


def test_a_simulated_market_is_collected_through_its_faults_to_the_last_bit(own_store, truth):
    study = opened(MARKET | NEWS)
    whole = study.every_bar
    pd.testing.assert_frame_equal(whole, truth.bars, check_exact=True, check_freq=False)
    known = truth.bars.index.get_level_values("time") < BORDER
    pd.testing.assert_frame_equal(study.bars(), truth.bars[known], check_exact=True)
    row = study.sources().loc["AAAUSDT"]
    assert row["source"].startswith("simulator-")
    assert len(study.revisions()) > 0
    with Store.open(own_store) as store:
        stored = store.read_bars("AAAUSDT", "1h", source=row["source"])
    pd.testing.assert_frame_equal(stored, truth.bars.loc["AAAUSDT"], check_freq=False)


def test_news_of_the_holdout_are_not_handed_out(own_store, truth):
    news = opened(MARKET | NEWS).news()
    assert news["key"].tolist() == first_told(truth)["key"].tolist()
    assert news.index.max() < BORDER
    assert (news.index >= news["published"]).all()


def test_sentiment_is_made_from_the_titles_here(own_store, truth):
    news = opened(MARKET | NEWS).news()
    again = collection.sentiment.score(news["title"], scorer="vader_finance")
    assert news["sentiment"].tolist() == again.tolist()
    told = first_told(truth)["sentiment"].to_numpy()
    assert np.corrcoef(np.sign(again), np.sign(told))[0, 1] > 0.9


def test_features_read_the_news_and_a_planted_edge_is_in_them(own_store):
    study = opened(MARKET | NEWS)
    table, bars = study.features(), study.bars()
    assert [n for n in table if CATALOG[n].family == "sentiment"]
    ahead = bars["close"].groupby("symbol").pct_change().groupby("symbol").shift(-1)
    assert table["news_mood_4"].corr(ahead) > 0.3  # sqrt(0.2) is 0.45 with the true tone
    plain = opened(MARKET | {"simulator": {"seed": 3, "edge": 0.0}} | NEWS)
    bars = plain.bars()
    ahead = bars["close"].groupby("symbol").pct_change().groupby("symbol").shift(-1)
    assert abs(plain.features()["news_mood_4"].corr(ahead)) < 4 / np.sqrt(len(bars))


def test_another_seed_or_edge_is_another_identity_and_its_own_series(own_store):
    changed = MARKET | {"simulator": {"seed": 3, "edge": 0.1}}
    first, other = (opened(market, features={}) for market in (MARKET, changed))
    first.bars(), other.bars()
    assert first.identity("collection")["identity"] != other.identity("collection")["identity"]
    assert first.sources()["source"].iloc[0] != other.sources()["source"].iloc[0]


def test_features_of_news_without_news_are_refused_before_anything_is_stored(own_store):
    with pytest.raises(ParamsError, match=r"features\.families: news_count_24 reads news; set"):
        opened(MARKET, features={"families": ["price", "sentiment"]}).check()
    assert not own_store.exists()


def test_a_file_of_news_is_about_its_symbols_by_their_aliases(own_store, tmp_path):
    titles = ["Alpha soars to a record", "Weather stays mild", "alphabet soup", "BBBUSDT falls"]
    times = [f"2024-01-0{day}T10:00Z" for day in (2, 3, 4, 5)]
    study = opened(MARKET | {"news": written(tmp_path, times, titles)})
    news = study.news()
    assert news["symbols"].tolist() == [("AAAUSDT",), ("BBBUSDT",)]
    assert news.index[0] == pd.Timestamp("2024-01-02 10:01", tz="UTC")  # one minute of latency
    assert news["sentiment"].iloc[0] > 0 > news["sentiment"].iloc[1]
    with Store.open(own_store) as store:
        assert len(store.read_news()) == 0  # what is not collected stays with its study


def test_a_changed_file_of_news_is_another_identity(own_store, tmp_path):
    asked = MARKET | {"news": written(tmp_path, ["2024-01-02T10:00Z"], ["Alpha soars"])}
    before = opened(asked).identity("collection")["identity"]
    written(tmp_path, ["2024-01-02T10:00Z"], ["Alpha sinks"])
    assert opened(asked).identity("collection")["identity"] != before


def test_an_edited_lexicon_is_another_identity(own_store, tmp_path):
    words = tmp_path / "words.csv"
    asked = MARKET | {"news": {"source": "simulator", "lexicon": str(words)}}
    words.write_text("soars,2\n")
    before = opened(asked).identity("collection")["identity"]
    words.write_text("soars,3\n")
    assert opened(asked).identity("collection")["identity"] != before
    ours = opened(MARKET | NEWS).identity("collection")["data"]
    assert set(ours) == {"lexicon"}


def test_a_file_of_news_that_is_not_there_is_refused_with_the_way_out(own_store):
    news = {"source": "file", "path": "no/news.csv"}
    with pytest.raises(ParamsError, match=r"no/news\.csv is no file; a feed is collected first"):
        opened(MARKET | {"news": news}).check()


@pytest.fixture
def collected(own_store, truth):
    """A store with bars of an exchange and news, as `signalkit collect` leaves them."""
    with Store.open(own_store) as store:
        store.write_bars(truth.bars, source="binance", interval="1h", calendar="24/7")
        store.write_news(truth.news, scorer="vader_finance")
    return {"source": "binance", "symbols": SYMBOLS, "interval": "1h", "news": {"source": "store"}}


def test_a_study_of_an_exchange_reads_what_was_collected(collected, truth):
    study = opened(collected)
    pd.testing.assert_frame_equal(study.every_bar, truth.bars, check_exact=True, check_freq=False)
    assert len(study.news()) == len(first_told(truth))
    assert study.sources()["source"].tolist() == ["binance", "binance"]


def test_newly_collected_bars_are_another_identity(collected, truth, own_store):
    before = opened(collected).identity("collection")["identity"]
    newer = truth.bars.groupby("symbol").tail(1).copy()
    newer.index = newer.index.set_levels(newer.index.levels[1] + pd.Timedelta(1, "h"), level=1)
    with Store.open(own_store) as store:
        store.write_bars(newer, source="binance", interval="1h", calendar="24/7")
    assert opened(collected).identity("collection")["identity"] != before


def test_a_corrected_bar_is_shown_as_a_revision(collected, truth, own_store):
    fixed = truth.bars.iloc[[5]].assign(volume=1.0)
    with Store.open(own_store) as store:
        store.write_bars(fixed, source="binance", interval="1h", calendar="24/7")
    found = opened(collected).revisions()
    assert found.index.tolist() == truth.bars.index[[5]].tolist()
    assert found["volume"].tolist() == truth.bars["volume"].iloc[[5]].tolist()


def test_an_exchange_without_collected_bars_is_refused_with_the_command(own_store):
    asked = {"source": "kraken", "symbols": ["BTCUSD"], "interval": "1h"}
    says = "signalkit collect --source kraken --symbols BTCUSD --interval 1h"
    with pytest.raises(StoreError, match=says):
        opened(asked, features={}).check()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": "smaple"}, r"collection\.source: 'smaple' is none of sample, files"),
        ({"source": "simulator", "start": None}, "simulator needs collection.start and"),
        ({"calendar": "XNYS"}, "simulator never closes, was 'XNYS'; use 24/7"),
        ({"news": {"source": "file"}}, "source: file and path go together"),
        ({"source": "binance", "news": {"source": "simulator"}}, "news for its own market"),
        ({"news": {"source": "store", "aliases": {"X": ["x"]}}}, "'X' is not in collection.symb"),
        ({"news": {"sorce": "store"}}, "section 'collection.news' does not declare 'sorce'; did"),
        ({"simulator": {"edge": 1.5}}, r"collection\.simulator\.edge: .*was 1\.5"),
        ({"path": "x.csv"}, "simulator has no path, was 'x.csv'"),
    ],
)
def test_sources_that_do_not_fit_are_refused(own_store, changes, says):
    with pytest.raises(SignalkitError, match=says):
        opened(MARKET | changes, features={}).check()


def test_defects_that_are_allowed_stand_in_the_table_of_sources(own_store, tmp_path, truth):
    bars = truth.bars.loc["AAAUSDT"].copy()
    bars.iloc[100, :4] *= 10
    table = bars.set_axis(bars.index - pd.Timedelta(1, "h"), axis=0)
    table.to_csv(tmp_path / "AAAUSDT.csv", index_label="time")
    asked = {"source": "files", "path": str(tmp_path / "{symbol}.csv"), "symbols": ["AAAUSDT"]}
    asked |= {"interval": "1h", "calendar": "24/7"}
    with pytest.raises(SignalkitError, match=r"single-tick spikes.*2024-01-05"):
        opened(asked, features={}).check()
    told = opened(asked | {"allow": ["spikes"]}, features={}).findings()
    (flagged,) = told[told["kind"] == "flagged"].itertuples()
    assert (flagged.symbol, flagged.what, flagged.bars) == ("AAAUSDT", "spikes", 1)
    assert flagged.first == bars.index[100]
    assert told[told["kind"] == "decided"].empty


def test_two_sets_of_files_do_not_revise_each_other(own_store, tmp_path, truth):
    asked = {"source": "files", "symbols": ["AAAUSDT"], "interval": "1h", "calendar": "24/7"}
    for name, factor in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        table = truth.bars.loc["AAAUSDT"] * factor
        table = table.set_axis(table.index - pd.Timedelta(1, "h"), axis=0)
        table.to_csv(tmp_path / name / "AAAUSDT.csv", index_label="time")
    for name in "aba":
        study = opened(asked | {"path": str(tmp_path / name / "{symbol}.csv")}, features={})
        assert study.revisions().empty
    assert len(study.bars()) > 0
    with Store.open(own_store) as store, pytest.raises(StoreError, match=r"files-.*files-"):
        store.read_bars("AAAUSDT", "1h")


def test_a_store_is_lent_as_it_was_when_the_study_ran(collected, truth, own_store, tmp_path):
    with Store.open(own_store) as store:
        run = store.start_run("small", "this one", {})
        store.db["runs"].update(run, {"started": "2099-01-01T00:00:00+00:00"})
        store.finish_run(run, status="completed")
        unfinished = store.start_run("small", "this one", {})
        later = pd.Timestamp("2099-06-01", tz="UTC")
        changed = truth.bars.iloc[[5]].assign(volume=1.0)
        own = {"source": "binance", "interval": "1h", "calendar": "24/7"}
        store.write_bars(changed, at=later, **own)
        with pytest.raises(StoreError, match="no such run of 'small'"):
            store.lend_collected(tmp_path / "other", "small", "another")
        store.lend_collected(tmp_path / "lent", "small", "this one")
        assert unfinished > run
    with Store.open(tmp_path / "lent") as lent:
        bars = lent.read_bars("AAAUSDT", "1h")
        assert lent.revisions("AAAUSDT", "1h").empty
        assert len(lent.read_news()) == len(truth.news["key"].unique())
    pd.testing.assert_frame_equal(bars, truth.bars.loc["AAAUSDT"], check_freq=False)
