"""The collector: the stored bars of some symbols brought up to a source's present.

`collect` does it once, `follow` at every bar's end. Both can be stopped or killed at any
moment: what is stored is whole, and the same call goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import pandas as pd

from signalkit.bars import ALWAYS_OPEN, expected_times, interval_length
from signalkit.collection.pages import Pages, Stopped, pause
from signalkit.collection.series import Series
from signalkit.collection.source import Source, TransientError
from signalkit.errors import DataError, ParamsError, SourceError
from signalkit.store import Store

log = logging.getLogger(__name__)


def collect(
    source: Source,
    store: Store,
    symbols: Sequence[str],
    interval: str,
    *,
    since: pd.Timestamp | None = None,
    until: pd.Timestamp | None = None,
    recheck: bool = False,
    overlap: int = 5,
    progress: bool = True,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> pd.DataFrame:
    """Bring the stored bars of some symbols up to the source's present.

    Parameters
    ----------
    source : Source
        An exchange or a simulated market.
    store : Store
        Where the bars go, under the source's name and the calendar 24/7.
    symbols : sequence of str
        Symbols as the source knows them.
    interval : str
        Spacing of the bars, such as 1h.
    since : Timestamp, optional
        UTC open of the first bar wanted. Needed where nothing is stored; before the first
        stored bar it fills the front.
    until : Timestamp, optional
        UTC end of the last bar wanted; the source's present if omitted.
    recheck : bool
        Ask again for bars that were noted as an outage.
    overlap : int
        Stored bars that are asked for again, so that late corrections are seen.
    progress : bool
        Show progress where stderr is a terminal, and log refusals.
    seed : int
        Of the jitter in the pauses.
    stop : callable
        Whether to stop, asked before each request and about once a second in between; `Stopped`
        is raised then.

    Returns
    -------
    DataFrame indexed by symbol
        `added` and `revised` bars of this run; of what is stored, `gaps`, noted `outages`,
        and the `first` and `last` bar end. A front that the source does not have is an
        outage and no gap.

    Raises
    ------
    ParamsError
        If a symbol or the interval is unknown to the source, or `since` is missing.
    SourceError
        If the source refuses for longer than we try (TransientError), or for good.
    DataError
        If a page breaks the rules of the bar table each time it is asked for.
    StoreError
        If the store cannot be written.
    """
    options = {"since": since, "until": until, "recheck": recheck, "overlap": overlap}
    options["progress"] = progress
    every = _open(source, store, symbols, interval, seed=seed, stop=stop, **options)
    for series in every:
        series.check()
    for series in every:
        series.collect()
    return _rows(every)


def follow(
    source: Source,
    store: Store,
    symbols: Sequence[str],
    interval: str,
    *,
    stop: Callable[[], bool],
    since: pd.Timestamp | None = None,
    recheck: bool = False,
    overlap: int = 5,
    progress: bool = True,
    seed: int = 0,
    delay_seconds: float = 2.0,
) -> pd.DataFrame:
    """Collect, and collect again at every bar's end until told to stop.

    A source that refuses for longer than we try is warned of and asked again at the next
    bar's end. The present is taken from the source, so a bar is never collected early.

    Parameters
    ----------
    source, store, symbols, interval, since, recheck, overlap, progress, seed
        As in `collect`.
    stop : callable
        Whether to stop, asked before each request and about once a second in between.
    delay_seconds : float
        Time that the source has to finish a bar after its end.

    Returns
    -------
    DataFrame indexed by symbol
        As `collect` returns it, `added` and `revised` over the whole time.

    Raises
    ------
    ParamsError, SourceError, DataError, StoreError
        As in `collect`, but for TransientError.
    """
    options = {"since": since, "until": None, "recheck": recheck, "overlap": overlap}
    options["progress"] = progress
    every = _open(source, store, symbols, interval, seed=seed, stop=stop, **options)
    try:
        while True:
            # who is sent away asks for nothing until then, not even for the time
            wait = _update(every) or _until_next(every[0].pages, delay_seconds)
            pause(source, wait, stop)
    except Stopped:
        return _rows(every)


def _update(every: list[Series]) -> float:
    """Collect every symbol that the source gives; the seconds that it sends us away for."""
    for series in every:
        try:
            series.collect()
            series.recheck = False
        except TransientError as refused:
            log.warning("%s; trying again at the next bar's end", refused)
            if refused.wait:  # a ban is of the address, not of the symbol
                return refused.wait
        except (DataError, SourceError) as refused:
            if series.checked_to is None:  # never went well: wrong from the start
                raise
            log.warning("%s; the other symbols go on", refused)
    return 0.0


def _until_next(pages: Pages, delay_seconds: float) -> float:
    """Seconds to the end of the bar that is open now, and a little more."""
    try:
        present = pages.present()
    except TransientError as refused:
        log.warning("%s; trying again in a minute", refused)
        return max(60.0, refused.wait or 0.0)
    after = present + pd.Timedelta(1, "ns")
    end = expected_times(after, present + pages.length, pages.interval, ALWAYS_OPEN)[0]
    return (end - present).total_seconds() + delay_seconds


def _open(
    source: Source, store: Store, symbols: Sequence[str], interval: str, **options: object
) -> list[Series]:
    """The series of each symbol, after a look at what was asked."""
    interval_length(interval)
    if not symbols or len(set(symbols)) < len(symbols):
        raise ParamsError(f"symbols must be one or more, each once, was {list(symbols)}")
    since, until = options["since"], options["until"]
    if since is not None and until is not None and since >= until:
        raise ParamsError(f"until must come after since {since:%Y-%m-%d %H:%M}Z, was {until}")
    if options["overlap"] < 1:
        raise ParamsError(f"overlap must be at least 1 bar, was {options['overlap']}")
    asking = {name: options.pop(name) for name in ("seed", "stop") if name in options}
    asking["level"] = logging.INFO if options["progress"] else logging.DEBUG
    return [
        Series(Pages(source, symbol, interval, **asking), store, **options) for symbol in symbols
    ]


def _rows(every: list[Series]) -> pd.DataFrame:
    """What was collected, a row a symbol."""
    rows = {series.pages.symbol: series.row() for series in every}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("symbol")
