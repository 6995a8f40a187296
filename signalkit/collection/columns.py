"""Which column of a raw table is which: by its name, and by what the numbers can be.

A file without a header has its price columns in one of the known orders; the one that
every row fits is taken. Of two volume columns the one that times the price gives the other
is the base volume. Names that the numbers contradict are refused with the count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd

from signalkit.bars import COLUMNS
from signalkit.collection.formats import Raw
from signalkit.errors import DataError

PRICES = COLUMNS[:4]
TIME_NAMES = (
    "open_time", "opentime", "time_open", "timestamp", "unix", "unix_timestamp", "epoch",
    "datetime", "date_time", "time", "date", "ts", "t", "utc_time", "time_utc", "date_utc",
    "dt", "index", "gmt_time", "time_gmt", "date_gmt", "start_time", "starttime", "begin",
    "time_period_start", "candle_begin_time", "trade_date", "day",
)  # fmt: skip
_PRICE_NAMES = {
    "open": ("open", "o", "open_price", "opening_price", "price_open", "first"),
    "high": ("high", "h", "high_price", "price_high", "max"),
    "low": ("low", "l", "low_price", "price_low", "min"),
    "close": ("close", "c", "close_price", "closing_price", "price_close", "last", "close_last"),
}
_VOLUME_NAMES = ("volume", "vol", "v", "volume_base", "base_volume", "tick_volume", "tickvol")
_QUOTE_HINTS = ("quote", "usd", "eur", "turnover", "value", "amount", "dollar")
_QUOTE_ONLY = re.compile(r"quote|turnover|usd")
_NOT_VOLUME = re.compile(
    r"taker|maker|buy|sell|cum|weighted|vwap|open_interest|change|chg|pct|ratio|rel|mean|avg"
    r"|average|norm|log|lag|prev|delta|diff|std|zscore|(^|_)(s|e|w)?ma(_|\d|$)"
)
# usual, Bitfinex and KuCoin, Coinbase
_ORDERS = (PRICES, ("open", "close", "high", "low"), ("low", "high", "open", "close"))
# from bar to bar a volume moves against the close by far more, a mean or adjusted price by less
_PRICE_LIKE = 0.02
# quote over base volume is a mean price of the bar; some files round one of the two
_SLACK = 0.05
# fewer rows than these prove no exchange of names; the bar table refuses each by itself
_TELLING_ROWS = 5
BINANCE = 12


@dataclass(frozen=True)
class Layout:
    """The columns of a raw table by role.

    `times` are candidates, the best by name first; `volume` is the base volume and
    `other_volume` the column that it may have changed places with.
    """

    times: tuple[object, ...]
    prices: dict[str, object]
    volume: object
    notes: tuple[str, ...] = ()
    other_volume: object = None


def normal(name: object) -> str:
    """A column's name in lower case without decoration."""
    text = re.sub(r"^[<\d]+[.)]?\s*|[>]$", "", str(name).strip().lower())
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")


def name_columns(raw: Raw) -> Raw:
    """The raw table with normalised names; a header that names no bars is refused."""
    if not raw.named:
        return raw
    names = [normal(name) for name in raw.table.columns]
    check_names(names)
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(f"two columns have one name: {twice}; the file has {list(raw.table)}")
    return Raw(raw.table.set_axis(names, axis=1), raw.format, True, raw.preamble, raw.encoding)


def layout(raw: Raw) -> Layout:
    """Roles of the columns of a table.

    Raises
    ------
    DataError
        If a role has no column, or the numbers contradict the names.
    """
    return _by_name(raw.table) if raw.named else _by_place(raw.table)


def check_names(names: list) -> None:
    """Refuse a header without the names of bars."""
    known = _price_columns(names)
    lacking = [role for role, name in known.items() if name is None]
    if len(lacking) == 4 or {"title", "headline", "headlines"} & set(names):
        raise DataError(
            f"no bars: the file has no columns {', '.join(PRICES)}, only {names[:12]}"
            + _looks_like(names)
        )
    if lacking:
        usual = " or ".join(_PRICE_NAMES[lacking[0]][:3])
        raise DataError(f"no column named {usual}; the file has {names}")
    if not set(TIME_NAMES) & set(names):
        raise DataError(f"no column named time, timestamp or date; the file has {names}")
    if not any(_is_volume(name) for name in names):
        raise DataError(f"no column named volume or vol; the file has {names}")


