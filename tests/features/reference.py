"""Every feature of bars once more, plain and slow: what the fast ones are compared with.

`reference("return_7")` is a function of bars; `REFERENCE` holds those of the catalogue. Each
window is laid out and computed anew, deviations in two passes, logarithms of ratios near 1
by log1p, recursions as loops over the bars. Nothing here is shared with the package.

Sources stand beside the formulas; indicators follow the C code of TA-Lib (ta_func).
"""

import calendar
import math
import re
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from tests.features.reference_indicators import INDICATORS
from tests.features.reference_windows import (
    arrays,
    deviation,
    ema,
    highest,
    log_ratio,
    lowest,
    mean,
    share,
    shifted,
    total,
    windows,
)

# price, technical, volume, calendar, lagged, rolling, volatility
NAMES = """
return_1 return_2 return_3 return_5 return_10 return_21 return_63 momentum_21_5 momentum_63_21
mean_distance_10 mean_distance_20 mean_distance_50 ema_distance_12 ema_distance_26
range_position_20 range_position_60 close_in_bar body_in_bar upper_wick_in_bar lower_wick_in_bar
bar_range open_gap
rsi_14 macd_line_12_26 macd_signal_12_26_9 macd_histogram_12_26_9 bollinger_position_20
bollinger_width_20 stochastic_k_14_3 stochastic_d_14_3_3 williams_r_14 atr_14 adx_14
di_difference_14 cci_20 mfi_14 obv_slope_20
volume_ratio_20 volume_ratio_60 volume_trend_5_20 volume_momentum_10 vwap_distance_20
dollar_volume_trend_5_60 amihud_20 signed_volume_20
hour_sine hour_cosine weekday_sine weekday_cosine day_sine day_cosine month_sine month_cosine
return_lag_1 return_lag_2 return_lag_3 return_lag_5 return_lag_10 volume_change_lag_1
volume_change_lag_2 volume_change_lag_3 volume_change_lag_5 volume_change_lag_10
std_10 std_60 skewness_20 skewness_60 kurtosis_20 kurtosis_60 quantile_position_20
quantile_position_60 drawdown_20 drawdown_60 autocorrelation_20 autocorrelation_60
realised_20 parkinson_20 garman_klass_20 rogers_satchell_20 yang_zhang_20 volatility_ratio_5_60
har_1 har_5 har_22
"""


def returns(bars):
    return change(bars, 1)


# price


def change(bars, n):
    close = bars["close"].to_numpy()
    return log_ratio(close, shifted(close, n))


def momentum(bars, n, skip):
    close = bars["close"].to_numpy()
    return log_ratio(shifted(close, skip), shifted(close, n))


def mean_distance(bars, n):
    close = bars["close"].to_numpy()
    return log_ratio(close, mean(close, n))


def ema_distance(bars, n):
    close = bars["close"].to_numpy()
    return log_ratio(close, ema(close, n))


def range_position(bars, n):
    _, high, low, close, _ = arrays(bars)
    bottom = lowest(low, n)
    return share(close - bottom, highest(high, n) - bottom, 0.5)


def close_in_bar(bars):
    _, high, low, close, _ = arrays(bars)
    return share(close - low, high - low, 0.5)


def body_in_bar(bars):
    open_, high, low, close, _ = arrays(bars)
    return share(close - open_, high - low, 0)


def upper_wick_in_bar(bars):
    open_, high, low, close, _ = arrays(bars)
    return share(high - np.maximum(open_, close), high - low, 0)


def lower_wick_in_bar(bars):
    open_, high, low, close, _ = arrays(bars)
    return share(np.minimum(open_, close) - low, high - low, 0)


def bar_range(bars):
    return log_ratio(bars["high"].to_numpy(), bars["low"].to_numpy())


def open_gap(bars):
    return log_ratio(bars["open"].to_numpy(), shifted(bars["close"].to_numpy(), 1))


# volume


def volume_ratio(bars, n):
    volume = bars["volume"].to_numpy()
    return share(volume, mean(volume, n), 1)


def trend(values, m, n):
    return share(mean(values, m), mean(values, n), 1)


def volume_trend(bars, m, n):
    return trend(bars["volume"].to_numpy(), m, n)


