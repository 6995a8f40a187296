"""collection/files.py on real files: each is read as its manifest says, or refused in these words.

The table holds every file of the shared data; the manifest's figures were measured there with
other code. Times of the table are bar opens, as the files write them.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit.bars import COLUMNS, gaps, interval_length
from signalkit.collection import read_file
from signalkit.errors import DataError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not SHARED.exists(), reason="the shared market data are not beside the project"
)
HOUR = pd.Timedelta(1, "h")
LEAN, RAW = "formats/lean/equity/usa", "binance_raw/BTCUSDT-1m"
NEWS = r"no bars: .*it looks like news, which read_news reads$"
NO_BARS = r"no bars: the file has no columns open, high, low, close, only \['"


@dataclass(frozen=True)
class Bars:
    """What a file that is read must give; None where the manifest of the data says it."""

    interval: str
    row: list[float]
    rows: int | None = None
    first: str | None = None
    last: str | None = None
    missing: tuple[int, int] | None = None
    zero_volume: int | None = None
    calendar: str = "24/7"
    zone: str = "UTC, epochs"


ISO_Z = "offset in the text: Z"
ASSUMED = "UTC, assumed: the file states none"
NEW_YORK = "America/New_York, given"
SESSIONS = "1998-01-02 14:00", "2021-03-31 19:00"

READ = {
    "crypto_1h/ADAUSDT_1h.csv.gz": Bars(
        "1h", [0.25551, 0.288, 0.25551, 0.26664, 8143693.23], zone=ISO_Z
    ),
    "crypto_1h/BNBUSDT_1h.csv.gz": Bars(
        "1h", [27.2035, 27.2043, 26.9472, 27.109, 63419.63], zone=ISO_Z
    ),
    "crypto_1h/BTCUSDT_1h.csv.gz": Bars(
        "1h", [4261.48, 4313.62, 4261.32, 4308.83, 47.181009], zone=ISO_Z
    ),
    "crypto_1h/ETHUSDT_1h.csv.gz": Bars(
        "1h", [385.25, 385.45, 383.19, 383.64, 20025.72372], zone=ISO_Z
    ),
    "crypto_1m/BTCUSDT_1m_2021-2022.parquet": Bars(
        "1m", [28923.63, 28961.66, 28913.12, 28961.66, 27.457032], zone="UTC in the file"
    ),
    f"{RAW}-2017-08-17.csv": Bars("1m", [4261.48, 4261.48, 4261.48, 4261.48, 1.775183]),
    f"{RAW}-2018-02-07.csv": Bars("1m", [7655.02, 7695.21, 7650.25, 7694.96, 54.527063]),
    f"{RAW}-2018-02-08.csv": Bars("1m", [7599.0, 7600.0, 7572.09, 7587.56, 16.948552]),
    f"{RAW}-2018-02-09.csv": Bars("1m", [7789.9, 8290.0, 7789.9, 8290.0, 210.243307]),
    f"{RAW}-2018-02-10.csv": Bars("1m", [8683.93, 8683.93, 8650.0, 8650.0, 39.390029]),
    f"{RAW}-2024-12-31.csv": Bars("1m", [92792.05, 92832.25, 92782.12, 92782.13, 6.45789]),
    f"{RAW}-2025-01-01.csv": Bars("1m", [93576.0, 93610.93, 93537.5, 93610.93, 8.21827]),
    "dirty/binance_futures_FILUSDT-1m-2025-02_header.csv.gz": Bars(
        "1m", [4.811, 4.824, 4.808, 4.809, 60965.1]
    ),
    "dirty/cdd_Binance_ADAUSDT_1h.csv.gz": Bars(
        "1h", [0.14451, 0.14564, 0.14406, 0.14509, 24253521.0]
    ),
    "dirty/tz_offset_BTCUSDT_1h.csv.gz": Bars(
        "1h",
        [12889.35, 12961.83, 12856.0, 12919.12, 9856.01],
        zone="offset in the text: +02:00, +03:00",
    ),
    f"{LEAN}/daily/aapl.zip": Bars(
        "1d",
        [13.63, 16.25, 13.5, 16.25, 6315000.0],
        missing=(0, 0),
        calendar="XNYS",
        zone=NEW_YORK,
    ),
    f"{LEAN}/daily/spy.zip": Bars(
        "1d",
        [97.31, 97.53, 96.53, 97.36, 2150000.0],
        missing=(0, 0),
        calendar="XNYS",
        zone=NEW_YORK,
    ),
    f"{LEAN}/hour/aapl.zip": Bars(
        "1h",
        [13.63, 13.75, 13.5, 13.63, 540700.0],
        None,
        *SESSIONS,
        missing=(5849, 162911),
        zone=NEW_YORK,
    ),
    f"{LEAN}/hour/spy.zip": Bars(
        "1h",
        [97.31, 97.53, 97.03, 97.03, 384500.0],
        None,
        *SESSIONS,
        missing=(5848, 162910),
        zone=NEW_YORK,
    ),
    "freqtrade/ETH_USDT-1h.feather": Bars(
        "1h", [1196.13, 1196.7, 1192.72, 1194.09, 5889.384], zone="UTC in the file"
    ),
    "freqtrade/UNITTEST_BTC-30m.feather": Bars(
        "30m",
        [0.04100025, 0.04104949, 0.04088000000000001, 0.04089, 1825.39285708],
        zone="UTC in the file",
    ),
    "freqtrade/XRP_USDT_USDT-1h-futures.json.gz": Bars(
        "1h", [1.0801, 1.09758, 1.07654, 1.07925, 3153694.607359]
    ),
    "fx/EURUSD_1h_ask_2017.csv": Bars(
        "1h", [1.05236, 1.05253, 1.05221, 1.05227, 143539993.3], zone=ASSUMED
    ),
    "stocks_hourly/AAPL_1h.csv.gz": Bars(
        "1h", [13.63, 13.75, 13.5, 13.63, 540700.0], missing=(5849, 162911), zone=ISO_Z
    ),
    "stocks_hourly/SPY_1h.csv.gz": Bars(
        "1h", [97.31, 97.53, 97.03, 97.03, 384500.0], missing=(5848, 162910), zone=ISO_Z
    ),
    "reference/indicators/intraday_quotes.csv": Bars(
        "1m",
        [367.4, 367.62, 367.36, 367.46, 407870.0],
        1564,
        "2020-12-15 09:30",
        "2020-12-18 16:00",
        (3, 3147),
        0,
        zone=ASSUMED,
    ),
    "reference/indicators/spy_quotes.csv": Bars(
        "1d",
        [212.61, 213.35, 211.52, 212.8, 96708880.0],
        502,
        "2017-01-03",
        "2018-12-31",
        (110, 226),
        0,
        zone=ASSUMED,
    ),
    "reference/returns/aapl_2010_2014.csv": Bars(
        "1d",
        [33.64143, 33.80143, 33.494286, 33.57143, 107664900.0],
        1183,
        "2010-03-31",
        "2014-12-09",
        (256, 532),
        0,
        zone=ASSUMED,
    ),
}

REFUSED = {
    "MANIFEST.json": rf"{NO_BARS}file', 'bytes'",
    "SOURCES.md": r"no table with columns; the file begins '# Test data: sources'$",
    "dirty/bitfinex_LTCUSD_1m_2013_ochl.csv.gz": r"15 bars in 11 stretches jump off and"
    r" come straight back, .*:"
    r" 2013-06-24 10:39Z \(1 bar\); 2013-06-24 10:59Z \(1 bar\); 2013-06-26 19:58Z \(1 bar\);"
    r" 2013-06-26 20:01Z to .*; pass allow=\('spikes',\) to flag",
    "dirty/cdd_Binance_BTCUSDT_1h_dup_mixed.csv.gz": r"2,649 bars come in two versions, such as"
    r" \[11783\.31, 11820\.61, 11731\.71, 11801\.17, 2194\.598589\] and \[11783\.3, 11820\.61,"
    r" 11731\.71, 11801\.17, 2194\.6\] \(opens\): 2020-08-01 23:00Z to 2020-11-20 07:00Z"
    r" \(2,649 bars\); 1 bars in 1 stretch jump off .*: 2017-08-17 04:00Z \(1 bar\);"
    r" pass allow=\('conflicting', 'spikes',\)",
    # five hours of 2017-11-12 stand twice, five hours apart: the first five hold the future
    "dirty/cdd_Coinbase_BTCUSD_1h.csv.gz": r"10 bars in 1 stretch stand at two times"
    r" with all five columns equal \(opens\): 2017-11-11 23:00Z to 2017-11-12 08:00Z \(10 bars\);"
    r" pass allow=\('copied',\)",
    "dirty/cnbc_headlines.csv.gz": NEWS,
    "dirty/gemini_BTCUSD_1hr_excel_mangled.csv.gz": r"bars: prices must be above 0; row 0, bar end"
    r" 2015-10-08 14:00Z, has open 0, high 245, low 0, close 245, volume 0\.606654 \(1 such rows\)",
    "dirty/guardian_headlines_cp1252.csv": NEWS,
    "dirty/gym_BTC_USD-Hourly_swapped_volume.csv.gz": r"base and quote volume change places in"
    r" 20,143 of 33,259 rows, in 3 blocks \(opens\): 2018-05-15 06:00Z to 2019-03-03 00:00Z"
    r" \(7,003 bars\); 2019-04-13 17:00Z to 2020-04-25 19:00Z \(9,075 bars\); 2020-04-26 00:00Z"
    r" to 2020-10-12 08:00Z \(4,065 bars\); pass allow=\('swapped_volume',\)",
    "dirty/nyu_cryptonews_semicolon.csv.gz": NEWS,
    "dirty/silently_interpolated_BTCUSDT_1h.csv.gz": r"128 bars in 28 stretches are linear"
    r" interpolations of their neighbours, .*: 2017-09-06 17:00Z to 2017-09-06 22:00Z \(6 bars\);"
    r" .* 2018-02-08 01:00Z to 2018-02-09 09:00Z \(33 bars\); .*pass allow=\('interpolated',\)",
    f"{LEAN}/factor_files/aapl.csv": r"no bars: 4 columns without a header; bars have time, four",
    f"{LEAN}/factor_files/spy.csv": r"no bars: 4 columns without a header; bars have time, four",
    "freqtrade/NOPAIR_XXX-4m.json": r"no rows; the JSON list is empty$",
    "freqtrade/UNITTEST_BTC-8m.feather": r"the file is empty \(0 bytes\)$",
    "freqtrade/UNITTEST_BTC-8m.json.gz": r"the name claims 8m, but the bars are most often 1m"
    r" apart; pass allow=\('interval',\)",
    "freqtrade/XRP_USDT_USDT-8h-funding_rate.feather": r"high, low, close and volume are 0 in all"
    r" 91 rows: funding rates or another series in bar columns, no bars$",
    "news/bbc_business_2022-2023.csv.gz": NEWS,
    "news/crypto_news_2021-10_2022-07.csv.gz": NEWS,
    "news/stocknet_tweets.csv.gz": NEWS,
    "reference/SOURCES.md": NO_BARS,
    "reference/indicators/talib_corpus.csv": r"no column named time, timestamp or date; the file"
    r" has \['open', 'high', 'low', 'close', 'volume'\]$",
    "reference/labels/dollar_bar_sample.csv": r"no column named volume or vol; the file has .*"
    r"'cum_vol', 'cum_dollar', 'cum_ticks'\]$",
    "reference/labels/stock_prices_subset.csv": rf"{NO_BARS}date', 'spy', 'epp'",
    "reference/returns/edhec_first100.csv": rf"{NO_BARS}date', 'conv_arb'",
    "reference/returns/portfolio_bacon.csv": NO_BARS,
    "reference/volatility/sp500_parkinson_rv.csv": rf"{NO_BARS}date', 'rv_parkinson_1e4'\]$",
    # days since 1970
    "reference/volatility/ttrc250.csv": r"times from 5480 to 5839 are no epoch in s, ms, us or ns",
    "stocks_daily/sp500_close_2022-2023.parquet": r"\['ticker', 'time', 'price'\]; one price a row"
    r" is no bar$",
    "stocks_daily/stocknet_panel.csv.gz": r"rows of 50 symbols; pass symbol, such as 'AAPL'$",
}
# no file is known by its name: these are the names that claim an interval
CLAIMS = {"freqtrade/UNITTEST_BTC-8m.json.gz"}


@pytest.fixture(scope="module")
def manifest():
    """The measured figures of each file."""
    return {
        entry["file"]: entry["stats"]
        for entry in json.loads((SHARED / "MANIFEST.json").read_text())
    }


def refusal(file, **options):
    """The words in which a file is refused, without its path."""
    with pytest.raises(DataError) as caught:
        read_file(file, **options)
    return str(caught.value).removeprefix(f"{file}: ")


def test_every_shared_file_has_its_outcome_here():
    held = {str(file.relative_to(SHARED)) for file in SHARED.rglob("*") if file.is_file()}
    assert held == READ.keys() | REFUSED.keys()


def same_instant(found, told, calendar):
    """Whether a bar's open is the time that the manifest tells, of daily sessions the date."""
    told = pd.Timestamp(told)
    return found.date() == told.date() if calendar != "24/7" else found == told.tz_localize(None)


