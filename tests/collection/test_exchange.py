"""An exchange through ccxt, asked on the loopback: what it serves, and how it refuses."""

from urllib.parse import urlsplit

import pandas as pd
import pytest

from signalkit.collection.exchange import Exchange
from signalkit.collection.source import Market, TransientError
from signalkit.errors import ParamsError, SourceError
from tests.collection.binance_server import BinanceServer, walk

SINCE = pd.Timestamp("2024-01-01", tz="UTC")
ASKED = ("BTCUSDT", "1h", SINCE)


@pytest.fixture
def server():
    serving = BinanceServer({"BTCUSDT": walk(30), "ETHUSDT": walk(30, seed=1)})
    yield serving
    serving.close()


def exchange(url):
    """Binance at an address, without the pauses that its real hosts ask for."""
    made = Exchange("binance", url=url)
    made.client.enableRateLimit = False
    return made


@pytest.fixture
def binance(server):
    made = exchange(server.url)
    yield made
    made.close()


def test_bars_come_as_they_are_served_the_open_one_too(server, binance):
    rows = binance.fetch(*ASKED, 100)
    assert rows.shape == (31, 6)
    assert (rows[:30, 1:] == server.bars["BTCUSDT"].to_numpy()).all()
    assert rows[0, 0] == SINCE.value / 10**6
    assert rows[30, 0] == (server.now - pd.Timedelta(30, "min")).value / 10**6


def test_no_row_of_a_page_is_dropped_unseen(server, binance):
    server.faults = ["two versions"]
    assert len(binance.fetch(*ASKED, 1)) == 2


def test_only_spot_markets_are_asked_for(server, binance):
    assert binance.market("BTCUSDT") == Market("BTCUSDT", "BTC", "USDT")
    binance.market("ETHUSDT")
    assert server.paths == ["/api/v3/exchangeInfo"]