def volume_momentum(bars, n):
    late = total(bars["volume"].to_numpy(), n)
    early = shifted(late, n)
    return share(late - early, late + early, 0)


def vwap_distance(bars, n):
    _, high, low, close, volume = arrays(bars)
    traded = total(volume, n)
    vwap = share(total((high + low + close) / 3 * volume, n), traded, 1)
    return np.where(traded == 0, 0.0, log_ratio(close, vwap))


def dollar_volume_trend(bars, m, n):
    return trend((bars["close"] * bars["volume"]).to_numpy(), m, n)


def amihud(bars, n):
    """Amihud, Illiquidity and stock returns (2002), eq. 1, times the mean turnover."""
    turnover = (bars["close"] * bars["volume"]).to_numpy()
    moves = np.abs(returns(bars))
    impact = np.where(np.isnan(moves), np.nan, share(moves, turnover, 0))
    return mean(impact, n) * mean(turnover, n)


def signed_volume(bars, n):
    open_, _, _, close, volume = arrays(bars)
    return share(total(np.sign(close - open_) * volume, n), total(volume, n), 0)


# calendar


def moments(bars):
    """Each bar's end as the standard library has it."""
    return [datetime.fromtimestamp(time.timestamp(), UTC) for time in bars.index]


def second_of_day(at):
    return (at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6) / 86400


def day_of_month(at):
    return (at.day - 1) / calendar.monthrange(at.year, at.month)[1]


TURNS = {
    "hour": second_of_day,
    "weekday": lambda at: at.weekday() / 7,
    "day": day_of_month,
    "month": lambda at: (at.month - 1) / 12,
}


def on_circle(turn, wave):
    return lambda bars: np.array([wave(2 * math.pi * turn(at)) for at in moments(bars)])


CIRCLES = {
    f"{name}_{word}": on_circle(turn, wave)
    for name, turn in TURNS.items()
    for word, wave in (("sine", math.sin), ("cosine", math.cos))
}


# lagged


def return_lag(bars, k):
    return shifted(returns(bars), k)


def volume_change_lag(bars, k):
    volume = bars["volume"].to_numpy()
    before = shifted(volume, 1)
    return shifted(share(volume - before, volume + before, 0), k)


# rolling


def std(bars, n):
    return deviation(returns(bars), n, 1)


def standardised_moment(values, n, power):
    """Mean of z^power, not corrected for bias; NaN where nothing moves."""
    last = windows(values, n)
    off = last - last.mean(axis=1, keepdims=True)
    moved = last.max(axis=1) > last.min(axis=1)
    variance = np.where(moved, (off**2).mean(axis=1), np.nan)
    return (off**power).mean(axis=1) / variance ** (power / 2)


def where_still(found, values, n):
    """The found numbers, nought where the last n values are all the same."""
    return np.where(highest(values, n) == lowest(values, n), 0.0, found)


def skewness(bars, n):
    r = returns(bars)
    return where_still(standardised_moment(r, n, 3), r, n)


def kurtosis(bars, n):
    r = returns(bars)
    return where_still(standardised_moment(r, n, 4) - 3, r, n)


def quantile_position(bars, n):
    last = windows(bars["close"].to_numpy(), n)
    now, others = last[:, -1:], last[:, :-1]
    below = (others < now).sum(axis=1) + (others == now).sum(axis=1) / 2
    return np.where(np.isnan(last[:, 0]), np.nan, below / (n - 1))


def drawdown(bars, n):
    close = bars["close"].to_numpy()
    top = highest(close, n)
    return (close - top) / top


def autocorrelation(bars, n):
    """Pearson's coefficient of the n - 1 pairs of neighbours among the last n returns."""
    r = returns(bars)
    last = windows(r, n)
    before, after = last[:, :-1], last[:, 1:]
    a = before - before.mean(axis=1, keepdims=True)
    b = after - after.mean(axis=1, keepdims=True)
    still = (np.ptp(before, axis=1) == 0) | (np.ptp(after, axis=1) == 0)
    together = np.where(still & ~np.isnan(last[:, 0]), 0.0, (a * b).sum(axis=1))
    apart = np.sqrt((a**2).sum(axis=1)) * np.sqrt((b**2).sum(axis=1))
    return share(together, np.where(still, 1.0, apart), 0)


# volatility


