"""A simulated market: bars and headlines whose truth is known, for tests and for learning.

Returns have what returns are known to have: fat tails, volatility that comes in clusters,
regimes and hours of the day, jumps, a common factor, no memory. They hold nothing to be
found, unless `edge` plants it: then the sentiment of headlines leads returns by exactly the
stated amount. A market is never rewritten: with a later `end` it only becomes longer.

Every random number belongs to a seed, a symbol, a purpose and a block of bars, so neither
the other symbols nor the end can change it.

Source: Cont, Empirical properties of asset returns: stylized facts and statistical issues,
Quantitative Finance 1 (2001), section 2; range of a bar: Parkinson (1980).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit.bars import ALWAYS_OPEN, COLUMNS, check, expected_times, interval_length
from signalkit.collection.simulated_news import TONE_SQUARE, generator, headlines, news_table
from signalkit.errors import ParamsError

_BLOCK = 4096  # bars drawn together
_DAY = pd.Timedelta(1, "D")

_YEARLY = 0.6  # volatility of a middling symbol, as a fraction
_COMMON = 0.64  # share of the common factor in a bar's variance
_FREEDOM = 6.0  # degrees of freedom of Student's t
_CLUSTER = (0.35, 0.25)  # standard deviation of log volatility: of the market, of a symbol
_MEMORY = 2.0  # days in which log volatility forgets
_REGIMES = {0.6: 0.5, 1.0: 0.4, 2.2: 0.1}  # volatility of calm, normal, wild: share of time
_REGIME_DAYS = 10.0
_JUMP_DAYS, _JUMP = 30.0, 0.02  # days from jump to jump, size in units of a symbol's level
_HOURLY, _PEAK = 0.22, 15.0  # swing of log volatility over the day, its highest hour (UTC)
_STEPS = 4  # pieces of the path inside a bar
_DIGITS = 6  # of a price
_LONGEST_OUTAGE = 34  # bars


@dataclass(frozen=True)
class SimulatedMarket:
    """The truth of a simulated market.

    `bars` is a panel, `news` a table of headlines indexed by `known_at`, `end` the last
    moment asked for, `settings` what the numbers come from: markets with equal settings
    agree wherever both have a symbol and a time.
    """

    bars: pd.DataFrame
    news: pd.DataFrame
    interval: str
    end: pd.Timestamp
    settings: Mapping[str, object]


@dataclass(frozen=True)
class _Plan:
    """What is asked, and the grid of bar ends it is drawn on: whole blocks, cut at the end."""

    start: pd.Timestamp
    times: pd.DatetimeIndex
    length: pd.Timedelta
    seed: int
    edge: float
    lead: int
    news_per_day: float
    outages: float

    @property
    def blocks(self) -> int:
        """Blocks that hold all bars."""
        return -(-len(self.times) // _BLOCK)

    @property
    def days(self) -> float:
        """Length of a bar in days."""
        return self.length / _DAY


def market(
    symbols: Sequence[str],
    interval: str,
    *,
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    seed: int,
    edge: float = 0.0,
    lead: int = 4,
    news_per_day: float = 4.0,
    outages: float = 0.0005,
) -> SimulatedMarket:
    """Bars and headlines of a seeded market that trades all the time.

    Parameters
    ----------
    symbols : sequence of str
        What is traded. Start price, volatility and turnover follow from name and seed.
    interval : str
        Spacing of the bars, such as 1h.
    start, end : str or Timestamp
        First and last moment (UTC) of the bar ends and of the headlines' `known_at`, both
        included.
    seed : int
        Another seed is another market; the same one gives the same bits.
    edge : float
        Share of the variance of a bar's log return that the mood at the end of the bar
        before explains (R² of the one on the other), in [0, 1). The mood is the sum of
        `sentiment` over the symbol's headlines that became known in the last `lead` bars,
        each counted when first known.
    lead : int
        Bars over which a headline moves its symbol, at least 1; none earlier than the bar
        after `known_at`.
    news_per_day : float
        Mean number of headlines of a symbol in a day.
    outages : float
        Chance that an outage of 1 to 34 bars, the same for all symbols, begins at a bar.

    Returns
    -------
    SimulatedMarket
        `bars`: panel on which `bars.check` passes, an outage's bars missing. `news`:
        indexed by `known_at` with `published`, `source`, `title`, `symbols` (tuple),
        `sentiment` in [-1, 1] and `key`; some are published again under their key, some
        have a date only and are known at the end of that day.

    Raises
    ------
    ParamsError
        If symbols are missing or repeated, the times hold no bar, or a number is out of
        its range.

    Notes
    -----
    The simple return of a bar has mean zero whatever is known before it (edge 0). The edge
    takes its share from the rest, so the variance of returns is the same at any edge, and
    so is the news. The share is one of the long-run variance: in a calm month the same
    drift explains more, in a wild one less.

    Examples
    --------
    >>> truth = market(["BTCUSDT"], "1h", start="2024-01-01", end="2024-01-02", seed=7)
    >>> truth.bars.shape, str(truth.bars.index[0][1])
    ((25, 5), '2024-01-01 00:00:00+00:00')
    """
    _check_asked(symbols, edge, lead, news_per_day, outages)
    if not isinstance(seed, int) or seed < 0:
        raise ParamsError(f"seed must be a whole number, at least 0, was {seed!r}")
    times = expected_times(_utc(start), _utc(end), interval, ALWAYS_OPEN)
    if times.empty:
        raise ParamsError(f"no {interval} bar ends from {start} to {end}; set a later end")
    length = interval_length(interval)
    times = pd.DatetimeIndex(times, freq=None)
    plan = _Plan(_utc(start), times, length, seed, edge, lead, news_per_day, outages)
    asked = {"seed": seed, "per_day": news_per_day}
    news = {symbol: headlines(symbol, plan.start, _utc(end), **asked) for symbol in symbols}
    shared, kept = _shared(plan), _trading(plan)
    parts = {s: _bars(plan, s, shared, news[s]).loc[kept] for s in sorted(symbols)}
    panel = pd.concat(parts, names=["symbol", "time"])
    check(panel)
    settings = {
        **{name: getattr(plan, name) for name in ("seed", "edge", "lead")},
        **{"news_per_day": news_per_day, "outages": outages},
        **{"start": plan.start.isoformat(), "interval": interval},
    }
    return SimulatedMarket(panel, news_table(news), interval, _utc(end), settings)


def _check_asked(
    symbols: Sequence[str], edge: float, lead: int, news_per_day: float, outages: float
) -> None:
    """Refuse numbers out of their range."""
    if not symbols or isinstance(symbols, str) or len(set(symbols)) < len(symbols):
        raise ParamsError(f"symbols must be a list of different names, was {symbols!r}")
    if not 0 <= edge < 1:
        raise ParamsError(f"edge is a share of variance from 0 to below 1, was {edge}")
    if not isinstance(lead, int) or lead < 1:
        raise ParamsError(f"lead must be a whole number of bars, at least 1, was {lead!r}")
    if not 0 <= news_per_day <= 1000 or (edge > 0 and news_per_day == 0):
        raise ParamsError(f"news_per_day is from 0 to 1000, above 0 with edge, was {news_per_day}")
    if not 0 <= outages <= 0.05:
        raise ParamsError(f"outages is a chance a bar from 0 to 0.05, was {outages}")


def _utc(moment: str | pd.Timestamp) -> pd.Timestamp:
    """A moment in UTC; without a zone it is meant so."""
    try:
        stamp = pd.Timestamp(moment).as_unit("ns")
    except (ValueError, TypeError) as cause:
        raise ParamsError(f"{moment!r} is no time: {cause}; write one such as 2024-01-31") from None
    if stamp is pd.NaT:
        raise ParamsError(f"{moment!r} is no time; write one such as 2024-01-31")
    return stamp.tz_localize("UTC") if stamp.tz is None else stamp.tz_convert("UTC")


def _noise(
    plan: _Plan, symbol: str, purpose: str, draw: Callable[[np.random.Generator], np.ndarray]
) -> np.ndarray:
    """One purpose's random numbers for the bars, block by block."""
    blocks = [draw(generator(plan.seed, symbol, purpose, block)) for block in range(plan.blocks)]
    return np.concatenate(blocks)


