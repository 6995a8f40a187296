"""A panel from any source: which files it needs, and the bars in them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from signalkit import ROOT
from signalkit.bars import check
from signalkit.collection import sample
from signalkit.collection.files import check_names_symbols, read_file
from signalkit.errors import DataError, ParamsError
from signalkit.params import timestamp

SOURCES = ("sample", "files")


def data_files(source: str, symbols: Sequence[str], path: str | None = None) -> dict[str, Path]:
    """File of each symbol.

    Parameters
    ----------
    source : str
        `sample` or `files`.
    symbols : sequence of str
        Symbols wanted.
    path : str, optional
        For `files`: a path under the project folder or an absolute one; `{symbol}` in it
        stands for the symbol.

    Raises
    ------
    ParamsError
        If the source or one of its symbols is unknown, or a file does not exist.
    """
    if source not in SOURCES:
        raise ParamsError(f"collection.source: {source!r} is none of {', '.join(SOURCES)}")
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
    calendar: str = sample.CALENDAR,
    tz: str | None = None,
) -> pd.DataFrame:
    """Checked bars of some symbols from a source.

    Parameters
    ----------
    source : str
        `sample`, or `files` with `path`.
    symbols : sequence of str
        Symbols to load.
    interval : str
        Spacing of the bars; the sample has 1d.
    start, end : str, optional
        First and last UTC time of the bar ends kept, both included.
    path, calendar, tz
        As in `data_files` and `read_file`.

    Returns
    -------
    DataFrame indexed by (symbol, time)
        The panel, symbols sorted.

    Raises
    ------
    ParamsError
        If the source lacks a symbol or the interval.
    DataError
        If a symbol has no bars from `start` to `end`, or bars break their rule.
    """
    if not symbols:
        raise ParamsError("collection.symbols: name at least one")
    if len(set(symbols)) < len(symbols):
        raise ParamsError(f"collection.symbols: one stands twice in {list(symbols)}")
    files = data_files(source, symbols, path)
    if source == "sample" and interval != sample.INTERVAL:
        raise ParamsError(f"collection.interval: the sample has 1d bars, was {interval!r}")
    if len(set(files.values())) < len(files):
        check_names_symbols(files[symbols[0]])
    parts = {}
    for symbol in sorted(symbols):
        bars = (
            sample.read_sample(symbol)
            if source == "sample"
            else read_file(
                files[symbol], interval=interval, symbol=symbol, tz=tz, calendar=calendar
            )
        )
        parts[symbol] = _within(bars, symbol, start, end)
    panel = pd.concat(parts, names=["symbol", "time"])
    check(panel)
    return panel


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
