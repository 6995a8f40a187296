"""collection/simulated.py: an exchange with faults, all of which pass."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit.bars import COLUMNS, check
from signalkit.collection.collector import collect
from signalkit.collection.simulated import SimulatedExchange
from signalkit.collection.simulator import SimulatedMarket, market
from signalkit.collection.source import Market, TransientError
from signalkit.errors import ParamsError
from signalkit.store import Store

HOUR = pd.Timedelta(1, "h")
FIRST = pd.Timestamp("2024-01-01", tz="UTC")
SINCE = FIRST - HOUR  # the open of the first bar
SYMBOLS = ["BTCUSDT", "ETHUSDT"]


def made(bars=200, symbols=SYMBOLS, **options):
    return market(symbols, "1h", start=FIRST, end=FIRST + (bars - 1) * HOUR, seed=1, **options)


TRUTH = made(outages=0)


def drawn(*opens):
    """A market of one symbol whose bars are drawn by hand: 10 12 8 11, volume 100."""
    ends = pd.DatetimeIndex(opens, tz="UTC", name="time") + HOUR
    index = pd.MultiIndex.from_product([["BTCUSDT"], ends], names=["symbol", "time"])
    bars = pd.DataFrame([[10.0, 12.0, 8.0, 11.0, 100.0]] * len(ends), index, list(COLUMNS))
    return SimulatedMarket(bars, made(2).news, "1h", ends[-1], {})


def as_bars(rows):
    """A page as bars by their end, once each and in order."""
    rows = np.unique(rows, axis=0)
    ends = pd.to_datetime(rows[:, 0], unit="ms", utc=True) + HOUR
    return pd.DataFrame(rows[:, 1:], index=ends, columns=list(COLUMNS))


def page(exchange, since=SINCE, limit=500, symbol="BTCUSDT"):
    """A page, asked for until it is one, and how many requests it took."""
    for tries in range(1, 9):
        try:
            rows = exchange.fetch(symbol, "1h", since, limit)
        except TransientError as refused:
            exchange.pause(refused.wait or 1.0)
            continue
        opens = rows[:, 0]
        if len(rows) and opens.min() == since.value // 10**6:
            return rows, tries
    raise AssertionError("no page in eight requests")


def answers(exchange, count=300):
    """What so many requests of the whole market bring: pages and refusals."""
    found = []
    for _ in range(count):
        try:
            found.append(exchange.fetch("BTCUSDT", "1h", SINCE, 500))
        except TransientError as refused:
            found.append(refused)
            exchange.pause(refused.wait or 1.0)
    return found


def refusals(exchange):
    """Refusal after refusal, with no pause between."""
    while True:
        try:
            exchange.fetch("BTCUSDT", "1h", SINCE, 1)
        except TransientError as refused:
            yield refused


def test_without_faults_pages_are_the_truth():
    exchange = SimulatedExchange(TRUTH, faults=0, page=70)
    parts = [exchange.fetch("BTCUSDT", "1h", SINCE + k * HOUR, 500) for k in (0, 70, 140)]
    assert [len(part) for part in parts] == [70, 70, 60]
    served = as_bars(np.concatenate(parts))
    assert (served.to_numpy() == TRUTH.bars.loc["BTCUSDT"].to_numpy()).all()
    assert (served.index == TRUTH.bars.loc["BTCUSDT"].index).all()


def test_a_page_begins_at_the_first_bar_that_opens_at_or_after_since():
    exchange = SimulatedExchange(drawn("2024-01-01 00:00", "2024-01-01 05:00"), faults=0)
    for since, opens in ((SINCE, 0), (FIRST, 0), (FIRST + HOUR / 2, 5)):
        rows = exchange.fetch("BTCUSDT", "1h", since, 1)
        assert rows[:, 0].tolist() == [(FIRST + opens * HOUR).value / 10**6]
    assert exchange.fetch("BTCUSDT", "1h", FIRST + 6 * HOUR, 9).shape == (0, 6)


def test_without_faults_a_bar_that_is_still_open_is_not_served():
    exchange = SimulatedExchange(TRUTH, faults=0, now=FIRST + 10.9 * HOUR)
    assert as_bars(exchange.fetch("BTCUSDT", "1h", SINCE, 500)).index[-1] == FIRST + 10 * HOUR


def test_the_clock_moves_by_requests_and_pauses_and_stops_at_the_end():
    exchange = SimulatedExchange(TRUTH, faults=0, now=FIRST)
    assert exchange.clock() == exchange.clock() == FIRST
    exchange.fetch("BTCUSDT", "1h", SINCE, 1)
    assert exchange.clock() == FIRST + pd.Timedelta(0.25, "s")
    exchange.pause(60.0)
    assert exchange.clock() == FIRST + pd.Timedelta(60.25, "s")
    exchange.pause(10.0**9)
    assert exchange.clock() == TRUTH.end
    assert SimulatedExchange(TRUTH).clock() == TRUTH.end


def test_bars_appear_as_time_passes():
    exchange = SimulatedExchange(TRUTH, faults=0, now=FIRST)
    counts = []
    for _ in range(3):
        counts.append(len(exchange.fetch("BTCUSDT", "1h", SINCE, 500)))
        exchange.pause(3600)
    assert counts == [1, 2, 3]


def test_news_is_given_once_it_is_known():
    news = TRUTH.news
    now = news.index[5]
    exchange = SimulatedExchange(TRUTH, now=now)
    got = exchange.news(news.index[2])
    pd.testing.assert_frame_equal(got, news[(news.index >= news.index[2]) & (news.index <= now)])
    exchange.pause(10.0**9)
    pd.testing.assert_frame_equal(exchange.news(FIRST), news)


def test_the_open_bar_is_the_last_row_and_half_done():
    opens = FIRST + 2 * HOUR
    truth = drawn("2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00")
    exchange = SimulatedExchange(truth, faults=1e-12, now=opens + HOUR / 2)
    rows = exchange.fetch("BTCUSDT", "1h", FIRST, 500)
    half = pd.Timedelta(0.25, "s") / HOUR + 0.5
    worked = [10.0, 10 + half, 10.0, 10 + half, 100 * half]
    assert rows[-1].tolist() == pytest.approx([opens.value / 10**6, *worked])
    assert len(exchange.fetch("BTCUSDT", "1h", FIRST, 2)) == 2


def test_no_bar_is_open_in_an_outage():
    truth = drawn("2024-01-01 00:00", "2024-01-01 05:00")
    exchange = SimulatedExchange(truth, faults=1e-12, now=FIRST + 3.5 * HOUR)
    assert len(exchange.fetch("BTCUSDT", "1h", FIRST, 500)) == 1
    exchange.pause(1.5 * 3600)
    assert len(exchange.fetch("BTCUSDT", "1h", FIRST, 500)) == 2


def test_a_fresh_bar_is_corrected_the_next_time_it_is_served():
    exchange = SimulatedExchange(TRUTH, faults=1.0)
    true = TRUTH.bars.loc["BTCUSDT"]
    first, again = (as_bars(page(exchange, TRUTH.end - k * HOUR)[0]) for k in (5, 6))
    changed = (first != true.loc[first.index]).any(axis=1)
    assert set(changed.index[changed]) <= set(true.index[-3:])
    assert changed.any()
    assert (again == true.loc[again.index]).all(axis=None)


def test_refusals_of_each_kind_come_at_the_stated_rate():
    found = answers(SimulatedExchange(TRUTH, faults=0.2), 2000)
    refused = [one for one in found if isinstance(one, TransientError)]
    assert 0.17 < len(refused) / len(found) < 0.22  # 0.194: a third in a row never comes
    kinds = [str(one).split(": ")[1][:3] for one in refused]
    assert {kind: kinds.count(kind) > 90 for kind in set(kinds)} == {
        "429": True,
        "503": True,
        "no ": True,
    }
    assert all((one.wait is not None) == ("429" in str(one)) for one in refused)


def test_damaged_pages_come_at_the_stated_rate():
    found = answers(SimulatedExchange(TRUTH, faults=0.2), 2000)
    pages = [one for one in found if isinstance(one, np.ndarray)]
    full = [one for one in pages if len(one)]
    empty = 1 - len(full) / len(pages)
    doubled = np.mean([len(np.unique(one[:, 0])) < len(one) for one in full])
    mixed = np.mean([(np.diff(one[:, 0]) < 0).any() for one in full])
    assert 0.06 < empty < 0.12
    assert 0.16 < doubled < 0.24
    assert 0.16 < mixed < 0.24


def test_a_useless_page_may_be_the_one_before_it():
    exchange = SimulatedExchange(TRUTH, faults=1.0, page=50)
    served = []
    for k in range(40):
        try:
            rows = exchange.fetch("BTCUSDT", "1h", SINCE + k * HOUR, 50)
            served.append(len(rows) > 0 and rows[:, 0].min() < (SINCE + k * HOUR).value / 10**6)
        except TransientError as refused:
            exchange.pause(refused.wait or 1.0)
    assert any(served)


def test_an_old_page_holds_no_bar_that_was_unsettled():
    def useless(seed):
        exchange = SimulatedExchange(TRUTH, faults=1.0, seed=seed, now=FIRST + 100.5 * HOUR)
        page(exchange)
        exchange.pause(10 * 3600)
        return next(one for one in answers(exchange, 5) if isinstance(one, np.ndarray))

    old = as_bars(next(rows for rows in map(useless, range(20)) if len(rows)))
    assert old.index[-1] == FIRST + 97 * HOUR
    assert (old == TRUTH.bars.loc["BTCUSDT"].loc[old.index]).all(axis=None)


def test_who_asks_before_the_wait_is_over_is_refused_with_what_is_left():
    exchange = SimulatedExchange(TRUTH, faults=1.0)
    told = next(one for one in refusals(exchange) if one.wait)
    with pytest.raises(TransientError, match="asked again too early") as refused:
        exchange.fetch("BTCUSDT", "1h", SINCE, 1)
    assert refused.value.wait == told.wait - 0.25


@settings(max_examples=40, deadline=None)
@given(
    faults=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 10**6),
    limit=st.integers(1, 60),
    skip=st.integers(0, 199),
)
def test_six_requests_bring_a_page_that_begins_where_it_was_asked(faults, seed, limit, skip):
    exchange = SimulatedExchange(TRUTH, faults=faults, seed=seed, page=40)
    for symbol in ("BTCUSDT", "ETHUSDT", "BTCUSDT"):
        rows, tries = page(exchange, SINCE + skip * HOUR, limit, symbol)
        assert tries <= 6
        assert 1 <= len(rows) <= min(limit, 40)
        bars = as_bars(rows)
        check(bars.rename_axis("time"))
        older = bars[bars.index <= TRUTH.end - 3 * HOUR]
        assert (older == TRUTH.bars.loc[symbol].loc[older.index]).all(axis=None)


def test_the_same_requests_get_the_same_answers():
    def told(seed):
        found = answers(SimulatedExchange(TRUTH, faults=0.4, seed=seed), 60)
        return [one.tobytes() if isinstance(one, np.ndarray) else str(one) for one in found]

    assert told(9) == told(9)
    assert told(9) != told(10)


def test_what_is_done_to_a_page_does_not_reach_the_truth():
    exchange = SimulatedExchange(TRUTH, faults=0)
    exchange.fetch("BTCUSDT", "1h", SINCE, 10)[:] = 0
    assert as_bars(exchange.fetch("BTCUSDT", "1h", SINCE, 10)).to_numpy().min() > 0


def test_its_name_tells_markets_apart_but_not_their_lengths():
    name = SimulatedExchange(TRUTH).name
    assert name.startswith("simulator-")
    assert len(name) == len("simulator-") + 8
    longer = made(300, ["BTCUSDT"], outages=0)
    assert SimulatedExchange(longer, now=FIRST).name == name
    others = [SimulatedExchange(made()), SimulatedExchange(TRUTH, faults=0.2)]
    others.append(SimulatedExchange(TRUTH, seed=1))
    assert len({name, *(other.name for other in others)}) == 4


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [("BTCUSDT", "BTC", "USDT"), ("ETH/EUR", "ETH", "EUR"), ("ETHBTC", "ETH", "BTC")]
    + [("USDT", "USDT", "USD"), ("ACME", "ACME", "USD")],
)
def test_base_and_quote_follow_from_the_name(symbol, base, quote):
    exchange = SimulatedExchange(made(2, [symbol]))
    assert exchange.market(symbol) == Market(symbol, base, quote)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("BTCUSD", "1h", SINCE, 1), "has no 'BTCUSD'; did you mean 'BTCUSDT'"),
        (("XYZ", "1h", SINCE, 1), "it has BTCUSDT, ETHUSDT"),
        (("BTCUSDT", "1m", SINCE, 1), "has 1h bars only, not 1m"),
        (("BTCUSDT", "1h", SINCE, 0), "at least 1 bar, was 0"),
    ],
)
def test_refuses_what_it_does_not_have(asked, says):
    with pytest.raises(ParamsError, match=says):
        SimulatedExchange(TRUTH, faults=1.0).fetch(*asked)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"faults": 1.5}, "faults is a chance from 0 to 1, was 1.5"),
        ({"page": 0}, "page must be at least 1 bar, was 0"),
        ({"now": TRUTH.end + HOUR}, "now must not be after the market's end"),
    ],
)
def test_refuses_settings_out_of_range(options, says):
    with pytest.raises(ParamsError, match=says):
        SimulatedExchange(TRUTH, **options)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(("faults", "seed"), [(0.0, 0), (0.15, 1), (0.4, 2), (1.0, 3)])
def test_what_is_collected_is_the_truth(store, faults, seed):
    truth = made(700, outages=0.01)
    now = FIRST + 500.3 * HOUR
    exchange = SimulatedExchange(truth, faults=faults, seed=seed, now=now, page=90)
    for _ in range(3):  # at the start, at the end, and once more for late corrections
        collect(exchange, store, SYMBOLS, "1h", since=SINCE, progress=False)
        exchange.pause(10.0**6)
    for symbol in SYMBOLS:
        got = store.read_bars(symbol, "1h", source=exchange.name)
        pd.testing.assert_frame_equal(got, truth.bars.loc[symbol], check_exact=True)


def test_what_was_served_too_early_is_a_revision(store):
    exchange = SimulatedExchange(TRUTH, faults=1.0, now=TRUTH.end - 50 * HOUR)
    for _ in range(10):
        collect(exchange, store, ["BTCUSDT"], "1h", since=SINCE, progress=False)
        exchange.pause(4 * 3600)
    replaced = store.revisions("BTCUSDT", "1h", source=exchange.name)
    assert len(replaced) > 3
    true = TRUTH.bars.loc["BTCUSDT"].loc[replaced["time"]]
    assert (replaced["volume"].to_numpy() < true["volume"].to_numpy()).all()


def test_its_news_is_stored_once_each(store):
    exchange = SimulatedExchange(TRUTH)
    news = exchange.news(FIRST)
    items = news.groupby(["source", "key"]).ngroups
    assert store.write_news(news, scorer="none") == items
    assert store.write_news(exchange.news(FIRST), scorer="none") == 0