@pytest.mark.parametrize("name", READ)
def test_a_good_file_is_read_as_its_manifest_says(name, manifest):
    want, known = READ[name], manifest.get(name, {})
    bars = read_file(SHARED / name)
    found = bars.attrs["report"]
    assert (found.interval, found.calendar, found.zone) == (
        want.interval,
        want.calendar,
        want.zone,
    )
    assert found.rows == found.rows_read == len(bars) == (want.rows or known["rows"])
    length = pd.Timedelta(0) if want.calendar != "24/7" else interval_length(want.interval)
    opens = (bars.index[[0, -1]] - length).tz_localize(None)
    told = (want.first or known["min"], want.last or known["max"])
    for got, said in zip(opens, told, strict=True):
        said = pd.Timestamp(said)
        assert same_instant(got, said.tz_localize(None) if said.tz else said, want.calendar)
    missing = want.missing or (known["gaps"], known["missing_bars"])
    assert (found.gaps, found.missing_bars) == missing
    zero = known["zero_vol"] if want.zero_volume is None else want.zero_volume
    assert found.zero_volume_bars == int((bars["volume"] == 0).sum()) == zero
    assert (found.duplicates, found.conflicting, found.flagged) == (0, 0, ())
    assert bars.iloc[0].tolist() == want.row


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_what_is_wrong_and_where(name):
    told = refusal(SHARED / name)
    assert re.match(f".*{REFUSED[name]}", told), told


