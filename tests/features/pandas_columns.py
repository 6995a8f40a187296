"""The features of bars in plain, vectorised pandas, as a good researcher writes them.

The peer in the benchmark: the same columns as the catalogue's, from running sums and
`ewm`, so exact to about 1e-6 on ordinary bars and no further. No loop over bars.
"""

import math

import numpy as np
import pandas as pd


def pandas_columns(bars):
    """Every default feature of bars, a column each."""
    families = (price, technical, volume, calendar, lagged, rolling, volatility)
    parts = [pd.DataFrame(family(bars), bars.index) for family in families]
    return pd.concat(parts, axis=1)


def divided(part, whole, empty):
    """part / whole, `empty` where whole is nought."""
    return (part / whole.where(whole != 0)).where((whole != 0) | whole.isna(), empty)


def log_returns(bars):
    return np.log(bars["close"]).diff()


def price(bars):
    open_, high, low, close = (bars[name] for name in ("open", "high", "low", "close"))
    logs, span = np.log(close), high - low
    out = {f"return_{n}": logs.diff(n) for n in (1, 2, 3, 5, 10, 21, 63)}
    out |= {f"momentum_{n}_{k}": logs.shift(k) - logs.shift(n) for n, k in ((21, 5), (63, 21))}
    out |= {f"mean_distance_{n}": logs - np.log(close.rolling(n).mean()) for n in (10, 20, 50)}
    out |= {f"ema_distance_{n}": logs - np.log(ema(close, n)) for n in (12, 26)}
    for n in (20, 60):
        bottom = low.rolling(n).min()
        out[f"range_position_{n}"] = divided(close - bottom, high.rolling(n).max() - bottom, 0.5)
    body = np.maximum(open_, close), np.minimum(open_, close)
    return out | {
        "close_in_bar": divided(close - low, span, 0.5),
        "body_in_bar": divided(close - open_, span, 0.0),
        "upper_wick_in_bar": divided(high - body[0], span, 0.0),
        "lower_wick_in_bar": divided(body[1] - low, span, 0.0),
        "bar_range": np.log(high / low),
        "open_gap": np.log(open_ / close.shift()),
    }


def seeded(values, n, share, start=0):
    """Exponential average that begins with the mean of the first n values."""
    first = start + n - 1
    head = values.astype(float).copy()
    head.iloc[:first] = np.nan
    head.iloc[first : first + 1] = values.iloc[start : first + 1].mean()
    return head.ewm(alpha=share, adjust=False).mean()


def ema(values, n, start=0):
    return seeded(values, n, 2 / (n + 1), start)


def wilder(values, n):
    return seeded(values, n, 1 / n, 1)


def technical(bars):
    return trends(bars) | oscillators(bars) | directions(bars)


def trends(bars):
    close = bars["close"]
    line = ema(close, 12, 14) - ema(close, 26)
    signal = ema(line, 9, 25)
    middle, width = close.rolling(20).mean(), 4 * close.rolling(20).std(ddof=0)
    return {
        "macd_line_12_26": line / close,
        "macd_signal_12_26_9": signal / close,
        "macd_histogram_12_26_9": (line - signal) / close,
        "bollinger_position_20": 0.5 + divided(close - middle, width, 0.0),
        "bollinger_width_20": width / middle,
        "obv_slope_20": on_balance_slope(bars),
    }


def on_balance_slope(bars, n=20):
    """Slope of the line through on-balance volume: its covariance with the time."""
    level = (np.sign(bars["close"].diff()).fillna(0.0) * bars["volume"]).cumsum()
    time = pd.Series(np.arange(len(level), dtype=float), level.index)
    slope = level.rolling(n).cov(time) / ((n**2 + n) / 12)
    return divided(slope, bars["volume"].rolling(n).mean(), 0.0)


def oscillators(bars):
    high, low, close = bars["high"], bars["low"], bars["close"]
    moves = close.diff()
    up, down = wilder(moves.clip(lower=0), 14), wilder(-moves.clip(upper=0), 14)
    top, bottom = high.rolling(14).max(), low.rolling(14).min()
    slow = divided(close - bottom, top - bottom, 0.0).rolling(3).mean()
    return {
        "rsi_14": divided(up, up + down, 0.0),
        "stochastic_k_14_3": slow,
        "stochastic_d_14_3_3": slow.rolling(3).mean(),
        "williams_r_14": divided(close - top, top - bottom, 0.0),
        "cci_20": commodity_channel(bars),
        "mfi_14": money_flow(bars),
    }


def commodity_channel(bars, n=20):
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    middle = typical.rolling(n).mean()
    spread = sum((typical.shift(k) - middle).abs() for k in range(n)) / n
    return divided(typical - middle, 1.5 * spread, 0.0)


def money_flow(bars, n=14):
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    flow, step = typical * bars["volume"], typical.diff()
    step = step.mask(step.abs() <= 1e-14 * 2 * typical, 0.0)
    up = flow.where(step > 0, 0.0).where(step.notna()).rolling(n).sum()
    down = flow.where(step < 0, 0.0).where(step.notna()).rolling(n).sum()
    return divided(up, up + down, 0.0)


