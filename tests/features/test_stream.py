"""stream.py: bar after bar the same bits as build, and a memory that can be put away."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import collection
from signalkit.causality import probe_bars, probe_news
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.features import CATALOG, Stream, build

SHARED = Path(__file__).resolve().parents[3] / "shared/data"
LACKING = "the shared market data are not beside the project"
MINUTES = "crypto_1m/BTCUSDT_1m_2021-2022.parquet"


def assert_same(got, expected):
    """Equal to the last bit, NaN where NaN is."""
    np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


def fed(stream, bars):
    return np.array([stream.update(*bar) for bar in bars.itertuples()])


def holed(bars, seed, share=0.02, longest=40):
    """The bars without some stretches."""
    rng = np.random.default_rng(seed)
    starts = np.flatnonzero(rng.random(len(bars)) < share / longest * 2)
    gone = np.concatenate([np.arange(s, s + rng.integers(1, longest)) for s in starts] or [[]])
    kept = np.setdiff1d(np.arange(len(bars)), gone.astype(int))
    return bars.iloc[kept]


def in_chunks(stream, bars, rng, path):
    """Features in portions of random size, saved and loaded now and then."""
    parts, begin = [], 0
    while begin < len(bars):
        end = begin + int(rng.choice([1, 2, 7, 100, 511, 512, 513, 3000]))
        parts.append(stream.extend(bars.iloc[begin:end]))
        begin = end
        if rng.random() < 0.2:
            stream.save(path)
            stream = Stream.load(path)
    return pd.concat(parts)


def test_update_gives_the_bits_of_build():
    bars = probe_bars(1500)
    assert_same(fed(Stream(), bars), build(bars))


@pytest.mark.parametrize("seed", range(3))
def test_any_portions_give_the_bits_of_build(tmp_path, seed):
    bars = holed(probe_bars(6000, seed=seed), seed)
    stream = Stream(interval="1h", max_gap=5)
    got = in_chunks(stream, bars, np.random.default_rng(seed), tmp_path / "stream")
    expected = build(bars, interval="1h", max_gap=5)
    assert expected.iloc[100:].isna().any(axis=None)  # there are gaps that are not bridged
    pd.testing.assert_frame_equal(got, expected, check_exact=True, check_freq=False)


def test_update_and_extend_may_take_turns():
    bars = probe_bars(900)
    stream = Stream()
    got = [fed(stream, bars.iloc[:100]), stream.extend(bars.iloc[100:700])]
    got.append(fed(stream, bars.iloc[700:]))
    assert_same(np.vstack(got), build(bars))


def test_real_minutes_with_gaps_give_the_bits_of_build(tmp_path):
    if not SHARED.exists():
        pytest.skip(LACKING)
    bars = collection.read_file(SHARED / MINUTES, interval="1m").iloc[300_000:500_000]
    bars = holed(bars, 1, share=0.01)
    stream = Stream(interval="1m", max_gap=10)
    got = in_chunks(stream, bars, np.random.default_rng(5), tmp_path / "stream")
    expected = build(bars, interval="1m", max_gap=10)
    pd.testing.assert_frame_equal(got, expected, check_exact=True)


def test_an_exchange_has_the_same_gaps_bar_by_bar():
    bars = holed(collection.load("sample", ["SP500"], "1d").loc["SP500"].iloc[:1200], 2, longest=8)
    stream = Stream(interval="1d", calendar="XNYS", max_gap=3)
    expected = build(bars, interval="1d", calendar="XNYS", max_gap=3)
    assert expected.iloc[100:].isna().any(axis=None)
    assert_same(fed(stream, bars), expected)


@pytest.mark.parametrize("interval", ["1h", None])
def test_news_count_bar_by_bar_as_in_build(interval):
    bars = probe_bars(500)
    news = probe_news(bars)
    names = [name for name, feature in CATALOG.items() if feature.family in ("sentiment", "price")]
    stream, got, last = Stream(names, interval=interval), [], None
    for bar in bars.itertuples():
        begun = bar.Index - pd.Timedelta("1h") if last is None else last
        since = news[(news.index > begun) & (news.index <= bar.Index)]
        got.append(stream.update(*bar, news=since["sentiment"]))
        last = bar.Index
    assert_same(got, build(bars, names, news, interval=interval))
    other = Stream(names, interval=interval)
    halves = [bars.iloc[:200], bars.iloc[200:]]
    assert_same(pd.concat([other.extend(half, news) for half in halves]), got)


def test_a_saved_stream_goes_on_where_it_was(tmp_path):
    bars = probe_bars(800)
    stream = Stream(["rsi_14", "skewness_60", "return_7"], interval="1h")
    fed(stream, bars.iloc[:333])
    stream.save(tmp_path / "stream")
    other = Stream.load(tmp_path / "stream")
    assert other.names == stream.names
    assert_same(fed(other, bars.iloc[333:]), fed(stream, bars.iloc[333:]))
    assert [p.name for p in tmp_path.iterdir()] == ["stream"]


def test_windows_longer_than_a_portion_hold():
    bars = probe_bars(3000)
    names = ["std_1500", "quantile_position_700", "range_position_900", "return_2000"]
    assert_same(fed(Stream(names), bars), build(bars, names))


def test_a_long_window_is_ranked_as_a_plain_count_does():
    close = probe_bars(900)["close"].round(1)  # with ties
    bars = probe_bars(900).assign(open=close, high=close, low=close, close=close)
    got = build(bars, ["quantile_position_300"])["quantile_position_300"].to_numpy()
    values = close.to_numpy()
    for i in range(299, 900, 37):
        others = values[i - 299 : i]
        expected = ((others < values[i]).sum() + 0.5 * (others == values[i]).sum()) / 299
        assert got[i] == expected


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"time": pd.Timestamp("2024-01-01 01:00")}, "a Timestamp in UTC"),
        ({"time": "2024-01-02"}, "a Timestamp in UTC, was '2024-01-02'"),
        ({"time": pd.Timestamp("2023-12-31", tz="UTC")}, "goes back in time: 2023-12-31 00:00Z"),
        ({"high": 90.0}, "breaks the rule low <= open"),
        ({"close": float("nan")}, "breaks the rule"),
        ({"volume": -1.0}, "volume 0 or more"),
        ({"low": 0.0}, "all finite and above 0"),
        ({"news": [1.5]}, "sentiment must be from -1 to 1"),
    ],
)
def test_a_bar_that_breaks_the_rule_is_refused_and_changes_nothing(change, says):
    bars = probe_bars(50)
    names = ["rsi_14", "news_tone_4"]
    stream, plain = Stream(names), Stream(names)
    for bar in bars.iloc[:30].itertuples():
        stream.update(*bar)
        plain.update(*bar)
    good = bars.iloc[30]
    wrong = {"time": bars.index[30]} | good.to_dict() | change
    with pytest.raises(DataError, match=says):
        stream.update(**wrong)
    assert_same(fed(stream, bars.iloc[30:]), fed(plain, bars.iloc[30:]))


def test_a_bar_refused_for_its_news_after_a_long_gap_changes_nothing():
    bars = probe_bars(80)
    names = ["rsi_14", "news_mood_4"]
    stream, plain = (Stream(names, interval="1h", max_gap=2) for _ in range(2))
    fed(stream, bars.iloc[:50])
    fed(plain, bars.iloc[:50])
    with pytest.raises(DataError, match="sentiment must be from -1 to 1"):
        stream.update(*next(bars.iloc[[70]].itertuples()), news=[2.0])
    assert_same(fed(stream, bars.iloc[50:]), fed(plain, bars.iloc[50:]))


def test_numbers_come_in_the_order_asked_for_each_once():
    bars = probe_bars(60)
    stream = Stream(["rsi_14", "return_1", "rsi_14"])
    assert stream.names == ["rsi_14", "return_1"]
    assert_same(fed(stream, bars), build(bars, ["rsi_14", "return_1"]))


@pytest.mark.parametrize(
    ("clock", "says"),
    [
        ({"interval": "1 hour"}, "a count and one of m, h, d, w"),
        ({"interval": "1h", "calendar": "XNYZ"}, "calendar 'XNYZ' is not 24/7"),
        ({"max_gap": -1}, "max_gap must be 0 bars or more, was -1"),
    ],
)
def test_an_impossible_clock_is_refused_before_the_first_bar(clock, says):
    with pytest.raises(ParamsError, match=says):
        Stream(["rsi_14"], **clock)


def test_extend_refuses_bars_before_the_last_one():
    bars = probe_bars(60)
    stream = Stream(["rsi_14"])
    stream.extend(bars.iloc[:40])
    with pytest.raises(DataError, match="goes back in time"):
        stream.extend(bars.iloc[39:])
    assert stream.extend(bars.iloc[40:40]).empty


@pytest.mark.parametrize("name", ["talib_EMA_timeperiod_20", "mine"])
def test_functions_of_whole_bars_cannot_be_streamed(monkeypatch, name):
    entry = type(CATALOG["rsi_14"])("mine", "own", 0, "1", "", lambda bars: bars["close"])
    monkeypatch.setitem(CATALOG, "mine", entry)
    with pytest.raises(ParamsError, match=f"{name} is a function of whole bars"):
        Stream([name])


def test_a_stream_of_other_code_is_refused(tmp_path, monkeypatch):
    stream = Stream(["rsi_14"])
    stream.save(tmp_path / "stream")
    monkeypatch.setattr("signalkit.features.stream._code", lambda: "other")
    with pytest.raises(StoreError, match="written by other code"):
        Stream.load(tmp_path / "stream")


STATES = 1 + 2 * (20 + 2)  # numbers that the window of std_20 keeps


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere/stream cannot be written"):
        Stream(["rsi_14"]).save(tmp_path / "nowhere" / "stream")


def changed(path, **parts):
    """The file with other parts in it."""
    with np.load(path) as file:
        held = dict(file)
    with path.open("wb") as file:
        np.savez(file, **held | parts)


def told(path, **words):
    """The file with other words of its own about it."""
    with np.load(path) as file:
        about = json.loads(file["about"].tobytes()) | words
    changed(path, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"not a stream"),
        lambda path: path.write_bytes(b""),
        lambda path: told(path, last="soon"),
        lambda path: told(path, last=10**30),
        lambda path: told(path, places=[1, 2, 3]),
        lambda path: told(path, places=[10**6, 2]),
        lambda path: told(path, places=[300, -1]),
        lambda path: told(path, clock={"interval": "1 hour"}),
        lambda path: changed(path, state=np.full(STATES, 1e12)),
        lambda path: changed(path, state=np.full(STATES, 0.5)),
        lambda path: changed(path, state=np.full(STATES, np.nan)),
        lambda path: changed(path, state=np.zeros(STATES, dtype=np.float32)),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.unlink(),
        lambda path: changed(path, work=np.zeros((2, 2))),
        lambda path: changed(path, about=np.frombuffer(b"{}", dtype=np.uint8)),
        lambda path: changed(
            path, about=np.frombuffer(json.dumps({"format": "x"}).encode(), dtype=np.uint8)
        ),
        lambda path: changed(path, state=np.array([object()], dtype=object)),
    ],
)
def test_a_file_that_is_no_stream_is_refused(tmp_path, spoil):
    path = tmp_path / "stream"
    Stream(["std_20"]).save(path)
    spoil(path)
    with pytest.raises(StoreError, match="stream"):
        Stream.load(path)
