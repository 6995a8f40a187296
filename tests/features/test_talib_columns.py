"""talib_columns.py: every function of TA-Lib is swept, or refused by name.

The oracle is TA-Lib's abstract interface, which finds its own inputs and outputs. What is done
to an output is written out below, so a change of it is seen.
"""

import re

import numpy as np
import pandas as pd
import pytest
import talib
from talib import abstract

from signalkit import causality, collection
from signalkit.errors import ParamsError
from signalkit.features.talib_columns import compute, describe, parse, talib_names


def words(text):
    return set(text.split())


# no fixed power of price
BENT = words("ATAN CEIL COS COSH EXP FLOOR LINEARREG_ANGLE LN LOG10 SIN SINH TAN TANH")
REFUSED = dict.fromkeys(BENT, "no fixed power of price") | {
    "ACOS": "nan at ordinary prices",
    "ASIN": "nan at ordinary prices",
    "CUMSUM": "1 at every bar",
    "SQRT": "1 at every bar",
    "MAVP": "reads a column 'periods'",
    "VWAP": "depends on the first bar for ever",
}
ACCEPTED = sorted(set(talib.get_functions()) - set(REFUSED))

# log of close over the output
LOG = words(
    """ACCBANDS.upperband ACCBANDS.middleband AVGPRICE BBANDS.upperband BBANDS.middleband
    DONCHIAN.upperband DONCHIAN.middleband DONCHIAN.lowerband EMA HA.haopen HA.hahigh HA.halow
    HA.haclose HT_TRENDLINE KAMA KC.upperband KC.middleband MA MAMA.mama MAMA.fama MAX MEDPRICE
    MIDPOINT MIDPRICE MIN MINMAX.min MINMAX.max PERCENTILE RMA SAR SMA TRIMA TYPPRICE VWMA
    WCLPRICE WMA"""
)
# close less the output, over close: those that can fall below nothing
GAP = words(
    """ACCBANDS.lowerband BBANDS.lowerband DEMA HMA KC.lowerband LINEARREG LINEARREG_INTERCEPT
    SUPERTREND.supertrend T3 TEMA TSF ZLEMA"""
)
AGE = {"MAXINDEX", "MININDEX", "MINMAXINDEX.minidx", "MINMAXINDEX.maxidx"}
CHANGE = {"AD", "OBV", "PVT", "WAD"}
GROWTH = {"NVI", "PVI"}
# powers of close and of mean volume that the rest is divided by, other than none
POWERS = dict.fromkeys(
    words(
        """AC ADD ADR AO APO ATR AVGDEV DPO ERI.bearpower ERI.bullpower HT_PHASOR.inphase
    HT_PHASOR.quadrature LINEARREG_SLOPE MACD.macd MACD.macdhist MACD.macdsignal MACDEXT.macd
    MACDEXT.macdhist MACDEXT.macdsignal MACDFIX.macd MACDFIX.macdhist MACDFIX.macdsignal MINUS_DM
    MOM PLUS_DM QSTICK SAREXT STDDEV SUB SUM TRANGE WAD"""
    ),
    (1, 0),
) | {"MULT": (2, 0), "VAR": (2, 0), "AD": (0, 1), "OBV": (0, 1), "PVT": (0, 1)}
POWERS |= {"ADOSC": (0, 1), "EFI": (1, 1), "MARKETFI": (1, -1)}


@pytest.fixture(scope="module")
def bars():
    return causality.probe_bars(700)


def scaled(bars, price, volume):
    factors = dict.fromkeys(("open", "high", "low", "close"), price) | {"volume": volume}
    return bars * pd.Series(factors)


def matrix(bars, names):
    return pd.DataFrame({name: compute(name, bars) for name in names}, index=bars.index)


def own_outputs(function, bars, **parameters):
    """TA-Lib's raw outputs by its abstract interface, as FUNCTION.output or FUNCTION."""
    info = abstract.Function(function)
    given = info({name: bars[name].to_numpy() for name in bars}, **parameters)
    if len(info.output_names) == 1:
        return {function: np.asarray(given, dtype=float)}
    outs = zip(info.output_names, given, strict=True)
    return {f"{function}.{name}": np.asarray(out, dtype=float) for name, out in outs}


def expected(output, raw, bars):
    """What the column of a raw output must be, from the tables above."""
    close, volume = bars["close"].to_numpy(), bars["volume"]
    if output.startswith("CDL"):
        return raw / 100
    if output in LOG | GAP:
        return np.log(close / raw) if output in LOG else (close - raw) / close
    if output in AGE:
        return np.arange(len(raw)) - raw
    if output in CHANGE | GROWTH:
        raw = np.diff(np.log(raw) if output in GROWTH else raw, prepend=np.nan)
    price, traded = POWERS.get(output, (0, 0))
    return raw / close**price / (volume.rolling(20).mean().to_numpy() ** traded if traded else 1)