def directions(bars, n=14):
    high, low, close = bars["high"], bars["low"], bars["close"]
    before = close.shift()
    reach = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1)
    true_range = reach.max(axis=1, skipna=False)
    up, down = high.diff(), -low.diff()
    span = wilder_sum(true_range, n)
    plus = divided(wilder_sum(up.where((up > 0) & (up > down), 0.0), n), span, 0.0)
    minus = divided(wilder_sum(down.where((down > 0) & (down > up), 0.0), n), span, 0.0)
    return {
        "atr_14": wilder(true_range, n) / close,
        "adx_14": seeded(divided((plus - minus).abs(), plus + minus, 0.0), n, 1 / n, n),
        "di_difference_14": plus - minus,
    }


def wilder_sum(values, n):
    """The sum of values 1 to n - 1, from which each next bar takes the n-th part."""
    head = values.astype(float).copy()
    head.iloc[: n - 1] = np.nan
    head.iloc[n - 1 : n] = values.iloc[1:n].sum() / n
    scaled = head.ewm(alpha=1 / n, adjust=False).mean() * n
    return scaled.where(np.arange(len(values)) >= n)


def volume(bars):
    open_, close, traded = bars["open"], bars["close"], bars["volume"]
    turnover, typical = close * traded, (bars["high"] + bars["low"] + close) / 3
    out = {f"volume_ratio_{n}": divided(traded, traded.rolling(n).mean(), 1.0) for n in (20, 60)}
    late = traded.rolling(10).sum()
    early, sum_ = late.shift(10), traded.rolling(20).sum()
    vwap = divided((typical * traded).rolling(20).sum(), sum_, np.nan)
    distance = np.log(close / vwap).mask(sum_ == 0, 0.0)
    impact = divided(log_returns(bars).abs(), turnover, 0.0).where(close.shift().notna())
    return out | {
        "volume_trend_5_20": divided(traded.rolling(5).mean(), traded.rolling(20).mean(), 1.0),
        "volume_momentum_10": divided(late - early, late + early, 0.0),
        "vwap_distance_20": distance,
        "dollar_volume_trend_5_60": divided(
            turnover.rolling(5).mean(), turnover.rolling(60).mean(), 1.0
        ),
        "amihud_20": impact.rolling(20).mean() * turnover.rolling(20).mean(),
        "signed_volume_20": divided((np.sign(close - open_) * traded).rolling(20).sum(), sum_, 0.0),
    }


def calendar(bars):
    at = bars.index
    turns = {
        "hour": (at - at.normalize()) / pd.Timedelta("1D"),
        "weekday": at.day_of_week / 7,
        "day": (at.day - 1) / at.days_in_month,
        "month": (at.month - 1) / 12,
    }
    out = {}
    for name, turn in turns.items():
        out[f"{name}_sine"] = np.sin(2 * math.pi * turn.to_numpy())
        out[f"{name}_cosine"] = np.cos(2 * math.pi * turn.to_numpy())
    return out


def lagged(bars):
    r, traded = log_returns(bars), bars["volume"]
    change = divided(traded.diff(), traded + traded.shift(), 0.0)
    lags = (1, 2, 3, 5, 10)
    out = {f"return_lag_{k}": r.shift(k) for k in lags}
    return out | {f"volume_change_lag_{k}": change.shift(k) for k in lags}


def rolling(bars):
    r, close = log_returns(bars), bars["close"]
    out = {f"std_{n}": r.rolling(n).std() for n in (10, 60)}
    for n in (20, 60):
        # pandas corrects both for bias; the features do not
        out[f"skewness_{n}"] = r.rolling(n).skew() * (n - 2) / math.sqrt(n * (n - 1))
        excess = r.rolling(n).kurt() * (n - 2) * (n - 3) / (n - 1)
        out[f"kurtosis_{n}"] = (excess - 6) / (n + 1)
        out[f"quantile_position_{n}"] = (close.rolling(n).rank() - 1) / (n - 1)
        out[f"drawdown_{n}"] = close / close.rolling(n).max() - 1
        out[f"autocorrelation_{n}"] = r.rolling(n - 1).corr(r.shift())
    return out


def volatility(bars):
    open_, high, low, close = (bars[name] for name in ("open", "high", "low", "close"))
    r, body, span = log_returns(bars), np.log(close / open_), np.log(high / low) ** 2
    inside = np.log(high / close) * np.log(high / open_)
    inside = (inside + np.log(low / close) * np.log(low / open_)).rolling(20).mean()
    garman_klass = (span / 2 - (2 * math.log(2) - 1) * body**2).rolling(20).mean()
    k = 0.34 / (1.34 + 21 / 19)
    overnight = np.log(open_ / close.shift()).rolling(20).var()
    out = {f"har_{n}": (r**2).rolling(n).mean() ** 0.5 for n in (1, 5, 22)}
    return out | {
        "realised_20": r.rolling(20).std(),
        "parkinson_20": (span.rolling(20).mean() / (4 * math.log(2))) ** 0.5,
        "garman_klass_20": garman_klass.clip(lower=0.0) ** 0.5,
        "rogers_satchell_20": inside**0.5,
        "yang_zhang_20": (overnight + k * body.rolling(20).var() + (1 - k) * inside) ** 0.5,
        "volatility_ratio_5_60": divided(r.rolling(5).std(), r.rolling(60).std(), 1.0),
    }
