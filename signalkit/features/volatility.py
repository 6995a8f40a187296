"""Volatility features: how much prices move, and whether more than before."""

from __future__ import annotations

from signalkit.errors import ParamsError
from signalkit.features.catalog import declare
from signalkit.features.price import log_return
from signalkit.kernels.graph import Node, mean, over, root
from signalkit.volatility import (
    garman_klass_node,
    parkinson_node,
    realised_node,
    rogers_satchell_node,
    yang_zhang_node,
)

_UNIT = "fraction per bar"

declare("realised", "volatility", 20, unit=_UNIT, least=2,
        words="standard deviation of {} log returns",
        source="sample standard deviation, ddof 1")(realised_node)  # fmt: skip
declare("parkinson", "volatility", 20, unit=_UNIT,
        words="volatility of {} bars from high and low",
        source="Parkinson, The Extreme Value Method (1980)")(parkinson_node)  # fmt: skip
declare("garman_klass", "volatility", 20, unit=_UNIT,
        words="volatility of {} bars from open, high, low and close",
        source="Garman and Klass (1980), without its cross term")(garman_klass_node)  # fmt: skip
declare("rogers_satchell", "volatility", 20, unit=_UNIT,
        words="volatility of {} bars that a trend leaves alone",
        source="Rogers and Satchell (1991)")(rogers_satchell_node)  # fmt: skip
declare("yang_zhang", "volatility", 20, unit=_UNIT, least=2,
        words="volatility of {} bars with the jumps between them",
        source="Yang and Zhang (2000)")(yang_zhang_node)  # fmt: skip


@declare("volatility_ratio", "volatility", (5, 60), unit="ratio", least=2,
         words="realised volatility of {} bars over that of {}",
         source="variance ratio of two spans, as a root")  # fmt: skip
def volatility_ratio(short: int, long: int) -> Node:
    """Realised volatility of few bars over that of many; 1 where nothing moved in the many."""
    if short >= long:
        raise ParamsError(f"volatility_ratio_{short}_{long}: the first window is the shorter")
    return over(realised_node(short), realised_node(long), empty=1.0)


@declare("har", "volatility", 1, 5, 22, unit=_UNIT,
         words="root of the mean squared return of {} bars",
         source="Corsi, A Simple Approximate Long-Memory Model (2009)")  # fmt: skip
def har(span: int) -> Node:
    """One part of the heterogeneous autoregressive model."""
    moves = log_return(1)
    return root(mean(moves * moves, span))