@pytest.mark.parametrize("function", ACCEPTED)
def test_column_is_talibs_raw_output_but_for_its_scale(function, bars):
    names, raws = talib_names({"function": function}), own_outputs(function, bars)
    assert len(names) == len(raws)
    for name, (output, raw) in zip(names, raws.items(), strict=True):
        got, settled = compute(name, bars), describe(name).warmup
        wanted = expected(output, raw, bars)[settled:]
        size = np.abs(wanted).max()
        np.testing.assert_allclose(got[settled:], wanted, rtol=1e-9, atol=1e-9 * size)


@pytest.mark.parametrize("function", ACCEPTED)
def test_column_is_blank_for_its_warm_up_and_finite_from_there(function, bars):
    lookback = abstract.Function(function).lookback
    for name in talib_names({"function": function}):
        got, warmup = compute(name, bars), describe(name).warmup
        assert warmup >= lookback
        assert np.isnan(got[:warmup]).all()
        assert np.isfinite(got[warmup:]).all()


@pytest.mark.parametrize("group", talib.get_function_groups())
def test_columns_read_no_future(group):
    functions = [f for f in talib.get_function_groups()[group] if f in ACCEPTED]
    names = [name for function in functions for name in talib_names({"function": function})]
    found = causality.check(lambda bars: matrix(bars, names))
    assert (found.column, found.difference) == (None, 0.0)


def test_functions_swept_are_all_that_talib_has():
    grouped = [f for functions in talib.get_function_groups().values() for f in functions]
    assert sorted(grouped) == sorted([*ACCEPTED, *REFUSED])


def test_slowest_averages_are_seen_to_forget_their_first_bar():
    slow = {"function": "MAMA", "fastlimit": 0.01, "slowlimit": 0.01}
    assert [describe(name).unit for name in talib_names(slow)] == ["log ratio"] * 2
    for function in ("KAMA", "RMA", "TRIX", "T3"):
        (name,) = talib_names({"function": function, "timeperiod": 400})
        assert "change" not in describe(name).description


@pytest.mark.parametrize(
    ("price", "volume"), [(7.0, 1.0), (1.0, 1000.0), (7.0, 1000.0), (1e-9, 1e-9), (1e6, 1e9)]
)
@pytest.mark.parametrize("function", ACCEPTED)
def test_column_is_free_of_scale(function, price, volume, bars):
    names = talib_names({"function": function})
    before, after = matrix(bars, names), matrix(scaled(bars, price, volume), names)
    assert ((before - after).abs().max() <= 1e-9 * before.abs().max()).all()


@pytest.mark.parametrize("function", sorted(REFUSED))
def test_function_without_a_rule_is_refused_with_the_reason(function):
    with pytest.raises(ParamsError, match=REFUSED[function]):
        talib_names({"function": function})


def test_every_warm_up_is_talibs_lookback_but_where_a_change_or_volume_asks_for_more():
    longer = {}
    for function in ACCEPTED:
        for name in talib_names({"function": function}):
            more = describe(name).warmup - abstract.Function(function).lookback
            longer |= {function: more} if more else {}
    # 19: the mean volume of 20 bars; 1: a change
    assert longer == {
        "AD": 19,
        "ADOSC": 10,
        "EFI": 6,
        "MARKETFI": 19,
        "NVI": 1,
        "OBV": 19,
        "PVI": 1,
        "PVT": 19,
        "WAD": 1,
    }


def test_names_are_letters_digits_and_underscores_one_a_column():
    names = [name for function in ACCEPTED for name in talib_names({"function": function})]
    assert all(re.fullmatch(r"talib_[A-Za-z0-9_]+", name) for name in names)
    assert len(set(names)) == len(names) == 215


@pytest.mark.parametrize("function", ACCEPTED)
def test_name_alone_gives_the_call_again(function):
    for place, name in enumerate(talib_names({"function": function})):
        call, found = parse(name)
        asked = {"function": call.function, **dict(call.parameters)}
        assert (call.function, found) == (function, place)
        assert dict(call.parameters) == dict(abstract.Function(function).parameters)
        assert talib_names(asked)[place] == name


def test_names_spell_out_every_parameter():
    assert talib_names({"function": "AROON", "timeperiod": 25}) == [
        "talib_AROON_timeperiod_25_aroondown",
        "talib_AROON_timeperiod_25_aroonup",
    ]
    assert talib_names({"function": "RSI"}) == talib_names({"function": "RSI", "timeperiod": 14})
    odd = {"function": "BBANDS", "timeperiod": 10, "nbdevup": 1e-5, "nbdevdn": -1.5}
    assert (
        talib_names(odd)[2]
        == "talib_BBANDS_timeperiod_10_nbdevup_1em05_nbdevdn_m1p5_matype_0_lowerband"
    )
    assert dict(parse(talib_names(odd)[2])[0].parameters)["nbdevup"] == 1e-5