def _normal(plan: _Plan, symbol: str, purpose: str) -> np.ndarray:
    """Standard normal numbers, one a bar."""
    return _noise(plan, symbol, purpose, lambda rng: rng.standard_normal(_BLOCK))


def _uniform(plan: _Plan, symbol: str, purpose: str) -> np.ndarray:
    """Numbers from 0 to 1, one a bar."""
    return _noise(plan, symbol, purpose, lambda rng: rng.random(_BLOCK))


def _mixture(plan: _Plan, symbol: str) -> np.ndarray:
    """Variances of mean 1 that turn normal numbers into Student's t."""
    chi2 = _noise(plan, symbol, "tails", lambda rng: rng.chisquare(_FREEDOM, _BLOCK))
    return (_FREEDOM - 2) / chi2


def _remembered(plan: _Plan, symbol: str, purpose: str) -> np.ndarray:
    """First-order autoregression of variance 1 with the memory of volatility."""
    memory = np.exp(-plan.days / _MEMORY)
    values = _normal(plan, symbol, purpose)
    values[1:] *= np.sqrt(1 - memory**2)
    step = 1
    while step < len(values):  # after k rounds each value holds its last 2^k shocks
        values[step:] += memory**step * values[:-step]
        step *= 2
    return values


def _clustered(plan: _Plan, symbol: str, spread: float) -> np.ndarray:
    """Volatility with memory, of mean square 1."""
    return np.exp(spread * _remembered(plan, symbol, "volatility") - spread**2)


