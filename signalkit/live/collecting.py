"""New bars of a study's source, brought into the store before a step.

Samples, files and simulated markets have all their bars at once. An exchange that refuses is
remarked, and asked again at the next step.
"""

from __future__ import annotations

from collections.abc import Callable

from signalkit.collection.collector import collect
from signalkit.collection.exchange import Exchange
from signalkit.errors import DataError, ParamsError, SourceError, StoreError
from signalkit.live.market import WHOLE
from signalkit.params import Params
from signalkit.store import Store


class Collecting:
    """Collects the bars of studies; exchanges stay open between steps.

    Parameters
    ----------
    store : Store
        Where the bars go.
    url : str, optional
        Address in place of the exchange's hosts.
    stop : callable
        Asked between requests whether to stop.
    """

    def __init__(
        self, store: Store, *, url: str | None = None, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._store, self._url, self._stop = store, url, stop
        self._open: dict[str, Exchange] = {}

    def __call__(self, asked: Params) -> str:
        """Collect the newest closed bars of a study; a remark where that failed, else ""."""
        kept = asked.collection
        if kept.source in WHOLE:
            return ""
        try:
            market = self._exchange(kept.source)
            how = {"progress": False, "stop": self._stop}
            collect(market, self._store, kept.symbols, kept.interval, **how)
        except (DataError, ParamsError, SourceError, StoreError) as refused:
            return f"{kept.source}: {refused}; asked again at the next step"
        return ""

    def _exchange(self, name: str) -> Exchange:
        """An exchange, opened once."""
        if name not in self._open:
            self._open[name] = Exchange(name, url=self._url)
        return self._open[name]

    def close(self) -> None:
        """Close what is open."""
        for exchange in self._open.values():
            exchange.close()
        self._open.clear()