def _price_columns(names: list) -> dict[str, object]:
    """The column of each price, None where the header has none."""
    return {
        role: next((name for name in known if name in names), None)
        for role, known in _PRICE_NAMES.items()
    }


def _by_name(table: pd.DataFrame) -> Layout:
    """Roles by the names of a header."""
    names = list(table.columns)
    prices = _price_columns(names)
    numbers = {role: number(table, name) for role, name in prices.items()}
    _check_fit(numbers, prices)
    volumes = [n for n in names if _is_volume(n)]
    if len(volumes) == 1 and _QUOTE_ONLY.search(volumes[0]):
        raise DataError(
            f"the only volume, {volumes[0]!r}, is by its name in quote currency and bars need that"
            " in base units; if it is, name the column volume"
        )
    # names that mean the base volume here and the quote volume there: the prices tell
    volumes += [n for n in ("amount", "value") if n in names and _all_numbers(table[n])]
    base, other, notes = _base(table, volumes, numbers)
    times = tuple(name for name in TIME_NAMES if name in names)
    return Layout(times, prices, base, notes, other)


def _all_numbers(column: pd.Series) -> bool:
    """Whether every cell of a column is a number."""
    return bool(pd.to_numeric(column, errors="coerce").notna().all())


def needed(raw: Raw) -> list:
    """Columns whose cells a bar needs: prices and volumes, or by place the four and the next."""
    if not raw.named:
        start = 2 if is_clock(raw.table[1]) else 1
        return list(range(start, min(start + 5, raw.table.shape[1])))
    names = list(raw.table.columns)
    return [*_price_columns(names).values(), *(name for name in names if _is_volume(name))]


def _looks_like(names: list[str]) -> str:
    """What a table without prices seems to hold."""
    if {"title", "headline", "headlines", "text"} & set(names):
        return "; it looks like news, which read_news reads"
    if {"price", "close", "adj_close"} & set(names):
        return "; one price a row is no bar"
    return ""


def _is_volume(name: str) -> bool:
    """Whether a name is that of a base or quote volume."""
    known = name in _VOLUME_NAMES or name in {"turnover", "quote_asset_volume"}
    return known or ("volume" in name and not _NOT_VOLUME.search(name))


def _by_place(table: pd.DataFrame) -> Layout:
    """Roles by place: time, four prices in an order that every row fits, volume."""
    width = table.shape[1]
    if width < 6:
        raise DataError(
            f"no bars: {width} columns without a header; bars have time, four prices and volume"
        )
    start = 2 if is_clock(table[1]) else 1
    cells = [number(table, place) for place in range(start, start + 4)]
    misfits = {order: _misfits(dict(zip(order, cells, strict=True))).sum() for order in _ORDERS}
    order = min(misfits, key=misfits.__getitem__)
    prices = {role: start + place for place, role in enumerate(order)}
    notes = (f"no header; columns read as time, {', '.join(order)}, volume",)
    if order != PRICES:
        notes += (f"open, high, low, close would break {misfits[PRICES]:,} of {len(table):,} rows",)
    volume = start + 4
    prices = {role: prices[role] for role in PRICES}
    if width == volume + 1:
        return Layout((0,), prices, volume, notes)
    # the quote volume follows, in the twelve columns of a Binance dump after the close time
    other = 7 if width >= BINANCE else volume + 1
    numbers = {role: number(table, prices[role]) for role in PRICES}
    _check_no_price(number(table, volume), numbers["close"], volume)
    known = pd.to_numeric(table[other], errors="coerce").notna().all()
    volumes = [volume, other] if known else [volume]
    base, other, told = _base(table, volumes, numbers)
    return Layout((0,), prices, base, notes + told, other)