def _regime(plan: _Plan) -> np.ndarray:
    """Volatility of the calm, normal or wild state, of mean square 1."""
    levels, shares = np.array(list(_REGIMES)), np.array(list(_REGIMES.values()))
    drawn = np.searchsorted(np.cumsum(shares)[:-1], _uniform(plan, "", "regime"), side="right")
    turns = _uniform(plan, "", "turn") < -np.expm1(-plan.days / _REGIME_DAYS)
    turns[0] = True
    since = np.maximum.accumulate(np.where(turns, np.arange(len(turns)), 0))
    return (levels / np.sqrt(shares @ levels**2))[drawn[since]]


def _hours(plan: _Plan) -> np.ndarray:
    """Swing of log volatility by UTC hour, -1 to 1; none in bars of a day or longer."""
    if plan.length >= _DAY:
        return np.zeros(plan.blocks * _BLOCK)
    middle = plan.times[0] - plan.length / 2
    hour = (middle - middle.floor("D")) / pd.Timedelta(1, "h")
    passed = np.arange(plan.blocks * _BLOCK) * (plan.days * 24)
    return np.cos(2 * np.pi * (hour + passed - _PEAK) / 24)


def _jumps(plan: _Plan, symbol: str) -> tuple[np.ndarray, np.ndarray]:
    """Rare jumps of a bar's log return, and the variance behind each bar's."""
    there = _uniform(plan, symbol, "jump") < plan.days / _JUMP_DAYS
    return there * _JUMP * _normal(plan, symbol, "jump size"), there * _JUMP**2


@dataclass(frozen=True)
class _Shared:
    """What all symbols have in common in each bar."""

    hours: np.ndarray
    volatility: np.ndarray
    shock: np.ndarray
    mixture: np.ndarray
    jump: np.ndarray
    jump_variance: np.ndarray


def _shared(plan: _Plan) -> _Shared:
    """Draw what all symbols have in common."""
    hours, mixture = _hours(plan), _mixture(plan, "")
    season = np.exp(_HOURLY * hours) / np.sqrt(np.i0(2 * _HOURLY)) if hours.any() else 1.0
    volatility = season * _regime(plan) * _clustered(plan, "", _CLUSTER[0])
    shock = np.sqrt(mixture) * _normal(plan, "", "shock")
    return _Shared(hours, volatility, shock, mixture, *_jumps(plan, ""))


def _trading(plan: _Plan) -> pd.DatetimeIndex:
    """Bar ends outside outages; the first bar is always there."""
    begins = np.flatnonzero(_uniform(plan, "", "outage") < plan.outages)
    lengths = np.ceil(_LONGEST_OUTAGE * _uniform(plan, "", "outage length") ** 4).astype(int)
    shut, free = np.zeros(plan.blocks * _BLOCK, dtype=bool), 1
    for begin in begins:
        if begin >= free:  # a bar trades between two outages
            stop = begin + max(lengths[begin], 1)
            shut[begin:stop], free = True, stop + 1
    return plan.times[~shut[: len(plan.times)]]