def parkinson(bars, n):
    """Parkinson, The Extreme Value Method (1980)."""
    return np.sqrt(mean(bar_range(bars) ** 2, n) / (4 * math.log(2)))


def garman_klass(bars, n):
    """Garman and Klass, On the Estimation of Security Price Volatilities (1980)."""
    body = log_ratio(bars["close"].to_numpy(), bars["open"].to_numpy())
    terms = bar_range(bars) ** 2 / 2 - (2 * math.log(2) - 1) * body**2
    return np.sqrt(np.maximum(mean(terms, n), 0.0))


def rogers_satchell_terms(bars):
    """ln(H/C) ln(H/O) + ln(L/C) ln(L/O) of each bar."""
    open_, high, low, close, _ = arrays(bars)
    up = log_ratio(high, close) * log_ratio(high, open_)
    return up + log_ratio(low, close) * log_ratio(low, open_)


def rogers_satchell(bars, n):
    """Rogers and Satchell, Estimating Variance From High, Low and Closing Prices (1991)."""
    return np.sqrt(mean(rogers_satchell_terms(bars), n))


def yang_zhang(bars, n):
    """Yang and Zhang, Drift-Independent Volatility Estimation (2000), eq. 8 to 10."""
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    body = log_ratio(bars["close"].to_numpy(), bars["open"].to_numpy())
    overnight = deviation(open_gap(bars), n, 1) ** 2
    inside = mean(rogers_satchell_terms(bars), n)
    return np.sqrt(overnight + k * deviation(body, n, 1) ** 2 + (1 - k) * inside)


def volatility_ratio(bars, short, long):
    return share(std(bars, short), std(bars, long), 1)


def har(bars, n):
    """A part of Corsi's heterogeneous autoregressive model (2009): root of mean square."""
    return np.sqrt(mean(returns(bars) ** 2, n))


KINDS = {
    "return": change,
    "momentum": momentum,
    "mean_distance": mean_distance,
    "ema_distance": ema_distance,
    "range_position": range_position,
    "close_in_bar": close_in_bar,
    "body_in_bar": body_in_bar,
    "upper_wick_in_bar": upper_wick_in_bar,
    "lower_wick_in_bar": lower_wick_in_bar,
    "bar_range": bar_range,
    "open_gap": open_gap,
    "volume_ratio": volume_ratio,
    "volume_trend": volume_trend,
    "volume_momentum": volume_momentum,
    "vwap_distance": vwap_distance,
    "dollar_volume_trend": dollar_volume_trend,
    "amihud": amihud,
    "signed_volume": signed_volume,
    "return_lag": return_lag,
    "volume_change_lag": volume_change_lag,
    "std": std,
    "skewness": skewness,
    "kurtosis": kurtosis,
    "quantile_position": quantile_position,
    "drawdown": drawdown,
    "autocorrelation": autocorrelation,
    "realised": std,
    "parkinson": parkinson,
    "garman_klass": garman_klass,
    "rogers_satchell": rogers_satchell,
    "yang_zhang": yang_zhang,
    "volatility_ratio": volatility_ratio,
    "har": har,
    **CIRCLES,
    **INDICATORS,
}
KIND_AND_SPANS = re.compile(r"([a-z_]*[a-z])((?:_\d+)*)")


def reference(name):
    """The function of bars that gives a feature by name, any windows: `return_7`."""
    kind, spans = KIND_AND_SPANS.fullmatch(name).groups()
    numbers = [int(span) for span in spans.split("_")[1:]]
    return lambda bars: pd.Series(KINDS[kind](bars, *numbers), bars.index, name=name)


REFERENCE = {name: reference(name) for name in NAMES.split()}


# features are of the size 1e-4 to 10; one that is a small difference of larger numbers has the
# rounding of those, 2e-16 each, in its last digits
ROUNDING = 1e-12
# a typical price rounds by 1e-16 of the price, its deviation may be as small as 1e-5 of it
ROUNDING_OF_KIND = {"cci": 1e-11}


def assert_like_reference(got, expected, name):
    """Equal to 1e-9 relative, NaN at the same bars."""
    kind = KIND_AND_SPANS.fullmatch(name)[1]
    absolute = ROUNDING_OF_KIND.get(kind, ROUNDING)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=absolute, err_msg=name)
