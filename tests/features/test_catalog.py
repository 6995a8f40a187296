"""catalog.py: what every feature of the catalogue must keep, and what register lets in."""

import numpy as np
import pandas as pd
import pytest

from signalkit import causality, collection
from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.features import CATALOG, Feature, build, register

OF_BARS = [name for name, feature in CATALOG.items() if not feature.reads_news]
# their averages forget a bar by and by, not at once
RECURSIVE = {
    name for name in OF_BARS if name.split("_")[0] in {"rsi", "macd", "atr", "adx", "di", "ema"}
}


@pytest.fixture
def mine():
    """A name that leaves the catalogue again after the test."""
    yield "mine"
    CATALOG.pop("mine", None)


def scaled(bars, price=7.0, volume=1000.0):
    factors = {"open": price, "high": price, "low": price, "close": price, "volume": volume}
    return bars.mul(pd.Series(factors))[list(bars.columns)]


def spiked(bars, at, factor=100.0):
    """The bars with one whose high, close and volume are wild."""
    out = bars.copy()
    out.iloc[at, out.columns.get_indexer(["high", "close", "volume"])] *= factor
    out.iloc[at, out.columns.get_loc("high")] = out.iloc[at][["open", "high", "close"]].max()
    return out


@pytest.mark.parametrize("name", CATALOG)
def test_feature_never_reads_the_future(name):
    found = CATALOG[name].proof()
    assert found.probes >= 20
    assert found.passed, found


@pytest.mark.parametrize("name", OF_BARS)
def test_feature_never_reads_the_future_of_the_sample(name):
    bars = collection.load("sample", ["SP500"], "1d").loc["SP500"].iloc[:600]
    assert causality.check(lambda bars: build(bars, [name]), bars, at=[70, 300, 598]).passed


@pytest.mark.parametrize("name", OF_BARS)
def test_units_of_price_and_volume_do_not_matter(name):
    bars = causality.probe_bars()
    before, after = build(bars, [name]), build(scaled(bars), [name])
    pd.testing.assert_frame_equal(after, before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", OF_BARS)
def test_warm_up_is_exactly_as_stated(name):
    got = build(causality.probe_bars(200), [name])[name]
    assert np.flatnonzero(got.isna()).tolist() == list(range(CATALOG[name].warmup))
    assert np.isfinite(got.iloc[CATALOG[name].warmup :]).all()


@pytest.mark.parametrize("name", OF_BARS)
def test_feature_forgets_a_wild_bar(name):
    bars, at = causality.probe_bars(900), 150
    calm, wild = build(bars, [name])[name], build(spiked(bars, at), [name])[name]
    assert np.isfinite(wild.iloc[CATALOG[name].warmup :]).all()
    pd.testing.assert_series_equal(wild.iloc[:at], calm.iloc[:at], check_exact=True)
    if name in RECURSIVE:
        # Wilder's average keeps (13/14)^n of a bar: 1e-19 after 600 bars
        pd.testing.assert_series_equal(wild.iloc[at + 600 :], calm.iloc[at + 600 :], rtol=1e-9)
    else:
        rest = at + CATALOG[name].warmup + 1
        pd.testing.assert_series_equal(wild.iloc[rest:], calm.iloc[rest:], check_exact=True)


@pytest.mark.parametrize("name", CATALOG)
def test_entry_says_what_it_is(name):
    entry = CATALOG[name]
    assert entry.name == name
    assert "" not in (entry.family, entry.unit, entry.description, entry.source)
    assert len(entry.digest()) == 64


def test_sources_tell_features_apart():
    assert len({entry.digest() for entry in CATALOG.values()}) == len(CATALOG)


@pytest.mark.parametrize(
    "leak",
    [
        lambda bars: bars["close"].shift(-1) / bars["close"] - 1,
        lambda bars: bars["close"] / bars["close"].mean(),
        lambda bars: (bars["close"] - bars["close"].min()) / bars["close"],
        lambda bars: bars["close"].pct_change().rolling(5, center=True).mean(),
        lambda bars: bars["close"].rank(pct=True),
        lambda bars: bars["volume"].div(bars["volume"].iloc[-1] + 1),
        lambda bars: bars["close"].pct_change().bfill(),
    ],
    ids=["tomorrow", "mean", "minimum", "centred", "rank", "last volume", "backfill"],
)
def test_register_refuses_a_function_that_reads_the_future(mine, leak):
    with pytest.raises(LeakError, match="feature mine reads the future: at 2024-"):
        register(leak, name=mine, family="own", warmup=50)
    assert mine not in CATALOG


@pytest.mark.parametrize(
    ("honest", "warmup"),
    [
        (lambda bars: bars["close"].pct_change(), 1),
        (lambda bars: bars["close"] / bars["close"].rolling(10).mean(), 9),
        (lambda bars: bars["close"] / bars["close"].cummax(), 0),
        (lambda bars: bars["close"].pct_change().ewm(span=5).mean().fillna(0.0), 0),
    ],
)
def test_register_accepts_an_honest_function(mine, honest, warmup):
    entry = register(honest, name=mine, family="own", warmup=warmup, unit="ratio")
    bars = causality.probe_bars(60)
    assert CATALOG[mine] == entry
    assert (entry.family, entry.warmup, entry.unit) == ("own", warmup, "ratio")
    np.testing.assert_array_equal(build(bars, [mine])[mine], honest(bars))


def test_a_long_window_is_proved_where_it_has_values(mine):
    assert CATALOG["return_700"].proof().passed
    assert np.isfinite(CATALOG["return_700"].function(causality.enough_bars(700))).sum() == 700

    def leak(bars):
        return (bars["close"].shift(-1) / bars["close"].shift(600)).where(
            np.arange(len(bars)) >= 600
        )

    with pytest.raises(LeakError, match="feature mine reads the future"):
        register(leak, name=mine, family="own", warmup=600)


def test_register_refuses_a_name_that_is_taken(mine):
    with pytest.raises(ParamsError, match="has a feature 'rsi_14' already"):
        register(lambda bars: bars["close"] * 0, name="rsi_14", family="own", warmup=0)


def test_register_refuses_a_warm_up_that_is_too_short(mine):
    with pytest.raises(ParamsError, match="mine has no value for 9 bars; warmup says 5"):
        register(lambda bars: bars["close"].rolling(10).mean(), name=mine, family="o", warmup=5)


def test_register_refuses_a_warm_up_that_the_function_does_not_show(mine):
    with pytest.raises(ParamsError):
        register(lambda bars: bars["close"].pct_change(), name=mine, family="own", warmup=5)


@pytest.mark.parametrize("warmup", [-1, 10**9])
def test_register_refuses_a_warm_up_that_cannot_be(mine, warmup):
    with pytest.raises(ParamsError, match=f"warmup is 0 to 100000 bars, was {warmup}"):
        register(lambda bars: bars["close"] * 0, name=mine, family="own", warmup=warmup)


def test_register_refuses_what_is_no_column(mine):
    with pytest.raises(DataError, match="Series or DataFrame"):
        register(lambda bars: 1.0, name=mine, family="own", warmup=0)
    assert mine not in CATALOG


def test_functions_of_one_source_that_give_other_numbers_have_other_identities(mine):
    def lagged(span):
        return lambda bars: bars["close"].pct_change(span)

    one = Feature(mine, "own", 1, "ratio", "", lagged(1))
    other = Feature(mine, "own", 5, "ratio", "", lagged(5))
    assert one.digest() != other.digest()
    assert one.digest() == Feature(mine, "own", 1, "ratio", "", lagged(1)).digest()
