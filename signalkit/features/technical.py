"""Technical indicators as TA-Lib defines them, made scale-free.

Wilder's smoothing (RSI, ATR, ADX) is seeded by the simple mean; MACD's fast average starts
where the slow one does; Bollinger bands use ddof 0. Each function without a leading decorator
gives TA-Lib's raw output.
"""

from __future__ import annotations

from signalkit.errors import ParamsError
from signalkit.features.catalog import declare
from signalkit.features.price import place
from signalkit.kernels.graph import (
    CLOSE,
    HIGH,
    LOW,
    VOLUME,
    Node,
    exponential,
    lag,
    mean,
    node,
    output,
    over,
    root,
    total,
    variance,
    window,
)

_WILDER = "Wilder, New Concepts in Technical Trading Systems (1978)"
_APPEL = "Appel, The Moving Average Convergence-Divergence Method (1979)"
_LANE = "Lane, Lane's Stochastics (1984)"
_BOLLINGER = "Bollinger, Bollinger on Bollinger Bands (2001)"
# share of a price under which two of them differ by rounding; ticks are far larger
_ROUNDING = 1e-13
_CHANGE = CLOSE - lag(CLOSE, 1)
_TYPICAL = (HIGH + LOW + CLOSE) / 3.0


def _wilder(column: Node, span: int) -> Node:
    """Wilder's average, seeded by the mean."""
    return node("average", column, p=span, rate=1.0 / span)


@declare("rsi", "technical", 14, unit="0 to 1", least=2, source=_WILDER,
         words="relative strength index of {} bars")  # fmt: skip
def rsi(span: int) -> Node:
    """RSI divided by 100; 0 where no price moved, as TA-Lib has it."""
    up = _wilder(node("above_zero", _CHANGE, rate=1.0), span)
    down = _wilder(node("above_zero", _CHANGE, rate=-1.0), span)
    return over(up, up + down)


def macd(fast: int, slow: int) -> Node:
    """MACD line in quote currency; both averages are seeded at the slow one's first bar."""
    if fast >= slow:
        raise ParamsError(f"macd_{fast}_{slow}: the first window must be the shorter one")
    return exponential(CLOSE, fast, skip=slow - fast) - exponential(CLOSE, slow)


def macd_signal_of(fast: int, slow: int, signal: int) -> Node:
    """Signal of MACD in quote currency."""
    return exponential(macd(fast, slow), signal)


@declare("macd_line", "technical", (12, 26), unit="fraction of close", source=_APPEL,
         words="MACD {}, {} over close")  # fmt: skip
def macd_line(fast: int, slow: int) -> Node:
    """MACD line as a fraction of the close."""
    return over(macd(fast, slow), CLOSE)


@declare("macd_signal", "technical", (12, 26, 9), unit="fraction of close", source=_APPEL,
         words="signal of MACD {}, {}, {} over close")  # fmt: skip
def macd_signal(fast: int, slow: int, signal: int) -> Node:
    """Average of the MACD line as a fraction of the close."""
    return over(macd_signal_of(fast, slow, signal), CLOSE)


@declare("macd_histogram", "technical", (12, 26, 9), unit="fraction of close", source=_APPEL,
         words="MACD line less its signal, {}, {}, {}, over close")  # fmt: skip
def macd_histogram(fast: int, slow: int, signal: int) -> Node:
    """MACD line less signal as a fraction of the close."""
    return over(macd(fast, slow) - macd_signal_of(fast, slow, signal), CLOSE)


def _deviation(span: int) -> Node:
    """Standard deviation of the closes, ddof 0."""
    return root(variance(CLOSE, span, 0))


@declare("bollinger_position", "technical", 20, unit="band widths", least=2, source=_BOLLINGER,
         words="close between the lower (0) and upper (1) band, 2 deviations of {} bars"
         )  # fmt: skip
def bollinger_position(span: int) -> Node:
    """Place of the close between the bands; 0.5 where the bands meet."""
    return over(CLOSE - mean(CLOSE, span), 4.0 * _deviation(span)) + 0.5


@declare("bollinger_width", "technical", 20, unit="fraction of mean", least=2, source=_BOLLINGER,
         words="distance of the bands, 2 deviations of {} bars, over their mean")  # fmt: skip
def bollinger_width(span: int) -> Node:
    """Upper less lower band over the middle one."""
    return over(4.0 * _deviation(span), mean(CLOSE, span))


