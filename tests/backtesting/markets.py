"""Made markets for the engine's tests: bars that jump, halt and go missing, weights, settings.

Numbers are irregular on purpose: a price that equals a level to the last digit would make
the order of two sums decide. Ties are tested by examples in round numbers instead.
"""

import numpy as np
import pandas as pd
from hypothesis import strategies as st

START = pd.Timestamp("2024-01-01", tz="UTC")
HOUR = pd.Timedelta(1, "h")
# shares of the leverage that symbols may use; sums are exact in binary, all of it is used
BUDGETS = {1: [1.0], 2: [0.75, 0.25], 3: [0.5, 0.25, 0.25], 4: [0.25, 0.25, 0.25, 0.25]}
SIZES = np.array([-1.0, -0.6, -0.25, 0.0, 0.0, 0.35, 0.7, 1.0])
PRICE = 100.0  # about where every symbol starts

# the first of each list is the default; the rest are drawn half of the time
COSTS = {
    "fee_bps": [0.0, 7.0, 60.0],
    "maker_bps": [None, 1.5],
    "slippage_bps": [0.0, 3.0, 40.0],
    "slippage_vol": [0.0, 0.13],
    "impact": [0.0, 0.31],
    "borrow_bps": [0.0, 300.0, 40_000.0],
    "prices": ["stated", "worse", "better"],
}
EXITS = {
    "stop_loss": [None, 0.0131, 0.0517],
    "take_profit": [None, 0.0173, 0.0719],
    "trailing_stop": [None, 0.0157, 0.0633],
    "path": ["pessimistic", "optimistic"],
}
CAPS = {
    "max_weight": [None, 0.31, 0.64],  # in max_leverage
    "drift": [0.01, 0.003, 0.07],
    "max_positions": [None, 1, 2],
    "max_turnover": [None, 0.37, 1.23],
    "maintenance": [0.0, 0.053, 0.17, 0.31],
    "brake": [None, 0.047, 0.21],
    "brake_bars": [0, 1, 5],
}
SIZING = {
    "volume_cap": [None, 0.11, 0.9],
    "lot": [0.0, 0.0013, 0.0021],  # in units that the capital buys
    "min_notional": [0.0, 0.021, 0.19],  # in capitals
}


def bars(*rows, volume=1.0, step="h"):
    """Bars of one symbol from (open, high, low, close) or (…, volume) rows."""
    full = [(*row, volume)[:5] for row in rows]
    times = pd.date_range(START, periods=len(rows), freq=step, name="time")
    columns = ["open", "high", "low", "close", "volume"]
    return pd.DataFrame(full, times, columns, dtype=float)


def flat(*closes, volume=1.0, step="h"):
    """Bars that open where the one before closed and go straight to their close."""
    opens = [closes[0], *closes[:-1]]
    rows = [(o, max(o, c), min(o, c), c) for o, c in zip(opens, closes, strict=True)]
    return bars(*rows, volume=volume, step=step)


def wishes(table, *rows):
    """Weights at the first bars of a table: numbers, (weight, limit, stop), None for none."""
    found = {}
    for time, row in zip(table.index, rows, strict=False):
        if row is not None:
            row = row if isinstance(row, tuple) else (row,)
            found[time] = (*row, None, None)[:3]
    columns = ["weight", "limit_price", "stop"]
    return pd.DataFrame.from_dict(found, orient="index", columns=columns, dtype=float)


def together(**tables):
    """A panel of tables by symbol; of weights too."""
    return pd.concat(tables, names=["symbol", "time"])


def one_of(values):
    """The default half of the time, else one of the others."""
    return st.one_of(st.just(values[0]), st.sampled_from(values[1:]))


def settings_of(*groups):
    """Settings by name from groups of them."""
    return st.fixed_dictionaries({k: one_of(v) for group in groups for k, v in group.items()})


def walk(rng, n, volatility, jumps):
    """Opens, highs, lows and closes of n bars; some opens jump."""
    steps = rng.normal(0, volatility, (n, 2))
    steps[:, 0] *= np.where(rng.random(n) < jumps, 9.0, 0.3)
    path = PRICE * np.exp(np.cumsum(np.clip(steps, -0.6, 0.6)) + rng.normal(0, 0.2))
    o, c = path[::2], path[1::2]
    wicks = np.abs(rng.normal(0, volatility / 2, (2, n)))
    return {
        "open": o,
        "high": np.maximum(o, c) * np.exp(wicks[0]),
        "low": np.minimum(o, c) * np.exp(-wicks[1]),
        "close": c,
    }