@pytest.mark.parametrize(
    "name", sorted((READ.keys() | REFUSED.keys()) - {"crypto_1m/BTCUSDT_1m_2021-2022.parquet"})
)
def test_under_another_name_a_file_has_the_same_outcome(name, tmp_path):
    copy = tmp_path / "q"
    shutil.copyfile(SHARED / name, copy)
    if name in READ:
        bars = read_file(copy)
        assert bars.attrs["report"].interval == READ[name].interval
        assert bars.iloc[0].tolist() == READ[name].row
    elif name in CLAIMS:
        assert read_file(copy).attrs["report"].interval == "1m"
    else:
        told = refusal(copy)
        assert re.match(f".*{REFUSED[name]}", told), told


def test_the_interpolated_bars_are_those_that_the_clean_file_lacks():
    clean = read_file(SHARED / "crypto_1h" / "BTCUSDT_1h.csv.gz")
    missing = gaps(clean, "1h", "24/7")
    filled = SHARED / "dirty" / "silently_interpolated_BTCUSDT_1h.csv.gz"
    (defect,) = read_file(filled, allow=("interpolated",)).attrs["report"].flagged
    # of gaps by bar ends to stretches by opens
    assert [(p.first + HOUR, p.last + HOUR, p.bars) for p in defect.places] == list(
        missing.itertuples(index=False, name=None)
    )
    assert (len(defect.places), sum(p.bars for p in defect.places)) == (28, 128)