@declare("stochastic_k", "technical", (14, 3), unit="0 to 1", least=2, source=_LANE,
         words="slow %K: place in the range of {} bars, mean of {}")  # fmt: skip
def stochastic_k(span: int, slow: int) -> Node:
    """Slow %K divided by 100; the place is 0 where the range is nothing, as in TA-Lib."""
    return mean(place(span, 0.0), slow)


@declare("stochastic_d", "technical", (14, 3, 3), unit="0 to 1", least=2, source=_LANE,
         words="%D of the stochastic {}, {}: mean of {}")  # fmt: skip
def stochastic_d(span: int, slow: int, signal: int) -> Node:
    """%D divided by 100."""
    return mean(stochastic_k(span, slow), signal)


@declare("williams_r", "technical", 14, unit="-1 to 0", least=2,
         words="Williams %R of {} bars",
         source="Williams, How I Made One Million Dollars (1973)")  # fmt: skip
def williams_r(span: int) -> Node:
    """Williams %R divided by 100; 0 where the range is nothing, as TA-Lib has it."""
    return place(span, 1.0) + -1.0


def true_range() -> Node:
    """True range in quote currency: the bar's range, with the close before inside it."""
    before = lag(CLOSE, 1)
    return node("larger", before, HIGH) - node("smaller", before, LOW)


@declare("atr", "technical", 14, unit="fraction of close", least=2, source=_WILDER,
         words="average true range of {} bars over close")  # fmt: skip
def atr(span: int) -> Node:
    """Average true range as a fraction of the close."""
    return over(_wilder(true_range(), span), CLOSE)


def _directional(span: int) -> tuple[Node, Node, Node]:
    """Wilder's running sums of upward and downward movement and of the true range."""
    moves = (HIGH, lag(HIGH, 1), LOW, lag(LOW, 1))
    parts = (*(node("movement", *moves, rate=sign) for sign in (1.0, -1.0)), true_range())
    up, down, ranged = (node("wilder_sum", part, p=span) for part in parts)
    return up, down, ranged


@declare("adx", "technical", 14, unit="0 to 1", least=2, source=_WILDER,
         words="average directional index of {} bars")  # fmt: skip
def adx(span: int) -> Node:
    """ADX divided by 100: how directed the moves are, whichever way."""
    return node("trend_strength", *_directional(span), p=span)


@declare("di_difference", "technical", 14, unit="-1 to 1", least=2, source=_WILDER,
         words="+DI less -DI of {} bars")  # fmt: skip
def di_difference(span: int) -> Node:
    """Upward less downward movement over the true range; 0 without any range."""
    up, down, ranged = _directional(span)
    return over(up - down, ranged)


@declare("cci", "technical", 20, unit="hundreds", least=2,
         words="commodity channel index of {} bars over 100",
         source="Lambert, Commodity Channel Index (1980)")  # fmt: skip
def cci(span: int) -> Node:
    """CCI divided by 100; 0 where the typical price does not move."""
    # joined means are exact where nothing moves, a sum over a count need not be
    middle = output(window("window_variance", _TYPICAL, span=span), 0)
    spread = node("mean_distance", _TYPICAL, middle, p=span)
    return over(_TYPICAL - middle, 1.5 * spread)


@declare("mfi", "technical", 14, unit="0 to 1", least=2,
         words="money flow index of {} bars",
         source="Quong and Soudack, Volume-Weighted RSI: Money Flow (1989)")  # fmt: skip
def mfi(span: int) -> Node:
    """MFI divided by 100; 0 where no money flowed.

    Typical prices are thirds of sums, so equal ones may differ by rounding: that is no move.
    """
    flow = node("signed", _TYPICAL, lag(_TYPICAL, 1), _TYPICAL * VOLUME, rate=_ROUNDING)
    up, down = (total(node("above_zero", flow, rate=sign), span) for sign in (1.0, -1.0))
    return over(up, up + down)


def obv_slope_of(span: int) -> Node:
    """Least-squares slope of on-balance volume, in units of volume a bar."""
    return window("window_slope", node("signed", CLOSE, lag(CLOSE, 1), VOLUME), span=span)


@declare("obv_slope", "technical", 20, unit="share of volume", least=3,
         words="least-squares slope of on-balance volume of {} bars over their mean volume",
         source="Granville, New Key to Stock Market Profits (1963)")  # fmt: skip
def obv_slope(span: int) -> Node:
    """Slope of OBV a bar, over the mean volume; 0 without volume."""
    return over(obv_slope_of(span), mean(VOLUME, span))