def _bars(plan: _Plan, symbol: str, shared: _Shared, items: pd.DataFrame) -> pd.DataFrame:
    """All bars of one symbol, those inside outages too."""
    own = generator(plan.seed, symbol, "kind")
    start, level, turnover = 10 ** own.uniform(-1, 4.5), own.uniform(0.7, 1.4), own.uniform(7, 9)
    usual = level * _YEARLY * np.sqrt(plan.days / 365)
    returns, variance = _returns(plan, symbol, shared, items, level=level)
    close = np.log(start) + np.cumsum(returns)
    noise = 0.02 * np.sqrt(variance) * _normal(plan, symbol, "open")
    open_ = np.r_[np.log(start), close[:-1]] + noise
    high, low = _extremes(plan, symbol, open_, close, variance)
    prices = _ticked(np.exp(np.column_stack([open_, high, low, close])))
    prices[:, 1], prices[:, 2] = prices.max(axis=1), prices.min(axis=1)
    busy = np.log(np.sqrt(variance) / usual) + 0.2 * shared.hours
    busy += 0.5 * _remembered(plan, symbol, "activity") + 0.4 * _normal(plan, symbol, "volume")
    volume = np.round(10**turnover * plan.days / start * np.exp(busy), 5)
    table = np.column_stack([prices, volume])[: len(plan.times)]
    return pd.DataFrame(table, index=plan.times, columns=list(COLUMNS))


def _returns(
    plan: _Plan, symbol: str, shared: _Shared, items: pd.DataFrame, *, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Log returns of a symbol, and the variance of each but for its jumps."""
    usual = level * _YEARLY * np.sqrt(plan.days / 365)
    scale = usual * shared.volatility * _clustered(plan, symbol, _CLUSTER[1])
    mixture = _mixture(plan, symbol)
    shock = np.sqrt(mixture) * _normal(plan, symbol, "shock")
    jump, jump_variance = _jumps(plan, symbol)
    rest = 1 - plan.edge
    moves = scale * (np.sqrt(_COMMON) * shared.shock + np.sqrt(1 - _COMMON) * shock)
    moves = np.sqrt(rest) * (moves + level * (shared.jump + jump))
    variance = rest * scale**2 * (_COMMON * shared.mixture + (1 - _COMMON) * mixture)
    jumped = rest * level**2 * (shared.jump_variance + jump_variance)
    total = usual**2 + 2 * level**2 * _JUMP**2 * min(plan.days / _JUMP_DAYS, 1)
    drift = np.sqrt(plan.edge * total) * _mood(plan, items)
    # given its variance a move is normal, so half of it makes the mean simple return zero
    return moves - (variance + jumped) / 2 + drift, variance


def _mood(plan: _Plan, items: pd.DataFrame) -> np.ndarray:
    """Sentiment known in the `lead` bars before each bar, in units of its long-run spread."""
    mood = np.zeros(plan.blocks * _BLOCK)
    if plan.edge == 0:
        return mood
    first = items[~items["again"]]
    waited = first["known_at"].to_numpy() - plan.times[0].value
    bar = np.maximum(-(-waited // plan.length.value), 0)
    tone = np.bincount(bar, first["sentiment"].to_numpy(), len(mood))[: len(mood)]
    for lag in range(1, min(plan.lead, len(mood) - 1) + 1):
        mood[lag:] += tone[:-lag]
    return mood / np.sqrt(plan.lead * plan.news_per_day * plan.days * TONE_SQUARE)


def _extremes(
    plan: _Plan, symbol: str, open_: np.ndarray, close: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log high and low of a Brownian path from open to close."""
    part = np.arange(1, _STEPS + 1) / _STEPS
    draws = _noise(plan, symbol, "path", lambda rng: rng.standard_normal((_BLOCK, _STEPS)))
    piece = variance[:, None] / _STEPS
    walk = np.cumsum(np.sqrt(piece) * draws, axis=1)
    right = open_[:, None] + part * (close - open_)[:, None] + walk - part * walk[:, -1:]
    left = np.column_stack([open_, right[:, :-1]])
    shape = (_BLOCK, 2, _STEPS)
    luck = _noise(plan, symbol, "reach", lambda rng: rng.standard_exponential(shape))
    # the extreme of a Brownian bridge, its distribution inverted
    reach = np.sqrt((right - left)[:, None] ** 2 + 2 * piece[:, None] * luck)
    middle = left + right
    return (middle + reach[:, 0]).max(axis=1) / 2, (middle - reach[:, 1]).min(axis=1) / 2


def _ticked(prices: np.ndarray) -> np.ndarray:
    """Prices of each bar rounded to its tick, the sixth digit of the close."""
    decimals = _DIGITS - 1 - np.floor(np.log10(prices[:, -1])).astype(int)
    ticks = np.array([float(10**k) for k in range(16)])[np.clip(decimals, 0, 15)][:, None]
    return np.round(prices * ticks) / ticks