@st.composite
def panels(draw, capital=1.0, least=1, volatilities=(0.02, 0.005, 0.09)):
    """Bars of one to four symbols, some missing, some with a volume of 0; and a generator."""
    rng = np.random.default_rng(draw(st.integers(0, 1_000_000)))
    n, n_symbols = draw(st.integers(3, 40)), draw(st.integers(least, 4))
    volatility = draw(st.sampled_from(volatilities))
    jumps, missing, silent = (draw(st.sampled_from([0.0, 0.08, 0.3])) for _ in range(3))
    busy = draw(st.sampled_from([3.0, 0.2, 200.0]))
    times = pd.date_range(START, periods=n, freq=draw(st.sampled_from(["h", "D"])), name="time")
    parts = {}
    for symbol in "ABCD"[:n_symbols]:
        volume = capital / PRICE * busy * np.exp(rng.normal(0, 1, n))
        volume[rng.random(n) < silent] = 0.0
        table = pd.DataFrame(walk(rng, n, volatility, jumps) | {"volume": volume}, index=times)
        here = rng.random(n) >= missing
        here[rng.integers(n)] = True
        parts[symbol] = table[here]
    return pd.concat(parts, names=["symbol", "time"]), rng


@st.composite
def weights(draw, panel, rng, leverage, *, levels=True):
    """Weights now and then, never more than leverage in sum; limits and stops beside some."""
    often = draw(st.sampled_from([0.15, 0.5, 1.0]))
    first = draw(st.sampled_from([0.0, 0.0, 0.4]))
    limited, stopped = (draw(st.sampled_from([0.0, 0.5])) if levels else 0.0 for _ in range(2))
    short = draw(st.booleans())
    symbols = list(panel.index.unique("symbol"))
    times = sorted(panel.index.unique("time"))
    begin = times[int(first * (len(times) - 1))]
    rows = {}
    for symbol, budget in zip(symbols, BUDGETS[len(symbols)], strict=True):
        for time, close in panel.loc[symbol, "close"].items():
            if time < begin or (rng.random() > often):
                continue
            weight = rng.choice(SIZES if short else np.abs(SIZES)) * budget * leverage
            limit = close * np.exp(rng.normal(0, 0.02)) if rng.random() < limited else np.nan
            away = np.fmin(close, limit) if weight > 0 else np.fmax(close, limit)
            # a stop beyond a limit is refused; beyond a close it may be
            side = np.sign(weight) * (rng.choice([1, 1, 1, -1]) if np.isnan(limit) else 1)
            stop = away * np.exp(-side * rng.uniform(0.001, 0.1))
            given = stop if weight and rng.random() < stopped else np.nan
            rows[symbol, time] = weight, limit, given
    if not rows:
        rows[panel.index[0]] = leverage * BUDGETS[len(symbols)][0], np.nan, np.nan
    columns = ["weight", "limit_price", "stop"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    table.index = pd.MultiIndex.from_tuples(table.index, names=["symbol", "time"])
    return table.sort_index()


@st.composite
def games(draw, *groups, levels=True, least=1):
    """A panel, weights for it and settings of the groups (all of them if none are named)."""
    every = [group for group in (COSTS, EXITS, CAPS, SIZING) if draw(st.booleans())]
    options = draw(settings_of(*(groups or every)))
    capital = draw(st.sampled_from([1.0, 1000.0]))
    leverage, volatilities = draw(st.sampled_from([1.0, 2.0, 4.0])), (0.02, 0.005, 0.09)
    if draw(st.booleans()):  # levered in a wild market, trimmed only now and then
        leverage, volatilities = draw(st.sampled_from([2.0, 4.0, 8.0])), (0.09, 0.04)
        options["drift"] = draw(st.sampled_from([0.02, 9.0]))
        options["maintenance"] = draw(st.sampled_from([0.31, 0.17, 0.0]))
    panel, rng = draw(panels(capital, least, volatilities))
    weight = draw(weights(panel, rng, leverage, levels=levels))
    options |= {
        "capital": capital,
        "max_leverage": leverage,
        "fill": draw(st.sampled_from(["next_open", "next_close", "close"])),
        "lot": options.get("lot", 0.0) * capital,
        "min_notional": options.get("min_notional", 0.0) * capital,
    }
    if options.get("max_weight") is not None:
        options["max_weight"] *= leverage
    if draw(st.booleans()):
        rates = pd.Series(rng.normal(0, 0.003, len(panel)), panel.index)
        options["funding"] = rates[rng.random(len(rates)) < 0.4]
    return panel, weight, options
