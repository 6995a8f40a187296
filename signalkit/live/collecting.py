"""New bars of a study's source, brought into the store before a step.

Samples, files and simulated markets have all their bars at once. An exchange that refuses is
remarked, and asked again at the next step.
"""

from __future__ import annotations

from collections.abc import Callable

from signalkit.collection.collector import collect
from signalkit.collection.exchange import Exchange
from signalkit.collection.source import TransientError
from signalkit.errors import DataError, ParamsError, SignalkitError, SourceError, StoreError
from signalkit.live.market import WHOLE
from signalkit.params import Params
from signalkit.store import Store


def _remark(source: str, refused: SignalkitError) -> str:
    """What a source or the store refused, in a line."""
    return f"{source}: {refused}; asked again at the next step"


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
        except (ParamsError, SourceError) as refused:
            return _remark(kept.source, refused)
        remarks = []
        for symbol in kept.symbols:  # one that the source refuses does not keep others waiting
            try:
                how = {"progress": False, "stop": self._stop}
                collect(market, self._store, [symbol], kept.interval, **how)
            except TransientError as refused:
                remarks.append(_remark(kept.source, refused))
                if refused.wait:  # a ban is of the address, not of the symbol
                    break
            except (DataError, ParamsError, SourceError, StoreError) as refused:
                remarks.append(_remark(kept.source, refused))
        return "; ".join(remarks)

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
