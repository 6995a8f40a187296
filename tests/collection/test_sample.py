"""collection/sample.py: what the bundled sample is, known from other places than the code."""

import pandas as pd
import pytest

from signalkit import bars as table
from signalkit.collection import load, sample
from signalkit.collection.quality import yearly
from signalkit.errors import SourceError

BOTH = sorted(sample.SYMBOLS)


@pytest.fixture(scope="module")
def panel():
    return load("sample", BOTH, "1d")


@pytest.mark.parametrize("symbol", BOTH)
def test_it_has_the_sessions_of_twenty_years(panel, symbol):
    bars = panel.loc[symbol]
    assert len(bars) == 5031
    assert bars.index[0] == pd.Timestamp("1999-01-04 16:00", tz="America/New_York")
    assert bars.index[-1] == pd.Timestamp("2018-12-31 16:00", tz="America/New_York")
    assert len(table.gaps(bars, "1d", "XNYS")) == 0


@pytest.mark.parametrize("symbol", BOTH)
def test_bars_end_at_four_in_new_york_and_at_one_on_half_days(panel, symbol):
    local = panel.loc[symbol].index.tz_convert("America/New_York")
    clock = pd.Series(local.strftime("%H:%M"))
    assert clock.value_counts().to_dict() == {"16:00": 4986, "13:00": 45}
    half = set(local[clock == "13:00"].strftime("%Y-%m-%d"))
    assert {"2003-07-03", "2005-11-25", "2018-11-23", "2018-12-24"} <= half
    assert not half & {"2001-09-17", "2012-10-31"}


@pytest.mark.parametrize("symbol", BOTH)
def test_prices_are_those_of_the_file_and_the_adjusted_close_is_not_read(symbol):
    raw = pd.read_csv(sample.sample_file(symbol))
    bars = sample.read_sample(symbol)
    assert list(bars.columns) == list(table.COLUMNS)
    for name in table.COLUMNS:
        assert (bars[name].to_numpy() == raw[name.capitalize()].to_numpy(dtype=float)).all()
    table.check(bars)


def test_an_adjusted_close_that_differs_changes_nothing(tmp_path, monkeypatch):
    file = tmp_path / "sp500.csv"
    file.write_text("Date,Open,High,Low,Close,Adj Close,Volume\n1/4/1999,10,12,9,11,5.5,100\n")
    monkeypatch.setattr(sample, "sample_file", lambda symbol: file)
    bars = sample.read_sample("SP500")
    assert bars.to_numpy().tolist() == [[10.0, 12.0, 9.0, 11.0, 100.0]]


def test_early_opens_of_the_sp500_are_the_close_before(panel):
    stale = yearly(panel).loc["SP500", "stale_opens"]
    assert (stale.loc[1999:2005] >= 0.94).all()
    assert stale.loc[2006] == pytest.approx(0.43, abs=0.005)
    assert (stale.loc[2016:] == 0).all()
    assert (stale.loc[2012:2013] > 0.25).all()  # a second spell, shorter


def test_opens_of_the_nasdaq_were_traded(panel):
    assert yearly(panel).loc["NASDAQ", "stale_opens"].max() < 0.01


def test_two_days_of_the_nasdaq_have_no_volume(panel):
    dry = panel[panel["volume"] == 0].index
    days = [(symbol, time.strftime("%Y-%m-%d")) for symbol, time in dry]
    assert days == [("NASDAQ", "2015-05-12"), ("NASDAQ", "2018-01-09")]


def test_prices_of_known_days(panel):
    closes = panel.loc["SP500", "close"]
    closes = closes.set_axis(closes.index.strftime("%Y-%m-%d"))
    assert closes["2001-09-10"] == pytest.approx(1092.54, abs=0.005)
    # lowest close of the crisis, highest before the autumn of 2018, largest rise (11.58 %)
    assert closes.loc["2009-01-01":"2018-12-31"].idxmin() == "2009-03-09"
    assert closes.min() == pytest.approx(676.53, abs=0.005)
    assert closes.idxmax() == "2018-09-20"
    assert closes.max() == pytest.approx(2930.75, abs=0.005)
    moves = closes.pct_change()
    assert moves.idxmax() == "2008-10-13"
    assert moves.max() == pytest.approx(0.1158, abs=5e-5)


def test_a_sample_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(sample, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match=r"sp500\.csv\.gz is missing; make setup installs arch"):
        sample.sample_file("SP500")