def _check_no_price(volume: np.ndarray, close: np.ndarray, place: int) -> None:
    """Refuse a fifth price, such as a mean or an adjusted close, in the place of the volume."""
    traded = volume > 0
    if traded.sum() < 3 or np.ptp(volume) == 0:
        return
    moves = np.abs(np.diff(np.log(volume[traded] / close[traded])))
    if np.median(moves) < _PRICE_LIKE:
        raise DataError(
            f"column {place} moves with the close, as a mean or adjusted price does and no volume;"
            " name the columns in a header"
        )


def is_clock(column: pd.Series) -> bool:
    """Whether a column holds times of day, as where date and time are apart."""
    shown = column.astype(str).str.strip()
    return bool(shown.str.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(\s?[AaPp][Mm])?").all())


def number(table: pd.DataFrame, name: object) -> np.ndarray:
    """A column as float64; the first cell that is no number is an error."""
    column = table[name]
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    broken = np.flatnonzero(numbers.isna())
    if len(broken):
        row = int(broken[0])
        cell = column.iloc[row]
        found = "empty" if pd.isna(cell) else f"no number: {cell!r}"
        raise DataError(f"{name} in row {row} is {found} ({len(broken)} such rows)")
    return numbers.to_numpy()


def _misfits(prices: dict[str, np.ndarray]) -> np.ndarray:
    """Rows whose high or low is not the highest or lowest price."""
    stack = np.stack([prices[role] for role in PRICES])
    return (prices["high"] < stack.max(axis=0)) | (prices["low"] > stack.min(axis=0))


def _check_fit(numbers: dict[str, np.ndarray], names: dict[str, object]) -> None:
    """Refuse names of prices that hardly any row fits where another order fits them all."""
    wrong = _misfits(numbers)
    if wrong.sum() < _TELLING_ROWS or wrong.mean() <= 0.2:
        return
    for order in permutations(PRICES):
        moved = {role: numbers[own] for role, own in zip(PRICES, order, strict=True)}
        if _misfits(moved).mean() <= 0.001:
            swaps = ", ".join(
                f"{names[own]!r} holds the {role}"
                for role, own in zip(PRICES, order, strict=True)
                if role != own
            )
            raise DataError(
                f"the price columns do not fit their names in {int(wrong.sum()):,} of"
                f" {len(wrong):,} rows; every row fits if {swaps}: name the columns so"
            )


def _base(
    table: pd.DataFrame, names: list, prices: dict[str, np.ndarray]
) -> tuple[object, object, tuple[str, ...]]:
    """The base volume among the volume columns, the quote volume, and how it was told."""
    ranked = sorted(names, key=lambda n: any(hint in str(n) for hint in _QUOTE_HINTS))
    if len(names) == 1:
        return names[0], None, ()
    first, second = ranked[:2]
    one, two = number(table, first), number(table, second)
    right, swapped = volume_sides(one, two, prices)
    # a few rows fit by chance where the columns have nothing to do with each other
    if (right | swapped).sum() < 0.5 * ((one > 0) & (two > 0)).sum():
        return first, None, ()
    if right.sum() >= swapped.sum():
        notes = (
            (f"of {first!r} and {second!r} the first is the base volume",) if right.any() else ()
        )
        return first, second if right.any() or swapped.any() else None, notes
    if right.any():
        return first, second, ()
    told = f"by the prices {second!r} is the base volume and {first!r} the quote volume"
    return second, first, (told,)


def volume_sides(
    first: np.ndarray, second: np.ndarray, prices: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows in which `second` is the value of `first`, and rows where it is the other way.

    Both False where nothing was traded, or where both or neither fit.
    """
    low, high = prices["low"] * (1 - _SLACK), prices["high"] * (1 + _SLACK)
    dry = (first <= 0) | (second <= 0)
    a, b = np.where(dry, 1.0, first), np.where(dry, 1.0, second)
    right = (b / a >= low) & (b / a <= high) & ~dry
    swapped = (a / b >= low) & (a / b <= high) & ~dry
    return right & ~swapped, swapped & ~right
