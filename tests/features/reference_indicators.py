"""The indicators once more, as loops that follow the C code of TA-Lib (ta_func).

TA-Lib takes prices within 1e-14 of each other for the same. Here that holds for typical
prices in the money flow, whose sums round; else nought is nought.
"""

import numpy as np

from tests.features.reference_windows import (
    arrays,
    deviation,
    ema,
    highest,
    lowest,
    mean,
    share,
    shifted,
    total,
    windows,
)


def wilder(values, n):
    """Wilder's average: the mean of values 1 to n, then a share of 1 / n of each new one."""
    out = np.full(len(values), np.nan)
    for i in range(n, len(values)):
        out[i] = values[1 : n + 1].mean() if i == n else (out[i - 1] * (n - 1) + values[i]) / n
    return out


def rsi(bars, n):
    moves = np.diff(bars["close"].to_numpy(), prepend=np.nan)
    up, down = wilder(np.maximum(moves, 0), n), wilder(np.maximum(-moves, 0), n)
    return share(up, up + down, 0)


def macd(bars, fast, slow):
    """Fast less slow average; the fast one starts so that both have their first value at once."""
    close = bars["close"].to_numpy()
    return ema(close, fast, slow - fast) - ema(close, slow)


def macd_line(bars, fast, slow):
    return macd(bars, fast, slow) / bars["close"].to_numpy()


def macd_signal(bars, fast, slow, signal):
    return ema(macd(bars, fast, slow), signal, slow - 1) / bars["close"].to_numpy()


def macd_histogram(bars, fast, slow, signal):
    line = macd(bars, fast, slow)
    return (line - ema(line, signal, slow - 1)) / bars["close"].to_numpy()


def bollinger_position(bars, n):
    """Place of the close between the bands at 2 deviations (ddof 0) from the mean."""
    close = bars["close"].to_numpy()
    off = -(windows(close, n) - close[:, None]).mean(axis=1)
    return 0.5 + share(off, 4 * deviation(close, n, 0), 0)


def bollinger_width(bars, n):
    close = bars["close"].to_numpy()
    return 4 * deviation(close, n, 0) / mean(close, n)


def fast_k(bars, n):
    _, high, low, close, _ = arrays(bars)
    bottom = lowest(low, n)
    return share(close - bottom, highest(high, n) - bottom, 0)


def stochastic_k(bars, n, smooth):
    return mean(fast_k(bars, n), smooth)


def stochastic_d(bars, n, smooth, again):
    return mean(stochastic_k(bars, n, smooth), again)


def williams_r(bars, n):
    _, high, low, close, _ = arrays(bars)
    top = highest(high, n)
    return share(close - top, top - lowest(low, n), 0)


def true_range(bars):
    """The largest of the bar's range and its ends' distances from the close before."""
    _, high, low, close, _ = arrays(bars)
    before = shifted(close, 1)
    return np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))


def atr(bars, n):
    return wilder(true_range(bars), n) / bars["close"].to_numpy()


def directional_moves(bars):
    """How far each bar's high went up and its low down; only the longer way counts."""
    _, high, low, _, _ = arrays(bars)
    up, down = np.diff(high, prepend=np.nan), -np.diff(low, prepend=np.nan)
    plus = np.where((up > 0) & (up > down), up, 0.0)
    return plus, np.where((down > 0) & (down > up), down, 0.0)


def wilder_sum(values, n):
    """Sum of values 1 to n - 1, then each loses its n-th part and gains the new value."""
    out = np.full(len(values), np.nan)
    for i in range(n, len(values)):
        before = values[1:n].sum() if i == n else out[i - 1]
        out[i] = before - before / n + values[i]
    return out


def directions(bars, n):
    """+DI and -DI, fractions; nought where nothing moved."""
    span = wilder_sum(true_range(bars), n)
    return [share(wilder_sum(moves, n), span, 0) for moves in directional_moves(bars)]


def di_difference(bars, n):
    plus, minus = directions(bars, n)
    return plus - minus


def adx(bars, n):
    """Wilder's average of DX; a bar without direction counts 0 in its start, then nothing."""
    plus, minus = directions(bars, n)
    out = np.full(len(plus), np.nan)
    dx = share(np.abs(plus - minus), plus + minus, 0)
    for i in range(2 * n - 1, len(dx)):
        if i == 2 * n - 1:
            out[i] = dx[n : i + 1].mean()
        else:
            out[i] = (out[i - 1] * (n - 1) + dx[i]) / n if plus[i] + minus[i] else out[i - 1]
    return out


def typical(bars):
    return (bars["high"].to_numpy() + bars["low"].to_numpy() + bars["close"].to_numpy()) / 3


def cci(bars, n):
    """Distance of the typical price from its mean, in 1.5 mean absolute deviations."""
    price = typical(bars)
    last = windows(price, n)
    off = last - price[:, None]  # exact where prices are near; the means are of small numbers
    middle = off.mean(axis=1)
    spread = np.abs(off - middle[:, None]).mean(axis=1)
    still = last.max(axis=1) == last.min(axis=1)
    return share(np.where(still, 0, -middle), np.where(still, 0, 1.5 * spread), 0)


def mfi(bars, n):
    """Share of the money that flowed upwards; a step within 1e-14 of the price is none."""
    price = typical(bars)
    flow = price * bars["volume"].to_numpy()
    before = shifted(price, 1)
    step = price - before
    step = np.where(np.abs(step) <= 1e-14 * (price + before), 0.0, step)
    up = total(flow * np.where(np.isnan(step), np.nan, step > 0), n)
    down = total(flow * np.where(np.isnan(step), np.nan, step < 0), n)
    return share(up, up + down, 0)


def obv_slope(bars, n):
    """Slope of the line through the last n values of on-balance volume, by mean volume."""
    _, _, _, close, volume = arrays(bars)
    steps = np.sign(np.diff(close, prepend=close[:1])) * volume
    place = np.arange(n) - (n - 1) / 2
    out = np.full(len(close), np.nan)
    for i in range(n - 1, len(close)):
        level = np.concatenate([[0.0], np.cumsum(steps[i - n + 2 : i + 1])])
        out[i] = (place * level).sum() / (place**2).sum()
    return share(out, mean(volume, n), 0)


INDICATORS = {
    "rsi": rsi,
    "macd_line": macd_line,
    "macd_signal": macd_signal,
    "macd_histogram": macd_histogram,
    "bollinger_position": bollinger_position,
    "bollinger_width": bollinger_width,
    "stochastic_k": stochastic_k,
    "stochastic_d": stochastic_d,
    "williams_r": williams_r,
    "atr": atr,
    "adx": adx,
    "di_difference": di_difference,
    "cci": cci,
    "mfi": mfi,
    "obv_slope": obv_slope,
}