def test_a_symbol_may_be_the_id_or_base_and_quote(binance, monkeypatch):
    binance.market("BTCUSDT")
    listed = {"BTC/USDT": {"id": "btc-usdt", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT"}}
    listed["BTC/USDT"]["spot"] = True
    monkeypatch.setattr(binance, "_markets", {})
    monkeypatch.setattr(binance.client, "markets", listed)
    assert binance.market("btc-usdt").base == "BTC"
    assert binance.market("BTCUSDT") == Market("BTCUSDT", "BTC", "USDT")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda binance: Exchange("binanc"), "no exchange is called 'binanc'; .* 'binance'"),
        (lambda binance: Exchange("kraken", url="127.0.0.1:80"), "url must be an address"),
        (lambda binance: binance.market("BTCUSD"), "no 'BTCUSD'; did you mean 'BTCUSDT'"),
        (lambda binance: binance.market("ethusdt"), "no 'ethusdt'; did you mean 'ETHUSDT'"),
        (lambda binance: binance.fetch("BTCUSDT", "7h", SINCE, 1), "no 7h bars; it has 1m, 3m, "),
        (lambda binance: binance.fetch("BTCUSDT", "hour", SINCE, 1), "interval must be a count"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(binance, call, says):
    with pytest.raises(ParamsError, match=says):
        call(binance)


def hosts(bases):
    """Host and path of every base of an exchange."""
    if isinstance(bases, dict):
        return [found for base in bases.values() for found in hosts(base)]
    return [(urlsplit(bases).netloc, urlsplit(bases).path)]


@pytest.mark.parametrize("name", ["binance", "okx", "bybit", "gate", "kraken", "coinbase"])
def test_every_base_moves_to_the_url_and_keeps_its_path(name):
    own = hosts(Exchange(name).client.urls["api"])
    moved = hosts(Exchange(name, url="http://127.0.0.1:9").client.urls["api"])
    assert moved == [("127.0.0.1:9", path) for _, path in own]


def test_a_path_of_the_url_comes_before_the_exchange_s():
    moved = Exchange("binance", url="https://mirror.example/spot/")
    assert moved.client.urls["api"]["public"] == "https://mirror.example/spot/api/v3"


def test_the_clock_is_the_exchange_s_own(server, binance):
    server.now = pd.Timestamp("2024-01-02 03:04:05.678", tz="UTC")
    assert binance.clock() == server.now


def told_at_last(binance):
    """The time, which is asked for some times before the exchange is taken to have none."""
    for _ in range(10):
        try:
            return binance.clock()
        except TransientError:
            continue
    return None


def test_one_refusal_of_the_time_is_no_reason_to_go_by_another_clock(server, binance):
    server.has_time = False
    with pytest.raises(TransientError):
        binance.clock()


def test_a_server_without_time_tells_it_by_the_date_of_its_answer(server, binance):
    server.has_time = False
    server.now = pd.Timestamp("2024-01-02 03:04:05.678", tz="UTC")
    found = told_at_last(binance)
    assert pd.Timestamp("2024-01-02 03:04:05", tz="UTC") <= found
    assert found < pd.Timestamp("2024-01-02 03:05", tz="UTC")


def test_the_local_clock_is_the_last_resort():
    binance = exchange("http://127.0.0.1:1")
    before = pd.Timestamp.now("UTC")
    assert before <= told_at_last(binance) <= pd.Timestamp.now("UTC")


@pytest.mark.parametrize(
    ("fault", "wait", "says"),
    [
        ("429", 7.0, "binance refused 1h bars of BTCUSDT from 2024-01-01 00:00Z: .*429"),
        ("418", 7.0, "418"),
        ("500", None, "An unknown error"),
        ("cut", None, "refused 1h bars .*IncompleteRead"),
        ("html", None, "answered something else: '<html>come back later</html>'"),
        ("half json", None, r"answered something else: '\[\[1704067200000"),
    ],
)
def test_a_refusal_that_may_pass_says_so_with_its_pause(server, binance, fault, wait, says):
    binance.market("BTCUSDT")
    server.faults = [fault]
    with pytest.raises(TransientError, match=says) as refused:
        binance.fetch(*ASKED, 100)
    assert refused.value.wait == wait
    assert len(binance.fetch(*ASKED, 100)) == 31


@pytest.mark.parametrize(
    ("told", "wait"),
    [("0.5", 0.5), ("-3", 0.0), ("soon", None), ("Fri, 01 Mar 2024 00:02:00 GMT", 120.0)],
)
def test_the_pause_is_read_in_seconds_or_as_a_date(server, binance, told, wait):
    server.now = pd.Timestamp("2024-03-01", tz="UTC")
    server.faults, server.retry_after = ["429"], told
    with pytest.raises(TransientError) as refused:
        binance.fetch(*ASKED, 100)
    assert refused.value.wait == wait


def test_a_broken_connection_has_not_the_pause_of_the_refusal_before_it(server, binance):
    server.faults = ["429", "cut"]
    for wait in (7.0, None):
        with pytest.raises(TransientError) as refused:
            binance.fetch(*ASKED, 100)
        assert refused.value.wait == wait


def test_markets_that_come_as_a_web_page_may_come_later(server, binance):
    server.has_markets = False
    with pytest.raises(TransientError, match=r"its list of markets .*'<html>maintenance</html>'"):
        binance.market("BTCUSDT")
    server.has_markets = True
    assert binance.market("BTCUSDT").quote == "USDT"


def test_a_symbol_that_is_gone_is_refused_for_good(server, binance):
    binance.market("BTCUSDT")
    server.bars = {"ETHUSDT": server.bars["ETHUSDT"]}
    with pytest.raises(SourceError, match=r"binance refused 1h bars of BTCUSDT .*Invalid symbol"):
        binance.fetch(*ASKED, 100)
    with pytest.raises(SourceError) as refused:
        binance.fetch(*ASKED, 100)
    assert not isinstance(refused.value, TransientError)


def test_nobody_at_the_address_is_a_refusal_that_may_pass():
    with pytest.raises(TransientError, match=r"its list of markets: .*127\.0\.0\.1"):
        exchange("http://127.0.0.1:1").market("BTCUSDT")


def test_an_address_that_is_no_exchange_is_named(server):
    with pytest.raises(SourceError, match=r"binance refused its list of markets: .*404"):
        exchange(f"{server.url}/nowhere").market("BTCUSDT")


@pytest.mark.parametrize("answer", [{"rows": 1}, {"rows": []}, "closed", [None], [7, 8]])
def test_json_without_rows_is_no_page_of_bars(server, binance, monkeypatch, answer):
    binance.market("BTCUSDT")
    monkeypatch.setattr(server, "answer", lambda symbol, query: ("nothing", answer))
    with pytest.raises(TransientError, match=r"1h bars of BTCUSDT .* answered something else"):
        binance.fetch(*ASKED, 100)


def test_a_cell_that_is_no_number_is_handed_on_as_none(server, binance):
    binance.market("BTCUSDT")
    server.faults = ["no number"]
    assert pd.isna(binance.fetch(*ASKED, 100)).sum() == 1


def test_a_time_that_is_refused_once_is_asked_for_again(server, binance):
    server.has_time = False
    with pytest.raises(TransientError):
        binance.clock()
    server.has_time = True
    assert binance.clock() == server.now


@pytest.mark.parametrize("told", [0, 1_704_067_200, -1, 10**19, None])
def test_a_time_that_is_none_is_refused(binance, monkeypatch, told):
    monkeypatch.setattr(binance.client, "fetch_time", lambda: told)
    with pytest.raises(TransientError, match="asked for its time and answered something else"):
        binance.clock()


def test_a_time_told_before_goes_before_the_date_of_an_answer(server, binance):
    told = binance.clock()
    server.has_time = False
    server.now += pd.Timedelta(5, "h")  # as the date of a proxy whose clock is wrong
    assert told <= binance.clock() < told + pd.Timedelta(1, "min")


def test_an_address_that_cannot_be_read_is_named():
    with pytest.raises(ParamsError, match=r"url 'http://\[::1' is no address"):
        Exchange("binance", url="http://[::1")
