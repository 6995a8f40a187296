"""A panel from any source: which files it needs, and the bars in them.

Samples and files are read, an exchange's bars come from the store where `collect` put them,
and a simulated market is collected as an exchange's would be.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from signalkit import ROOT
from signalkit.bars import check, interval_length
from signalkit.collection import sample
from signalkit.collection.collector import collect
from signalkit.collection.files import check_names_symbols, read_file
from signalkit.collection.simulated import SimulatedExchange
from signalkit.collection.simulator import market
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.params import timestamp
from signalkit.store import Store

_READ = ("sample", "files")
SIMULATOR = "simulator"
# times that a simulated market is collected while its clock runs
_SESSIONS = 12


def data_files(source: str, symbols: Sequence[str], path: str | None = None) -> dict[str, Path]:
    """File of each symbol; none for a source that reads no files.

    Parameters
    ----------
    source : str
        `sample`, `files`, `simulator` or the name of an exchange.
    symbols : sequence of str
        Symbols wanted.
    path : str, optional
        For `files`: a path under the project folder or an absolute one; `{symbol}` in it
        stands for the symbol.

    Raises
    ------
    ParamsError
        If the sample lacks a symbol, or a file does not exist.
    """
    if source not in _READ:
        return {}
    if source == "sample":
        return {symbol: _sample_file(symbol) for symbol in symbols}
    if path is None:
        raise ParamsError("collection.path: files needs one, such as 'prices/{symbol}.csv'")
    files = {symbol: ROOT / path.replace("{symbol}", symbol) for symbol in symbols}
    for symbol, file in files.items():
        if not file.is_file():
            raise ParamsError(
                f"collection.path: {file} is no file for the symbol {symbol}; write one such as"
                " 'prices/{symbol}.csv'"
            )
    return files


def _sample_file(symbol: str) -> Path:
    """File of a sample symbol; an unknown one is an error with the near match."""
    if symbol not in sample.SYMBOLS:
        near = difflib.get_close_matches(symbol, sample.SYMBOLS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sample.SYMBOLS)}"
        raise ParamsError(f"collection.symbols: the sample lacks {symbol!r}; {hint}")
    return sample.sample_file(symbol)


def load(
    source: str,
    symbols: Sequence[str],
    interval: str,
    start: str | None = None,
    end: str | None = None,
    *,
    path: str | None = None,
    calendar: str | None = None,
    tz: str | None = None,
    allow: Sequence[str] = (),
    simulator: Mapping[str, Any] | None = None,
    store: Store | None = None,
) -> pd.DataFrame:
    """Checked bars of some symbols from a source.

    Parameters
    ----------
    source : str
        `sample`; `files` with `path`; `simulator` with `start` and `end`; or the name of an
        exchange whose bars `signalkit collect` has put into the store.
    symbols : sequence of str
        Symbols to load.
    interval : str
        Spacing of the bars; the sample has 1d.
    start, end : str, optional
        First and last UTC time of the bar ends kept, both included.
    path, calendar, tz, allow
        As in `data_files` and `read_file`; the sample's calendar is XNYS.
    simulator : mapping, optional
        Settings of `simulator.market`, and `faults` of the exchange that serves it.
    store : Store, optional
        Where collected bars are; the project's, or for the simulator a temporary one.

    Returns
    -------
    DataFrame indexed by (symbol, time)
        The panel, symbols sorted. `attrs["reports"]` has the CollectionReport of each
        file read.

    Raises
    ------
    ParamsError
        If the source lacks a symbol or the interval.
    DataError
        If a symbol has no bars from `start` to `end`, or bars break their rule.
    StoreError
        If nothing of an exchange's symbol is stored.
    """
    if not symbols:
        raise ParamsError("collection.symbols: name at least one")
    if len(set(symbols)) < len(symbols):
        raise ParamsError(f"collection.symbols: one stands twice in {list(symbols)}")
    if source == SIMULATOR:
        asked = (symbols, interval, start, end)
        now = pd.Timestamp(timestamp(start)) if start else None
        exchange = simulated_exchange(*asked, settings=simulator, now=now)
        parts = _collected(exchange, symbols, interval, (now, _last_moment(end)), store)
    elif source in _READ:
        files = data_files(source, symbols, path)
        parts = _from_files(source, files, interval, calendar=calendar, tz=tz, allow=allow)
    else:
        parts = _stored(source, symbols, interval, store)
    kept = {symbol: _within(parts[symbol], symbol, start, end) for symbol in sorted(symbols)}
    panel = pd.concat(kept, names=["symbol", "time"])
    check(panel)
    told = {s: parts[s].attrs["report"] for s in kept if "report" in parts[s].attrs}
    panel.attrs = {"reports": told} if told else {}
    return panel


def _from_files(
    source: str,
    files: Mapping[str, Path],
    interval: str,
    *,
    calendar: str | None,
    tz: str | None,
    allow: Sequence[str],
) -> dict[str, pd.DataFrame]:
    """Bars of the sample, or of a file each."""
    if source == "sample":
        if interval != sample.INTERVAL:
            raise ParamsError(f"collection.interval: the sample has 1d bars, was {interval!r}")
        return {symbol: sample.read_sample(symbol) for symbol in files}
    if len(set(files.values())) < len(files):
        check_names_symbols(next(iter(files.values())))
    asked = {"interval": interval, "tz": tz, "calendar": calendar, "allow": tuple(allow)}
    return {symbol: read_file(file, symbol=symbol, **asked) for symbol, file in files.items()}


def simulated_exchange(
    symbols: Sequence[str],
    interval: str,
    start: str | None,
    end: str | None,
    *,
    settings: Mapping[str, Any] | None,
    now: pd.Timestamp | None = None,
) -> SimulatedExchange:
    """The exchange of a simulated market, its clock at `now` or at the market's end."""
    if not (start and end):
        raise ParamsError("collection.start: the simulator needs a start and an end")
    asked = {"seed": 7} | dict(settings or {})
    faults = asked.pop("faults", 0.1)
    first, last = pd.Timestamp(timestamp(start)), _last_moment(end)
    truth = market(symbols, interval, start=first, end=last, **asked)
    return SimulatedExchange(truth, faults=faults, seed=asked["seed"], now=now)