@pytest.mark.parametrize("ticker", ["aapl", "spy"])
def test_hours_of_lean_are_those_of_the_clean_file_bit_for_bit(ticker):
    lean = read_file(SHARED / LEAN / "hour" / f"{ticker}.zip")
    clean = read_file(SHARED / "stocks_hourly" / f"{ticker.upper()}_1h.csv.gz")
    assert lean.index.equals(clean.index)
    assert np.array_equal(lean.to_numpy(), clean.to_numpy())


def test_minutes_of_binance_are_those_of_the_clean_hours():
    hours = read_file(SHARED / "crypto_1h" / "BTCUSDT_1h.csv.gz")
    for day in ("2018-02-07", "2024-12-31"):
        minutes = read_file(SHARED / f"{RAW}-{day}.csv")
        hour = minutes.index.ceil("h")
        for column, rule in zip(COLUMNS[:4], ("first", "max", "min", "last"), strict=True):
            made = minutes[column].groupby(hour).agg(rule)
            assert made.tolist() == hours.loc[made.index, column].tolist()


def test_spikes_that_are_allowed_are_flagged_and_the_prices_kept():
    name = "dirty/bitfinex_LTCUSD_1m_2013_ochl.csv.gz"
    bars = read_file(SHARED / name, allow=("spikes",))
    found = bars.attrs["report"]
    assert (found.rows, found.gaps, found.missing_bars) == (18_645, 10_721, 307_304)
    assert [defect.name for defect in found.flagged] == ["spikes"]
    assert "open, close, high, low" in " ".join(found.notes)
    # the bad tick of 2013-06-26 19:59 stays as the file has it
    assert bars.loc["2013-06-26 20:00", ["open", "low"]].tolist() == [0.02, 0.02]