def test_parameters_reach_talib(bars):
    given = {"timeperiod": 10, "nbdevup": 1.5, "nbdevdn": 3, "matype": 1}
    close = bars["close"].to_numpy()
    raw = talib.BBANDS(close, 10, 1.5, 3.0, 1)[0]
    got = compute(talib_names({"function": "BBANDS", **given})[0], bars)
    np.testing.assert_allclose(close / np.exp(got), raw, rtol=1e-9)


@pytest.mark.parametrize("matype", range(9))
def test_every_kind_of_average_is_taken(matype, bars):
    (name,) = talib_names({"function": "MA", "timeperiod": 12, "matype": matype})
    got, warmup = compute(name, bars), describe(name).warmup
    assert np.isfinite(got[warmup:]).all()
    assert np.abs(got[warmup:]).max() < 1


def test_other_columns_can_be_named_as_inputs(bars):
    asked = {"function": "CORREL", "price0": "close", "price1": "volume"}
    (name,) = talib_names(asked)
    assert name == "talib_CORREL_price0_close_price1_volume_timeperiod_30"
    raw = talib.CORREL(bars["close"].to_numpy(), bars["volume"].to_numpy(), 30)
    np.testing.assert_allclose(compute(name, bars), raw, rtol=1e-9, atol=1e-9)
    (average,) = talib_names({"function": "SMA", "price": "volume"})
    ratio = bars["volume"].rolling(30).mean() / bars["volume"].rolling(20).mean()
    np.testing.assert_allclose(compute(average, bars), ratio, rtol=1e-9)
    assert describe(average).description == (
        "TA-Lib SMA(price volume, timeperiod 30) over (mean volume of 20 bars)"
    )


@pytest.mark.parametrize(
    ("name", "unit", "meaning"),
    [
        ("talib_RSI_timeperiod_14", "TA-Lib's own", "TA-Lib RSI(timeperiod 14)"),
        ("talib_SMA_timeperiod_30", "log ratio", "log of close over TA-Lib SMA(timeperiod 30)"),
        (
            "talib_VAR_timeperiod_5_nbdev_1",
            "multiples of close^2",
            "TA-Lib VAR(timeperiod 5, nbdev 1) over close^2",
        ),
        (
            "talib_OBV",
            "multiples of (mean volume of 20 bars)",
            "change from bar to bar of TA-Lib OBV() over (mean volume of 20 bars)",
        ),
        ("talib_MAXINDEX_timeperiod_30", "bars", "bars since TA-Lib MAXINDEX(timeperiod 30)"),
        ("talib_CDLDOJI", "-1 to 1, or 2 when confirmed", "mark of TA-Lib CDLDOJI() over 100"),
    ],
)
def test_description_says_what_was_done(name, unit, meaning):
    said = describe(name)
    assert (said.family, said.unit, said.description) == ("talib", unit, meaning)
    assert said.source == f"TA-Lib {parse(name)[0].function}"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"function": "aroon"}, "no function 'AROON'; did you mean 'AROON'"),
        ({"function": "AROONS"}, "no function 'AROONS'; did you mean 'AROON'"),
        ({"timeperiod": 3}, "an entry names its function"),
        ("RSI", "an entry names its function"),
        ({"function": "RSI", "timeperiods": 3}, "'timeperiods'; did you mean 'timeperiod'"),
        ({"function": "OBV", "timeperiod": 3}, "no parameter 'timeperiod'; there are price"),
        ({"function": "BOP", "span": 3}, "no parameter 'span'; there are none"),
        ({"function": "RSI", "timeperiod": 0}, "timeperiod=0 is out of TA-Lib's range"),
        ({"function": "RSI", "timeperiod": 10**12}, "out of TA-Lib's range"),
        ({"function": "MA", "matype": 99}, "matype=99 is out of .*; its default is 0"),
        ({"function": "BBANDS", "nbdevup": float("nan")}, "nbdevup=nan is out of TA-Lib's range"),
        ({"function": "RSI", "timeperiod": 2.0}, "is a whole number, was 2.0"),
        ({"function": "RSI", "timeperiod": True}, "is a whole number, was True"),
        ({"function": "SAR", "maximum": "0.2"}, "is a number, was '0.2'"),
        ({"function": "SMA", "price": "typical"}, "reads price from one of .*, was 'typical'"),
        ({"function": "SMA", "timeperiod": 1}, "is 0 at every bar"),
        ({"function": "SAREXT", "startvalue": 5.0}, "no fixed power of price"),
        ({"function": "LN", "price": "volume"}, "nan|inf|no fixed power of volume"),
    ],
)
def test_refuses_what_talib_does_not_take(asked, says):
    with pytest.raises(ParamsError, match=says):
        talib_names(asked)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rsi_14", "names no TA-Lib function"),
        ("talib_RSIS", "names no TA-Lib function"),
        ("talib_RSI", "no full column name; did you mean 'talib_RSI_timeperiod_14'"),
        ("talib_RSI_timeperiod_14_real", "did you mean 'talib_RSI_timeperiod_14'"),
        ("talib_RSI_timeperiod_014", "did you mean 'talib_RSI_timeperiod_14'"),
        ("talib_RSI_timeperiod_x", "has 'x' for a number; write '14'"),
        ("talib_AROON_timeperiod_25", "did you mean 'talib_AROON_timeperiod_25_aroon"),
        ("talib_AROON_timeperiod_25_down", "did you mean 'talib_AROON_timeperiod_25_aroondown'"),
    ],
)
def test_refuses_a_name_it_did_not_give(name, says):
    with pytest.raises(ParamsError, match=says):
        describe(name)