def _collected(
    exchange: SimulatedExchange,
    symbols: Sequence[str],
    interval: str,
    span: tuple[pd.Timestamp, pd.Timestamp],
    store: Store | None,
) -> dict[str, pd.DataFrame]:
    """Bars of a simulated exchange, by the way that those of a real one take.

    They are collected some times while its clock runs, as a person would, and once more at
    the end: the newest bars may be corrected after they were first served.
    """
    first, last = span
    since = first - interval_length(interval)
    moments = [*pd.date_range(first, last, periods=_SESSIONS + 1)[1:], last]
    with (
        tempfile.TemporaryDirectory(prefix="signalkit-simulator-") as name,
        nullcontext(store) if store else Store.open(Path(name)) as kept,
    ):
        for moment in moments:
            exchange.pause(max((moment - exchange.clock()).total_seconds(), 0.0))
            collect(exchange, kept, symbols, interval, since=since, progress=False)
        return {s: kept.read_bars(s, interval, source=exchange.name) for s in symbols}


def _stored(
    source: str, symbols: Sequence[str], interval: str, store: Store | None
) -> dict[str, pd.DataFrame]:
    """Bars of an exchange as they were collected."""
    with nullcontext(store) if store else Store.open() as kept:
        try:
            return {s: kept.read_bars(s, interval, source=source) for s in symbols}
        except StoreError as cause:
            _check_exchange(source)
            raise StoreError(
                f"collection.source: {cause}: signalkit collect --source {source} --symbols"
                f" {' '.join(symbols)} --interval {interval} --since 2024-01-01"
            ) from None


def _check_exchange(source: str) -> None:
    """Refuse a source that is neither one of ours nor an exchange."""
    import ccxt  # noqa: PLC0415 - takes over 0.3 s

    if source not in ccxt.exchanges:
        near = difflib.get_close_matches(source, [*_READ, SIMULATOR, *ccxt.exchanges], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "such as binance"
        raise ParamsError(
            f"collection.source: {source!r} is none of {', '.join(_READ)}, {SIMULATOR} or an"
            f" exchange that ccxt knows; {hint}"
        )


def _within(bars: pd.DataFrame, symbol: str, start: str | None, end: str | None) -> pd.DataFrame:
    """Bars that end from start to end."""
    kept = bars.loc[pd.Timestamp(timestamp(start)) if start else None :]
    kept = kept.loc[: _last_moment(end) if end else None]
    if kept.empty:
        span = f"{bars.index[0]:%Y-%m-%d} to {bars.index[-1]:%Y-%m-%d}"
        raise DataError(
            f"collection.start and end: {symbol} has no bars from {start} to {end}, only {span}"
        )
    kept.attrs = {}
    return kept


def _last_moment(end: str) -> pd.Timestamp:
    """The time that `end` names; of a date alone, its last moment."""
    moment = pd.Timestamp(timestamp(end))
    whole_day = "T" not in end and ":" not in end
    return moment + pd.Timedelta(1, "D") - pd.Timedelta(1, "us") if whole_day else moment