def test_epochs_that_a_spreadsheet_rounded_give_way_to_the_text_beside_them(manifest):
    name = "dirty/gemini_BTCUSD_1hr_excel_mangled.csv.gz"
    bars = read_file(SHARED / name, allow=("broken",))
    found = bars.attrs["report"]
    assert found.rows == manifest[name]["rows"] - 1
    assert (found.gaps, found.missing_bars) == (0, 0)
    assert (bars.index[0] - HOUR, bars.index[-1] - HOUR) == (
        pd.Timestamp("2015-10-08 14:00Z"),
        pd.Timestamp("2018-09-05 23:00Z"),
    )
    assert any("'date'" in note and "spreadsheet" in note for note in found.notes)
    (defect,) = found.flagged
    assert (defect.name, [p.bars for p in defect.places]) == ("broken", [1])


def test_of_two_versions_of_a_bar_the_fuller_one_is_kept(manifest):
    name = "dirty/cdd_Binance_BTCUSDT_1h_dup_mixed.csv.gz"
    bars = read_file(SHARED / name, allow=("conflicting", "spikes"))
    found = bars.attrs["report"]
    # the file's very first open and high are 16199.91, where 4261.48 was traded
    (first,) = next(defect.places for defect in found.flagged if defect.name == "spikes")
    assert (first.first + pd.Timedelta(1, "h"), first.bars) == (bars.index[0], 1)
    assert (found.rows, found.conflicting, found.duplicates) == (31_426, 2_649, 0)
    assert found.rows + found.conflicting == manifest[name]["rows"]
    assert (found.gaps, found.missing_bars) == (6, 11)
    assert any("5491 in ms" in note and "28584 in s" in note for note in found.notes)


def test_swapped_volume_is_put_right(manifest):
    name = "dirty/gym_BTC_USD-Hourly_swapped_volume.csv.gz"
    bars = read_file(SHARED / name, allow=("swapped_volume",))
    clean = read_file(SHARED / "crypto_1h" / "BTCUSDT_1h.csv.gz")
    both = bars.index.intersection(clean.index)
    # another market of one coin: never the 10,000 times that quote volume would be
    times = (bars.loc[both, "volume"] / clean.loc[both, "volume"]).replace(0, np.nan).dropna()
    assert len(times) > 33_000
    assert times[np.isfinite(times)].quantile(0.999) < 10
    assert bars.attrs["report"].rows == manifest[name]["rows"]


def test_copied_bars_that_are_allowed_are_told_one_by_one():
    name = "dirty/cdd_Coinbase_BTCUSD_1h.csv.gz"
    bars = read_file(SHARED / name, allow=("copied",))
    first = bars.loc["2017-11-12 00:00":"2017-11-12 04:00", list(COLUMNS)]
    again = bars.loc["2017-11-12 05:00":"2017-11-12 09:00", list(COLUMNS)]
    assert first.to_numpy().tolist() == again.to_numpy().tolist()
    assert bars.attrs["report"].zone == "UTC, stated in the file"


def test_every_symbol_of_the_panel_of_stocks_is_read_or_told_empty(manifest):
    panel = pd.read_csv(SHARED / "stocks_daily" / "stocknet_panel.csv.gz")
    known = manifest["stocks_daily/stocknet_panel.csv.gz"]
    assert panel["symbol"].nunique() == known["symbols"]
    bars = read_file(
        SHARED / "stocks_daily" / "stocknet_panel.csv.gz", symbol="AAPL", calendar="XNYS"
    )
    found = bars.attrs["report"]
    assert (found.interval, found.rows, found.gaps) == ("1d", 1258, 0)
    assert found.first == pd.Timestamp("2012-09-04 16:00", tz="America/New_York")
    assert bars.loc["2012-11-23"].index[0].hour == 18  # the day after Thanksgiving