@pytest.mark.parametrize("function", ACCEPTED)
def test_run_without_volume_leaves_every_value_finite_and_then_all_recover(function, bars):
    dry = bars.copy()
    dry.iloc[200:350, dry.columns.get_loc("volume")] = 0.0
    for name in talib_names({"function": function}):
        warmup, before, after = describe(name).warmup, compute(name, bars), compute(name, dry)
        assert np.isfinite(after[warmup:]).all()
        assert np.isfinite(compute(name, bars.assign(volume=0.0))[warmup:]).all()
        size = np.nanmax(np.abs(before))
        # the slowest, an exponential mean of 26 bars, halves what it knows in 9
        assert np.abs(before[650:] - after[650:]).max() <= 1e-6 * size


def test_mean_over_a_window_without_volume_is_at_the_close(bars):
    dry = bars.copy()
    dry.iloc[200:350, dry.columns.get_loc("volume")] = 0.0
    raw = own_outputs("VWMA", dry)["VWMA"][240:350]
    # TA-Lib divides what rounding left of the sums: no mean of any of these prices
    assert not ((raw > dry["low"].min()) & (raw < dry["high"].max())).any()
    assert (compute("talib_VWMA_timeperiod_30", dry)[240:350] == 0).all()
    assert compute("talib_VWMA_timeperiod_30", dry)[350] == 0  # all its volume is this bar's


def test_volume_beside_a_window_without_any_is_nothing_not_endless(bars):
    dry = bars.copy()
    dry.iloc[200:350, dry.columns.get_loc("volume")] = 0.0
    assert not abs(own_outputs("RVOL", dry)["RVOL"][350]) < 1e6
    assert (compute("talib_RVOL_timeperiod_20", dry)[220:351] == 0).all()
    assert compute("talib_RVOL_timeperiod_20", dry)[351] > 0


@pytest.mark.parametrize("function", ACCEPTED)
def test_bars_of_one_price_give_finite_values(function, bars):
    still = bars.assign(**dict.fromkeys(("open", "high", "low", "close"), 1e-5))
    for name in talib_names({"function": function}):
        assert np.isfinite(compute(name, still)[describe(name).warmup :]).all()


@pytest.mark.parametrize("n_bars", [1, 2, 19, 20, 64])
def test_few_bars_give_the_same_first_values(n_bars, bars):
    names = [name for function in ACCEPTED for name in talib_names({"function": function})]
    whole, few = matrix(bars, names), matrix(bars.iloc[:n_bars], names)
    pd.testing.assert_frame_equal(few, whole.iloc[:n_bars], check_exact=True)


def test_very_small_prices_are_not_taken_for_nothing(bars):
    tiny = scaled(bars, 1e-18, 1.0)
    assert (own_outputs("PPO", tiny)["PPO"][25:] == 0).all()  # a mean below 1e-14 is none
    (name,) = talib_names({"function": "PPO"})
    np.testing.assert_allclose(compute(name, tiny), compute(name, bars), rtol=1e-9, atol=1e-9)


def test_twenty_years_of_an_index_give_finite_values_and_talibs_own():
    bars = collection.load("sample", ["SP500"], "1d").loc["SP500"]
    for function in ACCEPTED:
        raws = own_outputs(function, bars)
        for name, (output, raw) in zip(
            talib_names({"function": function}), raws.items(), strict=True
        ):
            settled = describe(name).warmup
            got, wanted = compute(name, bars), expected(output, raw, bars)
            assert np.isfinite(got[settled:]).all(), name
            size = np.abs(wanted[settled:]).max()
            np.testing.assert_allclose(
                got[settled:], wanted[settled:], rtol=1e-9, atol=1e-9 * size, err_msg=name
            )
